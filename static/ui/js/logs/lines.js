// The lines of a log, with what is filtered out of them (pure).

const MOST = 100_000;
const SPARE = 5_000; // Lines that are dropped at once: one by one each would move all others.

/** How grave a line is: "error", "warn" or "". Servers write [ERROR]; llama-server begins with its letter. */
export function levelOf(line) {
  const told = /^\s*(?:\[(ERROR|WARN|WARNING|INFO|DEBUG)\]|[\d.:]*\s*([EWID])\s)/.exec(line);
  if (told) {
    return { E: "error", W: "warn" }[(told[1] ?? told[2])[0]] ?? "";
  }
  return /\b(error|failed|fatal)\b/i.test(line) ? "error" : /\bwarn(ing)?\b/i.test(line) ? "warn" : "";
}

/** Keeps the newest lines, and which of them are shown. */
export class Lines {
  #all = [];
  #rest = "";
  #passes = null;
  /** The lines that pass the filter, the oldest first. */
  shown = this.#all;

  get count() {
    return this.#all.length;
  }

  /** Add text as it comes, in whatever pieces; gives how many shown lines were added. */
  append(text) {
    const fresh = (this.#rest + text).split("\n");
    this.#rest = fresh.pop();
    return this.#add(fresh);
  }

  #add(fresh) {
    for (const line of fresh) {
      this.#all.push(line);
    }
    const passing = this.#passes ? fresh.filter(this.#passes) : fresh;
    if (this.#passes) {
      for (const line of passing) {
        this.shown.push(line);
      }
    }
    if (this.#all.length > MOST + SPARE) {
      this.#all.splice(0, this.#all.length - MOST);
      this.#filter();
    }
    return passing.length;
  }

  /** Begin anew with a whole text. */
  replace(text) {
    this.#all = [];
    this.shown = this.#all;
    this.#rest = "";
    this.append(text);
    this.#filter();
  }

  /** Show only lines that have `text` in them and are at least as grave as `level`. */
  narrow(text, level) {
    const wanted = text.toLowerCase();
    const grave = { error: ["error"], warn: ["error", "warn"] }[level];
    this.#passes =
      wanted || grave
        ? (line) => (!wanted || line.toLowerCase().includes(wanted)) && (!grave || grave.includes(levelOf(line)))
        : null;
    this.#filter();
  }

  #filter() {
    this.shown = this.#passes ? this.#all.filter(this.#passes) : this.#all;
  }

  /** Everything that is kept, as text. */
  text() {
    return this.#all.join("\n") + (this.#rest ? `\n${this.#rest}` : "\n");
  }
}
