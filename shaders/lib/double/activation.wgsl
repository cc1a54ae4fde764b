// Activation functions and other short functions of f64, by the methods of src/math/double/activation.rs.

// NaN if `bad` is true, otherwise r
fn cd_or_nan(r: f64, bad: bool) -> f64 {
    return d_pick(r, 0x7ff8000000000000lu, bad);
}

fn d_rsqrt(x: f64) -> f64 {
    let mag = d_mag(x);
    let out = d_signbit(x) || mag == 0lu || mag >= 0x7ff0000000000000lu;
    let r = 1.0lf / sqrt(d_pick(x, 0x3ff0000000000000lu, out));
    let zero = d_pick(r, 0x7ff0000000000000lu | d_sgn(x), mag == 0lu);
    let inf = d_pick(zero, 0lu, mag == 0x7ff0000000000000lu);
    return cd_or_nan(inf, d_isnan(x) || (d_signbit(x) && mag != 0lu));
}

fn d_deg2rad(x: f64) -> f64 {
    return x * 0.017453292519943295lf;
}

fn d_rad2deg(x: f64) -> f64 {
    return x * 57.29577951308232lf;
}

// a + t (b - a). Neither the difference nor the product may overflow if the result does not, so large a and b are
// scaled
fn d_lerp(a: f64, b: f64, t: f64) -> f64 {
    let wide = max(d_abs(a), d_abs(b)) > 1e307lf;
    let d = d_block(b - a);
    let far = !wide && d_abs(t * d) > 1e307lf;
    let k = select(1.0lf, 0.125lf, wide || far);
    let back = select(1.0lf, 8.0lf, wide || far);
    let step = select(d, d_block(b * 0.125lf) - d_block(a * 0.125lf), wide);
    let part = select(t, d_block(t * 0.125lf), far);
    return d_block(a * k + part * step) * back;
}

fn d_logit(x: f64) -> f64 {
    let mag = d_mag(x);
    let bad = mag > 0x3ff0000000000000lu || (d_signbit(x) && mag != 0lu);
    let s = d_pick(x, 0x3fe0000000000000lu, bad || mag == 0lu || mag == 0x3ff0000000000000lu);
    let above = s > 0.5lf;
    // from x = 1/4 on, 2 x - 1 is exact, and from 1/2 on 1 - x is exact; below 1/4 the logarithms of x and 1 - x differ
    // so much that their difference loses hardly any digits
    let n = d_abs(2.0lf * s - 1.0lf);
    let low = s < 0.25lf;
    let l = cd_log1p_at(select(n / select(s, 1.0lf - s, above), -s, low));
    let r = select(select(-l, l, above), cd_log_at(s) - l, low);
    let half = d_pick(r, 0lu, mag == 0x3fe0000000000000lu);
    let zero = d_pick(half, 0xfff0000000000000lu, mag == 0lu);
    return cd_or_nan(d_pick(zero, 0x7ff0000000000000lu, mag == 0x3ff0000000000000lu), bad);
}

// x l, but 0 where x is 0 and y is not NaN
fn cd_times_log(x: f64, y: f64, l: f64) -> f64 {
    return d_pick(d_mul(x, l), 0lu, d_mag(x) == 0lu && !d_isnan(y));
}

// A product that is right for Inf and NaN too, whatever a compiler assumes
fn d_mul(x: f64, y: f64) -> f64 {
    let xm = d_mag(x);
    let ym = d_mag(y);
    let end = xm >= 0x7ff0000000000000lu || ym >= 0x7ff0000000000000lu;
    let inf = 0x7ff0000000000000lu | (d_sgn(x) ^ d_sgn(y));
    let nan = max(xm, ym) > 0x7ff0000000000000lu || min(xm, ym) == 0lu;
    let r = d_pick(x, 0lu, end) * d_pick(y, 0lu, end);
    return d_pick(r, select(inf, 0x7ff8000000000000lu, nan), end);
}

fn d_xlogy(x: f64, y: f64) -> f64 {
    return cd_times_log(x, y, d_log(y));
}

fn d_xlog1py(x: f64, y: f64) -> f64 {
    return cd_times_log(x, y, d_log1p(y));
}

fn d_entr(x: f64) -> f64 {
    let below = d_pick(d_mul(d_neg(x), d_log(x)), 0xfff0000000000000lu, d_signbit(x) && !d_isnan(x));
    return d_pick(below, 0lu, d_mag(x) == 0lu);
}

fn d_hard_sigmoid(x: f64) -> f64 {
    let s = d_max(d_min(x, 3.0lf), -3.0lf);
    // opaque, because s / 6 + 1/2 would lose small results, and a product with 1/6 would round twice
    let r = d_block(d_pick(s, 0lu, d_isnan(x)) + 3.0lf) / d_block(6.0lf);
    return cd_or_nan(d_block(r), d_isnan(x));
}

fn d_hard_swish(x: f64) -> f64 {
    let low = d_le(x, -3.0lf);
    return d_pick(d_mul(x, d_hard_sigmoid(x)), 0x8000000000000000lu, low);
}

fn d_hard_tanh(x: f64) -> f64 {
    return d_max(d_min(x, 1.0lf), -1.0lf);
}

fn d_leaky_relu(x: f64, slope: f64) -> f64 {
    return d_pick(d_mul(x, slope), bitcast<u64>(x), d_le(0.0lf, x));
}

fn d_elu(x: f64, alpha: f64) -> f64 {
    return d_pick(d_mul(alpha, d_expm1(x)), bitcast<u64>(x), d_le(0.0lf, x));
}

fn d_selu(x: f64) -> f64 {
    let r = 1.7580993408473768lf * d_expm1(d_min(x, 0.0lf));
    return cd_or_nan(d_pick(r, bitcast<u64>(d_mul(1.0507009873554805lf, x)), d_le(0.0lf, x)), d_isnan(x));
}
