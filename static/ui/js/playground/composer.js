// Where a question is written.

import { gettext } from "../texts.js";
import { toast } from "../toast.js";
import { attachmentOf } from "./attachments.js";

/** The form at the foot of the page. `send` takes text and files, `stop` ends what is under way. */
export class Composer {
  #files = [];

  constructor(form, { send, stop, takes }) {
    this.form = form;
    this.takes = takes;
    this.field = form.querySelector("textarea");
    this.list = form.querySelector("[data-slot=attached]");
    this.picker = form.querySelector("input[type=file]");
    this.stop = stop;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(send);
    });
    this.field.addEventListener("keydown", (event) => this.#key(event));
    this.field.addEventListener("paste", (event) => this.#take(event.clipboardData.files, event));
    this.picker.addEventListener("change", () => this.#take(this.picker.files).then(() => (this.picker.value = "")));
    form.querySelector("[data-act=attach]").addEventListener("click", () => this.picker.click());
    form.querySelector("[data-act=stop]").addEventListener("click", stop);
    this.#setUpDrop(form.closest(".play-main"));
  }

  #setUpDrop(area) {
    const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
    area.addEventListener("dragover", (event) => {
      if (carriesFiles(event)) {
        event.preventDefault();
        area.dataset.drop = "";
      }
    });
    area.addEventListener("dragleave", () => delete area.dataset.drop);
    area.addEventListener("drop", (event) => {
      if (carriesFiles(event)) {
        delete area.dataset.drop;
        this.#take(event.dataTransfer.files, event);
      }
    });
  }

  async #take(files, event = null) {
    if (!files.length) {
      return;
    }
    event?.preventDefault();
    for (const file of files) {
      const attachment = await attachmentOf(file).catch(() => null);
      if (attachment && this.takes(attachment.kind)) {
        this.#files.push(attachment);
      } else {
        toast(refused(file, attachment), "bad");
      }
    }
    this.#showFiles();
  }

  #showFiles() {
    this.list.hidden = !this.#files.length;
    this.list.replaceChildren(
      ...this.#files.map((file, at) => {
        const view = document.getElementById("attached").content.firstElementChild.cloneNode(true);
        const image = view.querySelector("img");
        image.hidden = file.kind !== "image";
        image.src = file.kind === "image" ? file.url : "";
        view.querySelector("[data-slot=name]").textContent = file.name;
        view.querySelector("button").addEventListener("click", () => {
          this.#files.splice(at, 1);
          this.#showFiles();
          this.field.focus();
        });
        return view;
      }),
    );
  }

  #key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.form.requestSubmit();
    }
  }

  #submit(send) {
    const text = this.field.value;
    if ((text.trim() || this.#files.length) && send(text, this.#files)) {
      this.field.value = "";
      this.#files = [];
      this.#showFiles();
    }
  }

  /** Put a text there to be sent or changed. */
  suggest(text) {
    this.field.value = text;
    this.field.focus();
  }

  /** Show whether an answer is under way, and what may be attached. */
  show(isBusy) {
    this.form.querySelector("[data-act=stop]").hidden = !isBusy;
    this.form.querySelector("[type=submit]").hidden = isBusy;
    const kinds = ["image", "sound"].filter(this.takes);
    this.form.querySelector("[data-act=attach]").hidden = !kinds.length;
    this.picker.accept = kinds.map((kind) => ({ image: "image/*", sound: ".wav,.mp3" })[kind]).join(",");
  }
}

function refused(file, attachment) {
  if (attachment?.kind === "image") {
    return gettext("This model does not see images. The list of models says which ones do.");
  }
  return `${file.name}: ${gettext("Images go to models that see, WAV and MP3 to models that hear.")}`;
}
