//! Evaluation of polynomials.

use crate::array::Array;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result, room};
use crate::base::layout::{SliceItem, View};
use crate::graph::expr::{Arg, Expr, Operand, binary, cast, common, result_of, strong, view};
use crate::graph::ufunc::arithmetic;
use crate::ops::functions::promoted;
use smallvec::smallvec;
use std::panic::Location;

/// The largest number of coefficients of a polynomial. Each coefficient adds two nodes to the expression, and planning
/// an expression with this many coefficients takes about a second.
const MOST: usize = 1 << 16;

/// # Polynomials
impl Expr {
    /// Evaluates a polynomial at each element by Horner's method. For the coefficients c₀, c₁, …, cₙ the result is
    /// c₀·xⁿ + … + cₙ, like NumPy's `polyval(c, x)`. The coefficients are either Rust numbers or an array of one axis.
    /// Rust numbers adopt the dtype of x and cost no memory access. The dtype of an array is promoted with the dtype of
    /// x. Without coefficients the result is 0. Integers wrap on overflow; f16 and bf16 are computed in f32.
    ///
    /// # Errors
    /// The expression carries an [`ErrorKind::LimitExceeded`] error for more than 65,536 coefficients, because each
    /// coefficient adds two nodes to the expression graph. It carries an error if an array of coefficients does not
    /// have exactly one axis, or if there is no common dtype.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![1., 2., 3.];
    /// assert_eq!(x.polyval([1.0, 0.0, -1.0]).to_vec::<f32>()?, [0., 3., 8.]);          // x² − 1
    /// assert_eq!(x.polyval(&array![1., 0., -1.]).to_vec::<f32>()?, [0., 3., 8.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn polyval(&self, coefficients: impl Coefficients) -> Expr {
        let at = Location::caller();
        result_of("polyval", at, || {
            self.checked()?;
            polyval(&strong(self.clone(), at), coefficients.list(at)?, at)
        })
    }
}

/// The coefficients of a polynomial: numbers, or an array of one axis.
pub trait Coefficients: sealed::Coefficients {
    #[doc(hidden)]
    fn list(self, at: Loc) -> Result<Vec<Arg>>;
}

mod sealed {
    pub trait Coefficients {}
}

macro_rules! coefficients {
    (arrays $($t:ty)*) => { $(
        impl sealed::Coefficients for $t {}
        impl Coefficients for $t {
            fn list(self, at: Loc) -> Result<Vec<Arg>> {
                of_array(&self, at)
            }
        }
    )* };
    (numbers $($t:ty)*) => { $(
        impl<const N: usize> sealed::Coefficients for [$t; N] {}
        impl<const N: usize> Coefficients for [$t; N] {
            fn list(self, at: Loc) -> Result<Vec<Arg>> {
                self.as_slice().list(at)
            }
        }
        impl sealed::Coefficients for &[$t] {}
        impl Coefficients for &[$t] {
            fn list(self, at: Loc) -> Result<Vec<Arg>> {
                let mut list = of_length(self.len(), at)?;
                list.extend(self.iter().map(Operand::into_arg));
                Ok(list)
            }
        }
        impl sealed::Coefficients for Vec<$t> {}
        impl Coefficients for Vec<$t> {
            fn list(self, at: Loc) -> Result<Vec<Arg>> {
                self.as_slice().list(at)
            }
        }
    )* };
}
coefficients! { arrays Expr &Expr Array &Array }
coefficients! { numbers f64 f32 i64 i32 }

/// Returns an empty list with capacity for `n` coefficients, or an error if `n` is above the limit.
fn of_length(n: usize, at: Loc) -> Result<Vec<Arg>> {
    match n > mutant!(polynomials_of_any_length, usize::MAX, MOST) {
        true => {
            let detail =
                format!("{n} coefficients; at most {MOST} are supported, because each adds nodes to the expression");
            Err(Error::with_line(ErrorKind::LimitExceeded, "polyval", detail, at))
        }
        false => room(n, "polyval", at),
    }
}

/// Returns the elements of an array of coefficients, each as a view.
fn of_array(e: &Expr, at: Loc) -> Result<Vec<Arg>> {
    let shape = &e.checked()?.shape;
    let [n] = shape[..] else {
        let detail = format!("coefficients of shape {:?}; one axis is needed", shape.as_slice());
        return Err(Error::with_line(ErrorKind::Shape, "polyval", detail, at));
    };
    let one = |i: usize| view("polyval", e, at, |shape| View::slice(shape, &[SliceItem::Index(i as isize)])).into_arg();
    let mut list = of_length(n, at)?;
    list.extend((0..n).map(one));
    Ok(list)
}

fn polyval(x: &Expr, coefficients: Vec<Arg>, at: Loc) -> Result<Expr> {
    let arrays = || coefficients.iter().filter_map(|c| if let Arg::Expr(e) = c { Some(e) } else { None });
    common("polyval", arrays().chain([x]), at)?;
    let mut dtype = promoted("polyval", arrays().chain([x]), at)?;
    // a float coefficient turns an integer x into a float, as in a formula
    for c in &coefficients {
        if let Arg::Scalar(s) = c {
            dtype = s.promote_with(dtype).ok_or_else(|| {
                Error::with_line(ErrorKind::Argument, "polyval", format!("{s} does not fit dtype {dtype}"), at)
            })?;
        }
    }
    let compute = if dtype.is_half() { DType::F32 } else { dtype };
    let x = cast(x.clone(), compute, at);
    let number = |c: Arg| match c {
        Arg::Expr(e) => cast(e, compute, at),
        Arg::Scalar(s) => Expr::fill(s, smallvec![], compute, at),
    };
    let zero = || Expr::fill_on(x.0.device, Scalar::Int(0), x.0.shape.clone(), compute, at);
    let mut terms = coefficients.into_iter().map(number);
    let Some(first) = terms.next() else { return Ok(cast(zero(), dtype, at)) };
    // the first coefficient is broadcast to the shape of x, so that a polynomial of degree 0 has that shape
    let mut sum = view("polyval", &first, at, |shape| View::broadcast_to(shape, &x.0.shape));
    for c in terms {
        sum = binary(&arithmetic::add, binary(&arithmetic::multiply, sum, &x, at), c, at);
    }
    Ok(cast(sum, dtype, at))
}
