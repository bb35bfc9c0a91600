// What the answers mean: decisions at any threshold, what it means at a prevalence, and the table. No page in here.

/** Whether each film is one of two classes; a model of findings says of each whether it is there. */
export const isTwo = (model) => !model.thresholds && model.classes.length === 2;
export const other = (model) => model.classes.find((name) => name !== model.positive);

/** What the threshold applies to: the positive class's probability, with more than two classes the largest. */
export const score = (answer, model) =>
  isTwo(model) ? answer.probabilities[model.positive] : Math.max(...Object.values(answer.probabilities));

/** Whether a model of findings calls one of a film. */
export const calls = (answer, model, name) => answer?.probabilities[name] >= model.thresholds[name];

export function labelAt(answer, model, threshold) {
  if (!isTwo(model)) return answer.label;
  return score(answer, model) >= threshold ? model.positive : other(model);
}

/** Sensitivity and specificity at a threshold, as measured: {at, sensitivity, specificity}, or null when unknown. */
export function operating(model, threshold) {
  const { scores = {}, curve = [] } = model.verdict;
  if (threshold === model.threshold && scores.sensitivity && scores.specificity) {
    return { at: threshold, sensitivity: scores.sensitivity, specificity: scores.specificity };
  }
  if (!curve.length) return null;
  const off = (row) => Math.abs(row.threshold - threshold);
  const row = curve.reduce((best, next) => (off(next) < off(best) ? next : best));
  return { at: row.threshold, sensitivity: row.sensitivity, specificity: row.specificity };
}

const share = (hit, miss) => (hit + miss > 0 ? hit / (hit + miss) : null);
const ppv = (found, spared, prevalence) => share(found * prevalence, (1 - spared) * (1 - prevalence));
const npv = (found, spared, prevalence) => share(spared * (1 - prevalence), (1 - found) * prevalence);

/**
 * Predictive values at a prevalence, by Bayes' theorem. Both rise with sensitivity and with specificity, so that the
 * lower ends of those two intervals give their lowest value and the upper ends their highest.
 */
export function predictive({ sensitivity, specificity }, prevalence) {
  const known = [sensitivity, specificity].every((found) => Number.isFinite(found.value));
  const at = (of, end) => {
    const pair = [sensitivity[end], specificity[end]];
    return known && pair.every(Number.isFinite) ? of(...pair, prevalence) : null;
  };
  const all = (of) => ({ value: at(of, "value"), low: at(of, "low"), high: at(of, "high") });
  return { ppv: all(ppv), npv: all(npv) };
}

export const percent = (value) => (Number.isFinite(value) ? `${(100 * value).toFixed(1)} %` : "–");

export const interval = ({ low, high }) =>
  Number.isFinite(low) && Number.isFinite(high) ? `${(100 * low).toFixed(1)}–${(100 * high).toFixed(1)}` : "";

// -- probabilities as text, as evaluation/digits.py has them

const [FEWEST, MOST] = [3, 12]; // digits behind the point
const digits = [...Array(MOST - FEWEST).keys()].map((more) => FEWEST + more);
const certain = (value) => value === 0 || value === 1;

/** A threshold, or the end of a band, with three digits that count. */
export function edge(value) {
  if (certain(value)) return String(value);
  return value.toFixed(digits.find((d) => Math.min(value, 1 - value) * 10 ** d >= 100) ?? MOST);
}

/** A film's probability, with digits enough to differ from every edge that it is not; never a certainty. */
export function probability(p, edges = []) {
  const between = edges.filter((value) => value > 0 && value < 1 && value !== p);
  return rounded(p, digits.find((d) => isTold(p, between, d)) ?? MOST);
}

/** A film's probability and an edge as they stand in one sentence: of as many digits, each told from the other; of the
 * fewest, where the probability is "> 0.999" or "< 0.001". */
export function beside(p, value) {
  const told = probability(p, [value]);
  if ("<>".includes(told[0])) return [told, edge(value)];
  const kept = [...new Set([p, value].filter((some) => !certain(some)))];
  const apart = (d) => new Set([0, 1, ...kept].map((some) => some.toFixed(d))).size === kept.length + 2;
  const d = digits.find(apart) ?? MOST;
  return [rounded(p, d), certain(value) ? String(value) : value.toFixed(d)];
}

function isTold(p, edges, d) {
  const text = p.toFixed(d);
  if (Number(text) === 1) return edges.every((value) => value <= 1 - 10 ** -d);
  if (Number(text) === 0) return edges.every((value) => value >= 10 ** -d);
  return edges.every((value) => value.toFixed(d) !== text);
}

function rounded(p, d) {
  const text = p.toFixed(d);
  if (Number(text) === 1) return `> 0.${"9".repeat(d)}`;
  return Number(text) === 0 ? `< ${(10 ** -d).toFixed(d)}` : text;
}

/** Where the probability of a class is compared: threshold and ends of the band. */
export function edges(model, name, threshold) {
  if (model.thresholds) return [model.thresholds[name]];
  const band = model.refer ?? [];
  if (!isTwo(model)) return band;
  const own = [threshold, ...band];
  return name === model.positive ? own : own.map((value) => 1 - value);
}

/** Order of names as people count: film2 before film10. */
export const byName = new Intl.Collator("en", { numeric: true }).compare;

// A cell that begins so would be run by a spreadsheet.
const FORMULA = /^[=+\-@\t\r]/;
const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const cell = (value) => (typeof value === "number" ? String(value) : quoted(FORMULA.test(value) ? `'${value}` : value));

const IDENTITY = {
  patient_id: "PatientID",
  accession_number: "AccessionNumber",
  study_instance_uid: "StudyInstanceUID",
  sop_instance_uid: "SOPInstanceUID",
};

/** The table of `plainfilm label`, with the threshold that made the labels and the model's hash beside each row;
 * `identified`: with what leads back to a DICOM film's patient, study and object. */
export function csv(films, model, threshold, identified = false) {
  const whose = Object.entries(identified ? IDENTITY : {});
  const probable = model.classes.map((name) => `p_${name}`);
  const head = ["path", "label", ...probable, "refer", "reason", "threshold", "model", ...whose.map(([name]) => name)];
  const rows = films.map(({ path, answer, error, identity = [] }) => {
    const owner = whose.map(([, keyword]) => identity.find((element) => element.keyword === keyword)?.value ?? "");
    const made = [isTwo(model) ? threshold : "", model.hash, ...owner];
    if (!answer) return [path, "", ...model.classes.map(() => ""), "yes", error, ...made];
    const probabilities = model.classes.map((name) => answer.probabilities[name]);
    const reader = [answer.refer ? "yes" : "no", answer.reason ?? ""];
    return [path, labelAt(answer, model, threshold), ...probabilities, ...reader, ...made];
  });
  return [head, ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
}
