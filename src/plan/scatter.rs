//! The kernels of a scatter: one or more that compute its first operand into the result, then one over the values that
//! combines each with the element at its index. A write of a scatter of an array to that same array needs only the last one.

use super::lower::Draft;
use super::planner::{Making, Planner};
use super::shape;
use crate::base::error::Result;
use crate::base::layout::{self, Combine};
use crate::graph::expr::NodeOp;
use crate::plan::kernel::{BufferRef, Step, Store};

/// The most values that tasks of a CPU may compute several times, where storing them first would cost more (a judgement).
const COMPUTED_BY_EACH: usize = 1 << 14;

impl Planner<'_> {
    /// Adds the steps that store a scatter: kernels that write the array to the result, then one that updates the result. The
    /// values may be computed from that same array: they load its own memory, which the update never writes (`in_place` in
    /// `buffers.rs` refuses where array and result are one). Where the array is the target of the write, and the update reads
    /// nothing of it, the target keeps its elements and is only updated.
    pub(super) fn scattered(&mut self, node: usize, to: Store, making: &mut Making) -> Result<()> {
        let arena = self.arena.clone();
        let n = &arena.nodes[node];
        let (array, values) = (n.args[0], n.args[2]);
        if arena.nodes[values].shape.contains(&0) {
            return self.kernels(array, node, to, making);
        }
        let is_target = self.is_target(array, &to);
        if !is_target {
            self.kernels(array, node, to.clone(), making)?;
        }
        // several tasks of a CPU take all values, each to write a part of them, so that each would compute them
        let in_order = matches!(n.op, NodeOp::Scatter { combine: Combine::Set, .. }) && !self.caps.wgsl;
        if in_order && layout::product(&arena.nodes[values].shape) > COMPUTED_BY_EACH && !self.is_at_hand(values) {
            self.store_first(values, node, making)?;
        }
        loop {
            match Draft::scatter(self, node, &to) {
                Ok(mut draft) => {
                    if is_target {
                        let keeps = !draft.loads.iter().any(|l| self.is_aliased(l.buffer));
                        self.keeps.set(keeps);
                        if !keeps {
                            self.kernels(array, node, to.clone(), making)?;
                        }
                    }
                    making.computes.extend(std::mem::take(&mut draft.computes).iter().map(|c| *c as u32));
                    making.reads.extend(draft.reads());
                    making.steps.extend(shape::finish(self, draft)?.into_iter().map(Step::Nest));
                    return Ok(());
                }
                Err(store) => self.store_first(store, node, making)?,
            }
        }
    }

    /// Whether a node is the very array that the plan writes to: the same elements at the same places.
    fn is_target(&self, node: usize, to: &Store) -> bool {
        let n = &self.arena.nodes[node];
        let NodeOp::Stored(strides) = &n.op else { return false };
        matches!(to.buffer, BufferRef::Output(_))
            && self.arena.aliased[n.slots[0] as usize] == Some(to.offset)
            && *strides == to.strides
            && n.dtype == to.dtype
    }

    /// Whether a buffer is an input that shares memory with the target of the write.
    fn is_aliased(&self, buffer: BufferRef) -> bool {
        match buffer {
            BufferRef::Input(n) => self.arena.aliased[n].is_some(),
            BufferRef::Temp(_) | BufferRef::Output(_) => false,
        }
    }
}
