//! `nonzero` and `compress`: the positions of the true elements of a mask, and the elements at those positions. The
//! number of true elements is a parameter, because it is the length of the result; the caller has counted them.

use super::{GpuPass, Inferred, Meaning, Meta, Needs, Params, Routine, RoutineOperand, Temp};
use crate::base::caps::Caps;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{ErrorKind, Fault};
use smallvec::smallvec;

/// The table entry of `nonzero`: returns the positions of the true elements of the operand, a mask. The parameters are
/// the number of true elements and the number of all elements.
pub(crate) static NONZERO: Routine = Routine {
    name: "nonzero",
    doc: "The positions of the true elements of a mask.",
    infer: |_, params| Ok(smallvec![Meta { shape: smallvec![params[0] as usize], dtype: DType::I64 }]),
    needs: |operands, params, caps| needs(operands, params, caps, true),
    refuses: None,
    apart: None,
    reference: |operands, _| {
        let positions = operands[0].iter().enumerate().filter(|(_, m)| m.as_i128() != 0);
        Ok(vec![positions.map(|(i, _)| Scalar::Int(i as i128)).collect()])
    },
};

/// The table entry of `compress`: returns the elements of the second operand where the first operand, a mask, is true.
/// As for `nonzero`, the parameters are the number of true elements and the number of all elements.
pub(crate) static COMPRESS: Routine = Routine {
    name: "compress",
    doc: "The elements at the true elements of a mask.",
    infer: |operands, params| -> Inferred {
        Ok(smallvec![Meta { shape: smallvec![params[0] as usize], dtype: operands[1].dtype }])
    },
    needs: |operands, params, caps| needs(operands, params, caps, false),
    refuses: None,
    apart: None,
    reference: |operands, _| -> Meaning {
        let chosen = operands[0].iter().zip(&operands[1]).filter(|(m, _)| m.as_i128() != 0);
        Ok(vec![chosen.map(|(_, x)| *x).collect()])
    },
};

/// The number of mask elements per task on a CPU. Such a task takes some tens of microseconds. Chosen by hand; no
/// benchmark compares other values.
pub(crate) const CHUNK: usize = 1 << 16;

fn needs(operands: &[Meta], params: &Params, caps: &Caps, positions: bool) -> Result<Needs, Fault> {
    let (count, size) = (params[0] as usize, operands[0].size());
    let temp = |bytes| Temp { bytes, zeroed: false };
    if !caps.wgsl {
        // the scratch memory holds one count per task
        return Ok(Needs { scratch: smallvec![temp(size.div_ceil(CHUNK).max(1) * 8)], passes: vec![] });
    }
    let most = u32::MAX as usize;
    if size > most {
        let detail = format!("{size} elements are too many for {}, which handles at most {most}", caps.name);
        return Err(Fault::new(ErrorKind::LimitExceeded, detail));
    }
    let group = caps.group();
    let blocks = size.div_ceil(group).max(1);
    // the first block of scratch memory has the count of each workgroup, followed by the sums of groups of these
    // counts; the second block has the positions
    let scratch = smallvec![temp((blocks + blocks.div_ceil(group)) * 4), temp(count.saturating_mul(4).max(4))];
    const MASK: &[RoutineOperand] = &[RoutineOperand::Operand(0)];
    const COUNTS: &[RoutineOperand] = &[RoutineOperand::Scratch(0)];
    let pass = |name, items, along, whole| GpuPass { name, items, each: 1, along, whole, number: 0 };
    let mut passes = vec![
        pass("count", size, MASK, COUNTS),
        pass("add_within_groups", blocks, &[], COUNTS),
        pass("add_groups", group, &[], COUNTS),
        pass("list", size, MASK, &[RoutineOperand::Scratch(0), RoutineOperand::Scratch(1)]),
    ];
    passes.push(match positions {
        true => pass("store_positions", count, &[RoutineOperand::Result(0)], &[RoutineOperand::Scratch(1)]),
        false => pass(
            "store_values",
            count,
            &[RoutineOperand::Result(0)],
            &[RoutineOperand::Scratch(1), RoutineOperand::Operand(1)],
        ),
    });
    Ok(Needs { scratch, passes })
}
