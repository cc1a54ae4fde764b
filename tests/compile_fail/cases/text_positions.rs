//! Text is no position.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    let _ = x.take(0, "rows");
    let _ = x.take("rows", 0);
    let _ = x.take_at((0, Clip(1)));
    Ok(())
}

fn main() {}
