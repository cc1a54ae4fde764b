//! More kinds of errors may come, so a match needs a last arm.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    match x.fill(0).unwrap_err().kind() {
        ErrorKind::Shape => {}
    }
    Ok(())
}

fn main() {}
