// Times that stay true while the page stays open.
//
//   <time data-ago datetime="…">3 minutes ago</time>       how long ago
//   <time data-since datetime="…">12 s</time>              for how long, in seconds, ticking

const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

const format = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });
const secondsSince = (time) => Math.max(0, (Date.now() - Date.parse(time.dateTime)) / 1000);

function write(element, text) {
  // An unchanged text is left alone: writing it would end a selection in it.
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** Write all of them anew. */
export function tellAgo() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const seconds = secondsSince(time);
    const [unit, length] = UNITS.find(([, size]) => seconds >= size) ?? ["second", 1];
    write(time, format.format(-Math.floor(seconds / length), unit));
  }
  tick();
}

function tick() {
  for (const time of document.querySelectorAll("time[data-since]")) {
    write(time, `${Math.floor(secondsSince(time))} s`);
  }
}

setInterval(tellAgo, 15_000);
setInterval(tick, 1000);
