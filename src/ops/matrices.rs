//! Functions that generate matrices (`eye_shifted`, `tri`, `diag`), take triangles of matrices, and build grids of
//! coordinates. They use masks that depend only on positions, such as "on or below the diagonal". Such a mask is
//! computed in the kernel that uses it, and is not stored.

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, IntoShape, Shape, View, shape_arg};
use crate::graph::expr::{
    Expr, Operand, Unfit, binary, cast, common, operand_list, reshape, result_of, strong, ufunc, view,
};
use crate::graph::ufunc::{Ufunc, arithmetic, logic};
use crate::ops::create::{countable, iota};
use crate::ops::functions::join;
use smallvec::smallvec;
use std::panic::Location;

/// Returns, for each element of a matrix, the comparison `row` (an entry of the ufunc table) between the index of the
/// element's diagonal and `k`. This index is column − row: 0 for the main diagonal, and positive above it.
fn compared(op: &'static str, row: &'static Ufunc, rows: usize, columns: usize, k: isize, at: Loc) -> Result<Expr> {
    let shape: Shape = smallvec![rows, columns];
    layout::size_of_shape(&shape).map_err(|f| f.at(op, at))?;
    countable(op, rows.max(columns), at)?;
    // the difference of two positions fits i32, because each of them is at least 0 and fits i32
    let diagonal = binary(&arithmetic::subtract, iota(shape.clone(), 1, at), iota(shape, 0, at), at);
    Ok(binary(row, diagonal, k.clamp(i32::MIN as isize, i32::MAX as isize), at))
}

/// Returns a matrix with ones on a diagonal and zeros elsewhere. `k` is 0 for the main diagonal, positive for a
/// diagonal above it, and negative for one below it. [`eye`](crate::eye) returns a square matrix with `k` = 0. The
/// Array API and NumPy have a single function, `eye(rows, columns, k=k)`.
///
/// ```
/// use cupric::{DType, eye_shifted};
/// assert_eq!(eye_shifted(2, 3, 1, DType::I32).to_vec::<i32>()?, [0, 1, 0, 0, 0, 1]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias = "eye")]
#[doc(alias = "identity")]
#[track_caller]
pub fn eye_shifted(rows: usize, columns: usize, k: isize, dtype: DType) -> Expr {
    let at = Location::caller();
    result_of("eye_shifted", at, || Ok(cast(compared("eye_shifted", &logic::equal, rows, columns, k, at)?, dtype, at)))
}

/// Returns a matrix with ones on and below diagonal `k`, and zeros above it. `k` is 0 for the main diagonal, positive
/// for a diagonal above it, and negative for one below it.
///
/// ```
/// use cupric::{DType, tri};
/// assert_eq!(tri(2, 3, 0, DType::I32).to_vec::<i32>()?, [1, 0, 0, 1, 1, 0]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn tri(rows: usize, columns: usize, k: isize, dtype: DType) -> Expr {
    let at = Location::caller();
    result_of("tri", at, || Ok(cast(compared("tri", &logic::less_equal, rows, columns, k, at)?, dtype, at)))
}

/// Keeps the elements of matrices on one side of diagonal `k`, and sets the others to zero. An element is kept if the
/// comparison `row` of its diagonal's index (column − row) with `k` is true.
fn triangle(op: &'static str, e: &Expr, row: &'static Ufunc, k: isize, at: Loc) -> Expr {
    result_of(op, at, || {
        e.checked()?;
        let e = strong(e.clone(), at);
        let [.., rows, columns] = e.0.shape[..] else {
            let detail = format!("shape {:?} has fewer than the two axes of a matrix", e.0.shape.as_slice());
            return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
        };
        let inside = compared(op, row, rows, columns, k, at)?;
        let zero = Expr::fill(Scalar::Int(0), smallvec![], e.0.dtype, at);
        Ok(ufunc(&logic::SELECT, smallvec![inside.into_arg(), e.into_arg(), zero.into_arg()], at))
    })
}

/// # Triangles and diagonals
impl Expr {
    /// Returns the lower triangles of the matrices along the last two axes: the elements on and below diagonal `k` are
    /// kept, and the others become 0. `k` is 0 for the main diagonal, positive for a diagonal above it, and negative
    /// for one below it.
    ///
    /// ```
    /// let x = cupric::array![[1, 2], [3, 4]];
    /// assert_eq!(x.tril(0).to_vec::<i32>()?, [1, 0, 3, 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn tril(&self, k: isize) -> Expr {
        triangle("tril", self, &logic::less_equal, k, Location::caller())
    }

    /// Returns the upper triangles of the matrices along the last two axes: the elements on and above diagonal `k` are
    /// kept, and the others become 0. `k` is 0 for the main diagonal, positive for a diagonal above it, and negative
    /// for one below it.
    ///
    /// ```
    /// let x = cupric::array![[1, 2], [3, 4]];
    /// assert_eq!(x.triu(1).to_vec::<i32>()?, [0, 2, 0, 0]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn triu(&self, k: isize) -> Expr {
        triangle("triu", self, &logic::greater_equal, k, Location::caller())
    }

    /// Builds a square matrix from an array of one axis, with the elements on diagonal `k` and zeros elsewhere. For a
    /// matrix, returns its diagonal `k`, as a view like [`Expr::diagonal`]. `k` is 0 for the main diagonal, positive
    /// for a diagonal above it, and negative for one below it. Any other number of axes is an [`ErrorKind::Shape`]
    /// error.
    ///
    /// ```
    /// let x = cupric::array![1, 2];
    /// assert_eq!(x.diag(0).to_vec::<i32>()?, [1, 0, 0, 2]);
    /// assert_eq!(x.diag(-1).to_vec::<i32>()?, [0, 0, 0, 1, 0, 0, 0, 2, 0]);
    /// assert_eq!(x.diag(0).diag(0).to_vec::<i32>()?, [1, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "diag_embed")]
    #[track_caller]
    pub fn diag(&self, k: isize) -> Expr {
        const OP: &str = "diag";
        let at = Location::caller();
        result_of(OP, at, || {
            let shape = self.checked()?.shape.clone();
            match shape.len() {
                1 => on_diagonal(OP, self, k, at),
                2 => Ok(view(OP, self, at, |s| View::diagonal(s, k, 0, 1))),
                _ => {
                    let detail = format!("shape {:?}; one axis or two are needed", shape.as_slice());
                    Err(Error::with_line(ErrorKind::Shape, OP, detail, at))
                }
            }
        })
    }

    /// Builds a square matrix with the array's elements, in C order, on diagonal `k`, and zeros elsewhere. `k` is 0 for
    /// the main diagonal, positive for a diagonal above it, and negative for one below it. The array may have any
    /// shape.
    ///
    /// ```
    /// let x = cupric::array![[1], [2]];
    /// assert_eq!(x.diagflat(0).to_vec::<i32>()?, [1, 0, 0, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn diagflat(&self, k: isize) -> Expr {
        let at = Location::caller();
        result_of("diagflat", at, || {
            let flat = reshape("diagflat", self, &[-1], at);
            flat.checked()?;
            on_diagonal("diagflat", &flat, k, at)
        })
    }
}

/// Builds a square matrix with the elements of a vector on diagonal `k` and zeros elsewhere. If `k` is not 0, the block
/// with the elements is joined with blocks of zeros.
fn on_diagonal(op: &'static str, e: &Expr, k: isize, at: Loc) -> Result<Expr> {
    let n = e.0.shape[0];
    let more = k.unsigned_abs();
    let whole = n.saturating_add(more);
    layout::size_of_shape(&[whole, whole]).map_err(|f| f.at(op, at))?;
    let on = compared(op, &logic::equal, n, n, 0, at)?;
    let (dtype, device) = (e.0.dtype, e.0.device);
    let zero = Expr::fill(Scalar::Int(0), smallvec![], dtype, at);
    let block = ufunc(&logic::SELECT, smallvec![on.into_arg(), e.into_arg(), zero.into_arg()], at);
    if more == 0 {
        return Ok(block);
    }
    let zeros = |rows, columns| Expr::fill_on(device, Scalar::Int(0), smallvec![rows, columns], dtype, at);
    let (side, rest) = (zeros(n, more), zeros(more, whole));
    let in_order = |first: Expr, second: Expr| if k > 0 { vec![first, second] } else { vec![second, first] };
    let beside = join(op, in_order(side, block), 1, at);
    Ok(join(op, in_order(beside, rest), 0, at))
}

/// The order of the first two axes of the arrays that [`meshgrid`] returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Indexing {
    /// The first array varies along the second axis, and the second array along the first axis, like x and y in a
    /// picture. This is NumPy's default.
    Xy,
    /// Array i varies along axis i.
    Ij,
}

/// Returns the coordinates of a grid, like NumPy's `meshgrid`. For each array of the argument, the result has a view
/// with the grid's shape, in which the array's elements vary along one axis of the grid. If there is an error (for
/// example, if the arrays are on different devices), each view carries it.
///
/// ```
/// use cupric::{Indexing, array, meshgrid};
/// let grid = meshgrid([array![1, 2, 3], array![10, 20]], Indexing::Xy);
/// assert_eq!(grid[0].to_vec::<i32>()?, [1, 2, 3, 1, 2, 3]);
/// assert_eq!(grid[1].to_vec::<i32>()?, [10, 10, 10, 20, 20, 20]);
/// assert_eq!(meshgrid([array![1, 2, 3], array![10, 20]], Indexing::Ij)[0].shape()?, [3, 2]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias = "mgrid")]
#[doc(alias = "ogrid")]
#[track_caller]
pub fn meshgrid(arrays: impl IntoIterator<Item = impl Operand>, indexing: Indexing) -> Vec<Expr> {
    const OP: &str = "meshgrid";
    let at = Location::caller();
    let arrays = operand_list(arrays, Unfit::Default, at);
    let grid = || -> Result<Vec<Expr>> {
        common(OP, arrays.iter(), at)?;
        let flat: Vec<Expr> = arrays.iter().map(|a| reshape(OP, a, &[-1], at)).collect();
        let mut shape: Shape = flat.iter().map(|a| a.0.shape[0]).collect();
        let mut axes: Vec<usize> = (0..flat.len()).collect();
        if indexing == Indexing::Xy && flat.len() > 1 {
            shape.swap(0, 1);
            axes.swap(0, 1);
        }
        layout::size_of_shape(&shape).map_err(|f| f.at(OP, at))?;
        let along = |(a, axis): (&Expr, usize)| {
            view(OP, a, at, |own| {
                let mut ones: Shape = smallvec![1; shape.len()];
                ones[axis] = own[0];
                let spread = View::reshape(own, &ones).unwrap_or(View::identity(own));
                Ok(View::broadcast_to(&ones, &shape)?.after(&spread))
            })
        };
        Ok(flat.iter().zip(axes).map(along).collect())
    };
    match grid() {
        Ok(grid) => grid,
        Err(e) => {
            let e = e.or_at(at);
            arrays.iter().map(|_| Expr::failed(e.clone(), at)).collect()
        }
    }
}

/// Returns the position of each element of a shape along each axis, like NumPy's `indices`. For a shape of k axes the
/// result has the shape `[k, …shape]`, and its slice i along the first axis has the positions along axis i. A position
/// that the dtype cannot hold is an [`ErrorKind::Argument`] error.
///
/// ```
/// use cupric::{DType, indices};
/// assert_eq!(indices([2, 2], DType::I32).to_vec::<i32>()?, [0, 0, 1, 1, 0, 1, 0, 1]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn indices(shape: impl IntoShape, dtype: DType) -> Expr {
    const OP: &str = "indices";
    let at = Location::caller();
    result_of(OP, at, || {
        let shape = shape_arg(shape).map_err(|f| f.at(OP, at))?;
        let longest = shape.iter().copied().max().unwrap_or(0);
        countable(OP, longest, at)?;
        let last = longest.saturating_sub(1) as i128;
        if dtype == DType::Bool || dtype.is_integer() && dtype.integer_range().1 < last {
            let detail = format!("the position {last} does not fit dtype {dtype}");
            return Err(Error::with_line(ErrorKind::Argument, OP, detail, at));
        }
        let mut out: Shape = smallvec![shape.len()];
        out.extend(shape.iter().copied());
        layout::size_of_shape(&out).map_err(|f| f.at(OP, at))?;
        if shape.is_empty() {
            return Ok(Expr::fill(Scalar::Int(0), out, dtype, at));
        }
        let along = |axis: usize| {
            let positions = cast(iota(shape.clone(), axis, at), dtype, at);
            view(OP, &positions, at, |s| View::expand(s, 0))
        };
        let parts: Vec<Expr> = (0..shape.len()).map(along).collect();
        Ok(if parts.len() == 1 { parts[0].clone() } else { join(OP, parts, 0, at) })
    })
}
