//! Trials of composite elementwise functions: limits, parts of numbers, polynomials, rounding, closeness.

use super::*;

impl Trial<'_> {
    /// Calls functions that work on each element, and gives what they must return.
    #[allow(clippy::too_many_lines, reason = "an arm for each function")]
    pub fn elementwise(&mut self) -> Result<Vec<Call>> {
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
                // other trials judge `floor_divide` and `remainder`; `divmod` must return the same bits
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
                    // for bool, multiplication is `and`, addition is `or`, and a coefficient is true if it is not 0
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
        // integer coefficients would convert the bool operand to an integer type
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
                // if the product's error may move it across a half, we accept either neighbouring integer
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
}
