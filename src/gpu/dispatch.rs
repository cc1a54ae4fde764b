//! Binds a prepared plan to the buffers, offsets, scalars and source lines of a run, and records it. Each window (a
//! part of a kernel's index space) becomes one dispatch, or several if it needs more workgroups than one dispatch
//! allows.

use super::adapter::DispatchLimits;
use super::batch::{Batch, BufferSlice};
use super::connection::Connection;
use super::memory::DriverBuffer;
use super::notes::{NoteKind, NoteSource};
use super::pipelines::Pipeline;
use super::prepared::{PreparedKernel, PreparedPlan, PreparedStep, PreparedWindow, RunBuffer, number};
use super::wgsl::ParamHeader;
use crate::base::error::{Error, ErrorKind, Result};
use crate::plan::backend::{Bindings, StepNote};
use crate::plan::kernel::{BufferRef, Caps, ExecutionPlan, Step};
use smallvec::SmallVec;
use std::sync::atomic::Ordering::Relaxed;

/// The words of a dispatch's parameters. Up to 128 words, which is enough for most kernels, need no allocation.
type Words = SmallVec<[u32; 128]>;

/// Records a plan's steps into the open batch.
pub(super) struct StepRecorder<'a> {
    pub connection: &'a Connection,
    pub caps: &'a Caps,
    pub limits: &'a DispatchLimits,
    pub batch: &'a mut Batch,
    pub plan: &'a ExecutionPlan,
    pub buffers: &'a [RunBuffer<'a>],
    pub bindings: &'a Bindings<'a>,
}

/// What a window (a part of a kernel's index space) binds in a run. `slices` has the bound range of each buffer.
/// `first` has, for each operand, the position of the element at the window's first index, counted from the start of
/// its binding.
struct BoundWindow<'a> {
    slices: SmallVec<[BufferSlice<'a>; 8]>,
    first: SmallVec<[i64; 8]>,
}

impl<'a> StepRecorder<'a> {
    /// Records the steps of a plan. If the run writes in place, and a failure halfway could leave that write incomplete
    /// (`PreparedPlan::rehearses`), everything that may fail is done before the first step is recorded.
    pub fn record(&mut self, plan: &PreparedPlan) -> Result<()> {
        let steps = || self.plan.steps.iter().zip(&plan.steps);
        if plan.rehearses && self.bindings.replaces {
            for step in steps() {
                match step {
                    (_, PreparedStep::Nest(kernel)) => {
                        self.at_line(kernel, |r| kernel.windows.iter().try_for_each(|w| r.rehearse(kernel, w)))?;
                    }
                    (Step::Routine(call), PreparedStep::AsPlanned) => self.prepare_routine(call)?,
                    (Step::Nest(_) | Step::Clear { .. }, PreparedStep::AsPlanned) => {}
                }
            }
        }
        for (n, step) in steps().enumerate() {
            let (plan, bindings) = (self.plan, self.bindings);
            self.batch.begin_step(self.connection, |began| StepNote::of(plan, n, bindings, began))?;
            match step {
                (_, PreparedStep::Nest(kernel)) => {
                    self.at_line(kernel, |r| kernel.windows.iter().try_for_each(|w| r.window(kernel, w)))?;
                    self.connection.counters.kernels.fetch_add(!kernel.continues as u64, Relaxed);
                }
                (Step::Routine(call), PreparedStep::AsPlanned) => self.record_routine(call)?,
                (Step::Clear { temp }, PreparedStep::AsPlanned) => self.clear(*temp)?,
                (Step::Nest(kernel), PreparedStep::AsPlanned) => {
                    return Err(Error::with_line(
                        ErrorKind::Internal,
                        kernel.name,
                        "the kernel was not prepared",
                        None,
                    ));
                }
            }
            self.batch.end_step(self.connection);
        }
        Ok(())
    }

    /// Returns the run's buffer that a step names.
    pub fn buffer(&self, named: BufferRef) -> RunBuffer<'a> {
        self.buffers[number(self.plan, named)]
    }

    /// Runs `work`. If it fails, adds the called function, or the kernel's name, and the caller's line to the error.
    fn at_line(&mut self, kernel: &PreparedKernel, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        work(self).map_err(|e| self.bindings.blame(e.of_kernel(kernel.name), (kernel.name, kernel.node)))
    }

    /// Creates what the dispatches of a window need (their bind groups), without recording them.
    fn rehearse(&mut self, kernel: &PreparedKernel, window: &PreparedWindow) -> Result<()> {
        let bound = self.bind(kernel, window)?;
        self.batch.rehearse(self.connection, &window.pipeline, &bound.slices)
    }

    /// Records the dispatches of one window, and marks its buffers as used by the open batch.
    fn window(&mut self, kernel: &PreparedKernel, window: &PreparedWindow) -> Result<()> {
        let bound = self.bind(kernel, window)?;
        let mut words = Words::from_slice(&window.words);
        for (n, at) in kernel.scalars.iter().copied() {
            let bits = self.bindings.scalars[n];
            (words[at], words[at + 1]) = (bits as u32, (bits >> 32) as u32);
        }
        let places = kernel.offsets.iter().flat_map(|(count, at)| *at..at + count);
        for (at, first) in places.zip(&bound.first) {
            words[at] = *first as u32;
        }
        let mut header = window.header;
        if !kernel.gathers.is_empty() {
            header.error_id = self.error_id(kernel);
        }
        let amount = (window.workgroups, window.operations);
        self.dispatch(&window.pipeline, &bound.slices, (header, &mut words), amount)?;
        for n in &window.bindings {
            let buffer = self.buffers[window.operands[*n].buffer].buffer;
            buffer.last_batch.store(self.batch.serial(), Relaxed);
        }
        Ok(())
    }

    /// Binds the buffers of a run, after checking that every element that the window touches lies inside them.
    fn bind(&self, kernel: &PreparedKernel, window: &PreparedWindow) -> Result<BoundWindow<'a>> {
        let mut first: SmallVec<[i64; 8]> = SmallVec::with_capacity(window.operands.len());
        for o in &window.operands {
            let buffer = self.buffers[o.buffer].buffer;
            let shift = o.shift(self.buffers);
            let (low, high) = o.bytes(shift);
            if o.is_used && (low < 0 || high > buffer.size as i64) {
                let (low, high) = (o.span.0 + shift, o.span.1 + shift);
                let detail = format!("elements {low}..={high} lie outside {} ({} bytes)", o.named, buffer.size);
                return Err(Error::with_line(ErrorKind::Internal, kernel.name, detail, None));
            }
            first.push(o.offset + shift);
        }
        let mut slices: SmallVec<[BufferSlice<'a>; 8]> = SmallVec::with_capacity(window.bindings.len());
        for n in &window.bindings {
            let o = &window.operands[*n];
            let DriverBuffer { buffer, id, size, .. } = self.buffers[o.buffer].buffer;
            let (offset, len) = match *size > self.caps.max_binding {
                false => (0, *size),
                true => {
                    let (low, high) = o.bytes(o.shift(self.buffers));
                    let offset = low as u64 / self.limits.storage_alignment * self.limits.storage_alignment;
                    // round the end up to a whole vector of 16 bytes if the buffer is long enough, because shaders may
                    // read vectors
                    (offset, (high as u64).next_multiple_of(16).min(*size) - offset)
                }
            };
            if len > self.caps.max_binding {
                let (name, most) = (&self.caps.name, self.caps.max_binding);
                let detail = format!("an operand spans {len} bytes; {name} binds at most {most}");
                return Err(Error::with_line(ErrorKind::LimitExceeded, kernel.name, detail, None));
            }
            slices.push(BufferSlice { buffer, id: *id, offset, len });
        }
        for (first, o) in first.iter_mut().zip(&window.operands) {
            *first -= slices[o.binding].offset as i64 / o.size;
        }
        Ok(BoundWindow { slices, first })
    }

    /// Makes the batch remember the kernel's gathers (accesses at checked indices), so that the error about an index
    /// out of range, which is returned later, can name the index and the caller's line. Returns the id of the first
    /// gather.
    fn error_id(&mut self, kernel: &PreparedKernel) -> u32 {
        let (batch, bindings) = (&mut *self.batch, self.bindings);
        batch.next_error_id(kernel.gathers.iter().map(|g| NoteSource {
            id: 0,
            line: bindings.line(g.node),
            compute: g.compute,
            refuses: NoteKind::Index { name: g.name, mode: g.mode, extent: g.extent },
        }))
    }

    /// Records dispatches of `groups` workgroups in total, which compute about `operations` scalar operations. A grid has
    /// three dimensions of limited length, so workgroups that do not fit into one grid go into further dispatches.
    pub fn dispatch(
        &mut self,
        pipeline: &Pipeline,
        slices: &[BufferSlice<'_>],
        (mut header, words): (ParamHeader, &mut [u32]),
        (groups, mut operations): (u64, u64),
    ) -> Result<()> {
        let max = self.limits.max_groups as u64;
        let mut first = 0u64;
        while first < groups {
            let left = groups - first;
            let x = left.min(max);
            let y = left.div_ceil(x).min(max);
            let z = left.div_ceil(x * y).min(max);
            header.grid_x = x as u32;
            header.grid_y = y as u32;
            header.first_group = mutant!(next_dispatch_starts_again, 0, first as u32);
            header.write(words);
            let amount = ([x as u32, y as u32, z as u32], std::mem::take(&mut operations));
            self.batch.record(self.connection, pipeline, slices, words, amount)?;
            first += x * y * z;
        }
        Ok(())
    }
}
