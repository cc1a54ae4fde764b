// The digamma function of f64, by the method of src/math/double/gamma.rs.

// psi(a) for a > 0. From 8 on it is computed by the asymptotic series. Below 8 the series is computed at a + 8, and 1/a
// + ... + 1/(a + 7) is subtracted: with b = a (a + 7), a term from the beginning and a term from the end add up to (2 a
// + 7) over b, b + 6, b + 10 or b + 12
fn cd_digamma_at(a: f64) -> f64 {
    let low = a < 8.0lf;
    let s = select(8.0lf, a, low);
    let b = s * (s + 7.0lf);
    let sum = ((1.0lf / (b + 12.0lf) + 1.0lf / (b + 10.0lf)) + 1.0lf / (b + 6.0lf)) + 1.0lf / b;
    let z = select(a, a + 8.0lf, low);
    let v = 1.0lf / z;
    let w = v * v;
    let r = cd_log_at(z) - (0.5lf * v + w * cd_poly_digamma(w));
    return select(r, r - (2.0lf * s + 7.0lf) * sum, low);
}

fn d_digamma(x: f64) -> f64 {
    let mag = d_mag(x);
    let neg = d_signbit(x);
    let whole = neg && d_mag(d_trunc(x)) == mag;
    let out = mag == 0lu || mag >= 0x7ff0000000000000lu || whole;
    let s = d_pick(x, 0x3ff0000000000000lu, out);
    // below 2^-60 the result is -1/x, which overflows below 2^-1024
    let near = mag < 0x3c30000000000000lu;
    let t = d_pick(s, 0x3fe0000000000000lu | d_sgn(x), near);
    let r = cd_digamma_at(select(t, 1.0lf - t, neg && !out));
    // the reflection formula: psi(x) = psi(1 - x) - pi / tan(pi x)
    let p = cd_half_turns(t);
    let c = cd_tangent(p.x, p.y);
    let odd = (u32(p.z) & 1u) == 1u;
    let back = 3.141592653589793lf * (select(1.0lf, -c, odd) / select(c, 1.0lf, odd || mag == 0lu || out));
    let full = select(r, r - back, neg && !out);
    let pole = d_pick(full, bitcast<u64>(-1.0lf / d_pick(s, 0x3ff0000000000000lu, !near)), near);
    let tiny = d_pick(pole, 0x7ff0000000000000lu | (d_sgn(x) ^ 0x8000000000000000lu), mag <= 0x4000000000000lu);
    let inf = d_pick(tiny, 0x7ff0000000000000lu, mag == 0x7ff0000000000000lu);
    return d_pick(inf, 0x7ff8000000000000lu, d_isnan(x) || (whole && mag != 0lu));
}
