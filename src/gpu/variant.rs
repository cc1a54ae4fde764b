//! Specialises a kernel's shader: the few run-time facts (lanes, packing, bindings, the number of axes) that are
//! compiled into it instead of passed as parameters.

use super::wgsl::{self, Access, Axes, Form, Slot, StoreMode, Variant, Words};
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{BufferRef, Kernel, KernelKind, Lanes, SCAN_RUN, Window};
use smallvec::SmallVec;

/// Indices from which a kernel is large: it has several loads under way in each invocation, and a text of its own for
/// one and for two axes. A large card holds about 2^18 invocations at once (132 multiprocessors of 2,048 on an H100):
/// with fewer elements than that, one an invocation has all loads under way already, and each further text would cost
/// 20 ms or more of compiling in programs that meet many layouts of small arrays.
const LARGE: usize = 1 << 18;
/// The most that compiling a kernel's values once may cost for several loads under way: a compiler sees them four times.
const IN_FLIGHT_COST: u32 = 64;

/// Tiles of 128 × 128 from which a product is made of those.
const LARGE_TILES: usize = 128;

/// The specialisation for a window. `targets` are the strides and offsets of the stores, `slots` the binding of each load
/// and store; a binding that invocations share becomes atomic.
pub(super) fn classify(
    kernel: &Kernel,
    form: &Form,
    window: &Window,
    targets: &[(&[isize], i64)],
    slots: &[usize],
    kinds: &mut [Slot],
) -> Result<Variant> {
    let inner = kernel.inner_size();
    let limit = |detail: String| Error::new(ErrorKind::LimitExceeded, kernel.name, detail, None);
    let (lanes, held) = match kernel.kind {
        KernelKind::Reduce(Lanes::Inner) if inner > 512 => (256, 1),
        KernelKind::Reduce(Lanes::Inner) if inner > 8 => (32, 1),
        KernelKind::Row => match inner {
            0..=128 => (32, 4),
            129..=1024 => (256, 4),
            1025..=4096 => (256, 16),
            4097..=16384 => (256, 64),
            _ => return Err(limit(format!("a row of {inner} elements"))),
        },
        _ => (1, 1),
    };
    let n = kernel.loads.len();
    let (stores, mut run) = store_modes(kernel, form, window, targets, &slots[n..], kinds);
    // a run of a scan is one lane's
    if kernel.scans() {
        run = SCAN_RUN as u32;
    }
    let indices = window.shape.iter().product::<usize>().saturating_mul(inner);
    let is_large = indices >= LARGE;
    // a large kernel waits for memory: several loads at once. A long one would only become longer
    let simple = kernel.values.len() <= 32 && !kernel.loads.is_empty() && kernel.compile_cost() <= IN_FLIGHT_COST;
    let in_flight = match kernel.kind {
        KernelKind::Elementwise | KernelKind::Reduce(_) if simple && is_large && inner > 0 => {
            run = if run > 1 { 4 } else { 1 };
            4
        }
        _ => 1,
    };
    // a larger tile reads less, if there are enough of them; two of 8-byte types do not fit workgroup memory
    let tiles = match kernel.kind {
        KernelKind::Matmul if kernel.values.first().is_some_and(|v| v.compute().size() == 4) => {
            let (m, n) = matrix(&window.shape);
            let tiles = window.shape.iter().product::<usize>() / (m * n).max(1) * (m / 128) * (n / 128);
            if tiles >= LARGE_TILES { 2 } else { 1 }
        }
        _ => 1,
    };
    let axes = |count: usize| match count {
        0..=1 if is_large => Axes::One,
        2 if is_large => Axes::Two,
        _ => Axes::Any,
    };
    let axes = [axes(window.shape.len()), axes(kernel.inner.len())];
    let rank = window.shape.len().max(3) + kernel.inner.len().max(1);
    let params = form.params(rank).ok_or_else(|| limit(format!("{rank} axes of {} operands", form.columns)))?;
    Ok(Variant {
        slots: kinds.iter().copied().collect(),
        loads: slots[..n].iter().map(|s| *s as u8).collect(),
        stores,
        lanes,
        held,
        run,
        in_flight,
        tiles,
        axes,
        params,
    })
}

/// How each store writes, and how many consecutive elements an invocation takes so that it owns packed words.
fn store_modes(
    kernel: &Kernel,
    form: &Form,
    window: &Window,
    targets: &[(&[isize], i64)],
    slots: &[usize],
    kinds: &mut [Slot],
) -> (SmallVec<[(u8, StoreMode); 2]>, u32) {
    let mut run = 1;
    let mut stores: SmallVec<[(u8, StoreMode); 2]> = SmallVec::new();
    for (i, s) in kernel.stores.iter().enumerate() {
        let shift = wgsl::packing(s.dtype);
        let mode = match shift {
            0 => StoreMode::Direct,
            _ if form.checks => StoreMode::Atomic,
            _ if owns(kernel, s.value, window, targets[i], 1 << shift) => {
                run = run.max(1 << shift);
                StoreMode::Owned
            }
            _ => StoreMode::Atomic,
        };
        if mode == StoreMode::Atomic {
            kinds[slots[i]].access = Access::Atomic;
        }
        stores.push((slots[i] as u8, mode));
    }
    for (slot, mode) in &mut stores {
        // where one store merges words atomically, all stores to that binding do
        if *mode == StoreMode::Owned && kinds[*slot as usize].access == Access::Atomic {
            *mode = StoreMode::Atomic;
        }
    }
    (stores, run)
}

/// Whether strides are those of a C-ordered whole.
fn is_contiguous(shape: &[usize], strides: &[isize]) -> bool {
    let mut step = 1isize;
    for (n, s) in shape.iter().zip(strides).rev() {
        if *n != 1 {
            if *s != step {
                return false;
            }
            step *= *n as isize;
        }
    }
    true
}

/// The last two axes.
pub(super) fn matrix(shape: &[usize]) -> (usize, usize) {
    match shape {
        [.., m, n] => (*m, *n),
        _ => (1, 1),
    }
}

/// Whether each word of a packed store can belong to one invocation.
fn owns(kernel: &Kernel, value: usize, window: &Window, (strides, offset): (&[isize], i64), per: i64) -> bool {
    let whole =
        |shape: &[usize], strides: &[isize]| shape.iter().zip(strides).all(|(n, s)| *n == 1 || *s as i64 % per == 0);
    let axes = window.shape.len();
    if offset % per != 0 {
        return false;
    }
    match kernel.kind {
        KernelKind::Elementwise => is_contiguous(&window.shape, strides),
        KernelKind::Row => {
            let (outer, inner) = strides.split_at(axes.min(strides.len()));
            kernel.values[value].inner && whole(&window.shape, outer) && is_contiguous(&kernel.inner, inner)
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

/// The text of a kernel whose buffers are all different and begin where they are bound: what most runs of it compile.
pub(crate) fn preview(kernel: &Kernel) -> Result<String> {
    let form = Form::of(kernel);
    let mut bound: Vec<(BufferRef, Words)> = vec![];
    let mut kinds: Vec<Slot> = vec![];
    let mut slots: Vec<usize> = vec![];
    let loads = kernel.loads.iter().map(|l| (l.buffer, l.dtype, Access::Read));
    for (buffer, dtype, access) in loads.chain(kernel.stores.iter().map(|s| (s.buffer, s.dtype, Access::Write))) {
        let of = (buffer, wgsl::words(dtype));
        let slot = bound.iter().position(|b| *b == of).unwrap_or_else(|| {
            bound.push(of);
            kinds.push(Slot { words: of.1, access });
            kinds.len() - 1
        });
        slots.push(slot);
    }
    let targets: Vec<(&[isize], i64)> = kernel.stores.iter().map(|s| (&s.strides[..], s.offset as i64)).collect();
    let whole = Window { start: SmallVec::from_elem(0, kernel.outer.len()), shape: kernel.outer.clone() };
    let window = kernel.windows.first().unwrap_or(&whole);
    let variant = classify(kernel, &form, window, &targets, &slots, &mut kinds)?;
    wgsl::generate(kernel, &form, &variant).map_err(|fault| Error::new(fault.kind, kernel.name, fault.detail, None))
}
