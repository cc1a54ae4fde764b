//! From a kernel to WGSL text: a pure function, testable without a device. Extents, strides, offsets and scalars are
//! data ([`Form`] says where they lie in the parameters), so that all layouts of one operation share one text.

mod access;
mod body;
mod key;
mod library;
mod matmul;
mod reduce;

pub(crate) use access::{packing, words};
pub(crate) use key::{Key, key};

use crate::dtype::{Compute, DType};
use crate::error::{ErrorKind, Fault};
use crate::kernel::{Kernel, KernelKind, Op};
use body::Body;
use smallvec::SmallVec;

/// What the words of a bound buffer are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Words {
    W32,
    U64,
    F64,
}

/// How a binding is used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Access {
    Read,
    Write,
    /// Written by words that invocations share: everything that touches it is atomic.
    Atomic,
}

/// A binding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Slot {
    pub words: Words,
    pub access: Access,
}

/// How a store writes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum How {
    /// An element is a word.
    Direct,
    /// An invocation owns all elements of a packed word.
    Owned,
    /// A packed word is shared: merged atomically.
    Atomic,
}

/// What of a kernel's run-time facts is text after all: a few classes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Variant {
    pub slots: SmallVec<[Slot; 8]>,
    /// The slot of each load.
    pub loads: SmallVec<[u8; 8]>,
    /// The slot of each store.
    pub stores: SmallVec<[(u8, How); 2]>,
    /// Invocations that share an outer index (reduce, row).
    pub lanes: u32,
    /// Elements of a row that a lane holds.
    pub held: u32,
    /// Consecutive elements that one invocation takes.
    pub units: u32,
    /// Elements whose loads one invocation has under way at once (elementwise, reduce); tiles along a side (matmul).
    pub spread: u32,
    /// Length of the parameters in vectors of four words.
    pub params: u32,
}

impl Variant {
    /// How many elements a workgroup's width apart an elementwise invocation takes.
    pub fn apart(&self) -> u32 {
        if self.units > 1 { 1 } else { self.spread }
    }
}

/// Words before the data of a kernel's own: one that no shader reads, count, ranks of outer and inner; inner size, grid
/// x, grid y, first group; error id, m, n, flags; the zero of `cp_zero`.
///
/// Mesa makes constants of uniforms that decide a branch or the end of a loop, and compiles a shader anew for each of
/// their values. By a fault of version 22.3 it always takes the first word: a zero there would be known to the
/// compiler, and every guard that is built on it would be lost.
pub(crate) const HEADER: usize = 13;
/// Lengths of the parameters, in vectors, that texts are made for.
pub(crate) const PARAMS_CLASSES: [u32; 4] = [64, 256, 1024, 4096];
/// Binding of the notes about indices out of range, in the group of the buffers.
pub(crate) const ERROR_BINDING: u32 = 31;
/// Notes, of four words each: an id, and the index in two words. Each gather of a kernel has a note of its own, so that
/// only one invocation ever writes an index beside its id.
pub(crate) const ERROR_SLOTS: usize = 128;
/// Dispatches run one after another, and ids fall: a note that is there is of an earlier dispatch, or of this one.
const NOTE: &str = "fn note(id: u32, slot: u32, low: u32, high: u32) {
    if atomicMax(&errors[slot], id) < id {
        atomicStore(&errors[slot + 1u], low);
        atomicStore(&errors[slot + 2u], high);
    }
}
";

/// Where a kernel's data lies in the parameters.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// Run-time scalars in use: two words each, from [`HEADER`].
    pub scalars: Vec<usize>,
    /// Values that gather: stride and extent, two words each.
    pub gathers: Vec<usize>,
    /// Values that are affine in the index, with their column (and the next one if 64 bits wide).
    pub indices: Vec<(usize, usize)>,
    /// Columns of the table of strides: loads, stores, indices.
    pub columns: usize,
    /// The word of the first column's offset.
    pub offsets: usize,
    /// The vector at which the table starts: a row an axis, of outer from the last to the first, then of inner.
    pub table: usize,
    /// Vectors of a row: the extent, then a stride a column.
    pub row: usize,
    /// Whether an index out of range is an error.
    pub checks: bool,
}

impl Form {
    pub fn of(kernel: &Kernel) -> Form {
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
                Op::Gather { mode, .. } => {
                    gathers.push(i);
                    checks |= *mode == crate::kernel::IndexMode::Check;
                }
                Op::Index { .. } => {
                    indices.push((i, columns));
                    columns += if v.dtype.size() == 8 { 2 } else { 1 };
                }
                _ => {}
            }
        }
        let offsets = HEADER + 2 * (scalars.len() + gathers.len());
        let table = (offsets + columns).div_ceil(4);
        Form { scalars, gathers, indices, columns, offsets, table, row: (1 + columns).div_ceil(4), checks }
    }

    /// Vectors of the parameters for `rank` axes: one of a few classes, sized for eight axes at least. `None` if that
    /// is more than any class.
    pub fn params(&self, rank: usize) -> Option<u32> {
        let need = self.table + rank.max(8) * self.row;
        PARAMS_CLASSES.into_iter().find(|c| *c as usize >= need)
    }
}

/// The word of the parameters with index `n`, as an expression.
fn word(n: usize) -> String {
    format!("params[{}].{}", n / 4, ["x", "y", "z", "w"][n % 4])
}

const ELEMENTWISE: &str = include_str!("../../shaders/elementwise.wgsl");
const REDUCE: &str = include_str!("../../shaders/reduce.wgsl");
const ROW: &str = include_str!("../../shaders/row.wgsl");
const MATMUL: &str = include_str!("../../shaders/matmul.wgsl");

/// The text of a kernel.
pub(crate) fn generate(kernel: &Kernel, form: &Form, variant: &Variant) -> Result<String, Fault> {
    let mut bindings = bindings(form, variant);
    let mut body = Body::new(kernel, form, variant);
    let (file, slots): (&str, Vec<(&str, String)>) = match kernel.kind {
        KernelKind::Elementwise => {
            bindings.push_str(&format!("const UNITS = {}u;\nconst SPREAD = {}u;\n", variant.units, variant.apart()));
            (ELEMENTWISE, vec![("elements", body.elements()?)])
        }
        KernelKind::Reduce(_) => {
            bindings.push_str(&format!("const LANES = {}u;\nconst SPREAD = {}u;\n", variant.lanes, variant.spread));
            let [before, element, combine, after] = body.reduce()?;
            (REDUCE, vec![("before", before), ("element", element), ("combine", combine), ("after", after)])
        }
        KernelKind::Row => {
            let Variant { lanes, held, units, .. } = variant;
            bindings.push_str(&format!("const LANES = {lanes}u;\nconst HELD = {held}u;\nconst UNITS = {units}u;\n"));
            (ROW, vec![("passes", body.row()?)])
        }
        KernelKind::Matmul => {
            let compute = kernel.values[0].compute();
            if compute == Compute::Bool {
                return Err(Fault::new(ErrorKind::Unsupported, "a product of bool matrices on a GPU"));
            }
            bindings.push_str(&format!("alias T = {};\nconst PARTS = {}u;\n", compute.name(), variant.spread));
            (MATMUL, body.matmul()?)
        }
    };
    bindings.push_str(&shared(kernel, form, variant));
    let all: String = slots.iter().map(|s| s.1.as_str()).collect::<Vec<_>>().join("\n");
    let library = library::needed(&all);
    let mut slots: Vec<(&str, &str)> = slots.iter().map(|(n, t)| (*n, t.as_str())).collect();
    slots.push(("bindings", &bindings));
    slots.push(("library", &library));
    Ok(library::fill(file, &slots))
}

fn bindings(form: &Form, variant: &Variant) -> String {
    let mut out = String::new();
    for (i, slot) in variant.slots.iter().enumerate() {
        let access = if slot.access == Access::Read { "read" } else { "read_write" };
        let element = match (slot.words, slot.access) {
            (_, Access::Atomic) => "atomic<u32>",
            (Words::W32, _) => "u32",
            (Words::U64, _) => "u64",
            (Words::F64, _) => "f64",
        };
        out.push_str(&format!("@group(0) @binding({i}) var<storage, {access}> b{i}: array<{element}>;\n"));
    }
    if form.checks {
        out.push_str(&format!(
            "@group(0) @binding({ERROR_BINDING}) var<storage, read_write> errors: array<atomic<u32>, {}>;\n{NOTE}",
            4 * ERROR_SLOTS
        ));
    }
    out.push_str(&format!("@group(1) @binding(0) var<uniform> params: array<vec4<u32>, {}>;\n", variant.params));
    out
}

/// The type in which a value is exchanged between lanes.
fn shared_type(compute: Compute) -> &'static str {
    match compute {
        Compute::Bool => "u32",
        c => c.name(),
    }
}

/// The type of the sort key by which argmin and argmax compare.
fn key_type(dtype: DType) -> &'static str {
    if dtype.size() == 8 { "u64" } else { "u32" }
}

/// Workgroup arrays: one for each type that a reduction exchanges.
fn shared(kernel: &Kernel, form: &Form, variant: &Variant) -> String {
    let reduces = matches!(kernel.kind, KernelKind::Reduce(_) | KernelKind::Row);
    if !reduces || variant.lanes == 1 {
        return String::new();
    }
    let mut types: Vec<&str> = Vec::new();
    let mut add = |t| {
        if !types.contains(&t) {
            types.push(t);
        }
    };
    for v in &kernel.values {
        match v.op {
            Op::Reduce(fold, a) if !fold.gives_position() => add(shared_type(kernel.values[a].compute())),
            Op::Reduce(_, a) => {
                add(key_type(kernel.values[a].dtype));
                add("u32");
            }
            _ => {}
        }
    }
    if form.checks {
        add("u32");
    }
    // two of u32 and u64: argmin exchanges a key and a position
    types
        .iter()
        .map(|t| format!("var<workgroup> s_{t}: array<{t}, 256>;\nvar<workgroup> p_{t}: array<{t}, 256>;\n"))
        .collect()
}

#[cfg(test)]
mod tests;
