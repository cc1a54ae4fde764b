//! Finds the index space of a kernel: the dimensions over which it loops. These are the axes of the node that the
//! kernel stores or, if a reduction, scan or product runs in the kernel, the dimensions over which that operation
//! loops.

use super::planner::{Planner, broadcast_map, broadcast_strides, kept_axes};
use crate::base::error::Result;
use crate::base::layout::{self, Shape, Strides, View, c_strides, common_strides, copied};
use crate::graph::expr::{NodeOp, Role};
use crate::graph::ufunc::FoldOrder;
use crate::plan::kernel::Lanes;
use smallvec::{SmallVec, smallvec};
use std::cmp::Reverse;

/// The index space of a kernel (the dimensions over which it loops), and the kinds of kernel that may use it. The
/// dimensions are `outer × inner`: the inner ones are reduced or scanned, or are the k of a product.
pub(super) struct Space {
    /// The number of outer dimensions in `dims`.
    pub outer: usize,
    /// The lengths of the outer dimensions, followed by the lengths of the inner dimensions.
    pub dims: Shape,
    /// The map from an index of this space to the index of an element of the node that the kernel stores.
    pub map: View,
    /// For each dimension, the stride of the reduced operand if it were stored densely. These strides decide in which
    /// order the reduction combines elements, and so the bits of its result.
    pub reduction_strides: Strides,
    pub lanes: Lanes,
    /// Whether the kernel may be a row kernel, in which reductions may depend on each other and values with one element
    /// per inner index may be stored.
    pub row: bool,
    /// Whether the kernel may have one scan and no reduction. The rows of such a kernel may be longer than the rows of
    /// other row kernels, because long scans are cut (`scan.rs`).
    pub scan: bool,
    /// The node of the matrix product, if one runs in the kernel. Then the last two outer dimensions are its rows and
    /// columns.
    pub matmul: Option<usize>,
    /// Whether the kernel computes the product as a sum of products, see [`sums_products`].
    pub sums: bool,
    /// If there is a matrix product, the map from an index of this space to the index of an element of the product.
    pub to_product: Option<View>,
}

impl Space {
    /// Returns the index space of a kernel without reduction, scan and product that stores a node of this shape.
    pub fn of_shape(shape: &Shape) -> Space {
        Space {
            outer: shape.len(),
            dims: copied(shape),
            map: View::identity(shape),
            reduction_strides: smallvec![0; shape.len()],
            lanes: Lanes::Inner,
            row: false,
            scan: false,
            matmul: None,
            sums: false,
            to_product: None,
        }
    }

    /// Returns the index space for the kernel that computes `node` as (a part of) the stored node `owner`. It is the
    /// space of a product, reduction or scan below `node` that can run in the same kernel, or else the node's own
    /// shape. If `rows` is false, the kernel must not be a row kernel.
    pub fn find(p: &Planner<'_>, node: usize, owner: usize, rows: bool) -> Result<Space> {
        let shape = &p.arena.nodes[node].shape;
        let loaded = |n: usize| p.stored[n] && n != owner;
        if !p.facts[node].loops || !ends_in_loop(p, node, loaded) {
            return Ok(Space::of_shape(shape));
        }
        // the maps to the nodes on the stack; nodes of the same shape share a map
        let mut maps = vec![View::identity(shape)];
        let mut stack: SmallVec<[(usize, usize); 16]> = smallvec![(node, 0)];
        let mut seen: SmallVec<[usize; 32]> = SmallVec::new();
        let mut reductions: SmallVec<[(usize, usize); 4]> = SmallVec::new();
        while let Some((n, map)) = stack.pop() {
            if loaded(n) || seen.contains(&n) {
                continue;
            }
            seen.push(n);
            let a = &p.arena.nodes[n];
            match a.op.role() {
                Role::Product => {
                    if let Some(space) = Space::of_product(p, node, n, &maps[map]) {
                        return Ok(space);
                    }
                }
                Role::Reduction | Role::Scan => reductions.push((n, map)),
                Role::View => {
                    if let Some(v) = a.op.view() {
                        stack.push((a.args[0], maps.len()));
                        maps.push(maps[map].after(v));
                    }
                }
                Role::Elementwise => {
                    // a node that leads to no loop needs no map
                    for c in a.args.iter().rev().filter(|c| p.facts[**c].loops && !loaded(**c) && !seen.contains(c)) {
                        let shape = &p.arena.nodes[*c].shape;
                        if *shape == a.shape && !shape.contains(&1) {
                            stack.push((*c, map));
                        } else {
                            stack.push((*c, maps.len()));
                            maps.push(broadcast_map(&maps[map], shape, &a.shape));
                        }
                    }
                }
                Role::Memory | Role::Constant | Role::Generator | Role::Gather | Role::Whole => {}
            }
        }
        let space = reductions.into_iter().find_map(|(n, map)| Space::of_reduction(p, node, n, &maps[map], rows));
        Ok(space.unwrap_or_else(|| Space::of_shape(shape)))
    }

    /// Returns the index space of one kernel that computes both `product` and `node`, where `node` reads the product,
    /// possibly permuted or reshaped, through `map`. Returns `None` if `node` does not read each element of the product
    /// exactly once. If the rows of the product consist of several dimensions, the fastest is the kernel's row
    /// dimension, and the others precede it like batch axes. The same holds for its columns. `shape.rs` merges such
    /// dimensions again where the strides of every operand allow it.
    fn of_product(p: &Planner<'_>, node: usize, product: usize, map: &View) -> Option<Space> {
        let (shape, of) = (&p.arena.nodes[node].shape, &p.arena.nodes[product].shape);
        let n = shape.len();
        let k = p.arena.nodes[p.arena.nodes[product].args[0]].shape.last().copied().unwrap_or(1);
        let mut parts: SmallVec<[SmallVec<[usize; 6]>; 6]> = smallvec![smallvec![]; of.len()];
        for d in (0..n).filter(|d| shape[*d] > 1) {
            let mut axes = (0..of.len()).filter(|j| map.coef[j * n + d] != 0);
            let (axis, None) = (axes.next()?, axes.next()) else { return None };
            parts[axis].push(d);
        }
        for (j, dims) in parts.iter_mut().enumerate() {
            // slowest first: the index along the product's axis is like a number whose digits are the indices along
            // these dimensions
            dims.sort_by_key(|d| Reverse(map.coef[j * n + d]));
            let mut step = 1;
            for d in dims.iter().rev() {
                if map.coef[j * n + d] != step {
                    return None;
                }
                step *= shape[*d] as isize;
            }
            if step != of[j] as isize || map.offset[j] != 0 {
                return None;
            }
        }
        let (mut inner, mut digits): (Shape, _) = (smallvec![k], Sides::new());
        if p.arena.nodes[product].args.iter().any(|a| p.is_merged(*a)) {
            let mut lengths: SmallVec<[Shape; 6]> =
                parts.iter().map(|dims| dims.iter().map(|d| shape[*d]).collect()).collect();
            lengths.push(smallvec![k]);
            p.divide(product, &mut lengths, |a| p.is_merged(a))?;
            inner = lengths.pop().filter(|k| !k.is_empty()).unwrap_or(inner);
            digits.extend(parts.iter().zip(&lengths).map(|(dims, lengths)| split(shape, dims, lengths)));
        } else {
            let whole = |d: &usize| Digit { length: shape[*d], axis: *d, step: 1 };
            digits.extend(parts.iter().map(|dims| dims.iter().map(whole).collect()));
        }
        let is_nested = !p.caps.fuses_product && node != product && inner.len() > 1;
        if is_nested && is_scattered(&p.stored_strides(node), &digits[of.len() - 2..]) {
            return None;
        }
        let (columns, rows) = (digits.pop()?, digits.pop()?);
        let (column, columns) = columns.split_last().map_or((None, &columns[..]), |(c, rest)| (Some(*c), rest));
        let (row, rows) = rows.split_last().map_or((None, &rows[..]), |(r, rest)| (Some(*r), rest));
        let batch = digits.iter().flatten().chain(columns).chain(rows).map(|d| Some(*d));
        let order: SmallVec<[Option<Digit>; 6]> = batch.chain([row, column]).collect();
        let dims: Shape = order.iter().map(|d| d.map_or(1, |d| d.length)).chain(inner).collect();
        let mut to_node = View { shape: dims.clone(), offset: smallvec![0; n], coef: smallvec![0; n * dims.len()] };
        for (i, d) in order.iter().enumerate() {
            if let Some(d) = d {
                to_node.coef[d.axis * dims.len() + i] = d.step;
            }
        }
        let sums = sums_products(p, product);
        Some(Space {
            outer: order.len(),
            reduction_strides: smallvec![0; dims.len()],
            to_product: Some(to_node.after(map)),
            dims,
            map: to_node,
            lanes: if sums { product_lanes(p, product) } else { Lanes::Inner },
            row: false,
            scan: false,
            matmul: Some(product),
            sums,
        })
    }

    /// Returns the index space of one kernel that computes both `reduction` and `node`, where `node` reads the result
    /// of the reduction through `map`. Returns `None` if `reduction` and `node` cannot run in one kernel.
    fn of_reduction(p: &Planner<'_>, node: usize, reduction: usize, map: &View, rows: bool) -> Option<Space> {
        let (shape, r) = (&p.arena.nodes[node].shape, &p.arena.nodes[reduction]);
        let NodeOp::Reduce(fold, axes) = &r.op else { return Space::of_scan(p, node, reduction, map, rows) };
        let arg = r.args[0];
        let lengths = inner_lengths(&p.arena.nodes[arg].shape, axes);
        let n = shape.len();
        let used = |d: &usize| (0..map.offset.len()).any(|j| map.coef[j * n + d] != 0);
        let free: SmallVec<[usize; 6]> = (0..n).filter(|d| shape[*d] > 1 && !used(d)).collect();
        // `free` holds the axes of the node along which the reduction's result is broadcast. If there are none, the
        // node has one element for each reduced row. Otherwise `free` must have the lengths of the reduced axes, and
        // the kernel is a row kernel
        let (dims, outer, to_node) = if free.is_empty() {
            let dims: Shape = shape.iter().chain(&lengths).copied().collect();
            let v = View::identity(shape).widen(lengths.len(), &dims);
            (dims, n, v)
        } else {
            let row: Shape = free.iter().map(|d| shape[*d]).collect();
            if row != lengths {
                return None;
            }
            let axes_in_order: SmallVec<[usize; 6]> =
                (0..n).filter(|d| !free.contains(d)).chain(free.iter().copied()).collect();
            let dims: Shape = axes_in_order.iter().map(|d| shape[*d]).collect();
            let mut v = View { shape: dims.clone(), offset: smallvec![0; n], coef: smallvec![0; n * n] };
            for (k, d) in axes_in_order.iter().enumerate() {
                v.coef[d * n + k] = 1;
            }
            (dims, n - free.len(), v)
        };
        let to_arg = operand_map(&to_node.after(map), axes, &p.arena.nodes[arg].shape, outer);
        let (mut reduction_strides, lanes) = reduction_order(p, arg, axes, &to_arg);
        if fold.order(p.arena.nodes[arg].dtype) == FoldOrder::RowMajor {
            // argmin returns the first of equal elements in C order, so the reduction must process elements in C order
            reduction_strides[outer..].copy_from_slice(&c_strides(&dims[outer..]));
        }
        let length = layout::product(&lengths);
        let row = rows && lanes == Lanes::Inner && length <= p.caps.max_row;
        if !free.is_empty() && !row {
            return None;
        }
        Some(Space {
            outer,
            dims,
            map: to_node,
            reduction_strides,
            lanes,
            row,
            scan: false,
            matmul: None,
            sums: false,
            to_product: None,
        })
    }

    /// Returns the index space of one kernel that computes both `scan` and `node`, where `node` reads the scan through
    /// `map`. The scanned axis is the inner dimension, and all other axes are outer ones. Returns `None` if `scan` and
    /// `node` cannot run in one kernel.
    fn of_scan(p: &Planner<'_>, node: usize, scan: usize, map: &View, rows: bool) -> Option<Space> {
        let NodeOp::Scan { axis, .. } = p.arena.nodes[scan].op else { return None };
        let shape = &p.arena.nodes[node].shape;
        let n = shape.len();
        let inner = (0..n).find(|d| is_scanned_along(map, axis, *d, p.arena.nodes[scan].shape[axis]))?;
        // if the scan's result is broadcast along an axis, the kernel would compute the scan again for each index of
        // that axis; so such a scan needs a kernel of its own
        let used = |d: usize| (0..map.offset.len()).any(|j| map.coef[j * n + d] != 0);
        if (0..n).any(|d| shape[d] > 1 && !used(d)) {
            return None;
        }
        let order: SmallVec<[usize; 6]> = (0..n).filter(|d| *d != inner).chain([inner]).collect();
        let dims: Shape = order.iter().map(|d| shape[*d]).collect();
        let mut to_node = View { shape: dims.clone(), offset: smallvec![0; n], coef: smallvec![0; n * n] };
        for (k, d) in order.iter().enumerate() {
            to_node.coef[d * n + k] = 1;
        }
        let row = rows && shape[inner] <= p.caps.max_row;
        let (reduction_strides, lanes) = (smallvec![0; n], Lanes::Inner);
        Some(Space {
            outer: n - 1,
            dims,
            map: to_node,
            reduction_strides,
            lanes,
            row,
            scan: true,
            matmul: None,
            sums: false,
            to_product: None,
        })
    }

    /// Returns the map from an index of this space to the index of an element of the product's operand 0 (m × k) or 1
    /// (k × n). The operand has shape `shape`, and the product has `ndim` axes. Returns `None` if no product runs in
    /// the kernel.
    pub fn operand_of_product(&self, ndim: usize, operand: usize, shape: &[usize]) -> Option<View> {
        let product = self.to_product.as_ref()?;
        let (dims, batch) = (self.dims.len(), shape.len() - 2);
        let mut map = View {
            shape: self.dims.clone(),
            offset: smallvec![0; shape.len()],
            coef: smallvec![0; shape.len() * dims],
        };
        // each axis of the operand corresponds to an axis `of` of the product, or to k
        let mut follow = |axis: usize, of: usize| {
            map.offset[axis] = product.offset[of];
            map.coef[axis * dims..(axis + 1) * dims].copy_from_slice(&product.coef[of * dims..(of + 1) * dims]);
        };
        for d in (0..batch).filter(|d| shape[*d] != 1) {
            follow(d, ndim - 2 - batch + d);
        }
        let (own, along_k) = if operand == 0 { (batch, batch + 1) } else { (batch + 1, batch) };
        follow(own, if operand == 0 { ndim - 2 } else { ndim - 1 });
        let steps = c_strides(&self.dims[self.outer..]);
        map.coef[along_k * dims + self.outer..(along_k + 1) * dims].copy_from_slice(&steps);
        Some(map)
    }
}

/// A dimension of the kernel of a product: its length, and how far one index of it advances (`step`) along the axis
/// `axis` of the node that the kernel stores.
#[derive(Clone, Copy)]
struct Digit {
    length: usize,
    axis: usize,
    step: isize,
}

/// For each axis of a product, the dimensions of its kernel into which the axis is divided, slowest first.
type Sides = SmallVec<[SmallVec<[Digit; 6]>; 6]>;

/// Divides the axes `dims` of a node of shape `shape` into dimensions of the given lengths.
fn split(shape: &[usize], dims: &[usize], lengths: &[usize]) -> SmallVec<[Digit; 6]> {
    let mut dims = dims.iter().rev();
    let (mut axis, mut step) = (dims.next(), 1);
    let mut out: SmallVec<[Digit; 6]> = smallvec![];
    for length in lengths.iter().rev() {
        let Some(d) = axis else { break };
        out.insert(0, Digit { length: *length, axis: *d, step: step as isize });
        step *= length;
        if step == shape[*d] {
            (axis, step) = (dims.next(), 1);
        }
    }
    out
}

/// The minimum number of elements of each matrix, if a product that reads sliding windows (`axes.rs`) is divided into
/// matrices with a single stride along rows and along columns, and is written directly to its reader's memory. For
/// smaller matrices, operands would be packed too often.
const LEAST: usize = 1024;

/// Returns whether a product that reads sliding windows (`axes.rs`) would have to be computed as many small matrices,
/// because the memory into which it is written, with these strides, interleaves rows and columns. If so, the product is
/// first stored in an order of its own.
fn is_scattered(strides: &[isize], sides: &[SmallVec<[Digit; 6]>]) -> bool {
    let (mut together, mut all) = (1, 1);
    for side in sides {
        let mut next = None;
        for d in side.iter().rev() {
            let stride = d.step * strides[d.axis];
            if next.is_none_or(|next| stride == next) {
                together *= d.length;
                next = Some(stride * d.length as isize);
            } else {
                next = Some(0);
            }
            all *= d.length;
        }
    }
    together < LEAST.min(all)
}

/// Returns whether the index along the scanned axis `axis` of a scan's result is exactly the kernel's index along
/// dimension `d`, and `d` affects no other axis of the result. `map` maps the kernel's index to the index of the
/// result, and the axis has `length` elements.
pub(super) fn is_scanned_along(map: &View, axis: usize, d: usize, length: usize) -> bool {
    let n = map.shape.len();
    let along = |e: usize| map.coef[axis * n + e] == (e == d) as isize || map.shape[e] == 1 && e != d;
    let elsewhere = (0..map.offset.len()).all(|j| j == axis || map.coef[j * n + d] == 0);
    map.shape[d] == length && map.offset[axis] == 0 && (0..n).all(along) && elsewhere
}

/// Returns whether `node` is a matmul, a reduction or a scan, or reads one through elementwise nodes and views that run
/// in the same kernel.
fn ends_in_loop(p: &Planner<'_>, node: usize, loaded: impl Fn(usize) -> bool) -> bool {
    let mut stack: SmallVec<[usize; 32]> = smallvec![node];
    let mut seen: SmallVec<[usize; 32]> = smallvec![];
    while let Some(n) = stack.pop() {
        if loaded(n) || seen.contains(&n) {
            continue;
        }
        p.took(seen.len() + 1);
        seen.push(n);
        let a = &p.arena.nodes[n];
        if a.op.role().has_inner_space() {
            return true;
        }
        if a.op.role().is_transparent() {
            stack.extend(a.args.iter().copied());
        }
    }
    false
}

/// Returns the order in which a reduction combines elements: the strides of its operand along the kernel's dimensions,
/// and `Lanes::Inner` if neighbours in memory are neighbours along a reduced axis. The strides and the lanes describe
/// the whole operand as if it were stored densely, even if the operand is computed in the kernel or only a part of the
/// result is needed. Otherwise slicing or fusing would change the bits of a float sum.
pub(super) fn reduction_order(p: &Planner<'_>, arg: usize, axes: &[usize], to_arg: &View) -> (Strides, Lanes) {
    let shape = &p.arena.nodes[arg].shape;
    let dense = common_strides(shape, std::iter::once(&p.strides[arg][..]));
    (to_arg.apply(&dense, 0).0, lanes_along(shape, &dense, axes))
}

/// Returns whether a kernel computes this product as the sum of products along k: if the product has one column. Such a
/// product has the bits of `(a * v).sum(-1)`, where `v` is the column of the right operand, but f16 and bf16 are
/// multiplied and added as f32. Sums of integers have the same bits in any order. The GPU has kernels of its own.
fn sums_products(p: &Planner<'_>, product: usize) -> bool {
    let n = &p.arena.nodes[product];
    !p.caps.fuses_product && n.shape.last() == Some(&1) && n.dtype.is_float()
}

/// Returns the lanes of a product that is computed as a sum of products: those of the sum of `a * v`.
fn product_lanes(p: &Planner<'_>, product: usize) -> Lanes {
    let n = &p.arena.nodes[product];
    let (a, b) = (n.args[0], n.args[1]);
    // the axes of the batch, m and k; the second operand has the axes of the batch, k and one column
    let k = n.shape.len() - 1;
    let mut shape = n.shape.clone();
    shape[k] = p.arena.nodes[a].shape.last().copied().unwrap_or(1);
    let (mut of_b, mut strides_of_b) = (p.arena.nodes[b].shape.clone(), p.strides[b].clone());
    let rank = of_b.len();
    of_b.swap(rank - 2, rank - 1);
    strides_of_b.swap(rank - 2, rank - 1);
    let operands = [
        broadcast_strides(&p.arena.nodes[a].shape, &p.strides[a], &shape),
        broadcast_strides(&of_b, &strides_of_b, &shape),
    ];
    lanes_along(&shape, &common_strides(&shape, operands.iter().map(|s| &s[..])), &[k])
}

/// Returns the lanes of a reduction of these axes, of an operand with these dense strides.
fn lanes_along(shape: &[usize], dense: &[isize], axes: &[usize]) -> Lanes {
    let long = (0..shape.len()).filter(|d| shape[*d] > 1);
    let nearest = long.min_by_key(|d| (dense[*d].unsigned_abs(), shape.len() - d));
    if nearest.is_none_or(|d| axes.contains(&d)) { Lanes::Inner } else { Lanes::Outer }
}

/// Returns the inner dimensions longer than 1, in the order of the loops of a reduction: the dimension with the largest
/// stride is the outermost loop.
pub(super) fn inner_order(strides: &[isize], outer: usize, dims: &[usize]) -> SmallVec<[usize; 6]> {
    let mut inner: SmallVec<[usize; 6]> = (outer..dims.len()).filter(|d| dims[*d] > 1).collect();
    inner.sort_by_key(|d| (Reverse(strides[*d].unsigned_abs()), *d));
    inner
}

/// Returns the lengths of a reduction's inner dimensions: the lengths of its axes, without axes of length 1. If no axis
/// is left, returns one dimension of length 1, because a kernel without inner dimensions is elementwise.
pub(super) fn inner_lengths(shape: &[usize], axes: &[usize]) -> Shape {
    let lengths: Shape = axes.iter().map(|d| shape[*d]).filter(|n| *n != 1).collect();
    if lengths.is_empty() { smallvec![1] } else { lengths }
}

/// Returns the map from the kernel's index to the index of a reduction's operand. `map` gives the index of the
/// reduction's result, which is the index along the axes that are not reduced. The reduced axes correspond to the inner
/// dimensions, in order, except that axes of length 1 always have index 0.
pub(super) fn operand_map(map: &View, axes: &[usize], shape: &[usize], outer: usize) -> View {
    let (n, ndim) = (map.shape.len(), shape.len());
    let mut out = View { shape: map.shape.clone(), offset: smallvec![0; ndim], coef: smallvec![0; ndim * n] };
    for (j, d) in kept_axes(ndim, axes).into_iter().enumerate() {
        out.offset[d] = map.offset[j];
        out.coef[d * n..(d + 1) * n].copy_from_slice(&map.coef[j * n..(j + 1) * n]);
    }
    for (k, d) in axes.iter().filter(|d| shape[**d] != 1).enumerate() {
        out.coef[d * n + outer + k] = 1;
    }
    out
}
