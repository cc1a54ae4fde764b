//! A view to write to is exclusive.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    x.slice_mut(s![..]).assign(&x * 2.0)?;
    Ok(())
}

fn main() {}
