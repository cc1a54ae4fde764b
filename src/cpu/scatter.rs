//! Stores that do not write every element, or not in order: under a condition, at computed positions, or both. At a
//! computed position a value may be combined with the element that is there.
//!
//! Several tasks may combine values into the same element, so each task does it atomically. Sums, minima and maxima of
//! integers do not depend on the order, so the result is the same for any number of threads. If values replace
//! elements, the last value for an element must win. So each task processes all values in order, and writes only the
//! values whose positions are in its own part of the axis.

use super::bind::BoundProgram;
use super::program::Write;
use super::strided::StridedBlock;
use super::tiles::{Frame, TileBounds};
use crate::base::dtype::DType;
use crate::plan::kernel::Combine;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// A row of values to write, in their storage type, with the conditions and positions that define which of them are
/// written, and where.
///
/// Its unsafe functions have two conditions, cited by name. *Present*: `from`, `condition` and `index` each point to
/// the stated number of elements, aligned. *In range*: value `i` is written `i · cols` elements from the start of the
/// target block, and with an index a further `position · stride` elements on. For every position in `part`, an aligned
/// element of live memory is there.
pub(super) struct ScatterRow {
    pub from: *const u8,
    /// One byte per value. The value is written unless the byte is 0. If `None`, every value is written.
    pub condition: Option<*const u8>,
    /// One position per value. Values with positions outside of `part` are not written. If `None`, no position is
    /// added.
    pub index: Option<*const i32>,
    /// The number of elements between neighbouring positions.
    pub stride: isize,
    pub part: Range<usize>,
}

impl ScatterRow {
    /// Calls `write(i, offset)` for each of the first `n` values that is to be written. Value `i` is to be written
    /// `offset` elements from the start of the target block, whose columns are `step` elements apart.
    ///
    /// # Safety
    /// *Present* ([`ScatterRow`]) for `n` elements.
    #[inline(always)]
    unsafe fn each(&self, step: isize, n: usize, mut write: impl FnMut(usize, isize)) {
        let (condition, index, stride) = (self.condition, self.index, self.stride);
        let (first, extent) = (self.part.start, self.part.len());
        for i in 0..n {
            // SAFETY: *present*: `i` is below `n`.
            unsafe {
                if let Some(condition) = condition
                    && mutant!(condition_ignored, false, *condition.add(i) == 0)
                {
                    continue;
                }
                let mut at = i as isize * step;
                if let Some(index) = index {
                    let position = *index.add(i);
                    // a position below the part wraps to a number that no extent exceeds, so one comparison checks both
                    // bounds
                    if (position as isize as usize).wrapping_sub(first) >= extent {
                        continue;
                    }
                    at += position as isize * stride;
                }
                write(i, at);
            }
        }
    }

    /// Replaces elements of the target by the selected values among the first `n`, of `size` bytes each.
    ///
    /// # Safety
    /// *Present* and *in range* ([`ScatterRow`]) for `n` values; no other thread accesses the elements that are written.
    pub unsafe fn set(&self, size: usize, to: StridedBlock, n: usize) {
        // SAFETY: the caller ensures the conditions of `set_words`, whose words have this size.
        unsafe {
            match size {
                1 => self.set_words::<u8>(to, n),
                2 => self.set_words::<u16>(to, n),
                4 => self.set_words::<u32>(to, n),
                _ => self.set_words::<u64>(to, n),
            }
        }
    }

    /// # Safety
    /// As for [`ScatterRow::set`], for words of `T`.
    unsafe fn set_words<T: Copy>(&self, to: StridedBlock, n: usize) {
        // SAFETY: *present* and *in range*: only values below `n` are read, and values are written only at positions of
        // `part` or to `left_out`.
        unsafe {
            let (from, ptr) = (self.from as *const T, to.ptr as *mut T);
            match self.position_of_all(n) {
                // the whole row is written to one position
                Some(position) if to.cols == 1 => {
                    if self.part.contains(&(position as usize)) {
                        std::ptr::copy(from, ptr.offset(position as isize * self.stride), n);
                    }
                }
                _ => match (self.index, self.condition) {
                    (Some(index), None) => {
                        // values outside of the part are written to a variable that nobody reads. A branch instead
                        // would often be mispredicted: for every second value if two tasks have half of the positions
                        // each
                        let mut left_out = MaybeUninit::uninit();
                        let left_out: *mut T = left_out.as_mut_ptr();
                        let (stride, first, extent) = (self.stride, self.part.start, self.part.len());
                        for i in 0..n {
                            let position = *index.add(i) as isize;
                            let is_inside = (position as usize).wrapping_sub(first) < extent;
                            let place = ptr.wrapping_offset(i as isize * to.cols + position.wrapping_mul(stride));
                            *(if is_inside { place } else { left_out }) = *from.add(i);
                        }
                    }
                    _ => self.each(to.cols, n, |i, at| *ptr.offset(at) = *from.add(i)),
                },
            }
        }
    }

    /// Returns the position of `n` unconditional values, if it is the same for all.
    ///
    /// # Safety
    /// *Present* ([`ScatterRow`]) for `n` elements.
    unsafe fn position_of_all(&self, n: usize) -> Option<i32> {
        let (Some(index), None) = (self.index, self.condition) else { return None };
        // SAFETY: *present*: there are `n` positions.
        let positions = unsafe { std::slice::from_raw_parts(index, n) };
        let first = *positions.first()?;
        // the second position alone decides in most cases; the rest is a loop without an early exit, which the compiler
        // vectorises
        let is_one = positions[n.min(2) - 1] == first && positions.iter().fold(0, |all, p| all | (p ^ first)) == 0;
        is_one.then_some(first)
    }

    /// Combines the selected values among the first `n`, integers of type `dtype`, with the target's elements.
    ///
    /// # Safety
    /// *Present* and *in range* ([`ScatterRow`]) for `n` values; other threads access the target's elements only atomically.
    pub unsafe fn combine(&self, dtype: DType, combine: Combine, to: StridedBlock, n: usize) {
        macro_rules! fetch {
            ($t:ty, $atomic:ty, $fetch:ident) => {{
                let (from, ptr) = (self.from as *const $t, to.ptr as *mut $t);
                // SAFETY: *present* and *in range*: `each` passes only values below `n` and positions below `extent`,
                // whose elements are aligned as atomics of their size must be.
                unsafe {
                    self.each(to.cols, n, |i, at| {
                        <$atomic>::from_ptr(ptr.offset(at)).$fetch(*from.add(i), Relaxed);
                    })
                }
            }};
        }
        macro_rules! by_combine {
            ($t:ty, $atomic:ty) => {
                match combine {
                    Combine::Set => {}
                    Combine::Add => fetch!($t, $atomic, fetch_add),
                    Combine::Min => fetch!($t, $atomic, fetch_min),
                    Combine::Max => fetch!($t, $atomic, fetch_max),
                }
            };
        }
        match dtype {
            DType::U8 => by_combine!(u8, AtomicU8),
            DType::I8 => by_combine!(i8, AtomicI8),
            DType::U16 => by_combine!(u16, AtomicU16),
            DType::I16 => by_combine!(i16, AtomicI16),
            DType::U32 => by_combine!(u32, AtomicU32),
            DType::I32 => by_combine!(i32, AtomicI32),
            DType::U64 => by_combine!(u64, AtomicU64),
            DType::I64 => by_combine!(i64, AtomicI64),
            // `kernel::validate` rejects a store that combines one of these types
            DType::Bool | DType::F16 | DType::BF16 | DType::F32 | DType::F64 => {}
        }
    }
}

impl Frame {
    /// Writes the elements of a tile that a store's condition and index select.
    ///
    /// # Safety
    /// As for [`Frame::write`]; `from` holds the tile's elements in their storage type.
    pub(super) unsafe fn write_some(&self, bound: &BoundProgram<'_>, w: &Write, from: *const u8, tile: TileBounds) {
        let p = &bound.program.places[w.place];
        let condition = w.condition.map(|id| self.at[id] as *const u8);
        let index = w.scattered.as_ref().map(|to| self.at[to.index] as *const i32);
        let (stride, extent) = w.scattered.as_ref().map_or((0, 0), |to| (to.stride, to.extent));
        let part = self.part.start..self.part.end.min(extent);
        p.rows.runs(tile.r0, tile.nr, |rd, ro, rn, rs| {
            p.cols.runs(tile.c0, tile.nc, |cd, co, cn, cs| {
                for r in 0..rn {
                    let at = (rd + r) * tile.nc + cd;
                    // SAFETY: *inside*: the place's span includes every element that an index in range refers to; a run
                    // is a part of the tile.
                    unsafe {
                        let row = ScatterRow {
                            from: from.add(at * p.size),
                            condition: condition.map(|c| c.add(at)),
                            index: index.map(|i| i.add(at)),
                            stride,
                            part: part.clone(),
                        };
                        let ptr = bound.at(w.place).offset((ro + co + r as isize * rs) * p.size as isize);
                        let to = StridedBlock { ptr, rows: 0, cols: cs };
                        match &w.scattered {
                            Some(s) if s.combine.reads() => row.combine(s.dtype, s.combine, to, cn),
                            _ => row.set(p.size, to, cn),
                        }
                    }
                }
            });
        });
    }
}
