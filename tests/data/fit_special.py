#!/usr/bin/env python3
"""Prints near-minimax polynomials for special functions (src/math/double/normal.rs, bessel.rs and gamma.rs, and their
shaders) and derivatives (src/graph/ufunc/special/slopes.rs): pip install mpmath numpy && ./fit_special.py

Each polynomial interpolates the function at Chebyshev nodes with 45 digits. The coefficients, lowest first, are then rounded to
f64 or f32. The number after a name is log2 of the largest relative error on the interval, with rounded coefficients.
"""
import mpmath as mp
import numpy as np

mp.mp.dps = 45


def interpolate(f, lo, hi, n):
    """The coefficients of the polynomial through n Chebyshev nodes, computed with Newton's divided differences."""
    lo, hi = mp.mpf(lo), mp.mpf(hi)
    xs = [(lo + hi) / 2 + (hi - lo) / 2 * mp.cos(mp.pi * (2 * k + 1) / (2 * n)) for k in range(n)]
    c = [f(x) for x in xs]
    for j in range(1, n):
        for i in range(n - 1, j - 1, -1):
            c[i] = (c[i] - c[i - 1]) / (xs[i] - xs[i - j])
    p = [c[n - 1]]
    for i in range(n - 2, -1, -1):
        p = [c[i] - xs[i] * p[0]] + [p[k - 1] - xs[i] * (p[k] if k < len(p) else 0) for k in range(1, len(p) + 1)]
    return p


def fit(name, f, lo, hi, n, single=False):
    p = interpolate(f, lo, hi, n)
    rounded = [np.float32(float(c)) if single else float(c) for c in p]
    worst = mp.mpf(0)
    for k in range(301):
        x = mp.mpf(lo) + (mp.mpf(hi) - mp.mpf(lo)) * k / 300
        y = f(x)
        worst = max(worst, abs(mp.polyval([mp.mpf(float(c)) for c in rounded[::-1]], x) / y - 1))
    print(f"{name}: {float(mp.log(worst, 2)):.1f}\n    [{', '.join(str(c) for c in rounded)}]")


def erfcinv_over(middle):
    """erfcinv(q) / ((1 - q)·v) as a function of 1/v - 1/middle, where v = √(-ln(q·(2 - q)))."""

    def f(u):
        v = 1 / (u + 1 / mp.mpf(middle))
        e = mp.exp(-v * v)
        q = e / (1 + mp.sqrt(1 - e))
        y = mp.sqrt(-mp.log(q))
        for _ in range(12):
            t = mp.erfc(y)
            y += mp.log(t / q) * t * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
        return y / ((1 - q) * v)

    return f


def bessel_near(k):
    return lambda z: mp.besseli(k, mp.sqrt(z)) / mp.sqrt(z) ** k if z else mp.mpf(1) / 2**k


def bessel_far(k):
    def f(v):
        x = 16 / (v + 1)
        return mp.besseli(k, x) * mp.exp(-x) * mp.sqrt(x)

    return f


def digamma_far(w):
    z = 1 / mp.sqrt(w)
    with mp.workdps(70):
        return (mp.log(z) - 1 / (2 * z) - mp.digamma(z)) / w


def bessel_ratio(k):
    """The function of 1/x by which the derivatives of i0e and i1e are multiples of -f(x) / (2x)."""
    i = lambda n, u: mp.besseli(n, 1 / u)
    return (lambda u: 2 / u * (1 - i(1, u) / i(0, u))) if k == 0 else (lambda u: -2 / u * (i(0, u) / i(1, u) - 1 - u))


def excess(t):
    """2x·k(x) for t = 1/x², where k(x) = 1 / (√π·erfcx(x)) - x."""
    x = 1 / mp.sqrt(t)
    return 2 * x * (1 / (mp.sqrt(mp.pi) * mp.exp(x * x) * mp.erfc(x)) - x)


def fit_ratio(name, f, hi, n):
    """Fits the ratio of two polynomials of degree n, whose first coefficients are 1, by repeated least squares."""
    count = 8 * n + 4
    ts = [hi * (1 + mp.cos(mp.pi * (2 * i + 1) / (2 * count))) / 2 for i in range(count)]
    q = [mp.mpf(1)] + [mp.mpf(0)] * n
    for _ in range(6):
        rows, right = mp.matrix(count, 2 * n + 1), mp.matrix(count, 1)
        for i, t in enumerate(ts):
            y = f(t)
            weight = 1 / (mp.polyval(q[::-1], t) * y)
            for j in range(n + 1):
                rows[i, j] = weight * t**j
            for j in range(1, n + 1):
                rows[i, n + j] = -weight * y * t**j
            right[i] = weight * y
        solution = mp.lu_solve(rows, right)
        p, q = [solution[j] for j in range(n + 1)], [mp.mpf(1)] + [solution[n + j] for j in range(1, n + 1)]
    p, q = [[mp.mpf(float(c)) for c in list] for list in (p, q)]
    points = [hi * (k + 1) / 300 for k in range(300)]
    worst = max(abs(mp.polyval(p[::-1], t) / mp.polyval(q[::-1], t) / f(t) - 1) for t in points)
    print(f"{name}: {float(mp.log(worst, 2)):.1f}")
    print(*(f"    [{', '.join(str(float(c)) for c in list)}]" for list in (p, q)), sep="\n")


ROOT = mp.findroot(mp.digamma, 1.46)


def main():
    for lo, hi, middle, n, single in ((6, 27.4, 11, 10, False), (mp.sqrt(6), 5, "3.5", 10, True), (5, 10.4, 7, 7, True)):
        m = 1 / mp.mpf(middle)
        fit(f"erfcinv, {float(lo):.2f} <= v <= {hi}", erfcinv_over(middle), 1 / mp.mpf(hi) - m, 1 / mp.mpf(lo) - m, n, single)
    for k, n, n32 in ((0, 18, 12), (1, 17, 11)):
        fit(f"I{k} near", bessel_near(k), 0, 64, n)
        fit(f"I{k} near, f32", bessel_near(k), 0, 64, n32, True)
        fit(f"I{k} far", bessel_far(k), mp.mpf(-1) + mp.mpf(10) ** -6, 1, 26)
        fit(f"I{k} far, f32", bessel_far(k), mp.mpf(-1) + mp.mpf(10) ** -6, 1, 7, True)
    fit("digamma far", digamma_far, mp.mpf(10) ** -12, mp.mpf(1) / 64, 7)
    fit("digamma far, f32", digamma_far, mp.mpf(10) ** -12, mp.mpf(1) / 64, 3, True)
    fit("digamma near its zero, f32", lambda d: mp.digamma(ROOT + d) / d, 1 - ROOT, 2 - ROOT, 11, True)
    for k in (0, 1):
        fit(f"derivative of I{k}e", bessel_ratio(k), mp.mpf(10) ** -30, mp.mpf(1) / 24, 11)
    with mp.workdps(60):
        fit_ratio("derivative of erfcx", excess, mp.mpf(1) / 4, 8)


main()
