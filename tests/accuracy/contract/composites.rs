//! Trials of functions that are made of others: products, norms, statistics and elementwise composites. Each has operands, calls
//! and a reference by plain loops, in double-double numbers or in i128.

mod orders;
mod segments;
mod sets;

use super::bound::{Bound, Real, judge};
use super::dd::Dd;
use super::entry::Entry;
use super::layouts::{LAYOUTS, by_turns};
use super::page::Figure;
use super::report::{Passed, Report};
use super::underflow::Underflow;
use crate::kit::{self, Dice, number};
use cupric::*;

/// Rows, columns, and the length of what is summed.
const M: usize = 5;
const N: usize = 4;
const K: usize = 67;

/// The right result of one element.
enum Want {
    Bits(u64),
    /// The value, how far a result may be from it, and the operands for bounds that depend on them.
    Near(Real, f64, Vec<f64>),
    /// Any answer, because rounding may decide it.
    Either,
}

/// A result and what it must be.
struct Call {
    what: &'static str,
    e: Expr,
    dtype: DType,
    want: Vec<Want>,
}

struct Trial<'a> {
    entry: &'a Entry,
    d: DType,
    turned: bool,
    device: &'a Device,
    dice: Dice,
    underflow: Underflow,
}

/// Bits in C order, and the shape.
type Values = (Vec<u64>, Vec<usize>);

impl Trial<'_> {
    fn name(&self) -> &str {
        &self.entry.function
    }

    /// The type in which results are floats.
    fn float(&self) -> DType {
        if self.d.is_float() { self.d } else { DType::F32 }
    }

    /// Half a spacing of the type that is computed in.
    fn u(&self) -> f64 {
        if self.float() == DType::F64 { 2f64.powi(-53) } else { 2f64.powi(-24) }
    }

    fn draw(&mut self, shape: &[usize]) -> Values {
        let (d, n) = (self.d, shape.iter().product());
        let of = |dice: &mut Dice| match d {
            DType::Bool => dice.next() & 1,
            d if d.is_float() => number::round(d, dice.normal()),
            d if dice.one_in(2) => number::wrap(d, dice.between(0, 5) as i128),
            d => dice.next() >> (64 - 8 * d.size()),
        };
        ((0..n).map(|_| of(&mut self.dice)).collect(), shape.to_vec())
    }

    /// Values small enough that no power or square of them overflows.
    fn small(&mut self, shape: &[usize]) -> Values {
        let (d, n) = (self.d, shape.iter().product());
        let of = |dice: &mut Dice| match d {
            DType::Bool => dice.next() & 1,
            d if d.is_float() => number::round(d, dice.normal()),
            d if d.is_unsigned_integer() => dice.between(0, 100) as u64,
            d => number::wrap(d, dice.between(-100, 100) as i128),
        };
        ((0..n).map(|_| of(&mut self.dice)).collect(), shape.to_vec())
    }

    /// An array of values, stored with its axes reversed if the trial is of such a layout.
    fn array(&self, v: &Values) -> Result<Expr> {
        let (bits, shape) = v;
        if !self.turned || shape.len() < 2 {
            return Ok(kit::array(self.d, bits, shape, self.device)?.into());
        }
        let back: Vec<usize> = shape.iter().rev().copied().collect();
        let stored: Vec<u64> = kit::every_index(&back)
            .iter()
            .map(|i| bits[i.iter().rev().zip(shape).fold(0, |flat, (i, n)| flat * n + i)])
            .collect();
        Ok(kit::array(self.d, &stored, &back, self.device)?.t())
    }

    /// A value as a float function sees it.
    fn real(&self, bits: u64) -> f64 {
        match self.d.is_float() {
            true => number::real(self.d, bits),
            false => number::real(DType::F32, number::round_integer(DType::F32, number::integer(self.d, bits))),
        }
    }

    fn reals(&self, bits: &[u64]) -> Vec<f64> {
        bits.iter().map(|b| self.real(*b)).collect()
    }

    /// A float result by a bound that its data give.
    fn near(&self, exact: Dd, allowed: f64) -> Want {
        let t = self.float();
        let ulp = number::ulp(t, exact.hi);
        let half = matches!(t, DType::F16 | DType::BF16);
        let allowed = if half { allowed + ulp } else { allowed.max(ulp) };
        Want::Near(Real { value: exact.hi, rest: exact.lo }, allowed, vec![])
    }

    /// A result of a bound that is a number of ULP.
    fn by_bound(&self, exact: impl Into<Real>, operands: &[f64]) -> Want {
        Want::Near(exact.into(), 0.0, operands.to_vec())
    }

    /// The sum of products, each with its sign, in the operands' type: the bound `matmul`, or `0` of one product.
    fn sum_of(&self, terms: &[(Vec<u64>, i32)]) -> Want {
        if !self.d.is_float() {
            let product = |(factors, sign): &(Vec<u64>, i32)| {
                let all = factors.iter().map(|b| number::integer(self.d, *b)).fold(1i128, i128::wrapping_mul);
                all.wrapping_mul(i128::from(*sign))
            };
            let sum = terms.iter().map(product).fold(0, i128::wrapping_add);
            return Want::Bits(number::wrap(self.d, sum));
        }
        let (mut sum, mut size) = (Dd::from(0.0), 0.0);
        for (factors, sign) in terms {
            let real = factors.iter().map(|b| number::real(self.d, *b));
            let product = real.fold(Dd::from(f64::from(*sign)), |p, x| p * x.into());
            (sum, size) = (sum + product, size + product.hi.abs());
        }
        let k = terms.len() as f64;
        match self.entry.bound {
            Bound::Named(_) => {
                self.near(sum, (k / 2.0 + 16.0) * self.u() * size + 2.0 * k * self.underflow.half(self.d, 0))
            }
            _ => self.by_bound(Real { value: sum.hi, rest: sum.lo }, &[]),
        }
    }

    /// The calls of products.
    fn products(&mut self) -> Result<Vec<Call>> {
        let pairs =
            |all: Vec<(u64, u64)>| -> Vec<(Vec<u64>, i32)> { all.into_iter().map(|(x, y)| (vec![x, y], 1)).collect() };
        let ((a, _), (b, _)) = (self.draw(&[M, K]), self.draw(&[N, K]));
        let (x, y) = (self.array(&(a.clone(), vec![M, K]))?, self.array(&(b.clone(), vec![N, K]))?);
        let rows = |i: usize, j: usize| pairs((0..K).map(|l| (a[i * K + l], b[j * K + l])).collect());
        let all = |f: &dyn Fn(usize, usize) -> Want| (0..M * N).map(|at| f(at / N, at % N)).collect::<Vec<_>>();
        let d = self.d;
        let one = |e: Expr, want: Vec<Want>| vec![Call { what: "one", e, dtype: d, want }];
        Ok(match self.entry.function.as_str() {
            "vecdot" => {
                let e = x.slice(s![..N]).vecdot(&y, -1);
                one(e, (0..N).map(|i| self.sum_of(&rows(i, i))).collect())
            }
            "inner" => one(x.inner(&y), all(&|i, j| self.sum_of(&rows(i, j)))),
            "tensordot" => one(tensordot(&x, y.t(), 1), all(&|i, j| self.sum_of(&rows(i, j)))),
            "einsum" => {
                let two = einsum("ik,jk->ji", [&x, &y]);
                let want = (0..M * N).map(|at| self.sum_of(&rows(at % M, at / M))).collect();
                // a sum over all axes of three operands
                let three = einsum("ik,jk,i->", [&x, &y, &x.slice(s![.., 0])]);
                let terms: Vec<(Vec<u64>, i32)> = (0..M * N * K)
                    .map(|at| (at / K / N, at / K % N, at % K))
                    .map(|(i, j, l)| (vec![a[i * K + l], b[j * K + l], a[i * K]], 1))
                    .collect();
                let call = |what, e, want| Call { what, e, dtype: d, want };
                vec![call("two", two, want), call("three", three, vec![self.sum_of(&terms)])]
            }
            "multi_dot" => {
                let e = multi_dot([&x, &y.t(), &x.slice(s![..N, 0])]);
                let terms = |i: usize| -> Vec<(Vec<u64>, i32)> {
                    (0..N * K).map(|at| (vec![a[i * K + at % K], b[at / K * K + at % K], a[at / K * K]], 1)).collect()
                };
                one(e, (0..M).map(|i| self.sum_of(&terms(i))).collect())
            }
            "outer" | "kron" => {
                let (p, q) = (x.slice(s![0]), y.slice(s![0]));
                let e = if self.name() == "outer" { p.outer(q) } else { p.kron(q) };
                one(e, (0..K * K).map(|at| self.sum_of(&pairs(vec![(a[at / K], b[at % K])]))).collect())
            }
            "cross" => {
                let ((a, _), (b, _)) = (self.draw(&[K, 3]), self.draw(&[K, 3]));
                let e = self.array(&(a.clone(), vec![K, 3]))?.cross(self.array(&(b.clone(), vec![K, 3]))?, -1);
                let term = |at: usize| {
                    let of = |v: &[u64], c: usize| v[at / 3 * 3 + c % 3];
                    let c = at % 3;
                    [(vec![of(&a, c + 1), of(&b, c + 2)], 1), (vec![of(&a, c + 2), of(&b, c + 1)], -1)]
                };
                one(e, (0..3 * K).map(|at| self.sum_of(&term(at))).collect())
            }
            "convolve" | "correlate" => {
                let (long, short) = (&a[..], &b[..K]);
                let (p, q) = (x.reshape([-1]), y.slice(s![0]));
                let convolves = self.name() == "convolve";
                let e = if convolves { convolve(p, q, WindowMode::Full) } else { correlate(p, q, WindowMode::Full) };
                let terms = |k: usize| {
                    let inside = (0..K).filter(|j| k >= *j && k - j < long.len());
                    pairs(inside.map(|j| (long[k - j], short[if convolves { j } else { K - 1 - j }])).collect())
                };
                one(e, (0..long.len() + K - 1).map(|k| self.sum_of(&terms(k))).collect())
            }
            _ => self.powers()?,
        })
    }

    /// `matrix_power` and `trace`.
    fn powers(&mut self) -> Result<Vec<Call>> {
        const SIDE: usize = 6;
        let v = self.draw(&[SIDE, SIDE]);
        let x = self.array(&v)?;
        let (d, bits) = (self.d, &v.0);
        if self.name() == "trace" {
            let diagonal: Vec<u64> = (0..SIDE).map(|i| bits[i * SIDE + i]).collect();
            let dtype = self.entry.operation().map_or(d, |o| (o.result)(d));
            let want = match d.is_float() {
                false => Want::Bits(number::wrap(dtype, diagonal.iter().map(|b| number::integer(d, *b)).sum())),
                true => {
                    let real = self.reals(&diagonal);
                    let sum = real.iter().fold(Dd::from(0.0), |s, x| s + (*x).into());
                    self.near(sum, (3.0 + 16.0) * self.u() * real.iter().map(|x| x.abs()).sum::<f64>())
                }
            };
            return Ok(vec![Call { what: "trace", e: x.trace(0, 0, 1), dtype, want: vec![want] }]);
        }
        let power = |n: i32| -> Vec<Want> {
            let product = |a: &[Dd], b: &[Dd]| -> Vec<Dd> {
                let at =
                    |i: usize, j: usize| (0..SIDE).fold(Dd::from(0.0), |s, l| s + a[i * SIDE + l] * b[l * SIDE + j]);
                (0..SIDE * SIDE).map(|at_| at(at_ / SIDE, at_ % SIDE)).collect()
            };
            if !d.is_float() {
                let whole: Vec<i128> = bits.iter().map(|b| number::integer(d, *b)).collect();
                let mut p = whole.clone();
                for _ in 1..n {
                    let sum = |i: usize, j: usize| {
                        (0..SIDE).map(|l| p[i * SIDE + l].wrapping_mul(whole[l * SIDE + j])).fold(0, i128::wrapping_add)
                    };
                    // modulo 2^64, as long as no product leaves i128; for bool whether there is any
                    let low = |x: i128| if d == DType::Bool { (x != 0) as i128 } else { x as u64 as i128 };
                    p = (0..SIDE * SIDE).map(|at| low(sum(at / SIDE, at % SIDE))).collect();
                }
                return p.into_iter().map(|x| Want::Bits(number::wrap(d, x))).collect();
            }
            let real: Vec<Dd> = bits.iter().map(|b| number::real(d, *b).into()).collect();
            let size: Vec<Dd> = real.iter().map(|x| x.abs()).collect();
            let (mut p, mut q) = (real.clone(), size.clone());
            for _ in 1..n {
                (p, q) = (product(&p, &real), product(&q, &size));
            }
            let of = f64::from(n - 1) * (SIDE as f64 / 2.0 + 17.0) * self.u();
            p.iter().zip(&q).map(|(p, q)| self.near(*p, of * q.hi)).collect()
        };
        let call = |what, n: i32| Call { what, e: x.matrix_power(n.into()), dtype: d, want: power(n) };
        Ok(vec![call("square", 2), call("cube", 3), call("seventh", 7)])
    }

    /// Norms, means and covariances: floats of any operand.
    fn statistics(&mut self) -> Result<Vec<Call>> {
        let (v, w) = (self.small(&[M, K]), self.small(&[M, K]));
        let (x, y) = (self.array(&v)?, self.array(&w)?);
        let (a, b) = (self.reals(&v.0), self.reals(&w.0));
        let t = self.float();
        let row = |i: usize| &a[i * K..(i + 1) * K];
        let call = |what, e: Expr, want| Call { what, e, dtype: t, want };
        Ok(match self.entry.function.as_str() {
            "vector_norm" => {
                let of = |what, order: f64| {
                    call(what, x.vector_norm(-1, order), (0..M).map(|i| self.norm(row(i), order)).collect())
                };
                vec![
                    of("2", 2.0),
                    of("1", 1.0),
                    of("0", 0.0),
                    of("inf", INF),
                    of("-inf", -INF),
                    of("3", 3.0),
                    of("0.5", 0.5),
                ]
            }
            "matrix_norm" => {
                let column = |j: usize| (0..M).map(|i| a[i * K + j]).collect::<Vec<_>>();
                let sums = |rows: bool| -> Vec<(Dd, f64)> {
                    let of = |x: &[f64]| {
                        let sum = x.iter().fold(Dd::from(0.0), |s, x| s + x.abs().into());
                        (sum, ((x.len() as f64).log2().ceil() + 16.0) * self.u() * sum.hi)
                    };
                    if rows { (0..M).map(|i| of(row(i))).collect() } else { (0..K).map(|j| of(&column(j))).collect() }
                };
                let most = |rows: bool| sums(rows).into_iter().reduce(|p, q| if q.0.hi > p.0.hi { q } else { p });
                let least = |rows: bool| sums(rows).into_iter().reduce(|p, q| if q.0.hi < p.0.hi { q } else { p });
                let want = |found: Option<(Dd, f64)>| found.map(|(x, e)| self.near(x, e)).into_iter().collect();
                let of = |what, norm, found| call(what, x.matrix_norm((0, 1), norm), want(found));
                vec![
                    call("fro", x.matrix_norm(.., MatrixNorm::Frobenius), vec![self.norm(&a, 2.0)]),
                    of("1", MatrixNorm::One, most(false)),
                    of("-1", MatrixNorm::MinusOne, least(false)),
                    of("inf", MatrixNorm::Infinity, most(true)),
                    of("-inf", MatrixNorm::MinusInfinity, least(true)),
                ]
            }
            "average" => {
                let of = |i: usize| {
                    let sum = |f: &dyn Fn(usize) -> Dd| (0..K).fold(Dd::from(0.0), |s, j| s + f(j));
                    let weights = sum(&|j| b[i * K + j].abs().into());
                    let products = sum(&|j| Dd::from(a[i * K + j]) * b[i * K + j].abs().into());
                    let size = sum(&|j| (Dd::from(a[i * K + j]) * b[i * K + j].into()).abs());
                    let allowed = ((K as f64).log2().ceil() + 16.0) * self.u() * 2.0 * size.hi / weights.hi;
                    self.near(products / weights, allowed)
                };
                let weights = if self.d == DType::Bool { y.clone() } else { y.abs() };
                vec![call("rows", x.average(-1, weights), (0..M).map(of).collect())]
            }
            _ => {
                let (covariance, correlation) = self.covariances(&a);
                match self.name() {
                    "cov" => vec![
                        call("rows", x.cov(true, 1.0), covariance),
                        call("columns", x.t().cov(false, 1.0), self.covariances(&a).0),
                    ],
                    _ => vec![call("rows", x.corrcoef(true), correlation)],
                }
            }
        })
    }

    /// The bound `norm`.
    fn norm(&self, x: &[f64], order: f64) -> Want {
        let (n, u) = (x.len() as f64, self.u());
        let t = (n.log2().ceil() + 16.0) * u;
        let magnitudes = || x.iter().map(|x| x.abs());
        let pow = match (self.float() == DType::F64, self.entry.gpu()) {
            (true, _) => 4.0,
            (false, true) => 16.0,
            (false, false) => 2.0,
        };
        match order {
            0.0 => self.near((x.iter().filter(|x| **x != 0.0).count() as f64).into(), 0.0),
            1.0 => {
                let sum = magnitudes().fold(Dd::from(0.0), |s, x| s + x.into());
                self.near(sum, t * sum.hi)
            }
            2.0 => {
                let root = magnitudes().fold(Dd::from(0.0), |s, x| s + Dd::from(x) * x.into()).sqrt();
                let h = n * self.underflow.half(self.float(), 0);
                self.near(root, t * root.hi + h / root.hi.max(h.sqrt()))
            }
            f64::INFINITY => self.near(magnitudes().fold(0.0, f64::max).into(), 0.0),
            f64::NEG_INFINITY => self.near(magnitudes().fold(f64::INFINITY, f64::min).into(), 0.0),
            p => {
                let power = |x: f64| if x == 0.0 { Dd::from(0.0) } else { (Dd::from(x).ln() * p.into()).exp() };
                let sum = magnitudes().fold(Dd::from(0.0), |s, x| s + power(x));
                if sum.hi == 0.0 {
                    return self.near(0.0.into(), 0.0);
                }
                let root = (sum.ln() / p.into()).exp();
                let allowed = ((t + 2.0 * pow * u) / p.abs() + (2.0 * pow + sum.ln().hi.abs() / p.abs()) * u) * root.hi;
                self.near(root, allowed)
            }
        }
    }

    /// The covariances and correlations of rows, by the bound `cov`.
    fn covariances(&self, a: &[f64]) -> (Vec<Want>, Vec<Want>) {
        let (n, u) = (K as f64, self.u());
        let t = (n.log2().ceil() + 16.0) * u;
        let rows: Vec<&[f64]> = a.chunks(K).collect();
        let mean = |x: &[f64]| x.iter().fold(Dd::from(0.0), |s, x| s + (*x).into()) / n.into();
        let means: Vec<Dd> = rows.iter().map(|x| mean(x)).collect();
        let deviation = |i: usize, l: usize| Dd::from(rows[i][l]) - means[i];
        let product = |i: usize, j: usize| {
            (0..K).fold((Dd::from(0.0), 0.0), |(s, size), l| {
                let p = deviation(i, l) * deviation(j, l);
                (s + p, size + p.hi.abs())
            })
        };
        // how far a deviation is off: its own rounding, and that of the mean
        let off = |i: usize| {
            t * rows[i].iter().map(|x| x.abs()).sum::<f64>() / n
                + u * rows[i].iter().fold(0.0f64, |m, x| m.max(x.abs()))
        };
        let error = |i: usize, j: usize| {
            let size = |i: usize| (0..K).map(|l| deviation(i, l).hi.abs()).sum::<f64>();
            let by_deviations = off(i) * size(j) + off(j) * size(i);
            ((n / 2.0 + 18.0) * u * product(i, j).1 + by_deviations) / (n - 1.0)
        };
        let value = |i: usize, j: usize| product(i, j).0 / (n - 1.0).into();
        let (mut covariance, mut correlation) = (vec![], vec![]);
        for i in 0..M {
            for j in 0..M {
                covariance.push(self.near(value(i, j), error(i, j)));
                let scale = (value(i, i) * value(j, j)).sqrt();
                let r = value(i, j) / scale;
                let relative = error(i, i) / value(i, i).hi + error(j, j) / value(j, j).hi;
                let g = if self.entry.gpu() { 12.0 } else { 6.0 };
                let allowed = error(i, j) / scale.hi + r.hi.abs() * (relative + g * u);
                // a correlation beyond 1 is cut off
                let r = if r.hi.abs() > 1.0 { Dd::from(r.hi.signum()) } else { r };
                correlation.push(self.near(r, allowed));
            }
        }
        (covariance, correlation)
    }

    /// Functions of each element.
    #[allow(clippy::too_many_lines, reason = "an arm for each function")]
    fn elementwise(&mut self) -> Result<Vec<Call>> {
        let (mut v, mut w) = (self.draw(&[K, M]), self.draw(&[K, M]));
        if self.d.is_float() {
            let special = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0, -1.5, 0.5, 1024.0, 3e4, -7e-5];
            for (i, x) in special.iter().enumerate() {
                v.0[i * 3] = number::round(self.d, *x);
                w.0[i * 5 % (K * M)] = number::round(self.d, special[(i * 7 + 3) % 11]);
            }
        }
        let (x, y) = (self.array(&v)?, self.array(&w)?);
        let (d, t) = (self.d, self.float());
        let (a, b) = (self.reals(&v.0), self.reals(&w.0));
        let floats = |f: &dyn Fn(f64) -> f64| a.iter().map(|x| Want::Bits(number::round(t, f(*x)))).collect::<Vec<_>>();
        let same = |f: &dyn Fn(f64) -> f64| match d.is_float() {
            true => floats(f),
            false => v.0.iter().map(|b| Want::Bits(*b)).collect(),
        };
        let call = |what, e: Expr, dtype, want| Call { what, e, dtype, want };
        let picked = |larger: bool| -> Vec<Want> {
            let pick = |(p, q): (&u64, &u64)| {
                if !d.is_float() {
                    let first = (number::integer(d, *p) < number::integer(d, *q)) != larger;
                    return Want::Bits(if first { *p } else { *q });
                }
                let [x, y] = [p, q].map(|b| number::real(d, *b));
                let below = x < y || x == y && x.is_sign_negative();
                Want::Bits(if x.is_nan() || y.is_nan() {
                    number::round(d, f64::NAN)
                } else if below != larger {
                    *p
                } else {
                    *q
                })
            };
            v.0.iter().zip(&w.0).map(pick).collect()
        };
        Ok(match self.entry.function.as_str() {
            "clip_lower" => vec![call("max", x.clip_lower(&y), d, picked(true))],
            "clip_upper" => vec![call("min", x.clip_upper(&y), d, picked(false))],
            "nan_to_num" => {
                let large = if d.is_float() { number::largest(d) } else { 0.0 };
                let with = |x: f64| match x {
                    x if x.is_nan() => 1.0,
                    f64::INFINITY => 2.0,
                    f64::NEG_INFINITY => -3.0,
                    x => x,
                };
                vec![
                    call("plain", x.nan_to_num(), d, same(&|x| if x.is_nan() { 0.0 } else { x.clamp(-large, large) })),
                    call("with", x.nan_to_num_with(1.0, 2.0, -3.0), d, same(&with)),
                ]
            }
            "heaviside" => {
                let step = |x: f64| match x {
                    x if x.is_nan() => x,
                    0.0 => 0.5,
                    x => {
                        if x < 0.0 {
                            0.0
                        } else {
                            1.0
                        }
                    }
                };
                vec![call("half", x.heaviside(0.5), t, floats(&step))]
            }
            "modf" => {
                let fraction = |x: f64| if x.is_infinite() { 0f64.copysign(x) } else { (x - x.trunc()).copysign(x) };
                let (f, w) = x.modf();
                vec![call("fraction", f, t, floats(&fraction)), call("whole", w, t, floats(&f64::trunc))]
            }
            "frexp" => {
                let parts = |x: f64| {
                    if x == 0.0 || !x.is_finite() {
                        return (x, 0);
                    }
                    let mut e = 0;
                    let mut m = x;
                    while m.abs() >= 1.0 {
                        (m, e) = (m / 2.0, e + 1);
                    }
                    while m.abs() < 0.5 {
                        (m, e) = (m * 2.0, e - 1);
                    }
                    (m, e)
                };
                let (m, e) = x.frexp();
                let exponents = a.iter().map(|x| Want::Bits(number::wrap(DType::I32, parts(*x).1))).collect();
                vec![call("mantissa", m, t, floats(&|x| parts(x).0)), call("exponent", e, DType::I32, exponents)]
            }
            "ldexp" => vec![
                call("up", x.ldexp(5), t, floats(&|x| x * 32.0)),
                call("down", x.ldexp(-9), t, floats(&|x| x / 512.0)),
            ],
            "divmod" => {
                // the two rows have lines of their own; here both must be theirs
                let bits = |e: Expr| -> Result<Vec<Want>> { Ok(kit::read(&e)?.into_iter().map(Want::Bits).collect()) };
                let (q, r) = x.divmod(&y);
                vec![call("quotient", q, d, bits(x.floor_divide(&y))?), call("rest", r, d, bits(x.remainder(&y))?)]
            }
            "polyval" => self.polynomials(&x, &v, &a)?,
            "round_to" => self.decimals(&x, &v, &a),
            _ => self.closeness(&x, &y, &v, &w, [&a, &b]),
        })
    }

    fn polynomials(&self, x: &Expr, v: &Values, a: &[f64]) -> Result<Vec<Call>> {
        const C: [i32; 4] = [2, 0, 1, 3];
        let d = self.d;
        let want = v.0.iter().zip(a).map(|(bits, x)| {
            if !d.is_float() {
                let x = number::integer(d, *bits);
                let sum = C.iter().fold(0i128, |s, c| (s.wrapping_mul(x).wrapping_add((*c).into())) as i64 as i128);
                return Want::Bits(if d == DType::Bool {
                    // or and and, of what the numbers are as bools
                    u64::from(C.iter().fold(false, |s, c| s && x != 0 || *c != 0))
                } else {
                    number::wrap(d, sum)
                });
            }
            if !x.is_finite() {
                return Want::Bits(number::round(
                    d,
                    C.iter().fold(0.0, |s, c| if s == 0.0 { f64::from(*c) } else { s * x + f64::from(*c) }),
                ));
            }
            let sum = C.iter().fold(Dd::from(0.0), |s, c| s * (*x).into() + f64::from(*c).into());
            let size = C.iter().fold(0.0, |s, c| s * x.abs() + f64::from(*c).abs());
            if sum.hi.abs() > number::largest(d) {
                return Want::Bits(number::round(d, sum.hi));
            }
            self.near(sum, 2.0 * C.len() as f64 * self.u() * size)
        });
        let want = want.collect();
        // numbers would make integers of bools
        let e = if d == DType::Bool {
            x.polyval(&array![true, false, true, true].to_device(self.device)?)
        } else {
            x.polyval(C)
        };
        Ok(vec![Call { what: "cubic", e, dtype: d, want }])
    }

    fn decimals(&self, x: &Expr, v: &Values, a: &[f64]) -> Vec<Call> {
        let d = self.d;
        let of = |n: i32| -> Vec<Want> {
            let each = v.0.iter().zip(a).map(|(bits, x)| {
                if !d.is_float() {
                    let (x, power) = (number::integer(d, *bits), 10i128.pow(n.min(0).unsigned_abs()));
                    let (q, r) = (x.div_euclid(power), x.rem_euclid(power));
                    let up = 2 * r > power || 2 * r == power && q % 2 != 0;
                    return Want::Bits(if n < 0 && d != DType::Bool {
                        number::wrap(d, (q + up as i128) * power)
                    } else {
                        *bits
                    });
                }
                if !x.is_finite() {
                    return Want::Bits(*bits);
                }
                let scaled =
                    Dd::from(*x) * if n < 0 { Dd::from(1.0) / 10f64.powi(-n).into() } else { 10f64.powi(n).into() };
                // as near to a half as the product may be off, either neighbour is right
                let fraction = (scaled.hi - scaled.hi.floor() - 0.5 + scaled.lo).abs();
                if fraction <= 4.0 * self.u() * scaled.hi.abs().max(1.0) {
                    return Want::Either;
                }
                let whole = Dd::from(scaled.hi.round_ties_even());
                let exact = if n < 0 { whole * 10f64.powi(-n).into() } else { whole / 10f64.powi(n).into() };
                self.by_bound(Real { value: exact.hi, rest: exact.lo }, &[])
            });
            each.collect()
        };
        let call = |what, n: i32| Call { what, e: x.round_to(n), dtype: d, want: of(n) };
        vec![call("1", 1), call("3", 3), call("-1", -1), call("-2", -2)]
    }

    fn closeness(&self, x: &Expr, y: &Expr, v: &Values, w: &Values, [a, b]: [&Vec<f64>; 2]) -> Vec<Call> {
        let d = self.d;
        let steps = match self.entry.bound {
            Bound::Large(u) => u,
            _ => 0.0,
        };
        let answer = |i: usize, rtol: f64, atol: f64| -> Option<bool> {
            let (x, y) = (a[i], b[i]);
            if x == y && v.0[i] == w.0[i] || !x.is_finite() || !y.is_finite() {
                return Some(x == y || !y.is_infinite() && !y.is_nan() && (x - y).abs() <= atol + rtol * y.abs());
            }
            let [p, q] = [v.0[i], w.0[i]].map(|bits| match d.is_float() {
                true => Dd::from(number::real(d, bits)),
                false => Dd::whole(number::integer(d, bits)),
            });
            let tolerance = Dd::from(rtol) * q.abs() + atol.into();
            let margin = (p - q).abs() - tolerance;
            let unit = number::ulp(if d == DType::F64 { d } else { DType::F32 }, x.abs().max(y.abs()).max(atol));
            (margin.hi.abs() > steps * unit).then_some(margin.hi <= 0.0)
        };
        let n = v.0.len();
        if self.name() == "allclose" {
            let all = |atol: f64| {
                let each: Vec<Option<bool>> = (0..n).map(|i| answer(i, 0.25, atol)).collect();
                match each.contains(&Some(false)) {
                    true => Want::Bits(0),
                    false if each.contains(&None) => Want::Either,
                    false => Want::Bits(1),
                }
            };
            let call = |what, e: Expr, want| Call { what, e, dtype: DType::Bool, want };
            let own = x.allclose(x, 0.0, 0.0, true);
            return vec![
                call("some", x.allclose(y, 0.25, 0.5, false), vec![all(0.5)]),
                call("own", own, vec![Want::Bits(1)]),
            ];
        }
        let of = |rtol: f64, atol: f64| {
            (0..n).map(|i| answer(i, rtol, atol).map_or(Want::Either, |b| Want::Bits(b.into()))).collect()
        };
        let call = |what, rtol: f64, atol: f64| Call {
            what,
            e: x.isclose(y, rtol, atol, false),
            dtype: DType::Bool,
            want: of(rtol, atol),
        };
        vec![call("relative", 0.5, 0.0), call("absolute", 0.0, 0.75), call("both", 0.25, 0.5)]
    }

    fn check(&mut self) -> Result<Passed, String> {
        let calls = match self.name() {
            "vector_norm" | "matrix_norm" | "average" | "cov" | "corrcoef" => self.statistics(),
            "clip_lower" | "clip_upper" | "nan_to_num" | "heaviside" | "modf" | "frexp" | "ldexp" | "divmod"
            | "polyval" | "round_to" | "isclose" | "allclose" => self.elementwise(),
            "sort"
            | "argsort"
            | "lexsort"
            | "partition"
            | "argpartition"
            | "topk"
            | "searchsorted"
            | "digitize"
            | "cummax_with_positions"
            | "cummin_with_positions"
            | "histogram"
            | "histogram2d"
            | "median"
            | "quantile"
            | "percentile"
            | "nanmedian"
            | "nanquantile"
            | "nanpercentile"
            | "interp" => self.orders(),
            "index_add" | "segment_sum" | "bincount_weighted" | "histogram_weighted" | "reduce_at" => self.segments(),
            "nonzero" | "argwhere" | "flatnonzero" | "isin" | "unique_values" | "unique_counts" | "unique_inverse"
            | "unique_all" | "intersect" | "union" | "setdiff" => self.sets(),
            _ => self.products(),
        };
        let lacks = |e: &Error| self.entry.gpu() && e.kind() == ErrorKind::Unsupported;
        let none = || Passed { unsupported: true, ..Passed::default() };
        let calls = match calls {
            Ok(calls) => calls,
            Err(e) if lacks(&e) => return Ok(none()),
            Err(e) => return Err(e.to_string()),
        };
        let mut passed = Passed::default();
        for call in calls {
            let got = match kit::read(&call.e) {
                Err(e) if lacks(&e) && self.d.size() == 8 => return Ok(none()),
                got => got.map_err(|e| format!("{}: {e}", call.what))?,
            };
            let dtype = call.e.dtype().map_err(|e| e.to_string())?;
            if dtype != call.dtype || got.len() != call.want.len() {
                return Err(format!(
                    "{}: {} of {dtype}, not {} of {}",
                    call.what,
                    got.len(),
                    call.want.len(),
                    call.dtype
                ));
            }
            for (i, (got, want)) in got.iter().zip(&call.want).enumerate() {
                let figure =
                    self.judged(dtype, *got, want).map_err(|why| format!("{}: element {i}: {why}", call.what))?;
                if figure.worse(&passed.worst) {
                    passed.worst = Figure { at: format!("element {i} of {}", call.what), ..figure };
                }
            }
            passed.elements += got.len();
        }
        Ok(passed)
    }

    /// The share of its bound that an element's error takes.
    fn judged(&self, t: DType, got: u64, want: &Want) -> Result<Figure, String> {
        let floor = if self.entry.gpu() { 2f64.powi(-126) } else { 0.0 };
        let show = |bits: u64| number::show(t, bits);
        match want {
            Want::Either => Ok(Figure::default()),
            Want::Bits(b) => {
                let nan = number::is_nan(t, *b) && number::is_nan(t, got);
                let tiny =
                    t.is_float() && self.entry.gpu() && (number::real(t, got) - number::real(t, *b)).abs() <= floor;
                if *b == got || nan || tiny {
                    Ok(Figure::default())
                } else {
                    Err(format!("{}, not {}", show(got), show(*b)))
                }
            }
            Want::Near(exact, allowed, operands) => {
                let error = ((number::real(t, got) - exact.value) - exact.rest).abs();
                let (ulps, right) = judge(&self.entry.bound, floor, t, *exact, operands, got);
                // a bound of the data is the whole judgement
                if *allowed > 0.0 && matches!(self.entry.bound, Bound::Named(_)) {
                    let share = error / (allowed + floor);
                    return match share <= 1.0 {
                        true => Ok(Figure { share, ..Figure::default() }),
                        false => {
                            Err(format!("{}, not {:e}: error {error:e}, bound {allowed:e}", show(got), exact.value))
                        }
                    };
                }
                match right {
                    true => {
                        let share = if self.entry.bound == Bound::Exact {
                            0.0
                        } else {
                            ulps / self.entry.bound.limits(1.0, &[], t).0
                        };
                        let share = if share <= 1.0 { share } else { 0.0 };
                        Ok(Figure { share, ulps: Some(ulps), ..Figure::default() })
                    }
                    false => Err(format!("{}, not {:e}: {ulps} ULP", show(got), exact.value)),
                }
            }
        }
    }
}

/// The trials of one line.
pub fn run(report: &mut Report, entry: &Entry, device: &Device) {
    let name = entry.name();
    if !report.wants(&name) {
        return;
    }
    // on a GPU, where each type has kernels of its own, types other than f32 have one of the two by turns
    let both = by_turns(entry).len() == LAYOUTS.len();
    let own = (entry.topic().len() + kit::number_of(entry.dtype)) % 2;
    let layouts = [("contiguous", false), ("transposed", true)];
    for (_, (layout, turned)) in layouts.into_iter().enumerate().filter(|(k, _)| both || *k == own) {
        let seed = entry.topic().bytes().fold(7, |h, b| h * 31 % 1_000_003 + b as u64);
        let underflow = Underflow::of(device);
        let mut trial = Trial { entry, d: entry.dtype, turned, device, dice: Dice::new(seed), underflow };
        report.trial(&format!("{name}::{layout}"), || trial.check());
    }
}
