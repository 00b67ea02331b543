// The header's sign of whether what the page shows is live.

import { gettext } from "./texts.js";

const TEXTS = {
  connecting: gettext("Connecting…"),
  live: gettext("Live"),
  reconnecting: gettext("Reconnecting…"),
};

/** Show how the streams are. */
export function showConnection(streams) {
  const sign = document.getElementById("connection");
  const state = streams.every((stream) => stream.isOpen)
    ? "live"
    : streams.some((stream) => stream.timesOpened > 0)
      ? "reconnecting"
      : "connecting";
  if (sign.dataset.state !== state) {
    sign.dataset.state = state;
    document.getElementById("connection-text").textContent = TEXTS[state];
  }
}
