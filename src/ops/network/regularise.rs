//! Regularisation: `dropout` and `clip_by_norm`.

use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc};
use crate::base::layout::IntoAxes;
use crate::graph::expr::{Expr, binary, choose, composed, result_of, strong};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::functions::{narrow, norm_at, scale_of, wide};
use crate::ops::random::Rng;
use std::panic::Location;

/// # Regularisation
impl Expr {
    /// Replaces each element by 0 with probability `rate`, and multiplies the others by 1 / (1 − `rate`), so that the
    /// expected value stays the same. The result has the dtype of the array.
    ///
    /// The call uses one stream of random numbers of `rng`, whatever the rate is. The random numbers are not stored:
    /// the kernel that computes the derivative draws them again from the seed.
    ///
    /// ```
    /// use cupric::{DType, Rng, ones};
    /// let y = ones([1000], DType::F32).dropout(0.5, &mut Rng::new(1));
    /// let kept = y.count_nonzero(..).item::<i64>()?;
    /// assert!((400..600).contains(&kept));
    /// assert_eq!(y.max(..).item::<f32>()?, 2.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::DType`] if the array is not of a float type, [`ErrorKind::Argument`] if the
    /// rate is not between 0 and 1, and [`ErrorKind::LimitExceeded`] if the array has 2^32 elements or more.
    #[track_caller]
    pub fn dropout(&self, rate: f64, rng: &mut Rng) -> Expr {
        const OP: &str = "dropout";
        let at = Location::caller();
        let x = strong(self.clone(), at);
        let shape: Vec<usize> = x.0.shape.to_vec();
        let is_kept = rng.bernoulli_at(OP, (1.0 - rate).min(1.0), shape, DType::Bool, at);
        result_of(OP, at, || {
            x.checked()?;
            if !x.0.dtype.is_float() {
                let detail = format!("the array has dtype {}; a float type is needed", x.0.dtype);
                return Err(Error::with_line(ErrorKind::DType, OP, detail, at));
            }
            if !(0.0..=1.0).contains(&rate) {
                let detail = format!("the rate {rate} is not between 0 and 1");
                return Err(Error::with_line(ErrorKind::Argument, OP, detail, at));
            }
            let scale = if rate < 1.0 { 1.0 / (1.0 - rate) } else { 0.0 };
            Ok(composed(|| choose(is_kept, binary(&arithmetic::multiply, &x, scale, at), 0.0, at)))
        })
    }

    /// Scales the array so that its Euclidean norm, over all elements, is at most `max_norm`. An array whose norm is
    /// smaller keeps its values. Integers and bool become f32; f16 and bf16 are computed in f32. The norm is that of
    /// [`Expr::norm`]. If an element is NaN, all results are NaN.
    ///
    /// ```
    /// use cupric::array;
    /// let g = array![3., 4.];
    /// assert_eq!(g.clip_by_norm(1.0).to_vec::<f32>()?, [0.6, 0.8]);
    /// assert_eq!(g.clip_by_norm(10.0).to_vec::<f32>()?, [3., 4.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    /// # Errors
    /// The expression carries [`ErrorKind::Argument`] if `max_norm` is not a positive, finite number.
    #[doc(alias("clip_grad_norm", "clip_norm"))]
    #[track_caller]
    pub fn clip_by_norm(&self, max_norm: f64) -> Expr {
        const OP: &str = "clip_by_norm";
        let at = Location::caller();
        result_of(OP, at, || {
            let e = strong(self.clone(), at);
            e.checked()?;
            if !(max_norm > 0.0 && max_norm.is_finite()) {
                let detail = format!("the norm {max_norm} is not a positive, finite number");
                return Err(Error::with_line(ErrorKind::Argument, OP, detail, at));
            }
            Ok(composed(|| {
                let x = wide(&e, at);
                let norm = norm_at(OP, &x, e.0.dtype, &(..).into_axes(), at);
                narrow(shortened(&x, &norm, max_norm, at), &e, at)
            }))
        })
    }
}

/// Multiplies `x` by `most / norm`, unless the norm is at most `most`. If the norm is very large or very small, the norm
/// and `x` are first multiplied by the same power of two, so that the quotient does not lose digits to underflow.
fn shortened(x: &Expr, norm: &Expr, most: f64, at: Loc) -> Expr {
    // `most / max(norm, most)` is 1 for small norms, and its divisor is never 0
    let divisor = binary(&arithmetic::maximum, norm, most, at);
    let is_short = binary(&logic::less_equal, norm, most, at);
    let scale = choose(is_short, 1.0, scale_of(norm, at), at);
    let factor = binary(&arithmetic::divide, most, binary(&arithmetic::multiply, divisor, &scale, at), at);
    binary(&arithmetic::multiply, binary(&arithmetic::multiply, x, scale, at), factor, at)
}
