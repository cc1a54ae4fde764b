// Exponential functions of f64, by the methods of src/math/double/exp.rs. Bounds are compared as bits:
// 0x7ff0000000000000 is Inf, and 0x40862e42fefa39ef is the largest x with a finite exponential.

// x / ln 2, rounded to a whole number.
fn cd_exp_n(x: f64) -> f64 {
    return cd_whole(x * 1.4426950408889634lf);
}

// x + l - n ln 2 as a sum of two numbers. Here ln 2 is the sum of a number of 32 bits, whose product with n is exact,
// and a second number (fdlibm's).
fn cd_exp_rest(x: f64, l: f64, n: f64) -> vec2<f64> {
    let h = d_block(x - n * 0.6931471803691238lf);
    let t = d_block(n * 1.9082149292705877e-10lf - l);
    let r = d_block(h - t);
    return vec2<f64>(r, d_block(h - r) - t);
}

// e^(r.x + r.y) - 1 - r.x for abs(r.x) <= 0.35
fn cd_exp_tail(r: vec2<f64>) -> f64 {
    let z = r.x * r.x;
    return z * cd_poly_exp(r.x) + r.y;
}

// e^x 2^dn for a finite x between -746 and 746
fn cd_exp_at(x: f64, dn: i32) -> f64 {
    let n = cd_exp_n(x);
    let r = cd_exp_rest(x, 0.0lf, n);
    let p = 1.0lf + d_block(r.x + cd_exp_tail(r));
    return cd_scale(p, cd_int(n) + dn);
}

// Returns (p, low, n) with e^(x + l) = (p + low) 2^n
fn cd_exp_sum(x: f64, l: f64) -> vec3<f64> {
    let n = cd_exp_n(x);
    let r = cd_exp_rest(x, l, n);
    let s = cd_exp_tail(r);
    let t = d_block(r.x + s);
    let p = d_block(1.0lf + t);
    let first = d_block(d_block(1.0lf - p) + t);
    let second = d_block(r.x - t) + s;
    return vec3<f64>(p, first + second, n);
}

// e^-a for a >= 0. The result is 0 if a is above 746, Inf or NaN
fn cd_exp_neg(a: f64) -> f64 {
    let far = d_mag(a) > 0x4087500000000000lu;
    return d_pick(cd_exp_at(-d_pick(a, 0lu, far), 0), 0lu, far);
}

fn d_exp(x: f64) -> f64 {
    let mag = d_mag(x);
    let far = mag > 0x4087500000000000lu;
    let r = cd_exp_at(d_pick(x, 0lu, far), 0);
    let hi = d_pick(r, 0x7ff0000000000000lu, !d_signbit(x) && mag > 0x40862e42fefa39eflu);
    let lo = d_pick(hi, 0lu, d_signbit(x) && far);
    return d_pick(lo, 0x7ff8000000000000lu, d_isnan(x));
}

// Returns (p, n) with 2^(x + low) = p 2^n and p in [0.7, 1.42], for an abs(low) far below 1
fn cd_pow2_sum(x: f64, low: f64) -> vec2<f64> {
    let n = cd_whole(x);
    let h = d_block(x - n);
    let t = d_block(h + low);
    let l = d_block(h - t) + low;
    // ln 2 as the sum of two numbers
    let r = d_block(t * 0.6931471805599453lf);
    let e = cd_product_error(t, 0.6931471805599453lf, r);
    let f = t * 2.3190468138462996e-17lf + e;
    let rest = l * 0.6931471805599453lf + f;
    let s = (r * r) * cd_poly_exp(r) + rest;
    return vec2<f64>(1.0lf + d_block(r + s), n);
}

fn d_exp2(x: f64) -> f64 {
    let mag = d_mag(x);
    // above 1100 in magnitude x is not used: from 1024 on the result is Inf, and from -1076 downwards it is 0
    let far = mag > 0x4091300000000000lu;
    let p = cd_pow2_sum(d_pick(x, 0lu, far), 0.0lf);
    let r = cd_scale(p.x, cd_int(p.y));
    let hi = d_pick(r, 0x7ff0000000000000lu, !d_signbit(x) && mag >= 0x4090000000000000lu);
    let lo = d_pick(hi, 0lu, d_signbit(x) && far);
    return d_pick(lo, 0x7ff8000000000000lu, d_isnan(x));
}

// e^x - 1 = 2^n (e^r - 1) + (2^n - 1) for -40 <= x <= 710, computed with 2^(n - 1) so that n = 1024 does not overflow.
fn cd_expm1_at(x: f64) -> f64 {
    let n = cd_exp_n(x);
    let r = cd_exp_rest(x, 0.0lf, n);
    let half = cd_power(cd_int(n) - 1);
    let rest = d_block(half - 0.5lf);
    let inner = d_block(half * r.x + rest);
    return 2.0lf * d_block(half * cd_exp_tail(r) + inner);
}

fn d_expm1(x: f64) -> f64 {
    let mag = d_mag(x);
    // the bounds are -40 and 710
    let low = d_signbit(x) && mag > 0x4044000000000000lu;
    let v = cd_expm1_at(d_pick(x, 0lu, low || mag > 0x4086300000000000lu));
    let tiny = d_pick(v, bitcast<u64>(x), mag < 0x3c90000000000000lu);
    let hi = d_pick(tiny, 0x7ff0000000000000lu, !d_signbit(x) && mag > 0x40862e42fefa39eflu);
    let lo = d_pick(hi, 0xbff0000000000000lu, low);
    return d_pick(lo, 0x7ff8000000000000lu, d_isnan(x));
}

// x / (1 + e^-z) for finite x and abs(z) <= 800. For z < 0 it is x e^z / (1 + e^z), and the power of two of the e^z in
// the numerator is multiplied in last.
fn cd_logistic(x: f64, z: f64) -> f64 {
    let below = z < 0.0lf;
    let a = d_abs(z);
    let e = cd_exp_sum(-a, 0.0lf);
    let n = cd_int(e.z);
    // where e^-a would be subnormal, 0 is used instead, because 1 + e^-a is 1 either way
    let s = cd_power(select(n, -1023, a > 708.0lf));
    let scaled = e.x * s;
    let d = d_block(1.0lf + scaled);
    let d_low = e.y * s + d_block(d_block(1.0lf - d) + scaled);
    let p = cd_two_product(x, e.x);
    let num = select(vec2<f64>(x, 0.0lf), vec2<f64>(p.x, p.y + x * e.y), below);
    let q = d_copysign(cd_quotient(num, vec2<f64>(d, d_low)), x);
    return select(q, cd_scale(q, n), below);
}

// x, limited to -800 and 800, beyond which the results of the functions below do not change
fn cd_within_800(x: f64) -> f64 {
    return d_pick(x, 0x4089000000000000lu | d_sgn(x), d_mag(x) > 0x4089000000000000lu);
}

fn d_sigmoid(x: f64) -> f64 {
    let r = cd_logistic(1.0lf, cd_within_800(x));
    return d_pick(r, 0x7ff8000000000000lu, d_isnan(x));
}

fn d_silu(x: f64) -> f64 {
    let s = cd_within_800(x);
    let r = cd_logistic(s, s);
    let same = !d_signbit(x) && d_mag(x) > 0x4089000000000000lu;
    return d_pick(d_pick(r, bitcast<u64>(x), same), 0x7ff8000000000000lu, d_isnan(x));
}

// x sigmoid(sqrt(8/pi) (x + 0.044715 x^3)), which is x from 40 on and 0 from -40 downwards
fn d_gelu_tanh(x: f64) -> f64 {
    let mag = d_mag(x);
    let far = mag > 0x4044000000000000lu;
    let s = d_pick(x, 0x4044000000000000lu | d_sgn(x), far);
    let z = s * ((s * s) * 0.07135481627260025lf + 1.5957691216057308lf);
    let r = cd_logistic(s, cd_within_800(z));
    let low = d_pick(r, 0x8000000000000000lu, far && d_signbit(x));
    return d_pick(low, bitcast<u64>(x), (far && !d_signbit(x)) || d_isnan(x));
}

fn d_softplus(x: f64) -> f64 {
    let mag = d_mag(x);
    let tail = cd_log1p_at(cd_exp_neg(bitcast<f64>(mag)));
    let above = !d_signbit(x);
    let r = select(tail, d_pick(x, 0lu, mag >= 0x7ff0000000000000lu) + tail, above);
    return d_pick(r, bitcast<u64>(x), mag >= 0x7ff0000000000000lu && (above || d_isnan(x)));
}

fn d_logaddexp(a: f64, b: f64) -> f64 {
    let hi = d_max(a, b);
    let lo = d_min(a, b);
    let end = d_mag(hi) >= 0x7ff0000000000000lu;
    let top = d_pick(hi, 0lu, end);
    // half the difference cannot overflow. From 375 on, the smaller operand does not change the result
    let none = d_mag(lo) >= 0x7ff0000000000000lu;
    let h = d_block(d_block(top * 0.5lf) - d_block(d_pick(lo, 0lu, none) * 0.5lf));
    let far = none || d_mag(h) > 0x4077700000000000lu;
    let t = d_pick(cd_exp_neg(d_pick(h, 0lu, far) * 2.0lf), 0lu, far);
    return d_pick(top + cd_log1p_at(t), bitcast<u64>(hi), end);
}

// With h = e^a / 2, cosh a is h + 1/(4 h), and for a > 1 sinh a is h - 1/(4 h). 710.4758600739439 is the largest a for
// which they are finite.
fn d_sinh(x: f64) -> f64 {
    let mag = d_mag(x);
    let far = mag > 0x408633ce8fb9f87dlu;
    let a = d_pick(bitcast<f64>(mag), 0lu, far);
    let near = mag <= 0x3ff0000000000000lu;
    let t = cd_expm1_at(d_pick(a, 0lu, !near));
    let small = 0.5lf * (t + t / (t + 1.0lf));
    let h = cd_exp_at(a, -1);
    let large = h - 0.25lf / h;
    let r = select(large, small, near);
    let tiny = d_pick(r, mag, mag < 0x3e20000000000000lu);
    let inf = d_pick(tiny, 0x7ff0000000000000lu, far);
    return d_copysign(d_pick(inf, 0x7ff8000000000000lu, d_isnan(x)), x);
}

fn d_cosh(x: f64) -> f64 {
    let mag = d_mag(x);
    let far = mag > 0x408633ce8fb9f87dlu;
    let h = cd_exp_at(d_pick(bitcast<f64>(mag), 0lu, far), -1);
    let inf = d_pick(h + 0.25lf / h, 0x7ff0000000000000lu, far);
    return d_pick(inf, 0x7ff8000000000000lu, d_isnan(x));
}

fn d_tanh(x: f64) -> f64 {
    let mag = d_mag(x);
    // the result is 1 from 22 on
    let far = mag >= 0x4036000000000000lu;
    let t = cd_expm1_at(2.0lf * d_pick(bitcast<f64>(mag), 0lu, far));
    let tiny = d_pick(t / (t + 2.0lf), mag, mag < 0x3e20000000000000lu);
    let one = d_pick(tiny, 0x3ff0000000000000lu, far);
    return d_copysign(d_pick(one, 0x7ff8000000000000lu, d_isnan(x)), x);
}
