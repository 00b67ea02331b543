// A log as it comes from the server, and again after the connection was lost.

const RETRY_MS = [500, 1000, 2000, 5000];

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Read a log for as long as the page is open. `take(text, isNew)` gets its text, what was kept first
 * (`isNew` false: it replaces what is shown); `tell(isOpen)` hears whether lines can come.
 */
export async function followLog(source, take, tell) {
  const address = `/logs/stream${source && `/${encodeURIComponent(source)}`}`;
  for (let failures = 0; ; failures++) {
    try {
      const reply = await fetch(address, { cache: "no-store" });
      if (!reply.ok) {
        throw new Error(String(reply.status));
      }
      failures = -1;
      tell(true);
      await read(reply, take);
    } catch {
      // It is tried again; the sign at the foot tells.
    }
    tell(false);
    await wait(RETRY_MS[Math.min(failures + 1, RETRY_MS.length - 1)]);
  }
}

async function read(reply, take) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let isFirst = true;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) {
      return;
    }
    take(value, !isFirst);
    isFirst = false;
  }
}
