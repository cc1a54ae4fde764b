//! Extracts parts of the shader files. The functions of `shaders/lib` (the library) are separate items, so that a
//! shader contains only the functions that it calls. A block is the part of a file between `// block: NAME` and `//
//! end`.

use super::super::shader_file::{native_shader_file, shader_file};
use super::rare::{general_form, has_branch, has_general_branch, quick_form};
use super::text::identifiers;
use crate::base::caps::{Caps, Half, MultiplyAdd, NarrowHalf, WidenHalf};
use crate::math::double::POLYNOMIALS;
use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

const FILES: [&str; 29] = [
    shader_file!("lib/half.wgsl"),
    shader_file!("lib/pack.wgsl"),
    shader_file!("lib/integer.wgsl"),
    shader_file!("lib/bits.wgsl"),
    shader_file!("lib/quotient.wgsl"),
    shader_file!("lib/long.wgsl"),
    native_shader_file!("lib/f64.wgsl"),
    shader_file!("lib/exp.wgsl"),
    shader_file!("lib/pow.wgsl"),
    shader_file!("lib/trig.wgsl"),
    shader_file!("lib/special.wgsl"),
    shader_file!("lib/activation.wgsl"),
    shader_file!("lib/normal.wgsl"),
    shader_file!("lib/bessel.wgsl"),
    shader_file!("lib/gamma.wgsl"),
    shader_file!("lib/zeta.wgsl"),
    shader_file!("lib/incomplete.wgsl"),
    shader_file!("lib/beta.wgsl"),
    native_shader_file!("lib/double/pair.wgsl"),
    native_shader_file!("lib/double/exp.wgsl"),
    native_shader_file!("lib/double/log.wgsl"),
    native_shader_file!("lib/double/pow.wgsl"),
    native_shader_file!("lib/double/trig.wgsl"),
    native_shader_file!("lib/double/special.wgsl"),
    native_shader_file!("lib/double/activation.wgsl"),
    native_shader_file!("lib/double/normal.wgsl"),
    native_shader_file!("lib/double/gamma.wgsl"),
    native_shader_file!("lib/double/bessel.wgsl"),
    native_shader_file!("lib/double/integrals.wgsl"),
];

/// The operations on 64-bit integers, for devices with 64-bit integers. `PAIR64` has the same operations for other
/// devices.
const INT64: &str = shader_file!("lib/int64.wgsl");
const PAIR64: &str = shader_file!("lib/pair64.wgsl");

/// WGSL functions that convert f16 by the device's own instructions. Each replaces the function of the same name in
/// `half.wgsl`, which uses integers.
const HALF_UNPACK: &str = shader_file!("lib/half_unpack.wgsl");
const HALF_UNPACK_SIGNED: &str = shader_file!("lib/half_unpack_signed.wgsl");
const HALF_PACK: &str = shader_file!("lib/half_pack.wgsl");
const HALF_NATIVE: &str = shader_file!("lib/half_native.wgsl");

/// Division and square root that use `fma`. These functions replace the functions with the same names in
/// `quotient.wgsl`.
const FUSED: &str = shader_file!("lib/fused.wgsl");

/// A replacement for `fma` that computes in f64, for tests. The product is exact, and the sum is rounded to odd, so
/// that rounding it to f32 gives the correctly rounded result.
const FMA_IN_F64: &str = "
fn cp_opaque_f64(x: f64) -> f64 {
    return bitcast<f64>(bitcast<u64>(x) + u64(cp_zero()));
}

fn cp_fma_in_f64(a: f32, b: f32, c: f32) -> f32 {
    let p = cp_opaque_f64(f64(a) * f64(b));
    let s = cp_opaque_f64(p + f64(c));
    let t = cp_opaque_f64(s - p);
    let lost = (p - cp_opaque_f64(s - t)) + (f64(c) - t);
    var bits = bitcast<u64>(s);
    if lost != 0.0lf && (bits & u64(1)) == u64(0) {
        bits = select(bits - u64(1), bits + u64(1), (lost > 0.0lf) == (s > 0.0lf));
    }
    return f32(bitcast<f64>(bits));
}
";

/// The features of a device that decide which functions of the library its shaders call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Dialect {
    /// Whether the device has 64-bit integers.
    pub int64: bool,
    pub half: Half,
    pub fma: MultiplyAdd,
}

impl Dialect {
    /// The dialect of a device that has all features of a [`Dialect`].
    #[cfg(feature = "testing")]
    pub const FULL: Dialect = Dialect { int64: true, half: Half::HARDWARE, fma: MultiplyAdd::Fused };
    /// The dialect of a device that has no feature of a [`Dialect`].
    #[cfg(feature = "testing")]
    pub const LEAST: Dialect = Dialect { int64: false, half: Half::INTEGERS, fma: MultiplyAdd::Separate };

    pub fn of(caps: &Caps) -> Dialect {
        Dialect { int64: caps.int64, half: caps.half, fma: caps.fma }
    }

    /// Returns the files of the library that depend on the dialect. A function in a later file replaces the function of
    /// the same name in an earlier one.
    fn files(self) -> impl Iterator<Item = &'static str> {
        let integers = if self.int64 { INT64 } else { PAIR64 };
        let widen = match self.half.widens {
            WidenHalf::Integers => None,
            WidenHalf::Unpack => Some(HALF_UNPACK),
            WidenHalf::Signed => Some(HALF_UNPACK_SIGNED),
        };
        let narrow = match self.half.narrows {
            NarrowHalf::Integers => None,
            NarrowHalf::Pack => Some(HALF_PACK),
            NarrowHalf::Native => Some(HALF_NATIVE),
        };
        let fused = if self.is_fused() { Some(FUSED) } else { None };
        [Some(integers), widen, narrow, fused].into_iter().flatten()
    }

    fn is_fused(self) -> bool {
        self.fma != MultiplyAdd::Separate
    }

    /// Returns the `enable` directives at the beginning of a shader. `needed` is the source of the library functions
    /// that the shader contains.
    pub(super) fn enables(self, needed: &str) -> &'static str {
        if needed.contains("fn cp_nearest_f16(") { "enable f16;" } else { "" }
    }
}

struct Library {
    /// For each item of the library, in the files' order: its source, and the numbers of the items that the source
    /// names, even in a comment.
    items: Vec<(&'static str, Vec<usize>)>,
    names: HashMap<&'static str, usize>,
    /// The names of the functions that have a quick form (`rare.rs`): functions with a branch for rare arguments, and
    /// functions that call them.
    quick: BTreeSet<&'static str>,
    /// The names of the functions that have a general form (`rare.rs`).
    general: BTreeSet<&'static str>,
}

/// Cuts a file into its top-level items, each with the comment above it. A `fn` or `struct` ends at a `}` in the first
/// column, a `const` at a line that ends in `;`.
fn items(file: &'static str) -> Vec<(&'static str, &'static str)> {
    let mut out = Vec::new();
    let mut open: Option<(usize, &'static str, bool)> = None;
    let mut comment: Option<usize> = None;
    let mut at = 0;
    for line in file.split_inclusive('\n') {
        let end = at + line.len();
        if open.is_none() {
            let function = line.starts_with("fn ") || line.starts_with("struct ");
            if function || line.starts_with("const ") {
                let name = identifiers(line).nth(1).unwrap_or("");
                open = Some((comment.unwrap_or(at), name, function));
            }
            comment = if line.starts_with("//") { comment.or(Some(at)) } else { None };
        }
        if let Some((start, name, function)) = open {
            let text = line.trim_end();
            let done = if function {
                line.starts_with('}') || text.ends_with('}') && line.starts_with("fn ")
            } else {
                text.ends_with(';')
            };
            if done {
                out.push((name, &file[start..end]));
                open = None;
            }
        }
        at = end;
    }
    out
}

/// Returns the f64 function that computes a polynomial by Horner's rule. The coefficients, lowest first, come from the
/// CPU's function, so they are written down once.
fn polynomial(name: &str, coefficients: &[f64]) -> String {
    let mut text = format!("fn cd_poly_{name}(x: f64) -> f64 {{\n");
    let mut sum = String::new();
    // the rows of the table of coefficients are padded with zeros at their ends
    let last = coefficients.iter().rposition(|c| *c != 0.0).unwrap_or(0);
    let count = mutant!(polynomial_of_f64_cut_short, last, last + 1);
    for (i, c) in coefficients[..count].iter().enumerate().rev() {
        let value = match sum.is_empty() {
            true => format!("{c:?}lf"),
            false => format!("{sum} * x + {c:?}lf"),
        };
        sum = format!("r{i}");
        text.push_str(&format!("    let {sum} = {value};\n"));
    }
    text.push_str(&format!("    return {sum};\n}}\n"));
    text
}

/// Returns the library of WGSL functions for a dialect.
fn library(dialect: Dialect) -> &'static Library {
    static LIBRARIES: [OnceLock<Library>; 36] = [const { OnceLock::new() }; 36];
    let number = dialect.half.widens as usize * 3 + dialect.half.narrows as usize;
    let flags = [dialect.int64, dialect.is_fused()];
    let number = flags.iter().fold(number, |number, flag| 2 * number + usize::from(*flag));
    LIBRARIES[number].get_or_init(|| {
        let mut all: Vec<_> = FILES.into_iter().chain(dialect.files()).flat_map(items).collect();
        all.extend(POLYNOMIALS.iter().flat_map(|(name, c)| items(String::leak(polynomial(name, c)))));
        let quick = functions_with(has_branch, &all);
        let general = functions_with(has_general_branch, &all);
        let quick_forms = all.iter().filter(|(id, _)| quick.contains(id)).map(|(_, text)| quick_form(text, &quick));
        let general_forms =
            all.iter().filter(|(id, _)| general.contains(id)).map(|(_, text)| general_form(text, &general));
        let forms: Vec<_> = quick_forms.chain(general_forms).flat_map(|form| items(String::leak(form))).collect();
        all.extend(forms);
        let names: HashMap<_, _> = all.iter().enumerate().map(|(i, (name, _))| (*name, i)).collect();
        let needs = |i: usize, text: &'static str| -> Vec<usize> {
            let set: BTreeSet<usize> = identifiers(text).filter_map(|id| names.get(id).copied()).collect();
            set.into_iter().filter(|n| *n != i).collect()
        };
        let items = all.iter().enumerate().map(|(i, (_, text))| (*text, needs(i, text))).collect();
        Library { items, names, quick, general }
    })
}

/// Returns the names of the functions among `all` whose source `has` a branch, or that call such a function. If several
/// functions have the same name, only the last counts.
fn functions_with(has: fn(&str) -> bool, all: &[(&'static str, &'static str)]) -> BTreeSet<&'static str> {
    let last: HashMap<_, _> = all.iter().copied().collect();
    let mut found: BTreeSet<&str> = last.iter().filter(|(_, text)| has(text)).map(|(name, _)| *name).collect();
    loop {
        let calls = |text: &str| code(text).any(|id| found.contains(id));
        let more: Vec<&str> =
            last.iter().filter(|(id, text)| !found.contains(*id) && calls(text)).map(|(id, _)| *id).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// Returns the identifiers of WGSL source, except in comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(identifiers)
}

/// Returns the names of the library's functions that have a quick form, and of those that have a general form
/// (`rare.rs`).
pub(super) fn quick_and_general(dialect: Dialect) -> [&'static BTreeSet<&'static str>; 2] {
    let library = library(dialect);
    [&library.quick, &library.general]
}

/// Returns the source of the library items that `text` names, directly or through other items.
pub(super) fn needed(text: &str, dialect: Dialect) -> String {
    let library = library(dialect);
    let mut open: Vec<usize> = identifiers(text).filter_map(|id| library.names.get(id).copied()).collect();
    let mut found = BTreeSet::new();
    while let Some(i) = open.pop() {
        if found.insert(i) {
            open.extend(&library.items[i].1);
        }
    }
    let needed = found.iter().map(|i| library.items[*i].0).collect::<Vec<_>>().join("\n");
    let mut needed = mutant!(quotients_not_corrected, needed.replace("fma(fma(-q, b, a), y, q)", "q"), needed);
    if dialect.fma == MultiplyAdd::InF64 && needed.contains(" fma(") {
        needed = needed.replace("fma(", "cp_fma_in_f64(") + FMA_IN_F64;
    }
    mutant!(
        halves_truncated,
        needed.replace("(m + (1u << s) - 1u + ((m >> (s + 1u)) & 1u))", "m"),
        mutant!(carry_of_pairs_lost, needed.replace("select(0u, 1u, lo < a.lo)", "0u"), needed)
    )
}

/// Splits a shader file into the comment at its beginning and the rest.
pub(super) fn split_head(file: &'static str) -> (&'static str, &'static str) {
    file.split_at(file.find("\n\n").map_or(0, |at| at + 1))
}

/// Returns a shader file without its blocks, except for the blocks that `keep` names.
pub(super) fn with_blocks(file: &str, keep: &[&str]) -> String {
    let mut out = String::with_capacity(file.len());
    let mut skipping = false;
    for line in file.split_inclusive('\n') {
        let text = line.trim();
        if let Some(block) = text.strip_prefix("// block: ") {
            skipping = !keep.contains(&block);
        } else if text == "// end" {
            skipping = false;
        } else if !skipping {
            out.push_str(line);
        }
    }
    out
}

/// Returns one block of a shader file.
pub(super) fn block(file: &'static str, name: &str) -> &'static str {
    let start = file.split_once(&format!("// block: {name}\n")).map_or("", |(_, rest)| rest);
    start.split_once("// end\n").map_or(start, |(block, _)| block)
}

/// Returns a copy of a block for one use, such as one fold. `names` has words in capitals that occur in the block's
/// identifiers (`FOLD` in `start_FOLD`), each with its replacement.
pub(super) fn instance(block: &str, names: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(block.len() + block.len() / 4);
    for line in block.split_inclusive('\n') {
        // in a comment, such a word may be ordinary prose, so comments are copied unchanged
        if line.trim_start().starts_with("//") {
            out.push_str(line);
            continue;
        }
        for piece in line.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
            let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let new = names.iter().find(|(name, _)| *name == word).map_or(word, |(_, new)| *new);
            out.push_str(new);
            out.push_str(&piece[word.len()..]);
        }
    }
    out
}

/// A count of repetitions: the name after `for each`, the word in capitals that the number replaces, and how often
/// lines are repeated.
pub(super) type Count = (&'static str, &'static str, usize);

/// Repeats the lines between `// for each …` and `// end for`. The line `// for each …` lists one or two names, and
/// `counts` has the count for each name. With two names, the lines are repeated for each pair of numbers. Repeated
/// lines may contain further repetitions.
pub(super) fn unrolled(file: &str, counts: &[Count]) -> String {
    let mut out = String::with_capacity(2 * file.len());
    let mut rest = file.split_inclusive('\n');
    while let Some(line) = rest.next() {
        let Some(head) = line.trim().strip_prefix("// for each ") else {
            out.push_str(line);
            continue;
        };
        let mut open = 1;
        let within = rest.by_ref().take_while(|line| {
            let text = line.trim();
            open += text.starts_with("// for each ") as usize;
            open -= (text == "// end for") as usize;
            open > 0
        });
        let mut copies: Vec<String> = vec![within.collect()];
        for (_, word, count) in counts.iter().filter(|c| head.split(' ').any(|name| name == c.0)) {
            let numbered = |copy: String| (0..*count).map(move |n| instance(&copy, &[(*word, &n.to_string())]));
            copies = copies.into_iter().flat_map(numbered).collect();
        }
        copies.iter().for_each(|copy| out.push_str(&unrolled(copy, counts)));
    }
    out
}
