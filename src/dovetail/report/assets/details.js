"use strict";
// Puts the page together: sections, the summary, one network on one design in detail, provenance.

const main = document.getElementById("main");
const state = { run: 0, layer: 0 };

function section(title, id, ...children) {
  const node = el("section", { id }, el("h2", {}, title), children);
  main.append(node);
  return node;
}

function metricPicker(metrics, value, onchange) {
  return select("cost", metrics, value, onchange);
}

function curvesSection(id, spec) {
  let metric = spec.metric || spec.metrics[0][0], logarithmic = Boolean(spec.logarithmic), shown = () => true;
  const series = styled(spec.series).map((each) => ({ ...each, shown: spec.multiples && each.tags.length > 1 ? each.tags[1] : "" }));
  const label = () => spec.metrics.find((each) => each[0] === metric)[1];
  const draw = (test) => figure(() => curvesOption(series.filter((each) => shown(each) && test(each)), metric, label(), logarithmic, spec.front), spec.multiples ? 300 : 420, "accuracy against cost");
  const names = spec.multiples ? [...new Set(series.map((each) => each.tags[0]))] : [];
  const charts = spec.multiples ? names.map((name) => draw((each) => each.tags[0] === name)) : [draw(() => true)];
  const chart = { redraw: () => charts.forEach((each) => each.redraw()) };
  const drawing = spec.multiples ? el("div", { class: "grid" }, charts.map((each, place) => el("div", {}, el("h3", {}, names[place]), each))) : charts[0];
  section(spec.title, id, spec.note ? el("p", { class: "note" }, spec.note) : null,
    filters(series, (test) => { shown = test; chart.redraw(); }),
    el("div", { class: "bar" }, metricPicker(spec.metrics, metric, (value) => { metric = value; chart.redraw(); }),
      toggle("logarithmic", (on) => { logarithmic = on; chart.redraw(); }, logarithmic)),
    drawing);
}

function barsSection(id, spec) {
  let metric = spec.metrics[0][0], shown = () => true;
  const series = styled(spec.series);
  const label = () => spec.metrics.find((each) => each[0] === metric)[1];
  const chart = figure(() => barsOption(spec.items, series.filter(shown).map((each) => ({ ...each, values: each.values[metric] })), label(), metric), 400, spec.title);
  section(spec.title, id, spec.note ? el("p", { class: "note" }, spec.note) : null,
    filters(series, (test) => { shown = test; chart.redraw(); }),
    el("div", { class: "bar" }, metricPicker(spec.metrics, metric, (value) => { metric = value; chart.redraw(); })),
    chart);
}

function tableSection(id, spec) {
  const columns = spec.columns.map((title, place) => ({
    title, value: (row) => row[place], words: spec.rows.some((row) => typeof row[place] === "string"),
    long: spec.rows.some((row) => typeof row[place] === "string" && row[place].length > 60),
  }));
  section(spec.title, id, spec.note ? el("p", { class: "note" }, spec.note) : null, sortable(columns, spec.rows, { name: id }));
}

/* One staircase for each group of channels: what its layers cost per channel at every width. */
function stairsSection(id, spec) {
  const charts = spec.groups.map((group) => el("div", {}, el("h3", {}, group.name),
    figure(() => stairsOption(group.steps, group.now, group.marked, spec.x, spec.y), 260, "staircase of " + group.name)));
  const upwards = spec.y.length > 30 ? el("p", { class: "note" }, "Upwards: " + spec.y + ".") : null; // no chart is as high
  section(spec.title, id, spec.note ? el("p", { class: "note" }, spec.note) : null, upwards, el("div", { class: "grid" }, charts));
}

function textSection(id, spec) {
  section(spec.title, id, spec.paragraphs.map((text) => el("p", {}, text)));
}

const METRICS = [["energy_uJ", "energy"], ["cycles", "cycles"], ["edp", "EDP"]];

function summary() {
  const columns = [
    { title: "network", value: (run) => run.network, words: true },
    { title: "design", value: (run) => run.design, words: true },
    { title: "batch", value: (run) => run.batch },
    { title: "cycles", value: (run) => run.cycles },
    { title: "time, ms", value: (run) => run.ms },
    { title: "energy, uJ", value: (run) => run.energy_uJ },
    { title: "EDP, J x cycle", value: (run) => run.edp },
    { title: "utilization", value: (run) => run.utilization, show: percent },
    { title: "DRAM, MB", value: (run) => run.dram_MB },
    { title: "area, mm2", value: (run) => run.area_mm2 },
    { title: "top\u20111, %", value: (run) => run.accuracy },
    { title: "accuracy from", value: (run) => run.accuracy_source, words: true },
    { title: "proven optimal", value: (run) => (run.exact ? "yes" : "no"), words: true },
  ];
  section("Networks on designs", "summary", el("p", { class: "note" }, "Choose a row to see it in detail below."),
    sortable(columns, DATA.runs, { name: "networks", onselect: (run) => { choose(DATA.runs.indexOf(run)); }, selected: (run) => DATA.runs[state.run] === run }));
}

function accuracyCurves() {
  const known = DATA.runs.filter((run) => run.accuracy !== null);
  if (known.length < 2) return;
  const series = [...new Set(known.map((run) => run.design))].map((design) => ({
    name: design, tags: [design],
    points: known.filter((run) => run.design === design).map((run) => ({ label: run.network, accuracy: run.accuracy, ...run })),
  }));
  curvesSection("curves", { title: "Accuracy against cost", metrics: METRICS, series, front: true,
    note: "Accuracies as published, each from the set of weights named in the table above." });
}

function comparison() {
  if (DATA.runs.length < 2) return;
  const networks = [...new Set(DATA.runs.map((run) => run.network))], designs = [...new Set(DATA.runs.map((run) => run.design))];
  const find = (network, design) => DATA.runs.find((run) => run.network === network && run.design === design);
  const values = (design, key) => networks.map((network) => { const run = find(network, design); return run ? run[key] : null; });
  const metrics = [...METRICS, ["utilization", "utilization, 0 to 1"], ["dram_MB", "DRAM traffic, MB"]];
  const series = designs.map((design) => ({ name: design, tags: [design], values: Object.fromEntries(metrics.map(([key]) => [key, values(design, key)])) }));
  barsSection("compare", { title: "Designs and networks side by side", metrics, items: networks, series });
}

function card(value, label) {
  return el("div", { class: "card" }, el("b", {}, value), el("span", {}, label));
}

let detail = null;

function choose(place) {
  state.run = place;
  state.layer = 0;
  drawDetail();
  remember(false);
}

/* The address says what is shown: a link, or going back, shows it again. */
function remember(withLayer) {
  const run = DATA.runs[state.run], words = new URLSearchParams({ network: run.network, on: run.design });
  if (DATA.runs.filter((each) => each.network === run.network && each.design === run.design).length > 1) words.set("run", state.run);
  if (withLayer) words.set("layer", run.layers[state.layer].name);
  history.replaceState(null, "", "#" + words);
}

/* Shows what the address says; returns whether it names a layer. */
function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  if (!words.has("network")) return false;
  const fits = (run) => run.network === words.get("network") && run.design === words.get("on");
  const place = words.has("run") ? Number(words.get("run")) : DATA.runs.findIndex(fits);
  if (!DATA.runs[place]) return false;
  state.run = place;
  state.layer = Math.max(0, DATA.runs[place].layers.findIndex((layer) => layer.name === words.get("layer")));
  drawDetail();
  if (words.has("layer")) chooseLayer(state.layer);
  return words.has("layer");
}

/* Chooses a layer wherever it was clicked, and scrolls to how it runs. */
function chooseLayer(place) {
  state.layer = place;
  document.dispatchEvent(new Event("layer"));
  remember(true);
  const nest = document.getElementById("layer");
  if (nest) nest.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth", block: "start" });
}

function chooseLayerNamed(name) {
  const place = DATA.runs[state.run].layers.findIndex((layer) => layer.name === name);
  if (place >= 0) chooseLayer(place);
}

const FIGURES = { cycles: "fig-layers", energy: "fig-layers", roofline: "fig-roofline", stairs: "fig-stairs" };
const SHOWS = { cycles: "cycles by layer", energy: "energy by layer", roofline: "roofline", stairs: "staircase" };

function goTo(id) {
  const node = document.getElementById(id);
  if (node) node.scrollIntoView({ block: "start" });
}

const change = (before, after) => (before ? after / before - 1 : 0);
function signed(share) {
  if (Math.abs(share) < 5e-5) return "0";
  return (share > 0 ? "+" : "−") + Number((100 * Math.abs(share)).toPrecision(3)) + " %";
}

/* What to change: every row a change that was mapped, with a link to the figure that shows why. */
function adviceOf(run) {
  if (!run.advice) return [];
  const all = [...run.advice.changes, ...run.advice.widths];
  const figures = (key, name) => ({ title: name, value: (each) => change(each.before[key], each.after[key]), show: signed });
  const columns = (gain) => [
    { title: "what to change", value: (each) => each.text + (each.exact ? "" : " (not proven)"), words: true, long: true },
    { title: gain, value: (each) => each.gain, show: percent },
    figures("cycles", "cycles"), figures("energy_pJ", "energy"), figures("edp_J_cycle", "EDP"), figures("area_um2", "area"),
    { title: "gains most", value: (each) => each.layers[0] || "", words: true, show: (name) => (name ? el("button", { type: "button", class: "plain", onclick: () => chooseLayerNamed(name) }, name) : "") },
    { title: "shown by", value: (each) => each.figure, words: true, show: (figure, each) => el("button", { type: "button", class: "plain", onclick: () => {
      document.dispatchEvent(new CustomEvent("stairs", { detail: all.indexOf(each) }));
      goTo(FIGURES[figure]);
    } }, SHOWS[figure]) },
  ];
  const left = run.advice.left_out.length ? " " + run.advice.left_out.length + " more were not tried for want of time." : "";
  const stairs = all.map((each, place) => [place, each]).filter(([, each]) => each.stairs.length);
  return [el("h3", { id: "advice" }, "What to change"),
    el("p", { class: "note" }, "One change at a time, each mapped: " + run.advice.tried + " tried, these lower the network's " + run.objective + ", or save area at no cost in it." + left),
    run.advice.changes.length ? sortable(columns(run.objective + " gain"), run.advice.changes, { name: "advice" }) : el("p", {}, "None of them does by half a percent."),
    ...(run.advice.widths.length ? [el("h3", {}, "Sizes that the design likes better"), el("p", { class: "note" }, "Gains are per channel; changes are the layer's alone."),
      sortable(columns("gain per channel"), run.advice.widths, { name: "widths" })] : []),
    ...stairsOf(stairs)];
}

/* At the top: the best changes of every network on every design, with a link to all of them and to what shows each. */
function whatToChange() {
  const runs = DATA.runs.filter((run) => run.advice && run.advice.changes.length);
  if (!runs.length) return;
  const link = (text, run, id) => el("button", { type: "button", class: "plain", onclick: () => { choose(DATA.runs.indexOf(run)); goTo(id); } }, text);
  const items = (run) => run.advice.changes.slice(0, 3).map((each) => el("li", {}, each.text + ": " + percent(each.gain) + " less " + run.objective.toUpperCase() +
    (each.exact ? "" : " (not proven)") + "; see ", link(SHOWS[each.figure], run, FIGURES[each.figure])));
  section("What to change", "changes", el("p", { class: "note" }, "The changes that pay most, one at a time, each mapped anew."),
    runs.map((run) => [DATA.runs.length > 1 ? el("h3", {}, run.network + " on " + run.design) : null,
      el("ul", { class: "findings" }, items(run)), el("p", { class: "note" }, link("all of them, with cycles, energy and area", run, "advice"))]));
}

function stairsOf(stairs) {
  if (!stairs.length) return [];
  let shown = stairs[0][1];
  const label = (each) => (each.kind === "padding" ? "cost of the layer, of now" : "cost per channel, of now");
  const chart = figure(() => stairsOption(shown.stairs, shown.sizes[0], [shown.sizes[1]], "size", label(shown)), 280, "staircase");
  const picker = select("of", stairs.map(([place, each]) => [place, each.text]), stairs[0][0], (value) => show(Number(value)));
  function show(place) {
    const found = stairs.find(([at]) => at === place);
    if (!found) return;
    shown = found[1];
    picker.querySelector("select").value = String(place);
    chart.redraw();
  }
  listen("stairs", (event) => show(event.detail));
  return [el("h3", { id: "fig-stairs" }, "Staircase"), el("div", { class: "bar" }, picker), chart];
}

/* Listens while the detail that is drawn now stands. */
let listening = [];
function listen(name, heard) {
  document.addEventListener(name, heard);
  listening.push([name, heard]);
}

function drawDetail() {
  const run = DATA.runs[state.run], design = DATA.designs.find((each) => each.name === run.design);
  if (detail === null) { detail = el("section", { id: "detail" }); main.append(detail); }
  forget(detail);
  listening.forEach(([name, heard]) => document.removeEventListener(name, heard));
  listening = [];
  detail.replaceChildren(...[
    el("h2", {}, run.network + " on " + run.design),
    ...run.notes.map((each) => el("p", { class: each.startsWith("UNKNOWN") ? "warning" : "note" }, each)),
    el("div", { class: "bar" }, DATA.runs.length > 1
      ? select("show", DATA.runs.map((each, place) => [place, each.network + " on " + each.design + (each.batch > 1 ? ", batch " + each.batch : "")]), state.run, (value) => choose(Number(value))) : null),
    el("div", { class: "cards" }, card(number(run.cycles), "cycles, " + number(run.ms) + " ms at " + number(design.mhz) + " MHz"), card(energy(run.energy_uJ), "energy"),
      card(number(run.edp), "EDP, J x cycle"), card(percent(run.utilization), "of " + number(design.units) + (design.at_once > 1 ? " products at once done" : " units busy")), card(number(run.dram_MB) + " MB", "DRAM traffic"),
      run.between ? card(percent(run.between[0]), "of energy between products, " + percent(run.between[1]) + " of cycles") : null,
      run.area_mm2 ? card(number(run.area_mm2) + " mm2", "area") : null, card(run.exact ? "optimal" : "not proven", "every layer's mapping")),
    ...adviceOf(run),
    el("h3", {}, "What stands out"),
    el("ul", { class: "findings" }, run.findings.map((each) => el("li", {}, each.text + "."))),
    run.unmapped > 0 ? el("p", { class: "note" }, percent(run.unmapped) + " of the MACs have no mapping form and are not in these costs.") : null,
    ...breakdown(run), ...widths(run), ...twoCharts(run, design), ...networkFront(run), ...networkZeros(run), ...layers(run, design)].filter(Boolean));
  for (const each of drawn) if (detail.contains(each.node)) each.draw();
}

function breakdown(run) {
  let by = "component", share = false;
  const height = Math.max(260, 90 + 22 * run.layers.length);
  const onclick = (event) => { if (event.componentType === "series") chooseLayer(event.dataIndex); else if (event.componentType === "yAxis") chooseLayer(event.dataIndex); };
  const chart = figure(() => breakdownOption(run.layers, by, share), height, "energy per layer by component", onclick);
  const cycles = figure(() => cyclesOption(run.layers), height, "cycles per layer", onclick);
  return [el("h3", { id: "fig-layers" }, "Cycles and energy, layer by layer"),
    el("p", { class: "note" }, "Choose a bar to see how its layer runs."),
    el("div", { class: "bar" }, select("energy by", [["component", "component"], ["tensor", "tensor"]], by, (value) => { by = value; chart.redraw(); }),
      toggle("shares", (on) => { share = on; chart.redraw(); })),
    el("div", { class: "grid" }, el("div", {}, cycles), el("div", {}, chart))];
}

/* What widths cost: energy by tensor and bits, and the optimum with one bit fewer and more. */
function widths(run) {
  if (!run.by_width.length) return [];
  const all = run.by_width.reduce((sum, each) => sum + each[2], 0) || 1;
  const parts = [el("h3", { id: "widths" }, "Widths"),
    sortable([{ title: "tensor", value: (row) => row[0], words: true }, { title: "bits", value: (row) => row[1], words: true },
      { title: "energy, uJ", value: (row) => row[2] }, { title: "share", value: (row) => row[2] / all, show: percent }], run.by_width, { name: "by_width" })];
  if (run.units_by_width.length) parts.push(el("p", { class: "note" }, "Compute units, were they built for the widths of these layers, and no wider:"),
    sortable([{ title: "operands", value: (row) => row.operands, words: true }, { title: "sums, bits", value: (row) => row.sums },
      { title: "area, mm2", value: (row) => row.area_um2 / 1e6 || null }, { title: "of the design's", value: (row) => row.area_share, show: percent },
      { title: "energy of an operation", value: (row) => row.energy_share, show: percent }], run.units_by_width, { name: "units" }));
  if (!run.one_bit) return parts;
  const shares = (now) => [["cycles", "cycles"], ["energy_pJ", "energy"]].map(([key, title]) =>
    ({ title, value: (row) => (key in row ? change(now(row)[key], row[key]) : null), show: signed }));
  const before = { cycles: run.cycles, energy_pJ: run.energy_uJ * 1e6 };
  const star = (row) => (row.exact === false ? " (not proven)" : "");
  const sums = [{ title: "tensor", value: (row) => row.tensor, words: true }, { title: "bits", value: (row) => (row.change > 0 ? "+1" : "−1") + star(row), words: true },
    { title: "runs of layers", value: (row) => row.layers }, ...shares(() => before)];
  const each = [{ title: "layer", value: (row) => row.layer, words: true }, { title: "tensor", value: (row) => row.tensor, words: true },
    { title: "bits", value: (row) => row.bits }, ...shares((row) => row.before), { title: "", value: (row) => row.reason + star(row), words: true, long: true }];
  return [...parts, el("p", { class: "note" }, "One bit fewer and more on a tensor of all layers that state its width, every layer mapped anew:"), sortable(sums, run.one_bit.network, { name: "one_bit" }),
    el("details", {}, el("summary", {}, "layer by layer"), sortable(each, run.one_bit.layers, { name: "one_bit_layers" }))];
}

function twoCharts(run, design) {
  const used = design.roofs.map((roof) => roof.level).filter((level) => run.layers.some((layer) => layer.roofline.some((point) => point.level === level)));
  const bounded = design.roofs.find((roof) => roof.words_per_cycle && used.includes(roof.level));
  let level = bounded ? bounded.level : used[0], which = "";
  const roofline = figure(() => rooflineOption(run.layers, design, level), 380, "roofline");
  const spots = () => (which === "" ? run.layers.flatMap((layer) => layer.spots) : run.layers[Number(which)].spots);
  const flow = figure(() => flowOption(spots(), which === "" ? run.network : run.layers[Number(which)].name), 380, "where the energy goes");
  return [el("div", { class: "grid" },
    el("div", {}, el("h3", { id: "fig-roofline" }, "Roofline"), el("div", { class: "bar" }, select("level", used.map((each) => [each, each]), level, (value) => { level = value; roofline.redraw(); })), roofline),
    el("div", {}, el("h3", {}, "Where the energy goes"), el("div", { class: "bar" }, select("of", [["", "all layers"], ...run.layers.map((layer, place) => [place, layer.name])], which, (value) => { which = value; flow.redraw(); })), flow))];
}

function networkFront(run) {
  if (!run.front) return [];
  const gain = 1 - run.front.best.edp / run.front.usual.edp;
  return [el("h3", {}, "The network as a whole"),
    el("p", { class: "note" }, "A network's EDP is the sum of energies times the sum of cycles. Adding up each layer's own lowest EDP gives " + number(run.front.usual.edp) +
      " J x cycle; the best combination of the layers' Pareto points gives " + number(run.front.best.edp) + ", " + (gain > 5e-5 ? percent(gain) + " less." : "the same here.") +
      (run.front.complete ? " The front has " + number(run.front.found) + " points, all of them." : " The front shown is its convex part and " + number(run.front.found) + " points in all.")),
    figure(() => frontOption(run.front, run), 340, "the network's Pareto front")];
}

function layers(run, design) {
  const columns = [
    { title: "row", value: (layer) => layer.row },
    { title: "layer", value: (layer) => layer.name, words: true },
    { title: "runs", value: (layer) => layer.runs },
    { title: "sizes", value: (layer) => layer.sizes, words: true },
    { title: "MACs", value: (layer) => layer.macs },
    { title: "cycles", value: (layer) => layer.cycles },
    { title: "energy, uJ", value: (layer) => layer.energy_uJ },
    { title: "utilization", value: (layer) => layer.utilization, show: percent },
    ...(run.layers.some((layer) => layer.bits) ? [{ title: "bits", value: (layer) => layer.bits, words: true }] : []),
    { title: "cycles over bound", value: (layer) => layer.over_bound },
    { title: "DRAM over must", value: (layer) => layer.over_compulsory },
    { title: "held back by", value: (layer) => layer.binding + ": " + layer.reason, words: true, long: true, wide: true },
    ...(run.exact ? [] : [{ title: "optimal", value: (layer) => (layer.exact ? "yes" : "no"), words: true }]),
  ];
  const nest = el("div", { id: "layer" });
  const table = el("div", {});
  const zeros = el("div", { id: "layer-zeros" });
  const show = () => {
    nest.replaceChildren(...loopNest(run.layers[state.layer]));
    forget(zeros);
    zeros.replaceChildren(...layerZeros(run.layers[state.layer]));
    for (const each of drawn) if (zeros.contains(each.node)) each.draw();
    for (const row of table.querySelectorAll("tbody tr")) row.setAttribute("aria-selected", String(row.dataset.key === run.layers[state.layer].name));
  };
  table.append(sortable(columns, run.layers, { name: run.network + "_" + run.design, onselect: (layer) => chooseLayer(run.layers.indexOf(layer)), selected: (layer) => run.layers[state.layer] === layer, key: (layer) => layer.name }));
  show();
  listen("layer", show);
  return [el("h3", { id: "layers" }, "Layers"), el("p", { class: "note" }, "Cycles and energy are of all runs. Choose a row to see how its layer runs."), table, nest, zeros];
}

const FATES = ["done", "gated", "skipped"];

/* What zeros do over the whole network. */
function networkZeros(run) {
  if (!run.zeros.length) return [];
  const columns = [["level", true], ["tensor", true], ["format", true], ...FATES.map((name) => [name, false]), ["metadata's energy", false]]
    .map(([title, words], place) => ({ title, value: (row) => row[place], words, ...(words ? {} : { show: percent }) }));
  return [el("h3", { id: "zeros" }, "What zeros do"),
    el("p", { class: "note" }, "Shares of the words that a dense run would move and of what it would compute, all layers and runs together; what is neither done, gated nor skipped never comes there."),
    sortable(columns, run.zeros, { name: "zeros" })];
}

/* What zeros do in one layer, and what it costs over density. */
function layerZeros(layer) {
  const zeros = layer.zeros;
  if (!zeros) return [];
  const words = ["level", "tensor", "format"];
  const shares = ["density", "held", "metadata, bits", ...FATES, "metadata's energy"];
  const columns = [...words, ...shares].map((title, place) => ({ title, value: (row) => row[place], words: place < 3, ...(place >= 3 && place !== 5 ? { show: percent } : {}) }));
  const parts = [el("h3", {}, "What zeros do in " + layer.name), sortable(columns, zeros.rows, { name: "zeros_" + layer.name })];
  if (!zeros.curves.length) return parts;
  let curve = zeros.curves[0], metric = "energy_uJ";
  const chart = figure(() => densityOption(zeros, curve, metric), 320, "cost over density");
  const said = el("p", { class: "note" });
  const tell = () => {
    const pays = curve.pays_below;
    said.textContent = "The same mapping at other densities, all runs; the other tensors as they are." + (pays === null ? "" :
      " Formats of " + curve.tensor + " lower its " + zeros.objective + (pays >= 1 ? " at every density." : pays > 0 ? " below a density of " + number(Number(pays.toPrecision(2))) + "." : " not even at a density of " + number(zeros.densities[0]) + "."));
  };
  tell();
  const draw = () => { tell(); chart.redraw(); };
  return [...parts, el("div", { class: "bar" },
    select("density of", zeros.curves.map((each, place) => [place, each.tensor]), 0, (value) => { curve = zeros.curves[Number(value)]; draw(); }),
    metricPicker(METRICS, metric, (value) => { metric = value; draw(); })), said, chart];
}

function loopNest(layer) {
  let inner = null;
  for (const level of [...layer.nest].reverse()) inner = nestLevel(level, inner);
  return [el("h3", {}, "How " + layer.name + " runs"),
    el("p", { class: "note" }, layer.sizes + (layer.mapspace ? "; " + number(layer.mapspace) + " mappings allowed" : "") + (layer.exact ? "; none better" : "")),
    el("div", { class: "nest" }, inner),
    el("details", {}, el("summary", {}, "as text"), el("pre", {}, layer.text))];
}

function nestLevel(level, inner) {
  const loops = (level.loops || []).map((loop) => el("div", { class: "loop" + (loop.axis ? " parallel" : "") },
    (loop.axis ? "∥ " : "") + loop.dim + " in [0:" + loop.factor + ")" + (loop.axis ? " along " + loop.axis : "") + (loop.last ? ", last pass " + loop.last : "")));
  if (level.kind === "compute") {
    return el("div", { class: "level compute" }, el("div", { class: "head" }, el("b", {}, level.name), el("small", {}, number(level.instances) + " in use")), el("div", { class: "loop" }, level.statement));
  }
  if (level.kind === "fan-out") {
    const used = loops.length ? (level.loops.reduce((all, loop) => all * loop.factor, 1)) : 1;
    return el("div", { class: "level fan-out" }, el("div", { class: "head" }, el("b", {}, level.name), el("small", {}, number(used) + " of " + number(level.of) + " used")), loops, inner);
  }
  const held = level.keeps.reduce((sum, each) => sum + each.tile, 0);
  const bar = level.capacity ? el("div", { class: "fill", title: number(held) + " of " + number(level.capacity) + " words" }, el("i", { style: "width:" + Math.min(100, 100 * held / level.capacity) + "%" })) : null;
  const chips = level.keeps.map((each) => el("span", { class: "chip " + each.tensor, title: number(each.reads) + " reads, " + number(each.writes) + " writes per instance, " + energy(each.energy_uJ) }, each.tensor + " " + number(each.tile)));
  return el("div", { class: "level storage" }, el("div", { class: "head" }, el("b", {}, level.name), el("small", {}, number(level.instances) + (level.capacity ? " x " + number(level.capacity) + " words" : "")), chips), bar, loops, inner);
}

function provenance() {
  const columns = ["level", "what", "instances", "words each", "pJ per action", "um2 each", "constraints", "numbers from"];
  const node = section("Where the numbers come from", "provenance",
    el("p", { class: "note" }, "Dovetail " + DATA.version + ", engine " + DATA.engine + ". " + [...new Set(DATA.runs.map((run) => run.network + ": " + run.source))].join("; ") + "."));
  for (const design of DATA.designs) {
    node.append(el("details", { open: DATA.designs.length === 1 }, el("summary", {}, design.name + ": " + number(design.units / design.at_once) + " compute units at " + number(design.mhz) + " MHz"),
      sortable(columns.map((title, place) => ({ title, value: (row) => row[place], words: [0, 1, 4, 6, 7].includes(place), long: [4, 6].includes(place) })), design.levels, { name: design.name })));
  }
}

/* The object that the command's --json prints, as text. */
function results() {
  const packed = Uint8Array.from(atob(document.getElementById("document").textContent), (sign) => sign.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function actions() {
  const runs = () => csv(["network", "design", "batch", "cycles", "energy_uJ", "edp_J_cycle", "utilization", "dram_MB", "area_mm2", "top1_percent", "accuracy_source"],
    DATA.runs.map((run) => [run.network, run.design, run.batch, run.cycles, run.energy_uJ, run.edp, run.utilization, run.dram_MB, run.area_mm2, run.accuracy, run.accuracy_source]));
  document.getElementById("actions").append(el("div", { class: "bar" }, themeButton(),
    el("button", { type: "button", title: "all results, as --json prints them", onclick: async () => download("report.json", "application/json", await results()) }, "JSON"),
    DATA.runs.length ? el("button", { type: "button", onclick: () => download("report.csv", "text/csv", runs()) }, "CSV") : null,
    el("button", { type: "button", onclick: () => print() }, "print")));
}

const KINDS = { text: textSection, table: tableSection, curves: curvesSection, bars: barsSection, stairs: stairsSection, family: familySection };
actions();
DATA.sections.forEach((spec, place) => KINDS[spec.kind]("section-" + place, spec));
if (DATA.runs.length) {
  summary();
  whatToChange();
  accuracyCurves();
  comparison();
  drawDetail();
  provenance();
  addEventListener("hashchange", recall);
}
redraw();
if (DATA.runs.length) recall();
addEventListener("resize", redraw);
/* Paper: all that is folded opens, and charts are as wide as a page. */
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((each) => { each.open = true; });
  drawn.forEach((each) => each.chart && each.draw(660));
});
addEventListener("afterprint", () => {
  folded.forEach((each) => { each.open = false; });
  redraw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.documentElement.dataset.ready = "yes";
