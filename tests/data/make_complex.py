#!/usr/bin/env python3
"""Writes complex.txt: functions of complex numbers for tests/operations/elementwise.rs, computed by NumPy with 64 bits of
precision.

    python3 -m venv /tmp/np && /tmp/np/bin/pip install numpy && /tmp/np/bin/python tests/data/make_complex.py

A line has a name, the shape of the result and its elements, separated by tabs. The last axis has length 2, for the real and
imaginary parts. The first line has the operands, the second the exponents of `pow`.
"""
import pathlib
from fractions import Fraction

import numpy as np

rng = np.random.default_rng(7)


def short(x):
    """A number with 8 significant bits, which every float dtype can represent."""
    if x == 0:
        return x
    scale = 2.0 ** (7 - np.floor(np.log2(abs(x))))
    return float(np.round(x * scale) / scale)


def sized(low, high):
    return short(10 ** rng.uniform(low, high) * rng.choice([-1, 1]))


points = [(sized(-3, 1), sized(-3, 1)) for _ in range(12)]
points += [(sized(-1, 0.5), sized(-1, 0.5)) for _ in range(6)]
# near the branch points and the unit circle
points += [(1 + sized(-2, -1), sized(-2, -1)), (sized(-2, -1) - 1, sized(-2, -1)), (sized(-2, -1), sized(-2, -1) + 1)]
points = [(short(a), short(b)) for a, b in points]
points += [(0.6015625, 0.796875), (-0.9921875, 0.125), (0.28125, -0.9609375)]
# on the branch cuts and axes
points += [(a, b) for a in (2.0, -2.0) for b in (0.0, -0.0)] + [(a, b) for b in (2.0, -2.0) for a in (0.0, -0.0)]
points += [(0.0, 0.0), (-0.0, 0.0), (0.5, 0.0), (0.0, -0.5), (-1.0, 0.0), (1.0, 0.0), (0.0, 1.0)]
# near multiples of a quarter turn, and far from the origin
points += [(0.01171875, 1.5703125), (3.140625, 0.0078125), (22.0, -0.5), (-10.5, 2.0), (1.0, 11.0), (88.5, 1.5625), (90.0, 2.0)]
# any f32
points += [(float(np.float32(a)), float(np.float32(b))) for a, b in [
    (1 + 2**-20, 2**-22), (-1 - 2**-22, 2**-21), (2**-22, 1 - 2**-21), (1, 1e-25), (3e38, 3e38), (1e30, 1e-30), (1e-30, 1e30),
    (1e-37, -1e-37), (1e-20, 1e-30), (3e-7, 2e-4), (0.1, 100.7), (1234.5, 1e-3)]]
exponents = [(short(a), short(b)) for a, b in [(rng.uniform(-3, 3), rng.uniform(-2, 2)) for _ in points]]


def complexes(pairs):
    z = np.empty(len(pairs), np.clongdouble)
    z.real, z.imag = np.array(pairs).T
    return z


def log1p(z):
    """NumPy's function loses digits near 0."""
    squares = [(Fraction(a) * (Fraction(a) + 2) + Fraction(b) ** 2, a, b) for a, b in points]
    def rounded(f):
        high = float(f)
        return np.longdouble(high) + np.longdouble(float(f - Fraction(high)))
    def part(f, a, b):
        if f > 1e9 or f < -0.9999:
            return np.log(np.hypot(np.longdouble(1) + np.longdouble(a), np.longdouble(b)))
        return np.log1p(rounded(f)) / 2
    w = np.empty(len(points), np.clongdouble)
    w.real = [part(*row) for row in squares]
    w.imag = np.arctan2(z.imag, 1 + z.real)
    return w


z, w = complexes(points), complexes(exponents)
with np.errstate(all="ignore"):
    size = np.abs(z)
    results = {name: getattr(np, "arc" + name[1:] if name.startswith("a") else name)(z) for name in [
        "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "exp", "expm1", "log", "sin", "sinh", "sqrt", "tan",
        "tanh"]}
    results |= {"log1p": log1p(z), "log2": np.log(z) / np.log(np.longdouble(2)), "log10": np.log(z) / np.log(np.longdouble(10))}
    results["sign"] = np.where(size == 0, 0, z / np.where(size == 0, 1, size))
    results["pow"] = np.exp(w * np.log(z))
lines = []
for name, value in {"operands": z, "exponents": w, **results}.items():
    parts = np.stack([value.real, value.imag], -1).astype(float)
    lines.append(f"{name}\t{len(points)} 2\t{' '.join(repr(float(v)).removesuffix('.0') for v in parts.ravel())}")
pathlib.Path(__file__).with_name("complex.txt").write_text("\n".join(lines) + "\n")
