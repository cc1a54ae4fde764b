#!/usr/bin/env python3
"""Writes the figures of a report into docs/BENCHMARKS.md and README.md, between the markers.

    cargo bench --bench backends -- --filter "$(python3 benches/python/speed.py --filter)" \\
        --python VENV --rust-peers --json out.json
    python3 benches/python/speed.py out.json

`--filter` prints the rows of the bench that the page shows. The README shows five of them, compared with four libraries. The
training steps need a separate run and have their own table:

    cargo bench --bench backends -- --devices cpu --filter train_ --python VENV --rust-peers --json out.json
    python3 benches/python/speed.py --training out.json VENV

The comparison of AVX-512 with AVX2 has its own table too. It needs a second run on the same machine, which has AVX-512:

    CUPRIC_ISA=avx2 cargo bench --bench backends -- --devices cpu --filter "$(python3 benches/python/speed.py --filter)" --json avx2.json
    python3 benches/python/speed.py --sets out.json avx2.json
"""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
BEGIN, END = "<!-- begin: written by benches/python/speed.py -->\n", "<!-- end -->"
TRAINING = "<!-- begin: training steps, written by benches/python/speed.py -->\n"
SETS = "<!-- begin: instruction sets, written by benches/python/speed.py -->\n"
NAMES = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX", "cupy": "CuPy", "mlx": "MLX", "scipy": "SciPy"}

# the bench finds rows by parts of their names, so a filter may also select other rows; these are skipped
FILTER = [
    "add f32 1000", "add f32 10000", "add f32 100k", "add f32 1M", "add f32 10M", "scale f32 10M", "hypot f32 100k",
    "hypot f32 10M", "exp f32 10000", "exp f32 1M", "exp f32 10M", "add f16", "cast f32 10M", "chain f32 10M", "and bool",
    "add_small", "loop f32", "slice_mut", "sum f32 10000", "sum f32 1M", "sum f32 10M", "sum f16", "sum_outer_inner",
    "count bool", "dot f32 1M", "dot f32 10M", "dot f64", "argmax f32 10M", "cumsum f32 10M", "softmax f32", "softmax f16",
    "layer_norm", "rms_norm", "transposed copy", "strided_scale", "take f32 100kx64", "matmul f32 128x128",
    "matmul f32 512x512", "matmul f32 1024x1024", "matmul f16 1024x1024", "matmul_batched", "matvec", "linear", "-matvec_t f32 10000",
    "normal f32", "uniform f32", "bincount", "pad f32", "attention f32 8x8", "mlp f32", "digits_step f32", "-train_",
    "-100M", "-add_into", "-roll_add", "-exp 100k", "-sum f32 100k", "-sum_rows", "-sum_all", "-cumsum_columns",
]  # fmt: skip

# the rows of the README (name, dtype and shape), and the libraries that it compares
FEW = [
    ("add", "f32", [10**7]),
    ("chain", "f32", [10**7]),
    ("softmax", "f32", [1000, 10000]),
    ("matmul", "f32", [1024, 1024]),
    ("add_small", "f32", [8]),
]
BESIDE = ["numpy", "torch", "jax", "numr"]

# a peer is faster if its time is less than this fraction of ours; otherwise the two are equal
LEVEL = 0.95


def time(ms):
    for limit, factor, unit in ((1e-3, 1e6, "ns"), (1, 1e3, "µs"), (1e3, 1, "ms"), (1e12, 1e-3, "s")):
        if ms < limit:
            return f"{ms * factor:.3g} {unit}"


def size(n):
    return f"{n // 10**6}M" if n >= 10**6 and n % 10**6 == 0 else f"{n:,}" if n > 10**4 else str(n)


def rate(row):
    if row["flops"] > 4 * row["bytes"]:
        return f"{row['flops'] / row['ms'] / 1e6:.3g} GFLOP/s"
    return f"{row['bytes'] / row['ms'] / 1e6:.3g} GB/s" if row["bytes"] >= 1e3 else "–"


def peer(value):
    if value is None:
        return "–"
    return f"{value['ratio']:.2g}×" if value["ratio"] and value["ratio"] < 100 else ">100×" if value["ratio"] else ">10 s"


def name(row):
    return row["text"] if row["dtype"] == "f32" or row["text"].startswith(row["dtype"]) else f"{row['dtype']} {row['text']}"


def shape(row):
    return " × ".join(map(size, row["shape"]))


def table(rows, peers, spread):
    """The rows as a Markdown table, optionally with the spread of the times and with rates."""
    heads = ["work", "shape", "time"] + ["spread", "rate"] * spread + ["share of the limit"] + [NAMES.get(p, p) for p in peers]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for r in rows:
        share = "–" if r["fraction"] is None else f"{r['fraction']:.2f}" + (" (the limit is wrong)" if r["fraction"] > 1.1 else "")
        more = [f"{100 * r['spread']:.0f} %" + (" ~" if r.get("disturbed") else ""), rate(r)] if spread else []
        cells = [name(r), shape(r), time(r["ms"]), *more, share] + [peer(r["peers"].get(p)) for p in peers]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def about(report, peers):
    machine, limits = report["machine"], report["limits"]["cpu"]
    versions = ", ".join(f"{NAMES.get(k, k)} {report['versions'][k]}" for k in peers)
    return (
        f"{machine['cpu']}, {machine['threads']} threads; limits for arrays of 400 MB: {limits['copy_gbps']:.3g} GB/s copied, "
        f"{limits['read_gbps']:.3g} GB/s read, {limits['fma_gflops']:.3g} GFLOP/s of multiply-adds in f32. "
        f"Commit {report['commit']}. A library's figure is its time over ours ({versions})."
    )


def quiet(report, rows):
    """The sentence about other load on the machine, from the report."""
    found = report["quiet"]
    during, states = found["during"], found["state"]
    verdict = {True: "The machine was quiet", False: "The run does not count as quiet", None: "Whether the machine was quiet is not known"}
    parts = [verdict[found["quiet"]]]
    if during["other"] is not None:
        parts.append(
            f"other processes had {100 * during['other']:.1f} % of the cores during its {found['seconds']:.0f} s, "
            f"and {100 * during['steal']:.1f} % was taken by the machine below this virtual one"
        )
    if states:
        parts.append(
            f"two rates measured beside each row were {states[0]:.2f} to {states[1]:.2f} of the best seen here, "
            f"typically {found['typical']:.2f}"
        )
    marked = sum(bool(r.get("disturbed")) for r in rows)
    return "; ".join(parts) + f". Disturbed rows, marked `~`: {marked} of {len(rows)}."


def slower(rows):
    """A list of the rows in which another library is faster."""
    lines = []
    for r in rows:
        ratios = {p: v["ratio"] for p, v in r["peers"].items() if v["ratio"]}
        quicker = sorted((ratio, p) for p, ratio in ratios.items() if ratio < LEVEL)
        if quicker:
            them = ", ".join(f"{NAMES.get(p, p)} {ratio:.2g}×" for ratio, p in quicker)
            lines.append(f"* {name(r)}, {shape(r)}: {them}")
    return "\n".join([f"Another library takes less than {LEVEL} of our time in {len(lines)} of {len(rows)} rows:", "", *lines])


def write(page, text, begin=BEGIN):
    path = ROOT / page
    head, rest = path.read_text().split(begin)
    path.write_text(f"{head}{begin}\n{text}\n\n{END}{rest.split(END, 1)[1]}")


def block(rows, python):
    """A summary of the rows of the transformer block, with the memory that a step needs in each library."""
    found = {r["work"]: r for r in rows}
    step, forward = found["train_block"], found["train_forward"]
    ratio = step["ms"] / forward["ms"]
    others = {
        p: ratio * v["ratio"] / forward["peers"][p]["ratio"] for p, v in step["peers"].items() if v["ratio"] and p in forward["peers"]
    }
    script = ROOT / "benches/python/training.py"
    resident = [subprocess.check_output([python, script, name], text=True).strip() for name in ("torch", "jax")]
    memory = ", ".join(f"{NAMES[name]} {size}" for name, size in (line.split(": ") for line in resident))
    return (
        f"The step of the block takes {ratio:.2f} times as long as its forward pass ("
        + ", ".join(f"{NAMES.get(p, p)}: {r:.2f}" for p, r in others.items())
        + f"). It takes {step['memory'] / 1e6:.0f} MB beside its inputs, by the device's own count. The resident memory of a process "
        f"with another library grows by this much in its first three steps: {memory}."
    )


def training(report, python):
    rows = [r for r in report["rows"] if "error" not in r and r["work"].startswith("train_")]
    peers = list(dict.fromkeys(p for r in rows for p in r["peers"]))
    text = [about(report, peers), quiet(report, rows), table(rows, peers, True), block(rows, python), slower(rows)]
    write("docs/BENCHMARKS.md", "\n\n".join(text), TRAINING)


def numbers(rows, behind):
    """Writes the number of rows of the page, and of those in which another library is faster, into the README's sentence."""
    path = ROOT / "README.md"
    text, found = re.subn(r"all \d+ beside (.*) and the \d+ rows", rf"all {rows} beside \1 and the {behind} rows", path.read_text())
    if found != 1:
        sys.exit("README.md lacks the sentence with the number of rows")
    path.write_text(text)


def sets(reports):
    """Compares two reports of one machine and commit: the first with AVX-512, the second with AVX2."""
    wide, narrow = reports
    if any(wide["machine"][k] != narrow["machine"][k] for k in ("cpu", "threads")) or wide["commit"] != narrow["commit"]:
        sys.exit("the reports are not of one machine and commit")
    cells = lambda r: f"{time(r['ms'])} | {'–' if r['fraction'] is None else format(r['fraction'], '.2f')}"
    key = lambda r: (r["work"], r["dtype"], tuple(r["shape"]))
    found = {key(r): r for r in narrow["rows"] if "error" not in r}
    rows = [(r, found[key(r)]) for r in wide["rows"] if "error" not in r and key(r) in found]
    lines = ["| work | shape | AVX-512 | share | AVX2 | share | AVX2 over AVX-512 |", f"|{'---|' * 7}"]
    lines += [f"| {name(a)} | {shape(a)} | {cells(a)} | {cells(b)} | {b['ms'] / a['ms']:.2f} |" for a, b in rows]
    states = " and ".join(f"{r['quiet']['state'][0]:.2f} to {r['quiet']['state'][1]:.2f}" for r in reports)
    text = (
        f"{wide['machine']['cpu']}, {wide['machine']['threads']} threads, commit {wide['commit']}. The rates measured beside each row "
        f"were {states} of the best seen in the two runs."
    )
    write("docs/BENCHMARKS.md", text + "\n\n" + "\n".join(lines), SETS)


def main():
    if sys.argv[1:] == ["--filter"]:
        print(",".join(FILTER))
        return
    if len(sys.argv) == 4 and sys.argv[1] == "--training":
        python = pathlib.Path(sys.argv[3])
        training(json.loads(pathlib.Path(sys.argv[2]).read_text()), python / "bin/python" if python.is_dir() else python)
        return
    if len(sys.argv) == 4 and sys.argv[1] == "--sets":
        return sets([json.loads(pathlib.Path(path).read_text()) for path in sys.argv[2:]])
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    report = json.loads(pathlib.Path(sys.argv[1]).read_text())
    rows = [r for r in report["rows"] if "error" not in r and r["device"] == "cpu"]
    found = {(r["work"], r["dtype"], tuple(r["shape"])): r for r in rows}
    few = [found.get((work, dtype, tuple(shape))) for work, dtype, shape in FEW]
    peers = list(dict.fromkeys(p for r in rows for p in r["peers"]))
    if None in few or not set(BESIDE) <= set(peers):
        sys.exit(f"{sys.argv[1]} lacks a row or a library of the README: run what this file says at its top")
    behind = slower(rows)
    long = [about(report, peers), quiet(report, rows), table(rows, peers, True), behind]
    write("docs/BENCHMARKS.md", "\n\n".join(long))
    write("README.md", "\n\n".join([about(report, BESIDE), table(few, BESIDE, False)]))
    numbers(len(rows), sum(line.startswith("* ") for line in behind.splitlines()))


main()
