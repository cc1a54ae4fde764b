//! The options of convolutions and pools, and the windows that they choose along each axis.

use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{Given, Integer, Integers};
use smallvec::{SmallVec, smallvec};

mod sealed {
    pub trait Padding {}
}

/// A type that specifies the padding of [`Conv`] and [`Pool`]. It is one number for both ends of all spatial axes, a
/// list with one number for each spatial axis, or a list with a pair `(before, after)` for each spatial axis.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a padding",
    label = "an integer, a list of integers, or a list of pairs `(before, after)` is needed here"
)]
pub trait IntoPadding: sealed::Padding {
    #[doc(hidden)]
    fn into_padding(self) -> Padding;
}

/// The padding of a convolution or a pool, before and after each spatial axis. A list of a single pair is used for all
/// axes.
#[doc(hidden)]
#[derive(Clone, PartialEq, Debug)]
pub enum Padding {
    Sides(SmallVec<[(isize, isize); 3]>),
    Same,
}

fn pairs<A: Integer, B: Integer>(list: &[(A, B)]) -> Padding {
    Padding::Sides(list.iter().map(|(a, b)| (a.saturated(), b.saturated())).collect())
}

impl<T: Integers> sealed::Padding for T {}
impl<T: Integers> IntoPadding for T {
    fn into_padding(self) -> Padding {
        Padding::Sides(self.integers().iter().map(|n| (*n, *n)).collect())
    }
}
impl<A: Integer, B: Integer, const N: usize> sealed::Padding for [(A, B); N] {}
impl<A: Integer, B: Integer, const N: usize> IntoPadding for [(A, B); N] {
    fn into_padding(self) -> Padding {
        pairs(&self)
    }
}
impl<A: Integer, B: Integer> sealed::Padding for &[(A, B)] {}
impl<A: Integer, B: Integer> IntoPadding for &[(A, B)] {
    fn into_padding(self) -> Padding {
        pairs(self)
    }
}
impl<A: Integer, B: Integer> sealed::Padding for Vec<(A, B)> {}
impl<A: Integer, B: Integer> IntoPadding for Vec<(A, B)> {
    fn into_padding(self) -> Padding {
        pairs(&self)
    }
}

/// The options of a convolution. The default is stride 1, no padding, dilation 1 and one group, with the channels
/// before the spatial axes. A stride, a dilation or an output padding is one number for all spatial axes, or a list
/// with one number for each.
///
/// ```
/// use cupric::{Conv, DType, ones};
/// let (x, w) = (ones([1, 2, 8, 8], DType::F32), ones([4, 1, 3, 3], DType::F32));
/// let y = x.conv2d(&w, Conv::default().stride(2).padding(1).groups(2));
/// assert_eq!(y.shape()?, [1, 4, 4, 4]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Conv {
    pub(super) stride: Given,
    pub(super) dilation: Given,
    pub(super) padding: Padding,
    pub(super) output_padding: Option<Given>,
    pub(super) groups: isize,
    pub(super) is_last: bool,
}

impl Default for Conv {
    fn default() -> Conv {
        Conv {
            stride: smallvec![1],
            dilation: smallvec![1],
            padding: Padding::Sides(smallvec![(0, 0)]),
            output_padding: None,
            groups: 1,
            is_last: false,
        }
    }
}

impl Conv {
    /// Sets the distance between neighbouring windows, which is 1 by default. A transposed convolution adds each
    /// element of the input to a window of the result; the stride is then the distance between the windows of
    /// neighbouring elements.
    pub fn stride(self, stride: impl Integers) -> Conv {
        Conv { stride: stride.integers(), ..self }
    }

    /// Sets how many zeros are added before and after each spatial axis; the default is none. A transposed convolution
    /// removes this many elements from its result instead.
    pub fn padding(self, padding: impl IntoPadding) -> Conv {
        Conv { padding: padding.into_padding(), ..self }
    }

    /// Pads so that the result has `ceil(length / stride)` elements along each spatial axis, or `length · stride`
    /// elements in a transposed convolution. If the number of zeros is odd, one more is added after the axis than
    /// before it, as in TensorFlow and JAX.
    pub fn same(self) -> Conv {
        Conv { padding: Padding::Same, ..self }
    }

    /// Sets the distance between neighbouring elements of a window, which is 1 by default.
    pub fn dilation(self, dilation: impl Integers) -> Conv {
        Conv { dilation: dilation.integers(), ..self }
    }

    /// Sets into how many groups the channels are divided; the default is one group. A group of output channels reads
    /// only the group of input channels with the same index.
    #[doc(alias = "feature_group_count")]
    pub fn groups(self, groups: impl Integer) -> Conv {
        Conv { groups: groups.saturated(), ..self }
    }

    /// Sets how many elements a transposed convolution adds at the end of each spatial axis; the default is 0. The
    /// number must be less than the larger of the stride and the dilation. Use it to get back the input length of a
    /// convolution with a stride above 1: such a convolution maps inputs of several lengths to results of the same
    /// length, and the output padding selects one of these input lengths.
    pub fn output_padding(self, more: impl Integers) -> Conv {
        Conv { output_padding: Some(more.integers()), ..self }
    }

    /// Takes the last axis of the input as the channels, and puts the channels last in the result too. The weights then
    /// have the output channels as their first axis and the input channels as their last axis, also in a transposed
    /// convolution.
    #[doc(alias("NHWC", "NLC", "NDHWC"))]
    pub fn channels_last(self) -> Conv {
        Conv { is_last: true, ..self }
    }
}

/// The options of a pooling function such as [`Expr::max_pool2d`](crate::Expr::max_pool2d): the length of the windows,
/// the stride, the padding, and the position of the channel axis. Instead of a `Pool`, you can pass only the length of
/// the windows: a number, or a list with one number for each spatial axis. The default stride is the length of the
/// window, so the windows do not overlap.
///
/// ```
/// use cupric::{DType, Pool, ones};
/// let x = ones([1, 2, 8, 8], DType::F32);
/// assert_eq!(x.max_pool2d(2).shape()?, [1, 2, 4, 4]);
/// assert_eq!(x.avg_pool2d(Pool::new(3).stride(2).padding(1)).shape()?, [1, 2, 4, 4]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Pool {
    pub(super) window: Given,
    pub(super) stride: Option<Given>,
    pub(super) padding: Padding,
    pub(super) is_last: bool,
}

impl Pool {
    /// Returns options with this length of the windows: one number for all spatial axes, or a list with one number for
    /// each. The stride is the length of the window, and there is no padding.
    pub fn new(window: impl Integers) -> Pool {
        let padding = Padding::Sides(smallvec![(0, 0)]);
        Pool { window: window.integers(), stride: None, padding, is_last: false }
    }

    /// Sets the distance between neighbouring windows. The default is the length of the window.
    pub fn stride(self, stride: impl Integers) -> Pool {
        Pool { stride: Some(stride.integers()), ..self }
    }

    /// Sets by how many elements windows extend beyond each end of a spatial axis; the default is 0. The number must be
    /// less than the length of the window.
    pub fn padding(self, padding: impl IntoPadding) -> Pool {
        Pool { padding: padding.into_padding(), ..self }
    }

    /// Pads so that the result has `ceil(length / stride)` elements along each spatial axis, like [`Conv::same`].
    pub fn same(self) -> Pool {
        Pool { padding: Padding::Same, ..self }
    }

    /// Takes the last axis of the array as the channels, and puts the channels last in the result too. By default, the
    /// channel axis is before the spatial axes.
    pub fn channels_last(self) -> Pool {
        Pool { is_last: true, ..self }
    }
}

impl<T: Integers> From<T> for Pool {
    fn from(window: T) -> Pool {
        Pool::new(window)
    }
}

/// The windows along one spatial axis. Window number o reads the elements `o · stride + k · dilation − before`, for all
/// k below `window`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    /// The length of the axis.
    pub length: usize,
    /// The number of elements that the padding adds before the axis.
    pub before: usize,
    pub window: usize,
    pub stride: usize,
    pub dilation: usize,
    /// The number of windows, which is at least 1.
    pub count: usize,
}

pub(super) type AllWindows = SmallVec<[Windows; 3]>;

impl Windows {
    /// Returns how many neighbouring elements of the axis a window spans, including the elements that the dilation
    /// skips.
    pub fn reach(&self) -> usize {
        self.dilation * (self.window - 1) + 1
    }

    /// Returns how many elements of padding the last window reads after the end of the axis. Padding that no window
    /// reads is not counted.
    pub fn after(&self) -> usize {
        ((self.count - 1) * self.stride + self.reach()).saturating_sub(self.before + self.length)
    }

    pub fn is_padded(&self) -> bool {
        self.before > 0 || self.after() > 0
    }
}

/// The options along one spatial axis. The padding before and after is at least 0, and the other numbers are
/// at least 1. The padding is `None` for [`Padding::Same`].
#[derive(Clone, Copy)]
struct Along {
    length: usize,
    window: u128,
    stride: u128,
    dilation: u128,
    padding: Option<(u128, u128)>,
}

/// The name of the operation, and the location of the user's call, for errors.
pub(super) type CallSite = (&'static str, Loc);

fn wrong((op, at): CallSite, detail: String) -> Error {
    Error::with_line(ErrorKind::Argument, op, detail, at)
}

/// Returns one number for each of `n` spatial axes, from a list of one or `n` numbers. Returns an error if a number is
/// less than `least`.
pub(super) fn numbers(what: &str, given: &[isize], least: isize, n: usize, call: CallSite) -> Result<Given> {
    if given.len() != 1 && given.len() != n {
        return Err(wrong(call, format!("{what} has {} numbers for {n} spatial axes", given.len())));
    }
    if let Some(low) = given.iter().find(|v| **v < least) {
        return Err(wrong(call, format!("{what} is {low}; it must be at least {least}")));
    }
    Ok((0..n).map(|j| given[j.min(given.len() - 1)]).collect())
}

/// Returns the options along each spatial axis.
fn along(
    lengths: &[usize],
    window: &[usize],
    (stride, dilation): (&[isize], &[isize]),
    padding: &Padding,
    call: CallSite,
) -> Result<SmallVec<[Along; 3]>> {
    let n = lengths.len();
    let (stride, dilation) = (numbers("stride", stride, 1, n, call)?, numbers("dilation", dilation, 1, n, call)?);
    let sides = match padding {
        Padding::Same => None,
        Padding::Sides(sides) => {
            let of = |side: fn(&(isize, isize)) -> isize| {
                numbers("padding", &sides.iter().map(side).collect::<Given>(), 0, n, call)
            };
            Some((of(|s| s.0)?, of(|s| s.1)?))
        }
    };
    let of = |j: usize| Along {
        length: lengths[j],
        window: window[j] as u128,
        stride: stride[j] as u128,
        dilation: dilation[j] as u128,
        padding: sides.as_ref().map(|(before, after)| (before[j] as u128, after[j] as u128)),
    };
    let list: SmallVec<[Along; 3]> = (0..n).map(of).collect();
    for (j, a) in list.iter().enumerate() {
        if a.length == 0 || a.window == 0 {
            let what = if a.length == 0 { "the input" } else { "the window" };
            let detail = format!("{what} has no elements along spatial axis {j}");
            return Err(Error::with_line(ErrorKind::Shape, call.0, detail, call.1));
        }
    }
    Ok(list)
}

/// Converts a number of elements to `usize`. Returns an error if it does not fit `isize`.
fn sized(v: u128, (op, at): CallSite) -> Result<usize> {
    match isize::try_from(v) {
        Ok(v) => Ok(v as usize),
        Err(_) => Err(Error::with_line(ErrorKind::LimitExceeded, op, format!("{v} elements along an axis"), at)),
    }
}

impl Along {
    fn windows(&self, length: u128, before: u128, count: u128, call: CallSite) -> Result<Windows> {
        sized(length + before + (count - 1) * self.stride + self.reach(), call)?;
        // With one window, the stride does not matter, and in a window of one element, the dilation does not matter.
        // The number is then reduced, because the given one may not fit `isize`.
        Ok(Windows {
            length: sized(length, call)?,
            before: sized(before, call)?,
            window: sized(self.window, call)?,
            stride: sized(if count == 1 { self.stride.min(self.reach()) } else { self.stride }, call)?,
            dilation: if self.window == 1 { 1 } else { sized(self.dilation, call)? },
            count: sized(count, call)?,
        })
    }

    fn reach(&self) -> u128 {
        self.dilation * (self.window - 1) + 1
    }
}

/// Returns the windows along each spatial axis of the input of a convolution or pool. `steps` has the strides and the
/// dilations.
pub(super) fn windows(
    lengths: &[usize],
    window: &[usize],
    steps: (&[isize], &[isize]),
    padding: &Padding,
    call: CallSite,
) -> Result<AllWindows> {
    let mut list = AllWindows::new();
    for (j, a) in along(lengths, window, steps, padding, call)?.into_iter().enumerate() {
        let length = a.length as u128;
        let (before, after) = a.padding.unwrap_or_else(|| {
            let count = length.div_ceil(a.stride);
            let total = ((count - 1) * a.stride + a.reach()).saturating_sub(length);
            (total / 2, total - total / 2)
        });
        let padded = length + before + after;
        let Some(rest) = padded.checked_sub(a.reach()) else {
            let detail = format!(
                "a window of {} with dilation {} reaches over {} elements; spatial axis {j} has {padded} with padding",
                a.window,
                a.dilation,
                a.reach()
            );
            return Err(Error::with_line(ErrorKind::Shape, call.0, detail, call.1));
        };
        list.push(a.windows(length, before, rest / a.stride + 1, call)?);
    }
    Ok(list)
}

/// Returns the windows along each spatial axis of the result of a transposed convolution. The input has one element for
/// each window, so `counts` has the lengths of the input. `more` is the output padding.
pub(super) fn transposed(
    counts: &[usize],
    window: &[usize],
    steps: (&[isize], &[isize]),
    padding: &Padding,
    more: &[isize],
    call: CallSite,
) -> Result<AllWindows> {
    let mut list = AllWindows::new();
    for (j, a) in along(counts, window, steps, padding, call)?.into_iter().enumerate() {
        let (count, more) = (a.length as u128, more[j] as u128);
        if more > 0 && more >= a.stride.max(a.dilation) {
            let detail = format!(
                "output_padding is {more}; it must be less than the stride {} or the dilation {}",
                a.stride, a.dilation
            );
            return Err(wrong(call, detail));
        }
        let full = (count - 1) * a.stride + a.reach() + more;
        let (before, length) = match a.padding {
            Some((before, after)) => (before, full.checked_sub(before + after).filter(|n| *n > 0)),
            None => (a.reach().saturating_sub(a.stride) / 2, Some(count * a.stride + more)),
        };
        let Some(length) = length else {
            let detail = format!("the padding removes all {full} elements along spatial axis {j}");
            return Err(Error::with_line(ErrorKind::Shape, call.0, detail, call.1));
        };
        list.push(a.windows(length, before, count, call)?);
    }
    Ok(list)
}
