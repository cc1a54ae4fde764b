//! Which elementwise nests run as threaded code (`math/simd/threaded/mod.rs`). No bit of a result depends on it.

use crate::graph::ufunc::cast;
use crate::plan::kernel::{Caps, Kernel, Op, Store, Tiles, Tiling, Value};

/// Elements of the largest block of threaded code. Rows of whole blocks take half the time that loops take.
const BLOCK: usize = 128;

/// Elements of a row from which tiles of several rows run as threaded code where a row ends in a rest. The rest of each row goes
/// through a buffer: rows of 200 were measured to take 1.8 times the time of loops, and rows of 500 about the same time.
const LEAST_ROW: usize = 4 * BLOCK;

/// The most values, loads and stores of a nest, together: a thread's scratch has room for a block of each (`LARGE` in
/// `cpu/threaded/mod.rs`).
const MOST_PARTS: usize = 128;

/// The fewest passes over a tile that threaded code saves.
const LEAST_PASSES: usize = 2;

/// Work (see `is_alone`) up to which one thread does it all: it takes some 10 µs, of which a thread that is awake saves half. To
/// call one that comes too late was measured to cost some 1 µs.
const ALONE: usize = 1 << 20;

/// The additions that a random word costs: measured to take 0.4 ns.
const DRAW: usize = 20;

/// Says whether threaded code computes the tiles of an elementwise nest. Every operation must have an instruction, and all words
/// one size; bool alone would fill words of four times its own. Tiles of several rows must have rows of some length, because each
/// begins anew. A result of `stream` bytes is written past the caches.
pub(super) fn is_threaded(kernel: &Kernel, tiles: &Tiles, caps: &Caps, stream: usize) -> bool {
    let last = kernel.outer.len().checked_sub(1);
    let cols = last.map_or(1, |axis| kernel.outer[axis]);
    let walks_rows = match tiles.tiling {
        Tiling::Pieces { .. } => true,
        Tiling::Rows { .. } => cols >= LEAST_ROW || cols.is_multiple_of(BLOCK),
        Tiling::Blocks { .. } | Tiling::Along { .. } | Tiling::Across { .. } => false,
    };
    // a draw has its numbers and its key beside its value
    let draws = kernel.values.iter().filter(|v| matches!(v.op, Op::Philox { .. })).count();
    let fits = kernel.values.len() + draws + kernel.loads.len() + kernel.stores.len() <= MOST_PARTS;
    let writes_runs = |s: &Store| s.is_plain() && last.is_none_or(|axis| s.strides[axis] == 1 || cols == 1);
    if !(caps.threaded && walks_rows && fits && kernel.stores.iter().all(writes_runs)) {
        return false;
    }
    let sizes = || kernel.values.iter().map(|v| v.compute().size()).filter(|size| *size > 1);
    let (Some(word), Some(least)) = (sizes().max(), sizes().min()) else { return false };
    let has_code = |value: &Value| match &value.op {
        Op::Load(_) | Op::Scalar(_) | Op::Constant(_) | Op::Cast(_) | Op::Round(_) => true,
        Op::Ufunc(row, list) => {
            let by = row.typed_operand(list).map_or(value.compute(), |a| kernel.values[*a].compute());
            row.threaded(by, word).is_some()
        }
        Op::Philox { .. } => true,
        // of numbers of elements only those that draws read
        Op::Index { .. } => false,
        Op::Gather { .. } | Op::Position(_) | Op::Reduce(_) | Op::Scan(_) | Op::Dot { .. } => false,
    };
    let is_counter = |v: usize| {
        let readers = || kernel.values.iter().filter(|value| value.op.operands().contains(&v));
        let is_stored = kernel.stores.iter().any(|s| s.value == v);
        matches!(kernel.values[v].op, Op::Index { .. })
            && !is_stored
            && readers().all(|value| matches!(value.op, Op::Philox { .. }))
    };
    let codes = kernel.values.iter().enumerate().all(|(v, value)| has_code(value) || is_counter(v));
    word == least && codes && passes(kernel, stream) >= LEAST_PASSES
}

fn computes(value: &Value) -> bool {
    matches!(value.op, Op::Ufunc(..) | Op::Cast(_) | Op::Round(_))
}

/// Returns how often the tiles' loops would go over a tile: for each operation, for each load and store of a type that they
/// convert, and for each store past the caches. A single pass they make as fast as threaded code does, or faster. A nest without
/// an operation is a copy, which counts as none.
fn passes(kernel: &Kernel, stream: usize) -> usize {
    let operations = kernel.values.iter().filter(|value| computes(value)).count();
    if operations == 0 {
        return 0;
    }
    let widened = kernel.loads.iter().filter(|load| cast::widen(load.dtype).is_some()).count();
    let is_large = |s: &Store| kernel.outer_size().saturating_mul(s.dtype.size()) >= stream;
    let written = kernel.stores.iter().filter(|s| cast::narrow(s.dtype).is_some() || is_large(s)).count();
    operations + widened + written
}

/// Says whether one thread does the work of a threaded nest: two for each addition that an index costs, and one for each byte
/// that it reads or writes, which take some 10 ps in the caches.
pub(super) fn is_alone(kernel: &Kernel) -> bool {
    let cost = |value: &Value| {
        if matches!(value.op, Op::Philox { .. }) {
            return DRAW;
        }
        if let Op::Ufunc(row, _) = &value.op { row.properties.cost as usize } else { computes(value) as usize }
    };
    let additions: usize = kernel.values.iter().map(cost).sum();
    let bytes = kernel.loads.iter().map(|l| l.dtype.size()).chain(kernel.stores.iter().map(|s| s.dtype.size()));
    kernel.outer_size().saturating_mul(2 * additions + bytes.sum::<usize>()) <= ALONE
}
