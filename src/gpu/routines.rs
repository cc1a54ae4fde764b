//! Routines on a GPU: the list of their shader files, and their dispatches. A routine is an operation that is not a
//! loop nest, such as a sort. It runs in one or several passes over its items.

use super::batch::BufferSlice;
use super::dispatch::StepRecorder;
use super::memory::DriverBuffer;
use super::notes::{NoteKind, NoteSource};
use super::pipelines::Interface;
use super::prepared::RunBuffer;
use super::shader_file::shader_file;
use super::time_out::operations_of_loops;
use super::wgsl::{self, Dialect, ParamHeader, Slot};
use crate::base::dtype::{Compute, DType};
use crate::base::error::{Error, ErrorKind, Result};
use crate::graph::routine::{
    ARGSORT, ARGTOPK, BINCOUNT, CHOLESKY, COMPRESS, EIGH, FFT, GpuPass, LU, NONZERO, QR, REDUCE_AT, Routine,
    RoutineOperand, SELECT, SOLVE, SOLVE_TRIANGULAR, SORT, SUM_BY_KEY, SVD,
};
use crate::plan::backend::Shader;
use crate::plan::kernel::{BufferRef, RoutineCall, RoutinePass};
use std::sync::atomic::Ordering::Relaxed;

/// The shader file of each routine. In the file, the block `// block: NAME` is the source of the pass with that name.
static SHADERS: [(&Routine, &str); 17] = [
    (&BINCOUNT, shader_file!("bincount.wgsl")),
    (&SORT, shader_file!("sort.wgsl")),
    (&ARGSORT, shader_file!("sort.wgsl")),
    (&ARGTOPK, shader_file!("sort.wgsl")),
    (&SELECT, shader_file!("sort.wgsl")),
    (&NONZERO, shader_file!("compress.wgsl")),
    (&COMPRESS, shader_file!("compress.wgsl")),
    (&SUM_BY_KEY, shader_file!("sums.wgsl")),
    (&REDUCE_AT, shader_file!("sums.wgsl")),
    (&FFT, shader_file!("fft.wgsl")),
    (&CHOLESKY, shader_file!("cholesky.wgsl")),
    (&SOLVE_TRIANGULAR, shader_file!("triangular.wgsl")),
    (&LU, shader_file!("lu.wgsl")),
    (&SOLVE, shader_file!("lu.wgsl")),
    (&EIGH, shader_file!("eigh.wgsl")),
    (&SVD, shader_file!("svd.wgsl")),
    (&QR, shader_file!("qr.wgsl")),
];

/// Returns whether [`SHADERS`] has a file for a routine.
#[cfg(feature = "testing")]
pub(super) fn has(row: &Routine) -> bool {
    shader(row).is_ok()
}

fn internal(name: &'static str, detail: impl Into<String>) -> Error {
    Error::with_line(ErrorKind::Internal, name, detail, None)
}

fn shader(row: &Routine) -> Result<&'static str> {
    let found = SHADERS.iter().find(|(r, _)| *r == row).map(|(_, shader)| *shader);
    found.ok_or_else(|| internal(row.name, "the routine has no shader"))
}

/// Returns the number of workgroups that handle the items `first..end` of a pass.
fn groups(scheduled: &RoutinePass, [first, end]: [usize; 2]) -> u64 {
    (end - first).div_ceil(scheduled.group as usize * scheduled.pass.each) as u64
}

/// Returns the shader of each pass of a call, with the number of invocations of the pass's first dispatch.
pub(super) fn previews(call: &RoutineCall, dialect: Dialect) -> Vec<Result<Shader>> {
    let preview = |p: &RoutinePass| {
        let text = wgsl::generate_routine(call, p, shader(call.row)?, dialect);
        let groups = p.windows.first().map_or(0, |window| groups(p, *window));
        Ok(Shader { text, invocations: groups * u64::from(p.group) })
    };
    call.passes.iter().map(preview).collect()
}

/// The range of a buffer that a pass of a routine binds.
struct BoundPlace<'a> {
    buffer: &'a DriverBuffer,
    offset: u64,
    len: u64,
    /// The position of element 0 of an operand or a result, in elements from the start of the binding. If it lies
    /// before the binding, the number wraps as a u32, as the shader's additions do.
    first: Option<u32>,
}

impl<'a> StepRecorder<'a> {
    /// Fills a temporary with zeros.
    pub fn clear(&mut self, temp: usize) -> Result<()> {
        let RunBuffer { buffer, .. } = self.buffer(BufferRef::Temp(temp));
        self.batch.clear(self.connection, &buffer.buffer)?;
        buffer.last_batch.store(self.batch.serial(), Relaxed);
        Ok(())
    }

    /// Records a routine's dispatches.
    pub fn record_routine(&mut self, call: &RoutineCall) -> Result<()> {
        // everything that may fail runs before the first dispatch, so that a write in place is done completely or not
        // at all
        self.prepare_routine(call)?;
        self.each_pass(call, false)?;
        self.connection.counters.kernels.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Creates everything that a routine's dispatches need, without recording them.
    pub fn prepare_routine(&mut self, call: &RoutineCall) -> Result<()> {
        self.each_pass(call, true)
    }

    /// Records every dispatch of every pass. If `dry` is true, only creates the pipelines and bind groups that
    /// recording needs.
    fn each_pass(&mut self, call: &RoutineCall, dry: bool) -> Result<()> {
        let mut windows = call.passes.iter().flat_map(|p| p.windows.iter().map(move |w| (p, *w)));
        let done = windows.try_for_each(|(pass, window)| self.pass(call, pass, window, dry));
        done.map_err(|e| self.bindings.blame(e.of_kernel(call.row.name), (call.row.name, call.node)))
    }

    /// Records the dispatch of a pass over the items `window[0]..window[1]`. If `dry` is true, only creates its
    /// pipeline and bind group.
    fn pass(&mut self, call: &RoutineCall, scheduled: &RoutinePass, window: [usize; 2], dry: bool) -> Result<()> {
        let (shader, pass) = (shader(call.row)?, &scheduled.pass);
        let slots = wgsl::routine_slots(call, pass);
        let kinds: Vec<Slot> = slots.iter().map(|(_, slot)| *slot).collect();
        let bindings = slots.iter().map(|(place, _)| self.bind_place(call, pass, *place, window));
        let bindings = bindings.collect::<Result<Vec<BoundPlace<'_>>>>()?;
        if bindings.len() > self.caps.max_bindings {
            let (name, most) = (&self.caps.name, self.caps.max_bindings);
            let detail = format!("a pass needs {} bindings; {name} has {most}", bindings.len());
            return Err(Error::with_line(ErrorKind::LimitExceeded, call.row.name, detail, None));
        }
        let checks = call.row.refuses.is_some();
        let (key, interface) =
            (wgsl::routine_key(call, scheduled), Interface { slots: &kinds, checks, params: wgsl::ROUTINE_PARAMS });
        let text = || Ok(wgsl::generate_routine(call, scheduled, shader, Dialect::of(self.caps)));
        let pipeline = self.batch.pipelines.get(self.connection, key, interface, text)?;
        let slice = |b: &BoundPlace<'a>| BufferSlice {
            buffer: &b.buffer.buffer,
            id: b.buffer.id,
            offset: b.offset,
            len: b.len,
        };
        let slices: Vec<BufferSlice<'a>> = bindings.iter().map(slice).collect();
        if dry {
            return self.batch.rehearse(self.connection, &pipeline, &slices);
        }
        let mut words = wgsl::routine_params(call, pass, window[0], bindings.iter().filter_map(|b| b.first));
        let mut header = ParamHeader { outer_size: window[1] as u32, ..ParamHeader::default() };
        if checks {
            header.error_id = self.refusal(call);
        }
        let (groups, bound) = (groups(scheduled, window), slices.iter().map(|s| s.len).sum());
        let amount = (groups, operations_of_loops(groups.saturating_mul(u64::from(scheduled.group)), bound));
        self.dispatch(&pipeline, &slices, (header, &mut words), amount)?;
        for binding in &bindings {
            binding.buffer.last_batch.store(self.batch.serial(), Relaxed);
        }
        Ok(())
    }

    /// Registers that the routine may reject an element. Returns the id that its shader writes into a note.
    fn refusal(&mut self, call: &RoutineCall) -> u32 {
        let unsigned = call.operands.first().is_some_and(|w| w.meta.dtype == DType::U64);
        let compute = if unsigned { Compute::U64 } else { Compute::I64 };
        let line = self.bindings.line(call.node);
        let refuses = NoteKind::Element { row: call.row, params: call.params.clone() };
        self.batch.next_error_id(std::iter::once(NoteSource { id: 0, line, compute, refuses }))
    }

    /// Binds the whole buffer of the operand, result or scratch memory that `place` names. If the buffer of an operand
    /// or result is larger than the largest binding, binds only the elements of the window, or all elements of the
    /// array if the pass accesses it as a whole.
    fn bind_place(
        &self,
        call: &RoutineCall,
        pass: &GpuPass,
        place: RoutineOperand,
        window: [usize; 2],
    ) -> Result<BoundPlace<'a>> {
        let name = call.row.name;
        let found = match place {
            RoutineOperand::Operand(n) => call.operands.get(n).map(|w| (w.buffer, Some(&w.meta))),
            RoutineOperand::Result(n) => call.results.get(n).map(|w| (w.buffer, Some(&w.meta))),
            RoutineOperand::Scratch(n) | RoutineOperand::Shared(n) => call.scratch.get(n).map(|s| (s.0, None)),
        };
        let Some((named, meta)) = found else {
            return Err(internal(name, format!("a pass binds {place:?}, which the call does not have")));
        };
        let RunBuffer { buffer, offset: first } = self.buffer(named);
        let Some(meta) = meta else { return Ok(BoundPlace { buffer, offset: 0, len: buffer.size, first: None }) };
        let (size, first) = (meta.dtype.size() as u64, first as u64);
        let is_along = pass.along.contains(&place);
        let [start, end] = if is_along { window.map(|item| item as u64) } else { [0, meta.size() as u64] };
        if end > meta.size() as u64 || (first + meta.size() as u64) * size > buffer.size {
            let detail =
                format!("{} elements from {first} on lie outside {named} ({} bytes)", meta.size(), buffer.size);
            return Err(internal(name, detail));
        }
        if buffer.size <= self.caps.max_binding {
            return Ok(BoundPlace { buffer, offset: 0, len: buffer.size, first: Some(first as u32) });
        }
        let offset = (first + start) * size / self.limits.storage_alignment * self.limits.storage_alignment;
        let len = ((first + end) * size).next_multiple_of(4) - offset;
        // the shader numbers the items of every window from the first item of the call, so `first` is the position of
        // that item
        Ok(BoundPlace { buffer, offset, len, first: Some((first as i64 - (offset / size) as i64) as u32) })
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use crate::graph::routine::{Meta, ONLY_ON_CPU, ROWS};
    use crate::plan::kernel::Whole;
    use smallvec::smallvec;

    crate::testing::unit_tests!(gpu_routines: every_routine_has_a_shader, texts_of_bincount_are_valid);

    fn validate(name: &str, text: &str) {
        let module = match naga::front::wgsl::parse_str(text) {
            Ok(module) => module,
            Err(e) => panic!("{name}: {}\n{text}", e.emit_to_string(text)),
        };
        let (flags, all) = (naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all());
        if let Err(e) = naga::valid::Validator::new(flags, all).validate(&module) {
            panic!("{name}: {}\n{text}", e.emit_to_string(text));
        }
    }

    fn every_routine_has_a_shader() {
        assert!(ROWS.iter().all(|row| shader(row).is_ok() != ONLY_ON_CPU.contains(row)));
        assert_eq!(ROWS.len(), SHADERS.len() + ONLY_ON_CPU.len());
    }

    /// Validates the generated source for each dtype, and the shader file itself with the stubs that it declares.
    fn texts_of_bincount_are_valid() {
        use DType::*;
        let whole = |n: usize, dtype, shape: usize| Whole {
            buffer: BufferRef::Input(n),
            meta: Meta { shape: smallvec![shape], dtype },
            is_read: true,
        };
        for dtype in [U8, I8, U16, I16, U32, I32, U64, I64] {
            let pass = |name, along, whole| RoutinePass {
                pass: GpuPass { name, items: 7, each: 1, along, whole, number: 0 },
                windows: vec![],
                group: 256,
            };
            let call = RoutineCall {
                row: &BINCOUNT,
                params: smallvec![5],
                operands: vec![whole(0, dtype, 7)],
                results: vec![whole(1, I64, 5)],
                scratch: vec![(BufferRef::Temp(0), 20)],
                passes: vec![
                    pass("count", &[RoutineOperand::Operand(0)], &[RoutineOperand::Shared(0)]),
                    pass("count_together", &[RoutineOperand::Operand(0)], &[RoutineOperand::Shared(0)]),
                    pass("widen", &[RoutineOperand::Result(0)], &[RoutineOperand::Shared(0)]),
                ],
                node: 0,
            };
            for text in [Dialect::FULL, Dialect::LEAST].into_iter().flat_map(|dialect| previews(&call, dialect)) {
                validate(&format!("bincount of {dtype}"), &text.unwrap().text);
            }
        }
        let own = "struct Parameters {\n@size(64) header: Header,\nfirst_item: u32,\nnumber: u32,\nparam0: u32,\nparam1: u32,\nparam2: u32,\nparam3: u32,\nparam4: u32,\nparam4_high: u32,\n}\n\
                   @group(1) @binding(0) var<uniform> params: Parameters;\n";
        let frame = shader_file!("lib/frame.wgsl");
        // each block is validated alone, because blocks that never occur in the same shader may have functions of the
        // same name
        for (row, file) in &SHADERS {
            let blocks = || file.split("// block: ").skip(1);
            let declared = blocks().next().and_then(|b| b.split_once("// end")).map_or("", |b| b.0);
            let declared = declared.split_once('\n').map_or("", |b| b.1);
            for block in blocks().skip(1) {
                let text = block.split_once('\n').and_then(|b| b.1.split_once("// end")).map_or("", |b| b.0);
                validate(row.name, &format!("{own}{frame}{declared}{text}"));
            }
        }
    }
}
