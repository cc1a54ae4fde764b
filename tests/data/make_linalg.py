"""Writes linalg.txt: the results of linear algebra in SciPy and NumPy. `tests/linalg/golden.rs` has the matrices.

    python tests/data/make_linalg.py
"""
import pathlib

import numpy as np
import scipy.linalg


def sequence(shape, factor):
    """Numbers that both languages compute exactly: multiples of 1/64 from -8 to 8."""
    n = int(np.prod(shape))
    return ((np.arange(n) * factor % 1024 - 512) / 64).reshape(shape)


lines = []


def add(name, value):
    value = np.asarray(value)
    shape = " ".join(str(n) for n in value.shape)
    lines.append(f"{name}\t{shape}\t{' '.join(f'{v:.17g}' for v in value.ravel())}")


for n in [1, 2, 3, 7, 12]:
    a = sequence((n, n), 389)
    b = sequence((n, 2), 641)
    p = a @ a.T + np.eye(n)
    add(f"cholesky {n}", scipy.linalg.cholesky(p, lower=True))
    add(f"cholesky-upper {n}", scipy.linalg.cholesky(p))
    add(f"solve {n}", scipy.linalg.solve(p, b))
    add(f"inv {n}", scipy.linalg.inv(p))
    add(f"det {n}", scipy.linalg.det(p))
    add(f"logabsdet {n}", np.linalg.slogdet(p)[1])
    add(f"sign {n}", np.linalg.slogdet(-p)[0])
    for kind in ["lower", "upper", "unitlower", "unitupper"]:
        t = a / 16 + 2 * np.eye(n)
        x = scipy.linalg.solve_triangular(t, b, lower="lower" in kind, unit_diagonal="unit" in kind)
        add(f"{kind} {n}", x)
    # SciPy returns the inverse permutation
    q, l, u = scipy.linalg.lu(np.fliplr(p), p_indices=True)
    add(f"order {n}", np.argsort(q))
    add(f"l {n}", l)
    add(f"u {n}", u)
path = pathlib.Path(__file__).with_name("linalg.txt")
path.write_text("\n".join(lines) + "\n")
