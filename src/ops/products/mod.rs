//! Products of vectors, matrices and tensors. They are built from matrix products, elementwise products and reductions
//! of views.

mod contract;
mod einsum;
mod labels;
mod order;

pub use einsum::einsum;

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Integer, IntoAxes, SliceItem, View};
use crate::graph::expr::{
    Expr, Operand, Unfit, binary, cast, common, operand, operands, reshape, result_of, strong, ufunc, view,
};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::create::iota;
use crate::ops::functions::{matmul_at, promoted, stack_at, sum_in_its_type};
use crate::ops::linalg::inverted;
pub(crate) use contract::{Labelled, contract};
use labels::MOST;
pub(crate) use labels::{Label, Labels};
use smallvec::{SmallVec, smallvec};
use std::panic::Location;

/// Returns two operands, or the error that one carries, or an error if they are on different devices.
pub(crate) fn two(op: &'static str, a: impl Operand, b: impl Operand, at: Loc) -> Result<(Expr, Expr)> {
    let [a, b] = operands([a.into_arg(), b.into_arg()], Unfit::Error(op), at);
    common(op, [&a, &b].into_iter(), at).map(|_| (a, b))
}

/// Returns the error for two shapes that do not fit each other.
fn unfit(op: &'static str, a: &Expr, b: &Expr, why: &str, at: Loc) -> Error {
    let (x, y) = (a.0.shape.as_slice(), b.0.shape.as_slice());
    Error::with_line(ErrorKind::Shape, op, format!("shapes {x:?} and {y:?}: {why}"), at)
}

/// Returns the labels of `ndim` axes that broadcast. The last axis has label 0, so that the axes of two operands match
/// from the right, as in an elementwise operation.
fn from_the_right(ndim: usize) -> impl Iterator<Item = Label> {
    (0..ndim).rev().map(|d| d as Label)
}

/// # Products
impl Expr {
    /// Returns the sum of products along an axis: the dot product of each pair of vectors. The axis must have the same
    /// length in both operands; the other axes broadcast. A negative axis counts from the end, in each operand
    /// separately.
    ///
    /// The result has the promoted dtype, in which integers wrap. For bool the product is a logical and, and the sum is
    /// a logical or. f16 and bf16 are summed in f32.
    ///
    /// # Errors
    /// The expression carries an error if the axis does not exist in both operands, or if its lengths in the two
    /// operands differ.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1., 2.], [3., 4.]];
    /// assert_eq!(x.vecdot(array![10., 1.], -1).to_vec::<f32>()?, [12., 34.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("vdot", "vector_dot"))]
    #[track_caller]
    pub fn vecdot(&self, other: impl Operand, axis: impl Integer) -> Expr {
        let axis = axis.saturated();
        let at = Location::caller();
        result_of("vecdot", at, || {
            let (a, b) = two("vecdot", self, other, at)?;
            let of = |e: &Expr| layout::normalize_axis(axis, e.0.shape.len()).map_err(|f| f.at("vecdot", at));
            let (i, j) = (of(&a)?, of(&b)?);
            if a.0.shape[i] != b.0.shape[j] {
                return Err(unfit("vecdot", &a, &b, &format!("the lengths along axis {axis} differ"), at));
            }
            let summed = (MOST - 1) as Label;
            let labelled = |e: Expr, axis: usize| {
                let mut labels: Labels = from_the_right(e.0.shape.len() - 1).collect();
                labels.insert(axis, summed);
                Labelled { e, labels }
            };
            let out: Labels = from_the_right(a.0.shape.len().max(b.0.shape.len()) - 1).collect();
            let name = |l: Label| format!("axis −{} (not counting the summed axis)", l + 1);
            contract("vecdot", vec![labelled(a, i), labelled(b, j)], &out, &name, at)
        })
    }

    /// Returns the dot product of each vector along the last axis of the first operand and each vector along the last
    /// axis of the second. The result has the other axes of the first operand, then the other axes of the second. If
    /// one operand is a number or a 0-d array, the result is the elementwise product. The dtypes are as in
    /// [`Expr::vecdot`]. The expression carries an error if the lengths of the last axes differ.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1., 2.], [3., 4.]];
    /// assert_eq!(x.inner(&x).to_vec::<f32>()?, [5., 11., 11., 25.]);     // x · xᵀ
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("inner_product"))]
    #[track_caller]
    pub fn inner(&self, other: impl Operand) -> Expr {
        let at = Location::caller();
        result_of("inner", at, || {
            let (a, b) = two("inner", self, other, at)?;
            let axes = |e: &Expr| -> SmallVec<[isize; 6]> { smallvec![e.0.shape.len() as isize - 1] };
            match a.0.shape.is_empty() || b.0.shape.is_empty() {
                true => along("inner", a, b, [smallvec![], smallvec![]], at),
                false => {
                    let both = [axes(&a), axes(&b)];
                    along("inner", a, b, both, at)
                }
            }
        })
    }

    /// Returns the product of each element of the first operand and each element of the second, as a matrix. Operands
    /// with several axes are flattened in C order. The result has the promoted dtype, in which integers wrap.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![1., 2.];
    /// assert_eq!(x.outer(array![3., 4.]).to_vec::<f32>()?, [3., 4., 6., 8.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "ger")]
    #[track_caller]
    pub fn outer(&self, other: impl Operand) -> Expr {
        let at = Location::caller();
        result_of("outer", at, || {
            let (a, b) = two("outer", self, other, at)?;
            let flat = |e: &Expr| reshape("outer", e, &[-1], at);
            let flat = |e: &Expr| if e.0.shape.contains(&0) { reshape("outer", e, &[0], at) } else { flat(e) };
            along("outer", flat(&a), flat(&b), [smallvec![], smallvec![]], at)
        })
    }

    /// Returns the Kronecker product: each element of the first operand is replaced by its product with the whole
    /// second operand. The operand with fewer axes gets axes of length 1 in front. The result has the promoted dtype,
    /// in which integers wrap.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1., 2.]];
    /// assert_eq!(x.kron(array![[1., 1.], [0., 1.]]).to_vec::<f32>()?, [1., 1., 2., 2., 0., 1., 0., 2.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn kron(&self, other: impl Operand) -> Expr {
        let at = Location::caller();
        result_of("kron", at, || {
            let (a, b) = two("kron", self, other, at)?;
            promoted("kron", [&a, &b].into_iter(), at)?;
            let ndim = a.0.shape.len().max(b.0.shape.len());
            let length = |e: &Expr, d: usize| (d + e.0.shape.len()).checked_sub(ndim).map_or(1, |d| e.0.shape[d]);
            let lengths: Vec<[usize; 2]> = (0..ndim).map(|d| [length(&a, d), length(&b, d)]).collect();
            let spread = |e: &Expr, which: usize| {
                let shape = lengths.iter().flat_map(|n| if which == 0 { [n[0], 1] } else { [1, n[1]] });
                let shape: SmallVec<[isize; 6]> = shape.map(|n| n as isize).collect();
                reshape("kron", e, &shape, at)
            };
            let product = binary(&arithmetic::multiply, spread(&a, 0), spread(&b, 1), at);
            let shape: SmallVec<[isize; 6]> =
                lengths.iter().map(|n| isize::try_from(n[0].saturating_mul(n[1])).unwrap_or(isize::MAX)).collect();
            Ok(reshape("kron", &product, &shape, at))
        })
    }

    /// Returns the cross product of vectors of three elements along an axis; the other axes broadcast. A negative axis
    /// counts from the end, in each operand separately. The result has the promoted dtype, in which integers wrap. The
    /// expression carries an error for bool, because bools cannot be subtracted, and if the axis does not have length
    /// 3.
    ///
    /// ```
    /// use cupric::array;
    /// assert_eq!(array![1., 0., 0.].cross(array![0., 1., 0.], -1).to_vec::<f32>()?, [0., 0., 1.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn cross(&self, other: impl Operand, axis: impl Integer) -> Expr {
        let axis = axis.saturated();
        let at = Location::caller();
        result_of("cross", at, || {
            let (a, b) = two("cross", self, other, at)?;
            let dtype = promoted("cross", [&a, &b].into_iter(), at)?;
            if dtype == DType::Bool {
                return Err(Error::with_line(ErrorKind::DType, "cross", "bool cannot be subtracted; use astype", at));
            }
            // f16 and bf16 are computed in f32, so that the difference of two products is rounded only once
            let compute = if dtype.is_half() { DType::F32 } else { dtype };
            let parts = |e: &Expr| -> Result<[Expr; 3]> {
                let axis = layout::normalize_axis(axis, e.0.shape.len()).map_err(|f| f.at("cross", at))?;
                if e.0.shape[axis] != 3 {
                    let why = format!("axis {axis} does not have length 3 in both");
                    return Err(unfit("cross", &a, &b, &why, at));
                }
                Ok([0, 1, 2].map(|i| cast(element("cross", e, axis, i, at), compute, at)))
            };
            let (x, y) = (parts(&a)?, parts(&b)?);
            layout::broadcast(&x[0].0.shape, &y[0].0.shape)
                .map_err(|_| unfit("cross", &a, &b, "the axes other than those of the vectors do not broadcast", at))?;
            let multiply = |i: usize, j: usize| binary(&arithmetic::multiply, &x[i], &y[j], at);
            let part =
                |i: usize, j: usize| cast(binary(&arithmetic::subtract, multiply(i, j), multiply(j, i), at), dtype, at);
            Ok(stack_at("cross", vec![part(1, 2), part(2, 0), part(0, 1)], axis, at))
        })
    }

    /// Returns the sum of the elements on a diagonal of two axes, for each index along the other axes. A positive
    /// `offset` moves the diagonal along `axis2`, a negative one along `axis1`. The dtypes are as in [`Expr::sum`]. The
    /// expression carries an error if an axis does not exist or both are the same.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1, 2], [3, 4]];
    /// assert_eq!(x.trace(0, -2, -1).item::<i64>()?, 5);
    /// assert_eq!(x.trace(1, 0, 1).item::<i64>()?, 2);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn trace(&self, offset: isize, axis1: impl Integer, axis2: impl Integer) -> Expr {
        let at = Location::caller();
        result_of("trace", at, || {
            self.checked()?;
            let diagonal =
                view("trace", self, at, |shape| View::diagonal(shape, offset, axis1.saturated(), axis2.saturated()));
            diagonal.checked()?;
            Ok(sum_in_its_type("trace", &diagonal, &(-1).into_axes(), at))
        })
    }

    /// Raises a square matrix to an integer power, by repeated squaring. An array of more than two axes is an array of
    /// matrices along the last two axes, each of which is raised to the power. The power 0 is the identity matrix.
    /// Integers wrap; f16 and bf16 are computed in f32 and rounded once. For a negative power, the inverse
    /// ([`inv`](crate::linalg::inv)) is raised to the power −n, and integers become f32.
    ///
    /// # Errors
    /// The expression carries an error if the array has fewer than two axes, or if the lengths of the last two axes
    /// differ. For a negative power, the evaluation returns [`ErrorKind::Singular`] for a singular matrix.
    ///
    /// ```
    /// use cupric::array;
    /// let fibonacci = array![[1, 1], [1, 0]].matrix_power(10);
    /// assert_eq!(fibonacci.to_vec::<i32>()?, [89, 55, 55, 34]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn matrix_power(&self, n: i64) -> Expr {
        let at = Location::caller();
        result_of("matrix_power", at, || {
            self.checked()?;
            let e = strong(self.clone(), at);
            let shape = e.0.shape.clone();
            let (ndim, dtype) = (shape.len(), e.0.dtype);
            if ndim < 2 || shape[ndim - 1] != shape[ndim - 2] {
                let detail = format!("shape {:?}: the last two axes do not form a square matrix", shape.as_slice());
                return Err(Error::with_line(ErrorKind::Shape, "matrix_power", detail, at));
            }
            if n == 0 {
                let [row, column] = [ndim - 2, ndim - 1].map(|axis| iota(shape.clone(), axis, at));
                // the numbers are filled on the operand's device, so that the result is there too
                let number = |v: i128| Expr::fill_on(e.0.device, Scalar::Int(v), smallvec![], dtype, at).into_arg();
                let on_diagonal = binary(&logic::equal, row, column, at).into_arg();
                return Ok(ufunc(&logic::SELECT, smallvec![on_diagonal, number(1), number(0)], at));
            }
            let (e, dtype) = match n < 0 {
                true => (inverted("matrix_power", &e, at)?, dtype.float()),
                false => (e, dtype),
            };
            let mut left = n.unsigned_abs();
            // with several products, roundings to 16 bits would add up; a single product is rounded only once
            let mut square = if left > 2 && dtype.is_half() { cast(e, DType::F32, at) } else { e };
            let mut power: Option<Expr> = None;
            while left > 0 {
                if left & 1 == 1 {
                    power = Some(match power {
                        None => square.clone(),
                        Some(p) => matmul_at("matrix_power", &p, &square, at),
                    });
                }
                left >>= 1;
                if left > 0 {
                    square = matmul_at("matrix_power", &square, &square, at);
                }
            }
            Ok(cast(power.unwrap_or(square), dtype, at))
        })
    }
}

/// Returns the elements at a position along an axis, without that axis.
fn element(op: &'static str, e: &Expr, axis: usize, position: isize, at: Loc) -> Expr {
    let mut items = vec![SliceItem::Range { start: None, end: None, step: 1 }; axis];
    items.push(SliceItem::Index(position));
    view(op, e, at, |shape| View::slice(shape, &items))
}

/// The axes over which [`tensordot`] sums: their number, or a pair with the axes of the first and of the second
/// operand.
pub trait TensordotAxes: sealed::SummedAxes {
    #[doc(hidden)]
    fn resolve(self, a: usize, b: usize) -> [SmallVec<[isize; 6]>; 2];
}

mod sealed {
    pub trait SummedAxes {}
}

macro_rules! counts {
    ($($t:ty)*) => { $(
        impl sealed::SummedAxes for $t {}
        impl TensordotAxes for $t {
            fn resolve(self, a: usize, _: usize) -> [SmallVec<[isize; 6]>; 2] {
                // a negative number, or one above the number of axes, is turned into axes that do not exist; a later
                // check returns the error
                let n = (self as i128).clamp(-1, layout::MAX_NDIM as i128 + 1) as isize;
                match n {
                    -1 => [smallvec![isize::MIN / 2], smallvec![isize::MIN / 2]],
                    n => [(0..n).map(|d| a as isize - n + d).map(|d| if d < 0 { d - a as isize } else { d }).collect(),
                          (0..n).collect()],
                }
            }
        }
    )* };
}
counts! { i32 usize }

impl<A: IntoAxes, B: IntoAxes> sealed::SummedAxes for (A, B) {}
impl<A: IntoAxes, B: IntoAxes> TensordotAxes for (A, B) {
    fn resolve(self, a: usize, b: usize) -> [SmallVec<[isize; 6]>; 2] {
        let list = |axes: layout::AxesArg, ndim: usize| axes.axes.unwrap_or_else(|| (0..ndim as isize).collect());
        [list(self.0.into_axes(), a), list(self.1.into_axes(), b)]
    }
}

/// Returns the tensor dot product of two arrays: products of elements, summed over axes. `tensordot(a, b, n)` sums over
/// the last n axes of `a` and the first n of `b`. `tensordot(a, b, (p, q))` sums over the axes `p` of `a`, each paired
/// with the axis at the same position in the list `q` of `b`. The result has the other axes of `a`, then the other axes
/// of `b`. The sum is one matrix product of views; an operand is copied only if strides cannot merge its axes into one.
/// The dtypes are as in [`Expr::vecdot`].
///
/// # Errors
/// The expression carries an error if an axis is out of range or repeated, if the two lists differ in length, or if two
/// paired axes differ in length.
///
/// ```
/// use cupric::{DType, array, tensordot, zeros};
/// let x = array![[1., 2.], [3., 4.]];
/// assert_eq!(tensordot(&x, &x, 2).item::<f32>()?, 30.);
/// assert_eq!(tensordot(&x, &x, (1, 0)).to_vec::<f32>()?, x.matmul(&x).to_vec::<f32>()?);
/// let y = zeros([3, 4, 5], DType::F32);
/// assert_eq!(tensordot(&y, &y, ([2, 0], [2, 0])).shape()?, [4, 4]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn tensordot(a: impl Operand, b: impl Operand, axes: impl TensordotAxes) -> Expr {
    let at = Location::caller();
    result_of("tensordot", at, || {
        let (a, b) = two("tensordot", a, b, at)?;
        let axes = axes.resolve(a.0.shape.len(), b.0.shape.len());
        along("tensordot", a, b, axes, at)
    })
}

/// Sums products over pairs of axes. The result has the other axes of `a`, then the other axes of `b`.
pub(crate) fn along(op: &'static str, a: Expr, b: Expr, axes: [SmallVec<[isize; 6]>; 2], at: Loc) -> Result<Expr> {
    if axes[0].len() != axes[1].len() {
        let detail = format!("{} axes of the first operand and {} of the second", axes[0].len(), axes[1].len());
        return Err(Error::with_line(ErrorKind::Axis, op, detail, at));
    }
    let (n, m) = (a.0.shape.len(), b.0.shape.len());
    if n + m > layout::MAX_NDIM {
        let detail = format!("{n} and {m} axes; together at most {} are supported", layout::MAX_NDIM);
        return Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at));
    }
    let mut labels: [Labels; 2] = [(0..n as Label).collect(), (n as Label..(n + m) as Label).collect()];
    for list in [0, 1] {
        let ndim = [n, m][list];
        let axes = layout::AxesArg { axes: Some(axes[list].clone()), keep: false };
        axes.resolve(ndim).map_err(|f| f.at(op, at))?;
    }
    for (p, q) in axes[0].iter().zip(&axes[1]) {
        let of = |axis: isize, ndim: usize| layout::normalize_axis(axis, ndim).map_err(|f| f.at(op, at));
        let (p, q) = (of(*p, n)?, of(*q, m)?);
        if a.0.shape[p] != b.0.shape[q] {
            let why = format!("axis {p} of the first and axis {q} of the second have different lengths");
            return Err(unfit(op, &a, &b, &why, at));
        }
        labels[1][q] = p as Label;
    }
    let [first, second] = labels;
    let out: Labels = first
        .iter()
        .filter(|l| !second.contains(l))
        .chain(second.iter().filter(|l| !first.contains(l)))
        .copied()
        .collect();
    let name = |l: Label| format!("axis {l}");
    contract(op, vec![Labelled { e: a, labels: first }, Labelled { e: b, labels: second }], &out, &name, at)
}

/// Returns the product of a chain of matrices, multiplied in the order that takes the fewest multiplications. The order
/// is found by dynamic programming, in n³ steps for n matrices; more than 64 matrices are multiplied from left to
/// right, as in [`einsum()`]. The first operand may be a vector, which counts as a row, and the last one may be a
/// vector, which counts as a column. The axis of length 1 of this row or column is removed from the result. The dtypes
/// are as in [`Expr::matmul`]. With three or more f16 or bf16 operands, the intermediate products are f32.
///
/// # Errors
/// The expression carries an error if there are fewer than two arrays, if an array has a wrong number of axes, or if a
/// matrix does not have as many rows as the one before it has columns.
///
/// ```
/// use cupric::{DType, multi_dot, ones};
/// let (a, b, c) = (ones([10, 1000], DType::F32), ones([1000, 5], DType::F32), ones([5, 500], DType::F32));
/// assert_eq!(multi_dot([&a, &b, &c]).shape()?, [10, 500]);      // (a · b) · c: 75,000 multiplications, not 7,500,000
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn multi_dot(arrays: impl IntoIterator<Item = impl Operand>) -> Expr {
    let at = Location::caller();
    let arrays: Vec<Expr> = arrays.into_iter().map(|x| operand(x, at)).collect();
    result_of("multi_dot", at, || {
        common("multi_dot", arrays.iter(), at)?;
        let dtype = promoted("multi_dot", arrays.iter(), at)?;
        if arrays.len() < 2 {
            let detail = format!("{} arrays; at least two are needed", arrays.len());
            return Err(Error::with_line(ErrorKind::Argument, "multi_dot", detail, at));
        }
        let last = arrays.len() - 1;
        let shapes = || arrays.iter().map(|x| x.0.shape.as_slice()).collect::<Vec<_>>();
        let mut matrices = vec![];
        let mut lengths = vec![];
        for (i, x) in arrays.iter().enumerate() {
            let matrix = match x.0.shape.len() {
                2 => x.clone(),
                1 if i == 0 => view("multi_dot", x, at, |s| View::expand(s, 0)),
                1 if i == last => view("multi_dot", x, at, |s| View::expand(s, 1)),
                _ => {
                    let why = "each must be a matrix, except that the first and the last may be vectors";
                    return Err(Error::with_line(
                        ErrorKind::Shape,
                        "multi_dot",
                        format!("shapes {:?}: {why}", shapes()),
                        at,
                    ));
                }
            };
            let [rows, columns] = [matrix.0.shape[0], matrix.0.shape[1]];
            if lengths.last().is_some_and(|n| *n != rows) {
                let why = format!("the {rows} rows of array {i} do not match the columns of the array before it");
                return Err(Error::with_line(
                    ErrorKind::Shape,
                    "multi_dot",
                    format!("shapes {:?}: {why}", shapes()),
                    at,
                ));
            }
            if i == 0 {
                lengths.push(rows);
            }
            lengths.push(columns);
            // with several products, f16 and bf16 are multiplied in f32, because roundings to 16 bits would add up
            let compute = if dtype.is_half() && last > 1 { DType::F32 } else { dtype };
            matrices.push(cast(matrix, compute, at));
        }
        let product = cast(chained(matrices, &lengths, at), dtype, at);
        let gone: SmallVec<[usize; 2]> =
            [0, last].iter().enumerate().filter(|(_, i)| arrays[**i].0.shape.len() == 1).map(|(d, _)| d).collect();
        Ok(view("multi_dot", &product, at, |s| Ok(View::drop_axes(s, &gone))))
    })
}

/// Builds the product of a chain of matrices, split according to the table of [`order::chain`]. It uses an explicit
/// stack instead of recursion.
fn chained(matrices: Vec<Expr>, lengths: &[usize], at: Loc) -> Expr {
    enum Task {
        Run(usize, usize),
        Multiply,
    }
    let multiply = |a: &Expr, b: &Expr| matmul_at("multi_dot", a, b, at);
    let Some(splits) = order::chain(lengths) else {
        let product = matrices.into_iter().reduce(|a, b| multiply(&a, &b));
        return product.unwrap_or_else(|| Expr::number(Scalar::Int(0), at));
    };
    let (mut tasks, mut done) = (vec![Task::Run(0, matrices.len() - 1)], vec![]);
    while let Some(task) = tasks.pop() {
        match task {
            Task::Run(i, j) if i == j => done.push(matrices[i].clone()),
            Task::Run(i, j) => {
                let k = splits[i][j];
                tasks.extend([Task::Multiply, Task::Run(k + 1, j), Task::Run(i, k)]);
            }
            Task::Multiply => {
                if let (Some(b), Some(a)) = (done.pop(), done.pop()) {
                    done.push(multiply(&a, &b));
                }
            }
        }
    }
    done.pop().unwrap_or_else(|| matrices[0].clone())
}
