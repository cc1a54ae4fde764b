#!/usr/bin/env python3
"""Writes sorting.txt, searching.txt, quantiles.txt and segments.txt: the results of NumPy for sorting.rs, searching.rs,
quantiles.rs and segments.rs, with operands that have NaN, infinities, ties and empty axes.

    python3 -m venv /tmp/np && /tmp/np/bin/pip install numpy && /tmp/np/bin/python tests/data/make_sorting.py

A line has a name, the shape of the result and its elements, separated by tabs. In tests/operations/, `sorting.rs`, `scans.rs`,
`searching.rs`, `quantiles.rs` and `segments.rs` have the call of each name. Operands are exact in f32, and NumPy computes in f64.
"""
import pathlib
import warnings

import numpy as np

warnings.simplefilter("ignore")
nan, inf = np.nan, np.inf
X = np.array([[3, 1, 2, 1, 9], [0.5, nan, -2, inf, -inf], [2, 2, 2, 2, 2], [-1, -0.0, 0.0, nan, nan]])
A, B = np.array([2, 1, 2, 1, 1, 2]), np.array([5.0, nan, 5.0, 3.0, nan, 5.0])
C = np.array([0.5, 0.25, 0.125, -inf, 1.0, 0.0])
SORTED = np.array([-inf, -2, 0, 0, 0, 1.5, 3, 3, inf, nan, nan])
QUERY = np.array([[nan, -inf, -3, -2], [0, -0.0, 1.5, 2], [3, 4, inf, 1e30]])
LINE = np.arange(1, 17) * 0.5
UNSORTED = np.array([5.0, -1, 3, 2, 8, 2])
XP, FP = np.array([-2.0, -1, 0.5, 0.5, 4]), np.array([1.0, 3, -2, 7, 0.25])
H = np.array([0, 0.5, 1, 1.5, 2, 2.5, 3, 4, -1, 5, nan, 4, 1, inf, -inf, 0.25, 3.75])
F = H[np.isfinite(H)]
G = np.array([1, 1, 0.5, 2, 2, 2.5, 1, 0, 1, 2, 2, 0.5, nan, 1, 1, 0, 0.25])
Q = np.array([[3, 1, 2, 1, 9, 4, -2.5], [0.5, 8, -2, 6, -6, 7, 7], [2, 2, 2, 2, 2, 2, 2]])
N = np.array([[3, nan, 2, 1, nan, 4], [nan, nan, nan, nan, nan, nan], [nan, nan, nan, 7, nan, nan], [1, 5, -inf, inf, nan, 2]])
P = np.array([[3, nan, 2, 1, nan, 4, -2.5], [nan] * 7, [nan, nan, nan, 7, nan, nan, nan], [1, 5, -3, 8, nan, 2, 0.5]])
L = np.array([[1e4, 9999.5, -inf, 3, 10001], [-inf, -inf, 0.5, -0.0, nan], [inf, 1, -inf, 2, 3], [-1000, -1000.5, -999, -1e4, -998]])
Z = np.zeros((2, 0))
METHODS = ["linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf", "averaged_inverted_cdf", "closest_observation",
           "interpolated_inverted_cdf", "hazen", "weibull", "median_unbiased", "normal_unbiased"]
QS = [0, 0.1, 0.25, 0.3, 0.5, 0.7, 0.75, 0.875, 1]


def stable(x, axis, down):
    return np.argsort(-x if down else x, axis=axis, kind="stable")


def sorting():
    out = {}
    for axis in (0, 1):
        for k in range(X.shape[axis] + 1):
            for down in (False, True):
                places = stable(X, axis, down).take(range(k), axis)
                name = f"{axis} {k} {'largest' if down else 'smallest'}"
                out["topk " + name] = np.take_along_axis(X, places, axis)
                out["argtopk " + name] = places
        for k in range(-X.shape[axis], X.shape[axis]):
            out[f"partition {axis} {k}"] = np.partition(X, k, axis).take(k, axis)
            picked = np.take_along_axis(X, np.argpartition(X, k, axis), axis).take(k, axis)
            out[f"argpartition {axis} {k}"] = picked
        out[f"lexsort {axis}"] = np.lexsort((X[::-1], np.round(X / 4)), axis=axis)
        for name, row in (("max", np.maximum), ("min", np.minimum)):
            out[f"cum{name} {axis}"] = row.accumulate(X, axis)
    out["lexsort two"], out["lexsort three"] = np.lexsort((A, B)), np.lexsort((C, B, A))
    out["lexsort one"] = np.lexsort((B,))
    for axis in (0, 1):
        out[f"logcumsumexp {axis}"] = np.logaddexp.accumulate(L, axis)
    return out


def searching():
    out = {}
    for side in ("left", "right"):
        out["searchsorted " + side] = np.searchsorted(SORTED, QUERY, side)
        for n in range(len(LINE) + 1):
            out[f"searchsorted {side} {n}"] = np.searchsorted(LINE[:n], np.arange(0, 18) * 0.5, side)
        order = np.argsort(UNSORTED, kind="stable")
        out[f"searchsorted {side} sorter"] = np.searchsorted(UNSORTED, QUERY, side, order)
    for right in (False, True):
        side = "right" if right else "left"
        out["digitize up " + side] = np.digitize(QUERY, SORTED[1:8], right)
        out["digitize down " + side] = np.digitize(QUERY, SORTED[7:0:-1], right)
        out["digitize one " + side] = np.digitize(QUERY, SORTED[5:6], right)
        out["digitize none " + side] = np.digitize(QUERY, SORTED[:0], right)
    at = np.array([[nan, -inf, inf, -3], [-2, -1.5, -1, 0], [0.5, 1, 4, 5]])
    out["interp"] = np.interp(at, XP, FP)
    # for a single point NumPy returns its value, also at NaN
    out["interp one"] = np.where(np.isnan(at), nan, np.interp(at, XP[:1], FP[:1]))
    out["interp ends"] = np.interp(at, [-2, -2, 0.5, 4, 4], FP)
    out["interp two"] = np.interp(at, XP[:2], FP[:2])
    out["interp infinite"] = np.interp(at, XP[:3], [inf, inf, 2.0])
    for bins in (1, 3, 4, 10):
        for name, span in (("all", None), ("part", (0.5, 4.0)), ("point", (1.0, 1.0))):
            counts, edges = np.histogram(F if span is None else H, bins, span)
            out[f"histogram {name} {bins}"], out[f"edges {name} {bins}"] = counts, edges
    out["histogram with"] = np.histogram(H, [0, 0.5, 0.5, 2, 3, 4])[0]
    out["histogram one edge"], out["histogram two edges"] = np.histogram(H, [1])[0], np.histogram(H, [1, 1])[0]
    out["histogram integers"] = np.histogram(np.array([1, 5, 2, 2, 3, 9, -4]), 5)[0]
    out["histogram empty"], out["edges empty"] = np.histogram(Z, 4)
    out["histogram equal"], out["edges equal"] = np.histogram(np.full(3, 2.0), 2)
    real = np.isfinite(H) & np.isfinite(G)
    counts, x, y = np.histogram2d(H[real], G[real], [3, 4])
    out["histogram2d"], out["edges2d x"], out["edges2d y"] = counts, x, y
    out["histogram2d part"] = np.histogram2d(np.nan_to_num(H, nan=99), np.nan_to_num(G, nan=99), [5, 2], [(0, 4), (0.5, 2)])[0]
    return out


def quantiles():
    out = {}
    for method in METHODS:
        for axis in (0, 1, None):
            out[f"quantile {method} {axis}"] = np.quantile(Q, QS, axis, method=method)
        for n in range(1, 6):
            out[f"quantile {method} first {n}"] = np.quantile(Q[0, :n], QS, method=method)
        out[f"quantile {method} nan"] = np.quantile(N, 0.4, 1, method=method)
        out[f"quantile {method} keep"] = np.quantile(Q, 0.35, 1, method=method, keepdims=True)
    out["percentile"] = np.percentile(Q, [0, 12.5, 60, 100], 1)
    for axis in (0, 1, None):
        out[f"median {axis}"], out[f"nanmedian {axis}"] = np.median(Q, axis), np.nanmedian(N, axis)
        out[f"median nan {axis}"], out[f"nanmedian whole {axis}"] = np.median(N, axis), np.nanmedian(Q, axis)
    out["median keep"], out["nanmedian keep"] = np.median(Q, (0, 1), keepdims=True), np.nanmedian(N, 1, keepdims=True)
    out["median empty"], out["nanmedian empty"] = np.median(Z, 1), np.nanmedian(Z, 1)
    out["median no rows"] = np.median(Z, 0)
    for method in METHODS:
        for axis in (0, 1, None):
            out[f"nanquantile {method} {axis}"] = np.nanquantile(P, QS, axis, method=method)
        out[f"nanquantile {method} keep"] = np.nanquantile(P, 0.35, 1, method=method, keepdims=True)
    out["nanpercentile"], out["nanquantile empty"] = np.nanpercentile(P, [0, 12.5, 60, 100], 1), np.nanquantile(Z, 0.3, 1)
    return out


def added(x, i, values):
    x = x.copy()
    np.add.at(x, i, values)
    return x


def segments():
    out = {}
    x = ((np.arange(24) * 7 + 3) % 11 * 0.5 - 2).reshape(4, 6)
    i, v = np.array([2, 0, 2, 3, 0, 2]), x[1]
    out["add.at 0"] = added(x, i, x[[3, 2, 1, 0, 1, 2]] * 2)
    out["add.at 1"] = added(x, (slice(None), [5, -1, 0, 5]), x[:, 1:5])
    out["add.at number"] = added(x, [0, 0, 0, -4, 1], 0.25)
    out["add.at bool"] = added(x > 1.5, [1, 1], x[2:4] > 0)
    out["bincount weights"], out["bincount integers"] = np.bincount(i, v, 5), np.bincount(i, i, 5)
    out["histogram range"] = np.histogram(v, 3, (-1, 2.5), weights=x[2])[0]
    out["histogram all"] = np.histogram(v, 4, weights=x[2])[0]
    out["histogram edges"] = np.histogram(v, [-1, 0, 0.5, 3], weights=x[2])[0]
    out["histogram integers"] = np.histogram(v, 3, (-1, 2.5), weights=i)[0]
    for axis, lists in ((0, ([0], [0, 2], [3, 1, 1, 0, 2])), (1, ([0, 4, 1, 5, 2], [5, 5], [0, 1, 2, 3, 4, 5], [2, 4]))):
        for at in lists:
            name = f"reduceat {','.join(map(str, at))} {axis}"
            out[name] = np.add.reduceat(x, at, axis)
            out[name + " integers"] = np.add.reduceat((x * 2).astype(np.int16), at, axis)
    return out


def main():
    all_of = (sorting(), searching(), quantiles(), segments())
    for name, cases in zip(("sorting", "searching", "quantiles", "segments"), all_of):
        lines = []
        for case, result in cases.items():
            result = np.asarray(result)
            values = [repr(float(e)) for e in result.ravel()]
            lines.append("\t".join([case, " ".join(map(str, result.shape)), " ".join(values)]))
        path = pathlib.Path(__file__).with_name(name + ".txt")
        path.write_text("\n".join(lines) + "\n")
        print(len(lines), "lines of", path.name)


main()
