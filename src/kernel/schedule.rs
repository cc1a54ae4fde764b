//! How a loop nest uses the hardware: tiles or lanes, what is read how, what is kept. The planner decides it
//! (`plan/schedule.rs`) when it knows the final nest, a backend carries it out and chooses nothing that stands here. How many
//! threads share the tasks of a nest is found when it runs; no bit depends on it, on a tile or on a task. The lanes of a
//! reduction are part of its tree, so they do not depend on steps or sizes of other axes.

use super::{Kernel, KernelKind, Lanes, Op};
use crate::layout::Shape;
use std::fmt;

/// What the planner has decided of one nest. Small, because a plan may have a million nests: what few of them have is apart.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Schedule {
    pub work: Work,
    pub details: Option<Box<Details>>,
}

/// The part of a schedule that a chain of elementwise operations does without.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Details {
    /// For each store, how it writes; empty where each is plain.
    pub writes: Vec<WriteClass>,
    /// The walks along the inner space; none without one, and none of a product, whose loops are its own.
    pub passes: Option<Passes>,
    /// How a CPU looks for indices out of range before it writes anything; none where no index is checked. A GPU leaves
    /// out what it cannot read, and tells afterwards.
    pub checks: Option<Checks>,
}

/// How the index space is shared out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Work {
    /// Nothing is decided: the nest is still in the making, or it has no index.
    #[default]
    Undecided,
    /// Threads walk it tile by tile.
    Tiles(Tiles),
    /// Threads share a matrix product.
    Product(Product),
    /// Workgroups walk it.
    Groups(Groups),
}

/// Tiles, and the tasks that threads take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tiles {
    pub tiling: Tiling,
    /// Whether one thread does it all, because to wake another costs as much.
    pub alone: bool,
    /// Whether a block of reduced rows may be cut into parts for several threads: parts are whole subtrees.
    pub shares_rows: bool,
}

/// How tiles cover the index space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tiling {
    /// Pieces of a row that is longer than a tile.
    Pieces { each: u16 },
    /// Several whole rows, of which one alone would make loops too short.
    Rows { each: u16 },
    /// Rectangles of the last two axes, for an operand that is contiguous along the last but one.
    Blocks { rows: u16, cols: u16 },
    /// Reduced rows one after the other, so many in a task; a tile has so many elements of one row.
    Along { rows: u16, cols: u16 },
    /// Reduced rows side by side, so many columns in a task; a tile has so many elements of each.
    Across { rows: u16, cols: u16 },
}

/// The strategy of a product on a CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Product {
    /// Whether the `gemm` crate multiplies, which blocks by itself; else loops of our own.
    pub library: bool,
    /// Rows or columns of the result that a task computes; 0: a whole matrix.
    pub piece: u32,
    /// Whether one thread does it all.
    pub alone: bool,
}

/// Workgroups, and what their invocations share.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Groups {
    /// Invocations of a workgroup.
    pub size: u16,
    /// Invocations that share an outer index (reduce, row).
    pub lanes: u16,
    /// Elements of a row that a lane holds (row).
    pub held: u8,
    /// Elements whose loads one invocation has under way at once (elementwise, reduce).
    pub in_flight: u8,
    /// Tiles of 64 along a side of what a workgroup computes (matmul).
    pub tiles: u8,
    /// How indices become places, of `outer` and of `inner`.
    pub axes: [Axes; 2],
}

/// How the place of an element is found in the operands. The planner has merged axes where it could, so operands that are
/// all contiguous leave one axis, and one that is broadcast along the last or the first axis leaves two. Extents, strides
/// and offsets are parameters in every class.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Axes {
    /// One axis (or none): offset plus index times stride.
    One,
    /// Two axes: one division.
    Two,
    /// A loop over the axes, whose number is a parameter.
    Any,
}

/// How the elements of a load lie along the axis that neighbours in a tile, or neighbouring lanes, walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AccessClass {
    /// One element for the whole nest.
    Single,
    /// Next to each other.
    Contiguous,
    /// One element along the axis, others along others.
    Broadcast,
    /// Next to each other along another axis.
    Transposed,
    /// Apart along every axis.
    Strided,
    /// At computed indices.
    Gathered,
}

/// How a store writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WriteClass {
    /// Each element by itself.
    Plain,
    /// Past the caches, because they could not hold the result until it is read.
    Streamed,
    /// Whole words of packed elements, each by one invocation. A run whose target begins within a word merges instead.
    Words,
    /// Into words that invocations share.
    Merged,
    /// Combined with what is there, atomically: several indices may name one element.
    Combined,
}

/// The walks along the inner space, one after another.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Passes {
    /// For each value, how many passes must have ended before it is computed.
    pub after: Vec<u8>,
    pub list: Vec<Pass>,
}

/// One walk along the inner space.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Pass {
    /// The inner values that it computes, in order.
    pub computes: Vec<u16>,
    /// Inner values of an earlier pass that it reads: they are kept until then.
    pub takes: Vec<u16>,
    /// The values that are known when it has ended: its reductions.
    pub ends: Vec<u16>,
}

impl Passes {
    /// Whether a value is kept by the pass that computes it, for a later one.
    pub fn keeps(&self, value: usize) -> bool {
        self.list.iter().any(|pass| pass.takes.contains(&(value as u16)))
    }
}

/// A walk that only looks at indices.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Checks {
    /// The kernel's outer space with length 1 along axes on which no index depends, so that each is looked at once.
    pub outer: Shape,
    pub tiles: Tiles,
    pub passes: Option<Passes>,
}

impl Schedule {
    /// The tiles of a nest that threads walk.
    pub fn tiles(&self) -> Option<Tiles> {
        match self.work {
            Work::Tiles(tiles) => Some(tiles),
            Work::Undecided | Work::Product(_) | Work::Groups(_) => None,
        }
    }

    /// The strategy of a product that threads share.
    pub fn product(&self) -> Option<Product> {
        match self.work {
            Work::Product(product) => Some(product),
            Work::Undecided | Work::Tiles(_) | Work::Groups(_) => None,
        }
    }

    /// The workgroups of a nest that a GPU walks.
    #[cfg(feature = "gpu")]
    pub fn groups(&self) -> Option<Groups> {
        match self.work {
            Work::Groups(groups) => Some(groups),
            Work::Undecided | Work::Tiles(_) | Work::Product(_) => None,
        }
    }

    /// How store `n` writes.
    pub fn write(&self, n: usize) -> WriteClass {
        self.details.as_ref().and_then(|d| d.writes.get(n)).copied().unwrap_or(WriteClass::Plain)
    }

    /// The walks along the inner space.
    pub fn passes(&self) -> Option<&Passes> {
        self.details.as_ref()?.passes.as_ref()
    }

    /// How indices are looked at before anything is written.
    pub fn checks(&self) -> Option<&Checks> {
        self.details.as_ref()?.checks.as_ref()
    }

    /// Bytes that it takes outside of itself.
    pub fn bytes(&self) -> usize {
        let list = |p: &Pass| 2 * (p.computes.capacity() + p.takes.capacity() + p.ends.capacity());
        let passes = |p: Option<&Passes>| {
            let lists = |p: &Passes| p.list.capacity() * size_of::<Pass>() + p.list.iter().map(list).sum::<usize>();
            p.map_or(0, |p| p.after.capacity() + lists(p))
        };
        let Some(details) = &self.details else { return 0 };
        let checks = details.checks.as_ref().and_then(|c| c.passes.as_ref());
        size_of::<Details>() + details.writes.capacity() + passes(details.passes.as_ref()) + passes(checks)
    }
}

impl Kernel {
    /// How the elements of a load lie along the axis that neighbours in a tile, or neighbouring lanes, walk. It follows from
    /// the strides and the schedule, so it is not kept.
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
        // the last axis of some extent, of those that neighbours walk first
        let last = |range: std::ops::Range<usize>| range.rev().find(|axis| extent(*axis) > 1);
        let along = match (self.kind, load) {
            // a product reads its first factor by rows along k, its second by rows along n
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

    /// Whether neighbours in a tile, or neighbouring lanes, walk the inner space.
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

/// Bytes as people read them: `64 KiB`.
fn bytes(n: usize) -> String {
    match n {
        n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 && n.is_multiple_of(1 << 10) => format!("{} KiB", n >> 10),
        n => format!("{n} B"),
    }
}

impl Tiles {
    /// Bytes of work of one task over the outer space `outer`, at four a value: that of a tile, or of a block of reduced
    /// rows. Threads share tasks, and none takes less than one.
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

/// The tiles of a kernel over the outer space `outer`.
fn tiles(tiles: &Tiles, kernel: &Kernel, outer: &[usize]) -> String {
    let across = outer.last().copied().unwrap_or(1);
    let shape = match tiles.tiling {
        Tiling::Pieces { each } => format!("tiles 1 × {}", across.min(each as usize)),
        Tiling::Rows { each } => format!("tiles {each} × {across}"),
        Tiling::Blocks { rows, cols } => format!("tiles {rows} × {cols} of the last two axes"),
        Tiling::Along { rows: 1, cols } => format!("tiles of {cols} along a row"),
        Tiling::Along { rows, cols } => format!("tiles of {cols} along a row, {rows} rows a task"),
        Tiling::Across { rows, cols } => format!("{cols} rows side by side, tiles of {rows} of each"),
    };
    let share = match tiles.alone {
        true => "one task".to_string(),
        false => format!("{} a task", bytes(tiles.task(kernel, outer))),
    };
    let parts = if tiles.shares_rows { ", rows may be shared" } else { "" };
    format!("{shape}, {share}{parts}")
}

fn product(product: &Product) -> String {
    let by = if product.library { "by the gemm library" } else { "by loops" };
    let piece = match product.piece {
        0 => "whole matrices".to_string(),
        n => format!("{n} lines a task"),
    };
    format!("product {by}, {}", if product.alone { "one task".to_string() } else { piece })
}

fn groups(kernel: &Kernel, g: &Groups) -> String {
    let flight = if g.in_flight > 1 { format!(", {} loads in flight", g.in_flight) } else { String::new() };
    let shape = match kernel.kind {
        KernelKind::Elementwise => format!("{} lanes × {}{flight}", g.size, g.in_flight),
        KernelKind::Reduce(Lanes::Inner | Lanes::Outer) => {
            format!("groups of {}, {} lane{} a row{flight}", g.size, g.lanes, if g.lanes == 1 { "" } else { "s" })
        }
        KernelKind::Row => format!("groups of {}, {} lanes × {} a row", g.size, g.lanes, g.held),
        KernelKind::Matmul => format!("groups of {}, tiles {s} × {s}", g.size, s = 64 * g.tiles as u32),
    };
    let places = |axes: Axes, of: &str| match axes {
        Axes::One => format!(", 1 {of} axis"),
        Axes::Two => format!(", 2 {of} axes"),
        Axes::Any => String::new(),
    };
    let inner = if kernel.inner.is_empty() { String::new() } else { places(g.axes[1], "inner") };
    format!("{shape}{}{inner}", places(g.axes[0], "outer"))
}

/// Values by number: `v0 v3`.
fn values(list: &[u16]) -> String {
    list.iter().map(|v| format!("v{v}")).collect::<Vec<_>>().join(" ")
}

/// The passes: what each computes, what it takes of an earlier one, and what is known at its end.
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

/// Prints a kernel's schedule: a line for the tiles or lanes and the access classes, one for the passes if there are
/// several, one for the checks.
pub(super) fn print(kernel: &Kernel, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let s = &kernel.schedule;
    let work = match &s.work {
        Work::Undecided => return Ok(()),
        Work::Tiles(t) => tiles(t, kernel, &kernel.outer),
        Work::Product(p) => product(p),
        Work::Groups(g) => groups(kernel, g),
    };
    write!(f, "    schedule: {work}")?;
    for (n, load) in kernel.loads.iter().enumerate() {
        write!(f, "{} {} {}", if n == 0 { ";" } else { "," }, load.buffer, kernel.access(n))?;
    }
    for (n, store) in kernel.stores.iter().enumerate() {
        match s.write(n) {
            WriteClass::Plain => {}
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
        writeln!(
            f,
            "    indices first: {:?}, {}",
            checks.outer.as_slice(),
            tiles(&checks.tiles, kernel, &checks.outer)
        )?;
    }
    Ok(())
}
