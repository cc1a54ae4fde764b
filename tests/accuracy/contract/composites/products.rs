//! Trials of sums of products: contractions, convolutions, powers of a matrix and its trace, against plain loops.

use super::*;

impl Trial<'_> {
    /// The sum of signed products in the operands' type, judged by the bound `matmul`; a single product must be exact.
    pub(super) fn sum_of(&self, terms: &[(Vec<u64>, i32)]) -> Want {
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

    /// Calls `einsum` and other products, and gives what they must return.
    pub fn products(&mut self) -> Result<Vec<Call>> {
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

    /// Calls `matrix_power` and `trace`.
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
                    // integers wrap modulo 2^64, and no product overflows i128; a bool is true if any term is
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
}
