//! `segment_sum` and `reduce_at`: sums of rows of floats, by the keys of the rows or over ranges of them, in an order that depends
//! on the rows' positions alone. Both give f32 (f64 of f64), which callers round; no rows make −0, which changes nothing that it is
//! added to.

use super::{Inferred, Meta, Needs, Params, Pass, Place, Routine, Temp};
use crate::base::caps::Caps;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{ErrorKind, Fault};
use crate::base::layout;
use smallvec::smallvec;

/// The row of `segment_sum`: row `s` of the result is the sum of the rows of the second operand whose keys, in the first operand,
/// are `s`. A row whose key is no row of the result is left out. The parameters are the rows of the result, the length of a row,
/// and the rows of the operand. Keys are u32, and must ascend on a device that runs WGSL.
pub(crate) static SUM_BY_KEY: Routine = Routine {
    name: "segment_sum",
    doc: "The sums of the rows that have the keys 0, 1, ….",
    infer,
    needs: |operands, params, caps| match caps.wgsl {
        true => gpu_needs(operands, params, caps, 0),
        false => Ok(Needs {
            scratch: smallvec![Temp { bytes: Plan::of(operands, params).bytes(), zeroed: false }],
            passes: vec![],
        }),
    },
    refuses: None,
    reference: |operands, params| {
        let keys: Vec<i128> = operands[0].iter().map(|k| k.as_i128()).collect();
        Ok(sums(&operands[1], params, |s| (0..keys.len()).filter(|i| keys[*i] == s as i128).collect()))
    },
};

/// The row of `reduce_at`: row `s` of the result is the sum of the rows of the second operand from the position that element `s` of
/// the first has up to the next element's, or to the end; where the next is not larger, the one row at the position. The
/// parameters are those of `segment_sum`. Positions are u32, and in range.
pub(crate) static REDUCE_AT: Routine = Routine {
    name: "reduce_at",
    doc: "The sums of the rows between neighbouring positions.",
    infer,
    needs: |operands, params, caps| match caps.wgsl {
        true => gpu_needs(operands, params, caps, 1),
        false => Ok(Needs::default()),
    },
    refuses: None,
    reference: |operands, params| {
        let at: Vec<usize> = operands[0].iter().map(|k| k.as_i128() as usize).collect();
        let rows = params[2] as usize;
        Ok(sums(&operands[1], params, |s| (at[s]..at.get(s + 1).map_or(rows, |end| (*end).max(at[s] + 1))).collect()))
    },
};

/// Of how many rows, or sums of the level below, a GPU makes a sum of the next level. `shaders/sums.wgsl` has the same number.
const FAN: usize = 8;

/// The most accumulators of which each thread of a CPU has a table of its own: 512 KiB of 8 bytes, which a second level cache
/// holds (a judgement).
const TABLE: usize = 1 << 16;
/// The fewest terms for each table, as for the tables of `bincount`.
const TERMS_OF_A_TABLE: usize = 1 << 16;
/// The fewest terms for each accumulator of a table: with fewer, adding up the tables would cost more than the terms.
const TERMS_OF_A_SUM: usize = 4;
/// The accumulators of a task that has a range of keys to itself: 256 KiB of 8 bytes (a judgement).
const RANGE: usize = 1 << 15;
/// The most columns that such a task takes at once.
const COLUMNS: usize = 1 << 10;
/// The most ranges of keys: each chunk of rows has a counter for each.
const RANGES: usize = 1 << 12;
/// The fewest rows that a task distributes among the ranges, and the most such tasks.
const CHUNK: usize = 1 << 15;
const CHUNKS: usize = 64;

/// How a CPU adds by keys. It depends on shapes and the type alone, never on the number of threads, because the order of additions
/// depends on it.
pub(crate) struct Plan {
    /// How many parts the rows are cut into, each with a table of all sums. With fewer than two, tasks have ranges of keys instead.
    pub tables: usize,
    /// The accumulators of a table.
    pub sums: usize,
    pub state_bytes: usize,
    /// log2 of the keys of a range.
    pub shift: u32,
    pub ranges: usize,
    /// Columns that a task takes at once.
    pub columns: usize,
    /// The tasks that distribute the rows among the ranges.
    pub chunks: usize,
    rows: usize,
    pub entry_bytes: usize,
}

impl Plan {
    /// The plan for a call with these operands.
    pub fn of(operands: &[Meta], params: &Params) -> Plan {
        let [segments, length, rows] = [0, 1, 2].map(|i| params[i] as usize);
        let is_f64 = operands[1].dtype == DType::F64;
        let sums = segments.saturating_mul(length);
        let each = TERMS_OF_A_TABLE.max(sums.saturating_mul(TERMS_OF_A_SUM));
        let tables = if sums <= TABLE { (rows.saturating_mul(length) / each).clamp(1, CHUNKS) } else { 1 };
        let columns = length.clamp(1, COLUMNS);
        let keys = (RANGE / columns).max(segments.div_ceil(RANGES)).next_power_of_two();
        Plan {
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

    /// The bytes of scratch: the tables; or an entry for each row, and then the counters, one more than ranges and chunks have.
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

/// The passes on a GPU: sums of 8 rows, of 8 of those, and so on, and then one invocation for each sum of the result, which takes
/// as many of them as it can. `ranges` is 1 where the first operand has positions, and 0 where it has keys.
fn gpu_needs(operands: &[Meta], params: &Params, caps: &Caps, ranges: u32) -> Result<Needs, Fault> {
    let [segments, length, rows] = [0, 1, 2].map(|i| params[i] as usize);
    // the shader counts in u32, and rounds up
    let most = u32::MAX as usize - 16;
    if rows.saturating_mul(length) > most || segments.saturating_mul(length) > most {
        let detail = format!("{rows} × {length} terms of {segments} × {length} sums are too many for {}", caps.name);
        return Err(Fault::new(ErrorKind::LimitExceeded, detail));
    }
    const TERMS: &[Place] = &[Place::Operand(1), Place::Scratch(0)];
    let (mut passes, mut partials, mut count) = (vec![], 0, rows);
    // a range of fewer than two groups is added up as it is
    while count >= 2 * FAN {
        count = count.div_ceil(FAN);
        partials += count * length;
        let name = if passes.is_empty() { "add_elements" } else { "add_partials" };
        passes.push(Pass { name, items: count * length, along: &[], whole: TERMS, number: passes.len() as u32 });
    }
    const ALL: &[Place] = &[Place::Operand(0), Place::Operand(1), Place::Scratch(0)];
    let items = segments * length;
    passes.push(Pass { name: "store_sums", items, along: &[Place::Result(0)], whole: ALL, number: ranges });
    let bytes = (partials * if operands[1].dtype == DType::F64 { 8 } else { 4 }).max(4);
    Ok(Needs { scratch: smallvec![Temp { bytes, zeroed: false }], passes })
}

/// The sums of the rows that `terms` gives for each row of the result.
fn sums(values: &[Scalar], params: &Params, terms: impl Fn(usize) -> Vec<usize>) -> Vec<Vec<Scalar>> {
    let (segments, length) = (params[0] as usize, params[1] as usize);
    let row = |s: usize| {
        let terms = terms(s);
        let sum = |c: usize| terms.iter().fold(-0.0, |sum, i| sum + values[i * length + c].as_f64());
        (0..length).map(sum).map(Scalar::Float).collect::<Vec<_>>()
    };
    vec![(0..segments).flat_map(row).collect()]
}
