//! Solutions of systems of linear equations with twice the digits of their dtype, by iterative refinement.

use super::lu::factored;
use super::parts::{Call, batch};
use super::solve::{by_factors, quotient};
use super::triangular::with_columns;
use crate::base::dtype::DType;
use crate::base::error::{Error, Loc, Result};
use crate::base::layout::AxesArg;
use crate::graph::expr::{Called, Expr, Operand, binary, choose, reduce, unary};
use crate::graph::ufunc::{arithmetic, logic};
use crate::plan::kernel::Fold;
use smallvec::smallvec;
use std::panic::Location;

/// How many corrections are added to the first solution. For a matrix of n rows with condition number κ, each
/// correction multiplies the error by about n·ε·κ.
const CORRECTIONS: usize = 7;

/// How many slices each correction is cut into. A slice holds a few leading bits of each number, so that products of
/// slices are exact. The bits below the last slice are not used, so they stay in the residual.
const SLICES_OF_A_CORRECTION: usize = 3;

/// Returns the solutions X of A·X = B with about twice the digits of their dtype, as a pair: x, which is X rounded to
/// the dtype, and the rest, X − x. On a GPU without f64, x and the rest together are about as exact as a solution in
/// f64. To add the two on the host, convert them to f64 there. The shapes and dtypes are the same as for
/// [`solve`](super::solve()). On the CPU, the result's bits do not depend on the number of threads or the instruction
/// set.
///
/// ```
/// use cupric::{array, linalg::solve_refined};
/// let (x, rest) = solve_refined(array![[3., 1.], [1., 1.]], array![2., 1.]);
/// assert_eq!(x.to_vec::<f32>()?, [0.5, 0.5]);
/// assert_eq!(rest.to_vec::<f32>()?, [0., 0.]);
/// let (x, rest) = solve_refined(array![[3.]], array![1.]);
/// assert_eq!(x.item::<f32>()?, 1. / 3.);
/// assert!((f64::from(x.item::<f32>()?) + f64::from(rest.item::<f32>()?) - 1. / 3.).abs() < 1e-15);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Accuracy
/// Seven corrections are computed from the same triangular factors, whatever the matrix. A correction is used only if
/// it is at most half as large as the one before. Let κ be the condition number of A after its rows and columns are
/// scaled by powers of two, and let errors be relative to the largest element of each right-hand side's solution. For
/// f32 and κ up to 10^6, the error of x is at most 2^-24, half a unit in the last place of f32, and the error of x +
/// rest is at most 2^-44 plus eight times the error of a solution in f64. If n·ε·κ is above about 0.1, seven
/// corrections are not enough; if the corrections do not shrink at all, x is as exact as the result of
/// [`solve`](super::solve()). No such bounds are tested for f64.
///
/// One correction costs about as much as 21 products of A with the right-hand sides.
///
/// # Derivatives
/// x has the derivatives of [`solve`](super::solve()). The derivatives of the rest are 0.
///
/// # Errors
/// The errors are the same as for [`solve`](super::solve()).
///
/// The method is J. H. Wilkinson's iterative refinement. The residuals are computed as in K. Ozaki, T. Ogita, S. Oishi
/// and S. M. Rump, Error-free transformations of matrix multiplication by using fast routines of matrix multiplication
/// and its applications, Numer. Algorithms 59 (2012).
#[doc(alias("gesvxx", "refine"))]
#[track_caller]
pub fn solve_refined(a: impl Operand, b: impl Operand) -> (Expr, Expr) {
    let call = Call { op: "solve_refined", at: Location::caller() };
    let _called = Called::begin(call.op, call.at);
    let build = || {
        let [a, b] = call.both(a, b)?;
        // `refined` also gets `a` before it is broadcast to the axes of `b`, so that each matrix is factorised once
        with_columns(&a, &b, call, |wide, b| refined([&a, wide], b, call))
    };
    build().map_err(|e: Error| Expr::failed(e.or_at(call.at), call.at)).map_or_else(|e| (e.clone(), e), Into::into)
}

/// Returns the results of [`solve_refined`], x and the rest X − x, with the rules for their derivatives. `wide` is `a`,
/// broadcast to the axes of `b` before the last two.
fn refined([a, wide]: [&Expr; 2], b: &Expr, call: Call) -> Result<[Expr; 2]> {
    if b.checked()?.shape.contains(&0) {
        return Ok([b.clone(), b.clone()]);
    }
    let [x, rest] = corrected(a, b, call)?;
    x.checked()?;
    let (of, all, right) = (a.clone(), wide.clone(), b.clone());
    let back = move |g: &Expr, at: Loc| {
        let call = Call { at, ..call };
        let of_b = quotient(&call.transposed(&all), g, call)?;
        let [x, _] = refined([&of, &all], &right, call)?;
        let of_a = call.product(&of_b, &call.transposed(&x));
        Ok(vec![unary(&arithmetic::negative, of_a, at), of_b])
    };
    let operands = vec![wide.clone(), b.clone()];
    Ok([x.with_rule(operands.clone(), Some(Box::new(back))), rest.with_rule(operands, None)])
}

/// Returns the results of [`solve_refined`], x and the rest X − x, without rules for derivatives.
fn corrected(a: &Expr, b: &Expr, call: Call) -> Result<[Expr; 2]> {
    let n = call.square(a)?;
    let sizes = Sizes::of(a.0.dtype, n);
    // scale rows and columns by powers of two, so that all magnitudes are below 1
    let down = |x: &Expr, exponents: &Expr| x.ldexp(unary(&arithmetic::negative, exponents, call.at));
    let rows = exponents(a, -1, call);
    let a = down(a, &rows);
    let columns = exponents(&a, -2, call);
    let a = down(&a, &columns);
    let b = down(b, &rows);
    let right_sides = exponents(&b, -2, call);
    let factors = factored(&a, call)?.broadcast(batch(&b), call);
    let cut = slices(&a, &call.filled(1.0, smallvec![1, 1], &a), sizes.count, sizes.bits, call);
    let cut = call.join(cut.slices, -2);
    let zero = call.filled(0.0, b.0.shape.clone(), &b);
    let mut residual = Residual { parts: [down(&b, &right_sides), zero.clone(), zero.clone()] };
    let (mut x, mut rest, mut before) = (zero.clone(), zero, None);
    for _ in 0..=mutant!(corrections_left_out, 1, CORRECTIONS) {
        let d = by_factors(&a, &residual.rounded(call), &factors, false, call)?;
        let mut largest = power_of_two_above(&d, sizes.digits, call);
        // the first `d` is the solution itself, and is always added; each later one is a correction
        let d = match before {
            None => d,
            Some(before) => {
                let shrinks = binary(&logic::less, &largest, &before, call.at);
                largest = choose(&shrinks, &largest, before, call.at);
                choose(shrinks, d, 0.0, call.at)
            }
        };
        let parts = slices(&d, &largest, SLICES_OF_A_CORRECTION, sizes.bits, call);
        residual.subtract(&call.product(&cut, &call.join(parts.slices, -1)), sizes.count, call);
        // only the slices of `d` are added, because only they were subtracted from the residual
        let [sum, lost] = two_sum(&x, &call.minus(&d, &parts.rest), call);
        (x, rest) = (sum, call.plus(&rest, &lost));
        before = Some(largest);
    }
    let [x, rest] = two_sum(&x, &rest, call);
    let exponents = call.minus(&right_sides, &call.transposed(&columns));
    Ok([x, rest].map(|e| e.ldexp(&exponents)))
}

/// How numbers are cut into slices. A slice is a part of a number with so few bits that sums of products of two slices
/// are exact.
struct Sizes {
    /// The number of significant bits of the dtype.
    digits: i32,
    /// The bits of a slice. Its numbers are multiples of a unit, with magnitudes of at most 2^`bits` units, so that
    /// sums of n products of two slices are exact.
    bits: i32,
    /// How many slices a matrix is cut into. Together the slices hold at least 2·`digits` + 8 bits.
    count: usize,
}

impl Sizes {
    fn of(dtype: DType, n: usize) -> Sizes {
        let digits = if dtype == DType::F64 { 53 } else { 24 };
        let bits = (digits - n.next_power_of_two().ilog2() as i32) / 2;
        Sizes { digits, bits, count: (2 * digits + 8 + bits) as usize / (bits + 1) as usize }
    }
}

/// The result of [`slices`]: the array that was cut is the sum of all `slices` and the `rest`.
struct Cut {
    slices: Vec<Expr>,
    rest: Expr,
}

/// Cuts numbers into `count` slices. The magnitudes of the numbers are at most `largest`, a power of two. For each
/// slice, a large number is added and subtracted, which rounds the numbers to multiples of a unit. The remainder is at
/// most half a unit, so the unit of the next slice is 2^(bits + 1) times smaller.
fn slices(x: &Expr, largest: &Expr, count: usize, bits: i32, call: Call) -> Cut {
    let digits = if x.0.dtype == DType::F64 { 53 } else { 24 };
    let mut cut = Cut { slices: vec![], rest: x.clone() };
    for k in 0..count as i32 {
        let unit = -bits - (bits + 1) * k;
        let large = binary(&arithmetic::multiply, largest, 1.5 * 2f64.powi(digits - 1 + unit), call.at);
        let slice = call.minus(&call.plus(&cut.rest, &large), &large);
        cut.rest = call.minus(&cut.rest, &slice);
        cut.slices.push(slice);
    }
    cut
}

/// The residual B − A·X as the sum of three arrays. Each array is smaller than the rounding errors of the previous one.
struct Residual {
    parts: [Expr; 3],
}

impl Residual {
    fn rounded(&self, call: Call) -> Expr {
        let [x, y, z] = &self.parts;
        call.plus(x, &call.plus(y, z))
    }

    /// Subtracts the product of a matrix and a correction. `products` is an array of blocks: block (i, j) is the
    /// product of slice i of the matrix, which has `count` slices, with slice j of the correction.
    fn subtract(&mut self, products: &Expr, count: usize, call: Call) {
        let [n, columns] = [2, 1].map(|k| self.parts[0].0.shape[self.parts[0].0.shape.len() - k]);
        let [mut x, mut y, mut z] = self.parts.clone();
        // the products of the largest slices are subtracted first; `order` is i + j for block (i, j)
        for order in 0..count {
            for j in 0..SLICES_OF_A_CORRECTION.min(order + 1) {
                let i = order - j;
                let block = call.block(products, i * n..(i + 1) * n, j * columns..(j + 1) * columns);
                let block = unary(&arithmetic::negative, block, call.at);
                let [sum, lost] = two_sum(&x, &block, call);
                let [second, third] = two_sum(&y, &lost, call);
                (x, y, z) = (sum, second, call.plus(&z, &third));
            }
        }
        let [x, lost] = two_sum(&x, &y, call);
        let [y, z] = two_sum(&lost, &z, call);
        self.parts = [x, y, z];
    }
}

/// Returns the rounded sum of a and b, and the rounding error. The two results add up exactly to a + b (Knuth).
fn two_sum(a: &Expr, b: &Expr, call: Call) -> [Expr; 2] {
    let sum = call.plus(a, b);
    let of_b = call.minus(&sum, a);
    let lost = call.plus(&call.minus(a, &call.minus(&sum, &of_b)), &call.minus(b, &of_b));
    [sum, lost]
}

/// Returns the largest magnitudes along an axis, which is kept with length 1.
fn largest(x: &Expr, axis: isize, call: Call) -> Expr {
    let along = AxesArg { axes: Some(smallvec![axis]), keep: true };
    reduce(call.op, Fold::of(&arithmetic::maximum), &unary(&arithmetic::abs, x, call.at), &along, call.at)
}

/// Returns the exponents of the smallest powers of two above all magnitudes along an axis, which is kept with length 1.
fn exponents(x: &Expr, axis: isize, call: Call) -> Expr {
    largest(x, axis, call).frexp().1
}

/// Returns for each column a power of two above the magnitudes of its elements, or 0 for a column of zeros. `digits` is
/// the number of significant bits of the dtype. (S. M. Rump, T. Ogita and S. Oishi, Accurate floating-point summation,
/// part I, SIAM J. Sci. Comput. 31, 2008.)
fn power_of_two_above(x: &Expr, digits: i32, call: Call) -> Expr {
    let times = |x: &Expr, by: f64| binary(&arithmetic::multiply, x, by, call.at);
    let q = times(&largest(x, -2, call), 2f64.powi(digits) + 2.0);
    let power = call.minus(&q, &times(&q, 1.0 - 2f64.powi(-digits)));
    unary(&arithmetic::abs, power, call.at)
}
