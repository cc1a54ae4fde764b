//! Splits matrix products on a GPU into several kernels. Usually one kernel computes a product and the operations on
//! its result (the epilogue). Here k is the axis over which a product sums, and a chain is 256 consecutive elements
//! along k, whose products are added one after another (`plan/kernel/product.rs`). There are several kernels in two
//! cases:
//!
//! * The result is small and k is long, so that few workgroups would do all the work. Then the sums of all chains are
//!   computed at the same time and stored, and another kernel adds them in order.
//! * An operand spans more than one binding along k. Then k is cut between chains, and each kernel continues from the
//!   sums of the previous kernel.
//!
//! The bits of the result are the same in all cases, because the additions have the same order.

use super::planner::{Planner, span};
use super::product::{epilogue, store};
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{Shape, Strides, c_strides, product};
use crate::graph::ufunc::SUM_OF_CHAINS;
use crate::plan::kernel::{
    BufferRef, CHAIN, Kernel, KernelKind, Lanes, Load, Op, PartOfK, Schedule, Store, Value, is_narrow,
};
use smallvec::smallvec;

/// The minimum number of chains that a product must have if its chains are to be divided among workgroups. A workgroup
/// adds the products of a chain in about 10 µs, and the two additional kernels take about as long.
const FEWEST: usize = 4;

/// The minimum number of 64 × 64 tiles that keeps a device busy: about one for each multiprocessor of a large card (132
/// on an H100).
const BUSY: usize = 128;

/// The maximum size in bytes of the stored sums of all chains: 64 MiB. These sums are written and read once, in
/// addition to operands of a similar size. Chosen by hand; no benchmark compares other values.
const MOST_BYTES: usize = 64 << 20;

/// The minimum number of workgroups that keeps a device busy if each invocation computes one element. Such workgroups
/// wait for memory, so each multiprocessor of a large card runs several of them at a time.
const BUSY_NARROW: usize = 512;

/// The maximum number of kernels into which k is cut. Each kernel takes about 1 KiB of the plan, and a larger number
/// indicates that the device has unreasonable limits.
const MOST_KERNELS: usize = 1 << 12;

/// Returns the kernels into which a product is split. All but the last write temporaries.
pub(super) fn kernels(p: &Planner<'_>, kernel: Kernel) -> Result<Vec<Kernel>> {
    let Some(Value { op: Op::Dot { from: None, part: None }, .. }) = kernel.values.first() else {
        return Ok(vec![kernel]);
    };
    let k = kernel.inner_size();
    // if k has several axes, each operand fits one binding (checked in `axes.rs`), so k is never cut
    let length = if kernel.inner.len() > 1 { None } else { longest(p, &kernel, k) };
    if length == Some(0) {
        return beside_copies(p, kernel);
    }
    if is_shared(p, &kernel, k) {
        return Ok(shared(p, &kernel, k));
    }
    let Some(length) = length else { return Ok(vec![kernel]) };
    let count = k.div_ceil(length);
    if count > MOST_KERNELS {
        let detail = format!("a product over k = {k} needs more than {MOST_KERNELS} kernels of length {length}");
        return Err(Error::with_line(ErrorKind::LimitExceeded, kernel.name, detail, None));
    }
    Ok(cut(p, &kernel, k, length))
}

/// Returns the type in which the sums of a product are stored between its kernels.
fn wanted(kernel: &Kernel) -> DType {
    kernel.values[0].compute().dtype()
}

/// Returns whether the chains of a product are divided among workgroups, because the elements of the result alone would
/// keep too few workgroups busy.
fn is_shared(p: &Planner<'_>, kernel: &Kernel, k: usize) -> bool {
    let [batches, m, n] = kernel.matrices(&kernel.outer);
    // if both factors have stride 0 along an outer axis, this axis could be merged with the axis that counts chains, so
    // such a product is not divided
    let still = |d: &usize| kernel.loads[..2].iter().all(|load| load.strides[*d] == 0);
    if kernel.inner.len() > 1 && (0..kernel.outer.len()).any(|d| kernel.outer[d] > 1 && still(&d)) {
        return false;
    }
    // products by cooperative matrices have no special kernel for narrow results
    let is_cooperative = kernel.values[0].dtype == DType::F16 && p.caps.blocks(batches, m, n).is_some();
    let is_busy = match is_narrow(m, n) && !is_cooperative {
        true => kernel.outer_size().div_ceil(p.caps.group()) >= BUSY_NARROW,
        false => batches.saturating_mul(m.div_ceil(64)).saturating_mul(n.div_ceil(64)) >= BUSY,
    };
    let chains = k.div_ceil(CHAIN);
    let sums = kernel.outer_size().saturating_mul(chains);
    // the sums of all chains must fit one binding
    let most = (MOST_BYTES as u64).min(p.most_bytes());
    chains >= FEWEST && !is_busy && kernel.outer_size() > 0 && span(sums, 1, wanted(kernel)) <= most
}

/// Returns how many elements along k one kernel can process, a multiple of the length of a chain. Returns `None` if one
/// kernel can process all of k, and 0 if a single chain spans more than a binding.
fn longest(p: &Planner<'_>, kernel: &Kernel, k: usize) -> Option<usize> {
    let rank = kernel.outer.len();
    let most = p.most_bytes();
    // shaders compute indices as u32; half of the range of u32 is left for indices past the end of an operand
    let mut length = 1usize << 31;
    for load in &kernel.loads[..2] {
        let step = load.strides[rank];
        if span(k, step, load.dtype) <= most / 2 {
            continue;
        }
        // use up to half of a binding for the range along k, or more if one chain needs more; the rest of the binding
        // is for the other axes, which are cut into windows
        let bytes = (step.unsigned_abs() as u64).saturating_mul(load.dtype.size() as u64).max(1);
        let fits = (most / 2 / bytes) as usize / CHAIN * CHAIN;
        let one = if span(CHAIN, step, load.dtype) <= most { CHAIN } else { 0 };
        length = length.min(fits.max(one));
    }
    (length < k).then_some(length)
}

/// Returns a kernel that computes the product over `length` elements along k from `start` on, without epilogue and
/// stores.
fn part(kernel: &Kernel, start: usize, length: usize) -> Kernel {
    let rank = kernel.outer.len();
    let along_k = |l: &Load| Load { offset: l.offset + l.strides[rank] * start as isize, ..l.clone() };
    let mut part = Kernel { values: kernel.values[..1].to_vec(), stores: vec![], ..kernel.clone() };
    part.loads.truncate(2);
    if kernel.inner.len() > 1 {
        let of = PartOfK { first: start, length, of_chains: false };
        part.values[0].op = Op::Dot { from: None, part: Some(of) };
    } else {
        part.inner = smallvec![length];
        part.loads = part.loads.iter().map(along_k).collect();
    }
    part
}

/// Returns a load of the sums in `buffer`, which holds one sum for each index of the kernel's outer dimensions, in C
/// order.
fn sums(buffer: BufferRef, kernel: &Kernel) -> Load {
    let mut strides = c_strides(&kernel.outer);
    strides.push(0);
    Load { buffer, dtype: wanted(kernel), strides, offset: 0 }
}

/// Completes the list of kernels for the product `kernel`. Without an epilogue, the last kernel gets the stores of
/// `kernel`. With an epilogue, the last kernel stores the product in `buffer`, and a kernel for the epilogue is added.
/// In the last kernel, the value with the index `value` is the product.
fn end(kernels: &mut Vec<Kernel>, kernel: &Kernel, value: usize, buffer: impl FnOnce() -> BufferRef) {
    let has_epilogue = kernel.values.len() > 1;
    if let Some(last) = kernels.last_mut() {
        match has_epilogue {
            false => last.stores = kernel.stores.iter().map(|s| Store { value, ..s.clone() }).collect(),
            true => {
                let strides = c_strides(&kernel.outer);
                let buffer = buffer();
                last.stores = vec![store(buffer, wanted(kernel), strides.clone(), value)];
                kernels.push(epilogue(kernel.clone(), Load { buffer, dtype: wanted(kernel), strides, offset: 0 }));
            }
        }
    }
    for (i, k) in kernels.iter_mut().enumerate() {
        k.continues = i > 0;
    }
}

/// Returns the kernels of a product that is cut along k into parts of `length` elements. Each kernel except the first
/// continues from the sums that the previous kernel stored.
fn cut(p: &Planner<'_>, kernel: &Kernel, k: usize, length: usize) -> Vec<Kernel> {
    let buffer = p.temp(kernel.outer_size().saturating_mul(wanted(kernel).size()));
    let mut kernels = vec![];
    for start in (0..k).step_by(length) {
        let mut next = part(kernel, start, length.min(k - start));
        if start > 0 {
            next.loads.push(sums(buffer, kernel));
            next.values[0].op = Op::Dot { from: mutant!(sum_so_far_forgotten, None, Some(2)), part: None };
        }
        next.stores = vec![store(buffer, wanted(kernel), c_strides(&kernel.outer), 0)];
        kernels.push(next);
    }
    end(&mut kernels, kernel, 0, || buffer);
    kernels
}

/// Returns the kernels of a product whose chains are divided among workgroups: one for the sums of whole chains, one
/// for a shorter last chain, and one that adds the sums in order.
fn shared(p: &Planner<'_>, kernel: &Kernel, k: usize) -> Vec<Kernel> {
    let (size, rank) = (kernel.outer_size(), kernel.outer.len());
    let (whole, chains) = (k / CHAIN, k.div_ceil(CHAIN));
    let dtype = wanted(kernel);
    let buffer = p.temp(size.saturating_mul(chains).saturating_mul(dtype.size()));
    let mut all = part(kernel, 0, CHAIN);
    all.outer.insert(0, whole);
    for load in &mut all.loads {
        let step = if kernel.inner.len() > 1 { 0 } else { load.strides[rank] * CHAIN as isize };
        load.strides.insert(0, step);
    }
    if let Op::Dot { part: Some(part), .. } = &mut all.values[0].op {
        part.of_chains = mutant!(first_chain_everywhere, false, true);
    }
    all.stores = vec![store(buffer, dtype, c_strides(&all.outer), 0)];
    let mut kernels = vec![all];
    if whole < chains {
        let mut last = part(kernel, whole * CHAIN, k - whole * CHAIN);
        let mut to = store(buffer, dtype, c_strides(&kernel.outer), 0);
        to.offset = (whole * size) as isize;
        last.stores = vec![to];
        kernels.push(last);
    }
    let total = p.temp(size.saturating_mul(dtype.size()));
    let mut strides = c_strides(&kernel.outer);
    strides.push(size as isize);
    let mut sum = Kernel {
        kind: KernelKind::Reduce(Lanes::Inner),
        inner: smallvec![mutant!(last_chain_left_out, whole, chains)],
        loads: vec![Load { buffer, dtype, strides, offset: 0 }],
        values: vec![],
        stores: vec![],
        windows: vec![],
        schedule: Schedule::default(),
        ..kernel.clone()
    };
    let chain = sum.push(Op::Load(0), dtype, true);
    let value = sum.push(Op::reduce(*SUM_OF_CHAINS, chain, dtype), dtype, false);
    sum.stores = vec![store(total, dtype, c_strides(&kernel.outer), value)];
    kernels.push(sum);
    end(&mut kernels, kernel, value, || total);
    kernels
}

/// Returns the kernels of a product with an operand whose stride along k is so large that not even one chain fits a
/// binding. Kernels before the product copy such an operand, so that its elements are contiguous along k.
fn beside_copies(p: &Planner<'_>, mut kernel: Kernel) -> Result<Vec<Kernel>> {
    let rank = kernel.outer.len();
    let mut kernels = vec![];
    for (operand, own_axis) in [(0, rank - 2), (1, rank - 1)] {
        let load = &kernel.loads[operand];
        if span(CHAIN, load.strides[rank], load.dtype) <= p.most_bytes() {
            continue;
        }
        if span(CHAIN, 1, load.dtype) > p.most_bytes() {
            let detail = format!("{CHAIN} elements of {} exceed the largest binding of {}", load.dtype, p.caps.name);
            return Err(Error::with_line(ErrorKind::LimitExceeded, kernel.name, detail, None));
        }
        // the axes of the copy are the batch axes (of length 1 where the operand is broadcast), m or n, and k
        let axes = || (0..rank - 2).chain([own_axis]);
        let length = |d: usize| if load.strides[d] == 0 { 1 } else { kernel.outer[d] };
        let outer: Shape = axes().map(length).chain([kernel.inner[0]]).collect();
        let source: Strides = axes().map(|d| load.strides[d]).chain([load.strides[rank]]).collect();
        let (to, dtype) = (c_strides(&outer), load.dtype);
        let buffer = p.temp(product(&outer).saturating_mul(dtype.size()));
        let mut strides: Strides = smallvec![0; rank + 1];
        for (d, (n, stride)) in axes().chain([rank]).zip(outer.iter().zip(&to)) {
            strides[d] = if *n == 1 { 0 } else { *stride };
        }
        // a copy moves bits, so floats are moved as integers
        let raw = if dtype == DType::F64 { dtype } else { dtype.raw() };
        kernels.push(Kernel {
            kind: KernelKind::Elementwise,
            inner: Shape::new(),
            loads: vec![Load { strides: source, dtype: raw, ..load.clone() }],
            values: vec![Value { op: Op::Load(0), dtype: raw, inner: false }],
            stores: vec![store(buffer, raw, to, 0)],
            windows: vec![],
            schedule: Schedule::default(),
            outer,
            ..kernel.clone()
        });
        kernel.loads[operand] = Load { buffer, dtype, strides, offset: 0 };
    }
    let copies = kernels.len();
    kernels.extend(self::kernels(p, kernel)?);
    kernels[copies].continues = copies > 0;
    kernels.iter_mut().take(copies).skip(1).for_each(|k| k.continues = true);
    Ok(kernels)
}
