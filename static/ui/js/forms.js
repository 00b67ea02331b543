// Forms that act without leaving the page: <form method="post" data-enhance>.
//
// They are sent as they would be without JavaScript, and the page that the server leads to is taken
// over in place: its regions as they are, its messages as toasts. A page elsewhere is gone to.

import { refresh, takeOverPage } from "./refresh.js";
import { gettext } from "./texts.js";
import { toast } from "./toast.js";

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches("form[data-enhance]") && !event.defaultPrevented) {
    event.preventDefault();
    send(form, event.submitter);
  }
});

// A look at what a form would do must not come after it was sent, and show what is no longer so.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.closest("form[aria-busy=true]")) {
    event.preventDefault();
  }
});

async function send(form, button) {
  if (button?.getAttribute("aria-disabled") === "true") {
    return;
  }
  button?.setAttribute("aria-busy", "true");
  form.setAttribute("aria-busy", "true");
  window.htmx?.trigger(form, "htmx:abort");
  try {
    const address = button?.getAttribute("formaction") ?? form.getAttribute("action") ?? location.href;
    const reply = await fetch(address, { method: "POST", body: new FormData(form, button) });
    await take(reply);
  } catch {
    toast(gettext("The server gave no answer. Once it is back, try again."), "bad");
  } finally {
    button?.removeAttribute("aria-busy");
    form.removeAttribute("aria-busy");
  }
}

async function take(reply) {
  const isPage = reply.headers.get("Content-Type")?.startsWith("text/html");
  if (isPage && (reply.ok || reply.status === 422)) {
    const there = new URL(reply.url);
    if (reply.ok && there.pathname !== location.pathname) {
      location.assign(reply.url);
      return;
    }
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    tell(fresh);
    takeOverPage(fresh);
  } else {
    toast(`${gettext("The server refused that")} (${reply.status}).`, "bad");
    await refresh();
  }
}

function tell(fresh) {
  for (const message of fresh.querySelectorAll(".messages > li")) {
    toast(message.textContent.trim(), message.dataset.tone);
  }
}
