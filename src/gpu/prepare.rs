//! Makes a plan ready for runs: decides which operands share a binding, finds or compiles the pipeline of each window
//! of each kernel, and computes the parameters that are the same in every run.

use super::connection::Connection;
use super::params::template;
use super::pipelines::{Interface, Pipelines, Wanted};
use super::prepared::{Gather, Operand, PreparedKernel, PreparedPlan, PreparedStep, PreparedWindow, RunBuffer, number};
use super::variant::{classify, is_aligned, workgroups};
use super::wgsl::{self, Access, Dialect, Form, Key, Slot, Variant, Words};
use crate::base::error::{Error, ErrorKind, Result};
use crate::plan::kernel::{BufferRef, Caps, Kernel, Op, Plan, Position, Step, Store, Window, validate};
use smallvec::SmallVec;
use std::collections::HashSet;

/// Prepares a plan for all runs whose buffers have the same `facts` (in `prepared.rs`) as `buffers`.
pub(super) struct Preparer<'a> {
    pub connection: &'a Connection,
    pub caps: &'a Caps,
    pub pipelines: &'a mut Pipelines,
    pub plan: &'a Plan,
    pub buffers: &'a [RunBuffer<'a>],
}

/// A binding under construction: a whole buffer, or a part of one that is larger than the largest binding.
struct Binding {
    /// The number of the first operand that uses it.
    operand: usize,
    /// The `id` of the `DriverBuffer`.
    id: u64,
    words: Words,
    access: Access,
    /// For a part of a buffer, the bound range of bytes. Only operands that touch exactly this range share the binding.
    span: Option<(i64, i64)>,
}

/// A kernel whose windows have no pipelines yet.
struct Draft<'a> {
    kernel: &'a Kernel,
    form: Form,
    windows: Vec<DraftWindow>,
}

struct DraftWindow {
    operands: Vec<Operand>,
    bindings: SmallVec<[Binding; 8]>,
    variant: Variant,
    key: Key,
}

/// Extends the range of elements `low..=high` by the elements that steps along one axis reach from there.
fn widen((low, high): (i64, i64), extent: usize, stride: isize) -> (i64, i64) {
    let reach = (extent as i64 - 1).max(0) * stride as i64;
    if reach < 0 { (low + reach, high) } else { (low, high + reach) }
}

impl Preparer<'_> {
    /// Prepares all steps of the plan. An error includes the number of the node whose kernel failed.
    pub fn prepare(&mut self) -> Result<PreparedPlan, (Error, usize)> {
        validate(self.plan)?;
        let drafts = self.plan.steps.iter().map(|step| match step {
            Step::Nest(k) => self.draft(k).map(Some).map_err(|e| (e, k.node)),
            Step::Routine(_) | Step::Clear { .. } => Ok(None),
        });
        let drafts = drafts.collect::<Result<Vec<_>, _>>()?;
        self.compile(&drafts)?;
        let steps = drafts.iter().map(|draft| match draft {
            Some(draft) => self.kernel(draft).map(PreparedStep::Nest).map_err(|e| (e, draft.kernel.node)),
            None => Ok(PreparedStep::AsPlanned),
        });
        let steps = steps.collect::<Result<Vec<_>, _>>()?;
        let writers = || self.plan.steps.iter().zip(&steps).filter(|(step, _)| step.writes_output());
        let dispatches = |(step, ready): (&Step, &PreparedStep)| match (step, ready) {
            (_, PreparedStep::Nest(kernel)) => kernel.windows.len(),
            (Step::Routine(call), PreparedStep::AsPlanned) => call.passes.iter().map(|p| p.windows.len()).sum(),
            (Step::Nest(_) | Step::Clear { .. }, PreparedStep::AsPlanned) => 1,
        };
        let windows: usize = writers().map(dispatches).sum();
        let rehearses = writers().count() > 1 || mutant!(windows_not_prepared, false, windows > 1);
        Ok(PreparedPlan { steps, rehearses })
    }

    /// Determines which pipeline each window of a kernel needs.
    fn draft<'k>(&self, kernel: &'k Kernel) -> Result<Draft<'k>> {
        let form = Form::of(kernel);
        let windows = match kernel.outer_size() {
            0 => Vec::new(),
            _ => kernel.windows.iter().map(|w| self.draft_window(kernel, &form, w)).collect::<Result<_>>()?,
        };
        Ok(Draft { kernel, form, windows })
    }

    fn draft_window(&self, kernel: &Kernel, form: &Form, window: &Window) -> Result<DraftWindow> {
        let (count, inner) = (window.shape.iter().product::<usize>(), kernel.inner_size());
        // shaders index with u32; half its range leaves room for indices past the end, which the last workgroup
        // computes
        if count as u64 > 1 << 31 || inner as u64 > 1 << 31 {
            let detail = format!("a dispatch over {count} × {inner} indices");
            return Err(Error::with_line(ErrorKind::Internal, kernel.name, detail, None));
        }
        let mut operands = self.operands(kernel, window);
        let bindings = self.bindings(kernel, &mut operands)?;
        let mut kinds: SmallVec<[Slot; 8]> =
            bindings.iter().map(|b| Slot { words: b.words, access: b.access, width: 1 }).collect();
        let slots: SmallVec<[usize; 8]> = operands.iter().map(|o| o.binding).collect();
        let first = |o: &Operand| o.offset + o.shift(self.buffers);
        let offsets: SmallVec<[i64; 2]> = operands[kernel.loads.len()..].iter().map(first).collect();
        // if an array begins inside a vector in this run, it may begin elsewhere in a vector in other runs with the
        // same facts
        let is_aligned =
            |(n, o): (usize, &Operand)| is_aligned(kernel, n, o.offset) && !self.buffers[o.buffer].is_between_vectors();
        let aligned: SmallVec<[bool; 8]> = operands.iter().enumerate().map(is_aligned).collect();
        let variant = classify(kernel, form, window, (&offsets, &aligned), &slots, &mut kinds)?;
        let key = wgsl::key(kernel, &variant);
        Ok(DraftWindow { operands, bindings, variant, key })
    }

    /// Compiles the missing pipelines of the plan in parallel.
    fn compile(&mut self, drafts: &[Option<Draft<'_>>]) -> Result<(), (Error, usize)> {
        let (mut wanted, mut kernels, mut keys) = (vec![], vec![], HashSet::new());
        for Draft { kernel, form, windows } in drafts.iter().flatten() {
            for DraftWindow { variant, key, .. } in windows {
                if self.pipelines.find(key).is_some() || !keys.insert(key) {
                    continue;
                }
                let text = wgsl::generate(kernel, form, variant, Dialect::of(self.caps))
                    .map_err(|fault| (Error::with_line(fault.kind, kernel.name, fault.detail, None), kernel.node))?;
                let interface = Interface { slots: &variant.slots, checks: form.checks, params: variant.params };
                wanted.push(Wanted { key: key.clone(), interface, text });
                kernels.push(*kernel);
            }
        }
        self.pipelines
            .compile(self.connection, wanted)
            .map_err(|(e, n)| (e.of_kernel(kernels[n].name), kernels[n].node))
    }

    fn kernel(&self, draft: &Draft<'_>) -> Result<PreparedKernel> {
        let Draft { kernel, form, windows } = draft;
        let prepared =
            windows.iter().zip(&kernel.windows).map(|(draft, window)| self.window(kernel, form, draft, window));
        let windows = prepared.collect::<Result<_>>()?;
        let checked = form.gathers.iter().filter(|_| form.checks).filter_map(|v| kernel.values[*v].op.position());
        let gathers = checked.map(|Position { index, extent, name, node, .. }| Gather {
            name,
            node: *node,
            compute: kernel.values[*index].compute(),
            extent: *extent,
        });
        Ok(PreparedKernel {
            name: kernel.name,
            node: kernel.node,
            continues: kernel.continues,
            windows,
            gathers: gathers.collect(),
            offsets: form.offsets,
            scalars: form.scalars.clone(),
        })
    }

    fn window(&self, kernel: &Kernel, form: &Form, draft: &DraftWindow, window: &Window) -> Result<PreparedWindow> {
        let DraftWindow { operands, bindings, variant, key } = draft;
        let missing = || Error::with_line(ErrorKind::Internal, kernel.name, "its pipeline was not compiled", None);
        let pipeline = self.pipelines.find(key).cloned().ok_or_else(missing)?;
        let (count, inner) = (window.shape.iter().product::<usize>(), kernel.inner_size());
        let strides: SmallVec<[&[isize]; 8]> =
            kernel.loads.iter().map(|l| &l.strides[..]).chain(kernel.stores.iter().map(|s| &s.strides[..])).collect();
        let (header, words) = template(kernel, form, (window, variant.lines), &strides, (count, inner));
        Ok(PreparedWindow {
            pipeline,
            operands: operands.clone().into(),
            bindings: bindings.iter().map(|b| b.operand).collect(),
            header,
            words: words.into(),
            workgroups: workgroups(kernel, variant, window, count) as u64,
        })
    }

    /// Returns the loads, then the stores, with the elements that the window touches. `bindings` sets their `binding`.
    fn operands(&self, kernel: &Kernel, window: &Window) -> Vec<Operand> {
        let operand = |named: BufferRef, size: usize, strides: &[isize], offset: isize| {
            let start: i64 = window.start.iter().zip(strides).map(|(i, s)| *i as i64 * *s as i64).sum();
            let offset = offset as i64 + start;
            let extents = window.shape.iter().chain(&kernel.inner);
            let span = extents.zip(strides).fold((offset, offset), |span, (n, s)| widen(span, *n, *s));
            let buffer = number(self.plan, named);
            Operand { named, buffer, size: size as i64, offset, span, is_used: true, binding: 0 }
        };
        let load = |(n, l): (usize, &crate::plan::kernel::Load)| {
            let mut o = operand(l.buffer, l.dtype.size(), &l.strides, l.offset);
            // several gathers of one load reach as far as the farthest gather, not as far as their sum
            let still = o.span;
            for v in &kernel.values {
                if let Op::Gather { load, stride, position } = &v.op
                    && *load == n
                {
                    let (low, high) = widen(still, position.extent, *stride);
                    o.span = (o.span.0.min(low), o.span.1.max(high));
                }
            }
            // a load that reads nothing is bound from element 0, because the offset of an empty array may lie past its
            // buffer's end
            if kernel.reads(n) { o } else { Operand { offset: 0, span: (0, 0), is_used: false, ..o } }
        };
        let store = |s: &Store| {
            let mut o = operand(s.buffer, s.dtype.size(), &s.strides, s.offset);
            if let Some(to) = s.scattered() {
                o.span = widen(o.span, to.extent, to.stride);
            }
            o
        };
        let stores = kernel.stores.iter().map(store);
        kernel.loads.iter().enumerate().map(load).chain(stores).collect()
    }

    /// Creates the bindings, and sets the `binding` of each operand. There is a binding for each buffer and word type
    /// and, if the buffer is larger than the largest binding, for each range of bytes that operands touch.
    fn bindings(&self, kernel: &Kernel, operands: &mut [Operand]) -> Result<SmallVec<[Binding; 8]>> {
        let words =
            kernel.loads.iter().map(|l| wgsl::words(l.dtype)).chain(kernel.stores.iter().map(wgsl::stored_words));
        let mut bindings: SmallVec<[Binding; 8]> = SmallVec::new();
        for (n, (o, words)) in operands.iter_mut().zip(words).enumerate() {
            let buffer = self.buffers[o.buffer].buffer;
            let span = (buffer.size > self.caps.max_binding).then(|| o.bytes(o.shift(self.buffers)));
            let known = bindings.iter().position(|b| b.id == buffer.id && b.words == words && b.span == span);
            o.binding = known.unwrap_or_else(|| {
                bindings.push(Binding { operand: n, id: buffer.id, words, access: Access::Read, span });
                bindings.len() - 1
            });
            if n >= kernel.loads.len() {
                bindings[o.binding].access = Access::Write;
            }
        }
        if bindings.len() > self.caps.max_bindings {
            let detail = format!("{} bindings; {} has {}", bindings.len(), self.caps.name, self.caps.max_bindings);
            return Err(Error::with_line(ErrorKind::LimitExceeded, kernel.name, detail, None));
        }
        // wgpu rejects a buffer that is bound both as read-only and as read-write, so if one binding of a buffer
        // writes, all bindings of that buffer do
        for i in 0..bindings.len() {
            let id = bindings[i].id;
            if bindings.iter().any(|b| b.id == id && b.access == Access::Write) {
                bindings[i].access = Access::Write;
            }
        }
        Ok(bindings)
    }
}
