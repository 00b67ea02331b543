// Event streams that come back by themselves.

const RETRY_MS = [500, 1000, 2000, 4000, 5000];

// A browser opens six connections to a server at most. Tabs nobody looks at must not keep theirs,
// or the seventh stream would make every page hang.
const HIDDEN_MS = 20_000;

/** One event stream, open while the page is looked at. */
export class Stream {
  #url;
  #listeners;
  #onChange;
  #source = null;
  #retry = 0;
  #hide = 0;
  #failures = 0;

  /** True while events can come. */
  isOpen = false;

  /** How often it was opened; more than once means that events may have been missed. */
  timesOpened = 0;

  /** `listeners` take the data of events by their name; `onChange` hears of open and lost. */
  constructor(url, listeners, onChange) {
    this.#url = url;
    this.#listeners = listeners;
    this.#onChange = onChange;
    document.addEventListener("visibilitychange", () => this.#onVisibility());
    window.addEventListener("online", () => this.#open());
    window.addEventListener("pageshow", () => this.#open());
    window.addEventListener("pagehide", () => this.#close());
    this.#open();
    this.#onVisibility();
  }

  #open() {
    if (this.#source) {
      return;
    }
    clearTimeout(this.#retry);
    const source = new EventSource(this.#url);
    for (const [name, listener] of Object.entries(this.#listeners)) {
      source.addEventListener(name, (event) => listener(JSON.parse(event.data)));
    }
    source.addEventListener("open", () => this.#opened());
    source.addEventListener("error", () => this.#lost());
    this.#source = source;
  }

  #opened() {
    this.#failures = 0;
    this.#set(true);
  }

  // The browser's own retry gives up for good when a restarting server answers with an error.
  #lost() {
    this.#close();
    const wait = RETRY_MS[Math.min(this.#failures, RETRY_MS.length - 1)];
    this.#failures += 1;
    this.#retry = setTimeout(() => this.#open(), wait);
  }

  #close() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
    this.#set(false);
  }

  #set(isOpen) {
    this.isOpen = isOpen;
    this.timesOpened += isOpen ? 1 : 0;
    this.#onChange(this);
  }

  #onVisibility() {
    clearTimeout(this.#hide);
    if (document.hidden) {
      this.#hide = setTimeout(() => this.#close(), HIDDEN_MS);
    } else {
      this.#open();
    }
  }
}
