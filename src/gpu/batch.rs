//! The open batch: dispatches recorded into one compute pass, with what they share: bind groups, the rings of parameters
//! and the notes of gathers. A batch is submitted when it is long, or when the host needs its results.

use super::connection::Connection;
use super::pipelines::{Pipeline, Pipelines, WordMap, params_bytes};
use super::timer::Timer;
use super::wgsl::{ERROR_BINDING, ERROR_SLOTS, PARAMS_CLASSES};
use crate::backend::{Line, index_out_of_range, refused_value};
use crate::dtype::Compute;
use crate::error::{Error, ErrorKind, Result};
use crate::routine::{Params, Routine};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::atomic::Ordering::Relaxed;

/// Dispatches after which a batch is submitted if the device has too little to do. A submission costs the host 8 µs and a
/// dispatch 1 µs, so a submission every 64 dispatches adds an eighth.
const BATCH: usize = 64;
/// Dispatches after which a batch is submitted even to a busy device, so that memory and latency stay bounded.
const LONG_BATCH: usize = 1024;
/// The most submissions under way before the host waits, because a host that runs far ahead would pile up memory. A
/// judgement: at 64 dispatches each, far more than keep a device busy.
const AHEAD: u64 = 64;
/// Bytes of the parameters of one batch: some 250 bytes for each dispatch of a long one.
const RING: usize = 256 << 10;
/// Buffers of parameters that take turns, so that the parameters of a batch can be written while batches before it still
/// read theirs.
const RINGS: usize = 4;
/// The most bind groups in the cache. They keep the buffers that they bind alive, so the cache must be bounded; when it is
/// full it is emptied. A judgement: 8,192 are more than a program's loop uses, and few beside the driver's memory.
const GROUPS: usize = 8192;
/// Gathers that are remembered (in half a MiB) until a read asks whether one of them met an index out of range. The error
/// of one that is no longer remembered names neither the index nor the caller's line.
const REMEMBERED: usize = 1 << 14;

/// Bytes of the notes about indices out of range.
pub(super) const ERROR_BYTES: u64 = 16 * ERROR_SLOTS as u64;

/// What a cached bind group binds: its layout, then number, offset and length of each buffer.
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

/// A buffer for the parameters of one batch, with a bind group for each class of parameters.
struct Ring {
    buffer: wgpu::Buffer,
    groups: [Option<wgpu::BindGroup>; PARAMS_CLASSES.len()],
}

/// What a kernel refused when it wrote an error note.
pub(super) enum Refuses {
    /// The index of a gather from this many elements.
    Index { name: &'static str, extent: usize },
    /// An element of a routine's first operand.
    Element { row: &'static Routine, params: Params },
}

/// A gather that may meet an index out of range, or a routine that may meet an element that it refuses.
pub(super) struct Checked {
    /// The id under which the shader notes it; set when it is recorded.
    pub id: u32,
    /// The caller's line of the `take` or the routine, in this evaluation.
    pub line: Option<Line>,
    /// The type of its indices or elements.
    pub compute: Compute,
    pub refuses: Refuses,
}

/// The open batch of a device, and the caches that recording uses.
pub(super) struct Batch {
    // fields drop in this order: a pass must end before its encoder is dropped
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: Option<wgpu::CommandEncoder>,
    dispatches: usize,
    /// Pipelines that run for the first time in the open batch.
    first_runs: u64,
    /// The number of the open batch.
    serial: u64,
    /// A batch of [`BATCH`] dispatches is submitted if at most so many submissions are under way. It is 0 for a software
    /// driver, whose submission waits for the one before; 2 keep a card busy while the host records the next.
    eager: u64,
    params: Vec<u8>,
    params_alignment: usize,
    rings: Vec<Ring>,
    /// The ring of the open batch.
    ring: usize,
    pub pipelines: Pipelines,
    groups: WordMap<GroupKey, wgpu::BindGroup>,
    /// The buffer in which gathers note indices out of range.
    pub errors: wgpu::Buffer,
    /// Whether a gather was recorded since the notes were last read.
    pub unread_errors: bool,
    /// How many gathers were recorded, modulo 2^32. The next one's number is its id in the device's notes of bad indices.
    gathers: u32,
    checked: VecDeque<Checked>,
    /// The timer, while a caller measures kernels. Its number tells whether another thread has replaced it since.
    timer: Option<(u64, Timer)>,
    /// How many timers were started.
    timers: u64,
    /// The bytes that tests fill memory with.
    #[cfg(feature = "testing")]
    pattern: Option<wgpu::Buffer>,
}

/// A buffer in which gathers note an index that is out of range.
pub(super) fn error_notes(connection: &Connection) -> wgpu::Buffer {
    connection.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("errors"),
        size: ERROR_BYTES,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

impl Batch {
    pub fn new(connection: &Connection, params_alignment: usize) -> Batch {
        Batch {
            pass: None,
            encoder: None,
            dispatches: 0,
            first_runs: 0,
            serial: 1,
            eager: if connection.software { 0 } else { 2 },
            params: Vec::with_capacity(RING),
            params_alignment,
            rings: Vec::new(),
            ring: 0,
            pipelines: Pipelines::default(),
            groups: WordMap::default(),
            errors: error_notes(connection),
            unread_errors: false,
            gathers: 0,
            checked: VecDeque::new(),
            timer: None,
            timers: 0,
            #[cfg(feature = "testing")]
            pattern: None,
        }
    }

    /// The number of the open batch.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Whether the open batch has the number `serial` and is not empty.
    pub fn is_open(&self, serial: u64) -> bool {
        serial == self.serial && self.dispatches > 0
    }

    /// Forgets the cached bind groups, and so the buffers that they hold.
    pub fn forget_groups(&mut self) {
        self.groups.clear();
    }

    /// Has gathers note bad indices in `errors` from now on; gives back the buffer in which they did until now.
    pub fn swap_errors(&mut self, errors: wgpu::Buffer) -> wgpu::Buffer {
        // cached bind groups bind the old buffer of notes, so they cannot be used again
        self.groups.clear();
        std::mem::replace(&mut self.errors, errors)
    }

    /// Times the passes that begin from now on; gives the timer's number.
    pub fn start_timer(&mut self, timer: Timer) -> u64 {
        self.timers += 1;
        self.timer = Some((self.timers, timer));
        self.timers
    }

    /// Ends a timer, if no other has taken its place.
    pub fn take_timer(&mut self, id: u64) -> Option<Timer> {
        self.timer.take_if(|(own, _)| *own == id).map(|(_, timer)| timer)
    }

    /// The parameters' bind group of the open batch's ring.
    fn params_group(&mut self, connection: &Connection, class: usize) -> Result<wgpu::BindGroup> {
        let largest = PARAMS_CLASSES[PARAMS_CLASSES.len() - 1] as u64 * 16;
        if self.rings.len() <= self.ring {
            let buffer = connection.scoped("allocate", || {
                connection.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("parameters"),
                    // a binding has the length of its class, so the last one may reach beyond the ring's end
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

    /// The bind group of these buffers, from the cache where it has been used before.
    fn bind_group(
        &mut self,
        connection: &Connection,
        pipeline: &Pipeline,
        bound: &[BufferSlice<'_>],
    ) -> Result<wgpu::BindGroup> {
        let mut key: GroupKey = SmallVec::new();
        key.push(pipeline.layout.number);
        for b in bound {
            key.extend_from_slice(&[b.id, mutant!(bind_group_of_another_offset, 0, b.offset), b.len]);
        }
        if let Some(group) = self.groups.get(&key) {
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
        self.groups.insert(key, group.clone());
        Ok(group)
    }

    /// Registers a kernel's gathers; gives the id under which the first of them notes a bad index. Each further gather has
    /// the next smaller id, because the shader keeps the largest one, which must be that of the first error.
    pub fn next_error_id(&mut self, gathers: impl Iterator<Item = Checked>) -> u32 {
        let first = self.gathers.wrapping_add(1);
        for gather in gathers {
            self.gathers = self.gathers.wrapping_add(1);
            if self.checked.len() == REMEMBERED {
                self.checked.pop_front();
            }
            self.checked.push_back(Checked { id: u32::MAX - self.gathers, ..gather });
        }
        self.unread_errors = true;
        u32::MAX - first
    }

    /// The first error that gathers and routines have noted, if any.
    pub fn index_error(&self, notes: &[u8]) -> Option<Error> {
        let words = |note: &[u8]| -> [u32; 3] {
            std::array::from_fn(|i| u32::from_le_bytes(std::array::from_fn(|b| note[4 * i + b])))
        };
        let [id, low, high] = notes.chunks_exact(16).map(words).max_by_key(|w| w[0])?;
        if id == 0 {
            return None;
        }
        let Some(gather) = self.checked.iter().find(|c| mutant!(error_of_another_gather, true, c.id == id)) else {
            return Some(Error::new(ErrorKind::Index, "take", "an index is out of range", None));
        };
        let bits = mutant!(note_without_its_upper_word, 0, high as u64) << 32 | low as u64;
        let index = if gather.compute == Compute::U64 { bits as i128 } else { bits as i64 as i128 };
        Some(match &gather.refuses {
            Refuses::Index { name, extent } => index_out_of_range(name, index, *extent, gather.line),
            Refuses::Element { row, params } => refused_value(row, params, index, gather.line),
        })
    }

    /// Whether the open batch should be submitted now: while the device is busy, a longer batch costs less.
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

    /// Makes the bind groups that [`Batch::record`] needs, which is all of it that may fail before a submission.
    pub fn rehearse(&mut self, connection: &Connection, pipeline: &Pipeline, bound: &[BufferSlice<'_>]) -> Result<()> {
        self.bind_group(connection, pipeline, bound)?;
        self.params_group(connection, pipeline.class).map(drop)
    }

    /// Records one dispatch.
    pub fn record(
        &mut self,
        connection: &Connection,
        pipeline: &Pipeline,
        bound: &[BufferSlice<'_>],
        params: &[u32],
        groups: [u32; 3],
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
                let timestamp_writes = self.timer.as_mut().and_then(|(_, timer)| timer.next_pass());
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
        self.first_runs += !pipeline.has_run.swap(true, Relaxed) as u64;
        connection.counters.dispatches.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Fills a buffer with zeros, after the dispatches recorded so far and before those that follow.
    pub fn clear(&mut self, connection: &Connection, buffer: &wgpu::Buffer) -> Result<()> {
        if self.is_due(connection) {
            self.submit(connection)?;
        }
        self.pass = None;
        let encoder = self.encoder.get_or_insert_with(|| new_encoder(connection));
        encoder.clear_buffer(buffer, 0, None);
        self.dispatches += 1;
        Ok(())
    }

    /// Fills a buffer with a byte, after the dispatches recorded so far and before those that follow.
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

    /// Submits the open batch, empty or not, followed by the copies that `copies` records.
    pub fn submit_with(
        &mut self,
        connection: &Connection,
        copies: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<()> {
        self.pass = None;
        let encoder = self.encoder.take();
        let params = std::mem::take(&mut self.params);
        let first_runs = std::mem::take(&mut self.first_runs);
        let submitted = connection.scoped("submit", || {
            if let Some(ring) = self.rings.get(self.ring)
                && !params.is_empty()
            {
                connection.queue.write_buffer(&ring.buffer, 0, &params);
            }
            let mut encoder = encoder.unwrap_or_else(|| new_encoder(connection));
            copies(&mut encoder);
            connection.submit(encoder.finish(), first_runs);
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
        let ahead = if first_runs > 0 && connection.software { 0 } else { AHEAD };
        connection.catch_up(ahead, "submit")
    }
}

fn new_encoder(connection: &Connection) -> wgpu::CommandEncoder {
    connection.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None })
}
