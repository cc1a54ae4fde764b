//! Floor 0: scalar functions of f32 and f64, which the CPU's loops call for each element. (`ARCHITECTURE.md` lists the
//! floors.)
//!
//! Each function is `#[inline(always)]`, has no branch and no table in memory, and spells out its fused multiply-adds.
//! So a loop that calls the function inside a `#[target_feature]` function (`simd/mod.rs`) compiles to vector code, and
//! computes the same bits on every instruction set.
//!
//! Some functions are exceptions, because they branch to a library function for some or all operands: `fmod`,
//! `remainder`, `floor_divide`, and for f64 also `sin`, `cos`, `tan`, `asin`, `acos` and `lgamma`. (`sin_near`,
//! `cos_near` and `tan_near` have no branch.)
//!
//! `tests/data/contract.csv` has each function's error bound. The comment at each polynomial states the polynomial's
//! largest error.

// Coefficients are written as they were fitted. Some coefficients are close to ln 2 without being equal to it, and some
// have more digits than an f32 holds.
#![allow(clippy::approx_constant, clippy::excessive_precision)]

/// Functions whose code is the same for f32 and f64; they call the type's own `fmod`.
macro_rules! same_code {
    ($t:ident, $u:ident) => {
        /// Returns NumPy's `%`: the remainder, which has the sign of the divisor even if the remainder is 0.
        #[inline(always)]
        pub(crate) fn remainder(x: $t, y: $t) -> $t {
            let m = fmod(x, y);
            let crosses = (m != 0.0) & ((y < 0.0) != (m < 0.0));
            let m = if crosses { m + y } else { m };
            if m == 0.0 { <$t>::copysign(0.0, y) } else { m }
        }

        /// Returns NumPy's `//`: the floor of the exact quotient, computed from the exact remainder. If y is 0, returns
        /// x / y.
        #[inline(always)]
        pub(crate) fn floor_divide(x: $t, y: $t) -> $t {
            let m = fmod(x, y);
            let crosses = (m != 0.0) & ((y < 0.0) != (m < 0.0));
            let d = (x - m) / y;
            let d = if crosses { d - 1.0 } else { d };
            let f = d.floor();
            let f = if d - f > 0.5 { f + 1.0 } else { f };
            let q = x / y;
            let f = if d == 0.0 { <$t>::copysign(0.0, q) } else { f };
            if y == 0.0 { q } else { f }
        }

        /// Returns the next number after `x` in the direction of `y`.
        #[inline(always)]
        pub(crate) fn nextafter(x: $t, y: $t) -> $t {
            let away = (y > x) == (x > 0.0);
            // adding 1 to the bits gives the next number away from zero, subtracting 1 the next number toward it
            let step = <$t>::from_bits(x.to_bits().wrapping_add(2 * (away as $u)).wrapping_sub(1));
            let tiny = <$t>::from_bits(1).copysign(y);
            let r = if x == 0.0 { tiny } else { step };
            let r = if x == y { y } else { r };
            if x.is_nan() | y.is_nan() { x + y } else { r }
        }
    };
}

pub(crate) mod double;
mod fused;
pub(crate) mod simd;
pub(crate) mod single;

pub(crate) use fused::{Fused, rounds_once};
#[cfg(cupric_relaxed_simd)]
pub(crate) use fused::{cupric_f32x4_madd, cupric_f64x2_madd};
