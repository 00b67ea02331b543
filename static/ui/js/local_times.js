// Moments in the reader's own time. Without JavaScript they stand as the server writes them: in UTC.
//
//   <time data-local="moment" datetime="…">26 Nov, 09:12:13</time>    or "long": with the year
//                                     or "minute": with the year, in short; or "day"
//   <span data-utc>(UTC)</span>                                       said no more
//   <input type="datetime-local" name="until">                        filled in and shown so, sent in UTC

const locale = document.documentElement.lang;
const day = { day: "numeric", month: "short" };
const time = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const FORMATS = {
  moment: new Intl.DateTimeFormat(locale, { ...day, ...time, second: "2-digit" }),
  minute: new Intl.DateTimeFormat(locale, { ...day, year: "numeric", ...time }),
  day: new Intl.DateTimeFormat(locale, { ...day, year: "numeric" }),
  long: new Intl.DateTimeFormat(locale, { dateStyle: "long", timeStyle: "medium", hourCycle: "h23" }),
};
const MINUTE_MS = 60_000;

const shift = (value, by) => {
  const at = Date.parse(`${value}Z`);
  // The zone's distance from UTC is that of the moment itself: summers differ.
  return new Date(at + by * new Date(at).getTimezoneOffset() * MINUTE_MS).toISOString().slice(0, 16);
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
  root.querySelectorAll("input[type=datetime-local][name]").forEach(takeLocal);
}

/** Let a field that the server reads as UTC be filled in the reader's own time. */
function takeLocal(field) {
  const sent = Object.assign(document.createElement("input"), { type: "hidden", name: field.name, value: field.value });
  if (field.hasAttribute("form")) {
    sent.setAttribute("form", field.getAttribute("form"));
  }
  field.after(sent);
  field.removeAttribute("name");
  // As its default: it was not changed by anybody.
  field.defaultValue = field.value && shift(field.value, -1);
  field.addEventListener("input", () => {
    sent.value = field.value && shift(field.value, 1);
  });
}
