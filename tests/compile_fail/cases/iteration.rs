//! Elements are not iterated over: each would be a transfer.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    for _ in &x {}
    Ok(())
}

fn main() {}
