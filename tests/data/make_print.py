#!/usr/bin/env python3
"""Writes print.txt: arrays and the result of NumPy's `str`, for tests/arrays/print.rs.

    python3 -m venv /tmp/np && /tmp/np/bin/pip install 'numpy>=2.3' && /tmp/np/bin/python tests/data/make_print.py

With arguments COUNT SEED FILE it writes COUNT random arrays to FILE instead. With CUPRIC_PRINT_CASES=FILE the test reads them.

A case is a line `dtype shape view elements`, then the printed text with "|" before each line. The shape ("-" for 0-d) is
that of the elements, which are little-endian hex or a range (`range`). The view is the part that is printed: `all`, `t`
(transposed), `flip` (the last axis reversed), `step` (every second element of the first axis), or `wide` (broadcast to
[4, ...]).
"""
import pathlib
import sys

import numpy as np

NAMES = {"b1": "bool", "u1": "u8", "i1": "i8", "u2": "u16", "i2": "i16", "u4": "u32", "i4": "i32", "u8": "u64",
         "i8": "i64", "f2": "f16", "f4": "f32", "f8": "f64"}
VIEWS = {"all": lambda a: a, "t": lambda a: a.T, "flip": lambda a: a[..., ::-1], "step": lambda a: a[::2],
         "wide": lambda a: np.broadcast_to(a, (4,) + a.shape)}
lines = []


def case(a, view="all", ranged=False):
    a = np.asarray(a)
    code = a.dtype.str[1:]
    elements = "range" if ranged else (a.tobytes().hex() or "none")
    lines.append(f"{NAMES[code]} {','.join(map(str, a.shape)) or '-'} {view} {elements}")
    lines.extend("|" + line for line in str(VIEWS[view](a)).split("\n"))


def values(rng, code, n):
    """Numbers of one of several kinds."""
    if code == "b1":
        return rng.integers(0, 2, n).astype(bool)
    if code[0] in "ui":
        info = np.iinfo(code)
        bits = int(rng.integers(1, info.bits + 1))
        low = max(info.min, -(2 ** (bits - 1))) if rng.integers(2) else 0
        return rng.integers(low, min(info.max, 2**bits - 1), n, dtype=code, endpoint=True)
    kind = int(rng.integers(9))
    with np.errstate(all="ignore"):
        if kind == 0:  # any bits
            return np.frombuffer(rng.bytes(n * int(code[1])), code)
        if kind == 1:  # a few magnitudes
            a = rng.standard_normal(n) * 10.0 ** rng.uniform(-3, 3)
        elif kind == 2:  # many magnitudes
            a = rng.standard_normal(n) * 10.0 ** rng.uniform(-40, 40, n)
        elif kind == 3:  # whole numbers
            a = rng.integers(-(10 ** int(rng.integers(1, 10))), 10 ** int(rng.integers(1, 10)), n)
        elif kind == 4:  # few decimals
            a = np.round(rng.uniform(-10, 10, n), int(rng.integers(0, 4)))
        elif kind == 5:  # ties: few bits after the binary point
            a = rng.integers(-(2**24), 2**24, n) * 2.0 ** -int(rng.integers(1, 30))
        elif kind == 6:  # powers of two, where rounding intervals are lopsided
            a = 2.0 ** rng.integers(-60, 60, n)
        elif kind == 7:  # near the limits between fixed and scientific notation
            a = rng.choice([1e-4, 9.9e-5, 1e3, 1001, 999.5, 1e6, 999999, 1e8, 99999999, 1.0, 0.1, 0.0, -0.0], n)
        else:  # not finite
            a = rng.choice([np.nan, np.inf, -np.inf, 1.5, -2.25, 0.0, 1e-10], n)
        return a.astype(code)


def random_case(rng):
    code = rng.choice(list(NAMES) + ["f2", "f4", "f8"] * 4)
    shape = tuple(int(n) for n in rng.integers(1, 6, int(rng.integers(0, 4))))
    if rng.integers(6) == 0:
        shape = (int(rng.integers(1, 40)),)
    a = values(rng, code, int(np.prod(shape, dtype=int))).astype(code).reshape(shape)
    view = rng.choice(list(VIEWS)) if shape else "all"
    case(a, view)


def fixed():
    for code in NAMES:
        with np.errstate(all="ignore"):
            case(np.array([[0, 1, 2], [100, 250, 3]]).astype(code))
        case(np.zeros((0,), code))
        case(np.zeros((3, 0), code))
        case(np.zeros((0, 3), code), "t")
        case(np.ones((), code))
        case(np.ones((1,), code))
        case(np.ones((1, 1, 1), code))
    for code in ("f2", "f4", "f8"):
        for v in (0.0, -0.0, 1, -1.5, 0.1, 1 / 3, 256.25, 999, 1000, 2049, 65504, 1e-4, 9.9e-5, 1e-7, np.nan, np.inf,
                  -np.inf, 2097152.25, 999999, 1e6, 16777216, 123456789, 1e15, 1e16, 1.5e16, 1e22, 5e-324, 2**-149,
                  2**-24, 1.7976931348623157e308, 3.4028235e38, 9007199254740993, 1e23, 2**-44, 2.0**60):
            with np.errstate(all="ignore"):
                case(np.array(v, code))
                case(np.array([v], code))
                case(np.array([v, 1.0], code))
        case(np.array([np.nan], code))
        case(np.array([np.nan, np.inf], code))
        case(np.array([np.nan, -np.inf], code))
        case(np.array([[1, np.nan], [-np.inf, 0.5]], code))
        case(np.array([0.001953125, 1.0], code))
        case(np.array([1e-5, 1.0, 0.1], code))
        # summarised with an ellipsis
        case(np.arange(1001, dtype=code), ranged=True)
        case(np.arange(1200, dtype=code).reshape(30, 40), ranged=True)
    case(np.arange(1000, dtype="i4"), ranged=True)
    case(np.arange(5000, dtype="i4"), ranged=True)
    for shape in ((1001,), (40, 50), (2, 1000), (1000, 2), (6, 200), (7, 150), (11, 12, 13), (2, 3, 400), (1, 1, 1, 2000),
                  (2000, 1), (100, 11, 1), (500, 3, 2, 1)):
        for view in VIEWS:
            case(np.arange(np.prod(shape), dtype="i4").reshape(shape), view, ranged=True)
    case(np.arange(7**4, dtype="i4").reshape(7, 7, 7, 7), "t", ranged=True)
    case(np.array([2**63, 2**64 - 1, 0], "u8"))
    case(np.array([-(2**63), 2**63 - 1], "i8"))
    # lines that are full, almost full, or too long
    for n in range(8, 24):
        case(np.full(n, 1234567, "i4"))
        case(np.full((1, 1, n), 123456, "i4"))
    case(np.full((2, 3), -(2**63), "i8"))
    case(np.full((1,) * 30 + (4,), 12345678, "i4"))
    case(np.full((1,) * 60 + (3,), 12345678, "i4"))


def write(path):
    pathlib.Path(path).write_text("\n".join(lines) + "\n")
    print(sum(line[0] != "|" for line in lines), "arrays with NumPy", np.__version__)


if len(sys.argv) == 4:
    rng = np.random.default_rng(int(sys.argv[2]))
    for _ in range(int(sys.argv[1])):
        random_case(rng)
    write(sys.argv[3])
else:
    fixed()
    rng = np.random.default_rng(7)
    for _ in range(300):
        random_case(rng)
    write(pathlib.Path(__file__).with_name("print.txt"))
