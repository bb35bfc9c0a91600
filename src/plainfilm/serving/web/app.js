// The page: what is known of model and films, and what is shown of it. Its parts are in the files beside this one.

import { showAbout } from "./about.js";
import { askToken, listenToDivider, listenToDrops, listenToKeysAndButtons } from "./controls.js";
import { byName, calls, csv, edge, edges, isTwo, labelAt, probability, score } from "./figures.js";
import { captioned, chosen, save } from "./files.js";
import { listen } from "./gestures.js";
import { FilmList } from "./list.js";
import { $, count, make } from "./page.js";
import { sentence, showDecision, showFigures, tone } from "./panel.js";
import { Pictures } from "./pictures.js";
import { Queue } from "./queue.js";
import { Server } from "./server.js";
import { Tuning } from "./tuning.js";
import { Viewer } from "./viewer.js";

const THEME = "plainfilm-theme";

let model = null;
let films = []; // {id, path, file, state, answer, error, again, thumb}
let current = null;
let [nextId, tool, wait, frame, drawing] = [0, "window", 0, 0, false];

const server = new Server(askToken, (seconds) => {
  wait = seconds;
  update();
});
const queue = new Queue(server, answered);
const pictures = new Pictures(server);
const tuning = new Tuning(update);
const viewer = new Viewer($("canvas"), showView);
const list = new FilmList($("list"), fillRow, (film) => {
  choose(film);
  $("stage").scrollIntoView(); // on a phone it is above the list
});

// --- films come in ---------------------------------------------------------------------------------------------------

async function add(found) {
  await ready;
  if (!model) return;
  const added = (await found)
    .sort((a, b) => byName(a.path, b.path))
    .map(({ path, file }) => ({ id: nextId++, path, file, state: "waiting", answer: null, error: null, thumb: null }));
  films.push(...added);
  queue.add(added);
  if (!current && added.length) choose(added[0]);
  update();
}

function answered(some) {
  update();
  if (queue.warning) alarm(queue.warning);
  if (some.includes(current)) showHeat();
}

function again() {
  const failed = films.filter((film) => film.again);
  for (const film of failed) {
    film.again = false;
    pictures.forget(film);
  }
  queue.add(failed);
  update();
}

function clear() {
  queue.clear();
  films.forEach((film) => pictures.forget(film));
  films = [];
  choose(null);
}

// --- the list --------------------------------------------------------------------------------------------------------

const label = (film) => (film.answer ? labelAt(film.answer, model, tuning.threshold) : null);
const shownProbability = (film) => {
  const p = film.answer.probabilities[label(film)]; // of several findings, or none, there is not one
  return p === undefined ? "" : probability(p, edges(model, label(film), tuning.threshold));
};
const decided = (film) => `${label(film)} ${shownProbability(film)}`;
const forReader = (film) => film.answer?.refer ?? false;
const isFailed = (film) => film.state === "failed";
const howProbable = (film) => (film.answer ? score(film.answer, model) : -1);

const ORDERS = {
  added: () => 0,
  name: (a, b) => byName(a.path, b.path),
  score: (a, b) => howProbable(b) - howProbable(a),
};

function filters() {
  const is = (name) => (film) => (model.thresholds ? calls(film.answer, model, name) : label(film) === name);
  const byLabel = (model?.classes ?? []).map((name) => [name, is(name)]);
  return [["All films", () => true], ...byLabel, ["For a reader", forReader], ["Not labelled", isFailed]];
}

function showList() {
  const picked = Math.max(0, $("filter").selectedIndex);
  const kept = filters().map(([name, wanted]) => [name, films.filter(wanted)]);
  kept.forEach(([name, some], i) => {
    ($("filter").options[i] ??= new Option()).textContent = `${name} (${some.length.toLocaleString("en")})`;
  });
  $("filter").selectedIndex = picked;
  list.show(kept[picked][1].sort(ORDERS[$("order").value]));
}

function fillRow(row, film) {
  const [thumb, title, flag, facts] = row.children;
  const [name, p] = facts.children;
  row.title = film.path;
  row.dataset.state = film.state;
  title.textContent = film.path.split("/").pop();
  flag.textContent = forReader(film) ? (film.answer.gate?.reason ? "unusual" : "reader") : "";
  name.textContent = label(film) ?? { waiting: "waiting", sent: "labelling…", failed: "not labelled" }[film.state];
  name.className = `label ${film.answer ? tone(film.answer, label(film), model) : film.state}`;
  p.textContent = film.answer ? shownProbability(film) : (film.error ?? "");
  if (film.thumb && thumb.firstChild !== film.thumb) thumb.replaceChildren(film.thumb);
}

/** Thumbnails are drawn for labelled films that can be seen, one after the other. */
async function drawThumbs() {
  if (drawing) return;
  drawing = true;
  const wants = (film) => film.answer && !film.thumb && !film.noThumb;
  for (let film; (film = list.seen.find(wants)); list.draw()) {
    await pictures.preview(film).catch(() => (film.noThumb = true));
  }
  drawing = false;
}

// --- one film --------------------------------------------------------------------------------------------------------

function choose(film) {
  current = film;
  list.choose(film);
  viewer.show(null);
  $("mapNote").textContent = "";
  note("");
  update();
  if (film) showFilm(film);
}

function step(by) {
  const place = list.films.indexOf(current);
  const next = Math.min(list.films.length - 1, Math.max(0, place < 0 ? 0 : place + by));
  if (list.films.length) choose(list.films[next]);
}

/** Show a film and its heat map as they come; what comes for a film left behind is not shown. */
async function showFilm(film) {
  if (isFailed(film)) return note(sentence(film.error));
  try {
    const found = await pictures.preview(film);
    if (film !== current || !viewer.empty) return;
    viewer.show(found);
    showHeat();
  } catch (refused) {
    if (film === current) note(refused.message);
  }
}

/** Show all of a film's depth once more is asked of it than its preview holds. */
async function showDepth() {
  const film = current;
  if (!film || film.shallow || !viewer.isShort) return;
  try {
    const found = await pictures.pixels(film);
    if (film === current && !viewer.isDeep) viewer.deepen(found);
  } catch (refused) {
    film.shallow = true; // its preview stays
    pictures.forget(film);
    $("mapNote").textContent = `Only a preview of 8 bits is shown. ${refused.message}`;
  }
}

/** What the heat map of a film is for: the finding chosen, else the one farthest above its threshold, or the label. */
function mapped(film) {
  if (!film?.answer) return "";
  if (!model.thresholds) return film.answer.label;
  const odds = (p) => Math.log(Math.max(p, 1e-12) / Math.max(1 - p, 1e-12));
  const beyond = ([name, p]) => odds(p) - odds(model.thresholds[name]);
  return film.of ?? Object.entries(film.answer.probabilities).sort((a, b) => beyond(b) - beyond(a))[0][0];
}

function mapFinding(name) {
  if (!current?.answer || name === mapped(current)) return;
  current.of = name;
  viewer.lay(null);
  viewer.heatShown = true;
  update();
  showHeat();
}

async function showHeat() {
  const film = current;
  if (!film?.answer || viewer.empty || viewer.hasHeat || !viewer.heatShown) return;
  const say = (text) => film === current && ($("mapNote").textContent = text);
  say("Drawing the heat map…");
  try {
    const of = mapped(film);
    const heat = await pictures.heat(film, model.thresholds ? of : "");
    if (film !== current || mapped(film) !== of) return;
    viewer.lay(heat);
    say(`Heat map: what speaks for ${of} to the model, not the disease`);
  } catch (refused) {
    say(refused.message);
  }
}

function alarm(text) {
  $("alarm").textContent = text;
  $("alarm").hidden = false;
}

function note(text) {
  $("viewNote").textContent = text;
  $("viewNote").hidden = !text;
}

function showHeader() {
  $("headerBox").showModal();
  fillHeader(false);
}

/** Write what the chosen film's header says; whose film it is only when asked. */
async function fillHeader(identity) {
  const film = current;
  const write = (...lines) => film === current && $("headerBody").replaceChildren(...lines);
  $("whose").hidden = true;
  write(make("p", "soft", "Reading the header…"));
  try {
    const found = await server.header(film.file, identity);
    const rows = found.flatMap(({ tag, name, value }) => {
      const term = make("dt", "", name);
      term.title = `(${tag.slice(0, 4)},${tag.slice(4)})`;
      return [term, make("dd", "", value)];
    });
    write(found.length ? make("dl", "facts", ...rows) : make("p", "", "The header says nothing of the picture."));
    $("whose").hidden = identity;
  } catch (refused) {
    write(make("p", "", refused.message));
  }
}

// --- what is shown ---------------------------------------------------------------------------------------------------

/** Show everything anew, once a frame however often it is asked for. */
function update() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    render();
  });
}

function render() {
  $("main").classList.toggle("none", !films.length);
  $("empty").hidden = films.length > 0;
  showList();
  showStatus();
  const place = list.films.indexOf(current) + 1;
  $("place").textContent = films.length ? `${place || "–"} of ${list.films.length}` : "No film";
  $("name").textContent = current?.path ?? "";
  $("csv").disabled = !model || !films.some((film) => film.answer || film.error);
  $("clear").disabled = !films.length;
  $("again").hidden = !films.some((film) => film.again);
  if (model) showDecision(current, model, tuning.threshold, mapped(current));
  if (model && isTwo(model)) showFigures(model, tuning.threshold, tuning.prevalence);
  showView();
  drawThumbs();
}

function showStatus() {
  const [labelled, failed, readers] = [(film) => film.answer, isFailed, forReader].map((is) => films.filter(is).length);
  const done = labelled + failed;
  $("progress").hidden = done === films.length;
  $("progress").value = films.length ? done / films.length : 0;
  const busy = wait ? `; the server is busy, next try in ${Math.ceil(wait)} s` : "";
  const going = `${done} of ${count(films.length, "film")}${busy}`;
  const rest = `${failed ? `, ${failed} not` : ""}${readers ? `; ${readers} for a reader` : ""}`;
  const ended = `${count(labelled, "film")} labelled${rest}`;
  const shown = films.length ? (done < films.length ? going : ended) : "";
  if ($("status").textContent !== shown) $("status").textContent = shown;
}

function showView() {
  const shows = !viewer.empty;
  const fits = viewer.zoom === 1 ? " (fits)" : "";
  const size = `${viewer.columns} × ${viewer.rows}   ${Math.round(100 * viewer.magnification)} %${fits}`;
  $("corner").textContent = shows ? `${size}   C ${Math.round(viewer.centre)}   W ${Math.round(viewer.width)}` : "";
  $("length").textContent = viewer.ruler && (viewer.isDeep || current.shallow) ? viewer.length : "";
  showDepth();
  press("invert", viewer.inverted);
  press("heat", viewer.heatShown);
  $("mapNote").hidden = !viewer.heatShown;
  press("compare", viewer.divider !== null);
  $("png").disabled = !shows || !current?.answer;
  $("header").disabled = !current;
  $("divider").hidden = viewer.divider === null || !viewer.hasHeat || !viewer.heatShown;
  $("divider").style.left = `${100 * (viewer.divider ?? 0.5)}%`;
  $("divider").setAttribute("aria-valuenow", Math.round(100 * (viewer.divider ?? 0.5)));
  const spoken = current ? `${current.path}${current.answer ? `, ${decided(current)}` : ""}` : "No film";
  if ($("spoken").textContent === spoken) return;
  $("spoken").textContent = spoken;
  $("canvas").setAttribute("aria-label", spoken);
}

const press = (id, on) => $(id).setAttribute("aria-pressed", on);

// --- what the user takes away ----------------------------------------------------------------------------------------

const isDicom = async (film) => (await film.file.slice(128, 132).text()) === "DICM";

/** Save the table of all films; where some are DICOM, ask first whether it should say whose they are. */
async function askForTable() {
  const done = films.filter((film) => film.answer || film.error);
  for (const film of done) film.dicom ??= await isDicom(film);
  if (done.some((film) => film.dicom)) $("csvBox").showModal();
  else saveTable(false);
}

async function saveTable(identified) {
  const done = films.filter((film) => film.answer || film.error);
  for (const film of identified ? done : []) {
    if (film.dicom) film.identity ??= await server.header(film.file, true).catch(() => []);
  }
  save("plainfilm-labels.csv", new Blob([csv(done, model, tuning.threshold, identified)], { type: "text/csv" }));
}

async function savePicture() {
  const { answer, path } = current;
  const cut = isTwo(model) ? `, threshold ${edge(tuning.threshold)}` : "";
  const drawn = viewer.heatShown && viewer.hasHeat ? `heat map: evidence for ${mapped(current)}` : "no heat map";
  const reader = answer.refer ? [`For a reader: ${answer.reason}`] : [];
  const by = `${model.name} ${model.hash.slice(0, 12)}; ${drawn}`;
  const lines = [`${decided(current)}${cut}`, ...reader, path, by, model.disclaimer];
  const name = path.split("/").pop().replace(/\.[^.]*$/, "");
  save(`${name}-${label(current)}.png`, await captioned(viewer.picture(), lines));
}

// --- what the user does ----------------------------------------------------------------------------------------------

const ACTIONS = {
  add: () => $("files").click(),
  addFolder: () => $("folder").click(),
  choose: () => $("files").click(),
  chooseFolder: () => $("folder").click(),
  clear: () => $("clearBox").showModal(),
  again,
  csv: askForTable,
  png: savePicture,
  about: () => $("aboutBox").showModal(),
  helped: () => $("helpBox").showModal(),
  theme: () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"),
  window: () => setTool("window"),
  pan: () => setTool("pan"),
  in: () => viewer.zoomBy(1.25),
  out: () => viewer.zoomBy(0.8),
  fit: () => viewer.fit(),
  actual: () => viewer.actual(),
  ruler: () => setTool("ruler"),
  header: showHeader,
  whose: () => fillHeader(true),
  invert: () => viewer.invert(),
  reset: () => viewer.reset(),
  heat: toggleHeat,
  compare: toggleDivider,
  previous: () => step(-1),
  next: () => step(1),
  thresholdReset: () => tuning.setThreshold(model.threshold),
};

function toggleHeat() {
  viewer.heatShown = !viewer.heatShown;
  viewer.draw();
  showHeat();
}

function toggleDivider() {
  viewer.divider = viewer.divider === null ? 0.5 : null;
  viewer.draw();
}

function setTool(name) {
  tool = name;
  press("window", name === "window");
  press("pan", name === "pan");
  press("ruler", name === "ruler");
  $("canvas").dataset.tool = name;
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  localStorage.setItem(THEME, name);
}

/** Call `act` with each of these fields whenever the user changes it. */
function onInput(ids, kind, act) {
  for (const id of ids) $(id).addEventListener(kind, ({ target }) => act(target));
}

function listenToUser() {
  listenToKeysAndButtons(ACTIONS, step);
  listenToDivider(viewer);
  askBeforeLeaving();
  const unread = "The browser can't read what was dropped; choose it with a button instead.";
  listenToDrops((found) => add(found).catch(() => alarm(unread)));
  listen(viewer, () => tool);
  onInput(["files", "folder"], "change", (field) => {
    add(chosen(field.files));
    field.value = "";
  });
  $("decision").addEventListener("click", ({ target }) => {
    const name = target.closest("[data-finding]")?.dataset.finding;
    if (name) mapFinding(name);
  });
  onInput(["filter", "order"], "change", update);
  onInput(["opacity"], "input", (field) => {
    viewer.opacity = field.value / 100;
    viewer.draw();
  });
  onInput(["list"], "scroll", drawThumbs);
  onInput(["clearBox"], "close", (box) => box.returnValue === "yes" && clear());
  onInput(["csvBox"], "close", (box) => box.returnValue && saveTable(box.returnValue === "with"));
}

/** A page that is left or loaded anew forgets its films: ask before. */
function askBeforeLeaving() {
  addEventListener("beforeunload", (event) => films.length && event.preventDefault());
}

function introduce() {
  $("model").textContent = model.name;
  $("hash").textContent = model.hash.slice(0, 8);
  $("stamp").textContent = model.verdict.protocol ?? "";
  $("about").disabled = false;
  $("tuning").hidden = !isTwo(model);
  $("manyNote").hidden = isTwo(model);
  if (model.thresholds) {
    $("manyNote").textContent = "Each finding has a threshold of its own. Choose a finding to see its heat map.";
  }
  showAbout(model);
  if (isTwo(model)) tuning.begin(model);
}

async function begin() {
  try {
    model = await server.model();
    introduce();
  } catch (refused) {
    alarm(`${refused.message} Load this page again when it is.`);
  }
  update();
}

document.documentElement.dataset.theme = localStorage.getItem(THEME) ?? "dark";
setTool("window");
listenToUser();
const ready = begin();
