//! Reductions that give a position: argmin and argmax.

use super::*;

impl Folder {
    /// Positions of the best elements, after the elements themselves.
    pub(super) fn positions(&self) -> *mut i32 {
        self.state.wrapping_add((self.spec.width * 8).next_multiple_of(64)) as *mut i32
    }

    /// # Safety
    /// *Data* ([`Folder`]): `rows × width` elements.
    pub(super) unsafe fn feed_arg(&mut self, at: usize, data: *const u8, rows: usize) {
        macro_rules! run {
            ($t:ty) => {
                // SAFETY: *state* and *data*, of the type that the spec names; positions follow the elements.
                unsafe {
                    let all = std::slice::from_raw_parts(data as *const $t, rows * self.width);
                    let best = std::slice::from_raw_parts_mut(self.state as *mut $t, self.width);
                    let positions = std::slice::from_raw_parts_mut(self.positions(), self.width);
                    let first = self.blocks == 0;
                    if self.width == 1 {
                        arg_long(
                            all,
                            at,
                            first,
                            self.extreme_of_tile(all.as_ptr() as *const u8, rows),
                            self.spec.largest,
                            best,
                            positions,
                        )
                    } else {
                        arg_columns(all, at, first, self.spec.largest, best, positions)
                    }
                }
            };
        }
        if rows == 0 {
            return;
        }
        match self.spec.compute {
            Compute::Bool => run!(u8),
            Compute::I32 => run!(i32),
            Compute::U32 => run!(u32),
            Compute::I64 => run!(i64),
            Compute::U64 => run!(u64),
            Compute::F32 => run!(f32),
            Compute::F64 => run!(f64),
        }
        self.blocks = 1;
    }

    /// The bits of the largest (argmax) or smallest element of a tile, found with SIMD: most tiles hold no new extreme.
    ///
    /// # Safety
    /// *Data* ([`Folder`]): `n` elements.
    pub(super) unsafe fn extreme_of_tile(&self, data: *const u8, n: usize) -> Option<u64> {
        let row = if self.spec.largest { &arithmetic::maximum } else { &arithmetic::minimum };
        let size = self.spec.compute.size();
        let forms = row.forms[self.spec.compute as usize]?;
        if n < 2 * LANES || !n.is_multiple_of(LANES) {
            return None;
        }
        let mut lanes = [0u64; LANES];
        let to = lanes.as_mut_ptr() as *mut u8;
        // SAFETY: *data*, and `lanes` is `LANES` elements of at most 8 bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(data, to, LANES * size);
            (forms.fold?.get())(n - LANES, data.add(LANES * size), data, data, to);
            let accumulate = forms.accumulate?.get();
            let mut half = LANES / 2;
            while half > 0 {
                let upper = to.add(half * size);
                accumulate(half, upper, upper, upper, to);
                half /= 2;
            }
            Some(strided::read(size, to))
        }
    }

    /// # Safety
    /// `partial` holds `spec.partial()` bytes of a folder of this spec and width.
    pub(super) unsafe fn merge_arg(&mut self, partial: *const u8) {
        macro_rules! run {
            ($t:ty) => {
                // SAFETY: *state*, and a partial result has its layout: `width` elements, then their positions.
                unsafe {
                    let after = partial.add((self.spec.width * 8).next_multiple_of(64));
                    for c in 0..self.width {
                        let (x, i) = (*(partial as *const $t).add(c), *(after as *const i32).add(c));
                        let best = (self.state as *mut $t).add(c);
                        if self.blocks == 0 || better(x, *best, self.spec.largest) {
                            *best = x;
                            *self.positions().add(c) = i;
                        }
                    }
                }
            };
        }
        match self.spec.compute {
            Compute::Bool => run!(u8),
            Compute::I32 => run!(i32),
            Compute::U32 => run!(u32),
            Compute::I64 => run!(i64),
            Compute::U64 => run!(u64),
            Compute::F32 => run!(f32),
            Compute::F64 => run!(f64),
        }
        self.blocks = 1;
    }
}

/// Whether `x`, which comes later, replaces `best`: if it is beyond it, or the first NaN. Equal elements do not: the first wins.
#[allow(clippy::eq_op)]
#[inline(always)]
fn better<T: PartialOrd + Copy>(x: T, best: T, largest: bool) -> bool {
    let beyond = if largest { x > best } else { x < best };
    mutant!(nan_after_nan, true, best == best) && (beyond || x != x)
}

/// argmin or argmax of several columns at once, row by row.
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

/// argmin or argmax of one column. If the tile's extreme is known (as bits) and not beyond `best`, the tile is skipped.
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
        // SAFETY: the low bytes of the bits are an element of this type.
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
