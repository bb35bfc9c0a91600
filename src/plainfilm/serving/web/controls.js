// Buttons, keys, drops, the comparing line and the question for the token.

import { dropped } from "./files.js";
import { $ } from "./page.js";

const KEYS = {
  "+": "in",
  "=": "in",
  "-": "out",
  0: "reset",
  f: "fit",
  i: "invert",
  h: "heat",
  c: "compare",
  w: "window",
  m: "pan",
  r: "ruler",
  1: "actual",
  d: "header",
  "?": "helped",
};
const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
const DIVIDER_STEP = 0.02; // of the width, a key press

/** Buttons by id and their keys do `actions[id]()`; arrows go `step(by)` films. */
export function listenToKeysAndButtons(actions, step) {
  for (const [id, act] of Object.entries(actions)) $(id).addEventListener("click", () => act());
  document.addEventListener("keydown", (event) => {
    const elsewhere = event.target.matches("input, select, [role=slider]") || document.querySelector("dialog[open]");
    if (elsewhere || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in STEPS) step(STEPS[event.key]);
    else if (event.key in KEYS) $(KEYS[event.key]).click();
    else return;
    event.preventDefault();
  });
}

/** The line between the film alone and the film with its heat map, by pointer and by keys. */
export function listenToDivider(viewer) {
  const divider = $("divider");
  const move = (share) => {
    viewer.divider = Math.min(1, Math.max(0, share));
    viewer.draw();
  };
  divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
  divider.addEventListener("pointermove", (event) => {
    const box = viewer.canvas.getBoundingClientRect();
    if (divider.hasPointerCapture(event.pointerId)) move((event.clientX - box.left) / box.width);
  });
  divider.addEventListener("keydown", ({ key }) => {
    if (key === "ArrowLeft") move(viewer.divider - DIVIDER_STEP);
    if (key === "ArrowRight") move(viewer.divider + DIVIDER_STEP);
  });
}

/** Files and folders may be dropped anywhere: `add` takes a promise of {path, file}. */
export function listenToDrops(add) {
  const target = $("target");
  addEventListener("dragover", (event) => {
    event.preventDefault();
    target.hidden = !event.dataTransfer.types.includes("Files");
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) target.hidden = true;
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    target.hidden = true;
    add(dropped(event.dataTransfer));
  });
}

/** Ask for the token, once more when the last was `wrong`; resolve to what was typed. */
export function askToken(wrong) {
  const box = $("tokenBox");
  box.addEventListener("cancel", (event) => event.preventDefault());
  $("tokenNote").textContent = wrong
    ? "The service does not accept this token; please type it again."
    : "This service asks for a token, given by the person who runs it.";
  $("token").value = "";
  box.showModal();
  return new Promise((resolve) => box.addEventListener("close", () => resolve($("token").value), { once: true }));
}
