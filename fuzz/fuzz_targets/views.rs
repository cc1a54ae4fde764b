#![no_main]
//! See tests/fuzz/views.rs, which tests/fuzz/main.rs runs too.

#[path = "../../tests/fuzz/views.rs"]
mod body;
#[path = "../../tests/fuzz/source.rs"]
mod source;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
