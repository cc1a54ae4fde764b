//! Converts the indices of a gather or scatter to positions along an axis, and copies gathered elements. Also writes
//! affine indices: `start`, `start + step`, …

use super::caches::{LINE, prefetch};
use super::strided::{self, StridedBlock};
use crate::base::dtype::Compute;
#[cfg(target_arch = "x86_64")]
use crate::math::simd::Isa;
use crate::math::simd::isa;
use crate::plan::kernel::IndexMode;

/// Returns the position along an axis of length `extent` that an index refers to; the mode defines how an out-of-bounds
/// index is handled. Returns `None` if the axis is empty, or if the mode is `Check` and the index is out of bounds.
#[inline(always)]
fn resolve(index: i128, extent: usize, mode: IndexMode) -> Option<usize> {
    if extent == 0 {
        return None;
    }
    let n = extent as i128;
    match mode {
        IndexMode::Check | IndexMode::CheckFromStart => mutant!(
            take_unchecked,
            Some(index.clamp(0, n - 1) as usize),
            (0..n).contains(&index).then_some(index as usize)
        ),
        IndexMode::Clip => Some(index.clamp(0, n - 1) as usize),
        IndexMode::Wrap => Some(match (0..n).contains(&index) {
            true => index as usize,
            false => index.rem_euclid(n) as usize,
        }),
    }
}

/// Reads element `i` of the indices at `index`, whose compute type is an integer type. An i128 holds the values of all
/// integer types.
///
/// # Safety
/// `index` has an element `i` of this type.
#[inline(always)]
pub(super) unsafe fn index_value(compute: Compute, index: *const u8, i: usize) -> i128 {
    // SAFETY: `index` has an element `i` of the type that `compute` names.
    unsafe {
        match compute {
            Compute::I32 => *(index as *const i32).add(i) as i128,
            Compute::U32 => *(index as *const u32).add(i) as i128,
            Compute::I64 => *(index as *const i64).add(i) as i128,
            Compute::U64 => *(index as *const u64).add(i) as i128,
            Compute::Bool | Compute::F32 | Compute::F64 => *index.add(i * compute.size()) as i128,
        }
    }
}

/// An integer type whose values are indices in memory.
trait Index: Copy {
    /// Returns the index as an unsigned number. A negative index becomes a number that is larger than the length of any
    /// axis.
    fn position(self) -> u64;
    /// Returns whether all indices are in `0..extent`, or in `-extent..extent` if they may count from the end. The
    /// extent is not 0.
    fn are_inside(all: &[Self], extent: usize, from_end: bool) -> bool;
}

macro_rules! index_types {
    ($($t:ty, $bits:ty;)*) => { $(
        impl Index for $t {
            #[inline(always)]
            fn position(self) -> u64 {
                // after widening, the highest bit of a negative number is still set. The length of an axis never has
                // this bit, so the result is larger than any length
                self as i64 as u64
            }

            #[inline(always)]
            fn are_inside(all: &[$t], extent: usize, from_end: bool) -> bool {
                // indices are compared as unsigned numbers, because a negative index then becomes larger than the
                // largest index of its signed type, and so is out of bounds
                let last = (extent - 1).min(<$t>::MAX as usize) as $bits;
                // indices count from the end only if the extent is a value of their type, so doubling it does not
                // overflow
                let (more, last) = if from_end { (last + 1, 2 * last + 1) } else { (0, last) };
                let checked = mutant!(checked_indices_end_early, &all[..all.len() / 16 * 16], all);
                checked.iter().fold(0, |most: $bits, i| most.max((*i as $bits).wrapping_add(more))) <= last
            }
        }
    )* };
}

index_types! {
    i32, u32;
    u32, u32;
    i64, u64;
    u64, u64;
}

/// Calls [`Index::are_inside`], compiled for the instruction set of this machine.
fn are_inside<I: Index>(all: &[I], extent: usize, from_end: bool) -> bool {
    /// [`Index::are_inside`], compiled for AVX-512.
    ///
    /// # Safety
    /// The machine has the features that the attribute enables.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2")]
    unsafe fn with_avx512<I: Index>(all: &[I], extent: usize, from_end: bool) -> bool {
        I::are_inside(all, extent, from_end)
    }
    /// [`Index::are_inside`], compiled for AVX2.
    ///
    /// # Safety
    /// The machine has AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn with_avx2<I: Index>(all: &[I], extent: usize, from_end: bool) -> bool {
        I::are_inside(all, extent, from_end)
    }
    match isa() {
        // SAFETY: `isa` has found the features on this machine.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { with_avx512(all, extent, from_end) },
        // SAFETY: `isa` has found AVX2 on this machine.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { with_avx2(all, extent, from_end) },
        _ => I::are_inside(all, extent, from_end),
    }
}

/// The indices of a gather or scatter along one axis.
///
/// Its unsafe functions have two conditions. SAFETY comments refer to them by these names:
///
/// * *Present*: `at` points to as many indices of type `compute` as the function is asked to read.
/// * *In range*: for every position below `extent`, the element at that position is in live memory.
pub(super) struct Indices {
    pub at: *const u8,
    pub compute: Compute,
    /// The distance in elements from one position along the axis to the next, and the length of the axis.
    pub stride: isize,
    pub extent: usize,
    pub mode: IndexMode,
    /// The values of two run-time scalars, which are 0 and `extent`, if negative indices count from the end. The second
    /// value is added to an index that is less than the first. See [`Position`](crate::plan::kernel::Position).
    pub from_end: Option<[u64; 2]>,
}

impl Indices {
    /// Describes the indices at `at`. The stride is set to 0, and negative indices do not count from the end.
    pub fn of(at: *const u8, compute: Compute, extent: usize, mode: IndexMode) -> Indices {
        Indices { at, compute, stride: 0, extent, mode, from_end: None }
    }

    /// Copies the elements that indices `at..at + n` refer to, one after another, to `to`. Writes a zero for an index
    /// that is out of bounds. Index `at + i` selects an element of column `i` of `src`. If `to` is `None`, the indices
    /// are only checked. Returns the first out-of-bounds index, preceded by its number (from 0 to `n - 1`).
    ///
    /// # Safety
    /// There are at least `at + n` indices (*present*, see [`Indices`]). For each of the first `n` columns of `src`,
    /// the elements at all positions below `extent`, counted from that column, are in live memory (*in range*). `to`
    /// has room for `n` elements.
    pub unsafe fn take(
        &self,
        size: usize,
        src: StridedBlock,
        to: Option<*mut u8>,
        at: usize,
        n: usize,
    ) -> Option<(usize, i128)> {
        // SAFETY: `i` is below `n`, so the index exists (*present*, see [`Indices`]). `resolve` returns only positions
        // below the extent, so the element exists (*in range*).
        unsafe {
            if self.take_inside(size, src, to, at, n) {
                return None;
            }
            let place = |k: usize| src.ptr.offset(k as isize * self.stride * size as isize);
            // if all indices are equal, the elements are a strided row of memory, which is copied by one call
            let each = if n > 1 && self.is_one(at, n) { n } else { 1 };
            let mut bad = None;
            for i in (0..n).step_by(each) {
                let want = self.value((at + i) as isize);
                let found = resolve(want, self.extent, self.mode);
                if found.is_none() {
                    bad = bad.or(Some((i, want)));
                }
                let Some(to) = to.map(|to| to.add(i * size)) else { continue };
                match found.map(|k| place(k).offset(i as isize * src.cols * size as isize)) {
                    Some(from) if each == 1 => strided::fill(size, strided::read(size, from), to, 1),
                    Some(from) => {
                        let (src, dst) =
                            (StridedBlock { ptr: from, ..src }, StridedBlock { ptr: to, rows: 0, cols: 1 });
                        strided::copy(size, src, dst, 1, each);
                    }
                    None => strided::fill(size, 0, to, each),
                }
            }
            bad
        }
    }

    /// Does the same as [`take`](Indices::take) if all indices are in bounds and not all of them are equal, and returns
    /// true. Otherwise copies nothing and returns false.
    ///
    /// # Safety
    /// There are at least `at + n` indices (*present*, see [`Indices`]). For each of the first `n` columns of `src`,
    /// the elements at all positions below `extent`, counted from that column, are in live memory (*in range*). `to`
    /// has room for `n` elements.
    unsafe fn take_inside(&self, size: usize, src: StridedBlock, to: Option<*mut u8>, at: usize, n: usize) -> bool {
        // SAFETY: the indices have the type that `compute` names (*present*, see [`Indices`]). The caller ensures the
        // other conditions.
        unsafe {
            if self.extent == 0 || to.is_some() && n > 1 && self.is_one(at, n) {
                return false;
            }
            match self.compute {
                Compute::I32 => self.take_by::<i32>(size, src, to, at, n),
                Compute::U32 => self.take_by::<u32>(size, src, to, at, n),
                Compute::I64 => self.take_by::<i64>(size, src, to, at, n),
                Compute::U64 => self.take_by::<u64>(size, src, to, at, n),
                Compute::Bool | Compute::F32 | Compute::F64 => false,
            }
        }
    }

    /// Implements [`take_inside`](Indices::take_inside) for indices of type `I` that are not all equal.
    ///
    /// # Safety
    /// There are at least `at + n` indices of the type `I` (*present*, see [`Indices`]), and the extent is not 0. For
    /// each of the first `n` columns of `src`, the elements at all positions below `extent`, counted from that column,
    /// are in live memory (*in range*). `to` has room for `n` elements.
    unsafe fn take_by<I: Index>(
        &self,
        size: usize,
        src: StridedBlock,
        to: Option<*mut u8>,
        at: usize,
        n: usize,
    ) -> bool {
        // SAFETY: the indices are in live memory, and so are the elements at all positions below the extent (*present*
        // and *in range*, see [`Indices`]). `to` has room for elements of this size.
        unsafe {
            let all = (self.at as *const I).add(at);
            let from_end = self.from_end.is_some_and(|ends| self.counts_from_end(ends));
            // all indices are checked before the first element is copied, because the copies may overwrite the indices
            let inside = |from_end| are_inside(std::slice::from_raw_parts(all, n), self.extent, from_end);
            if self.from_end.is_some() != from_end {
                return false;
            }
            // if no index is negative, the loop omits the addition of the extent, which is half of the instructions
            // that copy an element
            let more = match from_end {
                _ if inside(false) => 0,
                true if inside(true) => self.extent as u64,
                _ => return false,
            };
            match (to, size) {
                (None, _) => {}
                (Some(to), 1) => self.pick(all, n, more, src.ptr as *const u8, src.cols, to),
                (Some(to), 2) => self.pick(all, n, more, src.ptr as *const u16, src.cols, to as *mut u16),
                (Some(to), 4) => self.pick(all, n, more, src.ptr as *const u32, src.cols, to as *mut u32),
                (Some(to), _) => self.pick(all, n, more, src.ptr as *const u64, src.cols, to as *mut u64),
            }
            true
        }
    }

    /// Returns the position that index number `i` refers to. Returns `None` if the index is out of bounds and the mode
    /// is `Check`.
    ///
    /// # Safety
    /// Index number `i`, which may be negative, is in live memory (*present*, see [`Indices`]).
    #[inline(always)]
    pub unsafe fn position(&self, i: isize) -> Option<usize> {
        // SAFETY: the indices are in live memory and have the type that `compute` names (*present*, see [`Indices`]).
        let position = unsafe {
            match self.compute {
                Compute::I32 => (*(self.at as *const i32).offset(i)).position(),
                Compute::U32 => (*(self.at as *const u32).offset(i)).position(),
                Compute::I64 => (*(self.at as *const i64).offset(i)).position(),
                Compute::U64 => *(self.at as *const u64).offset(i),
                Compute::Bool | Compute::F32 | Compute::F64 => return None,
            }
        };
        if position < self.extent as u64 && self.from_end.is_none_or(|[zero, _]| zero == 0) {
            return Some(position as usize);
        }
        // SAFETY: the caller ensures that index number `i` exists.
        resolve(unsafe { self.value(i) }, self.extent, self.mode)
    }

    /// Returns whether negative indices count from the end of exactly this axis, so that indices from `-extent` on are
    /// in bounds.
    #[inline(always)]
    fn counts_from_end(&self, [zero, length]: [u64; 2]) -> bool {
        let length = match self.compute {
            Compute::I32 => length as i32 as i64,
            Compute::I64 => length as i64,
            Compute::Bool | Compute::U32 | Compute::U64 | Compute::F32 | Compute::F64 => return false,
        };
        zero == 0 && length >= 0 && length as usize == self.extent
    }

    /// Returns index number `i`. If it is negative and negative indices count from the end, it is converted to count
    /// from the start.
    ///
    /// # Safety
    /// Index number `i`, which may be negative, is in live memory (*present*, see [`Indices`]).
    unsafe fn value(&self, i: isize) -> i128 {
        // SAFETY: the caller ensures that index number `i` exists.
        let index = unsafe { index_value(self.compute, self.at.wrapping_offset(i * self.compute.size() as isize), 0) };
        match (self.from_end, self.compute) {
            (Some([zero, length]), Compute::I32) if index < zero as i32 as i128 => {
                (index as i32).wrapping_add(length as i32) as i128
            }
            (Some([zero, length]), Compute::I64) if index < zero as i64 as i128 => {
                (index as i64).wrapping_add(length as i64) as i128
            }
            _ => index,
        }
    }

    /// Copies, for each of the `n` indices at `all`, the element that the index refers to. `more` is added to a
    /// negative index. The loop is compiled for the baseline instruction set, because for other instruction sets
    /// compilers emit gather instructions, which take several times as long on some processors.
    ///
    /// # Safety
    /// For every position below the extent, a word of `T` at that position is in live memory (*in range*, see
    /// [`Indices`]). After the addition of `more`, the `n` indices at `all` are below the extent. `to` has room for `n`
    /// elements.
    #[inline(always)]
    unsafe fn pick<I: Index, T: Copy>(
        &self,
        all: *const I,
        n: usize,
        more: u64,
        src: *const T,
        cols: isize,
        to: *mut T,
    ) {
        // SAFETY: `i` is below `n`. The caller ensures that the indices are below the extent, so the elements exist.
        let one = |i: usize, stride: isize, cols: isize, more: u64| unsafe {
            let k = (*all.add(i)).position();
            // all bits are set for a negative index
            let sign = (k as i64 >> 63) as u64;
            *to.add(i) = *src.offset(k.wrapping_add(more & sign) as isize * stride + i as isize * cols);
        };
        // all arms do the same; the first two pass constants, so that the compiler makes faster loops of them
        match (self.stride, cols, more) {
            (1, 0, 0) => (0..n).for_each(|i| one(i, 1, 0, 0)),
            (1, 0, _) => (0..n).for_each(|i| one(i, 1, 0, more)),
            (stride, cols, _) => (0..n).for_each(|i| one(i, stride, cols, more)),
        }
    }

    /// For each index, writes to `to` the position that it refers to, or 0 if the index is out of bounds. Returns the
    /// first out-of-bounds index, preceded by its number.
    ///
    /// # Safety
    /// There are at least as many indices as `to` has elements (*present*, see [`Indices`]).
    pub unsafe fn positions(&self, to: &mut [i32]) -> Option<(usize, i128)> {
        // SAFETY: the indices are in live memory and have the type that `compute` names (*present*, see [`Indices`]).
        let are_inside = unsafe {
            match self.compute {
                Compute::I32 => self.are_positions::<i32>(to),
                Compute::U32 => self.are_positions::<u32>(to),
                Compute::I64 => self.are_positions::<i64>(to),
                Compute::U64 => self.are_positions::<u64>(to),
                Compute::Bool | Compute::F32 | Compute::F64 => false,
            }
        };
        if are_inside {
            return None;
        }
        let mut bad = None;
        for (i, position) in to.iter_mut().enumerate() {
            // SAFETY: `i` is below the length of `to`, so index number `i` exists.
            let want = unsafe { self.value(i as isize) };
            let found = resolve(want, self.extent, self.mode);
            if found.is_none() {
                bad = bad.or(Some((i, want)));
            }
            *position = found.unwrap_or(0) as i32;
        }
        bad
    }

    /// If all indices are in `0..extent`, writes them to `to` and returns true. The loop has no branches.
    ///
    /// # Safety
    /// There are at least as many indices as `to` has elements (*present*, see [`Indices`]), and their type is `I`.
    unsafe fn are_positions<I: Index>(&self, to: &mut [i32]) -> bool {
        // SAFETY: the caller ensures that there are as many indices of type `I` as `to` has elements.
        let all = unsafe { std::slice::from_raw_parts(self.at as *const I, to.len()) };
        let are_inside = self.extent > 0 && are_inside(all, self.extent, false);
        if are_inside {
            // kernels store positions as i32
            to.iter_mut().zip(all).for_each(|(to, i)| *to = i.position() as i32);
        }
        are_inside
    }

    /// Prefetches the beginning of a row that will be copied soon: the `n` contiguous elements that index number `at`
    /// refers to. `from` is the address of position 0. Prefetches only whole cache lines, and at most eight (chosen by
    /// hand), because the processor prefetches the rest of a row by itself.
    ///
    /// # Safety
    /// Index number `at` is in live memory (*present*, see [`Indices`]).
    #[inline(always)]
    pub unsafe fn announce(&self, size: usize, from: *mut u8, at: usize, n: usize) {
        // SAFETY: the caller ensures that index number `at` exists.
        let Some(k) = (unsafe { self.position(at as isize) }) else { return };
        let first = from.wrapping_offset(k as isize * self.stride * size as isize);
        (0..(n * size / LINE).min(8)).for_each(|line| prefetch(first.wrapping_add(line * LINE)));
    }

    /// Returns whether all `n` indices from number `at` on are equal.
    ///
    /// # Safety
    /// There are at least `at + n` indices (*present*, see [`Indices`]), and `n` is at least 2.
    unsafe fn is_one(&self, at: usize, n: usize) -> bool {
        // the first two indices are compared first: in most lists they differ, and then the rest need not be read
        // SAFETY: the caller ensures that the `n` indices from `at` on exist.
        unsafe {
            match self.compute.size() {
                4 => {
                    let all = std::slice::from_raw_parts((self.at as *const u32).add(at), n);
                    all[1] == all[0] && all.iter().fold(0, |d, x| d | (x ^ all[0])) == 0
                }
                8 => {
                    let all = std::slice::from_raw_parts((self.at as *const u64).add(at), n);
                    all[1] == all[0] && all.iter().fold(0, |d, x| d | (x ^ all[0])) == 0
                }
                _ => false,
            }
        }
    }
}

/// Writes the integers `start`, `start + step`, … to elements `at..at + n` of `to`, wrapping in the compute type.
///
/// # Safety
/// `to` has room for elements up to `at + n`.
pub(super) unsafe fn index_run(compute: Compute, start: i64, step: i64, to: *mut u8, at: usize, n: usize) {
    // SAFETY: `to` has room for elements up to `at + n`.
    unsafe {
        match compute.size() {
            4 => {
                // the loop adds the step each time, because the baseline SIMD of x86-64 has no multiplication of 32-bit
                // integers
                let mut next = start as u32;
                for o in std::slice::from_raw_parts_mut((to as *mut u32).add(at), n) {
                    *o = next;
                    next = next.wrapping_add(step as u32);
                }
            }
            8 => {
                let mut next = start as u64;
                for o in std::slice::from_raw_parts_mut((to as *mut u64).add(at), n) {
                    *o = next;
                    next = next.wrapping_add(step as u64);
                }
            }
            _ => {}
        }
    }
}
