#!/usr/bin/env python3
"""Writes movement.txt, for tests/operations/movement.rs: where NumPy puts each element of its operands.

    python3 -m venv /tmp/np && /tmp/np/bin/pip install 'numpy>=2.3' && /tmp/np/bin/python tests/data/make_movement.py

A line is `call|shape of x|shape of y|shapes of the results|elements of the results`. Results are separated by `/`, and a shape
without axes is `-`. The elements of x and y are their positions in C order, for y plus 1000. An element that comes from neither
operand is -1 if it is 0, and -2 if it is 1. A call is a name and its arguments: `..` for no axis, `1` for a number, `[1,2]` for a
list, `1:5:2` for a slice. If NumPy raises an exception, the shapes are `error`.
"""
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent


def number(text):
    """An argument in the form that NumPy accepts."""
    if text == "..":
        return None
    if ":" in text:
        return slice(*[int(t) if t else None for t in text.split(":")])
    if text.startswith("["):
        return [int(t) for t in text[1:-1].split(",") if t]
    return int(text)


def tuples(text):
    return tuple(number(text)) if isinstance(number(text), list) else number(text)


def pairs(text):
    flat = number(text)
    return flat if isinstance(flat, int) else [tuple(flat[k:k + 2]) for k in range(0, len(flat), 2)]


def padded(x, widths, mode):
    if mode == "zero" or mode == "one":
        return np.pad(x, pairs(widths), mode="constant", constant_values=-1 if mode == "zero" else -2)
    return np.pad(x, pairs(widths), mode=mode)


def blocks(x, y, form):
    forms = {"flat": [x, y], "square": [[x, y], [y, x]], "column": [[x], [y]], "deep": [[[x, y]], [[y, x]]], "one": x}
    return np.block(forms[form])


def filled(f):
    """A function that fills with 0. Positions start at 1, so that 0 is not a position."""
    return np.asarray(f) - 1


CALLS = {
    "moveaxis": lambda x, y, a, b: np.moveaxis(x, tuples(a), tuples(b)),
    "swapaxes": lambda x, y, a, b: np.swapaxes(x, int(a), int(b)),
    "roll": lambda x, y, s, a: np.roll(x, tuples(s), tuples(a)),
    "repeat": lambda x, y, n, a: np.repeat(x, number(n), number(a)),
    "tile": lambda x, y, n: np.tile(x, number(n)),
    "unstack": lambda x, y, a: list(np.unstack(x, axis=int(a))),
    "split": lambda x, y, n, a: np.split(x, number(n), int(a)),
    "array_split": lambda x, y, n, a: np.array_split(x, number(n), int(a)),
    "vstack": lambda x, y: np.vstack([x, y]),
    "hstack": lambda x, y: np.hstack([x, y]),
    "dstack": lambda x, y: np.dstack([x, y]),
    "column_stack": lambda x, y: np.column_stack([x, y]),
    "concat": lambda x, y, a: np.concatenate([x, y], number(a)),
    "atleast_1d": lambda x, y: np.atleast_1d(x),
    "atleast_2d": lambda x, y: np.atleast_2d(x),
    "atleast_3d": lambda x, y: np.atleast_3d(x),
    "ravel": lambda x, y: np.ravel(x),
    "rot90": lambda x, y, k, a: np.rot90(x, int(k), number(a)),
    "broadcast_arrays": lambda x, y: list(np.broadcast_arrays(x, y)),
    "pad": lambda x, y, w, m: padded(x, w, m),
    "insert": lambda x, y, i, a: np.insert(x, number(i), y, number(a)),
    "delete": lambda x, y, i, a: np.delete(x, number(i), number(a)),
    "block": lambda x, y, form: blocks(x, y, form),
    "tril": lambda x, y, k: filled(np.tril(x + 1, int(k))),
    "triu": lambda x, y, k: filled(np.triu(x + 1, int(k))),
    "diag": lambda x, y, k: filled(np.diag(x + 1, int(k))),
    "diagflat": lambda x, y, k: filled(np.diagflat(x + 1, int(k))),
    "meshgrid": lambda x, y, i: list(np.meshgrid(x, y, indexing=i)),
}

TEXT = """
moveaxis 0 -1 | 2,3,4 ; 3,4 ; 1 ; 2,0,3
moveaxis [0,1] [2,0] | 2,3,4
moveaxis [0,2] [-1,0] | 2,3,4 ; 2,1,3,2
moveaxis [2,1,0] [0,1,2] | 2,3,4
moveaxis [0] [0] | 5
moveaxis 3 0 | 2,3,4
moveaxis [0,0] [1,2] | 2,3,4
moveaxis [0,1] [1] | 2,3,4
swapaxes 0 1 | 3,4 ; 2,3,4 ; 0,3
swapaxes -1 0 | 2,3,4 ; 5 ; 2,0,3
swapaxes 0 2 | 3,4
roll 1 .. | - ; 0 ; 1 ; 5 ; 3,4 ; 2,3,4 ; 33
roll -2 .. | 5 ; 3,4
roll [1,1] .. | 3,4
roll 100 0 | 5 ; 3,4 ; 2,0,3 ; 0,3
roll -1 -1 | 5 ; 3,4 ; 2,3,4
roll [1,-2] [0,1] | 3,4 ; 2,3,4
roll 1 [0,1] | 3,4 ; 2,3,4
roll [1,2] 0 | 5 ; 3,4
roll [1,1,3] [0,0,1] | 3,4
roll [1,-1,2] [0,1,2] | 2,3,4 ; 2,0,3
roll 5 1 | 3,5
roll 1 0 | - 
roll [1,2] [0,1,2] | 2,3,4
repeat 2 .. | - ; 0 ; 5 ; 3,4
repeat 3 0 | 5 ; 3,4 ; 2,0,3 ; 2,3,4
repeat 2 -1 | 3,4 ; 2,3,4 ; 1
repeat 0 0 | 5 ; 3,4
repeat 1 1 | 3,4
repeat [2] 0 | 3,4
repeat [1,0,3] 0 | 3 ; 3,4 ; 3,1,2
repeat [2,2,1,1] 1 | 3,4
repeat [0,0,0,0] 1 | 3,4
repeat [1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6] 0 | 33 ; 33,2
repeat [1,2] 0 | 3
repeat -1 0 | 3
repeat 2 2 | 3,4
tile 2 | - ; 5 ; 3,4 ; 0
tile [2,1] | 5 ; 3,4 ; -
tile [2,3] | 3,4 ; 5 ; 2,3,4
tile [1,2,3] | 3,4
tile [0,2] | 3,4
tile [2,1,2] | 2,3,4 ; 2,0,3
unstack 0 | 3,4 ; 5 ; 0,3 ; 2,3,4
unstack -1 | 3,4 ; 2,3,4
unstack 1 | 2,0,3
unstack 0 | -
split 2 0 | 4 ; 4,3 ; 0
split 3 1 | 2,3,4
split 1 0 | 5
split [1,3] 0 | 5 ; 4,3
split [2,-1,1] 1 | 3,4
split [10,-10] -1 | 3,4
split [] 0 | 5
split 2 0 | 5
split 0 0 | 4
split 2 1 | 4
array_split 2 0 | 5 ; 5,2
array_split 4 -1 | 2,6
array_split 7 0 | 3
array_split [1,4] 0 | 3
array_split 0 0 | 4
vstack | 4 4 ; 3,4 2,4 ; - - ; 4 2,4 ; 2,3,4 1,3,4 ; 0 0 ; 4 3
hstack | 4 3 ; 3,4 3,2 ; - - ; - 3 ; 2,3,4 2,2,4 ; 3 2,3
dstack | 4 4 ; 3,4 3,4 ; - - ; 2,3,4 2,3,2 ; 3 4
column_stack | 4 4 ; 3,4 3,2 ; 3 3,2 ; - - ; 3,4 3 ; 3 4
concat .. | 3,4 2 ; - - ; 2,0,3 3 ; 5 5
concat 0 | 3,4 2,4
concat -1 | 3,4 3,1 ; 5 0
concat 1 | 3 3
atleast_1d | - ; 5 ; 3,4 ; 0
atleast_2d | - ; 5 ; 3,4 ; 2,3,4 ; 0
atleast_3d | - ; 5 ; 3,4 ; 2,3,4 ; 2,1,3,2
ravel | - ; 5 ; 3,4 ; 2,3,4 ; 2,0,3
rot90 1 [0,1] | 3,4 ; 2,3,4 ; 0,3
rot90 2 [0,1] | 3,4 ; 2,3,4
rot90 -1 [0,1] | 3,4
rot90 4 [1,0] | 3,4
rot90 1 [1,0] | 3,4
rot90 3 [2,-3] | 2,3,4
rot90 1 [0,0] | 3,4
rot90 1 [0,1] | 5
broadcast_arrays | 3,4 4 ; 3,1 4 ; - 3,4 ; 2,1,4 3,1 ; 0,3 1 ; 3 4
pad 2 zero | 5 ; 3,4 ; 2,3,4 ; 0 ; -
pad [1,2] one | 5 ; 3,4
pad [1,0,0,2] zero | 3,4 ; 0,3
pad [0,1,2,3] one | 3,4
pad [1,1,0,2,2,0] zero | 2,3,4 ; 2,0,3
pad 2 edge | 5 ; 3,4 ; 2,3,4 ; 1 ; -
pad [0,3,1,0] edge | 3,4
pad 1 reflect | 5 ; 3,4 ; 2,3,4 ; 1 ; 2,1,3
pad [2,4] reflect | 5
pad [11,13] reflect | 3 ; 2
pad [1,2,3,0] reflect | 3,4
pad 2 symmetric | 5 ; 3,4 ; 2,3,4 ; 1 ; 2,1,3
pad [11,13] symmetric | 3 ; 2
pad 2 wrap | 5 ; 3,4 ; 2,3,4 ; 1 ; 2,1,3
pad [11,13] wrap | 3 ; 2 ; 5
pad [0,0,1,1] wrap | 3,4 ; 0,3
pad [100,100] wrap | 2
pad [100,101] symmetric | 3
pad 1 edge | 0
pad [0,0] reflect | 0
pad [1,1,1,1,1,1] zero | 3,4
insert 1 .. | 3,4 - ; 5 3 ; 5 -
insert 1 0 | 3,4 4 ; 3,4 - ; 3,4 2,4 ; 5 2 ; 3,4 1
insert 1 1 | 3,4 3 ; 3,4 - ; 3,4 2,1 ; 3,4 2,3
insert -1 1 | 3,4 3
insert 4 -1 | 3,4 -
insert [1] 1 | 3,4 3,1 ; 3,4 - ; 3,4 3,2 ; 3,4 1
insert [0,2] 1 | 3,4 2 ; 3,4 - ; 3,4 3,2 ; 3,4 3,1
insert [4,0,0,-1] 1 | 3,4 4 ; 3,4 3,4
insert [3,1] 0 | 5 2 ; 3,4 2,4 ; 3,4 4
insert [1,1,1] 0 | 5 3
insert ::2 0 | 5 3 ; 5 -
insert ::1 0 | 33 33
insert 2 1 | 2,3,4 2,4 ; 2,3,4 -
insert [] 0 | 5 0
insert 0 0 | 0 - ; 0 2
insert 6 0 | 5 -
insert [0,7] 0 | 5 2
insert [0,1] 0 | 5 3
delete 1 .. | 3,4 ; 5
delete 1 0 | 5 ; 3,4 ; 2,3,4
delete -1 1 | 3,4
delete [0,-1] 1 | 3,4
delete [1,1,3] 0 | 5
delete [0,1,2] 0 | 3,4
delete [] 0 | 5 ; 3,4
delete ::2 0 | 5 ; 33 ; 3,4
delete ::2 .. | 33,3
delete 3::-1 1 | 3,4 ; 2,6
delete 10:20:1 0 | 5
delete 5 0 | 5
delete [0,-6] 0 | 5
delete 0 0 | 0
block flat | 3,4 3,2 ; 5 2 ; - -
block square | 2,2 2,2 ; 3 3 ; - -
block column | 3,4 2,4 ; 5 5
block deep | 2,3 2,3 ; 4 4
block one | 3,4 - ; - -
block square | 2,3 3,3
tril 0 | 3,4 ; 4,3 ; 2,3,4 ; 0,3 ; 1,1
tril 2 | 3,4 ; 2,3,4
tril -1 | 3,4 ; 4,3
tril 100 | 3,4
tril -100 | 3,4
triu 0 | 3,4 ; 4,3 ; 2,3,4 ; 2,0,3
triu 1 | 3,4 ; 2,3,4
triu -2 | 4,3
diag 0 | 5 ; 3,4 ; 4,3 ; 0 ; 1
diag 2 | 3 ; 3,4
diag -1 | 3 ; 3,4 ; 0
diag 7 | 3,4
diag 0 | - ; 2,3,4
diagflat 0 | - ; 5 ; 2,3
diagflat -2 | 3
diagflat 1 | 2,2
meshgrid xy | 3 4 ; 0 3 ; - 3
meshgrid ij | 3 4 ; 1 5
"""


def shape(text):
    return () if text in ("-", "") else tuple(int(n) for n in text.split(","))


def show(dims):
    return ",".join(map(str, dims)) if dims else "-"


def operand(dims, start):
    return start + np.arange(int(np.prod(dims, dtype=int)), dtype=np.int64).reshape(dims)


def main():
    out = []
    for line in TEXT.strip().splitlines():
        call, _, operands = line.partition("|")
        name, *args = call.split()
        for both in operands.split(";"):
            xs, *ys = both.split()
            ys = ys[0] if ys else "-"
            try:
                result = CALLS[name](operand(shape(xs), 0), operand(shape(ys), 1000), *args)
            except (ValueError, IndexError, TypeError, ZeroDivisionError) as error:
                print(f"{line}: {both}: {error}")
                out.append("|".join([call.strip(), xs, ys, "error", ""]))
                continue
            parts = [np.asarray(r) for r in (result if isinstance(result, (list, tuple)) else [result])]
            shapes = "/".join(show(p.shape) for p in parts)
            out.append("|".join([call.strip(), xs, ys, shapes, "/".join(" ".join(map(str, p.ravel())) for p in parts)]))
    (HERE / "movement.txt").write_text("\n".join(out) + "\n")
    print(len(out), "lines")


main()
