//! `sort` (the sorted elements along the last axis), `argsort` (the positions of these elements), `argtopk` (the first
//! few of these positions) and `select` (the elements at a few positions of the sorted order). Sorting is stable, −0
//! equals +0, and NaNs come last, also in descending order. A CPU computes `argtopk` and `select` without sorting.

use super::{Apart, GpuPass, Inferred, Meaning, Meta, Needs, Params, Routine, RoutineOperand, Temp};
use crate::base::caps::Caps;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{ErrorKind, Fault};
use smallvec::{SmallVec, smallvec};
use std::cmp::Ordering;

/// The rows (the elements along the last axis) are independent. The third parameter is the number of all elements.
const ROWS: Apart = Apart { axes: |shape, _| shape.len().saturating_sub(1), count: 2 };

/// The table entry of `sort`: orders the elements of the operand along its last axis. The parameters are the length of
/// that axis, 1 for descending order (otherwise 0), and the number of all elements.
pub(crate) static SORT: Routine = Routine {
    name: "sort",
    doc: "The elements along an axis, in order.",
    infer: |operands, _| Ok(smallvec![operands[0].clone()]),
    needs: |operands, params, caps| needs(operands, params, caps, false),
    refuses: None,
    apart: Some(ROWS),
    reference: |operands, params| reference(operands, params, false),
};

/// The table entry of `argsort`: returns the positions, along the last axis of the operand, of its elements in sorted
/// order. The parameters are the length of that axis, 1 for descending order (otherwise 0), and the number of all
/// elements.
pub(crate) static ARGSORT: Routine = Routine {
    name: "argsort",
    doc: "The positions along an axis of its elements, in order.",
    infer: infer_positions,
    needs: |operands, params, caps| needs(operands, params, caps, true),
    refuses: None,
    apart: Some(ROWS),
    reference: |operands, params| reference(operands, params, true),
};

/// The table entry of `argtopk`: returns the first few of the positions that `argsort` returns. The parameters are the
/// length of the last axis, 1 for descending order (otherwise 0), the number of all elements, and the number of
/// positions.
pub(crate) static ARGTOPK: Routine = Routine {
    name: "argtopk",
    doc: "The positions along an axis of the first of its elements, in order.",
    infer: |operands, params| {
        let mut shape = operands[0].shape.clone();
        shape.iter_mut().last().into_iter().for_each(|n| *n = params[3] as usize);
        Ok(smallvec![Meta { shape, dtype: DType::I64 }])
    },
    needs: |operands, params, caps| {
        let last = LastPass { name: "store_first_positions", stored: params[3] as usize, is_positions: true };
        needs_of_some(operands, params, caps, last, usize::MAX)
    },
    refuses: None,
    apart: Some(ROWS),
    reference: |operands, params| {
        let all = reference(operands, params, true)?.swap_remove(0);
        Ok(vec![each_row(&all, params, |row| row[..params[3] as usize].to_vec())])
    },
};

/// The table entry of `select`: returns three elements of the sorted order of each row, at two given positions and at
/// the last one. The second position equals the first or follows it. The parameters are the length of the last axis, 0
/// (for ascending order), the number of all elements, and the two positions.
pub(crate) static SELECT: Routine = Routine {
    name: "select_in_order",
    doc: "The elements at two places of the order along an axis, and the last.",
    infer: |operands, _| {
        let mut shape = operands[0].shape.clone();
        shape.iter_mut().last().into_iter().for_each(|n| *n = SELECTED);
        Ok(smallvec![Meta { shape, dtype: operands[0].dtype }])
    },
    needs: |operands, params, caps| {
        let last = LastPass { name: "store_selected", stored: SELECTED, is_positions: false };
        needs_of_some(operands, params, caps, last, SELECT_COPIES)
    },
    refuses: None,
    apart: Some(ROWS),
    reference: |operands, params| {
        let all = reference(operands, params, false)?.swap_remove(0);
        let places = [params[3] as usize, params[4] as usize, (params[0] as usize).saturating_sub(1)];
        Ok(vec![each_row(&all, params, |row| places.iter().map(|i| row[*i]).collect())])
    },
};

/// The number of elements per row of the result of `select`.
pub(crate) const SELECTED: usize = 3;

/// The longest row whose keys (integers in the same order as the elements) `select` copies in order to search them. For
/// a longer row, a CPU first counts the keys by their leading bits. The tables of these counts cost as much as looking
/// at some ten thousand keys; no benchmark compares other values.
pub(crate) const SELECT_COPIES: usize = 1 << 16;

/// Applies `f` to each row and concatenates the results.
fn each_row(all: &[Scalar], params: &Params, f: impl Fn(&[Scalar]) -> Vec<Scalar>) -> Vec<Scalar> {
    all.chunks(params[0].max(1) as usize).flat_map(f).collect()
}

/// The longest row that a CPU sorts by comparisons, in memory that the task allocates. Longer rows are sorted digit by
/// digit, which needs scratch memory. The tables of 256 counts per digit take as long as comparing some hundred
/// elements; no benchmark compares other values.
pub(crate) const SHORT: usize = 256;

/// The maximum number of slots in which a workgroup of a GPU sorts short rows in its own memory. A slot holds the key
/// of an element and its position in its row, for which 12 bits suffice.
const MOST_SLOTS: usize = 1 << 12;

/// The number of consecutive elements that an invocation of a GPU moves to their places. For at most 8 elements, 4 bits
/// suffice to count how often a digit occurs, so that a word holds eight such counts.
const RUN: usize = 8;

/// The number of bits of a digit on a GPU. A workgroup counts how often each of the 16 values occurs as a digit of its
/// elements.
const DIGIT: usize = 4;

fn infer_positions(operands: &[Meta], _: &Params) -> Inferred {
    Ok(smallvec![Meta { shape: operands[0].shape.clone(), dtype: DType::I64 }])
}

fn needs(operands: &[Meta], params: &Params, caps: &Caps, positions: bool) -> Result<Needs, Fault> {
    let (meta, length) = (&operands[0], params[0] as usize);
    let (size, item) = (meta.size(), meta.dtype.size());
    let most = u32::MAX as usize;
    if !caps.wgsl {
        if length <= SHORT {
            return Ok(Needs::default());
        }
        if length > most {
            let detail = format!("{length} elements along an axis are too many to sort; the limit is {most}");
            return Err(Fault::new(ErrorKind::LimitExceeded, detail));
        }
        // `sort` needs one more array of keys besides the result. `argsort` sorts pairs of a key and a position in two
        // arrays. Pairs with keys of at most 4 bytes take 8 bytes, and one of the two arrays is the result itself.
        // Pairs with keys of 8 bytes take 16 bytes, and both arrays are scratch memory
        let each = if !positions {
            item
        } else if item < 8 {
            8
        } else {
            32
        };
        let bytes = size.saturating_mul(each);
        return Ok(Needs { scratch: smallvec![Temp { bytes, zeroed: false }], passes: vec![] });
    }
    if size > most {
        let detail = format!("{size} elements are too many for {}, which sorts at most {most}", caps.name);
        return Err(Fault::new(ErrorKind::LimitExceeded, detail));
    }
    let name = if positions { "store_positions" } else { "store_values" };
    Ok(gpu_needs(meta, length, caps, LastPass { name, stored: length, is_positions: positions }))
}

/// The last pass of a sort on a GPU: its name, the number of elements that it stores per row, and whether these are
/// positions instead of values.
struct LastPass {
    name: &'static str,
    stored: usize,
    is_positions: bool,
}

/// Returns the scratch memory and passes of a routine that returns a few elements of each sorted row. On a CPU, rows of
/// more than `most` elements need scratch memory for their keys.
fn needs_of_some(operands: &[Meta], params: &Params, caps: &Caps, last: LastPass, most: usize) -> Result<Needs, Fault> {
    let (meta, length) = (&operands[0], params[0] as usize);
    // this call checks the lengths, which have the same limits as for a sort
    let sort = needs(operands, params, caps, true)?;
    if caps.wgsl {
        return Ok(gpu_needs(meta, length, caps, last));
    }
    drop(sort);
    // a search of a long row needs scratch memory for the row's keys. A short row is handled by one thread, which
    // copies the keys to its task's own memory
    let bytes = if length > most { meta.bytes() } else { 0 };
    let scratch = if bytes == 0 { smallvec![] } else { smallvec![Temp { bytes, zeroed: false }] };
    Ok(Needs { scratch, passes: vec![] })
}

/// Returns the number of key bits by which a GPU sorts a dtype. An f16 is compared as an f32, of which 20 bits suffice.
pub(crate) fn key_bits(dtype: DType) -> usize {
    if dtype == DType::Bool {
        return 1;
    }
    if dtype == DType::F16 { 20 } else { dtype.size() * 8 }
}

/// Returns the number of 32-bit words of a slot, which holds an element's key and its position in the row. The two
/// share a word if both fit.
pub(crate) fn slot_words(dtype: DType) -> usize {
    if key_bits(dtype) + MOST_SLOTS.ilog2() as usize <= 32 { 1 } else { 1 + dtype.size().div_ceil(4) }
}

/// Returns the pass in which each workgroup of a GPU sorts several rows in its own memory, or `None` if a row does not
/// fit. The number of slots for a row is a power of two, and at least 8.
fn short_pass(meta: &Meta, length: usize, caps: &Caps) -> Option<GpuPass> {
    let extent = length.next_power_of_two().max(8);
    // a slot of three words takes four words of memory
    let bytes = 4 * slot_words(meta.dtype).next_power_of_two();
    let fitting = 1 << (caps.workgroup_memory / bytes).checked_ilog2()?;
    let slots = extent.max(8 * caps.group()).min(MOST_SLOTS).min(fitting);
    let items = (meta.size() / length.max(1)).checked_mul(extent)?;
    let whole = &[RoutineOperand::Scratch(0), RoutineOperand::Operand(0)];
    let each = slots / caps.group();
    let fits = extent <= slots && each > 0 && items <= (u32::MAX / 2) as usize;
    fits.then_some(GpuPass { name: "sort_rows", items, each, along: &[], whole, number: extent.ilog2() })
}

/// Returns the passes on a GPU, of which the caller chooses the last. If rows are not short, all rows are sorted
/// together: first by the digits of the keys, and then by the digits of the row numbers. Each digit needs a count of the
/// digits in each workgroup's elements, the sums of these counts, and a move of all elements.
fn gpu_needs(meta: &Meta, length: usize, caps: &Caps, last: LastPass) -> Needs {
    let LastPass { name, stored, is_positions } = last;
    let (size, words, group) = (meta.size(), meta.dtype.size().div_ceil(4), caps.group());
    let temp = |bytes| Temp { bytes, zeroed: false };
    let rows = size / length.max(1);
    let last =
        |whole| GpuPass { name, items: rows * stored, each: 1, along: &[RoutineOperand::Result(0)], whole, number: 0 };
    if let Some(pass) = short_pass(meta, length, caps) {
        const POSITIONS: &[RoutineOperand] = &[RoutineOperand::Scratch(0)];
        const VALUES: &[RoutineOperand] = &[RoutineOperand::Scratch(0), RoutineOperand::Operand(0)];
        let passes = vec![pass, last(if is_positions { POSITIONS } else { VALUES })];
        return Needs { scratch: smallvec![temp(size * 4)], passes };
    }
    let blocks = size.div_ceil(RUN * group).max(1);
    let counters = blocks * 16;
    let sums = counters.div_ceil(group);
    // keys and positions exist twice, because a move cannot be in place. The last array has the counters, followed by
    // the sums of groups of counters
    let arrays = [size * 4 * words, size * 4, size * 4 * words, size * 4, (counters + sums) * 4];
    let scratch: SmallVec<[Temp; 2]> = arrays.into_iter().map(temp).collect();
    const OPERAND: &[RoutineOperand] = &[RoutineOperand::Operand(0)];
    const HERE: &[RoutineOperand] =
        &[RoutineOperand::Scratch(0), RoutineOperand::Scratch(1), RoutineOperand::Scratch(4)];
    const THERE: &[RoutineOperand] =
        &[RoutineOperand::Scratch(2), RoutineOperand::Scratch(3), RoutineOperand::Scratch(4)];
    const KEYS: &[RoutineOperand] = &[RoutineOperand::Scratch(0), RoutineOperand::Scratch(1)];
    const COUNTERS: &[RoutineOperand] = &[RoutineOperand::Scratch(4)];
    const TO_THERE: &[RoutineOperand] = &[
        RoutineOperand::Scratch(0),
        RoutineOperand::Scratch(1),
        RoutineOperand::Scratch(4),
        RoutineOperand::Scratch(2),
        RoutineOperand::Scratch(3),
    ];
    const TO_HERE: &[RoutineOperand] = &[
        RoutineOperand::Scratch(2),
        RoutineOperand::Scratch(3),
        RoutineOperand::Scratch(4),
        RoutineOperand::Scratch(0),
        RoutineOperand::Scratch(1),
    ];
    let key_digits = key_bits(meta.dtype).div_ceil(DIGIT);
    let row_digits = (usize::BITS - rows.saturating_sub(1).leading_zeros()) as usize;
    let row_digits = row_digits.div_ceil(DIGIT);
    // the bit of `params.number` that tells shaders/sort.wgsl that a key has two words
    let wide = if words == 2 { 1 << 10 } else { 0 };
    let mut passes = vec![GpuPass { name: "prepare", items: size, each: 1, along: OPERAND, whole: KEYS, number: wide }];
    for number in 0..key_digits + row_digits {
        let is_even = number % 2 == 0;
        let (from, to) = if is_even { (HERE, TO_THERE) } else { (THERE, TO_HERE) };
        let digit = match number.checked_sub(key_digits) {
            None => (number * DIGIT % 32) | (number * DIGIT / 32) << 8,
            Some(of_row) => (of_row * DIGIT) | (1 << 9),
        };
        let pass = |name, items, each, whole, number| GpuPass { name, items, each, along: &[], whole, number };
        let number = wide | digit as u32;
        passes.push(pass("count", size, RUN, from, number));
        passes.push(pass("add_within_groups", counters, 1, COUNTERS, counters as u32));
        passes.push(pass("add_groups", group, 1, COUNTERS, counters as u32));
        passes.push(pass("move_to_places", size, RUN, to, number));
    }
    let is_there = (key_digits + row_digits) % 2 == 1;
    const POSITIONS_HERE: &[RoutineOperand] = &[RoutineOperand::Scratch(1)];
    const POSITIONS_THERE: &[RoutineOperand] = &[RoutineOperand::Scratch(3)];
    const VALUES_HERE: &[RoutineOperand] = &[RoutineOperand::Scratch(1), RoutineOperand::Operand(0)];
    const VALUES_THERE: &[RoutineOperand] = &[RoutineOperand::Scratch(3), RoutineOperand::Operand(0)];
    passes.push(last(match (is_positions, is_there) {
        (true, false) => POSITIONS_HERE,
        (true, true) => POSITIONS_THERE,
        (false, false) => VALUES_HERE,
        (false, true) => VALUES_THERE,
    }));
    Needs { scratch, passes }
}

/// Compares two elements. A NaN comes after everything else.
fn order(a: Scalar, b: Scalar, descending: bool) -> Ordering {
    let turned = |order: Ordering| if descending { order.reverse() } else { order };
    match (a, b) {
        (Scalar::Int(a), Scalar::Int(b)) => turned(a.cmp(&b)),
        (a, b) => {
            let (a, b) = (a.as_f64(), b.as_f64());
            match (a.is_nan(), b.is_nan()) {
                (false, false) => turned(a.partial_cmp(&b).unwrap_or(Ordering::Equal)),
                (a_is, b_is) => a_is.cmp(&b_is),
            }
        }
    }
}

fn reference(operands: &[Vec<Scalar>], params: &Params, positions: bool) -> Meaning {
    let (length, descending) = (params[0] as usize, params[1] != 0);
    let mut result = Vec::with_capacity(operands[0].len());
    for row in operands[0].chunks(length.max(1)) {
        let mut at: Vec<usize> = (0..row.len()).collect();
        at.sort_by(|a, b| order(row[*a], row[*b], descending));
        result.extend(at.into_iter().map(|i| if positions { Scalar::Int(i as i128) } else { row[i] }));
    }
    Ok(vec![result])
}
