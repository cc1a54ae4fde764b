//! NumPy's `::2` is written `..;2`.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = x.slice(s![::2]);
    Ok(())
}

fn main() {}
