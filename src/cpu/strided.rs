//! Copies blocks of elements between layouts: strided, transposed, repeated. Elements are plain words of 1, 2, 4 or 8
//! bytes.

use super::caches::{LINE, prefetch};
use super::transpose::transpose;
use crate::base::layout::{self, Shape, Strides};
#[cfg(target_arch = "x86_64")]
use crate::math::simd::Isa;
use crate::math::simd::isa;

/// A block of elements in memory: its first element, and the steps from row to row and from column to column, in
/// elements.
///
/// The unsafe functions of this file have two conditions, cited by name. *Inside*: every element that the steps reach
/// over the given number of rows and columns (or elements) is in live memory and aligned for its size; meanwhile no
/// other thread writes the source, or reads or writes the target. *Apart*: source and target share no byte.
#[derive(Clone, Copy)]
pub(super) struct StridedBlock {
    pub ptr: *mut u8,
    pub rows: isize,
    pub cols: isize,
}

impl StridedBlock {
    /// A block without elements.
    pub const NONE: StridedBlock = StridedBlock { ptr: std::ptr::null_mut(), rows: 0, cols: 0 };

    /// Returns the address of the element at a row and a column, for elements of `size` bytes.
    #[inline(always)]
    pub fn at(&self, size: usize, row: isize, col: isize) -> *mut u8 {
        self.ptr.wrapping_offset((row * self.rows + col * self.cols) * size as isize)
    }
}

/// Copies `nr` rows of `nc` elements of `size` bytes.
///
/// # Safety
/// *Inside* and *apart* ([`StridedBlock`]).
pub(super) unsafe fn copy(size: usize, src: StridedBlock, dst: StridedBlock, nr: usize, nc: usize) {
    // SAFETY: the caller ensures *inside* and *apart*, which each function requires; `isa` has found the features on
    // this machine.
    unsafe {
        match isa() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => copy_avx512(size, src, dst, nr, nc),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => copy_avx2(size, src, dst, nr, nc),
            _ => copy_sized(size, src, dst, nr, nc),
        }
    }
}

/// [`copy`], compiled for AVX-512.
///
/// # Safety
/// As for [`copy`]; the machine has the features that the attribute enables.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2")]
unsafe fn copy_avx512(size: usize, src: StridedBlock, dst: StridedBlock, nr: usize, nc: usize) {
    // SAFETY: *inside* and *apart* are the conditions of this function.
    unsafe { copy_sized(size, src, dst, nr, nc) }
}

/// [`copy`], compiled for AVX2.
///
/// # Safety
/// As for [`copy`]; the machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn copy_avx2(size: usize, src: StridedBlock, dst: StridedBlock, nr: usize, nc: usize) {
    // SAFETY: *inside* and *apart* are the conditions of this function.
    unsafe { copy_sized(size, src, dst, nr, nc) }
}

/// [`copy`], compiled for the instruction set of the function that it is inlined into.
///
/// # Safety
/// As for [`copy`].
#[inline(always)]
unsafe fn copy_sized(size: usize, src: StridedBlock, dst: StridedBlock, nr: usize, nc: usize) {
    // SAFETY: the caller ensures *inside* and *apart*, which `copy_words` requires; its words have the size of the
    // elements.
    unsafe {
        match size {
            1 => copy_words::<u8>(src, dst, nr, nc),
            2 => copy_words::<u16>(src, dst, nr, nc),
            4 => copy_words::<u32>(src, dst, nr, nc),
            _ => copy_words::<u64>(src, dst, nr, nc),
        }
    }
}

/// Returns how many rows ahead of the current row to prefetch, or 0 to prefetch none. The processor does not predict
/// where a short row begins if it is not adjacent to the row before. It prefetches a long row by itself.
#[inline(always)]
fn rows_ahead<T>(src: StridedBlock, nc: usize) -> isize {
    /// The distance in bytes. Copying that many bytes takes about as long as a last-level cache takes to answer.
    const AHEAD: usize = 2 << 10;
    let bytes = nc * size_of::<T>();
    let is_short = (LINE / 4..=AHEAD / 2).contains(&bytes);
    if is_short && src.rows.unsigned_abs() > nc { (AHEAD / bytes) as isize } else { 0 }
}

/// Copies words of `T`, in the way that suits the steps: row by row, transposed, or along the longer side.
///
/// # Safety
/// *Inside* and *apart* ([`StridedBlock`]), for words of `T`.
#[inline(always)]
unsafe fn copy_words<T: Copy>(src: StridedBlock, dst: StridedBlock, nr: usize, nc: usize) {
    let (s, d) = (src.ptr as *const T, dst.ptr as *mut T);
    let (nrows, ncols) = (nr as isize, nc as isize);
    // SAFETY: *inside* and *apart*, because everything below accesses only the `nr × nc` elements of the two blocks.
    unsafe {
        match (src.cols, dst.cols) {
            (1, 1) => {
                let ahead = rows_ahead::<T>(src, nc);
                for r in 0..nrows {
                    if ahead > 0 {
                        let row = s.wrapping_offset((r + ahead).wrapping_mul(src.rows)) as *const u8;
                        (0..nc * size_of::<T>()).step_by(LINE).for_each(|at| prefetch(row.wrapping_add(at)));
                    }
                    copy_row(s.offset(r * src.rows), d.offset(r * dst.rows), nc);
                }
            }
            (0, 1) => {
                // if short rows are adjacent, each row is written as a whole cache line; the next rows overwrite the
                // excess elements
                let line = LINE / size_of::<T>();
                let several =
                    if nc < line && dst.rows == ncols { (nr * nc).saturating_sub(line) / nc.max(1) } else { 0 };
                for r in 0..several as isize {
                    let x = *s.offset(r * src.rows);
                    std::slice::from_raw_parts_mut(d.offset(r * dst.rows), line).fill(x);
                }
                for r in several as isize..nrows {
                    let x = *s.offset(r * src.rows);
                    std::slice::from_raw_parts_mut(d.offset(r * dst.rows), nc).fill(x);
                }
            }
            _ if nr > 1 && src.rows == 1 && dst.cols == 1 => {
                transpose(s, src.cols, d, dst.rows, nr, nc);
            }
            _ if nr > 1 && src.cols == 1 && dst.rows == 1 => {
                transpose(s, src.rows, d, dst.cols, nc, nr);
            }
            // the inner loop is along the longer side, because each start of it costs time, unless it would read and
            // write another cache line each time
            _ if nr > nc && (nc < 4 || src.cols.abs() > 2 || dst.cols.abs() > 2) => {
                for c in 0..ncols {
                    let (s, d) = (s.offset(c * src.cols), d.offset(c * dst.cols));
                    strided(s, src.rows, d, dst.rows, nrows);
                }
            }
            _ => {
                for r in 0..nrows {
                    let (s, d) = (s.offset(r * src.rows), d.offset(r * dst.rows));
                    strided(s, src.cols, d, dst.cols, ncols);
                }
            }
        }
    }
}

/// # Safety
/// *Inside* and *apart* ([`StridedBlock`]), for `n` elements at step 1.
#[inline(always)]
unsafe fn copy_row<T: Copy>(s: *const T, d: *mut T, n: usize) {
    // SAFETY: *inside* and *apart*: every index is below `n`.
    unsafe {
        match n {
            // for up to 16 elements, a call of `memcpy` would take longer than a loop, or than two copies that overlap
            0..4 => (0..n).for_each(|i| *d.add(i) = *s.add(i)),
            4..8 => [0, n - 4].into_iter().for_each(|at| std::ptr::copy_nonoverlapping(s.add(at), d.add(at), 4)),
            8..=16 => [0, n - 8].into_iter().for_each(|at| std::ptr::copy_nonoverlapping(s.add(at), d.add(at), 8)),
            _ => std::ptr::copy_nonoverlapping(s, d, n),
        }
    }
}

/// # Safety
/// *Inside* and *apart* ([`StridedBlock`]), for `n` elements at the steps `ss` and `ds`.
#[inline(always)]
unsafe fn strided<T: Copy>(s: *const T, ss: isize, d: *mut T, ds: isize, n: isize) {
    // all arms do the same; in all arms but the last, the compiler knows at least one step
    // SAFETY: *inside* and *apart*: every index is below `n`.
    unsafe {
        match (ss, ds) {
            (1, 1) => copy_row(s, d, n as usize),
            (-1, 1) => (0..n).for_each(|i| *d.offset(i) = *s.offset(-i)),
            (2, 1) => (0..n).for_each(|i| *d.offset(i) = *s.offset(2 * i)),
            (_, 1) => (0..n).for_each(|i| *d.offset(i) = *s.offset(ss * i)),
            (1, _) => (0..n).for_each(|i| *d.offset(ds * i) = *s.offset(i)),
            _ => (0..n).for_each(|i| *d.offset(ds * i) = *s.offset(ss * i)),
        }
    }
}

/// Copies `n` bytes past the caches if the machine can. It streams whole aligned vectors, and copies the bytes before
/// and after them through the caches. This is a fifth faster for memory that is not read soon. A [`fence`] must follow
/// before another thread reads the copy.
///
/// # Safety
/// *Inside* ([`StridedBlock`]), for `n` bytes at each pointer; the two byte ranges are disjoint or equal.
pub(super) unsafe fn stream(from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: the caller ensures *inside*, which each function requires; `isa` has found the features on this machine.
    unsafe {
        match isa() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => stream_avx512(from, to, n),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => stream_avx2(from, to, n),
            _ => std::ptr::copy(from, to, n),
        }
    }
}

/// [`stream`] with stores of 64 bytes.
///
/// # Safety
/// As for [`stream`]; the machine has AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn stream_avx512(from: *const u8, to: *mut u8, n: usize) {
    use std::arch::x86_64::*;
    // SAFETY: *inside* ([`StridedBlock`]), because every offset is below `n`; streamed stores are aligned to 64 bytes.
    unsafe {
        let (first, end) = aligned_part(to, n, 64);
        std::ptr::copy(from, to, first);
        for i in (first..end).step_by(64) {
            _mm512_stream_si512(to.add(i).cast(), _mm512_loadu_si512(from.add(i).cast()));
        }
        std::ptr::copy(from.add(end), to.add(end), n - end);
    }
}

/// [`stream`] with stores of 32 bytes.
///
/// # Safety
/// As for [`stream`]; the machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn stream_avx2(from: *const u8, to: *mut u8, n: usize) {
    use std::arch::x86_64::*;
    // SAFETY: *inside*: every offset is below `n`; streamed stores are aligned to 32.
    unsafe {
        let (first, end) = aligned_part(to, n, 32);
        std::ptr::copy(from, to, first);
        for i in (first..end).step_by(32) {
            _mm256_stream_si256(to.add(i).cast(), _mm256_loadu_si256(from.add(i).cast()));
        }
        std::ptr::copy(from.add(end), to.add(end), n - end);
    }
}

/// Returns the part of the `n` bytes from `to` on that consists of whole aligned vectors of `size` bytes, as the
/// offsets of its start and its end.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn aligned_part(to: *const u8, n: usize, size: usize) -> (usize, usize) {
    let first = ((to as usize).wrapping_neg() % size).min(n);
    (first, first + (n - first) / size * size)
}

/// Fills `n` elements of `size` bytes with the low bytes of `bits`, past the caches like [`stream`].
///
/// # Safety
/// *Inside* ([`StridedBlock`]), for `n` elements of the size at `dst`.
pub(super) unsafe fn stream_fill(size: usize, bits: u64, dst: *mut u8, n: usize) {
    /// The size in bytes of the pattern that is filled through the cache and then streamed repeatedly. It is a multiple
    /// of the size of every vector.
    const PATTERN: usize = 2048;
    let mut pattern = [0u64; PATTERN / 8];
    let (mut at, end) = (0, n * size);
    // the first piece ends at a multiple of a cache line, so that later pieces have no unaligned edges; every piece
    // begins with a whole element, because all lengths are multiples of an element's size
    let mut piece = (PATTERN - dst as usize % LINE).min(end);
    // SAFETY: *inside*: every piece ends at or before `end`; the pattern has `PATTERN` bytes.
    unsafe {
        fill(size, bits, pattern.as_mut_ptr().cast(), PATTERN / size);
        while at < end {
            stream(pattern.as_ptr().cast(), dst.add(at), piece);
            at += piece;
            piece = PATTERN.min(end - at);
        }
    }
}

/// Orders streamed writes before all later writes. Without it, another thread that learns that a result is ready could
/// read memory that the streamed bytes have not reached yet.
pub(super) fn fence() {
    // SAFETY: every x86-64 CPU has the instruction.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_sfence()
    };
}

/// Fills `n` elements of `size` bytes with the low bytes of `bits`.
///
/// # Safety
/// *Inside* ([`StridedBlock`]), for `n` elements of the size at `dst`.
pub(super) unsafe fn fill(size: usize, bits: u64, dst: *mut u8, n: usize) {
    // SAFETY: *inside*: `n` elements of this size.
    unsafe {
        match size {
            1 => std::slice::from_raw_parts_mut(dst, n).fill(bits as u8),
            2 => std::slice::from_raw_parts_mut(dst as *mut u16, n).fill(bits as u16),
            4 => std::slice::from_raw_parts_mut(dst as *mut u32, n).fill(bits as u32),
            _ => std::slice::from_raw_parts_mut(dst as *mut u64, n).fill(bits),
        }
    }
}

/// Reads an element of `size` bytes into the low bytes of a word. The other bytes are 0.
///
/// # Safety
/// *Inside* ([`StridedBlock`]), for one element of the size at `src`.
pub(super) unsafe fn read(size: usize, src: *const u8) -> u64 {
    // SAFETY: *inside*: one element of this size.
    unsafe {
        match size {
            1 => *src as u64,
            2 => *(src as *const u16) as u64,
            4 => *(src as *const u32) as u64,
            _ => *(src as *const u64),
        }
    }
}

/// The rows or the columns of an index space, as one operand accesses them: several dimensions, flattened in C order.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Axis {
    /// The dimensions. There are no dimensions if `step` alone defines the position of every index.
    dims: Shape,
    strides: Strides,
    /// The number of elements between neighbouring indices, if it is the same everywhere.
    pub step: Option<isize>,
}

heap! { Axis: dims, strides; }

impl Axis {
    pub fn new(dims: &[usize], strides: &[isize]) -> Axis {
        let step = match (dims, strides) {
            ([], _) => Some(0),
            ([_], [s]) => Some(*s),
            _ => layout::one_step(dims, strides),
        };
        match step {
            Some(_) => Axis { dims: Shape::new(), strides: Strides::new(), step },
            None => Axis { dims: dims.into(), strides: strides.into(), step },
        }
    }

    /// Returns whether every index refers to the same element.
    pub fn is_still(&self) -> bool {
        self.step == Some(0)
    }

    /// Returns the distance in elements from the element of index 0 to the element of `index`.
    pub fn offset(&self, index: usize) -> isize {
        if let Some(step) = self.step {
            return index as isize * step;
        }
        let (mut rest, mut offset) = (index, 0);
        for (&n, &s) in self.dims.iter().zip(&self.strides).rev() {
            offset += (rest % n) as isize * s;
            rest /= n;
        }
        offset
    }

    /// Like [`Axis::runs`], for blocks of several runs at equal distances: calls `f(done, offset, counts, steps)`, with
    /// the number of runs and of indices in each, and the distances between runs and between indices.
    #[inline(always)]
    pub fn blocks(&self, start: usize, n: usize, mut f: impl FnMut(usize, isize, [usize; 2], [isize; 2])) {
        let mut block = (0, 0, [0, 0], [0, 0]);
        self.runs(start, n, |done, offset, count, step| {
            let (_, first, [runs, length], [apart, _]) = &mut block;
            if *runs == 1 {
                *apart = offset - *first;
            }
            if *runs > 0 && *length == count && offset == *first + *runs as isize * *apart {
                *runs += 1;
                return;
            }
            let before = std::mem::replace(&mut block, (done, offset, [1, count], [0, step]));
            if before.2[0] > 0 {
                f(before.0, before.1, before.2, before.3);
            }
        });
        if block.2[0] > 0 {
            f(block.0, block.1, block.2, block.3);
        }
    }

    /// Calls `f(done, offset, count, step)` for each part of `start..start + n` that has one step: `done` indices from
    /// `start` on come before it, its first element is at `offset`, and it has `count` indices.
    pub fn runs(&self, start: usize, n: usize, mut f: impl FnMut(usize, isize, usize, isize)) {
        if let Some(step) = self.step {
            return f(0, start as isize * step, n, step);
        }
        let last = self.dims.len() - 1;
        let mut index = smallvec::SmallVec::<[usize; 8]>::from_elem(0, self.dims.len());
        let mut rest = start;
        for (i, &d) in index.iter_mut().zip(&self.dims).rev() {
            *i = rest % d;
            rest /= d;
        }
        let mut offset: isize = index.iter().zip(&self.strides).map(|(&i, &s)| i as isize * s).sum();
        let mut done = 0;
        while done < n {
            let count = (self.dims[last] - index[last]).min(n - done);
            f(done, offset, count, self.strides[last]);
            done += count;
            offset += count as isize * self.strides[last];
            index[last] += count;
            // a part that ends at the end of the last dimension carries into the dimensions before it
            let mut d = last;
            while d > mutant!(odometer_carries_once, last - 1, 0) && index[d] == self.dims[d] {
                offset += self.strides[d - 1] - self.dims[d] as isize * self.strides[d];
                index[d] = 0;
                index[d - 1] += 1;
                d -= 1;
            }
        }
    }
}
