// Elements by id, and elements made of text. Text is only ever set as text.

export const $ = (id) => document.getElementById(id);

export function make(tag, kind, ...inside) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.append(...inside.filter((part) => part !== null));
  return element;
}

export const count = (n, thing) => `${n.toLocaleString("en")} ${thing}${n === 1 ? "" : "s"}`;
