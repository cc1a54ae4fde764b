//! Double-double numbers (the sum of two f64, about 106 bits), the reference for sums, products and exponentials.

use std::ops::{Add, Div, Mul, Neg, Sub};

#[derive(Clone, Copy, Debug)]
pub struct Dd {
    pub hi: f64,
    pub lo: f64,
}

const LN2: Dd = Dd { hi: std::f64::consts::LN_2, lo: 2.3190468138462996e-17 };

fn two_sum(a: f64, b: f64) -> Dd {
    let s = a + b;
    let t = s - a;
    Dd { hi: s, lo: (a - (s - t)) + (b - t) }
}

fn quick(a: f64, b: f64) -> Dd {
    let s = a + b;
    Dd { hi: s, lo: b - (s - a) }
}

impl From<f64> for Dd {
    fn from(hi: f64) -> Dd {
        Dd { hi, lo: 0.0 }
    }
}

impl Dd {
    /// Converts an integer of at most 106 bits exactly.
    pub fn whole(x: i128) -> Dd {
        let hi = x as f64;
        quick(hi, (x - hi as i128) as f64)
    }
}

impl Add for Dd {
    type Output = Dd;
    fn add(self, o: Dd) -> Dd {
        let s = two_sum(self.hi, o.hi);
        let t = two_sum(self.lo, o.lo);
        let s = quick(s.hi, s.lo + t.hi);
        quick(s.hi, s.lo + t.lo)
    }
}

impl Neg for Dd {
    type Output = Dd;
    fn neg(self) -> Dd {
        Dd { hi: -self.hi, lo: -self.lo }
    }
}

impl Sub for Dd {
    type Output = Dd;
    fn sub(self, o: Dd) -> Dd {
        self + -o
    }
}

impl Mul for Dd {
    type Output = Dd;
    fn mul(self, o: Dd) -> Dd {
        let p = self.hi * o.hi;
        let e = self.hi.mul_add(o.hi, -p);
        quick(p, e + (self.hi * o.lo + self.lo * o.hi))
    }
}

impl Div for Dd {
    type Output = Dd;
    fn div(self, o: Dd) -> Dd {
        let q = self.hi / o.hi;
        let r = self - o * q.into();
        let q2 = r.hi / o.hi;
        let r = r - o * q2.into();
        quick(q, q2) + (r.hi / o.hi).into()
    }
}

impl Dd {
    pub fn abs(self) -> Dd {
        if self.hi < 0.0 { -self } else { self }
    }

    pub fn sqrt(self) -> Dd {
        if self.hi == 0.0 {
            return self;
        }
        let y = Dd::from(self.hi.sqrt());
        // one step of Newton's method doubles the number of correct digits
        y + (self - y * y) / (y + y)
    }

    pub fn exp(self) -> Dd {
        if self.hi < -760.0 {
            return 0.0.into();
        }
        let k = (self.hi / LN2.hi).round();
        let r = (self - LN2 * k.into()) * 2f64.powi(-8).into();
        let mut sum = Dd::from(1.0);
        for n in (1..=13).rev() {
            sum = Dd::from(1.0) + sum * r / (n as f64).into();
        }
        for _ in 0..8 {
            sum = sum * sum;
        }
        // we scale in two steps, because 2^k alone underflows where the result is only subnormal
        let (a, b) = (2f64.powi(k as i32 / 2), 2f64.powi(k as i32 - k as i32 / 2));
        Dd { hi: sum.hi * a * b, lo: sum.lo * a * b }
    }

    pub fn ln(self) -> Dd {
        let y = Dd::from(self.hi.ln());
        y + (self * (-y).exp() - 1.0.into())
    }
}

#[test]
fn hundred_bits() {
    let near = |a: Dd, b: Dd| (a - b).abs().hi <= 1e-29 * b.abs().hi.max(1e-300);
    let third = Dd::from(1.0) / 3.0.into();
    assert!(near(third + third + third, 1.0.into()));
    assert!(near(Dd::from(2.0).sqrt() * Dd::from(2.0).sqrt(), 2.0.into()));
    for x in [0.5, 1.0, 3.25, 30.0, -20.0] {
        assert!(near(Dd::from(x).exp().ln(), x.into()), "{x}");
        assert!(near(Dd::from(x).exp() * Dd::from(-x).exp(), 1.0.into()), "{x}");
    }
    // the right-hand sides are e and ln 10 to 32 digits
    assert!(near(Dd::from(1.0).exp(), Dd { hi: std::f64::consts::E, lo: 1.4456468917292502e-16 }));
    assert!(near(Dd::from(10.0).ln(), Dd { hi: std::f64::consts::LN_10, lo: -2.1707562233822494e-16 }));
}
