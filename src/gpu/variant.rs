//! Specialises a kernel's shader: beside the schedule, the few run-time facts (packing, bindings) that are compiled into it
//! instead of passed as parameters.

use super::wgsl::{self, Access, Form, Slot, StoreMode, Variant, Words};
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{BufferRef, Kernel, KernelKind, SCAN_RUN, Window, WriteClass};
use smallvec::SmallVec;

/// The specialisation for a window. `offsets` are the first elements of the stores in their bindings' buffers, `slots` the
/// binding of each load and store; a binding that invocations share becomes atomic.
pub(super) fn classify(
    kernel: &Kernel,
    form: &Form,
    window: &Window,
    offsets: &[i64],
    slots: &[usize],
    kinds: &mut [Slot],
) -> Result<Variant> {
    let Some(groups) = kernel.schedule.groups() else {
        return Err(Error::new(ErrorKind::Internal, kernel.name, "a kernel without workgroups", None));
    };
    let n = kernel.loads.len();
    let (stores, mut run) = store_modes(kernel, offsets, &slots[n..], kinds);
    // which elements of a row a lane holds decides the order of its folds, so types alone decide it: not where a target begins
    if mutant!(lanes_by_place_of_target, false, kernel.kind == KernelKind::Row) {
        let inner = kernel.stores.iter().filter(|s| kernel.values[s.value].inner);
        run = inner.map(|s| 1 << wgsl::packing(s.dtype)).max().unwrap_or(1);
    }
    // a run of a scan is one lane's
    if kernel.scans() {
        run = SCAN_RUN as u32;
    }
    let rank = window.shape.len().max(3) + kernel.inner.len().max(1);
    let params = form.params(rank).ok_or_else(|| {
        let detail = format!("{rank} axes of {} operands", form.columns);
        Error::new(ErrorKind::LimitExceeded, kernel.name, detail, None)
    })?;
    Ok(Variant {
        slots: kinds.iter().copied().collect(),
        loads: slots[..n].iter().map(|s| *s as u8).collect(),
        stores,
        groups,
        // an invocation with several loads under way owns as many neighbours, if it owns words at all
        run: if groups.in_flight > 1 && run > 1 { groups.in_flight.into() } else { run },
        params,
    })
}

/// How each store writes, and how many consecutive elements an invocation takes so that it owns packed words.
fn store_modes(
    kernel: &Kernel,
    offsets: &[i64],
    slots: &[usize],
    kinds: &mut [Slot],
) -> (SmallVec<[(u8, StoreMode); 2]>, u32) {
    let mut run = 1;
    let mut stores: SmallVec<[(u8, StoreMode); 2]> = SmallVec::new();
    for (i, s) in kernel.stores.iter().enumerate() {
        let per = 1 << wgsl::packing(s.dtype);
        let mode = match kernel.schedule.write(i) {
            WriteClass::Plain | WriteClass::Streamed => StoreMode::Direct,
            // a target that begins within a word has no words of its own
            WriteClass::Words if offsets[i] % per == 0 => {
                run = run.max(per as u32);
                StoreMode::Owned
            }
            WriteClass::Words | WriteClass::Merged | WriteClass::Combined => StoreMode::Atomic,
        };
        if mode == StoreMode::Atomic {
            kinds[slots[i]].access = Access::Atomic;
        }
        stores.push((slots[i] as u8, mode));
    }
    for (slot, mode) in &mut stores {
        // where one store merges words atomically, all stores to that binding do
        if *mode == StoreMode::Owned && kinds[*slot as usize].access == Access::Atomic {
            *mode = StoreMode::Atomic;
        }
    }
    (stores, run)
}

/// The last two axes.
pub(super) fn matrix(shape: &[usize]) -> (usize, usize) {
    match shape {
        [.., m, n] => (*m, *n),
        _ => (1, 1),
    }
}

/// The text of a kernel whose buffers are all different and begin where they are bound: what most runs of it compile.
pub(crate) fn preview(kernel: &Kernel) -> Result<String> {
    let form = Form::of(kernel);
    let mut bound: Vec<(BufferRef, Words)> = vec![];
    let mut kinds: Vec<Slot> = vec![];
    let mut slots: Vec<usize> = vec![];
    let loads = kernel.loads.iter().map(|l| (l.buffer, wgsl::words(l.dtype), Access::Read));
    let stores = kernel.stores.iter().map(|s| (s.buffer, wgsl::stored_words(s), Access::Write));
    for (buffer, words, access) in loads.chain(stores) {
        let of = (buffer, words);
        let slot = bound.iter().position(|b| *b == of).unwrap_or_else(|| {
            bound.push(of);
            kinds.push(Slot { words: of.1, access });
            kinds.len() - 1
        });
        slots.push(slot);
    }
    let offsets: Vec<i64> = kernel.stores.iter().map(|s| s.offset as i64).collect();
    let whole = Window { start: SmallVec::from_elem(0, kernel.outer.len()), shape: kernel.outer[..].into() };
    let window = kernel.windows.first().unwrap_or(&whole);
    let variant = classify(kernel, &form, window, &offsets, &slots, &mut kinds)?;
    wgsl::generate(kernel, &form, &variant).map_err(|fault| Error::new(fault.kind, kernel.name, fault.detail, None))
}
