//! Lowering: creates the values of one kernel, by a recursion from the stored node down to nodes in memory.
//!
//! A [`Space`] has the dimensions of the kernel, and the map from its index to the index of the stored node. The
//! recursion passes down a map (an affine [`View`]) from the kernel's index to the needed element of each node. A view
//! only changes the map. A reduction can run in the kernel if the map to its operand covers `outer × inner`.

mod product;

use super::planner::{DraftLists, Planner, broadcast_map};
use super::space::{Space, inner_lengths, inner_order, is_scanned_along, operand_map, reduction_order};
use crate::base::dtype::DType;
use crate::base::layout::{self, Shape, Strides, View, c_strides, copied};
use crate::graph::expr::NodeOp;
use crate::graph::ufunc::{FoldOrder, Ufunc, arithmetic};
use crate::plan::kernel::{
    BufferRef, Chosen, Fold, IndexMode, KernelKind, Load, Op, Position, Scattered, Store, Value,
};
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;

/// A kernel in the making, whose dimensions are not yet ordered or merged (`shape.rs` does that).
pub(super) struct Draft {
    pub kind: KernelKind,
    pub outer: Shape,
    pub inner: Shape,
    pub loads: Vec<Load>,
    pub values: Vec<Value>,
    pub stores: Vec<Store>,
    pub reduction_strides: Strides,
    /// The nodes whose values the kernel computes, as indices of the arena.
    pub computes: Vec<usize>,
    pub name: &'static str,
    /// The node that the kernel computes last, as an index of the arena.
    pub node: usize,
    /// The stored node whose memory, or a part of it, the kernel writes. `name` and the caller's line belong to this
    /// node.
    pub owner: usize,
}

struct Lowering<'a> {
    p: &'a Planner<'a>,
    space: &'a Space,
    owner: usize,
    draft: Draft,
    /// The nodes lowered so far, so that none is computed twice. An entry has the node, the map from the kernel's index
    /// to the node's element, and the index of the value. The list is short, so searching it is faster than hashing.
    memo: Vec<(u32, View, u32)>,
    /// For each value, whether it depends on a reduction, scan or product in this kernel. Only row kernels may reduce
    /// such a value again.
    reduced: Vec<bool>,
    /// Whether the node being lowered is needed to compute the operand of a scan.
    in_scan: bool,
}

/// `Ok` with a result, or `Err` with a node that cannot run in this kernel and must be stored first.
type Lowered<T> = std::result::Result<T, usize>;

impl Draft {
    /// Returns whether one of the kernel's values is a scan.
    fn scans(&self) -> bool {
        self.values.iter().any(|v| matches!(v.op, Op::Scan(..)))
    }

    /// Drops a draft that was made only to learn which nodes it reads. The next draft reuses its lists.
    pub fn discard(self, p: &Planner<'_>) {
        let mut scratch = p.scratch.take();
        (scratch.loads, scratch.values) = (self.loads, self.values);
        scratch.loads.clear();
        scratch.values.clear();
        p.scratch.set(scratch);
    }

    /// Returns the stored nodes that the kernel loads from temporaries.
    pub fn reads(&self) -> impl Iterator<Item = u32> {
        self.loads.iter().filter_map(|l| match l.buffer {
            BufferRef::Temp(n) => Some(n as u32),
            BufferRef::Input(_) | BufferRef::Output(_) => None,
        })
    }

    /// Makes the kernel that computes `node` into `to`, which is memory of the stored node `owner`.
    pub fn build(p: &Planner<'_>, node: usize, owner: usize, space: &Space, to: Store) -> Lowered<Draft> {
        let mut l = Lowering::begin(p, node, owner, space);
        if let Some(m) = space.matmul {
            l.dot(m)?;
        }
        // the node's value is an inner one (one per inner index) if the node's index depends on an inner dimension
        let columns = space.outer..space.dims.len();
        let width = space.dims.len();
        let inside = (0..space.map.offset.len()).any(|j| columns.clone().any(|k| space.map.coef[j * width + k] != 0));
        let mut value = l.lower(node, &space.map, inside)?;
        if inside && !l.draft.values[value].inner {
            value = l.broadcast_inward(value);
        }
        let (mut strides, offset) = space.map.apply(&to.strides, to.offset);
        if !inside {
            strides.truncate(space.outer);
        }
        l.draft.stores.push(Store { strides, offset, value, ..to });
        let chained = |v: &Value| matches!(&v.op, Op::Reduce(r) if r.inputs().iter().any(|a| l.reduced[*a]));
        l.draft.kind = match space.matmul {
            Some(_) if !space.sums => KernelKind::Matmul,
            None if l.draft.inner.is_empty() => KernelKind::Elementwise,
            None if inside || l.draft.values.iter().any(chained) => KernelKind::Row,
            Some(_) | None => KernelKind::Reduce(space.lanes),
        };
        p.within_limit(&l.draft, &l.memo)?;
        Ok(l.end())
    }

    /// Makes the kernel that combines the values of the scatter `node` with elements of `to`.
    pub fn scatter(p: &Planner<'_>, node: usize, to: &Store) -> Lowered<Draft> {
        let n = &p.arena.nodes[node];
        let (NodeOp::Scatter { axis, mode, combine, .. }, [_, indices, values, when @ ..]) = (&n.op, &n.args[..])
        else {
            return Err(node);
        };
        let space = Space::of_shape(&p.arena.nodes[*values].shape);
        let mut l = Lowering::begin(p, node, node, &space);
        let value = l.lower(*values, &space.map, false)?;
        let along = View {
            shape: space.dims.clone(),
            offset: smallvec![0],
            coef: unit(space.outer, *axis).into_iter().collect(),
        };
        let index = l.lower(*indices, &along, false)?;
        let condition = when.first().map(|when| l.lower(*when, &along, false)).transpose()?;
        let extent = n.shape[*axis];
        let (name, number) = (n.op.name(), n.number as usize);
        let position = Box::new(Position { index, extent, mode: *mode, from_end: None, name, node: number });
        let index = l.push(Op::Position(position), DType::I32, false, false);
        let mut strides = to.strides.clone();
        let stride = std::mem::replace(&mut strides[*axis], 0);
        let scattered = Some(Scattered { index, stride, extent, combine: *combine });
        let chosen = Some(Box::new(Chosen { condition, scattered }));
        l.draft.stores.push(Store { strides, value, chosen, ..to.clone() });
        Ok(l.end())
    }
}

impl<'a> Lowering<'a> {
    fn begin(p: &'a Planner<'a>, node: usize, owner: usize, space: &'a Space) -> Lowering<'a> {
        let scratch = p.scratch.take();
        let draft = Draft {
            kind: KernelKind::Elementwise,
            outer: Shape::from_slice(&space.dims[..space.outer]),
            inner: Shape::from_slice(&space.dims[space.outer..]),
            loads: scratch.loads,
            values: scratch.values,
            stores: Vec::with_capacity(1),
            reduction_strides: copied(&space.reduction_strides),
            computes: vec![],
            name: p.arena.nodes[owner].op.name(),
            node,
            owner,
        };
        Lowering { p, space, owner, draft, memo: scratch.memo, reduced: scratch.reduced, in_scan: false }
    }

    fn end(mut self) -> Draft {
        self.memo.clear();
        self.reduced.clear();
        self.p.scratch.set(DraftLists { memo: self.memo, reduced: self.reduced, ..DraftLists::default() });
        self.draft
    }
}

impl Lowering<'_> {
    fn push(&mut self, op: Op, dtype: DType, inner: bool, reduced: bool) -> usize {
        self.draft.values.push(Value { op, dtype, inner });
        self.reduced.push(reduced);
        self.draft.values.len() - 1
    }

    /// Returns the index of a value that computes `offset + Σ strides · index`. Equal values are added only once, so
    /// that random numbers at the same index share a Philox block.
    fn index(&mut self, (strides, offset): (Strides, isize), dtype: DType) -> usize {
        let inner = self.is_inner(&strides);
        let op = Op::Index { strides: Box::new(strides), offset: offset as i64 };
        let known = self.draft.values.iter().position(|v| v.op == op && (v.dtype, v.inner) == (dtype, inner));
        known.unwrap_or_else(|| self.push(op, dtype, inner, false))
    }

    fn row(&mut self, row: &'static Ufunc, args: &[usize], dtype: DType) -> usize {
        let inner = args.iter().any(|a| self.draft.values[*a].inner);
        let reduced = args.iter().any(|a| self.reduced[*a]);
        self.push(Op::Ufunc(row, args.into()), dtype, inner, reduced)
    }

    /// Adds a value that equals the outer value `value` at every inner index, and returns the index of the added value.
    fn broadcast_inward(&mut self, value: usize) -> usize {
        let dtype = self.draft.values[value].dtype;
        let reduced = self.reduced[value];
        self.push(Op::Ufunc(&arithmetic::positive, smallvec![value]), dtype, true, reduced)
    }

    fn round(&mut self, value: usize) -> usize {
        let Value { dtype, inner, .. } = self.draft.values[value];
        let exact =
            matches!(self.draft.values[value].op, Op::Load(_) | Op::Gather { .. } | Op::Round(_) | Op::Scalar(_));
        let reduced = self.reduced[value];
        if exact { value } else { self.push(Op::Round(value), dtype, inner, reduced) }
    }

    /// Returns whether an operand with these strides varies along an inner dimension.
    fn is_inner(&self, strides: &[isize]) -> bool {
        self.space.matmul.is_none()
            && (self.space.outer..self.space.dims.len()).any(|d| strides[d] != 0 && self.space.dims[d] != 1)
    }

    /// Returns where the kernel reads a stored node, or a view of one: the buffer, the stride for each dimension of the
    /// kernel, and the offset.
    fn resolve(&self, mut node: usize, map: &View) -> (BufferRef, Strides, isize) {
        let mut map = Cow::Borrowed(map);
        while let NodeOp::View(v) = &self.p.arena.nodes[node].op
            && (!self.p.stored[node] || node == self.owner)
        {
            map = Cow::Owned(map.after(v));
            node = self.p.arena.nodes[node].args[0];
        }
        let (strides, offset) = map.apply(&self.p.stored_strides(node), 0);
        (self.p.buffer(node), strides, offset)
    }

    fn add_load(&mut self, (buffer, strides, offset): (BufferRef, Strides, isize), dtype: DType) -> usize {
        let load = Load { buffer, dtype, strides, offset };
        let load = mutant!(
            stride_of_another_operand,
            match self.draft.loads.first() {
                Some(first) if first.strides.len() == load.strides.len() => {
                    Load { strides: first.strides.clone(), ..load }
                }
                _ => load,
            },
            load
        );
        self.draft.loads.iter().position(|l| *l == load).unwrap_or_else(|| {
            self.draft.loads.push(load);
            self.draft.loads.len() - 1
        })
    }

    fn lower(&mut self, node: usize, map: &View, inside: bool) -> Lowered<usize> {
        self.p.took(self.memo.len() + 1);
        if let Some((_, _, v)) = self.memo.iter().find(|(n, m, _)| *n as usize == node && m == map) {
            return Ok(*v as usize);
        }
        self.p.within_limit(&self.draft, &self.memo)?;
        let v = self.lower_new(node, map, inside)?;
        self.memo.push((node as u32, map.clone(), v as u32));
        Ok(v)
    }

    fn lower_new(&mut self, node: usize, map: &View, inside: bool) -> Lowered<usize> {
        let p = self.p;
        let n = &p.arena.nodes[node];
        if p.stored[node] && node != self.owner || matches!(n.op, NodeOp::Stored(_)) {
            let place = self.resolve(node, map);
            let inner = self.is_inner(&place.1);
            let load = self.add_load(place, n.dtype);
            return Ok(self.push(Op::Load(load), n.dtype, inner, false));
        }
        if node != self.draft.node && p.is_repeated(node, self.runs(map)) {
            return Err(node);
        }
        match &n.op {
            NodeOp::Number | NodeOp::Fill => Ok(self.push(Op::Scalar(n.slots[0] as usize), n.dtype, false, false)),
            NodeOp::Iota(axis) => Ok(self.index(map.apply(&unit(n.shape.len(), *axis), 0), n.dtype)),
            NodeOp::Philox { word } => {
                let slots = [0, 1, 2].map(|i| n.slots[i] as usize);
                self.draft.computes.push(node);
                let index = self.index(map.apply(&c_strides(&n.shape), 0), DType::U32);
                let op = Op::Philox { index, word: *word, slots };
                Ok(self.push(op, DType::U32, self.draft.values[index].inner, false))
            }
            NodeOp::Ufunc(row) => self.lower_ufunc(node, row, map, inside),
            NodeOp::Cast => {
                let mut v = self.lower(n.args[0], map, inside)?;
                let from = self.draft.values[v].dtype;
                // an f16 or bf16 is computed as f32 and may have more bits than its type, so round it before a
                // conversion to an integer or bool, and also if the user casts it to the type that it already has
                if from.is_half() && (!n.dtype.is_float() || from == n.dtype) {
                    v = self.round(v);
                }
                self.draft.computes.push(node);
                if from == n.dtype {
                    return Ok(v);
                }
                Ok(self.push(Op::Cast(v), n.dtype, self.draft.values[v].inner, self.reduced[v]))
            }
            NodeOp::View(v) => self.lower(n.args[0], &map.after(v), inside),
            NodeOp::Take { axis, mode, along, .. } => self.lower_take(node, (*axis, *along), *mode, map, inside),
            NodeOp::Reduce(fold, axes) => self.lower_reduction(node, *fold, axes, map, inside),
            NodeOp::Scan { fold, axis } => self.lower_scan(node, *fold, *axis, map, inside),
            NodeOp::Matmul => self.product(node, map),
            NodeOp::Stored(_) | NodeOp::Reshape => Err(node),
            NodeOp::Concat { axis } => {
                let lengths = n.args.iter().map(|a| p.arena.nodes[*a].shape[*axis]);
                let (part, map) = map.only_part(*axis, lengths).ok_or(node)?;
                self.draft.computes.push(node);
                self.lower(n.args[part], &map, inside)
            }
            NodeOp::Scatter { .. } | NodeOp::Routine { .. } | NodeOp::Failed => Err(node),
        }
    }

    /// Returns how often the kernel computes a node with this map: once for each index of `outer × inner` if the map
    /// depends on an inner dimension, else once for each outer index. The node's operands must vary along no other
    /// dimensions.
    fn runs(&self, map: &View) -> usize {
        let (dims, outer) = (&self.space.dims, self.space.outer);
        let depends = |d: usize| (0..map.offset.len()).any(|j| map.coef[j * dims.len() + d] != 0);
        let inner = self.space.matmul.is_none() && (outer..dims.len()).any(|d| dims[d] > 1 && depends(d));
        layout::product(if inner { dims } else { &dims[..outer] })
    }

    fn lower_ufunc(&mut self, node: usize, row: &'static Ufunc, map: &View, inside: bool) -> Lowered<usize> {
        let p = self.p;
        let n = &p.arena.nodes[node];
        let mut args: SmallVec<[usize; 3]> = smallvec![];
        for a in &n.args {
            let shape = &p.arena.nodes[*a].shape;
            // if the operand has the result's shape, it has the same map, so no new map is needed (the usual case)
            let mut v = match *shape == n.shape && !shape.contains(&1) {
                true => self.lower(*a, map, inside)?,
                false => self.lower(*a, &broadcast_map(map, shape, &n.shape), inside)?,
            };
            if mutant!(halves_compared_unrounded, false, row.properties.rounds_first)
                && self.draft.values[v].dtype.is_half()
            {
                v = self.round(v);
            }
            args.push(v);
        }
        if mutant!(inputs_swapped, args.len() == 2 && n.dtype.is_integer(), false) {
            args.swap(0, 1);
        }
        self.draft.computes.push(node);
        let v = self.row(row, &args, n.dtype);
        Ok(if n.dtype.is_narrow_integer() && !row.properties.keeps_range { self.round(v) } else { v })
    }

    /// Lowers a `take` to a gather, which is a load at a computed index.
    fn lower_take(
        &mut self,
        node: usize,
        (axis, along): (usize, bool),
        mode: IndexMode,
        map: &View,
        inside: bool,
    ) -> Lowered<usize> {
        let p = self.p;
        let n = &p.arena.nodes[node];
        let (indices, source) = (n.args[0], n.args[1]);
        let (i, s) = (&p.arena.nodes[indices], &p.arena.nodes[source]);
        let k = map.shape.len();
        // the axes of the result that correspond to the axes of the index array
        let own = if along { 0..i.shape.len() } else { axis..axis + i.shape.len() };
        let index_map = View {
            shape: map.shape.clone(),
            offset: map.offset[own.clone()].into(),
            coef: map.coef[own.start * k..own.end * k].into(),
        };
        let index = self.lower(indices, &index_map, inside)?;
        let mut base = View {
            shape: map.shape.clone(),
            offset: smallvec![0; s.shape.len()],
            coef: smallvec![0; s.shape.len() * k],
        };
        for d in (0..s.shape.len()).filter(|d| *d != axis) {
            let from = if d < axis || along { d } else { d - 1 + i.shape.len() };
            base.offset[d] = map.offset[from];
            base.coef[d * k..(d + 1) * k].copy_from_slice(&map.coef[from * k..(from + 1) * k]);
        }
        // the source may be a view with any step, so the stride along the taken axis is computed from two neighbours
        let point = |offset| self.resolve(source, &View { shape: smallvec![], offset, coef: smallvec![] }).2;
        let step = point(unit(s.shape.len(), axis)) - point(smallvec![0; s.shape.len()]);
        let stride = mutant!(take_along_a_flipped_axis, step.abs(), step);
        let place = self.resolve(source, &base);
        let inner = self.is_inner(&place.1) || self.draft.values[index].inner;
        // a gather shares its load with no other value, because the elements also depend on the computed index
        self.draft.loads.push(Load { buffer: place.0, dtype: s.dtype, strides: place.1, offset: place.2 });
        let load = self.draft.loads.len() - 1;
        self.draft.computes.push(node);
        let (name, number) = (n.op.name(), n.number as usize);
        let position = Box::new(Position { index, extent: s.shape[axis], mode, from_end: None, name, node: number });
        let op = Op::Gather { load, stride, position };
        let reduced = self.reduced[index];
        Ok(self.push(op, n.dtype, inner, reduced))
    }

    /// Lowers a reduction if the kernel loops over the reduction's operand, in the order in which the reduction must
    /// combine elements. Otherwise returns `Err` with the node to store.
    fn lower_reduction(&mut self, node: usize, fold: Fold, axes: &[usize], map: &View, inside: bool) -> Lowered<usize> {
        let p = self.p;
        let n = &p.arena.nodes[node];
        let arg = n.args[0];
        let (k, outer) = (map.shape.len(), self.space.outer);
        let rows = map.offset.len();
        let depends = |d: usize| (0..rows).any(|j| map.coef[j * k + d] != 0);
        let dims = &self.space.dims;
        let fits = self.space.matmul.is_none()
            && dims.len() > outer
            && inner_lengths(&p.arena.nodes[arg].shape, axes)[..] == dims[outer..]
            && (outer..k).all(|d| !depends(d))
            && (0..outer).all(|d| dims[d] <= 1 || depends(d))
            && (!inside || self.space.row);
        if !fits {
            return Err(node);
        }
        let m = operand_map(map, axes, &p.arena.nodes[arg].shape, outer);
        // loops in another order than this reduction requires would change its bits, so the reduction is stored instead
        let walk = |strides: &[isize]| inner_order(strides, outer, dims);
        let (own, lanes) = reduction_order(p, arg, axes, &m);
        let element = p.arena.nodes[arg].dtype;
        let same_lanes = fold.is_exact(element) || lanes == self.space.lanes;
        let fits = match fold.order(element) {
            FoldOrder::RowMajor => same_lanes && walk(&c_strides(dims)) == walk(&self.space.reduction_strides),
            FoldOrder::Tree => same_lanes && walk(&own) == walk(&self.space.reduction_strides),
            FoldOrder::Any => true,
            // no node has a fold that combines in sequence; only the planner creates such folds
            FoldOrder::Sequence => false,
        };
        if !fits {
            return Err(node);
        }
        let mut v = self.lower(arg, &m, true)?;
        if self.reduced[v] && !self.space.row {
            // the operand needs a reduction that must end before this one starts, which requires a row kernel
            return Err(node);
        }
        if !self.draft.values[v].inner {
            v = self.broadcast_inward(v);
        }
        self.draft.computes.push(node);
        Ok(self.push(Op::reduce(fold, v, element), n.dtype, false, true))
    }

    /// Lowers a scan if it runs along the kernel's only inner dimension, and the kernel either has no other scan or may
    /// be a row kernel. Otherwise returns `Err` with the node to store.
    fn lower_scan(&mut self, node: usize, fold: Fold, axis: usize, map: &View, inside: bool) -> Lowered<usize> {
        let n = &self.p.arena.nodes[node];
        let (k, outer, dims) = (map.shape.len(), self.space.outer, &self.space.dims);
        let depends = |d: usize| (0..map.offset.len()).any(|j| map.coef[j * k + d] != 0);
        let fits = self.space.matmul.is_none()
            && inside
            && dims.len() == outer + 1
            && is_scanned_along(map, axis, outer, n.shape[axis])
            && (0..outer).all(|d| dims[d] <= 1 || depends(d))
            && (self.space.row || self.space.scan && !self.in_scan && !self.draft.scans());
        if !fits {
            return Err(node);
        }
        let before = std::mem::replace(&mut self.in_scan, true);
        let mut v = self.lower(n.args[0], map, true)?;
        self.in_scan = before;
        if !self.draft.values[v].inner {
            v = self.broadcast_inward(v);
        }
        self.draft.computes.push(node);
        Ok(self.push(Op::scan(fold, v, n.dtype), n.dtype, true, true))
    }
}

fn unit(n: usize, axis: usize) -> Strides {
    let mut s: Strides = smallvec![0; n];
    s[axis] = 1;
    s
}
