//! Statistics and elementwise functions that are composed of other functions. A function without a reduction is
//! computed by one kernel, alone or together with other elementwise operations.

mod elementwise;
mod moments;
mod nan;
mod parts;
mod polynomial;
mod windows;

pub use elementwise::{allclose, heaviside, isclose};
pub use parts::ldexp;
pub use polynomial::Coefficients;
pub use windows::{WindowMode, convolve, correlate};

use crate::base::dtype::DType;
use crate::base::error::Loc;
use crate::graph::expr::{Expr, cast, choose, strong};
use crate::ops::functions::named;

/// Returns the dtype in which values of two dtypes are compared and combined as floats: f64 if one is f64, otherwise
/// f32.
fn common_float(a: DType, b: DType) -> DType {
    if a == DType::F64 || b == DType::F64 { DType::F64 } else { DType::F32 }
}

/// Casts integers and bools to f32; floats keep their dtype.
fn floating(e: &Expr, at: Loc) -> Expr {
    let e = strong(e.clone(), at);
    match e.error() {
        Some(_) => e,
        None => {
            let to = e.0.dtype.float();
            cast(e, to, at)
        }
    }
}
