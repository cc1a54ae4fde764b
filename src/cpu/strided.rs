//! Copies blocks of elements between layouts: strided, transposed, repeated. Elements are plain words of 1, 2, 4 or 8 bytes.

use crate::layout::{self, Shape, Strides};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Isa, isa};

/// A block of elements in memory: its first element, and the steps from row to row and from column to column, in elements.
///
/// The unsafe functions of this file have two conditions, cited by name. *Inside*: every element that the steps reach over
/// the given number of rows and columns (or elements) lies in live memory and is aligned for its size; meanwhile no other
/// thread writes the source, or reads or writes the target. *Apart*: source and target share no byte.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub ptr: *mut u8,
    pub rows: isize,
    pub cols: isize,
}

/// Copies `nr` rows of `nc` elements of `size` bytes.
///
/// # Safety
/// *Inside* and *apart* ([`Block`]).
pub(super) unsafe fn copy(size: usize, src: Block, dst: Block, nr: usize, nc: usize) {
    // SAFETY: *inside* and *apart* hold, as `copy_words` asks; its words have the size of the elements.
    unsafe {
        match size {
            1 => copy_words::<u8>(src, dst, nr, nc),
            2 => copy_words::<u16>(src, dst, nr, nc),
            4 => copy_words::<u32>(src, dst, nr, nc),
            _ => copy_words::<u64>(src, dst, nr, nc),
        }
    }
}

/// How many rows and columns a square has that a transposition moves through CPU registers: eight 4-byte words fill an AVX2
/// register.
const SIDE: usize = 8;

/// Copies words of `T`, in the way that suits the steps: row by row, transposed, or along the longer side.
///
/// # Safety
/// *Inside* and *apart* ([`Block`]), for words of `T`.
unsafe fn copy_words<T: Copy + Default>(src: Block, dst: Block, nr: usize, nc: usize) {
    let (s, d) = (src.ptr as *const T, dst.ptr as *mut T);
    let (nrows, ncols) = (nr as isize, nc as isize);
    // SAFETY: *inside* and *apart*: every index below is one of `nr × nc`.
    unsafe {
        match (src.cols, dst.cols) {
            (1, 1) => {
                for r in 0..nrows {
                    copy_row(s.offset(r * src.rows), d.offset(r * dst.rows), nc);
                }
            }
            (0, 1) => {
                for r in 0..nrows {
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
            // the inner loop runs along the longer side, because each start of it costs time
            _ if nr > nc => {
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
/// *Inside* and *apart* ([`Block`]), for `n` elements at step 1.
#[inline(always)]
unsafe fn copy_row<T: Copy>(s: *const T, d: *mut T, n: usize) {
    // SAFETY: *inside* and *apart*: every index is below `n`.
    unsafe {
        if n <= 16 {
            // for up to 16 elements the call of `memcpy` would take longer than this loop
            for i in 0..n {
                *d.add(i) = *s.add(i);
            }
        } else {
            std::ptr::copy_nonoverlapping(s, d, n);
        }
    }
}

/// # Safety
/// *Inside* and *apart* ([`Block`]), for `n` elements at the steps `ss` and `ds`.
#[inline(always)]
unsafe fn strided<T: Copy>(s: *const T, ss: isize, d: *mut T, ds: isize, n: isize) {
    // all arms do the same; in all but the last the compiler knows a step
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

/// `d[r * ds + c] = s[r + c * ss]`: the source has unit steps in `r`, the target in `c`.
///
/// # Safety
/// *Inside* and *apart* ([`Block`]), for `nr × nc` elements.
unsafe fn transpose<T: Copy + Default>(s: *const T, ss: isize, d: *mut T, ds: isize, nr: usize, nc: usize) {
    // SAFETY: *inside* and *apart* are what both functions ask for; `isa` has found AVX2 on this machine.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if size_of::<T>() == 4 && isa() != Isa::Portable {
            return transpose_avx2(s as *const f32, ss, d as *mut f32, ds, nr, nc);
        }
        squares(s, ss, d, ds, nr, nc, |s, d| block(s, ss, d, ds));
    }
}

/// Transposes an area: whole squares of `SIDE × SIDE` elements by `square`, and the elements beside them one by one.
///
/// # Safety
/// *Inside* and *apart* ([`Block`]), for `nr × nc` elements.
#[inline(always)]
unsafe fn squares<T: Copy>(
    s: *const T,
    ss: isize,
    d: *mut T,
    ds: isize,
    nr: usize,
    nc: usize,
    square: impl Fn(*const T, *mut T),
) {
    let (nrb, ncb) = (nr / SIDE * SIDE, nc / SIDE * SIDE);
    // SAFETY: *inside* and *apart*: every index is below `nr` and `nc`.
    unsafe {
        // the side with the longer steps is mostly main memory, the other scratch in L1: the inner loop follows the contiguous
        // direction of main memory
        if ss.unsigned_abs() > ds.unsigned_abs() {
            for c in (0..ncb as isize).step_by(SIDE) {
                for r in (0..nrb as isize).step_by(SIDE) {
                    square(s.offset(r + c * ss), d.offset(r * ds + c));
                }
            }
        } else {
            for r in (0..nrb as isize).step_by(SIDE) {
                for c in (0..ncb as isize).step_by(SIDE) {
                    square(s.offset(r + c * ss), d.offset(r * ds + c));
                }
            }
        }
        for r in 0..nr as isize {
            let from = if r < nrb as isize { ncb } else { mutant!(transposed_corner_left, ncb, 0) };
            for c in from as isize..nc as isize {
                *d.offset(r * ds + c) = *s.offset(r + c * ss);
            }
        }
    }
}

/// Transposes words of 4 bytes by [`block_avx2`].
///
/// # Safety
/// *Inside* and *apart* ([`Block`]), for `nr × nc` elements; the machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn transpose_avx2(s: *const f32, ss: isize, d: *mut f32, ds: isize, nr: usize, nc: usize) {
    // SAFETY: *inside* and *apart* are what `squares` asks for; each square that it names is 8 × 8 elements inside.
    unsafe { squares(s, ss, d, ds, nr, nc, |s, d| block_avx2(s, ss, d, ds)) }
}

/// Transposes an 8 × 8 square of 4-byte words: loads two half columns into each register, then shuffles within the halves of
/// registers. It is twice as fast as the code that the compiler makes of [`block`].
///
/// # Safety
/// *Inside* and *apart* ([`Block`]), for `SIDE × SIDE` words; the machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn block_avx2(s: *const f32, ss: isize, d: *mut f32, ds: isize) {
    use std::arch::x86_64::*;
    // SAFETY: *inside*: this reads eight words of each of eight columns, and writes eight words of each of eight rows.
    unsafe {
        // rows r to r + 3 of the columns c and c + 4, as the two halves of one register
        let pair = |c: isize, r: isize| {
            let low = _mm_loadu_ps(s.offset(c * ss + r));
            let high = _mm_loadu_ps(s.offset((c + 4) * ss + r));
            _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1)
        };
        for r in [0, 4] {
            let (c0, c1, c2, c3) = (pair(0, r), pair(1, r), pair(2, r), pair(3, r));
            let (a, b) = (_mm256_unpacklo_ps(c0, c1), _mm256_unpackhi_ps(c0, c1));
            let (e, f) = (_mm256_unpacklo_ps(c2, c3), _mm256_unpackhi_ps(c2, c3));
            let d = d.offset(r * ds);
            _mm256_storeu_ps(d, _mm256_shuffle_ps(a, e, 0x44));
            _mm256_storeu_ps(d.offset(ds), _mm256_shuffle_ps(a, e, 0xee));
            _mm256_storeu_ps(d.offset(2 * ds), _mm256_shuffle_ps(b, f, 0x44));
            _mm256_storeu_ps(d.offset(3 * ds), _mm256_shuffle_ps(b, f, 0xee));
        }
    }
}

/// Transposes a square of `SIDE × SIDE` elements through registers.
///
/// # Safety
/// *Inside* and *apart* ([`Block`]), for `SIDE × SIDE` elements.
#[inline(always)]
unsafe fn block<T: Copy + Default>(s: *const T, ss: isize, d: *mut T, ds: isize) {
    // SAFETY: *inside* and *apart*: this reads `SIDE` words of each of `SIDE` columns and writes as many rows; words are plain.
    unsafe {
        let mut x = [[T::default(); SIDE]; SIDE];
        for (c, column) in x.iter_mut().enumerate() {
            *column = (s.offset(c as isize * ss) as *const [T; SIDE]).read_unaligned();
        }
        #[allow(clippy::needless_range_loop)]
        for r in 0..SIDE {
            let mut row = [T::default(); SIDE];
            for c in 0..SIDE {
                row[c] = x[c][r];
            }
            (d.offset(r as isize * ds) as *mut [T; SIDE]).write_unaligned(row);
        }
    }
}

/// Copies `n` bytes past the caches where the machine can and `to` is aligned for it. This is a fifth faster for memory that is
/// not read soon. A [`fence`] must follow before another thread reads the copy.
///
/// # Safety
/// *Inside* ([`Block`]), for `n` bytes at each pointer; the two runs of bytes are apart or the same.
pub(super) unsafe fn stream(from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: *inside*; `to` is aligned as each function asks; `isa` has found the features on this machine.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if isa() == Isa::Avx512 && (to as usize).is_multiple_of(64) {
            return stream_avx512(from, to, n);
        }
        #[cfg(target_arch = "x86_64")]
        if isa() != Isa::Portable && (to as usize).is_multiple_of(32) {
            return stream_avx2(from, to, n);
        }
        std::ptr::copy(from, to, n);
    }
}

/// Does [`stream`] with stores of 64 bytes; the last `n % 64` bytes go through the caches.
///
/// # Safety
/// As [`stream`]; `to` is a multiple of 64; the machine has AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn stream_avx512(from: *const u8, to: *mut u8, n: usize) {
    use std::arch::x86_64::*;
    // SAFETY: *inside*: every offset is below `n`; streamed stores are aligned to 64.
    unsafe {
        let whole = n / 64 * 64;
        for i in (0..whole).step_by(64) {
            _mm512_stream_si512(to.add(i).cast(), _mm512_loadu_si512(from.add(i).cast()));
        }
        std::ptr::copy(from.add(whole), to.add(whole), n - whole);
    }
}

/// Does [`stream`] with stores of 32 bytes; the last `n % 32` bytes go through the caches.
///
/// # Safety
/// As [`stream`]; `to` is a multiple of 32; the machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn stream_avx2(from: *const u8, to: *mut u8, n: usize) {
    use std::arch::x86_64::*;
    // SAFETY: *inside*: every offset is below `n`; streamed stores are aligned to 32.
    unsafe {
        for i in (0..n / 32 * 32).step_by(32) {
            _mm256_stream_si256(to.add(i).cast(), _mm256_loadu_si256(from.add(i).cast()));
        }
        let rest = n / 32 * 32;
        std::ptr::copy(from.add(rest), to.add(rest), n - rest);
    }
}

/// Orders streamed writes before all later writes: without it another thread, told that a result is there, could read memory
/// that its bytes have not reached.
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
/// *Inside* ([`Block`]), for `n` elements of the size at `dst`.
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

/// Reads an element of `size` bytes into the low bytes of a word; the others are 0.
///
/// # Safety
/// *Inside* ([`Block`]), for one element of the size at `src`.
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

/// The rows or the columns of an index space, as one operand sees them: several dimensions, flattened in C order.
#[derive(Clone)]
pub(super) struct Axis {
    /// The dimensions; empty if `step` alone says where every index lies.
    dims: Shape,
    strides: Strides,
    /// The elements between neighbouring indices, if they are as many everywhere.
    pub step: Option<isize>,
}

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

    /// Says whether every index leads to the same element.
    pub fn is_still(&self) -> bool {
        self.step == Some(0)
    }

    /// Returns how far the element of an index lies from that of index 0, in elements.
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

    /// Calls `f(done, offset, count, step)` for each part of `start..start + n` that has one step: `done` indices from `start`
    /// on come before it, its first lies at `offset`, and it has `count` indices.
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
