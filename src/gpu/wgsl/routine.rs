//! The text of a pass of a routine: the block of its shader file, and the functions that the block calls, written for the
//! types of the operands.

use super::access::{self, packing, words};
use super::key::Key;
use super::text::{Text, line};
use super::{Access, ERROR_BINDING, ERROR_SLOTS, HEADER, NOTE, PARAMS_CLASSES, Slot, StoreMode, Words, frame, library};
use crate::kernel::{RoutineCall, RoutinePass, Whole};
use crate::routine::{Pass, Place};

/// The operands, results and scratch memories that a pass binds, in the order of its bindings.
fn places(pass: &Pass) -> impl Iterator<Item = Place> {
    pass.along.iter().chain(pass.whole).copied()
}

/// The operand or result of a place; none for scratch.
fn whole(call: &RoutineCall, place: Place) -> Option<&Whole> {
    match place {
        Place::Operand(n) => call.operands.get(n),
        Place::Result(n) => call.results.get(n),
        Place::Scratch(_) => None,
    }
}

/// The name of an operand, a result or a scratch memory in the text.
fn name(place: Place) -> String {
    match place {
        Place::Operand(n) => format!("in{n}"),
        Place::Result(n) => format!("out{n}"),
        Place::Scratch(n) => format!("scratch{n}"),
    }
}

/// The operands, results and scratch memories of a pass, each with its binding. Scratch is bound as atomic words, because
/// invocations share them; so is a result of narrow elements, of which several lie in one word.
pub(crate) fn slots(call: &RoutineCall, pass: &Pass) -> Vec<(Place, Slot)> {
    let slot = |place: Place| match (place, whole(call, place)) {
        (Place::Operand(_), Some(w)) => Slot { words: words(w.meta.dtype), access: Access::Read },
        (Place::Result(_), Some(w)) if packing(w.meta.dtype) == 0 => {
            Slot { words: words(w.meta.dtype), access: Access::Write }
        }
        _ => Slot { words: Words::W32, access: Access::Atomic },
    };
    places(pass).map(|place| (place, slot(place))).collect()
}

/// The words of the parameters: room for the header, the first item, the call's parameters, and where element 0 of each
/// operand and result lies in its binding.
pub(crate) fn params(call: &RoutineCall, first_item: usize, offsets: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut words = vec![0; HEADER];
    words.push(first_item as u32);
    words.extend(call.params.iter().flat_map(|p| [*p as u32, (*p >> 32) as u32]));
    words.extend(offsets);
    words.resize(words.len().next_multiple_of(4), 0);
    words
}

/// The length of the parameters in vectors: the shortest class, because a routine has few parameters.
pub(crate) const PARAMS: u32 = PARAMS_CLASSES[0];

/// Everything that the text depends on, as words. No kernel's key begins with this first word: theirs is a workgroup's size.
pub(crate) fn key(call: &RoutineCall, &RoutinePass { ref pass, group, .. }: &RoutinePass) -> Key {
    let mut key = Key::from_slice(&[u64::MAX, group as u64]);
    for text in [call.row.name, pass.name] {
        key.push(text.len() as u64);
        key.extend(text.bytes().map(u64::from));
    }
    key.push(call.params.len() as u64);
    key.extend(places(pass).map(|place| whole(call, place).map_or(u64::MAX, |w| w.meta.dtype as u64)));
    key
}

/// The text of a pass of the routine whose file is `shader`.
pub(crate) fn generate(call: &RoutineCall, scheduled: &RoutinePass, shader: &'static str) -> String {
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
        let buffer = if whole(call, *place).is_some() { format!("buffer{i}") } else { name(*place) };
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
    line!(out, "\nstruct Parameters {{\n@size({}) header: Header,\nfirst_item: u32,", 4 * HEADER);
    for n in 0..call.params.len() {
        line!(out, "param{n}: u32,\nparam{n}_high: u32,");
    }
    for (place, _) in &slots {
        if whole(call, *place).is_some() {
            line!(out, "offset_{}: u32,", name(*place));
        }
    }
    line!(out, "}}\n\n@group(1) @binding(0) var<uniform> params: Parameters;\n");
    for (i, (place, slot)) in slots.iter().enumerate() {
        operand(&mut out, call, (*place, i), *slot);
    }
    let declared = out.finish();
    let (head, rest) = library::split_head(shader);
    let block = library::block(rest, pass.name).replace(&format!("fn {}(", pass.name), "fn main(");
    let needed = library::needed(&format!("{declared}{block}"));
    let frame = frame(scheduled.group);
    let parts = [head, &*frame, &declared, &needed, &block];
    let text: Vec<&str> = parts.iter().map(|p| p.trim()).filter(|p| !p.is_empty()).collect();
    text.join("\n\n") + "\n"
}

/// Writes the functions that find, load and store one element of an operand or a result.
fn operand(out: &mut Text, call: &RoutineCall, (place, slot): (Place, usize), kind: Slot) {
    let Some(dtype) = whole(call, place).map(|w| w.meta.dtype) else { return };
    let (name, compute) = (name(place), dtype.compute().name());
    line!(out, "// {name}, {dtype} in memory: where element `index` of it lies");
    line!(out, "fn at_{name}(index: u32) -> u32 {{\nreturn params.offset_{name} + index;\n}}\n");
    match place {
        Place::Operand(_) => {
            let text = access::load(slot, kind, dtype, "at");
            line!(out, "fn load_{name}(at: u32) -> {compute} {{\nreturn {text};\n}}\n");
            if dtype.is_integer() {
                let text = access::words_of(dtype, "x");
                line!(out, "// The two words of an element as an integer of 64 bits.");
                line!(out, "fn words_of_{name}(x: {compute}) -> vec2<u32> {{\nreturn {text};\n}}\n");
            }
        }
        Place::Result(n) => {
            let mode = if kind.access == Access::Atomic { StoreMode::Atomic } else { StoreMode::Direct };
            access::store(out, n, slot, kind, mode, dtype);
        }
        Place::Scratch(_) => {}
    }
}
