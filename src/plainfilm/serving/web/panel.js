// What the model says of one film, and what that is worth at a threshold and a prevalence.

import { beside, calls, edges, interval, isTwo, labelAt, operating, other, percent, predictive, probability, score } from "./figures.js";
import { $, make, scored, tile } from "./page.js";

const NO_FIGURES =
  "This model file holds no figures of its validation, so how often it is right is not known here. " +
  "Models trained with this version keep them.";

/** The classes by colour; the label of a film that the model should not judge has none. */
export const tone = (answer, label, model) => {
  if (answer.gate?.reason) return "doubtful";
  const found = model.thresholds ? model.classes.some((name) => calls(answer, model, name)) : label === model.positive;
  return found ? "positive" : "negative";
};

/** A reason as a sentence. */
export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

const unlike = ({ label }) => `At the model's own threshold the label is ${label}; the heat map is for that label.`;
const card = (kind, title, ...lines) =>
  make("div", `card ${kind}`, make("b", "", title), ...lines.map((line) => make("p", "", line)));

/** `mapped` is the finding whose heat map is shown, of a model of findings. */
export function showDecision(film, model, threshold, mapped) {
  const nobody = make("p", "soft", "Choose a film to see its label here.");
  const held = document.activeElement?.dataset?.finding; // the focus stays where it was
  $("decision").replaceChildren(...(film ? said(film, model, threshold, mapped) : [nobody]));
  if (held) [...$("decision").querySelectorAll("[data-finding]")].find((b) => b.dataset.finding === held)?.focus();
}

function said(film, model, threshold, mapped) {
  const { answer, state, error } = film;
  if (state === "failed") return [card("failed", "Not labelled", sentence(error))];
  if (!answer) return [make("p", "soft", state === "sent" ? "Being labelled…" : "Waiting for its turn…")];
  const label = labelAt(answer, model, threshold);
  const shown = [verdict(answer, label, model, threshold), ...bars(answer, model, threshold, mapped)];
  if (label !== answer.label) shown.push(card("moved", "Your threshold", unlike(answer)));
  if (answer.gate?.reason) return [unusual(answer), ...shown]; // read before the label, not after
  return answer.refer ? [...shown, card("refer", "For a reader", sentence(answer.reason))] : shown;
}

function verdict(answer, label, model, threshold) {
  const box = make("div", `verdict ${tone(answer, label, model)}`, make("strong", model.thresholds ? "many" : "", label));
  const p = answer.probabilities[label]; // of several findings, or none, there is not one
  if (p !== undefined) box.append(make("span", "", `${probability(p, edges(model, label, threshold))} probability`));
  return box;
}

function unusual({ gate, reason }) {
  const rare = `Of the training films, at most ${percent(gate.score)} are as unusual.`;
  const empty = "The model's label and figures don't hold for such a film.";
  return card("gate", "Unusual film: for a reader", sentence(reason), `${rare} ${empty}`);
}

function bars(answer, model, threshold, mapped) {
  if (!isTwo(model)) {
    const ranked = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]);
    const cut = (name) => model.thresholds?.[name] ?? null;
    const own = model.thresholds ? { refer: null } : model;
    const line = ([name, p]) => {
      const shown = [make("span", "", name), meter(p, own, cut(name)), probability(p, edges(model, name))];
      if (!model.thresholds) return make("div", "each", ...shown);
      const button = make("button", `each${calls(answer, model, name) ? " called" : ""}`, ...shown);
      Object.assign(button, { type: "button", title: `Show the heat map of ${name}` });
      button.dataset.finding = name;
      button.setAttribute("aria-pressed", name === mapped);
      return button;
    };
    return ranked.map(line);
  }
  const p = score(answer, model);
  const ends = make("div", "ends soft", make("span", "", other(model)), make("span", "", model.positive));
  const [told, cut] = beside(p, threshold);
  const words = `Probability of ${model.positive} ${told}; the threshold is ${cut}.`;
  return [meter(p, model, threshold), ends, make("p", "soft", words)];
}

/** A line from 0 to 1 with the film, the threshold and the band for a reader on it. */
function meter(p, model, threshold) {
  const line = make("div", "meter");
  const put = (kind, from, to) => {
    const mark = line.appendChild(make("i", kind));
    mark.style.left = `${100 * from}%`;
    if (to !== undefined) mark.style.width = `${100 * (to - from)}%`;
  };
  if (threshold === null) put("fill", 0, p);
  else {
    if (model.refer) put("band", ...model.refer);
    put("cut", threshold);
    put("dot", p);
  }
  return line;
}

/** Write sensitivity, specificity and predictive values at a threshold and a prevalence. */
export function showFigures(model, threshold, prevalence) {
  const measured = operating(model, threshold);
  $("worth").hidden = !measured;
  $("figuresNote").textContent = measured ? origin(model, measured, threshold) : NO_FIGURES;
  if (!measured) return;
  const { ppv, npv } = predictive(measured, prevalence);
  const figure = (name, found, meaning) => tile(name, percent(found.value), interval(found), meaning);
  $("figures").replaceChildren(
    figure("Sensitivity", measured.sensitivity, `of ${model.positive} films, found`),
    figure("Specificity", measured.specificity, "of the others, spared"),
    figure("PPV", ppv, `of those called ${model.positive}, truly so`),
    figure("NPV", npv, `of those called ${other(model)}, truly so`),
  );
}

function origin(model, measured, threshold) {
  const { protocol, part } = model.verdict;
  const at = measured.at === threshold ? "" : `, at the threshold ${measured.at.toFixed(2)}`;
  const lines = [
    `Measured on ${scored(model.verdict)}${at}, with 95\u00a0% intervals.`,
    "PPV and NPV and their ranges follow from these and your prevalence.",
  ];
  if (part === "val") lines.push("Choices were made by looking at these films; others usually score lower.");
  if (protocol) lines.push(`Protocol: ${protocol}.`);
  return lines.join(" ");
}
