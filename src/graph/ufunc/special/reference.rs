//! The reference implementations (`Ufunc::exact`) of special functions that no Rust library provides, in f64, by plain
//! series, continued fractions and Newton's method. They are tested against golden values from mpmath.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI, SQRT_2};

/// Returns sin(π·x) for 0 <= x <= 1/2.
fn sine(x: f64) -> f64 {
    if x <= 0.25 { (PI * x).sin() } else { (PI * (0.5 - x)).cos() }
}

pub fn sinpi(x: f64) -> f64 {
    // r is NaN for ±∞; otherwise it is in (-2, 2) and has the sign of x
    let r = x % 2.0;
    if r.is_nan() {
        return r;
    }
    let (a, turned) = if r.abs() >= 1.0 { (r.abs() - 1.0, -1.0) } else { (r.abs(), 1.0) };
    let v = sine(if a > 0.5 { 1.0 - a } else { a });
    if v == 0.0 { 0f64.copysign(x) } else { v * turned * 1f64.copysign(x) }
}

pub fn cospi(x: f64) -> f64 {
    let r = (x % 2.0).abs();
    let r = if r > 1.0 { 2.0 - r } else { r };
    // cos(π·r) = sin(π·(1/2 - r)) for 0 <= r <= 1
    let v = if r <= 0.25 {
        (PI * r).cos()
    } else if r <= 0.75 {
        (PI * (0.5 - r)).sin()
    } else {
        -(PI * (1.0 - r)).cos()
    };
    if v == 0.0 { 0.0 } else { v }
}

pub fn tanpi(x: f64) -> f64 {
    let (s, c) = (sinpi(x), cospi(x));
    // a pole has the sign of the sine: +∞ at 1/2
    if c == 0.0 { f64::INFINITY.copysign(s) } else { s / c }
}

pub fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 { 1.0 } else { sinpi(x) / (PI * x) }
}

pub fn logit(x: f64) -> f64 {
    if (0.25..0.75).contains(&x) { 2.0 * libm::atanh(2.0 * x - 1.0) } else { x.ln() - (-x).ln_1p() }
}

pub fn xlogy(x: f64, y: f64) -> f64 {
    if x == 0.0 && !y.is_nan() { 0.0 } else { x * y.ln() }
}

pub fn xlog1py(x: f64, y: f64) -> f64 {
    if x == 0.0 && !y.is_nan() { 0.0 } else { x * y.ln_1p() }
}

pub fn entr(x: f64) -> f64 {
    match x {
        _ if x < 0.0 => f64::NEG_INFINITY,
        0.0 => 0.0,
        _ => -(x * x.ln()),
    }
}

pub fn hard_sigmoid(x: f64) -> f64 {
    if x.is_nan() { x } else { (x.clamp(-3.0, 3.0) + 3.0) / 6.0 }
}

pub fn hard_swish(x: f64) -> f64 {
    match x {
        _ if x <= -3.0 => -0.0,
        _ if x >= 3.0 => x,
        _ => x * (x + 3.0) / 6.0,
    }
}

pub fn elu(x: f64, alpha: f64) -> f64 {
    if x >= 0.0 { x } else { alpha * x.exp_m1() }
}

pub fn selu(x: f64) -> f64 {
    1.0507009873554805 * if x >= 0.0 { x } else { 1.6732632423543772 * x.exp_m1() }
}

/// Returns Mills' ratio e^(t²/2)·√(2π)·Φ(-t), by Laplace's continued fraction 1/(t + 1/(t + 2/(t + 3/…))), for t >= 2.
fn mills(t: f64) -> f64 {
    let mut rest = t;
    for k in (1..400).rev() {
        rest = t + k as f64 / rest;
    }
    1.0 / rest
}

pub fn erfcx(x: f64) -> f64 {
    match x {
        _ if x < 2.0 => (x * x).exp() * libm::erfc(x),
        // the next term of the asymptotic series is x² times smaller, and x·√2 might overflow
        _ if x > 1e10 => FRAC_2_SQRT_PI / 2.0 / x,
        // 0.797… is √(2/π)
        _ => 0.7978845608028654 * mills(x * SQRT_2),
    }
}

pub fn erfcinv(x: f64) -> f64 {
    if x.is_nan() || !(0.0..=2.0).contains(&x) {
        return f64::NAN;
    }
    if x > 1.0 {
        return -erfcinv(2.0 - x);
    }
    if x >= 0.5 {
        return super::exact::erfinv(1.0 - x);
    }
    if x == 0.0 {
        return f64::INFINITY;
    }
    // Newton's method for ln erfc(y) = ln x, which always converges, because ln erfc is concave
    let mut y = (-x.ln()).sqrt();
    for _ in 0..60 {
        let e = libm::erfc(y);
        let step = ((e - x) / x).ln_1p() * e / (FRAC_2_SQRT_PI * (-y * y).exp());
        y += step;
        if step.abs() <= 1e-16 * y {
            break;
        }
    }
    y
}

pub fn ndtr(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

pub fn log_ndtr(x: f64) -> f64 {
    match x {
        // 0.918… is ln √(2π)
        _ if x < -5.0 => -0.5 * x * x - 0.9189385332046728 + mills(-x).ln(),
        _ if x < 0.0 => ndtr(x).ln(),
        _ => (-ndtr(-x)).ln_1p(),
    }
}

pub fn ndtri(x: f64) -> f64 {
    if x == 0.5 {
        0.0
    } else if x > 0.5 {
        SQRT_2 * erfcinv(2.0 * (1.0 - x))
    } else {
        -SQRT_2 * erfcinv(2.0 * x)
    }
}

/// Returns I₀ or I₁ of |x|, by the power series, whose terms are positive (Abramowitz and Stegun, 9.6.10).
fn bessel_series(order: u32, x: f64) -> f64 {
    let (half, n) = (x.abs() / 2.0, f64::from(order));
    let (mut term, mut sum, mut k) = (if order == 0 { 1.0 } else { half }, 0.0, 0.0);
    while sum + term != sum {
        sum += term;
        k += 1.0;
        term *= half * half / (k * (k + n));
    }
    sum
}

/// Returns e^-|x| times I₀(x) or I₁(x), computed by the power series if |x| ≤ 30, and by the asymptotic series
/// otherwise (Abramowitz and Stegun, 9.7.1).
pub fn scaled_bessel(order: u32, x: f64) -> f64 {
    let a = x.abs();
    if a.is_nan() {
        return a;
    }
    let n = f64::from(order);
    let r = if a <= 30.0 {
        bessel_series(order, a) * (-a).exp()
    } else {
        let (mut term, mut sum) = (1.0, 0.0f64);
        let mut k = 0.0;
        while (term / sum).abs() > 1e-18 || sum == 0.0 {
            sum += term;
            k += 1.0;
            let odd = 2.0 * k - 1.0;
            term *= -(4.0 * n * n - odd * odd) / k / (8.0 * a);
        }
        sum / (2.0 * PI * a).sqrt()
    };
    if order == 1 { r.copysign(x) } else { r }
}

pub fn bessel(order: u32, x: f64) -> f64 {
    if x.abs() > 700.0 {
        return if order == 1 { f64::INFINITY.copysign(x) } else { f64::INFINITY };
    }
    if x.abs() <= 30.0 {
        let r = bessel_series(order, x);
        return if order == 1 { r.copysign(x) } else { r };
    }
    scaled_bessel(order, x) * x.abs().exp()
}

pub fn digamma(x: f64) -> f64 {
    if x == 0.0 {
        return f64::INFINITY.copysign(-x);
    }
    if x < 0.0 {
        return if x == x.floor() { f64::NAN } else { digamma(1.0 - x) - PI / tanpi(x) };
    }
    // increases the argument to at least 20 by the recurrence ψ(z) = ψ(z + 1) − 1/z, and then uses the asymptotic
    // series with Bernoulli's numbers (Abramowitz and Stegun, 6.3.18)
    let (mut z, mut sum) = (x, 0.0);
    while z < 20.0 {
        sum += 1.0 / z;
        z += 1.0;
    }
    let w = 1.0 / (z * z);
    let series = [1.0 / 12.0, -1.0 / 120.0, 1.0 / 252.0, -1.0 / 240.0, 1.0 / 132.0, -691.0 / 32760.0, 1.0 / 12.0];
    let tail = series.iter().rev().fold(0.0, |r, c| r * w + c) * w;
    z.ln() - 0.5 / z - tail - sum
}

/// Returns the sum of (q + k)^-x over k = 0, 1, …, for x > 1 and q > 0: 30 terms, and the rest by the formula of Euler
/// and Maclaurin.
fn hurwitz(x: f64, q: f64) -> f64 {
    const TERMS: u32 = 30;
    let mut sum = 0.0;
    for k in (0..TERMS).rev() {
        sum += (q + f64::from(k)).powf(-x);
    }
    let a = q + f64::from(TERMS);
    let power = a.powf(1.0 - x);
    if power == 0.0 || sum.is_infinite() {
        return sum;
    }
    // B₂/2!, B₄/4!, … with the Bernoulli numbers
    let bernoulli = [1.0 / 12.0, -1.0 / 720.0, 1.0 / 30240.0, -1.0 / 1209600.0, 1.0 / 47900160.0];
    let mut factor = x / a / a;
    let mut rest = 1.0 / (x - 1.0) + 0.5 / a;
    for (j, b) in bernoulli.iter().enumerate() {
        rest += b * factor;
        let n = x + 2.0 * j as f64;
        factor *= (n + 1.0) / a * ((n + 2.0) / a);
    }
    sum + power * rest
}

pub fn zeta(x: f64, q: f64) -> f64 {
    match () {
        _ if x.is_nan() || q.is_nan() || x < 1.0 => f64::NAN,
        _ if x == 1.0 || q <= 0.0 && q == q.floor() => f64::INFINITY,
        _ if x == f64::INFINITY && q > 0.0 => match q {
            1.0 => 1.0,
            _ if q > 1.0 => 0.0,
            _ => f64::INFINITY,
        },
        _ if q == f64::INFINITY => 0.0,
        _ if q > 0.0 => hurwitz(x, q),
        _ if x == f64::INFINITY || x != x.floor() => f64::NAN,
        _ => {
            // The result is the sum of (q + k)^-x over k = 0, 1, …. The numbers q + k are q, …, -g - 1, -g, and then
            // 1 - g, 2 - g, …. `above` is the sum over the positive numbers. The sum over the negative ones is (-1)^x
            // times the sum of y^-x over y = g, g + 1, …, -q. The latter is `below`, the sum over all y from g on,
            // minus `passed`, the sum over y from 1 - q on.
            let g = -q - (-q).floor();
            let (above, below, passed) = (hurwitz(x, 1.0 - g), hurwitz(x, g), hurwitz(x, 1.0 - q));
            if x % 2.0 == 0.0 {
                above + (below - passed)
            } else if g == 0.5 {
                passed
            } else if above.is_infinite() && below.is_infinite() {
                if g > 0.5 { f64::INFINITY } else { f64::NEG_INFINITY }
            } else {
                (above - below) + passed
            }
        }
    }
}
