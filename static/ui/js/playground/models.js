// The models one can choose, and their states as they are told.

import { on } from "../events.js";
import { gettext } from "../texts.js";

const LABELS = {
  ready: gettext("Ready"),
  starting: gettext("Loading"),
  stopping: gettext("Unloading"),
  stopped: gettext("Loads when asked"),
};

/** The options of a hidden select that the server filled. */
export class Models {
  #select;
  #states = new Map();

  /** `changed` is called when a state has. */
  constructor(select, changed) {
    this.#select = select;
    for (const { value, dataset } of select.options) {
      this.#states.set(value, dataset.state);
    }
    on("models", (news) => {
      for (const { id, state } of news.changed) {
        this.#states.set(id, state);
      }
      changed();
    });
  }

  options() {
    return [...this.#select.cloneNode(true).childNodes];
  }

  /** The model to begin with: the one asked for, the one used last, or the first. */
  first() {
    return this.#select.value;
  }

  /** Another model than this one, where there is one. */
  other(model) {
    const all = [...this.#select.options].map(({ value }) => value);
    const ready = all.filter((one) => one !== model && this.#states.get(one) === "ready");
    return ready[0] ?? all.find((one) => one !== model) ?? model;
  }

  state(model) {
    const state = this.#states.get(model) ?? "stopped";
    return { state, label: LABELS[state] ?? LABELS.stopped };
  }

  /** Whether a model takes "image" or "sound". */
  takes(model, kind) {
    return this.#option(model)?.dataset.takes.split(" ").includes(kind) ?? false;
  }

  /** Whether a model was not taught to answer, and only continues a text. */
  continues(model) {
    return "continues" in (this.#option(model)?.dataset ?? {});
  }

  #option(model) {
    return [...this.#select.options].find(({ value }) => value === model);
  }
}
