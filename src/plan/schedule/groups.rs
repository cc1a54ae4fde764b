//! Schedules a kernel for the workgroups of a GPU: chooses the number of lanes (invocations) that share a row, the
//! number of elements of the row that each lane holds, the number of loads in flight, and how packed words are written.
//! A row is all inner indices (the reduced or scanned elements) of one outer index.

use super::{Again, passes_of_stores, set_details};
use crate::base::caps::MOST_HELD;
use crate::base::caps::product_tiles::CooperativeTile;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout;
use crate::plan::kernel::{
    AxisIndexing, BufferRef, Caps, Groups, Kernel, KernelKind, Lanes, Op, SCAN_BLOCK, SCAN_RUN, Step, Store, Tile,
    Value, Window, Work, WriteClass, is_narrow,
};
use smallvec::SmallVec;

/// The number of indices from which a kernel counts as large: about as many as the invocations that a large card runs
/// at a time (132 multiprocessors with 2,048 each on an H100). In a large kernel, each invocation has several loads in
/// flight, and the shader is specialised for one or two axes. Smaller kernels use a general shader, because each
/// further shader costs at least 20 ms to compile.
const LARGE: usize = 1 << 18;

/// From this number of elements of a row per lane on, a lane has several loads in flight even if the kernel is not
/// large. On an H100, sums of 128 columns of 32 elements took 12 µs with one load in flight, and 8 µs with four. A sum
/// of 4,096 elements by one workgroup took 10 µs with one, and 12 µs with four.
const LONG: usize = 8;

/// The maximum compile cost, and the maximum number, of a kernel's values for which an invocation may have several
/// loads in flight. Both are limited because the shader then contains the code of each value four times. Chosen by
/// hand; no benchmark compares other values.
const IN_FLIGHT_COST: u32 = 64;
const IN_FLIGHT_VALUES: usize = 32;
/// The maximum compile cost of a kernel's values for which an invocation may have several loads in flight, if the
/// kernel computes random words: enough to draw normal numbers. It is larger than [`IN_FLIGHT_COST`], because the
/// shader has the code of the Philox rounds only once.
const IN_FLIGHT_COST_OF_DRAWS: u32 = 128;

/// The number of lanes that share a short row: one subgroup on most cards. The number decides in which order a
/// reduction combines elements, and so the bits of its result. It is therefore the same on cards with subgroups of
/// another size.
const SHORT_ROW_LANES: usize = 32;

/// The number of lanes that share a row of at most 32 elements in a row kernel. Each lane then holds four elements.
const FEW_LANES: usize = 8;

/// The row length, in elements, up to which one invocation reduces a whole row. Lanes that share such a row would have
/// almost nothing to combine. Chosen by hand; no benchmark compares other values.
const ONE_LANE: usize = 8;

/// The maximum number of subgroups that may share a row if lanes exchange partial results by subgroup operations. At
/// the end, each lane loads a partial result of every subgroup. Chosen by hand: with eight, a row of 256 lanes takes
/// two barriers instead of nine.
const MOST_SUBGROUPS: usize = 8;

/// The minimum number of results from which, in the kernel that adds the chain sums of a matrix product
/// (`plan/chains.rs`), a single invocation loads and adds all sums of one result. With fewer results, most of a large
/// card would be idle, so the lanes of a workgroup load the sums together, and one lane adds them.
const SIDE_BY_SIDE: usize = 1 << 14;

/// The possible shapes of a workgroup for a narrow product (few rows or columns), best first: the number of
/// invocations, and the number of elements along k that the workgroup holds in its memory. The smaller shapes are for
/// devices with less workgroup memory or smaller workgroups, or for elements of 8 bytes.
const NARROW: [(usize, u8); 5] = [(128, 32), (128, 16), (128, 8), (32, 8), (8, 8)];

/// The possible numbers of elements of a row that a lane of a row kernel holds in registers: 4 for short rows, 16 for
/// rows of the usual length of a neural network's features, and at most 64, beyond which registers spill. Each number
/// has a shader of its own, so that the shader's loops are short.
const HELD: [usize; 3] = [4, 16, MOST_HELD];

/// Chooses the schedule of a kernel for a GPU, and writes it to `kernel.schedule`.
pub(super) fn schedule(kernel: &mut Kernel, caps: &Caps) -> Result<()> {
    let (lanes, held) = lanes(kernel, caps)?;
    let window = kernel.windows.iter().max_by_key(|w| w.shape.iter().product::<usize>());
    let shape = window.map_or(&kernel.outer[..], |w| &w.shape);
    let (outer, inner) = (shape.iter().fold(1usize, |n, m| n.saturating_mul(*m)), kernel.inner_size());
    let is_large = outer.saturating_mul(inner) >= LARGE;
    let blocks = blocks(kernel, shape, caps);
    let size = blocks.map_or(caps.group(), |b| b.count() * caps.subgroup[1] as usize);
    // the shaders of products are specialised for one or two axes even if the kernel is not large
    let is_special = is_large || kernel.kind == KernelKind::Matmul;
    let axes = |count: usize| match count {
        0..=1 if is_special => AxisIndexing::One,
        2 if is_special => AxisIndexing::Two,
        _ => AxisIndexing::Any,
    };
    let tile = if blocks.is_some() { None } else { tile(kernel, shape, caps)? };
    let is_narrow = tile.is_some_and(|tile| tile.each == [1, 1]);
    let writes: SmallVec<[WriteClass; 4]> =
        kernel.stores.iter().map(|store| write_class(kernel, store, is_narrow)).collect();
    // if the lanes of a row only load elements that one lane combines in order, they load the next elements in the
    // meantime anyway, so they need not have several loads in flight
    let waits = match kernel.combines_in_sequence() {
        true => inner > 0 && lanes == 1,
        false => inner > 0 && (is_large || inner >= LONG * lanes),
    };
    let in_flight = if waits { in_flight(kernel, caps) } else { 1 };
    let groups = Groups {
        size: tile.map_or(size, Tile::invocations) as u16,
        lanes: lanes as u16,
        shuffled: shuffled(kernel, lanes, caps) as u8,
        held: held as u8,
        in_flight,
        run: run(kernel, &writes, in_flight),
        tile,
        blocks,
        axes: [axes(kernel.outer.len()), axes(kernel.inner.len())],
        beside: false,
    };
    kernel.schedule.work = Work::Groups(groups);
    let passes = passes_of_stores(kernel, Again::Nothing);
    set_details(kernel, writes, passes, None);
    Ok(())
}

/// Returns the number of invocations that share a row, and the number of elements of the row that each invocation
/// holds.
fn lanes(kernel: &Kernel, caps: &Caps) -> Result<(usize, usize)> {
    let (inner, size) = (kernel.inner_size(), caps.group());
    let refused = |detail: String| Err(Error::with_line(ErrorKind::LimitExceeded, kernel.name, detail, None));
    let short = SHORT_ROW_LANES.min(size);
    Ok(match kernel.kind {
        // if there are many rows, one lane for each is enough, because neighbouring rows are side by side in memory
        KernelKind::Reduce(_)
            if kernel.combines_in_sequence() && (inner <= short || kernel.outer_size() >= SIDE_BY_SIDE) =>
        {
            (1, 1)
        }
        // use a whole workgroup only with more than two elements per lane, because otherwise combining the results of
        // so many lanes costs as much as the lanes save
        KernelKind::Reduce(Lanes::Inner) if inner > 2 * size => (size, 1),
        KernelKind::Reduce(Lanes::Inner) if inner > ONE_LANE => (short, 1),
        KernelKind::Reduce(Lanes::Inner | Lanes::Outer) | KernelKind::Elementwise | KernelKind::Matmul => (1, 1),
        // if the lanes of a workgroup cannot cover a block, they would combine elements in another order than
        // `plan/kernel/scan.rs` defines
        KernelKind::Row if kernel.scans() && inner > size * SCAN_RUN && size * SCAN_RUN < SCAN_BLOCK => {
            let (group, name) = (SCAN_BLOCK / SCAN_RUN, &caps.name);
            return refused(format!(
                "a scan needs workgroups of {group} invocations; {name} allows {}",
                caps.workgroup
            ));
        }
        KernelKind::Row => {
            // all lanes of a row hold some of its elements; the lanes of a larger group would combine them in the same order
            let groups = [FEW_LANES, SHORT_ROW_LANES, 2 * SHORT_ROW_LANES, 4 * SHORT_ROW_LANES];
            let shapes = groups.into_iter().map(|lanes| (lanes.min(size), HELD[0]));
            let shapes = shapes.chain(HELD.map(|held| (size, held)));
            match { shapes }.find(|(lanes, held)| lanes * held >= inner) {
                Some(shape) => shape,
                None => return refused(format!("a row of {inner} elements does not fit {size} lanes")),
            }
        }
    })
}

/// Returns the number of neighbouring invocations that exchange partial results of a row by subgroup operations.
/// Returns 1 if subgroups are too small, or if the lanes of a row do not combine elements.
fn shuffled(kernel: &Kernel, lanes: usize, caps: &Caps) -> usize {
    let subgroup = 1 << caps.subgroup[0].max(1).ilog2().min(7);
    let combines = matches!(kernel.kind, KernelKind::Reduce(_) | KernelKind::Row) && !kernel.combines_in_sequence();
    if combines && subgroup * MOST_SUBGROUPS >= lanes { subgroup.min(lanes) } else { 1 }
}

/// Returns whether a kernel with this number of values, and this compile cost, is simple enough for several loads in
/// flight.
pub(in crate::plan) fn is_simple(values: usize, cost: u32) -> bool {
    values <= IN_FLIGHT_VALUES && cost <= IN_FLIGHT_COST
}

/// Returns the number of loads that an invocation of a large kernel has in flight: 4, so that the invocation waits less
/// for memory, or 1 if the kernel has so many values that its shader would become too long. A kernel that computes
/// random words also uses 4, because four neighbours share a Philox block.
fn in_flight(kernel: &Kernel, caps: &Caps) -> u8 {
    let draws = kernel.values.iter().any(|v| matches!(v.op, Op::Philox { .. }));
    let most = if draws { IN_FLIGHT_COST_OF_DRAWS } else { IN_FLIGHT_COST };
    let gains = draws || !kernel.loads.is_empty();
    // the values of a result are computed once
    let repeats = |v: &Value| v.inner || kernel.kind == KernelKind::Elementwise || matches!(v.op, Op::Reduce(_));
    let count = kernel.values.iter().filter(|v| repeats(v)).count();
    let is_simple = count <= IN_FLIGHT_VALUES && gains && kernel.compile_cost_of(repeats) <= most;
    match kernel.kind {
        // four 4-byte words are one vector load of 16 bytes, and shaders are written for four
        KernelKind::Elementwise | KernelKind::Reduce(_) if is_simple && caps.vector >= 16 => 4,
        // a product has several loads of its operands in flight, whatever is computed from the result
        KernelKind::Matmul if caps.vector >= 16 => 4,
        KernelKind::Elementwise | KernelKind::Reduce(_) | KernelKind::Row | KernelKind::Matmul => 1,
    }
}

/// Returns the number of consecutive elements that an invocation processes, because it stores them as a packed word, or
/// because they form a run of a scan (`plan/kernel/scan.rs`).
fn run(kernel: &Kernel, writes: &[WriteClass], in_flight: u8) -> u8 {
    let packed = |store: &Store| per_word(store) as u8;
    let stores = || kernel.stores.iter().zip(writes);
    match kernel.kind {
        // in a scan, one lane combines the elements of a run one after another; `shaders/row.wgsl` is written for runs
        // of four
        KernelKind::Row => SCAN_RUN as u8,
        KernelKind::Elementwise if kernel.woven() > 1 => 1,
        KernelKind::Elementwise => {
            let owned = stores().filter(|(_, write)| **write == WriteClass::Words).map(|(s, _)| packed(s)).max();
            // an invocation with several loads in flight stores the same number of neighbouring elements, which also
            // fill whole words
            owned.map_or(1, |run| if in_flight > 1 { in_flight } else { run })
        }
        KernelKind::Reduce(_) | KernelKind::Matmul => 1,
    }
}

/// Returns how many elements of a store one word of four bytes holds.
fn per_word(store: &Store) -> usize {
    4 / store.dtype.size().clamp(1, 4)
}

/// Returns the tile of a product that a workgroup computes, or `None` if the kernel is not a product. Unless the
/// product is narrow, this is the tile that the device prefers, if the result has enough tiles of that size: large
/// tiles load less in total.
fn tile(kernel: &Kernel, shape: &[usize], caps: &Caps) -> Result<Option<Tile>> {
    if kernel.kind != KernelKind::Matmul {
        return Ok(None);
    }
    let [batches, m, n] = kernel.matrices(shape);
    let bytes = kernel.values.first().map_or(4, |v| v.compute().size());
    let is_half = kernel.values.first().is_some_and(|v| matches!(v.dtype, DType::F16 | DType::BF16));
    let own = caps.tiles.of(is_half);
    // decide by the whole kernel, although its windows may be smaller, because all windows use the same shader
    let tiles: SmallVec<[Tile; 4]> = match kernel.matrices(&kernel.outer) {
        [_, m, n] if is_narrow(m, n) => {
            // hold no more elements along k in workgroup memory than the product has
            let most = kernel.length_of_k().next_power_of_two().clamp(4, narrow_depth(kernel, [m, n], caps)) as u8;
            NARROW.iter().map(|(lanes, depth)| Tile::narrow(batches, [m, n], *lanes, most.min(*depth))).collect()
        }
        _ => {
            let is_wanted = bytes == 4 && caps.tiles.takes(own, batches, [m, n, kernel.length_of_k()]);
            let takes_own = caps.tiles.busy == 0 || is_wanted;
            // the device also decides whether the plain tiles are padded; 8-byte elements need too many registers for its
            // own plain tile
            let plain = if bytes == 4 { caps.tiles.plain } else { Tile::PLAIN };
            let plain = [plain, Tile::PLAIN, Tile::LEAST].map(|t| Tile { padded: own.padded, ..t });
            takes_own.then_some(own).into_iter().chain(plain).collect()
        }
    };
    let found = tiles.iter().find_map(|t| t.within(bytes, caps.group(), caps.workgroup_memory));
    found.map(Some).ok_or_else(|| {
        let least = Tile { padded: false, ..tiles.last().copied().unwrap_or(Tile::LEAST) };
        let (lanes, need) = (least.invocations(), least.memory(bytes));
        let needs = format!("a product needs workgroups of {lanes} invocations with {need} bytes of memory");
        let detail = format!("{needs}; {} has {} with {}", caps.name, caps.workgroup, caps.workgroup_memory);
        Error::with_line(ErrorKind::LimitExceeded, kernel.name, detail, None)
    })
}

/// Returns the most elements along k that the workgroups of a narrow product of m × n elements hold in their memory.
/// More are worth it if the larger operand is contiguous along k, because each line then has more neighbouring bytes to
/// load. On an H100, a product of 4,096 × 4,096 elements and a vector took 39 µs with 16 and 35 µs with 32; the product of a
/// vector and this matrix, which is contiguous along n, took 30 and 34 µs. Software drivers keep the shorter shader.
fn narrow_depth(kernel: &Kernel, [m, n]: [usize; 2], caps: &Caps) -> usize {
    let larger = &kernel.loads[usize::from(n > m)];
    if caps.skips_branches && larger.strides.last() == Some(&1) { 32 } else { 16 }
}

/// Returns the part of a product that a workgroup computes by cooperative matrices, or `None` if invocations multiply
/// elements. If a device has cooperative matrices, it uses them for all products of f16 with more than one column. These
/// include products with a single row, so that a row has the same bits in every batch.
fn blocks(kernel: &Kernel, shape: &[usize], caps: &Caps) -> Option<CooperativeTile> {
    let is_half = kernel.values.first().is_some_and(|v| v.dtype == DType::F16);
    let [batches, m, n] = kernel.matrices(shape);
    if kernel.kind == KernelKind::Matmul && is_half { caps.blocks(batches, m, n) } else { None }
}

/// Returns how a store writes. `is_narrow` is true if the kernel is a product of which each invocation computes one
/// element. If an execution binds an output that begins within a word, the backend uses `Merged` instead of `Words`.
fn write_class(kernel: &Kernel, store: &Store, is_narrow: bool) -> WriteClass {
    let per = per_word(store);
    match per {
        _ if store.updates() => WriteClass::Combined,
        1 => WriteClass::Plain,
        // an invocation writes the elements of several stores together as whole words
        _ if kernel.woven() > 1 => WriteClass::Words,
        // if an element may not be stored, its part of the word must keep its content
        _ if !store.is_plain() || kernel.checks() => WriteClass::Merged,
        // in a narrow product, several invocations write elements of the same word
        _ if is_narrow => WriteClass::Merged,
        _ if kernel.windows.iter().all(|w| owns_words(kernel, store, w, per)) => WriteClass::Words,
        _ => WriteClass::Merged,
    }
}

/// Returns whether each 32-bit word that a store writes in this window can be written by a single invocation. A word
/// has `per` elements.
fn owns_words(kernel: &Kernel, store: &Store, window: &Window, per: usize) -> bool {
    let strides = &store.strides[..];
    let whole = |shape: &[usize], strides: &[isize]| {
        shape.iter().zip(strides).all(|(n, s)| *n == 1 || s.unsigned_abs().is_multiple_of(per))
    };
    let axes = window.shape.len();
    match kernel.kind {
        KernelKind::Elementwise => layout::is_c_contiguous(&window.shape, strides),
        KernelKind::Row => {
            let (outer, inner) = strides.split_at(axes.min(strides.len()));
            kernel.values[store.value].inner
                && whole(&window.shape, outer)
                && layout::is_c_contiguous(&kernel.inner, inner)
        }
        // one invocation computes four neighbouring elements of a row of the result, which must be neighbours along the
        // last axis
        KernelKind::Matmul => {
            axes >= 1
                && (kernel.sides()[1] == 0 || window.shape[axes - 1].is_multiple_of(4))
                && (strides[axes - 1] == 1 || window.shape[axes - 1] == 1)
                && whole(&window.shape[..axes - 1], &strides[..axes - 1])
        }
        KernelKind::Reduce(_) => false,
    }
}

/// Makes consecutive kernels that write parts of the same memory run in one dispatch ([`Kernel::runs_beside`]), if they
/// are simple enough together, and need no more bindings than the device allows. Such kernels count as passes of one
/// kernel.
pub(super) fn put_beside(steps: &mut [Step], caps: &Caps) {
    let (mut bound, mut values, mut cost): (Vec<(BufferRef, DType)>, usize, u32) = (vec![], 0, 0);
    let add = |list: &mut Vec<(BufferRef, DType)>, b| {
        if !list.contains(&b) {
            list.push(b);
        }
    };
    for i in 0..steps.len() {
        let (before, next) = steps.split_at_mut(i);
        let Step::Nest(next) = &mut next[0] else { continue };
        let stores = next.stores.iter().map(|s| (s.buffer, s.dtype));
        let mut own: Vec<(BufferRef, DType)> = vec![];
        next.loads.iter().map(|l| (l.buffer, l.dtype)).chain(stores).for_each(|b| add(&mut own, b));
        let new = own.iter().filter(|b| !bound.contains(*b)).count();
        let all = (values + next.values.len(), cost.saturating_add(next.compile_cost()));
        let is_beside = before.last().and_then(Step::nest).is_some_and(|before| next.runs_beside(before))
            && bound.len() + new <= caps.max_bindings
            && is_simple(all.0, all.1);
        match (is_beside, &mut next.schedule.work) {
            (true, Work::Groups(groups)) => {
                (groups.beside, next.continues) = (true, true);
                (values, cost) = all;
            }
            _ => (bound, values, cost) = (vec![], next.values.len(), next.compile_cost()),
        }
        own.into_iter().for_each(|b| add(&mut bound, b));
    }
}
