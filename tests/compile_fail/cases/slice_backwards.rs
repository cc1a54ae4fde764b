//! NumPy's `::-1` is written `..;-1`.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = x.slice(s![.., ::-1]);
    Ok(())
}

fn main() {}
