#![no_main]
//! See tests/fuzz/text.rs, which tests/fuzz/main.rs runs too.

#[path = "../../tests/kit/memory.rs"]
mod memory;
#[path = "../../tests/fuzz/text.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
