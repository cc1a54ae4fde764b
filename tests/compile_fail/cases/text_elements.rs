//! Text is no element.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = array!["one", "two"];
    Ok(())
}

fn main() {}
