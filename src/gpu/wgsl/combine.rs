//! Writes stores that combine a value with the element in memory. Several invocations may combine a value with the same
//! element, so each does so atomically, by words of 32 bits. Additions, minima and maxima of integers do not depend on
//! their order.

use super::access::{bits, packing, widened};
use super::text::{Text, line};
use crate::base::dtype::{Compute, DType};
use crate::plan::kernel::Combine;

/// Writes the function that combines `x` with element `at` of store `number`. The binding `slot` has the buffer of the
/// store, as atomic words.
pub(super) fn store(out: &mut Text, number: usize, slot: usize, dtype: DType, combine: Combine) {
    let bits_of_x = bits(dtype, "x");
    line!(out, "// Combines with the element there by {}, atomically: other invocations may, too.", combine.name());
    line!(out, "fn store_out{number}(at: u32, x: {}) {{", dtype.compute().name());
    match (combine, dtype.compute()) {
        (Combine::Add, Compute::I64 | Compute::U64) => {
            line!(out, "let low = low_u64({bits_of_x});\nlet high = high_u64({bits_of_x});");
            line!(out, "let before = atomicAdd(&buffer{slot}[2u * at], low);");
            line!(out, "// of all additions to the low word, those that wrap carry: once for each 2^32 of the sum");
            let carry = mutant!(carry_of_a_64_bit_addition_lost, "0u", "select(0u, 1u, before + low < low)");
            line!(out, "atomicAdd(&buffer{slot}[2u * at + 1u], high + {carry});");
        }
        (Combine::Add, _) if dtype.size() == 4 => line!(out, "atomicAdd(&buffer{slot}[at], {bits_of_x});"),
        (Combine::Min, Compute::U32) if dtype.size() == 4 => line!(out, "atomicMin(&buffer{slot}[at], x);"),
        (Combine::Max, Compute::U32) if dtype.size() == 4 => line!(out, "atomicMax(&buffer{slot}[at], x);"),
        _ => exchanged(out, slot, dtype, combine),
    }
    line!(out, "}}\n");
}

/// Writes a loop that combines by compare-and-exchange of the whole word, until no other invocation has changed the
/// word in between. The other elements of a packed word keep their bits.
fn exchanged(out: &mut Text, slot: usize, dtype: DType, combine: Combine) {
    let shift = packing(dtype);
    let (width, inside) = (32u32 >> shift, (1u32 << shift) - 1);
    let mask = u32::MAX >> (32 - width);
    let element = match shift {
        0 => "had".to_string(),
        _ => format!("((had >> shift) & {mask:#x}u)"),
    };
    let combined = match combine {
        Combine::Set => "x",
        Combine::Add => "element + x",
        Combine::Min => "min(element, x)",
        Combine::Max => "max(element, x)",
    };
    line!(out, "let word = at >> {shift}u;");
    if shift > 0 {
        line!(out, "let shift = (at & {inside}u) * {width}u;");
    }
    line!(out, "var had = atomicLoad(&buffer{slot}[word]);\nloop {{");
    line!(out, "let element = {};", widened(dtype, &element));
    line!(out, "let combined = {combined};");
    let changed = bits(dtype, "combined");
    match shift {
        0 => line!(out, "let wanted = {changed};"),
        _ => {
            let kept = mutant!(neighbours_of_a_combined_element_lost, "0u", "had");
            line!(out, "let wanted = ({kept} & ~({mask:#x}u << shift)) | ({changed} << shift);");
        }
    }
    line!(out, "let swap = atomicCompareExchangeWeak(&buffer{slot}[word], had, wanted);");
    line!(out, "if swap.exchanged {{\nbreak;\n}}\nhad = swap.old_value;\n}}");
}
