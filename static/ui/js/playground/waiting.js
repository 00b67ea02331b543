// What a question waits for until its model answers.

import { gettext, interpolate } from "../texts.js";

const EVERY_MS = 1000;

const seconds = (count) => (count < 90 ? `${Math.max(1, Math.round(count))} s` : `${Math.round(count / 60)} min`);

/** In a sentence, what a model that was asked is doing; "" when it is at work. */
export function sentenceOf({ state, position, waitSeconds, readySeconds, loadSeconds, elapsed, waitsFor = [], evicts = [], behind = [] }) {
  const estimate = waitSeconds ?? readySeconds;
  const left = estimate ? `, ${interpolate(gettext("about %(time)s left"), { time: seconds(estimate) })}` : "";
  if (state === "starting") {
    const usual = loadSeconds ? ` ${interpolate(gettext("of about %(time)s"), { time: seconds(loadSeconds) })}` : "";
    return `${interpolate(gettext("The model is loading, %(time)s"), { time: seconds(elapsed ?? 0) })}${usual}.`;
  }
  if (waitsFor.length) {
    return `${interpolate(gettext("Waiting until %(models)s made room"), { models: waitsFor.join(", ") })}${left}.`;
  }
  if (behind.length) {
    return `${interpolate(gettext("%(models)s loads first"), { models: behind.join(", ") })}${left}.`;
  }
  if (position) {
    return `${interpolate(gettext("Number %(position)s in the queue"), { position })}${left}.`;
  }
  if (state === "stopped" || state === "stopping") {
    return evicts.length
      ? interpolate(gettext("%(models)s is unloaded for it."), { models: evicts.join(", ") })
      : gettext("The model is about to load.");
  }
  return "";
}

/** Tell `show` what a model waits for, until the function it gives is called. */
export function followWait(address, model, show) {
  let ended = false;
  const look = async () => {
    try {
      const reply = await fetch(`${address}?model=${encodeURIComponent(model)}`);
      if (reply.ok && !ended) {
        show(await reply.json());
      }
    } catch {
      // The question itself tells when the server is gone.
    }
    if (!ended) {
      timer = setTimeout(look, EVERY_MS);
    }
  };
  let timer = setTimeout(look, 250);
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}
