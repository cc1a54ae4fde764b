//! An expression has not been computed.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _: Array = &x + 1.0;
    Ok(())
}

fn main() {}
