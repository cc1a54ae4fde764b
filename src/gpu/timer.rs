//! Measures the time that kernels take. While a timer runs, each compute pass records its start and its end by the
//! device's own clock. A timer of steps gives each step of a plan its own passes. On a device without such a clock, the
//! host waits for the device before and after each step, and measures the time.

use super::connection::Connection;
use crate::base::error::Result;
use crate::base::platform::Instant;
use crate::plan::backend::{Clock, Detail, Recording, StepNote, busy};
use std::time::Duration;

/// The number of passes whose times one query set holds. A pass uses two queries, and a query set of wgpu has at most
/// 4,096, so 2,048 passes would fit. With 512, a short profile uses little memory (8 KiB), and a long one rarely needs
/// another set.
const PASSES: u32 = 512;
/// The size in bytes of a pass's times: the ticks of its start and its end, of 8 bytes each.
const PASS_BYTES: usize = 2 * 8;

/// A query set of the driver, which records times, and the buffer to which the times are copied for reading back, in
/// ticks of the device's clock.
struct Set {
    queries: wgpu::QuerySet,
    ticks: wgpu::Buffer,
    /// For each pass that records its times in this set, the number of the pass's step.
    passes: Vec<usize>,
}

/// The two queries that record the start and the end of a pass.
pub(super) struct QueryPair {
    queries: wgpu::QuerySet,
    first: u32,
}

impl QueryPair {
    /// Makes a pass record its start if `ends[0]` is true, and its end if `ends[1]` is true.
    pub fn writes(&self, ends: [bool; 2]) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: ends[0].then_some(self.first),
            end_of_pass_write_index: ends[1].then_some(self.first + 1),
        }
    }
}

/// Measures the times of all compute passes, or steps, that are recorded into the batch while this is the batch's
/// timer.
pub(super) struct Timer {
    detail: Detail,
    clock: Clock,
    began: Instant,
    steps: Vec<StepNote>,
    /// Whether a step is being recorded. Passes between steps belong to no step.
    in_step: bool,
    /// The query sets. All but the last are full.
    sets: Vec<Set>,
    /// Whether the time of a pass or of a step could not be recorded.
    lost: bool,
}

/// Returns whether a device can record when passes begin and end.
pub(super) fn has_clock(connection: &Connection) -> bool {
    connection.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
}

impl Timer {
    pub fn new(clock: Clock, detail: Detail) -> Timer {
        Timer { detail, clock, began: Instant::now(), steps: vec![], in_step: false, sets: vec![], lost: false }
    }

    /// Returns whether each step has its own passes and its own time.
    pub fn notes_steps(&self) -> bool {
        self.detail == Detail::Steps
    }

    /// Returns whether the host must wait for the device before and after each step.
    pub fn waits(&self) -> bool {
        self.notes_steps() && self.clock == Clock::HostWithWaits
    }

    /// Marks the start of a step. `note` gets the time when the timer was started, and returns the description of the
    /// step.
    pub fn begin_step(&mut self, note: impl FnOnce(Instant) -> StepNote) {
        let note = note(self.began);
        self.steps.push(note);
        self.in_step = true;
    }

    /// Marks the end of a step's recording. On a device without a clock, the step has also run, unless `done` is false.
    pub fn end_step(&mut self, done: bool) {
        self.in_step = false;
        self.lost |= !done;
        if let Some(step) = self.steps.last_mut().filter(|_| self.clock == Clock::HostWithWaits) {
            step.start = step.enqueued;
            step.end = self.began.elapsed();
            step.time = step.end.saturating_sub(step.start);
        }
    }

    /// Returns the queries of the pass that begins next, or `None` if its times are not recorded. If the query set is
    /// full, records the copy of its times, and creates another set.
    pub fn next_pass(&mut self, connection: &Connection, encoder: &mut wgpu::CommandEncoder) -> Option<QueryPair> {
        if self.clock != Clock::Device || (self.notes_steps() && !self.in_step) {
            return None;
        }
        let is_full = |set: &Set| set.passes.len() == PASSES as usize;
        if self.sets.last().is_none_or(is_full) {
            mutant!(full_query_set_left, (), self.resolve(encoder));
            let Ok(set) = new_set(connection) else {
                // the kernel runs anyway, and the recording is marked as incomplete
                self.lost = true;
                return None;
            };
            self.sets.push(set);
        }
        let set = self.sets.last_mut()?;
        let first = 2 * set.passes.len() as u32;
        set.passes.push(self.steps.len().saturating_sub(1));
        Some(QueryPair { queries: set.queries.clone(), first })
    }

    /// Records the copy of the times in the last query set to its buffer. The other sets were copied when they were
    /// full.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        if let Some(set) = self.sets.last() {
            encoder.resolve_query_set(&set.queries, 0..2 * set.passes.len() as u32, &set.ticks, 0);
        }
    }

    /// Returns the buffers of times, each with the number of its bytes that are in use.
    pub fn buffers(&self) -> impl Iterator<Item = (&wgpu::Buffer, usize)> {
        self.sets.iter().map(|set| (&set.ticks, set.passes.len() * PASS_BYTES))
    }

    /// Returns the recording, given the content of all [`Timer::buffers`] one after another.
    pub fn finish(mut self, ticks: &[u8], nanoseconds_per_tick: f32) -> Recording {
        let (clock, is_complete) = (self.clock, !self.lost);
        if clock != Clock::Device {
            let intervals = self.steps.iter().map(|s| (s.start, s.end)).collect();
            let busy = self.notes_steps().then(|| busy(intervals));
            return Recording { steps: self.steps, busy, clock, is_complete };
        }
        let ticks = bytemuck::pod_collect_to_vec::<u8, u64>(ticks);
        let first = ticks.iter().step_by(2).min().copied().unwrap_or(0);
        let since = |tick: u64| {
            let nanoseconds = tick.saturating_sub(first) as f64 * f64::from(nanoseconds_per_tick);
            Duration::from_nanos(nanoseconds as u64)
        };
        let times: Vec<_> = ticks.chunks_exact(2).map(|pass| (since(pass[0]), since(pass[1].max(pass[0])))).collect();
        if self.notes_steps() {
            self.place_steps(&times);
        }
        let busy = busy(times);
        // if the times of a pass are missing, it is unknown how long the device was busy
        Recording { steps: self.steps, busy: is_complete.then_some(busy), clock, is_complete }
    }

    /// Sets the times of each step from the times of its passes. The offset between the device's clock and the host's
    /// is unknown. So all times are shifted by the smallest amount for which no step begins before it was enqueued.
    fn place_steps(&mut self, times: &[(Duration, Duration)]) {
        let numbers = || self.sets.iter().flat_map(|set| set.passes.iter().copied());
        let mut ran = vec![false; self.steps.len()];
        let mut shift = Duration::ZERO;
        for (n, (start, _)) in numbers().zip(times) {
            shift = shift.max(self.steps[n].enqueued.saturating_sub(*start));
        }
        let numbers: Vec<usize> = numbers().collect();
        for (n, (start, end)) in numbers.into_iter().zip(times) {
            let (step, start, end) = (&mut self.steps[n], *start + shift, *end + shift);
            step.start = if ran[n] { step.start.min(start) } else { start };
            step.end = step.end.max(end);
            step.time += end - start;
            ran[n] = true;
        }
        for (step, ran) in self.steps.iter_mut().zip(ran) {
            // a step without elements to compute has no pass, so it gets the time when it was enqueued
            if !ran {
                (step.start, step.end) = (step.enqueued, step.enqueued);
            }
        }
    }
}

fn new_set(connection: &Connection) -> Result<Set> {
    let (queries, ticks) = connection.scoped("allocate", || {
        let queries = connection.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timer"),
            ty: wgpu::QueryType::Timestamp,
            count: 2 * PASSES,
        });
        let ticks = connection.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timer"),
            size: PASSES as u64 * PASS_BYTES as u64,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        (queries, ticks)
    })?;
    Ok(Set { queries, ticks, passes: vec![] })
}
