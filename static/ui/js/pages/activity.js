// Activity: charts, filters that act at once, and one request in a drawer.

import { draw } from "../chart.js";
import { on } from "../events.js";
import { tellLocal } from "../local_times.js";
import { gettext } from "../texts.js";

const CHART_PAUSE_MS = 5000;

// ---- Charts --------------------------------------------------------------------------------------

const charts = document.getElementById("charts");

const drawn = new Map();

/** Draw a chart, or what there is now in the one that is there; without any times, say so. */
function show(id, { points, ...look }) {
  const element = document.getElementById(id);
  if (!points[0].length) {
    drawn.get(id)?.destroy();
    drawn.delete(id);
    element.dataset.empty = gettext("Nothing in this time");
    return;
  }
  delete element.dataset.empty;
  if (drawn.has(id)) {
    drawn.get(id).update(points);
  } else {
    drawn.set(id, draw(element, { points, ...look }));
  }
}

async function drawCharts() {
  const reply = await fetch(charts.dataset.address);
  if (reply.ok) {
    const { start, tokensIn, tokensOut, seconds } = await reply.json();
    const lines = [{ label: gettext("read"), series: 4 }, { label: gettext("written"), series: 1 }];
    show("chart-tokens", { points: [start, tokensIn, tokensOut], lines });
    show("chart-time", { points: [start, seconds], lines: [{ label: gettext("on average"), series: 2 }], unit: " s" });
  }
}

let due = 0;

if (charts) {
  drawCharts().catch(() => {}); // The sign of the connection says it.
  on("requests", () => {
    due ||= setTimeout(() => {
      due = 0;
      drawCharts().catch(() => {});
    }, CHART_PAUSE_MS);
  });
}

// ---- Filters -------------------------------------------------------------------------------------

document.getElementById("filters").addEventListener("change", ({ target }) => {
  if (target.matches("select")) {
    target.form.requestSubmit();
  }
});

// ---- One request ---------------------------------------------------------------------------------

const drawer = document.getElementById("drawer");

async function open(address) {
  const reply = await fetch(address);
  const found = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("request");
  if (!reply.ok || !found) {
    throw new Error(String(reply.status));
  }
  drawer.querySelector("[data-slot=body]").replaceChildren(document.adoptNode(found));
  tellLocal(drawer);
  drawer.showModal();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-drawer]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    open(link.href).catch(() => location.assign(link.href));
  }
});

drawer.addEventListener("click", (event) => {
  if (event.target === drawer) {
    drawer.close(); // Beside it.
  }
});
