//! Moving blocks of elements between layouts: gathers, scatters, transpositions. Elements are plain words of 1, 2, 4
//! or 8 bytes.

/// A block of elements in memory: its first element, and the steps between rows and columns, in elements.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub ptr: *mut u8,
    pub rows: isize,
    pub cols: isize,
}

/// Copies `nr × nc` elements of `size` bytes.
// SAFETY: both blocks lie in memory that may be read and written, aligned for the size, and do not overlap.
pub(super) unsafe fn copy(size: usize, src: Block, dst: Block, nr: usize, nc: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match size {
            1 => copy_words::<u8>(src, dst, nr, nc),
            2 => copy_words::<u16>(src, dst, nr, nc),
            4 => copy_words::<u32>(src, dst, nr, nc),
            _ => copy_words::<u64>(src, dst, nr, nc),
        }
    }
}

/// Rows of a block of a transposition, and its columns: one cache line of 4-byte words each way at least.
const SIDE: usize = 8;

// SAFETY: as `copy`.
unsafe fn copy_words<T: Copy + Default>(src: Block, dst: Block, nr: usize, nc: usize) {
    let (s, d) = (src.ptr as *const T, dst.ptr as *mut T);
    let (nrows, ncols) = (nr as isize, nc as isize);
    // SAFETY: every index below is inside the caller's `nr × nc`.
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
            // the longer side in the inner loop
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

// SAFETY: `n` elements each, no overlap.
#[inline(always)]
unsafe fn copy_row<T: Copy>(s: *const T, d: *mut T, n: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if n <= 16 {
            // shorter than a call
            for i in 0..n {
                *d.add(i) = *s.add(i);
            }
        } else {
            std::ptr::copy_nonoverlapping(s, d, n);
        }
    }
}

// SAFETY: `n` elements each at their steps, no overlap.
#[inline(always)]
unsafe fn strided<T: Copy>(s: *const T, ss: isize, d: *mut T, ds: isize, n: isize) {
    // SAFETY: the caller's promise. The cases only tell the compiler a step.
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

/// `d[r * ds + c] = s[r + c * ss]`: both sides run along a unit step, in different directions.
// SAFETY: as `copy`.
unsafe fn transpose<T: Copy + Default>(s: *const T, ss: isize, d: *mut T, ds: isize, nr: usize, nc: usize) {
    let (mut r, nrb, ncb) = (0, nr / SIDE * SIDE, nc / SIDE * SIDE);
    // SAFETY: every index is below `nr` and `nc`.
    unsafe {
        while r < nrb {
            let mut c = 0;
            while c < ncb {
                block(s.offset(r as isize + c as isize * ss), ss, d.offset(r as isize * ds + c as isize), ds);
                c += SIDE;
            }
            r += SIDE;
        }
        for c in 0..nc as isize {
            let from = if c < ncb as isize { nrb } else { 0 };
            for r in from as isize..nr as isize {
                *d.offset(r * ds + c) = *s.offset(r + c * ss);
            }
        }
    }
}

/// One square of a transposition through registers.
// SAFETY: as `copy`, for `SIDE × SIDE`.
#[inline(always)]
unsafe fn block<T: Copy + Default>(s: *const T, ss: isize, d: *mut T, ds: isize) {
    // SAFETY: the caller's promise; words of `T` are plain data.
    unsafe {
        let mut x = [[T::default(); SIDE]; SIDE];
        for (c, column) in x.iter_mut().enumerate() {
            *column = (s.offset(c as isize * ss) as *const [T; SIDE]).read_unaligned();
        }
        for r in 0..SIDE {
            let mut row = [T::default(); SIDE];
            for c in 0..SIDE {
                row[c] = x[c][r];
            }
            (d.offset(r as isize * ds) as *mut [T; SIDE]).write_unaligned(row);
        }
    }
}

/// Fills `n` elements of `size` bytes with the low bytes of `bits`.
// SAFETY: `dst` has room for them and is aligned.
pub(super) unsafe fn fill(size: usize, bits: u64, dst: *mut u8, n: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match size {
            1 => std::slice::from_raw_parts_mut(dst, n).fill(bits as u8),
            2 => std::slice::from_raw_parts_mut(dst as *mut u16, n).fill(bits as u16),
            4 => std::slice::from_raw_parts_mut(dst as *mut u32, n).fill(bits as u32),
            _ => std::slice::from_raw_parts_mut(dst as *mut u64, n).fill(bits),
        }
    }
}

/// Reads an element of `size` bytes.
// SAFETY: `src` has one and is aligned.
pub(super) unsafe fn read(size: usize, src: *const u8) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        match size {
            1 => *src as u64,
            2 => *(src as *const u16) as u64,
            4 => *(src as *const u32) as u64,
            _ => *(src as *const u64),
        }
    }
}

/// The columns or the rows of a tile's space: several dimensions, flattened row-major, as one place sees them.
#[derive(Clone, Copy)]
pub(super) struct Axis<'a> {
    dims: &'a [usize],
    strides: &'a [isize],
    /// The step, where one step serves all dimensions.
    pub step: Option<isize>,
}

impl<'a> Axis<'a> {
    pub fn new(dims: &'a [usize], strides: &'a [isize]) -> Axis<'a> {
        let step = match (dims, strides) {
            ([], _) => Some(0),
            ([_], [s]) => Some(*s),
            _ => {
                let mut found: Option<(isize, usize)> = None;
                let mut fits = true;
                for (&n, &s) in dims.iter().zip(strides).rev() {
                    if n != 1 {
                        match found {
                            None => found = Some((s, n)),
                            Some((step, span)) => {
                                fits &= s == step * span as isize;
                                found = Some((step, span * n));
                            }
                        }
                    }
                }
                fits.then_some(found.map_or(0, |f| f.0))
            }
        };
        Axis { dims, strides, step }
    }

    /// Whether every index has the same element.
    pub fn is_still(&self) -> bool {
        self.step == Some(0)
    }

    /// The offset of an index.
    pub fn offset(&self, index: usize) -> isize {
        if let Some(step) = self.step {
            return index as isize * step;
        }
        let (mut rest, mut offset) = (index, 0);
        for (&n, &s) in self.dims.iter().zip(self.strides).rev() {
            offset += (rest % n) as isize * s;
            rest /= n;
        }
        offset
    }

    /// Calls `f(done, offset, count, step)` for each run of equal steps in `start..start + n`.
    pub fn runs(&self, start: usize, n: usize, mut f: impl FnMut(usize, isize, usize, isize)) {
        if let Some(step) = self.step {
            return f(0, start as isize * step, n, step);
        }
        let last = self.dims.len() - 1;
        let mut index = smallvec::SmallVec::<[usize; 8]>::from_elem(0, self.dims.len());
        let mut rest = start;
        for (i, &d) in index.iter_mut().zip(self.dims).rev() {
            *i = rest % d;
            rest /= d;
        }
        let mut offset: isize = index.iter().zip(self.strides).map(|(&i, &s)| i as isize * s).sum();
        let mut done = 0;
        while done < n {
            let count = (self.dims[last] - index[last]).min(n - done);
            f(done, offset, count, self.strides[last]);
            done += count;
            offset += count as isize * self.strides[last];
            index[last] += count;
            // the odometer's carry
            let mut d = last;
            while d > 0 && index[d] == self.dims[d] {
                offset += self.strides[d - 1] - self.dims[d] as isize * self.strides[d];
                index[d] = 0;
                index[d - 1] += 1;
                d -= 1;
            }
        }
    }
}
