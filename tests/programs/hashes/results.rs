//! The results whose bits are pinned, and how a result is hashed.

use super::programs;
use crate::kit::operations::{self, Params, Pinned};
use crate::kit::*;
use cupric::DType::*;
use cupric::testing::rows;
use cupric::*;
use std::collections::BTreeMap;

/// An FNV-1a hash of the elements, where all NaNs count as equal.
struct Hash(u64);

impl Hash {
    fn word(&mut self, w: u64) {
        for b in w.to_le_bytes() {
            self.0 = (self.0 ^ b as u64).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn add(&mut self, e: &Expr) {
        fn words<T: Element>(h: &mut Hash, e: &Expr) {
            e.to_vec::<T>().unwrap_or_else(|e| panic!("{e}")).into_iter().for_each(|x| h.word(canonical(x)));
        }
        let shape = e.shape().unwrap_or_else(|e| panic!("{e}"));
        self.word(shape.len() as u64);
        shape.iter().for_each(|n| self.word(*n as u64));
        match e.dtype().unwrap() {
            Bool => words::<bool>(self, e),
            U8 => words::<u8>(self, e),
            I8 => words::<i8>(self, e),
            U16 => words::<u16>(self, e),
            I16 => words::<i16>(self, e),
            U32 => words::<u32>(self, e),
            I32 => words::<i32>(self, e),
            U64 => words::<u64>(self, e),
            I64 => words::<i64>(self, e),
            F16 => words::<f16>(self, e),
            BF16 => words::<bf16>(self, e),
            F32 => words::<f32>(self, e),
            F64 => words::<f64>(self, e),
            other => panic!("{other} is not known here"),
        }
    }
}

pub fn hash(list: impl IntoIterator<Item = Expr>) -> u64 {
    let mut h = Hash(0xcbf2_9ce4_8422_2325);
    list.into_iter().for_each(|e| h.add(&e));
    h.0
}

/// The hash of results that are evaluated together.
pub fn together(list: &[Expr]) -> Result<u64> {
    Ok(hash(eval_many(list)?.iter().map(|a| (**a).clone())))
}

/// `n` elements of a type within a function's domain; floats include special values. Made without the library, and only
/// with operations that round alike on every machine.
fn data(t: DType, [low, high]: [f64; 2], n: usize, seed: u64) -> Array {
    let mut dice = Dice::new(seed);
    let (low, high) = (low.max(-1e30), high.min(1e30));
    let special = [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-40, 0.5, 2.0, 1e30, -3.5];
    let mut float = || {
        let (u, pick) = (dice.unit(), dice.below(40));
        if pick < special.len() { special[pick] } else { low + (high - low) * u }
    };
    macro_rules! floats {
        ($t:ty, $from:expr) => {{
            let make: fn(f64) -> $t = $from;
            Array::from_vec((0..n).map(|_| make(float())).collect::<Vec<$t>>(), [n])
        }};
    }
    let mut dice = Dice::new(seed);
    macro_rules! integers {
        ($t:ty) => {
            // numbers of all magnitudes
            Array::from_vec((0..n).map(|_| (dice.next() >> dice.below(64)) as $t).collect::<Vec<$t>>(), [n])
        };
    }
    match t {
        Bool => Array::from_vec((0..n).map(|_| dice.one_in(2)).collect::<Vec<bool>>(), [n]),
        U8 => integers!(u8),
        I8 => integers!(i8),
        U16 => integers!(u16),
        I16 => integers!(i16),
        U32 => integers!(u32),
        I32 => integers!(i32),
        U64 => integers!(u64),
        I64 => integers!(i64),
        // through f32, which rounds twice but alike everywhere; `from_f64` uses the processor's own conversion
        F16 => floats!(f16, |v| f16::from_f32(v as f32)),
        BF16 => floats!(bf16, bf16::from_f64),
        F32 => floats!(f32, |v| v as f32),
        F64 => floats!(f64, |v| v),
        other => panic!("{other} is not known here"),
    }
    .unwrap()
}

/// An uneven length that needs several tiles.
const N: usize = 20_011;

fn elementwise(out: &mut BTreeMap<String, u64>) {
    for row in rows() {
        let types = DType::ALL.into_iter().filter(|t| row.takes(*t, false));
        let results = types.map(|t| {
            let n = if t == F32 || t == F64 { N } else { 3001 };
            let operands: Vec<Expr> = (0..row.arity() as u64)
                .map(|k| {
                    let first = k == 0 && row.arity() == 3 && row.name() == "select";
                    (*data(if first { Bool } else { t }, row.domain(), n, 10 * k + t.size() as u64)).clone()
                })
                .collect();
            row.apply(&operands)
        });
        out.insert(format!("row {}", row.name()), hash(results.collect::<Vec<_>>()));
    }
}

fn folds(out: &mut BTreeMap<String, u64>) {
    for operation in operations::along_axes().filter(|o| o.pinned != Pinned::Elsewhere) {
        let name = operation.name;
        let f = |e: &Expr, axis: Option<isize>| {
            let axes = axis.map_or((..).into_axes(), IntoAxes::into_axes);
            (operation.build)(std::slice::from_ref(e), &Params::along(axes))
        };
        for t in [F32, F64, F16, BF16, I32, U8, I64, Bool] {
            let pinned = match operation.pinned {
                Pinned::Every => true,
                Pinned::Numbers => t != Bool,
                Pinned::Floats => t.is_float(),
                Pinned::Elsewhere => false,
            };
            if !pinned {
                continue;
            }
            let x = data(t, [-2.0, 2.0], 157 * 301, 5).reshape([157, 301]).eval().unwrap();
            let x =
                if t.is_float() && name != "argmax" { select(x.isfinite(), &*x, zeros_like(&x)) } else { (*x).clone() };
            let x = x.eval().unwrap();
            let deep = x.slice(s![..150]).reshape([5, 30, 301]);
            let list = [
                f(&x, None),
                f(&x, Some(0)),
                f(&x, Some(1)),
                f(&x.t(), Some(0)),
                f(&x.slice(s![..;-2, 3..;3]), None),
                f(&deep, Some(1)),
                f(&x.slice(s![7]), Some(0)),
            ];
            out.insert(format!("{name} {t}"), hash(list));
        }
    }
}

fn others(out: &mut BTreeMap<String, u64>) {
    for from in DType::ALL {
        let x = data(from, [-300.0, 300.0], 5003, 3);
        out.insert(format!("casts of {from}"), hash(DType::ALL.map(|to| x.astype(to))));
    }
    let x = data(F32, [-4.0, 4.0], 120 * 77, 8).reshape([120, 77]).eval().unwrap();
    let x = select(x.isfinite(), &*x, zeros_like(&x)).eval().unwrap();
    let w = x.slice(s![0]);
    let e = (&x - x.max(keep(-1))).exp();
    let mut put = |name: &str, list: Vec<Expr>| out.insert(name.to_string(), hash(list));
    put("softmax by hand", vec![&e / e.sum(keep(-1))]);
    put("standardise", vec![(&x - x.mean(0)) / (x.std(0) + 1e-6), (&x - x.mean(keep(1))) / x.std(keep(1))]);
    put("norms", vec![x.layer_norm(-1, 1e-5), x.rms_norm(-1, 1e-5), x.t().layer_norm(0, 1e-5)]);
    put("long chain", vec![(0..40).fold(&x * 1.0, |e, i| (e * 0.9 + &w).sin() - i as f64 * 0.01)]);
    put("mean square", vec![(&x - &w).square().mean(..), (&x * &w).sum(1), (&x + &w).abs().max(0)]);
    put("half chain", vec![(x.astype(F16) * 0.5 + x.astype(F16).exp()).sum(0), x.astype(BF16).tanh() * 3.0]);
    put("joins", vec![concat([&x, &(&x * 2.0)], 0), stack([&x, &-&x], 1)]);
    put("views", vec![x.t(), x.flip(..), x.slice(s![..;-3, 2..;5]), x.sliding_windows(5, 1) * 1.0, x.diagonal(3)]);
    let at = Array::from([3i32, 0, 119, 3, 64]);
    put("gathers", vec![x.take(&at, 0) * 2.0, x.take(Wrap(&at), 1), x.take(Clip(&at), 1)]);
    for t in [U8, I16, I32, U64] {
        // integers of every magnitude, many equal indices, and indices out of range that wrap or are clipped
        let (x, v) = (data(t, [0.0; 2], 120 * 77, 1), data(t, [0.0; 2], 120 * 500, 2).reshape([120, 500]));
        let x = x.reshape([120, 77]);
        let far = Array::from_vec((0..500).map(|i| i * 7919 % 601 - 300).collect::<Vec<i32>>(), [500]).unwrap();
        let at = &far % 77;
        let rows = v.t().slice(s![.., ..77]);
        put(
            &format!("scatters {t}"),
            vec![
                x.index_add(1, &at, &v),
                x.index_min(1, &at, &v),
                x.index_max(1, &at, &v),
                x.index_add(0, Wrap(&far), &rows),
                x.index_min(0, Wrap(&far), &rows),
                x.index_max(0, Wrap(&far), &rows),
                x.index_add(1, Clip(&far), &v),
                x.index_min(1, Clip(&far), &v),
                x.index_max(1, Clip(&far), &v),
            ],
        );
    }
    for t in [F16, BF16, F32, F64] {
        // few sums, for which each task has a table, and many sums, in ranges of keys
        let numbers = |n, seed| (data(I16, [0.0; 2], n, seed).astype(F32) * 0.001).astype(t);
        let (x, v) = (numbers(120 * 77, 1).reshape([120, 77]), numbers(160_000, 2));
        let keys = Array::from_vec((0..160_000).map(|i: i64| i * i % 90_001).collect::<Vec<i64>>(), [160_000]).unwrap();
        let at = Array::from_vec((0..120).map(|i| i * 7919 % 77).collect::<Vec<i32>>(), [120]).unwrap();
        let sums = vec![
            x.index_add(1, &at, numbers(120 * 120, 3).reshape([120, 120]).t()),
            v.segment_sum(&keys % 5, 5),
            v.segment_sum(&keys, 90_001),
            v.reduce_at(&keys.slice(s![..90;3]) * 1, 0),
        ];
        put(&format!("sums by key {t}"), sums);
    }
    put(
        "ranges",
        vec![arange(0, 5000, 1, I32) * 3, arange(0.0, 7.0, 0.1, F32), linspace(-1.0, 1.0, 777, F32), eye(9, F64)],
    );
    put(
        "long sums",
        vec![{
            let long = data(F32, [-1.0, 1.0], 300_007, 9);
            select(long.isfinite(), &*long, zeros_like(&long)).sum(..)
        }],
    );
}

fn transforms(out: &mut BTreeMap<String, u64>) {
    let mut put = |name: &str, list: Vec<Expr>| out.insert(name.to_string(), hash(list));
    for t in [F32, F64] {
        // rows in vector lanes, one task and several, other radices, neighbours in lanes, Bluestein's algorithm
        for (n, rows) in [(64, 40), (105, 40), (4096, 6), (65_536, 1), (1000, 19), (257, 3)] {
            let x = data(I16, [0.0; 2], n * rows, 1).astype(t) * 0.001;
            let z = fft::fft(x.reshape([rows, n]), -1);
            let down = fft::ifft(x.reshape([n, rows]), 0);
            put(&format!("transforms of {n} {t}"), vec![z.real().clone(), z.imag() * 1.0, down.real() + down.imag()]);
        }
        // the same transforms of half the length, of real numbers
        for (n, rows) in [(64, 40), (210, 40), (4096, 6), (131_072, 1), (1000, 19)] {
            let x = data(I16, [0.0; 2], n * rows, 1).astype(t) * 0.001;
            let z = fft::rfft(x.reshape([rows, n]), -1);
            let down = fft::rfft(x.reshape([n, rows]), 0);
            let back = fft::irfft(Complex::new(x.reshape([rows, n]), -x.reshape([rows, n])), -1);
            let cosines = fft::dct(x.reshape([rows, n]), -1);
            let list = vec![z.real().clone(), z.imag().clone(), down.real() + down.imag(), back, cosines];
            put(&format!("transforms of {n} real {t}"), list);
        }
    }
}

fn spectra(out: &mut BTreeMap<String, u64>) {
    let mut put = |name: String, list: Vec<Expr>| out.insert(name, hash(list));
    for t in [F32, F64] {
        // matrices by several tasks, by one, and one matrix that tasks divide into strips
        for (n, count) in [(3, 500), (20, 30), (65, 2), (260, 1)] {
            let x = (data(I16, [0.0; 2], n * n * count, 1).astype(t) * 0.001).reshape([count, n, n]).eval().unwrap();
            let ((w, v), (u, s, vt)) = (linalg::eigh(&x), linalg::svd(&x, linalg::Mode::Reduced));
            let (q, r) = linalg::qr(x.slice(s![.., .., ..n / 2 + 1]), linalg::Mode::Complete);
            put(format!("spectra of {n} {t}"), vec![w, v, u, s, vt, q, r]);
            if n < 100 {
                let (w, v) = linalg::eig(&x);
                put(
                    format!("eigenvalues of {n} {t}"),
                    [w, v].iter().flat_map(|z| [z.real().clone(), z.imag().clone()]).collect(),
                );
            }
        }
    }
}

fn factors(out: &mut BTreeMap<String, u64>) {
    for t in [F32, F64] {
        // one block, several blocks, and incomplete blocks
        for (n, count) in [(4, 50), (64, 3), (65, 2), (150, 2)] {
            let x = data(I16, [0.0; 2], n * n * count, 1).astype(t) * 0.001;
            let x = x.reshape([count, n, n]) + eye(n, t) * (40 * n) as f64;
            let (order, lower, upper) = linalg::lu(&x);
            let solved = linalg::solve(&x, x.slice(s![..1, .., ..(n as isize + 1) / 2]));
            let factor = linalg::cholesky(&x + x.matrix_transpose(), linalg::Triangle::Lower);
            let det = linalg::det(&x * 0.001);
            out.insert(format!("factors of {n} {t}"), hash(vec![order, lower, upper, solved, factor, det]));
            let (refined, rest) = linalg::solve_refined(&x, x.slice(s![..1, .., ..3]));
            let list = vec![
                linalg::inv(&x),
                refined,
                rest,
                linalg::expm(&x * 0.001),
                linalg::pinv(x.slice(s![.., .., ..3]), None),
            ];
            out.insert(format!("functions of matrices of {n} {t}"), hash(list));
        }
    }
}

fn random(out: &mut BTreeMap<String, u64>) {
    let mut put = |name: &str, list: Vec<Expr>| out.insert(name.to_string(), hash(list));
    put("random words", vec![Rng::new(7).integers(i32::MIN, i32::MAX, [5001], I32)]);
    put("random integers", vec![Rng::new(7).integers(-5, 100, [5001], I32)]);
    put("random uniforms", vec![Rng::new(1 << 40).uniform([5001], F32)]);
    put("random normals", vec![Rng::new(9).normal([5001], F32)]);
    put("random coins", vec![Rng::new(9).bernoulli(0.3, [5001], Bool)]);
    put("random order", vec![Rng::new(9).permutation(501)]);
    let r = || Rng::new(11);
    for t in [F16, BF16, F32, F64] {
        let n = 2001;
        put(
            &format!("random inverses {t}"),
            vec![
                r().exponential(2.0, [n], t),
                r().gumbel(1.0, 2.0, [n], t),
                r().laplace(1.0, 2.0, [n], t),
                r().logistic(1.0, 2.0, [n], t),
                r().cauchy(1.0, 2.0, [n], t),
                r().lognormal(0.5, 0.5, [n], t),
                r().weibull(1.5, [n], t),
                r().pareto(2.5, [n], t),
                r().rayleigh(2.0, [n], t),
                r().triangular(0.0, 1.0, 3.0, [n], t),
            ],
        );
        let bounds = [(-2.0, 1.0), (-0.5, 0.5), (2.0, INF), (-9.0, -7.0), (-INF, INF)];
        put(
            &format!("random truncated {t}"),
            bounds.into_iter().map(|(a, b)| r().truncated_normal(a, b, [n], t)).collect(),
        );
        put(
            &format!("random gammas {t}"),
            vec![
                r().gamma(0.5, 2.0, [n], t),
                r().gamma(20.0, 1.0, [n], t),
                r().chisquare(3.0, [n], t),
                r().beta(0.5, 2.0, [n], t),
                r().dirichlet(&[0.5, 1.0, 2.0], [n], t),
            ],
        );
    }
    let w = arange(0, 100, 1, F32).square() % 97.0;
    put(
        "random choices",
        vec![
            r().choice(77, [2001]),
            r().choice_weighted(&w, [2001]),
            r().choice_weighted_without_replacement(&w, 50),
            r().choice_without_replacement(1000, 50),
            r().categorical((&w + 1.0).log().broadcast_to([500, 100]), -1),
            r().shuffle(&w, 0),
        ],
    );
    put(
        "random counts",
        vec![
            r().geometric(0.1, [2001]),
            r().poisson(7.5, [2001]),
            r().binomial(100, 0.3, [2001]),
            r().multinomial(50, &w, [20]),
        ],
    );
    let (means, shares) = (geomspace(1e-3, 1e6, 29, F32), linspace(0.0, 1.0, 29, F64));
    put(
        "random counts of arrays",
        vec![
            r().poisson(&means, [69, 29]),
            r().poisson(means.astype(F64), [69, 29]),
            r().binomial(100, &shares, [69, 29]),
            r().binomial(means.astype(I32), shares.astype(F32), [69, 29]),
        ],
    );
    let mut split = Rng::new(3);
    put(
        "random split",
        vec![split.split().uniform([100], F32), split.split().uniform([100], F32), split.uniform([100], F32)],
    );
}

fn products(out: &mut BTreeMap<String, u64>) {
    for t in [I32, U32, I64, U8] {
        let (a, b) =
            (data(t, [0.0; 2], 70 * 130, 1).reshape([70, 130]), data(t, [0.0; 2], 130 * 41, 2).reshape([130, 41]));
        out.insert(format!("product {t}"), hash(vec![a.matmul(&b)]));
    }
    for t in [F32, F64, F16, BF16] {
        // by each of the CPU's strategies: by rows, by columns, small products, and split ones
        let (a, b) = (data(t, [-2.0, 2.0], 270 * 530, 1), data(t, [-2.0, 2.0], 530 * 290, 2));
        let finite =
            |x: Array, shape| select(x.isfinite() & x.abs().less(4.0), &*x, zeros_like(&x)).reshape(shape).eval();
        let (a, b) = (finite(a, [270, 530]).unwrap(), finite(b, [530, 290]).unwrap());
        let list = vec![
            a.matmul(&b),
            a.slice(s![7]).matmul(&b),
            a.matmul(b.slice(s![.., 3])),
            a.matmul(b.slice(s![.., ..4])),
            b.t().slice(s![..40, ..270]).matmul(a.slice(s![.., ..50])),
        ];
        out.insert(format!("product {t}"), hash(list));
    }
}

fn derivatives(out: &mut BTreeMap<String, u64>) {
    let numbers = |n: i32, step: i32, below: i32| {
        Array::from_vec((0..n).map(|i| i * step % below).collect::<Vec<i32>>(), [n as usize]).unwrap()
    };
    let (labels, rows) = (numbers(97, 1, 71), numbers(500, 7, 97));
    for t in [F32, F64, F16, BF16] {
        let mut rng = Rng::new(5);
        let mut a = |shape: &[usize]| Expr::from(rng.normal(shape, F32).astype(t).eval().unwrap());
        let (x, w, b) = (a(&[97, 130]), a(&[130, 71]), a(&[71]));
        let (image, filter) = (a(&[3, 5, 19, 17]), a(&[7, 5, 3, 3]));
        let (q, k, v) = (a(&[2, 40, 8]), a(&[2, 50, 8]), a(&[2, 50, 8]));
        let (z, near_one) = (a(&[N]), &x * 0.01 + 1.0);
        let layer = x.matmul(&w) + &b;
        let conv = image.conv2d(&filter, Conv::default().padding(1).stride(2));
        let read = attention(&q, &k, &v, Attention::default().causal());
        let cases = [
            ("layer", layer.gelu().layer_norm(-1, 1e-5).square().mean(..), vec![&x, &w, &b]),
            ("cross entropy", layer.cross_entropy(&labels).mean(..), vec![&x, &w, &b]),
            ("convolution", conv.square().mean(..), vec![&image, &filter]),
            ("pool", image.max_pool2d(Pool::new(3).stride(2)).square().mean(..), vec![&image]),
            ("attention", read.square().mean(..), vec![&q, &k, &v]),
            (
                "rows",
                (z.tanh() * z.sigmoid() + z.erf() + z.sin() * z.square().log1p() + z.softplus()).sum(..),
                vec![&z],
            ),
            ("sort", (z.sort(0) * z.cumulative_sum(0) * 1e-3).sum(..), vec![&z]),
            ("scans", (near_one.cumulative_prod(1) + x.logcumsumexp(1)).sum(..), vec![&x]),
            ("take", x.take(&rows, 0).square().sum(..), vec![&x]),
            ("softmax", (x.softmax(-1).square() + x.rms_norm(-1, 1e-5)).sum(..), vec![&x]),
            ("statistics", (near_one.prod(1) + x.std(1) + x.median(1)).sum(..), vec![&x]),
        ];
        for (name, loss, of) in cases {
            out.insert(format!("derivatives of {name} {t}"), hash(grad_many(&loss, of)));
        }
    }
}

pub fn all() -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    elementwise(&mut out);
    folds(&mut out);
    others(&mut out);
    transforms(&mut out);
    factors(&mut out);
    spectra(&mut out);
    random(&mut out);
    products(&mut out);
    derivatives(&mut out);
    for (name, e) in programs::all(&Device::cpu()) {
        let hash = together(&e).unwrap_or_else(|e| panic!("{name}: {e}"));
        out.insert(name, hash);
    }
    out
}
