// The films, any number of them: only the rows that can be seen are in the page.

const ROW = 64; // pixels, as .row in style.css
const BEYOND = 4; // rows above and below what is seen

export class FilmList {
  #rows = new Map(); // film -> its row, for those in the page
  films = [];
  chosen = null;

  /** `fill(row, film)` writes a film into its row; `choose(film)` is called when one is clicked. */
  constructor(box, fill, choose) {
    this.box = box;
    this.fill = fill;
    this.space = box.firstElementChild;
    box.addEventListener("scroll", () => this.draw());
    box.addEventListener("click", ({ target }) => {
      const row = target.closest(".row");
      if (row) choose(this.films.find((film) => film.id === Number(row.dataset.id)));
    });
    new ResizeObserver(() => this.draw()).observe(box);
  }

  /** Films whose rows are in the page. */
  get seen() {
    return [...this.#rows.keys()];
  }

  show(films) {
    this.films = films;
    this.space.style.height = `${films.length * ROW}px`;
    this.draw();
  }

  /** Mark a film, and bring its row into view. */
  choose(film) {
    this.chosen = film;
    const top = this.films.indexOf(film) * ROW;
    if (top >= 0 && top < this.box.scrollTop) this.box.scrollTop = top;
    if (top + ROW > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + ROW - this.box.clientHeight;
    this.draw();
  }

  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - BEYOND);
    const last = Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + BEYOND;
    const seen = new Set(this.films.slice(first, last));
    for (const [film, row] of this.#rows) {
      if (seen.has(film)) continue;
      row.remove();
      this.#rows.delete(film);
    }
    let place = first;
    for (const film of seen) this.#place(film, place++);
    this.box.setAttribute("aria-activedescendant", seen.has(this.chosen) ? `film-${this.chosen.id}` : "");
  }

  #place(film, place) {
    if (!this.#rows.has(film)) this.#rows.set(film, this.space.appendChild(blank(film)));
    const row = this.#rows.get(film);
    row.style.transform = `translateY(${place * ROW}px)`;
    row.setAttribute("aria-posinset", place + 1);
    row.setAttribute("aria-setsize", this.films.length);
    row.setAttribute("aria-selected", film === this.chosen);
    this.fill(row, film);
  }
}

function blank(film) {
  const row = document.getElementById("row").content.firstElementChild.cloneNode(true);
  row.id = `film-${film.id}`;
  row.dataset.id = film.id;
  return row;
}
