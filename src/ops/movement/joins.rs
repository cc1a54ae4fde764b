//! Functions that stack arrays, join blocks, or broadcast arrays to a common shape.

use super::parts::whole;
use super::{at_least, with_ones};
use crate::base::error::{Error, Loc, Result};
use crate::base::layout::{self, IntoShape, Shape, View, shape_arg};
use crate::graph::expr::{Arg, Expr, Operand, Unfit, common, operand_list, result_of, view};
use crate::ops::functions::join;
use std::panic::Location;

/// Joins the operands along an axis, after applying `prepare` to each.
fn stacked(
    op: &'static str,
    parts: impl IntoIterator<Item = impl Operand>,
    at: Loc,
    prepare: impl Fn(&Expr) -> Expr,
    axis: impl Fn(&Expr) -> isize,
) -> Expr {
    let parts = operand_list(parts, Unfit::Error(op), at);
    result_of(op, at, || {
        common(op, parts.iter(), at)?;
        let axis = parts.first().map_or(0, &axis);
        Ok(join(op, parts.iter().map(prepare).collect(), axis, at))
    })
}

/// Joins arrays along the first axis, like NumPy's `vstack`. Each array with fewer than two axes is first made a matrix
/// of one row.
///
/// ```
/// use cupric::{array, vstack};
/// let x = array![1, 2];
/// assert_eq!(vstack([&x, &array![3, 4]]).shape()?, [2, 2]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias = "row_stack")]
#[track_caller]
pub fn vstack(parts: impl IntoIterator<Item = impl Operand>) -> Expr {
    let at = Location::caller();
    stacked("vstack", parts, at, |p| at_least("vstack", p, 2, at), |_| 0)
}

/// Joins arrays along the second axis, like NumPy's `hstack`. Arrays with fewer than two axes are joined along the
/// first axis.
///
/// ```
/// use cupric::{array, hstack};
/// let x = array![[1], [2]];
/// assert_eq!(hstack([&x, &x]).to_vec::<i32>()?, [1, 1, 2, 2]);
/// assert_eq!(hstack([array![1, 2], array![3]]).to_vec::<i32>()?, [1, 2, 3]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn hstack(parts: impl IntoIterator<Item = impl Operand>) -> Expr {
    let at = Location::caller();
    let axis = |first: &Expr| if first.0.shape.len() > 1 { 1 } else { 0 };
    stacked("hstack", parts, at, |p| at_least("hstack", p, 1, at), axis)
}

/// Joins arrays along the third axis. Arrays with fewer axes first get three axes, as in [`Expr::atleast_3d`].
///
/// ```
/// use cupric::{array, dstack};
/// let x = array![1, 2];
/// assert_eq!(dstack([&x, &array![3, 4]]).to_vec::<i32>()?, [1, 3, 2, 4]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn dstack(parts: impl IntoIterator<Item = impl Operand>) -> Expr {
    let at = Location::caller();
    stacked("dstack", parts, at, |p| at_least("dstack", p, 3, at), |_| 2)
}

/// Joins arrays along the second axis, like NumPy's `column_stack`. Each array with fewer than two axes is first made a
/// matrix of one column.
///
/// ```
/// use cupric::{array, column_stack};
/// let x = array![1, 2];
/// assert_eq!(column_stack([&x, &array![3, 4]]).to_vec::<i32>()?, [1, 3, 2, 4]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn column_stack(parts: impl IntoIterator<Item = impl Operand>) -> Expr {
    const OP: &str = "column_stack";
    let at = Location::caller();
    let column = |p: &Expr| match p.0.shape.len() {
        0 | 1 => view(OP, &at_least(OP, p, 2, at), at, |shape| View::permute(shape, &[1, 0])),
        _ => p.clone(),
    };
    stacked(OP, parts, at, column, |_| 1)
}

/// The argument of [`block`]: an array, or a list of blocks.
#[doc(hidden)]
pub enum Block {
    /// An array.
    Array(Expr),
    /// Blocks that are joined.
    List(Vec<Block>),
}

mod sealed {
    use super::Operand;
    pub trait Blocks {}
    impl<T: Operand> Blocks for T {}
    impl<T: Blocks, const N: usize> Blocks for [T; N] {}
    impl<T: Blocks> Blocks for Vec<T> {}
}

/// A type that [`block`] accepts: an operand, or nested arrays or `Vec`s of operands.
pub trait Blocks: sealed::Blocks {
    #[doc(hidden)]
    fn into_block(self, at: &'static Location<'static>) -> Block;
    /// How many lists are nested around each array.
    #[doc(hidden)]
    const DEPTH: usize;
}
impl<T: Operand> Blocks for T {
    fn into_block(self, at: Loc) -> Block {
        Block::Array(match self.into_arg() {
            Arg::Expr(e) => e,
            Arg::Scalar(s) => Expr::number(s, at),
        })
    }
    const DEPTH: usize = 0;
}
impl<T: Blocks, const N: usize> Blocks for [T; N] {
    fn into_block(self, at: Loc) -> Block {
        Block::List(self.into_iter().map(|b| b.into_block(at)).collect())
    }
    const DEPTH: usize = T::DEPTH + 1;
}
impl<T: Blocks> Blocks for Vec<T> {
    fn into_block(self, at: Loc) -> Block {
        Block::List(self.into_iter().map(|b| b.into_block(at)).collect())
    }
    const DEPTH: usize = T::DEPTH + 1;
}

/// Builds an array from nested lists of arrays, like NumPy's `block`. The arrays of each innermost list are joined
/// along the last axis. The results of the lists one level further out are joined along the last axis but one, and so
/// on. All arrays first get the same number of axes, at least as many as there are levels of lists: axes of length 1
/// are added in front.
///
/// ```
/// use cupric::{array, block, zeros, DType};
/// let (a, b) = (array![[1], [2]], zeros([2, 2], DType::I32));
/// let x = block([[&*a, &b], [&b, &*a]]);
/// assert_eq!(x.to_vec::<i32>()?, [1, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 2]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias = "bmat")]
#[track_caller]
pub fn block(blocks: impl Blocks) -> Expr {
    fn depth<T: Blocks>(_: &T) -> usize {
        T::DEPTH
    }
    let at = Location::caller();
    let depth = depth(&blocks);
    let mut tree = blocks.into_block(at);
    let mut arrays = vec![];
    each_array(&mut tree, &mut |e| arrays.push(e.clone()));
    let arrays = operand_list(arrays, Unfit::Error("block"), at);
    let mut typed = arrays.iter().cloned();
    each_array(&mut tree, &mut |e| typed.next().into_iter().for_each(|t| *e = t));
    result_of("block", at, || {
        common("block", arrays.iter(), at)?;
        let ndim = arrays.iter().map(|a| a.0.shape.len()).max().unwrap_or(0).max(depth);
        joined(&tree, depth, ndim, at)
    })
}

/// Calls `visit` with each array of nested lists, in order.
fn each_array(block: &mut Block, visit: &mut dyn FnMut(&mut Expr)) {
    match block {
        Block::Array(e) => visit(e),
        Block::List(list) => list.iter_mut().for_each(|b| each_array(b, visit)),
    }
}

fn joined(block: &Block, depth: usize, ndim: usize, at: Loc) -> Result<Expr> {
    match block {
        Block::Array(e) => Ok(view("block", e, at, |shape| {
            let mut to: Shape = Shape::from_elem(1, ndim - shape.len());
            to.extend(shape.iter().copied());
            with_ones(shape, &to)
        })),
        Block::List(list) => {
            let parts: Result<Vec<Expr>> = list.iter().map(|b| joined(b, depth - 1, ndim, at)).collect();
            Ok(join("block", parts?, -(depth as isize), at))
        }
    }
}

/// Returns the shape to which all given shapes broadcast together, like NumPy's `broadcast_shapes`.
///
/// # Errors
/// Returns [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the shapes do not broadcast or if a length is negative, and
/// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) if the result has too many elements.
///
/// ```
/// assert_eq!(cupric::broadcast_shapes([&[3usize, 1][..], &[4]])?, [3, 4]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn broadcast_shapes(shapes: impl IntoIterator<Item = impl IntoShape>) -> Result<Vec<usize>> {
    let at = Location::caller();
    let mut out = Shape::new();
    for shape in shapes {
        let shape = shape_arg(shape).map_err(|f| f.at("broadcast_shapes", at))?;
        out = layout::broadcast(&out, &shape).map_err(|f| f.at("broadcast_shapes", at))?;
    }
    Ok(out.to_vec())
}

/// Broadcasts arrays to a common shape. Returns one view for each operand. If the shapes do not broadcast, each view
/// carries the error.
///
/// ```
/// use cupric::{array, broadcast_arrays};
/// let both = broadcast_arrays([&array![[1], [2]], &array![3, 4]]);
/// assert_eq!(both[0].to_vec::<i32>()?, [1, 1, 2, 2]);
/// assert_eq!(both[1].to_vec::<i32>()?, [3, 4, 3, 4]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias = "broadcast_tensors")]
#[track_caller]
pub fn broadcast_arrays(arrays: impl IntoIterator<Item = impl Operand>) -> Vec<Expr> {
    const OP: &str = "broadcast_arrays";
    let at = Location::caller();
    let arrays = operand_list(arrays, Unfit::Default, at);
    let shape = || -> Result<Shape> {
        common(OP, arrays.iter(), at)?;
        let mut out = Shape::new();
        for a in &arrays {
            out = layout::broadcast(&out, &whole(a, at)?.0.shape).map_err(|f| f.at(OP, at))?;
        }
        Ok(out)
    };
    match shape() {
        Ok(shape) => arrays.iter().map(|a| view(OP, a, at, |s| View::broadcast_to(s, &shape))).collect(),
        Err(e) => {
            let e: Error = e.or_at(at);
            arrays.iter().map(|_| Expr::failed(e.clone(), at)).collect()
        }
    }
}
