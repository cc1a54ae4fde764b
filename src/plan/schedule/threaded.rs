//! Decides which elementwise nests run as threaded code (`math/simd/threaded/mod.rs`). The choice changes no bit of a
//! result.

use crate::graph::ufunc::cast;
use crate::plan::kernel::{Caps, Kernel, Op, Store, TileSchedule, Tiling, Value};

/// The number of elements of the largest block of threaded code. For rows of whole blocks, threaded code takes half the
/// time of loops.
const BLOCK: usize = 128;

/// The minimum row length, in elements, from which tiles of several rows run as threaded code if rows are not whole
/// blocks. The remainder of each row goes through a buffer. In measurements, rows of 200 elements took 1.8 times the
/// time of loops, and rows of 500 about the same time.
const LEAST_ROW: usize = 4 * BLOCK;

/// The maximum total number of values, loads and stores of a nest. The scratch memory of a thread holds a block of each
/// (`LARGE` in `cpu/threaded/mod.rs`).
const MOST_PARTS: usize = 128;

/// The minimum number of passes over a tile that threaded code must save.
const LEAST_PASSES: usize = 2;

/// The minimum number of elements over which loops would go in all passes together. For fewer elements, loops need
/// fewer instructions: threaded code needs about 1,600 to begin and to run the remainder of a row through a buffer, and
/// saves about 0.6 for each element and pass (counted by the bench `small`, with AVX2).
const LEAST_WORK: usize = 2048;

/// The work (see `is_alone`) up to which one thread does all of it. It takes about 10 µs, half of which an awake second
/// thread would save. Calling a thread that arrives too late was measured to cost about 1 µs.
const ALONE: usize = 1 << 20;

/// The cost of a random word in additions. It was measured to take 0.4 ns.
const DRAW: usize = 20;

/// Returns whether threaded code computes the tiles of an elementwise nest. Every operation must have an instruction,
/// and all words must have the same size. (A bool alone would fill words of four times its size.) Tiles of several rows
/// must have rows of a minimum length, because each row starts again. A result of at least `stream` bytes bypasses the
/// caches.
pub(super) fn is_threaded(kernel: &Kernel, tiles: &TileSchedule, caps: &Caps, stream: usize) -> bool {
    let last = kernel.outer.len().checked_sub(1);
    let cols = last.map_or(1, |axis| kernel.outer[axis]);
    let walks_rows = match tiles.tiling {
        Tiling::Pieces { .. } => true,
        Tiling::Rows { .. } => cols >= LEAST_ROW || cols.is_multiple_of(BLOCK),
        Tiling::Blocks { .. } | Tiling::Along { .. } | Tiling::Across { .. } => false,
    };
    // a draw needs its element numbers and its key in addition to its value
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
        // element numbers are supported only as operands of draws
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
    let passes = passes(kernel, stream);
    word == least && codes && passes >= LEAST_PASSES && passes.saturating_mul(kernel.outer_size()) >= LEAST_WORK
}

fn computes(value: &Value) -> bool {
    matches!(value.op, Op::Ufunc(..) | Op::Cast(_) | Op::Round(_))
}

/// Returns the number of times that loops would go over a tile: once for each operation, for each load and store whose
/// type they convert, and for each store past the caches. Loops make a single pass at least as fast as threaded code
/// does. A nest without an operation is a copy, for which this returns 0.
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

/// Returns whether one thread does all the work of a threaded nest. The work counts two units for each addition per
/// index, and one for each byte that an index reads or writes. A byte takes about 10 ps in the caches.
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
