//! There is no such element type.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = x.to_vec::<String>()?;
    Ok(())
}

fn main() {}
