//! NumPy's `a:b` is written `a..b`.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = x.slice(s![1:3]);
    Ok(())
}

fn main() {}
