//! Turns the draft of a kernel into final loop nests: orders and merges its dimensions, and cuts its outer dimensions
//! into windows if an operand is larger than one dispatch can bind. Also calls the files that cut one draft into
//! several kernels: `split.rs`, `scan.rs`, `chains.rs`, `product.rs` and `indexed.rs`.

use super::chains;
use super::indexed::cut;
use super::lower::Draft;
use super::planner::{DraftLists, Planner, moves_raw};
use super::product;
use super::scan;
use super::split::split;
use super::sums::by_sums;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{Shape, Strides, copied, extend};
use crate::plan::kernel::{BufferRef, Kernel, KernelKind, Load, Op, Schedule, Store, Value, Window};
use smallvec::{SmallVec, smallvec};
use std::cmp::Reverse;

/// Makes the final kernels of a draft (usually one). Orders and merges their dimensions, splits long reductions and
/// scans, and cuts windows.
pub(super) fn finish(p: &Planner<'_>, mut draft: Draft) -> Result<Vec<Kernel>> {
    move_raw(&mut draft);
    order_dimensions(&mut draft);
    let (kind, outer, inner) = (draft.kind, copied(&draft.outer), copied(&draft.inner));
    DraftLists::keep(p, &mut draft.loads, &mut draft.values);
    let mut kernel = Kernel {
        kind,
        outer,
        inner,
        loads: draft.loads,
        values: draft.values,
        stores: draft.stores,
        windows: vec![],
        schedule: Schedule::default(),
        continues: false,
        name: draft.name,
        node: p.arena.nodes[draft.owner].number as usize,
    };
    let at = |e: Error| e.or_at(p.arena.nodes[draft.node].location);
    if p.caps.workgroup > 0 {
        by_sums(&mut kernel);
    }
    if kernel.scans() {
        return scan::kernels(p, kernel, &|k| {
            collapse(k);
            windows(p, k, false).map_err(at)
        });
    }
    if !matches!(kernel.kind, KernelKind::Reduce(_)) {
        if kernel.kind == KernelKind::Matmul {
            fold_batch(&mut kernel);
        }
        collapse(&mut kernel);
        let mut kernels = match kernel.kind {
            KernelKind::Elementwise => cut(p, kernel).map_err(at)?,
            KernelKind::Matmul if p.caps.fuses_product => chains::kernels(p, kernel).map_err(at)?,
            KernelKind::Reduce(_) | KernelKind::Row | KernelKind::Matmul => vec![kernel],
        };
        let passes = kernels.len();
        for k in &mut kernels {
            if passes > 1 {
                collapse(k);
            }
            windows(p, k, false).map_err(at)?;
        }
        return Ok(match kernels.pop() {
            Some(k) if k.kind == KernelKind::Matmul && !p.caps.fuses_product => {
                product::passes(k, &mut |bytes| p.temp(bytes))
            }
            last => {
                kernels.extend(last);
                kernels
            }
        });
    }
    let mut chunk = None;
    loop {
        let length = chunk.unwrap_or(kernel.inner_size());
        // if the elements that are reduced to one result span more than a binding, divide the chunk length by 4 until
        // they fit; a smaller factor would repeat this loop more often, and a larger one would make chunks shorter than
        // necessary
        let splits = length > 1;
        let mut kernels = split(p, kernel.clone(), chunk);
        let fit = kernels.iter_mut().enumerate().try_for_each(|(i, k)| {
            // merge dimensions only after the split: strides determine which dimensions can be merged, but the split
            // decides the bits of the result, so it must not depend on strides
            collapse(k);
            k.continues = i > 0;
            windows(p, k, splits).map_err(at)
        });
        match fit {
            Ok(()) => return Ok(kernels),
            Err(_) if splits => chunk = Some(length.div_ceil(4)),
            Err(e) => return Err(e),
        }
    }
}

/// If a kernel only moves floats without computing with them, changes their types to integers of the same size, because
/// float instructions could change the bits of a NaN.
fn move_raw(draft: &mut Draft) {
    let moves = |v: &Value| match &v.op {
        // a value that is not a float, such as an index or a condition, may be computed in any way, because it cannot
        // be NaN
        _ if mutant!(half_gather_through_f32, v.dtype == DType::Bool, !moves_raw(v.dtype)) => true,
        Op::Load(_) | Op::Gather { .. } => true,
        Op::Ufunc(row, _) => row.properties.moves_bits,
        Op::Scalar(_)
        | Op::Constant(_)
        | Op::Index { .. }
        | Op::Cast(_)
        | Op::Round(_)
        | Op::Position(_)
        | Op::Philox { .. }
        | Op::Reduce(_)
        | Op::Scan(_)
        | Op::Dot { .. } => false,
    };
    if draft.kind != KernelKind::Elementwise || !draft.values.iter().all(moves) {
        return;
    }
    // a kernel that uses the value of a float (compares, casts or rounds it) must hold it as a float
    let uses_float = draft.values.iter().any(|v| match &v.op {
        // comparisons of integers, for example of the indices of a gather, use no float
        Op::Ufunc(row, args) => {
            (!moves_raw(v.dtype) || row.properties.rounds_first)
                && args.iter().any(|a| moves_raw(draft.values[*a].dtype))
        }
        Op::Cast(a) | Op::Round(a) => moves_raw(draft.values[*a].dtype),
        Op::Load(_)
        | Op::Scalar(_)
        | Op::Constant(_)
        | Op::Index { .. }
        | Op::Gather { .. }
        | Op::Position(_)
        | Op::Philox { .. }
        | Op::Reduce(_)
        | Op::Scan(_)
        | Op::Dot { .. } => false,
    });
    if uses_float {
        return;
    }
    // f64 stays f64, because a device may support f64 but no 64-bit integers
    let raw = |d: &mut DType| {
        if moves_raw(*d) && *d != DType::F64 {
            *d = d.raw();
        }
    };
    draft.values.iter_mut().for_each(|v| raw(&mut v.dtype));
    draft.loads.iter_mut().for_each(|l| raw(&mut l.dtype));
    draft.stores.iter_mut().for_each(|s| raw(&mut s.dtype));
}

/// Returns the strides of all loads, stores and indices of a kernel. If a stored value has one element per outer index,
/// its strides only have entries for the outer dimensions.
fn stride_vectors<'a>(
    loads: &'a mut [Load],
    stores: &'a mut [Store],
    values: &'a mut [Value],
) -> impl Iterator<Item = &'a mut Strides> {
    let indices = values.iter_mut().filter_map(|v| v.op.strides_mut());
    loads.iter_mut().map(|l| &mut l.strides).chain(stores.iter_mut().map(|s| &mut s.strides)).chain(indices)
}

/// Sorts the dimensions of a draft by strides, with the largest stride outermost:
///
/// * Inner dimensions by the strides that the reduced operand would have if it were dense, because their order decides
///   the bits of a reduction.
/// * Outer dimensions by the strides of the first store. In a reduce kernel, which reads more than it writes, by the
///   strides of the reduced operand.
/// * The dimensions of a matmul and the outer dimensions of a scattered store are not sorted.
fn order_dimensions(draft: &mut Draft) {
    let (o, n) = (draft.outer.len(), draft.outer.len() + draft.inner.len());
    let by = |strides: &[isize], range: std::ops::Range<usize>| -> SmallVec<[usize; 6]> {
        let mut dims: SmallVec<[usize; 6]> = range.collect();
        dims.sort_by_key(|d| (Reverse(strides[*d].unsigned_abs()), *d));
        dims
    };
    let store = &draft.stores[0].strides;
    let outer = match draft.kind {
        // a scattered store has stride 0 along the axis of its computed indices, so its strides do not tell how to sort
        // the dimensions
        KernelKind::Elementwise if draft.stores[0].scattered().is_some() => (0..o).collect(),
        KernelKind::Elementwise | KernelKind::Row => by(store, 0..o),
        KernelKind::Reduce(_) => by(&draft.reduction_strides, 0..o),
        KernelKind::Matmul => (0..o).collect(),
    };
    let inner = match draft.kind {
        KernelKind::Matmul => (o..n).collect(),
        KernelKind::Elementwise | KernelKind::Reduce(_) | KernelKind::Row => by(&draft.reduction_strides, o..n),
    };
    let permutation: SmallVec<[usize; 6]> = outer.iter().chain(&inner).copied().collect();
    if permutation.is_sorted() {
        return;
    }
    let dims: Shape = draft.outer.iter().chain(&draft.inner).copied().collect();
    draft.outer = outer.iter().map(|d| dims[*d]).collect();
    draft.inner = inner.iter().map(|d| dims[*d]).collect();
    for s in stride_vectors(&mut draft.loads, &mut draft.stores, &mut draft.values) {
        *s = permutation.iter().filter_map(|d| s.get(*d).copied()).collect();
    }
}

/// Sorts the dimensions of an elementwise kernel by the strides of its first store, with the largest outermost, and
/// merges them.
pub(super) fn arrange(k: &mut Kernel) {
    if k.kind != KernelKind::Elementwise || k.windows.len() != 1 {
        return;
    }
    let mut order: SmallVec<[usize; 6]> = (0..k.outer.len()).collect();
    order.sort_by_key(|d| (Reverse(k.stores[0].strides[*d].unsigned_abs()), *d));
    k.outer = order.iter().map(|d| k.outer[*d]).collect();
    for s in stride_vectors(&mut k.loads, &mut k.stores, &mut k.values) {
        *s = order.iter().map(|d| s[*d]).collect();
    }
    collapse(k);
    k.windows = vec![Window { start: smallvec![0; k.outer.len()], shape: k.outer[..].into() }];
}

/// Drops dimensions of length 1 (except the only inner dimension that is left), and merges neighbouring dimensions. Two
/// dimensions are merged if, for every operand, the stride along the first is the stride along the second times the
/// length of the second. Fewer dimensions need less index arithmetic.
pub(super) fn collapse(k: &mut Kernel) {
    let o = k.outer.len();
    // the axes m and n of a matmul, and its inner axes (k), are not merged with others, because the code that runs
    // products needs them separately
    let fixed = if k.kind == KernelKind::Matmul { o.saturating_sub(2)..o } else { 0..0 };
    let mut dims = copied(&k.outer);
    extend(&mut dims, &k.inner);
    let mut outer = o;
    let mut d = dims.len();
    while d > 0 {
        d -= 1;
        if fixed.contains(&d) || k.kind == KernelKind::Matmul && d >= o {
            continue;
        }
        let last_inner = d >= outer && dims.len() - outer == 1;
        let vectors = || {
            k.loads
                .iter()
                .map(|l| &l.strides)
                .chain(k.stores.iter().map(|s| &s.strides))
                .chain(k.values.iter().filter_map(|v| v.op.strides()))
        };
        let gone = if dims[d] == 1 && !last_inner {
            true
        } else if d + 1 < dims.len() && d + 1 != outer && !fixed.contains(&(d + 1)) {
            // if dimensions `d` and `d + 1` are merged, the merged one has the stride of `d + 1`
            let merges = vectors().all(|s| {
                let same = |a: isize, b: isize| mutant!(collapse_ignores_sign, a.abs() == b.abs(), a == b);
                s.len() <= d + 1 || same(s[d], s[d + 1] * dims[d + 1] as isize)
            });
            if merges {
                dims[d + 1] *= dims[d];
            }
            merges
        } else {
            false
        };
        if gone {
            dims.remove(d);
            outer -= (d < outer) as usize;
            for s in stride_vectors(&mut k.loads, &mut k.stores, &mut k.values) {
                if d < s.len() {
                    s.remove(d);
                }
            }
        }
    }
    k.outer = dims[..outer].into();
    k.inner = dims[outer..].into();
}

/// Merges batch axes of a product into its rows if the second operand does not change along them, and into its columns
/// if the first operand does not. For example, `x [8, 13, k] · w [k, m]` is one product of 104 rows. As in
/// [`collapse`], the strides of every operand must allow the merge. An axis of length 1 can be merged with any other.
fn fold_batch(k: &mut Kernel) {
    let mut d = k.outer.len().saturating_sub(2);
    while d > 0 {
        d -= 1;
        let (row, n) = (k.outer.len() - 2, k.outer[d]);
        // first try to merge into the rows, along which load 1 (the right operand) has stride 0, then into the columns,
        // along which load 0 (the left operand) has stride 0
        for (to, lacks) in [(row, 1), (row + 1, 0)] {
            let m = k.outer[to];
            let along = |s: &Strides| m == 1 || n == 1 || s[d] == s[to] * m as isize;
            let absent = k.loads[lacks].strides[d] == 0 || n == 1;
            let walks = k.loads.iter().map(|l| &l.strides).chain(k.stores.iter().map(|s| &s.strides));
            if !absent || !walks.chain(k.values.iter().filter_map(|v| v.op.strides())).all(along) {
                continue;
            }
            k.outer[to] = n * m;
            k.outer.remove(d);
            for s in stride_vectors(&mut k.loads, &mut k.stores, &mut k.values) {
                if m == 1 && n != 1 {
                    s[to] = s[d];
                }
                s.remove(d);
            }
            break;
        }
    }
}

/// The maximum number of windows, and so of dispatches, of one kernel. Recording this many dispatches takes about 65
/// ms, and a larger number indicates that the device has unreasonable limits.
const MAX_WINDOWS: usize = 1 << 16;

/// Cuts the outer dimensions of a kernel in halves, quarters and so on, until in each window every operand fits a
/// binding, and each window has at most `Caps::max_indices` indices.
///
/// If `splits` is true, the kernel could be split into shorter reductions instead. Then this function returns an error
/// after 8 + 8 · (bindings + grids) windows, where the largest operand fills `bindings` bindings, and the indices fill
/// `grids` dispatches. The factor is 8 = 2³, because a window may be only half full along each of three axes.
fn windows(p: &Planner<'_>, k: &mut Kernel, splits: bool) -> Result<()> {
    let whole = Window { start: smallvec![0; k.outer.len()], shape: SmallVec::from_slice(&k.outer) };
    let Some((_, bytes, _)) = oversized(p, k, &whole) else {
        k.windows = vec![whole];
        return Ok(());
    };
    let bindings = bytes / p.caps.max_binding.max(1) + 1;
    let grids = k.outer_size() as u64 / p.caps.max_indices.max(1);
    let most = if splits { (8 + 8 * (bindings + grids) as usize).min(MAX_WINDOWS) } else { MAX_WINDOWS };
    let mut todo = vec![whole];
    while let Some(w) = todo.pop() {
        let too_large = oversized(p, k, &w);
        let Some((what, bytes, strides)) = too_large else {
            if k.windows.len() >= most {
                let detail = format!("{} elements need more than {most} dispatches", k.outer_size());
                return Err(Error::with_line(ErrorKind::LimitExceeded, k.name, detail, None));
            }
            k.windows.push(w);
            continue;
        };
        // halve the dimension that contributes most to the span of the largest operand, because cutting another one
        // would reduce the span less
        let reach = |d: &usize| (w.shape[*d] as u64 - 1).saturating_mul(strides[*d].unsigned_abs() as u64);
        let cuttable = (0..w.shape.len()).filter(|d| w.shape[*d] > 1);
        let Some(d) = cuttable.max_by_key(|d| (reach(d), Reverse(*d))) else {
            let (most, name) = (p.caps.max_binding, &p.caps.name);
            let detail = match bytes > p.most_bytes() {
                true => format!("{what} spans {bytes} bytes; one kernel on {name} can bind at most {most}"),
                false => {
                    format!(
                        "a result of shape {:?} has too many indices; one dispatch on {name} covers at most {}",
                        w.shape, p.caps.max_indices
                    )
                }
            };
            return Err(Error::with_line(ErrorKind::LimitExceeded, k.name, detail, None));
        };
        let (mut a, mut b) = (w.clone(), w);
        // cut at a multiple of four elements, so that no two windows write the same word of packed 8-bit types; axes of
        // at most 6 elements are cut anywhere, because a window that begins within a word writes this word atomically
        // (`store_modes` in `gpu/variant.rs`)
        let half = a.shape[d].div_ceil(2);
        let half =
            if half >= mutant!(windows_not_rounded_to_4, usize::MAX, 4) { half.next_multiple_of(4) } else { half };
        a.shape[d] = half.min(b.shape[d] - 1);
        b.start[d] += a.shape[d];
        b.shape[d] -= mutant!(window_short, a.shape[d] + (b.shape[d] > a.shape[d] + 20_000) as usize, a.shape[d]);
        todo.push(b);
        todo.push(a);
    }
    Ok(())
}

/// If a window is too large for one dispatch, returns the operand that spans most memory in it: its buffer, its span in
/// bytes and its strides. A window is too large if this operand spans more than a binding, or if the window has more
/// indices than a dispatch may have.
fn oversized<'k>(p: &Planner<'_>, k: &'k Kernel, w: &Window) -> Option<(BufferRef, u64, &'k Strides)> {
    let mut extents = Shape::from_slice(&w.shape);
    extend(&mut extents, &k.inner);
    let indices = w.shape.iter().map(|n| *n as u128).product::<u128>();
    let limit = p.most_bytes();
    let bytes = |strides: &Strides, dtype: DType, more: u64| -> u64 {
        // a binding can start at any element, so only the distances between the elements count, not the offset
        let reach: u64 = extents
            .iter()
            .zip(strides)
            .map(|(n, s)| (n.saturating_sub(1) as u64).saturating_mul(s.unsigned_abs() as u64))
            .fold(more, u64::saturating_add);
        reach.saturating_add(1).saturating_mul(dtype.size() as u64)
    };
    let gathered = |l: usize| {
        k.values.iter().find_map(|v| {
            let Op::Gather { load, stride, position } = &v.op else { return None };
            let reach = (position.extent.saturating_sub(1) as u64).saturating_mul(stride.unsigned_abs() as u64);
            (*load == l).then_some(reach)
        })
    };
    let loads = k.loads.iter().enumerate().filter(|(i, _)| k.reads(*i)).map(|(i, l)| {
        (l.buffer, bytes(&l.strides, l.dtype, mutant!(gathers_reach_left_out, 0, gathered(i).unwrap_or(0))), &l.strides)
    });
    let stores =
        k.stores.iter().map(|s| (s.buffer, bytes(&s.strides, s.dtype, s.reach().unsigned_abs() as u64), &s.strides));
    let largest = loads.chain(stores).max_by_key(|l| l.1)?;
    (largest.1 > limit || indices > p.caps.max_indices as u128).then_some(largest)
}
