// Draws the report that stands before it as `report`. Text goes in by textContent only.

const rows = report.rows.filter(r => !r.error && r.ms > 0);
const plotted = (report.plot ?? []).filter(r => !r.error && r.ms > 0);
const failed = report.rows.filter(r => r.error);
const devices = [...new Set(report.rows.map(r => r.device))];
const peerNames = [...new Set(rows.flatMap(r => Object.keys(r.peers)))];
const colour = i => `var(--c${i % 8})`;
const $ = selector => document.querySelector(selector);

// --- text ---

const figure = x => x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2);
const time = ms => ms < 1e-3 ? `${(ms * 1e6).toFixed(0)} ns` : ms < 1 ? `${figure(ms * 1e3)} µs`
  : ms < 1e3 ? `${figure(ms)} ms` : `${figure(ms / 1e3)} s`;
const count = n => n >= 1e6 && n % 1e6 === 0 ? `${n / 1e6}M` : n > 1e4 && n % 1e3 === 0 ? `${n / 1e3}k` : `${n}`;
const shape = r => r.shape.map(count).join("×");
const size = r => r.shape.reduce((a, b) => a * b, 1);
const title = r => r.text.startsWith(r.dtype) || r.dtype === "f32" ? r.text : `${r.dtype} ${r.text}`;
const computes = r => r.flops > 4 * r.bytes;
const amount = r => (computes(r) ? r.flops : r.bytes) / 1e6;
const rate = r => amount(r) / r.ms;
const unit = r => computes(r) ? "GFLOP/s" : "GB/s";

// --- elements ---

function add(parent, name, attributes = {}, text) {
  const svg = parent.namespaceURI.endsWith("svg") || name === "svg";
  const e = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  if (text !== undefined) e.textContent = text;
  parent.append(e);
  return e;
}

// A wide chart is drawn as wide as the page, so that its text is as large as any: its width, and that of the names.
function room(chart) {
  const width = Math.max(280, Math.min(1160, chart.clientWidth - 32));
  return [width, Math.min(260, .42 * width)];
}

const fit = (name, left) => name.length > left / 6.2 ? `${name.slice(0, left / 6.2 - 1)}…` : name;

function picture(parent, width, height, label) {
  return add(parent, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
}

function legend(parent, entries) {
  for (const [name, c] of entries) {
    const item = add(parent, "span");
    add(item, "i", { style: `background:${c}` });
    item.append(name);
  }
}

function hide(id) {
  $(`#${id}`).hidden = true;
}

// Lines along a logarithmic axis: powers of ten within a range.
function decades(low, high) {
  const out = [];
  for (let e = Math.ceil(Math.log10(low) - 1e-9); e <= Math.log10(high) + 1e-9; e++) out.push(10 ** e);
  return out;
}

const log = (low, high, from, to) => x =>
  from + (Math.log(x) - Math.log(low)) / (Math.log(high) - Math.log(low) || 1) * (to - from);

const short = n => n >= 1e9 ? `${n / 1e9}G` : n >= 1e6 ? `${n / 1e6}M` : n >= 1e3 ? `${n / 1e3}k` : `${+n.toPrecision(2)}`;

// --- head ---

function quietness() {
  const q = report.quiet;
  if (!q) return "";
  const percent = n => n?.other == null ? "an unknown part" : `${figure(100 * (n.other + n.steal))} %`;
  const verdict = q.quiet == null ? "It is not known whether the machine was quiet." : q.quiet ? "The machine was quiet:"
    : "The machine was not quiet:";
  return `${verdict} others had ${percent(q.before)} of its cores before the run and ${percent(q.during)} during it; `
    + `${q.disturbed} of ${report.rows.length} rows were disturbed.`;
}

function head() {
  const m = report.machine;
  const names = Object.entries(m.devices).filter(([k, v]) => k !== v).map(([k, v]) => `${k} ${v}`);
  $("#machine").textContent = [m.cpu, `${m.threads} threads`, m.memory_gib && `${m.memory_gib} GiB`, m.os, ...names]
    .filter(Boolean).join(" · ");
  $("#versions").textContent = [...Object.entries(report.versions).map(([k, v]) => v.startsWith(k) ? v : `${k} ${v}`),
    report.commit && `commit ${report.commit}`].filter(Boolean).join(" · ");
  $("#quiet").textContent = quietness();
  for (const [device, l] of Object.entries(report.limits)) {
    const card = add($("#limits"), "div", { class: "card" });
    add(card, "h3", {}, `Limits of ${device}`);
    const list = add(card, "dl");
    for (const [key, name, u] of [["copy_gbps", "copy", "GB/s"], ["read_gbps", "read", "GB/s"],
      ["fma_gflops", "multiply-add", "GFLOP/s"], ["fma_gflops_f64", "in f64", "GFLOP/s"]]) {
      if (l[key] == null) continue;
      const pair = add(list, "div");
      add(pair, "dt", {}, name);
      add(pair, "dd", {}, `${figure(l[key])} ${u}`);
    }
  }
}

// --- in a few figures ---

const median = list => {
  const sorted = [...list].sort((a, b) => a - b), middle = sorted.length / 2;
  return sorted.length % 2 ? sorted[middle - .5] : (sorted[middle - 1] + sorted[middle]) / 2;
};

function tile(value, text) {
  const div = add($("#summary"), "div", { class: "tile" });
  add(div, "b", {}, value);
  add(div, "span", {}, text);
}

function summary() {
  for (const d of devices) {
    const shares = rows.filter(r => r.device === d && r.fraction != null).map(r => r.fraction);
    if (shares.length) tile(median(shares).toFixed(2), `of the limit on ${d}, median of ${shares.length} rows`);
  }
  for (const p of peerNames) {
    const ratios = rows.map(r => r.peers[p]?.ratio).filter(x => x > 0);
    if (!ratios.length) continue;
    const mean = Math.exp(ratios.map(Math.log).reduce((a, b) => a + b, 0) / ratios.length);
    tile(`${figure(mean)}×`, `${p}'s time over ours, geometric mean of ${ratios.length} rows`);
  }
}

// --- shares of the limit ---

function shares() {
  const groups = new Map();
  for (const r of rows.filter(r => r.fraction != null)) {
    const key = `${r.work} ${r.dtype} ${r.shape}`;
    groups.set(key, [...(groups.get(key) ?? []), r]);
  }
  if (!groups.size) return hide("shares");
  const chart = $("#shares .chart");
  if (devices.length > 1) legend(add(chart, "div", { class: "legend" }), devices.map((d, i) => [d, colour(i)]));
  const all = [...groups.values()], bar = devices.length > 1 ? 10 : 13, gap = 7, top = 18;
  const height = all.reduce((h, g) => h + g.length * bar + gap, top);
  const full = Math.max(1.1, ...all.flat().map(r => Math.min(r.fraction, 1.5)));
  const [width, left] = room(chart);
  const svg = picture(chart, width, height, "share of the limit of each row");
  svg.style.maxWidth = `${width}px`;
  const x = f => left + f / full * (width - left - 40);
  for (const f of [0, .25, .5, .75, 1]) {
    add(svg, "line", { x1: x(f), x2: x(f), y1: top - 5, y2: height, class: f === 1 ? "limit" : "axis" });
    add(svg, "text", { x: x(f), y: 9, "text-anchor": "middle" }, f);
  }
  let y = top;
  for (const group of all) {
    const [r] = group;
    add(svg, "text", { x: left - 8, y: y + group.length * bar / 2 + 4, "text-anchor": "end", class: "ink" },
      fit(`${title(r)}, ${shape(r)}`, left));
    for (const r of group) {
      const end = x(Math.min(r.fraction, full));
      const rect = add(svg, "rect", { x: left, y: y + 1, width: Math.max(1, end - left), height: bar - 2, rx: 2,
        fill: colour(devices.indexOf(r.device)) });
      add(rect, "title", {}, `${title(r)} ${shape(r)} on ${r.device}: ${time(r.ms)}, limit ${time(r.limit_ms)}`);
      add(svg, "text", { x: end + 5, y: y + bar / 2 + 4, class: "halo" }, r.fraction.toFixed(2) + (r.fraction > 1.1 ? " !" : ""));
      y += bar;
    }
    y += gap;
  }
}

// --- size against speed ---

// Rows of one work and dtype, by size, for each device. Only lengths and squares are sizes; other shapes are different work.
function sweeps() {
  const groups = new Map();
  for (const r of rows.filter(r => r.shape.every(n => n === r.shape[0]))) {
    const key = `${r.work} ${r.dtype} ${r.shape.length}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(r);
  }
  const several = g => new Set(g.map(size)).size > 1;
  return [...groups.values()].filter(several).map(g => g.sort((a, b) => size(a) - size(b)));
}

function path(points) {
  return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

function sizes() {
  const groups = sweeps();
  if (!groups.length) return hide("sizes");
  for (const group of groups) {
    const card = add($("#sizes .grid"), "div", { class: "card" });
    add(card, "h3", {}, `${title(group[0])}, ${unit(group[group.length - 1])}`);
    legend(add(card, "div", { class: "legend" }), devices.map((d, i) => [d, colour(i)]));
    // one unit for the whole plot, whatever the small sizes would have
    const by = group[group.length - 1];
    const what = r => (computes(by) ? r.flops : r.bytes) / 1e6;
    const limits = group.filter(r => r.limit_ms > 0);
    const values = [...group.map(r => what(r) / r.ms), ...limits.map(r => what(r) / r.limit_ms)];
    const [low, high] = [Math.min(...values) / 1.3, Math.max(...values) * 1.3];
    const svg = picture(card, 340, 220, `${title(by)}: size against ${unit(by)}`);
    const x = log(size(group[0]), size(by), 42, 330), y = log(low, high, 192, 8);
    const ticks = decades(low, high);
    for (const v of ticks.length > 1 ? ticks : [low * 1.3, high / 1.3]) {
      add(svg, "line", { x1: 38, x2: 330, y1: y(v), y2: y(v), class: "axis" });
      add(svg, "text", { x: 34, y: y(v) + 4, "text-anchor": "end" }, short(v));
    }
    const marks = by.shape.length > 1 ? [...new Set(group.map(size))] : decades(size(group[0]), size(by));
    for (const v of marks) {
      const name = by.shape.length > 1 ? shape(group.find(r => size(r) === v)) : short(v);
      add(svg, "text", { x: x(v), y: 210, "text-anchor": x(v) > 300 ? "end" : "middle" }, name);
    }
    devices.forEach((d, i) => {
      const own = group.filter(r => r.device === d), bounds = limits.filter(r => r.device === d);
      const points = own.map(r => [x(size(r)), y(what(r) / r.ms)]);
      const dashed = bounds.map(r => [x(size(r)), y(what(r) / r.limit_ms)]);
      add(svg, "path", { d: path(dashed), fill: "none", stroke: colour(i), "stroke-width": 1.5, "stroke-dasharray": "5 4", opacity: .8 });
      add(svg, "path", { d: path(points), fill: "none", stroke: colour(i), "stroke-width": 2.2 });
      own.forEach((r, k) => {
        const dot = add(svg, "circle", { cx: points[k][0], cy: points[k][1], r: 3.6, fill: colour(i) });
        add(dot, "title", {}, `${shape(r)} on ${d}: ${figure(what(r) / r.ms)} ${unit(by)}, ${time(r.ms)}`);
      });
    });
  }
}

// --- every size ---

// One card for each operation: elements a second against the number of elements, both on logarithmic axes.
function plot() {
  if (!plotted.length) return hide("plot");
  const names = [...new Set(plotted.flatMap(r => Object.keys(r.peers)))];
  const lines = [["cupric", r => r.ms, 0], ...names.map((p, i) => [p, r => r.peers[p]?.ms, i + 1])];
  legend($("#plot .legend"), lines.map(([name, , i]) => [name, colour(i)]));
  for (const work of new Set(plotted.map(r => r.work))) {
    const own = plotted.filter(r => r.work === work).sort((a, b) => size(a) - size(b));
    const card = add($("#plot .grid"), "div", { class: "card" });
    add(card, "h3", {}, `${title(own[0])}, elements a second`);
    const speed = (r, ms) => size(r) / ms * 1e3;
    const all = [...lines, ["limit", r => r.limit_ms, 0]].map(([name, ms, i]) =>
      [name, own.filter(r => ms(r) > 0).map(r => [size(r), speed(r, ms(r))]), i]);
    // the limit of a few elements in a cache is far off the page's range
    const values = all.slice(0, -1).flatMap(([, points]) => points.map(p => p[1]));
    const [low, high] = [Math.min(...values) / 1.3, Math.max(...values) * 2];
    const svg = picture(card, 340, 240, `${title(own[0])}: size against speed`);
    const x = log(size(own[0]), size(own[own.length - 1]), 42, 330), y = log(low, high, 212, 8);
    for (const v of decades(low, high)) {
      add(svg, "line", { x1: 38, x2: 330, y1: y(v), y2: y(v), class: "axis" });
      add(svg, "text", { x: 34, y: y(v) + 4, "text-anchor": "end" }, short(v));
    }
    for (const v of decades(size(own[0]), size(own[own.length - 1]))) {
      add(svg, "text", { x: x(v), y: 230, "text-anchor": x(v) > 300 ? "end" : "middle" }, short(v));
    }
    for (const [name, points, i] of all) {
      const shown = points.filter(([, v]) => v <= high).map(([n, v]) => [x(n), y(v)]);
      const dashed = name === "limit" ? { "stroke-dasharray": "5 4", opacity: .8 } : {};
      const line = add(svg, "path", { d: path(shown), fill: "none", stroke: colour(i), "stroke-width": i ? 1.5 : 2.2, ...dashed });
      add(line, "title", {}, name);
      if (name !== "cupric") continue;
      points.forEach(([n, v], k) => {
        const dot = add(svg, "circle", { cx: shown[k][0], cy: shown[k][1], r: 2.2, fill: colour(0) });
        add(dot, "title", {}, `${n} elements: ${time(n / v * 1e3)}, ${short(+v.toPrecision(3))} a second`);
      });
    }
  }
}

// --- crossover ---

// The size from which on `a` takes longer than `b`, by interpolation; 0 from the first size on, Infinity for never.
function crossing(a, b) {
  const pairs = a.map(r => [r, b.find(o => size(o) === size(r))]).filter(p => p[1])
    .map(([r, o]) => [Math.log(size(r)), Math.log(r.ms / o.ms)]);
  for (let i = pairs.length - 1; i >= 0; i--) {
    if (pairs[i][1] > 0) continue;
    if (i === pairs.length - 1) return Infinity;
    const [[x0, y0], [x1, y1]] = [pairs[i], pairs[i + 1]];
    return Math.exp(x0 + (x1 - x0) * -y0 / (y1 - y0));
  }
  return pairs.length ? 0 : NaN;
}

function crossover() {
  const gpus = devices.filter(d => d !== "cpu"), groups = sweeps();
  const lines = groups.flatMap(g => gpus.map(d => {
    const [a, b] = ["cpu", d].map(name => g.filter(r => r.device === name));
    const points = a.map(r => [r, b.find(o => size(o) === size(r))]).filter(p => p[1]).map(([r, o]) => [size(r), r.ms / o.ms]);
    const name = gpus.length > 1 ? `${title(g[0])}, ${d}` : title(g[0]);
    return { name, points, from: crossing(a, b), last: size(g[g.length - 1]) };
  })).filter(l => l.points.length > 1);
  if (!lines.length) {
    $("#crossover .hint").textContent =
      "Only one device, or one size of each operation, was measured: this needs a CPU, a GPU and several sizes.";
    $("#crossover .chart").hidden = true;
    return;
  }
  const chart = $("#crossover .chart"), [width] = room(chart), height = Math.min(340, 150 + width / 5), left = 48;
  const sizes = lines.flatMap(l => l.points.map(p => p[0])), times = lines.flatMap(l => l.points.map(p => p[1]));
  // what a line's name says of it
  const verdict = l => l.from === 0 ? "the GPU at every size" : l.from <= l.last ? `from ${short(+l.from.toPrecision(2))}` : "the CPU at every size";
  legend(add(chart, "div", { class: "legend" }), lines.map((l, i) => [`${l.name}: ${verdict(l)}`, colour(i)]));
  const svg = picture(chart, width, height, "how many times quicker the GPU is, by size");
  svg.style.maxWidth = `${width}px`;
  const [low, high] = [Math.min(.5, ...times) / 1.2, Math.max(2, ...times) * 1.2];
  const x = log(Math.min(...sizes), Math.max(...sizes), left, width - 16), y = log(low, high, height - 24, 8);
  for (const v of decades(low, high)) {
    add(svg, "line", { x1: left - 4, x2: width - 16, y1: y(v), y2: y(v), class: v === 1 ? "limit" : "axis" });
    add(svg, "text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, `${short(v)}×`);
  }
  for (const v of decades(Math.min(...sizes), Math.max(...sizes))) {
    add(svg, "text", { x: x(v), y: height - 6, "text-anchor": x(v) > width - 40 ? "end" : "middle" }, short(v));
  }
  lines.forEach((l, i) => {
    add(svg, "path", { d: path(l.points.map(([n, t]) => [x(n), y(t)])), fill: "none", stroke: colour(i), "stroke-width": 2.2 });
    for (const [n, t] of l.points) {
      const dot = add(svg, "circle", { cx: x(n), cy: y(t), r: 3.2, fill: colour(i) });
      add(dot, "title", {}, `${l.name}, ${short(n)}: ${figure(t)}×`);
    }
    if (l.from > 0 && l.from <= l.last) {
      add(svg, "circle", { cx: x(l.from), cy: y(1), r: 6, fill: "none", stroke: colour(i), "stroke-width": 2.5 });
    }
  });
}

// --- beside the peers ---

function peers() {
  const shown = rows.filter(r => Object.keys(r.peers).length);
  if (!shown.length) return hide("peers");
  legend($("#peers .legend"), [["cupric", colour(0)], ...peerNames.map((p, i) => [p, colour(i + 1)])]);
  for (const r of shown) {
    const card = add($("#peers .grid"), "div", { class: "card" });
    add(card, "h3", {}, `${title(r)}, ${shape(r)}${devices.length > 1 ? `, ${r.device}` : ""}`);
    const bars = [["cupric", r.ms, 0], ...peerNames.filter(p => r.peers[p]).map(p => [p, r.peers[p].ms, peerNames.indexOf(p) + 1])];
    const longest = Math.max(...bars.map(b => b[1] ?? Infinity));
    const full = Math.min(longest, 8 * r.ms), step = 21;
    const svg = picture(card, 340, step * bars.length + 2, `times of ${title(r)}`);
    const x = ms => 62 + Math.min(1, ms / full) * 180;
    bars.forEach(([name, ms, i], k) => {
      const y = step * k;
      add(svg, "text", { x: 56, y: y + 14, "text-anchor": "end", class: "ink" }, name);
      add(svg, "rect", { x: 62, y: y + 3, width: Math.max(1.5, x(ms ?? Infinity) - 62), height: step - 7, rx: 2, fill: colour(i),
        opacity: ms === null || ms > full * 1.001 ? .55 : 1 });
      const factor = i === 0 ? "" : ms === null ? "" : `  ${figure(ms / r.ms)}×`;
      add(svg, "text", { x: x(ms ?? Infinity) + 5, y: y + 14 }, (ms === null ? ">10 s" : time(ms)) + factor);
    });
    if (r.limit_ms) add(svg, "line", { x1: x(r.limit_ms), x2: x(r.limit_ms), y1: 0, y2: step * bars.length, class: "limit" });
  }
}

// --- the table ---

const columns = [
  ["work", r => title(r), "text"], ["dtype", r => r.dtype, "text"], ["shape", r => size(r), "text", shape],
  ["device", r => r.device, "text"], ["median", r => r.ms, "", r => time(r.ms)],
  ...(rows.some(r => r.ms_gpu > 0) ? [["by GPU clock", r => r.ms_gpu, "", r => r.ms_gpu > 0 ? time(r.ms_gpu) : "—"]] : []),
  ["min", r => r.ms_min, "", r => time(r.ms_min)], ["max", r => r.ms_max, "", r => time(r.ms_max)],
  ["rate", rate, "", r => r.bytes < 1e3 ? "—" : `${figure(rate(r))} ${unit(r)}`],
  ["limit", r => r.limit_ms, "", r => r.limit_ms ? time(r.limit_ms) : "—"],
  ["share", r => r.fraction, "", r => (r.fraction == null ? "—" : r.fraction.toFixed(2) + (r.fraction > 1.1 ? " !" : ""))
    + (r.disturbed ? " ~" : "")],
  ...peerNames.map(p => [p, r => r.peers[p] && (r.peers[p].ratio ?? Infinity), "peer",
    r => !r.peers[p] ? "—" : r.peers[p].ratio == null ? ">10 s" : `${figure(r.peers[p].ratio)}×`]),
  ...(devices.length > 1 ? [["ULP", r => r.ulp, "", r => r.ulp == null ? "—" : r.ulp >= 1e6 ? r.ulp.toExponential(0) : r.ulp]] : []),
];
let sorted = { by: -1, up: true };

function body() {
  const words = $("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const match = r => words.every(w => `${title(r)} ${r.work} ${r.dtype} ${shape(r)} ${r.device}`.toLowerCase().includes(w));
  const list = rows.filter(match);
  if (sorted.by >= 0) {
    const key = columns[sorted.by][1], sign = sorted.up ? 1 : -1;
    // what is missing goes last either way
    list.sort((a, b) => {
      const [u, v] = [key(a), key(b)];
      if (u == null || v == null) return (u == null) - (v == null);
      return sign * (u < v ? -1 : u > v ? 1 : 0);
    });
  }
  const tbody = $("#rows tbody");
  tbody.replaceChildren();
  for (const r of list) {
    const tr = add(tbody, "tr");
    for (const [, key, kind, text] of columns) {
      const value = key(r);
      const side = kind !== "peer" || value == null ? kind : value >= 1 ? "ahead" : "behind";
      add(tr, "td", { class: side }, text ? text(r) : value);
    }
  }
  for (const r of failed) {
    const tr = add(tbody, "tr");
    add(tr, "td", { class: "text", colspan: columns.length }, `${title(r)} ${shape(r)} on ${r.device}: ${r.error}`);
  }
}

function table() {
  const tr = add($("#rows thead"), "tr");
  columns.forEach(([name, , kind], i) => {
    const th = add(tr, "th", { class: kind, scope: "col" });
    add(th, "button", { type: "button" }, name).addEventListener("click", () => {
      sorted = { by: i, up: sorted.by === i ? !sorted.up : true };
      [...tr.children].forEach((c, k) => k === i ? c.setAttribute("aria-sort", sorted.up ? "ascending" : "descending") : c.removeAttribute("aria-sort"));
      body();
    });
  });
  $("#search").addEventListener("input", body);
  body();
}

[head, summary, shares, sizes, plot, crossover, peers, table].forEach(f => f());
