#!/usr/bin/env python3
"""Writes a report's figures into the README, between its markers.

    cargo bench --bench backends -- --quick --python VENV --rust-peers --json out.json
    python3 benches/python/readme.py out.json
"""
import json
import pathlib
import sys

README = pathlib.Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- begin: written by benches/python/readme.py -->\n", "<!-- end -->"
NAMES = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX", "cupy": "CuPy", "mlx": "MLX"}


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


def table(report):
    rows = [r for r in report["rows"] if "error" not in r]
    peers = list(dict.fromkeys(p for r in rows for p in r["peers"]))
    heads = ["work", "shape", "time", "rate", "share of the limit"] + [NAMES.get(p, p) for p in peers]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for r in rows:
        name = r["text"] if r["dtype"] in ["f32"] or r["text"].startswith(r["dtype"]) else f"{r['dtype']} {r['text']}"
        share = "–" if r["fraction"] is None else f"{r['fraction']:.2f}" + (" (the limit is wrong)" if r["fraction"] > 1.1 else "")
        shape = " × ".join(map(size, r["shape"]))
        cells = [name, shape, time(r["ms"]), rate(r), share] + [peer(r["peers"].get(p)) for p in peers]
        lines.append(f"| {' | '.join(cells)} |")
    machine, limits = report["machine"], report["limits"]["cpu"]
    versions = ", ".join(f"{NAMES.get(k, k)} {v}" for k, v in report["versions"].items() if k not in ("cupric", "rustc"))
    about = [f"{machine['cpu']}, {machine['threads']} threads; limits for arrays of 400 MB: {limits['copy_gbps']:.3g} GB/s copied, "
             f"{limits['read_gbps']:.3g} GB/s read, {limits['fma_gflops']:.3g} GFLOP/s of multiply-adds in f32. "
             f"Commit {report['commit']}." + (f" A library's figure is its time over ours ({versions})." if peers else "")]
    return "\n".join(about + [""] + lines) + "\n"


def main():
    report = json.loads(pathlib.Path(sys.argv[1]).read_text())
    head, rest = README.read_text().split(BEGIN)
    tail = rest.split(END, 1)[1]
    README.write_text(f"{head}{BEGIN}\n{table(report)}\n{END}{tail}")


main()
