//! Makes a plan ready for runs: decides which operands share a binding, finds or compiles the pipeline of each window
//! of each kernel, and computes the parameters that are the same in every run.

use super::connection::Connection;
use super::params::template;
use super::pipelines::{Interface, Pipelines, WantedPipeline};
use super::prepared::{
    Gather, PreparedKernel, PreparedPlan, PreparedStep, PreparedWindow, RunBuffer, WindowOperand, number,
};
use super::variant::{self, classify, is_aligned};
use super::wgsl::{
    self, Access, Dialect, HEADER, PARAMS_CLASSES, ParamHeader, ParamPositions, ShaderKey, Slot, Variant, Words,
    first_of_together,
};
use crate::base::error::{Error, ErrorKind, Result};
use crate::plan::kernel::{BufferRef, Caps, ExecutionPlan, Kernel, Op, Position, Step, Store, Window, validate};
use smallvec::SmallVec;
use std::collections::HashSet;

/// Prepares a plan for all runs whose buffers have the same facts as `buffers`: which buffers are the same, and where
/// arrays begin within a word or a vector (`facts` in `prepared.rs`).
pub(super) struct Preparer<'a> {
    pub connection: &'a Connection,
    pub caps: &'a Caps,
    pub pipelines: &'a mut Pipelines,
    pub plan: &'a ExecutionPlan,
    pub buffers: &'a [RunBuffer<'a>],
}

/// A binding under construction. It is a whole buffer, or a part of it if the buffer is larger than the largest
/// binding.
struct Binding {
    /// The number of the first operand that uses this binding.
    operand: usize,
    /// The [`id`](super::memory::DriverBuffer::id) of the bound buffer.
    id: u64,
    words: Words,
    access: Access,
    /// For a part of a buffer, the bound range of bytes. Only operands that touch exactly this range share the binding.
    span: Option<(i64, i64)>,
}

/// A kernel whose windows have no pipelines yet, or several such kernels that run in one dispatch.
struct Draft<'a> {
    kernels: SmallVec<[(&'a Kernel, ParamPositions); 1]>,
    windows: Vec<DraftWindow>,
}

struct DraftWindow {
    /// The operands of all kernels, one kernel after another.
    operands: Vec<WindowOperand>,
    bindings: SmallVec<[Binding; 8]>,
    /// The variant of each kernel. All variants have the same slots (bindings).
    variants: SmallVec<[Variant; 1]>,
    /// Length of the parameters of all kernels in vectors of four words.
    params: u32,
    key: ShaderKey,
}

/// Extends the range of elements `low..=high` so that it covers `extent` indices along an axis with this stride.
fn widen((low, high): (i64, i64), extent: usize, stride: isize) -> (i64, i64) {
    let reach = (extent as i64 - 1).max(0) * stride as i64;
    if reach < 0 { (low + reach, high) } else { (low, high + reach) }
}

impl<'a> Preparer<'a> {
    /// Prepares all steps of the plan. An error includes the number of the node whose kernel failed.
    pub fn prepare(&mut self) -> Result<PreparedPlan, (Error, usize)> {
        validate(self.plan)?;
        let mut drafts = Vec::with_capacity(self.plan.steps.len());
        while let Some(step) = self.plan.steps.get(drafts.len()) {
            match step {
                Step::Nest(k) => self.draft(&mut drafts).map_err(|e| (e, k.node))?,
                Step::Routine(_) | Step::Clear { .. } => drafts.push(None),
            }
        }
        self.compile(&drafts)?;
        let steps = drafts.iter().map(|draft| match draft {
            Some(draft) => self.kernel(draft).map(PreparedStep::Nest).map_err(|e| (e, draft.kernels[0].0.node)),
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

    /// Determines which pipeline each window of the next kernel needs, and adds the result to `drafts`. If the next
    /// kernels run in one dispatch, does this for all of them.
    fn draft(&self, drafts: &mut Vec<Option<Draft<'a>>>) -> Result<()> {
        let kernels = self.beside(drafts.len());
        let forms = |list: &[&'a Kernel]| list.iter().map(|kernel| (*kernel, ParamPositions::of(kernel))).collect();
        if kernels.len() > 1 {
            let together: SmallVec<[(&Kernel, ParamPositions); 1]> = forms(&kernels);
            if let Some(window) = self.draft_window(&together, 0)? {
                drafts.push(Some(Draft { kernels: together, windows: vec![window] }));
                let others = kernels[1..].iter().map(|k| Some(Draft { kernels: forms(&[k]), windows: vec![] }));
                drafts.extend(others);
                return Ok(());
            }
        }
        let kernels = forms(&kernels[..1]);
        let windows = match kernels[0].0.outer_size() {
            0 => Vec::new(),
            _ => (0..kernels[0].0.windows.len())
                .filter_map(|n| self.draft_window(&kernels, n).transpose())
                .collect::<Result<_>>()?,
        };
        drafts.push(Some(Draft { kernels, windows }));
        Ok(())
    }

    /// Returns the kernel of step `first`, and the kernels after it that run in the same dispatch.
    fn beside(&self, first: usize) -> SmallVec<[&'a Kernel; 1]> {
        let kernels = self.plan.steps[first..].iter().map_while(Step::nest).enumerate();
        kernels.take_while(|(n, k)| *n == 0 || k.schedule.is_beside()).map(|(_, k)| k).collect()
    }

    /// Determines the pipeline for a window of a kernel, or for several kernels that are to run in one dispatch.
    /// Returns `None` if these kernels cannot share a dispatch.
    fn draft_window(&self, kernels: &[(&'a Kernel, ParamPositions)], number: usize) -> Result<Option<DraftWindow>> {
        let (mut operands, mut words) = (vec![], vec![]);
        for (kernel, _) in kernels {
            let window = &kernel.windows[number];
            let (count, inner) = (window.shape.iter().product::<usize>(), kernel.inner_size());
            // shaders use u32 indices. Allowing only half of their range leaves room for indices past the end, which
            // invocations of the last workgroup compute
            if count as u64 > 1 << 31 || inner as u64 > 1 << 31 {
                let detail = format!("a dispatch over {count} × {inner} indices");
                return Err(Error::with_line(ErrorKind::Internal, kernel.name, detail, None));
            }
            operands.extend(self.operands(kernel, window));
            words.extend(words_of(kernel));
        }
        let bindings = self.bindings(&words, &mut operands);
        if bindings.len() > self.caps.max_bindings {
            if kernels.len() > 1 {
                return Ok(None);
            }
            let detail = format!("{} bindings; {} has {}", bindings.len(), self.caps.name, self.caps.max_bindings);
            return Err(Error::with_line(ErrorKind::LimitExceeded, kernels[0].0.name, detail, None));
        }
        let (mut variants, mut key): (SmallVec<[Variant; 1]>, ShaderKey) = (SmallVec::new(), ShaderKey::new());
        let mut operands_left = &operands[..];
        for (kernel, form) in kernels {
            let (own, left) = operands_left.split_at(kernel.loads.len() + kernel.stores.len());
            operands_left = left;
            variants.push(self.variant(kernel, form, &kernel.windows[number], own, &bindings)?);
        }
        let mut params = variants[0].params;
        if kernels.len() > 1 {
            match together(kernels, &mut variants) {
                Some(all) => params = all,
                None => return Ok(None),
            }
            key.push(u64::MAX - kernels.len() as u64);
        }
        for ((kernel, _), variant) in kernels.iter().zip(&variants) {
            key.extend(wgsl::key(kernel, variant));
        }
        Ok(Some(DraftWindow { operands, bindings, variants, params, key }))
    }

    /// Returns the variant of a kernel's shader for a window: everything that is compiled into the shader besides the
    /// schedule.
    fn variant(
        &self,
        kernel: &Kernel,
        form: &ParamPositions,
        window: &Window,
        operands: &[WindowOperand],
        bindings: &[Binding],
    ) -> Result<Variant> {
        let mut kinds: SmallVec<[Slot; 8]> =
            bindings.iter().map(|b| Slot { words: b.words, access: b.access, width: 1 }).collect();
        let slots: SmallVec<[usize; 8]> = operands.iter().map(|o| o.binding).collect();
        let first = |o: &WindowOperand| o.offset + o.shift(self.buffers);
        let offsets: SmallVec<[i64; 2]> = operands[kernel.loads.len()..].iter().map(first).collect();
        // the prepared plan is used again for runs with the same facts (`prepared.rs`). If an array begins inside a
        // vector in this run, it may begin at another position of a vector in those runs
        let is_aligned = |(n, o): (usize, &WindowOperand)| {
            is_aligned(kernel, n, o.offset) && !self.buffers[o.buffer].is_between_vectors()
        };
        let aligned: SmallVec<[bool; 8]> = operands.iter().enumerate().map(is_aligned).collect();
        classify(kernel, form, window, (&offsets, &aligned), &slots, &mut kinds)
    }

    /// Compiles the missing pipelines of the plan in parallel.
    fn compile(&mut self, drafts: &[Option<Draft<'_>>]) -> Result<(), (Error, usize)> {
        let (mut wanted, mut kernels, mut keys) = (vec![], vec![], HashSet::new());
        for Draft { kernels: own, windows } in drafts.iter().flatten() {
            for DraftWindow { variants, params, key, .. } in windows {
                if self.pipelines.find(key).is_some() || !keys.insert(key) {
                    continue;
                }
                let (kernel, form) = &own[0];
                let dialect = Dialect::of(self.caps);
                let all: SmallVec<[(&Kernel, &ParamPositions, &Variant); 1]> =
                    own.iter().zip(variants).map(|((kernel, form), variant)| (*kernel, form, variant)).collect();
                let text = match variants.len() {
                    1 => wgsl::generate(kernel, form, &variants[0], dialect),
                    _ => wgsl::generate_together(&all, dialect),
                };
                let text =
                    text.map_err(|fault| (Error::with_line(fault.kind, kernel.name, fault.detail, None), kernel.node))?;
                let interface = Interface { slots: &variants[0].slots, checks: form.checks, params: *params };
                wanted.push(WantedPipeline { key: key.clone(), interface, text });
                kernels.push(*kernel);
            }
        }
        self.pipelines
            .compile(self.connection, wanted)
            .map_err(|(e, n)| (e.of_kernel(kernels[n].name), kernels[n].node))
    }

    fn kernel(&self, draft: &Draft<'_>) -> Result<PreparedKernel> {
        let Draft { kernels, windows } = draft;
        let (kernel, form) = &kernels[0];
        let windows = windows.iter().enumerate().map(|(n, window)| self.window(kernels, window, n));
        let windows = windows.collect::<Result<_>>()?;
        let checked = form.gathers.iter().filter(|_| form.checks).filter_map(|v| kernel.values[*v].op.position());
        let gathers = checked.map(|Position { index, extent, mode, name, node, .. }| Gather {
            name,
            node: *node,
            compute: kernel.values[*index].compute(),
            mode: *mode,
            extent: *extent,
        });
        let (mut scalars, mut offsets) = (Vec::new(), SmallVec::new());
        let mut begin = if kernels.len() > 1 { first_of_together(kernels.len()) } else { 0 };
        for (kernel, form) in kernels {
            scalars.extend(form.scalars.iter().enumerate().map(|(i, n)| (*n, begin + HEADER + 2 * i)));
            offsets.push((kernel.loads.len() + kernel.stores.len(), begin + form.offsets));
            begin += words_of_params(kernel, form);
        }
        Ok(PreparedKernel {
            name: kernel.name,
            node: kernel.node,
            continues: kernel.continues,
            windows,
            gathers: gathers.collect(),
            offsets,
            scalars,
        })
    }

    fn window(
        &self,
        kernels: &[(&Kernel, ParamPositions)],
        draft: &DraftWindow,
        number: usize,
    ) -> Result<PreparedWindow> {
        let DraftWindow { operands, bindings, variants, key, .. } = draft;
        let name = kernels[0].0.name;
        let missing = || Error::with_line(ErrorKind::Internal, name, "its pipeline was not compiled", None);
        let pipeline = self.pipelines.find(key).cloned().ok_or_else(missing)?;
        let (mut header, mut words, mut ends) = (ParamHeader::default(), vec![], vec![]);
        let (mut workgroups, mut operations) = (0, 0u64);
        for ((kernel, form), variant) in kernels.iter().zip(variants) {
            let window = &kernel.windows[number];
            let (count, inner) = (window.shape.iter().product::<usize>(), kernel.inner_size());
            let loads = kernel.loads.iter().map(|l| &l.strides[..]);
            let strides: SmallVec<[&[isize]; 8]> = loads.chain(kernel.stores.iter().map(|s| &s.strides[..])).collect();
            let (own, mut list) = template(kernel, form, (window, variant.lines), &strides, (count, inner));
            workgroups += variant::workgroups(kernel, variant, window, count) as u64;
            let each = kernel.loads.len() + kernel.values.len() + kernel.stores.len();
            let total = (count as u64).saturating_mul(inner.max(1) as u64).saturating_mul(each as u64);
            operations = operations.saturating_add(total);
            if kernels.len() > 1 {
                own.write(&mut list);
                words.append(&mut list);
                ends.push(workgroups as u32);
            } else {
                (header, words) = (own, list);
            }
        }
        if kernels.len() > 1 {
            let mut first = vec![0; first_of_together(kernels.len())];
            first[HEADER..HEADER + ends.len()].copy_from_slice(&ends);
            words.splice(0..0, first);
        }
        Ok(PreparedWindow {
            pipeline,
            operands: operands.clone().into(),
            bindings: bindings.iter().map(|b| b.operand).collect(),
            header,
            words: words.into(),
            workgroups,
            operations,
        })
    }

    /// Returns the loads, then the stores, with the elements that the window touches. Their field `binding` is set
    /// later, by [`Preparer::bindings`].
    fn operands(&self, kernel: &Kernel, window: &Window) -> Vec<WindowOperand> {
        let operand = |named: BufferRef, size: usize, strides: &[isize], offset: isize| {
            let start: i64 = window.start.iter().zip(strides).map(|(i, s)| *i as i64 * *s as i64).sum();
            let offset = offset as i64 + start;
            let extents = window.shape.iter().chain(&kernel.inner);
            let span = extents.zip(strides).fold((offset, offset), |span, (n, s)| widen(span, *n, *s));
            let buffer = number(self.plan, named);
            WindowOperand { named, buffer, size: size as i64, offset, span, is_used: true, binding: 0 }
        };
        let load = |(n, l): (usize, &crate::plan::kernel::Load)| {
            let mut o = operand(l.buffer, l.dtype.size(), &l.strides, l.offset);
            // each gather of this load widens the original span, `still`: if several gathers use one load, the
            // distances that they can reach do not add up
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
            if kernel.reads(n) { o } else { WindowOperand { offset: 0, span: (0, 0), is_used: false, ..o } }
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
    fn bindings(&self, words: &[(BufferRef, Words, Access)], operands: &mut [WindowOperand]) -> SmallVec<[Binding; 8]> {
        let mut bindings: SmallVec<[Binding; 8]> = SmallVec::new();
        for (n, (o, (_, words, access))) in operands.iter_mut().zip(words).enumerate() {
            let buffer = self.buffers[o.buffer].buffer;
            let span = (buffer.size > self.caps.max_binding).then(|| o.bytes(o.shift(self.buffers)));
            let known = bindings.iter().position(|b| b.id == buffer.id && b.words == *words && b.span == span);
            o.binding = known.unwrap_or_else(|| {
                bindings.push(Binding { operand: n, id: buffer.id, words: *words, access: Access::Read, span });
                bindings.len() - 1
            });
            if *access == Access::Write {
                bindings[o.binding].access = Access::Write;
            }
        }
        // wgpu rejects a buffer that is bound both as read-only and as read-write, so if one binding of a buffer
        // writes, all bindings of that buffer do
        for i in 0..bindings.len() {
            let id = bindings[i].id;
            if bindings.iter().any(|b| b.id == id && b.access == Access::Write) {
                bindings[i].access = Access::Write;
            }
        }
        bindings
    }
}

/// Returns the buffer, the word type and the access of each load, then of each store.
fn words_of(kernel: &Kernel) -> impl Iterator<Item = (BufferRef, Words, Access)> {
    let loads = kernel.loads.iter().map(|l| (l.buffer, wgsl::words(l.dtype), Access::Read));
    loads.chain(kernel.stores.iter().map(|s| (s.buffer, wgsl::stored_words(s), Access::Write)))
}

/// Returns the number of words in the parameters of a kernel that shares a dispatch with others.
fn words_of_params(kernel: &Kernel, form: &ParamPositions) -> usize {
    4 * (form.table + (kernel.outer.len().max(1) + 1) * form.row)
}

/// Gives kernels that are to run in one dispatch the same slots (bindings), and returns the length of all parameters in
/// vectors of four words. Returns `None` if they cannot run in one dispatch.
fn together(kernels: &[(&Kernel, ParamPositions)], variants: &mut [Variant]) -> Option<u32> {
    for n in 0..variants[0].slots.len() {
        let uses = |v: &&Variant| v.loads.iter().chain(v.stores.iter().map(|s| &s.0)).any(|slot| *slot as usize == n);
        let mut slots = variants.iter().filter(uses).map(|v| v.slots[n]);
        let first = slots.next()?;
        // if the kernels access a buffer by vectors of different lengths, all kernels access it by words instead
        let width = if slots.clone().all(|slot| slot.width == first.width) { first.width } else { 1 };
        let weaves = variants.iter().filter(uses).any(|v| v.woven > 1 && v.slots[n].width != width);
        if weaves || slots.any(|slot| slot.access != first.access) {
            return None;
        }
        variants.iter_mut().for_each(|v| v.slots[n] = Slot { width, ..first });
    }
    let mut words = first_of_together(kernels.len());
    for ((kernel, form), variant) in kernels.iter().zip(variants.iter_mut()) {
        // each workgroup of the dispatch selects its kernel by a branch, which must contain no barrier. Kernels with
        // squares need barriers
        if variant.has_squares() || variant.groups.size != kernels[0].0.schedule.groups()?.size {
            return None;
        }
        let own = words_of_params(kernel, form);
        variant.params = own as u32 / 4;
        words += own;
    }
    let class = PARAMS_CLASSES.into_iter().find(|class| *class as usize >= words / 4)?;
    let fits = kernels.iter().map(|(k, _)| k.outer_size() as u64).sum::<u64>() <= 1 << 31;
    fits.then_some(class)
}
