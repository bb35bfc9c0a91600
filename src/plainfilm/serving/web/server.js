// Requests to this server and no other: token, waiting when it is busy, and its reasons as errors.

const TOKEN = "plainfilm-token";
const BUSY = [429, 503];
const MOST_TRIES = 40; // of a busy server
const MOST_CALLS = 5; // of one that does not answer
const LONGEST_WAIT = 30; // seconds
const HEAD = 2 ** 18; // bytes that hold most headers
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

/** Why a request was not answered; `body` is the JSON that came with it. */
export class Refused extends Error {
  constructor(status, sentence, body = {}) {
    super(sentence);
    this.status = status;
    this.body = body;
  }
}

export class Server {
  #hash = null;
  #asked = null; // one question for the token, however many requests need it

  /** `askToken(wrong)` resolves to what the user typed; `busy(seconds)` is told of each wait, 0 when it is over. */
  constructor(askToken, busy) {
    this.askToken = askToken;
    this.busy = busy;
  }

  /** What is asked from then on is asked of this model alone: another may answer here after the server was started anew. */
  async model() {
    const model = await (await this.#answer("model", {})).json();
    this.#hash = model.hash;
    return model;
  }

  predict = async (files) => (await this.#answer("predict", { method: "POST", body: form(files) })).json();
  heat = async (file, of) => picture(await this.#post(`explain?kind=map${of ? `&of=${encodeURIComponent(of)}` : ""}`, file));

  /** A film of 8 bits, small enough to be looked at: {picture, rows, columns}, the sides those of the whole film. */
  async preview(file) {
    const response = await this.#post("preview", file);
    return { picture: await picture(response), ...aboutFilm(response) };
  }

  /** A film in the depth that it was stored with: {values, about}. */
  async pixels(file) {
    const response = await this.#post("pixels", file);
    return { values: new Uint16Array(await response.arrayBuffer()), about: aboutFilm(response) };
  }

  /** What a DICOM film's header says: [{tag, keyword, name, value}]; of the person only with `identity`. */
  async header(file, identity) {
    const path = `header?identity=${identity}`;
    const beginning = new File([file.slice(0, HEAD)], file.name);
    const response = await this.#post(path, beginning).catch((refused) => {
      if (refused.status !== 422 || file.size <= HEAD) throw refused;
      return this.#post(path, file); // a header may be longer
    });
    return (await response.json()).elements;
  }

  #post(path, file) {
    return this.#answer(path, { method: "POST", body: form([file]) });
  }

  async #answer(path, request) {
    for (let tries = 1; ; tries += 1) {
      const token = sessionStorage.getItem(TOKEN);
      const headers = token ? { Authorization: `Bearer ${token}` } : {};
      if (this.#hash) headers["If-Match"] = `"${this.#hash}"`;
      const response = await this.#call(path, { ...request, headers });
      if (response.ok) return response;
      if (response.status === 401) await this.#newToken(token);
      else if (BUSY.includes(response.status) && tries < MOST_TRIES) await this.#wait(response, tries);
      else throw await refusal(response);
    }
  }

  async #call(path, request) {
    for (let calls = 1; ; calls += 1) {
      try {
        return await fetch(path, request);
      } catch {
        if (calls === MOST_CALLS) throw new Refused(0, "The service can't be reached. Is it still running?");
        await sleep(0.5 * 2 ** (calls - 1));
      }
    }
  }

  async #wait(response, tries) {
    const told = Number.parseFloat(response.headers.get("Retry-After"));
    const seconds = Math.min(LONGEST_WAIT, Number.isFinite(told) ? told : 2 ** Math.min(tries, 4));
    this.busy(seconds);
    await sleep(seconds + Math.random()); // so that many pages don't come back at one moment
    this.busy(0);
  }

  async #newToken(used) {
    if (sessionStorage.getItem(TOKEN) !== used) return;
    this.#asked ??= this.askToken(used !== null).finally(() => (this.#asked = null));
    sessionStorage.setItem(TOKEN, await this.#asked);
  }
}

const picture = async (response) => createImageBitmap(await response.blob());
const aboutFilm = (response) => JSON.parse(response.headers.get("X-Film"));

function form(files) {
  const data = new FormData();
  files.forEach((file) => data.append("films", file, file.name));
  return data;
}

async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  return new Refused(response.status, body.error ?? `The service answered ${response.status}.`, body);
}
