// The chart of the last day.

import { draw } from "../chart.js";

let drawn = null;

function show() {
  const element = document.getElementById("day");
  if (element === drawn || element.dataset.empty) {
    return;
  }
  drawn = element;
  draw(element, {
    points: JSON.parse(element.dataset.points),
    lines: [
      { label: element.dataset.requests, series: 1, fill: true },
      { label: element.dataset.tokens, series: 2, scale: "tokens" },
    ],
  });
}

show();
document.addEventListener("refreshed", show);
