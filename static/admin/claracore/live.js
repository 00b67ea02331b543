// What changes while a page of the admin is looked at: states of models, the progress of a scan.

import { Stream } from "../../ui/js/live.js";

const STATES = {
  stopped: { label: "Stopped", tone: "" },
  starting: { label: "Loading", tone: "busy" },
  ready: { label: "Ready", tone: "good" },
  stopping: { label: "Unloading", tone: "busy" },
};

// Badges that say something else, such as that a model is not served, stay as they are.
const LABELS = new Set(Object.values(STATES).map(({ label }) => label));

function takeEvent({ type, data }) {
  if (type !== "modelStatus") {
    return;
  }
  const states = new Map(JSON.parse(data).map((status) => [status.id, status]));
  for (const badge of document.querySelectorAll("[data-live]")) {
    const status = states.get(badge.dataset.live);
    if (status && LABELS.has(badge.textContent)) {
      show(badge, status);
    }
  }
}

function show(badge, { state, problem }) {
  badge.textContent = STATES[state].label;
  badge.dataset.tone = problem && state === "stopped" ? "bad" : STATES[state].tone;
  badge.title = problem;
}

function takeScan(scan) {
  const shown = document.querySelector(`[data-scan="${scan.id}"]`);
  if (!shown) {
    return;
  }
  if (shown.dataset.status !== scan.status) {
    location.reload(); // Its end, with all that it found, is the server's to tell.
    return;
  }
  const bar = shown.querySelector("progress");
  if (scan.total) {
    bar.max = scan.total;
    bar.value = scan.processed;
  }
  shown.querySelector("[data-scan-text]").textContent = scan.total
    ? `${scan.processed} of ${scan.total} files`
    : scan.step;
}

if (document.querySelector("[data-live]")) {
  new Stream("/api/events", { message: takeEvent }, () => {});
}
if (document.querySelector('[data-scan][data-active="yes"]')) {
  new Stream("/ui/events/", { scan: takeScan }, () => {});
}
