//! Floor 0: scalar mathematics of f32 and f64, which the CPU's loops call for each element.
//!
//! Each function is `#[inline(always)]`, has no branch and no table in memory, and spells out its fused multiply-adds.
//! So a loop over it inside a `#[target_feature]` function (`simd/mod.rs`) compiles to plain vector code, and computes
//! the same bits on every instruction set. Some functions are exceptions, because they branch to a library function for
//! some or all operands: `fmod`, `remainder` and `floor_divide`, and for f64 also `sin`, `cos` and `tan` (but not
//! `sin_near`, `cos_near` and `tan_near`), `asin`, `acos` and `lgamma`.
//!
//! `tests/data/contract.csv` has each function's error bound; a comment at each polynomial states that polynomial's own
//! error.

// Some functions have no caller yet, because a function may be written before the row of the ufunc table that uses it.
#![allow(dead_code, unused_imports)]
// Coefficients are written as they were fitted. Some coefficients are close to ln 2 without being equal to it, and some
// have more digits than an f32 holds.
#![allow(clippy::approx_constant, clippy::excessive_precision)]

pub(crate) mod double;
pub(crate) mod simd;
pub(crate) mod single;
