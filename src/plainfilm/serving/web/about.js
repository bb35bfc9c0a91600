// What the model's report says in short, and how the model decides.

import { edge, isTwo } from "./figures.js";
import { $, count, make, scored, tile } from "./page.js";

const SCORES = {
  accuracy: "Accuracy",
  balanced_accuracy: "Balanced accuracy",
  sensitivity: "Sensitivity",
  specificity: "Specificity",
  auroc: "AUROC",
};
const NO_VERDICT = "This model file holds no verdict of its report: how good the model is can't be said here.";
const ELSEWHERE = "What must be read before any score, the red lines, is in the run's report.html.";

const FROZEN = "as they were when this file was made; the run's report.html has those of now.";

const three = (value) => (Number.isFinite(value) ? value.toFixed(3) : "–");

export function showAbout(model) {
  const { protocol, scores = {}, red_lines: red } = model.verdict;
  const known = Object.keys(scores).length > 0;
  $("aboutBody").replaceChildren(
    ...(protocol ? [make("p", "stampline", protocol)] : []),
    ...(red?.length ? [make("ul", "red", ...red.map((line) => make("li", "", line)))] : []),
    ...(red ? [make("p", "soft", `Red lines ${model.verdict.red_lines_of ?? FROZEN}`)] : []),
    ...(known ? headline(model.verdict) : [make("p", "card gate", NO_VERDICT)]),
    facts(model),
    ...(red ? [] : [make("p", "soft", ELSEWHERE)]),
  );
}

function headline(verdict) {
  const shown = Object.entries(SCORES).filter(([name]) => verdict.scores[name]);
  const tiles = shown.map(([name, title]) => {
    const { value, low, high } = verdict.scores[name];
    return tile(title, three(value), Number.isFinite(low) ? `${three(low)}–${three(high)}` : "");
  });
  return [make("dl", "figures", ...tiles), make("p", "soft", `On ${scored(verdict)}, with 95\u00a0% intervals.`)];
}

function asASet(watch) {
  if (!watch) return "not watched: the model holds no sample of its training films";
  return `${watch.warning ?? "like the training films"} (${count(watch.films, "film")} seen at the start of this page; ${watch.false_alarms})`;
}

function facts(model) {
  const { size, channels, resize } = model.preprocess;
  const cut = `${edge(model.threshold)}, at the temperature ${three(model.temperature)}`;
  const rows = [
    ["Classes", `${model.classes.join(", ")} (positive: ${model.positive})`],
    ["Threshold", isTwo(model) ? cut : "none: the most probable class decides"],
    ["For a reader", model.refer ? `probabilities from ${model.refer.map(edge).join(" to ")}` : "no band was chosen"],
    ["Input gate", model.gate ?? "none: the model does not notice pictures that are no such films"],
    ["Films as a set", asASet(model.watch)],
    ["Input", `${size} × ${size} pixels, ${count(channels, "channel")}, ${resize}`],
    ["SHA-256", model.hash],
  ];
  return make("dl", "facts", ...rows.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)]));
}
