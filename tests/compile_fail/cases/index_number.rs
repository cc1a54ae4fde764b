//! An index would have to give a reference, and an element may lie on a GPU.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = x[0];
    Ok(())
}

fn main() {}
