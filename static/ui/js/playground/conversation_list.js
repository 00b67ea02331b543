// The list of conversations at the side.

import { confirm } from "../confirm.js";
import { gettext, interpolate } from "../texts.js";

/** Shows the store's conversations. `open` is given an id, `save` an id and a format. */
export class ConversationList {
  constructor(element, store, { open, removes, save }) {
    this.element = element;
    this.store = store;
    this.acts = { open, removes, save };
    this.current = "";
    element.addEventListener("click", (event) => this.#act(event));
  }

  /** Show the list as the store has it, with `current` marked. */
  async show(current = this.current) {
    this.current = current;
    const all = await this.store.list();
    this.element.replaceChildren(...all.map((one) => this.#row(one)));
    this.element.parentElement.querySelector("[data-slot=none]").hidden = all.length > 0;
  }

  #row({ id, title }) {
    const row = document.getElementById("conversation").content.firstElementChild.cloneNode(true);
    row.dataset.id = id;
    const link = row.querySelector("a");
    link.href = `#${id}`;
    link.textContent = title || gettext("Untitled");
    if (id === this.current) {
      link.setAttribute("aria-current", "true");
    }
    row.querySelector(".visually-hidden").textContent = interpolate(gettext("More about %(title)s"), { title });
    return row;
  }

  async #act(event) {
    const row = event.target.closest("[data-id]");
    const act = event.target.closest("[data-act]")?.dataset.act;
    if (!row || !act) {
      return;
    }
    if (act === "open") {
      event.preventDefault();
      this.acts.open(row.dataset.id);
    } else if (act === "rename") {
      this.#rename(row);
    } else if (act === "remove") {
      await this.#remove(row);
    } else {
      this.acts.save(row.dataset.id, act);
    }
    if (act !== "rename") {
      row.querySelector("details")?.removeAttribute("open");
    }
  }

  #rename(row) {
    const link = row.querySelector("a");
    const field = document.createElement("input");
    field.className = "input";
    field.value = link.textContent;
    field.setAttribute("aria-label", gettext("Title"));
    row.querySelector("details").removeAttribute("open");
    link.replaceWith(field);
    field.select();
    let left = false;
    const leave = async (isKept) => {
      if (!left) {
        left = true;
        await (isKept && field.value.trim() ? this.#retitle(row.dataset.id, field.value.trim()) : this.show());
      }
    };
    field.addEventListener("blur", () => leave(true));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === "Escape") {
        event.stopPropagation();
        leave(event.key === "Enter");
      }
    });
  }

  async #retitle(id, title) {
    const conversation = await this.store.load(id);
    await this.store.save({ ...conversation, title });
    this.acts.open(id);
  }

  async #remove(row) {
    const title = row.querySelector("a").textContent;
    const question = {
      title: interpolate(gettext("Delete “%(title)s”?"), { title }),
      text: gettext("It is kept in this browser alone, so nothing can bring it back."),
      yes: gettext("Delete"),
    };
    if (await confirm(question)) {
      this.acts.removes(row.dataset.id);
      await this.store.remove(row.dataset.id);
      await this.show();
    }
  }
}
