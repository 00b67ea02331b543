// The cards of the models: shows what the event stream tells, loads and unloads.

import { announce } from "./announce.js";
import { gettext, interpolate } from "./texts.js";

const LABELS = {
  stopped: gettext("Stopped"),
  waiting: gettext("Waiting"),
  starting: gettext("Loading"),
  ready: gettext("Ready"),
  stopping: gettext("Unloading"),
};

const BUTTONS = {
  stopped: { name: "load", text: gettext("Load") },
  waiting: { name: "unload", text: gettext("Cancel") },
  starting: { name: "unload", text: gettext("Cancel") },
  ready: { name: "unload", text: gettext("Unload") },
  stopping: { name: "load", text: gettext("Unloading…"), disabled: true },
};

const statuses = new Map(); // by model: what the stream told last
const requests = new Map(); // by model: what this page asked for and awaits
const failures = new Map(); // by model: why that failed
const startedAt = new Map(); // by model: when its loading was first seen

let ticking = 0;

// ---- What the server tells ----

/** Take over the state of all models. */
export function takeStatuses(list) {
  const before = new Map(statuses);
  statuses.clear();
  for (const status of list) {
    take(status, before.get(status.id));
  }
  showAll();
}

function take(status, before) {
  statuses.set(status.id, status);
  notice(status, before);
}

/** True when the page shows other models than the server serves. */
export function isOutdated() {
  const shown = new Set();
  for (const card of cards()) {
    shown.add(card.dataset.model);
    if (card.dataset.restState === "stopped" && !statuses.has(card.dataset.model)) {
      return true;
    }
  }
  return [...statuses.keys()].some((id) => !shown.has(id));
}

function notice(status, before) {
  const { id, state, problem } = status;
  if (state === "starting" && before?.state !== "starting") {
    startedAt.set(id, performance.now());
  } else if (state !== "starting") {
    startedAt.delete(id);
  }
  if (state === "starting" || state === "ready") {
    failures.delete(id);
  }
  if (before && before.state !== state && state === "ready") {
    announce(interpolate(gettext("%(model)s is ready."), { model: id }));
  } else if (before && problem && before.problem !== problem) {
    announce(`${id}: ${problem}`);
  }
}

// ---- Showing it ----

/** Bring every card up to date, as after the page was read anew. */
export function showAll() {
  let ready = 0;
  for (const card of cards()) {
    show(card);
    ready += card.dataset.state === "ready" ? 1 : 0;
  }
  write(document.getElementById("ready-count"), String(ready));
  keepTicking();
}

function cards() {
  return document.querySelectorAll("[data-model]");
}

function slot(card, name) {
  return card.querySelector(`[data-slot="${name}"]`);
}

// An unchanged text is left alone: writing it would end a selection in it.
function write(element, text) {
  if (element && element.textContent !== text) {
    element.textContent = text;
  }
}

function show(card) {
  const id = card.dataset.model;
  const status = statuses.get(id);
  const state = stateOf(card, status);
  if (!LABELS[state]) {
    return; // What stands there is the server's word and no engine's state.
  }
  if (state === "starting" && card.dataset.elapsed) {
    // It began before this page was there to see it.
    startedAt.set(id, performance.now() - 1000 * card.dataset.elapsed);
    delete card.dataset.elapsed;
  }
  card.dataset.state = state;
  write(slot(card, "state"), LABELS[state]);
  write(slot(card, "elapsed"), state === "starting" ? elapsed(id) : "");
  write(slot(card, "work"), work(status));
  showButton(slot(card, "act"), BUTTONS[state]);
  showProblem(card, state, status);
}

function stateOf(card, status) {
  if (!status || status.state === "stopped") {
    const isAwaited = requests.get(card.dataset.model)?.name === "load";
    return isAwaited ? "waiting" : card.dataset.restState;
  }
  return status.state;
}

function work(status) {
  const parts = [];
  if (status?.inFlight) {
    parts.push(interpolate(gettext("%(count)s running"), { count: status.inFlight }));
  }
  if (status?.queued) {
    parts.push(interpolate(gettext("%(count)s waiting"), { count: status.queued }));
  }
  return parts.join(" · ");
}

// One button throughout, so that whoever pressed it keeps the focus.
function showButton(button, { name, text, disabled = false }) {
  if (!button) {
    return;
  }
  button.name = name;
  write(button.querySelector('[data-slot="act-text"]'), text);
  if (disabled) {
    button.setAttribute("aria-disabled", "true");
  } else {
    button.removeAttribute("aria-disabled");
  }
}

function showProblem(card, state, status) {
  const failure = failures.get(card.dataset.model);
  const isOver = state !== "starting" && state !== "ready" && state !== "waiting";
  const text = failure?.startFailed && status?.problem ? status.problem : failure?.text;
  const shown = text ?? (isOver ? (status?.problem ?? "") : "");
  slot(card, "problem").hidden = !shown;
  write(slot(card, "problem-text"), shown);
  slot(card, "problem-more").hidden = !failure?.details;
  write(slot(card, "problem-details"), failure?.details ?? "");
}

function elapsed(id) {
  const seconds = Math.floor((performance.now() - (startedAt.get(id) ?? 0)) / 1000);
  return startedAt.has(id) && seconds > 0
    ? interpolate(gettext("%(seconds)s s"), { seconds })
    : "";
}

function keepTicking() {
  if (startedAt.size && !ticking) {
    ticking = setInterval(showAll, 1000);
  } else if (!startedAt.size && ticking) {
    clearInterval(ticking);
    ticking = 0;
  }
}

// ---- Loading and unloading ----

document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button?.matches('[data-slot="act"]')) {
    return;
  }
  event.preventDefault();
  if (button.getAttribute("aria-disabled") !== "true") {
    ask(button.name, button.value);
  }
});

/** Load or unload a model; what it leads to comes over the event stream. */
async function ask(name, id) {
  requests.get(id)?.controller.abort();
  const request = { name, controller: new AbortController() };
  requests.set(id, request);
  failures.delete(id);
  showAll();
  const outcome = await post(name, id, request.controller.signal);
  if (requests.get(id) !== request) {
    return; // Another wish came after this one.
  }
  requests.delete(id);
  if (outcome.failure) {
    failures.set(id, outcome.failure);
  } else if (statuses.has(id)) {
    take({ ...statuses.get(id), state: outcome.state }, statuses.get(id));
  }
  showAll();
}

async function post(name, id, signal) {
  try {
    const url = `/api/models/${encodeURIComponent(id)}/${name}`;
    const reply = await fetch(url, { method: "POST", signal });
    const body = await reply.json();
    return reply.ok ? { state: body.state } : { failure: failureOf(body) };
  } catch {
    return {
      failure: { text: gettext("The server gave no answer. Once it is back, try again.") },
    };
  }
}

function failureOf({ error, details, code }) {
  return {
    text: error.split("\n")[0],
    details,
    startFailed: code === "model_failed_to_start",
  };
}
