//! Folds that look for the position of one element: argmin and argmax. They have no tree: for each column they keep the best
//! element so far (the smallest or largest, or the first NaN) and its position.

use super::*;
use crate::simd::Loop;
use crate::ufunc::Extreme;
use crate::ufunc::Ufunc;

/// Describes a search for one element: which one it looks for, and the loops of the function that picks it (`minimum`, say).
pub(super) struct First {
    compute: Compute,
    largest: bool,
    fold: Loop,
    accumulate: Loop,
    /// Whether the inputs are states, which are the best elements of parts and their positions, instead of elements.
    of_states: bool,
}

impl First {
    /// Returns none where the function picks neither of its operands or has no loops for the type.
    pub fn new(row: &Ufunc, compute: Compute, of_states: bool) -> Option<First> {
        let largest = row.reduce?.picks? == Extreme::Largest;
        let forms = row.forms[compute as usize]?;
        Some(First { compute, largest, fold: forms.fold?.get(), accumulate: forms.accumulate?.get(), of_states })
    }

    /// Returns the bits of a tile's largest (or smallest) element, found with SIMD: most tiles have none that is better than
    /// the best so far, and need no search. Returns none for fewer than 2 · LANES elements, which are too few to gain by it,
    /// and for a number that is no multiple of LANES, which the loop `fold` does not take.
    ///
    /// # Safety
    /// *Data* ([`Folder`]): `n` elements.
    unsafe fn extreme_of_tile(&self, data: *const u8, n: usize) -> Option<u64> {
        let size = self.compute.size();
        if n < 2 * LANES || !n.is_multiple_of(LANES) {
            return None;
        }
        let mut lanes = [0u64; LANES];
        let to = lanes.as_mut_ptr() as *mut u8;
        // SAFETY: *data*: `n` elements. `lanes` has room for `LANES` elements of at most 8 bytes, and its halves are apart.
        unsafe {
            std::ptr::copy_nonoverlapping(data, to, LANES * size);
            (self.fold)(n - LANES, data.add(LANES * size), data, data, to);
            let mut half = LANES / 2;
            while half > 0 {
                let upper = to.add(half * size);
                (self.accumulate)(half, upper, upper, upper, to);
                half /= 2;
            }
            Some(strided::read(size, to))
        }
    }
}

/// Returns the bytes kept for the best elements of `width` columns: 8 each, as the widest type has, padded to a cache line.
fn elements(width: usize) -> usize {
    (width * 8).next_multiple_of(64)
}

/// Returns the bytes of the state: the best elements of `width` columns, then their positions.
pub(super) fn bytes(width: usize) -> usize {
    elements(width) + (width * size_of::<i32>()).next_multiple_of(64)
}

/// Evaluates `$body` with the type alias `$t` in scope, which is the Rust type of a compute type's elements (u8 for bool).
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

impl Folder<'_> {
    /// Returns where the positions of the best elements lie in the state: after the elements themselves.
    fn positions(&self) -> *mut i32 {
        self.state.wrapping_add(elements(self.spec.width)) as *mut i32
    }

    /// Does [`Folder::feed`] for a search for one element.
    ///
    /// # Safety
    /// *State* and *data* ([`Folder`]): `rows × width` elements, or as many states.
    pub(super) unsafe fn feed_first(&mut self, f: &First, at: usize, data: Inputs, rows: usize) {
        if rows == 0 {
            return;
        }
        let (n, first) = (rows * self.width, self.blocks == 0);
        with_type!(f.compute, T => {
            // SAFETY: *state* and *data*: elements are of type `T`, and positions follow those of the state.
            unsafe {
                let all = std::slice::from_raw_parts(data[0] as *const T, n);
                let best = std::slice::from_raw_parts_mut(self.state as *mut T, self.width);
                let positions = std::slice::from_raw_parts_mut(self.positions(), self.width);
                if f.of_states {
                    let found = std::slice::from_raw_parts(data[1] as *const i32, n);
                    arg_states(all, found, first, f.largest, best, positions)
                } else if self.width == 1 {
                    arg_long(all, at, first, f.extreme_of_tile(data[0], rows), f.largest, best, positions)
                } else {
                    arg_columns(all, at, first, f.largest, best, positions)
                }
            }
        });
        self.blocks = 1;
    }

    /// Does [`Folder::merge`] for a search for one element.
    ///
    /// # Safety
    /// As [`Folder::merge`].
    pub(super) unsafe fn merge_first(&mut self, f: &First, partial: *const u8) {
        let first = self.blocks == 0;
        with_type!(f.compute, T => {
            // SAFETY: *state*, and `partial` is laid out as the state is: `width` elements, then their positions.
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

    /// Does [`Folder::write`] for a search for one element: component 0 is the best element; component 1 and the result are
    /// both its position.
    ///
    /// # Safety
    /// *State* ([`Folder`]); `out` has room for `width` elements, apart from the state.
    pub(super) unsafe fn write_first(&self, gives: Gives, out: *mut u8) {
        // SAFETY: *state*; `out` has room for each column; `base` is null or has a position for each column.
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

/// Says whether `x` replaces `best`, which comes before it: if it is beyond `best`, or NaN where `best` is none. So the first
/// of equal elements, and of NaNs, stays.
#[allow(clippy::eq_op)]
#[inline(always)]
fn better<T: PartialOrd + Copy>(x: T, best: T, largest: bool) -> bool {
    let beyond = if largest { x > best } else { x < best };
    mutant!(nan_after_nan, true, best == best) && (beyond || x != x)
}

/// Takes rows of states: `all` holds the best elements of parts, `found` their positions. Parts come in order, so that the
/// first of equal elements stays. If `first`, `best` holds nothing yet and begins as the first row.
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

/// Takes rows of elements, of which the first is number `at`, in several columns. If `first`, `best` holds nothing yet.
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

/// Takes a tile of one column. If its extreme is known, as bits, the tile is searched for it only where it replaces `best`; if
/// not, every element is compared. `at` and `first` are those of `arg_columns`.
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
        // SAFETY: `T` is a number type of at most 8 bytes, so any bytes are one. On a little-endian machine the low bytes of
        // the bits come first, and they are the element.
        let x: T = unsafe { std::mem::transmute_copy(&bits) };
        if !better(x, best[0], largest) {
            return;
        }
        #[allow(clippy::eq_op)]
        let found = if x != x { all.iter().position(|y| y != y) } else { all.iter().position(|y| *y == x) };
        if let Some(i) = found {
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
