/* The page of runs. First what is arithmetic (tests/pages/test_arithmetic.py runs it), then the drawing.
   There is one `state`, which is in the address, and one function for each part of the page that draws it.
   Text from records goes into the page as text nodes and attributes only: nothing here writes markup. */
"use strict";

/* ---- Values and numbers ------------------------------------------------------------------------------------------ */

function textOf(value) {
  if (Array.isArray(value)) return "[" + value.map(textOf).join(", ") + "]";
  if (value && typeof value === "object") {
    return "{" + Object.keys(value).map((key) => `${key}: ${textOf(value[key])}`).join(", ") + "}";
  }
  return value === undefined ? "–" : String(value);
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const isError = (metric) => /_error(_|$)/.test(metric);
const isBetterHigher = (metric) => /accuracy|images_per_second|mfu|target_reached/.test(metric);
const minus = (text) => text.replaceAll("-", "−");

/* Errors are fractions, shown in percent; anything else with four digits. Cells of the table have their unit above. */
function format(value, metric = "") {
  if (!isNumber(value)) return "–";
  if (isError(metric)) return minus((100 * value).toFixed(2)) + " %";
  if (Math.abs(value) < 1e-4 && value !== 0) return minus(value.toExponential(2));
  return minus(Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4))));
}

/* [mean, " ± deviation"], without a unit; both with the same decimals. */
function cellOf(average, spread, metric) {
  if (!isNumber(average)) return ["–", ""];
  const factor = isError(metric) ? 100 : 1, size = Math.floor(Math.log10(Math.abs(average) || 1));
  if (factor === 1 && !isNumber(spread)) return [format(average), ""];
  if (factor === 1 && (size > 6 || size < -4)) return [format(average), ` ± ${Number(spread.toPrecision(2))}`];
  const decimals = factor > 1 ? 2 : Math.max(0, 3 - Math.max(0, size));
  const after = isNumber(spread) ? ` ± ${(factor * spread).toFixed(decimals)}` : "";
  return [minus((factor * average).toFixed(decimals)), after];
}

const sentenceOf = (average, spread, metric) => cellOf(average, spread, metric).join("") + (isError(metric) ? " %" : "");

function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : NaN;
}

/* Sample standard deviation; NaN for fewer than two. */
function deviation(values) {
  if (values.length < 2) return NaN;
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
}

/* Exponential moving average that starts unbiased: the weights of all values so far sum to one. */
function smooth(values, weight) {
  let sum = 0, weights = 0;
  return Array.from(values, (value) => {
    if (!isNumber(value)) return NaN;
    sum = weight * sum + (1 - weight) * value;
    weights = weight * weights + (1 - weight);
    return sum / weights;
  });
}

/* One number for a curve. by: last, best, mean or smoothed (the last smoothed one). */
function summarise(values, by, metric, weight) {
  const known = Array.from(values).filter(isNumber);
  if (!known.length) return NaN;
  if (by === "mean") return mean(known);
  if (by === "best") return known.reduce((a, b) => ((b > a) === isBetterHigher(metric) ? b : a));
  return (by === "smoothed" ? smooth(known, weight || 0.9) : known)[known.length - 1];
}

/* Seed by seed, ours − theirs. ours, theirs: lists of [seed, value]. p: of the paired t-test that the mean is 0. */
function paired(ours, theirs) {
  const bySeed = new Map();
  for (const [seed, value] of theirs) bySeed.set(textOf(seed), value);
  const all = ours.filter(([seed]) => bySeed.has(textOf(seed))).map(([seed, value]) => value - bySeed.get(textOf(seed)));
  const average = mean(all), spread = deviation(all);
  const certain = average === 0 ? 1 : 0; // of differences that are all the same
  const t = average / (spread / Math.sqrt(all.length));
  const p = all.length < 2 ? NaN : spread === 0 ? certain : studentP(t, all.length - 1);
  return { n: all.length, mean: average, deviation: spread, lower: all.filter((d) => d < 0).length, p };
}

/* Two-sided p of Student's t: the regularised incomplete beta function I_x(df/2, 1/2) at x = df/(df + t²). */
function studentP(t, df) {
  const x = df / (df + t * t), a = df / 2, b = 0.5;
  if (x >= 1) return 1;
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  return x < (a + 1) / (a + b + 2) ? front * betaFraction(x, a, b) / a : 1 - front * betaFraction(1 - x, b, a) / b;
}

function betaFraction(x, a, b) { // Lentz's way through the continued fraction
  let c = 1, d = 1 / (1 - (a + b) * x / (a + 1)), value = d;
  for (let m = 1; m < 300; m++) {
    const even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / (1 + even * d); c = 1 + even / c; value *= d * c;
    const odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / (1 + odd * d); c = 1 + odd / c;
    value *= d * c;
    if (Math.abs(d * c - 1) < 1e-14) break;
  }
  return value;
}

function logGamma(z) { // Stirling's series, after shifting to where it is exact to 1e-14
  let shift = 0;
  for (; z < 12; z++) shift -= Math.log(z);
  const i = 1 / (z * z);
  const series = (1 / 12 - i * (1 / 360 - i * (1 / 1260 - i / 1680))) / z;
  return shift + (z - 0.5) * Math.log(z) - z + Math.log(2 * Math.PI) / 2 + series;
}

/* Order among values of any kind: numbers, words, lists, truths, null; what is missing comes last. */
function rank(value) {
  if (isNumber(value)) return 0;
  if (typeof value === "string") return 2;
  return Array.isArray(value) ? 1 : typeof value === "boolean" ? 3 : value === null ? 4 : 5;
}

function compare(a, b) {
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  if (Array.isArray(a)) {
    for (let i = 0; i < Math.min(a.length, b.length); i++) if (compare(a[i], b[i])) return compare(a[i], b[i]);
    return a.length - b.length;
  }
  return isNumber(a) || typeof a === "boolean" ? a - b : textOf(a).localeCompare(textOf(b), "en", { numeric: true });
}

/* What is missing comes last in both directions. Keeps the order of what is equal. */
function ordered(items, key, descending) {
  const worth = new Map(items.map((item) => [item, key(item)]));
  const missing = (value) => rank(value) === 5;
  return [...items].sort((one, other) => {
    const a = worth.get(one), b = worth.get(other);
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    return descending ? compare(b, a) : compare(a, b);
  });
}

function decode(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const view = new DataView(bytes.buffer), values = new Float32Array(bytes.length / 4);
  for (let i = 0; i < values.length; i++) values[i] = view.getFloat32(4 * i, true);
  return values;
}

/* ---- The filter: `reg.l2 > 0.01 and model = mlp` ------------------------------------------------------------------ */

const OPERATORS = {
  "=": (order) => order === 0, "!=": (order) => order !== 0, "<": (order) => order < 0, ">": (order) => order > 0,
  "<=": (order) => order <= 0, ">=": (order) => order >= 0,
};

/* {clauses}, or {complaint}: one sentence. known: a Set of the names that there are. */
function parseFilter(text, known) {
  const clauses = [];
  if (!text.trim()) return { clauses };
  for (const part of text.split(/\s+and(?:\s+|$)(?=(?:[^"]*"[^"]*")*[^"]*$)/i)) {
    const found = /^\s*([^\s<>=!~]+)\s*(<=|>=|!=|==|=|<|>|~)\s*(.+?)\s*$/.exec(part);
    if (!found) {
      const right = "write an option, one of = != < > <= >= ~, and a value, such as seed = 0";
      return { complaint: `“${part.trim()}” is no condition; ${right}.` };
    }
    const [, name, sign] = found, value = found[3].replace(/^"(.*)"$/, "$1"), operator = sign === "==" ? "=" : sign;
    if (!known.has(name)) {
      const part = name.includes(".") ? `${name.split(".")[0]}.` : name;
      const near = [...known].filter((other) => other.includes(name) || other.startsWith(part)).slice(0, 4);
      return { complaint: `No run has anything called ${name}` + (near.length ? `; did you mean ${near.join(", ")}?` : ".") };
    }
    if (/[<>]/.test(operator) && !isNumeric(value)) {
      return { complaint: `“${value}” is no number, so ${name} cannot be ${operator} it; use = or ~.` };
    }
    clauses.push({ name, operator, value });
  }
  return { clauses };
}

const isNumeric = (text) => text.trim() !== "" && Number.isFinite(Number(text));
const tight = (text) => text.replace(/\s+/g, "");

/* lookup: the value by name. A value that is not there fulfils != alone. */
function fulfils(clauses, lookup) {
  return clauses.every(({ name, operator, value }) => {
    const there = lookup(name), text = textOf(there);
    if (operator === "~") return there !== undefined && text.toLowerCase().includes(value.toLowerCase());
    if (isNumeric(value) && isNumber(there)) return OPERATORS[operator](there - Number(value));
    if (/[<>]/.test(operator)) return false;
    return OPERATORS[operator](there !== undefined && tight(text) === tight(value) ? 0 : 1);
  });
}

/* ---- Scales ------------------------------------------------------------------------------------------------------ */

function ticksOf(low, high, most) {
  const raw = (high - low) / most, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= raw * 0.999);
  const first = Math.ceil(low / step - 1e-9), ticks = [];
  for (let i = first; i * step <= high + step * 1e-6; i++) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

function logTicks(low, high) {
  const decades = Math.log10(high / low), ticks = [];
  const steps = decades > 8 ? [1] : decades > 2.5 ? [1] : decades > 1 ? [1, 3] : [1, 2, 3, 5, 7];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
    for (const step of steps) {
      const tick = Number((step * 10 ** e).toPrecision(12));
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  }
  const sparse = Math.ceil(ticks.length / 8);
  return ticks.length > 1 ? ticks.filter((_, i) => i % sparse === 0) : [low, high];
}

/* From numbers to a place between `from` and `to`, with ticks. A constant gets room around it. */
function scaleOf(values, from, to, log, most = 6) {
  let known = values.filter((v) => isNumber(v) && (!log || v > 0));
  if (!known.length) known = log ? [1, 10] : [0, 1];
  let low = known.reduce((a, b) => Math.min(a, b)), high = known.reduce((a, b) => Math.max(a, b));
  const room = Math.abs(low) / 2 || 0.5;
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - room, high + room];
  const move = log ? Math.log : (v) => v;
  const a = move(low), b = move(high);
  const at = (v) => (isNumber(v) && (!log || v > 0) ? from + (to - from) * (move(v) - a) / (b - a) : NaN);
  const back = (place) => { const v = a + (b - a) * (place - from) / (to - from); return log ? Math.exp(v) : v; };
  const ticks = log ? logTicks(low, high) : ticksOf(low, high, most);
  return { at, back, low, high, ticks, name: [low, high, from, to, log].join(" ") };
}

/* Places between 0 and 1 for the values of an option: on a logarithmic or linear axis for numbers, with slots before it
   for what has no place there (0 on a logarithmic axis, null); evenly spaced for words and lists. */
function placesOf(values) {
  const distinct = [...new Map(values.map((v) => [textOf(v), v])).values()].sort(compare);
  const numbers = distinct.filter(isNumber), positive = numbers.filter((v) => v > 0);
  const others = distinct.filter((v) => !isNumber(v));
  const even = (list) => new Map(list.map((v, i) => [textOf(v), list.length > 1 ? i / (list.length - 1) : 0.5]));
  let places, kind = "even";
  if (numbers.length < 3 || others.some((v) => v !== null)) places = even(distinct);
  else {
    const log = numbers[0] >= 0 && positive.length > 1 && positive[positive.length - 1] / positive[0] >= 10;
    const slots = [...others, ...(log ? numbers.filter((v) => v === 0) : [])], rest = log ? positive : numbers;
    const step = Math.min(0.5, Math.max(0.06, 1 / (distinct.length - 1)));
    const scale = scaleOf(rest, slots.length * step, 1, log);
    kind = log ? "log" : "linear";
    places = new Map([...slots.map((v, i) => [textOf(v), i * step]), ...rest.map((v) => [textOf(v), scale.at(v)])]);
  }
  return { kind, values: distinct, at: (v) => places.get(textOf(v)) };
}

/* Linear between the points (xs ascending); NaN outside of them. */
function interpolate(xs, ys, grid) {
  const found = new Float64Array(grid.length).fill(NaN);
  let i = 0;
  grid.forEach((x, place) => {
    while (i < xs.length && xs[i] < x) i++;
    if (i === xs.length) return;
    if (xs[i] === x) found[place] = ys[i];
    else if (i > 0) found[place] = ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / (xs[i] - xs[i - 1]);
  });
  return found;
}

/* Where means over seeds are taken: at every x that there is, or at `most` places where there are too many. */
function gridOf(lists, log, most = 400) {
  const distinct = [...new Set(lists.flatMap((xs) => Array.from(xs)))];
  const all = distinct.filter((x) => isNumber(x) && (!log || x > 0)).sort((a, b) => a - b);
  if (all.length <= most) return all;
  const scale = scaleOf(all, 0, most - 1, log);
  return Array.from({ length: most }, (_, i) => (i === most - 1 ? scale.high : i ? scale.back(i) : scale.low));
}

/* ---- The address -------------------------------------------------------------------------------------------------- */

const DEFAULTS = {
  result: "", metric: "", by: "last", x: "epoch", xlog: false, ylog: false, smooth: 0, runs: true, colour: "",
  against: "", errlog: false, heatx: "", heaty: "", filter: "", search: "", sort: "", desc: false, reference: "",
  hidden: [], selected: [], open: [], brush: {}, run: "", theme: "auto",
};

function writeHash(state) {
  const words = new URLSearchParams();
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const value = state[name], flat = Array.isArray(value) ? value.join(".") : String(value);
    const text = typeof usual === "object" && !Array.isArray(usual) ? JSON.stringify(value) : flat;
    const same = Array.isArray(usual) ? !value.length : typeof usual === "object" ? text === "{}" : value === usual;
    if (!same) words.set(name, text);
  }
  return words.toString();
}

/* What is damaged in it is left out. */
function readHash(text) {
  const state = structuredClone(DEFAULTS);
  for (const [name, value] of new URLSearchParams(text.replace(/^#/, ""))) {
    const usual = Object.hasOwn(DEFAULTS, name) ? DEFAULTS[name] : undefined;
    if (Array.isArray(usual)) state[name] = value.split(".").filter(Boolean);
    else if (typeof usual === "object") state[name] = brushesOf(value);
    else if (typeof usual === "boolean") state[name] = value === "true";
    else if (typeof usual === "number") state[name] = Math.min(0.99, Math.max(0, Number(value) || 0));
    else if (typeof usual === "string") state[name] = value;
  }
  return state;
}

function brushesOf(text) {
  try {
    const isRange = ([, range]) => Array.isArray(range) && range.length === 2 && range.every(isNumber);
    return Object.fromEntries(Object.entries(JSON.parse(text)).filter(isRange));
  } catch { return {}; }
}

function csvOf(rows) {
  const cell = (value) => {
    const text = value === undefined || value === null || Number.isNaN(value) ? "" : textOf(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(",") + "\n").join("");
}

/* ---- The records -------------------------------------------------------------------------------------------------- */

let data, state, view, parts = {}, pointed = null;

const X_NAMES = { epoch: "epoch", step: "step", images_seen: "images seen", training_seconds: "seconds of training" };
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
const CURVE = "~"; // the result that is made of the curve which is shown

function load() {
  data = JSON.parse(document.getElementById("records").textContent);
  const numbers = decode(data.numbers);
  data.place = new Map(data.results.map((name, i) => [name, i]));
  data.groups.forEach((g) => { g.runs = []; g.name = nameOf(g.choices); });
  for (const run of data.runs) {
    run.g = data.groups[run.group];
    run.g.runs.push(run);
    run.without = new Set(run.without);
    run.name = [run.g.name, run.seed === null ? "" : `seed ${textOf(run.seed)}`].filter(Boolean).join(" · ");
    run.words = `${run.name} ${run.folder} ${run.state} ${run.error}`.toLowerCase();
    const column = (start) => (start < 0 ? null : numbers.subarray(start, start + run.rows));
    run.curves = new Map(data.metrics.map((name, i) => [name, column(run.columns[i])]));
  }
  const isThere = (name) => data.runs.some((run) => isNumber(run.results[data.place.get(name)]));
  data.numeric = data.results.filter((name) => isThere(name) && name !== "seed");
  data.curves = data.metrics.filter((name) => !(name in X_NAMES));
  const options = Object.keys(data.common).map((key) => key.replace(/\.name$/, ""));
  data.known = new Set([...data.keys, "seed", "state", "folder", "error", ...options, ...data.results]);
}

/* "mlp, lr=0.1": words stand for themselves, and an option's last part for it where no other ends so. */
function nameOf(choices) {
  const last = (key) => key.split(".").pop();
  const isAlone = (key) => data.keys.filter((other) => last(other) === last(key)).length === 1;
  const said = (key, v) => (typeof v === "string" ? v : `${isAlone(key) ? last(key) : key}=${textOf(v)}`);
  return data.keys.filter((key) => Object.hasOwn(choices, key)).map((key) => said(key, choices[key])).join(", ");
}

function valueOf(run, name) {
  if (Object.hasOwn(run.g.choices, name)) return run.g.choices[name];
  if (["seed", "state", "folder", "error"].includes(name)) return run[name];
  const result = run.results[data.place.get(name)];
  if (result !== undefined && result !== null) return result;
  for (const key of run.config ? [name, `${name}.name`] : []) {
    if (Object.hasOwn(run.config, key)) return run.config[key];
    if (Object.hasOwn(data.common, key) && !run.without.has(key)) return data.common[key];
  }
  return undefined;
}

function resultOf(run, name) {
  if (name === CURVE) return summarise(run.curves.get(state.metric) ?? [], state.by, state.metric, state.smooth);
  const value = run.results[data.place.get(name)];
  return isNumber(value) ? value : NaN;
}

const metricOf = (name) => (name === CURVE ? state.metric : name);
const labelOf = (name) => (name === CURVE ? `${state.by} ${state.metric}` : name);

/* The values that the state leaves open. */
function settle() {
  const first = (wanted, list, otherwise) => (list.includes(wanted) ? wanted : otherwise);
  const prefer = (list, ...names) => names.find((name) => list.includes(name)) ?? list[0] ?? "";
  state.metric = first(state.metric, data.curves, prefer(data.curves, "val/top1_error", "train/top1_error"));
  const usual = ["test/top1_error", ...data.headline].find((name) => data.numeric.includes(name));
  state.result = first(state.result, [CURVE, ...data.numeric], usual ?? CURVE);
  const numeric = data.keys.filter((key) => placesOf(data.groups.map((g) => g.choices[key])).kind !== "even");
  state.against = first(state.against, data.keys, numeric[0] ?? data.keys[0] ?? "");
  state.heatx = first(state.heatx, data.keys, state.against);
  const others = data.keys.filter((key) => key !== state.heatx);
  state.heaty = first(state.heaty, others, others[0] ?? "");
  if (!(state.x in X_NAMES)) state.x = "epoch";
  if (!["last", "best", "mean", "smoothed"].includes(state.by)) state.by = "last";
  const nones = (g) => data.keys.filter((key) => g.choices[key] === "none").length; // reg=none, ablation=none
  const least = data.groups.reduce((a, b) => ((nones(a) - nones(b) || compareChoices(b, a)) < 0 ? b : a));
  state.reference = first(state.reference, data.groups.map((g) => g.id), least.id);
}

function compareChoices(a, b) {
  for (const key of data.keys) if (compare(a.choices[key], b.choices[key])) return compare(a.choices[key], b.choices[key]);
  return 0;
}

/* A colour for each setting, the same whatever is filtered: along a ramp for numbers, else the palette; the next option
   in dashes. */
function colourAll() {
  const distinct = Object.fromEntries(data.keys.map((key) => [key, placesOf(data.groups.map((g) => g.choices[key]))]));
  const numbers = data.keys.filter((key) => distinct[key].values.filter(isNumber).length > 2);
  const most = numbers.sort((a, b) => distinct[b].values.length - distinct[a].values.length)[0];
  const few = data.keys.find((key) => distinct[key].values.length > 1 && distinct[key].values.length <= 6);
  const usual = data.keys.length === 1 ? data.keys[0] : data.groups.length < 4 ? "" : most ?? few ?? "";
  const key = data.keys.includes(state.colour) ? state.colour : state.colour === "*" ? "" : usual;
  const isFew = (other) => distinct[other].values.length > 1 && distinct[other].values.length <= DASHES.length;
  const dashed = key && data.keys.find((other) => other !== key && isFew(other));
  const natural = [...data.groups].sort(compareChoices);
  const isRamp = key && distinct[key].values.filter(isNumber).length > 2;
  for (const g of data.groups) {
    const list = key ? distinct[key].values.map(textOf) : natural.map((other) => other.id);
    const place = list.indexOf(key ? textOf(g.choices[key]) : g.id);
    g.colour = isRamp ? rampColour(place / Math.max(1, list.length - 1)) : `var(--series-${place % 6})`;
    const turn = isRamp ? 0 : Math.floor(place / 6) % DASHES.length;
    g.dash = DASHES[dashed ? distinct[dashed].values.map(textOf).indexOf(textOf(g.choices[dashed])) : turn];
  }
}

function rampColour(t) {
  const place = Math.min(7, Math.floor(t * 8)), share = Math.round(100 * (t * 8 - place));
  return `color-mix(in srgb, var(--ramp-${place + 1}) ${share}%, var(--ramp-${place}))`;
}

/* What is shown: settings with those of their runs that the filter and the search leave. */
function look() {
  const { clauses, complaint } = parseFilter(state.filter, data.known), words = state.search.toLowerCase().trim();
  const used = complaint ? view?.clauses ?? [] : clauses;
  const entries = [];
  for (const g of data.groups) {
    const runs = g.runs.filter((run) => run.words.includes(words) && fulfils(used, (name) => valueOf(run, name)));
    if (runs.length) entries.push(entryOf(g, runs));
  }
  const references = new Map(); // by the data that they are of
  for (const e of entries) {
    const kind = textOf(e.g.choices.data);
    if (!references.has(kind)) references.set(kind, referenceOn(e.g.choices.data, entries));
    const beside = references.get(kind);
    e.isReference = beside?.g === e.g;
    e.theirs = !beside || e.isReference ? [] : beside.pairs;
    e.diff = paired(e.pairs, e.theirs);
  }
  const bests = new Map();
  for (const e of entries.filter((e) => isNumber(e.stat(state.result).mean))) {
    const kind = textOf(e.g.choices.data), old = bests.get(kind)?.stat(state.result).mean ?? NaN;
    if (summarise([old, e.stat(state.result).mean], "best", metricOf(state.result)) !== old) bests.set(kind, e);
  }
  for (const e of bests.values()) e.best = entries.length > 1;
  const key = { diff: (e) => e.diff.mean, p: (e) => e.diff.p, n: (e) => e.stat(state.result).n }[state.sort]
    ?? (data.keys.includes(state.sort) ? (e) => e.g.choices[state.sort] : (e) => e.stat(state.sort).mean);
  const missing = (e) => { const value = key(e); return Number.isNaN(value) ? undefined : value; };
  view = { clauses: used, complaint, entries: state.sort ? ordered(entries, missing, state.desc) : entries };
  view.drawn = view.entries.filter((e) => !e.hidden);
  if (Object.keys(state.brush).length) state.selected = view.drawn.filter(isInBrushes).map((e) => e.id);
}

/* What settings on these data are compared with: the reference, or what differs from it in nothing but the data. */
function referenceOn(set, entries) {
  const reference = data.groups.find((g) => g.id === state.reference);
  const wanted = textOf(data.keys.map((key) => (key === "data" ? set : reference.choices[key])));
  const g = data.groups.find((other) => textOf(data.keys.map((key) => other.choices[key])) === wanted);
  return g && (entries.find((e) => e.g === g) ?? entryOf(g, g.runs));
}

function entryOf(g, runs) {
  const stats = new Map();
  const all = (name) => runs.map((run) => [run.seed ?? run.id, resultOf(run, name)]);
  const pairs = (name) => all(name).filter(([, value]) => isNumber(value));
  const stat = (name) => {
    if (!stats.has(name)) {
      const values = pairs(name).map(([, value]) => value);
      stats.set(name, { values, mean: mean(values), deviation: deviation(values), n: values.length });
    }
    return stats.get(name);
  };
  const states = new Map();
  for (const run of runs) if (run.state !== "finished") states.set(run.state, (states.get(run.state) ?? 0) + 1);
  const unfinished = [...states].map(([what, n]) => `${n} ${what}`).join(", ");
  const hidden = state.hidden.includes(g.id);
  return { g, id: g.id, runs, stat, unfinished, pairs: pairs(state.result), hidden, best: false };
}

/* ---- Elements ----------------------------------------------------------------------------------------------------- */

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value !== undefined && value !== null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => ![null, undefined, false, ""].includes(child)));
  return node;
}

const put = (node, ...children) => { node.replaceChildren(); return fill(node, {}, children); };
const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const sv = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
const line = (kind, x1, y1, x2, y2) => sv("line", { class: kind, x1, y1, x2, y2 });
const path = (kind, d, g = {}) => sv("path", { class: kind, d, "stroke-dasharray": g.dash || false });
const dot = (kind, r, cx, cy) => sv("circle", { class: kind, r, cx, cy });
const write = (x, y, text, anchor = "middle", more = {}) => sv("text", { x, y, "text-anchor": anchor, ...more }, text);
const mark = (e, ...children) => sv("g", { "data-g": e.id, style: `color: ${e.g.colour}` }, children);
const byId = (id) => document.getElementById(id);

function set(changes) {
  Object.assign(state, changes);
  render();
}

const toggled = (list, id) => (list.includes(id) ? list.filter((other) => other !== id) : [...list, id]);

/* A control that is bound to the state; `sync` brings it up to date. */
function choose(label, name, options) {
  const choices = options.map(([value, text]) => el("option", { value }, text));
  const select = el("select", { "data-bound": name, onchange: () => set({ [name]: select.value }) }, choices);
  return el("label", {}, label, " ", select);
}

function tick(label, name) {
  const box = el("input", { type: "checkbox", "data-bound": name, onchange: () => set({ [name]: box.checked }) });
  return el("label", {}, box, " ", label);
}

function sync() {
  for (const control of document.querySelectorAll("[data-bound]")) {
    const value = state[control.dataset.bound];
    if (control.type === "checkbox") control.checked = value;
    else if (control !== document.activeElement || control.tagName === "SELECT") control.value = value;
  }
}

/* ---- The table ---------------------------------------------------------------------------------------------------- */

const FIRST_KEYS = 4; // options that stand before the results; where more vary, the others stand behind them

function columns() {
  const isThere = (name) => (name === CURVE ? data.curves.length > 0 : data.numeric.includes(name));
  const all = [...new Set(["seconds", ...data.headline, CURVE])];
  const others = all.filter((name) => name !== state.result && isThere(name));
  const cost = others.filter((name) => name === "seconds"), rest = others.filter((name) => name !== "seconds");
  const first = data.keys.slice(0, FIRST_KEYS), later = data.keys.slice(FIRST_KEYS);
  return { first, later, cost, rest, paired: data.groups.length > 1 };
}

function drawTable() {
  const cols = columns();
  const sortable = (name, label, word, title) => {
    const mine = state.sort === name;
    const next = mine ? (state.desc ? { sort: "", desc: false } : { desc: true }) : { sort: name, desc: false };
    const [sorted, arrow] = !mine ? [false, ""] : state.desc ? ["descending", " ↓"] : ["ascending", " ↑"];
    const button = el("button", { type: "button", "data-f": `sort ${name}`, onclick: () => set(next) }, label, arrow);
    return el("th", { scope: "col", class: word && "word", "aria-sort": sorted, title }, button);
  };
  const all = () => set({ hidden: view.drawn.length ? view.entries.map((e) => e.id) : [] });
  const everything = el("input", { type: "checkbox", "aria-label": "draw all settings", "data-f": "all", onchange: all });
  everything.checked = view.drawn.length === view.entries.length;
  everything.indeterminate = view.drawn.length > 0 && !everything.checked;
  const option = (key) => sortable(key, key, isWord(key));
  const unit = (name) => (isError(metricOf(name)) ? ",\u00a0%" : "");
  const why = (name) => name === state.result && "Settings are compared by this";
  const result = (name) => sortable(name, labelOf(name) + unit(name), false, why(name));
  const reference = el("th", { scope: "col", title: "The setting that the others are compared with" }, "ref.");
  const difference = `Setting − reference (on the same data), seed by seed, of ${labelOf(state.result)}: mean ± deviation`;
  const test = "Of a paired t-test that the difference is 0, not corrected for several comparisons";
  const head = el("tr", {},
    el("th", { scope: "col", class: "word" }, everything), cols.first.map(option), result(state.result),
    sortable("n", "n", true, "Runs that have a value, and those that are not finished"),
    cols.paired && [reference, sortable("diff", "difference", false, difference), sortable("p", "p", false, test)],
    cols.cost.map(result), cols.rest.map(result), cols.later.map(option));
  const members = (e) => state.open.includes(e.id) && e.runs.map((run) => runRow(e, run, cols));
  const rows = view.entries.map((e) => [settingRow(e, cols), members(e)]);
  const body = el("tbody", {}, rows);
  byId("table").replaceChildren(el("thead", {}, head), body);
  const runs = view.entries.reduce((n, e) => n + e.runs.length, 0);
  const left = runs < data.runs.length ? `${runs} of ${data.runs.length} runs` : `${runs} runs`;
  byId("count").value = [left, state.selected.length && `${state.selected.length} selected`].filter(Boolean).join(" · ");
  byId("clear").hidden = !state.selected.length;
}

const isWord = (key) => !data.groups.every((g) => isNumber(g.choices[key]) || g.choices[key] === null);

function numberCell(average, spread, metric, className) {
  const [before, after] = cellOf(average, spread, metric);
  return el("td", { class: className }, before, after && el("span", { class: "spread" }, after));
}

function settingRow(e, cols) {
  const { id, g, diff } = e, open = state.open.includes(id), selected = state.selected.includes(id);
  const change = (name, value) => () => set({ [name]: value });
  const control = (tag, key, spoken, does, text = "") =>
    el(tag, { "aria-label": `${spoken} ${g.name}`, "data-f": `${key} ${id}`, ...does }, text);
  const hide = change("hidden", toggled(state.hidden, id)), refer = change("reference", id);
  const shown = control("input", "draw", "draw", { type: "checkbox", onchange: hide });
  const reference = control("input", "ref", "compare with", { type: "radio", name: "reference", onchange: refer });
  const opens = { type: "button", "aria-expanded": String(open), onclick: change("open", toggled(state.open, id)) };
  const opener = control("button", "open", "runs of", opens, open ? "▾" : "▸");
  shown.checked = !e.hidden;
  reference.checked = id === state.reference;
  const number = (name, className) => numberCell(e.stat(name).mean, e.stat(name).deviation, metricOf(name), className);
  const classes = [selected && "on", e.hidden && "off", e.best && "best"].filter(Boolean).join(" ");
  const p = !isNumber(diff.p) ? "" : diff.p < 0.001 ? "< 0.001" : diff.p.toPrecision(2);
  const unfinished = e.unfinished && el("span", { class: "bad" }, ` · ${e.unfinished}`);
  const compared = e.isReference ? el("td", { class: "spread" }, "reference") : differenceCell(diff);
  return el("tr", { "data-g": id, class: classes, tabindex: 0, "data-f": `row ${id}`, "aria-selected": String(selected) },
    el("td", { class: "pick" }, shown, opener, swatch(g)),
    cols.first.map((key) => el("th", { scope: "row", class: isWord(key) && "word" }, textOf(g.choices[key]))),
    number(state.result, "by"),
    el("td", { class: "word" }, String(e.stat(state.result).n), unfinished),
    cols.paired && [el("td", {}, reference), compared, el("td", { class: "spread" }, p)],
    cols.cost.map((name) => number(name)), cols.rest.map((name) => number(name)),
    cols.later.map((key) => el("td", { class: isWord(key) && "word" }, textOf(g.choices[key]))));
}

function differenceCell(d) {
  const [before, after] = cellOf(d.mean, d.deviation, metricOf(state.result));
  const title = d.n ? `${d.n} seed${d.n > 1 ? "s" : ""} in common; lower in ${d.lower}` : "no seed in common";
  return el("td", { title }, d.mean > 0 ? "+" : "", before, after && el("span", { class: "spread" }, after));
}

function runRow(e, run, cols) {
  const other = e.theirs.find(([seed]) => textOf(seed) === textOf(run.seed)), mine = resultOf(run, state.result);
  const difference = other && isNumber(mine) ? mine - other[1] : NaN;
  const bare = (value, name) => cellOf(value, NaN, metricOf(name))[0];
  const cell = (name) => el("td", {}, bare(resultOf(run, name), name));
  const signed = isNumber(difference) ? (difference > 0 ? "+" : "") + bare(difference, state.result) : "";
  const name = run.seed === null ? run.folder : `seed ${textOf(run.seed)}`, show = () => set({ run: run.id });
  const look = el("button", { type: "button", class: "quiet", "data-f": `run ${run.id}`, onclick: show }, name);
  return el("tr", { class: "member", "data-g": e.id, "data-r": run.id },
    el("td", { class: "word", colspan: cols.first.length + 1 }, look), cell(state.result),
    el("td", { class: "word" }, run.state !== "finished" && el("span", { class: "bad" }, run.state)),
    cols.paired && [el("td"), el("td", {}, signed), el("td")],
    cols.cost.map(cell), cols.rest.map(cell), cols.later.map(() => el("td")));
}

function swatch(g) {
  const sample = sv("line", { x1: 0, x2: 20, y1: 5, y2: 5, stroke: "currentColor", "stroke-dasharray": g.dash || false });
  return sv("svg", { class: "swatch", viewBox: "0 0 20 10", "aria-hidden": "true", style: `color: ${g.colour}` }, sample);
}

/* ---- Charts ------------------------------------------------------------------------------------------------------- */

function chart(id, title, controls) {
  const frame = el("div", { class: "frame" });
  const heading = el("h2", {}, title);
  const save = el("button", { type: "button", onclick: () => saveSvg(frame, id) }, "SVG");
  byId(id).append(el("div", { class: "title" }, heading, el("span", { class: "tools no-print" }, controls, save)), frame);
  parts[id] = { section: byId(id), frame, heading };
}

/* An empty drawing with axes. x, y: scales; their labels and how they write a tick. Returns the svg and its edges. */
function boxOf(part, height, margins) {
  const width = Math.max(260, part.frame.clientWidth || 600);
  const svg = sv("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": part.heading.textContent });
  part.frame.replaceChildren(svg);
  return { svg, left: margins.left, right: width - margins.right, top: margins.top, bottom: height - margins.bottom };
}

function yAxis(box, scale, metric) {
  for (const tick of scale.ticks) {
    const y = scale.at(tick);
    box.svg.append(line("grid", box.left, y, box.right, y), write(box.left - 6, y + 4, tickOf(tick, metric), "end"));
  }
}

/* rows: of ticks' texts, for words that would be in each other's way. */
function xAxis(box, ticks, label, rows = 1) {
  const ends = Array(rows).fill(-Infinity);
  for (const { at, text } of ticks) {
    const half = text.length * 3.4;
    box.svg.append(line("axis", at, box.bottom, at, box.bottom + 4));
    const row = ends.findIndex((end) => at - half > end);
    if (row < 0) continue;
    box.svg.append(write(at, box.bottom + 17 + 14 * row, text));
    ends[row] = at + half + 6;
  }
  box.svg.append(line("axis", box.left, box.bottom, box.right, box.bottom));
  box.svg.append(write((box.left + box.right) / 2, box.bottom + 19 + 14 * rows, label));
}

function short(value) {
  const isFar = value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-4);
  if (isFar) return minus(value.toExponential(1).replace(".0", "").replace("+", ""));
  return minus(String(Number(value.toPrecision(4))));
}

const tickOf = (value, metric) => (isError(metric) ? `${short(100 * value)} %` : short(value));

function pathOf(xs, ys, scaleX, scaleY) {
  let path = "", pen = "M";
  const every = Math.ceil(xs.length / 1500);
  for (let i = 0; i < xs.length; i += every) {
    const x = scaleX.at(xs[i]), y = scaleY.at(ys[i]);
    if (Number.isNaN(x) || Number.isNaN(y)) { pen = "M"; continue; }
    path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  }
  return path;
}

/* What `make` gives, kept at its holder until the key is another. */
function cached(holder, name, key, make) {
  if (holder[name]?.key !== key) holder[name] = { key, value: make() };
  return holder[name].value;
}

/* A run's points, without those that miss one of the two. */
function curveOf(run) {
  return cached(run, "curve", `${state.x} ${state.metric}`, () => {
    const xs = run.curves.get(state.x), ys = run.curves.get(state.metric), found = { run, xs: [], ys: [] };
    for (let i = 0; xs && ys && i < xs.length; i++) {
      if (isNumber(xs[i]) && isNumber(ys[i])) { found.xs.push(xs[i]); found.ys.push(ys[i]); }
    }
    return found;
  });
}

/* Mean and deviation over a setting's runs at each x. A run is smoothed along its own points, before the mean. */
function bandOf(curves) {
  const grid = gridOf(curves.map((c) => c.xs), state.xlog);
  const on = (change) => curves.map((c) => interpolate(c.xs, change(c.ys), grid));
  const over = (all, statistic) => grid.map((_, i) => statistic(all.map((ys) => ys[i]).filter((y) => !Number.isNaN(y))));
  const plain = on((ys) => ys), raw = over(plain, mean);
  const ys = state.smooth ? over(on((own) => smooth(own, state.smooth)), mean) : raw;
  return { xs: grid, raw, ys, spread: over(plain, deviation) };
}

function drawCurves() {
  const box = boxOf(parts.curves, 320, { left: 58, right: 10, top: 8, bottom: 42 });
  const lines = [];
  for (const e of view.drawn) {
    const curves = e.runs.map(curveOf).filter((c) => c.xs.length);
    const key = [state.x, state.metric, state.xlog, state.smooth, ...curves.map((c) => c.run.id)].join(" ");
    const band = cached(e.g, "band", key, () => bandOf(curves));
    const shifted = (sign) => band.ys.map((y, i) => y + sign * (band.spread[i] || 0));
    if (band.xs.length) lines.push({ e, key, curves, ...band, low: shifted(-1), high: shifted(1) });
  }
  const ys = lines.flatMap((l) => (state.runs ? l.curves.flatMap((c) => c.ys) : [...l.low, ...l.high]));
  const x = scaleOf(lines.flatMap((l) => l.xs), box.left, box.right, state.xlog);
  const y = scaleOf(ys, box.bottom, box.top, state.ylog);
  yAxis(box, y, state.metric);
  const ticks = x.ticks.filter((tick) => state.x === "seconds" || Number.isInteger(tick)); // there is no epoch 1.2
  xAxis(box, ticks.map((tick) => ({ at: x.at(tick), text: short(tick) })), X_NAMES[state.x]);
  const size = { width: box.right - box.left + 3, height: box.bottom - box.top + 4 };
  box.svg.append(sv("clipPath", { id: "within" }, sv("rect", { x: box.left, y: box.top - 3, ...size })));
  const clip = { "clip-path": "url(#within)" }, back = sv("g", clip), front = sv("g", clip);
  const cross = line("cross", 0, box.top, 0, box.bottom);
  for (const l of lines) {
    const key = [l.key, x.name, y.name, state.runs, state.run, l.e.g.colour, l.e.g.dash].join(" ");
    const [behind, before] = cached(l.e.g, "drawn", key, () => curvesOf(l, x, y));
    back.append(behind);
    front.append(before);
  }
  cross.setAttribute("visibility", "hidden");
  box.svg.append(back, front, cross);
  const why = data.curves.length ? "no run that is shown has this curve yet" : "no run has written an epoch yet";
  if (!lines.length) nothing(box, why);
  parts.curves.find = (px, py) => nearestCurve(lines, x, y, px, py, cross);
  drawLegend();
}

/* A setting's runs and their band, and its line, which is drawn over those of all others. */
function curvesOf(l, x, y) {
  const low = l.low.map((value) => (state.ylog && value <= 0 ? y.low : value));
  const single = (c) => path(c.run.id === state.run ? "single chosen" : "single", pathOf(c.xs, c.ys, x, y));
  const singles = state.runs && l.curves.length > 1 ? l.curves.map(single) : [];
  const band = l.spread.some(isNumber) ? path("band", areaOf(l.xs, low, l.high, x, y)) : "";
  const raw = state.smooth ? path("raw", pathOf(l.xs, l.raw, x, y)) : "";
  const alone = l.xs.length === 1 ? dot("dot", 3.5, x.at(l.xs[0]), y.at(l.ys[0])) : "";
  return [mark(l.e, band, singles), mark(l.e, raw, path("line", pathOf(l.xs, l.ys, x, y), l.e.g), alone)];
}

function nearestCurve(lines, x, y, px, py, cross) {
  let found = null;
  for (const l of lines) {
    const i = nearestIndex(l.xs, x.back(px)), distance = Math.abs(y.at(l.ys[i]) - py) + Math.abs(x.at(l.xs[i]) - px) / 8;
    if (distance < (found?.distance ?? 40)) found = { distance, l, i };
  }
  cross.setAttribute("visibility", found ? "visible" : "hidden");
  if (!found) return null;
  const { l, i } = found, sentence = sentenceOf(l.ys[i], l.spread[i], state.metric);
  for (const end of ["x1", "x2"]) cross.setAttribute(end, x.at(l.xs[i]));
  const where = `${X_NAMES[state.x]} ${format(l.xs[i])}`;
  return { id: l.e.id, text: `${state.metric} ${sentence} at ${where}, n = ${l.curves.length}` };
}

function nearestIndex(xs, x) {
  let low = 0, high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle;
    else high = middle;
  }
  return Math.abs(xs[low] - x) < Math.abs(xs[high] - x) ? low : high;
}

const polyline = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

function areaOf(xs, low, high, x, y) {
  const isThere = (i) => ![y.at(high[i]), y.at(low[i]), x.at(xs[i])].some(Number.isNaN);
  const there = xs.map((_, i) => i).filter(isThere);
  const point = (i, values) => `${x.at(xs[i]).toFixed(1)} ${y.at(values[i]).toFixed(1)}`;
  const along = (values) => there.map((i) => point(i, values)), back = along(low).reverse();
  return there.length ? `M${[...along(high), ...back].join("L")}Z` : "";
}

function nothing(box, text) {
  box.svg.append(write((box.left + box.right) / 2, (box.top + box.bottom) / 2, text));
}

function drawLegend() {
  const natural = [...view.entries].sort((a, b) => compareChoices(a.g, b.g));
  const items = natural.map((e) => {
    const shape = { type: "button", "aria-pressed": String(!e.hidden), class: state.selected.includes(e.id) && "on" };
    const hide = () => set({ hidden: toggled(state.hidden, e.id) });
    const named = { "data-g": e.id, "data-f": `legend ${e.id}` };
    return el("button", { ...shape, ...named, onclick: hide }, swatch(e.g), e.g.name || data.title);
  });
  parts.curves.legend.replaceChildren(...items);
}

/* The result against the values of one option; a line through the settings that have the others in common. */
function drawAgainst() {
  const part = parts.against, key = state.against, metric = metricOf(state.result);
  part.section.hidden = !key;
  if (!key) return;
  part.heading.textContent = `${labelOf(state.result)} against ${key}`;
  const entries = view.drawn.filter((e) => e.stat(state.result).n);
  const places = placesOf(data.groups.map((g) => g.choices[key]));
  const others = new Map();
  for (const e of entries) {
    const name = nameOf(Object.fromEntries(Object.entries(e.g.choices).filter(([other]) => other !== key)));
    if (!others.has(name)) others.set(name, []);
    others.get(name).push(e);
  }
  const labelled = others.size > 1 && others.size <= 10;
  const longest = labelled ? Math.max(...[...others.keys()].map((name) => name.length)) : 0;
  const words = places.values.some((value) => typeof value === "string"), rows = words ? 2 : 1;
  const margins = { left: 58, right: labelled ? Math.min(150, 14 + longest * 6.5) : 16, top: 10, bottom: 28 + 14 * rows };
  const box = boxOf(part, 266 + 14 * rows, margins);
  const rangeOf = ({ values, mean: m, deviation: d }) => [...values, m - (d || 0), m + (d || 0)];
  const values = entries.flatMap((e) => rangeOf(e.stat(state.result)));
  const y = scaleOf(values, box.bottom, box.top, state.errlog);
  const x = (value) => box.left + 16 + (box.right - box.left - 32) * places.at(value);
  yAxis(box, y, metric);
  xAxis(box, places.values.map((value) => ({ at: x(value), text: tickText(value) })), key, rows);
  const ends = [];
  for (const [name, list] of others) {
    const sorted = [...list].sort((a, b) => compare(a.g.choices[key], b.g.choices[key]));
    const same = sorted.every((e) => e.g.colour === sorted[0].g.colour);
    const height = (e) => y.at(e.stat(state.result).mean), there = sorted.filter((e) => !Number.isNaN(height(e)));
    const link = path("link", polyline(there.map((e) => [x(e.g.choices[key]), height(e)])), sorted[0].g);
    if (same) link.style.stroke = sorted[0].g.colour;
    if (!words || others.size > 1) box.svg.append(link); // between words there is no way
    if (there.length) ends.push({ name, y: height(there[there.length - 1]) });
  }
  for (const e of entries) {
    const s = e.stat(state.result), at = x(e.g.choices[key]), seeds = s.values.length > 1 ? s.values : [];
    const low = y.at(s.mean - s.deviation), foot = Number.isNaN(low) ? box.bottom : low;
    const whisker = isNumber(s.deviation) ? line("whisker", at, foot, at, y.at(s.mean + s.deviation)) : "";
    if (Number.isNaN(y.at(s.mean))) continue;
    box.svg.append(mark(e, seeds.map((v) => dot("seed", 2, at + 5, y.at(v))), whisker, dot("dot", 4, at, y.at(s.mean))));
  }
  if (labelled) {
    let below = -Infinity;
    for (const end of ends.sort((a, b) => a.y - b.y)) {
      below = Math.max(end.y + 4, below + 13);
      box.svg.append(write(box.right + 4, below, cut(end.name, 22), "start", { class: "value" }));
    }
  }
  if (!entries.length) nothing(box, `no run that is shown has ${labelOf(state.result)} yet`);
  part.find = nearestOf(entries.map((e) => ({ e, x: x(e.g.choices[key]), y: y.at(e.stat(state.result).mean) })));
}

const tickText = (value) => cut(isNumber(value) ? short(value) : textOf(value), 18);
const cut = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

/* Looks for the nearest of these points. */
function nearestOf(points) {
  return (px, py) => {
    let found = null;
    for (const point of points) {
      const distance = Math.hypot(point.x - px, point.y - py);
      if (distance < (found?.distance ?? 30)) found = { distance, e: point.e };
    }
    return found && { id: found.e.id, text: said(found.e) };
  };
}

function said(e) {
  const s = e.stat(state.result);
  return `${labelOf(state.result)} ${sentenceOf(s.mean, s.deviation, metricOf(state.result))}, n = ${s.n}`;
}

/* Two options: the mean of the result in each cell. */
function drawHeat() {
  const part = parts.heat, { heatx, heaty } = state, metric = metricOf(state.result);
  part.section.hidden = data.keys.length < 2;
  if (part.section.hidden) return;
  part.heading.textContent = `${labelOf(state.result)} by ${heaty} and ${heatx}`;
  const valuesOf = (key) => placesOf(data.groups.map((g) => g.choices[key])).values;
  const xs = valuesOf(heatx), ys = valuesOf(heaty);
  const letters = Math.max(...ys.map((v) => Math.min(18, textOf(v).length)), heaty.length);
  const height = 66 + Math.min(34, 600 / ys.length) * ys.length;
  const box = boxOf(part, height, { left: Math.min(150, 14 + 6.6 * letters), right: 10, top: 20, bottom: 42 });
  const cells = new Map();
  for (const e of view.drawn.filter((e) => e.stat(state.result).n)) {
    const place = `${textOf(e.g.choices[heatx])}|${textOf(e.g.choices[heaty])}`;
    cells.set(place, [...(cells.get(place) ?? []), e]);
  }
  const worth = (list) => mean(list.flatMap((e) => e.stat(state.result).values)), all = [...cells.values()].map(worth);
  const isLog = all.every((v) => v > 0) && Math.max(...all) / Math.min(...all) > 20, shade = scaleOf(all, 0, 1, isLog);
  const wide = (box.right - box.left) / xs.length, high = (box.bottom - box.top) / ys.length;
  box.svg.append(write(box.left - 6, 13, heaty, "end"));
  ys.forEach((vy, j) => {
    const middle = box.top + (j + 0.5) * high + 4;
    if (high > 11) box.svg.append(write(box.left - 6, middle, cut(textOf(vy), 18), "end"));
    xs.forEach((vx, i) => {
      const list = cells.get(`${textOf(vx)}|${textOf(vy)}`);
      if (!list) return;
      const t = shade.at(worth(list)), ids = list.map((e) => e.id), value = worth(list);
      const place = { x: box.left + i * wide, y: box.top + j * high, width: wide, height: high };
      const does = { fill: rampColour(t), onclick: () => pick(ids) };
      box.svg.append(sv("rect", { class: "cell", "data-g": ids.join(" "), ...place, ...does }));
      const bare = Number((isError(metric) ? 100 * value : value).toPrecision(3));
      const text = wide > 64 ? format(value, metric) : short(bare);
      const style = `fill: ${t > 0.55 ? "#000" : "#fff"}; pointer-events: none`;
      if (wide > 44 && high > 13) box.svg.append(write(box.left + (i + 0.5) * wide, middle, text, "middle", { style }));
    });
  });
  xAxis(box, xs.map((v, i) => ({ at: box.left + (i + 0.5) * wide, text: tickText(v) })), heatx);
  if (!all.length) nothing(box, `no run that is shown has ${labelOf(state.result)} yet`);
  part.find = (px, py) => {
    const vx = xs[Math.floor((px - box.left) / wide)], vy = ys[Math.floor((py - box.top) / high)];
    const list = cells.get(`${textOf(vx)}|${textOf(vy)}`);
    if (!list || list.length === 1) return list && { id: list[0].id, text: said(list[0]) };
    const text = `${labelOf(state.result)} ${format(worth(list), metric)}, their mean`;
    return { id: list[0].id, ids: list.map((e) => e.id), name: `${list.length} settings`, text };
  };
}

/* Selects these, or lets them go where all of them are selected. */
function pick(ids) {
  const others = state.selected.filter((id) => !ids.includes(id));
  set({ brush: {}, selected: ids.every((id) => state.selected.includes(id)) ? others : [...others, ...ids] });
}

/* ---- Parallel coordinates ----------------------------------------------------------------------------------------- */

/* The axes: every option that varies, then the result. at: a setting's place, 0 to 1, or undefined. */
function axesOf() {
  const axes = data.keys.map((key) => {
    const places = placesOf(data.groups.map((g) => g.choices[key]));
    const ticks = places.values.map((v) => ({ at: places.at(v), text: tickText(v) }));
    return { key, label: key, at: (e) => places.at(e.g.choices[key]), ticks };
  });
  const means = view.entries.map((e) => e.stat(state.result).mean), metric = metricOf(state.result);
  const scale = scaleOf(means, 0, 1, state.errlog);
  const at = (e) => { const t = scale.at(e.stat(state.result).mean); return Number.isNaN(t) ? undefined : t; };
  const ticks = scale.ticks.map((tick) => ({ at: scale.at(tick), text: tickOf(tick, metric) }));
  axes.push({ key: CURVE, label: labelOf(state.result), at, ticks });
  return axes;
}

function isInBrushes(e) {
  return axesOfView().every((axis) => {
    const range = state.brush[axis.key], at = axis.at(e);
    return !range || (at !== undefined && at >= range[0] - 1e-9 && at <= range[1] + 1e-9);
  });
}

const axesOfView = () => (view.axes ??= axesOf());

function drawParallel() {
  const part = parts.parallel;
  part.section.hidden = data.keys.length < 2;
  if (part.section.hidden) return;
  const axes = axesOfView(), left = 14 + 6.6 * Math.max(...axes[0].ticks.map(({ text }) => text.length));
  const box = boxOf(part, 280, { left, right: 64, top: 34, bottom: 12 });
  const x = (i) => box.left + (box.right - box.left) * i / (axes.length - 1);
  const y = (t) => box.bottom + (box.top - box.bottom) * t;
  const points = [];
  for (const e of view.drawn) {
    const there = axes.map((axis, i) => ({ e, x: x(i), y: y(axis.at(e) ?? NaN) })).filter((p) => !Number.isNaN(p.y));
    box.svg.append(mark(e, path("line", polyline(there.map((p) => [p.x, p.y])), e.g)));
    points.push(...there);
  }
  const gap = (box.right - box.left) / (axes.length - 1);
  axes.forEach((axis, i) => drawAxis(axis, { box, at: x(i), y, gap, isFirst: i === 0, isLast: i === axes.length - 1 }));
  part.find = (px, py) => {
    let found = null;
    for (let k = 1; k < points.length; k++) {
      const a = points[k - 1], b = points[k];
      if (a.e !== b.e || px < a.x || px > b.x) continue;
      const distance = Math.abs(a.y + (b.y - a.y) * (px - a.x) / (b.x - a.x || 1) - py);
      if (distance < (found?.distance ?? 14)) found = { distance, e: a.e };
    }
    return found && { id: found.e.id, text: said(found.e) };
  };
}

function drawAxis(axis, { box, at, y, gap, isFirst, isLast }) {
  const [anchor, shift] = isFirst ? ["start", 8 - box.left] : isLast ? ["end", 58] : ["middle", 0];
  const name = gap < 90 ? axis.label.split(/[./]/).pop() : axis.label;
  const title = cut(name, Math.max(8, Math.floor(gap / 6.2)));
  box.svg.append(line("axis", at, box.top, at, box.bottom), write(at + shift, 14, title, anchor, { class: "value" }));
  let last = Infinity;
  for (const tick of [...axis.ticks].sort((a, b) => a.at - b.at)) {
    if (last - y(tick.at) < 12) continue;
    last = y(tick.at);
    const text = isFirst ? tick.text : cut(tick.text, Math.max(4, Math.floor(gap / 7) - 2));
    box.svg.append(write(at + (isLast ? 7 : -7), last + 4, text, isLast ? "start" : "end", { class: "halo" }));
  }
  const range = state.brush[axis.key], strip = { x: at - 14, width: 28, y: box.top - 4, height: box.bottom - box.top + 8 };
  if (range) {
    const top = y(range[1]) - 3, height = y(range[0]) + 3 - top;
    box.svg.append(sv("rect", { class: "brush", x: at - 7, width: 14, y: top, height }));
  }
  const spoken = { role: "slider", "aria-orientation": "vertical", "aria-label": `range of ${axis.label}`,
    "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": range ? range[1] : 1 };
  const does = { onpointerdown: (event) => drag(event, axis, box), onkeydown: (event) => nudge(event, axis) };
  box.svg.append(sv("rect", { class: "handle", ...strip, tabindex: 0, ...spoken, "data-f": `axis ${axis.key}`, ...does }));
}

function setBrush(key, range) {
  const brush = { ...state.brush };
  if (range) brush[key] = range.map((t) => Number(Math.min(1, Math.max(0, t)).toFixed(3)));
  else delete brush[key];
  set({ brush, selected: Object.keys(brush).length ? state.selected : [] });
}

/* Dragging along an axis marks a range of it; a click takes it away. */
function drag(event, axis, box) {
  event.preventDefault();
  const frame = box.svg.getBoundingClientRect(), start = event.clientY;
  const place = (clientY) => (box.bottom - (clientY - frame.top)) / (box.bottom - box.top);
  const range = (now) => [place(start), place(now.clientY)].sort((a, b) => a - b);
  let waiting = 0;
  const move = (now) => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => setBrush(axis.key, range(now)));
  };
  const end = (now) => {
    window.removeEventListener("pointermove", move);
    window.removeEventListener("pointercancel", end);
    cancelAnimationFrame(waiting);
    setBrush(axis.key, Math.abs(now.clientY - start) > 4 ? range(now) : null);
  };
  window.addEventListener("pointermove", move);
  window.addEventListener("pointerup", end, { once: true });
  window.addEventListener("pointercancel", end, { once: true });
}

/* The same by keyboard: arrows move the lower end, with shift the upper one; Delete takes the range away. */
function nudge(event, axis) {
  const step = { ArrowUp: 0.05, ArrowDown: -0.05 }[event.key];
  if (!step && event.key !== "Delete" && event.key !== "Backspace") return;
  event.preventDefault();
  const [low, high] = state.brush[axis.key] ?? [0, 1];
  if (!step) setBrush(axis.key, null);
  else setBrush(axis.key, event.shiftKey ? [low, Math.max(low, high + step)] : [Math.min(high, low + step), high]);
}

/* ---- One run ------------------------------------------------------------------------------------------------------ */

const RAN = ["device", "precision", "processes", "threads", "peak_memory_mb", "seconds", "images_per_second", "parameters",
  "commit", "python", "torch", "lightning", "trainlab"]; // results that say how, not what

function drawRun() {
  const run = data.runs.find((r) => r.id === state.run), section = byId("run"), wasHidden = section.hidden;
  section.hidden = !run;
  byId("runs").hidden = Boolean(run);
  if (!run) return put(section);
  const leave = () => {
    set({ run: "" });
    document.querySelector(`[data-f="run ${run.id}"], [data-f="row ${run.g.id}"]`)?.focus();
  };
  const back = el("button", { type: "button", class: "quiet no-print", onclick: leave }, "← all runs");
  const result = (name) => run.results[data.place.get(name)];
  const found = (name) => result(name) ?? (name === "commit" ? run.commit : null);
  const known = [["folder", run.folder], ["state", run.state], ...RAN.map((name) => [name, found(name)])];
  const facts = known.filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => [name.replaceAll("_", " "), isNumber(value) ? format(value) : textOf(value)]);
  const came = data.numeric.filter((name) => isNumber(result(name)) && !RAN.includes(name));
  const numbers = came.map((name) => [name, format(result(name), name)]);
  const heading = el("h2", { tabindex: -1 }, run.name || run.folder);
  put(section, back, heading,
    run.error ? el("p", { class: "bad" }, run.error) : "",
    run.log ? [el("h3", {}, "The end of its log"), el("pre", { tabindex: 0 }, run.log)] : "",
    el("h3", {}, "To have it again"), ...run.commands.map(commandLine),
    el("h3", {}, "Its configuration"), configurationOf(run),
    el("div", { class: "facts" }, numbers.length ? el("div", {}, el("h3", {}, "What it came to"), factTable(numbers)) : "",
      el("div", {}, el("h3", {}, "How it ran"), factTable(facts))),
    figuresOf(run));
  if (wasHidden && pageIsUp) heading.focus({ preventScroll: window.innerWidth > 1080 });
}

function figuresOf(run) {
  const figureOf = ([name, src]) => el("figure", {}, el("img", { src, alt: name }), el("figcaption", {}, name));
  const figures = Object.entries(run.figures).map(figureOf), elsewhere = `${run.folder}/figures`;
  if (figures.length) return [el("h3", {}, "Its figures"), el("div", { class: "figures" }, figures)];
  return run.state === "finished" && el("p", { class: "hint" }, `Its own figures, if it has drawn any, are in ${elsewhere}.`);
}

function commandLine(command) {
  const copy = el("button", { type: "button", class: "no-print", onclick: async () => {
    try { await navigator.clipboard.writeText(command); copy.textContent = "copied"; }
    catch { getSelection().selectAllChildren(text); copy.textContent = "selected"; }
  } }, "copy");
  const text = el("pre", {}, command);
  return el("div", { class: "command" }, text, copy);
}

/* What differs from the default, and from the other runs here. */
function configurationOf(run) {
  const before = (usual) => (usual.length ? textOf(usual[0]) : "–");
  const rows = new Map(run.changed.map(([key, value, ...usual]) => [key, { value, usual: before(usual) }]));
  for (const key of data.keys) if (!rows.has(key)) rows.set(key, { value: valueOf(run, key), usual: "the same" });
  const others = (key) => {
    const all = new Map(data.runs.map((other) => [textOf(valueOf(other, key)), valueOf(other, key)]));
    all.delete(textOf(valueOf(run, key)));
    const texts = [...all.values()].filter((value) => value !== undefined).sort(compare).map(textOf);
    const more = texts.length > 6 ? ` and ${texts.length - 6} more` : "";
    return texts.slice(0, 6).join(", ") + more || "the same";
  };
  const isAlone = data.runs.length === 1, last = isAlone ? [] : ["other runs here"];
  const names = ["option", "this run", "default", ...last];
  const head = el("tr", {}, names.map((name) => el("th", { scope: "col" }, name)));
  const body = [...rows].map(([key, { value, usual }]) => el("tr", {}, el("th", { scope: "row" }, key),
    el("td", {}, textOf(value)), el("td", {}, usual), isAlone ? "" : el("td", {}, others(key))));
  if (!rows.size) return el("p", { class: "hint" }, run.config ? "Nothing but defaults." : "It is not known.");
  return el("table", {}, el("thead", {}, head), el("tbody", {}, body));
}

function factTable(rows) {
  const row = ([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value));
  return el("table", {}, el("tbody", {}, rows.map(row)));
}

/* ---- Export ------------------------------------------------------------------------------------------------------- */

function save(name, kind, text) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type: kind })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const INLINE = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linejoin",
  "opacity", "paint-order", "font-size", "font-family", "visibility"];

/* The drawing with its styles inside, as it is on the screen. */
function saveSvg(frame, name) {
  const original = frame.querySelector("svg"), copy = original.cloneNode(true);
  const [, , width, height] = original.getAttribute("viewBox").split(" ");
  const mine = original.querySelectorAll("*"), theirs = copy.querySelectorAll("*");
  mine.forEach((node, i) => {
    const style = getComputedStyle(node);
    for (const gone of ["class", ...INLINE]) theirs[i].removeAttribute(gone);
    theirs[i].setAttribute("style", INLINE.map((name) => `${name}: ${style.getPropertyValue(name)}`).join("; "));
  });
  copy.querySelectorAll("[role=slider]").forEach((node) => node.remove());
  copy.setAttribute("xmlns", SVG);
  copy.setAttribute("width", width);
  copy.prepend(sv("rect", { width, height, fill: getComputedStyle(document.body).backgroundColor }));
  save(`${name}.svg`, "image/svg+xml", new XMLSerializer().serializeToString(copy));
}

const choicesOf = (g) => data.keys.map((key) => g.choices[key]);

function settingsCsv() {
  const { cost, rest } = columns(), names = [state.result, ...cost, ...rest];
  const pairs = names.flatMap((name) => [`${labelOf(name)}:mean`, `${labelOf(name)}:deviation`]);
  const head = [...data.keys, ...pairs, "difference:mean", "difference:deviation", "p", "n", "not finished"];
  const rows = view.entries.map((e) => {
    const values = names.flatMap((name) => [e.stat(name).mean, e.stat(name).deviation]);
    return [...choicesOf(e.g), ...values, e.diff.mean, e.diff.deviation, e.diff.p, e.stat(state.result).n, e.unfinished];
  });
  return csvOf([head, ...rows]);
}

function runsCsv() {
  const names = data.results.filter((name) => name !== "seed"), runs = view.entries.flatMap((e) => e.runs);
  const rows = runs.map((run) => {
    const values = names.map((name) => run.results[data.place.get(name)]);
    return [...choicesOf(run.g), run.seed, run.state, run.folder, run.error, ...values, resultOf(run, CURVE)];
  });
  return csvOf([[...data.keys, "seed", "state", "folder", "error", ...names, labelOf(CURVE)], ...rows]);
}

function curvesCsv() {
  const rows = view.drawn.flatMap((e) => e.runs).flatMap((run) => {
    const { xs, ys } = curveOf(run);
    return xs.map((x, i) => [...choicesOf(run.g), run.seed, x, ys[i]]);
  });
  return csvOf([[...data.keys, "seed", state.x, state.metric], ...rows]);
}

/* ---- The page ----------------------------------------------------------------------------------------------------- */

let pageIsUp = false;

/* Marks a setting wherever it is; hover and keyboard focus come here. */
function point(ids) {
  if (String(pointed) === String(ids)) return;
  pointed = ids;
  document.querySelectorAll(".lit").forEach((node) => node.classList.remove("lit"));
  byId("page").classList.toggle("pointing", Boolean(ids));
  for (const id of ids ?? []) {
    document.querySelectorAll(`[data-g~="${CSS.escape(id)}"]`).forEach((node) => node.classList.add("lit"));
  }
}

function markSelected() {
  byId("page").classList.toggle("selecting", state.selected.length > 0);
  byId("page").classList.toggle("many", view.drawn.length > 30);
  const selected = new Set(state.selected), isOn = (node) => node.dataset.g.split(" ").some((id) => selected.has(id));
  for (const node of document.querySelectorAll("svg [data-g]")) node.classList.toggle("on", isOn(node));
}

function readout(event, found) {
  const box = byId("readout");
  box.hidden = !found;
  if (!found) return;
  const g = data.groups.find((other) => other.id === found.id);
  box.replaceChildren(el("b", {}, found.name ?? g.name), found.text);
  const right = event.clientX + 16 + box.offsetWidth > window.innerWidth;
  box.style.left = `${Math.max(4, right ? event.clientX - box.offsetWidth - 14 : event.clientX + 14)}px`;
  box.style.top = `${Math.min(event.clientY + 14, window.innerHeight - box.offsetHeight - 4)}px`;
}

function drawTheme() {
  if (state.theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = state.theme;
  byId("theme").textContent = `Theme: ${state.theme}`;
}

function render() {
  const focused = document.activeElement?.dataset?.f; // what is drawn anew gets the focus back
  settle();
  drawTheme();
  colourAll();
  look();
  byId("complaint").hidden = !view.complaint;
  byId("complaint").textContent = view.complaint ?? "";
  sync();
  drawTable();
  drawRun();
  drawCurves();
  drawAgainst();
  drawHeat();
  drawParallel();
  markSelected();
  if (focused) document.querySelector(`[data-f="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  const lit = pointed;
  pointed = null;
  point(lit);
  clearTimeout(waitingForAddress);
  waitingForAddress = setTimeout(writeAddress, ADDRESS_MS);
}

const ADDRESS_MS = 300; // browsers refuse an address that changes with every movement
let waitingForAddress = 0;

function writeAddress() {
  const words = writeHash(unsettled(state));
  history.replaceState(null, "", words ? `#${words}` : location.pathname + location.search);
}

/* Without what `settle` would choose by itself. */
function unsettled(full) {
  const kept = state, free = { ...full };
  for (const name of ["metric", "result", "against", "heatx", "heaty", "reference"]) {
    state = { ...full, [name]: "" };
    settle();
    if (state[name] === full[name]) free[name] = "";
  }
  state = kept;
  return free;
}

function setUp() {
  const names = [...new Set([...data.headline, ...data.numeric])].filter((name) => data.numeric.includes(name));
  const results = names.map((name) => [name, name]);
  const curves = data.curves.map((name) => [name, name]), options = data.keys.map((key) => [key, key]);
  byId("result").dataset.bound = "result";
  if (curves.length) results.push([CURVE, "the curve’s last, best or mean"]);
  byId("result").append(...results.map(([value, text]) => el("option", { value }, text)));
  byId("result").addEventListener("change", () => set({ result: byId("result").value }));
  byId("filter").placeholder = data.keys.length ? example(data.keys) : "seed = 0";
  for (const name of ["filter", "search"]) {
    byId(name).dataset.bound = name;
    byId(name).addEventListener("input", () => set({ [name]: byId(name).value }));
  }
  byId("options").append(...[...data.keys, "seed", "state"].map((key) => el("option", { value: `${key} = ` })));
  byId("bar").addEventListener("submit", (event) => event.preventDefault());
  byId("theme").hidden = false;
  byId("theme").addEventListener("click", () => set({ theme: { auto: "dark", dark: "light" }[state.theme] ?? "auto" }));
  byId("clear").addEventListener("click", () => set({ selected: [], brush: {} }));
  byId("csv-table").addEventListener("click", () => save("settings.csv", "text/csv", settingsCsv()));
  byId("csv-runs").addEventListener("click", () => save("runs.csv", "text/csv", runsCsv()));
  const steps = { min: 0, max: 0.98, step: 0.02 }, turn = () => set({ smooth: Number(slider.value) });
  const slider = el("input", { type: "range", ...steps, "data-bound": "smooth", oninput: turn });
  const values = [["last", "last value"], ["best", "best value"], ["mean", "mean"], ["smoothed", "last smoothed"]];
  if (curves.length) byId("csv-table").before(choose("value of curves", "by", values));
  const axes = Object.entries(X_NAMES).filter(([name]) => data.metrics.includes(name));
  chart("curves", "Curves", [
    choose("", "metric", curves), choose("against", "x", axes),
    options.length > 1 ? choose("colour", "colour", [["", "automatic"], ["*", "setting"], ...options]) : "",
    tick("log x", "xlog"), tick("log y", "ylog"), tick("runs", "runs"), el("label", {}, "smooth ", slider),
    el("button", { type: "button", onclick: () => save("curves.csv", "text/csv", curvesCsv()) }, "CSV")]);
  parts.curves.legend = el("div", { class: "legend", role: "group", "aria-label": "settings that are drawn" });
  parts.curves.section.append(parts.curves.legend);
  chart("against", "", [options.length > 1 ? choose("against", "against", options) : "", tick("log y", "errlog")]);
  chart("heat", "", options.length > 2 ? [choose("", "heaty", options), choose("by", "heatx", options)] : []);
  chart("parallel", "All options at once", []);
  const hint = "Drag along an axis to select what passes there; click on it to undo.";
  parts.parallel.section.append(el("p", { class: "hint no-print" }, hint));
  listen();
}

function example(keys) {
  const numeric = keys.find((key) => !isWord(key)), word = keys.find(isWord);
  const value = (key, i) => textOf(data.groups[i].choices[key]);
  const above = numeric && `${numeric} > ${value(numeric, 0)}`;
  const is = word && `${word} = ${value(word, data.groups.length - 1)}`;
  return [above, is].filter(Boolean).join(" and ");
}

function listen() {
  const page = byId("page"), rowOf = (event) => event.target.closest("tr[data-g]");
  const isControl = (event) => event.target.closest("button, input, select, a");
  byId("table").addEventListener("click", (event) => {
    const row = rowOf(event);
    if (row && !isControl(event)) pick([row.dataset.g]);
  });
  byId("table").addEventListener("keydown", (event) => {
    const row = event.target.matches("tr[data-g]") ? event.target : null;
    if (!row) return;
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (step) {
      let next = row[step];
      while (next && !next.hasAttribute("tabindex")) next = next[step];
      next?.focus();
    }
    else if (event.key === " ") pick([row.dataset.g]);
    else if (event.key === "Enter") set({ open: toggled(state.open, row.dataset.g) });
    else return;
    event.preventDefault();
  });
  for (const kind of ["pointerover", "focusin"]) page.addEventListener(kind, (event) => {
    const holder = event.target.closest("tr[data-g], .legend button");
    if (holder) point([holder.dataset.g]);
    else if (!event.target.closest(".frame")) point(null);
  });
  for (const part of Object.values(parts)) {
    part.frame.addEventListener("pointermove", (event) => {
      if (event.buttons) return;
      const frame = part.frame.getBoundingClientRect();
      const found = part.find?.(event.clientX - frame.left, event.clientY - frame.top) ?? null;
      point(found && (found.ids ?? [found.id]));
      readout(event, found);
    });
    part.frame.addEventListener("pointerleave", (event) => { part.find?.(-1e6, -1e6); point(null); readout(event, null); });
    const hasOwnClick = part === parts.heat || part === parts.parallel;
    if (!hasOwnClick) part.frame.addEventListener("click", () => pointed && pick(pointed));
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") set(state.run ? { run: "" } : { selected: [], brush: {} });
    else if (event.key === "/" && !event.target.matches("input, select")) {
      event.preventDefault();
      byId("filter").focus();
    }
  });
  window.addEventListener("hashchange", () => { state = readHash(location.hash); render(); });
  let width = window.innerWidth;
  window.addEventListener("resize", () => { if (window.innerWidth !== width) { width = window.innerWidth; render(); } });
  window.addEventListener("beforeprint", () => render());
  const follow = () => {
    if (document.activeElement?.matches("input:not([type=checkbox], [type=radio])")) return; // somebody types
    writeAddress();
    location.reload();
  };
  if (data.reload) setInterval(follow, 1000 * data.reload);
}

function start() {
  load();
  state = readHash(location.hash);
  if (data.runs.length === 1) state.run = data.runs[0].id;
  byId("plain").hidden = true;
  byId("page").hidden = false;
  settle();
  setUp();
  render();
  pageIsUp = true;
}

if (typeof document !== "undefined") start();
else {
  module.exports = {
    textOf, format, cellOf, mean, deviation, smooth, summarise, paired, studentP, compare, ordered, decode,
    parseFilter, fulfils, ticksOf, logTicks, scaleOf, placesOf, interpolate, gridOf, DEFAULTS, writeHash, readHash, csvOf,
  };
}
