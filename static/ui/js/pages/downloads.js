// Bars that move: progress is written into the page as it comes, anything else is read anew.

import { on } from "../events.js";
import { refreshFor } from "../refresh.js";
import { gettext, interpolate } from "../texts.js";

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];
const told = new Map();

on("downloads", (downloads) => {
  for (const [key, info] of Object.entries(downloads)) {
    if (info === null) {
      told.delete(key);
      refreshFor("downloads-state"); // Somebody took it off the list.
      continue;
    }
    const card = document.querySelector(`[data-download="${CSS.escape(key)}"]`);
    const state = stateOf(info);
    const isNew = !card || card.dataset.status !== info.status || (told.get(key) ?? state) !== state;
    told.set(key, state);
    if (isNew) {
      refreshFor("downloads-state");
    } else {
      show(card, info);
    }
  }
});

// Whatever is not a number that grows.
const stateOf = ({ status, phase, error, note, reusePath, position }) =>
  JSON.stringify([status, phase, error, note, reusePath, position]);

function show(card, info) {
  const bar = card.querySelector('[data-slot="bar"]');
  if (bar && info.progress >= 0) {
    bar.value = info.progress;
  }
  write(card, "amounts", amountsOf(info));
  write(card, "pace", paceOf(info));
}

function write(card, slot, text) {
  const place = card.querySelector(`[data-slot="${slot}"]`);
  if (place && place.textContent !== text) {
    place.textContent = text;
  }
}

function amountsOf({ downloadedBytes, totalBytes }) {
  if (!totalBytes) {
    return downloadedBytes ? sizeOf(downloadedBytes) : "";
  }
  const values = { done: sizeOf(downloadedBytes), total: sizeOf(totalBytes) };
  return interpolate(gettext("%(done)s of %(total)s"), values);
}

function paceOf({ status, speed, eta, connections }) {
  if (status !== "downloading" || !speed) {
    return "";
  }
  const parts = [rateOf(speed)];
  if (eta) {
    parts.push(interpolate(gettext("%(time)s left"), { time: timeOf(eta) }));
  }
  if (connections) {
    const text = connections === 1 ? gettext("%(count)s connection") : gettext("%(count)s connections");
    parts.push(interpolate(text, { count: connections }));
  }
  return parts.join(" · ");
}

function sizeOf(count) {
  const power = count < 1024 ? 0 : Math.min(Math.floor(Math.log2(count) / 10), UNITS.length - 1);
  return power ? `${(count / 1024 ** power).toFixed(1)} ${UNITS[power]}` : `${count} ${UNITS[0]}`;
}

function rateOf(rate) {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["KB", 1e3]]) {
    if (rate >= size) {
      return `${(rate / size).toFixed(1)} ${unit}/s`;
    }
  }
  return `${rate} B/s`;
}

function timeOf(seconds) {
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  if (hours) {
    return `${hours}h ${minutes}m`;
  }
  return minutes ? `${minutes}m ${seconds % 60}s` : `${seconds}s`;
}
