// Buttons that copy: data-copy names the element whose text is meant.

import { announce } from "./announce.js";
import { gettext } from "./texts.js";

const SHOWN_MS = 1500;

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button || button.hasAttribute("data-copied")) {
    return;
  }
  const source = document.getElementById(button.dataset.copy);
  if (await copy(source)) {
    showCopied(button);
  } else {
    announce(gettext("It is selected; copy it with your keyboard."));
  }
});

/** Put an element's text on the clipboard; where that is refused, select it for the person. */
async function copy(source) {
  try {
    // Absent on plain HTTP from another machine.
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  }
}

/** Put a text that stands nowhere on the page on the clipboard; the button says so. */
export async function copyText(text, button) {
  const source = document.createElement("pre");
  source.className = "visually-hidden";
  source.textContent = text;
  document.body.append(source);
  if (await copy(source)) {
    showCopied(button);
  }
  source.remove();
}

function showCopied(button) {
  const label = button.querySelector("span:not(.visually-hidden)");
  const before = label?.textContent;
  button.setAttribute("data-copied", "");
  announce(gettext("Copied"));
  if (label) {
    label.textContent = gettext("Copied");
  }
  setTimeout(() => {
    button.removeAttribute("data-copied");
    if (label) {
      label.textContent = before;
    }
  }, SHOWN_MS);
}
