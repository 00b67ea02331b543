// What the pages that are no chat have in common: a form, one request, and what comes of it.

import { announce } from "../announce.js";
import { gettext, interpolate } from "../texts.js";
import { Refusal, refusalOf } from "./asking.js";
import { problemOf } from "./problems.js";
import { followWait, sentenceOf } from "./waiting.js";

/** Have the page's form run `ask(values, signal)`, which gives elements and a sentence about them. */
export function setUpForm(ask) {
  const form = document.getElementById("try");
  const place = document.getElementById("answer");
  const button = form.querySelector("[type=submit]");
  let running = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    running?.abort();
    running = new AbortController();
    const began = performance.now();
    const values = Object.fromEntries(new FormData(form));
    button.setAttribute("aria-busy", "true");
    show(place, [paragraph(gettext("Waiting for the answer…"))]);
    const endWait = followWait(form.dataset.wait, values.model, (told) => {
      const sentence = sentenceOf(told);
      if (sentence) {
        show(place, [paragraph(sentence)]);
      }
    });
    try {
      const { parts, about } = await ask(values, running.signal);
      endWait();
      const time = interpolate(gettext("%(about)s in %(time)s s."), { about, time: ((performance.now() - began) / 1000).toFixed(2) });
      show(place, [...parts, paragraph(time, "soft")]);
      announce(time);
    } catch (error) {
      endWait();
      if (error.name !== "AbortError") {
        show(place, [notice(problemOf(error))]);
      }
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      running?.abort();
    }
  });
}

function show(place, parts) {
  delete place.dataset.empty;
  place.replaceChildren(...parts);
}

export function paragraph(text, className = "") {
  const element = document.createElement("p");
  element.className = className;
  element.textContent = text;
  return element;
}

function notice({ title, text }) {
  const element = document.createElement("div");
  element.className = "notice";
  element.dataset.tone = "bad";
  element.setAttribute("role", "alert");
  const heading = document.createElement("h3");
  heading.textContent = title;
  element.append(heading, paragraph(text, "preserve"));
  return element;
}

/** Send JSON or a form; gives the response. Raises `Refusal`. */
export async function send(address, body, signal) {
  const isForm = body instanceof FormData;
  const options = isForm ? { body } : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  const response = await fetch(address, { method: "POST", signal, ...options });
  if (!response.ok) {
    throw await refusalOf(response);
  }
  return response;
}

/** The lines of a text that say something. Raises `Refusal` when there are fewer than `least`. */
export function linesOf(text, least) {
  const found = text.split("\n").map((line) => line.trim()).filter(Boolean);
  if (found.length < least) {
    throw new Refusal(400, { message: interpolate(gettext("Write at least %(least)s lines."), { least }) });
  }
  return found;
}
