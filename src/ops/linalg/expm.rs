//! The exponential of matrices.

use super::parts::Call;
use super::solve::quotient;
use crate::base::dtype::DType;
use crate::base::error::Result;
use crate::base::layout::AxesArg;
use crate::graph::expr::{Expr, Operand, binary, choose, reduce, result_of, unary};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::functions::sum_in_its_type;
use crate::plan::kernel::Fold;
use smallvec::smallvec;
use std::panic::Location;

/// The maximum number of times that a matrix is halved. Its approximate exponential is then squared as many times.
const SQUARINGS: i32 = 16;

/// A Padé approximant of the exponential: the coefficients of its numerator from the lowest power on, and the largest
/// 1-norm of a matrix for which the relative error of the approximant is below the rounding error of the dtype
/// (Higham's table 2.3).
struct Approximant {
    coefficients: &'static [f64],
    norm: f64,
}

const OF_F32: Approximant = Approximant {
    coefficients: &[17297280., 8648640., 1995840., 277200., 25200., 1512., 56., 1.],
    norm: 3.92572478313866,
};

const OF_F64: Approximant = Approximant {
    coefficients: &[
        64764752532480000.,
        32382376266240000.,
        7771770303897600.,
        1187353796428800.,
        129060195264000.,
        10559470521600.,
        670442572800.,
        33522128640.,
        1323241920.,
        40840800.,
        960960.,
        16380.,
        182.,
        1.,
    ],
    norm: 5.371920351148152,
};

/// Returns the exponentials of square matrices along the last two axes: I + A + A²/2! + … . For the exponentials of the
/// elements, use [`Expr::exp`]. f16, bf16 and integers are converted to f32, and the result is f32 or f64.
///
/// Each matrix is divided by 2 until its 1-norm is small, at most 16 times. The exponential of the small matrix is
/// computed by a Padé approximant, and is then squared once for each division. A matrix whose 1-norm exceeds 250,000
/// (f32) or 350,000 (f64) has NaN results. Each matrix takes the time of 16 squarings, even if fewer are used, because
/// the structure of an expression does not depend on the values of its operands.
///
/// The relative error is a small multiple of n·ε times the condition number of the exponential, which is at least the
/// norm of A. The derivative is computed by differentiating these operations.
///
/// ```
/// use cupric::{array, linalg::expm};
/// // the rotation by a quarter of a turn
/// let quarter = std::f32::consts::FRAC_PI_2;
/// let r = expm(array![[0., -quarter], [quarter, 0.]]);
/// assert!(r.allclose(&array![[0., -1.], [1., 0.]], 0.0, 1e-6, false).item::<bool>()?);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The result carries [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the matrices are not square.
///
/// N. J. Higham, The scaling and squaring method for the matrix exponential revisited, SIAM J. Matrix Anal. Appl. 26
/// (2005).
#[doc(alias("exponential", "matrix_exp"))]
#[track_caller]
pub fn expm(a: impl Operand) -> Expr {
    let call = Call { op: "expm", at: Location::caller() };
    result_of(call.op, call.at, || exponential(&call.floats(a)?, call))
}

fn exponential(a: &Expr, call: Call) -> Result<Expr> {
    let at = call.at;
    call.square(a)?;
    if a.0.shape.contains(&0) {
        return Ok(a.clone());
    }
    let approximant = if a.0.dtype == DType::F64 { OF_F64 } else { OF_F32 };
    let along = |axis: isize| AxesArg { axes: Some(smallvec![axis]), keep: true };
    let columns = sum_in_its_type(call.op, &unary(&arithmetic::abs, a, at), &along(-2), at);
    let norm = reduce(call.op, Fold::of(&arithmetic::maximum), &columns, &along(-1), at);
    let exceeds = |halvings: i32| binary(&logic::greater, &norm, approximant.norm * 2f64.powi(halvings), at);
    let mut scale = call.filled(1.0, norm.0.shape.clone(), a);
    for halvings in 0..SQUARINGS {
        scale = choose(exceeds(halvings), binary(&arithmetic::multiply, &scale, 0.5, at), &scale, at);
    }
    let mut power = rational(&call.times(a, &scale), &approximant, call)?;
    for halvings in 0..mutant!(exponential_squared_too_little, SQUARINGS / 4, SQUARINGS) {
        power = choose(exceeds(halvings), call.product(&power, &power), &power, at);
    }
    Ok(choose(exceeds(SQUARINGS), f64::NAN, power, at))
}

/// Returns the Padé approximant of the exponentials of matrices whose 1-norms are at most `approximant.norm`.
fn rational(a: &Expr, approximant: &Approximant, call: Call) -> Result<Expr> {
    let at = call.at;
    let second = call.product(a, a);
    let fourth = call.product(&second, &second);
    let sixth = call.product(&fourth, &second);
    let powers = [call.identity(a, a.0.shape[a.0.shape.len() - 1]), second, fourth, sixth.clone()];
    // returns the sum of the matrices in `powers`, multiplied by every second coefficient, beginning with number
    // `first`
    let sum = |first: usize, powers: &[Expr]| {
        let terms = powers.iter().zip(approximant.coefficients[first..].iter().step_by(2));
        let mut terms = terms.map(|(power, c)| binary(&arithmetic::multiply, power, *c, at));
        let start = terms.next().unwrap_or_else(|| a.clone());
        terms.fold(start, |sum, term| call.plus(&sum, &term))
    };
    let half = |first: usize| {
        let low = sum(first, &powers);
        match approximant.coefficients.len() > 8 {
            true => call.plus(&low, &call.product(&sixth, &sum(first + 8, &powers[1..]))),
            false => low,
        }
    };
    let (odd, even) = (call.product(a, &half(1)), half(0));
    quotient(&call.minus(&even, &odd), &call.plus(&even, &odd), call)
}
