"use strict";
// A family's front: points by any two costs, what a point's neighbours change and gain, every parameter at once.

const COSTS = [["area_mm2", "area, mm^2"], ["energy_uJ", "energy, uJ"], ["cycles", "cycles"], ["edp", "EDP, J x cycle"],
  ["traffic_MB", "DRAM traffic, MB"], ["power_mW", "power, mW"]];
/* Traffic and power are told where they are axes. */
const costsOf = (spec) => COSTS.filter(([key]) => key in spec.points[0]);
const costLabel = (key) => COSTS.find((each) => each[0] === key)[1];

function choiceText(spec, point) {
  return spec.parameters.map((each, place) => each.name + " = " + each.labels[point.choice[place]]);
}

/* A scale for values that are all above 0: by factors where they span many, plain where they span few. */
function scaleOf(spec, key) {
  const values = spec.points.map((point) => point[key]), low = Math.min(...values), high = Math.max(...values);
  return high / low > 20 ? { type: "log", min: low / 1.1, max: high * 1.1 } : { type: "value", scale: true };
}

function familyFrontOption(spec, x, y, by, chosen) {
  const option = base(), groups = by < 0 ? [null] : spec.parameters[by].labels.map((_, value) => value);
  const of = (value) => spec.points.map((point, place) => [point[x], point[y], place])
    .filter((each) => value === null || spec.points[each[2]].choice[by] === value);
  const series = groups.map((value, place) => ({
    name: value === null ? "front" : spec.parameters[by].name + " = " + spec.parameters[by].labels[value],
    type: "scatter", symbol: SYMBOLS[place % SYMBOLS.length], symbolSize: 11, data: of(value),
    itemStyle: { color: COLOURS[place % COLOURS.length], opacity: 0.85 } })).filter((each) => each.data.length);
  if (chosen !== null) {
    const point = spec.points[chosen];
    series.push({ name: "chosen", type: "scatter", symbol: "circle", symbolSize: 22, silent: true, z: 5,
      data: [[point[x], point[y], chosen]], itemStyle: { color: "transparent", borderColor: ink().text, borderWidth: 2 } });
  }
  return { ...option,
    grid: { ...option.grid, left: 30, bottom: 44, containLabel: true },
    tooltip: { ...option.tooltip, trigger: "item", formatter: (p) => {
      const point = spec.points[p.value[2]];
      return tip([point.design, ...choiceText(spec, point), ...costsOf(spec).map(([key, label]) => label + ": " + number(point[key]))]);
    } },
    xAxis: axis(costLabel(x), scaleOf(spec, x)),
    yAxis: axis(costLabel(y), { nameGap: 46, ...scaleOf(spec, y) }),
    series };
}

/* What changes from one point to its neighbour, and what that does to each cost. */
function stepTable(spec, from, to, heading) {
  const one = spec.points[from], two = spec.points[to];
  const changed = spec.parameters.map((each, place) => [each, one.choice[place], two.choice[place]]).filter(([, a, b]) => a !== b)
    .map(([each, a, b]) => each.name + " " + each.labels[a] + " → " + each.labels[b]);
  const gains = costsOf(spec).map(([key, label]) => {
    const share = two[key] / one[key] - 1;
    return el("li", {}, label + ": " + number(one[key]) + " → " + number(two[key]) + (share ? " (" + (share > 0 ? "+" : "") + percent(share) + ")" : ""));
  });
  return el("div", {}, el("h3", {}, heading), el("p", {}, changed.length ? changed.join("; ") : "the same design, its layers mapped otherwise"), el("ul", { class: "findings" }, gains));
}

function familyDetail(spec, chosen, x) {
  const point = spec.points[chosen];
  const order = spec.points.map((_, place) => place).sort((a, b) => spec.points[a][x] - spec.points[b][x] || a - b);
  const at = order.indexOf(chosen);
  return [el("h3", {}, point.design), el("p", {}, choiceText(spec, point).join(", ") || "one design"),
    el("div", { class: "cards" }, costsOf(spec).map(([key, label]) => el("div", { class: "card" }, el("b", {}, number(point[key])), el("span", {}, label)))),
    el("div", { class: "grid" },
      at > 0 ? stepTable(spec, order[at - 1], chosen, "from the neighbour with less " + costLabel(x)) : null,
      at + 1 < order.length ? stepTable(spec, chosen, order[at + 1], "to the neighbour with more " + costLabel(x)) : null)];
}

function parallelOption(spec, by, chosen) {
  const colour = ink(), option = base();
  const names = [...spec.parameters.map((each) => each.name), ...costsOf(spec).map(([, label]) => label)];
  const axes = [...spec.parameters.map((each, dim) => ({ dim, name: each.name, type: "category", data: each.labels.map(String) })),
    ...costsOf(spec).map(([key, label], place) => ({ dim: spec.parameters.length + place, name: label, ...scaleOf(spec, key) }))];
  const data = spec.points.map((point, place) => ({
    value: [...spec.parameters.map((each, dim) => String(each.labels[point.choice[dim]])), ...costsOf(spec).map(([key]) => point[key])],
    lineStyle: { color: place === chosen ? colour.text : COLOURS[(by < 0 ? 0 : point.choice[by]) % COLOURS.length], width: place === chosen ? 4 : 1.5, opacity: place === chosen ? 1 : 0.55 } }));
  return { ...option, legend: undefined, grid: undefined,
    parallel: { left: 30, right: 96, top: 80, bottom: 20, parallelAxisDefault: { nameRotate: 25, nameTextStyle: { color: colour.soft, fontSize: 11 }, nameGap: 12,
      axisLabel: { color: colour.text, fontSize: 10, hideOverlap: true, formatter: tick(3) }, axisLine: { lineStyle: { color: colour.line } } } },
    parallelAxis: axes, series: [{ type: "parallel", name: names.join(), data }] };
}

/* Along the front: what the best point with each value of a parameter has, beside the best of all. */
function worthRows(spec) {
  const least = Object.fromEntries(costsOf(spec).map(([key]) => [key, Math.min(...spec.points.map((point) => point[key]))]));
  return spec.parameters.flatMap((each, place) => each.labels.map((label, value) => {
    const those = spec.points.filter((point) => point.choice[place] === value);
    return [each.name, String(label), those.length, ...costsOf(spec).map(([key]) => (those.length ? Math.min(...those.map((point) => point[key])) / least[key] - 1 : null))];
  }));
}

function familySection(id, spec) {
  let [x, y] = spec.axes, by = spec.parameters.length ? 0 : -1, chosen = null;
  const detail = el("div", { id: id + "-chosen", "aria-live": "polite" }, el("p", { class: "hint" }, "Choose a point to see what differs from its neighbours, and what each change bought."));
  const pick = (place) => { chosen = place; detail.replaceChildren(...familyDetail(spec, chosen, x)); front.redraw(); every.redraw(); };
  const front = figure(() => familyFrontOption(spec, x, y, by, chosen), 440, "the front by " + costLabel(x) + " and " + costLabel(y),
    (event) => { if (event.seriesType === "scatter") pick(event.value[2]); });
  const every = figure(() => parallelOption(spec, by, chosen), 420, "every parameter and cost of each point", (event) => pick(event.dataIndex));
  const set = (change) => { change(); if (chosen !== null) pick(chosen); else { front.redraw(); every.redraw(); } };
  const pickers = el("div", { class: "bar" },
    select("across", costsOf(spec), x, (value) => set(() => { x = value; })), select("up", costsOf(spec), y, (value) => set(() => { y = value; })),
    select("colours", [[-1, "none"], ...spec.parameters.map((each, place) => [place, each.name])], by, (value) => set(() => { by = Number(value); })));
  section(spec.title, id, el("p", { class: "note" }, spec.note), pickers, front, detail,
    el("h3", {}, "All parameters at once"), el("p", { class: "note" }, "A line is a point of the front, coloured as above."), hinted(el("div", { class: "scroll" }, el("div", { class: "across" }, every)), "more to the right: scroll sideways →"));
  const shown = (value) => (value === null ? "not on the front" : value < 1e-9 ? "the least" : "+" + percent(value));
  const columns = [["parameter", true], ["value", true], ["points", false], ...costsOf(spec).map(([, label]) => ["least " + label.split(",")[0], false])]
    .map(([title, words], place) => ({ title, words, value: (row) => row[place], show: place < 3 ? number : shown }));
  section("What each parameter is worth along the front", id + "-worth",
    el("p", { class: "note" }, "The least of each cost of the front's points with a value, above the least of all points: what keeping the parameter there costs."),
    sortable(columns, worthRows(spec), { name: "worth" }));
}
