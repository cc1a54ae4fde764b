//! Ranges, weighted means, covariances and correlations.

use crate::array::in_blocks;
use crate::base::dtype::Scalar;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, AxesArg, IntoAxes, View};
use crate::graph::expr::{
    Args, Expr, Operand, Unfit, binary, choose, common, operands, reduce, reshape, result_of, strong, unary, view,
};
use crate::graph::ufunc::{arithmetic, float, logic};
use crate::ops::create::iota;
use crate::ops::functions::{join, matmul_at, mean_at, narrow, sum_in_its_type, wide};
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
            let (c, e) = covariances("corrcoef", self, row_variables, 1.0, at)?;
            let variances = view("corrcoef", &c, at, |shape| View::diagonal(shape, 0, 0, 1));
            let roots = unary(&float::sqrt, variances, at);
            let column = view("corrcoef", &roots, at, |shape| View::expand(shape, 1));
            let scaled = binary(&arithmetic::divide, binary(&arithmetic::divide, c, column, at), roots, at);
            let args = smallvec![scaled.into_arg(), (-1.0).into_arg(), 1.0.into_arg()];
            let bounded = crate::graph::expr::ufunc(&arithmetic::clip, args, at);
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
    let degrees = (x.0.shape[1] as f64 - correction).max(0.0);
    let [products, _] = about_means(op, &x, at);
    let squares = x.0.shape[0].saturating_mul(x.0.shape[0]);
    let products = match in_blocks(&[&x], &[1], squares.saturating_mul(ELEMENTS_OF_A_PRODUCT)) {
        None => products,
        // the derivative is that of the whole: the derivative of each block would have the size of the whole operand
        Some(blocks) => merged(op, &blocks, at).with_rule(vec![products], Some(Box::new(|g, _| Ok(vec![g.clone()])))),
    };
    Ok((binary(&arithmetic::divide, products, degrees, at), e))
}

/// The minimum number of elements of a block for each element of its matrix of products. The matrices of all blocks
/// together then have at most an eighth of the bytes of the operand.
const ELEMENTS_OF_A_PRODUCT: usize = 8;

/// Returns the sums of products of the deviations of variables (rows) from their means, and the means as a column.
fn about_means(op: &'static str, x: &Expr, at: Loc) -> [Expr; 2] {
    let mean = mean_at(op, x, &layout::keep(1), at);
    let deviation = binary(&arithmetic::subtract, x, &mean, at);
    [self_products(op, &deviation, at), mean]
}

/// Returns the sums of products of each two rows.
fn self_products(op: &'static str, rows: &Expr, at: Loc) -> Expr {
    let turned = view(op, rows, at, |shape| View::permute(shape, &[1, 0]));
    matmul_at(op, rows, &turned, at)
}

/// Returns the sums of products of deviations of variables whose observations are divided into blocks. Only the last
/// block may have another number of observations. The sums of all blocks, each about its own means, are added to the
/// products of the deviations of these means from the means of all observations, weighted by the numbers of
/// observations (Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances,
/// 1979).
fn merged(op: &'static str, blocks: &[Args], at: Loc) -> Expr {
    result_of(op, at, || {
        let (mut sum, mut means): (Option<Expr>, Vec<Expr>) = (None, vec![]);
        for block in blocks {
            let [products, mean] = about_means(op, &block[0], at);
            sum = Some(sum.map_or(products.clone(), |sum| binary(&arithmetic::add, sum, products, at)));
            means.push(mean);
        }
        let (Some(sum), [first, .., last]) = (sum, blocks) else {
            return Err(Error::with_line(ErrorKind::Internal, op, "there are fewer than two blocks", at));
        };
        let means = join(op, means, 1, at);
        let dtype = means.checked()?.dtype;
        let number = |v: usize| Expr::fill(Scalar::Float(v as f64), smallvec![], dtype, at);
        let place = iota(smallvec![blocks.len()], 0, at);
        let is_last = binary(&logic::equal, place, (blocks.len() - 1) as i64, at);
        let [many, rest] = [first, last].map(|block| block[0].0.shape[1]);
        let counts = choose(is_last, number(rest), number(many), at);
        let observations = number(many * (blocks.len() - 1) + rest);
        let weighted =
            binary(&arithmetic::multiply, &means, binary(&arithmetic::divide, &counts, observations, at), at);
        let mean = sum_in_its_type(op, &weighted, &layout::keep(1), at);
        let deviation = binary(&arithmetic::subtract, means, mean, at);
        let turned = view(op, &deviation, at, |shape| View::permute(shape, &[1, 0]));
        let between = matmul_at(op, &binary(&arithmetic::multiply, deviation, counts, at), &turned, at);
        Ok(mutant!(means_of_blocks_alike, sum.clone(), binary(&arithmetic::add, sum, between, at)))
    })
}

/// Turns a 1 × 1 matrix into a number.
fn alone(c: Expr, at: Loc) -> Expr {
    match c.0.shape[..] {
        [1, 1] => view("cov", &c, at, |shape| Ok(View::drop_axes(shape, &[0, 1]))),
        _ => c,
    }
}
