#!/usr/bin/env bash
# Makes docs/picture.png, which the README shows: what three examples draw, put side by side by a fourth.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
run() { cargo run --release --quiet --example "$1" -- --device cpu "${@:2}"; }

run mandelbrot --quiet --width 330 --height 220 --out "$parts/mandelbrot.png"
run heat --quiet --size 184 --frames 2 --out "$parts/heat.png"
run digits --quiet --plot "$parts/digits.png"
run strip --height 220 --pictures "$parts/mandelbrot.png,$parts/heat.png,$parts/digits.png" --out docs/picture.png
