//! An array outlives its mutable view.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let v = x.slice_mut(s![0]);
    drop(x);
    v.fill(0)?;
    Ok(())
}

fn main() {}
