// Short news at the edge of the page. What must not be missed belongs on the page itself.

import { gettext } from "./texts.js";

const SHOWN_MS = 6000;
const MOST = 4;

/** Show a text for a few seconds; errors (`tone` "bad") stay until they are closed. */
export function toast(text, tone = "plain") {
  const list = document.getElementById("toasts");
  const item = document.createElement("div");
  item.className = "toast";
  item.dataset.tone = tone;
  const said = document.createElement("p");
  said.textContent = text;
  item.append(said, closer(item));
  list.append(item);
  while (list.children.length > MOST) {
    list.firstElementChild.remove();
  }
  if (tone !== "bad") {
    setTimeout(() => item.remove(), SHOWN_MS);
  }
}

function closer(item) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "link-button";
  button.textContent = gettext("Close");
  button.addEventListener("click", () => item.remove());
  return button;
}
