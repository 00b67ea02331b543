// Usage: tokens by day, drawn anew as requests end.

import { drawChart } from "../charts.js";
import { on } from "../events.js";
import { gettext } from "../texts.js";

const PAUSE_MS = 5000;
const chart = document.getElementById("usage-chart");

async function draw() {
  const reply = await fetch(chart.dataset.address);
  if (reply.ok) {
    const { start, tokensIn, tokensOut } = await reply.json();
    chart.dataset.nothing = gettext("Nothing in this time");
    drawChart(chart, [start, tokensIn, tokensOut], [{ label: gettext("read"), series: 4 }, { label: gettext("written"), series: 1 }]);
  }
}

let due = 0;

if (chart) {
  draw().catch(() => {}); // The sign of the connection says it.
  on("requests", () => {
    due ||= setTimeout(() => {
      due = 0;
      draw().catch(() => {});
    }, PAUSE_MS);
  });
}
