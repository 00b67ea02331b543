// Moments in the reader's own time. Without JavaScript they stand as the server writes them: in UTC.
//
//   <time data-local="moment" datetime="…">26 Nov, 09:12:13</time>    or "long": with the year
//                                     or "minute": with the year, in short
//   <span data-utc>(UTC)</span>                                       said no more

const locale = document.documentElement.lang;
const time = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const FORMATS = {
  moment: new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", ...time, second: "2-digit" }),
  minute: new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", year: "numeric", ...time }),
  long: new Intl.DateTimeFormat(locale, { dateStyle: "long", timeStyle: "medium", hourCycle: "h23" }),
};

/** Write all of them below an element. */
export function tellLocal(root = document) {
  for (const element of root.querySelectorAll("time[data-local]")) {
    element.textContent = FORMATS[element.dataset.local].format(new Date(element.dateTime));
    element.title = new Date(element.dateTime).toISOString();
  }
  for (const element of root.querySelectorAll("[data-utc]")) {
    element.hidden = true;
  }
}
