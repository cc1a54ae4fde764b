#!/usr/bin/env python3
"""Makes font.ttf from DejaVu Sans, with the characters that charts and captions need.

    pip install fonttools
    python3 make_font.py DejaVuSans.ttf

Use version 2.37, from <https://dejavu-fonts.github.io> or Debian's package fonts-dejavu-core.
"""

import hashlib
import pathlib
import sys

from fontTools import subset

# ASCII and Latin-1, then the minus, the ellipsis, dashes and quotation marks
LETTERS = [*range(0x20, 0x7F), *range(0xA0, 0x100), 0x2013, 0x2014, 0x2018, 0x2019, 0x2026, 0x2212]


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make_font.py DejaVuSans.ttf")
    # we do not need hints and ligatures; we keep kerning, and the name and licence in the file
    options = subset.Options(hinting=False, legacy_kern=True, name_IDs=["*"], notdef_outline=True)
    options.drop_tables += ["FFTM", "GDEF", "GPOS", "GSUB", "MATH"]
    font = subset.load_font(sys.argv[1], options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=LETTERS)
    subsetter.subset(font)
    out = pathlib.Path(__file__).with_name("font.ttf")
    subset.save_font(font, out, options)
    data = out.read_bytes()
    print(f"{out.name}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
