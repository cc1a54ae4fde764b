#![no_main]
//! See tests/fuzz/npz.rs, which tests/fuzz/main.rs runs too.

#[path = "../../tests/kit/memory.rs"]
mod memory;
#[path = "../../tests/fuzz/npz.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
