//! `+=` could not report an error.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    x += 1.0;
    Ok(())
}

fn main() {}
