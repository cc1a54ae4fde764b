//! Tests of the library in WebAssembly. `cupric-serve --hashes` compares the golden hashes of `tests/programs/hashes`
//! in node, and the tests of the page call `trials.rs` on the browser's GPU.
// the tests that are not run here name sizes beyond 32 bits
#![allow(dead_code, unused_imports, arithmetic_overflow)]

#[path = "../../../../tests/programs/hashes/mod.rs"]
mod hashes;
#[path = "../../../../tests/kit/mod.rs"]
mod kit;
#[path = "../../../../tests/programs/random_expressions/mod.rs"]
mod random_expressions;

mod kernels;
mod trials;

mod contract;
#[path = "../../../../tests/accuracy/sweep/judge.rs"]
mod judge;
#[path = "../../../../tests/accuracy/sweep/samples.rs"]
mod samples;

use wasm_bindgen::prelude::*;

/// Returns a line with a name and a hash for each result.
#[wasm_bindgen]
pub fn all() -> String {
    console_error_panic_hook::set_once();
    hashes::lines(&hashes::all())
}
