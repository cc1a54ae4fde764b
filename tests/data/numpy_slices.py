"""Writes numpy_slices.txt: the results of basic indexing of arange(n).reshape(shape) in NumPy.

A line is a case: shape | items | shape of the result | elements. Items: i<n> is an index, r<a>:<b>:<c> a range with _ for an
absent bound, e the Ellipsis, n a new axis. Run with any NumPy: python numpy_slices.py > numpy_slices.txt
"""
import random

import numpy as np

random.seed(1)
SHAPES = [(), (1,), (5,), (12,), (0,), (3, 4), (4, 1, 3), (2, 3, 4), (2, 0, 3), (1, 1, 1), (2, 3, 2, 3), (7, 2)]


def bound(n):
    return random.choice([None, None, 0, 1, -1, n, -n, n + 3, -n - 3, random.randint(-n - 1, n + 1), 2**40, -(2**40)])


def case():
    shape = random.choice(SHAPES)
    x = np.arange(int(np.prod(shape))).reshape(shape)
    items, text = [], []
    axes = random.randint(0, len(shape))
    ellipsis = random.randint(0, axes) if random.random() < 0.4 else None
    tail = random.random() < 0.5
    for k in range(axes):
        n = shape[k] if ellipsis is None or k < ellipsis else shape[len(shape) - axes + k]
        if ellipsis == k:
            items.append(Ellipsis)
            text.append("e")
        if random.random() < 0.15:
            items.append(None)
            text.append("n")
        if n and random.random() < 0.3:
            i = random.randint(-n, n - 1)
            items.append(i)
            text.append(f"i{i}")
        else:
            a, b = bound(n), bound(n)
            c = random.choice([None, 1, 2, 3, -1, -2, -3, 5, -7, 2**40, -(2**40)])
            items.append(slice(a, b, c))
            text.append("r" + ":".join("_" if v is None else str(v) for v in (a, b, c)))
    if ellipsis == axes:
        items.append(Ellipsis)
        text.append("e")
    if tail and random.random() < 0.2:
        items.append(None)
        text.append("n")
    y = x[tuple(items)]
    join = lambda v: " ".join(str(int(i)) for i in v)
    return f"{join(shape)}|{' '.join(text)}|{join(y.shape)}|{join(np.ravel(y))}"


seen = dict.fromkeys(case() for _ in range(1500))
print("\n".join(seen))
