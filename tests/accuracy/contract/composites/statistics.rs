//! Trials of norms, weighted means, covariances and correlations, against plain loops.

use super::*;

impl Trial<'_> {
    /// Calls norms, means and covariances, which return floats for operands of any type.
    pub fn statistics(&mut self) -> Result<Vec<Call>> {
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

    /// The exact norm of a vector, and the error that the bound `norm` allows.
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
                self.near(root, t * root.hi + self.underflow.half(self.float(), 0))
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
        // the error of a deviation from the mean: its own rounding, and the error of the mean
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
                // the library clips a correlation to ±1, so the reference does too
                let r = if r.hi.abs() > 1.0 { Dd::from(r.hi.signum()) } else { r };
                correlation.push(self.near(r, allowed));
            }
        }
        (covariance, correlation)
    }
}
