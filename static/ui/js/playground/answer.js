// An answer as it grows: text, thoughts, calls of tools, and what the engine said of its work (pure).

/** Puts the pieces of a streamed completion together, of a chat or of a text. */
export class Answer {
  text = "";
  reasoning = "";
  /** Calls of tools: `{id, name, arguments}`, the arguments as the text the model wrote. */
  calls = [];
  /** Why it ended: "stop", "length", "tool_calls"; "" while it goes on, or when it was cut off. */
  finish = "";
  usage = null;
  timings = null;

  /** Take one chunk over; true when it brought something to show. */
  take(chunk) {
    this.usage = chunk.usage ?? this.usage;
    this.timings = chunk.timings ?? this.timings;
    const choice = chunk.choices?.[0];
    if (!choice) {
      return false;
    }
    this.finish = choice.finish_reason ?? this.finish;
    const delta = choice.delta ?? choice.message ?? { content: choice.text };
    this.text += delta.content ?? "";
    this.reasoning += delta.reasoning_content ?? delta.reasoning ?? "";
    (delta.tool_calls ?? []).forEach((call, at) => this.#call(call, at));
    return Boolean(delta.content || delta.reasoning_content || delta.reasoning || delta.tool_calls?.length);
  }

  #call({ index, id, function: named = {} }, at) {
    const call = (this.calls[index ?? at] ??= { id: "", name: "", arguments: "" });
    call.id ||= id ?? "";
    call.name += named.name ?? "";
    call.arguments += named.arguments ?? "";
  }
}

/** When things happened, in milliseconds of one clock. null: not yet. */
export class Watch {
  first = null;
  thought = null;
  ended = null;

  constructor(asked) {
    this.asked = asked;
  }

  /** Something to show has come. */
  saw(answer, now) {
    this.first ??= now;
    if (answer.text || answer.calls.length) {
      this.thought ??= now;
    }
  }
}

/** What is told below an answer; null: unknown. Times in milliseconds. */
export function figuresOf({ usage, timings }, { asked, first, thought, ended }) {
  const tokens = usage?.completion_tokens ?? timings?.predicted_n ?? null;
  const generating = first === null || ended === null ? 0 : ended - first;
  const counted = tokens > 1 && generating > 0 ? ((tokens - 1) * 1000) / generating : null;
  return {
    firstMs: first === null ? null : first - asked,
    totalMs: ended === null ? null : ended - asked,
    thoughtMs: first === null ? null : (thought ?? ended ?? first) - first,
    tokens,
    promptTokens: usage?.prompt_tokens ?? sum(timings?.prompt_n, timings?.cache_n),
    cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? timings?.cache_n ?? null,
    perSecond: timings?.predicted_per_second ?? counted,
    promptPerSecond: timings?.prompt_per_second ?? null,
  };
}

const sum = (one, other) => (one === undefined ? null : one + (other ?? 0));
