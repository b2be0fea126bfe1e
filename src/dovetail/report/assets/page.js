"use strict";
// The page's own small parts: elements, numbers, sortable tables, downloads, light and dark.

const DATA = JSON.parse(document.getElementById("data").textContent);
const drawn = []; // every chart on the page: {node, chart, option}

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined) node.append(child);
  }
  return node;
}

function number(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(3);
  return size >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(4)));
}

function scaled(value, unit) {
  if (value === null || value === undefined) return "";
  const steps = ["p", "n", "u", "m", "", "k", "M", "G", "T"];
  let place = steps.indexOf(unit[0] === "u" ? "u" : "");
  let size = value;
  while (Math.abs(size) >= 1000 && place < steps.length - 1) { size /= 1000; place += 1; }
  while (Math.abs(size) < 1 && size !== 0 && place > 0) { size *= 1000; place -= 1; }
  return Number(size.toPrecision(4)) + " " + steps[place] + unit.replace(/^u/, "");
}

/* One unit for all values of an axis: {factor, label, show}; keys as in METRICS. */
function unitOf(key, values) {
  const most = Math.max(0, ...values.filter((value) => Number.isFinite(value)).map(Math.abs));
  const known = { energy_uJ: [[1e-6, "energy, pJ"], [1e-3, "energy, nJ"], [1, "energy, uJ"], [1e3, "energy, mJ"], [1e6, "energy, J"], [1e9, "energy, kJ"]],
    cycles: [[1, "cycles"], [1e3, "thousand cycles"], [1e6, "million cycles"], [1e9, "billion cycles"]],
    edp: [[1e-9, "EDP, nJ x cycle"], [1e-6, "EDP, uJ x cycle"], [1e-3, "EDP, mJ x cycle"], [1, "EDP, J x cycle"], [1e3, "EDP, kJ x cycle"], [1e6, "EDP, MJ x cycle"], [1e9, "EDP, GJ x cycle"]] }[key];
  if (!known) return { factor: 1, label: null };
  const fitting = known.filter(([factor]) => most / factor >= 1);
  const [factor, label] = fitting.length ? fitting[fitting.length - 1] : known[0];
  return { factor, label };
}

const energy = (value) => scaled(value, "uJ");
const percent = (value) => (value === null || value === undefined ? "" : Number((100 * value).toPrecision(3)) + " %");

function download(name, type, text) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function csv(columns, rows) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };
  return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

/* A table that sorts by its heads, filters by words and downloads as CSV.
   columns: {title, value(row), show(value), words, long}; options: {name, onselect(row), selected(row)}. */
function sortable(columns, rows, options) {
  const settings = options || {};
  let order = { column: -1, up: true };
  let words = "";
  const body = el("tbody");
  const heads = columns.map((column, place) =>
    el("th", { class: column.words ? "words" : null, "aria-sort": "none", scope: "col" },
      el("button", { type: "button", onclick: () => sort(place) }, column.title)));
  const shown = (row) => columns.some((column) => String(column.value(row)).toLowerCase().includes(words));
  function fill() {
    let list = rows.filter(shown);
    if (order.column >= 0) {
      const value = columns[order.column].value;
      list = [...list].sort((a, b) => {
        const one = value(a), other = value(b);
        const less = one === null ? true : other === null ? false : one < other;
        return (one === other ? 0 : less ? -1 : 1) * (order.up ? 1 : -1);
      });
    }
    body.replaceChildren(...list.map((row) => {
      const cells = columns.map((column) => el("td",
        { class: [column.words ? "words" : "", column.long ? "long" : "", column.wide ? "wide" : ""].join(" ").trim() || null },
        (column.show || number)(column.value(row), row)));
      const attributes = settings.onselect
        ? { class: "link", tabindex: 0, "aria-selected": String(settings.selected(row)),
            "data-key": settings.key ? settings.key(row) : null,
            onclick: () => pick(row), onkeydown: (event) => { if (event.key === "Enter") pick(row); } }
        : {};
      return el("tr", attributes, cells);
    }));
  }
  function pick(row) { settings.onselect(row); fill(); }
  function sort(place) {
    order = { column: place, up: order.column === place ? !order.up : Boolean(columns[place].words) };
    heads.forEach((head, i) => head.setAttribute("aria-sort", i !== place ? "none" : order.up ? "ascending" : "descending"));
    fill();
  }
  const search = rows.length > 8
    ? el("input", { type: "search", placeholder: "filter", "aria-label": "filter rows", oninput: (event) => { words = event.target.value.toLowerCase(); fill(); } })
    : null;
  const save = el("button", { type: "button", onclick: () =>
    download((settings.name || "table") + ".csv", "text/csv", csv(columns.map((c) => c.title), rows.map((row) => columns.map((c) => c.value(row))))) }, "CSV");
  fill();
  const scroll = el("div", { class: "scroll", tabindex: 0 }, el("table", {}, el("thead", {}, el("tr", {}, heads)), body));
  return el("div", {}, el("div", { class: "bar" }, search, save), hinted(scroll, "more columns: scroll sideways →"));
}

/* What scrolls sideways, under a hint while there is more than is seen. */
function hinted(scroll, words) {
  const hint = el("p", { class: "hint", hidden: true }, words);
  new ResizeObserver(() => { hint.hidden = scroll.scrollWidth <= scroll.clientWidth + 1; }).observe(scroll);
  return [hint, scroll];
}

function select(label, choices, value, onchange) {
  const node = el("select", { onchange: (event) => onchange(event.target.value) },
    choices.map(([key, text]) => el("option", { value: key, selected: String(key) === String(value) }, text)));
  return el("label", {}, label, node);
}

function toggle(label, onchange, on = false) {
  const node = el("button", { type: "button", "aria-pressed": String(on), onclick: () => {
    const now = node.getAttribute("aria-pressed") !== "true";
    node.setAttribute("aria-pressed", String(now));
    onchange(now);
  } }, label);
  return node;
}

/* Buttons that show or hide series by their tags, one row of them per place of a tag; onchange gets a test. */
function filters(series, onchange) {
  const hidden = new Set();
  const rows = [];
  for (let place = 0; series.some((each) => each.tags.length > place); place += 1) {
    const names = [...new Set(series.map((each) => each.tags[place]))];
    if (names.length < 2) continue;
    rows.push(el("div", { class: "bar", role: "group", "aria-label": "show" }, names.map((name) => {
      const node = el("button", { type: "button", "aria-pressed": "true", onclick: () => {
        if (hidden.has(name)) hidden.delete(name); else hidden.add(name);
        node.setAttribute("aria-pressed", String(!hidden.has(name)));
        onchange((each) => !each.tags.some((tag) => hidden.has(tag)));
      } }, name);
      return node;
    })));
  }
  return rows;
}

/* Gives every series its look: the first tag its colour, the second its dash, symbol and pattern. */
function styled(series) {
  const names = (place) => [...new Set(series.map((each) => each.tags[place]))];
  const colours = names(0), looks = names(1);
  return series.map((each, place) => ({ ...each, colour: each.tags.length ? colours.indexOf(each.tags[0]) : place,
    look: each.tags.length > 1 ? looks.indexOf(each.tags[1]) : each.tags.length ? colours.indexOf(each.tags[0]) : place }));
}

const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

function redraw() {
  for (const each of drawn) each.draw();
}

function themeButton() {
  const names = ["auto", "light", "dark"];
  let place = 0;
  const node = el("button", { type: "button", id: "theme", onclick: () => {
    place = (place + 1) % names.length;
    if (place === 0) delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = names[place];
    node.textContent = "theme: " + names[place];
    redraw();
  } }, "theme: auto");
  return node;
}
