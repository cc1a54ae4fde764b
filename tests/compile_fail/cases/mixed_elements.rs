//! Elements have one type.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = array![1.5, 2];
    Ok(())
}

fn main() {}
