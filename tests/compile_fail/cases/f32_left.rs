//! An f32 on the left would make literals ambiguous.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = n * &x;
    Ok(())
}

fn main() {}
