//! A matrix product on a device whose kernels compute product and epilogue at once. One kernel does that, but for two cases:
//!
//! * The result is small and k is long: few workgroups would do all the work. So the chains of k (`plan/kernel/product.rs`) become a
//!   batch axis, whose products are stored beside each other, and a further kernel adds them in order.
//! * An operand spans more than a binding along k: then k is cut at the ends of chains, and each kernel goes on from the sums
//!   of the one before it. Along m, n and the batch, windows cut the kernels as they cut all others.
//!
//! Neither changes a bit: each way adds the products of a chain one after another, then the sums of the chains.

use super::planner::{Planner, span};
use super::product::{epilogue, store};
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{Shape, Strides, c_strides, product};
use crate::graph::ufunc::SUM_OF_CHAINS;
use crate::plan::kernel::{BufferRef, CHAIN, Kernel, KernelKind, Lanes, Load, Op, Schedule, Store, Value, is_narrow};
use smallvec::smallvec;

/// The fewest chains that are shared among workgroups. A judgement: a workgroup adds the products of a chain in some 10 µs, and
/// two more kernels take about as long.
const FEWEST: usize = 4;

/// The fewest tiles of 64 × 64 that keep a device busy: about one for each multiprocessor of a large card (132 on an H100).
const BUSY: usize = 128;

/// The most bytes of the sums of all chains, a judgement: they are written and read once, beside operands that are as large.
const MOST_BYTES: usize = 64 << 20;

/// The fewest workgroups that keep a device busy where each invocation computes one element: such workgroups wait for memory,
/// so each multiprocessor of a large card has some at once.
const BUSY_NARROW: usize = 512;

/// The most kernels that k is cut into. Each is about a KiB of the plan, and more are a sign of limits that make no sense.
const MOST_KERNELS: usize = 1 << 12;

/// Returns the kernels of a product, of which all but the last write temporaries.
pub(super) fn kernels(p: &Planner<'_>, kernel: Kernel) -> Result<Vec<Kernel>> {
    let ([k], Some(Value { op: Op::Dot { from: None }, .. })) = (&kernel.inner[..], kernel.values.first()) else {
        return Ok(vec![kernel]);
    };
    let k = *k;
    let length = longest(p, &kernel, k);
    if length == Some(0) {
        return beside_copies(p, kernel);
    }
    if is_shared(p, &kernel, k) {
        return Ok(shared(p, &kernel, k));
    }
    let Some(length) = length else { return Ok(vec![kernel]) };
    let count = k.div_ceil(length);
    if count > MOST_KERNELS {
        let detail = format!("a product over {k} needs more than {MOST_KERNELS} kernels of {length}");
        return Err(Error::with_line(ErrorKind::LimitExceeded, kernel.name, detail, None));
    }
    Ok(cut(p, &kernel, k, length))
}

/// The type in which sums are kept between kernels.
fn wanted(kernel: &Kernel) -> DType {
    kernel.values[0].compute().dtype()
}

/// Whether the chains of k are shared among workgroups.
fn is_shared(p: &Planner<'_>, kernel: &Kernel, k: usize) -> bool {
    let [batch @ .., m, n] = &kernel.outer[..] else { return false };
    // tiles of cooperative matrices are as large for any shape
    let is_cooperative = kernel.values[0].dtype == DType::F16 && p.caps.cooperative_side().is_some();
    let is_busy = match is_narrow(*m, *n) && !is_cooperative {
        true => kernel.outer_size().div_ceil(p.caps.group()) >= BUSY_NARROW,
        false => product(batch).saturating_mul(m.div_ceil(64)).saturating_mul(n.div_ceil(64)) >= BUSY,
    };
    let chains = k.div_ceil(CHAIN);
    let sums = kernel.outer_size().saturating_mul(chains);
    // one binding holds the sums of all chains
    let most = (MOST_BYTES as u64).min(p.most_bytes());
    chains >= FEWEST && !is_busy && kernel.outer_size() > 0 && span(sums, 1, wanted(kernel)) <= most
}

/// Returns how many elements along k a kernel takes at most, a multiple of the length of a chain; none if it takes all, and 0 if
/// one chain spans more than a binding.
fn longest(p: &Planner<'_>, kernel: &Kernel, k: usize) -> Option<usize> {
    let rank = kernel.outer.len();
    let most = p.most_bytes();
    // shaders index with u32, of which half is left to what lies past an end
    let mut length = 1usize << 31;
    for load in &kernel.loads[..2] {
        let step = load.strides[rank];
        if span(k, step, load.dtype) <= most / 2 {
            continue;
        }
        // half of a binding is for what windows need of the other axes, unless a chain takes more
        let bytes = (step.unsigned_abs() as u64).saturating_mul(load.dtype.size() as u64).max(1);
        let fits = (most / 2 / bytes) as usize / CHAIN * CHAIN;
        let one = if span(CHAIN, step, load.dtype) <= most { CHAIN } else { 0 };
        length = length.min(fits.max(one));
    }
    (length < k).then_some(length)
}

/// The product over `length` elements along k from `start` on, without epilogue and stores.
fn part(kernel: &Kernel, start: usize, length: usize) -> Kernel {
    let rank = kernel.outer.len();
    let along_k = |l: &Load| Load { offset: l.offset + l.strides[rank] * start as isize, ..l.clone() };
    Kernel {
        inner: smallvec![length],
        loads: kernel.loads[..2].iter().map(along_k).collect(),
        values: kernel.values[..1].to_vec(),
        stores: vec![],
        ..kernel.clone()
    }
}

/// A load of the sums in `buffer`, which lie in the order of the kernel's result: one for each index of `outer`.
fn sums(buffer: BufferRef, kernel: &Kernel) -> Load {
    let mut strides = c_strides(&kernel.outer);
    strides.push(0);
    Load { buffer, dtype: wanted(kernel), strides, offset: 0 }
}

/// Gives the last kernel of a product the stores of the whole, or adds the kernel of the epilogue. `buffer` is where the last
/// kernel stores the product if there is an epilogue, and `value` which of its values is the product.
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

/// The kernels of a product whose k is cut: each but the first goes on from the sums that the one before it has stored.
fn cut(p: &Planner<'_>, kernel: &Kernel, k: usize, length: usize) -> Vec<Kernel> {
    let buffer = p.temp(kernel.outer_size().saturating_mul(wanted(kernel).size()));
    let mut kernels = vec![];
    for start in (0..k).step_by(length) {
        let mut next = part(kernel, start, length.min(k - start));
        if start > 0 {
            next.loads.push(sums(buffer, kernel));
            next.values[0].op = Op::Dot { from: mutant!(sum_so_far_forgotten, None, Some(2)) };
        }
        next.stores = vec![store(buffer, wanted(kernel), c_strides(&kernel.outer), 0)];
        kernels.push(next);
    }
    end(&mut kernels, kernel, 0, || buffer);
    kernels
}

/// The kernels of a product whose chains are shared: the sums of whole chains, that of a last, shorter one, and the one
/// that adds them in order.
fn shared(p: &Planner<'_>, kernel: &Kernel, k: usize) -> Vec<Kernel> {
    let (size, rank) = (kernel.outer_size(), kernel.outer.len());
    let (whole, chains) = (k / CHAIN, k.div_ceil(CHAIN));
    let dtype = wanted(kernel);
    let buffer = p.temp(size.saturating_mul(chains).saturating_mul(dtype.size()));
    let mut all = part(kernel, 0, CHAIN);
    all.outer.insert(0, whole);
    for load in &mut all.loads {
        load.strides.insert(0, load.strides[rank] * CHAIN as isize);
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

/// The kernels of a product of which an operand has steps along k so large that not even a chain fits a binding: such an operand
/// is copied, so that k is contiguous.
fn beside_copies(p: &Planner<'_>, mut kernel: Kernel) -> Result<Vec<Kernel>> {
    let rank = kernel.outer.len();
    let mut kernels = vec![];
    for (operand, own_axis) in [(0, rank - 2), (1, rank - 1)] {
        let load = &kernel.loads[operand];
        if span(CHAIN, load.strides[rank], load.dtype) <= p.most_bytes() {
            continue;
        }
        if span(CHAIN, 1, load.dtype) > p.most_bytes() {
            let detail = format!("{CHAIN} elements of {} are more than a binding of {}", load.dtype, p.caps.name);
            return Err(Error::with_line(ErrorKind::LimitExceeded, kernel.name, detail, None));
        }
        // the copy has the batch axes, of length 1 where the operand repeats, its own of the axes m and n, and k
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
