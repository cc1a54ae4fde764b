//! A Vec is no operand: its shape and dtype would be guesses.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = &x + vec![1.0];
    Ok(())
}

fn main() {}
