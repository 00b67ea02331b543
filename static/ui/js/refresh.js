// Reads the page anew and takes over what changed. The server's templates stay the only place
// that knows how things look.
//
//   <section id="queue" data-region data-live="queue models">   read anew when one of these is told
//   <section id="facts" data-region>                             only with the whole page
//
//   <section id="form" data-region data-unless="#outlook[data-pending]">   left alone while there is such a thing
//
// Within a region, what has an id keeps its focus, and open <details> with an id stay open. A region
// with something typed that was not sent yet, or with what was wrong with it, is left alone, too.

const PAUSE_MS = 150;

let running = null;
let wanted = null; // the ids of regions still to read anew; "all" for all of them
let timer = 0;

/** Take over all of the page's regions from the server. Dispatches `refreshed` on the document. */
export function refresh() {
  wanted = "all";
  return run();
}

/** Take over the regions that follow events of a kind, a moment later. */
export function refreshFor(kind) {
  const regions = document.querySelectorAll(`[data-region][data-live~="${kind}"]`);
  if (!regions.length) {
    return;
  }
  if (wanted !== "all") {
    wanted ??= new Set();
    regions.forEach((region) => wanted.add(region.id));
  }
  clearTimeout(timer);
  timer = setTimeout(run, PAUSE_MS);
}

function run() {
  clearTimeout(timer);
  running ??= readUntilQuiet().finally(() => {
    running = null;
  });
  return running;
}

async function readUntilQuiet() {
  while (wanted) {
    const ids = wanted;
    wanted = null;
    const fresh = document.querySelector("[data-region]") && (await read());
    if (fresh) {
      takeOver(fresh, ids);
    }
  }
}

/** The page as the server has it now; null while it cannot be read: the stream's return tries again. */
async function read() {
  const address = here();
  try {
    const reply = await fetch(address, { headers: { "X-Refresh": "1" } });
    const text = reply.ok ? await reply.text() : null;
    // A filter was chosen meanwhile: what came is of the list before it.
    if (here() !== address) {
      return read();
    }
    // Another address is another page: signed out, or the setup that is due.
    if (reply.redirected && new URL(reply.url).pathname !== location.pathname) {
      location.assign(reply.url);
      return null;
    }
    return text === null ? null : new DOMParser().parseFromString(text, "text/html");
  } catch {
    return null;
  }
}

const here = () => location.pathname + location.search;

/** Take over the regions of a page that came as the answer of a form. */
export function takeOverPage(fresh) {
  takeOver(fresh, "all", { evenInUse: true });
}

function takeOver(fresh, ids, { evenInUse = false } = {}) {
  const focused = document.activeElement?.id;
  const regions = [...document.querySelectorAll("[data-region]")];
  // Looked at before any is replaced: what keeps one of them may lie in another.
  const free = evenInUse ? regions : regions.filter((region) => !isInUse(region));
  for (const region of free) {
    const next = fresh.getElementById(region.id);
    if (next && (ids === "all" || ids.has(region.id))) {
      replace(region, next);
    }
  }
  document.dispatchEvent(new Event("refreshed"));
  if (focused && document.activeElement?.id !== focused) {
    document.getElementById(focused)?.focus({ preventScroll: true });
  }
}

// What somebody types, or has typed, is not taken out of their hands.
function isInUse(region) {
  const { unless } = region.dataset;
  const focused = document.activeElement;
  const isTypedIn =
    region.contains(focused) && focused.matches("input:not([type=checkbox], [type=radio]), textarea, select");
  return isTypedIn || isWrittenIn(region) || Boolean(unless && document.querySelector(unless));
}

function isWrittenIn(region) {
  const fields = [...region.querySelectorAll("input, textarea, select")].filter(({ form }) => form?.method === "post");
  return fields.some(isChanged) || (fields.length > 0 && region.querySelector("[role=alert]") !== null);
}

function isChanged(field) {
  if (field.matches("[type=checkbox], [type=radio]")) {
    return field.checked !== field.defaultChecked;
  }
  if (field.matches("select")) {
    const options = [...field.options];
    const first = Math.max(0, options.findIndex(({ defaultSelected }) => defaultSelected));
    return field.selectedIndex !== first;
  }
  return field.value !== field.defaultValue;
}

function replace(region, next) {
  if (next.isEqualNode(region)) {
    return;
  }
  keepOpen(region, next);
  const taken = document.adoptNode(next);
  region.replaceWith(taken);
  window.htmx?.process(taken);
}

/** Open in `next` what is open in the region whose place it takes. */
export function keepOpen(region, next) {
  for (const { id } of region.querySelectorAll("details[open][id]")) {
    next.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
  }
}
