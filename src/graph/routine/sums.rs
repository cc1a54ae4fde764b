//! `segment_sum` and `reduce_at`: sums of rows of floats, by the keys of the rows or over ranges of rows. The order of
//! additions depends only on the positions of the rows. Both routines return f32 (f64 for f64 operands), and callers
//! round the sums to their own dtype. The sum of no rows is −0, which is neutral in additions.

use super::{GpuPass, Inferred, Meta, Needs, Params, Routine, RoutineOperand, Temp};
use crate::base::caps::Caps;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{ErrorKind, Fault};
use crate::base::layout;
use smallvec::smallvec;

/// The table entry of `segment_sum`. Row `s` of the result is the sum of the rows of the second operand whose keys, in
/// the first operand, equal `s`. A row whose key is not below the number of result rows is skipped. The parameters are
/// the number of rows of the result, the length of a row, and the number of rows of the second operand. Keys are u32,
/// and must ascend on a device that runs WGSL.
pub(crate) static SUM_BY_KEY: Routine = Routine {
    name: "segment_sum",
    doc: "The sums of the rows that have the keys 0, 1, ….",
    infer,
    needs: |operands, params, caps| match caps.wgsl {
        true => gpu_needs(operands, params, caps, 0),
        false => Ok(Needs {
            scratch: smallvec![Temp { bytes: KeyedSumPlan::of(operands, params).bytes(), zeroed: false }],
            passes: vec![],
        }),
    },
    refuses: None,
    apart: None,
    reference: |operands, params| {
        let keys: Vec<i128> = operands[0].iter().map(|k| k.as_i128()).collect();
        Ok(sums(&operands[1], params, |s| (0..keys.len()).filter(|i| keys[*i] == s as i128).collect()))
    },
};

/// The table entry of `reduce_at`, which sums rows as NumPy's `add.reduceat` does. The first operand has positions of
/// rows of the second operand. Row `s` of the result is the sum of the rows from position number `s` up to, but not
/// including, the next position or the end. If the next position is not larger, it is the single row at position number
/// `s`. The parameters are the number of rows of the result, the length of a row, and the number of rows of the second
/// operand. Positions are u32 and in range.
pub(crate) static REDUCE_AT: Routine = Routine {
    name: "reduce_at",
    doc: "The sums of the rows between neighbouring positions.",
    infer,
    needs: |operands, params, caps| match caps.wgsl {
        true => gpu_needs(operands, params, caps, 1),
        false => Ok(Needs::default()),
    },
    refuses: None,
    apart: None,
    reference: |operands, params| {
        let at: Vec<usize> = operands[0].iter().map(|k| k.as_i128() as usize).collect();
        let rows = params[2] as usize;
        Ok(sums(&operands[1], params, |s| (at[s]..at.get(s + 1).map_or(rows, |end| (*end).max(at[s] + 1))).collect()))
    },
};

/// A GPU adds in levels: a sum of the first level adds this many rows, and a sum of each further level adds this many
/// sums of the level before. `shaders/sums.wgsl` uses the same number.
const FAN: usize = 8;

/// The maximum number of accumulators in a table that only one CPU thread uses: 512 KiB of 8-byte accumulators, which
/// fit into a second-level cache. Chosen by hand; no benchmark compares other values.
const TABLE: usize = 1 << 16;
/// The minimum number of terms per table of sums. Clearing a table and adding it up afterwards pays off from about 2^16
/// terms.
const TERMS_OF_A_TABLE: usize = 1 << 16;
/// The minimum number of terms per accumulator of a table. With fewer terms, adding up the tables would cost more than
/// adding the terms.
const TERMS_OF_A_SUM: usize = 4;
/// The number of accumulators of a task that computes all sums for a range of keys: 256 KiB of 8-byte accumulators.
/// Chosen by hand; no benchmark compares other values.
const RANGE: usize = 1 << 15;
/// The maximum number of columns that a task with a range of keys handles at a time.
const COLUMNS: usize = 1 << 10;
/// The maximum number of key ranges. Each task that distributes rows among the ranges has a counter for every range.
const RANGES: usize = 1 << 12;
/// The minimum number of rows per task that distributes rows among the key ranges, and the maximum number of such
/// tasks.
const CHUNK: usize = 1 << 15;
const CHUNKS: usize = 64;

/// How a CPU computes the sums of rows with equal keys. The plan depends only on shapes and dtype, never on the number
/// of threads, because it determines the order of additions.
pub(crate) struct KeyedSumPlan {
    /// The number of parts into which the rows are cut, each with a table of all sums. If this number is less than two,
    /// each task handles a range of keys instead.
    pub tables: usize,
    /// The number of accumulators per table.
    pub sums: usize,
    pub state_bytes: usize,
    /// log2 of the number of keys per range.
    pub shift: u32,
    pub ranges: usize,
    /// The number of columns that a task handles at a time.
    pub columns: usize,
    /// The number of tasks that distribute the rows among the ranges.
    pub chunks: usize,
    rows: usize,
    pub entry_bytes: usize,
}

impl KeyedSumPlan {
    /// Returns the plan for a call with these operands.
    pub fn of(operands: &[Meta], params: &Params) -> KeyedSumPlan {
        let [segments, length, rows] = [0, 1, 2].map(|i| params[i] as usize);
        let is_f64 = operands[1].dtype == DType::F64;
        let sums = segments.saturating_mul(length);
        let each = TERMS_OF_A_TABLE.max(sums.saturating_mul(TERMS_OF_A_SUM));
        let tables = if sums <= TABLE { (rows.saturating_mul(length) / each).clamp(1, CHUNKS) } else { 1 };
        let columns = length.clamp(1, COLUMNS);
        let keys = (RANGE / columns).max(segments.div_ceil(RANGES)).next_power_of_two();
        KeyedSumPlan {
            tables,
            sums,
            state_bytes: if is_f64 { 16 } else { 8 },
            shift: keys.trailing_zeros(),
            ranges: segments.div_ceil(keys),
            columns,
            chunks: (rows / CHUNK).clamp(1, CHUNKS),
            rows,
            entry_bytes: if is_f64 && length == 1 { 16 } else { 8 },
        }
    }

    /// Returns the size of the scratch memory in bytes. It holds the tables, if there are any. Otherwise it holds an
    /// entry for each row, a counter for each pair of a key range and a task that distributes rows, and one more
    /// counter.
    pub fn bytes(&self) -> usize {
        if self.tables > 1 {
            return self.tables.saturating_mul(self.sums).saturating_mul(self.state_bytes);
        }
        let counters = self.ranges * self.chunks + 1;
        self.rows.saturating_mul(self.entry_bytes).saturating_add(counters * 8)
    }
}

fn infer(operands: &[Meta], params: &Params) -> Inferred {
    let dtype = if operands[1].dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let sums = Meta { shape: smallvec![params[0] as usize, params[1] as usize], dtype };
    layout::size_of_shape(&sums.shape)?;
    Ok(smallvec![sums])
}

/// Returns the passes on a GPU. The first adds 8 rows to a sum, the next one adds 8 such sums to a sum, and so on. The
/// last pass has one invocation for each element of the result. The invocation adds partial sums where it can use them,
/// and elements of single rows elsewhere. `ranges` is 1 if the first operand holds positions, and 0 if it holds keys.
fn gpu_needs(operands: &[Meta], params: &Params, caps: &Caps, ranges: u32) -> Result<Needs, Fault> {
    let [segments, length, rows] = [0, 1, 2].map(|i| params[i] as usize);
    // the shader counts terms in u32 and rounds these counts up, so the limit is a little below 2^32
    let most = u32::MAX as usize - 16;
    if rows.saturating_mul(length) > most || segments.saturating_mul(length) > most {
        let detail = format!("{rows} × {length} terms of {segments} × {length} sums are too many for {}", caps.name);
        return Err(Fault::new(ErrorKind::LimitExceeded, detail));
    }
    const TERMS: &[RoutineOperand] = &[RoutineOperand::Operand(1), RoutineOperand::Scratch(0)];
    let (mut passes, mut partials, mut count) = (vec![], 0, rows);
    // fewer rows than this are added up without partial sums
    while count >= 2 * FAN {
        count = count.div_ceil(FAN);
        partials += count * length;
        let name = if passes.is_empty() { "add_elements" } else { "add_partials" };
        passes.push(GpuPass {
            name,
            items: count * length,
            each: 1,
            along: &[],
            whole: TERMS,
            number: passes.len() as u32,
        });
    }
    const ALL: &[RoutineOperand] =
        &[RoutineOperand::Operand(0), RoutineOperand::Operand(1), RoutineOperand::Scratch(0)];
    let items = segments * length;
    passes.push(GpuPass {
        name: "store_sums",
        items,
        each: 1,
        along: &[RoutineOperand::Result(0)],
        whole: ALL,
        number: ranges,
    });
    let bytes = (partials * if operands[1].dtype == DType::F64 { 8 } else { 4 }).max(4);
    Ok(Needs { scratch: smallvec![Temp { bytes, zeroed: false }], passes })
}

/// Computes each row of the result. Row `s` is the sum of the rows of `values` at the indices that `terms(s)` returns.
fn sums(values: &[Scalar], params: &Params, terms: impl Fn(usize) -> Vec<usize>) -> Vec<Vec<Scalar>> {
    let (segments, length) = (params[0] as usize, params[1] as usize);
    let row = |s: usize| {
        let terms = terms(s);
        let sum = |c: usize| terms.iter().fold(-0.0, |sum, i| sum + values[i * length + c].as_f64());
        (0..length).map(sum).map(Scalar::Float).collect::<Vec<_>>()
    };
    vec![(0..segments).flat_map(row).collect()]
}
