// Logarithms of f64 and the inverse hyperbolic functions, by the methods of src/math/double/log.rs.

// Returns (f, e) with x = 2^e (1 + f) and 1 + f in [sqrt(1/2), sqrt(2)), from the bits of a positive finite x.
// Subnormals are normalised by integer operations.
fn cd_log_parts(mag: u64) -> vec2<f64> {
    let frac = d_significand(mag) & 0xffffffffffffflu;
    let up = frac >= 0x6a09e667f3bcdlu;
    let m = bitcast<f64>(frac | select(0x3ff0000000000000lu, 0x3fe0000000000000lu, up));
    let e = d_exponent(mag) - select(1023, 1022, up);
    return vec2<f64>(d_block(m - 1.0lf), cd_of_int(e));
}

// Returns (h, t) with log(1 + f) = f - h + t and h = f^2 / 2
fn cd_log_terms(f: f64) -> vec2<f64> {
    let s = f / (2.0lf + f);
    let z = s * s;
    let h = (0.5lf * f) * f;
    return vec2<f64>(h, s * (z * cd_poly_log(z) + h));
}

// log((1 + f) 2^e) + low. The product of e and the first part of ln 2, which has 33 bits, is exact
fn cd_log_of(f: f64, e: f64, low: f64) -> f64 {
    let p = cd_log_terms(f);
    let t = p.y + (e * -4.2009150726810846e-11lf + low);
    let u = d_block(p.x - t);
    let v = d_block(f - u);
    return e * 0.6931471806019545lf + v;
}

// log of a positive finite x
fn cd_log_at(x: f64) -> f64 {
    let p = cd_log_parts(d_mag(x));
    return cd_log_of(p.x, p.y, 0.0lf);
}

// Returns the logarithm r of x, or the special values: -Inf for 0, NaN below 0, Inf for Inf and NaN for NaN
fn cd_log_special(r: f64, x: f64) -> f64 {
    let mag = d_mag(x);
    let inf = d_pick(r, 0x7ff0000000000000lu, mag == 0x7ff0000000000000lu);
    let nan = d_pick(inf, 0x7ff8000000000000lu, d_signbit(x) || mag > 0x7ff0000000000000lu);
    return d_pick(nan, 0xfff0000000000000lu, mag == 0lu);
}

// The operand for a logarithm's polynomial: x, or 1 if x is not a positive finite number.
fn cd_log_operand(x: f64) -> f64 {
    let mag = d_mag(x);
    return d_pick(x, 0x3ff0000000000000lu, d_signbit(x) || mag == 0lu || mag >= 0x7ff0000000000000lu);
}

fn d_log(x: f64) -> f64 {
    return cd_log_special(cd_log_at(cd_log_operand(x)), x);
}

// e + tail + (c + low) log(1 + f)
fn cd_log_scaled(e: f64, tail: f64, f: f64, c: f64, low: f64) -> f64 {
    let p = cd_log_terms(f);
    // log(1 + f) as the sum a + b
    let a = d_block(f - p.x);
    let b = d_block(d_block(f - a) - p.x) + p.y;
    let t = b * c + (a * low + tail);
    let h = cd_two_product(a, c);
    let s = cd_two_sum(e, h.x);
    return s.x + (s.y + (h.y + t));
}

fn d_log2(x: f64) -> f64 {
    let p = cd_log_parts(d_mag(cd_log_operand(x)));
    // log2(e) is the sum of two numbers
    return cd_log_special(cd_log_scaled(p.y, 0.0lf, p.x, 1.4426950408889634lf, 2.0355273740931033e-17lf), x);
}

fn d_log10(x: f64) -> f64 {
    let p = cd_log_parts(d_mag(cd_log_operand(x)));
    // log10(2) is the sum of a number of 39 bits, whose product with e is exact, and a second number; log10(e) is also
    // the sum of two numbers
    let e = d_block(p.y * 0.3010299956640665lf);
    let tail = p.y * -8.532344317057107e-14lf;
    return cd_log_special(cd_log_scaled(e, tail, p.x, 0.4342944819032518lf, 1.098319650216765e-17lf), x);
}

// log(1 + x) for finite x > -1. If 1 + x is within [sqrt(1/2), sqrt(2)), x itself is the argument of the polynomial.
// Elsewhere, c / u corrects the logarithm of u = 1 + x for the rounding error c of u.
fn cd_log1p_at(x: f64) -> f64 {
    let u = cd_two_sum(1.0lf, x);
    let p = cd_log_parts(d_mag(u.x));
    let near = p.y == 0.0lf;
    return cd_log_of(select(p.x, x, near), p.y, select(u.y / u.x, 0.0lf, near));
}

fn d_log1p(x: f64) -> f64 {
    let mag = d_mag(x);
    let neg = d_signbit(x);
    let out = mag >= 0x7ff0000000000000lu || (neg && mag >= 0x3ff0000000000000lu);
    let r = cd_log1p_at(d_pick(x, 0lu, out));
    let tiny = d_pick(r, bitcast<u64>(x), mag < 0x3c90000000000000lu);
    let one = d_pick(tiny, 0xfff0000000000000lu, neg && mag == 0x3ff0000000000000lu);
    let inf = d_pick(one, 0x7ff0000000000000lu, mag == 0x7ff0000000000000lu);
    return d_pick(inf, 0x7ff8000000000000lu, d_isnan(x) || (neg && mag > 0x3ff0000000000000lu));
}

fn d_asinh(x: f64) -> f64 {
    let mag = d_mag(x);
    // from 2^30 on, asinh(x) is log(2 x)
    let big = mag >= 0x41d0000000000000lu;
    let a = d_pick(bitcast<f64>(mag), 0x3ff0000000000000lu, mag >= 0x7ff0000000000000lu);
    let b = d_pick(a, 0x3ff0000000000000lu, big);
    let z = b * b;
    let near = cd_log1p_at(b + z / (1.0lf + sqrt(1.0lf + z)));
    let far = cd_log_at(d_pick(a, 0x3ff0000000000000lu, !big)) + 0.6931471805599453lf;
    let r = select(near, far, big);
    let same = mag >= 0x7ff0000000000000lu || mag < 0x3e20000000000000lu;
    return d_copysign(d_pick(r, mag, same), x);
}

fn d_acosh(x: f64) -> f64 {
    let mag = d_mag(x);
    let big = mag >= 0x41d0000000000000lu;
    let bad = d_signbit(x) || mag > 0x7ff0000000000000lu || mag < 0x3ff0000000000000lu;
    let a = d_pick(x, 0x3ff0000000000000lu, bad || mag == 0x7ff0000000000000lu);
    let t = d_block(d_pick(a, 0x3ff0000000000000lu, big) - 1.0lf);
    let near = cd_log1p_at(t + sqrt(t * (t + 2.0lf)));
    let far = cd_log_at(a) + 0.6931471805599453lf;
    let inf = d_pick(select(near, far, big), 0x7ff0000000000000lu, mag == 0x7ff0000000000000lu);
    return d_pick(inf, 0x7ff8000000000000lu, bad);
}

fn d_atanh(x: f64) -> f64 {
    let mag = d_mag(x);
    let a = d_pick(bitcast<f64>(mag), 0lu, mag >= 0x3ff0000000000000lu);
    let r = 0.5lf * cd_log1p_at(2.0lf * (a / (1.0lf - a)));
    let tiny = d_pick(r, mag, mag < 0x3e20000000000000lu);
    let one = d_pick(tiny, 0x7ff0000000000000lu, mag == 0x3ff0000000000000lu);
    return d_copysign(d_pick(one, 0x7ff8000000000000lu, mag > 0x3ff0000000000000lu), x);
}
