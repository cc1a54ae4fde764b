//! Finds loads and results of f16 that loops over rows convert themselves, so that no other loop does.

use super::*;
use crate::math::simd::Loop;
use crate::plan::kernel::KernelKind;

impl Assigner<'_> {
    /// Sets `halves` to the loads of f16 among the values `set` of a pass that only such loops and sums read. Marks
    /// these sums.
    pub(super) fn leave_halves(&mut self, set: u128, scheduled: &kernel::Pass, pass: &mut TilePass) {
        self.halves = 0;
        let kernel = self.kernel;
        let values = &kernel.values;
        if self.program.order != TileOrder::Rows || self.program.goal != Goal::Stores || kernel.kind != KernelKind::Row
        {
            return;
        }
        for v in 0..values.len() {
            let Op::Load(n) = values[v].op else { continue };
            if kernel.loads[n].dtype != DType::F16 {
                continue;
            }
            let is_read_here = set >> v & 1 == 1 && values[v].inner && self.alias_of(v) == v;
            let is_free = (self.kept | self.raw | self.still) >> v & 1 == 0 && !self.is_uniform(v);
            // a load with the same elements in every row may be in a register that a task fills once (`repeat`)
            let is_repeated = self.axes(&kernel.loads[n].strides, true).0.is_still() && kernel.outer_size() > 1;
            if !is_read_here || !is_free || is_repeated {
                continue;
            }
            let stored = kernel.stores.iter().flat_map(|s| s.operands()).any(|a| self.alias_of(a) == v);
            let reads = |w: usize| values[w].op.operands().iter().any(|a| self.alias_of(*a) == v);
            let mut steps = (0..values.len()).filter(|w| set >> w & 1 == 1 && self.alias_of(*w) == *w && reads(*w));
            let scans =
                scheduled.ends.iter().any(|w| matches!(values[*w as usize].op, Op::Scan(_)) && reads(*w as usize));
            let mut sums = pass.reductions.iter().filter(|r| r.args.contains(&v));
            let is_sum = |r: &PassReduction| r.spec.reads_halves() && !r.spec.takes_whole_rows();
            if !stored && !scans && steps.all(|w| self.is_row_loop_of_f16(w, v)) && sums.all(is_sum) {
                self.halves |= 1 << v;
                pass.reductions.iter_mut().filter(|r| r.args.contains(&v)).for_each(|r| r.spec.stored = true);
            }
        }
    }

    /// Returns whether the step of `w` is a loop over rows that can read its first operand, the load `v`, as f16.
    fn is_row_loop_of_f16(&self, w: usize, v: usize) -> bool {
        let values = &self.kernel.values;
        let Op::Ufunc(row, list) = &values[w].op else { return false };
        let [a, b] = list[..] else { return false };
        self.alias_of(a) == v
            && self.by_rows >> self.alias_of(b) & 1 == 1
            && self.unneeded >> w & 1 == 0
            && row.by_row(values[w].compute()).is_some_and(|loops| loops.of_f16.is_some())
    }

    /// If the step of `v` is a loop over rows, and only a store as f16 reads the result, returns the loop that converts
    /// it.
    pub(super) fn row_loop_to_f16(&self, v: usize, dtype: DType) -> Option<Loop> {
        let value = &self.kernel.values[v];
        let Op::Ufunc(row, list) = &value.op else { return None };
        let [a, b] = list[..] else { return None };
        let is_row_loop = value.inner && self.by_rows >> self.alias_of(b) & 1 == 1;
        // a loop that reads f16 writes f32
        let is_read_as_f32 = self.halves >> self.alias_of(a) & 1 == 0;
        if dtype != DType::F16 || !is_row_loop || !is_read_as_f32 || self.readers(v) != 1 {
            return None;
        }
        Some(row.by_row(value.compute())?.to_f16?.get())
    }
}
