// Reads the page anew and takes over what changed. The server's templates stay the only place
// that knows how things look.

let running = null;
let again = false;

/** Take over the page's regions from the server. Dispatches `refreshed` on the document. */
export function refresh() {
  if (running) {
    again = true;
    return running;
  }
  running = readUntilQuiet().finally(() => {
    running = null;
  });
  return running;
}

async function readUntilQuiet() {
  do {
    again = false;
    const fresh = await read();
    if (fresh) {
      takeOver(fresh);
    }
  } while (again);
}

/** The page as the server has it now; null while it cannot be read: the streams' return tries again. */
async function read() {
  const { page } = document.querySelector("[data-page]").dataset;
  try {
    const reply = await fetch(page + location.search);
    return reply.ok ? new DOMParser().parseFromString(await reply.text(), "text/html") : null;
  } catch {
    return null;
  }
}

function takeOver(fresh) {
  const here = document.querySelector("[data-page]").dataset;
  if (fresh.querySelector("[data-page]")?.dataset.layout !== here.layout) {
    location.assign(here.page);
    return;
  }
  const focused = document.activeElement?.id;
  for (const region of document.querySelectorAll("[data-region]")) {
    const next = fresh.getElementById(region.id);
    if (next && !next.isEqualNode(region)) {
      keepOpen(region, next);
      region.replaceWith(document.adoptNode(next));
    }
  }
  document.dispatchEvent(new Event("refreshed"));
  if (focused && document.activeElement?.id !== focused) {
    document.getElementById(focused)?.focus({ preventScroll: true });
  }
}

function keepOpen(region, next) {
  for (const { id } of region.querySelectorAll("details[open][id]")) {
    next.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
  }
}
