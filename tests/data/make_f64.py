#!/usr/bin/env python3
"""Writes f64.txt, the golden values of the f64 functions: pip install mpmath && ./make_f64.py > f64.txt
With names, `./make_f64.py sinpi cospi >> f64.txt`, it writes only these functions. Their points are always the same.

A line `# name arity` begins a function. 714 points follow, one per line: the operands, the correctly rounded result (all as 16
hex digits), and the difference between the exact and the rounded result in 256ths of a ULP. A third of the operands are f32
numbers, so that the points also test the references for f32. Functions that only move or compare bits (abs, minimum, nextafter,
equal, …) have no points.
"""
import itertools
import math
import random
import struct
import sys

import mpmath
from mpmath import mp, mpf

mp.prec = 400
# sin(1e300) and tanh(1e-300) need a thousand digits
DEEP = 2400
POINTS = 200
# points of each function
COUNT = 714


def bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def double(b):
    return struct.unpack("<d", struct.pack("<Q", b))[0]


def rounded(y):
    """The nearest f64, and the rest in 256ths of its ULP. None if it overflows f64."""
    if y == 0:
        return 0.0, 0
    e = max(int(mpmath.floor(mpmath.log(abs(y), 2))), -1022) - 52
    # the estimated exponent may be off by one at a power of two
    if abs(y) < mpf(2) ** (e + 52) and e > -1074:
        e -= 1
    q = y / mpf(2) ** e
    n = int(mpmath.nint(q))
    try:
        r = math.ldexp(n, e)
    except OverflowError:
        return None
    if r == 0 and y < 0:
        r = -0.0
    return r, int(mpmath.nint((q - n) * 256))


def spread(lo, hi, rng):
    """Numbers of a domain: uniform, uniform in magnitude, and near its ends."""
    points = [lo + (hi - lo) * rng.random() for _ in range(POINTS // 2)]
    top = max(abs(lo), abs(hi))
    while len(points) < POINTS - 10:
        x = math.copysign(top * 2.0 ** (-60 * rng.random() ** 2), rng.choice([lo, hi]) if lo * hi < 0 else lo + hi)
        if lo <= x <= hi:
            points.append(x)
    points += [1.0, 0.5, 2.0, -1.0, -0.5, 1e-300, -1e-300, 1e-310, 5e-324, -5e-324]
    return [x for x in points if lo <= x <= hi]


# the special values of the tests: limits of the type, and numbers at which functions change
SPECIAL = [5e-324, -2.225073858507201e-308, 2.2250738585072014e-308, 1.0, -1.0, 0.5, 1.5, -2.5]
SPECIAL += [1.7976931348623157e308, -1.7976931348623157e308]


def near(c, count, rng):
    """Numbers around a value at which a function has an extremum or loses digits."""
    return [c * (1 + rng.choice([-1, 1]) * 2.0 ** -rng.uniform(1, 52)) for _ in range(count)]


def sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


def phi(x):
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def erfinv(a):
    if abs(a) < mpf(2) ** -200:
        return a * mpmath.sqrt(mp.pi) / 2
    y = mpmath.erfinv(mpf(float(a))) if abs(a) < 0.9 else None
    if y is None:
        # in the tail: erfc(y) = 1 - |a|
        t = 1 - abs(a)
        y = mpmath.sqrt(-mpmath.log(t * mpmath.sqrt(mp.pi)))
        for _ in range(60):
            y = y + (mpmath.erfc(y) - t) * mpmath.sqrt(mp.pi) / 2 * mpmath.exp(y * y)
        y = y if a > 0 else -y
    # one more step of Newton's method, at this precision
    for _ in range(4):
        y = y - (mpmath.erf(y) - a) * mpmath.sqrt(mp.pi) / 2 * mpmath.exp(y * y)
    return y


def loggamma(x):
    return mpmath.log(abs(mpmath.gamma(x))) if abs(x) < 200 else mpmath.re(mpmath.loggamma(x))


def remainder(x, y):
    return x - mpmath.floor(x / y) * y


def floor_divide(x, y):
    return mpmath.floor(x / y)


def logaddexp(x, y):
    m = max(x, y)
    return m + mpmath.log1p(mpmath.exp(-abs(x - y)))


def floor(x):
    return mpmath.floor(x)


def half_even(x):
    n = mpmath.floor(x)
    rest = x - n
    up = rest > 0.5 or rest == 0.5 and int(n) % 2 == 1
    return n + 1 if up else n


def fmod(x, y):
    q = abs(x) / abs(y)
    r = abs(x) - mpmath.floor(q) * abs(y)
    return r if x > 0 else -r


def logit(x):
    return mpmath.log(x / (1 - x))


def erfcinv(q):
    if q > 1:
        return -erfcinv(2 - q)
    if q > 0.25:
        return erfinv(1 - q)
    # Newton's method for log(erfc(y)), which is concave
    y = mpmath.sqrt(-mpmath.log(q))
    for _ in range(14):
        e = mpmath.erfc(y)
        y = y + mpmath.log(e / q) * e * mpmath.sqrt(mp.pi) / 2 * mpmath.exp(y * y)
    return y


def ndtri(p):
    return -mpmath.sqrt(2) * erfcinv(2 * p)


def selu(x):
    scale = mpf("1.0507009873554804934193349852946")
    return scale * (x if x >= 0 else mpf("1.6732632423543772848170429916717") * mpmath.expm1(x))


def clamp(x, lo, hi):
    return min(max(x, lo), hi)


def zeta(x, q):
    """Hurwitz' zeta function for x > 1 and q > 0, by the Euler-Maclaurin formula, because mpmath's function has no relative precision."""
    if x <= 1 or q <= 0:
        raise ValueError
    terms = 100 + int(min(x, 200))
    # the first term is so much larger that the others do not change the result
    far = (x * mpmath.log1p(terms / q)) > 1e4
    s = sum((q + k) ** -x for k in range(terms if not far else 2))
    if far:
        return s
    a = q + terms
    s += a ** (1 - x) / (x - 1) + a**-x / 2
    t = x * a ** (-x - 1)
    for j in range(1, 50):
        s += mpmath.bernoulli(2 * j) / mpmath.factorial(2 * j) * t
        t *= (x + 2 * j - 1) * (x + 2 * j) / a**2
    return s


def incomplete(a, x):
    """P(a, x) and Q(a, x) for positive a and x: the power series if x is below a + 1, else Legendre's continued fraction."""
    if not (0 < a <= 3e4 and 0 < x <= 1e5):
        raise ValueError
    with mpmath.workprec(400 if a > 1e-30 else 2400):
        term = mpmath.exp(a * mpmath.log(x) - x - mpmath.loggamma(a + 1))
        small = mpf(2) ** -(mp.prec - 30)
        if x < a + 1:
            t = s = mpf(1)
            n = 0
            while t > s * small:
                n += 1
                t *= x / (a + n)
                s += t
            return term * s, 1 - term * s
        b = x + 1 - a
        h = d = 1 / b
        c = mpf(2) ** 5000
        i, change = 0, 0
        while abs(change - 1) > small:
            i += 1
            b += 2
            d = 1 / (b - i * (i - a) * d)
            c = b - i * (i - a) / c
            change = c * d
            h *= change
        return 1 - term * a * h, term * a * h


def beta(a, b):
    if max(abs(a), abs(b)) > 1e6 or any(x <= 0 and x == int(x) for x in (a, b, a + b)):
        raise ValueError
    return mpmath.gamma(a) * mpmath.gamma(b) / mpmath.gamma(a + b) if max(a, b) < 1e3 else mpmath.beta(a, b)


def betaln(a, b):
    if a <= 0 or b <= 0:
        return mpmath.log(abs(beta(a, b)))
    return mpmath.loggamma(a) + mpmath.loggamma(b) - mpmath.loggamma(a + b)


# name: (function, domain, values of interest)
UNARY = {
    "sqrt": (mpmath.sqrt, (0.0, 1e308), [1.0]),
    "reciprocal": (lambda x: 1 / x, (-1e308, 1e308), [1.0]),
    "square": (lambda x: x * x, (-1e154, 1e154), [1.0]),
    "floor": (floor, (-1e17, 1e17), [1.0, -1.0, 2.5, 2.0**52]),
    "ceil": (lambda x: -floor(-x), (-1e17, 1e17), [1.0, -1.0, 2.5, 2.0**52]),
    "trunc": (lambda x: floor(x) if x > 0 else -floor(-x), (-1e17, 1e17), [1.0, -1.0, 2.5, 2.0**52]),
    "round": (half_even, (-1e17, 1e17), [0.5, 1.5, -2.5, 2.0**52 + 0.5]),
    "exp": (mpmath.exp, (-745.0, 709.7), [1.0]),
    "exp2": (lambda x: mpmath.power(2, x), (-1074.0, 1023.9), [1.0]),
    "expm1": (mpmath.expm1, (-40.0, 709.7), [0.5, -0.5, 1e-8]),
    "log": (mpmath.log, (0.0, 1e308), [1.0]),
    "log2": (lambda x: mpmath.log(x) / mpmath.log(2), (0.0, 1e308), [1.0]),
    "log10": (lambda x: mpmath.log(x) / mpmath.log(10), (0.0, 1e308), [1.0]),
    "log1p": (mpmath.log1p, (-1.0, 1e300), [-0.5, 0.4, 1e-8]),
    "rsqrt": (lambda x: 1 / mpmath.sqrt(x), (0.0, 1e308), [1.0]),
    "cbrt": (lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), (-1e308, 1e308), [1.0, -8.0]),
    "sin": (mpmath.sin, (-1e5, 1e5), [math.pi, 2 * math.pi, 1e22, 1e300, 6381956970095103 * 2.0**797]),
    "cos": (mpmath.cos, (-1e5, 1e5), [math.pi / 2, 3 * math.pi / 2, 1e22, 1e300, 6381956970095103 * 2.0**797]),
    "tan": (mpmath.tan, (-1e5, 1e5), [math.pi / 2, math.pi, math.pi / 4, 1e22, 1e300]),
    "asin": (mpmath.asin, (-1.0, 1.0), [0.5, -0.5]),
    "acos": (mpmath.acos, (-1.0, 1.0), [0.5, -0.5]),
    "atan": (mpmath.atan, (-1e5, 1e5), [1.0, 0.4375, 2.4]),
    "sinh": (mpmath.sinh, (-710.0, 710.0), [0.5, 1.0, 20.0]),
    "cosh": (mpmath.cosh, (-710.0, 710.0), [0.5, 1.0, 20.0]),
    "tanh": (mpmath.tanh, (-20.0, 20.0), [0.5, 0.1]),
    "asinh": (mpmath.asinh, (-1e300, 1e300), [1.0, 0.5, -1.0]),
    "acosh": (mpmath.acosh, (1.0, 1e300), [1.0, 1.5, 2.0]),
    "atanh": (mpmath.atanh, (-1.0, 1.0), [0.5, -0.5]),
    "deg2rad": (lambda x: x * mp.pi / 180, (-1e3, 1e3), [180.0]),
    "rad2deg": (lambda x: x * 180 / mp.pi, (-1e3, 1e3), [math.pi]),
    "erf": (mpmath.erf, (-6.0, 6.0), [0.5, 1.0]),
    "erfc": (mpmath.erfc, (-6.0, 26.5), [0.5, 1.0, 2.0]),
    "erfinv": (erfinv, (-1.0, 1.0), [0.5, 0.9]),
    "lgamma": (loggamma, (-30.0, 1e3), [1.0, 2.0, 3.0, -2.5, -3.2]),
    "sigmoid": (sigmoid, (-745.0, 40.0), [1.0, -30.0]),
    "softplus": (lambda x: mpmath.log1p(mpmath.exp(x)), (-745.0, 745.0), [1.0, -1.0, 30.0]),
    "silu": (lambda x: x * sigmoid(x), (-745.0, 745.0), [-1.278]),
    "gelu": (lambda x: x * phi(x), (-38.0, 40.0), [-0.75, 1.0]),
    "gelu_tanh": (
        lambda x: x * sigmoid(2 * mpmath.sqrt(2 / mp.pi) * (x + mpf(0.044715) * x**3)),
        (-20.0, 20.0),
        [-0.75, 1.0],
    ),
}

BINARY = {
    "add": (lambda x, y: x + y, (-1e3, 1e3), (-1e3, 1e3)),
    "subtract": (lambda x, y: x - y, (-1e3, 1e3), (-1e3, 1e3)),
    "multiply": (lambda x, y: x * y, (-1e3, 1e3), (-1e3, 1e3)),
    "divide": (lambda x, y: x / y, (-1e3, 1e3), (-1e3, 1e3)),
    "remainder": (remainder, (-1e3, 1e3), (-1e3, 1e3)),
    "fmod": (fmod, (-1e3, 1e3), (-1e3, 1e3)),
    "atan2": (mpmath.atan2, (-1e3, 1e3), (-1e3, 1e3)),
    "hypot": (mpmath.hypot, (-1e3, 1e3), (-1e3, 1e3)),
    "logaddexp": (logaddexp, (-80.0, 80.0), (-80.0, 80.0)),
    "pow": (mpmath.power, (0.0, 1e3), (-90.0, 90.0)),
    "floor_divide": (floor_divide, (-1e3, 1e3), (-1e3, 1e3)),
}


# functions that were added later, at the end, so that the file only grows
LATER_UNARY = {
    "sinpi": (mpmath.sinpi, (-1e5, 1e5), [1.0, 0.25, 0.5, 1e10]),
    "cospi": (mpmath.cospi, (-1e5, 1e5), [1.0, 0.25, 0.5, 1e10]),
    "tanpi": (lambda x: mpmath.sinpi(x) / mpmath.cospi(x), (-1e5, 1e5), [1.0, 0.25, 0.5, 1e10]),
    "sinc": (mpmath.sincpi, (-1e5, 1e5), [1.0, 0.5, 1e-8, 1e10]),
    "logit": (logit, (0.0, 1.0), [0.5, 0.25, 0.75]),
    "entr": (lambda x: -x * mpmath.log(x), (0.0, 1e300), [1.0]),
    "hard_sigmoid": (lambda x: (clamp(x, -3, 3) + 3) / 6, (-4.0, 4.0), [-3.0, 3.0]),
    "hard_swish": (lambda x: x * (clamp(x, -3, 3) + 3) / 6, (-4.0, 4.0), [-3.0, 3.0]),
    "selu": (selu, (-40.0, 1e300), [-1.0, -1e-8]),
    "ndtr": (phi, (-38.5, 9.0), [-1.0, 1.0]),
    "log_ndtr": (lambda x: mpmath.log1p(-phi(-x)) if x > 0 else mpmath.log(phi(x)), (-1e3, 38.0), [-1.0, 1.0, -38.6]),
    "erfcx": (lambda x: mpmath.exp(x * x) * mpmath.erfc(x), (-26.6, 1e3), [0.49, -0.49, 27.3]),
    "erfcinv": (erfcinv, (0.0, 2.0), [1.0, 0.48, 1e-8, 1e-300]),
    "ndtri": (ndtri, (0.0, 1.0), [0.5, 0.24, 1e-8, 1e-300]),
    "digamma": (mpmath.digamma, (-30.0, 1e3), [1.4616321449683622, 8.0, -0.5040830082644554, -2.6107208684441448]),
    "i0": (lambda x: mpmath.besseli(0, x), (-713.0, 713.0), [8.0, 30.0]),
    "i0e": (lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)), (-1e3, 1e3), [8.0, 30.0]),
    "i1": (lambda x: mpmath.besseli(1, x), (-713.0, 713.0), [8.0, 30.0]),
    "i1e": (lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)), (-1e3, 1e3), [8.0, 30.0]),
}

LATER_BINARY = {
    "xlogy": (lambda x, y: x * mpmath.log(y), (-1e3, 1e3), (0.0, 1e3)),
    "xlog1py": (lambda x, y: x * mpmath.log1p(y), (-1e3, 1e3), (-1.0, 1e3)),
    "leaky_relu": (lambda x, slope: x if x >= 0 else x * slope, (-1e3, 1e3), (-10.0, 10.0)),
    "elu": (lambda x, alpha: x if x >= 0 else alpha * mpmath.expm1(x), (-40.0, 40.0), (-10.0, 10.0)),
    "zeta": (zeta, (1.0, 60.0), (0.0, 60.0)),
    "beta": (beta, (-20.0, 60.0), (-20.0, 60.0)),
    "betaln": (betaln, (-20.0, 60.0), (-20.0, 60.0)),
    "gammainc": (lambda a, x: incomplete(a, x)[0], (0.0, 60.0), (0.0, 60.0)),
    "gammaincc": (lambda a, x: incomplete(a, x)[1], (0.0, 60.0), (0.0, 60.0)),
}


def line(args, y):
    r = rounded(y)
    if r is None:
        return None
    return " ".join(f"{bits(v):016x}" for v in (*args, r[0])) + f" {r[1]}"


def any_f32(rng):
    return struct.unpack("<f", struct.pack("<I", rng.getrandbits(32)))[0]


def emit(name, arity, function, points):
    """Draws points until there are enough."""
    print(f"# {name} {arity}")
    seen = set()
    for args in points:
        if args in seen or not all(map(math.isfinite, args)):
            continue
        seen.add(args)
        # functions that cancel or reduce their operands need more digits for larger operands
        deep = max(abs(math.frexp(a)[1]) for a in args) > 150
        mp.prec = DEEP if deep else 400
        try:
            y = function(*map(mpf, args))
        except (ValueError, ZeroDivisionError, OverflowError):
            continue
        if isinstance(y, mpmath.mpc) or not mpmath.isfinite(y) or y == 0:
            continue
        text = line(args, y)
        if text:
            print(text)
            COUNTS[name] = COUNTS.get(name, 0) + 1
            if COUNTS[name] == COUNT:
                return


COUNTS = {}


def unary(name, lo, hi, interest):
    yield from SPECIAL
    rng = random.Random(name)
    points = spread(lo, hi, rng)
    if hi > 1e9:
        # all magnitudes
        points += [2.0 ** rng.uniform(-1000, 1000) for _ in range(50)]
    for c in interest:
        points += near(c, 12, rng)
    inside = lambda x: x != 0 and (lo <= x <= hi or name in ("sin", "cos", "tan"))
    yield from filter(inside, points)
    # then in turn: any f32, uniform in the domain, and uniform in magnitude
    lowest = 2.0**-60 if name in ("floor", "ceil", "trunc", "round") else 2.0**-1000
    for turn in itertools.count():
        x = any_f32(rng)
        if turn % 3 == 1:
            x = rng.uniform(lo, hi)
        elif turn % 3 == 2:
            top = max(abs(lo), abs(hi))
            x = math.copysign(top * (lowest / top) ** (rng.random() ** 2), rng.uniform(lo, hi))
        # drawing an f32 is cheap, so we repeat until it is in the domain
        while turn % 3 == 0 and not (math.isfinite(x) and inside(x)):
            x = any_f32(rng)
        if inside(x):
            yield x


def binary(name, a, b):
    if name not in ("floor_divide", "zeta", "beta", "betaln", "gammainc", "gammaincc"):
        yield from itertools.product(SPECIAL, SPECIAL)
    rng = random.Random(name)
    for turn in itertools.count():
        x, y = rng.uniform(*a), rng.uniform(*b)
        kind = rng.random()
        if turn >= POINTS and turn % 3 == 0:
            # f32 operands, drawn in the same ways
            x, y = (struct.unpack("<f", struct.pack("<f", v))[0] for v in (x, y))
            if turn % 2 and name != "pow":
                x = any_f32(rng)
                y = x * 2.0 ** rng.randrange(-20, 20) if math.isfinite(x) else y
        elif name == "pow":
            if kind < 0.3:
                x = 2.0 ** rng.uniform(-1000, 1000)
                y = rng.uniform(-1, 1) * 1000 / max(abs(math.log2(x)), 1)
            elif kind < 0.5:
                x = 1 + rng.uniform(-1, 1) * 2.0 ** -rng.uniform(1, 50)
                y = rng.uniform(-700, 700) / abs(math.log(x)) if x != 1 else y
            elif kind < 0.6:
                x, y = -x, float(round(y))
        elif name == "logaddexp":
            if kind < 0.2:
                y = x + rng.uniform(-1, 1) * 2.0 ** -rng.uniform(0, 40)
            elif kind < 0.3:
                x, y = x * 1e3, y * 1e3
        elif kind < 0.3 and name.startswith("gammainc"):
            x = 2.0 ** rng.uniform(3, 14)
            y = x + rng.uniform(-12, 12) * math.sqrt(x)
        elif kind < 0.4:
            x, y = x * 2.0 ** rng.uniform(-60, 60), y * 2.0 ** rng.uniform(-60, 60)
        elif kind < 0.5 and name != "floor_divide":
            scale = 2.0 ** rng.choice([-1000, 1000])
            x, y = x * scale, y * scale
        elif kind < 0.6 and name == "floor_divide":
            x = y * rng.randrange(1, 1 << 30)
        if y != 0:
            yield x, y


def ternary():
    rng = random.Random("lerp")
    while True:
        yield rng.uniform(-10, 10), rng.uniform(-10, 10), rng.uniform(-2, 3)


def main():
    wanted = sys.argv[1:]

    def all_unary(table):
        for name, (function, (lo, hi), interest) in table.items():
            if not wanted or name in wanted:
                emit(name, 1, function, ((x,) for x in unary(name, lo, hi, interest)))

    def all_binary(table):
        for name, (function, a, b) in table.items():
            if not wanted or name in wanted:
                emit(name, 2, function, binary(name, a, b))

    all_unary(UNARY)
    all_binary(BINARY)
    if not wanted or "lerp" in wanted:
        emit("lerp", 3, lambda a, b, t: a + t * (b - a), ternary())
    all_unary(LATER_UNARY)
    all_binary(LATER_BINARY)


if __name__ == "__main__":
    main()
