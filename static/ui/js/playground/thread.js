// What one model is told and answers, on the page.

import { announce } from "../announce.js";
import { gettext, interpolate } from "../texts.js";
import { figuresOf, Watch } from "./answer.js";
import { ask, bodyOf, continuationOf } from "./asking.js";
import { keptProblem, messageView, Painter, showEnd, showWaiting } from "./message_view.js";
import { add, path, turnTo } from "./tree.js";
import { followWait, sentenceOf } from "./waiting.js";

const NEAR_END = 80; // Pixels from the bottom within which somebody follows the answer.

/** A thread of a conversation with its element. `desk` gives what all threads share. */
export class ThreadView {
  #running = null;

  constructor(desk, conversation, thread) {
    this.desk = desk;
    this.conversation = conversation;
    this.thread = thread;
    this.element = document.getElementById("thread").content.firstElementChild.cloneNode(true);
    this.element.dataset.lane = thread.lane;
    this.list = this.element.querySelector("ol");
    this.scroller = this.element.querySelector(".thread-scroll");
    this.#setUpModel();
    this.list.addEventListener("click", (event) => this.#act(event));
  }

  get isBusy() {
    return this.#running !== null;
  }

  #setUpModel() {
    this.select = this.element.querySelector("select");
    this.select.append(...this.desk.models.options());
    this.select.value = this.thread.model;
    if (!this.select.value) {
      this.select.value = this.desk.models.first();
      this.thread.model = this.select.value;
    }
    this.select.addEventListener("change", () => {
      this.thread.model = this.select.value;
      this.showState();
      this.desk.changed(this);
    });
    this.element.querySelector("[data-act=close]").addEventListener("click", () => this.desk.close(this));
    this.showState();
  }

  /** Show in which state the model is. */
  showState() {
    const { state, label } = this.desk.models.state(this.thread.model);
    const pill = this.element.querySelector(".pill");
    pill.dataset.state = state;
    pill.lastElementChild.textContent = label;
    const continues = this.desk.models.continues(this.thread.model);
    for (const part of this.element.querySelectorAll("[data-for]")) {
      part.hidden = (part.dataset.for === "text") !== continues;
    }
  }

  /** Show all messages. */
  show() {
    const messages = path(this.conversation, this.thread);
    this.list.replaceChildren(...messages.map((node) => messageView(this.conversation, node)));
    this.element.querySelector("[data-slot=empty]").hidden = messages.length > 0;
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /** Say something to the model, and have it answer. */
  async say(text, files) {
    this.list.append(messageView(this.conversation, add(this.conversation, this.thread, { role: "user", text, files })));
    await this.#answer();
  }

  /** End the answer under way. */
  stop() {
    this.#running?.abort();
  }

  async #answer() {
    const said = path(this.conversation, this.thread);
    const node = add(this.conversation, this.thread, { role: "assistant", model: this.thread.model, text: "", reasoning: "" });
    const view = messageView(this.conversation, node);
    view.dataset.busy = "";
    showWaiting(view, "");
    this.element.querySelector("[data-slot=empty]").hidden = true;
    this.list.append(view);
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#running = new AbortController();
    this.desk.busyChanged();
    const endWait = followWait(this.desk.waitAddress, node.model, (told) => showWaiting(view, sentenceOf(told)));
    try {
      await this.#receive(node, view, said, endWait);
    } catch (error) {
      if (error.name === "AbortError") {
        node.stopped = true;
      } else {
        node.problem = keptProblem(error);
      }
    } finally {
      endWait();
      this.#running = null;
      this.#ended(node, view);
    }
  }

  async #receive(node, view, said, endWait) {
    const write = this.desk.models.continues(node.model) ? continuationOf : bodyOf;
    const body = write(node.model, this.conversation.system, said, this.desk.parameters());
    const watch = new Watch(performance.now());
    const painter = new Painter(view, node);
    let answer = null;
    try {
      for await (const grown of ask(body, this.#running.signal)) {
        answer = grown.answer;
        if (grown.isSeen) {
          endWait();
          showWaiting(view, null);
          watch.saw(answer, performance.now());
          const { text, reasoning, calls } = answer;
          Object.assign(node, { text, reasoning, calls });
          this.#follow(() => painter.paint());
        }
      }
    } finally {
      watch.ended = performance.now();
      if (answer) {
        Object.assign(node, { finish: answer.finish, figures: figuresOf(answer, watch) });
      }
      this.#follow(() => painter.finish());
    }
  }

  #ended(node, view) {
    this.#follow(() => showEnd(view, node));
    this.desk.busyChanged();
    this.desk.changed(this);
    announce(spoken(node));
  }

  /** Do something that makes the thread longer, and stay at its end if that is where one is. */
  #follow(grow) {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_END;
    grow();
    if (isAtEnd) {
      requestAnimationFrame(() => {
        this.scroller.scrollTop = this.scroller.scrollHeight;
      });
    }
  }

  // ---- What can be done with a message ---------------------------------------------------------

  #act(event) {
    const button = event.target.closest("[data-act]");
    const view = button?.closest("[data-node]");
    const node = view && this.conversation.nodes[view.dataset.node];
    if (node && !this.isBusy) {
      const acts = { retry: () => this.#retry(node), edit: () => this.#edit(node, view), branch: () => this.desk.branch(this, node),
        earlier: () => this.#turn(node, -1), later: () => this.#turn(node, 1), copy: () => this.desk.copy(node.text, button) };
      acts[button.dataset.act]?.();
    }
  }

  #retry(node) {
    this.thread.leaf = node.parent;
    this.show();
    return this.#answer();
  }

  #turn(node, step) {
    turnTo(this.conversation, this.thread, node, step);
    this.show();
    this.desk.changed(this);
  }

  #edit(node, view) {
    const form = document.getElementById("edit-message").content.firstElementChild.cloneNode(true);
    const field = form.querySelector("textarea");
    field.value = node.text;
    view.querySelector(".message-body").hidden = true;
    view.append(form);
    field.focus();
    const close = () => {
      form.remove();
      view.querySelector(".message-body").hidden = false;
      view.querySelector("[data-act=edit]").focus();
    };
    form.querySelector("[data-act=leave]").addEventListener("click", close);
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        close();
      } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target === field) {
        event.preventDefault();
        form.requestSubmit();
      }
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.thread.leaf = node.parent;
      this.show();
      this.say(field.value, node.files);
    });
  }
}

function spoken(node) {
  if (node.problem) {
    return `${node.problem.title}. ${node.problem.text}`;
  }
  return interpolate(gettext("%(model)s answered: %(text)s"), { model: node.model, text: node.text });
}
