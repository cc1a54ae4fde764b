//! Stores that write only the elements for which a condition is true, or that write at computed positions, or both. At
//! a computed position, a value may replace the element that is there or may be combined with it.
//!
//! If values are combined with elements, several tasks may combine values into the same element, so the tasks use
//! atomic operations. Sums, minima and maxima of integers do not depend on the order, so the result is the same for any
//! number of threads. If values replace elements, the last value for an element must win. So each task processes all
//! values in order, and writes only the values whose positions are in its own part of the axis.

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
/// Its unsafe functions have two conditions. SAFETY comments refer to them by these names:
///
/// * *Present*: `from`, `condition` and `index` each point to the stated number of aligned elements.
/// * *In range*: there is an aligned element of live memory wherever a value may be written. Value `i` is written
///   `i · cols` elements after the start of the target block, and if there is an `index`, a further `position · stride`
///   elements on, for any position in `part`.
pub(super) struct ScatterRow {
    pub from: *const u8,
    /// One byte per value. The value is written unless the byte is 0. If `None`, every value is written.
    pub condition: Option<*const u8>,
    /// One position per value. Values with positions outside of `part` are not written. `None` if the store has no
    /// computed positions.
    pub index: Option<*const i32>,
    /// The distance in elements from one position to the next.
    pub stride: isize,
    pub part: Range<usize>,
}

impl ScatterRow {
    /// Calls `write(i, offset)` for each `i` in `0..n` for which value `i` is selected: its condition (if any) is true,
    /// and its position (if any) is in `part`. `write` must write value `i` to the element that is `offset` elements
    /// after the start of the target block, or combine it with that element. The columns of the block are `step`
    /// elements apart.
    ///
    /// # Safety
    /// The pointers of the row have `n` elements (*present*, see [`ScatterRow`]).
    #[inline(always)]
    unsafe fn each(&self, step: isize, n: usize, mut write: impl FnMut(usize, isize)) {
        let (condition, index, stride) = (self.condition, self.index, self.stride);
        let (first, extent) = (self.part.start, self.part.len());
        for i in 0..n {
            // SAFETY: `i` is below `n`, so the condition and the position exist.
            unsafe {
                if let Some(condition) = condition
                    && mutant!(condition_ignored, false, *condition.add(i) == 0)
                {
                    continue;
                }
                let mut at = i as isize * step;
                if let Some(index) = index {
                    let position = *index.add(i);
                    // the subtraction wraps for a position below the part, to a number that is larger than any extent,
                    // so one comparison checks both bounds
                    if (position as isize as usize).wrapping_sub(first) >= extent {
                        continue;
                    }
                    at += position as isize * stride;
                }
                write(i, at);
            }
        }
    }

    /// Writes each of the values `0..n` whose condition (if any) is true and whose position (if any) is in `part` to
    /// its element of the target `to`. Values and elements have `size` bytes.
    ///
    /// # Safety
    /// The pointers of the row have `n` elements, and the elements to write are in live memory (*present* and *in
    /// range*, see [`ScatterRow`]). No other thread accesses the elements that are written.
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
    /// The pointers of the row have `n` elements (`from` has words of `T`), and the elements to write are in live
    /// memory (*present* and *in range*, see [`ScatterRow`]). No other thread accesses the elements that are written.
    unsafe fn set_words<T: Copy>(&self, to: StridedBlock, n: usize) {
        // SAFETY: only values below `n` are read, and values are written only at positions of `part` or to `left_out`,
        // so the caller's conditions are enough (*present* and *in range*, see [`ScatterRow`]).
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
                        // values outside of the part are written to a variable that nobody reads, because a branch
                        // would often be mispredicted
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

    /// If the store has no condition and the first `n` values all have the same position, returns that position.
    ///
    /// # Safety
    /// The pointers of the row have `n` elements (*present*, see [`ScatterRow`]).
    unsafe fn position_of_all(&self, n: usize) -> Option<i32> {
        let (Some(index), None) = (self.index, self.condition) else { return None };
        // SAFETY: the caller ensures that there are `n` positions.
        let positions = unsafe { std::slice::from_raw_parts(index, n) };
        let first = *positions.first()?;
        // the second position is compared first, because it differs in most cases. The rest is a loop without an early
        // exit, which the compiler vectorises
        let is_one = positions[n.min(2) - 1] == first && positions.iter().fold(0, |all, p| all | (p ^ first)) == 0;
        is_one.then_some(first)
    }

    /// Combines each of the values `0..n` whose condition (if any) is true and whose position (if any) is in `part`
    /// with its element of the target `to`. Values and elements are integers of type `dtype`.
    ///
    /// # Safety
    /// The pointers of the row have `n` elements, and the elements to combine are in live memory (*present* and *in
    /// range*, see [`ScatterRow`]). Other threads access the target's elements only atomically.
    pub unsafe fn combine(&self, dtype: DType, combine: Combine, to: StridedBlock, n: usize) {
        macro_rules! fetch {
            ($t:ty, $atomic:ty, $fetch:ident) => {{
                let (from, ptr) = (self.from as *const $t, to.ptr as *mut $t);
                // SAFETY: `each` passes only values below `n` and positions in `part`. The elements there exist and are
                // aligned, as atomics of their size must be (*present* and *in range*, see [`ScatterRow`]).
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
    /// Writes the tile of a store that has a condition, or computed positions, or both.
    ///
    /// # Safety
    /// The frame and the tile belong to this program (*made for it*, see [`Frame`]), and no other task runs the tile.
    /// `from` holds the tile's elements in their storage type.
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
                    // SAFETY: the store's elements at all positions below `extent` are inside its buffer (*inside*, see
                    // [`Program`](super::program::Program)). A run is a part of the tile.
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
