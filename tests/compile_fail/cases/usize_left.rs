//! A length on the left would make literals ambiguous.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = (x.ndim() - x.exp()).abs();
    Ok(())
}

fn main() {}
