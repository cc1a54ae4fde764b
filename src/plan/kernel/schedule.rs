//! How a loop nest (kernel) uses the hardware: as tiles for CPU threads or workgroups of a GPU, with the access pattern
//! of each load, and the values kept between passes along the inner dimensions. The planner decides this
//! (`plan/schedule/mod.rs`) when the nest is final.
//!
//! Threads and tiles do not change the bits of a result. The lanes of a reduction (the invocations or virtual lanes
//! among which its elements are divided) decide in which order elements are combined. So the number of lanes does not
//! depend on strides or on the sizes of other axes.

use super::{Kernel, KernelKind, Lanes, Load, Matrices, Op, Product, Tile};
use crate::base::caps::product_tiles::CooperativeTile;
use crate::base::layout::Shape;
use std::fmt;

/// The planner's decisions for one loop nest (kernel). The struct is small, because a plan may have a million nests:
/// the fields that few nests need are boxed in `details`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Schedule {
    pub work: Work,
    pub details: Option<Box<Details>>,
}

/// The parts of a schedule that most elementwise kernels do not need.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Details {
    /// For each store of the kernel, how it writes. The list is empty if every store is [`WriteClass::Plain`].
    pub writes: Vec<WriteClass>,
    /// The passes: loops over the inner dimensions, one after another. `None` for a kernel without inner dimensions,
    /// and for a matrix product, whose loops follow from [`Product`] or [`Groups`].
    pub passes: Option<Passes>,
    /// How a CPU checks for out-of-bounds indices before it writes anything. It is `None` if no index is checked. It is
    /// also `None` on a GPU, because a GPU skips the stores of such an index and reports the index later.
    pub checks: Option<Checks>,
    /// The kernel that a CPU runs instead, with plain sums, if this kernel has folds with bounds (`Form::SumOf`). Blocks
    /// with a sum out of bounds are computed again by this kernel.
    pub ordinary: Option<Box<Kernel>>,
}

/// How the indices of a kernel are divided among threads or workgroups.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Work {
    /// Nothing is decided, because the kernel is not finished yet, or because it has no outer index, so that nothing
    /// runs.
    #[default]
    Undecided,
    /// CPU threads compute the kernel tile by tile.
    Tiles(TileSchedule),
    /// CPU threads share a matrix product.
    Product(Product),
    /// GPU workgroups share the kernel's work.
    Groups(Groups),
}

/// How a CPU divides a kernel into tiles, and how tiles form tasks for threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TileSchedule {
    pub tiling: Tiling,
    /// Whether one thread does all the work, because waking another would cost as much as the work.
    pub alone: bool,
    /// Whether several threads may share a block of rows that are reduced, each taking a part of the elements of every
    /// row. A part is always a whole subtree of the tree in which the reduction combines elements, so no bit changes.
    pub shares_rows: bool,
    /// Whether the tiles are computed by threaded code, which runs all operations on one small block after another
    /// (`math/simd/threaded/mod.rs`). Otherwise each operation is a loop over a whole tile.
    pub threaded: bool,
}

/// The shape of tiles. Together, the tiles cover all indices of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tiling {
    /// A tile is a piece of one line along the last outer axis, of up to `each` elements.
    Pieces { each: u16 },
    /// A tile is `each` whole lines along the last outer axis. This is for short lines: a loop over a single line would
    /// be too short.
    Rows { each: u16 },
    /// A tile is a rectangle of `rows × cols` elements in the last two outer axes. This is for kernels with an operand
    /// that is contiguous along the second-last axis.
    Blocks { rows: u16, cols: u16 },
    /// Rows (all inner indices of one outer index) are processed one after another. A task computes `rows` of them. A
    /// tile is `cols` neighbouring elements of one row or, if `together` is more than 1, `together` whole rows.
    Along { rows: u16, together: u16, cols: u16 },
    /// Rows (all inner indices of one outer index) are processed side by side, each as a column of a tile. A task
    /// computes `cols` rows, and a tile has `rows` elements of each of these rows.
    Across { rows: u16, cols: u16 },
}

/// The size of workgroups, and how their invocations share the kernel's work. A number that applies only to some kinds
/// of kernel is 1 for the other kinds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Groups {
    /// The number of invocations of a workgroup.
    pub size: u16,
    /// The number of invocations that share the work for one outer index of a reduction or row kernel.
    pub lanes: u16,
    /// The number of neighbouring invocations that exchange partial results of a row by subgroup operations, in a
    /// reduction or row kernel. It is 1 if the invocations exchange these results through workgroup memory instead.
    pub shuffled: u8,
    /// The number of elements of a row that each lane of a row kernel can hold in registers.
    pub held: u8,
    /// The number of elements that one invocation of an elementwise or reduction kernel loads before it uses the first
    /// of them.
    pub in_flight: u8,
    /// The number of consecutive elements that one invocation of an elementwise or row kernel processes: the elements
    /// of one packed 32-bit word, or a run of a scan (`scan.rs`). If an elementwise kernel's output begins within a
    /// word, no invocation has whole words to itself, and the backend uses 1 instead.
    pub run: u8,
    /// The tile of a matrix product that a workgroup computes. `None` if subgroups multiply small matrices.
    pub tile: Option<Tile>,
    /// The part of a matrix product that a workgroup computes by cooperative matrices. `None` if invocations multiply
    /// elements.
    pub blocks: Option<CooperativeTile>,
    /// How the shader converts an index of `outer` (first entry), and an index of `inner` (second), to a position in an
    /// operand.
    pub axes: [AxisIndexing; 2],
    /// Whether the kernel runs in the same dispatch as the kernel before it ([`Kernel::runs_beside`]).
    pub beside: bool,
}

/// How a shader computes the positions of elements in the operands from an index. The planner has merged axes where
/// possible, so one axis remains if all operands are contiguous. Extents, strides and offsets are run-time parameters
/// in every class. Only large kernels have specialised code for one and two axes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum AxisIndexing {
    /// At most one axis: the position is the offset plus index times stride.
    One,
    /// Two axes: one division splits the index in two.
    Two,
    /// Any number of axes: the shader loops over them, and their number is a run-time parameter.
    Any,
}

/// The memory layout of a load along one axis: the axis over which the loops of a tile run, or along which neighbouring
/// lanes of a workgroup have neighbouring elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AccessClass {
    /// The load reads one element, which is the same at all indices of the kernel.
    Single,
    /// Elements are contiguous along the axis, in either direction.
    Contiguous,
    /// The load reads the same element along the whole axis, but not along some other axis.
    Broadcast,
    /// Elements are contiguous along another axis.
    Transposed,
    /// Elements are not contiguous along any axis.
    Strided,
    /// Elements are read at computed indices.
    Gathered,
}

/// How a store writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WriteClass {
    /// Writes each element separately. On a CPU, stores that combine with the element in memory are also of this class.
    Plain,
    /// Writes past the caches of a CPU, because the caches could not hold such a large result until it is read.
    Streamed,
    /// Writes whole 32-bit words of packed 8- or 16-bit elements, each word by one invocation. An execution whose
    /// output begins within a word writes as `Merged` instead.
    Words,
    /// Atomically writes packed elements into words that several invocations share.
    Merged,
    /// On a GPU: atomically combines the value with the element in memory, because several indices may refer to one
    /// element.
    Combined,
}

/// The passes of a kernel: its loops over all inner indices, one after another.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Passes {
    /// For each value of the kernel, the number of passes that must have ended before it can be computed.
    pub after: Vec<u8>,
    pub list: Vec<Pass>,
}

/// One pass: a loop over all inner indices.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Pass {
    /// The indices of the values that the pass computes for each inner index, in order.
    pub computes: Vec<u16>,
    /// The values that this pass reads at each inner index, but that an earlier pass computes and therefore keeps in
    /// memory or registers.
    pub takes: Vec<u16>,
    /// The values that are known only when the pass has ended (`Value::ends_pass`): its reductions, totals of scans,
    /// and the elements of scans whose row is shared by lanes.
    pub ends: Vec<u16>,
}

impl Passes {
    /// Returns whether a value must be kept, because a later pass reads it.
    pub fn keeps(&self, value: usize) -> bool {
        self.list.iter().any(|pass| pass.takes.contains(&(value as u16)))
    }
}

/// How a CPU runs a kernel a first time only to check its computed indices, before anything is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Checks {
    /// The outer dimensions over which the check runs. In an elementwise kernel, dimensions on which no computed index
    /// depends have length 1 here, so that each index is checked once.
    pub outer: Shape,
    pub tiles: TileSchedule,
    pub passes: Option<Passes>,
}

#[cfg(feature = "gpu")]
impl Groups {
    /// Returns the part of a product that a workgroup computes: the numbers of matrices, rows and columns.
    pub fn part(&self) -> [usize; 3] {
        let of_blocks = self.blocks.map_or([1; 3], |b| [1, b.tile, b.tile]);
        self.tile.map_or(of_blocks, |t| [t.matrices, t.rows, t.columns]).map(Into::into)
    }
}

heap! {
    Schedule: details;
    Details: writes, passes, checks, ordinary;
    WriteClass: ;
    Passes: after, list;
    Pass: computes, takes, ends;
    Checks: outer, passes;
}

impl Schedule {
    /// Returns the tiles of a kernel that threads compute tile by tile, or `None` for any other kernel.
    pub fn tiles(&self) -> Option<TileSchedule> {
        match self.work {
            Work::Tiles(tiles) => Some(tiles),
            Work::Undecided | Work::Product(_) | Work::Groups(_) => None,
        }
    }

    /// Returns the strategy of a matrix product that threads share, or `None` for any other kernel.
    pub fn product(&self) -> Option<Product> {
        match self.work {
            Work::Product(product) => Some(product),
            Work::Undecided | Work::Tiles(_) | Work::Groups(_) => None,
        }
    }

    /// Returns the size and work of the workgroups of a kernel that runs on a GPU.
    #[cfg(feature = "gpu")]
    pub fn groups(&self) -> Option<Groups> {
        match self.work {
            Work::Groups(groups) => Some(groups),
            Work::Undecided | Work::Tiles(_) | Work::Product(_) => None,
        }
    }

    /// Returns whether the kernel runs in the same GPU dispatch as the kernel before it.
    pub fn is_beside(&self) -> bool {
        matches!(self.work, Work::Groups(Groups { beside: true, .. }))
    }

    /// Returns how store `n` writes.
    pub fn write(&self, n: usize) -> WriteClass {
        self.details.as_ref().and_then(|d| d.writes.get(n)).copied().unwrap_or(WriteClass::Plain)
    }

    /// Returns the passes: the loops over the inner dimensions.
    pub fn passes(&self) -> Option<&Passes> {
        self.details.as_ref()?.passes.as_ref()
    }

    /// Returns the kernel that a CPU runs for all blocks whose sums are in bounds.
    pub fn ordinary(&self) -> Option<&Kernel> {
        self.details.as_ref()?.ordinary.as_deref()
    }

    /// Returns how indices are checked before anything is written.
    pub fn checks(&self) -> Option<&Checks> {
        self.details.as_ref()?.checks.as_ref()
    }
}

impl Kernel {
    /// Returns the access class (memory layout) of a load. The class follows from the strides and the schedule, so the
    /// schedule does not store it.
    pub fn access(&self, load: usize) -> AccessClass {
        if self.values.iter().any(|v| matches!(v.op, Op::Gather { load: l, .. } if l == load)) {
            return AccessClass::Gathered;
        }
        let (outer, strides) = (self.outer.len(), &self.loads[load].strides);
        let extent = |axis: usize| if axis < outer { self.outer[axis] } else { self.inner[axis - outer] };
        let all = outer + self.inner.len();
        let moves = |axis: &usize| extent(*axis) > 1 && strides[*axis] != 0;
        if !(0..all).any(|axis| moves(&axis)) {
            return AccessClass::Single;
        }
        // the last axis in a range of axes that is longer than 1: loops and neighbouring lanes run along it
        let last = |range: std::ops::Range<usize>| range.rev().find(|axis| extent(*axis) > 1);
        let along = match (self.kind, load) {
            // a product reads load 0, its left operand, along k, and all other loads along n (the last outer axis)
            (KernelKind::Matmul, 0) => last(outer..all),
            _ if self.walks_inner() => last(outer..all).or_else(|| last(0..outer)),
            _ => last(0..outer).or_else(|| last(outer..all)),
        };
        match along.map_or(0, |axis| strides[axis].unsigned_abs()) {
            0 => AccessClass::Broadcast,
            1 => AccessClass::Contiguous,
            _ if (0..all).filter(moves).any(|axis| strides[axis].unsigned_abs() == 1) => AccessClass::Transposed,
            _ => AccessClass::Strided,
        }
    }

    /// Returns whether a tile's loops, or neighbouring lanes of a workgroup, run along an inner dimension rather than
    /// an outer one.
    fn walks_inner(&self) -> bool {
        match self.schedule.work {
            Work::Tiles(tiles) => match tiles.tiling {
                Tiling::Along { .. } => true,
                Tiling::Pieces { .. } | Tiling::Rows { .. } | Tiling::Blocks { .. } | Tiling::Across { .. } => false,
            },
            Work::Groups(groups) => groups.lanes > 1,
            Work::Product(_) | Work::Undecided => false,
        }
    }
}

/// Returns whether the kernel `next` can process each rectangular part of a product's result as soon as that part is
/// computed. For this, `next` must be elementwise over the same indices, with tiles that are rows or pieces of rows. At
/// each index, `next` must read only the element of the result at this index. It must not write memory that the product
/// may still read.
pub(crate) fn takes_parts(next: &Kernel, product: &Kernel) -> bool {
    let [result] = &product.stores[..] else { return false };
    let is_result = |l: &&Load| l.buffer == result.buffer;
    let same = |l: &Load| l.strides == result.strides && l.offset == result.offset && l.dtype == result.dtype;
    let in_rows =
        next.schedule.tiles().is_some_and(|t| matches!(t.tiling, Tiling::Pieces { .. } | Tiling::Rows { .. }));
    next.kind == KernelKind::Elementwise
        && next.outer == product.outer
        && in_rows
        && next.schedule.checks().is_none()
        && next.moves().is_none()
        && next.loads.iter().filter(is_result).all(same)
        && next.values.iter().all(|v| !matches!(v.op, Op::Gather { .. } | Op::Position(_)))
        && next.stores.iter().all(|s| s.is_plain() && product.loads.iter().all(|l| l.buffer != s.buffer))
}

impl fmt::Display for AccessClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AccessClass::Single => "single",
            AccessClass::Contiguous => "contiguous",
            AccessClass::Broadcast => "broadcast",
            AccessClass::Transposed => "transposed",
            AccessClass::Strided => "strided",
            AccessClass::Gathered => "gathered",
        })
    }
}

/// Formats a number of bytes, with a binary unit if it is a multiple of one: `64 KiB`.
fn bytes(n: usize) -> String {
    match n {
        n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 && n.is_multiple_of(1 << 10) => format!("{} KiB", n >> 10),
        n => format!("{n} B"),
    }
}

impl TileSchedule {
    /// Returns an estimate of the work of one task, in bytes: four for each value at each index. `outer` has the
    /// lengths of the outer dimensions. A task is the smallest unit of work for a thread: one tile, or a block of rows
    /// that are reduced or scanned.
    pub fn task(&self, kernel: &Kernel, outer: &[usize]) -> usize {
        let across = outer.last().copied().unwrap_or(1);
        let elements = match self.tiling {
            Tiling::Pieces { each } => across.min(each as usize),
            Tiling::Rows { each } => across.saturating_mul(each as usize),
            Tiling::Blocks { rows, cols } => rows as usize * cols as usize,
            Tiling::Along { rows: each, .. } | Tiling::Across { cols: each, .. } => {
                kernel.inner_size().max(1).saturating_mul(each as usize)
            }
        };
        elements.saturating_mul(4 * kernel.values.len())
    }
}

/// Formats the tiles of a kernel whose outer dimensions have the lengths `outer`.
fn tiles(tiles: &TileSchedule, kernel: &Kernel, outer: &[usize]) -> String {
    let across = outer.last().copied().unwrap_or(1);
    let code = if tiles.threaded { "threaded" } else { "tiles" };
    let shape = match tiles.tiling {
        Tiling::Pieces { each } => format!("{code} 1 × {}", across.min(each as usize)),
        Tiling::Rows { each } => format!("{code} {each} × {across}"),
        Tiling::Blocks { rows, cols } => format!("tiles {rows} × {cols} of the last two axes"),
        Tiling::Along { rows: 1, cols, .. } => format!("tiles of {cols} along a row"),
        Tiling::Along { rows, together: 1, cols } => format!("tiles of {cols} along a row, {rows} rows a task"),
        Tiling::Along { rows, together, cols } => format!("tiles of {together} rows of {cols}, {rows} rows a task"),
        Tiling::Across { rows, cols } => format!("{cols} rows side by side, tiles of {rows} of each"),
    };
    let share = match tiles.alone {
        true => "one task".to_string(),
        false => format!("{} a task", bytes(tiles.task(kernel, outer))),
    };
    let parts = if tiles.shares_rows { ", rows may be shared" } else { "" };
    format!("{shape}, {share}{parts}")
}

fn groups(kernel: &Kernel, g: &Groups) -> String {
    let flight = if g.in_flight > 1 { format!(", {} loads in flight", g.in_flight) } else { String::new() };
    let shuffled = if g.shuffled > 1 { format!(", shuffles of {}", g.shuffled) } else { String::new() };
    let shape = match kernel.kind {
        KernelKind::Elementwise => format!("{} lanes × {}{flight}", g.size, g.run.max(g.in_flight)),
        KernelKind::Reduce(Lanes::Inner | Lanes::Outer) => {
            let lanes = if g.lanes == 1 { "lane" } else { "lanes" };
            format!("groups of {}, {} {lanes} a row{flight}{shuffled}", g.size, g.lanes)
        }
        KernelKind::Row => format!("groups of {}, {} lanes × {} a row{shuffled}", g.size, g.lanes, g.held),
        KernelKind::Matmul => match (g.tile, g.blocks) {
            (Some(tile), _) => format!("groups of {}, tiles {tile}", g.size),
            (None, Some(CooperativeTile { side, tile })) => {
                format!("groups of {}, tiles {tile} × {tile} by cooperative matrices {side} × {side}", g.size)
            }
            (None, None) => format!("groups of {}", g.size),
        },
    };
    let places = |axes: AxisIndexing, of: &str| match axes {
        AxisIndexing::One => format!(", 1 {of} axis"),
        AxisIndexing::Two => format!(", 2 {of} axes"),
        AxisIndexing::Any => String::new(),
    };
    let inner = if kernel.inner.is_empty() { String::new() } else { places(g.axes[1], "inner") };
    let beside = if g.beside { ", in the dispatch of the kernel before" } else { "" };
    format!("{shape}{}{inner}{beside}", places(g.axes[0], "outer"))
}

/// Formats values by their indices: `v0 v3`.
fn values(list: &[u16]) -> String {
    list.iter().map(|v| format!("v{v}")).collect::<Vec<_>>().join(" ")
}

/// Formats the passes. For each pass, prints the values that it reads from earlier passes, the values that it computes,
/// which of these it keeps for later passes, and the values that are known when it ends.
fn passes(passes: &Passes) -> String {
    let one = |(n, pass): (usize, &Pass)| {
        let kept = |v: &u16| passes.keeps(*v as usize).then_some(*v);
        let keeps: Vec<u16> = pass.computes.iter().filter_map(kept).collect();
        let mut text = format!("pass {}:", n + 1);
        if !pass.takes.is_empty() {
            text += &format!(" kept {}", values(&pass.takes));
        }
        if !pass.computes.is_empty() {
            text += &format!(" {}", values(&pass.computes));
        }
        if !keeps.is_empty() {
            text += &format!(" (keeps {})", values(&keeps));
        }
        if !pass.ends.is_empty() {
            text += &format!(", then {}", values(&pass.ends));
        }
        text
    };
    passes.list.iter().enumerate().map(one).collect::<Vec<_>>().join("; ")
}

/// Prints a kernel's schedule: one line for tiles or lanes, access classes and writes, one for the passes if there are
/// several, and one for the checks.
pub(super) fn print(kernel: &Kernel, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let s = &kernel.schedule;
    if let Some(ordinary) = s.ordinary() {
        writeln!(f, "    where sums are in bounds, with {} values instead:", ordinary.values.len())?;
        return print(ordinary, f);
    }
    let work = match &s.work {
        Work::Undecided => return Ok(()),
        Work::Tiles(t) => tiles(t, kernel, &kernel.outer),
        Work::Product(p) => match Matrices::of(kernel) {
            Some(x) => p.print(x.m, x.n),
            None => return Ok(()),
        },
        Work::Groups(g) => groups(kernel, g),
    };
    write!(f, "    schedule: {work}")?;
    for (n, load) in kernel.loads.iter().enumerate() {
        write!(f, "{} {} {}", if n == 0 { ";" } else { "," }, load.buffer, kernel.access(n))?;
    }
    let woven = kernel.woven();
    if matches!(s.work, Work::Groups(_)) && woven > 1 {
        write!(f, "; {woven} stores to {} as one", kernel.stores[0].buffer)?;
    }
    for (n, store) in kernel.stores.iter().enumerate() {
        match s.write(n) {
            WriteClass::Plain => {}
            WriteClass::Words if woven > 1 => {}
            WriteClass::Streamed => write!(f, "; streams {}", store.buffer)?,
            WriteClass::Words => write!(f, "; {} in whole words", store.buffer)?,
            WriteClass::Merged => write!(f, "; {} merged into words", store.buffer)?,
            WriteClass::Combined => write!(f, "; {} combined atomically", store.buffer)?,
        }
    }
    writeln!(f)?;
    if let Some(several) = s.passes().filter(|p| p.list.len() > 1) {
        writeln!(f, "    {}", passes(several))?;
    }
    if let Some(checks) = s.checks() {
        let tiles = tiles(&checks.tiles, kernel, &checks.outer);
        writeln!(f, "    indices first: {:?}, {tiles}", checks.outer.as_slice())?;
    }
    Ok(())
}
