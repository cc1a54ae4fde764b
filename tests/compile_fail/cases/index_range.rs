//! An index would have to give a reference, and a view is a value.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = &x[..];
    Ok(())
}

fn main() {}
