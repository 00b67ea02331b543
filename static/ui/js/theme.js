// Takes over the chosen colours before anything is painted. The admin keeps its choice in the same
// place, so that both look alike.
"use strict";
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("theme");
  } catch {
    // Storage is switched off: the system's colours it is.
  }
  document.documentElement.dataset.theme = ["light", "dark"].includes(chosen) ? chosen : "auto";
}
