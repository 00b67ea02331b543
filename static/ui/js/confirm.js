// Asks once before what cannot be undone.
//
//   <button data-confirm="What will happen, in one sentence." data-confirm-title="Remove x?"
//           data-confirm-yes="Remove" name="…" value="…">
//
// works for submit buttons, with htmx or without. With JavaScript off the form is sent at once: a
// form whose act cannot be undone at all leads to a page that asks instead.

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

document.addEventListener(
  "click",
  async (event) => {
    const button = event.target.closest("button[data-confirm]");
    if (!button || agreed.delete(button)) {
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    if (await confirm(questionOf(button))) {
      agreed.add(button);
      button.click();
    }
  },
  { capture: true },
);
