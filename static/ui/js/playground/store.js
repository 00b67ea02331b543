// Conversations as this browser keeps them; the server never sees the list.

const SUMMARIES = "summaries";
const WHOLE = "conversations";

const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** Opens the store of one person; where the browser keeps nothing, one that lasts as long as the page. */
export async function openStore(person) {
  try {
    const request = indexedDB.open(`claracore-playground-${person}`, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(SUMMARIES, { keyPath: "id" });
      request.result.createObjectStore(WHOLE, { keyPath: "id" });
    };
    return new Store(await done(request));
  } catch {
    return new Fleeting();
  }
}

const summaryOf = ({ id, title, changed }) => ({ id, title, changed });
const newestFirst = (list) => list.sort((one, other) => other.changed - one.changed);

class Store {
  keeps = true;

  constructor(database) {
    this.database = database;
  }

  #in(mode) {
    const transaction = this.database.transaction([SUMMARIES, WHOLE], mode);
    return [transaction.objectStore(SUMMARIES), transaction.objectStore(WHOLE)];
  }

  /** `{id, title, changed}` of all, the newest first. */
  async list() {
    return newestFirst(await done(this.#in("readonly")[0].getAll()));
  }

  async load(id) {
    return done(this.#in("readonly")[1].get(id));
  }

  async save(conversation) {
    const [summaries, whole] = this.#in("readwrite");
    summaries.put(summaryOf(conversation));
    await done(whole.put(conversation));
  }

  async remove(id) {
    const [summaries, whole] = this.#in("readwrite");
    summaries.delete(id);
    await done(whole.delete(id));
  }
}

class Fleeting {
  keeps = false;
  #all = new Map();

  async list() {
    return newestFirst([...this.#all.values()].map(summaryOf));
  }

  async load(id) {
    return structuredClone(this.#all.get(id));
  }

  async save(conversation) {
    this.#all.set(conversation.id, structuredClone(conversation));
  }

  async remove(id) {
    this.#all.delete(id);
  }
}
