#!/usr/bin/env python3
"""Writes npy.txt and npy_complex.txt: .npy files of NumPy, for tests/arrays/files.rs and tests/formats/complex.rs.

    python3 -m venv /tmp/np && /tmp/np/bin/pip install numpy && /tmp/np/bin/python tests/data/make_npy.py

A line has the name, the dtype, the shape ("-" for 0-d), the file in hex, and its elements in C order and little endian in hex.
NumPy reads each file before this script writes it, so each is valid for NumPy.
"""
import io
import pathlib

import numpy as np

DTYPES = {"bool": "b1", "u8": "u1", "i8": "i1", "u16": "u2", "i16": "i2", "u32": "u4", "i32": "i4", "u64": "u8",
          "i64": "i8", "f16": "f2", "f32": "f4", "f64": "f8"}
rng = np.random.default_rng(1)
lines = []


def random(code, shape):
    """Random bits, which include NaN payloads, subnormals and extreme values."""
    size = int(np.prod(shape, dtype=int))
    if code == "b1":
        return rng.integers(0, 2, size).astype(bool).reshape(shape)
    return np.frombuffer(rng.bytes(size * np.dtype(code).itemsize), "<" + code).reshape(shape)


def record(name, dtype, file, array):
    back = np.load(io.BytesIO(file))
    little = array.astype(array.dtype.newbyteorder("<"))
    assert back.shape == array.shape and back.astype(little.dtype).tobytes() == little.tobytes(), name
    shape = ",".join(map(str, array.shape)) or "-"
    lines.append(" ".join([name, dtype, shape, file.hex(), little.tobytes().hex() or "-"]))


def file_of(array, version):
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version)
    return out.getvalue()


def by_hand(version, header, data):
    width = 2 if version == 1 else 4
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(width, "little") + header.encode() + data


# every dtype × order of axes × version × byte order
for dtype, code in DTYPES.items():
    for version in (1, 2, 3):
        for order in "CF":
            for end in "<>|=":
                # NumPy reads |f4 in the machine's byte order, but never writes it
                a = np.asarray(random(code, (2, 3)), (end if end in "<>" else "<") + code, order=order)
                file = file_of(a, (version, 0))
                if end in "|=":
                    file = file.replace(a.dtype.str.encode(), (end + code).encode(), 1)
                record(f"{dtype}_{order}_v{version}_{ {'<': 'little', '>': 'big', '|': 'none', '=': 'native'}[end]}",
                       dtype, file, a)

# shapes, as np.save writes them
for shape in [(), (0,), (1,), (7,), (3, 0, 2), (5, 1, 2), (1, 1, 1), (2, 2, 2, 2), (1,) * 20 + (3,), (2, 3, 4),
              (1,) * 64, (123456, 0), (70,)]:
    for order in "CF":
        a = np.asarray(random("f4", shape), order=order)
        out = io.BytesIO()
        np.save(out, a)
        record(f"shape_{order}_{'x'.join(map(str, shape))[:20]}", "f32", out.getvalue(), a)

# headers in the style of other programs
a = np.arange(6, dtype="<i2").reshape(2, 3)
for name, version, header in [
    ("double_quotes", 1, '{"descr": "<i2", "fortran_order": False, "shape": (2, 3)}\n'),
    ("other_order", 1, "{'shape': (2, 3), 'descr': '<i2', 'fortran_order': False}\n"),
    ("no_spaces", 1, "{'shape':(2,3),'descr':'<i2','fortran_order':False,}"),
    ("more_spaces", 2, "{ 'descr' :\t'<i2' , 'fortran_order' :\n False , 'shape' : ( 2 , 3 , ) , }   \n"),
    ("python_2", 1, "{'descr': '<i2', 'fortran_order': False, 'shape': (2L, 3L), }   \n"),
    ("no_padding", 3, "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }\n"),
]:
    record(f"header_{name}", "i16", by_hand(version, header, a.tobytes()), a)
# longer than version 1.0 allows (NumPy reads up to 10,000 bytes by default)
big = by_hand(2, "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }".ljust(9000) + "\n", a.tobytes())
record("header_9001_bytes", "i16", big, a)

pathlib.Path(__file__).with_name("npy.txt").write_text("\n".join(lines) + "\n")
print(len(lines), "files with NumPy", np.__version__)

# complex numbers: dtype × byte order × order of axes × version, and some shapes
lines.clear()
for dtype, code in {"f32": "c8", "f64": "c16"}.items():
    for end in "<>":
        for order in "CF":
            for version in (1, 3):
                a = np.asarray((rng.integers(-9, 9, (2, 3)) + 1j * rng.integers(-9, 9, (2, 3))) / 4, end + code, order=order)
                record(f"{dtype}_{end}_{order}_v{version}", dtype, file_of(a, (version, 0)), a)
    for shape in [(), (0,), (1,), (2, 1, 2), (3, 0)]:
        for order in "CF":
            a = np.asarray(rng.integers(-9, 9, shape) * (0.5 - 0.25j), "<" + code, order=order)
            record(f"{dtype}_{order}_{'x'.join(map(str, shape))}", dtype, file_of(a, (1, 0)), a)
pathlib.Path(__file__).with_name("npy_complex.txt").write_text("\n".join(lines) + "\n")
