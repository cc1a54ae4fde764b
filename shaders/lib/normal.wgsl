// The distribution function Phi of the standard normal distribution, its logarithm and its inverse, and functions
// related to erfc, in f32.

// (t + 4) e^(t^2/2) Phi(-t) for 0.95 <= t <= 15 as a polynomial of u = (t - 4) / (t + 4): the fit of
// src/math/single/special.rs (error 2^-25.2)
fn cp_mills_poly(u: f32) -> f32 {
    let a = 0.00026521215 * u + 0.0014566024;
    let b = a * u - 0.0035733469;
    let c = b * u - 0.0074910764;
    let d = c * u + 0.060417097;
    let e = d * u - 0.18652754;
    let f = e * u + 0.387136;
    let g = f * u - 0.60789645;
    return g * u + 0.75528514;
}

// (Phi(x) - 1/2) / x for abs(x) <= 1 as a polynomial of u = x^2: the fit of src/math/single/special.rs (error 2^-28.4)
fn cp_phi_poly(u: f32) -> f32 {
    let a = -8.168446e-6 * u + 0.00011501705;
    let b = a * u - 0.0011880193;
    let c = b * u + 0.009974163;
    let d = c * u - 0.06649054;
    return d * u + 0.3989423;
}

// e^(t^2/2) Phi(-t) for t >= 0.95. Above 15 it is computed by the asymptotic series, whose second term does not count
// from 1e8 on
fn cp_mills(t: f32) -> f32 {
    let near = cp_mills_poly((t - 4.0) / (t + 4.0)) / (t + 4.0);
    let w = 1.0 / min(t, 1e8);
    let v = w * w;
    let a = 105.0 * v - 15.0;
    let b = a * v + 3.0;
    let c = b * v - 1.0;
    let far = (c * v + 1.0) * 0.39894228 / t;
    return select(near, far, t > 15.0);
}

// Phi(-t) for 0.95 <= t <= 15. The exponential gets t^2 as the sum of an exact head and a tail
fn cp_ndtr_tail(t: f32) -> f32 {
    let z = cp_head(t);
    let hi = cp_block(0.5 * (z * z));
    let lo = 0.5 * (cp_block(t - z) * (t + z));
    return cp_mills(t) * cp_exp_at(m_neg(hi), m_neg(lo), 0);
}

// Phi(x) for abs(x) <= 1
fn cp_phi_small(x: f32) -> f32 {
    return 0.5 + x * cp_phi_poly(x * x);
}

fn m_ndtr(x: f32) -> f32 {
    let mag = cp_mag(x);
    let small = mag < 0x3f800000u;
    let t = cp_pick(bitcast<f32>(mag), 0x41700000u, mag > 0x41700000u);
    let tail = cp_ndtr_tail(cp_pick(t, 0x3f800000u, small));
    let end = cp_pick(tail, 0u, mag > 0x41700000u);
    let big = select(1.0 - end, end, m_signbit(x));
    let r = select(big, cp_phi_small(cp_pick(x, 0u, !small)), small);
    return cp_pick(r, 0x7fc00000u, mag > 0x7f800000u);
}

// log(Phi(x)). Below -1 it is computed as log(e^(x^2/2) Phi(x)) - x^2/2, and from 0 on as log(1 - Phi(-x)), which is -0
// where a driver flushes Phi(-x) to 0.
fn m_log_ndtr(x: f32) -> f32 {
    let mag = cp_mag(x);
    let neg = m_signbit(x);
    let small = mag < 0x3f800000u;
    // from 2.6e19 on, x^2/2 overflows
    let a = cp_pick(bitcast<f32>(mag), 0x3f800000u, small || mag > 0x5fb504f3u);
    let z = cp_head(a);
    // z z may overflow where half of it does not
    let hi = cp_block(cp_block(0.5 * z) * z);
    let lo = 0.5 * (cp_block(a - z) * (a + z));
    let below = cp_block(cp_log_at(cp_mills(a)) - lo) - hi;
    let inner = cp_phi_small(cp_pick(m_neg(m_abs(x)), 0u, !small));
    let far = mag > 0x41700000u;
    let tail = select(cp_pick(cp_ndtr_tail(cp_pick(a, 0x3f800000u, far)), 0u, far), inner, small);
    let above = cp_log1p_at(m_neg(tail), 0.0);
    let left = select(below, cp_log_at(inner), small);
    let r = select(m_neg(m_abs(above)), left, neg && mag != 0u);
    let end = cp_pick(r, select(0x80000000u, 0xff800000u, neg), mag > 0x5fb504f3u);
    let zero = cp_pick(end, 0x80000000u, far && !neg);
    return cp_pick(zero, 0x7fc00000u, mag > 0x7f800000u);
}

// e^(x^2) erfc(x) for x >= 0.45: the factor of cp_erfc_pos without e^(-x^2), and above 10.4 the asymptotic series
fn cp_erfcx_pos(x: f32) -> f32 {
    let v = 1.0 / (x + 2.0);
    let q = (x - 2.0) * v;
    let a = -4.879727e-4 * q - 7.944861e-4;
    let b = a * q + 3.0119438e-3;
    let c = b * q + 6.4662714e-3;
    let d = c * q - 2.1496197e-2;
    let e = d * q - 3.644093e-2;
    let f = e * q + 2.7947116e-1;
    let g = f * q - 6.8716073e-1;
    let h = g * q + 1.0215827;
    let w = 1.0 / min(x, 1e8);
    let u = 0.5 * (w * w);
    let i = 105.0 * u - 15.0;
    let j = i * u + 3.0;
    let k = j * u - 1.0;
    let far = (k * u + 1.0) * 0.56418958 / x;
    return select(h * v, far, x > 10.4);
}

fn m_erfcx(x: f32) -> f32 {
    let mag = cp_mag(x);
    let neg = m_signbit(x);
    let over = neg && mag > 0x41162000u;
    let a = cp_pick(bitcast<f32>(mag), 0x3f800000u, over || mag >= 0x7f800000u);
    let small = cp_mag(a) < 0x3ef0a3d7u;
    let pos = cp_erfcx_pos(cp_pick(a, 0x3f800000u, small));
    let b = cp_pick(a, 0x3f800000u, !neg && !small);
    let z = cp_head(b);
    let hi = cp_block(z * z);
    let lo = cp_block(b - z) * (b + z);
    let low = 1.0 - m_copysign(cp_erf_small(a), x);
    let square = cp_exp_at(hi, lo, select(1, 0, small));
    let big = select(pos, square - pos, neg);
    let r = select(big, square * low, small);
    // below -9.3824 the result overflows
    let inf = cp_pick(r, 0x7f800000u, over || (neg && hi + lo > 88.02969));
    let end = cp_pick(inf, select(0u, 0x7f800000u, neg), mag == 0x7f800000u);
    return cp_pick(end, 0x7fc00000u, mag > 0x7f800000u);
}

// erfcinv(q) / ((1 - q) v) as a polynomial of u = 1/v - 1/3.5, where v = sqrt(-log(q (2 - q))), for 6 <= v^2 <= 25: a
// near-minimax fit of our own (error 2^-25)
fn cp_erfcinv_mid(u: f32) -> f32 {
    let a = 5816.757 * u - 776.4556;
    let b = a * u - 316.50443;
    let c = b * u + 14.640869;
    let d = c * u + 13.488142;
    let e = d * u + 1.1787238;
    let f = e * u + 0.5919262;
    let g = f * u + 0.14049049;
    let h = g * u - 0.19030517;
    return h * u + 0.9529959;
}

// erfcinv(q) / ((1 - q) v) as a polynomial of u = 1/v - 1/7, with the same v, for 5 <= v <= 10.4 (error 2^-25)
fn cp_erfcinv_far(u: f32) -> f32 {
    let a = -18.38856 * u + 5.761732;
    let b = a * u - 2.1582162;
    let c = b * u + 1.1248484;
    let d = c * u - 0.17583409;
    let e = d * u - 0.19114956;
    return e * u + 0.9812885;
}

// erfcinv(q) for 0 < q <= 1, where `rest` is 1 - q. For q near 1 it uses N. Juffa's polynomial of erfinv
fn cp_erfcinv_half(q: f32, rest: f32) -> f32 {
    let tiny = cp_mag(q) < 0x20000000u;
    let s = cp_pick(q, 0x3f000000u, tiny);
    let t = select(cp_log_at(cp_block(s) * cp_block(2.0 - s)), cp_log_at(q) + 0.693147181, tiny);
    let q1 = 5.43877832e-9 * t + 1.43285448e-7;
    let q2 = q1 * t + 1.22774793e-6;
    let q3 = q2 * t + 1.12963626e-7;
    let q4 = q3 * t - 5.61530760e-5;
    let q5 = q4 * t - 1.47697632e-4;
    let q6 = q5 * t + 2.31468678e-3;
    let q7 = q6 * t + 1.15392581e-2;
    let q8 = q7 * t - 2.32015476e-1;
    let near = q8 * t + 8.86226892e-1;
    let v = sqrt(max(m_neg(t), 1.0));
    let u = 1.0 / v;
    let tail = v * select(cp_erfcinv_mid(u - 0.285714286), cp_erfcinv_far(u - 0.142857143), v > 5.0);
    return rest * select(near, tail, t < -6.0);
}

// erfcinv for 0 < x < 2
fn cp_erfcinv_at(x: f32) -> f32 {
    let above = x > 1.0;
    let q = select(x, 2.0 - x, above);
    let r = cp_erfcinv_half(q, 1.0 - q);
    return select(r, m_neg(r), above);
}

fn m_erfcinv(x: f32) -> f32 {
    let mag = cp_mag(x);
    let out = m_signbit(x) || mag >= 0x40000000u || mag == 0u || mag == 0x3f800000u;
    let r = cp_erfcinv_at(cp_pick(x, 0x3f000000u, out));
    let one = cp_pick(r, 0u, mag == 0x3f800000u);
    let ends = cp_pick(one, select(0x7f800000u, 0xff800000u, mag != 0u), mag == 0u || bitcast<u32>(x) == 0x40000000u);
    return cp_pick(ends, 0x7fc00000u, (m_signbit(x) && mag != 0u) || mag > 0x40000000u);
}

fn m_ndtri(x: f32) -> f32 {
    let mag = cp_mag(x);
    let out = m_signbit(x) || mag >= 0x3f800000u || mag == 0u || mag == 0x3f000000u;
    let s = cp_pick(x, 0x3e800000u, out);
    let above = s > 0.5;
    // twice the smaller of x and 1 - x, without flushing a subnormal
    let p = cp_ldexp(select(s, 1.0 - s, above), 1);
    let y = 1.41421356 * cp_erfcinv_half(p, 1.0 - p);
    let r = select(m_neg(y), y, above);
    let half = cp_pick(r, 0u, mag == 0x3f000000u);
    let ends = cp_pick(half, select(0x7f800000u, 0xff800000u, mag == 0u), mag == 0u || bitcast<u32>(x) == 0x3f800000u);
    return cp_pick(ends, 0x7fc00000u, (m_signbit(x) && mag != 0u) || mag > 0x3f800000u);
}
