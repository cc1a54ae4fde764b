//! Floor 1: shapes, strides and views: all arithmetic about where an element is.
//!
//! A [`View`] is an affine map from the index of a result to the index of its operand; slicing, permuting,
//! broadcasting, flipping, diagonals and sliding windows are nothing else. A [`Layout`] is the same for a buffer:
//! shape, strides (in elements, any sign, 0 for a broadcast axis) and the offset of element 0.

use crate::error::{ErrorKind, Fault};
use smallvec::{SmallVec, smallvec};

/// Lengths of axes; inline up to six.
pub(crate) type Shape = SmallVec<[usize; 6]>;
/// Steps between elements along axes, in elements.
pub(crate) type Strides = SmallVec<[isize; 6]>;
/// Axis numbers, normalised to `0..ndim`.
pub(crate) type Axes = SmallVec<[usize; 6]>;

type Fallible<T> = Result<T, Fault>;

/// The longest axis count; a kernel's parameters are sized for it.
pub(crate) const MAX_NDIM: usize = 64;

fn fault<T>(kind: ErrorKind, detail: impl Into<String>) -> Fallible<T> {
    Err(Fault::new(kind, detail))
}

/// The number of elements; an error beyond `isize::MAX`.
pub(crate) fn size_of_shape(shape: &[usize]) -> Fallible<usize> {
    if shape.len() > MAX_NDIM {
        return fault(ErrorKind::LimitExceeded, format!("{} axes; at most {MAX_NDIM}", shape.len()));
    }
    // a zero anywhere makes the array empty, whatever the other lengths would multiply to
    if shape.contains(&0) {
        return Ok(0);
    }
    let mut size = 1usize;
    for &n in shape {
        size = match size.checked_mul(n) {
            Some(s) if s <= isize::MAX as usize => s,
            _ => return fault(ErrorKind::LimitExceeded, format!("shape {shape:?} has too many elements")),
        };
    }
    Ok(size)
}

/// Row-major strides of a shape.
pub(crate) fn c_strides(shape: &[usize]) -> Strides {
    let mut strides: Strides = smallvec![0; shape.len()];
    let mut step = 1isize;
    for d in (0..shape.len()).rev() {
        strides[d] = step;
        step = step.saturating_mul(shape[d].max(1) as isize);
    }
    strides
}

/// The common shape of two operands by NumPy's rule.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Fallible<Shape> {
    let ndim = a.len().max(b.len());
    let mut out: Shape = smallvec![0; ndim];
    for d in 0..ndim {
        let at = |s: &[usize]| if d + s.len() >= ndim { s[d + s.len() - ndim] } else { 1 };
        out[d] = match (at(a), at(b)) {
            (x, y) if x == y => x,
            (1, y) => y,
            (x, 1) => x,
            _ => return fault(ErrorKind::Shape, format!("shapes {a:?} and {b:?} do not broadcast")),
        };
    }
    size_of_shape(&out)?;
    Ok(out)
}

/// An axis counted from the front; negative ones count from the end.
pub(crate) fn normalize_axis(axis: isize, ndim: usize) -> Fallible<usize> {
    let n = if axis < 0 { axis + ndim as isize } else { axis };
    if n < 0 || n >= ndim as isize {
        return fault(ErrorKind::Axis, format!("axis {axis} is out of range for {ndim} axes"));
    }
    Ok(n as usize)
}

/// Axes of an operation: some, or all; and whether a reduction keeps them with length 1.
#[derive(Clone, PartialEq, Debug)]
pub struct AxesArg {
    pub(crate) axes: Option<SmallVec<[isize; 6]>>,
    pub(crate) keep: bool,
}

impl AxesArg {
    /// Sorted, unique axes of an array of `ndim` axes.
    pub(crate) fn resolve(&self, ndim: usize) -> Fallible<Axes> {
        let Some(given) = &self.axes else { return Ok((0..ndim).collect()) };
        let mut out = Axes::new();
        for &axis in given {
            let axis = normalize_axis(axis, ndim)?;
            if out.contains(&axis) {
                return fault(ErrorKind::Axis, format!("axis {axis} is named twice"));
            }
            out.push(axis);
        }
        out.sort_unstable();
        Ok(out)
    }
}

/// Axes, kept with length 1 in the result of a reduction.
///
/// ```
/// use cupric::{keep, array};
/// let x = array![[1., 5.], [7., 2.]];
/// assert_eq!(x.max(keep(-1)).shape()?, [2, 1]);
/// # Ok::<(), cupric::Error>(())
/// ```
pub fn keep(axes: impl IntoAxes) -> AxesArg {
    AxesArg { keep: true, ..axes.into_axes() }
}

mod sealed {
    pub trait Axes {}
}

/// What can name axes: an integer (negative counts from the end), an array, slice or tuple of them, `..` for all,
/// and [`keep`] of any of these.
pub trait IntoAxes: sealed::Axes {
    #[doc(hidden)]
    fn into_axes(self) -> AxesArg;
}

/// What can be a shape: an integer, an array, slice, `Vec` or tuple of integers. In `reshape` one of them may be −1.
pub trait IntoShape {
    #[doc(hidden)]
    fn into_shape(self) -> SmallVec<[isize; 6]>;
}

fn axes_arg(axes: impl IntoIterator<Item = isize>) -> AxesArg {
    AxesArg { axes: Some(axes.into_iter().collect()), keep: false }
}

impl sealed::Axes for AxesArg {}
impl IntoAxes for AxesArg {
    fn into_axes(self) -> AxesArg {
        self
    }
}
impl sealed::Axes for std::ops::RangeFull {}
impl IntoAxes for std::ops::RangeFull {
    fn into_axes(self) -> AxesArg {
        AxesArg { axes: None, keep: false }
    }
}
impl sealed::Axes for isize {}
impl sealed::Axes for i32 {}
impl IntoAxes for isize {
    fn into_axes(self) -> AxesArg {
        axes_arg([self])
    }
}
impl IntoAxes for i32 {
    fn into_axes(self) -> AxesArg {
        axes_arg([self as isize])
    }
}
impl<const N: usize> sealed::Axes for [i32; N] {}
impl<const N: usize> IntoAxes for [i32; N] {
    fn into_axes(self) -> AxesArg {
        axes_arg(self.map(|a| a as isize))
    }
}
impl sealed::Axes for &[isize] {}
impl IntoAxes for &[isize] {
    fn into_axes(self) -> AxesArg {
        axes_arg(self.iter().copied())
    }
}
impl sealed::Axes for &[i32] {}
impl IntoAxes for &[i32] {
    fn into_axes(self) -> AxesArg {
        axes_arg(self.iter().map(|a| *a as isize))
    }
}
impl sealed::Axes for Vec<isize> {}
impl IntoAxes for Vec<isize> {
    fn into_axes(self) -> AxesArg {
        axes_arg(self)
    }
}

fn dim(n: usize) -> isize {
    // a length beyond isize::MAX cannot exist; saturating makes it "too many elements"
    isize::try_from(n).unwrap_or(isize::MAX)
}

impl IntoShape for usize {
    fn into_shape(self) -> SmallVec<[isize; 6]> {
        smallvec![dim(self)]
    }
}
impl IntoShape for i32 {
    fn into_shape(self) -> SmallVec<[isize; 6]> {
        smallvec![self as isize]
    }
}
impl IntoShape for () {
    fn into_shape(self) -> SmallVec<[isize; 6]> {
        smallvec![]
    }
}
macro_rules! shapes {
    ($($t:ty: |$n:ident| $e:expr;)*) => { $(
        impl<const N: usize> IntoShape for [$t; N] {
            fn into_shape(self) -> SmallVec<[isize; 6]> {
                self.iter().map(|&$n| $e).collect()
            }
        }
        impl<const N: usize> IntoShape for &[$t; N] {
            fn into_shape(self) -> SmallVec<[isize; 6]> {
                self.iter().map(|&$n| $e).collect()
            }
        }
        impl IntoShape for &[$t] {
            fn into_shape(self) -> SmallVec<[isize; 6]> {
                self.iter().map(|&$n| $e).collect()
            }
        }
        impl IntoShape for Vec<$t> {
            fn into_shape(self) -> SmallVec<[isize; 6]> {
                self.iter().map(|&$n| $e).collect()
            }
        }
    )* };
}
shapes! { usize: |n| dim(n); i32: |n| n as isize; isize: |n| n; }

macro_rules! tuples {
    ($($($name:ident)+;)*) => { $(
        #[allow(non_snake_case)]
        impl IntoShape for ($(tuples!(@usize $name),)+) {
            fn into_shape(self) -> SmallVec<[isize; 6]> {
                let ($($name,)+) = self;
                smallvec![$(dim($name)),+]
            }
        }
        impl sealed::Axes for ($(tuples!(@i32 $name),)+) {}
        #[allow(non_snake_case)]
        impl IntoAxes for ($(tuples!(@i32 $name),)+) {
            fn into_axes(self) -> AxesArg {
                let ($($name,)+) = self;
                axes_arg([$($name as isize),+])
            }
        }
    )* };
    (@usize $n:ident) => { usize };
    (@i32 $n:ident) => { i32 };
}
tuples! { A; A B; A B C; A B C D; A B C D E; A B C D E F; }

/// A shape given by a caller, without −1.
pub(crate) fn shape_arg(shape: impl IntoShape) -> Fallible<Shape> {
    let given = shape.into_shape();
    if given.iter().any(|n| *n < 0) {
        return fault(ErrorKind::Shape, format!("a length in {given:?} is negative"));
    }
    let shape: Shape = given.iter().map(|n| *n as usize).collect();
    size_of_shape(&shape)?;
    Ok(shape)
}

/// The shape that `reshape` asks for: one −1 stands for what is left.
pub(crate) fn reshape_arg(from: &[usize], given: &[isize]) -> Fallible<Shape> {
    let size = size_of_shape(from)?;
    let bad = || Fault::new(ErrorKind::Shape, format!("cannot reshape {from:?} into {given:?}"));
    if given.iter().any(|n| *n < -1) || given.iter().filter(|n| **n == -1).count() > 1 {
        return Err(bad());
    }
    let known: Shape = given.iter().filter(|n| **n >= 0).map(|n| *n as usize).collect();
    let known_size = size_of_shape(&known)?;
    let mut out = Shape::new();
    for &n in given {
        if n >= 0 {
            out.push(n as usize);
        } else if known_size == 0 || size % known_size != 0 {
            return Err(bad());
        } else {
            out.push(size / known_size);
        }
    }
    if size_of_shape(&out)? != size {
        return Err(bad());
    }
    Ok(out)
}

/// What happens to an index out of range.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum IndexMode {
    /// It is an error; the element is not written.
    Check,
    /// It is clamped.
    Clip,
    /// It is taken modulo the length.
    Wrap,
}

/// One entry of a slice, made by [`s!`](crate::s).
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum SliceItem {
    /// One position; the axis goes away. Negative counts from the end.
    Index(isize),
    /// A range; out-of-range bounds clamp, the step may be negative.
    Range {
        /// First position, or the natural end for the direction.
        start: Option<isize>,
        /// One past the last position, or the natural end for the direction.
        end: Option<isize>,
        /// The step, not 0.
        step: isize,
    },
    /// As many whole axes as are left (NumPy's `...`).
    Ellipsis,
    /// A new axis of length 1.
    NewAxis,
}

/// In a slice: a new axis of length 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NewAxis;

impl From<NewAxis> for SliceItem {
    fn from(_: NewAxis) -> Self {
        SliceItem::NewAxis
    }
}
impl From<std::ops::RangeFull> for SliceItem {
    fn from(_: std::ops::RangeFull) -> Self {
        SliceItem::Range { start: None, end: None, step: 1 }
    }
}
macro_rules! slice_items {
    ($($t:ty)*) => { $(
        impl From<$t> for SliceItem {
            fn from(i: $t) -> Self {
                SliceItem::Index(saturate(i as i128))
            }
        }
        impl From<std::ops::Range<$t>> for SliceItem {
            fn from(r: std::ops::Range<$t>) -> Self {
                SliceItem::Range { start: Some(saturate(r.start as i128)), end: Some(saturate(r.end as i128)), step: 1 }
            }
        }
        impl From<std::ops::RangeFrom<$t>> for SliceItem {
            fn from(r: std::ops::RangeFrom<$t>) -> Self {
                SliceItem::Range { start: Some(saturate(r.start as i128)), end: None, step: 1 }
            }
        }
        impl From<std::ops::RangeTo<$t>> for SliceItem {
            fn from(r: std::ops::RangeTo<$t>) -> Self {
                SliceItem::Range { start: None, end: Some(saturate(r.end as i128)), step: 1 }
            }
        }
    )* };
}
slice_items! { isize usize i32 i64 }

fn saturate(i: i128) -> isize {
    i.clamp(isize::MIN as i128, isize::MAX as i128) as isize
}

impl SliceItem {
    /// The same range with a step; an error for anything but a range is left to the slice itself.
    #[doc(hidden)]
    pub fn stepped(self, by: isize) -> SliceItem {
        match self {
            SliceItem::Range { start, end, .. } => SliceItem::Range { start, end, step: by },
            // a step on an index makes no sense: step 0 is refused when the slice is taken
            _ => SliceItem::Range { start: None, end: None, step: 0 },
        }
    }
}

/// An affine map from a result's index to its operand's: `operand[j] = offset[j] + Σ_k coef[j][k] · result[k]`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct View {
    /// The result's shape.
    pub shape: Shape,
    /// One per operand axis.
    pub offset: Strides,
    /// Row-major, operand axes × result axes.
    pub coef: SmallVec<[isize; 16]>,
}

impl View {
    fn zero(shape: Shape, operand_ndim: usize) -> View {
        let coef = smallvec![0; operand_ndim * shape.len()];
        View { shape, offset: smallvec![0; operand_ndim], coef }
    }

    fn set(&mut self, operand_axis: usize, result_axis: usize, c: isize) {
        let n = self.shape.len();
        self.coef[operand_axis * n + result_axis] = c;
    }

    pub fn identity(shape: &[usize]) -> View {
        let mut v = View::zero(shape.into(), shape.len());
        for d in 0..shape.len() {
            v.set(d, d, 1);
        }
        v
    }

    /// Whether the result is the operand of this shape, element for element.
    pub fn is_identity_of(&self, shape: &[usize]) -> bool {
        let n = self.shape.len();
        self.shape[..] == *shape
            && self.offset.iter().all(|o| *o == 0)
            && self.coef.iter().enumerate().all(|(i, c)| *c == (i / n == i % n) as isize)
    }

    /// The map that applies `inner` to the operand first, then `self` to its result.
    pub fn after(&self, inner: &View) -> View {
        let (n, mid, m) = (self.shape.len(), inner.shape.len(), inner.offset.len());
        let mut out = View::zero(self.shape.clone(), m);
        for j in 0..m {
            out.offset[j] = inner.offset[j];
            for i in 0..mid {
                let c = inner.coef[j * mid + i];
                out.offset[j] += c * self.offset[i];
                for k in 0..n {
                    out.coef[j * n + k] += c * self.coef[i * n + k];
                }
            }
        }
        out
    }

    /// Strides and offset over the result of an operand stored with `strides` and `offset`.
    pub fn apply(&self, strides: &[isize], offset: isize) -> (Strides, isize) {
        let n = self.shape.len();
        let mut out: Strides = smallvec![0; n];
        let mut base = offset;
        for (j, s) in strides.iter().enumerate() {
            base += self.offset[j] * s;
            for k in 0..n {
                out[k] += self.coef[j * n + k] * s;
            }
        }
        (out, base)
    }

    pub fn permute(shape: &[usize], axes: &[isize]) -> Fallible<View> {
        let order = AxesArg { axes: Some(axes.into()), keep: false }.resolve(shape.len())?;
        if order.len() != shape.len() {
            return fault(ErrorKind::Axis, format!("axes {axes:?} are not a permutation of {} axes", shape.len()));
        }
        let axes: Axes =
            axes.iter().map(|a| if *a < 0 { (*a + shape.len() as isize) as usize } else { *a as usize }).collect();
        let mut v = View::zero(axes.iter().map(|a| shape[*a]).collect(), shape.len());
        for (k, &j) in axes.iter().enumerate() {
            v.set(j, k, 1);
        }
        Ok(v)
    }

    pub fn broadcast_to(shape: &[usize], to: &[usize]) -> Fallible<View> {
        let no = || Fault::new(ErrorKind::Shape, format!("shape {shape:?} does not broadcast to {to:?}"));
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
        let mut v = View::zero(out, shape.len());
        for d in 0..shape.len() {
            v.set(d, d + (d >= axis) as usize, 1);
        }
        Ok(v)
    }

    /// Without the named axes, at position 0 of each.
    pub fn drop_axes(shape: &[usize], axes: &[usize]) -> View {
        let left: Axes = (0..shape.len()).filter(|d| !axes.contains(d)).collect();
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

    /// The diagonal of two axes, as the last axis of the result.
    pub fn diagonal(shape: &[usize], offset: isize, axis1: isize, axis2: isize) -> Fallible<View> {
        let (a, b) = (normalize_axis(axis1, shape.len())?, normalize_axis(axis2, shape.len())?);
        if a == b {
            return fault(ErrorKind::Axis, format!("axis {a} is named twice"));
        }
        let (rows, cols) = (shape[a] as isize, shape[b] as isize);
        let (r0, c0) = if offset >= 0 { (0, offset) } else { (offset.saturating_neg(), 0) };
        let n = (rows.saturating_sub(r0)).min(cols.saturating_sub(c0)).max(0);
        let left: Axes = (0..shape.len()).filter(|d| *d != a && *d != b).collect();
        let mut out: Shape = left.iter().map(|d| shape[*d]).collect();
        out.push(n as usize);
        let last = left.len();
        let mut v = View::zero(out, shape.len());
        for (k, &d) in left.iter().enumerate() {
            v.set(d, k, 1);
        }
        if n > 0 {
            (v.offset[a], v.offset[b]) = (r0, c0);
        }
        v.set(a, last, 1);
        v.set(b, last, 1);
        Ok(v)
    }

    /// Windows of `window` elements along `axis`: the axis counts windows, a new last axis the place inside one.
    pub fn sliding_windows(shape: &[usize], window: usize, axis: isize) -> Fallible<View> {
        let d = normalize_axis(axis, shape.len())?;
        if window == 0 || window > shape[d] {
            return fault(ErrorKind::Argument, format!("a window of {window} does not fit axis {d} of {shape:?}"));
        }
        let mut out: Shape = shape.into();
        out[d] = shape[d] - window + 1;
        out.push(window);
        let mut v = View::zero(out, shape.len());
        for j in 0..shape.len() {
            v.set(j, j, 1);
        }
        v.set(d, shape.len(), 1);
        Ok(v)
    }

    pub fn slice(shape: &[usize], items: &[SliceItem]) -> Fallible<View> {
        let used = items.iter().filter(|i| matches!(i, SliceItem::Index(_) | SliceItem::Range { .. })).count();
        if used > shape.len() {
            return fault(ErrorKind::Index, format!("{used} indices for {} axes", shape.len()));
        }
        if items.iter().filter(|i| matches!(i, SliceItem::Ellipsis)).count() > 1 {
            return fault(ErrorKind::Index, "more than one `...`");
        }
        // (operand axis, first position, step, length), or a new axis
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
                    let bound = |b: isize| (if b < 0 { b.saturating_add(n) } else { b }).clamp(lo, hi);
                    let first = start.map_or(if step > 0 { lo } else { hi }, bound);
                    let last = end.map_or(if step > 0 { hi } else { lo }, bound);
                    let span = if step > 0 { last - first } else { first - last };
                    let len = if span > 0 { (span - 1) as usize / step.unsigned_abs() + 1 } else { 0 };
                    offset[axis] = if len > 0 { first } else { 0 };
                    // with at most one element the step is never taken
                    out.push((Some(axis), if len > 1 { step } else { 1 }, len));
                    axis += 1;
                }
            }
        }
        let rest = shape.len() - axis;
        whole(&mut axis, rest, &mut out);
        let mut v = View::zero(out.iter().map(|o| o.2).collect(), shape.len());
        size_of_shape(&v.shape)?;
        v.offset = offset;
        for (k, (d, step, _)) in out.iter().enumerate() {
            if let Some(d) = d {
                v.set(*d, k, *step);
            }
        }
        Ok(v)
    }

    /// A reshape that only splits axes and adds or drops axes of length 1; `None` for one that merges.
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

/// Where the elements of an array are in its buffer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Layout {
    pub shape: Shape,
    /// In elements.
    pub strides: Strides,
    /// Of the element with index 0 everywhere.
    pub offset: usize,
}

impl Layout {
    /// Row-major from the start of a buffer.
    pub fn c(shape: &[usize]) -> Layout {
        Layout { strides: c_strides(shape), shape: shape.into(), offset: 0 }
    }

    /// Dense from the start of a buffer, with `order[0]` the slowest axis.
    pub fn ordered(shape: &[usize], order: &[usize]) -> Layout {
        let mut strides: Strides = smallvec![0; shape.len()];
        let mut step = 1isize;
        for &d in order.iter().rev() {
            strides[d] = step;
            step *= shape[d].max(1) as isize;
        }
        Layout { strides, shape: shape.into(), offset: 0 }
    }

    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn view(&self, view: &View) -> Layout {
        let (strides, offset) = view.apply(&self.strides, self.offset as isize);
        let empty = view.shape.contains(&0);
        Layout { shape: view.shape.clone(), strides, offset: if empty { 0 } else { offset.max(0) as usize } }
    }

    pub fn is_c_contiguous(&self) -> bool {
        let mut step = 1isize;
        for d in (0..self.shape.len()).rev() {
            if self.shape[d] != 1 && self.strides[d] != step {
                return self.shape.contains(&0);
            }
            step *= self.shape[d].max(1) as isize;
        }
        true
    }

    /// First and one past the last element that the layout touches.
    pub fn span(&self) -> (usize, usize) {
        span(&self.shape, &self.strides, self.offset)
    }

    /// Whether two indices can share an element (broadcast axes, sliding windows). May say yes where they do not.
    pub fn may_overlap_itself(&self) -> bool {
        if self.shape.contains(&0) {
            return false;
        }
        let mut axes: SmallVec<[(usize, usize); 6]> = (0..self.shape.len())
            .filter(|d| self.shape[*d] > 1)
            .map(|d| (self.strides[d].unsigned_abs(), self.shape[d]))
            .collect();
        axes.sort_unstable();
        let mut reach = 0;
        for (stride, n) in axes {
            if stride <= reach {
                return true;
            }
            reach += stride * (n - 1);
        }
        false
    }

    /// The same elements in C order under another shape, if strides can say it.
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
            // the merged old axes must run on without a gap
            for w in old[first..=i].windows(2) {
                if self.strides[w[0]] != self.strides[w[1]] * self.shape[w[1]] as isize {
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

/// First and one past the last element that indices below `shape` touch.
pub(crate) fn span(shape: &[usize], strides: &[isize], offset: usize) -> (usize, usize) {
    if shape.contains(&0) {
        return (offset, offset);
    }
    let (mut lo, mut hi) = (offset as isize, offset as isize);
    for (n, s) in shape.iter().zip(strides) {
        let reach = (*n as isize - 1) * s;
        if reach < 0 { lo += reach } else { hi += reach }
    }
    (lo.max(0) as usize, hi.max(0) as usize + 1)
}

/// The storage order of an elementwise result: that of its operands where they agree, else C. `order[0]` is the
/// slowest axis. Axes of length 1 or stride 0 agree with any; steps and signs do not count.
pub(crate) fn common_order<'a>(shape: &[usize], operands: impl Iterator<Item = &'a [isize]> + Clone) -> Axes {
    let c: Axes = (0..shape.len()).collect();
    let of = |strides: &[isize]| -> Axes {
        let mut axes: Axes = (0..shape.len()).filter(|d| shape[*d] > 1 && strides[*d] != 0).collect();
        axes.sort_by_key(|d| (std::cmp::Reverse(strides[*d].unsigned_abs()), *d));
        axes
    };
    let sorted = |axes: &Axes| axes.windows(2).all(|w| w[0] < w[1]);
    if operands.clone().all(|s| sorted(&of(s))) {
        return c;
    }
    let wanted = shape.iter().filter(|n| **n > 1).count();
    let Some(best) = operands.clone().map(of).find(|o| o.len() == wanted) else { return c };
    let place = |d: &usize| best.iter().position(|b| b == d);
    for o in operands {
        if of(o).windows(2).any(|w| place(&w[0]) > place(&w[1])) {
            return c;
        }
    }
    // axes of length 1 go in front, where they change nothing
    let mut order: Axes = c.iter().copied().filter(|d| !best.contains(d)).collect();
    order.extend(best);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
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

    #[test]
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

    #[test]
    fn orders_agree_or_fall_back_to_c() {
        let shape = [3, 4];
        let f: &[isize] = &[1, 3];
        let c: &[isize] = &[4, 1];
        let row: &[isize] = &[0, 1];
        assert_eq!(common_order(&shape, [f, f].into_iter()).as_slice(), [1, 0]);
        assert_eq!(common_order(&shape, [f, c].into_iter()).as_slice(), [0, 1]);
        assert_eq!(common_order(&shape, [f, row].into_iter()).as_slice(), [1, 0]);
    }

    #[test]
    fn overlap_is_seen() {
        let w = Layout::c(&[10]).view(&View::sliding_windows(&[10], 3, 0).unwrap());
        assert!(w.may_overlap_itself());
        assert!(!Layout::c(&[3, 4]).may_overlap_itself());
    }
}
