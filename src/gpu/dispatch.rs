//! From a kernel and its buffers to dispatches: which binding each operand has, which text the kernel runs as, and the
//! size of its grid. One dispatch a window, or several where its grid is too large for one.

use super::adapter::DispatchLimits;
use super::batch::{Batch, BufferSlice, Checked, Refuses};
use super::connection::Connection;
use super::device::driver_buffer;
use super::memory::DriverBuffer;
use super::params::{Column, params};
use super::pipelines::{Interface, Pipeline};
use super::variant::{classify, matrix};
use super::wgsl::{self, Access, Form, Header, Slot, Variant, Words};
use crate::backend::Line;
use crate::buffer::Buffer;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{BufferRef, Caps, Kernel, KernelKind, Op, Window};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The buffers and scalars of a plan's run.
pub(super) struct Resources<'a> {
    pub inputs: &'a [(Buffer, usize)],
    pub temps: &'a [Buffer],
    pub outputs: &'a [(Buffer, usize)],
    pub scalars: &'a [u64],
    pub lines: &'a [Line],
}

/// Records a plan's kernels into the open batch.
pub(super) struct Recorder<'a> {
    pub connection: &'a Connection,
    pub caps: &'a Caps,
    pub limits: &'a DispatchLimits,
    pub batch: &'a mut Batch,
    pub from: &'a Resources<'a>,
}

/// A load or a store within one window.
struct Operand<'a> {
    buffer: &'a DriverBuffer,
    words: Words,
    /// Bytes of an element.
    size: i64,
    strides: &'a [isize],
    /// The element of the window's first index, counted from the start of the buffer.
    offset: i64,
    /// The first and the last element touched.
    span: (i64, i64),
    store: bool,
}

/// A binding of a kernel: a whole buffer, or a part of one that is larger than a binding may be.
struct Binding<'a> {
    buffer: &'a DriverBuffer,
    words: Words,
    offset: u64,
    len: u64,
    access: Access,
    /// Of a part, the bytes that its operands touch: only operands with the same span share it.
    span: Option<(i64, i64)>,
}

/// The bindings of a kernel, and which of them each load and store has.
type Bound<'a> = (SmallVec<[Binding<'a>; 8]>, SmallVec<[usize; 8]>);

fn internal(name: &'static str, detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, name, detail, None)
}

/// The driver's buffer that a step names, with the run-time offset of its first element.
pub(super) fn resolve<'a>(name: &'static str, r: BufferRef, from: &Resources<'a>) -> Result<(&'a DriverBuffer, i64)> {
    let found = match r {
        BufferRef::Input(n) => from.inputs.get(n).map(|(b, o)| (b, *o as i64)),
        BufferRef::Temp(n) => from.temps.get(n).map(|b| (b, 0)),
        BufferRef::Output(n) => from.outputs.get(n).map(|(b, o)| (b, *o as i64)),
    };
    let buffer = found.and_then(|(b, o)| Some((driver_buffer(b)?, o)));
    buffer.ok_or_else(|| internal(name, format!("{r} is not a buffer of this device")))
}

/// Widens a range of elements by those that an axis reaches.
fn widen((low, high): (i64, i64), extent: usize, stride: isize) -> (i64, i64) {
    let reach = (extent as i64 - 1).max(0) * stride as i64;
    if reach < 0 { (low + reach, high) } else { (low, high + reach) }
}

/// The number of workgroups of a window. A workgroup has 256 invocations.
fn workgroups(kernel: &Kernel, variant: &Variant, window: &Window, count: usize) -> usize {
    match kernel.kind {
        KernelKind::Elementwise => count.div_ceil(256 * variant.elements_per_invocation() as usize),
        KernelKind::Reduce(_) | KernelKind::Row => count.div_ceil((256 / variant.lanes) as usize),
        KernelKind::Matmul => {
            let (m, n) = matrix(&window.shape);
            let side = 64 * variant.tiles as usize;
            count / (m * n) * m.div_ceil(side) * n.div_ceil(side)
        }
    }
}

impl<'a> Recorder<'a> {
    /// Records a kernel's dispatches.
    pub fn record(&mut self, kernel: &'a Kernel) -> Result<()> {
        // what may fail comes before the first dispatch, so that a write in place is done whole or not at all
        if mutant!(windows_not_prepared, false, !kernel.windows.is_empty()) {
            self.prepare(kernel)?;
        }
        self.each_window(kernel, false)?;
        self.connection.counters.kernels.fetch_add(!kernel.continues as u64, Relaxed);
        Ok(())
    }

    /// Makes all that a kernel's dispatches need, and records none.
    pub fn prepare(&mut self, kernel: &'a Kernel) -> Result<()> {
        self.each_window(kernel, true)
    }

    fn each_window(&mut self, kernel: &'a Kernel, dry: bool) -> Result<()> {
        if kernel.outer_size() == 0 || kernel.stores.is_empty() {
            return Ok(());
        }
        let form = Form::of(kernel);
        let done = if kernel.windows.is_empty() {
            let whole = Window { start: SmallVec::from_elem(0, kernel.outer.len()), shape: kernel.outer.clone() };
            self.window(kernel, &form, &whole, dry)
        } else {
            kernel.windows.iter().try_for_each(|window| self.window(kernel, &form, window, dry))
        };
        done.map_err(|e| e.or_at(self.from.lines.get(kernel.node).copied()))
    }

    /// Records one window; with `dry`, only makes what that may fail to make.
    fn window(&mut self, kernel: &'a Kernel, form: &Form, window: &Window, dry: bool) -> Result<()> {
        let count: usize = window.shape.iter().product();
        if count == 0 {
            return Ok(());
        }
        let inner = kernel.inner_size();
        // shaders index with u32, and need a bit to spare for sums of indices
        if count as u64 > 1 << 31 || inner as u64 > 1 << 31 {
            return Err(internal(kernel.name, format!("a dispatch over {count} × {inner} indices")));
        }
        let operands = self.operands(kernel, window)?;
        let (mut bindings, slots) = self.bindings(kernel, &operands)?;
        let (pipeline, variant) = self.pipeline(kernel, form, window, &operands, (&mut bindings, &slots))?;
        let slice = |b: &Binding<'a>| {
            let DriverBuffer { buffer, id, .. } = b.buffer;
            BufferSlice { buffer, id: *id, offset: b.offset, len: b.len }
        };
        let bound: SmallVec<[BufferSlice<'a>; 8]> = bindings.iter().map(slice).collect();
        if dry {
            return self.batch.prepare(self.connection, &pipeline, &bound);
        }
        let column = |(o, slot): (&Operand<'a>, &usize)| Column {
            strides: o.strides,
            first: o.offset - bindings[*slot].offset as i64 / o.size,
        };
        let columns: SmallVec<[Column<'_>; 8]> = operands.iter().zip(&slots).map(column).collect();
        let (mut header, words) = params(kernel, form, window, &columns, self.from.scalars, (count, inner))?;
        if form.checks {
            header.error_id = self.error_id(kernel, form);
        }
        let groups = workgroups(kernel, &variant, window, count);
        self.dispatch(&pipeline, &bound, (header, words), groups as u64)?;
        for binding in &bindings {
            binding.buffer.last_batch.store(self.batch.serial(), Relaxed);
        }
        Ok(())
    }

    /// The pipeline that runs a window. Bindings that invocations share become atomic.
    fn pipeline(
        &mut self,
        kernel: &Kernel,
        form: &Form,
        window: &Window,
        operands: &[Operand<'_>],
        (bindings, slots): (&mut [Binding<'_>], &[usize]),
    ) -> Result<(Arc<Pipeline>, Variant)> {
        let mut kinds: SmallVec<[Slot; 8]> =
            bindings.iter().map(|b| Slot { words: b.words, access: b.access }).collect();
        let stores: SmallVec<[(&[isize], i64); 2]> =
            operands[kernel.loads.len()..].iter().map(|o| (o.strides, o.offset)).collect();
        let variant = classify(kernel, form, window, &stores, slots, &mut kinds)?;
        for (binding, kind) in bindings.iter_mut().zip(&kinds) {
            binding.access = kind.access;
        }
        let text = || {
            wgsl::generate(kernel, form, &variant)
                .map_err(|fault| Error::new(fault.kind, kernel.name, fault.detail, None))
        };
        let key = wgsl::key(kernel, &variant);
        let interface = Interface { slots: &variant.slots, checks: form.checks, params: variant.params };
        let pipeline = self.batch.pipelines.get(self.connection, key, interface, text)?;
        Ok((pipeline, variant))
    }

    /// Registers a kernel's gathers; gives the id of the first.
    fn error_id(&mut self, kernel: &Kernel, form: &Form) -> u32 {
        let gathers = form.gathers.iter().filter_map(|v| match kernel.values[*v].op {
            Op::Gather { index, extent, node, .. } => {
                let (line, compute) = (self.from.lines.get(node).copied(), kernel.values[index].compute());
                Some(Checked { id: 0, line, compute, refuses: Refuses::Index { extent } })
            }
            _ => None,
        });
        self.batch.next_error_id(gathers)
    }

    /// Records dispatches of `groups` workgroups together. A grid has three dimensions of limited length; what does not
    /// fit takes another dispatch.
    pub fn dispatch(
        &mut self,
        pipeline: &Pipeline,
        bound: &[BufferSlice<'_>],
        (mut header, mut words): (Header, Vec<u32>),
        groups: u64,
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
            header.write(&mut words);
            self.batch.record(self.connection, pipeline, bound, &words, [x as u32, y as u32, z as u32])?;
            first += x * y * z;
        }
        Ok(())
    }

    /// Loads, then stores, moved to the window.
    fn operands(&self, kernel: &'a Kernel, window: &Window) -> Result<SmallVec<[Operand<'a>; 8]>> {
        let loads = kernel.loads.iter().map(|l| (l.buffer, l.dtype, &l.strides, l.offset, false));
        let stores = kernel.stores.iter().map(|s| (s.buffer, s.dtype, &s.strides, s.offset, true));
        let mut out = SmallVec::new();
        for (n, (named, dtype, strides, offset, store)) in loads.chain(stores).enumerate() {
            let (buffer, extra) = resolve(kernel.name, named, self.from)?;
            let words = wgsl::words(dtype);
            let size = dtype.size() as i64;
            if !store && !kernel.reads(n) {
                // nothing is read, so element 0 will do: an empty operand's own offset may lie past its buffer's end
                out.push(Operand { buffer, words, size, strides: strides.as_slice(), offset: 0, span: (0, 0), store });
                continue;
            }
            let start: i64 = window.start.iter().zip(strides).map(|(i, s)| *i as i64 * *s as i64).sum();
            let offset = offset as i64 + extra + start;
            let mut span = (offset, offset);
            for (extent, stride) in window.shape.iter().chain(&kernel.inner).zip(strides) {
                span = widen(span, *extent, *stride);
            }
            for v in kernel.values.iter().filter(|_| !store) {
                if let Op::Gather { load, stride, extent, .. } = v.op
                    && load == n
                {
                    span = widen(span, extent, stride);
                }
            }
            let (low, high) = span;
            if low < 0 || (high + 1) * size > buffer.size as i64 {
                let detail = format!("elements {low}..={high} of {named} ({} bytes)", buffer.size);
                return Err(internal(kernel.name, detail));
            }
            out.push(Operand { buffer, words, size, strides: strides.as_slice(), offset, span, store });
        }
        Ok(out)
    }

    /// The bindings: one for each buffer and kind of word, or one for each range of a buffer that is larger than a
    /// binding may be.
    fn bindings(&self, kernel: &Kernel, operands: &[Operand<'a>]) -> Result<Bound<'a>> {
        let max_binding = self.caps.max_binding;
        let mut bindings: SmallVec<[Binding<'a>; 8]> = SmallVec::new();
        let mut slots = SmallVec::new();
        for o in operands {
            let large = o.buffer.size > max_binding;
            let span = large.then_some((o.span.0 * o.size, o.span.1 * o.size + o.size));
            let known =
                bindings.iter().position(|b| b.buffer.id == o.buffer.id && b.words == o.words && b.span == span);
            let slot = match known {
                Some(slot) => slot,
                None => {
                    let (offset, len) = match span {
                        None => (0, o.buffer.size),
                        Some((low, high)) => {
                            let alignment = self.limits.storage_alignment;
                            let offset = low as u64 / alignment * alignment;
                            (offset, (high as u64).next_multiple_of(4) - offset)
                        }
                    };
                    if len > max_binding {
                        let detail = format!("an operand of {len} bytes; {} binds {max_binding}", self.caps.name);
                        return Err(Error::new(ErrorKind::LimitExceeded, kernel.name, detail, None));
                    }
                    bindings.push(Binding {
                        buffer: o.buffer,
                        words: o.words,
                        offset,
                        len,
                        access: Access::Read,
                        span,
                    });
                    bindings.len() - 1
                }
            };
            if o.store {
                bindings[slot].access = Access::Write;
            }
            slots.push(slot);
        }
        if bindings.len() > self.caps.max_bindings {
            let detail = format!("{} bindings; {} has {}", bindings.len(), self.caps.name, self.caps.max_bindings);
            return Err(Error::new(ErrorKind::LimitExceeded, kernel.name, detail, None));
        }
        // wgpu refuses a buffer that is read in one binding and written in another, unless both say that they write
        for i in 0..bindings.len() {
            let id = bindings[i].buffer.id;
            if bindings.iter().any(|b| b.buffer.id == id && b.access == Access::Write) {
                bindings[i].access = Access::Write;
            }
        }
        Ok((bindings, slots))
    }
}
