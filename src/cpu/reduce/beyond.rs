//! Sums with bounds. A kernel sums squares without scaling them. The blocks in which such a sum overflows, or loses digits
//! to underflow, are noted and not stored. At the end another kernel computes them, which scales. So rows with ordinary
//! sums take no longer, and their sums have the same bits in both kernels. Which blocks are computed again depends on
//! the elements only.

use super::{Frames, Job, Reduce, internal, of_kernel, out_of_memory, share};
use crate::base::error::Result;
use crate::base::heap::{Heap, block};
use crate::cpu::bind::{BoundProgram, Run};
use crate::cpu::program::TileOrder;
use crate::cpu::tiles::{Frame, TileBounds};
use crate::plan::kernel::Step;
use crate::plan::make_room;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The kernel that computes blocks with a sum out of bounds. Few arrays have such blocks, so it is prepared for the first
/// one.
pub(super) struct Lazy {
    /// The number of the plan's step.
    step: usize,
    /// For each input, whether it is the memory of the plan's first output. Empty if none is.
    aliased: Box<[bool]>,
    kernel: OnceLock<Box<Reduce>>,
}

impl Lazy {
    pub fn new(step: usize, aliased: &[bool]) -> Lazy {
        Lazy { step, aliased: aliased.into(), kernel: OnceLock::new() }
    }

    fn kernel(&self, run: &Run<'_>) -> Result<&Reduce> {
        if let Some(kernel) = self.kernel.get() {
            return Ok(kernel);
        }
        let Some(kernel) = run.plan.steps.get(self.step).and_then(Step::nest) else {
            return Err(internal("sum", "no kernel for sums out of bounds"));
        };
        let made = Box::new(of_kernel(kernel, &self.aliased)?);
        let bytes = made.heap();
        if self.kernel.set(made).is_ok() && run.plan.is_kept {
            run.plan.kept.count(bytes);
            make_room();
        }
        self.kernel.get().map(|kernel| &**kernel).ok_or_else(|| internal("sum", "the kernel for sums is missing"))
    }
}

impl Heap for Lazy {
    /// Without the kernel, which is counted when it is made.
    fn heap(&self) -> usize {
        block(size_of_val(&*self.aliased))
    }
}

/// The blocks of a run that have a sum out of bounds.
#[derive(Default)]
pub(super) struct Beyond(Mutex<Vec<usize>>);

impl Beyond {
    pub fn add(&self, block: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(block);
    }

    pub fn blocks(&self) -> Vec<usize> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Job<'_> {
    /// Returns whether all sums of pass `p` are in their bounds.
    ///
    /// # Safety
    /// The frame was created for this program (*made for it*, see [`Frame`]), and the reductions of the pass have ended
    /// for all rows of the block.
    pub(super) unsafe fn holds(&self, frame: &Frame, p: usize, block: TileBounds) -> bool {
        let mut bounded = self.bound.program.passes[p].reductions.iter().filter(|f| f.bounds.is_some());
        // SAFETY: the register of a result has an element for each row of the block (*room*, see `Program`).
        bounded.all(|f| f.results.iter().all(|r| unsafe { f.holds(frame.at[r.id], block.nc) }))
    }
}

impl Reduce {
    /// Returns whether the pass that computes a sum with bounds also stores elements, so that they are stored before the
    /// sum is known.
    pub(super) fn stores_before_a_sum(&self) -> bool {
        let last = self.program.passes.last();
        self.program.writes.iter().any(|w| w.inner)
            && last.is_some_and(|p| p.reductions.iter().any(|f| f.bounds.is_some()))
    }

    /// Computes the blocks of this list, and stores their results.
    #[cold]
    pub(super) fn run_beyond(&self, run: &Run<'_>, blocks: Vec<usize>) -> Result<()> {
        let Some(beyond) = &self.beyond else { return Err(internal(self.program.name, "no kernel for other sums")) };
        let beyond = beyond.kernel(run)?;
        let bound = &BoundProgram::new(&beyond.program, run)?;
        let Some(frames) = Frames::new(bound) else { return Err(out_of_memory(beyond.program.name)) };
        // rows that are not side by side are computed one by one
        let rows = |b: usize| b * self.each..self.outer.min((b + 1) * self.each);
        let list: Vec<usize> = match beyond.program.order {
            TileOrder::Rows => blocks.into_iter().flat_map(rows).collect(),
            TileOrder::Cols | TileOrder::Flat => blocks,
        };
        let job = Job { bound, frames: &frames, reduce: beyond, part: self.n.max(1), beyond: Beyond::default() };
        if !run.rehearses {
            share(list.len(), self.schedule.alone, |i| job.blocks(list[i]..list[i] + 1));
        }
        frames.end();
        bound.verdict()
    }
}
