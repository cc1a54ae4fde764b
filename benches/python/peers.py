"""Runs the Python libraries (peers) of `cargo bench --bench backends`. Reads requests as lines of JSON and answers each with a line.

    hello                returns the installed modules, with their versions
    row                  selects a row: its inputs, and its code for each peer
    setup {peer}         makes arrays and function, and compiles it; {"ok": false} if the peer does not have the operation
    first {peer}         times one call, in milliseconds
    values {peer}        returns digests of the results of a checked row
    time {peer}          runs a warm-up, then a timed batch

Code is an expression or the body of a function of the inputs. The prefix `nojit:` turns off JAX's compiler, `make:` marks code
that returns the function, and `out:NAME:` (numexpr) names the array for the result.
"""

import importlib
import json
import math
import os
import re
import sys
import time

# answers go to the original stdout; the output of modules is discarded
ANSWERS = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

# as in benches/backends/timing.rs
SAMPLE_S = 5e-3
WARM_S = 8e-3
LONG_S = 40e-3
MODULES = {
    "numpy": "numpy",
    "torch": "torch",
    "jax": "jax",
    "numexpr": "numexpr",
    "numba": "numba",
    "mlx": "mlx.core",
    "cupy": "cupy",
    "scipy": "scipy",
}
found = {}


def find():
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    versions = {}
    for name, module in MODULES.items():
        try:
            found[name] = importlib.import_module(module)
        except Exception:  # noqa: BLE001 - a module may fail to load in many ways; we treat it as not installed
            continue
        version = getattr(found[name], "__version__", None)
        if version is None:
            from importlib.metadata import version as installed

            version = installed(name)
        versions[name] = str(version)
    if "numpy" not in found:
        # the inputs are NumPy arrays
        return {}
    if "jax" in found:
        found["jax"].config.update("jax_enable_x64", True)
        # otherwise JAX uses TF32 for f32 products on a CUDA card, which has 11 bits of precision
        found["jax"].config.update("jax_default_matmul_precision", "highest")
    return versions


def hashed(first, n):
    """The same numbers in 0..1 as `hashed` in benches/backends/work.rs."""
    np = found["numpy"]
    h = np.arange(first, first + n, dtype=np.uint32)
    h = (h ^ h >> 16) * np.uint32(0x7FEB352D)
    h = (h ^ h >> 15) * np.uint32(0x846CA68B)
    return (h ^ h >> 16) / 2.0**32


def digest(x):
    """The norm of an array, and its scalar product with pseudorandom numbers."""
    # arrays of PyTorch and CuPy on a GPU
    x = x.cpu() if hasattr(x, "cpu") else x.get() if "cupy" in type(x).__module__ else x
    x = found["numpy"].asarray(x, dtype="float64").ravel()
    return [float(found["numpy"].linalg.norm(x)), float(x @ (2 * hashed(0, x.size) - 1))]


def make_input(spec):
    """A NumPy array, from the same description as the inputs of cupric."""
    np = found["numpy"]
    rng = np.random.default_rng(0)
    dtype = {"f16": "float16", "f32": "float32", "f64": "float64", "i32": "int32", "bool": "bool"}[spec["dtype"]]
    shape = spec["shape"]
    n = int(np.prod(shape))
    if spec["fill"] == "ascending":
        return np.linspace(spec["low"], spec["high"], n, endpoint=False).astype(dtype).reshape(shape)
    if spec["fill"] == "permutation":
        return rng.permutation(n).astype(dtype).reshape(shape)
    if spec["fill"] == "hashed":
        return (hashed(spec["first"], n) * (spec["high"] - spec["low"]) + spec["low"]).astype(dtype).reshape(shape)
    if spec["fill"] == "below":
        return rng.integers(0, int(spec["high"]), n).astype(dtype).reshape(shape)
    block = rng.random(min(n, 1 << 20)) * (spec["high"] - spec["low"]) + spec["low"]
    return np.resize(block.astype(dtype), shape)


class Peer:
    """One module that runs one row."""

    def __init__(self, name, row, host):
        self.name, self.row = name, row
        self.device = "cpu"
        self.sync = lambda result: None
        xp = found[name]
        arrays = getattr(self, "arrays_" + name, lambda xp: dict(host))
        self.host = host
        values = arrays(xp)
        text = row["texts"][name]
        self.run = self.function(xp, text, values)
        self.batch, self.once = None, 0.0

    # --- arrays of each module ---

    def arrays_torch(self, xp):
        if self.row["device"] == "gpu":
            self.device = "cuda"
            self.sync = lambda result: xp.cuda.synchronize()
        xp.set_grad_enabled(False)
        return {k: xp.from_numpy(v).to(self.device) for k, v in self.host.items()}

    def arrays_jax(self, xp):
        self.sync = lambda result: xp.block_until_ready(result)
        device = xp.devices("gpu" if self.row["device"] == "gpu" else "cpu")[0]
        xp.config.update("jax_default_device", device)
        return {k: xp.device_put(v, device) for k, v in self.host.items()}

    def arrays_cupy(self, xp):
        self.sync = lambda result: xp.cuda.Device().synchronize()
        return {k: xp.asarray(v) for k, v in self.host.items()}

    def arrays_mlx(self, xp):
        xp.set_default_device(xp.gpu if self.row["device"] == "gpu" else xp.cpu)

        def sync(result):
            xp.eval(result)
            xp.synchronize()

        self.sync = sync
        return {k: xp.array(v) for k, v in self.host.items()}

    # --- functions of each module ---

    def function(self, xp, text, values):
        np = found["numpy"]
        if self.name == "numexpr":
            return self.numexpr(xp, text, values)
        scope = {
            "np": np, "xp": xp, "F": float, "host": self.host, "device": self.device,
            "shape": tuple(self.row["shape"]), "dtype": self.row["dtype"], "jax": None, "rng": np.random.default_rng(1),
            "math": math,
        }
        for module in ("programs", "training"):
            if f"{module}." in text:
                scope[module] = importlib.import_module(module)
        if self.name == "jax":
            scope["jax"], scope["xp"] = xp, importlib.import_module("jax.numpy")
            importlib.import_module("jax.scipy.special")
        if self.name == "cupy" and "cupyx" in text:
            scope["cupyx"] = importlib.import_module("cupyx.scipy.special") and importlib.import_module("cupyx")
        if self.name == "numba":
            scope["F"], scope["prange"] = np.float32, xp.prange
        jit = True
        if text.startswith("make:"):
            return eval(text.removeprefix("make:"), {**scope, **values})  # noqa: S307 - our own table
        if text.startswith("nojit:"):
            jit, text = False, text.removeprefix("nojit:")
        body = text if "return" in text else "return " + text
        source = "def f(" + ", ".join(values) + "):\n" + "".join("    " + line + "\n" for line in body.split("\n"))
        exec(source, scope)  # noqa: S102 - as above
        f, arguments = scope["f"], list(values.values())
        if self.name == "jax" and jit:
            compiled = xp.jit(f).lower(*arguments).compile()
            return lambda: compiled(*arguments)
        if self.name == "numba":
            compiled = xp.njit(parallel=True)(f)
            # the call compiles for these types
            compiled(*[np.ascontiguousarray(a[tuple(slice(0, 8) for _ in a.shape)]) for a in arguments])
            return lambda: compiled(*arguments)
        return lambda: f(*arguments)

    def numexpr(self, xp, text, values):
        np = found["numpy"]
        out = None
        if text.startswith("out:"):
            _, out, text = text.split(":", 2)
        # a Python number would make the result f64
        numbers = sorted(set(re.findall(r"F\((.*?)\)", text)))
        scope = {k: v for k, v in values.items() if re.search(rf"\b{k}\b", text)}
        for i, number in enumerate(numbers):
            text = text.replace(f"F({number})", f"n{i}")
            scope[f"n{i}"] = np.float32(number)
        target = values[out] if out else None
        return lambda: xp.evaluate(text, local_dict=scope, out=target)

    # --- time ---

    def repeat(self, n):
        start = time.perf_counter()
        for _ in range(n):
            result = self.run()
            if self.name == "mlx":
                # lazy, so this runs the computation
                self.sync(result)
        self.sync(result)
        return (time.perf_counter() - start) / n

    def calibrate(self):
        self.batch = 1
        while True:
            self.once = max(self.repeat(self.batch), 1e-9)
            wanted = max(1, int(SAMPLE_S / self.once) + 1)
            if wanted <= 2 * self.batch:
                self.batch = wanted
                return
            self.batch = min(wanted, 16 * self.batch)


class Answers:
    def __init__(self):
        self.current, self.peers, self.host = None, {}, None

    def hello(self, request):
        return {"peers": find()}

    def row(self, request):
        # free the arrays of the previous row first
        self.peers, self.host = {}, None
        self.current = request
        return {}

    def setup(self, request):
        name, row = request["peer"], self.current
        devices = {"numpy": "cpu", "numexpr": "cpu", "numba": "cpu", "scipy": "cpu", "cupy": "gpu"}
        if name not in row["texts"] or devices.get(name, row["device"]) != row["device"]:
            return {"ok": False}
        if name == "torch" and row["device"] == "gpu" and not found["torch"].cuda.is_available():
            return {"ok": False}
        if name == "jax" and row["device"] == "gpu" and found["jax"].default_backend() != "gpu":
            return {"ok": False}
        if name == "mlx" and row["device"] == "gpu" and sys.platform != "darwin":
            return {"ok": False}
        if self.host is None:
            self.host = {spec["name"]: make_input(spec) for spec in row["inputs"]}
        self.peers[name] = Peer(name, row, self.host)
        return {"ok": True}

    def first(self, request):
        return {"ms": self.peers[request["peer"]].repeat(1) * 1e3}

    def values(self, request):
        return {"values": [digest(x) for x in self.peers[request["peer"]].run.values()]}

    def time(self, request):
        peer = self.peers[request["peer"]]
        if peer.batch is None:
            peer.calibrate()
        if peer.once <= LONG_S:
            peer.repeat(max(1, min(2 * peer.batch, int(WARM_S / peer.once) + 1)))
        return {"ms": peer.repeat(peer.batch) * 1e3}


def main():
    answers = Answers()
    for line in sys.stdin:
        request = json.loads(line)
        if not found and request["op"] != "hello":
            # this process replaces one that ended
            find()
        try:
            answer = getattr(answers, request["op"])(request)
        except Exception as e:  # noqa: BLE001 - the answer is the exception of the peer
            answer = {"error": f"{type(e).__name__}: {e}"}
        ANSWERS.write(json.dumps(answer) + "\n")
        ANSWERS.flush()


main()
