//! The golden hashes of `tests/programs/hashes`, computed in WebAssembly: `cupric-serve --hashes` compares them.
// the tests that are not run here name sizes beyond 32 bits
#![allow(dead_code, unused_imports, arithmetic_overflow)]

#[path = "../../../../tests/programs/hashes/mod.rs"]
mod hashes;
#[path = "../../../../tests/kit/mod.rs"]
mod kit;
#[path = "../../../../tests/programs/random_expressions/mod.rs"]
mod random_expressions;

use wasm_bindgen::prelude::*;

/// Returns a line with a name and a hash for each result.
#[wasm_bindgen]
pub fn all() -> String {
    console_error_panic_hook::set_once();
    hashes::lines(&hashes::all())
}
