// Usage: tokens by day, read anew as requests end.

import { draw } from "../chart.js";
import { on } from "../events.js";
import { gettext } from "../texts.js";

const PAUSE_MS = 5000;
const element = document.getElementById("usage-chart");

let chart = null;

async function show() {
  const reply = await fetch(element.dataset.address);
  const { start, tokensIn, tokensOut } = await reply.json();
  const points = [start, tokensIn, tokensOut];
  if (chart) {
    chart.update(points);
  } else if (start.length) {
    const lines = [{ label: gettext("read"), series: 4 }, { label: gettext("written"), series: 1 }];
    chart = draw(element, { points, lines });
  }
}

let due = 0;

if (element) {
  show().catch(() => {}); // The sign of the connection says it.
  on("requests", () => {
    due ||= setTimeout(() => {
      due = 0;
      show().catch(() => {});
    }, PAUSE_MS);
  });
}
