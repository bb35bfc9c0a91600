// The threshold and the prevalence that the user tries, each as a slider and as a number.

import { edge } from "./figures.js";
import { $ } from "./page.js";

export class Tuning {
  threshold = 0.5;
  prevalence = 0.5;

  /** `changed()` is called after each change. */
  constructor(changed) {
    this.changed = changed;
  }

  /** Begin with the model's own threshold, and with the prevalence that it knows. */
  begin(model) {
    this.model = model;
    const known = Number.isFinite(model.verdict.prevalence);
    this.setThreshold(model.threshold);
    this.setPrevalence(known ? model.verdict.prevalence : 0.5);
    const start = known ? "that of the training films" : "one half";
    $("prevalenceNote").textContent = `It begins at ${start}; set your own, or PPV and NPV mislead.`;
    on(["threshold", "thresholdNumber"], (value) => this.setThreshold(value));
    on(["prevalence", "prevalenceNumber"], (value) => this.setPrevalence(value / 100));
  }

  setThreshold(value) {
    if (!within(value)) return;
    this.threshold = value;
    const { threshold: own, positive, refer } = this.model;
    const band = refer ? " The band for a reader was chosen for the model's own." : "";
    const moved = `${positive} from here on. The model's own is ${edge(own)}.${band}`;
    write("threshold", value, 3);
    $("thresholdNote").textContent = value === own ? "The model's own." : moved;
    $("thresholdReset").hidden = value === own;
    this.changed();
  }

  setPrevalence(value) {
    if (!within(value)) return;
    this.prevalence = value;
    write("prevalence", 100 * value, 1);
    $("prevalenceNote").textContent = `Share of ${this.model.positive} among the films you label.`;
    this.changed();
  }
}

const within = (value) => value >= 0 && value <= 1; // false for NaN, an empty field

/** Show a value on slider and field; a field is left alone while it is typed in. */
function write(id, value, digits) {
  $(id).value = value;
  const field = $(`${id}Number`);
  if (document.activeElement !== field) field.value = Number(value.toFixed(digits));
}

const on = (ids, set) => ids.forEach((id) => $(id).addEventListener("input", (event) => set(event.target.valueAsNumber)));
