//! Text is no shape.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = x.reshape("2");
    Ok(())
}

fn main() {}
