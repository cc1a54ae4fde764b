// Functions of f64, by the methods of src/math/double/normal.rs: e^(x^2) erfc(x) and the inverse of erfc, and the
// distribution function Phi of the standard normal distribution with its logarithm and its inverse.

// e^(t^2) erfc t for t >= 1/2. From 1e8 on, the asymptotic series is its first term, 1
fn cd_erfcx_large(t: f64) -> f64 {
    let d = t + 2.0lf;
    let near = cd_poly_erfcx((t - 2.0lf) / d) / d;
    let s = min(t, 1e8lf);
    let far = cd_poly_tail(0.5lf / (s * s)) * (0.5641895835477563lf / t);
    return select(near, far, t > 27.3lf);
}

// Returns (p, low, n) with e^(t^2) = (p + low) 2^n
fn cd_exp_square(t: f64) -> vec3<f64> {
    let z = cd_two_product(t, t);
    return cd_exp_sum(z.x, z.y);
}

fn d_erfcx(x: f64) -> f64 {
    let mag = d_mag(x);
    let neg = d_signbit(x);
    let end = mag >= 0x7ff0000000000000lu;
    let a = d_pick(bitcast<f64>(mag), 0x3ff0000000000000lu, end);
    // below -26.7 the result overflows
    let e = cd_exp_square(min(a, 27.0lf));
    let square = cd_scale(e.x + e.y, cd_int(e.z));
    let near = a < 0.49lf;
    let s = d_copysign(select(1.0lf, a, near), x);
    let small = square * (d_block(1.0lf - s) - s * cd_poly_erf(s * s));
    let large = cd_erfcx_large(select(a, 1.0lf, near));
    let r = select(select(large, 2.0lf * square - large, neg), small, near);
    let inf = d_pick(r, 0x7ff0000000000000lu, neg && mag > 0x403b000000000000lu);
    let zero = d_pick(inf, 0lu, end && !neg);
    return d_pick(zero, 0x7ff8000000000000lu, d_isnan(x));
}

// The inverse of erfc for 0 < q <= 1, where `rest` is 1 - q: an approximation and one step of Halley's method.
fn cd_erfcinv_half(q: f64, rest: f64) -> f64 {
    let w = d_abs(cd_log_at(q * (2.0lf - q)));
    let v = sqrt(w);
    let beyond = v * cd_poly_erfcinv_far(1.0lf / max(v, 1.0lf) - 0.09090909090909091lf);
    let y = rest * select(beyond, cd_erfinv_start(w), w < 36.0lf);
    let e = cd_exp_square(y);
    // q e^(y^2). It is computed with 2^600 q, because q may be subnormal and e^(y^2) may overflow
    let n = cd_int(e.z);
    let grown = cd_scale(cd_scale(q, 600) * (e.x + e.y), n - 600);
    // computes (erf y - (1 - q)) e^(y^2). For q above 0.48 it uses erf, because 1 - q is exact there
    let near = q > 0.48lf;
    let part = y * cd_poly_erf(y * y) + d_block(y - rest);
    let low = part * cd_scale(e.x, select(0, n, near));
    let high = grown - cd_erfcx_large(select(y, 1.0lf, near));
    let u = select(high, low, near) * 0.886226925452758lf;
    return y - u / (y * u + 1.0lf);
}

// The inverse of erfc for 0 <= q <= 1. It is Inf for 0, and 0 for 1
fn cd_erfcinv_lower(q: f64) -> f64 {
    let mag = d_mag(q);
    let r = cd_erfcinv_half(d_pick(q, 0x3ff0000000000000lu, mag == 0lu), d_block(1.0lf - q));
    return d_pick(d_pick(r, 0x7ff0000000000000lu, mag == 0lu), 0lu, mag == 0x3ff0000000000000lu);
}

fn d_erfcinv(x: f64) -> f64 {
    let mag = d_mag(x);
    let bad = mag > 0x4000000000000000lu || (d_signbit(x) && mag != 0lu);
    let s = d_pick(x, 0x3ff0000000000000lu, bad);
    let above = s > 1.0lf;
    let r = cd_erfcinv_lower(select(s, 2.0lf - s, above));
    return cd_or_nan(select(r, d_neg(r), above), bad);
}

// Phi(-t) for t >= 1. It is 0 from 38.7 on
fn cd_ndtr_tail(t: f64) -> f64 {
    let s = min(t, 38.7lf);
    return cd_gauss(s, 0.5lf, 5.0lf, cd_poly_mills((s - 5.0lf) / (s + 5.0lf)), 1.0lf);
}

fn d_ndtr(x: f64) -> f64 {
    let mag = d_mag(x);
    let near = mag < 0x3ff0000000000000lu;
    let a = d_pick(bitcast<f64>(mag), 0x4044000000000000lu, mag > 0x4044000000000000lu);
    let tail = cd_ndtr_tail(select(a, 1.0lf, near));
    let s = d_pick(x, 0lu, !near);
    let small = s * cd_poly_phi(s * s) + 0.5lf;
    let r = select(select(1.0lf - tail, tail, d_signbit(x)), small, near);
    return cd_or_nan(r, d_isnan(x));
}

// e^(t^2/2) Phi(-t) for t >= 1
fn cd_mills(t: f64) -> f64 {
    let d = t + 5.0lf;
    let near = cd_poly_mills((t - 5.0lf) / d) / d;
    let s = min(t, 1e8lf);
    let far = cd_poly_tail(1.0lf / (s * s)) * (0.3989422804014327lf / t);
    return select(near, far, t > 38.6lf);
}

fn d_log_ndtr(x: f64) -> f64 {
    let mag = d_mag(x);
    let neg = d_signbit(x);
    // if abs(x) is above 1e150, only -x^2/2 counts, and the square may overflow
    let big = mag > 0x5f138d352e5096aflu;
    let a = d_pick(bitcast<f64>(mag), 0x3ff0000000000000lu, big);
    let near = a < 1.0lf;
    // for x <= -1 the result is -x^2/2 + log(e^(x^2/2) Phi(x)), corrected for the rounding error of the square
    let z = cd_two_product(a, a);
    let below = -0.5lf * z.x + (-0.5lf * z.y + cd_log_at(cd_mills(select(a, 1.0lf, near))));
    // elsewhere the result is log(1 - tail); for a positive x the tail is small
    let s = select(0.0lf, a, near);
    let half = cd_poly_phi(s * s) * s;
    let tail = select(cd_ndtr_tail(select(a, 1.0lf, near)), 0.5lf - half, near);
    let inner = cd_log1p_at(-select(tail, 0.5lf + half, neg));
    let r = select(inner, below, neg && !near);
    let over = mag > 0x5ff6a09e667f3bcclu;
    let v = d_pick(bitcast<f64>(mag), 0x3ff0000000000000lu, over);
    // v v may overflow where half of it does not
    let square = d_pick(-(d_block(0.5lf * v) * v), 0xfff0000000000000lu, over);
    let far = d_pick(square, 0x8000000000000000lu, !neg);
    return cd_or_nan(d_pick(r, bitcast<u64>(far), big), d_isnan(x));
}

fn d_ndtri(x: f64) -> f64 {
    let mag = d_mag(x);
    let bad = mag > 0x3ff0000000000000lu || (d_signbit(x) && mag != 0lu);
    let s = d_pick(x, 0x3fe0000000000000lu, bad);
    let above = s > 0.5lf;
    let r = cd_erfcinv_lower(2.0lf * select(s, 1.0lf - s, above));
    let scaled = d_pick(1.4142135623730951lf * d_pick(r, 0lu, d_isinf(r)), bitcast<u64>(r), d_isinf(r));
    let v = select(d_neg(scaled), scaled, above);
    return cd_or_nan(d_pick(v, 0lu, mag == 0x3fe0000000000000lu), bad);
}
