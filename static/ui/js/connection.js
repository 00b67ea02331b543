// The sign of whether what the page shows is live.

import { gettext } from "./texts.js";

const TEXTS = {
  connecting: gettext("Connecting…"),
  live: gettext("Live"),
  reconnecting: gettext("Reconnecting…"),
};

/** Show how the stream is. */
export function showConnection({ isOpen, timesOpened }) {
  const sign = document.getElementById("connection");
  const state = isOpen ? "live" : timesOpened > 0 ? "reconnecting" : "connecting";
  if (sign.dataset.state !== state) {
    sign.dataset.state = state;
    document.body.dataset.connection = state;
    document.getElementById("connection-text").textContent = TEXTS[state];
  }
}
