"use strict";
// Every chart as a function from data to an ECharts option. Colours: Okabe and Ito, told apart by the colour-blind.

const COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800", "#7F7F7F", "#5D3A9B", "#A6611A"];
const SYMBOLS = ["circle", "triangle", "rect", "diamond", "roundRect", "pin", "arrow"];
const LINES = ["solid", "dashed", "dotted"];
const DECALS = [null,
  { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [2, 5], rotation: Math.PI / 4, color: "rgba(255,255,255,.45)" },
  { symbol: "circle", dashArrayX: [4, 4], dashArrayY: [4, 4], symbolSize: 0.8, color: "rgba(255,255,255,.6)" }];
const FONT = getComputedStyle(document.body).fontFamily;

function ink() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return { text: read("--ink"), soft: read("--soft"), line: read("--line"), back: read("--back"), mark: read("--mark") };
}

function base() {
  const colour = ink();
  return {
    animation: false,
    color: COLOURS,
    backgroundColor: "transparent",
    textStyle: { color: colour.text, fontFamily: FONT },
    aria: { enabled: true },
    legend: { type: "plain", top: 0, left: 0, itemGap: 14, textStyle: { color: colour.text }, inactiveColor: colour.line },
    grid: { left: 16, right: 28, top: 40, bottom: 36 },
    tooltip: { confine: true, backgroundColor: colour.back, borderColor: colour.line, textStyle: { color: colour.text } },
  };
}

function axis(name, more) {
  const colour = ink();
  return {
    name, nameLocation: "middle", nameGap: 30, nameTextStyle: { color: colour.soft },
    axisLabel: { color: colour.soft, hideOverlap: true, formatter: tick((more || {}).type === "log" ? 3 : 10) },
    axisLine: { lineStyle: { color: colour.line } }, splitLine: { lineStyle: { color: colour.line, opacity: 0.6 } },
    ...more,
  };
}

/* What an axis writes at its ticks. They are round numbers, but for the ends of a logarithmic axis: as many digits as it
   takes to tell one from the next. */
const tick = (digits) => (value) => (typeof value === "number" ? short(value, digits) : value);

function short(value, digits) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e12 || size < 1e-3) return Number(value.toPrecision(digits)).toExponential();
  for (const [step, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= step) return Number((value / step).toPrecision(digits)) + letter;
  }
  return String(Number(value.toPrecision(digits)));
}

const LEGEND_ROW = 28; // a mark of 14, and the gap between names
const measured = document.createElement("canvas").getContext("2d");

/* How many rows a chart's legend takes at a width: none of its names is cut or on another page. */
function legendRows(option, width) {
  if (!option.legend) return 1;
  measured.font = "12px " + FONT;
  const names = [...new Set(option.series.map((series) => series.name))];
  let rows = 1, x = 0;
  for (const name of names) {
    const wide = 30 + measured.measureText(name).width; // a mark of 25, and 5 before the name
    if (x > 0 && x + wide > width - 10) { rows += 1; x = 0; }
    x += wide + option.legend.itemGap;
  }
  return rows;
}

/* A node with a chart in it that knows how to draw itself anew. */
function figure(option, height, label, onclick) {
  const node = el("div", { class: "chart", role: "img", "aria-label": label });
  if (height) node.style.height = height + "px";
  const each = { node, chart: null, draw(width = null) {
    if (!node.isConnected) return;
    if (each.chart === null) {
      each.chart = echarts.init(node, null, { renderer: "svg" });
      if (onclick) each.chart.on("click", onclick);
    }
    const now = option(), more = LEGEND_ROW * (legendRows(now, width || node.clientWidth) - 1);
    if (more > 0) now.grid = { ...now.grid, top: now.grid.top + more };
    node.style.height = ""; // what the style sheet says of this width
    node.style.height = (height || node.clientHeight) + Math.max(0, more) + "px";
    each.chart.resize({ width: width || "auto" });
    each.chart.setOption(now, { notMerge: true });
  } };
  drawn.push(each);
  node.redraw = each.draw;
  return node;
}

function forget(parent) {
  for (let i = drawn.length - 1; i >= 0; i -= 1) {
    if (parent.contains(drawn[i].node)) {
      if (drawn[i].chart) drawn[i].chart.dispose();
      drawn.splice(i, 1);
    }
  }
}

/* Points that no other beats in both cost and accuracy, by rising cost. */
function paretoOf(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || b[1] - a[1]);
  const best = [];
  for (const point of sorted) {
    if (best.length === 0 || point[1] > best[best.length - 1][1]) best.push(point);
  }
  return best;
}

/* series: [{name, colour, look, points: [{label, accuracy, <metric>}]}] */
function curvesOption(series, metric, metricLabel, logarithmic, front) {
  const colour = ink();
  const option = base();
  const unit = unitOf(metric, series.flatMap((each) => each.points.map((point) => point[metric])));
  const all = series.flatMap((each) => each.points.map((point) => [point[metric] / unit.factor, point.accuracy]));
  const list = series.map((each, place) => ({
    name: each.shown || each.name, type: "line", symbol: SYMBOLS[each.look % SYMBOLS.length], symbolSize: 10,
    lineStyle: { type: LINES[each.look % LINES.length], width: 2 },
    itemStyle: { color: COLOURS[each.colour % COLOURS.length] },
    data: [...each.points].sort((a, b) => a[metric] - b[metric]).map((point) => ({ value: [point[metric] / unit.factor, point.accuracy], name: point.label })),
    label: { show: !each.shown || place === 0, position: place % 2 ? "bottom" : "top", formatter: (p) => p.name, color: colour.soft, fontSize: 11 },
    labelLayout: { hideOverlap: true, moveOverlap: "shiftY" }, z: 3,
  }));
  if (front && all.length > 2) {
    list.push({ name: "Pareto front", type: "line", step: "end", symbol: "none", data: paretoOf(all), z: 1,
      lineStyle: { color: colour.soft, width: 7, opacity: 0.25, type: "solid" }, itemStyle: { color: colour.soft } });
  }
  const label = unit.label || metricLabel;
  return { ...option,
    grid: { ...option.grid, bottom: 44 },
    tooltip: { ...option.tooltip, trigger: "item", formatter: (p) => tip([p.seriesName, p.name, label + ": " + number(p.value[0]), "top-1: " + number(p.value[1]) + " %"]) },
    xAxis: axis(label, { type: logarithmic ? "log" : "value", scale: true, ...(logarithmic ? {} : { boundaryGap: ["6%", "12%"] }) }),
    yAxis: axis("top-1 accuracy, %", { type: "value", scale: true, boundaryGap: ["4%", "8%"], nameGap: 38 }),
    series: list };
}

/* Whether names stand side by side below a chart as wide as the page. */
function fitsAcross(names) {
  measured.font = "12px " + FONT;
  const widest = Math.max(0, ...names.map((name) => measured.measureText(name).width));
  return (widest + 12) * names.length < Math.min(document.body.clientWidth, 1340) - 130;
}

/* items: names; series: [{name, colour, look, values: [..]}] */
function barsOption(items, series, label, metric) {
  const option = base();
  const unit = unitOf(metric, series.flatMap((each) => each.values));
  return { ...option,
    tooltip: { ...option.tooltip, trigger: "axis", axisPointer: { type: "shadow" }, valueFormatter: number },
    xAxis: axis("", { type: "category", data: items, axisLabel: { color: ink().soft, rotate: fitsAcross(items) ? 0 : 40, interval: 0 } }),
    yAxis: axis(unit.label || label, { type: "value", nameGap: 46 }),
    series: series.map((each) => ({ name: each.name, type: "bar", data: each.values.map((value) => (value === null || value === undefined ? null : value / unit.factor)), itemStyle: { color: COLOURS[each.colour % COLOURS.length], decal: DECALS[each.look % DECALS.length] } })) };
}

/* The steps of a dimension: cost per unit of it at every size, the present one and what is liked marked. */
function stairsOption(steps, now, marked, xLabel, yLabel) {
  const option = base(), colour = ink();
  const mark = (size) => steps.filter(([at]) => at === size);
  return { ...option,
    grid: { ...option.grid, bottom: 44 },
    tooltip: { ...option.tooltip, trigger: "item", formatter: (p) => tip([xLabel + " " + p.value[0], yLabel + ": " + number(p.value[1]), p.value[2] || ""]) },
    xAxis: axis(xLabel, { type: "value", scale: true, minInterval: 1 }),
    yAxis: axis(yLabel.length > 30 ? "" : yLabel, { type: "value", scale: true, nameGap: 46 }),
    series: [
      { name: "sizes mapped", type: "line", symbolSize: 5, data: steps, itemStyle: { color: COLOURS[0] }, lineStyle: { width: 1.5 } },
      { name: "now", type: "scatter", symbol: "diamond", symbolSize: 15, data: mark(now), itemStyle: { color: colour.soft }, z: 4 },
      { name: "better", type: "scatter", symbol: "circle", symbolSize: 13, data: marked.flatMap(mark), itemStyle: { color: COLOURS[2] }, z: 5 },
    ] };
}

/* What a layer's mapping costs over the density of a tensor, with its formats and without; where they begin to pay. */
function densityOption(zeros, curve, metric) {
  const option = base(), colour = ink();
  const known = [...curve.costs, ...curve.plain].filter((each) => each !== null).map((each) => each[metric]);
  const unit = unitOf(metric, known);
  const data = (costs) => costs.map((each, place) => [zeros.densities[place], each === null ? null : each[metric] / unit.factor]);
  const marks = curve.now === null ? [] : [{ xAxis: curve.now, name: "now" }];
  if (curve.pays_below > 0 && curve.pays_below < 1) {
    const by = metric.startsWith(zeros.objective) ? "" : ", by its " + zeros.objective + ",";
    marks.push({ xAxis: curve.pays_below, name: "pays" + by + " below" });
  }
  // One line of words each, towards the middle: however near they are, none hides or leaves the chart.
  marks.forEach((mark, place) => { mark.label = { align: mark.xAxis < 0.5 ? "left" : "right", distance: 5 + 15 * place }; });
  const line = (name, place, costs, type) => ({ name, type: "line", symbolSize: 5, data: data(costs), itemStyle: { color: COLOURS[place] }, lineStyle: { width: 2, type } });
  const first = line("as designed", 0, curve.costs, "solid");
  first.markLine = { symbol: "none", silent: true, lineStyle: { color: colour.soft, type: "dotted" },
    label: { color: colour.soft, formatter: (p) => p.name + " " + number(p.value), position: "end" }, data: marks };
  return { ...option,
    grid: { ...option.grid, top: 62, bottom: 44 },
    tooltip: { ...option.tooltip, trigger: "axis", valueFormatter: number },
    xAxis: axis("density of " + curve.tensor, { type: "value", min: 0, max: 1 }),
    yAxis: axis(unit.label || "EDP, J x cycle", { type: "value", min: 0, nameGap: 46 }),
    series: curve.plain.length ? [first, line("with " + curve.tensor + " in no format", 1, curve.plain, "dashed")] : [first] };
}

const layerLabel = (layer) => layer.name + (layer.runs > 1 ? " x" + layer.runs : "");
/* The ends of long names tell layers apart. */
const ending = (text, most) => (text.length <= most ? text : "…" + text.slice(text.length - most + 1));

function layerAxis(layers) {
  return axis("", { type: "category", inverse: true, data: layers.map(layerLabel), triggerEvent: true,
    axisLabel: { color: ink().soft, interval: 0, fontSize: 11, formatter: (text) => ending(text, innerWidth < 600 ? 16 : 24) } });
}

/* What a flat roof counts: units, or what they do at once where one does several products. */
function roofUnit(design) {
  return design.at_once > 1 ? " products at once" : " units";
}

/* Cycles of every layer, as horizontal bars: what computing on all units would take, and what comes on top. */
function cyclesOption(layers) {
  const option = base();
  const unit = unitOf("cycles", layers.map((layer) => layer.cycles));
  const least = layers.map((layer) => Math.min(layer.cycles, layer.compute_cycles) / unit.factor);
  const stack = (name, place, data) => ({ name, type: "bar", stack: "all", barCategoryGap: "20%", itemStyle: { color: COLOURS[place] }, data });
  return { ...option,
    tooltip: { ...option.tooltip, trigger: "axis", axisPointer: { type: "shadow" }, valueFormatter: number },
    grid: { ...option.grid, top: 44 },
    xAxis: axis(unit.label + " of all runs", { type: "value" }),
    yAxis: layerAxis(layers),
    series: [stack("computing on all units", 2, least), stack("more than that", 5, layers.map((layer, place) => Math.max(0, layer.cycles / unit.factor - least[place])))] };
}

/* Layers as horizontal bars, stacked by component or by tensor. */
function breakdownOption(layers, by, share) {
  const option = base();
  const column = by === "component" ? 0 : 1;
  const parts = [...new Set(layers.flatMap((layer) => layer.spots.map((spot) => spot[column])))];
  const sum = (layer, part) => layer.spots.filter((spot) => spot[column] === part).reduce((total, spot) => total + spot[2], 0);
  const unit = unitOf("energy_uJ", layers.map((layer) => layer.energy_uJ));
  return { ...option,
    tooltip: { ...option.tooltip, trigger: "axis", axisPointer: { type: "shadow" }, valueFormatter: (value) => (share ? percent(value / 100) : energy(value * unit.factor)) },
    grid: { ...option.grid, top: 44 },
    xAxis: axis(share ? "share of the layer's energy, %" : unit.label + " of all runs", { type: "value", max: share ? 100 : null }),
    yAxis: layerAxis(layers),
    series: parts.map((part, place) => ({ name: part, type: "bar", stack: "all", barCategoryGap: "20%", itemStyle: { color: COLOURS[place % COLOURS.length] },
      data: layers.map((layer) => (share ? 100 * sum(layer, part) / layer.energy_uJ : sum(layer, part) / unit.factor)) })) };
}

function rooflineOption(layers, design, level) {
  const option = base(), colour = ink();
  const roof = design.roofs.find((each) => each.level === level);
  const points = layers.flatMap((layer) => layer.roofline.filter((point) => point.level === level)
    .map((point) => ({ name: layer.name, value: [point.intensity, point.reached, point.attainable] })));
  const xs = points.map((point) => point.value[0]);
  let low = Math.min(...xs) / 2, high = Math.max(...xs) * 2;
  const lines = [];
  if (roof.words_per_cycle) {
    const ridge = design.units / roof.words_per_cycle;
    low = Math.min(low, ridge / 2);
    high = Math.max(high, ridge * 2);
    lines.push([low, low * roof.words_per_cycle], [ridge, design.units], [high, design.units]);
  } else lines.push([low, design.units], [high, design.units]);
  const middle = Math.sqrt(low * high);
  points.forEach((point) => { point.label = { position: point.value[0] > middle ? "left" : "right" }; });
  return { ...option,
    grid: { ...option.grid, bottom: 44 },
    tooltip: { ...option.tooltip, trigger: "item", formatter: (p) => tip([p.name, "intensity: " + number(p.value[0]) + " computes per word", "reached: " + number(p.value[1]) + " computes per cycle", p.value[2] ? "its bandwidth allows: " + number(p.value[2]) : ""]) },
    xAxis: axis("computes per word moved at " + level, { type: "log", min: 10 ** Math.floor(Math.log10(low)), max: 10 ** Math.ceil(Math.log10(high)) }),
    yAxis: axis("computes per cycle", { type: "log", nameGap: 38 }),
    series: [
      { name: roof.words_per_cycle ? "roof: " + number(roof.words_per_cycle) + " words per cycle, " + design.units + roofUnit(design) : "roof: " + design.units + roofUnit(design), type: "line", symbol: "none", data: lines, lineStyle: { width: 3, color: colour.text }, itemStyle: { color: colour.text } },
      { name: "layers", type: "scatter", symbolSize: 11, data: points, itemStyle: { color: COLOURS[0], opacity: 0.85 },
        label: { show: points.length <= 12, formatter: (p) => p.name, color: colour.soft, fontSize: 11 }, labelLayout: { hideOverlap: true } },
    ] };
}

function flowOption(spots, name) {
  const option = base(), colour = ink();
  const total = spots.reduce((sum, spot) => sum + spot[2], 0);
  const big = spots.filter((spot) => spot[2] > 0.0005 * total);
  const components = [...new Set(big.map((spot) => spot[0]))], whats = [...new Set(big.map((spot) => spot[1]))];
  const sum = (place, key) => big.filter((spot) => spot[place] === key).reduce((all, spot) => all + spot[2], 0);
  const narrow = innerWidth < 600; // without the column of the whole there is room for all names
  const nodes = [...(narrow ? [] : [{ name, itemStyle: { color: colour.soft } }]),
    ...components.map((each, place) => ({ name: "at " + each, itemStyle: { color: COLOURS[place % COLOURS.length] } })),
    ...whats.map((each, place) => ({ name: each, itemStyle: { color: COLOURS[(place + 4) % COLOURS.length] }, ...(narrow ? { label: { position: "left" } } : {}) }))];
  const merged = new Map();
  for (const [component, what, value] of big) merged.set(component + "\0" + what, (merged.get(component + "\0" + what) || 0) + value);
  const links = [...(narrow ? [] : components.map((each) => ({ source: name, target: "at " + each, value: sum(0, each) }))),
    ...[...merged].map(([key, value]) => ({ source: "at " + key.split("\0")[0], target: key.split("\0")[1], value }))];
  return { ...option, legend: undefined, grid: undefined,
    tooltip: { ...option.tooltip, trigger: "item", formatter: (p) => tip([p.dataType === "edge" ? p.data.source + " → " + p.data.target : p.name, energy(p.value) + ", " + percent(p.value / total)]) },
    series: [{ type: "sankey", left: 8, right: narrow ? 8 : 130, top: 8, bottom: 8, nodeAlign: "justify", data: nodes, links, emphasis: { focus: "adjacency" },
      lineStyle: { color: "gradient", opacity: 0.35 }, label: { color: colour.text, fontSize: 12, formatter: (p) => (p.name === name ? name : p.value < 0.02 * total ? "" : p.name + " " + percent(p.value / total)) }, labelLayout: { hideOverlap: true } }] };
}

function frontOption(front, run) {
  const option = base();
  const joule = unitOf("energy_uJ", front.points.map((point) => point[0])), cycle = unitOf("cycles", front.points.map((point) => point[1]));
  const at = ([energies, cycles]) => [energies / joule.factor, cycles / cycle.factor];
  const mark = (each) => [at([each.energy_uJ, each.cycles])];
  return { ...option,
    grid: { ...option.grid, bottom: 44 },
    tooltip: { ...option.tooltip, trigger: "item", formatter: (p) => tip([p.seriesName, energy(p.value[0] * joule.factor), number(p.value[1] * cycle.factor) + " cycles", "EDP " + number(p.value[0] * joule.factor * 1e-6 * p.value[1] * cycle.factor)]) },
    xAxis: axis(joule.label, { type: "value", scale: true }),
    yAxis: axis(cycle.label, { type: "value", scale: true, nameGap: 46 }),
    series: [
      { name: run.network + ": every best trade-off", type: "line", symbolSize: 4, data: front.points.map(at), itemStyle: { color: COLOURS[0] } },
      { name: "lowest EDP together", type: "scatter", symbol: "diamond", symbolSize: 17, data: mark(front.best), itemStyle: { color: COLOURS[2] }, z: 4 },
      { name: "layers' own lowest EDPs", type: "scatter", symbol: "triangle", symbolSize: 13, data: mark(front.usual), itemStyle: { color: COLOURS[5] }, z: 5 },
    ] };
}

function tip(lines) {
  const box = el("div", {}, lines.filter(Boolean).map((line, place) => (place ? el("div", {}, line) : el("b", {}, line))));
  return box;
}
