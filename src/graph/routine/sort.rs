//! `sort` and `argsort`: the elements of the last axis in order, and their positions. Both are stable; a NaN comes last, also in
//! descending order; −0 and +0 are equal. So `sort` has the elements that `argsort` points to, bit for bit. `argtopk` has the first
//! of the positions, and `select` the elements at a few places of the order: a CPU finds them without a sort.

use super::{Inferred, Meaning, Meta, Needs, Params, Pass, Place, Routine, Temp};
use crate::base::caps::Caps;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{ErrorKind, Fault};
use smallvec::{SmallVec, smallvec};
use std::cmp::Ordering;

/// The row of `sort`: the elements of the operand, ordered along its last axis. The parameters are the length of that axis, and 1
/// for descending order.
pub(crate) static SORT: Routine = Routine {
    name: "sort",
    doc: "The elements along an axis, in order.",
    infer: |operands, _| Ok(smallvec![operands[0].clone()]),
    needs: |operands, params, caps| needs(operands, params, caps, false),
    refuses: None,
    reference: |operands, params| reference(operands, params, false),
};

/// The row of `argsort`: their positions along that axis. The parameters are those of `sort`.
pub(crate) static ARGSORT: Routine = Routine {
    name: "argsort",
    doc: "The positions along an axis of its elements, in order.",
    infer: infer_positions,
    needs: |operands, params, caps| needs(operands, params, caps, true),
    refuses: None,
    reference: |operands, params| reference(operands, params, true),
};

/// The row of `argtopk`: the first of the positions that `argsort` gives. The parameters are those of `sort`, and how many there are.
pub(crate) static ARGTOPK: Routine = Routine {
    name: "argtopk",
    doc: "The positions along an axis of the first of its elements, in order.",
    infer: |operands, params| {
        let mut shape = operands[0].shape.clone();
        shape.iter_mut().last().into_iter().for_each(|n| *n = params[3] as usize);
        Ok(smallvec![Meta { shape, dtype: DType::I64 }])
    },
    needs: |operands, params, caps| {
        needs_of_some(operands, params, caps, ("store_first_positions", params[3] as usize))
    },
    refuses: None,
    reference: |operands, params| {
        let all = reference(operands, params, true)?.swap_remove(0);
        Ok(vec![each_row(&all, params, |row| row[..params[3] as usize].to_vec())])
    },
};

/// The row of `select`: of each row three elements of its order: those at two places, of which the second is the first or the one
/// after it, and the last. The parameters are those of `sort`, always ascending, and the two places.
pub(crate) static SELECT: Routine = Routine {
    name: "select_in_order",
    doc: "The elements at two places of the order along an axis, and the last.",
    infer: |operands, _| {
        let mut shape = operands[0].shape.clone();
        shape.iter_mut().last().into_iter().for_each(|n| *n = SELECTED);
        Ok(smallvec![Meta { shape, dtype: operands[0].dtype }])
    },
    needs: |operands, params, caps| needs_of_some(operands, params, caps, ("store_selected", SELECTED)),
    refuses: None,
    reference: |operands, params| {
        let all = reference(operands, params, false)?.swap_remove(0);
        let places = [params[3] as usize, params[4] as usize, (params[0] as usize).saturating_sub(1)];
        Ok(vec![each_row(&all, params, |row| places.iter().map(|i| row[*i]).collect())])
    },
};

/// The elements of a row of the result of `select`.
pub(crate) const SELECTED: usize = 3;

/// The longest row whose keys `select` copies to look among them; of a longer one a CPU counts first how many keys begin with which
/// bits. A judgement: the tables of these counts cost as much as to look at some ten thousand keys.
pub(crate) const SELECT_COPIES: usize = 1 << 16;

/// What `f` makes of each row.
fn each_row(all: &[Scalar], params: &Params, f: impl Fn(&[Scalar]) -> Vec<Scalar>) -> Vec<Scalar> {
    all.chunks(params[0].max(1) as usize).flat_map(f).collect()
}

/// The longest row that a CPU sorts by comparisons, in a buffer of its own. Longer ones are sorted digit by digit, which takes
/// scratch memory. A judgement: the tables of the digits of 256 counts take as long as comparing some hundred elements.
pub(crate) const SHORT: usize = 256;

/// Bits of a digit on a GPU, whose workgroups count all 16 digits of their elements side by side.
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
            let detail = format!("{length} elements along an axis are too many to sort, which are at most {most}");
            return Err(Fault::new(ErrorKind::LimitExceeded, detail));
        }
        // beside the result there is one more array of keys. Positions are sorted with their keys, as pairs of 8 bytes, which
        // the result has room for; pairs with keys of 8 bytes have 16 bytes, and two arrays of them
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
    let last = if positions { ("store_positions", length) } else { ("store_values", length) };
    Ok(gpu_needs(meta, length, caps.group(), last))
}

/// What a routine needs that has a few elements of each sorted row: on a GPU a sort, and a pass of some name that stores so many
/// elements for each row.
fn needs_of_some(operands: &[Meta], params: &Params, caps: &Caps, last: (&'static str, usize)) -> Result<Needs, Fault> {
    let (meta, length) = (&operands[0], params[0] as usize);
    // the checks of lengths are those of a sort
    let sort = needs(operands, params, caps, true)?;
    if caps.wgsl {
        return Ok(gpu_needs(meta, length, caps.group(), last));
    }
    drop(sort);
    // room for the keys of a row among which an element is looked for; the rows that threads take each for itself are short, and
    // their keys are copied to memory of the task
    let is_select = last.0 == "store_selected";
    let bytes = if is_select && length > SELECT_COPIES { meta.bytes() } else { 0 };
    let scratch = if bytes == 0 { smallvec![] } else { smallvec![Temp { bytes, zeroed: false }] };
    Ok(Needs { scratch, passes: vec![] })
}

/// The bits of the keys by which a GPU sorts a type. An f16 is widened to f32 to be compared, of whose bits it needs 20.
fn key_bits(dtype: DType) -> usize {
    if dtype == DType::Bool {
        return 1;
    }
    if dtype == DType::F16 { 20 } else { dtype.size() * 8 }
}

/// The passes on a GPU. All rows are sorted together: by the digits of the keys, and then by those of the rows' numbers. Each
/// digit takes a count of the digits in each workgroup's elements, the sums of these counts, and a move of all elements. The last
/// pass has a name, and stores so many elements for each row.
fn gpu_needs(meta: &Meta, length: usize, group: usize, (name, stored): (&'static str, usize)) -> Needs {
    let (size, words) = (meta.size(), meta.dtype.size().div_ceil(4));
    let temp = |bytes| Temp { bytes, zeroed: false };
    let blocks = size.div_ceil(group).max(1);
    let counters = blocks * 16;
    let sums = counters.div_ceil(group);
    // keys and positions, twice, because a move cannot be in place; the counters, then the sums of groups of counters
    let arrays = [size * 4 * words, size * 4, size * 4 * words, size * 4, (counters + sums) * 4];
    let scratch: SmallVec<[Temp; 2]> = arrays.into_iter().map(temp).collect();
    const OPERAND: &[Place] = &[Place::Operand(0)];
    const HERE: &[Place] = &[Place::Scratch(0), Place::Scratch(1), Place::Scratch(4)];
    const THERE: &[Place] = &[Place::Scratch(2), Place::Scratch(3), Place::Scratch(4)];
    const KEYS: &[Place] = &[Place::Scratch(0), Place::Scratch(1)];
    const COUNTERS: &[Place] = &[Place::Scratch(4)];
    const TO_THERE: &[Place] =
        &[Place::Scratch(0), Place::Scratch(1), Place::Scratch(4), Place::Scratch(2), Place::Scratch(3)];
    const TO_HERE: &[Place] =
        &[Place::Scratch(2), Place::Scratch(3), Place::Scratch(4), Place::Scratch(0), Place::Scratch(1)];
    let key_digits = key_bits(meta.dtype).div_ceil(DIGIT);
    let rows = size / length.max(1);
    let row_digits = (usize::BITS - rows.saturating_sub(1).leading_zeros()) as usize;
    let row_digits = row_digits.div_ceil(DIGIT);
    // the numbers by which shaders/sort.wgsl finds a digit
    let wide = if words == 2 { 1 << 10 } else { 0 };
    let mut passes = vec![Pass { name: "prepare", items: size, along: OPERAND, whole: KEYS, number: wide }];
    for number in 0..key_digits + row_digits {
        let is_even = number % 2 == 0;
        let (from, to) = if is_even { (HERE, TO_THERE) } else { (THERE, TO_HERE) };
        let digit = match number.checked_sub(key_digits) {
            None => (number * DIGIT % 32) | (number * DIGIT / 32) << 8,
            Some(of_row) => (of_row * DIGIT) | (1 << 9),
        };
        let pass = |name, items, whole| Pass { name, items, along: &[], whole, number: wide | digit as u32 };
        passes.push(pass("count", size, from));
        passes.push(pass("add_within_groups", counters, COUNTERS));
        passes.push(pass("add_groups", group, COUNTERS));
        passes.push(pass("move_to_places", size, to));
    }
    let is_there = (key_digits + row_digits) % 2 == 1;
    const POSITIONS_HERE: &[Place] = &[Place::Scratch(1)];
    const POSITIONS_THERE: &[Place] = &[Place::Scratch(3)];
    const VALUES_HERE: &[Place] = &[Place::Scratch(1), Place::Operand(0)];
    const VALUES_THERE: &[Place] = &[Place::Scratch(3), Place::Operand(0)];
    let whole = match (name.ends_with("positions"), is_there) {
        (true, false) => POSITIONS_HERE,
        (true, true) => POSITIONS_THERE,
        (false, false) => VALUES_HERE,
        (false, true) => VALUES_THERE,
    };
    passes.push(Pass { name, items: rows * stored, along: &[Place::Result(0)], whole, number: 0 });
    Needs { scratch, passes }
}

/// How two elements compare, NaN after everything else.
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
