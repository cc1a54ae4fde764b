#!/usr/bin/env python3
"""Writes guide.txt and array_api.txt: the results of the NumPy expressions in tests/arrays/guide.rs and tests/arrays/array_api.rs.

    python3 -m venv /tmp/np && /tmp/np/bin/pip install numpy && /tmp/np/bin/python tests/data/make_guide.py

A line has the expression, the shape of the result and its elements (none if they are random), separated by tabs.
"""
import pathlib
import re
import types

import numpy as np

HERE = pathlib.Path(__file__).parent


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def names():
    x = np.array([[1.5, 0.5, 2, 0.5], [2.5, 4.5, 1, 3], [2.5, 1.5, 2.5, 4]], np.float32)
    y = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    scipy = types.SimpleNamespace(special=types.SimpleNamespace(softmax=softmax))
    return {"np": np, "x": x, "y": y, "v": np.array([4, 1, 3, 2], np.float32), "n": np.array([7, -3, 5, 2]),
            "i": np.array([2, 0, 1]), "m": x > 2, "u": np.array([0.25, -0.5, 0.75, 0], np.float32), "k": np.array([1, 2, 3, 12]),
            "q": np.array([True, True, False, False]), "rng": np.random.default_rng(0),
            "list_of_floats": [1, 2, 3, 4, 5, 6], "scipy": scipy}


def write(name):
    out = []
    for form, text in re.findall(r'^    (same!\(|write!\(x, )"(.*?)", ', (HERE.parent / "arrays" / f"{name}.rs").read_text(), re.M):
        scope = names()
        if form.startswith("same"):
            result = np.asarray(eval(text, scope))
        else:
            exec(text, scope)
            result = scope["x"]
        values = [] if "random" in text or "rng" in text else [repr(float(e)) for e in result.ravel()]
        out.append("\t".join([text, " ".join(map(str, result.shape)), " ".join(values)]))
    (HERE / f"{name}.txt").write_text("\n".join(out) + "\n")
    print(len(out), "lines")


write("guide")
write("array_api")
