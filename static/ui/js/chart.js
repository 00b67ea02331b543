// Charts in our colours (uPlot, loaded by the page). They follow the theme and the width they get.
//
//   const chart = draw(element, { points, lines: [{ label, series: 1, fill: true, scale: "y" }] });
//   chart.update(points);

const HEIGHT = 200;

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

function optionsOf(element, lines) {
  const soft = colour("--ink-soft");
  const grid = { stroke: colour("--line"), width: 1 };
  const axis = { stroke: soft, grid, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const right = lines.find(({ scale }) => scale && scale !== "y");
  return {
    width: element.clientWidth,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false } },
    legend: { live: true },
    scales: Object.fromEntries(lines.map(({ scale = "y" }) => [scale, { range: (_, __, most) => [0, Math.max(1, most * 1.1)] }])),
    axes: [axis, { ...axis, scale: "y", size: 48 }, ...(right ? [{ ...axis, scale: right.scale, side: 1, grid: { show: false }, size: 48 }] : [])],
    series: [
      {},
      ...lines.map(({ label, series, fill, scale = "y" }) => {
        const stroke = colour(`--series-${series}`);
        return { label, scale, stroke, width: 2, fill: fill ? faint(stroke) : undefined, points: { show: false } };
      }),
    ],
  };
}

/** Draw lines over time; the first list of `points` holds seconds since 1970. */
export function draw(element, { points, lines }) {
  let shown = points;
  let plot = null;
  const build = () => {
    plot?.destroy();
    plot = new window.uPlot(optionsOf(element, lines), shown, element);
  };
  build();
  new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT })).observe(element);
  document.addEventListener("themechange", build);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build);
  return {
    element,
    update(next) {
      shown = next;
      plot.setData(next);
    },
  };
}
