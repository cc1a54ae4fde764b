//! NumPy's `:` is written `..`.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = x.slice(s![:, 0]);
    Ok(())
}

fn main() {}
