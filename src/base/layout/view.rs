//! Views as affine maps from indices to indices: slices, permutations, broadcasts, flips, diagonals, windows, splits.

use super::{
    AxesArg, AxisList, Fallible, Shape, SliceItem, Strides, copied, fault, normalize_axis, size_of_shape, zeros,
};
use crate::base::error::{ErrorKind, Fault};
use smallvec::{SmallVec, smallvec};

/// An affine map from an index of the result to an index of the operand: `operand[j] = offset[j] + Σ_k coef[j][k] ·
/// result[k]`.
#[derive(PartialEq, Eq, Hash, Debug)]
pub(crate) struct View {
    /// The shape of the result.
    pub shape: Shape,
    /// For each axis of the operand, the index in the operand that belongs to index 0 of the result.
    pub offset: Strides,
    /// The matrix of coefficients in C order. It has a row for each axis of the operand, and a column for each axis of
    /// the result.
    pub coef: SmallVec<[isize; 16]>,
}

impl Clone for View {
    fn clone(&self) -> View {
        let coef = SmallVec::from_slice(self.coef.as_slice());
        View { shape: copied(&self.shape), offset: copied(&self.offset), coef }
    }
}

impl View {
    fn zero(shape: Shape, operand_ndim: usize) -> View {
        let coef = zeros(operand_ndim * shape.len());
        View { shape, offset: zeros(operand_ndim), coef }
    }

    fn set(&mut self, operand_axis: usize, result_axis: usize, c: isize) {
        let n = self.shape.len();
        self.coef.as_mut_slice()[operand_axis * n + result_axis] = c;
    }

    pub fn identity(shape: &[usize]) -> View {
        let mut v = View::zero(Shape::from_slice(shape), shape.len());
        for d in 0..shape.len() {
            v.set(d, d, 1);
        }
        v
    }

    /// Returns whether the view maps each index of an operand with this shape to itself.
    pub fn is_identity_of(&self, shape: &[usize]) -> bool {
        let n = self.shape.len();
        self.shape[..] == *shape
            && self.offset.iter().all(|o| *o == 0)
            && self.coef.iter().enumerate().all(|(i, c)| *c == (i / n == i % n) as isize)
    }

    /// Returns the composition of two views, which applies `inner` to the operand and then `self` to the result of
    /// `inner`.
    pub fn after(&self, inner: &View) -> View {
        let (n, mid, m) = (self.shape.len(), inner.shape.len(), inner.offset.len());
        let mut out = View::zero(copied(&self.shape), m);
        // use slices, because indexing a `SmallVec` directly is a function call
        let (offsets, rows) = (out.offset.as_mut_slice(), out.coef.as_mut_slice());
        let (own_offsets, own_rows) = (self.offset.as_slice(), self.coef.as_slice());
        let (inner_offsets, inner_rows) = (inner.offset.as_slice(), inner.coef.as_slice());
        for j in 0..m {
            offsets[j] = inner_offsets[j];
            for i in 0..mid {
                let c = inner_rows[j * mid + i];
                if c == 0 {
                    continue;
                }
                offsets[j] += c * own_offsets[i];
                for k in 0..n {
                    rows[j * n + k] += c * own_rows[i * n + k];
                }
            }
        }
        out
    }

    /// Returns the same map for a result with `more` additional axes at the end, whose whole shape is `dims`. The
    /// operand's index does not depend on the additional axes.
    pub fn widen(&self, more: usize, dims: &[usize]) -> View {
        let (n, m) = (self.shape.len(), self.offset.len());
        let mut out = View { offset: self.offset.clone(), ..View::zero(dims.into(), m) };
        for j in 0..m {
            out.coef[j * (n + more)..j * (n + more) + n].copy_from_slice(&self.coef[j * n..(j + 1) * n]);
        }
        out
    }

    /// Returns the strides and the offset of the view in the memory of an operand that has these `strides` and this
    /// `offset`.
    pub fn apply(&self, strides: &[isize], offset: isize) -> (Strides, isize) {
        // use slices, because indexing a `SmallVec` directly is a function call
        let (n, offsets, coef) = (self.shape.len(), self.offset.as_slice(), self.coef.as_slice());
        let (mut out, mut base): (Strides, _) = (zeros(n), offset);
        let steps = out.as_mut_slice();
        for (j, s) in strides.iter().enumerate() {
            base += mutant!(index_in_32_bits, (offsets[j] as i32).wrapping_mul(*s as i32) as isize, offsets[j] * s);
            let row = &coef[j * n..(j + 1) * n];
            for k in 0..n {
                steps[k] += row[k] * s;
            }
        }
        (out, base)
    }

    pub fn permute(shape: &[usize], axes: &[isize]) -> Fallible<View> {
        let order = AxesArg { axes: Some(axes.into()), keep: false }.resolve(shape.len())?;
        if order.len() != shape.len() {
            return fault(ErrorKind::Axis, format!("axes {axes:?} are not a permutation of {} axes", shape.len()));
        }
        let axes: AxisList =
            axes.iter().map(|a| if *a < 0 { (*a + shape.len() as isize) as usize } else { *a as usize }).collect();
        let mut v = View::zero(axes.iter().map(|a| shape[*a]).collect(), shape.len());
        for (k, &j) in axes.iter().enumerate() {
            v.set(j, k, 1);
        }
        Ok(v)
    }

    pub fn broadcast_to(shape: &[usize], to: &[usize]) -> Fallible<View> {
        let no = || Fault::new(ErrorKind::Shape, format!("cannot broadcast shape {shape:?} to {to:?}"));
        size_of_shape(to)?;
        if to.len() < shape.len() {
            return Err(no());
        }
        let shift = to.len() - shape.len();
        let mut v = View::zero(to.into(), shape.len());
        for d in 0..shape.len() {
            if shape[d] == to[d + shift] {
                v.set(d, d + shift, if shape[d] == 1 { 0 } else { 1 });
            } else if shape[d] != 1 {
                return Err(no());
            }
        }
        Ok(v)
    }

    /// Returns the view that broadcasts an operand along the axes `axes`, which only the result has. `shape` is the
    /// shape of the result.
    pub fn restored(shape: &[usize], axes: &[usize]) -> View {
        let mut v = View::zero(shape.into(), shape.len() - axes.len());
        for (j, k) in (0..shape.len()).filter(|k| !axes.contains(k)).enumerate() {
            v.set(j, k, (shape[k] != 1) as isize);
        }
        v
    }

    pub fn flip(shape: &[usize], axes: &[usize]) -> View {
        let mut v = View::identity(shape);
        for &d in axes {
            v.offset[d] = shape[d] as isize - 1;
            v.set(d, d, -1);
            if shape[d] == 0 {
                v.offset[d] = 0;
            }
        }
        v
    }

    pub fn expand(shape: &[usize], axis: isize) -> Fallible<View> {
        let axis = normalize_axis(axis, shape.len() + 1)?;
        let mut out: Shape = shape.into();
        out.insert(axis, 1);
        size_of_shape(&out)?;
        let mut v = View::zero(out, shape.len());
        for d in 0..shape.len() {
            v.set(d, d + (d >= axis) as usize, 1);
        }
        Ok(v)
    }

    /// Selects the elements at index 0 along the given axes, and removes these axes from the result.
    pub fn drop_axes(shape: &[usize], axes: &[usize]) -> View {
        let left: AxisList = (0..shape.len()).filter(|d| !axes.contains(d)).collect();
        let mut v = View::zero(left.iter().map(|d| shape[*d]).collect(), shape.len());
        for (k, &d) in left.iter().enumerate() {
            v.set(d, k, 1);
        }
        v
    }

    pub fn squeeze(shape: &[usize], axes: &[usize]) -> Fallible<View> {
        if let Some(d) = axes.iter().find(|d| shape[**d] != 1) {
            return fault(ErrorKind::Shape, format!("axis {d} of {shape:?} has length {}, not 1", shape[*d]));
        }
        Ok(View::drop_axes(shape, axes))
    }

    /// Selects the diagonal of two axes, which becomes the last axis of the result. A positive `offset` moves the start
    /// of the diagonal along the second axis, and a negative one along the first axis.
    pub fn diagonal(shape: &[usize], offset: isize, axis1: isize, axis2: isize) -> Fallible<View> {
        let (a, b) = (normalize_axis(axis1, shape.len())?, normalize_axis(axis2, shape.len())?);
        if a == b {
            return fault(ErrorKind::Axis, format!("axis {a} is named twice"));
        }
        let (rows, cols) = (shape[a] as isize, shape[b] as isize);
        let (r0, c0) = if offset >= 0 { (0, offset) } else { (offset.saturating_neg(), 0) };
        let n = (rows.saturating_sub(r0)).min(cols.saturating_sub(c0)).max(0);
        let left: AxisList = (0..shape.len()).filter(|d| *d != a && *d != b).collect();
        let mut out: Shape = left.iter().map(|d| shape[*d]).collect();
        out.push(n as usize);
        let last = left.len();
        let mut v = View::zero(out, shape.len());
        for (k, &d) in left.iter().enumerate() {
            v.set(d, k, 1);
        }
        if n > 0 {
            (v.offset[a], v.offset[b]) = mutant!(diagonal_offset_turned, (c0, r0), (r0, c0));
        }
        v.set(a, last, 1);
        v.set(b, last, 1);
        Ok(v)
    }

    /// Selects all windows of `windows` neighbouring elements along `axes`, one length for each axis. In the result,
    /// these axes count the windows, and new last axes count the elements of a window.
    pub fn sliding_windows(shape: &[usize], windows: &[isize], axes: &[isize]) -> Fallible<View> {
        if windows.len() != axes.len() {
            let detail = format!("window lengths: {}, axes: {}; each axis needs one", windows.len(), axes.len());
            return fault(ErrorKind::Argument, detail);
        }
        let mut out: Shape = shape.into();
        let mut of_windows = AxisList::new();
        for (&window, &axis) in windows.iter().zip(axes) {
            let d = normalize_axis(axis, shape.len())?;
            // `isize::MAX` may stand for a larger number (`Integer::saturated`), so it is never a valid window
            let fits = |n: &usize| (1..=out[d]).contains(n) && window < isize::MAX;
            let length = usize::try_from(window).ok().filter(fits);
            let Some(length) = length else {
                let detail = format!("a window of {window} does not fit axis {d}, which has length {}", out[d]);
                return fault(ErrorKind::Argument, detail);
            };
            out[d] -= length - 1;
            out.push(length);
            of_windows.push(d);
        }
        mutant!(windows_beyond_isize, 0, size_of_shape(&out)?);
        let mut v = View::zero(out, shape.len());
        for j in 0..shape.len() {
            v.set(j, j, 1);
        }
        for (i, d) in of_windows.into_iter().enumerate() {
            v.set(d, mutant!(windows_against_the_axes, v.shape.len() - 1 - i, shape.len() + i), 1);
        }
        Ok(v)
    }

    pub fn slice(shape: &[usize], items: &[SliceItem]) -> Fallible<View> {
        let used = items.iter().filter(|i| matches!(i, SliceItem::Index(_) | SliceItem::Range { .. })).count();
        if used > shape.len() {
            return fault(ErrorKind::Index, format!("{used} indices are too many for {} axes", shape.len()));
        }
        if items.iter().filter(|i| matches!(i, SliceItem::Ellipsis)).count() > 1 {
            return fault(ErrorKind::Index, "a slice can contain at most one `...`");
        }
        // one entry for each axis of the result: the operand's axis (`None` for a new axis), the step, and the length
        let mut out: SmallVec<[(Option<usize>, isize, usize); 6]> = smallvec![];
        let mut offset: Strides = smallvec![0; shape.len()];
        let mut axis = 0;
        let whole = |axis: &mut usize, count: usize, out: &mut SmallVec<[(Option<usize>, isize, usize); 6]>| {
            for _ in 0..count {
                out.push((Some(*axis), 1, shape[*axis]));
                *axis += 1;
            }
        };
        for item in items {
            match *item {
                SliceItem::NewAxis => out.push((None, 0, 1)),
                SliceItem::Ellipsis => whole(&mut axis, shape.len() - used, &mut out),
                SliceItem::Index(i) => {
                    let n = shape[axis] as isize;
                    let at = if i < 0 { i.saturating_add(n) } else { i };
                    if at < 0 || at >= n {
                        return fault(
                            ErrorKind::Index,
                            format!("index {i} is out of range for axis {axis} of {shape:?}"),
                        );
                    }
                    offset[axis] = at;
                    axis += 1;
                }
                SliceItem::Range { start, end, step } => {
                    if step == 0 {
                        return fault(ErrorKind::Argument, "a slice needs a range with a step other than 0");
                    }
                    let n = shape[axis] as isize;
                    let (lo, hi) = if step > 0 { (0, n) } else { (-1, n - 1) };
                    let least = mutant!(end_of_a_backward_slice_clamped, 0.min(hi), lo);
                    let bound = |b: isize| (if b < 0 { b.saturating_add(n) } else { b }).clamp(least, hi);
                    let first = start.map_or(if step > 0 { lo } else { hi }, bound);
                    let last = end.map_or(if step > 0 { hi } else { lo }, bound);
                    let span = if step > 0 { last - first } else { first - last };
                    let len = if span > 0 { (span - 1) as usize / step.unsigned_abs() + 1 } else { 0 };
                    offset[axis] = if len > 0 { first } else { 0 };
                    // along an axis of at most one element the step has no effect, and a step of 1 makes equal views
                    // compare as equal
                    out.push((Some(axis), if len > 1 { step } else { 1 }, len));
                    axis += 1;
                }
            }
        }
        let rest = shape.len() - axis;
        whole(&mut axis, rest, &mut out);
        let mut lengths = Shape::new();
        out.as_slice().iter().for_each(|(.., n)| lengths.push(*n));
        size_of_shape(&lengths)?;
        let coef = zeros(shape.len() * lengths.len());
        let mut v = View { shape: lengths, offset, coef };
        for (k, (d, step, _)) in out.as_slice().iter().enumerate() {
            if let Some(d) = d {
                v.set(*d, k, *step);
            }
        }
        Ok(v)
    }

    /// Returns the same map as a view of a part of the operand. The part begins at index `begin` of `axis`, so its
    /// indices are smaller by `begin`.
    pub fn shifted(&self, axis: usize, begin: isize) -> View {
        let mut v = self.clone();
        v.offset[axis] -= begin;
        v
    }

    /// Finds the part that contains all elements of the view, if the operand is split along an axis into parts of these
    /// `lengths`. Returns the number of the part and the view of it, or `None` if the elements are in several parts.
    pub fn only_part(&self, axis: usize, lengths: impl Iterator<Item = usize>) -> Option<(usize, View)> {
        let n = self.shape.len();
        let (mut first, mut last) = (self.offset[axis], self.offset[axis]);
        for (coef, n) in self.coef[axis * n..(axis + 1) * n].iter().zip(&self.shape) {
            let reach = coef.saturating_mul(*n as isize - 1);
            if reach < 0 { first = first.saturating_add(reach) } else { last = last.saturating_add(reach) }
        }
        let mut begin = 0;
        for (part, length) in lengths.enumerate() {
            let end = begin + length as isize;
            if first >= begin && last < end {
                return Some((part, self.shifted(axis, begin)));
            }
            begin = end;
        }
        None
    }

    /// Returns the view that reshapes `from` to `to`. This is possible if axes are only split, or if axes of length 1
    /// are added or dropped. Returns `None` if axes must be merged.
    pub fn reshape(from: &[usize], to: &[usize]) -> Option<View> {
        if from.contains(&0) {
            return Some(View::zero(to.into(), from.len()));
        }
        let mut v = View::zero(to.into(), from.len());
        let mut k = 0;
        for (j, &n) in from.iter().enumerate() {
            if n == 1 {
                continue;
            }
            let start = k;
            let mut product = 1;
            while product < n {
                product *= *to.get(k)?;
                k += 1;
            }
            if product != n {
                return None;
            }
            let mut step = 1;
            for d in (start..k).rev() {
                v.set(j, d, step);
                step *= to[d] as isize;
            }
        }
        to[k..].iter().all(|n| *n == 1).then_some(v)
    }
}
