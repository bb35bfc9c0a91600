// Elements by id, and elements made of text. Text is only ever set as text.

const PARTS = { val: "validation films", test: "test films" };

export const $ = (id) => document.getElementById(id);

export function make(tag, kind, ...inside) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.append(...inside);
  return element;
}

export const count = (n, thing) => `${n.toLocaleString("en")} ${thing}${n === 1 ? "" : "s"}`;

/** The films that a model's verdict rests on, in words. */
export function scored({ films, part }) {
  const which = PARTS[part] ?? part ?? "held-out films";
  return films ? `${films.toLocaleString("en")} ${which}` : which;
}

/** One figure: name, value, interval, and what it means. */
export function tile(name, value, bounds, meaning = "") {
  const said = make("dd", "", make("b", "", value), make("span", "bounds", bounds), make("span", "soft", meaning));
  const box = make("div", "", make("dt", "", name), said);
  box.dataset.name = name;
  return box;
}
