//! Decides which elementwise kernels run as threaded code on a CPU (`math/simd/threaded/mod.rs`), which runs all
//! operations on one small block of elements before the next block. Other kernels run each operation as a loop over a
//! whole tile. The choice changes no bit of a result.

use crate::graph::ufunc::cast;
use crate::plan::kernel::{Caps, Kernel, KernelKind, Op, Store, TileSchedule, Tiling, Value};

/// The number of elements of the largest block that threaded code processes. If rows consist of whole blocks, threaded
/// code takes half the time of loops.
const BLOCK: usize = 128;

/// The minimum row length, in elements, of tiles of several rows that run as threaded code, if rows do not consist of
/// whole blocks. The remainder of each row must go through a buffer. In measurements, rows of 200 elements took 1.8
/// times the time of loops, and rows of 500 about the same time.
const LEAST_ROW: usize = 4 * BLOCK;

/// The maximum total number of values, loads and stores of a kernel that runs as threaded code. The scratch memory of a
/// thread holds a block for each of them (`LARGE` in `cpu/threaded/mod.rs`).
const MOST_PARTS: usize = 128;

/// The minimum number of loops over a tile that threaded code must save, as counted by [`passes`].
const LEAST_PASSES: usize = 2;

/// The minimum number of elements that loops over tiles would process in total, counting each element once per loop.
/// For fewer elements, loops need fewer instructions: threaded code needs about 1,600 instructions to begin and to run
/// the remainder of a row through a buffer, and saves about 0.6 instructions for each element and loop (counted by the
/// bench `small`, with AVX2).
const LEAST_WORK: usize = 2048;

/// The amount of work, in the unit of [`is_alone`], up to which one thread does all of it. This work takes about 10 µs,
/// of which a second thread would save half if it were awake. If the second thread arrives too late, calling it was
/// measured to cost about 1 µs.
const ALONE: usize = 1 << 20;

/// The cost of computing a random word, in units of one addition. A random word was measured to take 0.4 ns.
const DRAW: usize = 20;

/// Returns whether threaded code computes the tiles of an elementwise kernel. Threaded code must have an instruction
/// for every operation, and all elements must have the same size in registers. If tiles have several rows, rows must
/// have a minimum length, because threaded code starts again at each row. A result of at least `stream` bytes bypasses
/// the caches.
pub(super) fn is_threaded(kernel: &Kernel, tiles: &TileSchedule, caps: &Caps, stream: usize) -> bool {
    let last = kernel.outer.len().checked_sub(1);
    let cols = last.map_or(1, |axis| kernel.outer[axis]);
    let walks_rows = match tiles.tiling {
        Tiling::Pieces { .. } => true,
        Tiling::Rows { .. } => cols >= LEAST_ROW || cols.is_multiple_of(BLOCK),
        Tiling::Blocks { .. } | Tiling::Along { .. } | Tiling::Across { .. } => false,
    };
    // a random number needs two more blocks besides its value: for its element numbers and for its key
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
        // element numbers are supported only as operands of random numbers (`is_counter`)
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

/// Returns how many loops over a tile there would be without threaded code: one for each operation, for each load and
/// store that converts types, and for each store past the caches. A single loop is at least as fast as threaded code. A
/// kernel without an operation is a copy, for which this returns 0.
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

/// Returns whether one thread does all the work of a kernel that runs as threaded code.
pub(super) fn is_alone(kernel: &Kernel) -> bool {
    work(kernel) <= ALONE
}

/// Returns whether one thread does all the work of a reduce kernel. The limit is half of that for threaded code; no bench
/// compares other limits.
pub(super) fn is_alone_reducing(kernel: &Kernel) -> bool {
    matches!(kernel.kind, KernelKind::Reduce(_)) && work(kernel) <= ALONE / 2
}

/// Returns the work of a kernel: for each index, two units for each addition (or the equivalent), and one for each byte
/// read or written. A byte takes about 10 ps in the caches.
fn work(kernel: &Kernel) -> usize {
    let cost = |value: &Value| {
        if matches!(value.op, Op::Philox { .. }) {
            return DRAW;
        }
        if let Op::Ufunc(row, _) = &value.op { row.properties.cost as usize } else { computes(value) as usize }
    };
    let additions: usize = kernel.values.iter().map(cost).sum();
    let bytes = kernel.loads.iter().map(|l| l.dtype.size()).chain(kernel.stores.iter().map(|s| s.dtype.size()));
    let indices = kernel.outer_size().saturating_mul(kernel.inner_size());
    indices.saturating_mul(2 * additions + bytes.sum::<usize>())
}
