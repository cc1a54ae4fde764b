//! Argument types for axes, shapes and slices, and their conversion from what a caller passes.

use super::integers::{Given, Integer, Integers};
use super::{AxisList, Fallible, Shape, fault, normalize_axis, size_of_shape};
use crate::base::error::{ErrorKind, Fault};
use std::ops::{Bound, RangeBounds};

/// The axes that a caller names (`None` for all), and whether a reduction keeps these axes with length 1.
#[derive(Clone, PartialEq, Debug)]
pub struct AxesArg {
    pub(crate) axes: Option<Given>,
    pub(crate) keep: bool,
}

impl AxesArg {
    /// Returns the numbers of the named axes of an array with `ndim` axes, sorted. Fails if an axis is out of bounds or
    /// named twice.
    pub(crate) fn resolve(&self, ndim: usize) -> Fallible<AxisList> {
        let mut out = AxisList::new();
        let Some(given) = &self.axes else {
            (0..ndim).for_each(|axis| out.push(axis));
            return Ok(out);
        };
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

    /// Fails as [`AxesArg::resolve`] does.
    pub(crate) fn check(&self, ndim: usize) -> Fallible<()> {
        if self.axes.is_some() { self.resolve(ndim).map(drop) } else { Ok(()) }
    }
}

/// Returns an argument that names axes for a reduction, and makes the result keep these axes with length 1 (NumPy's
/// `keepdims`).
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

/// The axis along which a sort runs, and whether the order is descending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SortAxis {
    pub(crate) axis: isize,
    pub(crate) descending: bool,
}

/// Returns an argument that names an axis for a sort, and makes the order descending.
///
/// ```
/// use cupric::{array, descending};
/// assert_eq!(array![1, 3, 2].sort(descending(-1)).to_vec::<i32>()?, [3, 2, 1]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[must_use]
pub fn descending(axis: impl IntoSortAxis) -> SortAxis {
    SortAxis { descending: true, ..axis.into_sort_axis() }
}

/// A type that names the axis of a sort: an [`Integer`] for ascending order (negative integers count from the end), or
/// the result of [`descending`] for an integer.
pub trait IntoSortAxis: sealed::SortAxis {
    #[doc(hidden)]
    fn into_sort_axis(self) -> SortAxis;
}

impl sealed::SortAxis for SortAxis {}
impl IntoSortAxis for SortAxis {
    fn into_sort_axis(self) -> SortAxis {
        self
    }
}
impl<T: Integer> sealed::SortAxis for T {}
impl<T: Integer> IntoSortAxis for T {
    fn into_sort_axis(self) -> SortAxis {
        SortAxis { axis: self.saturated(), descending: false }
    }
}

/// The axis of a scan (such as a cumulative sum), and which elements each result combines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanAxis {
    pub(crate) axis: isize,
    pub(crate) reverse: bool,
    pub(crate) exclusive: bool,
    pub(crate) include_initial: bool,
}

/// Returns an argument that names an axis for a scan (such as a cumulative sum), and makes the scan begin at the end of
/// the axis. Each result combines an element and all elements after it.
///
/// ```
/// use cupric::{array, reverse};
/// assert_eq!(array![1., 2., 3.].cumulative_sum(reverse(0)).to_vec::<f32>()?, [6., 5., 3.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[must_use]
pub fn reverse(axis: impl IntoScanAxis) -> ScanAxis {
    ScanAxis { reverse: true, ..axis.into_scan_axis() }
}

/// Returns an argument that names an axis for a scan (such as a cumulative sum), and makes the scan exclusive: each
/// result combines only the elements before its own position. The first result is the value for no elements (0 for a
/// sum).
///
/// ```
/// use cupric::{array, exclusive};
/// assert_eq!(array![1., 2., 3.].cumulative_sum(exclusive(0)).to_vec::<f32>()?, [0., 1., 3.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[must_use]
pub fn exclusive(axis: impl IntoScanAxis) -> ScanAxis {
    ScanAxis { exclusive: true, ..axis.into_scan_axis() }
}

/// Returns an argument that names an axis for a scan (such as a cumulative sum), and puts the value for no elements (0
/// for a sum) in front of the results. The result has one more element along the axis than the operand.
///
/// ```
/// use cupric::{array, include_initial};
/// assert_eq!(array![1., 2., 3.].cumulative_sum(include_initial(0)).to_vec::<f32>()?, [0., 1., 3., 6.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[must_use]
pub fn include_initial(axis: impl IntoScanAxis) -> ScanAxis {
    ScanAxis { include_initial: true, ..axis.into_scan_axis() }
}

/// A type that names the axis of a scan: an [`Integer`] (negative integers count from the end), or the result of
/// [`reverse`], [`exclusive`] or [`include_initial`] for an integer. These calls can be nested, but `exclusive` cannot
/// be combined with `include_initial`.
pub trait IntoScanAxis: sealed::ScanAxis {
    #[doc(hidden)]
    fn into_scan_axis(self) -> ScanAxis;
}

impl sealed::ScanAxis for ScanAxis {}
impl IntoScanAxis for ScanAxis {
    fn into_scan_axis(self) -> ScanAxis {
        self
    }
}
impl<T: Integer> sealed::ScanAxis for T {}
impl<T: Integer> IntoScanAxis for T {
    fn into_scan_axis(self) -> ScanAxis {
        ScanAxis { axis: self.saturated(), reverse: false, exclusive: false, include_initial: false }
    }
}

mod sealed {
    pub trait Axes {}
    pub trait ScanAxis {}
    pub trait SortAxis {}
}

/// A type that names axes: [`Integers`] (negative integers count from the end), `..` for all axes, or the result of
/// [`keep`] for any of these.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name axes",
    label = "an integer, a list of integers, `..` for all axes, or `keep` of one of these is needed here"
)]
pub trait IntoAxes: sealed::Axes {
    #[doc(hidden)]
    fn into_axes(self) -> AxesArg;
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
impl<T: Integers> sealed::Axes for T {}
impl<T: Integers> IntoAxes for T {
    fn into_axes(self) -> AxesArg {
        AxesArg { axes: Some(self.integers()), keep: false }
    }
}

/// A type that names a shape: [`Integers`], one length for each axis. Where the number of elements is known (`reshape`,
/// `from_vec`), one length may be −1; it is then computed from the other lengths.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a shape",
    label = "an integer, or an array, slice, `Vec` or tuple of integers is needed here"
)]
pub trait IntoShape: Integers {
    #[doc(hidden)]
    fn into_shape(self) -> Given;
}
impl<T: Integers> IntoShape for T {
    fn into_shape(self) -> Given {
        self.integers()
    }
}

/// Converts the shape argument for a new array. Returns an error for any negative length, even −1.
pub(crate) fn shape_arg(shape: impl IntoShape) -> Fallible<Shape> {
    let given = shape.into_shape();
    if given.iter().any(|n| *n < 0) {
        return fault(ErrorKind::Shape, format!("a length in {given:?} is negative"));
    }
    let shape: Shape = given.iter().map(|n| *n as usize).collect();
    size_of_shape(&shape)?;
    Ok(shape)
}

/// Converts the shape argument of `reshape`, and replaces a length of −1 by the length that preserves the number of
/// elements.
pub(crate) fn reshape_arg(from: &[usize], given: &[isize]) -> Fallible<Shape> {
    let size = size_of_shape(from)?;
    let refused = |why| Fault::new(ErrorKind::Shape, format!("cannot reshape {from:?} into {given:?}{why}"));
    let bad = || refused("");
    if given.iter().any(|n| *n < -1) {
        return Err(bad());
    }
    if given.iter().filter(|n| **n == -1).count() > 1 {
        return Err(refused(": only one length may be -1"));
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

/// Converts the shape argument for an array of `count` elements, and replaces a length of −1 by the length that follows
/// from `count`.
pub(crate) fn filled_arg(count: usize, given: &[isize]) -> Fallible<Shape> {
    let lengths: Shape = given.iter().map(|n| n.unsigned_abs()).collect();
    // a shape with too many elements has an error of its own, whatever `count` is
    size_of_shape(&lengths)?;
    reshape_arg(&[count], given)
        .map_err(|f| Fault::new(f.kind, format!("{count} elements do not fill shape {given:?}")))
}

/// How a gather or scatter handles an out-of-bounds index. Along an axis of length 0, every index is an error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[doc(hidden)]
pub enum IndexMode {
    /// An out-of-bounds index is an error. A CPU finds it before it writes anything. A GPU does not store the element
    /// of this index, and reports the error later. The length of the axis has already been added to a negative index,
    /// which counts from the end.
    Check,
    /// As `Check`, but no index counts from the end: a negative index is out of bounds.
    CheckFromStart,
    /// The index is clamped to the axis.
    Clip,
    /// The index is taken modulo the length of the axis.
    Wrap,
}

impl IndexMode {
    /// Returns whether an out-of-bounds index is an error.
    pub(crate) fn checks(self) -> bool {
        matches!(self, IndexMode::Check | IndexMode::CheckFromStart)
    }
}

/// How a scattered write combines its value with the existing element.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Combine {
    /// The value replaces the element. If several indices refer to one element, a CPU keeps the last value in C order.
    /// In WGSL the order of writes is undefined, so indices must be unique there.
    Set,
    Add,
    Min,
    Max,
}

impl Combine {
    /// Returns the name that printed plans use.
    pub fn name(self) -> &'static str {
        match self {
            Combine::Set => "set",
            Combine::Add => "add",
            Combine::Min => "min",
            Combine::Max => "max",
        }
    }

    /// Returns whether WGSL has no atomic operation for elements of `bytes` bytes. This is so for 64-bit minima and
    /// maxima, because WGSL has only 32-bit atomics, and combining the two words one after the other gives no minimum.
    pub fn lacks_wgsl_atomic(self, bytes: usize) -> bool {
        bytes == 8 && matches!(self, Combine::Min | Combine::Max)
    }

    /// Returns whether the result depends on the existing element, so that a store must read it.
    pub fn reads(self) -> bool {
        match self {
            Combine::Set => false,
            Combine::Add | Combine::Min | Combine::Max => true,
        }
    }
}

/// One entry of a slice, made by [`s!`](crate::s).
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum SliceItem {
    /// One position along an axis, which the result does not have. A negative position counts from the end.
    Index(isize),
    /// A range. Out-of-bounds limits are clamped to the axis, and a negative step runs backward.
    Range {
        /// The first position. `None` means the first position of the axis, or the last one for a negative step.
        start: Option<isize>,
        /// The position before which the range ends. `None` means that the range extends to the end of the axis, or to
        /// its start for a negative step.
        end: Option<isize>,
        /// The distance between neighbouring positions. It must not be 0.
        step: isize,
    },
    /// All axes that no other entry of the slice names, in full, like NumPy's `...`.
    Ellipsis,
    /// A new axis of length 1.
    NewAxis,
}

/// A slice entry that inserts a new axis of length 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NewAxis;

impl From<NewAxis> for SliceItem {
    fn from(_: NewAxis) -> Self {
        SliceItem::NewAxis
    }
}
/// A slice entry that may have a step: `s![1..8;2]`.
#[doc(hidden)]
pub trait Stepped {
    /// Returns the range with a step. An entry that is not a range becomes a range with step 0, which is an error in a
    /// slice.
    fn stepped(self, by: impl Integer) -> SliceItem;
}

/// Returns the slice entry of a range with a step. For an inclusive range, the exclusive end depends on the sign of the
/// step.
fn range<T: Integer>(given: impl RangeBounds<T>, step: isize) -> SliceItem {
    let start = match given.start_bound() {
        Bound::Included(first) => Some(first.saturated()),
        Bound::Excluded(before) => Some(before.saturated().saturating_add(1)),
        Bound::Unbounded => None,
    };
    let end = match given.end_bound() {
        Bound::Excluded(end) => Some(end.saturated()),
        // `end` is exclusive, so it would be 0 if `last` is −1, and −1 if `last` is 0 and the step is negative. A slice
        // would interpret these as the other end of the axis, so such a range gets the end `None`.
        Bound::Included(last) if step < 0 => last.saturated().checked_sub(1).filter(|end| *end != -1),
        Bound::Included(last) => last.saturated().checked_add(1).filter(|end| *end != 0),
        Bound::Unbounded => None,
    };
    SliceItem::Range { start, end, step }
}

macro_rules! ranges {
    ($($range:ident)*) => { $(
        impl<T: Integer> From<std::ops::$range<T>> for SliceItem {
            fn from(given: std::ops::$range<T>) -> Self {
                range(given, 1)
            }
        }
        impl<T: Integer> Stepped for std::ops::$range<T> {
            fn stepped(self, by: impl Integer) -> SliceItem {
                range(self, by.saturated())
            }
        }
    )* };
}
ranges! { Range RangeFrom RangeTo RangeInclusive RangeToInclusive }

impl From<std::ops::RangeFull> for SliceItem {
    fn from(all: std::ops::RangeFull) -> Self {
        range::<isize>(all, 1)
    }
}
impl Stepped for std::ops::RangeFull {
    fn stepped(self, by: impl Integer) -> SliceItem {
        range::<isize>(self, by.saturated())
    }
}
impl<T: Integer> From<T> for SliceItem {
    fn from(i: T) -> Self {
        SliceItem::Index(i.saturated())
    }
}
impl<T: Integer> Stepped for T {
    fn stepped(self, by: impl Integer) -> SliceItem {
        SliceItem::from(self).stepped(by)
    }
}
impl Stepped for NewAxis {
    fn stepped(self, by: impl Integer) -> SliceItem {
        SliceItem::NewAxis.stepped(by)
    }
}
impl Stepped for SliceItem {
    fn stepped(self, by: impl Integer) -> SliceItem {
        match self {
            SliceItem::Range { start, end, .. } => SliceItem::Range { start, end, step: by.saturated() },
            SliceItem::Index(_) | SliceItem::Ellipsis | SliceItem::NewAxis => {
                SliceItem::Range { start: None, end: None, step: 0 }
            }
        }
    }
}
