// The progress of a scan, as events tell it.

import { refresh } from "./refresh.js";
import { gettext, interpolate } from "./texts.js";

/** True while the page shows a scan in progress. */
export function isShownScanning() {
  return document.getElementById("scan")?.dataset.active === "yes";
}

/** Take over the newest scan's state. */
export function takeScan(scan) {
  const isActive = scan.status === "queued" || scan.status === "running";
  const shown = document.getElementById("scan")?.dataset;
  const isNews = shown?.scan !== `${scan.id}` || shown?.status !== scan.status;
  if (isActive !== isShownScanning() || (isNews && !isActive)) {
    refresh();
  } else if (isActive) {
    show(scan);
  }
}

function show(scan) {
  document.getElementById("scan-text").textContent = textOf(scan);
  document.getElementById("scan-current").textContent = scan.current;
  const bar = document.getElementById("scan-progress");
  if (scan.total) {
    bar.max = scan.total;
    bar.value = scan.processed;
  } else {
    bar.removeAttribute("value");
  }
}

function textOf({ status, step, processed, total }) {
  if (status === "queued") {
    return gettext("The scan begins in a moment.");
  }
  const counts = { step, done: processed, total };
  return total ? interpolate(gettext("%(step)s: %(done)s of %(total)s"), counts) : step;
}
