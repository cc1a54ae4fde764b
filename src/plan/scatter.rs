//! The kernels of a scatter: one or more that compute its first operand into the result, then one over the values that
//! combines each with the element at its index.

use super::lower::Draft;
use super::planner::{Making, Planner};
use super::shape;
use crate::error::Result;
use crate::kernel::{Step, Store};

impl Planner<'_> {
    /// Adds the steps that store a scatter: kernels that write the array to the result, then one that updates the result. The
    /// values may be computed from that same array: they load its own memory, which the update never writes (`in_place` in
    /// `buffers.rs` refuses where array and result are one).
    pub(super) fn scattered(&mut self, node: usize, to: Store, making: &mut Making) -> Result<()> {
        let arena = self.arena.clone();
        let n = &arena.nodes[node];
        let (array, values) = (n.args[0], n.args[2]);
        self.kernels(array, node, to.clone(), making)?;
        if arena.nodes[values].shape.contains(&0) {
            return Ok(());
        }
        loop {
            match Draft::scatter(self, node, &to) {
                Ok(mut draft) => {
                    making.computes.extend(std::mem::take(&mut draft.computes).iter().map(|c| *c as u32));
                    making.reads.extend(draft.reads());
                    making.steps.extend(shape::finish(self, draft)?.into_iter().map(Step::Nest));
                    return Ok(());
                }
                Err(store) => self.store_first(store, node, making)?,
            }
        }
    }
}
