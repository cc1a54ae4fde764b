//! `<` could not report an error.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = x < x;
    Ok(())
}

fn main() {}
