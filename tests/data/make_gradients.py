#!/usr/bin/env python3
"""Writes gradients.txt, for tests/operations/derivatives/bounds.rs: pip install mpmath && ./make_gradients.py

A line has the name of a function, the number of an operand, the operands, and the derivative of the function with respect
to that operand, rounded to f64. The operands have eight significant bits, so every float type can represent them.
"""
import math
import pathlib
import random

import mpmath
from make_f64 import BINARY, LATER_BINARY, LATER_UNARY, UNARY
from mpmath import mp, mpf

POINTS = 32
mp.prec = 400
# functions without a derivative, or whose derivative is always 0
FLAT = {"floor", "ceil", "trunc", "round", "floor_divide"}
# the derivative with respect to the first operand has no closed form
UNKNOWN = {("zeta", 0), ("gammainc", 0), ("gammaincc", 0)}


def density(a, x):
    return mpmath.exp(-x + (a - 1) * mpmath.log(x) - mpmath.loggamma(a))


# the functions of make_f64.py have too few digits for a difference quotient
KNOWN = {"gammainc": density, "gammaincc": lambda a, x: -density(a, x)}


def point(lo, hi, rng):
    """A number of the domain near 0, with eight significant bits."""
    lo, hi = max(lo, -8.0), min(hi, 8.0)
    while True:
        x = rng.uniform(lo, hi) if rng.random() < 0.7 else rng.choice([-1, 1]) * 2.0 ** rng.uniform(-6, 3)
        mantissa, exponent = math.frexp(x)
        x = math.ldexp(round(mantissa * 256), exponent - 8)
        # the hard activations have a kink at 3
        if lo < x < hi and abs(x) not in (0, 3):
            return x


def spell(x):
    return f"{x:.17g}"


lines = []


def emit(name, function, domains):
    if name in FLAT:
        return
    rng = random.Random(name)
    for by in range(len(domains)):
        if (name, by) in UNKNOWN:
            continue
        order = tuple(int(i == by) for i in range(len(domains)))
        found = 0
        while found < POINTS:
            x = tuple(point(*d, rng) for d in domains)
            try:
                if name in KNOWN:
                    d = KNOWN[name](*map(mpf, x))
                elif len(x) > 1:
                    d = mpmath.diff(function, tuple(map(mpf, x)), order)
                else:
                    d = mpmath.diff(function, mpf(x[0]))
            except (ValueError, ZeroDivisionError, OverflowError):
                continue
            if isinstance(d, mpmath.mpc) or not mpmath.isfinite(d) or abs(d) > 1e300:
                continue
            found += 1
            lines.append(" ".join([name, str(by), *map(spell, x), spell(float(d))]))


for table in (UNARY, LATER_UNARY):
    for name, (function, domain, _) in table.items():
        emit(name, function, [domain])
for table in (BINARY, LATER_BINARY):
    for name, (function, a, b) in table.items():
        emit(name, function, [a, b])
emit("lerp", lambda a, b, t: a + t * (b - a), [(-8, 8), (-8, 8), (-2, 3)])
pathlib.Path(__file__).with_name("gradients.txt").write_text("\n".join(lines) + "\n")
