// Films as pictures, asked of the server once each; those of the latest films are kept for going back and forth.

const KEPT = 24; // films
const THUMB = 96; // pixels, twice the side of .thumb in style.css

export class Pictures {
  #kept = new Map(); // film -> {preview, heat: {name}}, promises of pictures; the latest last
  #deep = { film: null, pixels: null }; // of one film: they may be 50 MB

  constructor(server) {
    this.server = server;
  }

  /** Return the film as the model's decoder sees it, and give it a thumbnail. */
  preview(film) {
    return (this.#of(film).preview ??= this.server.preview(film.file).then((found) => {
      film.thumb ??= thumbnail(found.picture);
      return found;
    }));
  }

  /** Return the film in all its depth. */
  pixels(film) {
    if (this.#deep.film !== film) this.#deep = { film, pixels: this.server.pixels(film.file) };
    return this.#deep.pixels;
  }

  /** Return where the evidence for the film's label, or for the finding `of`, is, in the preview's shape. */
  heat(film, of = "") {
    const maps = (this.#of(film).heat ??= {});
    return (maps[of] ??= this.server.heat(film.file, of));
  }

  forget(film) {
    this.#kept.delete(film);
    if (this.#deep.film === film) this.#deep = { film: null, pixels: null };
  }

  #of(film) {
    const own = this.#kept.get(film) ?? {};
    this.#kept.delete(film);
    this.#kept.set(film, own);
    if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value);
    return own;
  }
}

function thumbnail(picture) {
  const side = Math.min(picture.width, picture.height);
  const canvas = Object.assign(document.createElement("canvas"), { width: THUMB, height: THUMB });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, (picture.width - side) / 2, (picture.height - side) / 2, side, side, 0, 0, THUMB, THUMB);
  return canvas;
}
