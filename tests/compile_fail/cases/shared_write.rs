//! A write needs `&mut`.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let y = x;
    y.fill(0.0)?;
    Ok(())
}

fn main() {}
