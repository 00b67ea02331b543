// Reads an answer that comes as an event stream.

/** Takes a stream's text in whatever pieces it comes, and gives the data of its events. */
export class EventParser {
  #rest = "";
  #data = [];

  /** The data of every event that is whole with this piece. */
  feed(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line) {
    if (line === "") {
      const data = this.#data.splice(0).join("\n");
      return data ? [data] : [];
    }
    // A line that begins with a colon is a sign of life.
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (field === "data") {
      this.#data.push(value);
    }
    return [];
  }
}

/** The data of a response's events, one after the other, as JSON; ends with `[DONE]` or the stream. */
export async function* eventsOf(response) {
  const parser = new EventParser();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      for (const data of parser.feed(done ? "\n\n" : value)) {
        if (data === "[DONE]") {
          return;
        }
        yield JSON.parse(data);
      }
      if (done) {
        return;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
