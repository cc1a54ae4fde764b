//! Ranges, weighted means, covariances and correlations.

use crate::array::in_blocks;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, AxesArg, IntoAxes, View};
use crate::graph::expr::{
    Args, Expr, Operand, Unfit, binary, choose, common, operands, reduce, reshape, result_of, strong, unary, view,
};
use crate::graph::ufunc::{arithmetic, float, logic, scales};
use crate::ops::create::iota;
use crate::ops::functions::{join, matmul_at, mean_at, narrow, norm_at, scale_beyond, sum_in_its_type, wide};
use crate::plan::kernel::Fold;
use smallvec::{SmallVec, smallvec};
use std::panic::Location;

/// # Ranges, averages and covariances
impl Expr {
    /// Returns the range along axes ("peak to peak"): the largest minus the smallest element. Differences of integers
    /// wrap on overflow. The result is NaN if any element is NaN. The expression carries an error if an axis does not
    /// exist or has no elements. It also carries an error if the dtype is bool, because bools cannot be subtracted.
    ///
    /// ```
    /// assert_eq!(cupric::array![[1, 5], [-7, 2]].ptp(1).to_vec::<i32>()?, [4, 9]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn ptp(&self, axes: impl IntoAxes) -> Expr {
        let at = Location::caller();
        let axes = axes.into_axes();
        result_of("ptp", at, || {
            self.checked()?;
            let e = strong(self.clone(), at);
            axes.check(e.0.shape.len()).map_err(|f| f.at("ptp", at))?;
            let [high, low] =
                [&arithmetic::maximum, &arithmetic::minimum].map(|row| reduce("ptp", Fold::of(row), &e, &axes, at));
            Ok(super::named("ptp", binary(&arithmetic::subtract, high, low, at), at))
        })
    }

    /// Computes the weighted mean along axes: Σ w·x / Σ w. The weights must have the shape of the array. If only one
    /// axis is averaged, the weights may instead be a vector with the length of this axis. Integers and bool are
    /// converted to f32; f16 and bf16 are computed in f32. If the weights sum to 0, the result is NaN or ∞. NumPy
    /// raises an error instead, but that would require reading the data. The expression carries [`ErrorKind::Shape`] if
    /// the weights have another shape.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1., 2.], [3., 6.]];
    /// assert_eq!(x.average(0, array![3., 1.]).to_vec::<f32>()?, [1.5, 3.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn average(&self, axes: impl IntoAxes, weights: impl Operand) -> Expr {
        let at = Location::caller();
        let axes = axes.into_axes();
        let [x, weights] = operands([self.into_arg(), weights.into_arg()], Unfit::Float, at);
        result_of("average", at, || average(x, &axes, weights, at))
    }

    /// Computes the covariances of variables. Each row of a matrix is a variable (each column if `row_variables` is
    /// false), and its elements are the observations; a vector is one variable. The result is a symmetric matrix, or a
    /// number for one variable. Each element is the sum over n observations of the products of the deviations of two
    /// variables from their means, divided by n − `correction`, or by 0 if that is negative. NumPy's default correction
    /// (`ddof`) is 1.
    ///
    /// Integers and bool are converted to f32; f16 and bf16 are computed in f32. On the CPU, many observations are
    /// computed in blocks, each about its own means, and the sums of the blocks are merged. So the result needs the
    /// memory of a block, and a mapped file is read once.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1., 2., 3.], [3., 5., 7.]];
    /// assert_eq!(x.cov(true, 1.0).to_vec::<f32>()?, [1., 2., 2., 4.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn cov(&self, row_variables: bool, correction: f64) -> Expr {
        let at = Location::caller();
        result_of("cov", at, || {
            let (c, e) = covariances("cov", self, row_variables, correction, at)?;
            Ok(narrow(alone(c, at), &e, at))
        })
    }

    /// Computes Pearson's correlation coefficients of variables, which are arranged as for [`Expr::cov`]. Each
    /// coefficient is a covariance divided by the square roots of both variances, and is clipped to the interval from
    /// −1 to 1. The result is NaN for a constant variable.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1., 2., 3.], [3., 2., 1.]];
    /// assert_eq!(x.corrcoef(true).to_vec::<f32>()?, [1., -1., -1., 1.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn corrcoef(&self, row_variables: bool) -> Expr {
        let at = Location::caller();
        result_of("corrcoef", at, || {
            let (x, e) = variables("corrcoef", self, row_variables, at)?;
            let whole = correlations(about_means("corrcoef", &x, Some(e.0.dtype), at).products, at);
            let bounded = match blocks_of(&x) {
                None => whole,
                Some(blocks) => {
                    same_derivative(correlations(merged("corrcoef", &blocks, Some(e.0.dtype), at), at), whole)
                }
            };
            Ok(narrow(alone(bounded, at), &e, at))
        })
    }
}

fn average(e: Expr, axes: &AxesArg, weights: Expr, at: Loc) -> Result<Expr> {
    const OP: &str = "average";
    common(OP, [&e, &weights].into_iter(), at)?;
    let sorted = axes.resolve(e.0.shape.len()).map_err(|f| f.at(OP, at))?;
    let weights = match (&sorted[..], &weights.0.shape[..]) {
        _ if weights.0.shape == e.0.shape => weights,
        ([d], [n]) if *n == e.0.shape[*d] => {
            let mut shape: SmallVec<[isize; 6]> = smallvec![1; e.0.shape.len()];
            shape[*d] = *n as isize;
            reshape(OP, &weights, &shape, at)
        }
        _ => {
            let (a, b) = (e.0.shape.as_slice(), weights.0.shape.as_slice());
            let why = "weights must have the array's shape, or one axis as long as the only averaged axis";
            return Err(Error::with_line(ErrorKind::Shape, OP, format!("shapes {a:?} and {b:?}: {why}"), at));
        }
    };
    let compute = super::common_float(e.0.dtype, weights.0.dtype);
    let [x, w] = [&e, &weights].map(|e| crate::graph::expr::cast(e.clone(), compute, at));
    let product = binary(&arithmetic::multiply, &x, &w, at);
    let total = sum_in_its_type(OP, &w, axes, at);
    let mean = binary(&arithmetic::divide, sum_in_its_type(OP, &product, axes, at), total, at);
    let out = e.0.dtype.float().promote(weights.0.dtype.float()).unwrap_or(compute);
    Ok(crate::graph::expr::cast(mean, out, at))
}

/// Returns the matrix of covariances, in the dtype in which it is computed (f64 or f32), and the operand.
fn covariances(op: &'static str, e: &Expr, rows: bool, correction: f64, at: Loc) -> Result<(Expr, Expr)> {
    let (x, e) = variables(op, e, rows, at)?;
    let degrees = (x.0.shape[1] as f64 - correction).max(0.0);
    let whole = about_means(op, &x, None, at).products;
    let products = match blocks_of(&x) {
        None => whole,
        Some(blocks) => same_derivative(merged(op, &blocks, None, at), whole),
    };
    Ok((binary(&arithmetic::divide, products, degrees, at), e))
}

/// Returns the matrix whose rows are variables, in the dtype in which it is computed (f64 or f32), and the operand.
fn variables(op: &'static str, e: &Expr, rows: bool, at: Loc) -> Result<(Expr, Expr)> {
    e.checked()?;
    let e = strong(e.clone(), at);
    let x = wide(&e, at);
    let x = match (e.0.shape.len(), rows) {
        (1, _) => view(op, &x, at, |shape| View::expand(shape, 0)),
        (2, true) => x,
        (2, false) => view(op, &x, at, |shape| View::permute(shape, &[1, 0])),
        _ => {
            let detail = format!("shape {:?} is neither a vector nor a matrix", e.0.shape.as_slice());
            return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
        }
    };
    Ok((x, e))
}

/// Returns the blocks of observations in which a large operand is computed, or `None` for a small one.
fn blocks_of(x: &Expr) -> Option<Vec<Args>> {
    let squares = x.0.shape[0].saturating_mul(x.0.shape[0]);
    in_blocks(&[x], &[1], squares.saturating_mul(ELEMENTS_OF_A_PRODUCT))
}

/// Gives a result that is computed in blocks the derivative of `whole`, because the derivative of each block would have the
/// size of the whole operand.
fn same_derivative(result: Expr, whole: Expr) -> Expr {
    result.with_rule(vec![whole], Some(Box::new(|g, _| Ok(vec![g.clone()]))))
}

/// Returns the correlations for sums of products of deviations. Each row and each column may be scaled.
fn correlations(products: Expr, at: Loc) -> Expr {
    const OP: &str = "corrcoef";
    let variances = view(OP, &products, at, |shape| View::diagonal(shape, 0, 0, 1));
    let roots = unary(&float::sqrt, variances, at);
    let column = view(OP, &roots, at, |shape| View::expand(shape, 1));
    let quotients = binary(&arithmetic::divide, binary(&arithmetic::divide, products, column, at), roots, at);
    let args = smallvec![quotients.into_arg(), (-1.0).into_arg(), 1.0.into_arg()];
    crate::graph::expr::ufunc(&arithmetic::clip, args, at)
}

/// The minimum number of elements of a block for each element of its matrix of products. The matrices of all blocks
/// together then have at most an eighth of the bytes of the operand.
const ELEMENTS_OF_A_PRODUCT: usize = 8;

/// The sums of products of the deviations of variables (rows) from their means.
struct Products {
    products: Expr,
    /// A column.
    mean: Expr,
    /// A column of powers of two, by which the deviations were multiplied. `None` if they were not.
    scale: Option<Expr>,
}

/// Computes the sums of products of the deviations of variables (rows). They are scaled if `from` is given, the dtype from
/// which the operand was cast, so that no square overflows or underflows. The sum of 2^40 such squares does not overflow.
fn about_means(op: &'static str, x: &Expr, from: Option<DType>, at: Loc) -> Products {
    let mean = mean_at(op, x, &layout::keep(1), at);
    let deviation = binary(&arithmetic::subtract, x, &mean, at);
    let scale = from.map(|from| {
        let norm = norm_at(op, &deviation, from, &layout::keep(1), at);
        let [low, high] = scales(x.0.dtype).bounds.map(f64::sqrt);
        scale_beyond(&norm.stop_gradient(), [low, high * MANY], at)
    });
    let scaled = scale.as_ref().map(|s| binary(&arithmetic::multiply, &deviation, s, at));
    Products { products: self_products(op, &scaled.unwrap_or(deviation), at), mean, scale }
}

/// The square root of 2^-40.
const MANY: f64 = 1.0 / (1 << 20) as f64;

/// Returns the sums of products of each two rows.
fn self_products(op: &'static str, rows: &Expr, at: Loc) -> Expr {
    let turned = view(op, rows, at, |shape| View::permute(shape, &[1, 0]));
    matmul_at(op, rows, &turned, at)
}

/// Returns the sums of products of deviations of variables whose observations are divided into blocks. Only the last
/// block may have another number of observations. The sums of all blocks, each about its own means, are added to the
/// products of the deviations of these means from the means of all observations, weighted by the numbers of
/// observations. If `from` is given, all are scaled (see [`about_means`]). (Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances,
/// 1979).
fn merged(op: &'static str, blocks: &[Args], from: Option<DType>, at: Loc) -> Expr {
    result_of(op, at, || {
        let parts: Vec<Products> = blocks.iter().map(|block| about_means(op, &block[0], from, at)).collect();
        let ([first, .., last], [part, ..]) = (blocks, &parts[..]) else {
            return Err(Error::with_line(ErrorKind::Internal, op, "there are fewer than two blocks", at));
        };
        let dtype = part.mean.checked()?.dtype;
        let number = |v: usize| Expr::fill(Scalar::Float(v as f64), smallvec![], dtype, at);
        let [many, rest] = [first, last].map(|block| block[0].0.shape[1]);
        let observations = many * (blocks.len() - 1) + rest;
        let means = join(op, parts.iter().map(|p| p.mean.clone()).collect(), 1, at);
        // one scale for all blocks: the least
        let scale = from.map(|_| {
            let size = binary(&arithmetic::multiply, unary(&arithmetic::abs, &means, at), (many as f64).sqrt(), at);
            let scales = parts.iter().filter_map(|p| p.scale.clone());
            let scales = scales.chain([scale_beyond(&size, size_bounds(dtype), at)]).collect();
            reduce(op, Fold::of(&arithmetic::minimum), &join(op, scales, 1, at), &layout::keep(1), at)
        });
        let turn = |e: &Expr| view(op, e, at, |shape| View::permute(shape, &[1, 0]));
        let rescaled = |p: &Products| match (&scale, &p.scale) {
            (Some(scale), Some(own)) => {
                let ratio = binary(&arithmetic::divide, scale, own, at);
                let rows = binary(&arithmetic::multiply, &p.products, &ratio, at);
                binary(&arithmetic::multiply, rows, turn(&ratio), at)
            }
            _ => p.products.clone(),
        };
        let add = |a: Expr, b: Expr| binary(&arithmetic::add, a, b, at);
        let sum = parts.iter().map(rescaled).reduce(add).unwrap_or_else(|| part.products.clone());
        let place = iota(smallvec![blocks.len()], 0, at);
        let is_last = binary(&logic::equal, place, (blocks.len() - 1) as i64, at);
        let counts = choose(is_last, number(rest), number(many), at);
        let shares = binary(&arithmetic::divide, &counts, number(observations), at);
        let weighted = binary(&arithmetic::multiply, &means, shares, at);
        let mean = sum_in_its_type(op, &weighted, &layout::keep(1), at);
        let deviation = binary(&arithmetic::subtract, means, mean, at);
        let deviation = match &scale {
            Some(scale) => binary(&arithmetic::multiply, deviation, scale, at),
            None => deviation,
        };
        let turned = turn(&deviation);
        let between = matmul_at(op, &binary(&arithmetic::multiply, deviation, counts, at), &turned, at);
        Ok(mutant!(means_of_blocks_alike, sum.clone(), add(sum, between)))
    })
}

/// Returns the bounds between which the means of blocks, times the roots of their numbers of observations, need no scale.
/// The lower bound leaves room for deviations that are smaller than the means.
fn size_bounds(dtype: DType) -> [f64; 2] {
    let [low, high] = scales(dtype).bounds.map(f64::sqrt);
    [low * 1024.0, high * MANY]
}

/// Turns a 1 × 1 matrix into a number.
fn alone(c: Expr, at: Loc) -> Expr {
    match c.0.shape[..] {
        [1, 1] => view("cov", &c, at, |shape| Ok(View::drop_axes(shape, &[0, 1]))),
        _ => c,
    }
}
