//! The truncated normal distribution, and the multivariate normal distribution.

use super::{Words, add, choose, computed_in, inside, times, wrong};
use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result, room};
use crate::base::layout::{IntoShape, Shape, View, shape_arg};
use crate::graph::expr::{Called, Expr, Operand, binary, cast, common, operand, result_of, ufunc, unary, view};
use crate::graph::ufunc::{arithmetic, float, logic, special};
use crate::math::double;
use crate::ops::functions::matmul_at;
use crate::ops::random::{Rng, is_float};
use smallvec::smallvec;
use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};
use std::panic::Location;

impl Rng {
    /// Draws from the standard normal distribution truncated to the range from `low` to `high`. The bounds may be
    /// infinite. For another mean and standard deviation, draw between `(low - mean) / deviation` and
    /// `(high - mean) / deviation`, and compute `x * deviation + mean`.
    ///
    /// The draw inverts the normal distribution function Φ at a uniform number. If both bounds are at most −5, or both
    /// are at least 5, it solves log Φ(x) = log p by at most three steps of Newton's method (four for f64). So numbers
    /// far from 0 are as exact as numbers near 0. The result lies within the bounds.
    ///
    /// ```
    /// use cupric::{DType, INF, Rng};
    /// let x = Rng::new(1).truncated_normal(30.0, INF, [1000], DType::F32);
    /// assert!(x.min(..).item::<f32>()? >= 30.0 && x.max(..).item::<f32>()? < 30.5);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Argument`] unless `low` is below `high`, [`ErrorKind::DType`] for a dtype
    /// that is not a float type, and [`ErrorKind::LimitExceeded`] for more than 2^32 − 1 elements.
    #[doc(alias = "truncnorm")]
    #[doc(alias = "trunc_normal_")]
    #[track_caller]
    pub fn truncated_normal(&mut self, low: f64, high: f64, shape: impl IntoShape, dtype: DType) -> Expr {
        const OP: &str = "truncated_normal";
        let at = Location::caller();
        self.draw(OP, shape, at, |word| {
            is_float(OP, dtype, at)?;
            let wide = computed_in(dtype);
            let of_type = |v: f64| if wide == DType::F64 { v } else { v as f32 as f64 };
            let (a, b) = (of_type(low), of_type(high));
            let ordered = a < b; // false for NaN
            if !ordered || a == f64::INFINITY || b == f64::NEG_INFINITY {
                let detail = format!("the bounds are {low} and {high}; the first must be below the second in {wide}");
                return Err(wrong(OP, detail, at));
            }
            let x = match (a, b) {
                // if both bounds are above 0, the draw is made between the mirrored bounds, and its sign is changed
                (0.0.., _) => unary(&arithmetic::negative, below_zero(word, -b, -a, wide, at), at),
                (_, ..=0.0) => below_zero(word, a, b, wide, at),
                _ => around_zero(word, a, b, wide, at),
            };
            let args = smallvec![x.into_arg(), a.into_arg(), b.into_arg()];
            Ok(cast(ufunc(&arithmetic::clip, args, at), dtype, at))
        })
    }

    /// Draws vectors from a normal distribution with a mean of shape `[k]` and a covariance matrix of shape `[k, k]`.
    /// The result has the shape `shape` with an additional last axis of length k. Its dtype is the float type to which
    /// the mean and the covariance promote.
    ///
    /// The result is `mean + z · Lᵀ`, where z is drawn from the standard normal distribution and L·Lᵀ is the
    /// covariance. The call reads the covariance and computes L in f64 by Cholesky's method. The numbers z are drawn
    /// when the result is evaluated, on the device of the mean and the covariance.
    ///
    /// ```
    /// use cupric::{Rng, array};
    /// let x = Rng::new(1).multivariate_normal(array![1., -1.], array![[2., 1.], [1., 2.]], [10_000]).eval()?;
    /// assert_eq!(x.shape(), [10_000, 2]);
    /// assert!((x.t().cov(true, 1.0) - array![[2., 1.], [1., 2.]]).abs().max(..).item::<f32>()? < 0.1);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Shape`] if the shapes do not match. It carries [`ErrorKind::Argument`] if
    /// the covariance is not finite, or if it is not symmetric or not positive semidefinite within the rounding errors
    /// of its dtype. It also carries the errors of reading the covariance and the errors of [`Rng::normal`].
    #[doc(alias = "mvn")]
    #[track_caller]
    pub fn multivariate_normal(&mut self, mean: impl Operand, covariance: impl Operand, shape: impl IntoShape) -> Expr {
        const OP: &str = "multivariate_normal";
        let at = Location::caller();
        let _called = Called::begin(OP, at);
        let (mean, covariance) = (operand(mean, at), operand(covariance, at));
        let stored = || -> Result<(Expr, Expr)> {
            let device = common(OP, [&mean, &covariance].into_iter(), at)?;
            let k = vector_length(OP, &mean, at)?;
            square(OP, &covariance, k, at)?;
            let dtype = covariance.0.dtype.float();
            // the result is on the device of the covariance if it has one, and otherwise on the device of the mean
            let device = Device::of(device);
            let host = covariance.to_device(&Device::cpu())?.astype(DType::F64).to_vec::<f64>()?;
            let factor = Array::adopt(cholesky(OP, host, k, dtype, at)?, &[k, k], at);
            let wide = computed_in(dtype);
            let factor = factor.astype(wide).to_device(&device)?;
            Ok((mean.clone(), cast((*factor).clone(), dtype, at)))
        };
        let made = stored();
        self.by_factor(OP, made, shape, at)
    }

    /// Draws like [`Rng::multivariate_normal`], but takes a matrix L (`factor`) instead of the covariance L·Lᵀ: a
    /// Cholesky factor of the covariance or any other root. The call reads no data.
    ///
    /// ```
    /// use cupric::{Rng, array};
    /// let x = Rng::new(1).multivariate_normal_with_factor(array![0., 0.], array![[1., 0.], [2., 0.]], [5]).eval()?;
    /// assert_eq!(x.slice(cupric::s![.., 1]).to_vec::<f32>()?, (x.slice(cupric::s![.., 0]) * 2.0).to_vec::<f32>()?);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Shape`] if the shapes do not match, and the errors of [`Rng::normal`].
    #[track_caller]
    pub fn multivariate_normal_with_factor(
        &mut self,
        mean: impl Operand,
        factor: impl Operand,
        shape: impl IntoShape,
    ) -> Expr {
        const OP: &str = "multivariate_normal_with_factor";
        let at = Location::caller();
        let (mean, factor) = (operand(mean, at), operand(factor, at));
        let checked = || -> Result<(Expr, Expr)> {
            common(OP, [&mean, &factor].into_iter(), at)?;
            square(OP, &factor, vector_length(OP, &mean, at)?, at)?;
            Ok((mean.clone(), factor.clone()))
        };
        let made = checked();
        self.by_factor(OP, made, shape, at)
    }

    /// Draws normal vectors. `of` is the mean and a factor L of the covariance L·Lᵀ, or an error.
    fn by_factor(&mut self, op: &'static str, of: Result<(Expr, Expr)>, shape: impl IntoShape, at: Loc) -> Expr {
        let made = || -> Result<(Expr, Expr, Shape, DType)> {
            let (mean, factor) = of?;
            let (a, b) = (mean.0.dtype.float(), factor.0.dtype.float());
            // two different half-precision types promote to f32
            let dtype = a.promote(b).unwrap_or(DType::F32);
            let mut shape: Shape = shape_arg(shape).map_err(|f| f.at(op, at))?;
            shape.push(mean.0.shape[0]);
            Ok((mean, factor, shape, dtype))
        };
        let (mean, factor, shape, dtype) = match made() {
            Ok(made) => made,
            Err(e) => return Expr::failed(e.or_at(at), at),
        };
        let wide = computed_in(dtype);
        let z = self.normal_at(op, &shape[..], wide, at);
        result_of(op, at, || {
            z.checked()?;
            let turned = view(op, &cast(factor, wide, at), at, |s| View::permute(s, &[1, 0]));
            let x = matmul_at(op, &z, &turned, at);
            Ok(cast(add(x, cast(mean, wide, at), at), dtype, at))
        })
    }
}

/// Returns the length of `mean`. Returns an error unless `mean` is a vector of at least one element.
fn vector_length(op: &'static str, mean: &Expr, at: Loc) -> Result<usize> {
    match mean.0.shape[..] {
        [k] if k > 0 => Ok(k),
        _ => {
            let detail = format!("the mean has shape {:?}; expected a vector of at least one element", mean.0.shape);
            Err(Error::with_line(ErrorKind::Shape, op, detail, at))
        }
    }
}

/// Returns an error unless the shape is `[k, k]`.
fn square(op: &'static str, e: &Expr, k: usize, at: Loc) -> Result<()> {
    if e.0.shape[..] == [k, k] {
        return Ok(());
    }
    let detail = format!("the mean has shape [{k}], the matrix {:?}; it must be [{k}, {k}]", e.0.shape.as_slice());
    Err(Error::with_line(ErrorKind::Shape, op, detail, at))
}

/// Returns the Cholesky factor L of a positive semidefinite matrix A = L·Lᵀ, in C order. `dtype` is the original dtype
/// of the matrix. If a pivot is 0 within the rounding errors of `dtype`, the column of L with this pivot is set to 0,
/// because the variable of this column is a linear combination of the variables before it.
fn cholesky(op: &'static str, a: Vec<f64>, k: usize, dtype: DType, at: Loc) -> Result<Vec<f64>> {
    let refused = |why: &str| Err(wrong(op, format!("the covariance, of shape [{k}, {k}], {why}"), at));
    if !a.iter().all(|x| x.is_finite()) {
        return refused("has an element that is infinite or NaN");
    }
    // `unit` is the unit roundoff of `dtype`, and `slack` is a bound of the error of a sum of k rounded products
    let bits = [(DType::F64, 53), (DType::F16, 11), (DType::BF16, 8)];
    let unit = 2f64.powi(-bits.iter().find(|(d, _)| *d == dtype).map_or(24, |(_, bits)| *bits));
    let largest = (0..k).fold(0.0f64, |m, i| m.max(a[i * k + i]));
    let slack = 8.0 * (k as f64 + 8.0) * unit * largest;
    let alike = |i: usize, j: usize| (a[i * k + j] - a[j * k + i]).abs() <= slack;
    if !(0..k).all(|i| (0..i).all(|j| alike(i, j))) {
        return refused("is not symmetric");
    }
    let mut l = room(k * k, op, at)?;
    l.resize(k * k, 0.0f64);
    for j in 0..k {
        let dot = |l: &[f64], i: usize| (0..j).map(|m| l[i * k + m] * l[j * k + m]).sum::<f64>();
        let pivot = a[j * k + j] - dot(&l, j);
        if pivot < -slack {
            return refused("is not positive semidefinite");
        }
        let root = pivot.max(0.0).sqrt();
        for i in j + 1..k {
            let rest = a[i * k + j] - dot(&l, i);
            match pivot > slack {
                true => l[i * k + j] = rest / root,
                // in a positive semidefinite matrix, `rest` is at most the square root of the product of both pivots in
                // magnitude
                false if rest.abs() > slack + (slack * largest).sqrt() => {
                    return refused("is not positive semidefinite");
                }
                false => {}
            }
        }
        if pivot > slack {
            l[j * k + j] = root;
        }
    }
    Ok(l)
}

/// Draws normal numbers between the bounds `low` and `high`, which are on both sides of 0 or both between −1 and 1.
fn around_zero(word: Words, low: f64, high: f64, wide: DType, at: Loc) -> Expr {
    let u = inside(word, 0, wide, at);
    let (below, above) = (double::erf(-low * FRAC_1_SQRT_2), double::erf(high * FRAC_1_SQRT_2));
    if low >= -1.0 && high <= 1.0 {
        // near 0 the inverse error function is used, because its argument is small there
        let e = add(times(u, below + above, at), -below, at);
        return times(unary(&special::erfinv, e, at), SQRT_2, at);
    }
    // `below` and `above` are the exact probabilities of a number from `low` to 0 and from 0 to `high`; each side uses
    // its own tail probability, which is small
    let (below, above) = (below / 2.0, above / 2.0);
    let total = below + above;
    let lower = add(times(&u, total, at), double::ndtr(low), at);
    let rest = add(times(&u, -1.0, at), 1.0, at);
    let upper = add(times(rest, total, at), double::ndtr(-high), at);
    let is_lower = binary(&logic::less, &u, below / total, at);
    let p = binary(&arithmetic::minimum, choose(&is_lower, lower, upper, at), 0.5, at);
    let x = unary(&special::ndtri, p, at);
    choose(is_lower, &x, unary(&arithmetic::negative, &x, at), at)
}

/// Draws normal numbers between two bounds that are at most 0.
fn below_zero(word: Words, low: f64, high: f64, wide: DType, at: Loc) -> Expr {
    if low >= -1.0 {
        return around_zero(word, low, high, wide, at);
    }
    let u = inside(word, 0, wide, at);
    if high > -5.0 {
        let (a, b) = (double::ndtr(low), double::ndtr(high));
        return unary(&special::ndtri, add(times(u, b - a, at), a, at), at);
    }
    tail(u, low, high, wide, at)
}

/// Draws between the bounds `low` and `high`, where `high` is far below 0, by Newton's method for δ = `high` − x. With
/// h = −`high`, a number below `high` is also below `high` − δ with the probability exp(−δ·(δ/2 + h)) · erfcx((h +
/// δ)/√2) / erfcx(h/√2). The method finds the δ at which this probability is e^−t, for an exponential number t that
/// keeps the result above `low`. The first guess leaves out both erfcx; its error is of the order 1/h².
fn tail(u: Expr, low: f64, high: f64, wide: DType, at: Loc) -> Expr {
    let h = -high;
    let at_h = double::erfcx(h * FRAC_1_SQRT_2);
    // `share` is the probability of being above `low`, given that the number is below `high`
    let width = high - low;
    let share = match width * (width / 2.0 + h) {
        deep if deep < 1e4 => {
            let ratio = double::erfcx((h + width) * FRAC_1_SQRT_2) / at_h;
            -double::expm1(double::log(ratio) - deep)
        }
        _ => 1.0,
    };
    // u takes the place of 1 − u here, because both have the same distribution
    let t = times(unary(&float::log1p, times(u, -share, at), at), -1.0, at);
    if h > 2f64.powi(30) {
        // δ²/2 is below the rounding error of h·δ in every dtype
        return add(times(times(t, 1.0 / h, at), -1.0, at), high, at);
    }
    let root = unary(&float::sqrt, add(times(&t, 2.0, at), h * h, at), at);
    let mut delta = binary(&arithmetic::divide, times(&t, 2.0, at), add(root, h, at), at);
    for _ in 0..if wide == DType::F64 { 4 } else { 3 } {
        let place = times(add(&delta, h, at), FRAC_1_SQRT_2, at);
        let scaled = unary(&special::erfcx, place, at);
        let log = unary(&float::log, times(&scaled, 1.0 / at_h, at), at);
        let square = times(&delta, add(times(&delta, 0.5, at), h, at), at);
        let over = binary(&arithmetic::subtract, binary(&arithmetic::subtract, square, log, at), &t, at);
        // the derivative of Newton's equation with respect to δ is √(2/π) / erfcx((h + δ)/√2)
        let step = times(times(over, scaled, at), (std::f64::consts::FRAC_PI_2).sqrt(), at);
        delta = binary(&arithmetic::subtract, delta, step, at);
    }
    add(times(delta, -1.0, at), high, at)
}
