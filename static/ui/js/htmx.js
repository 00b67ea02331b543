// What is sent by htmx is sent as our forms are: with Django's token, and with its failures shown.

import { tellAgo } from "./ago.js";
import { keepOpen } from "./refresh.js";
import { gettext } from "./texts.js";
import { toast } from "./toast.js";

const token = () => document.querySelector("[name=csrfmiddlewaretoken]")?.value;

document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (token() && !("csrfmiddlewaretoken" in detail.parameters)) {
    detail.headers["X-CSRFToken"] = token();
  }
});

document.addEventListener("htmx:sendError", () => {
  toast(gettext("The server gave no answer. Once it is back, try again."), "bad");
});

document.addEventListener("htmx:responseError", ({ detail }) => {
  toast(reasonOf(detail.xhr), "bad");
});

document.addEventListener("htmx:afterSwap", tellAgo);

// The region that goes is still whole when the one that comes is already in its place.
document.addEventListener("htmx:afterSwap", ({ detail }) => {
  const next = document.getElementById(detail.target.id);
  if (next && next !== detail.target) {
    keepOpen(detail.target, next);
  }
});

function reasonOf(xhr) {
  try {
    return JSON.parse(xhr.responseText).error;
  } catch {
    return `${gettext("The server refused that")} (${xhr.status}).`;
  }
}
