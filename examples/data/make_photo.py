#!/usr/bin/env python3
"""Makes china.png from scikit-learn's copy of the photograph.

    pip install pillow
    pip download --no-deps --only-binary=:all: scikit-learn -d wheel
    python3 make_photo.py wheel/scikit_learn-*.whl

Reads the wheel as a zip file: scikit-learn does not have to be installed.
"""

import hashlib
import io
import pathlib
import sys
import zipfile

from PIL import Image

MEMBER = "sklearn/datasets/images/china.jpg"
SIZE = (320, 213)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make_photo.py WHEEL")
    with zipfile.ZipFile(sys.argv[1]) as archive:
        photo = Image.open(io.BytesIO(archive.read(MEMBER))).convert("RGB")
    assert photo.size == (640, 427), "not the photograph that this was written for"
    out = pathlib.Path(__file__).with_name("china.png")
    photo.resize(SIZE, Image.LANCZOS).save(out, optimize=True)
    data = out.read_bytes()
    print(f"{out.name}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
