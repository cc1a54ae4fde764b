//! In which class of text a kernel falls: what of its run-time facts is text after all.

use super::wgsl::{self, Access, Form, How, Slot, Variant, Words};
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{BufferRef, Kernel, KernelKind, Lanes, Window};
use smallvec::SmallVec;

/// Indices from which a kernel has several loads under way in each invocation.
const SPREAD_FROM: usize = 1 << 18;
/// The most that compiling such a kernel's values once may cost: its text has them four times.
const SPREAD_COST: u32 = 64;

/// Tiles of 128 × 128 from which a product is made of those.
const LARGE_TILES: usize = 128;

/// The class of a window. `targets` are the strides and offsets of the stores, `slots` the binding of each load and
/// store; a binding that invocations share becomes atomic.
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
    let mut units = 1;
    let mut stores: SmallVec<[(u8, How); 2]> = SmallVec::new();
    for (i, s) in kernel.stores.iter().enumerate() {
        let shift = wgsl::packing(s.dtype);
        let how = match shift {
            0 => How::Direct,
            _ if form.checks => How::Atomic,
            _ if owns(kernel, s.value, window, targets[i], 1 << shift) => {
                units = units.max(1 << shift);
                How::Owned
            }
            _ => How::Atomic,
        };
        if how == How::Atomic {
            kinds[slots[n + i]].access = Access::Atomic;
        }
        stores.push((slots[n + i] as u8, how));
    }
    for (slot, how) in &mut stores {
        // a word collected by its owner cannot go into a binding whose words are merged
        if *how == How::Owned && kinds[*slot as usize].access == Access::Atomic {
            *how = How::Atomic;
        }
    }
    // a large kernel waits for memory: several loads at once. A long one would only become longer
    let simple = kernel.values.len() <= 32 && !kernel.loads.is_empty() && kernel.compile_cost() <= SPREAD_COST;
    let many = window.shape.iter().product::<usize>().saturating_mul(inner) >= SPREAD_FROM;
    let spread = match kernel.kind {
        KernelKind::Elementwise | KernelKind::Reduce(_) if simple && many && inner > 0 => {
            units = if units > 1 { 4 } else { 1 };
            4
        }
        // a larger tile reads less, if there are enough of them; two of 8-byte types do not fit workgroup memory
        KernelKind::Matmul if kernel.values.first().is_some_and(|v| v.compute().size() == 4) => {
            let (m, n) = matrix(&window.shape);
            let tiles = window.shape.iter().product::<usize>() / (m * n).max(1) * (m / 128) * (n / 128);
            if tiles >= LARGE_TILES { 2 } else { 1 }
        }
        _ => 1,
    };
    let rank = window.shape.len().max(3) + kernel.inner.len().max(1);
    let params = form.params(rank).ok_or_else(|| limit(format!("{rank} axes of {} operands", form.columns)))?;
    Ok(Variant {
        slots: kinds.iter().copied().collect(),
        loads: slots[..n].iter().map(|s| *s as u8).collect(),
        stores,
        lanes,
        held,
        units,
        spread,
        params,
    })
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
