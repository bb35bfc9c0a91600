// What the model says of one film, what that is worth, and what its report says in short.

import { interval, isTwo, labelAt, operating, other, percent, predictive, probability, score } from "./figures.js";
import { $, count, make } from "./page.js";

const PARTS = { val: "validation films", test: "test films" };
const SCORES = {
  accuracy: "Accuracy",
  balanced_accuracy: "Balanced accuracy",
  sensitivity: "Sensitivity",
  specificity: "Specificity",
  auroc: "AUROC",
};

/** The classes by colour; the label of a film that the model should not judge has none. */
export const tone = (answer, label, model) =>
  answer.gate?.reason ? "doubtful" : label === model.positive ? "positive" : "negative";

export function showDecision(film, model, threshold) {
  $("decision").replaceChildren(...(film ? said(film, model, threshold) : [nobody()]));
}

const nobody = () => make("p", "soft", "Choose a film to see its label here.");

function said(film, model, threshold) {
  if (film.state === "failed") return [card("failed", "Not labelled", sentence(film.error))];
  if (!film.answer) return [make("p", "soft waiting", film.state === "sent" ? "Being labelled…" : "Waiting for its turn…")];
  const label = labelAt(film.answer, model, threshold);
  const shown = [verdict(film.answer, label, model), ...bars(film.answer, model, threshold)];
  if (label !== film.answer.label) shown.push(card("moved", "Your threshold", unlike(film.answer)));
  if (film.answer.gate?.reason) return [unusual(film.answer), ...shown]; // read before the label, not after
  return film.answer.refer ? [...shown, card("refer", "For a reader", sentence(film.answer.reason))] : shown;
}

function verdict(answer, label, model) {
  const box = make("div", `verdict ${tone(answer, label, model)}`, make("strong", "", label));
  box.append(make("span", "", `${probability(answer.probabilities[label])} probability`));
  return box;
}

function bars(answer, model, threshold) {
  if (!isTwo(model)) {
    const ranked = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]);
    return ranked.map(([name, p]) => make("div", "each", make("span", "", name), meter(p, model, null), probability(p)));
  }
  const p = score(answer, model);
  const ends = make("div", "ends soft", make("span", "", other(model)), make("span", "", model.positive));
  const words = `Probability of ${model.positive} ${probability(p)}; the threshold is ${threshold.toFixed(2)}.`;
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

const unlike = ({ label }) => `At the model's own threshold the label is ${label}; the heat map is for that label.`;

function unusual({ gate, reason }) {
  const rare = `Of the training films, ${percent(gate.score)} are as unusual. The model's label and figures don't hold for such a film.`;
  return card("gate", "Unusual film: for a reader", sentence(reason), rare);
}

const card = (kind, title, ...lines) => make("div", `card ${kind}`, make("b", "", title), ...lines.map((line) => make("p", "", line)));
/** A reason as a sentence. */
export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

/** Write sensitivity, specificity and predictive values at a threshold and a prevalence. */
export function showFigures(model, threshold, prevalence) {
  const measured = operating(model, threshold);
  const nothing = "This model file holds no figures of its validation, so how often it is right is not known here. Models trained with this version keep them.";
  $("worth").hidden = !measured;
  $("figuresNote").textContent = measured ? origin(model, measured, threshold) : nothing;
  if (!measured) return;
  const { ppv, npv } = predictive(measured, prevalence);
  $("figures").replaceChildren(
    ...figure("Sensitivity", `of ${model.positive} films, found`, measured.sensitivity),
    ...figure("Specificity", "of the others, spared", measured.specificity),
    ...figure("PPV", `of those called ${model.positive}, truly so`, ppv),
    ...figure("NPV", `of those called ${other(model)}, truly so`, npv),
  );
}

function figure(name, meaning, found) {
  const value = make("b", "", percent(found.value));
  const box = make("div", "", make("dt", "", name), make("dd", "", value, make("span", "ends", interval(found)), make("span", "soft", meaning)));
  box.dataset.name = name;
  return [box];
}

function origin(model, measured, threshold) {
  const { protocol, part, films } = model.verdict;
  const where = PARTS[part] ?? part;
  const at = measured.at === threshold ? "" : `, at the threshold ${measured.at.toFixed(2)}`;
  const told = `Measured on ${films ? `${films.toLocaleString("en")} ` : ""}${where ?? "held-out films"}${at}, with 95\u00a0% intervals.`;
  const val = part === "val" ? " Choices were made by looking at these films; others usually score lower." : "";
  return `${told} PPV and NPV and their ranges follow from these and your prevalence.${val}${protocol ? ` Protocol: ${protocol}.` : ""}`;
}

/** Fill the box that says what the model's report says. */
export function showAbout(model) {
  const { protocol, part, films, scores = {}, red_lines: red } = model.verdict;
  const body = [];
  if (protocol) body.push(make("p", "stampline", protocol));
  if (red?.length) body.push(make("ul", "red", ...red.map((line) => make("li", "", line))));
  if (Object.keys(scores).length) body.push(tiles(scores), make("p", "soft", `On ${films ? `${films.toLocaleString("en")} ` : ""}${PARTS[part] ?? part ?? "held-out films"}. Below each, its 95\u00a0% interval.`));
  else body.push(make("p", "card gate", "This model file holds no verdict of its report: how good the model is can't be said here."));
  body.push(facts(model));
  if (!red) body.push(make("p", "soft", "What must be read before any score, the red lines, is in the run's report.html."));
  $("aboutBody").replaceChildren(...body);
}

function tiles(scores) {
  const shown = Object.entries(SCORES).filter(([name]) => scores[name]);
  return make("dl", "figures", ...shown.flatMap(([name, title]) => plainly(title, scores[name])));
}

function plainly(title, found) {
  const digits = (value) => (Number.isFinite(value) ? value.toFixed(3) : "–");
  const bounds = Number.isFinite(found.low) ? `${digits(found.low)}–${digits(found.high)}` : "";
  return [make("div", "", make("dt", "", title), make("dd", "", make("b", "", digits(found.value)), make("span", "ends", bounds)))];
}

function facts(model) {
  const { size, channels, resize } = model.preprocess;
  const rows = [
    ["Classes", `${model.classes.join(", ")} (positive: ${model.positive})`],
    ["Threshold", isTwo(model) ? `${model.threshold.toFixed(3)}, at the temperature ${model.temperature.toFixed(3)}` : "none: the most probable class decides"],
    ["For a reader", model.refer ? `probabilities from ${model.refer[0].toFixed(3)} to ${model.refer[1].toFixed(3)}` : "no band was chosen"],
    ["Input gate", model.gate ?? "none: the model does not notice pictures that are no such films"],
    ["Input", `${size} × ${size} pixels, ${count(channels, "channel")}${resize ? `, ${resize}` : ""}`],
    ["SHA-256", model.hash],
  ];
  return make("dl", "facts", ...rows.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)]));
}
