//! Text is no operand.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = &x + "1";
    Ok(())
}

fn main() {}
