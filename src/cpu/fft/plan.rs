//! Plans of Fourier transforms: the passes of a transform, and the roots of unity by which they multiply. A plan
//! depends only on the length of the transform. The most recently used plans are cached.

use crate::graph::routine::root_of_unity as root;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The maximum length of a row that is transformed as a whole. A longer row is regarded as a matrix, whose columns and
/// then rows are transformed. Passes over the whole row would access elements too far apart for the fastest cache.
const WHOLE: usize = 128;

/// The maximum length of a row that has a table of all its roots ([`Roots::Table`]). For a longer row, reading such a
/// table would take longer than computing each root as a product of two others.
const TABLE: usize = 1 << 15;

/// The maximum number of cached plans. The roots of a plan take at most 0.75 MiB for a length of up to 2^20. For greater
/// lengths, their size grows with the square root of the length.
const KEPT: usize = 16;

/// The largest number of lanes of a vector. Each table of roots has this many additional elements, because the last
/// vector that is loaded may extend beyond the roots.
pub(super) const VECTOR: usize = 16;

/// A pass of a Stockham transform. It consists of butterflies, which are transforms of `radix` numbers. The butterflies
/// are divided into `count` groups of `stride` butterflies. All butterflies of a group multiply their outputs by the
/// same roots.
pub(super) struct FftPass<T> {
    pub radix: usize,
    pub count: usize,
    pub stride: usize,
    /// For each group, the roots by which outputs 1 to `radix − 1` of a butterfly are multiplied. Each root is stored
    /// as real part and imaginary part.
    pub roots: Vec<T>,
}

/// The passes of a transform of `length` numbers, at most a few thousand. Each lane of a vector transforms another
/// column of numbers.
pub(super) struct Column<T> {
    pub length: usize,
    pub passes: Vec<FftPass<T>>,
}

/// The plan of a transform of one length.
pub(super) enum Transform<T> {
    Whole(Column<T>),
    /// The row is regarded as a matrix with `columns.length` rows and `rows.length` columns. First the columns are
    /// transformed with the plan `columns`, then the elements are multiplied by `roots`, and then the rows are
    /// transformed with the plan `rows`.
    Split {
        columns: Column<T>,
        rows: Column<T>,
        roots: Roots<T>,
    },
}

/// The roots of unity by which the elements of a row of n numbers, regarded as a matrix, are multiplied. The root for
/// row k and column j of the matrix is exp(−2πi/n) to the power k·j.
pub(super) enum Roots<T> {
    /// The real parts and the imaginary parts of all roots, in C order.
    Table([Vec<T>; 2]),
    Factors {
        /// The roots of the first [`VECTOR`] columns of the matrix in C order: the real parts and the imaginary parts.
        first: [Vec<T>; 2],
        /// Powers of exp(−2πi/n) in f64. The first list has the exponents 0, `step`, 2·`step`, …, and the second list
        /// has the exponents below `step`. Every power is the product of one entry of each list.
        powers: [Vec<[f64; 2]>; 2],
        step: usize,
    },
}

impl<T: FftFloat> Roots<T> {
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

/// The plan of a transform of one length, and the roots that a transform of twice as many real numbers needs too.
pub(super) struct FftPlan<T> {
    pub transform: Transform<T>,
    half_roots: OnceLock<HalfRoots<T>>,
}

impl<T: FftFloat> FftPlan<T> {
    /// Returns the roots for a transform of 2·`length` real numbers, where `length` is the length of the plan.
    pub fn half_roots(&self, length: usize) -> &HalfRoots<T> {
        self.half_roots.get_or_init(|| HalfRoots::new(length))
    }
}

/// The powers of exp(−2πi/n) with the exponents 1 to n/4, for an even n, in groups of [`VECTOR`] exponents. Each root is
/// stored as its real part and its negative imaginary part: a cosine and a sine.
pub(super) enum HalfRoots<T> {
    /// All roots. The last group is filled up with copies of the last root.
    Table([Vec<T>; 2]),
    /// Powers of exp(−2πi/n): with the exponents 0, `step`, 2·`step`, …, with the exponents below `step`, and with the
    /// exponents below [`VECTOR`]. The first root of a group is the product of two powers, and every other root is the
    /// product of this root and a power from the last list.
    Factors { high: Vec<[f64; 2]>, low: Vec<[f64; 2]>, step: usize, first: [Vec<f64>; 2] },
}

impl<T: FftFloat> HalfRoots<T> {
    fn new(half: usize) -> HalfRoots<T> {
        let last = half / 2;
        let of = |k: usize| root(k.min(last), 2 * half);
        if half <= TABLE {
            let all = || (1..=last).step_by(VECTOR).flat_map(|k| k..k + VECTOR);
            return HalfRoots::Table([0, 1].map(|part| all().map(|k| T::of(of(k)[part])).collect()));
        }
        let step = last.isqrt().next_power_of_two();
        HalfRoots::Factors {
            high: (0..=last).step_by(step).map(of).collect(),
            low: (0..step).map(of).collect(),
            step,
            first: [0, 1].map(|part| (0..VECTOR).map(|j| of(j)[part]).collect()),
        }
    }

    /// Returns the cosines and the sines of a group. The exponents of group g begin at 1 + 16·g.
    #[inline(always)]
    pub fn group(&self, group: usize) -> [[T; VECTOR]; 2] {
        let mut roots = [[T::default(); VECTOR]; 2];
        match self {
            HalfRoots::Table(parts) => {
                for (to, part) in roots.iter_mut().zip(parts) {
                    to.copy_from_slice(&part[group * VECTOR..(group + 1) * VECTOR]);
                }
            }
            HalfRoots::Factors { high, low, step, first: [c, s] } => {
                let k = 1 + group * VECTOR;
                let ([a, b], [x, y]) = (high[k / step], low[k % step]);
                let [a, b] = [a * x - b * y, a * y + b * x];
                let [cosines, sines] = &mut roots;
                for ((cosine, sine), (c, s)) in cosines.iter_mut().zip(sines).zip(c.iter().zip(s)) {
                    (*cosine, *sine) = (T::of(a * c - b * s), T::of(a * s + b * c));
                }
            }
        }
        roots
    }
}

/// Cached plans, each with the length of its transform.
type Kept<T> = Vec<(usize, Arc<FftPlan<T>>)>;

/// A float type in which Fourier transforms are computed.
pub(super) trait FftFloat: Copy + Default + Send + Sync + 'static {
    fn of(x: f64) -> Self;
    fn plus(self, x: Self) -> Self;
    fn minus(self, x: Self) -> Self;
    fn times(self, x: Self) -> Self;
    /// Returns the cached plans. The most recently used plan is last.
    fn kept() -> &'static Mutex<Kept<Self>>;
}

macro_rules! real {
    ($t:ty) => {
        impl FftFloat for $t {
            #[inline(always)]
            fn of(x: f64) -> $t {
                x as $t
            }
            #[inline(always)]
            fn plus(self, x: $t) -> $t {
                self + x
            }
            #[inline(always)]
            fn minus(self, x: $t) -> $t {
                self - x
            }
            #[inline(always)]
            fn times(self, x: $t) -> $t {
                self * x
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

/// Returns the plan of a transform of `n` numbers. `n` must have no prime factor above 7.
pub(super) fn plan<T: FftFloat>(n: usize) -> Arc<FftPlan<T>> {
    let mut kept = T::kept().lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = kept.iter().position(|(length, _)| *length == n) {
        let found = kept.remove(at);
        kept.push(found);
        return kept[kept.len() - 1].1.clone();
    }
    drop(kept);
    let made = Arc::new(FftPlan { transform: Transform::new(n), half_roots: OnceLock::new() });
    let mut kept = T::kept().lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= KEPT {
        kept.remove(0);
    }
    kept.push((n, made.clone()));
    made
}

impl<T: FftFloat> Transform<T> {
    fn new(n: usize) -> Transform<T> {
        if n <= WHOLE {
            return Transform::Whole(Column::new(n));
        }
        let rows = split(n);
        let columns = n / rows;
        Transform::Split { columns: Column::new(columns), rows: Column::new(rows), roots: Roots::new(columns, rows) }
    }
}

/// Returns the smallest factor of `n` that is at least the square root of `n`.
fn split(n: usize) -> usize {
    let mut factor = n.isqrt();
    while factor * factor < n || !n.is_multiple_of(factor) {
        factor += 1;
    }
    factor
}

impl<T: FftFloat> Column<T> {
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

/// Returns the radices of the passes of a transform of `n` numbers. As many passes as possible have radix 8. If a
/// single factor 2 would remain, two passes of radix 4 replace this factor and one pass of radix 8. So radix 2 occurs
/// only if `n` has a single factor 2.
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
