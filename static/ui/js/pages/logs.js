// Logs: lines as they come, filtered, paused, wrapped, saved.

import { saveFile } from "../playground/files_out.js";
import { gettext, interpolate } from "../texts.js";
import { Lines } from "../logs/lines.js";
import { followLog } from "../logs/log_stream.js";
import { LineWindow } from "../logs/window.js";
import { toast } from "../toast.js";

const PAINT_MS = 100;

const root = document.getElementById("log");
const view = document.getElementById("log-lines");
const count = document.getElementById("log-count");
const end = document.querySelector("[data-log=end]");
const filter = document.getElementById("log-filter");
const level = document.getElementById("log-level");

const lines = new Lines();
const pane = new LineWindow(view, lines, () => showFoot());

let isPaused = false;
let fresh = 0; // Lines that came while one looked elsewhere.
let timer = 0;

function showFoot() {
  if (pane.follows && !isPaused) {
    fresh = 0;
  }
  const all = lines.count.toLocaleString();
  count.textContent =
    lines.shown === undefined || lines.shown.length === lines.count
      ? interpolate(gettext("Lines: %(all)s"), { all })
      : interpolate(gettext("Lines: %(some)s of %(all)s"), { some: lines.shown.length.toLocaleString(), all });
  if (root.dataset.state === "reconnecting") {
    count.textContent += ` · ${gettext("Reconnecting…")}`;
  }
  end.hidden = pane.follows && !isPaused;
  document.getElementById("log-new").textContent = fresh
    ? interpolate(gettext("New lines: %(count)s"), { count: fresh.toLocaleString() })
    : gettext("To the end");
}

function paintSoon() {
  timer ||= setTimeout(() => {
    timer = 0;
    if (!isPaused) {
      pane.grew();
    }
    showFoot();
  }, PAINT_MS);
}

function take(text, isNew) {
  if (isNew) {
    fresh += lines.append(text);
  } else {
    lines.replace(text);
    fresh = 0;
  }
  paintSoon();
}

function setPaused(paused) {
  isPaused = paused;
  document.querySelector("[data-log=pause]").setAttribute("aria-pressed", String(paused));
  if (!paused) {
    pane.toEnd();
  }
  showFoot();
}

async function readWhole(button) {
  button.setAttribute("aria-busy", "true");
  try {
    const parts = button.dataset.older ? [`${button.dataset.address}?older=1`, button.dataset.address] : [button.dataset.address];
    const texts = await Promise.all(parts.map(async (address) => (await fetch(address)).text()));
    lines.replace(texts.join(""));
    pane.toEnd();
    showFoot();
  } catch {
    toast(gettext("The file could not be read. Try again, or download it."), "bad");
  } finally {
    button.removeAttribute("aria-busy");
  }
}

const ACTS = {
  pause: () => setPaused(!isPaused),
  end: () => setPaused(false),
  wrap: (button) => {
    view.toggleAttribute("data-wrap");
    button.setAttribute("aria-pressed", String(view.hasAttribute("data-wrap")));
    pane.toEnd();
  },
  save: () => saveFile(`claracore-${root.dataset.source || "all"}.log`, lines.text(), "text/plain"),
  whole: readWhole,
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-log]");
  if (button) {
    ACTS[button.dataset.log](button);
  }
});

function narrow() {
  lines.narrow(filter.value, level.value);
  pane.renew(filter.value);
  showFoot();
}

filter.addEventListener("input", narrow);
level.addEventListener("change", narrow);
document.getElementById("source").addEventListener("change", ({ target }) => target.form.requestSubmit());

view.replaceChildren();
followLog(root.dataset.source, take, (isOpen) => {
  root.dataset.state = isOpen ? "live" : "reconnecting";
  showFoot();
});
