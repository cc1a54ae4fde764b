//! Shapes, strides and views, and all computation of element positions.
//!
//! A [`View`] is an affine map from an index of a result to an index of its operand. Slices, permutations, broadcasts,
//! flips, diagonals and sliding windows are views. A [`Layout`] maps an index to the position of an element in a
//! buffer.

mod args;
mod broadcast;
mod integers;
mod slices;
mod view;

pub use args::{
    AxesArg, IntoAxes, IntoScanAxis, IntoShape, IntoSortAxis, NewAxis, ScanAxis, SliceItem, SortAxis, Stepped,
    descending, exclusive, include_initial, keep, reverse,
};
pub(crate) use args::{Combine, IndexMode, filled_arg, reshape_arg, shape_arg};
pub(crate) use broadcast::broadcast;
pub(crate) use integers::Given;
pub use integers::{Integer, Integers};
pub use slices::{IntoSliceItem, SliceItems};
pub(crate) use view::View;

use crate::base::error::{ErrorKind, Fault};
use smallvec::{SmallVec, smallvec};

/// Lengths of axes. Up to six axes need no heap allocation, and nearly all arrays have at most six.
pub(crate) type Shape = SmallVec<[usize; 6]>;
/// Strides along axes, in elements.
pub(crate) type Strides = SmallVec<[isize; 6]>;
/// Axis numbers, counted from 0.
pub(crate) type AxisList = SmallVec<[usize; 6]>;

/// Copies a list like `clone`, but in fewer instructions, because `clone` adds the entries one by one.
#[inline]
pub(crate) fn copied<T: Copy>(list: &SmallVec<[T; 6]>) -> SmallVec<[T; 6]> {
    match *list.as_slice() {
        [] => SmallVec::new(),
        [n] => SmallVec::from_buf_and_len([n; 6], 1),
        [m, n] => SmallVec::from_buf_and_len([m, n, n, n, n, n], 2),
        _ => SmallVec::from_slice(list.as_slice()),
    }
}

/// Appends the entries of `from` to `list`. One by one is fastest for the few axes that most arrays have.
#[inline(always)]
pub(crate) fn extend<T: Copy>(list: &mut SmallVec<[T; 6]>, from: &SmallVec<[T; 6]>) {
    for entry in from.as_slice() {
        list.push(*entry);
    }
}

type Fallible<T> = Result<T, Fault>;

/// Returns a list of `n` zeros, in a few instructions if it needs no allocation.
#[inline]
pub(crate) fn zeros<const N: usize>(n: usize) -> SmallVec<[isize; N]> {
    if n <= N { SmallVec::from_buf_and_len([0; N], n) } else { smallvec![0; n] }
}

/// The maximum number of axes of an array. NumPy has the same limit.
pub(crate) const MAX_NDIM: usize = 64;

fn fault<T>(kind: ErrorKind, detail: impl Into<String>) -> Fallible<T> {
    Err(Fault::new(kind, detail))
}

/// Returns whether two indices of an array with these strides may refer to the same element, as with broadcast axes or
/// sliding windows. Also returns true for a few layouts in which no two indices do.
pub(crate) fn may_overlap(shape: &[usize], strides: &[isize]) -> bool {
    if shape.contains(&0) || is_c_contiguous(shape, strides) {
        return false;
    }
    let mut axes: SmallVec<[(usize, usize); 6]> =
        (0..shape.len()).filter(|d| shape[*d] > 1).map(|d| (strides[d].unsigned_abs(), shape[d])).collect();
    axes.sort_unstable();
    let mut reach = 0;
    for (stride, n) in axes {
        if mutant!(overlap_of_neighbours_missed, stride < reach, stride <= reach) {
            return true;
        }
        reach += stride * (n - 1);
    }
    false
}

/// Returns the number of elements of a shape. Returns an error for more than [`MAX_NDIM`] axes or more than
/// `isize::MAX` elements, because strides and positions are `isize`.
pub(crate) fn size_of_shape(shape: &[usize]) -> Fallible<usize> {
    if shape.len() > MAX_NDIM {
        return fault(ErrorKind::LimitExceeded, format!("{} axes; an array has at most {MAX_NDIM}", shape.len()));
    }
    // an array with a length of 0 has no elements, even if the product of its other lengths overflows
    if shape.contains(&0) && shape.iter().all(|n| isize::try_from(*n).is_ok()) {
        return Ok(0);
    }
    let mut size = 1usize;
    for &n in shape {
        size = match size.checked_mul(n.max(1)) {
            Some(s) if s <= isize::MAX as usize => s,
            _ => return fault(ErrorKind::LimitExceeded, format!("shape {shape:?} has too many elements")),
        };
    }
    Ok(size)
}

/// Returns the product of lengths, or `usize::MAX` if it overflows. For a shape that [`size_of_shape`] has accepted,
/// the result is exact.
pub(crate) fn product<'a>(lengths: impl IntoIterator<Item = &'a usize>) -> usize {
    lengths.into_iter().fold(1, |size, n| size.saturating_mul(*n))
}

/// Returns the lengths of axes as the type that a reshape takes.
pub(crate) fn lengths(shape: &[usize]) -> SmallVec<[isize; 6]> {
    shape.iter().map(|n| *n as isize).collect()
}

/// Returns the strides of a contiguous array of this shape in C order.
pub(crate) fn c_strides(shape: &[usize]) -> Strides {
    let mut list: Strides = zeros(shape.len());
    // use a slice, because indexing a `SmallVec` directly is a function call
    let strides = list.as_mut_slice();
    let mut step = 1isize;
    for d in (0..shape.len()).rev() {
        strides[d] = step;
        step = step.saturating_mul(shape[d].max(1) as isize);
    }
    list
}

/// Converts an axis argument, which counts from the end if it is negative, to the axis number counted from 0.
pub(crate) fn normalize_axis(axis: isize, ndim: usize) -> Fallible<usize> {
    let n = if axis < 0 { axis + ndim as isize } else { axis };
    if n < 0 || n >= ndim as isize {
        return fault(ErrorKind::Axis, format!("axis {axis} is out of range for {ndim} axes"));
    }
    Ok(n as usize)
}

/// Returns the lowest and the highest position of an element in memory, relative to the element whose index is 0 along
/// every axis. Returns `None` if the shape has no elements.
pub(crate) fn span_of(shape: &[usize], strides: &[isize]) -> Option<(isize, isize)> {
    let (mut low, mut high) = (0isize, 0isize);
    for (n, s) in shape.iter().zip(strides) {
        let reach = (*n as isize - 1).saturating_mul(*s);
        low = low.saturating_add(reach.min(0));
        high = high.saturating_add(reach.max(0));
    }
    (!shape.contains(&0)).then_some((low, high))
}

/// Returns the stride with which several axes can be addressed as one merged axis, in C order. Returns `None` if one
/// stride is not enough, and 0 if all axes have length 1.
pub(crate) fn one_step(shape: &[usize], strides: &[isize]) -> Option<isize> {
    let mut found: Option<(isize, isize)> = None;
    for (n, s) in shape.iter().zip(strides).rev().filter(|(n, _)| **n != 1) {
        // the stride that this axis must have to be merged with the axes inside it
        let next = found.map_or(*s, |(_, next)| next);
        if *s != next {
            return None;
        }
        let step = found.map_or(*s, |(step, _)| step);
        found = Some((step, next.saturating_mul(*n as isize)));
    }
    Some(found.map_or(0, |(step, _)| step))
}

/// Returns whether the elements are stored in C order without gaps. Arrays without elements count as contiguous.
pub(crate) fn is_c_contiguous(shape: &[usize], strides: &[isize]) -> bool {
    let mut step = 1isize;
    for d in (0..shape.len()).rev() {
        if shape[d] != 1 && strides[d] != step {
            return shape.contains(&0);
        }
        step = step.saturating_mul(shape[d].max(1) as isize);
    }
    true
}

/// The positions of an array's elements in its buffer, as shape, strides and offset.
#[derive(PartialEq, Eq, Hash, Debug)]
pub(crate) struct Layout {
    pub shape: Shape,
    /// Strides along the axes, in elements.
    pub strides: Strides,
    /// The position of the element whose index is 0 along every axis, in elements from the start of the buffer.
    pub offset: usize,
}

impl Clone for Layout {
    #[inline]
    fn clone(&self) -> Layout {
        Layout { shape: copied(&self.shape), strides: copied(&self.strides), offset: self.offset }
    }
}

impl Layout {
    /// Returns a contiguous layout in C order that begins at the start of a buffer.
    pub fn c(shape: &[usize]) -> Layout {
        Layout { strides: c_strides(shape), shape: shape.into(), offset: 0 }
    }

    pub fn size(&self) -> usize {
        product(&self.shape)
    }

    pub fn view(&self, view: &View) -> Layout {
        Layout::view_of(&self.strides, self.offset, view)
    }

    /// Returns the layout of a view of an array that is stored with these strides and this offset.
    pub fn view_of(strides: &[isize], offset: usize, view: &View) -> Layout {
        if view.shape.contains(&0) {
            // the offset of a view without elements may be outside the buffer, so return a layout with offset 0
            return Layout::c(&view.shape);
        }
        let (strides, offset) = view.apply(strides, offset as isize);
        Layout { shape: copied(&view.shape), strides, offset: offset.max(0) as usize }
    }

    /// Returns whether two indices may refer to the same element, as [`may_overlap`] does.
    pub fn may_overlap_itself(&self) -> bool {
        may_overlap(&self.shape, &self.strides)
    }

    /// Returns the layout of a reshape to the shape `to` without copying, or `None` if no strides can express the
    /// reshape, so that the elements must be copied.
    pub fn reshape(&self, to: &[usize]) -> Option<Layout> {
        if self.shape.contains(&0) {
            return Some(Layout { shape: to.into(), strides: c_strides(to), offset: self.offset });
        }
        let old: SmallVec<[usize; 6]> = (0..self.shape.len()).filter(|d| self.shape[*d] != 1).collect();
        let mut strides: Strides = smallvec![0; to.len()];
        let (mut i, mut k) = (0, 0);
        while i < old.len() {
            let start = k;
            let (mut have, mut want) = (self.shape[old[i]], 1);
            let first = i;
            while k < to.len() && (want < have || to[k] == 1) {
                want *= to[k];
                k += 1;
            }
            while want != have {
                if want > have {
                    i += 1;
                    have *= self.shape[*old.get(i)?];
                } else {
                    want *= *to.get(k)?;
                    k += 1;
                }
            }
            // two neighbouring axes can be merged only if the stride of the outer axis is the stride of the inner axis
            // times its length
            for w in old[first..=i].windows(2) {
                let (step, whole) = (self.strides[w[0]], self.strides[w[1]] * self.shape[w[1]] as isize);
                if mutant!(flipped_axes_merged_by_reshape, step.abs() != whole.abs(), step != whole) {
                    return None;
                }
            }
            let mut step = self.strides[old[i]];
            for d in (start..k).rev() {
                strides[d] = step;
                step *= to[d] as isize;
            }
            i += 1;
        }
        Some(Layout { shape: to.into(), strides, offset: self.offset })
    }
}

/// Returns the strides of a contiguous array of this shape whose axes are in the order of the operands if they agree,
/// otherwise in C order. Elementwise results are stored with these strides.
pub(crate) fn common_strides<'a>(shape: &[usize], operands: impl Iterator<Item = &'a [isize]> + Clone) -> Strides {
    let Some(order) = common_order(shape, operands) else { return c_strides(shape) };
    let mut strides: Strides = zeros(shape.len());
    let mut step = 1isize;
    for &d in order.iter().rev() {
        strides[d] = step;
        step = step.saturating_mul(shape[d].max(1) as isize);
    }
    strides
}

/// Returns the order of axes in which all operands are stored, by descending stride, or `None` if it is C order or the
/// operands do not agree. Signs of strides do not count, and neither do an operand's axes of length 1 or stride 0.
fn common_order<'a>(shape: &[usize], operands: impl Iterator<Item = &'a [isize]> + Clone) -> Option<AxisList> {
    let of = |strides: &[isize]| -> AxisList {
        let mut axes: AxisList = (0..shape.len()).filter(|d| shape[*d] > 1 && strides[*d] != 0).collect();
        axes.sort_by_key(|d| (std::cmp::Reverse(strides[*d].unsigned_abs()), *d));
        axes
    };
    // whether `of` would return the axes in ascending order, which is the usual case
    let is_sorted = |strides: &[isize]| {
        let mut last = usize::MAX;
        let moving = shape.iter().zip(strides).filter(|(n, s)| **n > 1 && **s != 0);
        moving.map(|(_, s)| s.unsigned_abs()).all(|s| s <= std::mem::replace(&mut last, s))
    };
    if operands.clone().all(is_sorted) {
        return None;
    }
    let wanted = shape.iter().filter(|n| **n > 1).count();
    let best = operands.clone().map(of).find(|o| o.len() == wanted)?;
    let place = |d: &usize| best.iter().position(|b| b == d);
    for o in operands {
        if of(o).windows(2).any(|w| place(&w[0]) > place(&w[1])) {
            return None;
        }
    }
    // put axes of length 1 first, where they do not change the positions of elements
    let mut order: AxisList = (0..shape.len()).filter(|d| !best.contains(d)).collect();
    order.extend(best);
    Some(order)
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests! {
        layout: reshape_of_strided_layouts, slices_clamp_as_numpy, places_far_apart,
        orders_agree_or_fall_back_to_c, overlap_is_seen
    }

    fn reshape_of_strided_layouts() {
        let base = Layout::c(&[4, 6]);
        assert_eq!(base.reshape(&[2, 2, 3, 2]).unwrap().strides.as_slice(), [12, 6, 2, 1]);
        assert_eq!(base.reshape(&[24]).unwrap().strides.as_slice(), [1]);
        let t = base.view(&View::permute(&[4, 6], &[1, 0]).unwrap());
        assert!(t.reshape(&[24]).is_none());
        assert_eq!(t.reshape(&[3, 2, 4]).unwrap().strides.as_slice(), [2, 1, 6]);
        let step = base.view(&View::slice(&[4, 6], &[SliceItem::Range { start: None, end: None, step: 2 }]).unwrap());
        assert!(step.reshape(&[12]).is_none());
        assert_eq!(Layout::c(&[1, 1]).reshape(&[1]).unwrap().size(), 1);
        assert_eq!(Layout::c(&[2, 1, 3]).reshape(&[1, 6, 1]).unwrap().strides[1], 1);
    }

    fn slices_clamp_as_numpy() {
        let at = |a: isize, b: isize, step| SliceItem::Range { start: Some(a), end: Some(b), step };
        let len = |i| View::slice(&[10], &[i]).unwrap().shape[0];
        assert_eq!(len(at(2, 100, 3)), 3);
        assert_eq!(len(at(-3, 100, 1)), 3);
        assert_eq!(len(at(8, 2, -2)), 3);
        assert_eq!(len(at(100, -100, -1)), 10);
        assert_eq!(len(at(5, 5, 1)), 0);
        assert!(View::slice(&[10], &[SliceItem::Index(10)]).is_err());
        assert!(View::slice(&[10], &[at(0, 1, 0)]).is_err());
    }

    fn places_far_apart() {
        // half of the number of bits of an index: 32, or 16 in WebAssembly
        const HALF: u32 = usize::BITS / 2;
        let far = 1usize << (HALF + 1);
        let last = SliceItem::Index(-1);
        let steps = SliceItem::Range { start: Some(far as isize - 1), end: None, step: -(1 << HALF) };
        let l = Layout::c(&[4, far]).view(&View::slice(&[4, far], &[last, steps]).unwrap());
        assert_eq!((&l.shape[..], &l.strides[..], l.offset), (&[2][..], &[-(1isize << HALF)][..], 4 * far - 1));
        assert_eq!(span_of(&l.shape, &l.strides), Some((-(1 << HALF), 0)));
        assert_eq!(l.reshape(&[1, 2, 1]).unwrap().strides[1], -(1 << HALF));
        assert!(!l.may_overlap_itself());
    }

    fn orders_agree_or_fall_back_to_c() {
        let shape = [3, 4];
        let f: &[isize] = &[1, 3];
        let c: &[isize] = &[4, 1];
        let row: &[isize] = &[0, 1];
        assert_eq!(common_strides(&shape, [f, f].into_iter()).as_slice(), f);
        assert_eq!(common_strides(&shape, [f, c].into_iter()).as_slice(), c);
        assert_eq!(common_strides(&shape, [f, row].into_iter()).as_slice(), f);
    }

    fn overlap_is_seen() {
        let w = Layout::c(&[10]).view(&View::sliding_windows(&[10], &[3], &[0]).unwrap());
        assert!(w.may_overlap_itself());
        assert!(!Layout::c(&[3, 4]).may_overlap_itself());
    }
}
