//! The kernels of the two operations that are stored by copying: `concat`, and a reshape that no view can express.

use super::lower::Draft;
use super::planner::{Making, Planner};
use super::shape;
use crate::error::Result;
use crate::kernel::{Load, Step, Store};
use crate::layout::{self, Layout};

impl Planner<'_> {
    /// The kernels of a `concat`: each operand is computed into its part of the result.
    pub(super) fn joined(&mut self, node: usize, axis: usize, to: &Store, making: &mut Making) -> Result<()> {
        let arena = self.arena.clone();
        let n = &arena.nodes[node];
        let mut at = 0isize;
        for a in &n.args {
            let mut part = to.clone();
            let step = mutant!(joined_parts_in_c_order, layout::c_strides(&n.shape)[axis], part.strides[axis]);
            // saturating, because the offset of an empty part may overflow; nothing is written there
            part.offset = part.offset.saturating_add(at.saturating_mul(step));
            at += arena.nodes[*a].shape[axis] as isize;
            // an operand that is stored anyway, for another reader, is copied from its own memory
            self.kernels(*a, node, part, making)?;
        }
        Ok(())
    }

    /// The kernels of a reshape: the operand, stored in C order, is the result. A target whose strides cannot express the
    /// operand's shape is written in two steps: the operand goes to a temporary, which is then copied.
    pub(super) fn reshaped(&mut self, node: usize, to: Store, making: &mut Making) -> Result<()> {
        let arena = self.arena.clone();
        let n = &arena.nodes[node];
        let (arg, shape) = (n.args[0], &arena.nodes[n.args[0]].shape);
        let place = Layout { shape: n.shape.clone(), strides: to.strides.clone(), offset: 0 };
        if let Some(l) = place.reshape(shape) {
            return self.kernels(arg, node, Store { strides: l.strides, ..to }, making);
        }
        let whole = self.temp(self.bytes(node));
        let part = self.whole_store(whole, n.dtype, shape);
        self.kernels(arg, node, part, making)?;
        let from = Load { buffer: whole, dtype: n.dtype, strides: layout::c_strides(&n.shape), offset: 0 };
        making.steps.extend(shape::finish(self, Draft::copy(self, node, from, to))?.into_iter().map(Step::Nest));
        Ok(())
    }
}
