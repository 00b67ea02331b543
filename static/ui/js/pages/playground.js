// The playground's chat: a desk with one conversation, its threads side by side, and the list of all.

import { copyText } from "../copy.js";
import { gettext } from "../texts.js";
import { toast } from "../toast.js";
import { Composer } from "../playground/composer.js";
import { ConversationList } from "../playground/conversation_list.js";
import { asMarkdown, fileName, saveFile } from "../playground/files_out.js";
import { Models } from "../playground/models.js";
import { keepParameters, readParameters } from "../playground/parameters.js";
import { openStore } from "../playground/store.js";
import { ThreadView } from "../playground/thread.js";
import { begin, branchOff, compare, titleOf } from "../playground/tree.js";

const MOST_THREADS = 2;

class Desk {
  constructor(root, store) {
    this.root = root;
    this.store = store;
    this.waitAddress = root.dataset.wait;
    this.models = new Models(document.getElementById("choices"), () => this.views.forEach((view) => view.showState()));
    this.views = [];
    this.gone = new Set(); // ids of conversations that were deleted
    this.form = document.getElementById("parameters");
    this.list = new ConversationList(document.getElementById("conversations-list"), store, {
      open: (id) => this.open(id),
      removes: (id) => this.#letGo(id),
      save: (id, format) => this.saveAs(id, format),
    });
    this.composer = new Composer(document.getElementById("composer"), {
      send: (text, files) => this.#send(text, files),
      stop: () => this.stop(),
      takes: (kind) => this.views.length > 0 && this.views.every((view) => this.models.takes(view.thread.model, kind)),
    });
    keepParameters(this.form);
    this.#setUpButtons();
  }

  #setUpButtons() {
    document.addEventListener("click", (event) => {
      const act = event.target.closest("[data-desk]")?.dataset.desk;
      ({ new: () => this.begin(), compare: () => this.compare() })[act]?.();
      const suggestion = event.target.closest("[data-suggest]");
      if (suggestion) {
        this.composer.suggest(suggestion.textContent.trim());
      }
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.isBusy) {
        this.stop();
      }
    });
    this.form.elements.system.addEventListener("input", () => {
      this.conversation.system = this.form.elements.system.value;
    });
  }

  get isBusy() {
    return this.views.some((view) => view.isBusy);
  }

  // ---- One conversation at a time --------------------------------------------------------------

  /** Begin an empty conversation with the model of the one before. */
  begin(model = this.conversation?.threads[0].model ?? this.models.first()) {
    this.#show({ ...begin(model), system: this.form.elements.system.value });
    nameInAddress("");
    if (matchMedia("(pointer: fine)").matches) {
      this.composer.field.focus({ preventScroll: true }); // On a phone the keyboard would come up.
    }
  }

  /** A conversation is about to be deleted: what is still being written of it is kept no more. */
  #letGo(id) {
    this.gone.add(id);
    if (id === this.conversation.id) {
      this.begin();
    }
  }

  async open(id) {
    const found = await this.store.load(id);
    if (found) {
      this.#show(found);
      nameInAddress(id);
    } else {
      this.begin();
    }
  }

  #show(conversation) {
    this.stop();
    this.conversation = conversation;
    this.form.elements.system.value = conversation.system;
    this.views = [];
    document.getElementById("threads").replaceChildren();
    conversation.threads.forEach((thread) => this.#add(thread));
    this.list.show(conversation.id);
    closePanels();
  }

  #add(thread) {
    const view = new ThreadView(this, this.conversation, thread);
    this.views.push(view);
    document.getElementById("threads").append(view.element);
    view.show();
    this.busyChanged();
  }

  /** Ask a second model the same from now on. */
  compare() {
    const [first] = this.conversation.threads;
    if (this.views.length < MOST_THREADS && !this.isBusy) {
      this.#add(compare(this.conversation, first, this.models.other(first.model)));
    }
  }

  /** Go on with the other model alone. */
  close(view) {
    view.stop();
    view.element.remove();
    this.views = this.views.filter((one) => one !== view);
    this.conversation.threads = this.conversation.threads.filter((one) => one !== view.thread);
    this.busyChanged();
    this.changed();
  }

  /** Go on in a new conversation from a message. */
  async branch(view, node) {
    const fresh = branchOff(this.conversation, view.thread, node);
    await this.store.save(fresh);
    this.#show(fresh);
    nameInAddress(fresh.id);
    toast(gettext("This is a copy up to that message; the first conversation is still in the list."));
  }

  // ---- Asking ----------------------------------------------------------------------------------

  #send(text, files) {
    if (this.isBusy) {
      return false;
    }
    try {
      readParameters(this.form);
    } catch (error) {
      toast(error.message, "bad");
      return false;
    }
    for (const view of this.views) {
      view.say(text, files);
    }
    this.conversation.title ||= titleOf(this.conversation);
    this.changed();
    return true;
  }

  stop() {
    this.views.forEach((view) => view.stop());
  }

  /** The fields of a request, besides messages. Raises Error when one is wrong. */
  parameters() {
    return readParameters(this.form);
  }

  busyChanged() {
    this.composer.show(this.isBusy);
    document.getElementById("compare").hidden = this.views.length >= MOST_THREADS;
    this.root.dataset.threads = String(this.views.length);
  }

  // ---- Keeping ---------------------------------------------------------------------------------

  /** Something changed that is to be kept. */
  async changed(view) {
    this.composer.show(this.isBusy);
    const { conversation } = view ?? this;
    if (!Object.keys(conversation.nodes).length || this.gone.has(conversation.id)) {
      return;
    }
    conversation.changed = Date.now();
    if (conversation === this.conversation) {
      nameInAddress(conversation.id);
    }
    try {
      await this.store.save(conversation);
      this.list.show(this.conversation.id);
    } catch {
      toast(gettext("This browser has no room to keep the conversation. Delete some old ones."), "bad");
    }
  }

  async saveAs(id, format) {
    const conversation = await this.store.load(id);
    const isJson = format === "json";
    const content = isJson ? JSON.stringify(conversation, null, 2) : asMarkdown(conversation);
    saveFile(`${fileName(conversation)}.${isJson ? "json" : "md"}`, content, isJson ? "application/json" : "text/markdown");
  }

  copy(text, button) {
    copyText(text, button);
  }
}

/** Have the address name a kept conversation, so that it is there again when the page is loaded anew. */
function nameInAddress(id) {
  history.replaceState(null, "", `${location.pathname}${location.search}${id && `#${id}`}`);
}

// ---- Panels that lie over the threads on small screens ------------------------------------------

function closePanels() {
  document.querySelectorAll(".play-panel[data-open]").forEach((panel) => delete panel.dataset.open);
}

document.addEventListener("click", (event) => {
  const name = event.target.closest("[data-panel]")?.dataset.panel;
  const panel = name && document.getElementById(name);
  if (panel && "open" in panel.dataset) {
    delete panel.dataset.open;
    document.querySelector(`.play-bar [data-panel="${name}"]`).focus();
  } else if (panel) {
    closePanels();
    panel.dataset.open = "";
    panel.querySelector("button, a, textarea").focus();
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    closePanels();
  }
});

const root = document.getElementById("play");
if (root) {
  const desk = new Desk(root, await openStore(root.dataset.person));
  const id = decodeURIComponent(location.hash.slice(1));
  await (id ? desk.open(id) : desk.begin());
  root.dataset.ready = "";
}
