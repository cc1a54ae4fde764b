//! Scalar mathematics, one function a lane: the floor that every CPU kernel stands on.
//!
//! Each function is `#[inline(always)]`, free of branches (but for the exact remainders) and of large tables, and spells
//! its fused multiply-adds out. Applied lane by lane in a loop inside a `#[target_feature]` function it turns into plain
//! vector code, and it gives the same bits on every instruction set.
//!
//! The bounds are those of the accuracy contract; the constants say where they come from.

// A function appears here before the row of the ufunc table that uses it.
#![allow(dead_code)]

pub(crate) mod double;
pub(crate) mod single;
