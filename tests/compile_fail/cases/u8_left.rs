//! A u8 on the left would make literals ambiguous.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = 1u8 + &x;
    Ok(())
}

fn main() {}
