//! The open batch: dispatches, and clears of buffers, that are recorded but not yet submitted to the device. A batch is
//! submitted when it is long, when its parameters fill their buffer, or when the host reads, waits, or writes to memory
//! that the batch uses. This file also keeps the bind groups, the parameter buffers and the buffer of *error notes*
//! (`notes.rs`). In this file, *gathers* are all accesses at checked indices, including the stores of a scatter.

use super::connection::Connection;
use super::disk::DiskCache;
use super::notes::{ERROR_BYTES, ErrorNotes, NoteSource};
use super::pipelines::{Pipeline, Pipelines, WordMap, params_bytes};
use super::time_out::SubmittedWork;
use super::timer::Timer;
use super::wgsl::{ERROR_BINDING, PARAMS_CLASSES};
use crate::base::error::Result;
use crate::base::platform::Instant;
use crate::plan::backend::StepNote;
use smallvec::SmallVec;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Whenever the number of recorded dispatches is a multiple of this, the batch is submitted if the device has too
/// little to do (`Batch::eager`). A submission costs the host 8 µs and a dispatch 1 µs, so a submission every 64
/// dispatches adds an eighth to the host's time.
const BATCH: usize = 64;
/// The number of dispatches after which a batch is submitted even to a busy device, so that memory and latency stay
/// bounded.
const LONG_BATCH: usize = 1024;
/// The most submissions in flight before the host waits, because memory would pile up if the host ran far ahead. Chosen
/// by hand: 64 submissions of 64 dispatches are far more than a device needs to stay busy.
const AHEAD: u64 = 64;
/// The most bytes of parameters in one batch: 256 for each dispatch of a long batch. A full batch is submitted.
const RING: usize = 256 << 10;
/// The number of parameter buffers that are used in turn. With only one, the device could copy the parameters of a
/// batch to it only after the previous batch had run. Chosen by hand; no benchmark compares other values.
const RINGS: usize = 4;
/// The maximum number of bind groups in the cache, which is emptied when it is full. The number is bounded, because
/// bind groups keep their buffers alive. Chosen by hand: 8,192 are more than a program's loop uses, and few compared
/// with the driver's memory.
const GROUPS: usize = 8192;
/// The key of a cached bind group: its layout's number, then the number, offset and length of each buffer that it
/// binds.
type GroupKey = SmallVec<[u64; 16]>;

/// A range of a buffer, to be bound.
#[derive(Clone, Copy)]
pub(super) struct BufferSlice<'a> {
    pub buffer: &'a wgpu::Buffer,
    /// The buffer's number, see [`super::memory::DriverBuffer`].
    pub id: u64,
    pub offset: u64,
    pub len: u64,
}

/// A buffer for the parameters of one batch, with a bind group for each length that parameters can have
/// ([`PARAMS_CLASSES`]). The device's batches use several such buffers in turn.
struct Ring {
    buffer: wgpu::Buffer,
    groups: [Option<wgpu::BindGroup>; PARAMS_CLASSES.len()],
}

/// The open batch of a device, and the caches that recording uses.
pub(super) struct Batch {
    // fields drop in this order: a pass must end before its encoder is dropped
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: Option<wgpu::CommandEncoder>,
    dispatches: usize,
    /// The work of the open batch.
    work: SubmittedWork,
    /// The number of the open batch.
    serial: u64,
    /// A batch is submitted at a multiple of [`BATCH`] dispatches if at most this many submissions are in flight. This
    /// is 2 for a card, because two submissions keep it busy while the host records. It is 0 for a software driver,
    /// because a submission to it waits for the previous one.
    eager: u64,
    params: Vec<u8>,
    params_alignment: usize,
    rings: Vec<Ring>,
    /// The index in `rings` of the parameter buffer that the open batch uses.
    ring: usize,
    pub pipelines: Pipelines,
    groups: WordMap<GroupKey, wgpu::BindGroup>,
    /// The key that is being looked up in `groups`. The vector is kept for the next lookup, because allocating a new
    /// one would take longer than the lookup.
    key: Vec<u64>,
    /// The buffer of error notes.
    pub errors: wgpu::Buffer,
    /// Whether a gather, or a routine that can reject elements, was recorded since the error notes were last read.
    pub unread_errors: bool,
    notes: Arc<ErrorNotes>,
    /// The timer and its number, while a caller measures kernels. The number shows the caller whether another thread
    /// has replaced the timer.
    timer: Option<(u64, Timer)>,
    /// How many timers were started.
    timers: u64,
    /// A buffer whose bytes all equal the byte with which tests fill new memory. It is allocated at the first use.
    #[cfg(feature = "testing")]
    pattern: Option<wgpu::Buffer>,
}

/// Allocates a buffer of error notes. wgpu sets it to zero, which means that there are no notes.
pub(super) fn error_notes(connection: &Connection) -> wgpu::Buffer {
    connection.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("errors"),
        size: ERROR_BYTES,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

impl Batch {
    pub fn new(
        connection: &Connection,
        params_alignment: usize,
        notes: Arc<ErrorNotes>,
        disk: Option<Arc<DiskCache>>,
    ) -> Batch {
        Batch {
            pass: None,
            encoder: None,
            dispatches: 0,
            work: SubmittedWork::default(),
            serial: 1,
            eager: if connection.software { 0 } else { 2 },
            params: Vec::with_capacity(RING),
            params_alignment,
            rings: Vec::new(),
            ring: 0,
            pipelines: Pipelines::new(disk),
            groups: WordMap::default(),
            key: Vec::new(),
            errors: error_notes(connection),
            unread_errors: false,
            notes,
            timer: None,
            timers: 0,
            #[cfg(feature = "testing")]
            pattern: None,
        }
    }

    /// Returns the number of the open batch.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Returns whether the open batch has the number `serial` and is not empty.
    pub fn is_open(&self, serial: u64) -> bool {
        serial == self.serial && self.dispatches > 0
    }

    /// Forgets the cached bind groups, which releases the buffers that they hold.
    pub fn forget_groups(&mut self) {
        self.groups.clear();
    }

    /// Makes later recordings use `errors` as their buffer of error notes; returns the previous buffer.
    pub fn swap_errors(&mut self, errors: wgpu::Buffer) -> wgpu::Buffer {
        // cached bind groups bind the old buffer of notes, so they cannot be used again
        self.groups.clear();
        std::mem::replace(&mut self.errors, errors)
    }

    /// Makes the timer measure everything that is recorded from now on. Returns the timer's number.
    pub fn start_timer(&mut self, timer: Timer) -> u64 {
        self.timers += 1;
        self.timer = Some((self.timers, timer));
        self.timers
    }

    /// Removes and returns timer number `id`, unless another timer has replaced it.
    pub fn take_timer(&mut self, id: u64) -> Option<Timer> {
        self.timer.take_if(|(own, _)| *own == id).map(|(_, timer)| timer)
    }

    /// Returns the bind group for the parameters of a dispatch in the open batch's parameter buffer. `class` is the
    /// index of the parameters' length in [`PARAMS_CLASSES`].
    fn params_group(&mut self, connection: &Connection, class: usize) -> Result<wgpu::BindGroup> {
        let largest = PARAMS_CLASSES[PARAMS_CLASSES.len() - 1] as u64 * 16;
        if self.rings.len() <= self.ring {
            let buffer = connection.scoped("allocate", || {
                connection.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("parameters"),
                    // the binding of a dispatch's parameters is as long as their class, even if the parameters are
                    // shorter, so the last binding of a batch may end beyond `RING`
                    size: RING as u64 + largest,
                    usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                })
            })?;
            self.rings.push(Ring { buffer, groups: Default::default() });
        }
        let ring = self.ring;
        if let Some(group) = &self.rings[ring].groups[class] {
            return Ok(group.clone());
        }
        let layout = self.pipelines.params_layout(connection, class)?;
        let group = connection.scoped("bind", || {
            connection.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &layout,
                entries: &[wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &self.rings[ring].buffer,
                        offset: 0,
                        size: params_bytes(class),
                    }),
                }],
            })
        })?;
        self.rings[ring].groups[class] = Some(group.clone());
        Ok(group)
    }

    /// Returns the bind group of these buffers for a pipeline's layout, from the cache or newly created.
    fn bind_group(
        &mut self,
        connection: &Connection,
        pipeline: &Pipeline,
        bound: &[BufferSlice<'_>],
    ) -> Result<wgpu::BindGroup> {
        self.key.clear();
        self.key.push(pipeline.layout.number);
        for b in bound {
            self.key.extend([b.id, mutant!(bind_group_of_another_offset, 0, b.offset), b.len]);
        }
        if let Some(group) = self.groups.get(&self.key[..]) {
            return Ok(group.clone());
        }
        if self.groups.len() >= GROUPS {
            self.groups.clear();
        }
        let mut entries: SmallVec<[wgpu::BindGroupEntry<'_>; 16]> = SmallVec::new();
        for (i, b) in bound.iter().enumerate() {
            let (offset, size) = (b.offset, NonZeroU64::new(b.len));
            let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: b.buffer, offset, size });
            entries.push(wgpu::BindGroupEntry { binding: i as u32, resource });
        }
        if pipeline.checks {
            entries.push(wgpu::BindGroupEntry { binding: ERROR_BINDING, resource: self.errors.as_entire_binding() });
        }
        let group = connection.scoped("bind", || {
            let layout = &pipeline.layout.group;
            connection.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
        })?;
        self.groups.insert(GroupKey::from_slice(&self.key), group.clone());
        Ok(group)
    }

    /// Remembers the gathers (accesses at checked indices) of a kernel, or the call of a routine, so that an error note
    /// can be traced to one of them. Returns the error id of the first one ([`ErrorNotes::remember`]). The error notes
    /// count as unread from now on.
    pub fn next_error_id(&mut self, gathers: impl Iterator<Item = NoteSource>) -> u32 {
        self.unread_errors = true;
        self.notes.remember(gathers)
    }

    /// Returns whether the open batch should be submitted now. While the device is busy the batch should grow, up to
    /// [`LONG_BATCH`], because that delays nothing, and fewer submissions cost less.
    fn is_due(&self, connection: &Connection) -> bool {
        if self.dispatches == 0 || !self.dispatches.is_multiple_of(BATCH) {
            return false;
        }
        if self.dispatches >= LONG_BATCH {
            return true;
        }
        connection.poll_once();
        connection.in_flight() <= self.eager
    }

    /// Creates the bind groups that [`Batch::record`] needs. After this, `record` can fail only if it submits the
    /// batch.
    pub fn rehearse(&mut self, connection: &Connection, pipeline: &Pipeline, bound: &[BufferSlice<'_>]) -> Result<()> {
        self.bind_group(connection, pipeline, bound)?;
        self.params_group(connection, pipeline.class).map(drop)
    }

    /// Records one dispatch, which computes about `operations` scalar operations. Submits the batch first if it is due, or
    /// if its parameter buffer has no room for `params`.
    pub fn record(
        &mut self,
        connection: &Connection,
        pipeline: &Pipeline,
        bound: &[BufferSlice<'_>],
        params: &[u32],
        (groups, operations): ([u32; 3], u64),
    ) -> Result<()> {
        if self.is_due(connection) || self.params.len() + params.len() * 4 > RING {
            self.submit(connection)?;
        }
        let buffers = self.bind_group(connection, pipeline, bound)?;
        let uniform = self.params_group(connection, pipeline.class)?;
        let offset = self.params.len() as u32;
        self.params.extend_from_slice(bytemuck::cast_slice(params));
        self.params.resize(self.params.len().next_multiple_of(self.params_alignment), 0);
        let pass = match &mut self.pass {
            Some(pass) => pass,
            None => {
                let encoder = self.encoder.get_or_insert_with(|| new_encoder(connection));
                let queries = self.timer.as_mut().and_then(|(_, timer)| timer.next_pass(connection, encoder));
                let timestamp_writes = queries.as_ref().map(|pair| pair.writes([true, true]));
                let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
                let pass = encoder.begin_compute_pass(&descriptor).forget_lifetime();
                self.pass.insert(pass)
            }
        };
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &buffers, &[]);
        pass.set_bind_group(1, &uniform, &[offset]);
        let [x, y, z] = groups;
        pass.dispatch_workgroups(x, y, z);
        self.dispatches += 1;
        self.work.first_runs += !pipeline.has_run.swap(true, Relaxed) as u64;
        self.work.operations = self.work.operations.saturating_add(operations);
        connection.counters.dispatches.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Fills a buffer with zeros, after the dispatches recorded so far and before later ones.
    pub fn clear(&mut self, connection: &Connection, buffer: &wgpu::Buffer) -> Result<()> {
        if self.is_due(connection) {
            self.submit(connection)?;
        }
        self.pass = None;
        let encoder = self.encoder.get_or_insert_with(|| new_encoder(connection));
        // a clear is not part of a pass, and only passes record times. So while steps are timed, an empty pass before
        // the clear records its start, and an empty pass after it records its end
        let timer = self.timer.as_mut().map(|(_, timer)| timer).filter(|timer| timer.notes_steps());
        let queries = timer.and_then(|timer| timer.next_pass(connection, encoder));
        let empty_pass = |encoder: &mut wgpu::CommandEncoder, ends: [bool; 2]| {
            let timestamp_writes = queries.as_ref().map(|pair| pair.writes(ends));
            drop(encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes }));
        };
        if queries.is_some() {
            empty_pass(encoder, [true, false]);
        }
        encoder.clear_buffer(buffer, 0, None);
        if queries.is_some() {
            empty_pass(encoder, [false, true]);
        }
        self.dispatches += 1;
        Ok(())
    }

    /// Marks the start of a step of a plan. While steps are timed, the step gets its own passes. `note` describes the
    /// step.
    pub fn begin_step(&mut self, connection: &Connection, note: impl FnOnce(Instant) -> StepNote) -> Result<()> {
        let Some((_, timer)) = self.timer.as_ref().filter(|(_, timer)| timer.notes_steps()) else { return Ok(()) };
        let waits = timer.waits();
        self.pass = None;
        if waits {
            self.submit(connection)?;
            connection.catch_up(0, "profile")?;
        }
        if let Some((_, timer)) = &mut self.timer {
            timer.begin_step(note);
        }
        Ok(())
    }

    /// Marks the end of the step that [`Batch::begin_step`] began.
    pub fn end_step(&mut self, connection: &Connection) {
        let Some((_, timer)) = self.timer.as_ref().filter(|(_, timer)| timer.notes_steps()) else { return };
        let waits = timer.waits();
        self.pass = None;
        // the step has been recorded, so an error of the device is not returned here; the next call of the device
        // returns it
        let done = !waits || self.submit(connection).and_then(|()| connection.catch_up(0, "profile")).is_ok();
        if let Some((_, timer)) = &mut self.timer {
            timer.end_step(done);
        }
    }

    /// Returns whether a timer is running.
    pub fn has_timer(&self) -> bool {
        self.timer.is_some()
    }

    /// Fills a buffer with a byte, after the dispatches recorded so far and before later ones. Every call uses the byte
    /// of the first call, because the pattern is kept.
    #[cfg(feature = "testing")]
    pub fn fill(&mut self, connection: &Connection, buffer: &wgpu::Buffer, byte: u8) -> Result<()> {
        const PIECE: u64 = 1 << 20;
        let pattern = match &self.pattern {
            Some(pattern) => pattern,
            None => self.pattern.insert(connection.scoped("pattern", || {
                let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
                let descriptor =
                    wgpu::BufferDescriptor { label: Some("pattern"), size: PIECE, usage, mapped_at_creation: false };
                let pattern = connection.device.create_buffer(&descriptor);
                connection.queue.write_buffer(&pattern, 0, &vec![byte; PIECE as usize]);
                pattern
            })?),
        };
        self.pass = None;
        let encoder = self.encoder.get_or_insert_with(|| new_encoder(connection));
        for at in (0..buffer.size()).step_by(PIECE as usize) {
            encoder.copy_buffer_to_buffer(pattern, 0, buffer, at, PIECE.min(buffer.size() - at));
        }
        self.dispatches += 1;
        Ok(())
    }

    /// Submits the open batch, if it is not empty.
    pub fn submit(&mut self, connection: &Connection) -> Result<()> {
        if self.dispatches == 0 {
            return Ok(());
        }
        self.submit_with(connection, |_| {})
    }

    /// Submits the open batch, empty or not, followed by the copies that `copies` records. Waits while more than
    /// [`AHEAD`] submissions are in flight.
    pub fn submit_with(
        &mut self,
        connection: &Connection,
        copies: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<()> {
        self.pass = None;
        let encoder = self.encoder.take();
        let params = std::mem::take(&mut self.params);
        let work = std::mem::take(&mut self.work);
        let submitted = connection.scoped("submit", || {
            if let Some(ring) = self.rings.get(self.ring)
                && !params.is_empty()
            {
                connection.queue.write_buffer(&ring.buffer, 0, &params);
            }
            let mut encoder = encoder.unwrap_or_else(|| new_encoder(connection));
            copies(&mut encoder);
            connection.submit(encoder.finish(), work);
        });
        if !params.is_empty() {
            self.ring = (self.ring + 1) % RINGS;
        }
        self.params = params;
        self.params.clear();
        self.dispatches = 0;
        self.serial += 1;
        if let Err(error) = submitted {
            // callers already hold the arrays that this batch should have computed, so no array may be read any more
            mutant!(lost_submission_forgotten, (), connection.fail(&error));
            return Err(error);
        }
        connection.poll_once();
        // a software driver compiles when a pipeline first runs, and the process must not end meanwhile (`at_exit.rs`)
        let ahead = if work.first_runs > 0 && connection.software { 0 } else { AHEAD };
        connection.catch_up(ahead, "submit")
    }
}

pub(super) fn new_encoder(connection: &Connection) -> wgpu::CommandEncoder {
    connection.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None })
}
