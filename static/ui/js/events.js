// What the server tells its pages while they are open. One stream a page, whatever is on it.
//
//   import { on } from "./events.js";
//   on("models", ({ changed, gone }) => …);
//
// A region that only needs to be read anew says so itself: data-live="models scan".

import { showConnection } from "./connection.js";
import { Stream } from "./live.js";
import { refresh, refreshFor } from "./refresh.js";

export const KINDS = ["models", "queue", "requests", "downloads", "notices", "scan", "config", "engines", "people"];

const listeners = new Map(KINDS.map((kind) => [kind, []]));
let version = document.body.dataset.version;
let stream = null;

/** Call `listener` with the value of every event of a kind. */
export function on(kind, listener) {
  listeners.get(kind).push(listener);
}

function take(kind, { version: now, value }) {
  // A number was left out: something was missed, so everything is read anew.
  const isNext = Number(now.split("-")[1]) === Number(version.split("-")[1]) + 1;
  const missed = !isNext || now.split("-")[0] !== version.split("-")[0];
  version = now;
  for (const listener of listeners.get(kind)) {
    listener(value);
  }
  missed ? refresh() : refreshFor(kind);
}

function greet({ version: now }) {
  if (now !== version) {
    version = now;
    refresh();
  }
}

/** Begin to listen; the frame does this once. */
export function listen() {
  const handlers = { hello: greet };
  for (const kind of KINDS) {
    handlers[kind] = (data) => take(kind, data);
  }
  stream = new Stream(document.body.dataset.events, handlers, () => {
    if (stream) {
      showConnection(stream);
    }
  });
  showConnection(stream);
}
