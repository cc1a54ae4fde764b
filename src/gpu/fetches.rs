//! Decides whether each invocation of a kernel processes four neighbouring elements, and how it fetches the four
//! elements of each load. The decision depends on strides, and on whether each operand begins at a multiple of four
//! elements. It does not change the results.

use super::wgsl::{Access, Fetch, StoreMode, Variant, packing, words_of_four};
use crate::base::dtype::DType;
use crate::plan::kernel::{Kernel, KernelKind, Op, Store, Value, Window};
use smallvec::SmallVec;

/// The side, in elements, of the squares that the workgroups of `main_of_squares` in `shaders/elementwise.wgsl`
/// compute. These workgroups use workgroup memory to load operands that are contiguous along an axis other than the
/// last.
pub(super) const SIDE: usize = 32;
/// The number of elements of workgroup memory that a square of [`SIDE`] × [`SIDE`] elements uses. Each column has one
/// element of padding.
const SQUARE: usize = SIDE * (SIDE + 1);

/// The most bytes of workgroup memory that all squares ([`SIDE`]) of a workgroup may use: 16 KiB, which WebGPU
/// guarantees.
const SQUARES_BYTES: usize = 16 << 10;

/// The number of elements that an invocation processes if it processes several.
const FOUR: usize = 4;

/// The smallest size of a workgroup whose invocations process four lanes each. It is the size of a subgroup on most
/// cards.
const LEAST: usize = 32;

/// The operands of a window (a part of a kernel's index space that one dispatch covers), and the facts that decide how
/// they are fetched.
pub(super) struct FetchOperands<'a> {
    pub kernel: &'a Kernel,
    pub window: &'a Window,
    /// For each load, then each store, whether it begins at a multiple of four elements.
    pub aligned: &'a [bool],
}

/// Sets `variant.fetches` and the widths of the variant's bindings if each invocation of the kernel processes four
/// neighbouring elements. Also sets `variant.lines` of an elementwise kernel, and the workgroup size of a reduction.
pub(super) fn choose(of: &FetchOperands<'_>, variant: &mut Variant) {
    match of.kernel.kind {
        KernelKind::Elementwise => for_elements(of, variant),
        KernelKind::Reduce(_) => for_lanes(of, variant),
        KernelKind::Row => for_runs(of, variant),
        KernelKind::Matmul => for_factors(of, variant),
    }
}

/// Decides whether an invocation of an elementwise kernel processes four elements, and how it fetches them.
fn for_elements(of: &FetchOperands<'_>, variant: &mut Variant) {
    let FetchOperands { kernel, window, .. } = of;
    let is_simple = variant.groups.in_flight as usize == FOUR
        && !kernel.checks()
        && kernel.stores.iter().all(|s| s.is_plain())
        // words that several invocations write are written atomically, one element at a time
        && variant.stores.iter().all(|(_, mode)| *mode != StoreMode::Atomic)
        && kernel.values.iter().any(|v| v.op.load().is_some() || matches!(v.op, Op::Philox { .. }));
    let Some(last) = window.shape.len().checked_sub(1).filter(|_| is_simple) else { return };
    let mut fetches: SmallVec<[Fetch; 8]> = (0..kernel.loads.len()).map(|n| of.along(n, last)).collect();
    if let Some(lines) = of.lines(last, &fetches, variant) {
        for (n, fetch) in fetches.iter_mut().enumerate() {
            *fetch = of.in_square(n, *fetch, last, lines);
        }
        variant.lines = Some(lines);
    } else if !of.pays(last, &fetches, variant) {
        return;
    }
    variant.draws_blocks = of.draws_blocks(last);
    if fetches.is_empty() && !variant.draws_blocks {
        return;
    }
    variant.run = 1;
    variant.fetches = fetches;
    widen(of, last, variant);
}

/// Decides whether an invocation of a reduction does the work of four neighbouring lanes, and how it fetches their
/// elements, which are neighbours too. Each lane keeps its own partial results, so this does not change the order in
/// which elements are combined.
fn for_lanes(of: &FetchOperands<'_>, variant: &mut Variant) {
    let FetchOperands { kernel, window, .. } = of;
    let (size, lanes) = (variant.groups.size as usize, variant.groups.lanes as usize);
    let is_simple = variant.groups.in_flight as usize == FOUR && lanes > 1 && size / FOUR >= LEAST && !kernel.checks();
    let Some(extent) = kernel.inner.last().filter(|_| is_simple) else { return };
    // four elements that an invocation processes must not cross the end of the last reduced axis
    let ends_whole = kernel.inner.len() == 1 || mutant!(lanes_across_lines, true, extent.is_multiple_of(FOUR));
    let last = window.shape.len() + kernel.inner.len() - 1;
    let is_shared = |n: usize| variant.slots[variant.loads[n] as usize].access == Access::Atomic;
    let fetch = |n: usize| if is_shared(n) { Fetch::Each } else { of.along(n, last) };
    let fetches: SmallVec<[Fetch; 8]> = (0..kernel.loads.len()).map(fetch).collect();
    let contiguous = |n: usize| !of.is_plain_load(n) || fetches[n] != Fetch::Each;
    if ends_whole && fetches.contains(&Fetch::Whole) && (0..fetches.len()).all(contiguous) {
        variant.groups.size /= FOUR as u16;
        variant.fetches = fetches;
        widen(of, last, variant);
    }
}

/// Decides for a row kernel how its loads are fetched. Its invocations process four neighbours in any case.
fn for_runs(of: &FetchOperands<'_>, variant: &mut Variant) {
    let FetchOperands { kernel, window, .. } = of;
    let Some(extent) = kernel.inner.last() else { return };
    let (last, loads) = (window.shape.len() + kernel.inner.len() - 1, kernel.loads.len());
    let mut inner_stores =
        kernel.stores.iter().zip(&variant.stores).enumerate().filter(|(_, (s, _))| kernel.values[s.value].inner);
    let by_words = |n: usize, mode: StoreMode| {
        mode == StoreMode::Owned || mode == StoreMode::Direct && of.dtype(n).size() == 4 && of.strides(n)[last] == 1
    };
    let ends_whole = kernel.inner.len() == 1 || extent.is_multiple_of(FOUR);
    if ends_whole
        && loads > 0
        && !kernel.checks()
        && inner_stores.all(|(n, (s, (_, mode)))| s.is_plain() && by_words(loads + n, *mode))
    {
        let is_shared = |n: usize| variant.slots[variant.loads[n] as usize].access == Access::Atomic;
        let fetch = |n: usize| if is_shared(n) { Fetch::Each } else { of.along(n, last) };
        variant.fetches = (0..loads).map(fetch).collect();
        variant.has_whole_runs = extent.is_multiple_of(FOUR);
        widen(of, last, variant);
    }
}

/// Decides how the factors of a large product are fetched: as vectors of four neighbours along the axis in which a
/// factor is contiguous, if no vector crosses the end of the axis.
fn for_factors(of: &FetchOperands<'_>, variant: &mut Variant) {
    let FetchOperands { kernel, window, .. } = of;
    let rank = window.shape.len();
    let of_tile = variant.groups.tile.map(|t| [t.rows, t.columns]);
    let Some([rows, columns]) = of_tile.or(variant.groups.blocks.map(|b| [b.tile; 2])) else { return };
    if variant.groups.in_flight as usize != FOUR || kernel.inner.is_empty() {
        return;
    }
    let is_whole = |n: usize, axis: usize, extent: usize| extent.is_multiple_of(FOUR) && of.is_whole(n, axis);
    let (last, k) = (rank + kernel.inner.len() - 1, kernel.inner[kernel.inner.len() - 1]);
    let fetch = |(n, axis, side): (usize, usize, u8)| {
        let is_shared = variant.slots[variant.loads[n] as usize].access == Access::Atomic;
        match kernel.values.iter().any(|v| v.op.load() == Some(n)) || is_shared {
            true => Fetch::Each,
            // four neighbouring lines (rows or columns) of a tile are fetched as one vector, so the tile needs at least
            // four lines
            false if side as usize >= FOUR && is_whole(n, axis, window.shape[axis]) => Fetch::Whole,
            false if is_whole(n, last, k) => Fetch::AlongK,
            false => Fetch::Each,
        }
    };
    let factors = [(0, rank - 2, rows), (1, rank - 1, columns)].map(fetch);
    variant.fetches = SmallVec::from_elem(Fetch::Each, kernel.loads.len());
    variant.fetches[..2].copy_from_slice(&factors);
    let is_narrow = variant.groups.tile.is_some_and(|tile| tile.each == [1, 1]);
    let stores_whole = |(n, store): (usize, &Store)| {
        store.is_plain()
            && variant.stores[n].1 != StoreMode::Atomic
            && is_whole(kernel.loads.len() + n, rank - 1, window.shape[rank - 1])
    };
    variant.stores_whole =
        !is_narrow && !kernel.checks() && kernel.sides()[1] == 0 && kernel.stores.iter().enumerate().all(stores_whole);
    widen(of, last, variant);
}

impl FetchOperands<'_> {
    fn strides(&self, n: usize) -> &[isize] {
        let loads = &self.kernel.loads;
        match n < loads.len() {
            true => &loads[n].strides[..],
            false => &self.kernel.stores[n - loads.len()].strides[..],
        }
    }

    fn dtype(&self, n: usize) -> DType {
        let loads = &self.kernel.loads;
        if n < loads.len() { loads[n].dtype } else { self.kernel.stores[n - loads.len()].dtype }
    }

    /// Returns whether some value is a plain load of operand `n`, and no value gathers from the operand. In a
    /// reduction, also requires that no outer value (a value that is computed once for each row) loads the operand.
    fn is_plain_load(&self, n: usize) -> bool {
        let values = || self.kernel.values.iter();
        let is_load = |v: &Value| matches!(&v.op, Op::Load(load) if *load == n);
        let gathers = values().any(|v| matches!(&v.op, Op::Gather { load, .. } if *load == n));
        let once_a_row = values().any(|v| !self.kernel.inner.is_empty() && !v.inner && is_load(v));
        !gathers && !once_a_row && values().any(is_load)
    }

    /// Returns whether every group of four elements of operand `n` along `axis` is contiguous and begins at a multiple
    /// of four elements. This is false for elements of 8 bytes.
    fn is_whole(&self, n: usize, axis: usize) -> bool {
        let strides = self.strides(n);
        let extents = self.window.shape.iter().chain(&self.kernel.inner);
        let others = extents.zip(strides).enumerate().filter(|(d, _)| *d != axis);
        let lines_are_whole =
            { others }.all(|(_, (extent, stride))| *extent == 1 || stride.unsigned_abs().is_multiple_of(FOUR));
        let is_aligned = mutant!(vectors_at_any_place, true, self.aligned[n]);
        strides.get(axis) == Some(&1) && self.dtype(n).size() <= 4 && is_aligned && lines_are_whole
    }

    /// Returns whether the kernel draws random words, and one Philox block (four random words) serves the four elements
    /// of each invocation. This holds if their indices are contiguous along the last axis and begin at a multiple of
    /// four.
    fn draws_blocks(&self, last: usize) -> bool {
        let Window { start, shape } = self.window;
        let is_whole = |index: &Op| {
            let Op::Index { strides, offset } = index else { return false };
            let first = strides.iter().zip(start).fold(*offset, |at, (stride, i)| at + *stride as i64 * *i as i64);
            let others = strides.iter().zip(shape).enumerate().filter(|(d, _)| *d != last);
            let lines_are_whole = { others }.all(|(_, (stride, extent))| *extent == 1 || stride % FOUR as isize == 0);
            strides[last] == 1 && lines_are_whole && mutant!(draws_between_blocks, true, first % FOUR as i64 == 0)
        };
        let index = |v: &Value| if let Op::Philox { index, .. } = v.op { Some(index) } else { None };
        let mut indices = self.kernel.values.iter().filter_map(index).map(|i| &self.kernel.values[i].op).peekable();
        indices.peek().is_some() && indices.all(is_whole)
    }

    /// Returns how operand `n` is fetched for four neighbours along the last axis.
    fn along(&self, n: usize, last: usize) -> Fetch {
        match self.strides(n)[last] {
            _ if !self.is_plain_load(n) => Fetch::Each,
            0 => Fetch::Same,
            _ if self.is_whole(n, last) => Fetch::Whole,
            _ => Fetch::Each,
        }
    }

    /// Returns the axis along which a workgroup fetches squares (see [`SIDE`]), or `None` if it fetches none. Of all
    /// axes that are long enough for a square, it is the axis along which the largest number of loads is contiguous.
    /// Loads that are contiguous along the last axis do not count. The last axis must be long enough for a square too.
    fn lines(&self, last: usize, fetches: &[Fetch], variant: &Variant) -> Option<usize> {
        let shape = &self.window.shape;
        let stores = self.kernel.loads.len()..self.kernel.loads.len() + self.kernel.stores.len();
        // narrow elements are written as whole words, so each line of the result must begin at a word boundary
        let writes = |n: usize| self.strides(n)[last] == 1 && (packing(self.dtype(n)) == 0 || self.is_whole(n, last));
        if shape[last] < SIDE || variant.groups.size as usize != 8 * SIDE || !{ stores }.all(writes) {
            return None;
        }
        let count = |axis: usize| (0..fetches.len()).filter(|n| self.is_across(*n, fetches[*n], last, axis)).count();
        let axes = (0..last).filter(|axis| shape[*axis] >= SIDE);
        let (axis, most) = axes.map(|axis| (axis, count(axis))).max_by_key(|found| found.1)?;
        let across = (0..fetches.len()).filter(|n| self.is_across(*n, fetches[*n], last, axis));
        // a bool uses a whole word in workgroup memory
        let bytes: usize = across.map(|n| SQUARE * self.dtype(n).compute().size().max(4)).sum();
        (most > 0 && bytes <= SQUARES_BYTES).then_some(axis)
    }

    /// Returns whether elements of a load that are neighbours along `axis` are adjacent in memory, while neighbours
    /// along the last axis are not.
    fn is_across(&self, n: usize, fetch: Fetch, last: usize, axis: usize) -> bool {
        let strides = self.strides(n);
        fetch == Fetch::Each
            && self.is_plain_load(n)
            && strides[last].unsigned_abs() > 1
            && strides[axis].unsigned_abs() == 1
    }

    /// Returns how a workgroup that computes squares (see [`SIDE`]) fetches load `n`. `fetch` is how it would fetch the
    /// load without squares, and `lines` the axis of the squares' lines.
    fn in_square(&self, n: usize, fetch: Fetch, last: usize, lines: usize) -> Fetch {
        match self.is_across(n, fetch, last, lines) {
            true if self.is_whole(n, lines) => Fetch::WholeAcross,
            true => Fetch::Across,
            false => fetch,
        }
    }

    /// Returns whether it is faster to process four elements along the last axis, for a kernel without squares. All
    /// stores must write whole words or vectors. All loads must be contiguous, unless narrow stores make invocations
    /// process neighbours in any case.
    fn pays(&self, last: usize, fetches: &[Fetch], variant: &Variant) -> bool {
        let (shape, loads) = (&self.window.shape, self.kernel.loads.len());
        // four elements that an invocation processes must not cross the end of the last axis
        let ends_whole = last == 0 || shape[last].is_multiple_of(FOUR);
        let owns = |n: usize| variant.stores[n].1 == StoreMode::Owned;
        let mut stores = 0..self.kernel.stores.len();
        let by_words = |n: usize| owns(n) || self.is_whole(loads + n, last);
        let contiguous = |n: usize| !self.is_plain_load(n) || fetches[n] != Fetch::Each;
        ends_whole && stores.clone().all(by_words) && (stores.any(owns) || (0..loads).all(contiguous))
    }
}

/// Declares a binding as an array of vectors if all its operands use whole vectors of one length.
fn widen(of: &FetchOperands<'_>, last: usize, variant: &mut Variant) {
    let loads = of.kernel.loads.len();
    let Variant { slots, fetches, stores, loads: bound, stores_whole, .. } = variant;
    let stores_whole = *stores_whole;
    let width = |n: usize| {
        let is_whole = match n.checked_sub(loads) {
            None => matches!(fetches[n], Fetch::Whole | Fetch::WholeAcross | Fetch::AlongK),
            Some(_) if of.kernel.kind == KernelKind::Matmul => stores_whole,
            Some(_) => of.is_whole(n, last),
        };
        if is_whole { words_of_four(of.dtype(n)) } else { 1 }
    };
    let operands: SmallVec<[(usize, usize); 8]> = { bound.iter().copied() }
        .chain(stores.iter().map(|(slot, _)| *slot))
        .enumerate()
        .map(|(n, slot)| (slot as usize, width(n)))
        .collect();
    for (number, slot) in slots.iter_mut().enumerate() {
        let mut widths = operands.iter().filter(|(at, _)| *at == number).map(|(_, width)| *width);
        let first = widths.next().unwrap_or(1);
        let is_shared = slot.access == Access::Atomic || !widths.all(|width| width == first);
        slot.width = if is_shared { 1 } else { first as u8 };
    }
}
