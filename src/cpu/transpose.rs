//! Transposes blocks of elements in memory. A block is cut into small squares, which are transposed in SIMD registers.
//! The squares are processed in an order that uses whole cache lines of the source and of the target.

use super::caches::{LINE, prefetch};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// How many cache lines of the source ahead to prefetch. A band of squares reads one cache line of each of many source
/// rows, which the processor's own prefetcher does not predict. Reading 128 lines takes about as long as main memory
/// takes to answer. Prefetching 64 lines ahead was measured to be up to a fifth slower, and 256 lines no faster.
const AHEAD: usize = 128;

/// Transposes an area of `nr × nc` elements: `d[r * ds + c] = s[r + c * ss]` for `r < nr` and `c < nc`. So elements
/// with consecutive `r` are adjacent in the source, and elements with consecutive `c` are adjacent in the target.
///
/// # Safety
/// These words of `s` and `d` are in live memory, and source and target do not overlap (*inside* and *apart*, see
/// [`StridedBlock`](super::strided::StridedBlock)). `T` has 1, 2, 4 or 8 bytes.
#[inline(always)]
pub(super) unsafe fn transpose<T: Copy>(s: *const T, ss: isize, d: *mut T, ds: isize, nr: usize, nc: usize) {
    // SAFETY: the called functions have the same conditions as this one, and the caller ensures them.
    unsafe {
        match (size_of::<T>(), nc) {
            (_, 2) if ds == 2 => interleave::<T, 2>(s, ss, d, nr),
            (_, 3) if ds == 3 => interleave::<T, 3>(s, ss, d, nr),
            (_, 4) if ds == 4 => interleave::<T, 4>(s, ss, d, nr),
            (1, _) => squares::<T, 16>(s, ss, d, ds, nr, nc),
            (2, _) => squares::<T, 8>(s, ss, d, ds, nr, nc),
            (4, _) => squares::<T, 4>(s, ss, d, ds, nr, nc),
            _ => squares::<T, 2>(s, ss, d, ds, nr, nc),
        }
    }
}

/// Interleaves `N` source rows: for each `r`, writes element `r` of each row, one after another. The compiler emits
/// shuffle instructions for this loop.
///
/// # Safety
/// The `nr × N` words of `s` and `d` are in live memory, and source and target do not overlap (*inside* and *apart*,
/// see [`StridedBlock`](super::strided::StridedBlock)).
#[inline(always)]
unsafe fn interleave<T: Copy, const N: usize>(s: *const T, ss: isize, d: *mut T, nr: usize) {
    // SAFETY: `r` is below `nr` and `c` below `nc`, so the caller ensures that both words exist.
    unsafe {
        for r in 0..nr {
            for c in 0..N {
                *d.add(r * N + c) = *s.offset(r as isize + c as isize * ss);
            }
        }
    }
}

/// Transposes an area by squares of `SIDE × SIDE` elements; a row of a square has 16 bytes. The remaining elements at
/// the right and at the bottom are copied one by one.
///
/// # Safety
/// The `nr × nc` words of `s` and `d` are in live memory, and source and target do not overlap (*inside* and *apart*,
/// see [`StridedBlock`](super::strided::StridedBlock)). `SIDE` words of `T` have 16 bytes.
#[inline(always)]
unsafe fn squares<T: Copy, const SIDE: usize>(s: *const T, ss: isize, d: *mut T, ds: isize, nr: usize, nc: usize) {
    let (rows, cols) = (nr / SIDE * SIDE, nc / SIDE * SIDE);
    // a band is a group of target rows, as many as a cache line of the source has elements. Each source line is then
    // used completely while it is in a cache
    let band = LINE / size_of::<T>();
    // the position of the source line that is prefetched next. After the last column of a band, prefetching continues
    // with the next band. It does so even after the last band, because the area that follows in the source rows is
    // usually processed next
    let (mut row, mut col) = (AHEAD / cols.max(1) * band, AHEAD % cols.max(1) / SIDE * SIDE);
    // SAFETY: all squares are in `rows × cols`, and every other index is below `nr` and `nc`, so the caller ensures
    // that the words exist. A prefetch may have any address.
    unsafe {
        for low in (0..rows).step_by(band) {
            let high = (low + band).min(rows);
            for c in (0..cols as isize).step_by(SIDE) {
                // prefetches the source line that contains the end of the band. If a source row is not aligned, the
                // band's first elements are in a line that the band before has already read
                let next = s.wrapping_add(row + band - 1);
                (col..col + SIDE).for_each(|k| prefetch(next.wrapping_offset(k as isize * ss)));
                col += SIDE;
                if col >= cols {
                    (row, col) = (row + band, 0);
                }
                for r in (low as isize..high as isize).step_by(SIDE) {
                    square::<T, SIDE>(s.offset(r + c * ss), ss, d.offset(r * ds + c), ds);
                }
            }
        }
        for r in 0..nr as isize {
            let from = if r < rows as isize { cols } else { mutant!(transposed_corner_left, cols, 0) };
            for c in from as isize..nc as isize {
                *d.offset(r * ds + c) = *s.offset(r + c * ss);
            }
        }
    }
}

/// Transposes a square of `SIDE` rows of 16 bytes in SSE registers, which every x86-64 CPU has. Each round interleaves
/// each row of the upper half with the row that is half a square below it. After log2(`SIDE`) rounds, the rows have
/// become the columns.
///
/// # Safety
/// The `SIDE × SIDE` words of `s` and `d` are in live memory, and source and target do not overlap (*inside* and
/// *apart*, see [`StridedBlock`](super::strided::StridedBlock)). `SIDE` words of `T` have 16 bytes.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn square<T: Copy, const SIDE: usize>(s: *const T, ss: isize, d: *mut T, ds: isize) {
    // SAFETY: this reads 16 bytes of each of `SIDE` source rows, and writes 16 bytes of each of `SIDE` target rows. The
    // caller ensures that these bytes exist.
    unsafe {
        let mut x = [_mm_setzero_si128(); SIDE];
        for (c, x) in x.iter_mut().enumerate() {
            *x = _mm_loadu_si128(s.offset(c as isize * ss).cast());
        }
        for _ in 0..SIDE.ilog2() {
            let old = x;
            for i in 0..SIDE / 2 {
                let (a, b) = (old[i], old[i + SIDE / 2]);
                (x[2 * i], x[2 * i + 1]) = match size_of::<T>() {
                    1 => (_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)),
                    2 => (_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b)),
                    4 => (_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b)),
                    _ => (_mm_unpacklo_epi64(a, b), _mm_unpackhi_epi64(a, b)),
                };
            }
        }
        for (r, x) in x.into_iter().enumerate() {
            _mm_storeu_si128(d.offset(r as isize * ds).cast(), x);
        }
    }
}

/// Transposes a square through a local copy, which compilers keep in registers.
///
/// # Safety
/// The `SIDE × SIDE` words of `s` and `d` are in live memory, and source and target do not overlap (*inside* and
/// *apart*, see [`StridedBlock`](super::strided::StridedBlock)). `SIDE` words of `T` have 16 bytes.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
unsafe fn square<T: Copy, const SIDE: usize>(s: *const T, ss: isize, d: *mut T, ds: isize) {
    // SAFETY: this reads `SIDE` words of each of `SIDE` source rows, and writes `SIDE` words of each of `SIDE` target
    // rows. The caller ensures that these words exist. Words are plain data.
    unsafe {
        let mut x = [[*s; SIDE]; SIDE];
        for (c, column) in x.iter_mut().enumerate() {
            *column = (s.offset(c as isize * ss) as *const [T; SIDE]).read_unaligned();
        }
        for r in 0..SIDE {
            let mut row = [*s; SIDE];
            row.iter_mut().zip(&x).for_each(|(to, column)| *to = column[r]);
            (d.offset(r as isize * ds) as *mut [T; SIDE]).write_unaligned(row);
        }
    }
}
