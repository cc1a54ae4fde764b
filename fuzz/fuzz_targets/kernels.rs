#![no_main]
//! See tests/fuzz/kernels.rs, which tests/fuzz/main.rs runs too.

#[path = "../../tests/fuzz/kernels.rs"]
mod body;
#[path = "../../tests/fuzz/source.rs"]
mod source;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
