// What went wrong, in plain words, and what to do about it.

import { gettext } from "../texts.js";

const TITLES = {
  invalid_api_key: gettext("You are not signed in"),
  not_allowed: gettext("You may not do this"),
  model_not_found: gettext("This model is not served"),
  model_failed_to_start: gettext("The model did not start"),
  model_backing_off: gettext("The model did not start"),
  no_engine: gettext("There is no engine"),
  queue_full: gettext("Too many wait for this model"),
  no_room: gettext("There is no room for this model now"),
  engine_gone: gettext("The engine ended in the middle"),
  engine_died_mid_stream: gettext("The engine ended in the middle"),
  engine_timeout: gettext("The engine did not answer in time"),
  request_cancelled: gettext("It was cancelled on the server"),
  model_unloaded: gettext("The model was unloaded"),
  server_stopping: gettext("The server stops"),
  exceed_context_size_error: gettext("The conversation is longer than the model can hold"),
};

const LONGER = gettext("Begin a new conversation, take out images, or give the model a larger context in its settings.");
const LOST = gettext("The server gave no answer. Look whether it runs, then try again.");

/** `{title, text, act}`; `act` is "sign-in", "log", "engines" or "" where trying again is all there is. */
export function problemOf(error) {
  if (error instanceof TypeError || error instanceof SyntaxError) {
    return { title: gettext("The connection was lost"), text: LOST, act: "" };
  }
  const { code, type, status, message } = error;
  const isTooLong = type === "exceed_context_size_error";
  const title = TITLES[isTooLong ? type : code] ?? (status >= 500 ? gettext("It failed") : gettext("The server refused that"));
  return { title, text: isTooLong ? `${message} ${LONGER}` : message || LOST, act: actOf(code, status) };
}

function actOf(code, status) {
  if (status === 401) {
    return "sign-in";
  }
  return { model_failed_to_start: "log", model_backing_off: "log", engine_gone: "log", engine_died_mid_stream: "log", no_engine: "engines" }[code] ?? "";
}
