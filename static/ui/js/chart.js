// Charts in our colours (uPlot, loaded by the page). They follow the theme and the width they get.
//
//   const chart = draw(element, { points, lines: [{ label, series: 1, fill: true, scale: "y" }], unit: " s" });
//   chart.update(points);

import { gettext } from "./texts.js";

const HEIGHT = 200;
const LEAST_SECONDS = 3600;
const FEW = 3;

const DAY_SECONDS = 86_400;

const locale = document.documentElement.lang;
const short = new Intl.NumberFormat(locale, { notation: "compact" });
const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const dayFormat = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
const clockFormat = new Intl.DateTimeFormat(locale, clock);
const momentFormat = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", ...clock });
const dateOf = (seconds) => new Date(seconds * 1000);

/** Below the axis: the time of day, and the day where one begins. */
function sayTime(seconds, step) {
  const date = dateOf(seconds);
  const isDay = step >= DAY_SECONDS || (date.getHours() === 0 && date.getMinutes() === 0);
  return (isDay ? dayFormat : clockFormat).format(date);
}

/** Values so few that a line between them would not be seen. */
const areFew = (values) => values.filter((value) => value !== null).length < FEW;

/** The times it reaches over: for a single moment, the hour around it. */
function range([times]) {
  const [first, last] = [times[0] ?? 0, times.at(-1) ?? 0];
  const more = Math.max(0, LEAST_SECONDS - (last - first)) / 2;
  return [first - more, last + more];
}

// A canvas knows no light-dark(): what an element would have is asked for.
function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const faint = (rgb) => rgb.replace("rgb(", "rgba(").replace(")", ", 0.14)");

function optionsOf(element, { lines, unit = "" }, points) {
  const soft = colour("--ink-soft");
  const grid = { stroke: colour("--line"), width: 1 };
  const axis = { stroke: soft, grid, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const amount = (value) => (value === null || value === undefined ? "–" : `${short.format(value)}${unit}`);
  const values = { size: 56, values: (_, ticks) => ticks.map(amount) };
  const right = lines.find(({ scale }) => scale && scale !== "y");
  return {
    width: element.clientWidth,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false } },
    legend: { live: true },
    scales: {
      x: { range: ({ data }) => range(data) },
      ...Object.fromEntries(lines.map(({ scale = "y" }) => [scale, { range: (_, __, most) => [0, Math.max(1, most * 1.1)] }])),
    },
    axes: [{ ...axis, values: (_, ticks, __, ___, step) => ticks.map((at) => sayTime(at, step)) }, { ...axis, ...values, scale: "y" }, ...(right ? [{ ...axis, ...values, scale: right.scale, side: 1, grid: { show: false } }] : [])],
    series: [
      { label: gettext("Time"), value: (_, at) => (at === null || at === undefined ? "–" : momentFormat.format(dateOf(at))) },
      ...lines.map(({ label, series, fill, scale = "y" }, at) => {
        const stroke = colour(`--series-${series}`);
        return { label, scale, stroke, width: 2, fill: fill ? faint(stroke) : undefined, points: { show: areFew(points[at + 1]) }, value: (_, value) => amount(value) };
      }),
    ],
  };
}

/** Draw lines over time; the first list of `points` holds seconds since 1970. */
export function draw(element, { points, ...look }) {
  let shown = points;
  let plot = null;
  const build = () => {
    plot?.destroy();
    plot = new window.uPlot(optionsOf(element, look, shown), shown, element);
  };
  const watched = new AbortController();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const resized = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }));
  build();
  resized.observe(element);
  document.addEventListener("themechange", build, { signal: watched.signal });
  dark.addEventListener("change", build, { signal: watched.signal });
  return {
    element,
    destroy() {
      watched.abort();
      resized.disconnect();
      plot.destroy();
    },
    update(next) {
      shown = next;
      build();
    },
  };
}
