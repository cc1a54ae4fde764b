//! Of two views to write to, one would see the other's writes.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let a = x.slice_mut(s![0]);
    let b = x.slice_mut(s![1]);
    a.fill(0)?;
    b.fill(0)?;
    Ok(())
}

fn main() {}
