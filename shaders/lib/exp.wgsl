// Exponentials, logarithms and roots of f32. The polynomials are those of Cephes (S. L. Moshier, single precision); the
// products of a head and a tail in log2 and log10 are those of FreeBSD's msun (e_log2f, e_log10f). Where a sum must be
// computed in a certain order, cp_block or cp_head makes its terms opaque to the compiler. Products that must be exact
// have factors of 12 bits, so that fusing them with a sum changes nothing.
//
// Bounds are compared as the bits of f32: 0x7f800000 is Inf, 0x3f800000 is 1. A function whose series begins with x
// returns x below 0x39000000 (2^-13), or below 0x33000000 (2^-25) if the next term is x^2 / 2. This is the rounded
// result, and it also keeps subnormals and the sign of 0.

// p * 2^n for 0.5 <= p < 2.5 and n <= 128 (the caller handles an overflow). A driver may flush a subnormal result.
fn cp_exp_scale(p: f32, n: i32) -> f32 {
    let low = n < -125;
    let m = max(n + select(0, 64, low), -125);
    let b = bitcast<u32>(p) + (bitcast<u32>(m) << 23u);
    return bitcast<f32>(b) * select(1.0, 5.421011e-20, low);
}

// (e^r - 1 - r) / r^2 on abs(r) <= 0.35
fn cp_exp_poly(r: f32) -> f32 {
    let a = 1.9875691500e-4 * r + 1.3981999507e-3;
    let b = a * r + 8.3334519073e-3;
    let c = b * r + 4.1665795894e-2;
    let d = c * r + 1.6666665459e-1;
    return d * r + 5.0000001201e-1;
}

// e^r - 1 on abs(r) <= 0.35
fn cp_expm1_poly(r: f32) -> f32 {
    let z = r * r;
    return r + z * cp_exp_poly(r);
}

// x / ln 2, rounded to a whole number.
fn cp_exp_n(x: f32) -> f32 {
    return floor(x * 1.44269504 + 0.5);
}

// x + lo - n ln 2; n * 0.693359375 is exact for abs(n) < 2^15.
fn cp_exp_rest(x: f32, lo: f32, n: f32) -> f32 {
    let r = cp_block(x - n * 0.693359375);
    let t = n * -2.12194440e-4 - lo;
    return r - t;
}

// e^(x + lo) * 2^dn for a small lo, and for an x whose result is finite (or far below this range).
fn cp_exp_at(x: f32, lo: f32, dn: i32) -> f32 {
    let n = cp_exp_n(x);
    let p = cp_expm1_poly(cp_exp_rest(x, lo, n));
    return cp_exp_scale(1.0 + p, i32(n) + dn);
}

// e^(-a) * 2^dn for a >= 0. The result is 0 if a is above 125, Inf or NaN.
fn cp_exp_neg(a: f32, dn: i32) -> f32 {
    let far = cp_mag(a) > 0x42fa0000u;
    let x = cp_pick(m_neg(a), 0u, far);
    return cp_pick(cp_exp_at(x, 0.0, dn), 0u, far);
}

// p * 2^n for a whole n and a normal result, where `sum` is n + 12582912. The low bits of `sum` hold n, and the shift
// drops its other bits.
fn cp_exp_put(p: f32, sum: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(p) + (bitcast<u32>(sum) << 23u));
}

fn cp_exp_add(p: f32, n: f32) -> f32 {
    return cp_exp_put(p, n + 12582912.0);
}

// e^(x + lo) for x within +-87 and a small lo, where the result is normal.
fn cp_exp_near(x: f32, lo: f32) -> f32 {
    let n = cp_exp_n(x);
    return cp_exp_add(1.0 + cp_expm1_poly(cp_exp_rest(x, lo, n)), n);
}

// e^x for any x
fn cp_exp_any(x: f32) -> f32 {
    let mag = cp_mag(x);
    // the reduction of x is valid within +-108
    let s = cp_pick(x, 0u, mag > 0x42d80000u);
    let r = cp_exp_at(s, 0.0, 0);
    // from 88.72284 on the result overflows, and from -104 downwards it is 0
    let hi = cp_pick(r, 0x7f800000u, !m_signbit(x) && mag >= 0x42b17218u);
    let lo = cp_pick(hi, 0u, m_signbit(x) && mag >= 0x42d00000u);
    return cp_pick(lo, 0x7fc00000u, mag > 0x7f800000u);
}

// A subgroup skips the branch if all its numbers are within +-87, whose results are normal, or from -104 down to -Inf,
// which are frequent in softmax with masks.
fn m_exp(x: f32) -> f32 {
    let vanishes = bitcast<u32>(x) - 0xc2d00000u <= 0x3cb00000u;
    var r = bitcast<f32>(select(bitcast<u32>(cp_exp_near(x, 0.0)), 0u, vanishes));
    // rare: general
    if cp_mag(x) > 0x42ae0000u && !vanishes {
        r = cp_exp_any(x);
    }
    return r;
}

// (2^r - 1) / r on abs(r) <= 0.5: Cephes exp2f
fn cp_exp2_poly(r: f32) -> f32 {
    let a = 1.535336188319500e-4 * r + 1.339887440266574e-3;
    let b = a * r + 9.618437357674640e-3;
    let c = b * r + 5.550332471162809e-2;
    let d = c * r + 2.402264791363012e-1;
    return d * r + 6.931472028550421e-1;
}

fn m_exp2(x: f32) -> f32 {
    let mag = cp_mag(x);
    // the reduction of x is valid within +-152; from 128 on the result overflows, and from -150 downwards it is 0
    let s = cp_pick(x, 0u, mag > 0x43180000u);
    let n = floor(s + 0.5);
    let r = s - n;
    let p = 1.0 + r * cp_exp2_poly(r);
    let v = cp_exp_scale(p, i32(n));
    let hi = cp_pick(v, 0x7f800000u, !m_signbit(x) && mag >= 0x43000000u);
    let lo = cp_pick(hi, 0u, m_signbit(x) && mag >= 0x43160000u);
    return cp_pick(lo, 0x7fc00000u, mag > 0x7f800000u);
}

// e^x - 1 = 2^n (e^r - 1) + (2^n - 1), computed with 2^(n - 1) so that n = 128 does not overflow.
fn m_expm1(x: f32) -> f32 {
    let mag = cp_mag(x);
    // from 89 on the result is Inf, below -18 it rounds to -1
    let s = cp_pick(x, 0u, mag > 0x42b20000u || (m_signbit(x) && mag > 0x41900000u));
    let n = cp_exp_n(s);
    let p = cp_expm1_poly(cp_exp_rest(s, 0.0, n));
    let half = bitcast<f32>(bitcast<u32>(i32(n) + 126) << 23u);
    // opaque, so that the compiler cannot factor `half` out and lose the digits of p in a sum with 1
    let rest = cp_block(half - 0.5);
    let v = 2.0 * cp_block(half * p + rest);
    let tiny = cp_pick(v, bitcast<u32>(x), mag < 0x33000000u);
    let hi = cp_pick(tiny, 0x7f800000u, !m_signbit(x) && mag >= 0x42b17218u);
    let lo = cp_pick(hi, 0xbf800000u, m_signbit(x) && mag > 0x41900000u);
    return cp_pick(lo, 0x7fc00000u, mag > 0x7f800000u);
}

// Returns (f, k) with x = 2^k (1 + f) and 1 + f in [sqrt(1/2), sqrt(2)), for a positive x.
fn cp_log_parts(mag: u32) -> vec2<f32> {
    let n = cp_normal(mag);
    // the sum carries into the exponent where the fraction is sqrt(2) - 1 or more
    let raised = n + 0x4afb0du;
    let m = bitcast<f32>(n - (raised & 0xff800000u) + 0x3f800000u);
    let k = i32(raised >> 23u) - select(127, 276, mag < 0x800000u);
    // opaque, because a compiler might add another number to m first, and lose its digits that are small beside 1
    return vec2<f32>(cp_block(m - 1.0), f32(k));
}

// (log(1 + f) - f + f^2 / 2) / f^3: Cephes logf
fn cp_log_poly(f: f32) -> f32 {
    let a = 7.0376836292e-2 * f - 1.1514610310e-1;
    let b = a * f + 1.1676998740e-1;
    let c = b * f - 1.2420140846e-1;
    let d = c * f + 1.4249322787e-1;
    let e = d * f - 1.6668057665e-1;
    let g = e * f + 2.0000714765e-1;
    let h = g * f - 2.4999993993e-1;
    return h * f + 3.3333331174e-1;
}

// log(1 + f) + k ln 2 + c for a small c
fn cp_log_sum(f: f32, k: f32, c: f32) -> f32 {
    let z = f * f;
    let t = (f * z) * cp_log_poly(f);
    let u = t + (k * -2.12194440e-4 + c);
    let w = u - 0.5 * z;
    let s = cp_block(f + w);
    return s + k * 0.693359375;
}

// log of a positive finite x, subnormal or not
fn cp_log_at(x: f32) -> f32 {
    let p = cp_log_parts(cp_mag(x));
    return cp_log_sum(p.x, p.y, 0.0);
}

// Returns the logarithm r of x, or the special values: -Inf for 0, NaN below 0, Inf for Inf and NaN for NaN. A subgroup
// of positive finite numbers skips the branch.
fn cp_log_special(r: f32, x: f32) -> f32 {
    var v = r;
    if bitcast<u32>(x) - 1u >= 0x7f7fffffu {
        let mag = cp_mag(x);
        v = cp_pick(v, 0x7f800000u, mag == 0x7f800000u);
        v = cp_pick(v, 0x7fc00000u, m_signbit(x) || mag > 0x7f800000u);
        v = cp_pick(v, 0xff800000u, mag == 0u);
    }
    return v;
}

fn m_log(x: f32) -> f32 {
    return cp_log_special(cp_log_at(x), x);
}

// log(1 + f) as the sum of a head of 12 bits and a tail
fn cp_log_pair(f: f32) -> vec2<f32> {
    let z = f * f;
    let t = (f * z) * cp_log_poly(f);
    let half = 0.5 * z;
    let hi = cp_head(f - half);
    let d = cp_block(f - hi);
    let e = cp_block(d - half);
    return vec2<f32>(hi, e + t);
}

fn m_log2(x: f32) -> f32 {
    let p = cp_log_parts(cp_mag(x));
    let q = cp_log_pair(p.x);
    // 1 / ln 2 = 1.4428710938 (12 bits) - 1.7605285393e-4
    let hi = q.x * 1.4428710938;
    let a = (q.x + q.y) * -1.7605285393e-4;
    let lo = q.y * 1.4428710938 + a;
    let w = cp_block(p.y + hi);
    let e = cp_block(p.y - w);
    let rest = cp_block(e + hi) + lo;
    return cp_log_special(w + rest, x);
}

fn m_log10(x: f32) -> f32 {
    let p = cp_log_parts(cp_mag(x));
    let q = cp_log_pair(p.x);
    // 1 / ln 10 = 4.3432617188e-1 (12 bits) - 3.1689971365e-5, log10 2 = 3.0102920532e-1 (13 bits) + 7.9034151668e-7
    let hi = q.x * 4.3432617188e-1;
    let a = (q.x + q.y) * -3.1689971365e-5;
    let b = p.y * 7.9034151668e-7 + a;
    let lo = q.y * 4.3432617188e-1 + b;
    let k = p.y * 3.0102920532e-1;
    let w = cp_block(k + hi);
    let e = cp_block(k - w);
    let rest = cp_block(e + hi) + lo;
    return cp_log_special(w + rest, x);
}

// log(1 + x) + dk ln 2 for finite x > -1. If 1 + x is within [sqrt(1/2), sqrt(2)), x itself is the argument of the
// polynomial. Elsewhere, c / u corrects the logarithm of u = 1 + x for the rounding error c of u.
fn cp_log1p_at(x: f32, dk: f32) -> f32 {
    let u = cp_block(1.0 + x);
    let p = cp_log_parts(cp_mag(u));
    let big = 1.0 - cp_block(u - x);
    let small = x - cp_block(u - 1.0);
    let c = select(small, big, x > 1.0) / u;
    let f = select(p.x, x, p.y == 0.0);
    return cp_log_sum(f, p.y + dk, select(c, 0.0, p.y == 0.0));
}

fn m_log1p(x: f32) -> f32 {
    let mag = cp_mag(x);
    let neg = m_signbit(x);
    let out = mag >= 0x7f800000u || (neg && mag >= 0x3f800000u);
    let r = cp_log1p_at(cp_pick(x, 0u, out), 0.0);
    let tiny = cp_pick(r, bitcast<u32>(x), mag < 0x33000000u);
    let one = cp_pick(tiny, 0xff800000u, neg && mag == 0x3f800000u);
    let inf = cp_pick(one, 0x7f800000u, mag == 0x7f800000u);
    return cp_pick(inf, 0x7fc00000u, mag > 0x7f800000u || (neg && mag > 0x3f800000u));
}

// log(e^a + e^b)
fn m_logaddexp(a: f32, b: f32) -> f32 {
    let hi = m_max(a, b);
    let lo = m_min(a, b);
    // half the difference cannot overflow, though the difference may
    let h = cp_block(cp_block(hi * 0.5) - cp_block(lo * 0.5));
    let d = cp_pick(h * 2.0, 0u, cp_mag(h) > 0x42700000u);
    let t = cp_pick(cp_exp_neg(d, 0), 0u, cp_mag(h) > 0x42700000u);
    let r = hi + cp_log1p_at(t, 0.0);
    // if the result is Inf, -Inf or NaN, hi has this value
    return cp_pick(r, bitcast<u32>(hi), cp_mag(hi) >= 0x7f800000u);
}

fn m_sinh(x: f32) -> f32 {
    let mag = cp_mag(x);
    let a = cp_pick(bitcast<f32>(mag), 0u, mag > 0x42b40000u);
    let z = a * a;
    // Cephes sinhf on [0, 1]
    let p = 2.03721912945e-4 * z + 8.33028376239e-3;
    let q = p * z + 1.66667160211e-1;
    let small = a + (a * z) * q;
    let e = cp_exp_at(a, 0.0, -1);
    let big = e - 0.25 / e;
    let r = select(big, small, mag < 0x3f800000u);
    let tiny = cp_pick(r, mag, mag < 0x39000000u);
    // 89.41599 is the smallest x for which the result overflows
    let inf = cp_pick(tiny, 0x7f800000u, mag >= 0x42b2d4fdu);
    let nan = cp_pick(inf, 0x7fc00000u, mag > 0x7f800000u);
    return m_copysign(nan, x);
}

fn m_cosh(x: f32) -> f32 {
    let mag = cp_mag(x);
    let a = cp_pick(bitcast<f32>(mag), 0u, mag > 0x42b40000u);
    let e = cp_exp_at(a, 0.0, -1);
    let inf = cp_pick(e + 0.25 / e, 0x7f800000u, mag >= 0x42b2d4fdu);
    return cp_pick(inf, 0x7fc00000u, mag > 0x7f800000u);
}

fn m_tanh(x: f32) -> f32 {
    let mag = cp_mag(x);
    // the result is 1 from 9.02 on
    let far = mag >= 0x411051ecu;
    let a = cp_pick(bitcast<f32>(mag), 0u, far);
    let z = a * a;
    // Cephes tanhf on [0, 0.625]
    let p = -5.70498872745e-3 * z + 2.06390887954e-2;
    let q = p * z - 5.37397155531e-2;
    let s = q * z + 1.33314422036e-1;
    let t = s * z - 3.33332819422e-1;
    let small = a + (a * z) * t;
    let e = cp_exp_near(a + a, 0.0);
    let big = 1.0 - 2.0 / (e + 1.0);
    let r = select(big, small, mag < 0x3f200000u);
    let tiny = cp_pick(r, mag, mag < 0x39000000u);
    let one = cp_pick(tiny, 0x3f800000u, far);
    let nan = cp_pick(one, 0x7fc00000u, mag > 0x7f800000u);
    return m_copysign(nan, x);
}

fn m_asinh(x: f32) -> f32 {
    let mag = cp_mag(x);
    // from 2^30 on, asinh(x) is log(2 x)
    let big = mag >= 0x4e800000u;
    let a = cp_pick(bitcast<f32>(mag), 0x3f800000u, mag >= 0x7f800000u);
    let b = cp_pick(a, 0x3f800000u, big);
    let z = b * b;
    // Cephes asinhf on [0, 0.5]
    let p = 2.0122003309e-2 * z - 4.2699340972e-2;
    let q = p * z + 7.4847586088e-2;
    let s = q * z - 1.6666288134e-1;
    let small = b + (b * z) * s;
    let w = b + z / (1.0 + sqrt(z + 1.0));
    let l = cp_log1p_at(select(w, a, big), select(0.0, 1.0, big));
    let r = select(l, small, mag < 0x3f000000u);
    let tiny = cp_pick(r, mag, mag < 0x39000000u);
    let inf = cp_pick(tiny, mag, mag >= 0x7f800000u);
    return m_copysign(inf, x);
}

fn m_acosh(x: f32) -> f32 {
    let mag = cp_mag(x);
    let big = mag >= 0x4e800000u;
    let bad = m_signbit(x) || mag > 0x7f800000u || mag < 0x3f800000u;
    let a = cp_pick(x, 0x3f800000u, bad || mag == 0x7f800000u);
    let t = cp_block(cp_pick(a, 0x3f800000u, big) - 1.0);
    let w = t + sqrt(t * (t + 2.0));
    let r = cp_log1p_at(select(w, a, big), select(0.0, 1.0, big));
    let inf = cp_pick(r, 0x7f800000u, mag == 0x7f800000u);
    return cp_pick(inf, 0x7fc00000u, bad);
}

fn m_atanh(x: f32) -> f32 {
    let mag = cp_mag(x);
    let a = cp_pick(bitcast<f32>(mag), 0u, mag >= 0x3f800000u);
    let z = a * a;
    // Cephes atanhf on [0, 0.5]
    let p = 1.81740078349e-1 * z + 8.24370301058e-2;
    let q = p * z + 1.46691431730e-1;
    let s = q * z + 1.99782164500e-1;
    let t = s * z + 3.33337300303e-1;
    let small = a + (a * z) * t;
    // 1 - a is exact from 0.5 on
    let big = 0.5 * cp_log1p_at((a + a) / (1.0 - a), 0.0);
    let r = select(big, small, mag < 0x3f000000u);
    let tiny = cp_pick(r, mag, mag < 0x39000000u);
    let one = cp_pick(tiny, 0x7f800000u, mag == 0x3f800000u);
    let nan = cp_pick(one, 0x7fc00000u, mag > 0x3f800000u);
    return m_copysign(nan, x);
}

// Cube root: a polynomial gives 13 bits of it, which are cut to 12 bits so that their square is exact. One step of
// Halley's method follows.
fn m_cbrt(x: f32) -> f32 {
    let mag = cp_mag(x);
    let p = cp_split(mag);
    // exponent = 3 k + j; adding 300 keeps the dividend positive
    let e = bitcast<u32>(bitcast<i32>(p.y) - 127 + 300);
    let k = e / 3u;
    let j = e - 3u * k;
    let frac = p.x & 0x7fffffu;
    let m = bitcast<f32>(frac | 0x3f800000u);
    let v = bitcast<f32>(frac | ((127u + j) << 23u));
    // cbrt on [1, 2]: a near-minimax fit of our own (error 2^-13.7)
    let a = 2.3104947e-2 * m - 1.6296960e-1;
    let b = a * m + 5.8711420e-1;
    let c = b * m + 5.5282350e-1;
    let root = select(select(1.0, 1.25992105, j == 1u), 1.58740105, j == 2u);
    let t = cp_head(c * root);
    let r = v / (t * t);
    let d = cp_block(r - t);
    let y = t + t * (d / (t + t + r));
    let bits = bitcast<u32>(y) + (bitcast<u32>(bitcast<i32>(k) - 100) << 23u);
    let same = mag == 0u || mag >= 0x7f800000u;
    return bitcast<f32>(select(bits | cp_sgn(x), bitcast<u32>(x) ^ cp_zero(), same));
}

// sqrt(x^2 + y^2). The larger number is scaled to [1, 2), so that nothing overflows or underflows. If one number is Inf
// and the other NaN, the result is Inf.
fn m_hypot(x: f32, y: f32) -> f32 {
    let hi = max(cp_mag(x), cp_mag(y));
    let lo = min(cp_mag(x), cp_mag(y));
    let p = cp_split(hi);
    let q = cp_split(lo);
    let d = min(bitcast<i32>(p.y) - bitcast<i32>(q.y), 60);
    let a = bitcast<f32>((p.x & 0x7fffffu) | 0x3f800000u);
    let b = bitcast<f32>((q.x & 0x7fffffu) | (bitcast<u32>(127 - d) << 23u));
    let bb = cp_pick(b, 0u, lo == 0u);
    let s = sqrt(a * a + bb * bb);
    let r = cp_ldexp(s, bitcast<i32>(p.y) - 127);
    let zero = cp_pick(r, 0u, hi == 0u);
    let nan = cp_pick(zero, 0x7fc00000u, hi > 0x7f800000u);
    return cp_pick(nan, 0x7f800000u, hi == 0x7f800000u || lo == 0x7f800000u);
}
