//! Scalar mathematics, one function a lane: the floor that every CPU kernel stands on.
//!
//! Each function is `#[inline(always)]`, free of branches and tables, and spells its fused
//! multiply-adds out. Applied lane by lane in a loop inside a `#[target_feature]` function it turns
//! into plain vector code, and it gives the same bits on every instruction set. The exceptions: the
//! exact remainders, and of f64 the sine, cosine and tangent of any size (the `_near` twins have no
//! branch), asin, acos and lgamma.
//!
//! The bounds are those of the accuracy contract; the constants say where they come from.

// A function appears here before the row of the ufunc table that uses it.
#![allow(dead_code, unused_imports)]
// Coefficients are written as they were fitted, though some come near ln 2 or have a digit more
// than f32.
#![allow(clippy::approx_constant, clippy::excessive_precision)]

pub(crate) mod double;
pub(crate) mod single;
