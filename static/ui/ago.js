// Keeps "3 minutes ago" true while the page stays open: <time data-ago datetime="…">.

const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];
const EVERY_MS = 15_000;

const format = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });

/** Write all of them anew. */
export function tellAgo() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const seconds = Math.max(0, (Date.now() - Date.parse(time.dateTime)) / 1000);
    const [unit, length] = UNITS.find(([, size]) => seconds >= size) ?? ["second", 1];
    time.textContent = format.format(-Math.floor(seconds / length), unit);
  }
}

setInterval(tellAgo, EVERY_MS);
