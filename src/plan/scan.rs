//! Cuts scans of rows that are too long for one kernel into several kernels. These kernels compute the totals of
//! blocks, scan these totals, and then scan each block and combine it with the total of all blocks before it.
//!
//! The kernels together combine elements in the order that `plan/kernel/scan.rs` defines for every scan, so the cut
//! does not change the bits of the result. A row of n elements has ⌈n / 1024⌉ blocks:
//!
//! 1. A kernel computes the totals of all blocks except the last. Each block is a row of this kernel.
//! 2. A kernel scans the totals of each row. If a row of totals is too long for a row kernel, it is cut in the same
//!    way, into several kernels.
//! 3. Kernels compute the scan's operand again, scan each block, combine it with the scanned total of the block before
//!    it, and run the operations on the scan's result (the epilogue). There is one kernel for the first block, which
//!    has no block before it, one for the whole blocks after it, and one for a shorter last block.

use super::planner::Planner;
use super::split::{ChunkPart, used_loads};
use crate::base::dtype::DType;
use crate::base::error::{ErrorKind, Result};
use crate::base::layout::{Strides, c_strides};
use crate::graph::ufunc::Ufunc;
use crate::plan::kernel::{BufferRef, Fold, Kernel, KernelKind, Load, Op, SCAN_BLOCK, Store, Value};
use smallvec::{SmallVec, smallvec};

/// Returns the kernels of a scan: one if its rows are short enough for a row kernel, or else the kernels for its
/// blocks. `fit` merges the dimensions of a kernel and cuts it into windows. The function `fit` returns an error if an
/// operand still spans more than a binding.
pub(super) fn kernels(p: &Planner<'_>, kernel: Kernel, fit: &dyn Fn(&mut Kernel) -> Result<()>) -> Result<Vec<Kernel>> {
    let single = Single::of(&kernel);
    let mut kernels = match &single {
        Some(single) if kernel.inner_size() > p.caps.max_row.max(SCAN_BLOCK) => single.cut(p),
        _ => vec![kernel.clone()],
    };
    let limit = match fit_all(&mut kernels, fit) {
        Err(e) if e.kind() == ErrorKind::LimitExceeded => e,
        done => return done.map(|()| kernels),
    };
    // if the kernel has several scans, or reductions too, `Planner::kernels` reacts to this error by making a kernel
    // for each of them
    let Some(single) = single else { return Err(limit) };
    // cut rows into blocks, because a block spans less memory than a row and so may fit a binding where a row does not
    if kernels.len() == 1 && single.count > 1 {
        kernels = single.cut(p);
        if fit_all(&mut kernels, fit).is_ok() {
            return Ok(kernels);
        }
    }
    // not even one block fits a binding, because its elements are far apart: copy the elements of each row next to each
    // other first
    let [to, scan, back] = single.moved(p).ok_or(limit)?;
    kernels = [vec![to], self::kernels(p, scan, fit)?, vec![back]].concat();
    fit_all(&mut kernels, fit)?;
    Ok(kernels)
}

/// Applies `fit` to kernels that together count as one kernel, and marks each but the first as continuing the one
/// before it.
fn fit_all(kernels: &mut [Kernel], fit: &dyn Fn(&mut Kernel) -> Result<()>) -> Result<()> {
    kernels.iter_mut().enumerate().try_for_each(|(i, k)| {
        (k.continues, k.windows) = (i > 0, vec![]);
        fit(k)
    })
}

/// A kernel with one scan and no reduction, which can be cut into blocks.
struct Single<'a> {
    k: &'a Kernel,
    /// The index of the value that is the scan. The next three fields are the scan's fold, the function that combines
    /// elements, and the index of the value that is scanned.
    scan: usize,
    fold: Fold,
    function: &'static Ufunc,
    arg: usize,
    /// The type in which totals are stored. Totals of f16 and bf16 are stored as f32, so that only the result is
    /// rounded.
    dtype: DType,
    /// The number of blocks of a row.
    count: usize,
    /// In the kernels for blocks, the position of the axis that counts blocks among the outer axes. Outer axes are
    /// ordered by strides, largest first, so that the contiguous axis of a store stays the last.
    axis: usize,
}

impl<'a> Single<'a> {
    /// Returns the scan of a kernel that has exactly one scan, whose fold is a function of two operands, and no
    /// reduction. Otherwise returns `None`.
    fn of(k: &'a Kernel) -> Option<Single<'a>> {
        let mut passes = k.values.iter().enumerate().filter(|(_, v)| matches!(v.op, Op::Scan(..) | Op::Reduce(..)));
        let (Some((scan, value)), None) = (passes.next(), passes.next()) else { return None };
        let Op::Scan(r) = &value.op else { return None };
        let (fold, function, arg) = (r.fold, r.fold.function()?, r.inputs()[0]);
        let dtype = if value.dtype.is_half() { DType::F32 } else { value.dtype };
        let count = k.inner_size().div_ceil(SCAN_BLOCK);
        let (outer, inner) = k.stores.first()?.strides.split_at(k.outer.len());
        let step = inner.first()?.unsigned_abs().saturating_mul(SCAN_BLOCK);
        let axis = outer.iter().position(|s| s.unsigned_abs() < step).unwrap_or(outer.len());
        Some(Single { k, scan, fold, function, arg, dtype, count, axis })
    }

    /// Returns the kernels into which the scan is cut. A row must have at least two blocks.
    fn cut(&self, p: &Planner<'_>) -> Vec<Kernel> {
        let (n, whole) = (self.k.inner_size(), self.k.inner_size() / SCAN_BLOCK);
        let before = self.count - 1;
        let temp = || p.temp(self.k.outer_size().saturating_mul(before).saturating_mul(self.dtype.size()));
        let totals = temp();
        let mut kernels = vec![self.totals(totals)];
        // with two blocks, only the total of the first block is needed, so there is nothing to scan
        let scanned = if before > 1 { temp() } else { totals };
        if before > 1 {
            let scan = self.scan_of_totals(totals, scanned);
            match Single::of(&scan) {
                Some(totals) if before > p.caps.max_row.max(SCAN_BLOCK) => kernels.extend(totals.cut(p)),
                _ => kernels.push(scan),
            }
        }
        let parts = [
            (ChunkPart { first: 0, count: 1, length: SCAN_BLOCK }, None),
            (ChunkPart { first: 1, count: whole - 1, length: SCAN_BLOCK }, Some(scanned)),
            (ChunkPart { first: whole, count: self.count - whole, length: n - whole * SCAN_BLOCK }, Some(scanned)),
        ];
        let parts = parts.into_iter().filter(|(part, _)| part.count > 0);
        kernels.extend(parts.map(|(part, before)| self.part(part, before)));
        kernels
    }

    /// Returns a kernel that loops over the blocks in `part`, still without values and stores. Its outer dimensions are
    /// the original kernel's outer dimensions and one more, which counts the blocks. Its inner dimension has the
    /// elements of a block.
    fn over(&self, part: ChunkPart) -> Kernel {
        let mut k = Kernel { loads: vec![], values: vec![], stores: vec![], windows: vec![], ..self.k.clone() };
        k.outer.insert(self.axis, part.count);
        k.inner = smallvec![part.length];
        let load = |l: &Load| {
            let (strides, offset) = self.over_blocks(part, &l.strides, l.offset);
            Load { strides, offset, ..l.clone() }
        };
        k.loads = self.k.loads.iter().map(load).collect();
        k
    }

    /// Converts the strides `s` and the offset of an operand of the original kernel for a kernel that computes only the
    /// blocks in `part`. That kernel has one more outer dimension, which counts the blocks.
    fn over_blocks(&self, part: ChunkPart, s: &Strides, offset: isize) -> (Strides, isize) {
        let step = s[self.k.outer.len()] * SCAN_BLOCK as isize;
        let mut over = s.clone();
        over.insert(self.axis, step);
        (over, offset + step * part.first as isize)
    }

    /// Copies value `i` of the original kernel to `to`, a kernel that computes only the blocks in `part`, and returns
    /// the index of the copy. `number` has the new indices of the values that were copied before.
    fn value(&self, to: &mut Kernel, part: ChunkPart, i: usize, number: &[usize]) -> usize {
        let mut v = self.k.values[i].clone();
        if let Op::Index { strides, offset } = &mut v.op {
            let (s, at) = self.over_blocks(part, strides, *offset as isize);
            (**strides, *offset) = (s, at as i64);
        }
        v.op.map_operands(|a| number[a]);
        to.push(v.op, v.dtype, v.inner)
    }

    /// Returns the strides of the array of block totals. This array is in C order, and has the outer dimensions and one
    /// dimension for the blocks, without the last block, whose total is not needed.
    fn places(&self) -> Strides {
        let mut dims = self.k.outer.clone();
        dims.insert(self.axis, self.count - 1);
        c_strides(&dims)
    }

    /// Returns the kernel that computes the totals of all blocks except the last, and stores them in `totals`.
    fn totals(&self, totals: BufferRef) -> Kernel {
        let part = ChunkPart { first: 0, count: self.count - 1, length: SCAN_BLOCK };
        let mut k = self.over(part);
        let needed = self.k.needed([self.arg]);
        let mut number = vec![usize::MAX; self.k.values.len()];
        for i in (0..=self.arg).filter(|i| needed[*i]) {
            number[i] = self.value(&mut k, part, i, &number);
        }
        let value = k.push(Op::scan(self.fold, number[self.arg], self.k.values[self.arg].dtype), self.dtype, false);
        k.stores.push(Store {
            buffer: totals,
            dtype: self.dtype,
            strides: self.places(),
            offset: 0,
            value,
            chosen: None,
        });
        k.loads = used_loads(&mut k.values, &k.loads);
        k
    }

    /// Returns the kernel that scans the block totals of each row, from the buffer `totals` to the buffer `scanned`.
    fn scan_of_totals(&self, totals: BufferRef, scanned: BufferRef) -> Kernel {
        let mut k = Kernel { loads: vec![], values: vec![], stores: vec![], windows: vec![], ..self.k.clone() };
        k.inner = smallvec![self.count - 1];
        let (dtype, mut strides) = (self.dtype, self.places());
        let step = strides.remove(self.axis);
        strides.push(step);
        k.loads.push(Load { buffer: totals, dtype, strides: strides.clone(), offset: 0 });
        let total = k.push(Op::Load(0), dtype, true);
        let value = k.push(Op::scan(self.fold, total, dtype), dtype, true);
        k.stores.push(Store { buffer: scanned, dtype, strides, offset: 0, value, chosen: None });
        k
    }

    /// Returns the three kernels that scan rows whose elements are far apart in memory. The first stores the operand
    /// with the elements of each row next to each other, the second scans these rows, and the third runs the epilogue.
    /// Returns `None` if this kernel is already the second of such three kernels.
    fn moved(&self, p: &Planner<'_>) -> Option<[Kernel; 3]> {
        let k = self.k;
        let rank = k.outer.len() + 1;
        let is_moved = |l: &Load| matches!(l.buffer, BufferRef::Temp(n) if n >= p.count) && l.strides[rank - 1] == 1;
        if k.loads.iter().all(is_moved) {
            return None;
        }
        let dims: SmallVec<[usize; 6]> = k.outer.iter().chain(&k.inner).copied().collect();
        let bytes = k.outer_size().saturating_mul(k.inner_size()).saturating_mul(self.dtype.size());
        let (dtype, strides) = (self.dtype, c_strides(&dims));
        let (operand, scanned) = (p.temp(bytes), p.temp(bytes));
        let load = |buffer| Load { buffer, dtype, strides: strides.clone(), offset: 0 };
        let store = |buffer, value| Store { buffer, dtype, strides: strides.clone(), offset: 0, value, chosen: None };
        // in these kernels all axes are outer ones, and `drop_unused` gives every value one element per outer index
        let elementwise =
            || Kernel { kind: KernelKind::Elementwise, outer: dims.clone(), inner: smallvec![], ..k.clone() };
        let mut to = elementwise();
        to.values.truncate(self.arg + 1);
        to.stores = vec![store(operand, self.arg)];
        let values = vec![
            Value { op: Op::Load(0), dtype, inner: true },
            Value { op: Op::scan(self.fold, 0, dtype), dtype, inner: true },
        ];
        let scan = Kernel { loads: vec![load(operand)], values, stores: vec![store(scanned, 1)], ..k.clone() };
        let mut back = elementwise();
        back.loads.push(load(scanned));
        back.values[self.scan].op = Op::Load(back.loads.len() - 1);
        for pass in [&mut to, &mut back] {
            drop_unused(pass);
        }
        Some([to, scan, back])
    }

    /// Returns the kernel that scans the blocks in `part`, runs the operations on the scan's result, and writes to
    /// memory what the original kernel stores. `before` holds the scanned totals of the blocks: each block is combined
    /// with the total of all blocks before it. `before` is `None` for the first block of a row.
    fn part(&self, part: ChunkPart, before: Option<BufferRef>) -> Kernel {
        let mut k = self.over(part);
        let mut number = vec![usize::MAX; self.k.values.len()];
        for i in 0..self.k.values.len() {
            let mut at = self.value(&mut k, part, i, &number);
            if i == self.scan
                && let Some(buffer) = before
            {
                let mut strides = self.places();
                // read the scanned totals, beginning with the total of the block before the first block of `part`
                let block = mutant!(scan_block_before_the_last, part.first.saturating_sub(2), part.first - 1);
                let offset = strides[self.axis] * block as isize;
                strides.push(0);
                k.loads.push(Load { buffer, dtype: self.dtype, strides, offset });
                let carry = Op::Load(k.loads.len() - 1);
                let carry = k.push(carry, self.dtype, false);
                let dtype = self.k.values[i].dtype;
                // the CPU has loops by rows for a second operand of one element per row; folds are commutative
                at = k.push(Op::Ufunc(self.function, smallvec![at, carry]), dtype, true);
            }
            number[i] = at;
        }
        for s in &self.k.stores {
            let (strides, offset) = self.over_blocks(part, &s.strides, s.offset);
            k.stores.push(Store { strides, offset, value: number[s.value], ..s.clone() });
        }
        k
    }
}

/// Drops the values of an elementwise kernel that its stores do not need, and the loads of these values.
fn drop_unused(k: &mut Kernel) {
    let needed = k.needed(k.stores.iter().map(|s| s.value));
    let mut number = vec![usize::MAX; k.values.len()];
    let mut kept = vec![];
    for (i, mut v) in std::mem::take(&mut k.values).into_iter().enumerate().filter(|(i, _)| needed[*i]) {
        v.op.map_operands(|a| number[a]);
        number[i] = kept.len();
        kept.push(Value { inner: false, ..v });
    }
    k.values = kept;
    k.stores.iter_mut().for_each(|s| s.value = number[s.value]);
    k.loads = used_loads(&mut k.values, &k.loads);
}
