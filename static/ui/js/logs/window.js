// Shows a window of lines: of a hundred thousand only some hundred are in the page at a time.

import { levelOf } from "./lines.js";

const SIZE = 600;
const STEP = 200;
const NEAR = 400; // Pixels from an end of the window at which it moves on.

/** The element in which lines are read; it moves over `lines.shown` as one scrolls. */
export class LineWindow {
  #first = 0;
  #search = "";
  follows = true;

  constructor(element, lines, followed) {
    this.element = element;
    this.lines = lines;
    this.followed = followed;
    element.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  /** Show the newest lines, and follow them from now on. */
  toEnd() {
    this.follows = true;
    this.#first = Math.max(0, this.lines.shown.length - SIZE);
    this.#draw();
    this.element.scrollTop = this.element.scrollHeight;
    this.followed(true);
  }

  /** Show the lines anew, after the filter changed; `search` is marked in them. */
  renew(search) {
    this.#search = search.toLowerCase();
    this.toEnd();
  }

  /** Lines were added; those that were dropped at the beginning move everything. */
  grew() {
    if (this.follows) {
      this.toEnd();
    }
  }

  #draw() {
    const shown = this.lines.shown.slice(this.#first, this.#first + SIZE);
    this.element.replaceChildren(...shown.map((line) => this.#lineOf(line)));
  }

  #lineOf(line) {
    const view = document.createElement("div");
    view.className = "log-line";
    const level = levelOf(line);
    if (level) {
      view.dataset.level = level;
    }
    view.append(...this.#marked(line));
    return view;
  }

  #marked(line) {
    const at = this.#search ? line.toLowerCase().indexOf(this.#search) : -1;
    if (at < 0) {
      return [line];
    }
    const mark = document.createElement("mark");
    mark.textContent = line.slice(at, at + this.#search.length);
    return [line.slice(0, at), mark, line.slice(at + this.#search.length)];
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    const below = scrollHeight - scrollTop - clientHeight;
    const last = this.#first + SIZE;
    if (scrollTop < NEAR && this.#first > 0) {
      this.#move(Math.max(0, this.#first - STEP));
    } else if (below < NEAR && last < this.lines.shown.length) {
      this.#move(Math.min(this.lines.shown.length - SIZE, this.#first + STEP));
    }
    const isAtEnd = below < 4 && this.#first + SIZE >= this.lines.shown.length;
    if (isAtEnd !== this.follows) {
      this.follows = isAtEnd;
      this.followed(isAtEnd);
    }
  }

  /** Have the window begin at another line, with what is looked at staying where it is. */
  #move(first) {
    const kept = this.#first < first ? first : this.#first;
    const before = this.#topOf(kept);
    this.#first = first;
    this.#draw();
    this.element.scrollTop += this.#topOf(kept) - before;
  }

  #topOf(index) {
    const line = this.element.children[index - this.#first];
    return line ? line.offsetTop : 0;
  }
}
