//! A list of texts is no nested list of elements.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = Array::from_nested(vec!["one"]);
    Ok(())
}

fn main() {}
