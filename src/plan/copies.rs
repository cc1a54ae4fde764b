//! The kernels of the two operations that are stored by copying: `concat`, and reshapes that no view can express.

use super::lower::Draft;
use super::making::Making;
use super::planner::Planner;
use super::shape;
use crate::base::error::Result;
use crate::base::layout::{self, Layout};
use crate::graph::expr::{NodeOp, Role};
use crate::plan::kernel::{KernelKind, Load, Op, Step, Store, Value};
use smallvec::smallvec;

impl Planner<'_> {
    /// Finds the stored reshapes that need no memory of their own, because their operand is stored in C order and so
    /// already is the result. An elementwise operand that has other readers is stored for this purpose, which writes no
    /// more than a copy would.
    pub(super) fn alias_reshapes(&mut self) {
        let arena = self.arena.clone();
        for (i, n) in arena.nodes.iter().enumerate() {
            if n.op != NodeOp::Reshape || !self.stored[i] || self.facts[i].output.is_some() {
                continue;
            }
            let a = n.args[0];
            let role = arena.nodes[a].op.role();
            let is_stored = self.stored[a] || role == Role::Elementwise && self.facts[a].uses > 1 && !self.is_joined(a);
            let is_dense = layout::is_c_contiguous(&arena.nodes[a].shape, &self.stored_strides(a));
            if is_stored && is_dense && self.facts[a].output.is_none() {
                self.stored[a] = true;
                self.facts[i].aliases = true;
            }
        }
    }

    /// Adds the kernels that compute `node` into `to`, which is a part of the memory of the stored node `owner`. If the
    /// node is itself a `concat` or reshape without memory of its own, its operands are computed directly into their
    /// parts of `to`.
    fn part(&mut self, node: usize, owner: usize, to: Store, making: &mut Making) -> Result<()> {
        if self.stored[node] {
            return self.kernels(node, owner, to, making);
        }
        if let NodeOp::Concat { axis } = self.arena.nodes[node].op {
            return self.joined((node, owner), axis, &to, making);
        }
        if self.arena.nodes[node].op == NodeOp::Reshape {
            return self.reshaped((node, owner), to, making);
        }
        self.kernels(node, owner, to, making)
    }

    /// Adds the kernels of a `concat`. Each operand is computed into its part of the result `to`, which is the memory
    /// of the stored node `owner` or a part of it.
    pub(super) fn joined(
        &mut self,
        (node, owner): (usize, usize),
        axis: usize,
        to: &Store,
        making: &mut Making,
    ) -> Result<()> {
        let arena = self.arena.clone();
        let n = &arena.nodes[node];
        let mut at = 0isize;
        for a in &n.args {
            let mut part = to.clone();
            let step = mutant!(joined_parts_in_c_order, layout::c_strides(&n.shape)[axis], part.strides[axis]);
            // the offset of a part without elements may overflow, so this saturates; nothing is written to such a part
            part.offset = part.offset.saturating_add(at.saturating_mul(step));
            at += arena.nodes[*a].shape[axis] as isize;
            // an operand that is stored anyway, for another reader, is copied from its own memory
            self.part(*a, owner, part, making)?;
        }
        Ok(())
    }

    /// Adds the kernels of a reshape. Usually the operand is computed directly into `to`, which is viewed with the
    /// operand's shape. If the strides of `to` do not allow this, the operand is written to a temporary, which is then
    /// copied to `to`.
    pub(super) fn reshaped(&mut self, (node, owner): (usize, usize), to: Store, making: &mut Making) -> Result<()> {
        let arena = self.arena.clone();
        let n = &arena.nodes[node];
        let (arg, shape) = (n.args[0], &arena.nodes[n.args[0]].shape);
        let place = Layout { shape: n.shape.clone(), strides: to.strides.clone(), offset: 0 };
        if let Some(l) = place.reshape(shape) {
            return self.part(arg, owner, Store { strides: l.strides, ..to }, making);
        }
        let whole = self.temp(self.bytes(node));
        let part = self.whole_store(whole, n.dtype, shape);
        self.part(arg, owner, part, making)?;
        let from = Load { buffer: whole, dtype: n.dtype, strides: layout::c_strides(&n.shape), offset: 0 };
        making.steps.extend(shape::finish(self, Draft::copy(self, node, from, to))?.into_iter().map(Step::Nest));
        Ok(())
    }
}

impl Draft {
    /// Returns the draft (unfinished form) of a kernel that copies the elements of `node` from `from` to `to`.
    pub(super) fn copy(p: &Planner<'_>, node: usize, from: Load, to: Store) -> Draft {
        let n = &p.arena.nodes[node];
        Draft {
            kind: KernelKind::Elementwise,
            outer: n.shape.clone(),
            inner: smallvec![],
            loads: vec![from],
            values: vec![Value { op: Op::Load(0), dtype: n.dtype, inner: false }],
            stores: vec![to],
            reduction_strides: smallvec![0; n.shape.len()],
            computes: vec![],
            name: n.op.name(),
            node,
            owner: node,
        }
    }
}
