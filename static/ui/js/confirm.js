// Asks once before what cannot be undone.
//
//   <button data-confirm="What will happen, in one sentence." data-confirm-title="Remove x?"
//           data-confirm-yes="Remove" name="…" value="…">
//
// works for submit buttons, with htmx or without. With JavaScript off the form is sent at once: a
// form whose act cannot be undone at all leads to a page that asks instead.

import { gettext } from "./texts.js";
import { toast } from "./toast.js";

const dialog = document.getElementById("confirm");

/** Ask with our dialog; true when the person agreed. */
export async function confirm({ title, text, yes }) {
  dialog.querySelector("#confirm-title").textContent = title;
  dialog.querySelector("#confirm-text").textContent = text;
  dialog.querySelector("#confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

const questionOf = ({ dataset, textContent }) => ({
  title: dataset.confirmTitle ?? textContent.trim(),
  text: dataset.confirm,
  yes: dataset.confirmYes ?? textContent.trim(),
});

const agreed = new WeakSet();

const actOf = (button) =>
  JSON.stringify([
    button.getAttribute("form") ?? button.form?.getAttribute("action"),
    button.getAttribute("formaction"),
    button.name,
    button.value,
  ]);

/** The button for the same act: a list that updates itself replaces its buttons while we ask. */
const now = (button) =>
  button.isConnected
    ? button
    : [...document.querySelectorAll("button[data-confirm]")].find(
        (other) => actOf(other) === actOf(button),
      );

document.addEventListener(
  "click",
  async (event) => {
    const button = event.target.closest("button[data-confirm]");
    if (!button || agreed.delete(button)) {
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!(await confirm(questionOf(button)))) {
      return;
    }
    const there = now(button);
    if (!there) {
      toast(gettext("That is gone meanwhile; nothing was done."));
      return;
    }
    agreed.add(there);
    there.click();
  },
  { capture: true },
);
