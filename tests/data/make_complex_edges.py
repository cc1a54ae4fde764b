#!/usr/bin/env python3
"""Writes complex_edges.txt: functions of complex numbers near the limits where their formulas change, for
tests/operations/elementwise.rs, computed by mpmath with 6,000 bits.

    python3 -m venv /tmp/mp && /tmp/mp/bin/pip install mpmath && /tmp/mp/bin/python tests/data/make_complex_edges.py

The file has the form of complex.txt (see make_complex.py), without exponents. The parts of all operands are f64 numbers and
differ from 0, so no operand is on a branch cut. Many are f32 numbers too.
"""
import pathlib

import mpmath
from mpmath import mp, mpc, mpf

# 1 - z**2 of the smallest numbers has 2,150 bits
mp.prec = 6000

points = []
# f32 and f64: subnormal numbers, those near the smallest normal one, and those around the limit of `scaled`
for least, limit in [(-126, -96), (-1022, -960)]:
    low = least - (23 if least == -126 else 52)
    for a, b in [(low, low), (low, low + 9), (low + 9, low), (least - 3, least - 4), (least - 1, low), (least, least - 1)]:
        points += [(2.0**a, 2.0**b), (-(2.0**a), 2.0**b)]
    for a, b in [(1.5, 1.25), (-1.0, 1.75), (1.0, -3.0), (-40.0, 1.0), (1000.0, 1000.0)]:
        points += [(a * 2.0**least, b * 2.0**least)]
    points += [(1.25 * 2.0**limit, 2.0 ** (limit - 1)), (-(2.0 ** (limit - 1)), 1.75 * 2.0 ** (limit - 1))]
# near the branch points: the distance from 1 squared is inexact, underflows to a subnormal number, or to 0
for k in [10, 20, 27, 30, 40, 50, 53, 54, 55, 56, 57, 62, 64, 70, 74, 75, 80, 100, 140, 300, 500, 511, 520, 538, 600, 900, 1022]:
    points += [(1.0, 2.0**-k), (-1.0, 1.5 * 2.0**-k), (2.0**-k, 1.0)]
for a in [1 + 2.0**-23, 1 - 2.0**-24, 1 + 2.0**-52, 1 - 2.0**-53]:
    points += [(a, b) for b in (2.0**-24, -(2.0**-30), 2.0**-52, 2.0**-60, -(2.0**-100))]
# where tanh and tan come near their limits: ±1 in f32 from 8 or so, in f64 from 18 or so
for a in [7.5, 8.25, 9.5, 11.5, 12.25, 13.0, 14.5, 16.0, 17.25, 18.5, 19.25, 19.75, 20.0, 20.25, 21.5, 30.0, 43.5, 44.5, 60.0]:
    points += [(a, 0.6875), (-a, 1.46875), (2.28125, a)]


def sign(z):
    return z / abs(z)


functions = {name: getattr(mpmath, name) for name in [
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "exp", "log", "sin", "sinh", "sqrt", "tan", "tanh"]}
functions |= {
    "expm1": lambda z: mpmath.exp(z) - 1,
    "log1p": lambda z: mpmath.log(1 + z),
    "log2": lambda z: mpmath.log(z) / mpmath.log(2),
    "log10": lambda z: mpmath.log(z) / mpmath.log(10),
    "sign": sign,
}


def text(x):
    return repr(float(x)).removesuffix(".0")


lines = [("operands", points)]
for name, function in functions.items():
    results = [function(mpc(mpf(a), mpf(b))) for a, b in points]
    lines.append((name, [(w.real, w.imag) for w in results]))
pathlib.Path(__file__).with_name("complex_edges.txt").write_text("".join(
    f"{name}\t{len(points)} 2\t{' '.join(text(part) for pair in pairs for part in pair)}\n" for name, pairs in lines))
