#!/usr/bin/env python3
"""Makes digits.npy from scikit-learn's copy of the UCI digits.

    pip download --no-deps --only-binary=:all: scikit-learn -d wheel
    python3 make_digits.py wheel/scikit_learn-*.whl

Reads the wheel as a zip file: neither scikit-learn nor NumPy has to be installed.
"""

import gzip
import hashlib
import pathlib
import struct
import sys
import zipfile

MEMBER = "sklearn/datasets/data/digits.csv.gz"
ROWS, COLUMNS = 1797, 65  # 64 pixels and the label


def read_rows(wheel):
    with zipfile.ZipFile(wheel) as archive:
        text = gzip.decompress(archive.read(MEMBER)).decode("ascii")
    return [[int(cell) for cell in line.split(",")] for line in text.splitlines() if line]


def check(rows):
    assert len(rows) == ROWS and all(len(row) == COLUMNS for row in rows), "not 1797 rows of 65"
    assert all(0 <= pixel <= 16 for row in rows for pixel in row[:-1]), "a pixel outside 0..16"
    assert {row[-1] for row in rows} == set(range(10)), "labels other than 0..9"


def npy(rows):
    """Version 1.0 of the format: magic, version, header length, header padded to 64 bytes, data in C order."""
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d), }" % (ROWS, COLUMNS)
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode("latin1")
    return start + bytes(value for row in rows for value in row)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make_digits.py WHEEL")
    rows = read_rows(sys.argv[1])
    check(rows)
    out = pathlib.Path(__file__).with_name("digits.npy")
    data = npy(rows)
    out.write_bytes(data)
    print(f"{out.name}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
