//! The numbers `start + i · step` as an expression, which `arange` and `linspace` use for float dtypes.
//!
//! A plain `start + i · step` loses precision by cancellation: near 0, an f32 of `linspace(-1, 1, 1001)` would have an
//! error of hundreds of ULP. So positions are counted from the element nearest to 0. That element and `step` are
//! rounded to a coarse grid, on which their products and sums are exact. The remainders of both roundings are added
//! last, and only this addition rounds visibly.

use super::{binary, iota};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::Loc;
use crate::graph::expr::{Expr, cast};
use crate::graph::ufunc::{arithmetic, logic};
use smallvec::smallvec;

/// A number as the sum of two f64. The second is at most half a unit in the last place of the first.
pub(super) type DoubleF64 = (f64, f64);

/// Returns the exact sum of two numbers (Knuth's two-sum).
pub(super) fn two_sum(a: f64, b: f64) -> DoubleF64 {
    let s = a + b;
    let t = s - a;
    (s, (a - (s - t)) + (b - t))
}

/// Returns the sum of two [`DoubleF64`] numbers, in about twice the precision of f64.
pub(super) fn add(a: DoubleF64, b: DoubleF64) -> DoubleF64 {
    let (s, e) = two_sum(a.0, b.0);
    two_sum(s, e + (a.1 + b.1))
}

/// Returns the product of a [`DoubleF64`] number and an f64, in about twice the precision of f64.
pub(super) fn times(a: DoubleF64, k: f64) -> DoubleF64 {
    let p = a.0 * k;
    two_sum(p, a.0.mul_add(k, -p) + a.1 * k)
}

/// Returns x · 2^k, even if 2^k is outside the range of f64.
pub(super) fn scaled(x: f64, k: i32) -> f64 {
    x * 2f64.powi(k / 2) * 2f64.powi(k - k / 2)
}

/// Returns the smallest k with |x| < 2^k, or 0 for x = 0.
pub(super) fn exponent(x: f64) -> i32 {
    match x.abs().to_bits() >> 52 {
        0 if x == 0.0 => 0,
        0 => exponent(scaled(x, 64)) - 64,
        e => e as i32 - 1022,
    }
}

/// Returns the multiple of 2^k that is nearest to x.
pub(super) fn on_grid(x: f64, k: i32) -> f64 {
    scaled(scaled(x, -k).round_ties_even(), k)
}

/// Splits a number into the nearest multiple of 2^grid and the remainder.
fn cut(x: DoubleF64, grid: i32) -> DoubleF64 {
    let high = on_grid(x.0, grid);
    (high, (x.0 - high) + x.1)
}

/// `n` evenly spaced numbers: `start + i · step` for i = 0, 1, …
pub(super) struct Line {
    start: DoubleF64,
    step: DoubleF64,
    n: usize,
    /// `start` and `step` are stored multiplied by 2^-scale. The expression for the numbers multiplies by 2^scale at
    /// the end.
    scale: i32,
}

/// In f32 sequences of more than 2^18 elements, the lowest `LOW` bits of an element's position are multiplied by the
/// step separately. Otherwise the rounding errors of the products with whole positions would exceed about a hundredth
/// ULP of the result. 12 bits are half of f32's 24.
const LOW: i32 = 12;

impl Line {
    /// Creates a sequence from its first number and its step, which must both be finite.
    pub fn new(start: DoubleF64, step: DoubleF64, n: usize) -> Line {
        let far = |x: DoubleF64| times(x, 0.25).0;
        let last = far(start) + far(step) * n as f64;
        let largest = far(start).abs().max(last.abs());
        Line { start, step, n, scale: 0 }.scaled(exponent(largest) + 2)
    }

    /// Creates a sequence of `n` evenly spaced numbers from `a` to `b`. `n` must be at least 2.
    pub fn between(a: f64, b: f64, n: usize) -> Line {
        let top = exponent(a).max(exponent(b));
        // numbers near the limits of f64's range are scaled down, so that b − a does not overflow
        let k = if (-900..900).contains(&top) { 0 } else { top };
        let (a, b) = (scaled(a, -k), scaled(b, -k));
        let width = two_sum(b, -a);
        let parts = (n - 1) as f64;
        let high = width.0 / parts;
        let low = ((-high).mul_add(parts, width.0) + width.1) / parts;
        Line { start: (a, 0.0), step: two_sum(high, low), n, scale: k }.scaled(top - k)
    }

    /// Returns the same sequence with another `scale`, so that the largest stored number is neither huge nor tiny. All
    /// numbers that `self` stores must be below 2^top in magnitude.
    fn scaled(self, top: i32) -> Line {
        // the new scale is 0 if f32 can hold all unscaled numbers as normal (not subnormal) numbers
        let k = if (-60..120).contains(&(top + self.scale)) { self.scale } else { -top };
        let by = |x: DoubleF64| (scaled(x.0, k), scaled(x.1, k));
        Line { start: by(self.start), step: by(self.step), scale: self.scale - k, ..self }
    }

    /// Returns whether the first number that [`Line::expr`] computes is certainly `start`, rounded to the dtype.
    pub fn begins_with(&self, start: f64, dtype: DType) -> bool {
        if self.scale != 0 || self.is_long(dtype) {
            return false;
        }
        // a product or a sum of two f32 is the same if it is computed in f64 and then rounded
        let single = |v: f64| if dtype == DType::F64 { v } else { v as f32 as f64 };
        let grid = self.grid(if dtype == DType::F64 { 53 } else { 24 });
        let (j, base) = (-self.anchor(), add(self.start, times(self.step, self.anchor())));
        let [(high, low), (base_high, base_low)] =
            [self.step, base].map(|x| cut(x, grid)).map(|(a, b)| (single(a), single(b)));
        let first = single(single(single(j * high) + base_high) + single(single(j * low) + base_low));
        Scalar::Float(first).bits(dtype) == Scalar::Float(start).bits(dtype)
    }

    pub fn expr(self, dtype: DType, at: Loc) -> Expr {
        // the numbers for f16 and bf16 are computed in f32 and rounded once more here
        let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
        cast(self.wide(wide, at), dtype, at)
    }

    /// Returns whether the lowest bits of positions are multiplied separately (see [`LOW`]).
    fn is_long(&self, dtype: DType) -> bool {
        dtype != DType::F64 && self.n > 1 << 18
    }

    /// Returns the position from which positions are counted: that of the element nearest to 0, because adding multiples
    /// of the step to this element does not cancel.
    fn anchor(&self) -> f64 {
        let nearest = (-self.start.0 / self.step.0).round_ties_even().clamp(0.0, self.n.saturating_sub(1) as f64);
        if nearest.is_nan() { 0.0 } else { nearest }
    }

    /// Returns the exponent of the coarse grid, on which sums and products of numbers of `bits` bits are exact.
    fn grid(&self, bits: i32) -> i32 {
        let end = add(self.start, times(self.step, self.n.saturating_sub(1) as f64)).0;
        exponent(self.start.0.abs().max(end.abs())) + 1 - bits
    }

    fn wide(&self, dtype: DType, at: Loc) -> Expr {
        let bits = if dtype == DType::F64 { 53 } else { 24 };
        let (anchor, grid) = (self.anchor(), self.grid(bits));
        let base = add(self.start, times(self.step, anchor));

        let constant = |v: f64| Expr::fill(Scalar::Float(v), smallvec![], dtype, at);
        let integer = |v: i64| Expr::fill(Scalar::Int(v as i128), smallvec![], DType::I32, at);
        let sum = |a: Expr, b: Expr| binary(&arithmetic::add, a, b, at);
        let product = |a: &Expr, k: f64| binary(&arithmetic::multiply, a, constant(k), at);

        let i = iota(smallvec![self.n], 0, at);
        let j = match anchor as i64 {
            0 => i,
            k => binary(&arithmetic::subtract, i, integer(k), at),
        };
        let (base_high, base_low) = cut(base, grid);
        let line = if !self.is_long(dtype) {
            let (high, low) = cut(self.step, grid);
            let j = cast(j, dtype, at);
            let exact = sum(product(&j, high), constant(base_high));
            sum(exact, sum(product(&j, low), constant(base_low)))
        } else {
            // the position j is split into p · 2^LOW + q with |q| ≤ 2^(LOW − 1), because f32 holds p and q exactly
            let shift = |e: &Expr, k: i32| binary(&logic::bitwise_right_shift, e, integer(k as i64), at);
            let carry = binary(&logic::bitwise_and, shift(&j, LOW - 1), integer(1), at);
            let p = sum(shift(&j, LOW), carry);
            let whole = binary(&logic::bitwise_left_shift, &p, integer(LOW as i64), at);
            let q = cast(binary(&arithmetic::subtract, &j, whole, at), dtype, at);
            let p = cast(p, dtype, at);
            let (high, low) = cut(times(self.step, scaled(1.0, LOW)), grid);
            // q has at most LOW bits, so its product with LOW bits of the step is exact
            let short = on_grid(self.step.0, exponent(self.step.0) - LOW);
            let exact = sum(product(&p, high), constant(base_high));
            let fine = sum(product(&q, (self.step.0 - short) + self.step.1), constant(base_low));
            sum(exact, sum(product(&p, low), sum(product(&q, short), fine)))
        };
        // To undo the scale, the result is multiplied by several powers of two of roughly equal size, each within f32's
        // exponent range (±126). Such a product is rounded only if it is a subnormal number. If this happens before the
        // last product, the remaining factors make the result 0. So the products round a nonzero result at most once.
        let factors = (self.scale.abs() + 125) / 126;
        let factor = |f: i32| (f + 1) * self.scale / factors - f * self.scale / factors;
        (0..factors).fold(line, |line, f| product(&line, scaled(1.0, factor(f))))
    }
}
