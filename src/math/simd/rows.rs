//! Folds several rows, or several blocks of columns, at the same time, so that their lanes fill the vector registers.
//! The instructions for a single row would wait for each other.

// the loops run over the lanes of several arrays
#![allow(clippy::needless_range_loop)]

use super::row_source::{RowSource, combine};
use super::{FEW, LANES, SERIAL, ScalarFn, lanes_of_row};

/// The arguments of [`Loops::blocks`](super::Loops::blocks) other than the elements.
#[repr(C)]
pub(crate) struct BlockArgs {
    /// The number of blocks, a power of two of at least 16.
    pub count: usize,
    /// The result of block `i` is row `i.reverse_bits() >> shift` of the output.
    pub shift: u32,
    /// The number of elements that may be read. It may be larger than the number of elements in the blocks.
    pub len: usize,
}

/// The arguments of [`Loops::rows`](super::Loops::rows) other than the elements.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RowArgs {
    /// The number of rows.
    pub count: usize,
    /// Whether the elements after these rows are prefetched, because a later call will fold them.
    pub prefetches: bool,
}

/// The arguments of [`Loops::columns`](super::Loops::columns) other than the elements.
#[repr(C)]
pub(crate) struct Columns {
    pub rows: usize,
    /// The number of elements from the start of a row to the start of the next.
    pub step: isize,
}

/// Reads `L` contiguous elements from each of `W / L` locations, which are `step` elements apart.
///
/// # Safety
/// The elements are in live memory.
#[inline(always)]
unsafe fn gather<const L: usize, const W: usize, A: Copy>(at: *const A, step: usize) -> [A; W] {
    let mut lanes = std::mem::MaybeUninit::<[A; W]>::uninit();
    // SAFETY: the caller ensures that the elements are in live memory. Every lane is written before `assume_init`.
    unsafe {
        let to = lanes.as_mut_ptr().cast::<A>();
        for g in 0..W / L {
            *to.add(g * L).cast::<[A; L]>() = *at.add(g * step).cast::<[A; L]>();
        }
        lanes.assume_init()
    }
}

/// Combines `n` elements in `L` lanes, one after another in each lane, `W` lanes at a time. `n` is at least `L`.
///
/// # Safety
/// The source has `n` elements, and `out` has space for `L`.
#[inline(always)]
pub(super) unsafe fn in_lanes<const L: usize, const W: usize, S: RowSource>(n: usize, source: S, out: *mut S::Element) {
    let (whole, rest) = (n / L, n % L);
    // SAFETY: the caller ensures that the elements and the space exist. `rest` is less than `L`.
    unsafe {
        for first in (0..L).step_by(W) {
            let mut lanes = source.read_all::<W>(first);
            for chunk in 0..whole {
                match L == W {
                    true => source.prefetch::<true>(chunk * W, W),
                    false => source.prefetch::<false>(first * whole + chunk * W, W),
                }
                if chunk > 0 && S::READS_ALL {
                    let all = source.read_all::<W>(chunk * L + first);
                    for l in 0..W {
                        lanes[l] = S::combine(lanes[l], all[l]);
                    }
                } else if chunk > 0 {
                    for l in 0..W {
                        lanes[l] = S::combine(lanes[l], source.read(chunk * L + first + l));
                    }
                }
            }
            *out.add(first).cast::<[S::Element; W]>() = lanes;
        }
        // The rest is combined in memory and in pieces whose length is constant. If its lanes were indexed in `lanes`, the
        // compiler would keep `lanes` in memory all the time
        let (rest, mut done) = (mutant!(rest_of_a_row_left, 0, rest), 0);
        while done + 8 <= rest {
            piece::<8, S>(source, whole * L + done, out.add(done));
            done += 8;
        }
        if rest & 4 != 0 {
            piece::<4, S>(source, whole * L + done, out.add(done));
            done += 4;
        }
        if rest & 2 != 0 {
            piece::<2, S>(source, whole * L + done, out.add(done));
            done += 2;
        }
        if rest & 1 != 0 {
            piece::<1, S>(source, whole * L + done, out.add(done));
        }
    }
}

/// Combines `P` elements, from index `first` on, into as many lanes.
///
/// # Safety
/// The elements and the lanes exist.
#[inline(always)]
unsafe fn piece<const P: usize, S: RowSource>(source: S, first: usize, lanes: *mut S::Element) {
    // SAFETY: the caller ensures that the elements and the lanes exist.
    unsafe {
        let mut both = *lanes.cast::<[S::Element; P]>();
        for l in 0..P {
            both[l] = S::combine(both[l], source.read(first + l));
        }
        *lanes.cast::<[S::Element; P]>() = both;
    }
}

/// Combines `n` elements in [`LANES`] lanes, as many at a time as the registers hold. `n` is at least [`LANES`].
///
/// # Safety
/// The source has `n` elements, and `out` has space for [`LANES`].
#[inline(always)]
pub(super) unsafe fn in_all_lanes<const REGISTER: usize, S: RowSource>(n: usize, source: S, out: *mut S::Element) {
    // SAFETY: the caller ensures the same conditions.
    unsafe {
        match const { lanes_held::<S::Element>(REGISTER) } {
            _ if const { is_minimal(REGISTER) } => in_lanes::<LANES, 8, S>(n, source, out),
            ..64 => in_lanes::<LANES, 32, S>(n, source, out),
            64..LANES => in_lanes::<LANES, 64, S>(n, source, out),
            _ => in_lanes::<LANES, LANES, S>(n, source, out),
        }
    }
}

/// Combines `L` lanes, where `L` is a power of two of at least 8: the upper half into the lower half, until one lane is
/// left.
#[inline(always)]
fn together<const L: usize, S: RowSource>(mut lanes: [S::Element; L]) -> S::Element {
    let mut half = L / 2;
    while half > 4 {
        for l in 0..half {
            lanes[l] = S::combine(lanes[l], lanes[l + half]);
        }
        half /= 2;
    }
    let mut last = [lanes[0]; 4];
    for l in 0..4 {
        last[l] = S::combine(lanes[l], lanes[l + 4]);
    }
    // the barrier keeps the compiler from reading the lanes in parts of two, in the order of the last combinations
    let last = std::hint::black_box(last);
    S::combine(S::combine(last[0], last[2]), S::combine(last[1], last[3]))
}

/// Sets each element of `out` to the combination of the `n` elements of a row, in `L` lanes, `W` lanes at a time. `n` is
/// at least `L`.
///
/// # Safety
/// The source has `n` elements for each element of `out`.
#[inline(always)]
unsafe fn each_row<const L: usize, const W: usize, S: RowSource>(n: usize, source: S, out: &mut [S::Element]) {
    let mut lanes = std::mem::MaybeUninit::<[S::Element; 2 * LANES]>::uninit();
    let lanes = lanes.as_mut_ptr().cast::<S::Element>();
    let group = 2 * LANES / L;
    for (g, out) in out.chunks_mut(group).enumerate() {
        // The lanes of several rows are written before the first are read again. A processor would wait for the lanes of
        // one row, because they are read in other parts than they were written
        // SAFETY: the rows exist. `lanes` has space for the lanes of `group` rows, which the first loop writes.
        unsafe {
            for r in 0..out.len() {
                in_lanes::<L, W, S>(n, source.row(g * group + r), lanes.add(r * L));
            }
            for (r, to) in out.iter_mut().enumerate() {
                *to = together::<L, S>(*lanes.add(r * L).cast::<[S::Element; L]>());
            }
        }
    }
}

/// Sets each element of `out` to the combination of the `n` elements of a row, with the bits of [`each_row`]. The lanes
/// are in memory. `n` is at least [`FEW`].
///
/// # Safety
/// The source has `n` elements for each element of `out`.
unsafe fn each_row_plainly<S: RowSource>(n: usize, source: S, out: &mut [S::Element]) {
    let width = lanes_of_row(n);
    for (r, out) in out.iter_mut().enumerate() {
        let source = source.row(r);
        // SAFETY: the caller ensures that the elements exist.
        unsafe {
            let mut lanes = [source.read(0); LANES];
            for i in 1..n {
                let (l, x) = (i % width, source.read(i));
                lanes[l] = if i < width { x } else { S::combine(lanes[l], x) };
            }
            let mut half = width / 2;
            while half > 0 {
                for l in 0..half {
                    lanes[l] = S::combine(lanes[l], lanes[l + half]);
                }
                half /= 2;
            }
            *out = lanes[0];
        }
    }
}

/// Returns whether loops for registers of this size are for x86-64 without AVX2, which hardly any machine still has. They
/// keep few lanes in registers, which takes less code.
pub(super) const fn is_minimal(register: usize) -> bool {
    cfg!(target_arch = "x86_64") && register == 16
}

/// Returns how many elements of type `T` half of the vector registers hold: 1,024 bytes with AVX-512, and 256 with AVX2
/// and NEON.
pub(super) const fn lanes_held<T>(register: usize) -> usize {
    let bytes = if register == 64 { 1024 } else { 256 };
    bytes / size_of::<T>()
}

/// Calls [`each_row`] with the number of lanes of a row of `n` elements. `n` is at least [`FEW`], and `REGISTER` is the
/// size of a vector register in bytes.
///
/// # Safety
/// The source has `n` elements for each element of `out`.
#[inline(always)]
pub(super) unsafe fn long_rows<const REGISTER: usize, S: RowSource>(n: usize, source: S, out: &mut [S::Element]) {
    // SAFETY: the caller ensures that the elements exist. No row has fewer elements than lanes.
    unsafe {
        if const { is_minimal(REGISTER) } {
            return each_row_plainly(n, source, out);
        }
        match (lanes_of_row(n), const { lanes_held::<S::Element>(REGISTER) }) {
            (FEW | 32, _) if S::READS_ALL => each_row_plainly(n, source, out),
            (FEW, _) => each_row::<FEW, FEW, S>(n, source, out),
            (32, _) => each_row::<32, 32, S>(n, source, out),
            (64, ..64) => each_row::<64, 32, S>(n, source, out),
            (64, _) => each_row::<64, 64, S>(n, source, out),
            (_, ..64) => each_row::<LANES, 32, S>(n, source, out),
            (_, 64..LANES) => each_row::<LANES, 64, S>(n, source, out),
            _ => each_row::<LANES, LANES, S>(n, source, out),
        }
    }
}

/// Folds contiguous rows of `n` elements, each to one element. This function defines the order in which the elements of
/// a row are combined. [`long_rows`] and [`short_rows`](super::short_rows) compute the same bits, and are faster.
///
/// # Safety
/// A, B and R are the same type; `a` has `n` elements for each element of `out`, and `n` is 1 to [`SERIAL`] ·
/// [`LANES`].
#[inline(always)]
pub(super) unsafe fn plain_rows<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(
    n: usize,
    a: &[A],
    out: &mut [A],
) {
    let Some(first) = a.first() else { return };
    let (width, mut lanes) = (lanes_of_row(n), [*first; LANES]);
    for (row, out) in a.chunks_exact(n).zip(out) {
        let (first, rest) = row.split_at(width);
        let lanes = &mut lanes[..width];
        lanes.copy_from_slice(first);
        for chunk in rest.chunks(width) {
            // both slices get the same length and are indexed, because a call of `zip` would take longer than a short
            // chunk
            let (lanes, n) = (&mut lanes[..chunk.len()], chunk.len());
            for l in 0..n {
                // SAFETY: A, B and R are the same type.
                lanes[l] = unsafe { combine::<A, B, C, R, F>(lanes[l], chunk[l]) };
            }
        }
        let mut half = width / 2;
        while half > 0 {
            for l in 0..half {
                // SAFETY: A, B and R are the same type.
                lanes[l] = unsafe { combine::<A, B, C, R, F>(lanes[l], lanes[l + half]) };
            }
            half /= 2;
        }
        *out = lanes[0];
    }
}

/// Folds blocks of [`SERIAL`] rows, each to one row. A row has `n` elements, and `n` is at most `L`.
///
/// # Safety
/// A, B and R are the same type; `a` has the elements of all blocks, and `out` does not overlap `a` and has room for a
/// row of each block.
#[inline(always)]
pub(super) unsafe fn each_block<
    const L: usize,
    const W: usize,
    A: Copy,
    B: Copy,
    C: Copy,
    R: Copy,
    F: ScalarFn<A, B, C, R>,
>(
    n: usize,
    a: &[A],
    blocks: &BlockArgs,
    out: *mut A,
) {
    let (together, size) = (W / L, SERIAL * n);
    // each row is read as `L` elements. The elements after the row's own belong to the next row, and their results are
    // ignored. The last rows are first copied to a buffer, which has more elements after them
    let mut copy = std::mem::MaybeUninit::<[[A; W]; SERIAL]>::uninit();
    let copy = copy.as_mut_ptr().cast::<A>();
    // SAFETY: the caller ensures that `a` has the elements of all blocks and `out` has room for their results. A group
    // is read from its first element to `L − n` elements after its last: in `a` if `a` has these elements, else in the
    // copy, which has room for `together · SERIAL` rows of `L` elements.
    unsafe {
        for block in (0..blocks.count).step_by(together) {
            let mut at = a.as_ptr().add(block * size);
            if (block + together) * size + L - n > a.len() {
                std::ptr::copy_nonoverlapping(at, copy, together * size);
                for after in 0..L - n {
                    *copy.add(together * size + after) = *at;
                }
                at = copy;
            }
            let mut lanes = gather::<L, W, A>(at, size);
            for row in 1..SERIAL {
                let new = gather::<L, W, A>(at.add(row * n), size);
                for w in 0..W {
                    lanes[w] = combine::<A, B, C, R, F>(lanes[w], new[w]);
                }
            }
            for g in 0..together {
                let turned = (block + g).reverse_bits() >> blocks.shift;
                let to = out.add(mutant!(blocks_of_a_bunch_in_order, block + g, turned) * n);
                std::ptr::copy_nonoverlapping(lanes.as_ptr().add(g * L), to, n);
            }
        }
    }
}

/// Folds blocks of [`SERIAL`] rows of `n` elements, each to one row. This function defines the order in which elements
/// are combined. [`each_block`] computes the same bits, and is faster.
///
/// # Safety
/// A, B and R are the same type; `a` has the elements of all blocks, and `out` does not overlap `a` and has room for a
/// row of each block.
#[inline(always)]
pub(super) unsafe fn plain_blocks<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(
    n: usize,
    a: &[A],
    blocks: &BlockArgs,
    out: *mut A,
) {
    for (i, block) in a.chunks_exact(SERIAL * n).take(blocks.count).enumerate() {
        let turned = i.reverse_bits() >> blocks.shift;
        let at = mutant!(blocks_of_a_bunch_in_order, i, turned) * n;
        for column in 0..n {
            let rows = block.iter().skip(column).step_by(n);
            // SAFETY: A, B and R are the same type, and the block's row of results is within `out`.
            unsafe {
                let x = rows.copied().reduce(|x, y| combine::<A, B, C, R, F>(x, y));
                *out.add(at + column) = x.unwrap_or(block[column]);
            }
        }
    }
}

/// Combines each column's elements, from the first row to the last, into the column's element of `out`.
///
/// # Safety
/// A, B and R are the same type; `a` points to the first row, and each row has as many elements as `out` and does not
/// overlap it.
#[inline(always)]
pub(super) unsafe fn columns<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(
    a: *const A,
    columns: &Columns,
    out: &mut [A],
) {
    /// The number of rows that are combined each time `out` is read and written.
    const TOGETHER: usize = 4;
    let n = out.len();
    // SAFETY: the caller ensures that `a` points to rows of as many elements as `out`, which do not overlap `out`.
    unsafe {
        let row = |r: usize| std::slice::from_raw_parts(a.offset(r as isize * columns.step), n);
        let mut r = 0;
        while r + TOGETHER <= columns.rows {
            let (x, y, z, w) = (row(r), row(r + 1), row(r + 2), row(r + 3));
            for c in 0..n {
                let two = combine::<A, B, C, R, F>(combine::<A, B, C, R, F>(out[c], x[c]), y[c]);
                out[c] = combine::<A, B, C, R, F>(combine::<A, B, C, R, F>(two, z[c]), w[c]);
            }
            r += TOGETHER;
        }
        for r in r..columns.rows {
            let x = row(r);
            for c in 0..n {
                out[c] = combine::<A, B, C, R, F>(out[c], x[c]);
            }
        }
    }
}
