//! A comparison gives an array, not a bool.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    if x.less(0.0) {}
    Ok(())
}

fn main() {}
