#!/usr/bin/env python3
"""Writes factor.txt, the results of SciPy in f64 for the functions of tests/factor/values.rs, and factor_general.txt, eigenvalues
of NumPy for tests/factor/general.rs, as pairs of a real and an imaginary part.

    python3 -m venv /tmp/np && /tmp/np/bin/pip install scipy && /tmp/np/bin/python tests/data/make_factor.py

A line has the call, the shape of the result and its elements, separated by tabs. The signs of vectors are arbitrary, so the file
has the magnitudes of their elements.
"""
import pathlib

import numpy as np
import scipy.linalg as sl


def sequence(shape, factor):
    """Numbers that both languages compute exactly: multiples of 1/64 from -8 to 8."""
    n = int(np.prod(shape))
    k = np.arange(n)
    return (((3 * k * k + k * factor) % 1024 - 512) / 64).reshape(shape)


lines = []


def add(name, value):
    value = np.asarray(value, dtype=float)
    shape = " ".join(str(n) for n in value.shape)
    lines.append(f"{name}\t{shape}\t{' '.join(f'{v:.17g}' for v in value.ravel())}")


for n in [1, 2, 5, 12]:
    a = sequence((n, n), 389)
    w, v = sl.eigh(a, lower=True)
    add(f"eigvalsh {n} {n}", w)
    add(f"eigh {n} {n}", abs(v))
for m, n in [(1, 1), (5, 5), (7, 3), (3, 7), (12, 12)]:
    a = sequence((m, n), 641)
    u, s, vt = sl.svd(a, full_matrices=False)
    add(f"svdvals {m} {n}", s)
    add(f"svd_u {m} {n}", abs(u))
    add(f"svd_v {m} {n}", abs(vt))
    q, r = sl.qr(a, mode="economic")
    add(f"qr_q {m} {n}", abs(q))
    add(f"qr_r {m} {n}", abs(r))
    add(f"pinv {m} {n}", sl.pinv(a))
    add(f"lstsq {m} {n}", sl.lstsq(a, sequence((m, 2), 389))[0])
    add(f"matrix_rank {m} {n}", np.linalg.matrix_rank(a))
    add(f"cond {m} {n}", np.linalg.cond(a))
    add(f"norm_two {m} {n}", np.linalg.norm(a, 2))
    add(f"norm_minus_two {m} {n}", np.linalg.norm(a, -2))
    add(f"norm_nuclear {m} {n}", np.linalg.norm(a, "nuc"))

(pathlib.Path(__file__).parent / "factor.txt").write_text("\n".join(lines) + "\n")

lines = []
for n in [1, 2, 3, 5, 12, 20]:
    w = np.linalg.eigvals(sequence((n, n), 641))
    add(f"eigvals {n}", np.stack([w.real, w.imag], axis=1))
(pathlib.Path(__file__).parent / "factor_general.txt").write_text("\n".join(lines) + "\n")
