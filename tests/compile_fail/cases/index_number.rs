//! An index would have to return a reference, and an element may be on a GPU.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = x[0];
    Ok(())
}

fn main() {}
