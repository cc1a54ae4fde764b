//! More dtypes may come, so a match needs a last arm.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    use DType::*;
    match x.dtype() {
        Bool | U8 | I8 | U16 | I16 | U32 | I32 | U64 | I64 | F16 | BF16 | F32 | F64 => {}
    }
    Ok(())
}

fn main() {}
