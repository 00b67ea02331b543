// One question to a model: what is sent, and what comes back.

import { Answer } from "./answer.js";
import { eventsOf } from "./stream.js";

const CHAT = "/v1/chat/completions";
const TEXT = "/v1/completions";
const MOST_CONTINUED = 256; // Tokens: a model that only continues a text seldom ends it by itself.

/** The body of a request. `messages` are nodes of a conversation, `parameters` as the form has them. */
export function bodyOf(model, system, messages, parameters) {
  const said = messages.filter(({ role, text, calls }) => role === "user" || text || calls?.length).map(messageOf);
  const first = system.trim() ? [{ role: "system", content: system }] : [];
  return { model, messages: [...first, ...said], stream: true, stream_options: { include_usage: true }, ...parameters };
}

/** The body for a model that continues a text and knows no messages: all that was said, as one text. */
export function continuationOf(model, system, messages, { tools: _, ...parameters }) {
  const said = messages.reduce((text, one) => text + (text && one.role === "user" ? "\n" : "") + one.text, system.trim());
  const options = { stream: true, stream_options: { include_usage: true } };
  return { model, prompt: said, max_tokens: MOST_CONTINUED, ...options, ...parameters };
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
  const address = "prompt" in body ? TEXT : CHAT;
  const response = await fetch(address, { method: "POST", headers, body: JSON.stringify(body), signal });
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
