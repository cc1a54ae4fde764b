//! Determines the variant of a kernel's shader ([`Variant`]): what is compiled into the shader in addition to the
//! schedule. This includes which operands share a binding, how each store writes (which depends on where in a word its
//! target begins), and whether an invocation processes four elements.

use super::fetches::{self, FetchOperands, SIDE};
use super::wgsl::{self, Access, Dialect, ParamPositions, Slot, StoreMode, Variant, Words};
use crate::base::error::{Error, ErrorKind, Result};
use crate::plan::backend::Shader;
use crate::plan::kernel::{BufferRef, Kernel, KernelKind, Window, WriteClass};
use smallvec::SmallVec;

/// Returns the variant for a window. `offsets` are the first elements of the stores, counted from their buffers'
/// starts. `aligned` tells for each load, then each store, whether [`is_aligned`] holds in every run that uses the
/// prepared plan. `slots` are the numbers of the bindings of loads, then of stores. `kinds` are the bindings; a binding
/// becomes atomic here if several invocations may write to the same word of it.
pub(super) fn classify(
    kernel: &Kernel,
    form: &ParamPositions,
    window: &Window,
    (offsets, aligned): (&[i64], &[bool]),
    slots: &[usize],
    kinds: &mut [Slot],
) -> Result<Variant> {
    let Some(groups) = kernel.schedule.groups() else {
        return Err(Error::with_line(ErrorKind::Internal, kernel.name, "a kernel without workgroups", None));
    };
    let n = kernel.loads.len();
    let woven = woven(kernel, &aligned[n..], slots);
    let stores = store_modes(kernel, (offsets, woven), &slots[n..], kinds);
    if woven > 1 {
        kinds[slots[n]].width = (woven >> wgsl::packing(kernel.stores[0].dtype)) as u8;
    }
    let owns_words = stores.iter().any(|(_, mode)| *mode == StoreMode::Owned);
    let rank = window.shape.len().max(3) + kernel.inner.len().max(1);
    let params = form.params(rank).ok_or_else(|| {
        let detail = format!("{rank} axes of {} operands", form.columns);
        Error::with_line(ErrorKind::LimitExceeded, kernel.name, detail, None)
    })?;
    let mut variant = Variant {
        slots: kinds.iter().copied().collect(),
        loads: slots[..n].iter().map(|s| *s as u8).collect(),
        stores,
        groups,
        // an invocation processes consecutive elements only if it owns whole words
        run: if owns_words { groups.run.into() } else { 1 },
        params,
        fetches: SmallVec::new(),
        lines: None,
        has_whole_runs: false,
        stores_whole: false,
        woven: woven as u8,
        draws_blocks: false,
        nested: nested(kernel, window),
    };
    if woven == 1 {
        fetches::choose(&FetchOperands { kernel, window, aligned }, &mut variant);
    }
    Ok(variant)
}

/// Returns whether operand `n` begins at a multiple of four elements. `first` is the position of its first element. A
/// store that is written together with others as one word or vector ([`Kernel::woven`]) must begin at a multiple of the
/// number of these stores instead of four.
pub(super) fn is_aligned(kernel: &Kernel, n: usize, first: i64) -> bool {
    let woven = if n < kernel.loads.len() { 1 } else { kernel.woven() as i64 };
    first % (if woven > 1 { woven } else { 4 }) == 0
}

/// Returns how many stores, whose elements lie side by side in memory, an invocation writes as one word or vector in
/// this run. The number is [`Kernel::woven`] if the stores begin at word and vector boundaries and no other operand
/// uses their binding, otherwise 1.
fn woven(kernel: &Kernel, aligned: &[bool], slots: &[usize]) -> usize {
    let count = kernel.woven();
    let (loads, stores) = slots.split_at(kernel.loads.len());
    let is_aligned = mutant!(woven_at_any_place, true, aligned.iter().step_by(count).all(|a| *a));
    let is_alone = stores.iter().all(|slot| *slot == stores[0] && !loads.contains(slot));
    if is_aligned && is_alone { count } else { 1 }
}

/// Returns the binding of each store, and how it writes. `woven` is how many stores are written as one word or vector
/// in this run.
fn store_modes(
    kernel: &Kernel,
    (offsets, woven): (&[i64], usize),
    slots: &[usize],
    kinds: &mut [Slot],
) -> SmallVec<[(u8, StoreMode); 2]> {
    let mut stores: SmallVec<[(u8, StoreMode); 2]> = SmallVec::new();
    for (i, s) in kernel.stores.iter().enumerate() {
        let per = 1 << wgsl::packing(s.dtype);
        let mode = match kernel.schedule.write(i) {
            WriteClass::Plain | WriteClass::Streamed => StoreMode::Direct,
            WriteClass::Words if woven > 1 => StoreMode::Direct,
            // stores that lie side by side in memory share words, so they need atomic writes unless one invocation
            // writes them together
            WriteClass::Words if kernel.woven() > 1 => StoreMode::Atomic,
            // an invocation owns whole words only if the target begins at a word boundary
            WriteClass::Words if offsets[i] % per == 0 => StoreMode::Owned,
            WriteClass::Words | WriteClass::Merged | WriteClass::Combined => StoreMode::Atomic,
        };
        if mode == StoreMode::Atomic {
            kinds[slots[i]].access = Access::Atomic;
        }
        stores.push((slots[i] as u8, mode));
    }
    for (slot, mode) in &mut stores {
        // if one store merges words atomically, all stores to that binding do
        if *mode == StoreMode::Owned && kinds[*slot as usize].access == Access::Atomic {
            *mode = StoreMode::Atomic;
        }
    }
    stores
}

/// Returns the extents that the source of a product contains as constants ([`Variant::nested`]).
fn nested(kernel: &Kernel, window: &Window) -> Option<[SmallVec<[u32; 4]>; 3]> {
    let ([rows, columns], end) = (kernel.sides(), window.shape.len().checked_sub(2)?);
    if kernel.kind != KernelKind::Matmul || kernel.inner.len() < 2 {
        return None;
    }
    let but_slowest = |lengths: &mut dyn Iterator<Item = &usize>, count: usize| -> SmallVec<[u32; 4]> {
        lengths.take(count - 1).map(|n| *n as u32).collect()
    };
    let of = |last: usize, end: usize, count: usize| {
        let lengths = std::iter::once(&window.shape[last]).chain(window.shape[end - count..end].iter().rev());
        but_slowest(&mut { lengths }, count + 1)
    };
    let k = but_slowest(&mut kernel.inner.iter().rev(), kernel.inner.len());
    Some([of(end, end, rows), of(end + 1, end - rows, columns), k])
}

/// Returns how many workgroups run a window of `count` outer indices.
pub(super) fn workgroups(kernel: &Kernel, variant: &Variant, window: &Window, count: usize) -> usize {
    let groups = &variant.groups;
    match kernel.kind {
        KernelKind::Elementwise => match (variant.lines, &window.shape[..]) {
            (Some(lines), [.., columns]) => {
                let lines = window.shape[lines];
                count / (lines * columns) * lines.div_ceil(SIDE) * columns.div_ceil(SIDE)
            }
            _ => count.div_ceil(groups.size as usize * variant.elements_per_invocation() as usize),
        },
        KernelKind::Reduce(_) | KernelKind::Row => count.div_ceil(variant.rows_per_workgroup() as usize),
        KernelKind::Matmul => {
            let [matrices, rows, columns] = groups.part();
            let [_, m, n] = kernel.matrices(&window.shape);
            (count / (m * n)).div_ceil(matrices) * m.div_ceil(rows) * n.div_ceil(columns)
        }
    }
}

/// Returns the shader source of a kernel as most runs compile it: its inputs and outputs are different buffers, and
/// each array begins at its buffer's start.
pub(crate) fn preview(kernel: &Kernel, dialect: Dialect) -> Result<Shader> {
    let form = ParamPositions::of(kernel);
    let mut bound: Vec<(BufferRef, Words)> = vec![];
    let mut kinds: Vec<Slot> = vec![];
    let mut slots: Vec<usize> = vec![];
    let loads = kernel.loads.iter().map(|l| (l.buffer, wgsl::words(l.dtype), Access::Read));
    let stores = kernel.stores.iter().map(|s| (s.buffer, wgsl::stored_words(s), Access::Write));
    for (buffer, words, access) in loads.chain(stores) {
        let of = (buffer, words);
        let slot = bound.iter().position(|b| *b == of).unwrap_or_else(|| {
            bound.push(of);
            kinds.push(Slot { words: of.1, access, width: 1 });
            kinds.len() - 1
        });
        // a buffer that a kernel both reads and writes has one binding
        if access == Access::Write {
            kinds[slot].access = access;
        }
        slots.push(slot);
    }
    let offsets: Vec<i64> = kernel.stores.iter().map(|s| s.offset as i64).collect();
    let whole = Window { start: SmallVec::from_elem(0, kernel.outer.len()), shape: kernel.outer[..].into() };
    let window = kernel.windows.first().unwrap_or(&whole);
    let firsts = kernel.loads.iter().map(|l| l.offset as i64).chain(offsets.iter().copied());
    let aligned: SmallVec<[bool; 8]> = firsts.enumerate().map(|(n, first)| is_aligned(kernel, n, first)).collect();
    let variant = classify(kernel, &form, window, (&offsets, &aligned), &slots, &mut kinds)?;
    let text = wgsl::generate(kernel, &form, &variant, dialect)
        .map_err(|fault| Error::with_line(fault.kind, kernel.name, fault.detail, None))?;
    let groups = workgroups(kernel, &variant, window, window.shape.iter().product()) as u64;
    Ok(Shader { text, invocations: groups * variant.groups.size as u64 })
}
