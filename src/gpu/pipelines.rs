//! Compiled kernels: the cache of pipelines, the layouts of their bindings, and compiling.

use super::connection::Connection;
use super::wgsl::{Access, ERROR_BINDING, Key, PARAMS_CLASSES, Slot};
use crate::error::Result;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A quick hash for keys made of words. It need not resist an attacker, because no outsider chooses the words.
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
        // the constant is 2^64 divided by the golden ratio: the product spreads each bit of the word over the bits above
        // it, and the rotation (by 23, which shares no factor with 64) brings the upper bits down for the next word
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// A map whose keys are words.
pub(super) type WordMap<K, V> = HashMap<K, V, BuildHasherDefault<WordHasher>>;

/// The buffers and parameters that a shader binds.
#[derive(Clone, Copy)]
pub(super) struct Interface<'a> {
    pub slots: &'a [Slot],
    /// Whether the shader can note an error (an index out of range, or an element that a routine refuses), and so binds the
    /// buffer of notes.
    pub checks: bool,
    /// Length of its parameters in vectors of four words: one of [`PARAMS_CLASSES`].
    pub params: u32,
}

/// The key of a [`BindingLayout`]: everything that it depends on.
#[derive(PartialEq, Eq, Hash)]
struct LayoutKey {
    /// For each buffer, whether the shader only reads it.
    read_only: SmallVec<[bool; 16]>,
    checks: bool,
    params: u32,
}

/// The layout of a pipeline's bindings.
pub(super) struct BindingLayout {
    /// A number that no other layout of the device has: keys of the bind group cache begin with it.
    pub number: u64,
    pub group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

/// A compiled kernel.
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: Arc<BindingLayout>,
    /// The position in [`PARAMS_CLASSES`] of the length of its parameters.
    pub class: usize,
    /// Whether its shader can note an error, as in [`Interface::checks`].
    pub checks: bool,
    /// Whether it was ever recorded. A driver may compile a pipeline only when it first runs, so that run may take long.
    pub has_run: AtomicBool,
}

/// The pipelines of a device. They are kept as long as the device lives.
#[derive(Default)]
pub(super) struct Pipelines {
    /// Searched first, because a key is made faster than the text.
    by_key: WordMap<Key, Arc<Pipeline>>,
    /// Searched for a key that is new, because kernels of different keys may have the same text.
    by_text: HashMap<String, Arc<Pipeline>>,
    layouts: HashMap<LayoutKey, Arc<BindingLayout>>,
    params_layouts: [Option<wgpu::BindGroupLayout>; PARAMS_CLASSES.len()],
}

impl Pipelines {
    /// Returns the pipeline of `key`. For a new key it calls `text`, and compiles what that writes unless the same text was
    /// compiled before.
    pub fn get(
        &mut self,
        connection: &Connection,
        key: Key,
        interface: Interface<'_>,
        text: impl FnOnce() -> Result<String>,
    ) -> Result<Arc<Pipeline>> {
        if let Some(known) = self.by_key.get(&key) {
            return Ok(known.clone());
        }
        let text = text()?;
        let made = match self.by_text.get(&text) {
            Some(known) => known.clone(),
            None => {
                let made = Arc::new(self.compile(connection, interface, &text)?);
                self.by_text.insert(text, made.clone());
                made
            }
        };
        self.by_key.insert(key, made.clone());
        Ok(made)
    }

    fn compile(&mut self, connection: &Connection, interface: Interface<'_>, text: &str) -> Result<Pipeline> {
        if connection.prints_shaders {
            eprintln!("{text}");
        }
        let class = PARAMS_CLASSES.iter().position(|c| *c == interface.params).unwrap_or(0);
        let layout = self.layout(connection, interface, class)?;
        let refused = connection.faults.hit("shader").is_some();
        let pipeline = connection.scoped("compile", || {
            let text = if refused { "a text that is no shader" } else { text };
            let source = wgpu::ShaderSource::Wgsl(text.into());
            let descriptor = wgpu::ShaderModuleDescriptor { label: None, source };
            // SAFETY: the generator wrote the text, which needs none of wgpu's checks. Indices stay below the extents, up to
            // which recording has found every element inside its buffer; computed indices are brought below theirs. Loops
            // have bounds, but for the compare-and-exchange of `wgsl/combine.rs`, in which some invocation always succeeds.
            // Integer divisors are extents, or made nonzero by the library's functions. Without wgpu's checks a tiled
            // product runs six times as fast.
            let module = unsafe {
                connection.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
            };
            connection.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
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
        connection.counters.compiles.fetch_add(1, Relaxed);
        Ok(Pipeline { pipeline, layout, class, checks: interface.checks, has_run: AtomicBool::new(false) })
    }

    fn layout(
        &mut self,
        connection: &Connection,
        interface: Interface<'_>,
        class: usize,
    ) -> Result<Arc<BindingLayout>> {
        let read_only = |s: &Slot| s.access == Access::Read;
        let key = LayoutKey {
            read_only: interface.slots.iter().map(read_only).collect(),
            checks: interface.checks,
            params: interface.params,
        };
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
        if interface.checks {
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

    /// Returns the layout of the bind group that holds parameters of a class, a position in [`PARAMS_CLASSES`].
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

/// Returns how many bytes parameters of a class take: [`PARAMS_CLASSES`] counts vectors of 16 bytes.
pub(super) fn params_bytes(class: usize) -> Option<NonZeroU64> {
    NonZeroU64::new(PARAMS_CLASSES[class] as u64 * 16)
}
