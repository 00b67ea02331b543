// The playground's reranking: which line answers a question best.

import { gettext, interpolate } from "../texts.js";
import { linesOf, send, setUpForm } from "../playground/try.js";

function rowOf({ text, score }, least, most) {
  const row = document.createElement("li");
  const [line, number, bar] = ["span", "span", "progress"].map((name) => document.createElement(name));
  line.textContent = text;
  number.textContent = score.toFixed(3);
  number.className = "number soft";
  bar.max = 1;
  bar.value = most > least ? (score - least) / (most - least) : 1;
  bar.setAttribute("aria-label", text);
  row.append(line, number, bar);
  return row;
}

setUpForm(async ({ model, query, lines: text }, signal) => {
  const documents = linesOf(text, 2);
  const told = await (await send("/v1/rerank", { model, query, documents }, signal)).json();
  const ranked = told.results.map(({ index, relevance_score: score }) => ({ text: documents[index], score }));
  ranked.sort((one, other) => other.score - one.score);
  const list = document.createElement("ol");
  list.className = "ranked";
  const scores = ranked.map(({ score }) => score);
  list.append(...ranked.map((one) => rowOf(one, Math.min(...scores), Math.max(...scores))));
  return { parts: [list], about: interpolate(gettext("%(count)s lines, the best first,"), { count: ranked.length }) };
});
