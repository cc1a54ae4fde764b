//! Sorts short rows side by side. The keys of each row are arranged as a column of a table, and a sorting network (a
//! fixed sequence of compare-and-exchange operations) sorts all columns together, a vector at a time.

use super::decode::decode;
use super::task::{Task, run};
use super::{Order, SharedTarget, Word};
use crate::cpu::strided::{StridedBlock, copy};
use crate::cpu::work_sharing::share;
use crate::graph::routine::SHORT_SORT;
#[cfg(target_arch = "x86_64")]
use crate::math::simd::{Isa, isa};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// The number of rows that are sorted together: as many as an AVX-512 vector has elements of 4 bytes.
pub(super) const LANES: usize = 16;
/// Up to this many rows, each row is sorted by itself, because the network takes as long for a few rows as for
/// [`LANES`] rows.
const FEW: usize = 3;
/// The number of elements that one task sorts. This takes some tens of microseconds.
const TASK: usize = 1 << 14;

/// A row of the table: one key of each row that is sorted. It begins at a cache line, so that none of its vectors spans
/// two cache lines.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct NetworkRow<W>(pub [W; LANES]);

/// Memory for the keys of up to [`LANES`] rows: row after row in `keys`, and arranged as columns in `columns`.
pub(super) struct Room<W> {
    pub keys: Vec<W>,
    columns: Vec<NetworkRow<W>>,
}

impl<W: Word> Room<W> {
    /// The number of elements from one row of `columns` to the next. It is more than [`LANES`] if a row has padding.
    const STEP: usize = size_of::<NetworkRow<W>>() / size_of::<W>();

    pub fn new() -> Room<W> {
        Room {
            keys: vec![W::default(); SHORT_SORT * LANES],
            columns: vec![NetworkRow([W::default(); LANES]); SHORT_SORT],
        }
    }

    /// Sorts the first `length` keys of each of [`LANES`] rows of `keys`, which begin `step` elements apart. `step` is
    /// a multiple of [`LANES`] and at most [`SHORT_SORT`]. The other keys of these rows are overwritten.
    #[inline(always)]
    pub fn sort(&mut self, step: usize, length: usize) {
        assert!(step.is_multiple_of(LANES) && length <= step && step <= SHORT_SORT);
        let (keys, columns) = (self.keys.as_mut_ptr(), self.columns.as_mut_ptr().cast::<W>());
        // SAFETY: `keys` and `columns` have room for `LANES` rows of `SHORT_SORT` elements, and `step` is at most
        // `SHORT_SORT`. `keys` and `columns` share no byte.
        unsafe { turn(keys, step, columns, Self::STEP, LANES, step) };
        network(&mut self.columns[..length]);
        let (keys, columns) = (self.keys.as_mut_ptr(), self.columns.as_mut_ptr().cast::<W>());
        // SAFETY: `keys` and `columns` have room for `LANES` rows of `SHORT_SORT` elements, and they share no byte.
        unsafe { turn(columns, Self::STEP, keys, step, step, LANES) };
    }
}

/// Sorts rows of at most [`SHORT_SORT`] elements.
pub(super) fn rows<W: Word>(elements: &[W], length: usize, order: Order<W>, to: SharedTarget<W>) {
    let rows = elements.len() / length;
    let each = (TASK / length).next_multiple_of(LANES);
    let tasks = rows.div_ceil(each);
    share(tasks, elements.len() <= TASK, |task| {
        let mut room = if rows > FEW { Some(Room::new()) } else { None };
        for first in (task * each..rows.min((task + 1) * each)).step_by(LANES) {
            let count = LANES.min(rows - first);
            let group = &elements[first * length..][..count * length];
            // SAFETY: the result has as many elements as the operand, and these rows of it belong to this task, which
            // writes all of them; any bits are a value of `W`.
            let to = unsafe { std::slice::from_raw_parts_mut(to.row(first, length).0, count * length) };
            match room.as_mut().filter(|_| count > FEW) {
                Some(room) => run(Group { elements: group, length, order, to, room }),
                None => group.chunks_exact(length).zip(to.chunks_exact_mut(length)).for_each(|(x, to)| {
                    to.iter_mut().zip(x).for_each(|(key, x)| *key = x.key(order));
                    to.sort_unstable();
                    decode(x, to, order, false);
                }),
            }
        }
    });
}

/// Sorts up to [`LANES`] rows of `length` elements by the network, and writes them to `to`.
struct Group<'a, W> {
    elements: &'a [W],
    length: usize,
    order: Order<W>,
    to: &'a mut [W],
    room: &'a mut Room<W>,
}

impl<W: Word> Task for Group<'_, W> {
    type Result = ();

    #[inline(always)]
    fn run(self) {
        let Group { elements, length, order, to, room } = self;
        let step = length.next_multiple_of(LANES);
        // `shares` becomes true if some elements are −0, which has the key of +0, or NaNs, which all have the same key
        let mut shares = false;
        for (keys, x) in room.keys.chunks_exact_mut(step).zip(elements.chunks_exact(length)) {
            for (key, x) in keys.iter_mut().zip(x) {
                *key = x.key(order);
                shares |= order.infinity.is_some_and(|infinity| x.shares_key(infinity)) && *x != W::default();
            }
        }
        room.sort(step, length);
        for (keys, to) in room.keys.chunks_exact_mut(step).zip(to.chunks_exact_mut(length)) {
            match shares {
                true => to.copy_from_slice(&keys[..length]),
                false => to.iter_mut().zip(keys).for_each(|(to, key)| *to = W::element(*key, order)),
            }
        }
        if shares {
            for (x, keys) in elements.chunks_exact(length).zip(to.chunks_exact_mut(length)) {
                decode(x, keys, order, false);
            }
        }
    }
}

/// Transposes `rows` rows of `length` elements: element `c` of row `r` of the source becomes element `r` of row `c` of
/// the target.
///
/// # Safety
/// The source has `rows` rows of `length` elements, which begin `from_step` elements apart. The target has room for
/// `length` rows of `rows` elements, which begin `to_step` elements apart. Source and target share no byte. `rows` and
/// `length` are multiples of [`LANES`].
#[inline(always)]
unsafe fn turn<W: Word>(from: *mut W, from_step: usize, to: *mut W, to_step: usize, rows: usize, length: usize) {
    #[cfg(target_arch = "x86_64")]
    if size_of::<W>() >= 4 && isa() == Isa::Avx512 {
        let side = 64 / size_of::<W>();
        for r in (0..rows).step_by(side) {
            for c in (0..length).step_by(side) {
                let (from, to) = (from.wrapping_add(r * from_step + c), to.wrapping_add(c * to_step + r));
                // SAFETY: the square is inside the source and the target, and the CPU has AVX-512.
                unsafe {
                    match size_of::<W>() {
                        4 => square_of_4(from.cast(), from_step, to.cast(), to_step),
                        _ => square_of_8(from.cast(), from_step, to.cast(), to_step),
                    }
                }
            }
        }
        return;
    }
    let from = StridedBlock { ptr: from.cast(), rows: from_step as isize, cols: 1 };
    let to = StridedBlock { ptr: to.cast(), rows: 1, cols: to_step as isize };
    // SAFETY: the caller ensures that source and target have these elements (*inside*) and share no byte (*apart*, see
    // `StridedBlock`).
    unsafe { copy(size_of::<W>(), from, to, rows, length) }
}

/// Transposes a square of 16 × 16 elements of 4 bytes: first the squares of 4 × 4 elements inside each quarter of the
/// vectors, then the 4 × 4 quarters.
///
/// # Safety
/// Source and target have 16 rows of 16 elements, which begin `from_step` and `to_step` elements apart. The machine has
/// AVX-512.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2")]
unsafe fn square_of_4(from: *const u32, from_step: usize, to: *mut u32, to_step: usize) {
    // SAFETY: the caller ensures that all rows are in the source.
    let rows: [__m512i; 16] = std::array::from_fn(|i| unsafe { _mm512_loadu_si512(from.add(i * from_step).cast()) });
    let low: [__m512i; 8] = std::array::from_fn(|i| _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]));
    let high: [__m512i; 8] = std::array::from_fn(|i| _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]));
    for j in 0..4 {
        let half = if j < 2 { &low } else { &high };
        // quarter `q` of `fours[i]` has column `4 q + j` of the rows `4 i` to `4 i + 3`
        let fours: [__m512i; 4] = std::array::from_fn(|i| match j % 2 {
            0 => _mm512_unpacklo_epi64(half[2 * i], half[2 * i + 1]),
            _ => _mm512_unpackhi_epi64(half[2 * i], half[2 * i + 1]),
        });
        for (q, column) in quarters(fours).into_iter().enumerate() {
            // SAFETY: the caller ensures that row `4 q + j` is in the target.
            unsafe { _mm512_storeu_si512(to.add((4 * q + j) * to_step).cast(), column) };
        }
    }
}

/// Transposes a square of 8 × 8 elements of 8 bytes, in the same way as [`square_of_4`].
///
/// # Safety
/// Source and target have 8 rows of 8 elements, which begin `from_step` and `to_step` elements apart. The machine has
/// AVX-512.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2")]
unsafe fn square_of_8(from: *const u64, from_step: usize, to: *mut u64, to_step: usize) {
    // SAFETY: the caller ensures that all rows are in the source.
    let rows: [__m512i; 8] = std::array::from_fn(|i| unsafe { _mm512_loadu_si512(from.add(i * from_step).cast()) });
    for j in 0..2 {
        // quarter `q` of `twos[i]` has column `2 q + j` of the rows `2 i` and `2 i + 1`
        let twos: [__m512i; 4] = std::array::from_fn(|i| match j {
            0 => _mm512_unpacklo_epi64(rows[2 * i], rows[2 * i + 1]),
            _ => _mm512_unpackhi_epi64(rows[2 * i], rows[2 * i + 1]),
        });
        for (q, column) in quarters(twos).into_iter().enumerate() {
            // SAFETY: the caller ensures that row `2 q + j` is in the target.
            unsafe { _mm512_storeu_si512(to.add((2 * q + j) * to_step).cast(), column) };
        }
    }
}

/// Returns four vectors, where vector `q` consists of quarter `q` of each of the four inputs.
///
/// # Safety
/// The machine has AVX-512.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2")]
fn quarters(x: [__m512i; 4]) -> [__m512i; 4] {
    let even = [0, 2].map(|i| _mm512_shuffle_i32x4::<0x88>(x[i], x[i + 1]));
    let odd = [0, 2].map(|i| _mm512_shuffle_i32x4::<0xdd>(x[i], x[i + 1]));
    [
        _mm512_shuffle_i32x4::<0x88>(even[0], even[1]),
        _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]),
        _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]),
        _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]),
    ]
}

/// Orders two elements of each column: the smaller one goes to row `i`, the larger one to row `j`.
#[inline(always)]
fn exchange<W: Word>(rows: &mut [NetworkRow<W>], i: usize, j: usize) {
    let (a, b) = (rows[i].0, rows[j].0);
    for lane in 0..LANES {
        rows[i].0[lane] = a[lane].min(b[lane]);
        rows[j].0[lane] = a[lane].max(b[lane]);
    }
}

/// Sorts each column by Batcher's merge exchange: Knuth, The Art of Computer Programming 3, algorithm 5.2.2 M.
#[inline(always)]
fn network<W: Word>(rows: &mut [NetworkRow<W>]) {
    let n = rows.len();
    let top = n.next_power_of_two() / 2;
    let mut p = top;
    while p > 0 {
        let (mut q, mut r, mut d) = (top, 0, p);
        loop {
            // visits the indices `i` for which `i & p` is `r`
            for start in (r..n.saturating_sub(d)).step_by(2 * p) {
                for i in start..(start + p).min(n - d) {
                    exchange(rows, i, i + d);
                }
            }
            if q == p {
                break;
            }
            (d, q, r) = (q - p, q / 2, p);
        }
        p /= 2;
    }
}
