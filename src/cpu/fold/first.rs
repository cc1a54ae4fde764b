//! The reductions argmin and argmax, which find the position of one element. For each column, they keep the best
//! element so far (the smallest or largest, or the first NaN) and its position.

use super::*;
use crate::graph::ufunc::Extreme;
use crate::graph::ufunc::Ufunc;
#[cfg(target_arch = "x86_64")]
use crate::math::simd::Isa;
use crate::math::simd::{Loop, RowArgs, isa};

/// Evaluates `$body` with `$t` as an alias of the Rust type of the elements of the compute type `$compute` (u8 for
/// bool).
macro_rules! with_type {
    ($compute:expr, $t:ident => $body:expr) => {
        match $compute {
            Compute::Bool => {
                type $t = u8;
                $body
            }
            Compute::I32 => {
                type $t = i32;
                $body
            }
            Compute::U32 => {
                type $t = u32;
                $body
            }
            Compute::I64 => {
                type $t = i64;
                $body
            }
            Compute::U64 => {
                type $t = u64;
                $body
            }
            Compute::F32 => {
                type $t = f32;
                $body
            }
            Compute::F64 => {
                type $t = f64;
                $body
            }
        }
    };
}

/// A search for the largest or the smallest element of each column.
pub(super) struct First {
    compute: Compute,
    largest: bool,
    /// The loop that returns the largest (or smallest) element of each of several rows.
    rows: Loop,
    /// Whether the inputs are the results of parts of a reduction (the best element of each part, and its position)
    /// instead of elements.
    of_states: bool,
}

/// The minimum number of elements of a tile whose largest (or smallest) element is computed with SIMD, before its
/// position is searched. Shorter tiles gain nothing from this.
const LEAST: usize = 32;

/// The maximum number of elements whose largest (or smallest) element is computed before its position is searched.
const PIECE: usize = SERIAL * LANES;

impl First {
    /// Returns whether the inputs are elements, rather than results of parts of a reduction.
    pub fn is_of_elements(&self) -> bool {
        !self.of_states
    }

    /// Returns the search for the element that a function such as `minimum` selects. Returns `None` if the function
    /// does not select one of its operands, or has no loops for the type.
    pub fn new(row: &Ufunc, compute: Compute, of_states: bool) -> Option<First> {
        let largest = row.reduce?.picks? == Extreme::Largest;
        let rows = row.forms[compute as usize]?.rows?.get();
        Some(First { compute, largest, rows, of_states })
    }

    /// Returns whether the search accepts several whole rows of `n` elements in one call.
    pub fn takes_whole_rows(&self, n: usize) -> bool {
        !self.of_states && (1..=SERIAL * LANES).contains(&n)
    }

    /// Writes to `out` the best element of each row of `n` elements, or its position, as `gives` selects.
    ///
    /// # Safety
    /// `data` points to `rows.count × n` aligned elements, which no other thread writes (*data*, see [`Folder`]). `out` has
    /// space for `rows.count` aligned elements of the type that `gives` selects, and does not overlap `data`.
    pub unsafe fn whole_rows(&self, n: usize, data: *const u8, rows: RowArgs, gives: Gives, out: *mut u8) {
        /// The number of rows whose best elements are computed together, before their positions are searched.
        const TOGETHER: usize = 64;
        let size = self.compute.size();
        let mut best = [0u64; TOGETHER];
        for first in (0..rows.count).step_by(TOGETHER) {
            let part = RowArgs { count: TOGETHER.min(rows.count - first), ..rows };
            // SAFETY: the caller ensures that `data` and `out` have an element for each index used here. `best` has
            // space for an element of at most 8 bytes for each row.
            unsafe {
                let data = data.add(first * n * size);
                if gives == Gives::Component(0) {
                    (self.rows)(n, data, (&raw const part).cast(), data, out.add(first * size));
                    continue;
                }
                (self.rows)(n, data, (&raw const part).cast(), data, best.as_mut_ptr().cast());
                with_type!(self.compute, T => {
                    let all = std::slice::from_raw_parts(data as *const T, n * part.count);
                    let best = std::slice::from_raw_parts(best.as_ptr() as *const T, part.count);
                    for (r, (row, x)) in all.chunks_exact(n).zip(best).enumerate() {
                        *(out as *mut i32).add(first + r) = find(row, *x).unwrap_or(0) as i32;
                    }
                });
            }
        }
    }

    /// Returns the bits of the largest (or smallest) element of a tile, found with SIMD. Usually it is not better than
    /// the best element so far, and then the tile need not be searched for its position. Returns `None` if `n` is too
    /// small for this to be worthwhile, or too large for the loop. `prefetches` states whether the elements after the
    /// tile are prefetched.
    ///
    /// # Safety
    /// `data` points to `n` elements of the compute type (*data*, see [`Folder`]).
    unsafe fn extreme_of_tile(&self, data: *const u8, n: usize, prefetches: bool) -> Option<u64> {
        if !(LEAST..=SERIAL * LANES).contains(&n) {
            return None;
        }
        #[cfg(target_arch = "x86_64")]
        if self.compute == Compute::F32 {
            // SAFETY: the elements are f32.
            let all = unsafe { std::slice::from_raw_parts(data as *const f32, n) };
            let x = if self.largest { extremes::largest(all, prefetches) } else { extremes::smallest(all, prefetches) };
            if let Some(x) = x {
                return Some(x.to_bits() as u64);
            }
        }
        let (mut best, one) = (0u64, RowArgs { count: 1, prefetches });
        // SAFETY: the data has one row of `n` elements. `best` has space for an element of at most 8 bytes.
        unsafe { (self.rows)(n, data, (&raw const one).cast(), data, (&raw mut best).cast()) };
        Some(best)
    }
}

/// Returns the size in bytes of the best elements of `width` columns: 8 bytes each, which is enough for every type,
/// padded to a cache line.
fn elements(width: usize) -> usize {
    (width * 8).next_multiple_of(64)
}

/// Returns the size in bytes of the state of a search: the best elements of `width` columns, then their positions.
pub(super) fn bytes(width: usize) -> usize {
    elements(width) + (width * size_of::<i32>()).next_multiple_of(64)
}

impl Folder<'_> {
    /// Returns the address of the positions of the best elements, which follow the elements in the state.
    fn positions(&self) -> *mut i32 {
        self.state.wrapping_add(elements(self.spec.width)) as *mut i32
    }

    /// Implements [`Folder::feed`] for argmin and argmax.
    ///
    /// # Safety
    /// The state is valid, and the inputs have `rows × width` elements or states (*state* and *data*, see [`Folder`]).
    pub(super) unsafe fn feed_first(&mut self, f: &First, at: usize, data: Inputs, rows: usize) {
        if self.width == 1 && rows > PIECE && !f.of_states {
            for from in (0..rows).step_by(PIECE) {
                // SAFETY: the piece is a part of the elements.
                unsafe {
                    let piece = data[0].add(from * f.compute.size());
                    self.feed_first(f, at + from, [piece; 3], PIECE.min(rows - from));
                }
            }
            return;
        }
        if rows == 0 {
            return;
        }
        let (n, first) = (rows * self.width, self.blocks == 0);
        with_type!(f.compute, T => {
            // SAFETY: elements have the type `T`. The state holds the best elements, followed by their positions
            // (*state*, see [`Folder`]).
            unsafe {
                let all = std::slice::from_raw_parts(data[0] as *const T, n);
                let best = std::slice::from_raw_parts_mut(self.state as *mut T, self.width);
                let positions = std::slice::from_raw_parts_mut(self.positions(), self.width);
                if f.of_states {
                    let found = std::slice::from_raw_parts(data[1] as *const i32, n);
                    arg_states(all, found, first, f.largest, best, positions)
                } else if self.width == 1 {
                    arg_long(all, at, first, f.extreme_of_tile(data[0], rows, self.spec.prefetches), f.largest, best, positions)
                } else {
                    columns(all, at, first, f.largest, best, positions)
                }
            }
        });
        self.blocks = 1;
    }

    /// Implements [`Folder::merge`] for argmin and argmax.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Folder`]). `partial` is a copy, aligned to 8, of what [`Folder::collapse`]
    /// returned for this spec and width.
    pub(super) unsafe fn merge_first(&mut self, f: &First, partial: *const u8) {
        let first = self.blocks == 0;
        with_type!(f.compute, T => {
            // SAFETY: both the state and `partial` hold `width` elements, followed by their positions (*state*, see
            // [`Folder`]).
            unsafe {
                let after = partial.add(elements(self.spec.width));
                let all = std::slice::from_raw_parts(partial as *const T, self.width);
                let found = std::slice::from_raw_parts(after as *const i32, self.width);
                let best = std::slice::from_raw_parts_mut(self.state as *mut T, self.width);
                let positions = std::slice::from_raw_parts_mut(self.positions(), self.width);
                arg_states(all, found, first, f.largest, best, positions)
            }
        });
        self.blocks = 1;
    }

    /// Implements [`Folder::write`] for argmin and argmax. Writes the best elements if `gives` is component 0,
    /// otherwise their positions.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Folder`]). `out` has space for `width` elements, and does not overlap the
    /// state.
    pub(super) unsafe fn write_first(&self, gives: Gives, out: *mut u8) {
        // SAFETY: the state and `out` have an element for each column, and `base` is null or has a position for each
        // column.
        unsafe {
            if gives == Gives::Component(0) {
                return std::ptr::copy_nonoverlapping(self.state, out, self.width * self.spec.compute.size());
            }
            for column in 0..self.width {
                let base = if self.base.is_null() { 0 } else { *self.base.add(column) };
                *(out as *mut i32).add(column) = base.wrapping_add(*self.positions().add(column));
            }
        }
    }
}

/// Returns whether `x` replaces `best`, the best of all earlier elements. This is so if `x` is larger (or smaller) than
/// `best`, or if `x` is NaN and `best` is not. So the first of equal elements wins, and so does the first NaN.
#[allow(clippy::eq_op)]
#[inline(always)]
fn better<T: PartialOrd + Copy>(x: T, best: T, largest: bool) -> bool {
    let beyond = if largest { x > best } else { x < best };
    mutant!(nan_after_nan, true, best == best) && (beyond || x != x)
}

/// Returns the index of the first element that equals `x`, or of the first NaN if `x` is NaN.
#[allow(clippy::eq_op)]
fn find<T: PartialOrd + Copy>(all: &[T], x: T) -> Option<usize> {
    /// The number of elements that are compared together with SIMD, before the matching element is located.
    const TOGETHER: usize = 32;
    let is_it = |y: &T| (*y == x) | ((*y != *y) & (x != x));
    let chunks = all.as_chunks::<TOGETHER>().0;
    let before = chunks.iter().take_while(|c| !c.iter().fold(false, |any, y| any | is_it(y))).count() * TOGETHER;
    all[before..].iter().position(is_it).map(|i| before + i)
}

/// Combines the results of parts of a reduction, one row for each part: `all` has the best elements, and `found` their
/// positions. The parts are in order, so the first of equal elements wins. If `first` is true, `best` has no elements
/// yet, and the first row initialises it.
fn arg_states<T: PartialOrd + Copy>(
    all: &[T],
    found: &[i32],
    first: bool,
    largest: bool,
    best: &mut [T],
    positions: &mut [i32],
) {
    let width = best.len();
    for (r, (row, found)) in all.chunks_exact(width).zip(found.chunks_exact(width)).enumerate() {
        for c in 0..width {
            if first && r == 0 || better(row[c], best[c], largest) {
                (best[c], positions[c]) = (row[c], found[c]);
            }
        }
    }
}

/// Calls [`arg_columns`], compiled for the best instruction set of this machine.
fn columns<T: PartialOrd + Copy>(
    all: &[T],
    at: usize,
    first: bool,
    largest: bool,
    best: &mut [T],
    positions: &mut [i32],
) {
    match isa() {
        // SAFETY: `isa` has found the features on this machine.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { columns_avx512(all, at, first, largest, best, positions) },
        // SAFETY: `isa` has found AVX2 on this machine.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { columns_avx2(all, at, first, largest, best, positions) },
        _ => arg_columns(all, at, first, largest, best, positions),
    }
}

/// The function [`arg_columns`], compiled for AVX-512.
///
/// # Safety
/// The machine has the features that the attribute enables.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2")]
unsafe fn columns_avx512<T: PartialOrd + Copy>(
    all: &[T],
    at: usize,
    first: bool,
    largest: bool,
    best: &mut [T],
    positions: &mut [i32],
) {
    arg_columns(all, at, first, largest, best, positions)
}

/// The function [`arg_columns`], compiled for AVX2.
///
/// # Safety
/// The machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn columns_avx2<T: PartialOrd + Copy>(
    all: &[T],
    at: usize,
    first: bool,
    largest: bool,
    best: &mut [T],
    positions: &mut [i32],
) {
    arg_columns(all, at, first, largest, best, positions)
}

/// Updates `best` and `positions` of each column by rows of elements. `at` is the number of the first of these rows in
/// the reduction. If `first` is true, `best` has no elements yet.
#[inline(always)]
fn arg_columns<T: PartialOrd + Copy>(
    all: &[T],
    at: usize,
    first: bool,
    largest: bool,
    best: &mut [T],
    positions: &mut [i32],
) {
    for (r, row) in all.chunks_exact(best.len()).enumerate() {
        if first && r == 0 {
            best.copy_from_slice(row);
            positions.fill(at as i32);
            continue;
        }
        for ((x, b), p) in row.iter().zip(&mut *best).zip(&mut *positions) {
            let take = better(*x, *b, largest);
            *b = if take { *x } else { *b };
            *p = if take { (at + r) as i32 } else { *p };
        }
    }
}

/// Updates `best` and `positions` of a single column by a tile whose first element has the index `at`. `extreme` is the
/// bits of the tile's largest (or smallest) element, if known. Then the tile is searched only if that element replaces
/// `best`; otherwise every element is compared. If `first` is true, `best` has no element yet.
fn arg_long<T: PartialOrd + Copy>(
    all: &[T],
    at: usize,
    first: bool,
    extreme: Option<u64>,
    largest: bool,
    best: &mut [T],
    positions: &mut [i32],
) {
    let mut from = 0;
    if first {
        (best[0], positions[0]) = (all[0], at as i32);
        from = 1;
    }
    if let Some(bits) = extreme {
        // SAFETY: `T` is a number type of at most 8 bytes, so any bytes are a valid `T`. On a little-endian machine the
        // low bytes of `bits`, which are the element, come first.
        let x: T = unsafe { std::mem::transmute_copy(&bits) };
        if !better(x, best[0], largest) {
            return;
        }
        if let Some(i) = find(all, x) {
            (best[0], positions[0]) = (all[i], (at + i) as i32);
        }
        return;
    }
    for (i, x) in all.iter().enumerate().skip(from) {
        if better(*x, best[0], largest) {
            (best[0], positions[0]) = (*x, (at + i) as i32);
        }
    }
}
