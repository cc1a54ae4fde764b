//! The rows of an expression are not known before it is evaluated.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    for _ in x + 1.0 {}
    Ok(())
}

fn main() {}
