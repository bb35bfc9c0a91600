// A film on a canvas: zoom, pan, window and level, inversion, and its heat map over it, whole or right of a line.

const FULL = { centre: 127.5, width: 255 }; // the window that shows the film as it is
const FARTHEST = 0.5; // zoom, of the size at which the film fits
const NEAREST = 16;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const surface = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

export class Viewer {
  #grey = null; // Uint8Array of the film's pixels
  #film = null; // canvas: the same through the window
  #heat = null; // ImageBitmap
  #frame = 0;
  #stale = true; // whether #film is older than the window

  /** `changed()` is called after each drawing. */
  constructor(canvas, changed) {
    Object.assign(this, { canvas, changed, opacity: 0.8, heatShown: true, divider: null });
    this.reset();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  get empty() {
    return this.#film === null;
  }

  get hasHeat() {
    return this.#heat !== null;
  }

  /** Show a film (ImageBitmap) fitted and as it is; null shows nothing. */
  show(picture) {
    this.#heat = null;
    this.#film = picture && surface(picture.width, picture.height);
    if (picture) {
      const context = this.#film.getContext("2d", { willReadFrequently: true });
      context.drawImage(picture, 0, 0);
      const { data } = context.getImageData(0, 0, picture.width, picture.height);
      this.#grey = Uint8Array.from({ length: data.length / 4 }, (_, i) => data[4 * i]);
    }
    this.reset();
  }

  /** Lay a heat map (ImageBitmap, or null) over the film. */
  lay(heat) {
    this.#heat = heat;
    this.draw();
  }

  /** As the film came: its own shades, fitted. */
  reset() {
    Object.assign(this, FULL, { inverted: false });
    this.#stale = true;
    this.fit();
  }

  fit() {
    Object.assign(this, { zoom: 1, x: 0.5, y: 0.5 }); // x, y: the film's point in the canvas's middle, 0..1
    this.draw();
  }

  invert() {
    this.inverted = !this.inverted;
    this.#stale = true;
    this.draw();
  }

  /** Move the window's centre and width by shades of grey. */
  adjust(centre, width) {
    this.centre = clamp(this.centre + centre, -128, 383);
    this.width = clamp(this.width + width, 2, 1020);
    this.#stale = true;
    this.draw();
  }

  /** Enlarge `factor` times around a point (CSS pixels from the canvas's middle), which stays where it is. */
  zoomBy(factor, x = 0, y = 0) {
    if (this.empty) return;
    const before = this.#scale();
    this.zoom = clamp(this.zoom * factor, FARTHEST, NEAREST);
    const moved = 1 / before - 1 / this.#scale();
    this.#centre(this.x + (x * moved) / this.#film.width, this.y + (y * moved) / this.#film.height);
  }

  /** Move the film by CSS pixels. */
  pan(dx, dy) {
    if (this.empty) return;
    const scale = this.#scale();
    this.#centre(this.x - dx / scale / this.#film.width, this.y - dy / scale / this.#film.height);
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
    return this.zoom * Math.min(clientWidth / this.#film.width, clientHeight / this.#film.height);
  }

  /** Bring #film up to date with the window (linear, as DICOM PS3.3 C.11.2.1.2, for eight bits). */
  #develop() {
    if (!this.#stale) return;
    this.#stale = false;
    const low = this.centre - this.width / 2;
    const table = Uint32Array.from({ length: 256 }, (_, grey) => {
      const shade = clamp(Math.round(((grey - low) / this.width) * 255), 0, 255);
      const shown = this.inverted ? 255 - shade : shade;
      return 0xff000000 | (shown << 16) | (shown << 8) | shown;
    });
    const { width, height } = this.#film;
    const shades = new ImageData(width, height);
    const pixels = new Uint32Array(shades.data.buffer);
    for (let i = 0; i < pixels.length; i += 1) pixels[i] = table[this.#grey[i]];
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
    const [w, h] = [this.#film.width * scale, this.#film.height * scale];
    const place = [width / 2 - this.x * w, height / 2 - this.y * h, w, h];
    context.scale(ratio, ratio);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#film, ...place);
    if (this.#heat && this.heatShown) this.#paintHeat(context, place, width, height);
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
