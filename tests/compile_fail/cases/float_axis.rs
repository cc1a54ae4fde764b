//! An axis is no float.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = x.sum(1.0);
    Ok(())
}

fn main() {}
