#!/usr/bin/env python3
"""Makes random programs and compares their results in NumPy with those of cupric.

    run.py --range FIRST END --device cpu --types bool,u8,…   started by tests/programs/numpy/mod.rs, which runs the programs
    run.py --show SEED [--device gpu]                          prints the program of a seed

Writes a program to standard output as a line of JSON. Reads the answer from standard input: a line of JSON with the dtype, the
shape and the number of bytes of each result, then the bytes.
"""

import argparse
import copy
import json
import os
import sys
import traceback

import numpy as np

import elementwise
import reference
import values
from generate import drops, generate
from nodes import values_of
from values import Refused

# the number of failures that are reduced before a run ends
ENOUGH = 4


def text(program):
    """A program for human readers: a line per node, with its type and shape."""
    lines = []
    try:
        held = values_of(program, program.get("device", "cpu"))
    except Refused:
        held = [None] * len(program["nodes"])
    for k, (node, value) in enumerate(zip(program["nodes"], held)):
        given = [str(next(iter(g.values()))) if isinstance(g, dict) else f"e{g}" for g in node.get("in", [])]
        more = [f"{key}={json.dumps(node[key])}" for key in node if key not in ("op", "in", "eval", "drop")]
        what = "" if value is None else f"  // {value.t} {list(value.shape)}"
        after = " .eval" if node.get("eval") else ""
        if node.get("drop"):
            after += f" (drop {', '.join(f'e{d}' for d in node['drop'])})"
        lines.append(f"    e{k} = {node['op']}({', '.join(given + more)}){after}{what}")
    roots = ", ".join(f"e{r}" for r in program["roots"])
    return "\n".join(lines + [f"    {'eval_all' if program.get('together') else 'eval'}: {roots}"])


class Library:
    """The Rust program that runs cupric."""

    def __init__(self):
        self.questions, self.answers = sys.stdout, sys.stdin.buffer

    def ask(self, program):
        self.questions.write(json.dumps(program) + "\n")
        self.questions.flush()
        line = self.answers.readline()
        if not line:
            sys.exit("run.py: the Rust program has ended")
        answer = json.loads(line)
        if "error" in answer:
            return answer["error"]
        return [(t, tuple(shape), self.answers.read(size)) for t, shape, size in answer["ok"]]


def difference(program, held, answer):
    """What is wrong with the answer, or None."""
    if isinstance(answer, str):
        return f"error: {answer}"
    for root, (t, shape, data) in zip(program["roots"], answer):
        want = held[root]
        if t != want.t or shape != want.shape:
            return f"e{root} is {t} {list(shape)}, but {want.t} {list(want.shape)} in NumPy"
        got = values.element(data, t).reshape(shape)
        bad = reference.wrong(want, got)
        if bad is not None:
            want = want.stored()
            at = tuple(int(i[0]) for i in np.nonzero(bad)) if shape else ()
            error = float(np.broadcast_to(want.error(), shape)[at])
            more = f" within {error:.3g}" if values.is_float(t) else ""
            return (f"e{root}{list(at)} is {got[at]!r}, but {want.v[at]!r}{more} in NumPy "
                    f"({np.count_nonzero(bad)} of {bad.size} elements differ)")
    return None


def refused(device, why):
    """Whether the answer is the error of a GPU that does not support a type."""
    return device == "gpu" and why is not None and why.startswith("error: Unsupported")


# --- smaller programs that fail in the same way ---


def trimmed(program):
    """The program without the nodes that no result needs."""
    nodes, needed = program["nodes"], set(program["roots"])
    for k in range(len(nodes) - 1, -1, -1):
        if k in needed:
            needed.update(g for g in nodes[k].get("in", []) if not isinstance(g, dict))
    place = {k: i for i, k in enumerate(sorted(needed))}
    kept = []
    for k in sorted(needed):
        node = copy.deepcopy(nodes[k])
        if "in" in node:
            node["in"] = [g if isinstance(g, dict) else place[g] for g in node["in"]]
        kept.append(node)
    out = {"nodes": kept, "roots": [place[r] for r in program["roots"]], "together": program.get("together", False)}
    drops(out)
    return out


def smaller(program, held):
    """Programs that are smaller by one change."""
    for r in program["roots"]:
        if len(program["roots"]) > 1:
            yield {**program, "roots": [r]}
    for k in range(len(program["nodes"]) - 1, -1, -1):
        yield {**program, "roots": [k]}
    for k in range(len(program["nodes"]) - 1, -1, -1):
        node = program["nodes"][k]
        for g in dict.fromkeys(g for g in node.get("in", []) if not isinstance(g, dict)):
            # replaces the node by an operand
            if held[g].t == held[k].t and held[g].shape == held[k].shape:
                nodes = copy.deepcopy(program["nodes"])
                for other in nodes:
                    if "in" in other:
                        other["in"] = [g if h == k and not isinstance(h, dict) else h for h in other["in"]]
                yield {**program, "nodes": nodes, "roots": [g if r == k else r for r in program["roots"]]}
        changes = [{"op": "leaf", "kind": kind, "seed": k + 1, "t": held[k].t, "shape": list(held[k].shape)}
                   for kind in ("small", "wide") if node["op"] != "leaf"]
        if node["op"] == "leaf" and node["kind"] != "small":
            changes.append({**node, "kind": "small"})
        if node.get("eval"):
            changes.append({**node, "eval": False})
        for change in changes:
            yield {**program, "nodes": program["nodes"][:k] + [change] + program["nodes"][k + 1:]}


def shrink(library, program, why, device):
    """Reduces a program by single changes as long as it still fails."""
    for _ in range(60):
        held = values_of(program, device)
        for candidate in smaller(program, held):
            candidate = trimmed(candidate)
            if len(json.dumps(candidate)) >= len(json.dumps(program)):
                continue
            try:
                expected = values_of(candidate, device)
            except Refused:
                continue
            found = difference(candidate, expected, library.ask(candidate))
            if found and not refused(device, found) and found.startswith("error") == why.startswith("error"):
                program, why = candidate, found
                break
        else:
            break
    return program, why


def report(origin, program, why):
    line = json.dumps(program)
    return (f"{origin}: {why}\n{text(program)}\n"
            f"    again: CUPRIC_PROGRAM='{line}' cargo test --release --test programs numpy::{program['device']}")


def guide_is_complete():
    """The known differences from NumPy that the guide does not state."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
    with open(os.path.join(root, "src", "guide", "numpy.md"), encoding="utf-8") as f:
        guide = " ".join(f.read().split()).lower()
    return [d for d in elementwise.DIFFERENCES.values() if d.lower() not in guide]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--range", nargs=2, type=int, metavar=("FIRST", "END"))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--program")
    parser.add_argument("--show", type=int)
    parser.add_argument("--device", default="cpu", choices=["cpu", "gpu"])
    parser.add_argument("--types", default=",".join(values.TYPES))
    args = parser.parse_args()
    types = args.types.split(",")
    if args.show is not None:
        program = generate(args.show, args.device, types)
        print(text({**program, "device": args.device}))
        return
    missing = guide_is_complete()
    if missing:
        sys.exit("run.py: src/guide/numpy.md does not state: " + "; ".join(missing))

    library, failures, ran, nodes, unsupported = Library(), [], 0, 0, 0
    if args.program:
        work = [("the program", json.loads(args.program))]
    else:
        first, end = args.range or (args.seed, args.seed + 1)
        work = ((f"seed {seed}", seed) for seed in range(first, end))
    for origin, given in work:
        try:
            program = given if isinstance(given, dict) else generate(given, args.device, types)
            held = values_of(program, args.device)
        except Exception:
            sys.exit(f"run.py: {origin}: error while making the program: {traceback.format_exc()}")
        if args.seed is not None:
            print(text({**program, "device": args.device}), file=sys.stderr)
        ran += 1
        nodes += len(program["nodes"])
        why = difference(program, held, library.ask(program))
        if refused(args.device, why):
            unsupported += 1
        elif why:
            program, why = shrink(library, program, why, args.device)
            failures.append(report(origin, {**program, "device": args.device}, why))
            if len(failures) >= ENOUGH:
                break
    if unsupported * 10 > max(ran, 50):
        failures.append(f"{unsupported} of {ran} programs are not supported by the device")
    done = {"done": ran, "nodes": nodes, "failures": "\n\n".join(failures)}
    library.questions.write(json.dumps(done) + "\n")
    library.questions.flush()


if __name__ == "__main__":
    main()
