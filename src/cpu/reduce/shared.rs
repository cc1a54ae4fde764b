//! Rows that several tasks reduce together: each task reduces a part of a row to partial results, which are merged.

use super::{Job, Reduce};

/// The partial results of all tasks in one array. Each task writes its own slot of `width` bytes, and `merge` reads the
/// slots of a block in order.
pub(super) struct PartialResults {
    pub ptr: *mut u8,
    pub width: usize,
}

// SAFETY: each slot is written by one task only, and is read only after all tasks that write slots have ended.
unsafe impl Sync for PartialResults {}

impl PartialResults {
    pub fn slot(&self, i: usize) -> *mut u8 {
        self.ptr.wrapping_add(i * self.width)
    }
}

impl Job<'_> {
    /// Reduces one part of a block to partial results, one for each reduction. The schedule allows parts only if rows
    /// are the columns of tiles, or if a block is a single row.
    pub(super) fn part(&self, b: usize, part: usize, out: *mut u8) {
        let block = self.block(b);
        let range = part * self.part..((part + 1) * self.part).min(self.reduce.n);
        // SAFETY: the frame was created for this program (*made for it*), and parts of blocks are disjoint; `out` is a
        // slot that only this task writes, with room for the partial results of all reductions.
        self.frames.with(|frame| unsafe {
            let mut to = out;
            frame.run(self.bound, self.bound.program.stages[0].clone(), block);
            let mut folders = self.folders(frame, 0, block);
            for row in 0..self.rows(block) {
                self.walk(frame, 0, block, row, range.clone(), &mut folders);
            }
            for (f, folder) in self.bound.program.passes[0].reductions.iter().zip(&mut folders) {
                std::ptr::copy_nonoverlapping(folder.collapse(), to, f.spec.partial());
                to = to.add(f.spec.partial());
            }
        })
    }

    /// Merges the partial results of a block in the order of its parts, and runs its epilogue (`Job::close`).
    pub(super) fn merge(&self, b: usize, parts: usize, from: *mut u8, width: usize) {
        let block = self.block(b);
        // SAFETY: the frame was created for this program (*made for it*), and blocks are disjoint; `from` points to the
        // block's `parts` slots, all written.
        self.frames.with(|frame| unsafe {
            frame.run(self.bound, self.bound.program.stages[0].clone(), block);
            let mut folders = self.folders(frame, 0, block);
            for (input, folder) in self.bound.program.passes[0].reductions.iter().zip(&mut folders) {
                let base = input.base.map_or(std::ptr::null(), |b| frame.at[b] as *const i32);
                folder.reset(self.reduce.n, base);
            }
            for part in 0..parts {
                let mut at = from.add(part * width) as *const u8;
                for (f, folder) in self.bound.program.passes[0].reductions.iter().zip(&mut folders) {
                    folder.merge(at);
                    at = at.add(f.spec.partial());
                }
            }
            self.write_results(frame, 0, 0, &mut folders);
            match self.holds(frame, 0, block) {
                true => self.close(frame, block),
                false => self.beyond.add(b),
            }
        })
    }
}

impl Reduce {
    /// Returns how many inner elements a task processes: all `n`, unless there are fewer than four blocks of rows per
    /// thread and the schedule allows parts. Then there are 4 to 12 tasks per thread, so that other threads can take
    /// over work from a thread that is held up. The size of a part is chosen so that the parts change no bit
    /// (`FoldSpec::block`).
    pub(super) fn part(&self, threads: usize) -> usize {
        let (program, n, blocks) = (&self.program, self.n, self.outer.div_ceil(self.each));
        let unit = program.passes.iter().flat_map(|p| &p.reductions).map(|f| f.spec.block()).max();
        if let Some(unit) = unit
            && self.schedule.shares_rows
            && blocks < 4 * threads
            && threads > 1
            // a repeated row is filled for tiles of whole rows
            && program.repeated.is_empty()
        {
            let parts = (8 * threads).div_ceil(blocks);
            let blocks = n.div_ceil(parts).div_ceil(unit);
            return unit * mutant!(tree_depends_on_threads, blocks, blocks.next_power_of_two());
        }
        n.max(1)
    }
}
