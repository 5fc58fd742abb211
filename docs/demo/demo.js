// The shipped generator in this page: position and seed -> label map -> codes -> slice.
// The networks are ONNX (export.py); the loop over codes and the draw are here.

import * as ort from "./ort.wasm.min.mjs";

const LABELS = ["background", "body", "bone", "bladder", "rectum", "prostate"];
const COLOURS = ["#000000", "#009E73", "#F0E442", "#56B4E9", "#D55E00", "#CC79A7"];
const UNDO = 50; // steps that are kept
const PAUSE = 250; // ms after a stroke, until its slice is drawn
const WASM = "ort-wasm-simd-threaded.wasm.gz";

const $ = (id) => document.getElementById(id);
const RGB = COLOURS.map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
let model; // what model.json says
const sessions = {};
const shown = { labels: null, codes: null, noise: null, slice: null, drawn: 0 }; // for tests
globalThis.shown = shown;

// ---- networks

async function load() {
  ort.env.wasm.numThreads = 1; // threads need headers that a plain server does not send
  const [known, wasm] = await Promise.all([
    get("model.json").then((answer) => answer.json()),
    get(WASM).then((answer) => answer.blob()),
  ]);
  const unpacked = wasm.stream().pipeThrough(new DecompressionStream("gzip"));
  ort.env.wasm.wasmBinary = await new Response(unpacked).arrayBuffer();
  model = known;
  const names = ["maps", "slices"].flatMap((name) => [`${name}_start`, `${name}_step`, name]);
  const files = names.map(async (name) => (await get(`${name}.onnx`)).arrayBuffer());
  for (const [i, name] of names.entries()) {
    sessions[name] = await ort.InferenceSession.create(await files[i]);
    report(`Loading: ${i + 1} of ${names.length} networks`, (i + 1) / names.length);
  }
}

async function get(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}`);
  return answer;
}

const ints = (values, shape) =>
  new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);
const floats = (values, shape) => new ort.Tensor("float32", values, shape);

// Codes of a prior, one after the other: the largest of logits + Gumbel noise is a draw.
async function drawCodes(name, feeds, seed, onCode) {
  const { grid, size, offsets, cache: shape } = model.priors[name];
  const { places } = await sessions[`${name}_start`].run(feeds);
  const [count, dim] = [grid[0] * grid[1], places.dims[2]];
  const random = uniform(seed);
  const codes = [];
  let cache = floats(new Float32Array(0), shape);
  for (let i = 0; i < count; i++) {
    const around = offsets.map((back) => (back <= i ? codes[i - back] : size));
    const { logits, grown } = await sessions[`${name}_step`].run({
      around: ints(around, [around.length]),
      place: floats(places.data.slice(i * dim, (i + 1) * dim), [1, dim]),
      cache,
    });
    cache = grown;
    let best = -Infinity;
    logits.data.forEach((logit, code) => {
      const score = logit - Math.log(-Math.log(random())); // temperature 1
      if (score > best) [best, codes[i]] = [score, code];
    });
    await onCode(codes, count);
  }
  return codes;
}

// Uniform numbers in (0, 1) from a seed: mulberry32.
function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
}

// Draws of N(0, 1) from a seed: the Box-Muller transform.
function normal(count, seed) {
  const random = uniform(seed);
  const draw = () => Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
  return Float32Array.from({ length: count }, draw);
}

// ---- one job at a time; a newer one ends the one before it

class Stopped extends Error {}
let newest = 0;
let queue = Promise.resolve();

function ask(withMap) {
  const job = ++newest;
  queue = queue.then(() => run(job, withMap)).catch((error) => {
    if (!(error instanceof Stopped)) fail(error);
  });
}

async function run(job, withMap) {
  const breathe = async () => {
    await new Promise((resolve) => setTimeout(resolve)); // the page stays alive
    if (job !== newest) throw new Stopped();
  };
  await breathe();
  const started = performance.now();
  const [at, seed] = ["position", "seed"].map((id) => Number($(id).value));
  const position = floats(Float32Array.of(at), [1]);
  document.body.dataset.state = "busy";
  if (withMap) {
    const codes = await drawCodes("maps", { position }, seed, async (known, count) => {
      report(`Label map: ${known.length} of ${count} codes`, 0.2 * (known.length / count));
      if (known.length % 4 === 0) await breathe();
    });
    const { labels } = await sessions.maps.run({ codes: grid(codes, "maps") });
    remember();
    shown.labels = Uint8Array.from(labels.data, Number);
    showMap();
  }
  const labels = ints(shown.labels, [1, ...model.size]);
  const codes = await drawCodes("slices", { position, labels }, seed + 1, async (known, count) => {
    report(`Slice: ${known.length} of ${count} codes`, 0.2 + 0.75 * (known.length / count));
    if (known.length % 8) return;
    showCodes(known);
    await breathe();
  });
  const noise = floats(normal(shown.labels.length, seed + 2), [1, 1, ...model.size]);
  const feeds = { codes: grid(codes, "slices"), labels, noise };
  const { slice } = await sessions.slices.run(feeds);
  await breathe();
  Object.assign(shown, { codes, noise: noise.data, slice: slice.data, drawn: shown.drawn + 1 });
  showCodes(codes);
  picture($("slice"), ...model.size, (i) => Array(3).fill(255 * slice.data[i]));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  $("slice").setAttribute("aria-label", `Synthetic slice at position ${at}, seed ${seed}`);
  report(`Slice drawn in ${seconds} s`, 1);
  document.body.dataset.state = "ready";
}

const grid = (codes, name) => ints(codes, [1, ...model.priors[name].grid]);

function report(text, share) {
  [$("status").textContent, $("progress").value] = [text, share];
}

function fail(error) {
  document.body.dataset.state = "failed";
  report(`This did not work: ${error.message}. Reload the page; it needs a browser of ` +
    "2023 or newer.", 0);
  console.error(error);
}

// ---- pictures: arrays are (left to right, bottom to top)

function picture(canvas, columns, rows, colour, marked) {
  const small = new OffscreenCanvas(columns, rows);
  const image = new ImageData(columns, rows);
  for (let x = 0; x < columns; x++) {
    for (let y = 0; y < rows; y++) {
      image.data.set([...colour(x * rows + y), 255], 4 * ((rows - 1 - y) * columns + x));
    }
  }
  small.getContext("2d").putImageData(image, 0, 0);
  const context = Object.assign(canvas.getContext("2d"), { imageSmoothingEnabled: false });
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  if (!marked) return;
  const scale = canvas.width / columns;
  const at = [(marked.x + 0.5) * scale, (rows - marked.y - 0.5) * scale];
  for (const [width, style] of [[5, "#000"], [2, "#fff"]]) {
    context.lineWidth = width;
    context.strokeStyle = style;
    context.beginPath();
    context.arc(...at, (marked.size / 2) * scale, 0, 2 * Math.PI);
    context.stroke();
  }
}

function showMap() {
  const marked = brush.shown ? { ...brush, size: Number($("brush").value) } : null;
  picture($("map"), ...model.size, (i) => RGB[shown.labels[i]], marked);
  $("undo").disabled = past.length === 0;
}

function showCodes(codes) {
  const marked = cell.shown ? { ...cell, size: 0.9 } : null;
  picture($("codes"), ...model.priors.slices.grid, (i) => codeColour(codes[i]), marked);
}

// 256 codes, neighbouring numbers far apart in hue.
function codeColour(code) {
  if (code === undefined) return [0, 0, 0];
  const [hue, light] = [(code * 137.508) % 360, 0.4 + 0.3 * ((code % 5) / 4)];
  const part = (n) => { // hsl to rgb
    const k = (n + hue / 30) % 12;
    return 255 * (light - 0.6 * Math.min(light, 1 - light) * Math.max(-1, Math.min(k - 3, 9 - k, 1)));
  };
  return [part(0), part(8), part(4)];
}

// Where on a grid a pointer is, and how an arrow key moves a place on it.
function place(canvas, event, [columns, rows]) {
  const box = canvas.getBoundingClientRect();
  const x = Math.floor(((event.clientX - box.left) / box.width) * columns);
  const y = rows - 1 - Math.floor(((event.clientY - box.top) / box.height) * rows);
  return within({ x, y }, [columns, rows]);
}

const within = ({ x, y }, [columns, rows]) => ({
  x: Math.max(0, Math.min(columns - 1, x)),
  y: Math.max(0, Math.min(rows - 1, y)),
});

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function moved(spot, event, size) {
  if (!(event.key in ARROWS)) return false;
  event.preventDefault();
  const [dx, dy] = ARROWS[event.key].map((d) => d * (event.shiftKey ? 8 : 1));
  Object.assign(spot, within({ x: spot.x + dx, y: spot.y + dy }, size), { shown: true });
  return true;
}

// ---- the brush

const brush = { x: 64, y: 32, shown: false };
const past = []; // label maps before each stroke
let stroke, waiting; // where the pointer, while it is down, was last; and a timer

function remember() {
  past.push(shown.labels.slice());
  if (past.length > UNDO) past.shift();
}

function changed() {
  showMap();
  clearTimeout(waiting);
  waiting = setTimeout(() => ask(false), PAUSE);
}

function dab({ x, y }) {
  const label = Number(document.querySelector("[name=label]:checked").value);
  const [columns, rows] = model.size;
  const radius = Number($("brush").value) / 2;
  const reach = Math.floor(radius);
  for (let a = Math.max(0, x - reach); a <= Math.min(columns - 1, x + reach); a++) {
    for (let b = Math.max(0, y - reach); b <= Math.min(rows - 1, y + reach); b++) {
      if (Math.hypot(a - x, b - y) <= radius) shown.labels[a * rows + b] = label;
    }
  }
}

function undo() {
  if (past.length) shown.labels = past.pop();
  changed();
}

function handleMap() {
  const map = $("map");
  map.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    newest++; // what is being drawn is for a map that changes now
    map.setPointerCapture(event.pointerId);
    remember();
    stroke = place(map, event, model.size);
    dab(Object.assign(brush, stroke, { shown: true }));
    showMap();
  });
  map.addEventListener("pointermove", (event) => {
    const to = place(map, event, model.size);
    Object.assign(brush, to, { shown: true });
    if (stroke) {
      const steps = Math.max(Math.abs(to.x - stroke.x), Math.abs(to.y - stroke.y), 1);
      for (let i = 1; i <= steps; i++) {
        const part = (from, end) => Math.round(from + ((end - from) * i) / steps);
        dab({ x: part(stroke.x, to.x), y: part(stroke.y, to.y) });
      }
      stroke = to;
    }
    showMap();
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    map.addEventListener(kind, () => {
      if (stroke) changed();
      stroke = null;
    });
  }
  for (const kind of ["focus", "pointerleave", "blur"]) {
    map.addEventListener(kind, () => {
      brush.shown = document.activeElement === map;
      showMap();
    });
  }
  map.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      event.preventDefault();
      remember();
      dab(brush);
      changed();
    } else if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      undo();
    } else if (moved(brush, event, model.size)) {
      showMap();
    } else return;
    const under = LABELS[shown.labels[brush.x * model.size[1] + brush.y]];
    $("brush-at").textContent = `Brush at ${brush.x}, ${brush.y}: ${under}`;
  });
  $("undo").addEventListener("click", undo);
  $("clear").addEventListener("click", () => {
    remember();
    shown.labels.fill(0);
    changed();
  });
}

// ---- the codes

const cell = { x: 0, y: 0, shown: false };

function handleCodes() {
  const canvas = $("codes");
  const { grid: size } = model.priors.slices;
  const tell = () => {
    if (!shown.codes) return;
    showCodes(shown.codes);
    const code = shown.codes[cell.x * size[1] + cell.y];
    $("code-at").textContent = cell.shown
      ? `Code ${code}, column ${cell.x + 1} of ${size[0]}, row ${size[1] - cell.y} of ${size[1]}`
      : "Point at a code to read its number.";
  };
  const set = (visible) => { cell.shown = visible; tell(); };
  for (const kind of ["pointermove", "pointerdown"]) {
    canvas.addEventListener(kind, (event) => {
      Object.assign(cell, place(canvas, event, size));
      set(true);
    });
  }
  canvas.addEventListener("pointerleave", () => set(document.activeElement === canvas));
  canvas.addEventListener("focus", () => set(true));
  canvas.addEventListener("blur", () => set(false));
  canvas.addEventListener("keydown", (event) => moved(cell, event, size) && tell());
}

// ---- start

LABELS.forEach((name, i) => {
  const label = document.createElement("label");
  label.innerHTML = `<input type="radio" name="label" value="${i}">` +
    `<span class="swatch" style="background:${COLOURS[i]}"></span>${name}`;
  label.firstChild.checked = i === 5;
  $("labels").append(label);
});
$("position").addEventListener("input", () => { $("at").value = Number($("position").value).toFixed(2); });
$("brush").addEventListener("input", () => { $("width").value = $("brush").value; });
$("draw").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(waiting);
  ask(true);
});

load().then(() => {
  shown.labels = new Uint8Array(model.size[0] * model.size[1]);
  handleMap();
  handleCodes();
  showMap();
  for (const id of ["go", "clear"]) $(id).disabled = false;
  report("Ready: press Draw, or paint a label map", 0);
  document.body.dataset.state = "ready";
}).catch(fail);
