//! Builds convolutions and their derivatives. Each is one product of a view of windows with another operand.
//!
//! Three functions are derivatives of one another: the convolution y = F(x, w) of an input x with weights w, the
//! transposed convolution x = T(y, w), and w = W(x, y), which sums products of the windows of x with y. The table has
//! the gradients with respect to the two operands of each function, where g is the gradient with respect to the
//! function's result:
//!
//! | function | first operand | second operand |
//! |---|---|---|
//! | F(x, w) | T(g, w) | W(x, g) |
//! | T(y, w) | F(g, w) | W(g, y) |
//! | W(x, y) | T(y, g) | F(x, g) |

use super::options::{AllWindows, Windows};
use super::windows::{FEW, affine, every, interleaved, ruled, windows};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{ErrorKind, Fault, Loc, Result};
use crate::base::layout::{self, Shape, SliceItem, View};
use crate::graph::expr::{Expr, Reach, binary, cast, common, reduce, reshape, view};
use crate::graph::ufunc::{Fold, arithmetic};
use crate::ops::functions::promoted;
use crate::ops::movement::pad_constant;
use crate::ops::products::{Label, Labelled, Labels, contract};
use smallvec::{SmallVec, smallvec};

/// Labels of axes. As with the letters in `einsum`, axes of two operands with the same label belong together. IN and
/// OUT are the channels of the input and of the result within a group. WINDOW, ELEMENT (of a window) and PHASE (see
/// `Setting::spread`) are the labels of the first spatial axis, and the next numbers are the labels of the other ones.
const BATCH: Label = 0;
const GROUP: Label = 1;
const IN: Label = 2;
const OUT: Label = 3;
const WINDOW: Label = 4;
const ELEMENT: Label = 8;
const PHASE: Label = 12;

/// A number for each spatial axis.
type Counts = SmallVec<[usize; 3]>;

/// Returns the position of a label in a list, or 0 if the list does not have it.
fn place(labels: &[Label], l: Label) -> usize {
    labels.iter().position(|own| *own == l).unwrap_or(0)
}

/// Returns the number with which operands are padded.
fn zero() -> Scalar {
    Scalar::Int(0)
}

/// The parameters of a convolution or transposed convolution, after the shapes of its operands have been checked.
#[derive(Clone)]
pub(super) struct Setting {
    pub op: &'static str,
    pub windows: AllWindows,
    pub groups: usize,
    /// Whether the channels are the last axis.
    pub is_last: bool,
    /// Whether the first axis of the weights has the channels of the convolution's input instead of the channels of its
    /// result. This is so only for a transposed convolution with the channels last.
    pub is_turned: bool,
}

impl Setting {
    fn spatial(&self, first: Label) -> impl Iterator<Item = Label> {
        (0..self.windows.len() as Label).map(move |j| first + j)
    }

    /// Returns the labels of an input or a result: the batch, the channels and the spatial axes, in the caller's order.
    fn labels(&self, channel: Label, spatial: impl IntoIterator<Item = Label>) -> Labels {
        let channels = [GROUP, channel];
        match self.is_last {
            true => [BATCH].into_iter().chain(spatial).chain(channels).collect(),
            false => [BATCH].into_iter().chain(channels).chain(spatial).collect(),
        }
    }

    /// Returns the labels of the weights. The first two, the group and the channel, are a single axis in the caller's
    /// weights.
    fn weight_labels(&self) -> Labels {
        let (first, other) = if self.is_turned { (IN, OUT) } else { (OUT, IN) };
        let elements = self.spatial(ELEMENT);
        match self.is_last {
            true => [GROUP, first].into_iter().chain(elements).chain([other]).collect(),
            false => [GROUP, first, other].into_iter().chain(elements).collect(),
        }
    }

    /// Splits the channel axis of an operand into two axes: the groups, and the channels of each group.
    fn grouped(&self, e: &Expr, labels: Labels, at: Loc) -> Labelled {
        let axis = labels.iter().position(|l| *l == GROUP).unwrap_or(0);
        let e = view(self.op, e, at, |s| {
            let mut to: Shape = s.into();
            to[axis] /= self.groups;
            to.insert(axis, self.groups);
            View::reshape(s, &to).ok_or_else(|| {
                let detail = format!("{to:?} does not divide {s:?}");
                Fault::new(ErrorKind::Internal, detail)
            })
        });
        Labelled { e, labels }
    }

    /// Merges the axis of the groups and the axis of their channels in a product into one channel axis.
    fn merged(&self, e: &Expr, labels: &[Label], at: Loc) -> Expr {
        let axis = labels.iter().position(|l| *l == GROUP).unwrap_or(0);
        let mut to: SmallVec<[isize; 6]> = e.0.shape.iter().map(|n| *n as isize).collect();
        let groups = to.remove(axis);
        to[axis] *= groups;
        reshape(self.op, e, &to, at)
    }

    /// Returns the windows over an input or a result, as a view with a label for each axis.
    fn over(&self, e: &Expr, list: &[Windows], channel: Label, at: Loc) -> Labelled {
        let first = if self.is_last { 1 } else { 2 };
        let view = windows(self.op, e, first, list, zero(), at);
        let labels: Labels =
            self.labels(channel, self.spatial(WINDOW)).into_iter().chain(self.spatial(ELEMENT)).collect();
        self.grouped(&view, labels, at)
    }

    /// Multiplies two operands, and sums over the labels that are not in `out`.
    fn product(&self, a: Labelled, b: Labelled, out: &[Label], at: Loc) -> Result<Expr> {
        common(self.op, [&a.e, &b.e].into_iter(), at)?;
        let has_column = |x: &Labelled, other: &Labelled| {
            x.labels.iter().zip(&x.e.0.shape).any(|(l, n)| !other.labels.contains(l) && *n != 1)
        };
        if self.groups > 1 && !(has_column(&a, &b) && has_column(&b, &a)) {
            return self.sum_of_products(a, b, out, at);
        }
        contract(self.op, vec![a, b], out, &|l| format!("axis {l}"), at)
    }

    /// Multiplies two operands elementwise, and sums over the labels that are not in `out`, with the same result as
    /// `product`. It is used if the product of a group has only one row or one column, as in a depthwise convolution,
    /// because a matrix product would then copy the windows.
    fn sum_of_products(&self, a: Labelled, b: Labelled, out: &[Label], at: Loc) -> Result<Expr> {
        let dtype = promoted(self.op, [&a.e, &b.e].into_iter(), at)?;
        let compute = if dtype.is_half() { DType::F32 } else { dtype.dot() };
        let mut labels: Labels = out.into();
        for l in a.labels.iter().chain(&b.labels) {
            if !labels.contains(l) {
                labels.push(*l);
            }
        }
        let arranged = |x: &Labelled| {
            let order: SmallVec<[isize; 16]> =
                labels.iter().filter_map(|l| x.labels.iter().position(|own| own == l)).map(|d| d as isize).collect();
            let mut e = view(self.op, &cast(x.e.clone(), compute, at), at, |s| View::permute(s, &order));
            for (d, _) in labels.iter().enumerate().filter(|(_, l)| !x.labels.contains(l)) {
                e = view(self.op, &e, at, |s| View::expand(s, d as isize));
            }
            e
        };
        let products = binary(&arithmetic::multiply, arranged(&a), arranged(&b), at);
        let axes: SmallVec<[isize; 6]> = (out.len()..labels.len()).map(|d| d as isize).collect();
        let axes = layout::AxesArg { axes: Some(axes), keep: false };
        Ok(cast(reduce(self.op, Fold::of(&arithmetic::add), &products, &axes, at), dtype, at))
    }

    /// Computes the convolution of the input `x` with the weights `w`. The module's documentation calls this function
    /// F.
    pub fn convolved(self, x: &Expr, w: &Expr, at: Loc) -> Result<Expr> {
        let (out, weights) = (self.labels(OUT, self.spatial(WINDOW)), self.grouped(w, self.weight_labels(), at));
        let y = self.product(self.over(x, &self.windows, IN, at), weights, &out, at)?;
        let y = self.merged(&y, &out, at);
        y.checked()?;
        let (x, w) = (x.clone(), w.clone());
        let of = vec![x.clone(), w.clone()];
        let back = move |g: &Expr, at: Loc| Ok(vec![self.clone().spread(g, &w, at)?, self.clone().weights(&x, g, at)?]);
        Ok(ruled(y, of, (Box::new(back), Reach::Anything), at))
    }

    /// Computes the derivative with respect to the weights, as a product of the windows of the input `x` with the
    /// result `y`: the function W of the module's documentation.
    fn weights(self, x: &Expr, y: &Expr, at: Loc) -> Result<Expr> {
        let (out, y_labels) = (self.weight_labels(), self.labels(OUT, self.spatial(WINDOW)));
        let of_y = self.grouped(y, y_labels, at);
        let w = self.merged(&self.product(self.over(x, &self.windows, IN, at), of_y, &out, at)?, &out, at);
        w.checked()?;
        let (x, y) = (x.clone(), y.clone());
        let of = vec![x.clone(), y.clone()];
        let back =
            move |g: &Expr, at: Loc| Ok(vec![self.clone().spread(&y, g, at)?, self.clone().convolved(&x, g, at)?]);
        Ok(ruled(w, of, (Box::new(back), Reach::Anything), at))
    }

    /// Computes the transposed convolution of `y` with the weights `w`. The result x has the shape of a convolution's
    /// input. The module's documentation calls this function T.
    ///
    /// The elements of x whose positions, counted with the padding, have the same remainder r modulo the stride are
    /// called a *phase*. A phase is a convolution of `y` with every `stride`-th element of the weights, from element r
    /// on, in reverse order. All phases read the same windows of `y`, so one product computes them all. They are
    /// interleaved afterwards.
    pub fn spread(self, y: &Expr, w: &Expr, at: Loc) -> Result<Expr> {
        let (weights, over) = self.dilated(w, at);
        let (weights, parts, phases) = self.by_phase(&weights, &over, at)?;
        // `reads` has the windows of `y` that x needs: element `stride · q + r` of the padded x needs the window that
        // ends at element q of `y`
        let mut reads = AllWindows::new();
        let mut cuts: SmallVec<[(usize, usize); 3]> = smallvec![];
        let mut skips: SmallVec<[usize; 3]> = smallvec![];
        for (j, v) in over.iter().enumerate() {
            let (first, last) = (v.before / v.stride, (v.before + v.length - 1) / v.stride);
            let before = v.dilation * (parts[j] - 1);
            skips.push(first.saturating_sub(before));
            cuts.push((v.before - first * v.stride, v.length));
            reads.push(Windows {
                length: v.count.saturating_sub(skips[j]),
                before: before.saturating_sub(first),
                window: parts[j],
                stride: 1,
                dilation: v.dilation,
                count: last - first + 1,
            });
        }
        let first_axis = if self.is_last { 1 } else { 2 };
        let part = |first: usize, lengths: &mut dyn Iterator<Item = (usize, usize)>| -> Vec<SliceItem> {
            let whole = SliceItem::Range { start: None, end: None, step: 1 };
            let cut = |(from, n): (usize, usize)| SliceItem::Range {
                start: Some(from as isize),
                end: Some((from + n) as isize),
                step: 1,
            };
            std::iter::repeat_n(whole, first).chain(lengths.map(cut)).collect()
        };
        // elements of `y` that no element of x needs are cut off, so the padding is never negative
        let used = part(first_axis, &mut skips.iter().copied().zip(reads.iter().map(|r| r.length)));
        let y_used = view(self.op, y, at, |s| View::slice(s, &used));
        let rows = self.over(&y_used, &reads, OUT, at);
        let x = self.of_phases(rows, weights, (&over, &phases), at)?;
        let kept = part(first_axis, &mut cuts.into_iter());
        let x = view(self.op, &x, at, |s| View::slice(s, &kept));
        x.checked()?;
        let (y, w) = (y.clone(), w.clone());
        let of = vec![y.clone(), w.clone()];
        let back =
            move |g: &Expr, at: Loc| Ok(vec![self.clone().convolved(g, &w, at)?, self.clone().weights(g, &y, at)?]);
        Ok(ruled(x, of, (Box::new(back), Reach::Anything), at))
    }

    /// Multiplies windows with the weights of all phases (see [`Setting::spread`]), and interleaves the phases. If
    /// there are few phases, each is copied into the result by a kernel of its own, because loops over the few phases
    /// along an axis are slow.
    fn of_phases(
        &self,
        rows: Labelled,
        weights: Labelled,
        (over, phases): (&[Windows], &Counts),
        at: Loc,
    ) -> Result<Expr> {
        let (n, first) = (over.len(), if self.is_last { 1 } else { 2 });
        let strides: Counts = over.iter().map(|v| v.stride).collect();
        if strides.iter().fold(1usize, |n, stride| n.saturating_mul(*stride)) <= FEW {
            let inner = self.labels(IN, self.spatial(WINDOW));
            let out: Labels = self.spatial(PHASE).chain(inner.iter().copied()).collect();
            let x = self.product(rows, weights, &out, at)?;
            let shape: Shape = x.checked()?.shape[n..].into();
            let phase = |r: SmallVec<[usize; 3]>| {
                let e = match r.iter().zip(phases).all(|(r, phases)| r < phases) {
                    true => view(self.op, &x, at, |s| {
                        let steps: Vec<(usize, usize, usize)> = (n..s.len()).map(|d| (d, d - n, 1)).collect();
                        let mut phase = affine(shape.clone(), s.len(), &steps);
                        r.iter().enumerate().for_each(|(d, r)| phase.offset[d] = *r as isize);
                        Ok(phase)
                    }),
                    // no window contains the elements of this phase, because the windows are shorter than the stride
                    false => Expr::fill_on(x.0.device, zero(), shape.clone(), x.0.dtype, at),
                };
                self.merged(&e, &inner, at)
            };
            return Ok(
                interleaved(self.op, every(&strides).map(phase).collect(), &strides, first, at).unwrap_or(x.clone())
            );
        }
        let split = |j: Label| [WINDOW + j, PHASE + j];
        let out = self.labels(IN, (0..n as Label).flat_map(split));
        let x = self.product(rows, weights, &out, at)?;
        x.checked()?;
        let mut widths = vec![(0, 0); out.len()];
        for (j, v) in over.iter().enumerate() {
            widths[place(&out, PHASE + j as Label)].1 = v.stride - phases[j];
        }
        let x = if widths.iter().any(|w| w.1 > 0) { pad_constant(self.op, &x, &widths, zero(), at) } else { x };
        let x = self.merged(&x, &out, at);
        let mut to: SmallVec<[isize; 6]> = x.checked()?.shape.iter().map(|n| *n as isize).collect();
        for j in 0..n {
            let phases = to.remove(first + j + 1);
            to[first + j] = to[first + j].saturating_mul(phases);
        }
        Ok(reshape(self.op, &x, &to, at))
    }

    /// Splits each spatial axis of the weights into two axes: the elements of one phase (see [`Setting::spread`]) in
    /// reverse order, and the phases. Returns the weights, the number of elements of a phase along each axis, and the
    /// number of phases along each axis that have elements.
    fn by_phase(&self, w: &Expr, over: &[Windows], at: Loc) -> Result<(Labelled, Counts, Counts)> {
        let mut weights = self.grouped(w, self.weight_labels(), at);
        // the weights are padded such that each phase has `parts` elements
        let parts: Counts = over.iter().map(|v| v.window.div_ceil(v.stride)).collect();
        let phases: Counts = over.iter().map(|v| v.stride.min(v.window)).collect();
        weights.e.checked()?;
        let mut widths = vec![(0, 0); weights.labels.len()];
        for (j, v) in over.iter().enumerate() {
            widths[place(&weights.labels, ELEMENT + j as Label)].1 = parts[j] * phases[j] - v.window;
        }
        if widths.iter().any(|w| w.1 > 0) {
            weights.e = pad_constant(self.op, &weights.e, &widths, zero(), at);
        }
        weights.e = view(self.op, &weights.e, at, |s| {
            let mut shape: Shape = s.into();
            let mut steps: Vec<(usize, usize, usize)> = (0..s.len()).map(|d| (d, d, 1)).collect();
            let mut down = vec![];
            for (j, phases) in phases.iter().enumerate() {
                let d = place(&weights.labels, ELEMENT + j as Label);
                (shape[d], steps[d].2) = (parts[j], *phases);
                steps.push((d, shape.len(), 1));
                shape.push(*phases);
                down.push(d);
            }
            let v = affine(shape, s.len(), &steps);
            Ok(View::flip(&v.shape, &down).after(&v))
        });
        weights.labels.extend(self.spatial(PHASE));
        Ok((weights, parts, phases))
    }

    /// Puts `dilation − 1` zeros between the elements of the weights along axes with both a stride and a dilation above
    /// 1, because the phases of [`Setting::spread`] do not support both. Returns the weights, and the windows, which
    /// have dilation 1 along these axes.
    fn dilated(&self, w: &Expr, at: Loc) -> (Expr, AllWindows) {
        let (mut w, mut over) = (w.clone(), self.windows.clone());
        for (j, v) in over.iter_mut().enumerate().filter(|(_, v)| v.stride > 1 && v.dilation > 1) {
            let axis = j + if self.is_last { 1 } else { 2 };
            let mut widths = vec![(0, 0); w.0.shape.len() + 1];
            widths[axis + 1].1 = v.dilation - 1;
            let apart = view(self.op, &w, at, |s| View::expand(s, axis as isize + 1));
            let apart = pad_constant(self.op, &apart, &widths, zero(), at);
            let mut to: SmallVec<[isize; 6]> = w.0.shape.iter().map(|n| *n as isize).collect();
            to[axis] = to[axis].saturating_mul(v.dilation as isize);
            let mut items = vec![SliceItem::Range { start: None, end: None, step: 1 }; axis];
            items.push(SliceItem::Range { start: None, end: Some(v.reach() as isize), step: 1 });
            w = view(self.op, &reshape(self.op, &apart, &to, at), at, |s| View::slice(s, &items));
            if w.error().is_some() {
                break;
            }
            *v = Windows { window: v.reach(), dilation: 1, ..*v };
        }
        (w, over)
    }
}
