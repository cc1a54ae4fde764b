//! Text is no position.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = x.take(0, "rows");
    Ok(())
}

fn main() {}
