//! Distributions, permutations and random choice, built from the generators in `random.rs`. Draws that invert a
//! distribution function fuse into the kernel that reads them. A draw depends only on the seed and on the index of the
//! call in the sequence of calls. So every device and any number of threads draw the same numbers: integers bit for
//! bit, and floats within the error bounds of the functions that compute them.

mod continuous;
mod counts;
mod discrete;
mod gamma;
mod normal;
mod order;
mod table;

use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::graph::expr::{Expr, Operand, binary, cast, choose, unary};
use crate::graph::ufunc::{arithmetic, float, logic};
use crate::ops::random::word_constant;

/// The random words of a draw: a function that maps the index of a word, 0 to 3, to an expression of u32 words.
type Words<'a> = &'a dyn Fn(u8) -> Expr;

fn add(a: impl Operand, b: impl Operand, at: Loc) -> Expr {
    binary(&arithmetic::add, a, b, at)
}

fn times(a: impl Operand, b: impl Operand, at: Loc) -> Expr {
    binary(&arithmetic::multiply, a, b, at)
}

/// Returns the dtype in which a draw of a float type is computed: f64 for f64, and f32 for all others.
fn computed_in(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// Returns how many u32 words one uniform number of dtype `wide` needs.
fn words_of(wide: DType) -> u8 {
    if wide == DType::F64 { 2 } else { 1 }
}

/// Computes a uniform number in (0, 1) from the word with index `first` (for f64, from this word and the next). The
/// result is an odd multiple of 2^-24, or of 2^-53 for f64. So 0 and 1 are never drawn, logarithms are finite, and for
/// a result u, 1 − u has exactly the same distribution.
fn inside(word: Words, first: u8, wide: DType, at: Loc) -> Expr {
    let shifted = |e: Expr, by: u32| binary(&logic::bitwise_right_shift, e, word_constant(by, at), at);
    let odd = |e: Expr| binary(&logic::bitwise_or, e, word_constant(1, at), at);
    if wide == DType::F64 {
        let high = times(cast(shifted(word(first), 5), wide, at), 2f64.powi(26), at);
        let low = cast(odd(shifted(word(first + 1), 6)), wide, at);
        return times(add(high, low, at), 2f64.powi(-53), at);
    }
    times(cast(odd(shifted(word(first), 8)), wide, at), 2f64.powi(-24), at)
}

/// Computes a uniform number in (0, 1) whose small values are spaced as closely as the dtype allows. For f32 the result
/// is (w + 1/2) · 2^-32 for the word w, but at most 1 − 2^-24. For f64 it is the result of [`inside`].
fn fine(word: Words, first: u8, wide: DType, at: Loc) -> Expr {
    if wide == DType::F64 {
        return inside(word, first, wide, at);
    }
    let v = times(add(cast(word(first), wide, at), 0.5, at), 2f64.powi(-32), at);
    binary(&arithmetic::minimum, v, 1.0 - 2f64.powi(-24), at)
}

/// Draws from the exponential distribution with mean 1: −log(1 − v) for a uniform v in (0, 1). The result is never 0 or
/// infinite. Small results are spaced as closely as small v.
fn unit_exponential(word: Words, first: u8, wide: DType, at: Loc) -> Expr {
    let v = fine(word, first, wide, at);
    let log = unary(&float::log1p, unary(&arithmetic::negative, v, at), at);
    unary(&arithmetic::negative, log, at)
}

/// Returns `location + scale · e`.
fn placed(e: Expr, location: f64, scale: f64, at: Loc) -> Expr {
    add(times(e, scale, at), location, at)
}

fn wrong(op: &'static str, detail: String, at: Loc) -> Error {
    Error::with_line(ErrorKind::Argument, op, detail, at)
}

/// Returns an error if a parameter is not finite in the dtype of the computation.
fn finite(op: &'static str, name: &str, v: f64, wide: DType, at: Loc) -> Result<f64> {
    match v.is_finite() && (wide == DType::F64 || (v as f32).is_finite()) {
        true => Ok(v),
        false => Err(wrong(op, format!("{name} is {v}; a finite number of dtype {wide} is needed"), at)),
    }
}

/// Returns an error if a scale is negative, infinite or NaN.
fn scale(op: &'static str, name: &str, v: f64, wide: DType, at: Loc) -> Result<f64> {
    match v >= 0.0 {
        true => finite(op, name, v, wide, at),
        false => Err(wrong(op, format!("{name} is {v}; it must not be negative"), at)),
    }
}

/// Returns an error unless a parameter is positive and finite in the dtype of the computation.
fn positive(op: &'static str, name: &str, v: f64, wide: DType, at: Loc) -> Result<f64> {
    match v > 0.0 && (wide == DType::F64 || v as f32 > 0.0) {
        true => finite(op, name, v, wide, at),
        false => Err(wrong(op, format!("{name} is {v}; it must be above 0"), at)),
    }
}

/// Returns an error unless `p` is between 0 and 1.
fn probability(op: &'static str, p: f64, at: Loc) -> Result<f64> {
    match (0.0..=1.0).contains(&p) {
        true => Ok(p),
        false => Err(wrong(op, format!("{p} is not a probability: it must lie between 0 and 1"), at)),
    }
}
