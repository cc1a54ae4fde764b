//! Writes the source of a pass of a routine: the pass's block of the routine's shader file, and the functions that the
//! block calls, which depend on the dtypes of the operands.

use super::access::{self, packing, words};
use super::key::ShaderKey;
use super::text::{Text, line};
use super::{
    Access, Dialect, ERROR_BINDING, ERROR_SLOTS, HEADER, NOTE, PARAMS_CLASSES, Slot, StoreMode, Words, frame, library,
};
use crate::base::dtype::DType;
use crate::graph::routine::{GpuPass, RoutineOperand, key_bits, slot_words};
use crate::plan::kernel::{RoutineCall, RoutinePass, Whole};

/// Returns the operands, results and scratch memories that a pass binds, in the order of its bindings.
fn places(pass: &GpuPass) -> impl Iterator<Item = RoutineOperand> {
    pass.along.iter().chain(pass.whole).copied()
}

/// Returns the operand or result that `place` names, or `None` for scratch memory.
fn whole(call: &RoutineCall, place: RoutineOperand) -> Option<&Whole> {
    match place {
        RoutineOperand::Operand(n) => call.operands.get(n),
        RoutineOperand::Result(n) => call.results.get(n),
        RoutineOperand::Scratch(_) | RoutineOperand::Shared(_) => None,
    }
}

/// Returns the name of an operand, a result or a scratch memory in the source of a pass. Scratch memories are numbered
/// in the pass's order.
fn name(pass: &GpuPass, place: RoutineOperand) -> String {
    let is_scratch = |place: &&RoutineOperand| matches!(place, RoutineOperand::Scratch(_) | RoutineOperand::Shared(_));
    match place {
        RoutineOperand::Operand(n) => format!("in{n}"),
        RoutineOperand::Result(n) => format!("out{n}"),
        RoutineOperand::Scratch(_) | RoutineOperand::Shared(_) => {
            let at = pass.whole.iter().filter(is_scratch).position(|p| *p == place);
            format!("scratch{}", at.unwrap_or_default())
        }
    }
}

/// Returns the operands, results and scratch memories of a pass, each with its binding. Words that several invocations
/// may write are atomic: the words of shared scratch memory, and the words of a result with narrow elements, because
/// several elements lie in one word.
pub(crate) fn slots(call: &RoutineCall, pass: &GpuPass) -> Vec<(RoutineOperand, Slot)> {
    let slot = |place: RoutineOperand| match (place, whole(call, place)) {
        (RoutineOperand::Operand(_), Some(w)) => Slot { words: words(w.meta.dtype), access: Access::Read, width: 1 },
        (RoutineOperand::Result(_), Some(w)) if packing(w.meta.dtype) == 0 => {
            Slot { words: words(w.meta.dtype), access: Access::Write, width: 1 }
        }
        (RoutineOperand::Scratch(_), _) => Slot { words: Words::W32, access: Access::Write, width: 1 },
        _ => Slot { words: Words::W32, access: Access::Atomic, width: 1 },
    };
    places(pass).map(|place| (place, slot(place))).collect()
}

/// Returns the words of the parameters: zeros for the header, the first item, the pass's number, the call's parameters,
/// and the position of element 0 of each operand and result in its binding.
pub(crate) fn params(
    call: &RoutineCall,
    pass: &GpuPass,
    first_item: usize,
    offsets: impl Iterator<Item = u32>,
) -> Vec<u32> {
    let mut words = vec![0; HEADER];
    words.extend([first_item as u32, pass.number]);
    words.extend(call.params.iter().flat_map(|p| [*p as u32, (*p >> 32) as u32]));
    words.extend(offsets);
    words.resize(words.len().next_multiple_of(4), 0);
    words
}

/// The length of the parameters in vectors: the shortest class, because a routine has few parameters.
pub(crate) const PARAMS: u32 = PARAMS_CLASSES[0];

/// Returns everything that the source depends on, as words. No kernel's key begins with the same word, because a
/// kernel's first word holds the size of its workgroups.
pub(crate) fn key(call: &RoutineCall, &RoutinePass { ref pass, group, .. }: &RoutinePass) -> ShaderKey {
    let mut key = ShaderKey::from_slice(&[u64::MAX, group as u64]);
    for text in [call.row.name, pass.name] {
        key.push(text.len() as u64);
        key.extend(text.bytes().map(u64::from));
    }
    key.extend([call.params.len() as u64, pass.each as u64]);
    key.extend(places(pass).map(|place| whole(call, place).map_or(u64::MAX, |w| w.meta.dtype as u64)));
    key
}

/// Returns the source of a pass of a routine. `shader` is the content of the routine's shader file.
pub(crate) fn generate(call: &RoutineCall, scheduled: &RoutinePass, shader: &'static str, dialect: Dialect) -> String {
    let pass = &scheduled.pass;
    let mut out = Text::default();
    let slots = slots(call, pass);
    for (i, (place, slot)) in slots.iter().enumerate() {
        let access = if slot.access == Access::Read { "read" } else { "read_write" };
        let element = match (slot.words, slot.access) {
            (_, Access::Atomic) => "atomic<u32>",
            (Words::W32, _) => "u32",
            (Words::U64, _) => "u64",
            (Words::F64, _) => "f64",
        };
        let buffer = if whole(call, *place).is_some() { format!("buffer{i}") } else { name(pass, *place) };
        line!(out, "@group(0) @binding({i}) var<storage, {access}> {buffer}: array<{element}>;");
    }
    if call.row.refuses.is_some() {
        let words = 4 * ERROR_SLOTS;
        line!(out, "@group(0) @binding({ERROR_BINDING}) var<storage, read_write> errors: array<atomic<u32>, {words}>;");
        out.append(NOTE);
        line!(out, "\n// Notes an element that the routine refuses, as the two words of an integer of 64 bits.");
        line!(out, "fn refuse(element: vec2<u32>) {{");
        line!(out, "note(params.header.error_id, 0u, element.x, element.y);\n}}");
    }
    line!(out, "\nstruct Parameters {{\n@size({}) header: Header,\nfirst_item: u32,\nnumber: u32,", 4 * HEADER);
    for n in 0..call.params.len() {
        line!(out, "param{n}: u32,\nparam{n}_high: u32,");
    }
    for (place, _) in &slots {
        if whole(call, *place).is_some() {
            line!(out, "offset_{}: u32,", name(pass, *place));
        }
    }
    line!(out, "}}\n\n@group(1) @binding(0) var<uniform> params: Parameters;\n");
    for (i, (place, slot)) in slots.iter().enumerate() {
        operand(&mut out, call, (*place, i), *slot);
    }
    let (head, rest) = library::split_head(shader);
    for (i, (place, slot)) in slots.iter().enumerate() {
        more_of_operand(&mut out, call, (*place, i), *slot, library::block(rest, pass.name));
    }
    if library::block(rest, pass.name).contains("ITEMS") {
        line!(out, "const ITEMS = {}u;\n", scheduled.group as usize * pass.each);
    }
    let declared = out.finish();
    let main = library::block(rest, pass.name).replace(&format!("fn {}(", pass.name), "fn main(");
    let block = mutant!(workgroup_counters_not_cleared, main.replace("atomicStore(&counts[counter], 0u);", ""), main);
    let needed = library::needed(&format!("{declared}{block}"), dialect);
    let frame = frame(scheduled.group);
    let parts = [head, dialect.enables(&needed), &*frame, &declared, &needed, &block];
    let text: Vec<&str> = parts.iter().map(|p| p.trim()).filter(|p| !p.is_empty()).collect();
    text.join("\n\n") + "\n"
}

/// Writes the functions that locate, load and store one element of an operand or a result.
fn operand(out: &mut Text, call: &RoutineCall, (place, slot): (RoutineOperand, usize), kind: Slot) {
    let Some(dtype) = whole(call, place).map(|w| w.meta.dtype) else { return };
    let compute = dtype.compute().name();
    let name = match place {
        RoutineOperand::Operand(n) => format!("in{n}"),
        RoutineOperand::Result(n) => format!("out{n}"),
        RoutineOperand::Scratch(_) | RoutineOperand::Shared(_) => return,
    };
    line!(out, "// {name}, {dtype} in memory: where element `index` of it lies");
    line!(out, "fn at_{name}(index: u32) -> u32 {{\nreturn params.offset_{name} + index;\n}}\n");
    match place {
        RoutineOperand::Operand(_) => {
            let text = access::load(slot, kind, dtype, "at");
            line!(out, "fn load_{name}(at: u32) -> {compute} {{\nreturn {text};\n}}\n");
            if dtype.is_integer() {
                let text = access::words_of(dtype, "x");
                line!(out, "// The two words of an element as an integer of 64 bits.");
                line!(out, "fn words_of_{name}(x: {compute}) -> vec2<u32> {{\nreturn {text};\n}}\n");
            }
        }
        RoutineOperand::Result(n) => {
            let mode = if kind.access == Access::Atomic { StoreMode::Atomic } else { StoreMode::Direct };
            access::store(out, n, slot, kind, mode, dtype);
        }
        RoutineOperand::Scratch(_) | RoutineOperand::Shared(_) => {}
    }
}

/// Writes further functions of an operand or a result, each only if `block` calls it. Examples are the sort key of an
/// element, partial sums, and loads and stores that move the bits of an element unchanged.
fn more_of_operand(
    out: &mut Text,
    call: &RoutineCall,
    (place, slot): (RoutineOperand, usize),
    kind: Slot,
    block: &str,
) {
    let Some(dtype) = whole(call, place).map(|w| w.meta.dtype) else { return };
    // an f64 is moved as a number, because its binding is declared as an array of f64
    let as_bits = match dtype.size() {
        1 => DType::U8,
        2 => DType::U16,
        4 => DType::U32,
        _ if dtype == DType::F64 => DType::F64,
        _ => DType::U64,
    };
    let bits = as_bits.compute().name();
    match place {
        RoutineOperand::Operand(n) => {
            let compute = dtype.compute().name();
            if block.contains(&format!("sort_key_in{n}(")) {
                let [key, is_last] = sort_key(dtype);
                line!(
                    out,
                    "// The key in whose order elements are; a NaN, which is last in either order, has the largest."
                );
                line!(out, "fn sort_key_in{n}(x: {compute}) -> vec2<u32> {{\n{key}\n}}\n");
                line!(out, "fn is_last_in{n}(x: {compute}) -> bool {{\nreturn {is_last};\n}}\n");
            }
            if block.contains("slot_of(") {
                slot_functions(out, dtype);
            }
            if block.contains(&format!("store_partial_in{n}(")) || block.contains(&format!("load_partial_in{n}(")) {
                partials(out, n, dtype);
            }
            if block.contains(&format!("quotient_in{n}(")) {
                quotients(out, n, dtype);
            }
            if block.contains(&format!("cos_sin_in{n}(")) {
                roots_of_unity(out, n, dtype);
            }
            if block.contains(&format!("Number_in{n}")) {
                numbers(out, n, dtype, block);
            }
            if block.contains(&format!("epsilon_in{n}(")) {
                magnitudes(out, n, dtype);
            }
            if block.contains(&format!("load_bits_in{n}(")) {
                let text = access::load(slot, kind, as_bits, "at");
                line!(out, "fn load_bits_in{n}(at: u32) -> {bits} {{\nreturn {text};\n}}\n");
            }
        }
        RoutineOperand::Result(n) if block.contains(&format!("load_out{n}(")) => {
            let (compute, text) = (dtype.compute().name(), access::load(slot, kind, dtype, "at"));
            line!(out, "fn load_out{n}(at: u32) -> {compute} {{\nreturn {text};\n}}\n");
        }
        RoutineOperand::Result(n) if block.contains(&format!("store_bits_out{n}(")) => {
            let mut text = Text::default();
            let mode = if kind.access == Access::Atomic { StoreMode::Atomic } else { StoreMode::Direct };
            access::store(&mut text, n, slot, kind, mode, as_bits);
            out.append(&text.finish().replace("fn store_out", "fn store_bits_out"));
        }
        RoutineOperand::Result(_) | RoutineOperand::Scratch(_) | RoutineOperand::Shared(_) => {}
    }
}

/// Writes the type of sums of an operand's elements, the empty sum, and the functions that load and store such sums
/// in the first scratch memory.
fn partials(out: &mut Text, n: usize, dtype: DType) {
    line!(out, "// Sums of elements of in{n}, which lie in the scratch memory, and the sum of none, −0.");
    line!(out, "alias Partial_in{n} = {};\n", dtype.compute().name());
    let wide = dtype == DType::F64;
    let [none, load, store] = match wide {
        false => {
            ["bitcast<f32>(0x80000000u ^ cp_zero())", "bitcast<f32>(scratch0[at])", "scratch0[at] = bitcast<u32>(x);"]
        }
        true => [
            "bitcast<f64>(make_u64(cp_zero(), 0x80000000u))",
            "bitcast<f64>(make_u64(scratch0[2u * at], scratch0[2u * at + 1u]))",
            "let bits = bitcast<u64>(x);\nscratch0[2u * at] = low_u64(bits);\nscratch0[2u * at + 1u] = high_u64(bits);",
        ],
    };
    line!(out, "fn no_partial_in{n}() -> Partial_in{n} {{\nreturn {none};\n}}\n");
    line!(out, "fn load_partial_in{n}(at: u32) -> Partial_in{n} {{\nreturn {load};\n}}\n");
    line!(out, "fn store_partial_in{n}(at: u32, x: Partial_in{n}) {{\n{store}\n}}\n");
}

/// Writes the type `Slot`, which holds the sort key of an operand's element and its position, and the functions of
/// slots. A workgroup sorts slots instead of elements.
fn slot_functions(out: &mut Text, dtype: DType) {
    let tie = mutant!(equal_keys_in_any_order, "false", "a.y < b.y");
    let before = format!("a.x < b.x || (a.x == b.x && {tie})");
    // only the lower `key_bits` bits of a key are used; the bits above them may be copies of the sign
    let packed = format!("((key.x & {:#x}u) << 12u) | position", (1u64 << key_bits(dtype).min(32)) - 1);
    let [slot, of, position, is_before] = match slot_words(dtype) {
        1 => ["u32", &packed, "slot & 0xfffu", "a < b"],
        2 => ["vec2<u32>", "vec2<u32>(key.x, position)", "slot.y", &before],
        _ => [
            "vec3<u32>",
            "vec3<u32>(key.yx, position)",
            "slot.z",
            "a.x < b.x || (a.x == b.x && (a.y < b.y || (a.y == b.y && a.z < b.z)))",
        ],
    };
    line!(out, "// The key of an element, and its position in its row.");
    line!(out, "alias Slot = {slot};\n");
    line!(out, "fn slot_of(key: vec2<u32>, position: u32) -> Slot {{\nreturn {of};\n}}\n");
    line!(out, "fn position_of(slot: Slot) -> u32 {{\nreturn {position};\n}}\n");
    line!(out, "fn is_before(a: Slot, b: Slot) -> bool {{\nreturn {is_before};\n}}\n");
}

/// Writes the functions that convert a u32 to an operand's type, divide two numbers of this type, and take the square
/// root of one.
fn quotients(out: &mut Text, n: usize, dtype: DType) {
    let float = dtype.compute().name();
    let [quotient, root] = if dtype == DType::F64 { ["a / b", "sqrt(x)"] } else { ["m_div(a, b)", "m_sqrt(x)"] };
    line!(out, "fn number_in{n}(n: u32) -> {float} {{\nreturn {float}(n);\n}}\n");
    line!(out, "fn quotient_in{n}(a: {float}, b: {float}) -> {float} {{\nreturn {quotient};\n}}\n");
    line!(out, "fn root_in{n}(x: {float}) -> {float} {{\nreturn {root};\n}}\n");
}

/// Writes the functions with which the shaders of factorisations scale matrices by powers of two, and the constants ε
/// and NaN of an operand's type.
fn magnitudes(out: &mut Text, n: usize, dtype: DType) {
    let float = dtype.compute().name();
    let wide = dtype == DType::F64;
    let (bits, infinite, shift, whole) = match wide {
        true => ("high_u64(bitcast<u64>(x))", "0x7ff00000u", 20, 2046),
        false => ("bitcast<u32>(x)", "0x7f800000u", 23, 254),
    };
    let [of_bits, epsilon, nan] = match wide {
        true => ["bitcast<f64>(make_u64(0u, bits))", "0x3cb00000u", "0x7ff80000u"],
        false => ["bitcast<f32>(bits)", "0x34000000u", "0x7fc00000u"],
    };
    line!(out, "// The bits of a magnitude, of which the upper ones are enough; they are in order.");
    line!(out, "fn magnitude_in{n}(x: {float}) -> u32 {{\nreturn {bits} & 0x7fffffffu;\n}}\n");
    line!(out, "fn is_finite_in{n}(magnitude: u32) -> bool {{\nreturn magnitude < {infinite};\n}}\n");
    line!(out, "fn of_bits_in{n}(bits: u32) -> {float} {{\nreturn {of_bits};\n}}\n");
    line!(out, "// The exponent of a magnitude, within those whose reciprocals are normal numbers.");
    line!(out, "fn exponent_in{n}(magnitude: u32) -> u32 {{");
    line!(out, "return clamp(magnitude >> {shift}u, 2u, {}u);\n}}\n", whole - 2);
    line!(out, "// Powers of two: the factors that scale numbers up to a magnitude to about 1, and back.");
    line!(out, "fn scale_in{n}(magnitude: u32) -> {float} {{");
    line!(out, "return of_bits_in{n}(({whole}u - exponent_in{n}(magnitude)) << {shift}u);\n}}\n");
    line!(out, "fn unscale_in{n}(magnitude: u32) -> {float} {{");
    line!(out, "return of_bits_in{n}(exponent_in{n}(magnitude) << {shift}u);\n}}\n");
    line!(out, "fn epsilon_in{n}() -> {float} {{\nreturn of_bits_in{n}({epsilon});\n}}\n");
    line!(out, "fn nan_in{n}() -> {float} {{\nreturn of_bits_in{n}({nan} ^ cp_zero());\n}}\n");
}

/// Writes the function from which the shader of `fft` computes roots of unity: a cosine and a sine in the operand's
/// type.
fn roots_of_unity(out: &mut Text, n: usize, dtype: DType) {
    let float = dtype.compute().name();
    let prefix = if dtype == DType::F64 { "d" } else { "m" };
    line!(out, "// The cosine and the sine of pi k / n, for k up to n / 4.");
    line!(out, "fn cos_sin_in{n}(k: u32, n: u32) -> vec2<{float}> {{");
    line!(out, "let x = quotient_in{n}(number_in{n}(k), number_in{n}(n));");
    line!(out, "return vec2<{float}>({prefix}_cospi(x), {prefix}_sinpi(x));\n}}\n");
}

/// Writes the type `Number_in{n}` of an operand's elements, and the functions that `block` calls for such numbers: the
/// number 0, and tests. Tests of f32 look at bits, because compilers may assume that there is no NaN.
fn numbers(out: &mut Text, n: usize, dtype: DType, block: &str) {
    let float = dtype.compute().name();
    let wide = dtype == DType::F64;
    let one = format!("x: {float}");
    let two = format!("a: {float}, b: {float}");
    // read as integers, the bits of two nonnegative floats are in the same order as the floats
    let larger =
        "let x = bitcast<u32>(a) & 0x7fffffffu;\nreturn x <= 0x7f800000u && x > (bitcast<u32>(b) & 0x7fffffffu);";
    let functions = [
        ("zero", "", float, ["return 0.0;", "return 0.0lf;"]),
        ("is_zero", &one, "bool", ["return (bitcast<u32>(x) & 0x7fffffffu) == 0u;", "return x == 0.0lf;"]),
        (
            "is_positive",
            &one,
            "bool",
            ["return bitcast<u32>(x) - 1u < 0x7f800000u;", "return !d_isnan(x) && x > 0.0lf;"],
        ),
        ("is_larger", &two, "bool", [larger, "return !d_isnan(a) && max(a, -a) > max(b, -b);"]),
    ];
    line!(out, "alias Number_in{n} = {float};\n");
    for (name, args, gives, bodies) in functions {
        if block.contains(&format!("{name}_in{n}(")) {
            line!(out, "fn {name}_in{n}({args}) -> {gives} {{\n{}\n}}\n", bodies[wide as usize]);
        }
    }
}

/// Returns two pieces of WGSL: the body of a function that returns the two words of the sort key of `x`, and the
/// expression for whether `x` is a NaN. `key_bits` in `src/graph/routine/sort.rs` defines how many bits keys have.
fn sort_key(dtype: DType) -> [String; 2] {
    let narrow = |key: &str| format!("return vec2<u32>({key}, 0u);");
    let wide = |key: &str| format!("let key = {key};\nreturn vec2<u32>(low_u64(key), high_u64(key));");
    let (key, is_last) = match dtype {
        DType::Bool => (narrow("select(0u, 1u, x)"), "false"),
        DType::U8 | DType::U16 | DType::U32 => (narrow("x"), "false"),
        DType::I8 => (narrow("bitcast<u32>(x) ^ 0x80u"), "false"),
        DType::I16 => (narrow("bitcast<u32>(x) ^ 0x8000u"), "false"),
        DType::I32 => (narrow("bitcast<u32>(x) ^ 0x80000000u"), "false"),
        DType::U64 => (wide("sort_key_u64(x)"), "false"),
        DType::I64 => (wide("sort_key_i64(x)"), "false"),
        // an f16 is held as an f32 with the sign, 8 bits of exponent and only 10 bits of fraction, so its key does not
        // need the lower 12 bits
        DType::F16 => (narrow("m_sort_key(x) >> 12u"), "m_isnan(x)"),
        DType::BF16 => (narrow("m_sort_key(x) >> 16u"), "m_isnan(x)"),
        DType::F32 => (narrow("m_sort_key(x)"), "m_isnan(x)"),
        DType::F64 => (wide("d_sort_key(x)"), "d_isnan(x)"),
    };
    [key, is_last.to_string()]
}
