//! The steps of a transform, which depend only on its length, and their roots of unity. Recent ones are kept.

use crate::graph::routine::root_of_unity as root;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows of up to this length are transformed in one go. A longer one is transformed as the columns and then the rows of
/// a matrix, because its passes would take steps too large for the fastest cache. The split decides bits, so it depends
/// on nothing else.
const WHOLE: usize = 128;

/// The longest row whose roots are in a table. A longer row multiplies each root from two others, because reading a
/// table as large as the row would take longer.
const TABLE: usize = 1 << 15;

/// How many transforms are kept. The roots of each take at most 0.5 MiB up to a length of 2^20, and grow with the square
/// root of the length beyond.
const KEPT: usize = 16;

/// The most lanes of a vector. The last vector of a row may extend beyond the row, so tables have as many more elements.
pub(super) const VECTOR: usize = 16;

/// A pass of a Stockham transform: butterflies of `radix` numbers. The outputs of `stride` neighbouring butterflies
/// share their roots, and there are `count` such groups.
pub(super) struct FftPass<T> {
    pub radix: usize,
    pub count: usize,
    pub stride: usize,
    /// For each group, the roots by which outputs 1, 2, … are multiplied: real and imaginary part in turn.
    pub roots: Vec<T>,
}

/// A transform of up to some thousand numbers, as passes.
pub(super) struct Column<T> {
    pub length: usize,
    pub passes: Vec<FftPass<T>>,
}

/// A transform.
pub(super) enum Transform<T> {
    Whole(Column<T>),
    /// The row, as a matrix with `rows.length` columns: transforms along its columns, a product with the roots, and
    /// transforms along its rows.
    Split {
        columns: Column<T>,
        rows: Column<T>,
        roots: Roots<T>,
    },
}

/// The roots by which a matrix is multiplied: the power k·j of exp(−2πi/n) for row k and column j.
pub(super) enum Roots<T> {
    /// The real and the imaginary parts, in the order of the matrix.
    Table([Vec<T>; 2]),
    Factors {
        /// The roots of the first [`VECTOR`] columns: the real and the imaginary parts of each row.
        first: [Vec<T>; 2],
        /// The powers 0, `step`, 2·`step`, … and the powers below `step`, for products in f64.
        powers: [Vec<[f64; 2]>; 2],
        step: usize,
    },
}

impl<T: Real> Roots<T> {
    fn new(rows: usize, columns: usize) -> Roots<T> {
        let n = rows * columns;
        let table = |columns: usize, more: usize| {
            let all = || (0..rows).flat_map(|k| (0..columns).map(move |j| root(j * k, n)));
            let more = std::iter::repeat_n(T::default(), more);
            [
                all().map(|r| T::of(r[0])).chain(more.clone()).collect(),
                all().map(|r| T::of(-r[1])).chain(more).collect(),
            ]
        };
        if n <= TABLE {
            return Roots::Table(table(columns, VECTOR));
        }
        let step = n.isqrt().next_power_of_two();
        let powers = |step: usize, end: usize| {
            let conjugate = |k| {
                let [c, s] = root(k, n);
                [c, -s]
            };
            (0..end).step_by(step).map(conjugate).collect()
        };
        Roots::Factors { first: table(VECTOR, 0), powers: [powers(step, n), powers(1, step)], step }
    }
}

/// Transforms by their lengths.
type Kept<T> = Vec<(usize, Arc<Transform<T>>)>;

/// An element type that transforms are computed in.
pub(super) trait Real: Copy + Default + Send + Sync + 'static {
    fn of(x: f64) -> Self;
    /// Recent transforms: the last used is last.
    fn kept() -> &'static Mutex<Kept<Self>>;
}

macro_rules! real {
    ($t:ty) => {
        impl Real for $t {
            fn of(x: f64) -> $t {
                x as $t
            }
            fn kept() -> &'static Mutex<Kept<$t>> {
                static KEPT: Mutex<Kept<$t>> = Mutex::new(vec![]);
                &KEPT
            }
        }
    };
}
real!(f32);
real!(f64);

/// Returns the transform of a length, which has no prime factor above 7.
pub(super) fn plan<T: Real>(n: usize) -> Arc<Transform<T>> {
    let mut kept = T::kept().lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = kept.iter().position(|(length, _)| *length == n) {
        let found = kept.remove(at);
        kept.push(found);
        return kept[kept.len() - 1].1.clone();
    }
    drop(kept);
    let made = Arc::new(Transform::new(n));
    let mut kept = T::kept().lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= KEPT {
        kept.remove(0);
    }
    kept.push((n, made.clone()));
    made
}

impl<T: Real> Transform<T> {
    fn new(n: usize) -> Transform<T> {
        if n <= WHOLE {
            return Transform::Whole(Column::new(n));
        }
        let rows = split(n);
        let columns = n / rows;
        Transform::Split { columns: Column::new(columns), rows: Column::new(rows), roots: Roots::new(columns, rows) }
    }
}

/// Returns the factor of `n` nearest to its root from above.
fn split(n: usize) -> usize {
    let mut factor = n.isqrt();
    while factor * factor < n || !n.is_multiple_of(factor) {
        factor += 1;
    }
    factor
}

impl<T: Real> Column<T> {
    fn new(length: usize) -> Column<T> {
        let mut passes = vec![];
        let (mut left, mut stride) = (length, 1);
        for radix in radices(length) {
            let count = left / radix;
            let roots = (0..count).flat_map(|p| (1..radix).map(move |j| (j * p, left)));
            let roots = roots.flat_map(|(k, n)| {
                let [c, s] = root(k, n);
                [T::of(c), T::of(-s)]
            });
            passes.push(FftPass { radix, count, stride, roots: roots.collect() });
            (left, stride) = (count, stride * radix);
        }
        Column { length, passes }
    }
}

/// Returns the radices of the passes of a length: as many of 8 as leave no single factor 2, where possible.
fn radices(mut n: usize) -> Vec<usize> {
    let mut list = vec![];
    for radix in [7, 5, 3] {
        while n.is_multiple_of(radix) {
            list.push(radix);
            n /= radix;
        }
    }
    let twos = n.ilog2() as usize;
    let (eights, rest) = match twos % 3 {
        1 if twos > 1 => (twos / 3 - 1, &[4, 4][..]),
        1 => (0, &[2][..]),
        2 => (twos / 3, &[4][..]),
        _ => (twos / 3, &[][..]),
    };
    list.extend(std::iter::repeat_n(8, eights));
    list.extend(rest);
    list
}
