// The modified Bessel functions I0 and I1 of f64, by the methods of src/math/double/bessel.rs.

// abs(x), but at most `most`: from 720 on the functions overflow, and callers handle Inf separately
fn cd_bessel_operand(x: f64, most: u64) -> f64 {
    let mag = d_mag(x);
    return d_pick(bitcast<f64>(mag), most, mag > most);
}

// Returns (p, n) with e^x = p 2^n
fn cd_exp_parts(x: f64) -> vec2<f64> {
    let n = cd_exp_n(x);
    let r = cd_exp_rest(x, 0.0lf, n);
    return vec2<f64>(1.0lf + d_block(r.x + cd_exp_tail(r)), n);
}

// I0 or I1 at a: `near` if a <= 8, otherwise `far` e^a / sqrt(a)
fn cd_bessel(a: f64, near: f64, far: f64) -> f64 {
    let e = cd_exp_parts(a);
    return select(near, cd_scale(far / sqrt(a) * e.x, cd_int(e.y)), a > 8.0lf);
}

fn cd_bessel_scaled(a: f64, near: f64, far: f64) -> f64 {
    let e = cd_exp_parts(-min(a, 8.0lf));
    return select(cd_scale(near * e.x, cd_int(e.y)), far / sqrt(a), a > 8.0lf);
}

// 16/a - 1 for a >= 8. Below 8 it is 1, and not used
fn cd_bessel_far(a: f64) -> f64 {
    return 16.0lf / max(a, 8.0lf) - 1.0lf;
}

// The square of a for a <= 8. Above 8 it is 64, and not used
fn cd_bessel_near(a: f64) -> f64 {
    let s = min(a, 8.0lf);
    return s * s;
}

fn d_i0(x: f64) -> f64 {
    // I0 overflows for 714
    let a = cd_bessel_operand(x, 0x4086500000000000lu);
    let r = cd_bessel(a, cd_poly_i0(cd_bessel_near(a)), cd_poly_i0_far(cd_bessel_far(a)));
    return cd_or_nan(d_pick(r, 0x7ff0000000000000lu, d_mag(x) >= 0x4086500000000000lu), d_isnan(x));
}

fn d_i1(x: f64) -> f64 {
    let a = cd_bessel_operand(x, 0x4086500000000000lu);
    let r = cd_bessel(a, a * cd_poly_i1(cd_bessel_near(a)), cd_poly_i1_far(cd_bessel_far(a)));
    let inf = d_pick(r, 0x7ff0000000000000lu, d_mag(x) >= 0x4086500000000000lu);
    return d_copysign(cd_or_nan(inf, d_isnan(x)), x);
}

fn d_i0e(x: f64) -> f64 {
    let a = cd_bessel_operand(x, 0x7feffffffffffffflu);
    let r = cd_bessel_scaled(a, cd_poly_i0(cd_bessel_near(a)), cd_poly_i0_far(cd_bessel_far(a)));
    return cd_or_nan(d_pick(r, 0lu, d_isinf(x)), d_isnan(x));
}

fn d_i1e(x: f64) -> f64 {
    let a = cd_bessel_operand(x, 0x7feffffffffffffflu);
    let r = cd_bessel_scaled(a, a * cd_poly_i1(cd_bessel_near(a)), cd_poly_i1_far(cd_bessel_far(a)));
    return d_copysign(cd_or_nan(d_pick(r, 0lu, d_isinf(x)), d_isnan(x)), x);
}
