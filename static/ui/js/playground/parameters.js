// The form of parameters: read, checked, remembered.

import { gettext } from "../texts.js";

const KEPT_AS = "playground-parameters";

/** The fields of a request that the form's values stand for. Raises Error with what to do. */
export function parametersOf(values) {
  const found = {};
  for (const name of ["temperature", "top_p", "max_tokens", "seed"]) {
    if (values[name]?.trim()) {
      found[name] = Number(values[name]);
    }
  }
  const stops = (values.stop ?? "").split("\n").filter(Boolean);
  if (stops.length) {
    found.stop = stops;
  }
  if (values.tools?.trim()) {
    found.tools = toolsOf(values.tools);
  }
  return found;
}

function toolsOf(text) {
  let tools;
  try {
    tools = JSON.parse(text);
  } catch (error) {
    throw new Error(`${gettext("The tools are no JSON")}: ${error.message}`);
  }
  if (!Array.isArray(tools)) {
    throw new Error(gettext("The tools must be a JSON list, such as [{\"type\": \"function\", \"function\": {…}}]."));
  }
  return tools;
}

/** Fill the form with what was chosen last, and remember what is chosen. */
export function keepParameters(form) {
  for (const [name, value] of Object.entries(kept())) {
    if (form.elements[name]) {
      form.elements[name].value = value;
    }
  }
  form.addEventListener("input", () => {
    try {
      localStorage.setItem(KEPT_AS, JSON.stringify(Object.fromEntries(new FormData(form))));
    } catch {
      // It counts for this page alone.
    }
  });
}

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT_AS)) ?? {};
  } catch {
    return {};
  }
}

/** The fields of a request, with the system prompt apart. Raises Error when a field is wrong. */
export function readParameters(form) {
  const wrong = form.querySelector(":invalid:not(fieldset)");
  if (wrong) {
    throw new Error(`${wrong.labels[0].textContent.trim()}: ${wrong.validationMessage}`);
  }
  return parametersOf(Object.fromEntries(new FormData(form)));
}
