// The page around the module: controls and drawings. All numbers come from the module.
import { load } from "./load.js";

const $ = (id) => document.getElementById(id);
const message = (error) => (error instanceof Error ? error.message : String(error));
/** Returns after the browser has drawn what has changed. */
const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

const started = performance.now();
let cupric = null, folder = "", gpu = null;
/** The errors of calls before the GPU is open; only tests ask for them. */
let errorsBefore = "";

// --- digits

const digits = { data: null, network: null, losses: [], epochs: 12, pixels: new Float32Array(64) };

function drawLoss() {
  const canvas = $("digits-loss"), c = canvas.getContext("2d"), { width, height } = canvas;
  c.fillStyle = "#fff";
  c.fillRect(0, 0, width, height);
  const [low, high] = [-3, 0.5];
  const x = (epoch) => 40 + ((epoch - 1) / (digits.epochs - 1)) * (width - 55);
  const y = (loss) => 15 + ((high - Math.log10(Math.max(loss, 1e-3))) / (high - low)) * (height - 40);
  c.font = "12px sans-serif";
  c.fillStyle = "#555";
  c.strokeStyle = "#ddd";
  for (const loss of [1, 0.1, 0.01, 0.001]) {
    c.beginPath();
    c.moveTo(40, y(loss));
    c.lineTo(width - 15, y(loss));
    c.stroke();
    c.fillText(String(loss), 4, y(loss) + 4);
  }
  for (let epoch = 1; epoch <= digits.epochs; epoch += 1) {
    if (epoch % 2 === 1) c.fillText(String(epoch), x(epoch) - 3, height - 6);
  }
  c.strokeStyle = c.fillStyle = "#a8541f";
  c.lineWidth = 2;
  c.beginPath();
  digits.losses.forEach((loss, i) => c.lineTo(x(i + 1), y(loss)));
  c.stroke();
  digits.losses.forEach((loss, i) => c.fillRect(x(i + 1) - 3, y(loss) - 3, 6, 6));
  c.lineWidth = 1;
}

async function train() {
  const button = $("digits-train");
  button.disabled = true;
  try {
    if (!digits.data) {
      const answer = await fetch("digits.npy");
      if (!answer.ok) throw new Error(`digits.npy: ${answer.status}`);
      digits.data = new Uint8Array(await answer.arrayBuffer());
    }
    const begun = performance.now();
    const network = new cupric.Network($("digits-on").value, digits.data);
    digits.losses = [];
    drawLoss();
    for (;;) {
      const report = await network.epoch();
      if (!report) break;
      const [epoch, epochs, loss, accuracy] = report;
      digits.losses.push(loss);
      digits.epochs = epochs;
      drawLoss();
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      $("digits-progress").value =
        `epoch ${epoch} of ${epochs}: loss ${loss.toFixed(4)}, ${(accuracy * 100).toFixed(1)} % of the test images, ${seconds} s`;
      await drawn();
    }
    digits.network?.free();
    digits.network = network;
    await classify();
  } catch (error) {
    $("digits-progress").value = message(error);
  }
  button.disabled = false;
}

function drawPixels() {
  const canvas = $("digits-draw"), c = canvas.getContext("2d"), size = canvas.width / 8;
  digits.pixels.forEach((value, i) => {
    const grey = 255 - Math.round((Math.min(value, 16) / 16) * 255);
    c.fillStyle = `rgb(${grey} ${grey} ${grey})`;
    c.fillRect((i % 8) * size, Math.floor(i / 8) * size, size, size);
  });
}

/** Adds ink around a point of the canvas, as a pen of about one pixel does. */
function ink(x, y) {
  for (let row = 0; row < 8; row += 1) {
    for (let column = 0; column < 8; column += 1) {
      const far = Math.hypot(column + 0.5 - x, row + 0.5 - y);
      const value = 16 * Math.max(0, 1.15 - far);
      const i = row * 8 + column;
      digits.pixels[i] = Math.min(16, Math.max(digits.pixels[i], value));
    }
  }
}

let classifying = false, again = false;
async function classify() {
  if (!digits.network || classifying) {
    again = true;
    return;
  }
  classifying = true;
  do {
    again = false;
    const isEmpty = digits.pixels.every((value) => value === 0);
    const found = isEmpty ? new Array(10).fill(0) : Array.from(await digits.network.classify(digits.pixels));
    const best = found.indexOf(Math.max(...found));
    [...$("digits-bars").children].forEach((item, digit) => {
      item.firstChild.value = found[digit];
      item.className = !isEmpty && digit === best ? "best" : "";
    });
    $("digits-answer").textContent = isEmpty ? "Trained: draw a digit" : `This is a ${best} (${(found[best] * 100).toFixed(0)} %)`;
  } while (again);
  classifying = false;
}

function setUpDigits() {
  for (let digit = 0; digit < 10; digit += 1) {
    const item = document.createElement("li"), meter = document.createElement("meter");
    meter.setAttribute("aria-label", `probability of ${digit}`);
    item.append(meter);
    $("digits-bars").append(item);
  }
  const canvas = $("digits-draw");
  let last = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * 8, ((event.clientY - box.top) / box.height) * 8];
  };
  const move = (event) => {
    const [x, y] = place(event), [fromX, fromY] = last ?? [x, y];
    const steps = Math.max(1, Math.ceil(Math.hypot(x - fromX, y - fromY) * 4));
    for (let i = 1; i <= steps; i += 1) ink(fromX + ((x - fromX) * i) / steps, fromY + ((y - fromY) * i) / steps);
    last = [x, y];
    drawPixels();
    classify();
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
    last = null;
    move(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && move(event));
  const clear = () => {
    digits.pixels.fill(0);
    drawPixels();
    classify();
  };
  $("digits-clear").addEventListener("click", clear);
  canvas.addEventListener("keydown", (event) => event.key === "Delete" && clear());
  $("digits-train").addEventListener("click", train);
  drawPixels();
  drawLoss();
}

// --- fractal

const whole = { x: -0.6, y: 0, span: 3.4 };
const fractal = { ...whole, busy: false, again: false };

async function drawFractal() {
  if (fractal.busy) {
    fractal.again = true;
    return;
  }
  fractal.busy = true;
  do {
    fractal.again = false;
    const canvas = $("fractal"), { width, height } = canvas, on = $("fractal-on").value;
    const steps = Math.min(1000, Math.round((96 + 40 * Math.log2(whole.span / fractal.span)) / 16) * 16);
    try {
      const begun = performance.now();
      const bytes = await cupric.mandelbrot(on, width, height, fractal.x, fractal.y, fractal.span, steps);
      const time = performance.now() - begun;
      canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(bytes), width, height), 0, 0);
      $("fractal-time").value = `${time.toFixed(0)} ms, ${steps} steps, width ${fractal.span.toPrecision(3)}`;
    } catch (error) {
      $("fractal-time").value = message(error);
    }
    await drawn();
  } while (fractal.again);
  fractal.busy = false;
}

function zoom(factor, atX = 0.5, atY = 0.5) {
  const span = Math.min(8, Math.max(2e-5, fractal.span * factor));
  const ratio = $("fractal").height / $("fractal").width;
  fractal.x += (atX - 0.5) * (fractal.span - span);
  fractal.y -= (atY - 0.5) * (fractal.span - span) * ratio;
  fractal.span = span;
  drawFractal();
}

function setUpFractal() {
  const canvas = $("fractal");
  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
    from = [event.clientX, event.clientY];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!event.buttons || !from) return;
    const pixel = fractal.span / canvas.getBoundingClientRect().width;
    fractal.x -= (event.clientX - from[0]) * pixel;
    fractal.y += (event.clientY - from[1]) * pixel;
    from = [event.clientX, event.clientY];
    drawFractal();
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    const at = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    zoom(Math.exp(Math.sign(event.deltaY) * 0.25), ...at);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = fractal.span / 10;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (event.key === "+" || event.key === "=") zoom(0.8);
    else if (event.key === "-") zoom(1.25);
    else if (moves[event.key]) {
      fractal.x += moves[event.key][0];
      fractal.y += moves[event.key][1];
      drawFractal();
    } else return;
    event.preventDefault();
  });
  $("fractal-reset").addEventListener("click", () => {
    Object.assign(fractal, whole);
    drawFractal();
  });
  $("fractal-on").addEventListener("change", drawFractal);
}

// --- formula

const size = (bytes) => (bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e3).toFixed(1)} kB`);

function compared(a, b) {
  let equal = 0, worst = 0;
  for (let i = 0; i < a.length; i += 1) {
    if (Object.is(a[i], b[i]) || (a[i] !== a[i] && b[i] !== b[i])) equal += 1;
    else worst = Math.max(worst, Math.abs(a[i] - b[i]) / Math.max(1, Math.abs(a[i])));
  }
  if (equal === a.length) return "Both devices give the same bits.";
  return `${equal} of ${a.length} elements have the same bits on both devices; the largest difference is ${worst.toExponential(1)}.`;
}

/** The rate at which a device copies memory, in GB/s; measured once. */
const copies = {};
const copyRate = async (on) => (copies[on] ??= await cupric.copy_rate(on));

async function evaluate() {
  const button = $("formula-run"), body = $("formula-results").tBodies[0];
  button.disabled = true;
  $("formula-error").textContent = $("formula-bits").textContent = "";
  body.replaceChildren();
  try {
    const [rows, columns] = $("formula-size").value.split(" ").map(Number);
    const results = [], problems = new Set();
    for (const on of gpu ? ["cpu", "gpu"] : ["cpu"]) {
      let result;
      try {
        result = await cupric.evaluate(on, $("formula").value, rows, columns);
      } catch (error) {
        // a formula that takes long on one device may be quick on the other
        problems.add(message(error));
        continue;
      }
      result.on = on;
      results.push(result);
      const row = body.insertRow(), rate = result.bytes / result.milliseconds / 1e6;
      const share = `${((100 * rate) / (await copyRate(on))).toFixed(0)} % of ${copies[on].toFixed(1)} GB/s`;
      const cells = [on, `${result.milliseconds.toFixed(3)} ms`, `${rate.toFixed(1)} GB/s of ${size(result.bytes)}`, share, String(result.kernels), result.first];
      cells.forEach((text) => (row.insertCell().textContent = text));
      $("formula-results").hidden = false;
      await drawn();
    }
    $("formula-error").textContent = [...problems].join("\n");
    $("formula-plan").textContent = results.map((r) => `${r.on}: shape ${r.shape}\n${r.plan}`).join("\n");
    $("formula-wgsl").textContent = results.at(-1)?.wgsl || "The CPU runs the plan without shaders.";
    if (results.length === 2) $("formula-bits").textContent = compared(results[0].elements, results[1].elements);
    results.forEach((result) => result.free());
  } catch (error) {
    $("formula-error").textContent = message(error);
  }
  button.disabled = false;
}

// --- measure

/** The times of a read and of a thousand kernels, as lines of the report. */
async function latencies(on) {
  const line = (name, time) => `  ${name.padEnd(26)}${time.toFixed(2).padStart(10)} ms`;
  return [line("1,000 kernels, one call", await cupric.enqueue_time(on)), line("a read of 4 KiB", await cupric.read_time(on))].join("\n");
}

async function measure() {
  $("measure-run").disabled = true;
  const lines = [`cupric in a browser: ${navigator.userAgent}`, `GPU: ${gpu ? gpu.name : "none"}`];
  const show = (line) => {
    lines.push(line);
    $("measure-report").textContent = lines.join("\n");
  };
  try {
    for (const on of gpu ? ["gpu", "cpu"] : ["cpu"]) {
      $("measure-progress").value = `${on}: self-test`;
      await drawn();
      show(`\n${on}: ${await cupric.self_test(on)}`);
      for (let number = 0; number < cupric.rates(); number += 1) {
        $("measure-progress").value = `${on}: rate ${number + 1} of ${cupric.rates()}`;
        await drawn();
        show(`  ${await cupric.rate(on, number)}`);
      }
      $("measure-progress").value = `${on}: latencies`;
      await drawn();
      show(await latencies(on));
    }
    $("measure-progress").value = "finished";
  } catch (error) {
    $("measure-progress").value = message(error);
  }
  $("measure-copy").disabled = false;
  $("measure-run").disabled = false;
}

async function copy() {
  try {
    await navigator.clipboard.writeText($("measure-report").textContent);
    $("measure-progress").value = "copied";
  } catch {
    getSelection().selectAllChildren($("measure-report"));
    $("measure-progress").value = "selected: press Ctrl-C";
  }
}

// --- the page's own tests, which cupric-serve --test asks for

const report = (kind, text = "") => fetch("/report", { method: "POST", body: `${kind}\n${text}` });
const check = (holds, text) => report(holds ? "pass" : "fail", text);

/** Draws strokes on the canvas of the digits by pointer events; the points are in eighths of its side. */
function stroke(points) {
  const canvas = $("digits-draw"), box = canvas.getBoundingClientRect();
  points.forEach(([x, y], i) => {
    const at = { clientX: box.left + (x / 8) * box.width, clientY: box.top + (y / 8) * box.height, buttons: 1, bubbles: true };
    canvas.dispatchEvent(new PointerEvent(i ? "pointermove" : "pointerdown", { ...at, pointerId: 1 }));
  });
}

async function test() {
  try {
    await report("note", $("devices").textContent);
    await check(gpu !== null, "the page has no GPU");
    for (let number = 0; number < cupric.programs(); number += 1) {
      for (const on of gpu ? ["cpu", "gpu"] : ["cpu"]) {
        const begun = performance.now();
        const bits = new Uint32Array((await cupric.program(on, number)).buffer);
        await report("program", `${on}\n${cupric.program_name(number)}\n${Array.from(bits, (word) => word.toString(16)).join(" ")}`);
        const time = performance.now() - begun;
        if (time > 2000) await report("note", `${cupric.program_name(number)} on the ${on}: ${time.toFixed(0)} ms`);
      }
    }
    for (const [call, name] of [["gpu", "gpu"], ["best", "best"], ["parse", "best"]]) {
      const wanted = [`${call}: WouldBlock: Device::${name}: `, `await Device::${name}_async instead`];
      const line = errorsBefore.split("\n").find((line) => line.startsWith(wanted[0]));
      await check(line?.includes(wanted[1]), `${call} before the GPU is open: ${errorsBefore}`);
    }
    const errors = await cupric.errors();
    await report("note", errors);
    await check(errors.includes("best: no error"), `Device::best of an open GPU: ${errors}`);
    for (const [call, twin] of [["item", "item_async"], ["to_vec", "to_vec_async"], ["to_device", "to_device_async"], ["synchronize", "synchronize_async"]]) {
      await check(errors.includes(`${call}: WouldBlock: ${call}: `) && errors.includes(`await ${twin} instead`), `${call} does not name ${twin}`);
    }
    await check(errors.includes("\nset: WouldBlock: "), `a write of a value that can fail: ${errors}`);
    await check(/index: Index: .*99.*browser\.rs/.test(errors), "an index out of range is not reported");
    await check(errors.includes("after: no error"), "an index out of range leaves the device unusable");

    $("digits-on").value = "cpu";
    const begun = performance.now();
    await train();
    await report("note", `training took ${(performance.now() - begun).toFixed(0)} ms; ${$("digits-progress").value}`);
    await check(digits.losses.length === 12 && digits.losses[11] < 0.1, `the losses are ${digits.losses}`);
    stroke([[3.3, 1.6], [4.0, 0.6], [4.0, 2.2], [4.0, 3.8], [4.0, 5.4], [4.0, 7.4]]);
    for (let turns = 0; turns < 100 && (classifying || again); turns += 1) await drawn();
    await check($("digits-answer").textContent.startsWith("This is a 1"), `a drawn 1: ${$("digits-answer").textContent}`);

    $("fractal-on").value = "cpu";
    await drawFractal();
    const picture = $("fractal").getContext("2d").getImageData(0, 0, 640, 400).data;
    const dark = picture.reduce((n, byte, i) => n + (i % 4 === 0 && byte + picture[i + 1] + picture[i + 2] === 0 ? 1 : 0), 0);
    await check(dark > 30000 && dark < 80000, `${dark} pixels are inside the set`);

    $("formula-size").value = "256 256";
    await evaluate();
    const rows = $("formula-results").tBodies[0].rows.length;
    await check(rows === (gpu ? 2 : 1), `the formula: ${$("formula-error").textContent}`);
    await check(!gpu || $("formula-wgsl").textContent.includes("@compute"), "there is no shader source");
    await report("note", `formula: ${$("formula-bits").textContent}`);
    $("formula").value = "exp(x";
    await evaluate();
    await check($("formula-error").textContent.includes("')'"), `a wrong formula: ${$("formula-error").textContent}`);
    $("formula").value = `${"matmul(".repeat(19)}x${",y)".repeat(19)}`;
    $("formula-size").value = "2048 2048";
    await evaluate();
    await check($("formula-error").textContent.includes("the page allows 2 s"), `a long formula: ${$("formula-error").textContent}`);
    $("formula-size").value = "256 256";
    $("formula").value = "exp(-(x*x + y*y) / 2) / sqrt(2*pi)";
    await report("note", await cupric.rate("cpu", 2));
    await report("note", await cupric.rate("cpu", 7));
    for (const on of gpu ? ["cpu", "gpu"] : ["cpu"]) await report("note", `${on}:\n${await latencies(on)}`);

    await testWidth();
    if (gpu) await testLibrary();
  } catch (error) {
    await report("fail", `the page's tests stopped: ${message(error)}`);
  }
  await report("end");
}

/** The page on a phone: nothing is wider than the screen. */
async function testWidth() {
  const frame = document.createElement("iframe");
  frame.style.cssText = "width: 360px; height: 640px";
  frame.src = location.pathname;
  document.body.append(frame);
  await new Promise((loaded) => frame.addEventListener("load", loaded));
  await drawn();
  const { clientWidth, scrollWidth } = frame.contentDocument.documentElement;
  const all = [...frame.contentDocument.querySelectorAll("body *")];
  const wide = all.filter((item) => item.getBoundingClientRect().right > clientWidth).map((item) => item.id || item.tagName);
  await check(clientWidth <= 360 && scrollWidth <= clientWidth, `the page needs ${scrollWidth} of ${clientWidth} pixels: ${wide}`);
  frame.remove();
}

/** The devices that this page opened, the last one at the end; only tests keep them. */
const devices = [];
function keepDevices() {
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...options) {
    devices.push(await request.apply(this, options));
    return devices.at(-1);
  };
}

/** What a promise returns, or a problem if that takes too long. */
const within = (seconds, promise) =>
  Promise.race([promise, new Promise((done) => setTimeout(() => done(`nothing came within ${seconds} s`), seconds * 1000))]);

/** Tests of the library on this browser's GPU, in a module of their own. The address has the turn, which selects the trials. */
async function testLibrary() {
  const trials = await import(`${folder}cupric_hashes.js`);
  await trials.default({ module_or_path: new URL(`${folder}cupric_hashes_bg.wasm`, import.meta.url) });
  const turn = Number(new URLSearchParams(location.search).get("test"));
  const problem = async (seconds, promise) => {
    const found = await within(seconds, promise);
    await check(found === "", found);
  };
  let begun = performance.now();
  const [count, shares] = [trials.function_count(), 4];
  for (let number = turn % shares; number < count; number += shares) await problem(30, trials.one_function(number, turn));
  await report("note", `a ${shares}th of ${count} functions of f32 took ${(performance.now() - begun).toFixed(0)} ms`);
  begun = performance.now();
  for (let seed = 0; seed < 20; seed += 1) await problem(30, trials.random_program(turn * 1000 + seed));
  await report("note", `20 random programs took ${(performance.now() - begun).toFixed(0)} ms`);

  begun = performance.now();
  await problem(30, trials.user_kernels());
  for (const [levels, terms, error] of [[100, 1000, ""], [900, 0, "recursion"], [0, 30000, "operators"]]) {
    const found = trials.nested_kernel(levels, terms);
    await check(error ? found.includes(error) : found === "", `a kernel of ${levels} brackets and ${terms} terms: ${found}`);
  }
  await report("note", `user-defined kernels took ${(performance.now() - begun).toFixed(0)} ms`);

  // a window in front of the page hides it
  const front = window.open("/icon.svg", "_blank");
  for (let turns = 0; turns < 100 && !document.hidden; turns += 1) await new Promise((done) => setTimeout(done, 20));
  await check(document.hidden, "the page is not hidden");
  await problem(10, trials.random_program(turn * 1000 + 20));
  front?.close();

  await problem(60, trials.refused_memory());
  await problem(10, trials.lost_device(() => devices.at(-1).destroy()));
}

/** Fills the page for a picture. The server answers the request for an image when all is drawn; until then the page counts as loading. */
async function show() {
  await train();
  stroke([[2.2, 1.2], [3.5, 0.7], [4.9, 1.0], [5.2, 2.1], [4.3, 3.2], [3.2, 3.5], [4.6, 3.8], [5.4, 4.9], [5.0, 6.3], [3.6, 6.9], [2.2, 6.4]]);
  await drawFractal();
  await evaluate();
  document.querySelectorAll("details")[0].open = true;
  await drawn();
  await report("ready");
}

// --- start

const asks = (word) => new URLSearchParams(location.search).has(word);

async function start() {
  if (asks("show")) new Image().src = "/ready";
  if (asks("test") && navigator.gpu) keepDevices();
  try {
    ({ module: cupric, folder } = await load());
  } catch (error) {
    $("devices").textContent = `The module could not be loaded: ${message(error)}`;
    return;
  }
  const loaded = performance.now() - started;
  let why = "this browser has no WebGPU";
  if (asks("test")) errorsBefore = cupric.errors_before_opening();
  if (navigator.gpu) {
    try {
      gpu = await cupric.open_gpu();
      const info = (await navigator.gpu.requestAdapter())?.info;
      gpu = { is_software: gpu.is_software, name: [info?.vendor, info?.architecture].filter(Boolean).join(" ") || gpu.name };
    } catch (error) {
      why = message(error);
    }
  }
  const opened = performance.now() - started;
  $("devices").textContent = gpu
    ? `GPU: ${gpu.name}${gpu.is_software ? " (software)" : ""}. The module ${folder} loaded in ${loaded.toFixed(0)} ms, the GPU opened after ${opened.toFixed(0)} ms.`
    : `No GPU: ${why}. Everything runs on the CPU. The module ${folder} loaded in ${loaded.toFixed(0)} ms.`;
  for (const id of ["digits-on", "fractal-on"]) {
    $(id).append(new Option("CPU", "cpu"));
    if (gpu) $(id).append(new Option("GPU", "gpu"));
    // a small network is quicker on the CPU; a picture is quicker on a GPU that is not software
    $(id).value = gpu && !gpu.is_software && id === "fractal-on" ? "gpu" : "cpu";
  }
  setUpDigits();
  setUpFractal();
  $("formula-run").addEventListener("click", evaluate);
  $("formula").addEventListener("keydown", (event) => event.key === "Enter" && evaluate());
  $("measure-run").addEventListener("click", measure);
  $("measure-copy").addEventListener("click", copy);
  const on = gpu ? "gpu" : "cpu";
  try {
    await cupric.first_kernel(on);
    $("devices").textContent += ` The first fused kernel's result was read after ${performance.now().toFixed(0)} ms.`;
  } catch (error) {
    $("devices").textContent += ` The first kernel failed: ${message(error)}`;
  }
  if (asks("test")) return test();
  if (asks("show")) return show();
  await drawFractal();
}

start();
