#!/usr/bin/env python3
"""Writes tasks.txt: the results of NumPy for the programs of tests/operations/recipes.rs, which compute the same with cupric.

    python3 -m venv /tmp/np && /tmp/np/bin/pip install numpy && /tmp/np/bin/python tests/data/make_tasks.py

A line has the program's name, the shape of its result and the elements, separated by tabs.
"""
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent


def whole(n, factor):
    """Whole numbers from -50 to 50. Sums of their squares are exact in f32."""
    return (np.arange(n) * factor + 13) % 101 - 50


def attention():
    q, k, v = (whole(48, f).reshape(2, 6, 4) / 32 for f in (37, 41, 59))
    scores = q @ k.transpose(0, 2, 1) / 2
    scores = np.where(np.tri(6), scores, -np.inf)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True) @ v


def distances():
    points, queries = whole(150, 17).reshape(50, 3), whole(21, 29).reshape(7, 3)
    return ((queries[:, None] - points) ** 2).sum(-1)


def neighbours():
    return np.argsort(distances(), axis=1, kind="stable")[:, :4]


def votes():
    labels = np.arange(50) % 3
    return np.array([np.bincount(labels[row], minlength=3).argmax() for row in neighbours()])


def within_radius():
    return (distances() <= 40**2).sum(1)


def kmeans_step():
    points, centres = whole(120, 23).reshape(60, 2), whole(8, 31).reshape(4, 2)
    nearest = ((points[:, None] - centres) ** 2).sum(-1).argmin(1)
    sums = np.zeros((4, 2))
    np.add.at(sums, nearest, points)
    return sums / np.maximum(np.bincount(nearest, minlength=4), 1)[:, None]


def life():
    board = whole(72, 43).reshape(8, 9) > 10
    for _ in range(5):
        around = sum(np.roll(board.astype(int), (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0))
        board = (around == 3) | board & (around == 2)
    return board


def pagerank():
    n = 12
    source, target = np.arange(40) * 7 % 11, np.arange(40) ** 2 % 12
    links = np.bincount(source, minlength=n)
    rank = np.full(n, 1 / n)
    for _ in range(20):
        given = np.zeros(n)
        np.add.at(given, target, (rank / np.maximum(links, 1))[source])
        # page 11 has no links, so its rank is divided among all pages
        rank = 0.15 / n + 0.85 * (given + rank[links == 0].sum() / n)
    return rank


def stump():
    """The threshold with the fewest errors if values above it are classified as true, and the number of errors."""
    x, y = whole(200, 67), np.arange(200) * 5 % 7 < 3
    y = y ^ (x > 12)
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    # for a split after element i, true elements up to i and false elements after i are errors
    errors = np.cumsum(y) + (~y).sum() - np.cumsum(~y)
    errors = np.where(x[:-1] < x[1:], errors[:-1], 200)
    best = errors.argmin()
    return np.array([x[best], errors[best]])


def main():
    out = []
    for f in (attention, neighbours, votes, within_radius, kmeans_step, life, pagerank, stump):
        result = np.asarray(f(), np.float64)
        out.append("\t".join([f.__name__, " ".join(map(str, result.shape)), " ".join(map(repr, map(float, result.ravel())))]))
    (HERE / "tasks.txt").write_text("\n".join(out) + "\n")


main()
