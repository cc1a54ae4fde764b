//! `bincount`: counts how often each of the values 0, 1, … occurs among integers.

use super::{GpuPass, Inferred, Meaning, Meta, Needs, Params, Routine, RoutineOperand, Temp};
use crate::base::caps::Caps;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{ErrorKind, Fault};
use crate::base::layout;
use smallvec::smallvec;

/// The table entry of `bincount`. The result has `params[0]` elements; element `v` counts the occurrences of the value
/// `v` in the operand. With a second parameter, the operand is a check: 0, or −1 if the range of a histogram is not
/// finite.
pub(crate) static BINCOUNT: Routine = Routine {
    name: "bincount",
    doc: "How often each of the values 0, 1, … occurs.",
    infer,
    needs,
    refuses: Some(|value, params| {
        (if checks_a_range(params) { "histogram" } else { "bincount" }, refuses(value, params))
    }),
    apart: None,
    reference,
};

/// The minimum number of elements to count per table of counts on a CPU. Each thread counts into its own table.
/// Clearing the tables and adding them up pays off from about 2^16 elements per table.
const ELEMENTS_OF_A_TABLE: usize = 1 << 16;
/// The minimum number of elements to count per entry of a table of counts. A table belongs to a thread on a CPU, and to
/// a workgroup on a GPU. With fewer elements, adding up the tables would cost more than counting.
const ELEMENTS_OF_A_COUNT: usize = 4;
/// The maximum number of tables, and so of threads that count in parallel. Chosen by hand; no benchmark compares other
/// values.
const TABLES: usize = 64;

/// The most counters that a workgroup keeps in its memory: 8 KiB of u32, half of what WebGPU guarantees. The pass
/// `count_together` in `shaders/bincount.wgsl` declares an array of this length.
const COUNTERS_OF_A_WORKGROUP: usize = 2048;
/// The fewest and the most elements that an invocation of `count_together` counts. The more it counts, the fewer
/// additions to global memory follow. Chosen by hand; no benchmark compares other values.
const FEWEST_OF_AN_INVOCATION: usize = 4;
const MOST_OF_AN_INVOCATION: usize = 64;
/// If a pass has more workgroups than this, each invocation counts more elements instead. This many workgroups of 256
/// invocations keep a large graphics card busy. Chosen by hand; no benchmark compares other values.
const ENOUGH_WORKGROUPS: usize = 256;
/// The minimum number of workgroups of the pass `count_together`. Fewer would use a small part of a graphics card.
/// Chosen by hand; no benchmark compares other values.
const FEWEST_WORKGROUPS: usize = 16;

fn infer(operands: &[Meta], params: &Params) -> Inferred {
    let (values, length) = (&operands[0], params[0]);
    if !values.dtype.is_integer() {
        let detail = format!("values have dtype {}; integers are needed", values.dtype);
        return Err(Fault::new(ErrorKind::DType, detail));
    }
    if length == 0 && values.size() != 0 {
        return Err(Fault::new(
            ErrorKind::Index,
            format!("{} values cannot be counted in a result of length 0", values.size()),
        ));
    }
    let counts = Meta { shape: smallvec![length as usize], dtype: DType::I64 };
    layout::size_of_shape(&counts.shape)?;
    Ok(smallvec![counts])
}

fn needs(operands: &[Meta], params: &Params, caps: &Caps) -> Result<Needs, Fault> {
    let (size, length) = (operands[0].size(), params[0] as usize);
    if !caps.wgsl {
        let each = ELEMENTS_OF_A_TABLE.max(length.saturating_mul(ELEMENTS_OF_A_COUNT));
        let tables = (size / each).clamp(1, TABLES);
        // with one table the counts go directly to the result, without scratch memory
        let bytes = tables.saturating_mul(length).saturating_mul(8);
        let scratch = if tables == 1 { smallvec![] } else { smallvec![Temp { bytes, zeroed: true }] };
        return Ok(Needs { scratch, passes: vec![] });
    }
    let bytes = length.saturating_mul(4);
    if size > u32::MAX as usize {
        let detail = format!("{size} values are too many for {}, which counts at most {}", caps.name, u32::MAX);
        return Err(Fault::new(ErrorKind::LimitExceeded, detail));
    }
    let pass = |name, items, each, along| GpuPass {
        name,
        items,
        each,
        along,
        whole: &[RoutineOperand::Shared(0)],
        // the shader reads from this number how many elements an invocation counts
        number: each as u32,
    };
    let count = match elements_of_an_invocation(size, length, caps) {
        Some(each) => pass("count_together", size, each, &[RoutineOperand::Operand(0)]),
        None => pass("count", size, 1, &[RoutineOperand::Operand(0)]),
    };
    let widen = pass("widen", length, 1, &[RoutineOperand::Result(0)]);
    Ok(Needs { scratch: smallvec![Temp { bytes, zeroed: true }], passes: vec![count, widen] })
}

/// Returns how many elements each invocation of the pass `count_together` counts. Its workgroups count in their own
/// memory first, because additions to few counters in global memory wait for each other. Returns `None` if the counters
/// do not fit into that memory, or if there are so few elements that counting in global memory is as fast.
fn elements_of_an_invocation(size: usize, length: usize, caps: &Caps) -> Option<usize> {
    if length > COUNTERS_OF_A_WORKGROUP || COUNTERS_OF_A_WORKGROUP * 4 > caps.workgroup_memory {
        return None;
    }
    let group = caps.group();
    let few = length.saturating_mul(ELEMENTS_OF_A_COUNT).div_ceil(group).max(FEWEST_OF_AN_INVOCATION);
    let each = (size / (ENOUGH_WORKGROUPS * group)).clamp(few, MOST_OF_AN_INVOCATION.max(few));
    (size >= FEWEST_WORKGROUPS * each * group).then_some(each)
}

/// Returns whether the call checks the range of a histogram.
fn checks_a_range(params: &Params) -> bool {
    params.len() > 1
}

fn refuses(value: i128, params: &Params) -> Fault {
    if checks_a_range(params) {
        let detail =
            "the array contains a NaN or an infinity, so the span of its elements is not a range; pass a range";
        return Fault::new(ErrorKind::Argument, detail);
    }
    Fault::new(ErrorKind::Index, format!("value {value} is out of range for {} counts", params[0]))
}

fn reference(operands: &[Vec<Scalar>], params: &Params) -> Meaning {
    let mut counts = vec![0i128; params[0] as usize];
    for value in operands[0].iter().map(|s| s.as_i128()) {
        let count = usize::try_from(value).ok().and_then(|v| counts.get_mut(v));
        *count.ok_or_else(|| refuses(value, params))? += 1;
    }
    Ok(vec![counts.into_iter().map(Scalar::Int).collect()])
}
