//! The product of operands whose axes have labels, summed over labels. `einsum`, `tensordot`, `inner`, `outer` and
//! `vecdot` choose the labels and call [`contract`].
//!
//! Two operands at a time are multiplied, in the order that `order.rs` chooses. A label of both operands is a *batch*
//! label if the result or a later operand needs it, and is *summed* otherwise. A label of one operand is a *row* (of
//! the left one) or a *column* (of the right one).
//!
//! A pair is multiplied by one batched matrix product of views. Labels of the same kind are merged into one axis, which
//! copies an operand only if no stride can express the axis. If nothing is summed, or if there is only one row and one
//! column, the pair is multiplied elementwise, and the products are summed in the same kernel.

use super::labels::{Label, Labels, MOST, set};
use super::order;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, AxesArg, Shape, Strides, View};
use crate::graph::expr::{Expr, binary, cast, common, reduce, reshape, view};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::functions::{matmul_at, promoted};
use crate::plan::kernel::Fold;
use smallvec::SmallVec;

/// An expression with a distinct label for each axis.
#[derive(Clone)]
pub(crate) struct Labelled {
    pub e: Expr,
    pub labels: Labels,
}

impl Labelled {
    fn set(&self) -> u128 {
        set(&self.labels)
    }

    fn extent(&self, label: Label) -> usize {
        self.labels.iter().position(|l| *l == label).map_or(1, |d| self.e.0.shape[d])
    }

    /// Returns the product of the operand's lengths along some labels.
    fn size(&self, labels: &[Label]) -> usize {
        labels.iter().fold(1usize, |n, l| n.saturating_mul(self.extent(*l)))
    }

    /// Returns the operand's labels that are in the set `wanted` (one bit for each label), in the order of its axes.
    fn among(&self, wanted: u128) -> Labels {
        self.labels.iter().copied().filter(|l| wanted >> l & 1 == 1).collect()
    }

    /// Returns whether a view can merge the axes with these labels, in this order, into one axis.
    fn merges(&self, labels: &[Label]) -> bool {
        let shape = &self.e.0.shape;
        let strides: Strides = match (self.e.0.stored(), self.e.0.op.view(), &self.e.0.args[..]) {
            (Some((_, strides, _)), ..) => strides.clone(),
            (None, Some(v), [below]) => v.apply(&layout::c_strides(&below.0.shape), 0).0,
            _ => layout::c_strides(shape),
        };
        let axis = |l: &Label| self.labels.iter().position(|own| own == l).unwrap_or(0);
        let lengths: Shape = labels.iter().map(|l| shape[axis(l)]).collect();
        let steps: Strides = labels.iter().map(|l| strides[axis(l)]).collect();
        layout::one_step(&lengths, &steps).is_some()
    }
}

/// The parameters of one call of [`contract`], which are the same for every pair of operands that is multiplied.
struct Job<'a> {
    op: &'static str,
    /// The labels of the result, in order.
    out: &'a [Label],
    /// The dtype in which elements are multiplied and summed. Narrow integers use 32 bits. f16 and bf16 use f32, unless
    /// the whole product is one matrix product, which sums in f32 itself.
    compute: DType,
    at: Loc,
}

/// Multiplies operands, and sums over the labels that are not in `out`. The result has the promoted dtype. An axis of
/// length 1 matches any length of its label in other operands. Otherwise all axes of a label must have the same length;
/// `name` describes the label in the error.
pub(crate) fn contract(
    op: &'static str,
    mut operands: Vec<Labelled>,
    out: &[Label],
    name: &dyn Fn(Label) -> String,
    at: Loc,
) -> Result<Expr> {
    common(op, operands.iter().map(|x| &x.e), at)?;
    let dtype = promoted(op, operands.iter().map(|x| &x.e), at)?;
    let extents = extents(op, &operands, name, at)?;
    let full: Shape = out.iter().map(|l| extents[*l as usize]).collect();
    layout::size_of_shape(&full).map_err(|f| f.at(op, at))?;
    for x in &mut operands {
        // an axis of length 1 is dropped if its label has another length, because its only element is multiplied by all
        // elements along that label
        let gone: SmallVec<[usize; 8]> =
            (0..x.labels.len()).filter(|d| x.e.0.shape[*d] == 1 && extents[x.labels[*d] as usize] != 1).collect();
        x.e = view(op, &x.e, at, |shape| Ok(View::drop_axes(shape, &gone)));
        x.labels = x.among(!gone.iter().fold(0, |all, d| all | 1 << x.labels[*d]));
    }
    let wanted = set(out);
    let alone = match &operands[..] {
        [a, b] => is_matrix_product(a, b, wanted) && (a.set() ^ b.set()) & !wanted == 0,
        _ => false,
    };
    let compute = match dtype == DType::Bool {
        true => dtype,
        false if dtype.is_half() && !mutant!(products_of_three_halves_rounded, true, alone) => DType::F32,
        false => dtype.dot(),
    };
    let job = Job { op, out, compute, at };
    for x in &mut operands {
        x.e = cast(x.e.clone(), compute, at);
    }
    let sets: Vec<u128> = operands.iter().map(Labelled::set).collect();
    let steps = order::pairs(&sets, wanted, &extents);
    let mut list: Vec<Option<Labelled>> = operands.into_iter().map(Some).collect();
    for (i, j) in steps {
        let (Some(a), Some(b)) = (list[i].take(), list[j].take()) else { continue };
        let later = list.iter().flatten().fold(wanted, |all, x| all | x.set());
        list.push(Some(job.pair(a, b, later)));
    }
    let Some(last) = list.pop().flatten() else {
        return Err(Error::with_line(ErrorKind::Argument, op, "at least one array is needed", at));
    };
    let last = job.summed(last, wanted);
    Ok(cast(job.arranged(&last, out), dtype, at))
}

/// Returns the length of each label, which is the length of its axes in the operands. Axes of length 1 are ignored if
/// the label also has axes of another length.
fn extents(op: &'static str, operands: &[Labelled], name: &dyn Fn(Label) -> String, at: Loc) -> Result<[usize; MOST]> {
    let mut extents = [1; MOST];
    for x in operands {
        for (l, n) in x.labels.iter().zip(&x.e.0.shape) {
            let known = &mut extents[*l as usize];
            match (*known, *n) {
                (k, n) if k == n => {}
                (1, n) => *known = n,
                (_, 1) => {}
                (k, n) => {
                    let shapes: Vec<&[usize]> = operands.iter().map(|x| x.e.0.shape.as_slice()).collect();
                    let detail = format!("shapes {shapes:?}: {} has lengths {k} and {n}", name(*l));
                    return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
                }
            }
        }
    }
    Ok(extents)
}

/// Returns whether a pair of operands is multiplied by a matrix product. An elementwise product is used instead if
/// nothing is summed, or if neither operand has rows or columns of its own, because then no element is read twice.
fn is_matrix_product(a: &Labelled, b: &Labelled, wanted: u128) -> bool {
    let (shared, either) = (a.set() & b.set(), a.set() ^ b.set());
    let is_vector_product = a.size(&a.among(either & wanted)) == 1 && b.size(&b.among(either & wanted)) == 1;
    a.size(&a.among(shared & !wanted)) != 1 && !is_vector_product
}

impl Job<'_> {
    /// Sums over the labels that are not in the set `wanted`.
    fn summed(&self, x: Labelled, wanted: u128) -> Labelled {
        let axes: SmallVec<[isize; 6]> =
            (0..x.labels.len()).filter(|d| wanted >> x.labels[*d] & 1 == 0).map(|d| d as isize).collect();
        if axes.is_empty() {
            return x;
        }
        Labelled { e: self.sum(&x.e, axes), labels: x.among(wanted) }
    }

    fn sum(&self, e: &Expr, axes: SmallVec<[isize; 6]>) -> Expr {
        let fold = Fold::of(if self.compute == DType::Bool { &logic::logical_or } else { &arithmetic::add });
        reduce(self.op, fold, e, &AxesArg { axes: Some(axes), keep: false }, self.at)
    }

    /// Sorts labels by their position in the result. Labels that are not in the result come last and keep their order.
    fn ranked(&self, mut labels: Labels) -> Labels {
        labels.sort_by_key(|l| self.out.iter().position(|o| o == l).unwrap_or(usize::MAX));
        labels
    }

    /// Returns the operand with its axes in the order of `labels`. A label that the operand lacks becomes an axis of
    /// length 1.
    fn arranged(&self, x: &Labelled, labels: &[Label]) -> Expr {
        let order: SmallVec<[isize; 8]> =
            labels.iter().filter_map(|l| x.labels.iter().position(|own| own == l)).map(|d| d as isize).collect();
        let mut e = view(self.op, &x.e, self.at, |shape| View::permute(shape, &order));
        for (d, _) in labels.iter().enumerate().filter(|(_, l)| !x.labels.contains(l)) {
            e = view(self.op, &e, self.at, |shape| View::expand(shape, d as isize));
        }
        e
    }

    /// Multiplies two operands, and sums over the labels that are not in `wanted`, the set of the labels that the
    /// result or a later product needs.
    fn pair(&self, a: Labelled, b: Labelled, wanted: u128) -> Labelled {
        let (in_a, in_b) = (a.set(), b.set());
        let (a, b) = (self.summed(a, wanted | in_b), self.summed(b, wanted | in_a));
        match is_matrix_product(&a, &b, wanted) {
            true => self.matrix_product(a, b, wanted),
            false => self.elementwise(&a, &b, wanted),
        }
    }

    fn elementwise(&self, a: &Labelled, b: &Labelled, wanted: u128) -> Labelled {
        let either = a.labels.iter().chain(b.labels.iter().filter(|l| !a.labels.contains(l))).copied();
        let kept = self.ranked(either.filter(|l| wanted >> l & 1 == 1).collect());
        let all: Labels = kept.iter().copied().chain(a.among(!wanted)).collect();
        let product = binary(&arithmetic::multiply, self.arranged(a, &all), self.arranged(b, &all), self.at);
        let axes: SmallVec<[isize; 6]> = (kept.len()..all.len()).map(|d| d as isize).collect();
        let e = if axes.is_empty() { product } else { self.sum(&product, axes) };
        Labelled { e, labels: kept }
    }

    fn matrix_product(&self, a: Labelled, b: Labelled, wanted: u128) -> Labelled {
        let (shared, either) = (a.set() & b.set(), a.set() ^ b.set());
        // the columns come last in the result, so they must belong to the operand that has the result's last label
        let last = self.ranked(a.among(either).into_iter().chain(b.among(either)).collect());
        let last = last.iter().rev().find(|l| self.out.contains(l));
        let (a, b) = if last.is_some_and(|l| a.labels.contains(l)) { (b, a) } else { (a, b) };
        let batch = self.ranked(a.among(shared & wanted));
        let summed = summed_order(&a, &b, shared & !wanted);
        let kept = |x: &Labelled| x.size(&x.among(wanted));
        let result = kept(&a).saturating_mul(b.size(&b.among(either)));
        let (rows, columns) = (self.side(&a, either, result), self.side(&b, either, result));
        let labels: Labels = batch.iter().chain(&rows).chain(&columns).copied().collect();
        let extent = |l: &Label| if a.labels.contains(l) { a.extent(*l) } else { b.extent(*l) };
        let shape: SmallVec<[isize; 6]> = labels.iter().map(|l| extent(l) as isize).collect();
        let x = self.matrix(&a, &batch, &rows, &summed);
        let y = self.matrix(&b, &batch, &summed, &columns);
        let product = matmul_at(self.op, &x, &y, self.at);
        Labelled { e: reshape(self.op, &product, &shape, self.at), labels }
    }

    /// Returns the labels that only this operand has (the labels in `either`), in the order of the product's axes. This
    /// is the order of the result's labels. The order of the operand's axes is used instead if only this order avoids a
    /// copy of the operand, and if the operand is larger than the product.
    fn side(&self, x: &Labelled, either: u128, result: usize) -> Labels {
        let own = x.among(either);
        let ranked = self.ranked(own.clone());
        let keeps = own != ranked && !x.merges(&ranked) && x.merges(&own) && x.size(&x.labels) > result;
        if keeps { own } else { ranked }
    }

    /// Returns an operand as a batch of matrices. The labels of the rows are merged into one axis, and the labels of
    /// the columns into another.
    fn matrix(&self, x: &Labelled, batch: &[Label], rows: &[Label], columns: &[Label]) -> Expr {
        let labels: Labels = batch.iter().chain(rows).chain(columns).copied().collect();
        let mut shape: SmallVec<[isize; 6]> = batch.iter().map(|l| x.extent(*l) as isize).collect();
        shape.extend([x.size(rows) as isize, x.size(columns) as isize]);
        reshape(self.op, &self.arranged(x, &labels), &shape, self.at)
    }
}

/// Returns the order of the summed labels, which both operands share. It is the order of the axes in one of the
/// operands, chosen such that fewer elements are copied.
fn summed_order(a: &Labelled, b: &Labelled, summed: u128) -> Labels {
    let (first, second) = (a.among(summed), b.among(summed));
    let copied = |order: &[Label]| {
        let of = |x: &Labelled| if x.merges(order) { 0 } else { x.size(&x.labels) };
        of(a).saturating_add(of(b))
    };
    if copied(&first) <= copied(&second) { first } else { second }
}
