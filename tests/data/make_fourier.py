#!/usr/bin/env python3
"""Writes fourier.txt: the results of NumPy for the functions that fourier.rs and complex.rs test.

    python3 -m venv /tmp/np && /tmp/np/bin/pip install numpy && /tmp/np/bin/python tests/data/make_fourier.py

A line has a name, the shape of the result and its elements, separated by tabs. A complex result has one more axis of length 2.
The name of a transform is `function axes lengths norm`, from which `tests/operations/fourier.rs` makes the call.
`tests/operations/complex.rs` has the calls of the other names.
"""
import pathlib

import numpy as np


def sequence(shape, factor):
    """Numbers that both languages compute exactly: multiples of 1/64 from -8 to 8."""
    n = int(np.prod(shape))
    return ((np.arange(n) * factor % 1024 - 512) / 64).reshape(shape)


X = sequence((2, 3, 5), 389) + 1j * sequence((2, 3, 5), 641)
lines = []


def add(name, value):
    value = np.asarray(value)
    if np.iscomplexobj(value):
        value = np.stack([value.real, value.imag], -1)
    shape = " ".join(str(n) for n in value.shape)
    lines.append(f"{name}\t{shape}\t{' '.join(f'{v:.9g}' for v in value.ravel())}")


for norm in ["backward", "ortho", "forward"]:
    for name in ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]:
        x = X.real if name in ("rfft", "ihfft") else X
        f = getattr(np.fft, name)
        for axis, n in [(-1, None), (0, None), (1, None), (-1, 4), (-1, 5), (1, 6), (1, 1), (0, 13), (2, 12)]:
            if n is None and norm == "ortho" and axis == 0:
                continue
            add(f"{name} {axis} {n or '-'} {norm}", f(x, n=n, axis=axis, norm=norm))
    for name in ["fftn", "ifftn", "rfftn", "irfftn"]:
        x = X.real if name == "rfftn" else X
        f = getattr(np.fft, name)
        for axes, s in [(None, None), ((0, 2), None), ((2, 0), (3, 5)), ((1,), (4,)), ((-1, -2), (6, 9))]:
            text = ["-" if v is None else ",".join(str(n) for n in v) for v in (axes, s)]
            add(f"{name} {text[0]} {text[1]} {norm}", f(x, s=s, axes=axes, norm=norm))
for n in [1, 2, 7, 8]:
    add(f"fftfreq {n}", np.fft.fftfreq(n, 0.25))
    add(f"rfftfreq {n}", np.fft.rfftfreq(n, 0.25))
Y = X.real
for axes in [None, (0,), (1, 2), (-1,)]:
    text = "-" if axes is None else ",".join(str(n) for n in axes)
    add(f"fftshift {text}", np.fft.fftshift(Y, axes))
    add(f"ifftshift {text}", np.fft.ifftshift(Y, axes))

A, B = X[0], X[1]
R = B.real
for name, value in {
    "add": A + B, "subtract": A - B, "multiply": A * B, "divide": A / B, "negative": -A,
    "add real": A + R, "subtract real": A - R, "multiply real": A * R, "divide real": A / (R + 0.25),
    "real add": R + A, "real subtract": R - A, "real multiply": R * A, "real divide": R / A,
    "abs": np.abs(A), "angle": np.angle(A), "conj": A.conj(), "exp": np.exp(A / 4), "log": np.log(A), "sqrt": np.sqrt(A),
    "square": A * A, "reciprocal": 1 / A, "sum": A.sum(0), "mean": A.mean(), "matmul": A @ B.T, "matmul real": A @ R.T,
}.items():
    add(name, value)

path = pathlib.Path(__file__).with_name("fourier.txt")
path.write_text("\n".join(lines) + "\n")
