// One message on the page.

import { gettext, interpolate } from "../texts.js";
import { markup } from "./markdown.js";
import { problemOf } from "./problems.js";
import { versions } from "./tree.js";

const PAINT_MS = 80;

const slot = (element, name) => element.querySelector(`[data-slot="${name}"]`);
const copyOf = (template) => document.getElementById(template).content.firstElementChild.cloneNode(true);

/** An element for a message of a conversation. Its buttons carry `data-act`. */
export function messageView(conversation, node) {
  const view = copyOf(node.role === "user" ? "user-message" : "answer-message");
  view.dataset.node = node.id;
  view.id = `message-${node.id}`;
  showVersions(view, conversation, node);
  if (node.role === "user") {
    slot(view, "text").textContent = node.text;
    slot(view, "files").append(...(node.files ?? []).map(fileView));
  } else {
    slot(view, "who").textContent = node.model;
    showAnswer(view, node);
    showEnd(view, node);
  }
  return view;
}

function showVersions(view, conversation, node) {
  const all = versions(conversation, node);
  slot(view, "versions").hidden = all.length < 2;
  slot(view, "version").textContent = `${all.indexOf(node) + 1} / ${all.length}`;
}

function fileView({ kind, url, name }) {
  const view = document.createElement(kind === "sound" ? "audio" : "img");
  view.src = url;
  if (kind === "sound") {
    view.controls = true;
    view.setAttribute("aria-label", name);
  } else {
    view.alt = name;
  }
  return view;
}

/** Show what an answer says so far: thoughts, text, calls. */
export function showAnswer(view, { text, reasoning, calls = [] }) {
  slot(view, "text").replaceChildren(markup(text));
  const thoughts = slot(view, "thoughts");
  thoughts.hidden = !reasoning;
  if (reasoning) {
    slot(view, "reasoning").replaceChildren(markup(reasoning));
  }
  slot(view, "calls").replaceChildren(...calls.map(callView));
}

function callView({ name, arguments: given }) {
  const view = copyOf("call");
  slot(view, "name").textContent = name;
  slot(view, "arguments").textContent = indented(given);
  return view;
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // Cut off, or no JSON: as the model wrote it.
  }
}

/** Shows an answer as it grows, no more often than eyes can follow. */
export class Painter {
  #timer = 0;

  constructor(view, node) {
    this.view = view;
    this.node = node;
  }

  /** Something has come. */
  paint() {
    this.#timer ||= setTimeout(() => this.finish(), PAINT_MS);
  }

  /** Show what there is now. */
  finish() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    showAnswer(this.view, this.node);
    slot(this.view, "thinking").textContent = thinking(this.node);
  }
}

/** Show that an answer is awaited, and what for. */
export function showWaiting(view, sentence) {
  const waiting = slot(view, "waiting");
  waiting.hidden = sentence === null;
  slot(view, "wait").textContent = sentence || gettext("Waiting for the first word…");
}

/** Show how an answer ended: its figures, what went wrong. */
export function showEnd(view, node) {
  showWaiting(view, null);
  delete view.dataset.busy;
  slot(view, "thinking").textContent = thinking(node);
  slot(view, "figures").replaceChildren(...figures(node).map(figureView));
  const problem = slot(view, "problem");
  problem.hidden = !node.problem;
  if (node.problem) {
    slot(view, "problem-title").textContent = node.problem.title;
    slot(view, "problem-text").textContent = node.problem.text;
    for (const link of problem.querySelectorAll("[data-remedy-for]")) {
      link.hidden = link.dataset.remedyFor !== node.problem.act;
      link.href = link.dataset.address.replace("MODEL", encodeURIComponent(node.model));
    }
  }
}

/** The problem of a node, as it is kept with it. */
export const keptProblem = (error) => problemOf(error);

function thinking({ figures: told, text, calls }) {
  if (!told && !text && !calls?.length) {
    return gettext("Thinking…");
  }
  return told?.thoughtMs ? interpolate(gettext("Thought for %(time)s"), { time: inSeconds(told.thoughtMs) }) : gettext("Thoughts");
}

const inSeconds = (ms) => `${(ms / 1000).toFixed(ms < 9950 ? 2 : 1)} s`;
const rate = (count) => count.toFixed(count < 99.5 ? 1 : 0);

/** `[label, value]` of what is known of an answer. */
function figures({ figures: told, finish, stopped }) {
  const rows = [];
  if (told?.firstMs != null) {
    rows.push([gettext("First token"), inSeconds(told.firstMs)]);
  }
  if (told?.perSecond) {
    rows.push([gettext("Speed"), `${rate(told.perSecond)} ${gettext("tokens/s")}`]);
  }
  if (told?.tokens != null) {
    rows.push([gettext("Tokens"), String(told.tokens)]);
  }
  if (told?.promptTokens != null) {
    const cached = told.cachedTokens ? ` (${told.cachedTokens} ${gettext("remembered")})` : "";
    rows.push([gettext("Prompt"), `${told.promptTokens}${cached}`]);
  }
  if (told?.totalMs != null) {
    rows.push([gettext("In all"), inSeconds(told.totalMs)]);
  }
  if (stopped) {
    rows.push([gettext("Ended"), gettext("by you")]);
  } else if (finish === "length") {
    rows.push([gettext("Ended"), gettext("at the most tokens allowed")]);
  }
  return rows;
}

function figureView([label, value]) {
  const view = document.createElement("div");
  const term = document.createElement("dt");
  const told = document.createElement("dd");
  term.textContent = label;
  told.textContent = value;
  view.append(term, told);
  return view;
}
