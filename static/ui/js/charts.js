// Charts of values over time, drawn by uPlot in the page's colours.
//
//   drawChart(element, [times, …values], [{label, series: 1, unit: "s"}, …], { step: 3600 })

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A colour of the page as the canvas needs it: `light-dark()` is settled by the browser itself. */
function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const short = new Intl.NumberFormat(document.documentElement.lang, { notation: "compact" });

function axes(unit) {
  const look = { stroke: colour("--ink-soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: `12px ${css("--sans")}` };
  return [look, { ...look, size: 56, values: (_, ticks) => ticks.map((tick) => `${short.format(tick)}${unit}`) }];
}

const drawn = new Map();

/** Draw, or draw anew, a chart in `element`. `lines` are `{label, series, unit, bars}`. */
export function drawChart(element, data, lines) {
  drawn.get(element)?.plot.destroy();
  element.replaceChildren();
  if (!data[0].length) {
    element.dataset.empty = element.dataset.nothing ?? "–";
    drawn.delete(element);
    return;
  }
  delete element.dataset.empty;
  const unit = lines[0].unit ?? "";
  const told = (value) => (value === null || value === undefined ? "–" : `${short.format(value)}${unit}`);
  const series = lines.map(({ label, series: number }) => ({
    label,
    stroke: colour(`--series-${number}`),
    width: 2,
    points: { show: data[0].length < 3 },
    value: (_, value) => told(value),
  }));
  const options = {
    width: element.clientWidth,
    height: 200,
    cursor: { y: false },
    axes: axes(unit),
    scales: { y: { range: (_, least, most) => [0, (most || 1) * 1.1] } },
    series: [{}, ...series],
  };
  const plot = new window.uPlot(options, data, element);
  drawn.set(element, { plot, data, lines });
}

new ResizeObserver(() => {
  for (const [element, { plot }] of drawn) {
    plot.setSize({ width: element.clientWidth, height: 200 });
  }
}).observe(document.documentElement);

const again = () => [...drawn].forEach(([element, { data, lines }]) => drawChart(element, data, lines));
document.addEventListener("themechange", again);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
