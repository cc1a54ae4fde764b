//! Generates the WGSL source of a kernel, by a pure function that tests can call without a device. Extents, strides,
//! offsets and scalars are not in the source but in the parameters ([`ParamPositions`] defines where), so one source
//! serves many layouts of an operation.
//!
//! Terms: the *outer* axes of a kernel are the axes of its result, and the *inner* axes are those along which a row
//! kernel or a reduction loops. A *row* is everything that belongs to one outer index. The *lanes* of a row are the
//! invocations that share it (an invocation may stand for four lanes). The *place* of an element is its position in an
//! operand's buffer, in elements. A *slot* is a binding of a buffer. A *quick* function is a function without the
//! branches for rare arguments (`rare.rs`).

mod access;
mod body;
mod combine;
mod cooperative;
mod declare;
mod elementwise;
mod fold;
mod four_elements;
mod header;
mod key;
mod library;
mod matmul;
mod place;
mod rare;
mod reduce;
mod routine;
mod row;
mod scan;
mod text;
mod together;

pub(crate) use access::{packing, stored_words, words};
pub(crate) use four_elements::words_of_four;
pub(crate) use header::{HEADER, ParamHeader};
pub(crate) use key::{ShaderKey, key};
pub(crate) use library::Dialect;
pub(crate) use routine::{
    PARAMS as ROUTINE_PARAMS, generate as generate_routine, key as routine_key, params as routine_params,
    slots as routine_slots,
};
pub(crate) use together::{first_of_together, generate_together};

use super::shader_file::{native_shader_file, shader_file};
use crate::base::error::Fault;
use crate::plan::kernel::{Groups, Kernel, KernelKind, Op, Value};
use body::Body;
use smallvec::SmallVec;
use std::borrow::Cow;

/// The element type of the WGSL array that a binding is declared as. A 32-bit word is a u32, whatever dtype it holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Words {
    W32,
    U64,
    F64,
}

/// How a shader accesses a binding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Access {
    Read,
    Write,
    /// Several invocations may write one word, so the shader accesses the binding by atomic operations only.
    Atomic,
}

/// How a shader declares a binding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Slot {
    pub words: Words,
    pub access: Access,
    /// The number of words in an element of the declared array. It is 2 or 4 if all operands of the binding are
    /// accessed as vectors of this length, otherwise 1.
    pub width: u8,
}

/// How an invocation that processes four neighbours along the last axis fetches the four elements of a load.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Fetch {
    /// The four elements are fetched one after another.
    Each,
    /// All four elements are the same element, because the stride is 0.
    Same,
    /// The four elements are contiguous and begin at a multiple of four elements, so they are fetched as one or several
    /// whole words, or as one vector of words.
    Whole,
    /// The four elements are apart in memory, but elements that are neighbours along another axis are contiguous. The
    /// workgroup fetches a square of elements along that axis into workgroup memory.
    Across,
    /// The four elements are fetched as by `Across`. In addition, every four neighbours along the axis on which the
    /// elements are contiguous begin at a multiple of four elements.
    WholeAcross,
    /// The operand is a factor of a product, and four neighbours along k are contiguous and begin at a multiple of four
    /// elements. A factor is fetched `Whole` if this holds for its other axis instead.
    AlongK,
}

impl Fetch {
    pub fn is_across(self) -> bool {
        matches!(self, Fetch::Across | Fetch::WholeAcross)
    }
}

/// How a store writes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum StoreMode {
    /// An element fills one or several words, and is written directly.
    Direct,
    /// One invocation writes all elements of a packed word: it collects them, then writes the word once.
    Owned,
    /// Several invocations may write into one packed word, or combine their values in one element, so each write is
    /// atomic.
    Atomic,
}

/// The properties that are compiled into a kernel's shader instead of passed as parameters: the workgroups and lanes of
/// its schedule, and a few facts of a run, such as which operands begin at a multiple of four elements.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Variant {
    pub slots: SmallVec<[Slot; 8]>,
    /// The slot (the number of the binding) of each load.
    pub loads: SmallVec<[u8; 8]>,
    /// The slot (the number of the binding) of each store, and how the store writes.
    pub stores: SmallVec<[(u8, StoreMode); 2]>,
    pub groups: Groups,
    /// The number of consecutive elements that one invocation of an elementwise kernel processes: the number in the
    /// schedule, or 1 if no store is [`StoreMode::Owned`] in this run.
    pub run: u32,
    /// Length of the parameters in vectors of four words.
    pub params: u32,
    /// How an invocation fetches the four elements of each load. The list is empty if invocations fetch single
    /// elements.
    pub fetches: SmallVec<[Fetch; 8]>,
    /// For a kernel whose workgroups compute squares of 32 × 32 elements, the outer axis along which the lines of a
    /// square are counted; its columns are counted along the last axis. The source does not depend on this number.
    pub lines: Option<usize>,
    /// Whether the length of a row kernel's rows is a multiple of four. Then a run of four elements lies either
    /// completely inside its row or completely past its end.
    pub has_whole_runs: bool,
    /// Whether an invocation of a product stores four neighbours in a row of the result as whole words or vectors.
    pub stores_whole: bool,
    /// How many stores, whose elements lie side by side in memory, an invocation writes as one word or vector
    /// ([`Kernel::woven`]); 1 if each store is written alone.
    pub woven: u8,
    /// Whether an invocation of an elementwise kernel computes one Philox block (four random words) for its four
    /// elements.
    pub draws_blocks: bool,
    /// The extents that the source of a product contains as constants, because compilers turn a division by a constant
    /// into a multiplication. It is `None` unless k has several axes. The three lists are for the axes of the rows, of
    /// the columns and of k, from the fastest axis on. The slowest axis is left out, because no index is divided by its
    /// extent.
    pub nested: Option<[SmallVec<[u32; 4]>; 3]>,
}

impl Variant {
    /// Returns whether an invocation of an elementwise kernel processes four neighbours.
    pub fn has_fours(&self) -> bool {
        self.draws_blocks || !self.fetches.is_empty()
    }

    /// Returns whether a workgroup computes a square of 32 × 32 elements.
    pub fn has_squares(&self) -> bool {
        self.fetches.iter().any(|f| f.is_across())
    }

    /// Returns whether an invocation of a reduction processes the elements of four neighbouring lanes.
    pub fn has_lanes_by_fours(&self) -> bool {
        self.groups.lanes > 1 && self.groups.in_flight == 4 && !self.fetches.is_empty()
    }

    /// Returns the number of invocations that share a row of a reduction or a row kernel.
    pub fn places(&self) -> u16 {
        self.groups.lanes / if self.has_lanes_by_fours() { 4 } else { 1 }
    }

    /// Returns the number of neighbouring invocations of a row that pass each other partial results within a subgroup.
    pub fn shuffled(&self) -> u16 {
        self.places().min(self.groups.shuffled.into())
    }

    /// Returns the number of rows that a workgroup of a reduction or a row kernel processes.
    pub fn rows_per_workgroup(&self) -> u16 {
        self.groups.size / self.places()
    }

    /// Returns the number of elements that one invocation of an elementwise kernel processes.
    pub fn elements_per_invocation(&self) -> u32 {
        self.run.max(self.groups.in_flight.into())
    }
}

/// The lengths that parameters can have, in vectors of four words. There are only four lengths, so that kernels share
/// shaders. The longest fills the 64 KiB that WebGPU guarantees for a uniform binding.
pub(crate) const PARAMS_CLASSES: [u32; 4] = [64, 256, 1024, 4096];
/// The binding of the error notes, in the group of the buffers. It is above the bindings of the buffers, of which there
/// are at most 15.
pub(crate) const ERROR_BINDING: u32 = 31;
/// The number of error notes, of four words each: an id, an index in two words, and an unused word. Each gather (access
/// at a checked index) of a kernel has its own note, so that two gathers do not mix their words; gathers from the 128th
/// on share the last note. Chosen by hand: hardly any kernel has that many gathers.
pub(crate) const ERROR_SLOTS: usize = 128;
/// The function that notes an index out of range. Dispatches run one after another, and each gather has a lower id than
/// the gathers before it. So `atomicMax` keeps the note of the earliest gather, and only the first invocation that
/// calls this function for that gather writes the index.
const NOTE: &str = "
// Notes the first index out of range: the id of its gather, then the index in two words. Later gathers have lower ids.
fn note(id: u32, slot: u32, low: u32, high: u32) {
    if atomicMax(&errors[slot], id) < id {
        atomicStore(&errors[slot + 1u], low);
        atomicStore(&errors[slot + 2u], high);
    }
}
";

/// The positions of a kernel's data in the parameters. The parameters have, in this order: the header, the scalars, the
/// gathers, the scattered stores, the offset of each column, and the table of axes. A *column* of that table belongs to
/// a load, to a store, or to a value that is affine in the index (`Op::Index`).
#[derive(Clone, Debug)]
pub(crate) struct ParamPositions {
    /// The numbers (in the plan) of the run-time scalars that the kernel uses. The parameters hold two words for each,
    /// from word [`HEADER`] on.
    pub scalars: Vec<usize>,
    /// The values that are gathers or positions (indices along an axis). In the parameters, two words for each of them
    /// follow the scalars: the stride and the extent of the indexed axis.
    pub gathers: Vec<usize>,
    /// The scattered stores. In the parameters, two words for each of them follow the gathers and positions: the stride
    /// and the extent of the indexed axis.
    pub scattered: Vec<usize>,
    /// The values that are affine in the index (`Op::Index`), each with the number of its column in the table of axes.
    /// A 64-bit value has the next column too.
    pub indices: Vec<(usize, usize)>,
    /// The number of columns in the table of axes: the columns of the loads, then of the stores, then of `indices`.
    pub columns: usize,
    /// The position, in the parameters, of the word that holds the first column's offset. The offsets of the other
    /// columns follow.
    pub offsets: usize,
    /// The number of the vector of four words at which the table of axes starts. The table has a row for each axis: the
    /// axes of `outer` from last to first, then the axes of `inner` from last to first. If the kernel computes squares,
    /// the axis [`Variant::lines`] has the second row.
    pub table: usize,
    /// The number of vectors of four words in a row of the table of axes. A row has a word for the axis's extent, then
    /// one for each column's stride.
    pub row: usize,
    /// Whether the kernel computes indices (by a gather or a position) for which an index out of range is an error.
    pub checks: bool,
}

impl ParamPositions {
    pub fn of(kernel: &Kernel) -> ParamPositions {
        let (mut scalars, mut gathers, mut indices) = (Vec::new(), Vec::new(), Vec::new());
        let mut columns = kernel.loads.len() + kernel.stores.len();
        let mut checks = false;
        let mut use_scalar = |n: usize| {
            if !scalars.contains(&n) {
                scalars.push(n);
            }
        };
        for (i, v) in kernel.values.iter().enumerate() {
            match &v.op {
                Op::Scalar(n) => use_scalar(*n),
                Op::Philox { slots, .. } => slots.iter().for_each(|n| use_scalar(*n)),
                Op::Gather { position, .. } | Op::Position(position) => {
                    gathers.push(i);
                    checks |= position.mode.checks();
                }
                Op::Index { .. } => {
                    indices.push((i, columns));
                    columns += if v.dtype.size() == 8 { 2 } else { 1 };
                }
                Op::Load(_)
                | Op::Constant(_)
                | Op::Ufunc(..)
                | Op::Cast(_)
                | Op::Round(_)
                | Op::Reduce(_)
                | Op::Scan(_)
                | Op::Dot { .. } => {}
            }
        }
        let is_scattered = |n: &usize| kernel.stores[*n].scattered().is_some();
        let scattered: Vec<usize> = (0..kernel.stores.len()).filter(is_scattered).collect();
        let offsets = HEADER + 2 * (scalars.len() + gathers.len() + scattered.len());
        let table = (offsets + columns).div_ceil(4);
        ParamPositions {
            scalars,
            gathers,
            scattered,
            indices,
            columns,
            offsets,
            table,
            row: (1 + columns).div_ceil(4),
            checks,
        }
    }

    /// Returns how many vectors of four words the parameters need for `rank` axes, rounded up to one of
    /// [`PARAMS_CLASSES`], so that kernels of different ranks share a pipeline. There is room for at least eight axes.
    /// Returns `None` if no class has room.
    pub fn params(&self, rank: usize) -> Option<u32> {
        let need = self.table + rank.max(8) * self.row;
        PARAMS_CLASSES.into_iter().find(|c| *c as usize >= need)
    }
}

const FRAME: &str = shader_file!("lib/frame.wgsl");
/// The line of the frame (`frame.wgsl`, the part that all shaders share) that defines the number of invocations in a
/// workgroup.
const WORKGROUP: &str = "const WORKGROUP = 256u;";
const FOLD: &str = shader_file!("lib/fold.wgsl");
const SCAN: &str = shader_file!("lib/scan.wgsl");
const ELEMENTWISE: &str = shader_file!("elementwise.wgsl");
const REDUCE: &str = shader_file!("reduce.wgsl");
const ROW: &str = shader_file!("row.wgsl");
const MATMUL: &str = shader_file!("matmul.wgsl");
const FACTOR: &str = shader_file!("lib/factor.wgsl");
const COOPERATIVE: &str = native_shader_file!("matmul_cooperative.wgsl");

/// The declaration of an invocation's number in its workgroup, and the declaration that replaces it if invocations pass
/// each other values within subgroups. WGSL does not define which invocations form a subgroup, so invocations that do
/// this are numbered by their subgroups.
const LANE: &str = "@builtin(local_invocation_index) lane: u32";
const LANE_OF_SUBGROUP: &str = "@builtin(subgroup_id) subgroup: u32, @builtin(subgroup_size) subgroup_size: u32, \
                                @builtin(subgroup_invocation_id) place_in_subgroup: u32";
const PLACE_OF_SUBGROUP: &str = "    let lane = subgroup * subgroup_size + place_in_subgroup;
    first_in_subgroup = place_in_subgroup - place_in_subgroup % SHUFFLED;
    let place = ";

/// Returns the frame (`frame.wgsl`, the part that all shaders share) for workgroups of `size` invocations.
fn frame(size: u32) -> Cow<'static, str> {
    match size {
        256 => Cow::Borrowed(FRAME),
        _ => Cow::Owned(FRAME.replace(WORKGROUP, &format!("const WORKGROUP = {size}u;"))),
    }
}

/// Returns the source of a kernel: the frame, the declarations and functions that are written for this kernel, the
/// functions of `shaders/lib` that it calls, and the parts of the shader file for this kind of kernel that it uses.
/// Only the functions of the library depend on the dialect.
pub(crate) fn generate(
    kernel: &Kernel,
    form: &ParamPositions,
    variant: &Variant,
    dialect: Dialect,
) -> Result<String, Fault> {
    let Parts { head, declarations, written, rest } = parts(kernel, form, variant)?;
    let [quick, general] = library::quick_and_general(dialect);
    let written = rare::with_quick_paths(&written, quick, general);
    let library = library::needed(&format!("{declarations}{written}"), dialect);
    let frame = frame(variant.groups.size.into());
    let enables = if variant.groups.blocks.is_some() { cooperative::ENABLES } else { dialect.enables(&library) };
    Ok(assembled(&[head, enables, &frame, &declarations, &library, &written, &rest]))
}

/// The parts of a kernel's source that depend on the kernel: the comment at the head of its shader file (`head`), the
/// declarations, the functions that the file calls (`written`), and the part of the file that is kept, with its entry
/// point (`rest`).
struct Parts {
    head: &'static str,
    declarations: String,
    written: String,
    rest: String,
}

/// Returns the parts one after another, separated by empty lines.
fn assembled(parts: &[&str]) -> String {
    let mut text = String::with_capacity(parts.iter().map(|p| p.len() + 1).sum());
    for part in parts.iter().map(|p| p.trim()).filter(|p| !p.is_empty()) {
        text.push_str(part);
        text.push_str("\n\n");
    }
    text.truncate(text.trim_end().len() + 1);
    text
}

fn parts(kernel: &Kernel, form: &ParamPositions, variant: &Variant) -> Result<Parts, Fault> {
    let mut body = Body::new(kernel, form, variant);
    let blocks = variant.groups.blocks;
    let written = match kernel.kind {
        KernelKind::Elementwise if variant.has_fours() => body.fours()?,
        KernelKind::Elementwise => body.elementwise()?,
        KernelKind::Reduce(_) => body.reduce()?,
        KernelKind::Row => body.row()?,
        KernelKind::Matmul if blocks.is_some() => body.cooperative()?,
        KernelKind::Matmul => body.matmul()?,
    };
    let (head, rest) = library::split_head(match kernel.kind {
        KernelKind::Elementwise => ELEMENTWISE,
        KernelKind::Reduce(_) => REDUCE,
        KernelKind::Row => ROW,
        KernelKind::Matmul if blocks.is_some() => COOPERATIVE,
        KernelKind::Matmul => MATMUL,
    });
    let is_narrow = variant.groups.tile.is_some_and(|tile| tile.each == [1, 1]);
    let entry = match (kernel.kind, variant.groups.in_flight) {
        (KernelKind::Matmul, _) if is_narrow => "main_narrow",
        (KernelKind::Matmul, _) => "main",
        _ if variant.has_squares() => "main_of_squares",
        _ if variant.has_fours() && kernel.kind != KernelKind::Row => "main_of_fours",
        (KernelKind::Elementwise | KernelKind::Reduce(_), 4) => "main_four_in_flight",
        (KernelKind::Reduce(_), ..) if variant.groups.lanes > 1 && kernel.combines_in_sequence() => "main_in_sequence",
        _ => "main",
    };
    let goes_on = matches!(kernel.values.first(), Some(Value { op: Op::Dot { from: Some(_), .. }, .. }));
    let keep = match (entry, goes_on) {
        ("main_narrow", false) => [entry, "narrow_from_zero", ""],
        ("main_narrow", true) => [entry, "narrow_from_a_sum", ""],
        (_, false) => [entry, "tiles", "from_zero"],
        (_, true) => [entry, "tiles", "from_a_sum"],
    };
    let mut rest = library::with_blocks(rest, &keep);
    if entry != "main" {
        rest = rest.replace(&format!("fn {entry}("), "fn main(");
    }
    if goes_on {
        rest = rest.replace("_from_a_sum(", "(");
    }
    if matches!(kernel.kind, KernelKind::Reduce(_) | KernelKind::Row) && variant.shuffled() > 1 {
        rest = rest.replace(LANE, LANE_OF_SUBGROUP).replacen("    let place = ", PLACE_OF_SUBGROUP, 1);
    }
    if let Some(tile) = variant.groups.tile {
        rest = library::unrolled(&rest, &matmul::counts(tile));
    }
    if let Some(blocks) = blocks {
        rest = library::unrolled(&body.loads_of_matrices(&rest), &cooperative::counts(blocks));
    }
    let rest = mutant!(
        last_element_twice,
        rest.replace("LANES < inner {", "LANES <= inner {"),
        mutant!(four_past_a_row, rest.replace("if left > 3u {", "if left > 2u {"), rest)
    );
    Ok(Parts { head, declarations: body.declarations(), written, rest })
}

#[cfg(feature = "testing")]
mod tests;
