#![no_main]
//! See tests/fuzz/state.rs, which tests/fuzz/main.rs runs too.

#[path = "../../tests/fuzz/state.rs"]
mod body;
#[path = "../../tests/fuzz/source.rs"]
mod source;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
