//! Compiles shaders to pipelines, and keeps the pipelines and the layouts of their bindings.

use super::at_exit;
use super::connection::{Connection, lock};
use super::disk::DiskCache;
use super::wgsl::{Access, ERROR_BINDING, PARAMS_CLASSES, ShaderKey, Slot};
use crate::base::error::{Error, ErrorKind, Result};
use crate::plan::debug;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// A fast hash for keys made of words. It need not resist an attacker, because no outsider chooses the words.
#[derive(Default)]
pub(super) struct WordHasher(u64);

impl Hasher for WordHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.write_u64(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        if !words.remainder().is_empty() {
            self.write_u64(words.remainder().iter().rev().fold(0, |word, byte| word << 8 | *byte as u64));
        }
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn write_u64(&mut self, word: u64) {
        // the constant is 2^64 divided by the golden ratio: the product spreads each bit of the word over the bits
        // above it, and the rotation (by 23, which shares no factor with 64) brings the upper bits down for the next
        // word
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// A map whose keys are words.
pub(super) type WordMap<K, V> = HashMap<K, V, BuildHasherDefault<WordHasher>>;

/// The run-time checks that wgpu adds to generated shaders: none. The SAFETY comment in `compile` explains why such
/// shaders need none.
pub(super) const CHECKS: wgpu::ShaderRuntimeChecks = wgpu::ShaderRuntimeChecks::unchecked();
/// Whether wgpu fills workgroup memory with zeros. This is not necessary, because generated shaders write to workgroup
/// memory before they read it.
pub(super) const ZEROES_WORKGROUP_MEMORY: bool = false;

/// The buffers and parameters that a shader binds.
#[derive(Clone, Copy)]
pub(super) struct Interface<'a> {
    pub slots: &'a [Slot],
    /// Whether the shader can write an error note (for an index out of range, or an element that a routine rejects),
    /// and so binds the buffer of notes.
    pub checks: bool,
    /// Length of the shader's parameters in vectors of four words: one of [`PARAMS_CLASSES`].
    pub params: u32,
}

/// The key of a [`BindingLayout`]: everything on which the layout depends.
#[derive(PartialEq, Eq, Hash)]
struct LayoutKey {
    /// For each buffer, whether the shader only reads it.
    read_only: SmallVec<[bool; 16]>,
    checks: bool,
    params: u32,
}

/// The layout of a pipeline's bindings.
pub(super) struct BindingLayout {
    /// A number that is unique on the device: keys of the bind group cache begin with it.
    pub number: u64,
    pub group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

/// A compiled kernel.
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: Arc<BindingLayout>,
    /// The index in [`PARAMS_CLASSES`] of the length of the shader's parameters.
    pub class: usize,
    /// Whether the shader can write an error note, as in [`Interface::checks`].
    pub checks: bool,
    /// Whether a dispatch of this pipeline has been recorded. A driver may compile a pipeline only when it first runs,
    /// so the first run may take long.
    pub has_run: AtomicBool,
}

/// A pipeline that a plan needs.
pub(super) struct WantedPipeline<'a> {
    pub key: ShaderKey,
    pub interface: Interface<'a>,
    pub text: String,
}

/// A pipeline that is not compiled yet.
struct Uncompiled {
    text: String,
    layout: Arc<BindingLayout>,
    class: usize,
    checks: bool,
}

/// The pipelines of a device. They are kept as long as the device lives.
#[derive(Default)]
pub(super) struct Pipelines {
    disk: Option<Arc<DiskCache>>,
    /// Pipelines by key. This map is searched first, because building a key is faster than generating the source.
    by_key: WordMap<ShaderKey, Arc<Pipeline>>,
    /// Pipelines by source. This map is searched if a key is new, because kernels with different keys may have the same
    /// source.
    by_text: HashMap<String, Arc<Pipeline>>,
    /// User-defined shaders, by source and entry point.
    #[cfg(feature = "kernels")]
    raw: HashMap<(String, String), Arc<Pipeline>>,
    layouts: HashMap<LayoutKey, Arc<BindingLayout>>,
    params_layouts: [Option<wgpu::BindGroupLayout>; PARAMS_CLASSES.len()],
}

impl Pipelines {
    pub fn new(disk: Option<Arc<DiskCache>>) -> Pipelines {
        Pipelines { disk, ..Pipelines::default() }
    }

    /// Returns the pipeline of `key`, if it is compiled.
    pub fn find(&self, key: &ShaderKey) -> Option<&Arc<Pipeline>> {
        self.by_key.get(key)
    }

    /// Returns the pipeline of `key`. For a new key, compiles the source that `text` returns.
    pub fn get(
        &mut self,
        connection: &Connection,
        key: ShaderKey,
        interface: Interface<'_>,
        text: impl FnOnce() -> Result<String>,
    ) -> Result<Arc<Pipeline>> {
        if let Some(known) = self.find(&key) {
            return Ok(known.clone());
        }
        let wanted = WantedPipeline { key: key.clone(), interface, text: text()? };
        self.compile(connection, vec![wanted]).map_err(|(e, _)| e)?;
        let missing =
            || Error::with_line(ErrorKind::Internal, "compile", "a pipeline is missing after it was compiled", None);
        self.find(&key).cloned().ok_or_else(missing)
    }

    /// Compiles the wanted pipelines in parallel, and keeps them under their keys. A source that was compiled before,
    /// for another key, is not compiled again; its pipeline is kept under the new key too. An error includes the index
    /// in `wanted` of the first pipeline that failed.
    pub fn compile(&mut self, connection: &Connection, wanted: Vec<WantedPipeline<'_>>) -> Result<(), (Error, usize)> {
        let (mut texts, mut uncompiled, mut keys) = (HashMap::new(), vec![], vec![]);
        for (n, WantedPipeline { key, interface, text }) in wanted.into_iter().enumerate() {
            if let Some(known) = self.by_text.get(&text) {
                self.by_key.insert(key, known.clone());
                continue;
            }
            let number = match texts.get(&text) {
                Some(number) => *number,
                None => {
                    let class = PARAMS_CLASSES.iter().position(|c| *c == interface.params).unwrap_or(0);
                    let read_only = interface.slots.iter().map(|s| s.access == Access::Read).collect();
                    let key = LayoutKey { read_only, checks: interface.checks, params: interface.params };
                    let layout = self.layout(connection, key, class).map_err(|e| (e, n))?;
                    texts.insert(text.clone(), uncompiled.len());
                    uncompiled.push((n, Uncompiled { text, layout, class, checks: interface.checks }));
                    uncompiled.len() - 1
                }
            };
            keys.push((key, number));
        }
        let disk = self.disk.as_ref();
        let mut made = vec![None; uncompiled.len()];
        let mut failed = None;
        for (number, result) in side_by_side(&uncompiled, |(_, shader)| compile(connection, disk, shader)) {
            let (n, shader) = &uncompiled[number];
            match result {
                Ok(pipeline) => {
                    let pipeline = Arc::new(pipeline);
                    self.by_text.insert(shader.text.clone(), pipeline.clone());
                    made[number] = Some(pipeline);
                }
                Err(e) => failed = failed.or(Some((e, *n))),
            }
        }
        let found = |(key, number): (ShaderKey, usize)| Some((key, made[number].clone()?));
        self.by_key.extend(keys.into_iter().filter_map(found));
        failed.map_or(Ok(()), Err)
    }

    fn layout(&mut self, connection: &Connection, key: LayoutKey, class: usize) -> Result<Arc<BindingLayout>> {
        if let Some(known) = self.layouts.get(&key) {
            return Ok(known.clone());
        }
        let params = self.params_layout(connection, class)?;
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
        let mut entries: Vec<_> = key.read_only.iter().enumerate().map(|(i, r)| entry(i as u32, *r)).collect();
        if key.checks {
            entries.push(entry(ERROR_BINDING, false));
        }
        let (group, pipeline) = connection.scoped("layout", || {
            let device = &connection.device;
            let group =
                device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
            let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&group), Some(&params)],
                immediate_size: 0,
            });
            (group, pipeline)
        })?;
        let layout = Arc::new(BindingLayout { number: self.layouts.len() as u64, group, pipeline });
        self.layouts.insert(key, layout.clone());
        Ok(layout)
    }

    /// Returns the pipeline of a user-defined shader, which binds only buffers. `read_only` tells for each buffer
    /// whether the shader only reads it.
    #[cfg(feature = "kernels")]
    pub fn raw(
        &mut self,
        connection: &Connection,
        text: &str,
        entry: &str,
        read_only: SmallVec<[bool; 16]>,
    ) -> Result<Arc<Pipeline>> {
        let key = (text.to_string(), entry.to_string());
        if let Some(known) = self.raw.get(&key) {
            return Ok(known.clone());
        }
        // such a shader has no parameters, but a batch always binds some, so the shader gets the shortest class of
        // parameters
        let layout = self.layout(connection, LayoutKey { read_only, checks: false, params: PARAMS_CLASSES[0] }, 0)?;
        let pipeline = connection.scoped("compile", || {
            let source = wgpu::ShaderSource::Wgsl(text.into());
            // the shader is compiled with all of wgpu's run-time checks, which keep a wrong index within its binding
            let module = connection.device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
            connection.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: Some(&layout.pipeline),
                module: &module,
                entry_point: Some(entry),
                compilation_options: Default::default(),
                cache: None,
            })
        })?;
        connection.counters.compiles.fetch_add(1, Relaxed);
        let pipeline =
            Arc::new(Pipeline { pipeline, layout, class: 0, checks: false, has_run: AtomicBool::new(false) });
        self.raw.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    /// Returns the layout of the bind group that holds parameters of a class, an index into [`PARAMS_CLASSES`].
    pub fn params_layout(&mut self, connection: &Connection, class: usize) -> Result<wgpu::BindGroupLayout> {
        if let Some(layout) = &self.params_layouts[class] {
            return Ok(layout.clone());
        }
        let entry = wgpu::BindGroupLayoutEntry {
            binding: 0,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: true,
                min_binding_size: params_bytes(class),
            },
            count: None,
        };
        let layout = connection.scoped("layout", || {
            let descriptor = wgpu::BindGroupLayoutDescriptor { label: None, entries: &[entry] };
            connection.device.create_bind_group_layout(&descriptor)
        })?;
        self.params_layouts[class] = Some(layout.clone());
        Ok(layout)
    }
}

/// Calls `f` with each element, on as many threads as the machine runs in parallel. After a call has failed, starts no
/// further calls. Returns the results in the order of the elements, each with the index of its element.
fn side_by_side<T: Sync, R: Send>(elements: &[T], f: impl Fn(&T) -> Result<R> + Sync) -> Vec<(usize, Result<R>)> {
    if elements.is_empty() {
        return vec![];
    }
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results = Mutex::new(Vec::with_capacity(elements.len()));
    // processes the next element; returns false if there is none
    let one = || {
        let n = if has_failed.load(Relaxed) { elements.len() } else { next.fetch_add(1, Relaxed) };
        let Some(element) = elements.get(n) else { return false };
        let result = f(element);
        has_failed.fetch_or(result.is_err(), Relaxed);
        lock(&results).push((n, result));
        true
    };
    let threads = match elements.len() {
        1 => 1,
        count => std::thread::available_parallelism().map_or(1, |n| n.get()).min(count),
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // our threads must not enter drivers when the process is ending (`at_exit.rs`); then the caller's thread
            // does the rest
            let helper = || while at_exit::enter().is_some_and(|_inside| one()) {};
            // if no thread can be started, the caller's thread does the work
            let _ = std::thread::Builder::new().name("cupric-compile".to_string()).spawn_scoped(scope, helper);
        }
        while one() {}
    });
    let mut results = std::mem::take(&mut *lock(&results));
    results.sort_unstable_by_key(|(n, _)| *n);
    results
}

fn compile(connection: &Connection, disk: Option<&Arc<DiskCache>>, shader: &Uncompiled) -> Result<Pipeline> {
    let Uncompiled { text, layout, class, checks } = shader;
    if connection.prints_shaders {
        debug::show(debug::Word::Wgsl, text);
    }
    let source = match (connection.faults.hit("shader"), disk) {
        (Some(_), _) => wgpu::ShaderSource::Wgsl("a text that is no shader".into()),
        (None, Some(disk)) => disk.source(text)?,
        (None, None) => wgpu::ShaderSource::Wgsl(text.into()),
    };
    let pipeline = connection.scoped("compile", || {
        let descriptor = wgpu::ShaderModuleDescriptor { label: None, source };
        // SAFETY: the generator wrote the source, which needs none of wgpu's checks. Indices stay below the extents,
        // and recording has checked that every element up to the extents lies inside its buffer. Computed indices are
        // brought below their extents. Loops are bounded, except for the compare-and-exchange of `wgsl/combine.rs`, in
        // which some invocation always succeeds. Integer divisors are extents, or the library's functions make them
        // nonzero. A tiled product runs six times as fast without wgpu's checks.
        let module = unsafe { connection.device.create_shader_module_trusted(descriptor, CHECKS) };
        connection.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: Some(&layout.pipeline),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: ZEROES_WORKGROUP_MEMORY,
                ..Default::default()
            },
            cache: disk.and_then(|disk| disk.pipelines()),
        })
    })?;
    connection.counters.compiles.fetch_add(1, Relaxed);
    disk.iter().for_each(|disk| disk.has_compiled());
    Ok(Pipeline { pipeline, layout: layout.clone(), class: *class, checks: *checks, has_run: AtomicBool::new(false) })
}

/// Returns the length of the parameters of a class in bytes. [`PARAMS_CLASSES`] counts vectors of 16 bytes.
pub(super) fn params_bytes(class: usize) -> Option<NonZeroU64> {
    NonZeroU64::new(PARAMS_CLASSES[class] as u64 * 16)
}
