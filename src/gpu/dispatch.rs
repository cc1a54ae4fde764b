//! From a kernel and its buffers to dispatches: which binding each operand has, in which class of text the kernel
//! falls, and the words of its parameters. One dispatch a window.

use super::batch::{Batch, Bound, Checked};
use super::device::Shared;
use super::memory::{GpuMemory, Raw};
use super::variant::{classify, matrix};
use super::wgsl::{self, Access, Form, HEADER, Header, Slot, Words};
use crate::backend::Line;
use crate::buffer::Buffer;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{BufferRef, Kernel, KernelKind, Op, Window};
use smallvec::SmallVec;
use std::sync::atomic::Ordering::Relaxed;

/// The buffers and scalars of a plan's run.
pub(super) struct Resources<'a> {
    pub inputs: &'a [(Buffer, usize)],
    pub temps: &'a [Buffer],
    pub outputs: &'a [Buffer],
    pub scalars: &'a [u64],
    pub lines: &'a [Line],
}

/// A load or a store within one window.
struct Operand<'a> {
    raw: &'a Raw,
    words: Words,
    /// Bytes of an element.
    size: i64,
    strides: &'a [isize],
    /// Element of the window's first index.
    offset: i64,
    /// The first and last element touched.
    span: (i64, i64),
    store: bool,
}

/// A binding to be.
struct Place<'a> {
    raw: &'a Raw,
    words: Words,
    offset: u64,
    len: u64,
    access: Access,
    /// A binding of a part of a large buffer belongs to operands with one span.
    span: Option<(i64, i64)>,
}

fn internal(kernel: &Kernel, detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, kernel.name, detail, None)
}

fn resolve<'a>(kernel: &Kernel, r: BufferRef, from: &Resources<'a>) -> Result<(&'a Raw, i64)> {
    let found = match r {
        BufferRef::Input(n) => from.inputs.get(n).map(|(b, o)| (b, *o as i64)),
        BufferRef::Temp(n) => from.temps.get(n).map(|b| (b, 0)),
        BufferRef::Output(n) => from.outputs.get(n).map(|b| (b, 0)),
    };
    let raw = found.and_then(|(b, o)| Some((b.memory::<GpuMemory>()?.raw()?, o)));
    raw.ok_or_else(|| internal(kernel, format!("{r} is not a buffer of this device")))
}

/// The header of a window's parameters, but for the grid and the id of errors.
fn header(kernel: &Kernel, window: &Window, operands: &[Operand<'_>], (count, inner): (usize, usize)) -> Header {
    let matmul = kernel.kind == KernelKind::Matmul;
    let mut header = Header {
        outer_size: count as u32,
        // a matmul's table has a batch axis, and every table one row at least
        outer_rank: window.shape.len().max(if matmul { 3 } else { 1 }) as u32,
        inner_rank: kernel.inner.len().max(1) as u32,
        inner_size: inner as u32,
        ..Header::default()
    };
    if matmul {
        let (m, n) = matrix(&window.shape);
        let along_k = |o: &Operand<'_>| o.strides.last().is_some_and(|s| s.abs() == 1);
        (header.matrix_rows, header.matrix_columns) = (m as u32, n as u32);
        header.contiguous_along_k = along_k(&operands[0]) as u32 | (along_k(&operands[1]) as u32) << 1;
    }
    header
}

impl Shared {
    /// Records a kernel's dispatches.
    pub(super) fn record(&self, batch: &mut Batch, kernel: &Kernel, from: &Resources<'_>) -> Result<()> {
        // what may fail comes before the first dispatch, so that a write in place is done whole or not at all
        if mutant!(windows_not_prepared, false, !kernel.windows.is_empty()) {
            self.prepare(batch, kernel, from)?;
        }
        self.each_window(batch, kernel, from, false)?;
        self.counters.kernels.fetch_add(!kernel.continues as u64, Relaxed);
        Ok(())
    }

    /// Makes all that a kernel's dispatches need.
    pub(super) fn prepare(&self, batch: &mut Batch, kernel: &Kernel, from: &Resources<'_>) -> Result<()> {
        self.each_window(batch, kernel, from, true)
    }

    fn each_window(&self, batch: &mut Batch, kernel: &Kernel, from: &Resources<'_>, dry: bool) -> Result<()> {
        self.windows(batch, kernel, from, dry).map_err(|e| e.or_at(from.lines.get(kernel.node).copied()))
    }

    fn windows(&self, batch: &mut Batch, kernel: &Kernel, from: &Resources<'_>, dry: bool) -> Result<()> {
        if kernel.outer_size() == 0 || kernel.stores.is_empty() {
            return Ok(());
        }
        let form = Form::of(kernel);
        if kernel.windows.is_empty() {
            let whole = Window { start: SmallVec::from_elem(0, kernel.outer.len()), shape: kernel.outer.clone() };
            return self.record_window(batch, kernel, &form, &whole, from, dry);
        }
        kernel.windows.iter().try_for_each(|window| self.record_window(batch, kernel, &form, window, from, dry))
    }

    fn record_window(
        &self,
        batch: &mut Batch,
        kernel: &Kernel,
        form: &Form,
        window: &Window,
        from: &Resources<'_>,
        dry: bool,
    ) -> Result<()> {
        let count: usize = window.shape.iter().product();
        if count == 0 {
            return Ok(());
        }
        let inner = kernel.inner_size();
        if count as u64 > 1 << 31 || inner as u64 > 1 << 31 {
            return Err(internal(kernel, format!("a dispatch over {count} × {inner} indices")));
        }
        let operands = self.operands(kernel, window, from)?;
        let (mut places, slots) = self.places(kernel, &operands)?;
        let mut kinds: SmallVec<[Slot; 8]> = places.iter().map(|p| Slot { words: p.words, access: p.access }).collect();
        let stores: SmallVec<[(&[isize], i64); 2]> =
            operands[kernel.loads.len()..].iter().map(|o| (o.strides, o.offset)).collect();
        let variant = classify(kernel, form, window, &stores, &slots, &mut kinds)?;
        for (p, kind) in places.iter_mut().zip(&kinds) {
            p.access = kind.access;
        }
        let pipeline = batch.pipeline(self, wgsl::key(kernel, &variant), form, &variant, || {
            wgsl::generate(kernel, form, &variant)
                .map_err(|fault| Error::new(fault.kind, kernel.name, fault.detail, None))
        })?;

        let mut bound: SmallVec<[Bound<'_>; 8]> = SmallVec::new();
        for p in &places {
            bound.push(Bound { buffer: &p.raw.buffer, id: p.raw.id, offset: p.offset, len: p.len });
        }
        if dry {
            return batch.prepare(self, &pipeline, &bound);
        }
        let groups = match kernel.kind {
            KernelKind::Elementwise => count.div_ceil(256 * variant.elements_per_invocation() as usize),
            KernelKind::Reduce(_) | KernelKind::Row => count.div_ceil((256 / variant.lanes) as usize),
            KernelKind::Matmul => {
                let (m, n) = matrix(&window.shape);
                let side = 64 * variant.tiles as usize;
                count / (m * n) * m.div_ceil(side) * n.div_ceil(side)
            }
        };
        let mut header = header(kernel, window, &operands, (count, inner));
        let mut params = self.params(kernel, form, window, &operands, &places, &slots, from, &header)?;
        if form.checks {
            let gathers = form.gathers.iter().filter_map(|v| match kernel.values[*v].op {
                Op::Gather { index, extent, node, .. } => {
                    let (line, compute) = (from.lines.get(node).copied(), kernel.values[index].compute());
                    Some(Checked { id: 0, line, compute, extent })
                }
                _ => None,
            });
            header.error_id = batch.next_error_id(gathers);
        }
        // a grid has three dimensions; what does not fit takes another dispatch
        let max = self.max_groups as u64;
        let (mut first, groups) = (0u64, groups as u64);
        while first < groups {
            let left = groups - first;
            let x = left.min(max);
            let y = left.div_ceil(x).min(max);
            let z = left.div_ceil(x * y).min(max);
            header.grid_x = x as u32;
            header.grid_y = y as u32;
            header.first_group = mutant!(next_dispatch_starts_again, 0, first as u32);
            header.write(&mut params);
            batch.record(self, &pipeline, &bound, &params, [x as u32, y as u32, z as u32])?;
            for p in &places {
                p.raw.batch.store(batch.serial(), Relaxed);
            }
            first += x * y * z;
        }
        Ok(())
    }

    /// Loads, then stores, moved to the window.
    fn operands<'a>(
        &self,
        kernel: &'a Kernel,
        window: &Window,
        from: &Resources<'a>,
    ) -> Result<SmallVec<[Operand<'a>; 8]>> {
        let loads = kernel.loads.iter().map(|l| (l.buffer, l.dtype, &l.strides, l.offset, None));
        let stores = kernel.stores.iter().map(|s| (s.buffer, s.dtype, &s.strides, s.offset, Some(s.value)));
        let mut out = SmallVec::new();
        for (n, (buffer, dtype, strides, offset, value)) in loads.chain(stores).enumerate() {
            let (raw, extra) = resolve(kernel, buffer, from)?;
            let words = wgsl::words(dtype);
            let (size, store) = (dtype.size() as i64, value.is_some());
            if !store && !kernel.reads(n) {
                // any place that is there will do: an empty operand's own may lie past the end of its buffer
                out.push(Operand { raw, words, size, strides: strides.as_slice(), offset: 0, span: (0, 0), store });
                continue;
            }
            let start: i64 = window.start.iter().zip(strides).map(|(i, s)| *i as i64 * *s as i64).sum();
            let offset = offset as i64 + extra + start;
            let (mut low, mut high) = (offset, offset);
            for (extent, stride) in window.shape.iter().chain(&kernel.inner).zip(strides) {
                let reach = (*extent as i64 - 1).max(0) * *stride as i64;
                if reach < 0 { low += reach } else { high += reach }
            }
            if !store {
                for v in &kernel.values {
                    if let Op::Gather { load, stride, extent, .. } = v.op
                        && load == n
                    {
                        let reach = (extent as i64 - 1).max(0) * stride as i64;
                        if reach < 0 { low += reach } else { high += reach }
                    }
                }
            }
            if low < 0 || (high + 1) * size > raw.size as i64 {
                let detail = format!("elements {low}..={high} of {buffer} ({} bytes)", raw.size);
                return Err(internal(kernel, detail));
            }
            out.push(Operand { raw, words, size, strides: strides.as_slice(), offset, span: (low, high), store });
        }
        Ok(out)
    }

    /// The bindings: one a buffer (and kind of word), or one a range where a buffer is larger than a binding.
    #[allow(clippy::type_complexity)]
    fn places<'a>(
        &self,
        kernel: &Kernel,
        operands: &[Operand<'a>],
    ) -> Result<(SmallVec<[Place<'a>; 8]>, SmallVec<[usize; 8]>)> {
        let mut places: SmallVec<[Place<'a>; 8]> = SmallVec::new();
        let mut slots = SmallVec::new();
        for o in operands {
            let large = o.raw.size > self.max_binding;
            let span = large.then_some((o.span.0 * o.size, o.span.1 * o.size + o.size));
            let known = places.iter().position(|p| p.raw.id == o.raw.id && p.words == o.words && p.span == span);
            let slot = match known {
                Some(slot) => slot,
                None => {
                    let (offset, len) = match span {
                        None => (0, o.raw.size),
                        Some((low, high)) => {
                            let offset = low as u64 / self.offset_alignment * self.offset_alignment;
                            (offset, (high as u64).next_multiple_of(4) - offset)
                        }
                    };
                    if len > self.max_binding {
                        let detail =
                            format!("an operand of {len} bytes; {} binds {}", self.caps.name, self.max_binding);
                        return Err(Error::new(ErrorKind::LimitExceeded, kernel.name, detail, None));
                    }
                    places.push(Place { raw: o.raw, words: o.words, offset, len, access: Access::Read, span });
                    places.len() - 1
                }
            };
            if o.store {
                places[slot].access = Access::Write;
            }
            slots.push(slot);
        }
        if places.len() > self.caps.max_bindings {
            let detail = format!("{} bindings; {} has {}", places.len(), self.caps.name, self.caps.max_bindings);
            return Err(Error::new(ErrorKind::LimitExceeded, kernel.name, detail, None));
        }
        // one buffer read in one binding and written in another: both must say that they write
        for i in 0..places.len() {
            if places.iter().any(|p| p.raw.id == places[i].raw.id && p.access == Access::Write) {
                places[i].access = Access::Write;
            }
        }
        Ok((places, slots))
    }

    #[allow(clippy::too_many_arguments)]
    fn params(
        &self,
        kernel: &Kernel,
        form: &Form,
        window: &Window,
        operands: &[Operand<'_>],
        places: &[Place<'_>],
        slots: &[usize],
        from: &Resources<'_>,
        header: &Header,
    ) -> Result<Vec<u32>> {
        let axes = window.shape.len();
        let (outer_rows, inner_rows) = (header.outer_rank as usize, header.inner_rank as usize);
        let mut p = vec![0u32; (form.table + (outer_rows + inner_rows) * form.row) * 4];
        let mut at = HEADER;
        for n in &form.scalars {
            let Some(bits) = from.scalars.get(*n) else {
                return Err(internal(kernel, format!("scalar {n} is missing")));
            };
            p[at] = *bits as u32;
            p[at + 1] = (*bits >> 32) as u32;
            at += 2;
        }
        for v in &form.gathers {
            if let Op::Gather { stride, extent, .. } = kernel.values[*v].op {
                p[at] = stride as u32;
                p[at + 1] = extent as u32;
            }
            at += 2;
        }
        // rows: outer axes from the last to the first, then inner ones likewise
        let row = |p: &mut Vec<u32>, axis: usize| -> usize {
            let r = match axis < axes {
                true => axes - 1 - axis,
                false => outer_rows + kernel.inner.len() - 1 - (axis - axes),
            };
            let start = (form.table + r * form.row) * 4;
            p[start] = if axis < axes { window.shape[axis] } else { kernel.inner[axis - axes] } as u32;
            start
        };
        let starts: SmallVec<[usize; 8]> = (0..axes + kernel.inner.len()).map(|axis| row(&mut p, axis)).collect();
        for r in axes..outer_rows {
            p[(form.table + r * form.row) * 4] = 1;
        }
        if kernel.inner.is_empty() {
            p[(form.table + outer_rows * form.row) * 4] = 1;
        }
        for (column, o) in operands.iter().enumerate() {
            let place = &places[slots[column]];
            p[form.offsets + column] = (o.offset - place.offset as i64 / o.size) as u32;
            for (start, stride) in starts.iter().zip(o.strides) {
                p[start + 1 + column] = *stride as u32;
            }
        }
        for (v, column) in &form.indices {
            if let Op::Index { strides, offset } = &kernel.values[*v].op {
                let start: i64 =
                    window.start.iter().zip(&**strides).map(|(i, s)| (*i as i64).wrapping_mul(*s as i64)).sum();
                let wide = kernel.values[*v].dtype.size() == 8;
                let mut put = |at: usize, bits: i64| {
                    p[at] = bits as u32;
                    if wide {
                        p[at + 1] = (bits >> 32) as u32;
                    }
                };
                put(form.offsets + column, offset.wrapping_add(mutant!(index_without_its_window, 0, start)));
                for (at, stride) in starts.iter().zip(&**strides) {
                    put(at + 1 + column, *stride as i64);
                }
            }
        }
        Ok(p)
    }
}
