//! Rows have one length.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = array![[1.0, 2.0], [3.0]];
    Ok(())
}

fn main() {}
