#!/usr/bin/env bash
# Makes docs/picture.png for the README: the example `strip` joins the pictures of two other examples.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
run() { cargo run --release --quiet --example "$1" -- "${@:2}"; }

run overview --device gpu --height 280 --out "$parts/overview.png"
run digits --device cpu --quiet --plot "$parts/loss.png" --answers "$parts/answers.png"
run strip --device cpu --height 280 --pictures "$parts/overview.png,$parts/answers.png" --out docs/picture.png
