#!/usr/bin/env python3
"""Writes statistics.txt: the results of NumPy for statistics.rs, with operands that have NaN, infinities, signed zeros, ties and
empty axes.

    python3 -m venv /tmp/np && /tmp/np/bin/pip install numpy && /tmp/np/bin/python tests/data/make_statistics.py

A line has a name, the shape of the result and its elements, separated by tabs. `tests/operations/statistics.rs` has the calls.
"""
import pathlib
import warnings

import numpy as np

warnings.simplefilter("ignore")
nan, inf = np.nan, np.inf
X = np.array([[1.5, nan, -2.25, 3.0], [nan, nan, nan, nan], [inf, 0.5, nan, -1.0], [2.0, 2.0, -inf, 2.0]], np.float32)
Y = np.array([[1.0, 2.0, -3.0, 4.5], [0.5, -0.5, 2.5, 8.0], [7.0, 1.25, -6.0, 2.0]], np.float32)
W = np.array([[1.0, 2.0, 0.5, 1.0], [3.0, 1.0, 1.0, 2.0], [0.25, 1.0, 2.0, 4.0]], np.float32)
V = np.array([0.0, -0.0, 1.5, -2.5, 1e-40, -3e38, inf, -inf, nan, 7.0, 0.75, -1024.0], np.float32)
N = np.array([13, -27, 5, 15, 25, -15, -25, 0, 99, -128, 127, 50], np.int8)
K = np.array([3, 0, -2, 10, 20, 1, 5, -5, 2, -30, 8, -9], np.int32)
A, B = np.array([1, 2, -3, 4, 5.5], np.float32), np.array([2, -1, 0.5, 3], np.float32)
Z = np.zeros((3, 0), np.float32)

CASES = {
    "nansum 0": np.nansum(X, 0), "nansum 1": np.nansum(X, 1), "nansum": np.nansum(X), "nansum empty": np.nansum(Z, 1),
    "nanmean 0": np.nanmean(X, 0), "nanmean 1": np.nanmean(X, 1), "nanmean empty": np.nanmean(Z, 1),
    "nanmean keep": np.nanmean(X, (0, 1), keepdims=True),
    "nanmin 0": np.nanmin(X, 0), "nanmin 1": np.nanmin(X, 1), "nanmax 0": np.nanmax(X, 0), "nanmax 1": np.nanmax(X, 1),
    "nanmax keep": np.nanmax(X, 1, keepdims=True),
    "nanvar 0": np.nanvar(X, 0), "nanvar 1": np.nanvar(X, 1), "nanstd 1": np.nanstd(X, 1), "nanvar empty": np.nanvar(Z, 1),
    "nanvar ddof": np.nanvar(X[:1], 1, ddof=1), "nanstd keep": np.nanstd(X[:1], 1, keepdims=True),
    "nanargmin": np.nanargmin(X[[0, 2, 3]], 1), "nanargmax": np.nanargmax(X[[0, 2, 3]], 1),
    "nanargmax flat": np.nanargmax(X[[0, 2, 3]]), "nanargmin columns": np.nanargmin(X[[0, 3]], 0),
    "ptp 0": np.ptp(Y, 0), "ptp 1": np.ptp(Y, 1), "ptp": np.ptp(Y),
    "ptp of nan": np.ptp(X, 1),
    "average": np.average(Y, weights=W), "average 0": np.average(Y, 0, W), "average vector": np.average(Y, 1, W[0]),
    "average keep": np.average(Y, 1, W, keepdims=True),
    "cov": np.cov(Y), "cov columns": np.cov(Y, rowvar=False), "cov ddof": np.cov(Y, ddof=0), "cov vector": np.cov(Y[0]),
    "cov one": np.cov(Y[:, :1]), "cov empty": np.cov(Z), "corrcoef": np.corrcoef(Y), "corrcoef columns": np.corrcoef(Y, rowvar=False),
    "corrcoef vector": np.corrcoef(Y[0]), "corrcoef constant": np.corrcoef(np.array([[1, 1, 1], [1, 2, 3]], np.float32)),
    "isclose": np.isclose(V[:, None], V), "isclose nan": np.isclose(V[:, None], V, equal_nan=True),
    "isclose far": np.isclose(V[:, None], V, rtol=0.3, atol=2.0),
    "isclose integers": np.isclose(N[:, None], K, rtol=0.1, atol=1.0),
    "allclose": np.allclose(Y, Y * np.float32(1.000001)), "allclose not": np.allclose(Y, Y + W), "allclose empty": np.allclose(Z, Z + 1),
    "nan_to_num": np.nan_to_num(V), "nan_to_num with": np.nan_to_num(V, nan=1.5, posinf=2.5, neginf=-3.5),
    "round 1": np.round(V, 1), "round 2": np.round(Y * np.float32(0.317), 2), "round -1": np.round(Y * np.float32(13.7), -1),
    "round integers": np.round(N.astype(np.int32), -1), "round hundreds": np.round(N.astype(np.int32) * 7, -2),
    "divmod q": np.divmod(Y, np.float32(1.5))[0], "divmod r": np.divmod(Y, np.float32(1.5))[1],
    "divmod integers": np.divmod(N.astype(np.int32), np.int32(7))[1],
    "modf fraction": np.modf(V)[0], "modf whole": np.modf(V)[1],
    "frexp mantissa": np.frexp(V)[0], "frexp exponent": np.frexp(V)[1],
    "ldexp": np.ldexp(V, K), "ldexp far": np.ldexp(np.float32(1.25), np.array([127, 128, -126, -140, -149, -150, -151, -400, 400, 10**6])),
    "heaviside": np.heaviside(V, np.float32(0.25)), "heaviside integers": np.heaviside(N, 0.5),
    "clip lower": np.clip(V, 1.0, None), "clip upper": np.clip(V, None, 1.0),
    "polyval": np.polyval(np.array([2, 0, -1, 0.5], np.float32), Y), "polyval constant": np.polyval(np.array([3], np.float32), Y),
    "polyval none": np.polyval(np.array([], np.float32), Y), "polyval integers": np.polyval(np.array([1, -2, 3]), K),
    "gcd": np.gcd(N[:, None].astype(np.int32), K), "lcm": np.lcm(N[:, None].astype(np.int32), K),
    "gcd narrow": np.gcd(N[:, None], N), "lcm narrow": np.lcm(N[:, None], N),
}
for mode in ["full", "same", "valid"]:
    CASES[f"convolve {mode}"] = np.convolve(A, B, mode)
    CASES[f"convolve short {mode}"] = np.convolve(B, A, mode)
    CASES[f"correlate {mode}"] = np.correlate(A, B, mode)
    CASES[f"correlate short {mode}"] = np.correlate(B, A, mode)
    CASES[f"correlate one {mode}"] = np.correlate(A, B[:1], mode)
    CASES[f"convolve equal {mode}"] = np.convolve(A[:4], B, mode)

lines = []
for name, result in CASES.items():
    r = np.asarray(result)
    lines.append("\t".join([name, " ".join(map(str, r.shape)), " ".join(repr(float(e)) for e in r.ravel())]))
(pathlib.Path(__file__).parent / "statistics.txt").write_text("\n".join(lines) + "\n")
print(len(lines), "lines")
