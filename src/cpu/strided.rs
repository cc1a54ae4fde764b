//! Copies blocks of elements between layouts in memory: strided, transposed or repeated. Elements are copied as plain
//! words of 1, 2, 4 or 8 bytes.

use super::caches::{LINE, prefetch};
use super::transpose::transpose;
use crate::base::layout::{self, Shape, Strides};
#[cfg(target_arch = "x86_64")]
use crate::math::simd::Isa;
use crate::math::simd::isa;

/// The address of a block of elements in memory: a pointer to its first element, the distance from one row to the next
/// (`rows`), and the distance from one column to the next (`cols`). Both distances (below: steps) are in elements.
///
/// The unsafe functions of this file have two conditions. SAFETY comments refer to them by these names:
///
/// * *Inside*: every element of the source and of the target, for the given number of rows and columns (or of
///   elements), is in live memory and aligned for its size. During the call, no other thread writes the source, and no
///   other thread reads or writes the target.
/// * *Apart*: source and target share no byte.
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
/// All elements of both blocks are in live memory, and the blocks do not overlap (*inside* and *apart*, see
/// [`StridedBlock`]).
pub(super) unsafe fn copy(size: usize, src: StridedBlock, dst: StridedBlock, nr: usize, nc: usize) {
    // SAFETY: the caller ensures that all elements are in live memory and that the blocks do not overlap (*inside* and
    // *apart*, see [`StridedBlock`]). `isa` has found the instruction set on this machine.
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
/// All elements of both blocks are in live memory, and the blocks do not overlap (*inside* and *apart*, see
/// [`StridedBlock`]). The machine has the features that the attribute enables.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2")]
unsafe fn copy_avx512(size: usize, src: StridedBlock, dst: StridedBlock, nr: usize, nc: usize) {
    // SAFETY: the called function has the same conditions as this one.
    unsafe { copy_sized(size, src, dst, nr, nc) }
}

/// [`copy`], compiled for AVX2.
///
/// # Safety
/// All elements of both blocks are in live memory, and the blocks do not overlap (*inside* and *apart*, see
/// [`StridedBlock`]). The machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn copy_avx2(size: usize, src: StridedBlock, dst: StridedBlock, nr: usize, nc: usize) {
    // SAFETY: the called function has the same conditions as this one.
    unsafe { copy_sized(size, src, dst, nr, nc) }
}

/// [`copy`], compiled for the instruction set of the function that it is inlined into.
///
/// # Safety
/// All elements of both blocks are in live memory, and the blocks do not overlap (*inside* and *apart*, see
/// [`StridedBlock`]).
#[inline(always)]
unsafe fn copy_sized(size: usize, src: StridedBlock, dst: StridedBlock, nr: usize, nc: usize) {
    // SAFETY: the caller ensures the conditions of `copy_words` (*inside* and *apart*, see [`StridedBlock`]), because
    // its words have the size of the elements.
    unsafe {
        match size {
            1 => copy_words::<u8>(src, dst, nr, nc),
            2 => copy_words::<u16>(src, dst, nr, nc),
            4 => copy_words::<u32>(src, dst, nr, nc),
            _ => copy_words::<u64>(src, dst, nr, nc),
        }
    }
}

/// Returns how many rows ahead of the current row to prefetch, or 0 to prefetch none. Only short rows are prefetched:
/// the processor prefetches the rest of a long row by itself, but it does not predict where the next row begins if that
/// row is not adjacent to the current one.
#[inline(always)]
fn rows_ahead<T>(src: StridedBlock, nc: usize) -> isize {
    /// The distance from the current row to the prefetched row, in bytes of copied elements. Copying that many bytes
    /// takes about as long as a last-level cache takes to answer.
    const AHEAD: usize = 2 << 10;
    let bytes = nc * size_of::<T>();
    let is_short = (LINE / 4..=AHEAD / 2).contains(&bytes);
    if is_short && src.rows.unsigned_abs() > nc { (AHEAD / bytes) as isize } else { 0 }
}

/// Copies words of `T`. The steps of the two blocks decide whether it copies row by row, transposes, or copies along
/// the longer side of the block.
///
/// # Safety
/// All `nr × nc` words of `T` of both blocks are in live memory, and the blocks do not overlap (*inside* and *apart*,
/// see [`StridedBlock`]).
#[inline(always)]
unsafe fn copy_words<T: Copy>(src: StridedBlock, dst: StridedBlock, nr: usize, nc: usize) {
    let (s, d) = (src.ptr as *const T, dst.ptr as *mut T);
    let (nrows, ncols) = (nr as isize, nc as isize);
    // SAFETY: the code below accesses only the `nr × nc` elements of the two blocks, which are in live memory and do
    // not overlap (*inside* and *apart*, see [`StridedBlock`]).
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
                // each row of the target repeats one element. If the target's rows are short and adjacent, a whole
                // cache line is written for each row; the next rows overwrite the excess elements
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
            // the inner loop goes down the columns if they are longer than the rows, because each start of the inner
            // loop costs time. Rows of at least four elements that are close together are an exception, because a loop
            // down a column would access another cache line for each element
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
/// `s` and `d` each point to `n` contiguous elements in live memory, which do not overlap (*inside* and *apart*, see
/// [`StridedBlock`]).
#[inline(always)]
unsafe fn copy_row<T: Copy>(s: *const T, d: *mut T, n: usize) {
    // SAFETY: every index is below `n`, and the caller ensures that these elements exist and do not overlap (*inside*
    // and *apart*, see [`StridedBlock`]).
    unsafe {
        match n {
            // for up to 16 elements, a call of `memcpy` would take longer than a loop, or than two copies of constant
            // length that overlap
            0..4 => (0..n).for_each(|i| *d.add(i) = *s.add(i)),
            4..8 => [0, n - 4].into_iter().for_each(|at| std::ptr::copy_nonoverlapping(s.add(at), d.add(at), 4)),
            8..=16 => [0, n - 8].into_iter().for_each(|at| std::ptr::copy_nonoverlapping(s.add(at), d.add(at), 8)),
            _ => std::ptr::copy_nonoverlapping(s, d, n),
        }
    }
}

/// # Safety
/// The `n` elements from `s` on at step `ss` and from `d` on at step `ds` are in live memory and do not overlap
/// (*inside* and *apart*, see [`StridedBlock`]).
#[inline(always)]
unsafe fn strided<T: Copy>(s: *const T, ss: isize, d: *mut T, ds: isize, n: isize) {
    // all arms do the same. In all arms but the last, at least one step is a constant that the compiler knows
    // SAFETY: every index is below `n`, and the caller ensures that these elements exist and do not overlap (*inside*
    // and *apart*, see [`StridedBlock`]).
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

/// Copies `n` bytes by streaming stores, which bypass the caches, if the machine has such stores. Whole aligned vectors
/// are streamed; the bytes before and after them are copied through the caches. Streaming is a fifth faster for memory
/// that is not read soon. A [`fence`] must follow before another thread reads the copy.
///
/// # Safety
/// There are `n` bytes of live memory at each pointer (*inside*, see [`StridedBlock`]). The two byte ranges are
/// disjoint or equal.
pub(super) unsafe fn stream(from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: the called functions have the same conditions as this one, and the caller ensures them. `isa` has found
    // the instruction set on this machine.
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
/// There are `n` bytes of live memory at each pointer (*inside*, see [`StridedBlock`]). The two byte ranges are
/// disjoint or equal. The machine has AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn stream_avx512(from: *const u8, to: *mut u8, n: usize) {
    use std::arch::x86_64::*;
    // SAFETY: every offset is below `n`, so it is inside both byte ranges. Streamed stores are aligned to 64 bytes.
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
/// There are `n` bytes of live memory at each pointer (*inside*, see [`StridedBlock`]). The two byte ranges are
/// disjoint or equal. The machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn stream_avx2(from: *const u8, to: *mut u8, n: usize) {
    use std::arch::x86_64::*;
    // SAFETY: every offset is below `n`, so it is inside both byte ranges. Streamed stores are aligned to 32 bytes.
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

/// Fills `n` elements of `size` bytes with the low bytes of `bits`. Like [`stream`], it writes by streaming stores,
/// which bypass the caches.
///
/// # Safety
/// `dst` points to `n` aligned elements of this size in live memory (*inside*, see [`StridedBlock`]).
pub(super) unsafe fn stream_fill(size: usize, bits: u64, dst: *mut u8, n: usize) {
    /// The size in bytes of the pattern that is filled through the cache and then streamed repeatedly. It is a multiple
    /// of the size of every vector.
    const PATTERN: usize = 2048;
    let mut pattern = [0u64; PATTERN / 8];
    let (mut at, end) = (0, n * size);
    // the first piece ends at a multiple of a cache line, so that later pieces have no unaligned edges; every piece
    // begins with a whole element, because all lengths are multiples of an element's size
    let mut piece = (PATTERN - dst as usize % LINE).min(end);
    // SAFETY: every piece ends at or before `end`, so it is in the caller's `n` elements. A piece has at most the
    // `PATTERN` bytes of the pattern.
    unsafe {
        fill(size, bits, pattern.as_mut_ptr().cast(), PATTERN / size);
        while at < end {
            stream(pattern.as_ptr().cast(), dst.add(at), piece);
            at += piece;
            piece = PATTERN.min(end - at);
        }
    }
}

/// Orders streamed writes before all later writes of this thread. Without this fence, another thread could see that a
/// result is ready, but read memory that the streamed bytes have not reached yet.
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
/// `dst` points to `n` aligned elements of this size in live memory (*inside*, see [`StridedBlock`]).
pub(super) unsafe fn fill(size: usize, bits: u64, dst: *mut u8, n: usize) {
    // SAFETY: the caller ensures that `dst` points to `n` elements of this size.
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
/// `src` points to an aligned element of this size in live memory (*inside*, see [`StridedBlock`]).
pub(super) unsafe fn read(size: usize, src: *const u8) -> u64 {
    // SAFETY: the caller ensures that `src` points to an element of this size.
    unsafe {
        match size {
            1 => *src as u64,
            2 => *(src as *const u16) as u64,
            4 => *(src as *const u32) as u64,
            _ => *(src as *const u64),
        }
    }
}

/// How one operand accesses the rows, or the columns, of an index space. The rows are numbered along several
/// dimensions, flattened in C order; this type maps the number of a row to the position of its elements in memory.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Axis {
    /// The dimensions. There are no dimensions if `step` alone defines the position of every index.
    dims: Shape,
    strides: Strides,
    /// The distance in elements from each index to the next, if it is the same for all indices.
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

    /// Returns the length of the contiguous runs into which [`Axis::runs`] cuts the indices: `usize::MAX` if all elements
    /// are contiguous, and 0 if neighbouring elements are apart.
    pub fn contiguous(&self) -> usize {
        match (self.step, &self.dims[..], &self.strides[..]) {
            (Some(1), _, _) => usize::MAX,
            (None, [.., n], [.., 1]) => *n,
            _ => 0,
        }
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

    /// Like [`Axis::runs`], but joins consecutive runs into one block if they have equal lengths and equal distances.
    /// Calls `f(done, offset, [runs, length], [apart, step])` for each block: it has `runs` runs, whose starts are
    /// `apart` elements apart, and each run has `length` indices, which are `step` elements apart.
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

    /// Cuts the indices `start..start + n` into runs, whose elements are equally far apart in memory. Calls
    /// `f(done, offset, count, step)` for each run in order: `done` indices of the range come before it, its first
    /// element is at `offset`, it has `count` indices, and its elements are `step` elements apart.
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
            // a run that ends at the end of the last dimension carries into the dimensions before it, as in an odometer
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
