#![no_main]
//! See tests/fuzz/kernels.rs, which tests/fuzz/main.rs runs too.

#[path = "../../tests/fuzz/kernels.rs"]
mod body;
#[allow(dead_code, reason = "a part of the list is asked for")]
#[path = "../../tests/kit/operations/mod.rs"]
mod operations;
#[path = "../../tests/fuzz/source.rs"]
mod source;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
