//! The kernels of a scatter, an operation that returns an array in which some elements are replaced by, or combined
//! with, values at computed indices. The first kernels compute the array (operand 0) into the result. The last kernel
//! loops over the values, and combines each with the element at its index. If the result is written to the array
//! itself, only the last kernel is needed.

use super::lower::Draft;
use super::making::Making;
use super::planner::Planner;
use super::shape;
use crate::base::error::Result;
use crate::base::layout::{self, Combine};
use crate::graph::expr::NodeOp;
use crate::plan::kernel::{BufferRef, Step, Store};

/// A CPU divides the elements of the result among tasks, and every task goes through all values. Up to this number of
/// values, each task computes them all, because storing so few values first would cost more. Chosen by hand; no
/// benchmark compares other values.
const COMPUTED_BY_EACH: usize = 1 << 14;

impl Planner<'_> {
    /// Adds the steps that store a scatter: kernels that write the array to the result, then one kernel that updates
    /// the result. If the array is itself the target of the write, and the update reads nothing from the array, only
    /// the update is needed.
    ///
    /// The values may be computed from the same array. Then the update must not write the array's memory, so `in_place`
    /// in `buffers.rs` returns false.
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
        // each CPU task goes through all values and writes the ones that belong to its part of the result, so each
        // would compute all values if they were not stored first
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

    /// Returns whether a node is the same array as the target to which the plan writes, with the same elements at the
    /// same positions.
    fn is_target(&self, node: usize, to: &Store) -> bool {
        let n = &self.arena.nodes[node];
        let NodeOp::Stored(strides) = &n.op else { return false };
        matches!(to.buffer, BufferRef::Output(_))
            && self.arena.aliased[n.slots[0] as usize] == Some(to.offset)
            && *strides == to.strides
            && n.dtype == to.dtype
    }

    /// Returns whether a buffer is an input that shares memory with the target of the write.
    fn is_aliased(&self, buffer: BufferRef) -> bool {
        match buffer {
            BufferRef::Input(n) => self.arena.aliased[n].is_some(),
            BufferRef::Temp(_) | BufferRef::Output(_) => false,
        }
    }
}
