//! Writes the WGSL expressions and functions that read elements of each dtype from the words of a buffer, write them,
//! and convert between types.

use super::text::{Text, line};
use super::{Access, Slot, StoreMode, Words};
use crate::base::dtype::{Compute, DType};
use crate::plan::kernel::Store;

/// Returns the type of the words in which shaders access a buffer of `dtype`.
pub(crate) fn words(dtype: DType) -> Words {
    match dtype.size() {
        8 if dtype.is_float() => Words::F64,
        8 => Words::U64,
        _ => Words::W32,
    }
}

/// Returns the type of the words of the buffer that a store writes. It is 32 bits if the store combines its value with
/// the existing element, because only u32 and i32 are atomic in WGSL.
pub(crate) fn stored_words(store: &Store) -> Words {
    if store.updates() { Words::W32 } else { words(store.dtype) }
}

/// Returns log2 of the number of elements in one word.
pub(crate) fn packing(dtype: DType) -> u32 {
    match dtype.size() {
        1 => 2,
        2 => 1,
        _ => 0,
    }
}

/// Returns the expression that reads a word of the buffer in slot (binding) `slot`. `index` is the expression for the
/// word's number.
pub(super) fn word(slot: usize, kind: Slot, index: &str) -> String {
    match kind.access {
        Access::Atomic => format!("atomicLoad(&buffer{slot}[{index}])"),
        Access::Read | Access::Write => format!("buffer{slot}[{index}]"),
    }
}

/// Returns the expression that reads the bits of element `at` (an identifier) of the buffer in slot (binding) `slot`.
/// The bits of a narrow element are the low bits of a u32.
pub(super) fn narrow(slot: usize, kind: Slot, dtype: DType, at: &str) -> String {
    match packing(dtype) {
        2 => format!("(({} >> (({at} & 3u) << 3u)) & 0xffu)", word(slot, kind, &format!("{at} >> 2u"))),
        1 => format!("(({} >> (({at} & 1u) << 4u)) & 0xffffu)", word(slot, kind, &format!("{at} >> 1u"))),
        _ => word(slot, kind, at),
    }
}

/// Returns the expression that reads element `at` (an identifier) of the buffer in slot (binding) `slot`, widened to
/// the compute type of `dtype`.
pub(super) fn load(slot: usize, kind: Slot, dtype: DType, at: &str) -> String {
    widened(dtype, &narrow(slot, kind, dtype, at))
}

/// Returns the expression that converts an element's bits, which are the low bits of the word `narrow`, to a value of
/// the compute type.
pub(super) fn widened(dtype: DType, narrow: &str) -> String {
    use crate::base::dtype::DType::*;
    match dtype {
        Bool => format!("{narrow} != 0u"),
        U8 | U16 | U32 | U64 | F64 => narrow.to_string(),
        I8 => format!("sext8({narrow})"),
        I16 => format!("sext16({narrow})"),
        I32 => format!("bitcast<i32>({narrow})"),
        I64 => format!("u64_to_i64({narrow})"),
        F16 => format!("f16_to_f32({narrow})"),
        BF16 => format!("bf16_to_f32({narrow})"),
        F32 => format!("bitcast<f32>({narrow})"),
    }
}

/// Returns the expression that converts the value `v` to the bits that represent it in memory. The bits of a narrow
/// value are the low bits of a u32.
pub(super) fn bits(dtype: DType, v: &str) -> String {
    use crate::base::dtype::DType::*;
    match dtype {
        Bool => format!("select(0u, 1u, {v})"),
        U8 => format!("({v} & 0xffu)"),
        I8 => format!("(bitcast<u32>({v}) & 0xffu)"),
        U16 => format!("({v} & 0xffffu)"),
        I16 => format!("(bitcast<u32>({v}) & 0xffffu)"),
        I32 | F32 => format!("bitcast<u32>({v})"),
        I64 => format!("i64_to_u64({v})"),
        F16 => format!("f32_to_f16({v})"),
        BF16 => format!("f32_to_bf16({v})"),
        U32 | U64 | F64 => v.to_string(),
    }
}

/// Returns the expression that extends an integer to 64 bits by its sign, as a vector of two words, the lower one
/// first.
pub(super) fn words_of(dtype: DType, v: &str) -> String {
    match dtype.compute() {
        Compute::I32 => format!("vec2<u32>(bitcast<u32>({v}), bitcast<u32>({v} >> 31u))"),
        c @ (Compute::I64 | Compute::U64) => format!("vec2<u32>(low_{c}({v}), high_{c}({v}))", c = c.name()),
        Compute::Bool | Compute::U32 | Compute::F32 | Compute::F64 => format!("vec2<u32>({v}, 0u)"),
    }
}

/// Writes the function that stores element `at` of store `number`. If one invocation owns whole words
/// ([`StoreMode::Owned`]), the function has two more parameters: `unit` is the number of the element among the elements
/// that the invocation processes, and `is_last` is whether it is the last of these elements.
pub(super) fn store(out: &mut Text, number: usize, slot: usize, kind: Slot, mode: StoreMode, dtype: DType) {
    let bits = bits(dtype, "x");
    let shift = packing(dtype);
    let width = 32u32 >> shift;
    let inside = (1u32 << shift) - 1;
    let kept = mutant!(packed_neighbours_lost, 0, inside);
    let more = if mode == StoreMode::Owned { ", unit: u32, is_last: bool" } else { "" };
    if mode == StoreMode::Owned {
        line!(out, "// What the invocation has collected of the word that it writes next.");
        line!(out, "var<private> word_out{number}: u32;\n");
    }
    line!(out, "fn store_out{number}(at: u32, x: {}{more}) {{", dtype.compute().name());
    match mode {
        StoreMode::Direct if kind.access == Access::Atomic => line!(out, "atomicStore(&buffer{slot}[at], {bits});"),
        StoreMode::Direct => line!(out, "buffer{slot}[at] = {bits};"),
        StoreMode::Atomic => {
            let mask = mutant!(old_bits_of_a_shared_word, 0, u32::MAX >> (32 - width));
            line!(out, "let shift = (at & {inside}u) * {width}u;");
            line!(out, "atomicAnd(&buffer{slot}[at >> {shift}u], ~({mask}u << shift));");
            line!(out, "atomicOr(&buffer{slot}[at >> {shift}u], {bits} << shift);");
        }
        StoreMode::Owned => {
            line!(out, "let within = unit & {inside}u;");
            line!(out, "word_out{number} = word_out{number} | ({bits} << (within * {width}u));");
            line!(out, "if within == {inside}u || is_last {{");
            line!(out, "// a last word that is only partly covered keeps its other elements");
            line!(out, "let have = within + 1u;");
            line!(out, "if have <= {kept}u {{");
            line!(out, "let others = 0xffffffffu << ((have & {inside}u) * {width}u);");
            line!(out, "word_out{number} = word_out{number} | (buffer{slot}[at >> {shift}u] & others);");
            line!(out, "}}");
            line!(out, "buffer{slot}[at >> {shift}u] = word_out{number};");
            line!(out, "word_out{number} = 0u;\n}}");
        }
    }
    line!(out, "}}\n");
}

/// Returns the expression for a constant of a compute type, given as bits. Some constants are computed from `cp_zero`,
/// a zero that is known only at run time: NaN and ∞ (which WGSL forbids), subnormals (which a compiler may flush) and
/// ±0 (because of which a compiler may drop a sum or product).
pub(super) fn constant(raw: u64, compute: Compute) -> String {
    match compute {
        Compute::Bool => (raw & 0xff != 0).to_string(),
        Compute::U32 => format!("{}u", raw as u32),
        Compute::I32 => match raw as u32 as i32 {
            i32::MIN => "(-2147483647i - 1i)".to_string(),
            v => format!("({v}i)"),
        },
        Compute::U64 | Compute::I64 => format!("make_{}({}u, {}u)", compute.name(), raw as u32, raw >> 32),
        Compute::F32 => {
            let v = f32::from_bits(raw as u32);
            match v.is_normal() {
                true => format!("({v:?}f)"),
                false => format!("bitcast<f32>({:#x}u ^ cp_zero())", raw as u32),
            }
        }
        Compute::F64 => {
            let v = f64::from_bits(raw);
            match v.is_normal() {
                true => format!("({v:?}lf)"),
                false => format!("bitcast<f64>(make_u64({}u ^ cp_zero(), {}u))", raw as u32, raw >> 32),
            }
        }
    }
}

/// Returns the expression that passes a float through an integer operation, so that no compiler sees how it was
/// computed.
pub(super) fn block(compute: Compute, v: &str) -> String {
    match compute {
        Compute::F32 => format!("cp_block({v})"),
        Compute::F64 => format!("d_block({v})"),
        Compute::Bool | Compute::I32 | Compute::U32 | Compute::I64 | Compute::U64 => v.to_string(),
    }
}

/// Returns the expression that converts a value of a compute type to a value that `dtype` can hold: it wraps for narrow
/// integers, rounds for f16 and bf16, and changes nothing for other types.
pub(super) fn round(dtype: DType, v: &str) -> String {
    use crate::base::dtype::DType::*;
    match dtype {
        U8 | I8 | U16 | I16 => format!("wrap_{dtype}({v})"),
        F16 | BF16 => format!("round_{dtype}({v})"),
        Bool | U32 | I32 | U64 | I64 | F32 | F64 => v.to_string(),
    }
}

/// Returns the expression that converts `v` as Rust's `as` does.
pub(super) fn cast(from: DType, to: DType, v: &str) -> String {
    use Compute::*;
    let (f, t) = (from.compute(), to.compute());
    if to == DType::Bool {
        return match f {
            Bool => v.to_string(),
            F32 => format!("(bitcast<u32>({v}) & 0x7fffffffu) != 0u"),
            F64 => format!("d_mag({v}) != u64(0)"),
            I32 | U32 => format!("{v} != {}(0)", f.name()),
            I64 | U64 => format!("{}_to_bool({v})", f.name()),
        };
    }
    if f == Bool {
        return match t {
            I64 | U64 => format!("bool_to_{}({v})", t.name()),
            Bool | I32 | U32 | F32 | F64 => format!("select({t}(0), {t}(1), {v})", t = t.name()),
        };
    }
    if from.is_float() && to.is_integer() {
        return match (f, to) {
            (F32, _) => format!("f32_to_{to}({v})"),
            (_, DType::U8) => format!("min(f64_to_u32({v}), 255u)"),
            (_, DType::U16) => format!("min(f64_to_u32({v}), 65535u)"),
            (_, DType::I8) => format!("clamp(f64_to_i32({v}), -128, 127)"),
            (_, DType::I16) => format!("clamp(f64_to_i32({v}), -32768, 32767)"),
            _ => format!("f64_to_{to}({v})"),
        };
    }
    let converted = match (f, t) {
        _ if f == t => v.to_string(),
        (I32, U32) => format!("bitcast<u32>({v})"),
        (U32, I32) => format!("bitcast<i32>({v})"),
        // `round` below rounds this value to f16 or bf16. The value is exact or rounded to odd, so the result is the
        // same as after a single rounding
        _ if to.is_half() => format!("{}_to_{}_odd({v})", f.name(), t.name()),
        _ => format!("{}_to_{}({v})", f.name(), t.name()),
    };
    match to == from {
        true => converted,
        false => round(to, &converted),
    }
}
