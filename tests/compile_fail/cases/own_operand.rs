//! Operands are sealed.
#![allow(unused)]

use cupric::*;

fn f(mut x: Array, n: f32) -> Result<()> {
    struct Mine;
    impl Operand for Mine {
        fn into_arg(self) -> Arg {
            todo!()
        }
    }
    Ok(())
}

fn main() {}
