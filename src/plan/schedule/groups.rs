//! Workgroups: how many lanes share a row, what each holds, and how packed words are written.

use super::{Again, is_contiguous, passes_of_stores, set_details};
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{Axes, Caps, Groups, Kernel, KernelKind, Lanes, Store, Window, Work, WriteClass};

/// Indices from which a nest is large: it has several loads under way in each invocation, and a text of its own for
/// one and for two axes. A large card holds about 2^18 invocations at once (132 multiprocessors of 2,048 on an H100):
/// with fewer elements than that, one an invocation has all loads under way already, and each further text would cost
/// 20 ms or more of compiling in programs that meet many layouts of small arrays.
const LARGE: usize = 1 << 18;

/// The most that compiling a nest's values once may cost for several loads under way, and the most values: a compiler sees
/// them four times.
const IN_FLIGHT_COST: u32 = 64;
const IN_FLIGHT_VALUES: usize = 32;

/// Tiles of 128 × 128 from which a product is made of those: about one for each multiprocessor of a large card, so that none
/// is idle.
const LARGE_TILES: usize = 128;

/// Lanes that share a short row: the subgroups of most cards have 32, so that a short row takes the lanes of one. Part of the
/// tree of a reduction, so it is the same where subgroups have other sizes.
const SHORT_ROW_LANES: usize = 32;

/// Elements of a row up to which one invocation reduces it: a tree of lanes would have next to nothing to combine.
const ONE_LANE: usize = 8;

/// Elements of a row kernel's row that a lane may hold in registers: 4 where rows are short, 16 for rows of the length of
/// a model's features, 64 at most, beyond which registers spill. A text for each keeps loops short.
const HELD: [usize; 3] = [4, 16, 64];

/// Writes the schedule of a nest.
pub(super) fn schedule(kernel: &mut Kernel, caps: &Caps) -> Result<()> {
    let size = caps.group();
    let (lanes, held) = lanes(kernel, size)?;
    let window = kernel.windows.iter().max_by_key(|w| w.shape.iter().product::<usize>());
    let shape = window.map_or(&kernel.outer[..], |w| &w.shape);
    let (outer, inner) = (shape.iter().fold(1usize, |n, m| n.saturating_mul(*m)), kernel.inner_size());
    let is_large = outer.saturating_mul(inner) >= LARGE;
    let axes = |count: usize| match count {
        0..=1 if is_large => Axes::One,
        2 if is_large => Axes::Two,
        _ => Axes::Any,
    };
    let groups = Groups {
        size: size as u16,
        lanes: lanes as u16,
        held: held as u8,
        in_flight: if is_large && inner > 0 { in_flight(kernel, caps) } else { 1 },
        tiles: tiles(kernel, shape, size, caps)?,
        axes: [axes(kernel.outer.len()), axes(kernel.inner.len())],
    };
    let writes = kernel.stores.iter().map(|store| write_class(kernel, store)).collect();
    kernel.schedule.work = Work::Groups(groups);
    let passes = passes_of_stores(kernel, Again::Nothing);
    set_details(kernel, writes, passes, None);
    Ok(())
}

/// Invocations that share a row, and the elements of it that each holds.
fn lanes(kernel: &Kernel, size: usize) -> Result<(usize, usize)> {
    let inner = kernel.inner_size();
    let short = SHORT_ROW_LANES.min(size);
    Ok(match kernel.kind {
        // with two elements a lane the tree of a whole workgroup costs as much as what it saves
        KernelKind::Reduce(Lanes::Inner) if inner > 2 * size => (size, 1),
        KernelKind::Reduce(Lanes::Inner) if inner > ONE_LANE => (short, 1),
        KernelKind::Reduce(Lanes::Inner | Lanes::Outer) | KernelKind::Elementwise | KernelKind::Matmul => (1, 1),
        KernelKind::Row => {
            let shapes = [(short, HELD[0])].into_iter().chain(HELD.map(|held| (size, held)));
            match { shapes }.find(|(lanes, held)| lanes * held >= inner) {
                Some(shape) => shape,
                None => {
                    let detail = format!("a row of {inner} elements for {size} lanes");
                    return Err(Error::new(ErrorKind::LimitExceeded, kernel.name, detail, None));
                }
            }
        }
    })
}

/// Loads that an invocation of a large nest has under way: it waits for memory. A long nest would only become longer.
fn in_flight(kernel: &Kernel, caps: &Caps) -> u8 {
    let is_simple =
        kernel.values.len() <= IN_FLIGHT_VALUES && !kernel.loads.is_empty() && kernel.compile_cost() <= IN_FLIGHT_COST;
    match kernel.kind {
        // as many words as one vector load takes; shaders are written for four
        KernelKind::Elementwise | KernelKind::Reduce(_) if is_simple && caps.vector >= 16 => 4,
        KernelKind::Elementwise | KernelKind::Reduce(_) | KernelKind::Row | KernelKind::Matmul => 1,
    }
}

/// Tiles of 64 along a side of a product that a workgroup computes. A larger tile reads less, if there are enough of them.
fn tiles(kernel: &Kernel, shape: &[usize], size: usize, caps: &Caps) -> Result<u8> {
    let (KernelKind::Matmul, [batch @ .., m, n]) = (kernel.kind, shape) else { return Ok(1) };
    let bytes = kernel.values.first().map_or(4, |v| v.compute().size());
    // 16 elements along k of as many rows and columns as the tile has
    let memory = |tiles: usize| 2 * 16 * 64 * tiles * bytes;
    let refused = |detail: String| Error::new(ErrorKind::LimitExceeded, kernel.name, detail, None);
    if size < 256 {
        let detail = format!("a product needs workgroups of 256; {} has {}", caps.name, caps.workgroup);
        return Err(refused(detail));
    }
    if memory(1) > caps.workgroup_memory {
        let have = caps.workgroup_memory;
        return Err(refused(format!("a product needs {} bytes of a workgroup; {} has {have}", memory(1), caps.name)));
    }
    let tiles = batch.iter().product::<usize>() * (m / 128) * (n / 128);
    // of 8-byte types a lane would hold 64 sums of two words, more than its registers
    let large = bytes == 4 && tiles >= LARGE_TILES && memory(2) <= caps.workgroup_memory;
    Ok(if large { 2 } else { 1 })
}

/// How a store writes. Where a run's target begins within a word, whole words become merged ones.
fn write_class(kernel: &Kernel, store: &Store) -> WriteClass {
    let per = 4 / store.dtype.size().clamp(1, 4);
    match per {
        _ if store.updates() => WriteClass::Combined,
        1 => WriteClass::Plain,
        // an element that is not stored leaves its part of the word as it was
        _ if !store.is_plain() || kernel.checks() => WriteClass::Merged,
        _ if kernel.windows.iter().all(|w| owns_words(kernel, store, w, per)) => WriteClass::Words,
        _ => WriteClass::Merged,
    }
}

/// Whether each word of a packed store, `per` elements, can belong to one invocation.
fn owns_words(kernel: &Kernel, store: &Store, window: &Window, per: usize) -> bool {
    let strides = &store.strides[..];
    let whole = |shape: &[usize], strides: &[isize]| {
        shape.iter().zip(strides).all(|(n, s)| *n == 1 || s.unsigned_abs().is_multiple_of(per))
    };
    let axes = window.shape.len();
    match kernel.kind {
        KernelKind::Elementwise => is_contiguous(&window.shape, strides),
        KernelKind::Row => {
            let (outer, inner) = strides.split_at(axes.min(strides.len()));
            kernel.values[store.value].inner && whole(&window.shape, outer) && is_contiguous(&kernel.inner, inner)
        }
        // four neighbours of a row are one invocation's
        KernelKind::Matmul => {
            axes >= 1
                && (strides[axes - 1] == 1 || window.shape[axes - 1] == 1)
                && whole(&window.shape[..axes - 1], &strides[..axes - 1])
        }
        KernelKind::Reduce(_) => false,
    }
}
