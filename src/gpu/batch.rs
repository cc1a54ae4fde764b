//! The open batch: dispatches recorded into one compute pass, with what they share: pipelines, bind groups, and the
//! ring of parameters. A batch is submitted when it is long, or when the host needs its results.

use super::device::{Clock, Shared};
use super::memory::lock;
use super::timer::Timer;
use super::wgsl::{Access, ERROR_BINDING, ERROR_SLOTS, Form, Key, PARAMS_CLASSES, Slot, Variant};
use crate::backend::{Line, index_out_of_range};
use crate::dtype::Compute;
use crate::error::{Error, ErrorKind, Result};
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Dispatches after which a batch may be submitted, if the device has too little to do.
const BATCH: usize = 64;
/// Dispatches after which it is submitted anyway.
const LONG_BATCH: usize = 1024;
/// Submissions that may be under way before the host waits.
const AHEAD: u64 = 64;
/// Bytes of parameters of one batch.
const RING: usize = 256 << 10;
/// Buffers of parameters that take turns, so that a batch need not wait for the last one's reads.
const RINGS: usize = 4;
/// Bind groups kept.
const GROUPS: usize = 8192;
/// Gathers that are remembered for an error.
const REMEMBERED: usize = 1 << 14;

/// Bytes of the notes about indices out of range.
pub(super) const ERROR_BYTES: u64 = 16 * ERROR_SLOTS as u64;

/// A quick hash for keys of words that nobody chooses to collide.
#[derive(Default)]
pub(super) struct WordHasher(u64);

impl Hasher for WordHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<WordHasher>>;
type GroupKey = SmallVec<[u64; 16]>;

/// What a buffer is bound as.
#[derive(Clone, Copy)]
pub(super) struct Bound<'a> {
    pub buffer: &'a wgpu::Buffer,
    /// The raw buffer's number.
    pub id: u64,
    pub offset: u64,
    pub len: u64,
}

/// The shape of a pipeline's bindings.
#[derive(PartialEq, Eq, Hash)]
struct LayoutKey {
    access: SmallVec<[bool; 16]>,
    checks: bool,
    params: u32,
}

struct Layout {
    /// For the bind group cache.
    number: u64,
    group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

/// A compiled kernel.
pub(super) struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    layout: Arc<Layout>,
    /// Which of [`PARAMS_CLASSES`].
    class: usize,
    checks: bool,
}

struct Ring {
    buffer: wgpu::Buffer,
    groups: [Option<wgpu::BindGroup>; PARAMS_CLASSES.len()],
}

pub(super) struct Batch {
    // the pass ends before its encoder is finished or dropped
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: Option<wgpu::CommandEncoder>,
    dispatches: usize,
    /// The number of the open batch.
    serial: u64,
    submitted: u64,
    params: Vec<u8>,
    rings: Vec<Ring>,
    ring: usize,
    params_layouts: [Option<wgpu::BindGroupLayout>; PARAMS_CLASSES.len()],
    params_alignment: usize,
    layouts: HashMap<LayoutKey, Arc<Layout>>,
    by_key: Map<Key, Arc<Pipeline>>,
    by_text: HashMap<String, Arc<Pipeline>>,
    groups: Map<GroupKey, wgpu::BindGroup>,
    /// What tests fill memory with.
    pattern: Option<wgpu::Buffer>,
    /// Where a gather notes that an index was out of range.
    pub errors: wgpu::Buffer,
    /// Whether a gather ran since that was last read.
    pub unread_errors: bool,
    /// Set while somebody wants to know how long kernels take.
    pub timer: Option<Timer>,
    /// Pipelines of the batch that have never run.
    fresh: u64,
    error_id: u32,
    checked: VecDeque<Checked>,
}

/// A gather that may meet an index out of range.
pub(super) struct Checked {
    /// Its id in the notes on the device; set when it is recorded.
    pub id: u32,
    /// Where this evaluation's caller wrote it.
    pub line: Option<Line>,
    /// The type of its indices.
    pub compute: Compute,
    pub extent: usize,
}

/// A place where gathers note an index that is out of range.
pub(super) fn error_notes(device: &wgpu::Device) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("errors"),
        size: ERROR_BYTES,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

impl Batch {
    pub fn new(device: &wgpu::Device, limits: &wgpu::Limits) -> Batch {
        Batch {
            pass: None,
            encoder: None,
            dispatches: 0,
            serial: 1,
            submitted: 0,
            params: Vec::with_capacity(RING),
            rings: Vec::new(),
            ring: 0,
            params_layouts: Default::default(),
            params_alignment: (limits.min_uniform_buffer_offset_alignment as usize).max(16),
            layouts: HashMap::new(),
            by_key: Map::default(),
            by_text: HashMap::new(),
            groups: Map::default(),
            pattern: None,
            errors: error_notes(device),
            unread_errors: false,
            timer: None,
            fresh: 0,
            error_id: 0,
            checked: VecDeque::new(),
        }
    }

    /// Whether the open batch uses what was stamped with `serial`.
    pub fn is_open(&self, serial: u64) -> bool {
        serial == self.serial && self.dispatches > 0
    }

    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// How many submissions there were.
    pub fn submitted(&self) -> u64 {
        self.submitted
    }

    /// Forgets bind groups, and so the buffers that they hold.
    pub fn forget_groups(&mut self) {
        self.groups.clear();
    }

    /// Has gathers note bad indices elsewhere from now on; gives back where they did.
    pub fn swap_errors(&mut self, errors: wgpu::Buffer) -> wgpu::Buffer {
        // bind groups hold the place
        self.groups.clear();
        std::mem::replace(&mut self.errors, errors)
    }

    /// The pipeline of a key, made from the text that `text` writes if it is not there yet.
    pub fn pipeline(
        &mut self,
        shared: &Shared,
        key: Key,
        form: &Form,
        variant: &Variant,
        text: impl FnOnce() -> Result<String>,
    ) -> Result<Arc<Pipeline>> {
        if let Some(known) = self.by_key.get(&key) {
            return Ok(known.clone());
        }
        let text = text()?;
        let made = match self.by_text.get(&text) {
            Some(known) => known.clone(),
            None => {
                let made = Arc::new(self.compile(shared, form, variant, &text)?);
                self.by_text.insert(text, made.clone());
                made
            }
        };
        self.by_key.insert(key, made.clone());
        Ok(made)
    }

    fn compile(&mut self, shared: &Shared, form: &Form, variant: &Variant, text: &str) -> Result<Pipeline> {
        if shared.debug_wgsl {
            eprintln!("{text}");
        }
        let class = PARAMS_CLASSES.iter().position(|c| *c == variant.params).unwrap_or(0);
        let layout = self.layout(shared, form, variant, class)?;
        let refused = shared.faults.hit("shader").is_some();
        let pipeline = shared.scoped("compile", || {
            let text = if refused { "a text that is no shader" } else { text };
            let source = wgpu::ShaderSource::Wgsl(text.into());
            let descriptor = wgpu::ShaderModuleDescriptor { label: None, source };
            // SAFETY: the text comes from our generator. Every index is below the extents that the planner proved to
            // lie inside the bound range, a gather clamps its own, every loop has a bound, and integer divisors are
            // made nonzero by the library's functions.
            let module = unsafe {
                shared.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
            };
            shared.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: Some(&layout.pipeline),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: None,
            })
        })?;
        shared.counters.compiles.fetch_add(1, Relaxed);
        self.fresh += 1;
        Ok(Pipeline { pipeline, layout, class, checks: form.checks })
    }

    fn layout(&mut self, shared: &Shared, form: &Form, variant: &Variant, class: usize) -> Result<Arc<Layout>> {
        let reads = |s: &Slot| s.access == Access::Read;
        let key = LayoutKey {
            access: variant.slots.iter().map(reads).collect(),
            checks: form.checks,
            params: variant.params,
        };
        if let Some(known) = self.layouts.get(&key) {
            return Ok(known.clone());
        }
        let params = self.params_layout(shared, class)?;
        let entry = |binding: u32, read_only: bool| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let mut entries: Vec<_> = key.access.iter().enumerate().map(|(i, r)| entry(i as u32, *r)).collect();
        if form.checks {
            entries.push(entry(ERROR_BINDING, false));
        }
        let (group, pipeline) = shared.scoped("layout", || {
            let device = &shared.device;
            let group =
                device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
            let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&group), Some(&params)],
                immediate_size: 0,
            });
            (group, pipeline)
        })?;
        let layout = Arc::new(Layout { number: self.layouts.len() as u64, group, pipeline });
        self.layouts.insert(key, layout.clone());
        Ok(layout)
    }

    fn params_layout(&mut self, shared: &Shared, class: usize) -> Result<wgpu::BindGroupLayout> {
        if let Some(layout) = &self.params_layouts[class] {
            return Ok(layout.clone());
        }
        let entry = wgpu::BindGroupLayoutEntry {
            binding: 0,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: true,
                min_binding_size: NonZeroU64::new(PARAMS_CLASSES[class] as u64 * 16),
            },
            count: None,
        };
        let layout = shared.scoped("layout", || {
            let descriptor = wgpu::BindGroupLayoutDescriptor { label: None, entries: &[entry] };
            shared.device.create_bind_group_layout(&descriptor)
        })?;
        self.params_layouts[class] = Some(layout.clone());
        Ok(layout)
    }

    /// The parameters' bind group of the current ring.
    fn params_group(&mut self, shared: &Shared, class: usize) -> Result<wgpu::BindGroup> {
        let largest = PARAMS_CLASSES[PARAMS_CLASSES.len() - 1] as u64 * 16;
        if self.rings.len() <= self.ring {
            let buffer = shared.scoped("allocate", || {
                shared.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("parameters"),
                    // a binding reaches over the parameters' end
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
        let layout = self.params_layout(shared, class)?;
        let group = shared.scoped("bind", || {
            shared.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &layout,
                entries: &[wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &self.rings[ring].buffer,
                        offset: 0,
                        size: NonZeroU64::new(PARAMS_CLASSES[class] as u64 * 16),
                    }),
                }],
            })
        })?;
        self.rings[ring].groups[class] = Some(group.clone());
        Ok(group)
    }

    /// The bind group of these buffers, from the cache where it has been used before.
    fn group(&mut self, shared: &Shared, pipeline: &Pipeline, bound: &[Bound<'_>]) -> Result<wgpu::BindGroup> {
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
        let errors = self.errors.clone();
        let mut entries: SmallVec<[wgpu::BindGroupEntry<'_>; 16]> = SmallVec::new();
        for (i, b) in bound.iter().enumerate() {
            let (offset, size) = (b.offset, NonZeroU64::new(b.len));
            let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: b.buffer, offset, size });
            entries.push(wgpu::BindGroupEntry { binding: i as u32, resource });
        }
        if pipeline.checks {
            entries.push(wgpu::BindGroupEntry { binding: ERROR_BINDING, resource: errors.as_entire_binding() });
        }
        let group = shared.scoped("bind", || {
            let layout = &pipeline.layout.group;
            shared.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
        })?;
        self.groups.insert(key, group.clone());
        Ok(group)
    }

    /// The id under which the first of a kernel's gathers notes a bad index; each of the others has the next smaller
    /// one. Ids fall, so that the largest one noted is that of the first gather.
    pub fn next_error_id(&mut self, gathers: impl Iterator<Item = Checked>) -> u32 {
        let first = self.error_id.wrapping_add(1);
        for gather in gathers {
            self.error_id = self.error_id.wrapping_add(1);
            if self.checked.len() == REMEMBERED {
                self.checked.pop_front();
            }
            self.checked.push_back(Checked { id: u32::MAX - self.error_id, ..gather });
        }
        self.unread_errors = true;
        u32::MAX - first
    }

    /// The error that the notes of gathers tell of, if they do.
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
        Some(index_out_of_range(index, gather.extent, gather.line))
    }

    /// Whether the open batch should go to the device: while that is busy, a longer batch costs less.
    fn is_due(&self, shared: &Shared) -> bool {
        if self.dispatches == 0 || !self.dispatches.is_multiple_of(BATCH) {
            return false;
        }
        if self.dispatches >= LONG_BATCH {
            return true;
        }
        shared.poll_once();
        self.submitted.saturating_sub(shared.completed.load(Relaxed)) <= shared.eager
    }

    /// Makes what [`Batch::record`] may fail to make.
    pub fn prepare(&mut self, shared: &Shared, pipeline: &Pipeline, bound: &[Bound<'_>]) -> Result<()> {
        self.group(shared, pipeline, bound)?;
        self.params_group(shared, pipeline.class).map(drop)
    }

    /// Records one dispatch.
    pub fn record(
        &mut self,
        shared: &Shared,
        pipeline: &Pipeline,
        bound: &[Bound<'_>],
        params: &[u32],
        groups: [u32; 3],
    ) -> Result<()> {
        if self.is_due(shared) || self.params.len() + params.len() * 4 > RING {
            self.submit(shared)?;
        }
        let buffers = self.group(shared, pipeline, bound)?;
        let uniform = self.params_group(shared, pipeline.class)?;
        let offset = self.params.len() as u32;
        self.params.extend_from_slice(bytemuck::cast_slice(params));
        self.params.resize(self.params.len().next_multiple_of(self.params_alignment), 0);
        let pass = match &mut self.pass {
            Some(pass) => pass,
            None => {
                let descriptor = wgpu::CommandEncoderDescriptor { label: None };
                let encoder = self.encoder.get_or_insert_with(|| shared.device.create_command_encoder(&descriptor));
                let timestamp_writes = self.timer.as_mut().and_then(Timer::next_pass);
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
        shared.counters.dispatches.fetch_add(1, Relaxed);
        Ok(())
    }

    /// For tests: fills a buffer with a byte, after what is recorded and before what comes.
    pub fn fill(&mut self, shared: &Shared, buffer: &wgpu::Buffer, byte: u8) -> Result<()> {
        const PIECE: u64 = 1 << 20;
        let pattern = match &self.pattern {
            Some(pattern) => pattern,
            None => self.pattern.insert(shared.scoped("pattern", || {
                let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
                let descriptor =
                    wgpu::BufferDescriptor { label: Some("pattern"), size: PIECE, usage, mapped_at_creation: false };
                let pattern = shared.device.create_buffer(&descriptor);
                shared.queue.write_buffer(&pattern, 0, &vec![byte; PIECE as usize]);
                pattern
            })?),
        };
        self.pass = None;
        let descriptor = wgpu::CommandEncoderDescriptor { label: None };
        let encoder = self.encoder.get_or_insert_with(|| shared.device.create_command_encoder(&descriptor));
        for at in (0..buffer.size()).step_by(PIECE as usize) {
            encoder.copy_buffer_to_buffer(pattern, 0, buffer, at, PIECE.min(buffer.size() - at));
        }
        self.dispatches += 1;
        Ok(())
    }

    /// Submits what is open.
    pub fn submit(&mut self, shared: &Shared) -> Result<()> {
        if self.dispatches == 0 {
            return Ok(());
        }
        self.submit_with(shared, |_| {})
    }

    /// Submits what is open, and copies after it.
    pub fn submit_with(&mut self, shared: &Shared, copies: impl FnOnce(&mut wgpu::CommandEncoder)) -> Result<()> {
        self.pass = None;
        let encoder = self.encoder.take();
        let params = std::mem::take(&mut self.params);
        let mut called_back = false;
        let fresh = std::mem::take(&mut self.fresh);
        let submitted = shared.scoped("submit", || {
            if let Some(ring) = self.rings.get(self.ring)
                && !params.is_empty()
            {
                shared.queue.write_buffer(&ring.buffer, 0, &params);
            }
            let mut encoder = encoder.unwrap_or_else(|| {
                shared.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None })
            });
            copies(&mut encoder);
            shared.first_runs.fetch_add(fresh, Relaxed);
            shared.queue.submit([encoder.finish()]);
            let (completed, first_runs) = (shared.completed.clone(), shared.first_runs.clone());
            shared.queue.on_submitted_work_done(move || {
                completed.fetch_add(1, Relaxed);
                first_runs.fetch_sub(fresh, Relaxed);
            });
            called_back = true;
        });
        if !params.is_empty() {
            self.ring = (self.ring + 1) % RINGS;
        }
        self.params = params;
        self.params.clear();
        self.dispatches = 0;
        self.serial += 1;
        // counted even if it failed: its callback comes all the same
        self.submitted += called_back as u64;
        if let Err(error) = submitted {
            // arrays that the batch was to compute have been handed out: nothing of the device may be read again
            mutant!(lost_submission_forgotten, (), shared.fail(&error));
            return Err(error);
        }
        shared.poll_once();
        // a host that runs far ahead would pile up memory; a software driver compiles when a pipeline first runs, and
        // the process must not end meanwhile (see exit.rs)
        let ahead = if fresh > 0 && shared.software { 0 } else { AHEAD };
        let (clock, since) = (Clock::new(shared), Instant::now());
        let caught_up = || self.submitted.saturating_sub(shared.completed.load(Relaxed)) <= ahead;
        while !caught_up() {
            shared.poll_until(since, caught_up);
            shared.check()?;
            if clock.expired(shared) {
                return Err(shared.timed_out("submit"));
            }
        }
        Ok(())
    }
}

impl Shared {
    /// Submits the open batch if it uses what carries this stamp, so that the host may write to it.
    pub(super) fn flush_use(&self, stamp: u64) -> Result<()> {
        let mut batch = lock(&self.batch);
        if batch.is_open(stamp) { batch.submit(self) } else { Ok(()) }
    }
}
