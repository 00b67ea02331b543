// One question to a model: what is sent, and what comes back.

import { Answer } from "./answer.js";
import { eventsOf } from "./stream.js";

const ADDRESS = "/v1/chat/completions";

/** The body of a request. `messages` are nodes of a conversation, `parameters` as the form has them. */
export function bodyOf(model, system, messages, parameters) {
  const said = messages.filter(({ role, text, calls }) => role === "user" || text || calls?.length).map(messageOf);
  const first = system.trim() ? [{ role: "system", content: system }] : [];
  return { model, messages: [...first, ...said], stream: true, stream_options: { include_usage: true }, ...parameters };
}

function messageOf({ role, text, files, calls }) {
  if (role === "assistant") {
    return { role, content: text, ...(calls?.length ? { tool_calls: calls.map(callOf) } : {}) };
  }
  if (!files?.length) {
    return { role, content: text };
  }
  return { role, content: [...files.map(partOf), ...(text ? [{ type: "text", text }] : [])] };
}

const callOf = ({ id, name, arguments: given }) => ({ id, type: "function", function: { name, arguments: given } });

const partOf = ({ kind, url, format }) =>
  kind === "sound"
    ? { type: "input_audio", input_audio: { data: url.slice(url.indexOf(",") + 1), format } }
    : { type: "image_url", image_url: { url } };

/** What the server said when it refused or failed. `code` and `status` as it told them. */
export class Refusal extends Error {
  constructor(status, { message, code, type } = {}) {
    super(message ?? "");
    this.status = status;
    this.code = code ?? type ?? "";
    this.type = type ?? "";
  }
}

/** A `Refusal` for a response that is none of success. */
export async function refusalOf(response) {
  let error;
  try {
    const told = await response.json();
    error = typeof told.error === "string" ? { message: told.error, code: told.code } : told.error;
  } catch {
    error = {};
  }
  return new Refusal(response.status, error);
}

/** Ask, and give the answer over and over as it grows. Raises `Refusal`; `signal` ends it. */
export async function* ask(body, signal) {
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(ADDRESS, { method: "POST", headers, body: JSON.stringify(body), signal });
  if (!response.ok) {
    throw await refusalOf(response);
  }
  const answer = new Answer();
  for await (const event of eventsOf(response)) {
    if (event.error) {
      throw new Refusal(event.error.status ?? 200, event.error);
    }
    yield { answer, isSeen: answer.take(event) };
  }
}
