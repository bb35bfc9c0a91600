// A film on a canvas: zoom, pan, window and level, inversion, a ruler, and its heat map over it, whole or right of a line.
//
// A film comes as a preview of 8 bits, and in the depth that it was stored with once somebody looks closer.

const SHADES = { low: 0, step: 1, centre: 128, width: 256, inverted: false }; // of a preview: it looks as it is
const FARTHEST = 0.5; // zoom, of the size at which the film fits
const NEAREST = 16;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const surface = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

export class Viewer {
  #values = null; // typed array: a value of the film's a pixel
  #own = SHADES; // what the values stand for, and the window under which the film looks as it came
  #film = null; // canvas: the values through the window
  #heat = null; // ImageBitmap
  #frame = 0;
  #stale = true; // whether #film is older than the window

  /** `changed()` is called after each drawing. */
  constructor(canvas, changed) {
    Object.assign(this, { canvas, changed, opacity: 0.8, heatShown: true, divider: null, columns: 0, rows: 0 });
    this.reset();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  get empty() {
    return this.#film === null;
  }

  get hasHeat() {
    return this.#heat !== null;
  }

  get isDeep() {
    return this.#own !== SHADES;
  }

  /** Whether more is asked of the film than its preview holds: a window, a length, or more pixels. */
  get isShort() {
    if (this.empty || this.isDeep) return false;
    const moved = this.centre !== SHADES.centre || this.width !== SHADES.width || this.ruler;
    return Boolean(moved) || (this.#film.width < this.columns && this.#scale() * devicePixelRatio * this.columns > this.#film.width);
  }

  /** Pixels of the screen a pixel of the film. */
  get magnification() {
    return this.empty ? 0 : this.#scale() * devicePixelRatio;
  }

  /** Show a film's preview ({picture, rows, columns}) fitted and as it is; null shows nothing. */
  show(film) {
    this.#heat = null;
    this.#film = film && surface(film.picture.width, film.picture.height);
    Object.assign(this, { rows: film?.rows ?? 0, columns: film?.columns ?? 0 });
    this.#own = SHADES;
    if (film) {
      const context = this.#film.getContext("2d", { willReadFrequently: true });
      context.drawImage(film.picture, 0, 0);
      const { data } = context.getImageData(0, 0, this.#film.width, this.#film.height);
      this.#values = Uint8Array.from({ length: data.length / 4 }, (_, i) => data[4 * i]);
    }
    this.reset();
  }

  /** Put the film in all its depth in the preview's place; window, zoom and ruler stay where they are. */
  deepen({ values, about }) {
    const brighter = about.inverted ? -1 : 1; // larger values of an inverted film are darker, its preview's are not
    this.centre = about.centre + (brighter * (this.centre - SHADES.centre) * about.width) / SHADES.width;
    this.width = (this.width * about.width) / SHADES.width;
    this.#values = values;
    this.#own = about;
    this.#film = surface(about.columns, about.rows);
    this.#stale = true;
    this.draw();
  }

  /** Lay a heat map (ImageBitmap, or null) over the film. */
  lay(heat) {
    this.#heat = heat;
    this.draw();
  }

  /** As the film came: its own shades, fitted. */
  reset() {
    Object.assign(this, { centre: this.#own.centre, width: this.#own.width, inverted: false, ruler: null });
    this.#stale = true;
    this.fit();
  }

  fit() {
    Object.assign(this, { zoom: 1, x: 0.5, y: 0.5 }); // x, y: the film's point in the canvas's middle, 0..1
    this.draw();
  }

  /** One pixel of the film on one of the screen. */
  actual() {
    if (!this.empty) this.zoomBy(1 / this.magnification);
  }

  invert() {
    this.inverted = !this.inverted;
    this.#stale = true;
    this.draw();
  }

  /** Move the window's centre and width by shares of the film's own width; a higher centre is darker. */
  adjust(centre, width) {
    const own = this.#own;
    const darker = own.inverted ? -1 : 1;
    const reach = [own.centre - own.width, own.centre + own.width];
    this.centre = clamp(this.centre + darker * centre * own.width, ...reach);
    this.width = clamp(this.width + width * own.width, own.width / 128, 4 * own.width);
    this.#stale = true;
    this.draw();
  }

  /** Enlarge `factor` times around a point (CSS pixels from the canvas's middle), which stays where it is. */
  zoomBy(factor, x = 0, y = 0) {
    if (this.empty) return;
    const before = this.#scale();
    const actual = this.zoom / this.magnification; // is always within reach
    this.zoom = clamp(this.zoom * factor, Math.min(FARTHEST, actual), Math.max(NEAREST, actual));
    const moved = 1 / before - 1 / this.#scale();
    this.#centre(this.x + (x * moved) / this.columns, this.y + (y * moved) / this.rows);
  }

  /** Move the film by CSS pixels. */
  pan(dx, dy) {
    if (this.empty) return;
    const scale = this.#scale();
    this.#centre(this.x - dx / scale / this.columns, this.y - dy / scale / this.rows);
  }

  /** Begin a ruler at a point (CSS pixels from the canvas's middle), or draw its other end there. */
  measure(begin, x, y) {
    if (this.empty) return;
    const scale = this.#scale();
    const point = { x: this.x + x / scale / this.columns, y: this.y + y / scale / this.rows };
    this.ruler = { from: begin ? point : (this.ruler?.from ?? point), to: point };
    this.draw();
  }

  /** How long the ruler is, in words. */
  get length() {
    const { from, to } = this.ruler;
    const [down, across] = [(to.y - from.y) * this.rows, (to.x - from.x) * this.columns];
    const pixels = `${Math.round(Math.hypot(down, across))} px`;
    const { spacing, plane } = this.#own;
    if (!spacing) return pixels;
    const mm = Math.hypot(down * spacing[0], across * spacing[1]);
    return `${mm.toFixed(1)} mm${plane === "detector" ? " at the detector" : ""}`;
  }

  /** Draw when the browser next paints. */
  draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
      this.changed();
    });
  }

  /** Return a canvas of the film in its own size, through the window, with the heat map when it is shown. */
  picture() {
    const { width, height } = this.#film;
    this.#develop();
    const picture = surface(width, height);
    const context = picture.getContext("2d");
    context.drawImage(this.#film, 0, 0);
    if (this.#heat && this.heatShown) {
      context.globalAlpha = this.opacity;
      context.drawImage(this.#heat, 0, 0, width, height);
    }
    return picture;
  }

  #centre(x, y) {
    Object.assign(this, { x: clamp(x, 0, 1), y: clamp(y, 0, 1) });
    this.draw();
  }

  /** CSS pixels a pixel of the film. */
  #scale() {
    const { clientWidth, clientHeight } = this.canvas;
    return this.zoom * Math.min(clientWidth / this.columns, clientHeight / this.rows);
  }

  /** Bring #film up to date with the window (linear, as DICOM PS3.3 C.11.2.1.2). */
  #develop() {
    if (!this.#stale) return;
    this.#stale = false;
    const { low, step, inverted } = this.#own;
    const range = Math.max(this.width - 1, 1e-6);
    const black = this.centre - 0.5 - range / 2;
    const turned = inverted !== this.inverted;
    const length = this.#values instanceof Uint8Array ? 256 : 65_536;
    const table = Uint32Array.from({ length }, (_, value) => {
      const shade = clamp(Math.round(((low + step * value - black) / range) * 255), 0, 255);
      const shown = turned ? 255 - shade : shade;
      return 0xff000000 | (shown << 16) | (shown << 8) | shown;
    });
    const { width, height } = this.#film;
    const shades = new ImageData(width, height);
    const pixels = new Uint32Array(shades.data.buffer);
    for (let i = 0; i < pixels.length; i += 1) pixels[i] = table[this.#values[i]];
    this.#film.getContext("2d").putImageData(shades, 0, 0);
  }

  #paint() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    if (this.empty || !width || !height) return;
    this.#develop();
    const context = canvas.getContext("2d");
    const scale = this.#scale();
    const [w, h] = [this.columns * scale, this.rows * scale];
    const place = [width / 2 - this.x * w, height / 2 - this.y * h, w, h];
    context.scale(ratio, ratio);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#film, ...place);
    if (this.#heat && this.heatShown) this.#paintHeat(context, place, width, height);
    if (this.ruler) this.#paintRuler(context, place);
  }

  #paintRuler(context, [left, top, w, h]) {
    const [from, to] = [this.ruler.from, this.ruler.to].map(({ x, y }) => [left + x * w, top + y * h]);
    const turn = Math.atan2(to[1] - from[1], to[0] - from[0]);
    const tick = [6 * Math.sin(turn), -6 * Math.cos(turn)];
    const lines = [[from, to], ...[from, to].map(([x, y]) => [[x - tick[0], y - tick[1]], [x + tick[0], y + tick[1]]])];
    for (const [colour, width] of [["#000c", 4], ["#ffd166", 2]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: width });
      context.beginPath();
      for (const [start, end] of lines) {
        context.moveTo(...start);
        context.lineTo(...end);
      }
      context.stroke();
    }
    Object.assign(context, { font: "600 14px system-ui, sans-serif", fillStyle: "#ffd166", strokeStyle: "#000c", lineWidth: 4 });
    const words = this.length;
    const room = context.measureText(words).width;
    const place = [clamp(to[0] + 10, 4, Math.max(4, this.canvas.clientWidth - room - 4)), Math.max(16, to[1] - 10)];
    context.strokeText(words, ...place);
    context.fillText(words, ...place);
  }

  #paintHeat(context, place, width, height) {
    const from = this.divider === null ? 0 : this.divider * width;
    context.save();
    context.beginPath();
    context.rect(from, 0, width - from, height);
    context.clip();
    context.globalAlpha = this.opacity;
    context.drawImage(this.#heat, ...place);
    context.restore();
  }
}
