//! Folds several rows, or several blocks of columns, at the same time, so that their lanes fill the vector registers.
//! The instructions for a single row would wait for each other.

use super::{LANES, SERIAL, ScalarFn, lanes_of_row};

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

/// Calls a reducing function, whose operands and result have one type.
///
/// # Safety
/// A, B and R are the same type.
#[inline(always)]
pub(super) unsafe fn combine<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(x: A, y: A) -> A {
    // SAFETY: the types are the same; a function of two operands ignores the third.
    unsafe {
        let r = F::call(x, std::mem::transmute_copy::<A, B>(&y), std::mem::zeroed());
        std::mem::transmute_copy::<R, A>(&r)
    }
}

/// Prefetches bytes that are read later.
#[inline(always)]
pub(super) fn announce(at: *const u8, bytes: usize) {
    (0..bytes).step_by(64).for_each(|line| super::prefetch(at.wrapping_add(line)));
}

/// Reads `L` contiguous elements from each of `W / L` locations, which are `step` elements apart.
///
/// # Safety
/// The elements are in live memory.
#[inline(always)]
unsafe fn piece<const L: usize, const W: usize, A: Copy>(at: *const A, step: usize) -> [A; W] {
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

/// How many bytes ahead memory is prefetched. Several rows are read in turn, and no hardware prefetcher recognises this
/// pattern as a stream. Of 4 and 8 KiB, 8 KiB was measured to be faster.
const AHEAD: usize = 8 << 10;

/// Reorders the first `left` lanes of each row: lane `l` of row `g` moves from index `g · L + l` to index
/// `l · (W / L) + g`. Then the upper half of these lanes consists of the upper half of each row's lanes.
#[inline(always)]
fn turn<const L: usize, const W: usize, A: Copy>(lanes: &[A; W], left: usize) -> [A; W] {
    let (rows, mut turned) = (W / L, *lanes);
    for g in 0..rows {
        for l in 0..left {
            turned[l * rows + g] = lanes[g * L + l];
        }
    }
    turned
}

/// The number of lanes of each row that are left when [`group`] reorders them. Until then, the halves of a row fill
/// registers of at least 16 bytes, so combining them needs no reordering.
const TURNED: usize = 4;

/// Folds contiguous rows of `n` elements, each to one element. This function defines the order in which the elements of
/// a row are combined. [`each_row`] computes the same bits, and is faster for several rows.
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

/// Folds `W / L` rows, each to one element. A row has `n` elements, and `n` is at least `L`. Element `i` of a row goes
/// to lane `i % L` of the row. If `prefetches` is true, later rows are prefetched.
///
/// # Safety
/// A, B and R are the same type; `a` points to the rows, and `out` has room for their results.
#[inline(always)]
unsafe fn group<const L: usize, const W: usize, A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(
    n: usize,
    a: *const A,
    out: *mut A,
    prefetches: bool,
) {
    let (whole, rest, rows) = (n / L, n % L, W / L);
    // each iteration prefetches a part of a later group, because memory accepts only a few cache lines at a time
    let part = (rows * n * size_of::<A>()).div_ceil(whole.max(1));
    // SAFETY: the caller ensures that `a` points to the rows and `out` has room for their results. The elements that
    // are read beyond the end of a row belong to the next row; the last row is read only up to its end.
    unsafe {
        // only numbers that are known at compile time index `lanes`, so it stays in registers
        let mut lanes = piece::<L, W, A>(a, n);
        for chunk in 1..whole {
            let new = piece::<L, W, A>(a.add(chunk * L), n);
            if rows > 1 && prefetches {
                announce(a.cast::<u8>().wrapping_add(AHEAD + chunk * part), part);
            }
            for w in 0..W {
                lanes[w] = combine::<A, B, C, R, F>(lanes[w], new[w]);
            }
        }
        if mutant!(rest_of_a_row_left, false, rest > 0) {
            let at = a.add(whole * L);
            let mut new = lanes;
            for g in 0..rows - 1 {
                *new.as_mut_ptr().add(g * L).cast::<[A; L]>() = *at.add(g * n).cast::<[A; L]>();
            }
            for l in 0..L {
                if l < rest {
                    new[W - L + l] = *at.add((rows - 1) * n + l);
                }
            }
            for w in 0..W {
                let both = combine::<A, B, C, R, F>(lanes[w], new[w]);
                lanes[w] = if w % L < rest { both } else { lanes[w] };
            }
        }
        // the barrier keeps the compiler from reading the elements in small parts, in the order that `turn` needs, which
        // takes a tenth longer for maxima
        let mut lanes = std::hint::black_box(lanes);
        let mut left = L;
        while left > TURNED {
            left /= 2;
            for g in 0..rows {
                for l in g * L..g * L + left {
                    lanes[l] = combine::<A, B, C, R, F>(lanes[l], lanes[l + left]);
                }
            }
        }
        let mut turned = turn::<L, W, A>(&lanes, left);
        while left > 1 {
            left /= 2;
            for l in 0..left * rows {
                turned[l] = combine::<A, B, C, R, F>(turned[l], turned[l + left * rows]);
            }
        }
        std::ptr::copy_nonoverlapping(turned.as_ptr(), out, rows);
    }
}

/// Folds rows, each to one element, `W / L` rows at a time. A row has `n` elements, and `n` is at least `L`. There must
/// be at least `W / L` rows. If `prefetches` is true, the elements after these rows are prefetched.
///
/// # Safety
/// A, B and R are the same type; `a` has `n` elements for each element of `out`.
#[inline(always)]
pub(super) unsafe fn each_row<
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
    out: &mut [A],
    prefetches: bool,
) {
    let (rows, together) = (out.len(), W / L);
    // SAFETY: A, B and R are the same type, and each group is within the rows.
    unsafe {
        for row in (0..rows).step_by(together) {
            // the last group may fold some rows of the group before it again, with the same results
            let row = row.min(rows - together);
            group::<L, W, A, B, C, R, F>(n, a.as_ptr().add(row * n), out.as_mut_ptr().add(row), prefetches);
        }
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
            let mut lanes = piece::<L, W, A>(at, size);
            for row in 1..SERIAL {
                let new = piece::<L, W, A>(at.add(row * n), size);
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
