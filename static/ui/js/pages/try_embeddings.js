// The playground's embeddings: how alike lines are.

import { gettext, interpolate } from "../texts.js";
import { likeness } from "../playground/likeness.js";
import { linesOf, send, setUpForm } from "../playground/try.js";

function cell(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

function tableOf(lines, values) {
  const table = document.createElement("table");
  table.className = "likeness";
  const head = table.createTHead().insertRow();
  head.append(cell("td", ""), ...lines.map((_, at) => cell("th", String(at + 1))));
  lines.forEach((line, row) => {
    const name = cell("th", `${row + 1}. ${line}`);
    name.scope = "row";
    table.insertRow().append(name, ...values[row].map(cellOf));
  });
  const frame = document.createElement("div");
  frame.className = "likeness-frame";
  frame.tabIndex = 0;
  frame.setAttribute("role", "group");
  frame.setAttribute("aria-label", gettext("How alike the lines are"));
  frame.append(table);
  return frame;
}

function cellOf(value) {
  const element = cell("td", value.toFixed(2));
  element.style.background = `color-mix(in srgb, var(--series-1) ${Math.round(Math.max(0, value) * 35)}%, transparent)`;
  return element;
}

setUpForm(async ({ model, lines: text }, signal) => {
  const lines = linesOf(text, 2);
  const told = await (await send("/v1/embeddings", { model, input: lines }, signal)).json();
  const vectors = told.data.sort((one, other) => one.index - other.index).map(({ embedding }) => embedding);
  const about = interpolate(gettext("%(count)s vectors of %(width)s numbers, %(tokens)s tokens"), {
    count: vectors.length,
    width: vectors[0].length,
    tokens: told.usage?.prompt_tokens ?? "?",
  });
  return { parts: [tableOf(lines, likeness(vectors))], about };
});
