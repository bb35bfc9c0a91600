// Films wait here for their labels and are sent in small batches, so that answers come in while the rest waits.

const BATCH = 8; // films
const BATCH_BYTES = 24 * 2 ** 20;

export class Queue {
  #waiting = [];
  #running = false;

  /** `changed(films)` is called whenever films got an answer or an error, or were sent. */
  constructor(server, changed) {
    this.server = server;
    this.changed = changed;
  }

  add(films) {
    films.forEach((film) => Object.assign(film, { state: "waiting", error: null }));
    this.#waiting.push(...films);
    if (!this.#running) this.#run();
  }

  clear() {
    this.#waiting = [];
  }

  async #run() {
    this.#running = true;
    let most = 1; // the first film goes alone: its answer is there at once
    while (this.#waiting.length) {
      await this.#send(this.#next(most));
      most = BATCH;
    }
    this.#running = false;
  }

  #next(most) {
    let [count, bytes] = [0, 0];
    do bytes += this.#waiting[count++].file.size;
    while (count < Math.min(most, this.#waiting.length) && bytes + this.#waiting[count].file.size <= BATCH_BYTES);
    return this.#waiting.splice(0, count);
  }

  async #send(films) {
    const there = [];
    for (const film of films) {
      if (await readable(film.file)) there.push(film);
      else fail(film, "the browser can't read this file; was it moved or changed?", true);
    }
    there.forEach((film) => (film.state = "sent"));
    this.changed(films);
    if (there.length) await this.#predict(there);
    this.changed(films);
  }

  async #predict(films) {
    try {
      const found = await this.server.predict(films.map((film) => film.file));
      this.warning = found.warning;
      settle(films, found.films);
    } catch (refused) {
      const oneIsAtFault = films.length > 1 && refused.status >= 400 && refused.status < 500;
      if (refused.body?.films) settle(films, refused.body.films);
      else if (oneIsAtFault) for (const film of films) await this.#send([film]);
      else films.forEach((film) => fail(film, refused.message, true));
    }
  }
}

function settle(films, answers) {
  films.forEach((film, i) => {
    if (answers[i].error) fail(film, answers[i].error, false);
    else Object.assign(film, { state: "done", answer: answers[i] });
  });
}

const fail = (film, error, again) => Object.assign(film, { state: "failed", error, again });

/** A folder, or a file that is gone, would look like a server that is gone. */
const readable = (file) => file.slice(0, 1).arrayBuffer().then(() => true, () => false);
