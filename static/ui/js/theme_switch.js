// The button that goes through the three ways of colours, and remembers.

import { gettext } from "./texts.js";

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const TEXTS = {
  auto: gettext("Colours: as the system has them"),
  light: gettext("Colours: light"),
  dark: gettext("Colours: dark"),
};

const root = document.documentElement;
const button = document.querySelector("[data-theme-switch]");

function show() {
  document.getElementById("theme-text").textContent = TEXTS[root.dataset.theme];
  button.title = TEXTS[root.dataset.theme];
}

function choose(theme) {
  root.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // It counts for this page alone.
  }
  show();
  document.dispatchEvent(new Event("themechange"));
}

button?.addEventListener("click", () => choose(NEXT[root.dataset.theme] ?? "auto"));
if (button) {
  show();
}
