// Hurwitz' zeta function of f64, the incomplete gamma functions, and the beta function with its logarithm, by the
// methods of src/math/double/zeta.rs, incomplete.rs and beta.rs, which name the sources. Each heavy function occurs
// only once in the source of a shader, because drivers copy a function into each place that calls it.

fn cd_inf(sign: bool) -> f64 {
    return d_pick(0.0lf, select(0x7ff0000000000000lu, 0xfff0000000000000lu, sign), true);
}

fn cd_nan() -> f64 {
    return d_pick(0.0lf, 0x7ff8000000000000lu, true);
}

// The sum of (q + k)^-x for x > 1 and q > 0. Eight terms are added, and the formula of Euler and Maclaurin gives the
// rest. Each (q + k)^-x is corrected for the rounding error of q + k, which x multiplies.
fn cd_hurwitz(x: f64, q: f64) -> f64 {
    // beyond 400, the power in the rest is 0
    let y = min(x, 400.0lf);
    var sum = 0.0lf;
    var tail = 0.0lf;
    for (var k = 8; k >= 0; k = k - 1) {
        let s = cd_two_sum(q, cd_of_int(k));
        let rest = k == 8;
        let term = cd_pow_at(d_mag(s.x), select(-x, 1.0lf - y, rest));
        if rest {
            tail = term;
        } else {
            let low = select(s.y, 0.0lf, q > 1e16lf);
            let change = term * (x * (low / s.x));
            let exact = d_mag(term) == 0x7ff0000000000000lu || d_mag(low) == 0lu;
            sum = sum + d_pick(d_block(term - change), bitcast<u64>(term), exact);
        }
    }
    let v = 1.0lf / (q + 8.0lf);
    let f0 = (y * v) * v;
    let s0 = 0.5lf * v + f0 * 0.08333333333333333lf;
    let f1 = f0 * (((y + 1.0lf) * v) * ((y + 2.0lf) * v));
    let s1 = s0 - f1 * 0.001388888888888889lf;
    let f2 = f1 * (((y + 3.0lf) * v) * ((y + 4.0lf) * v));
    let s2 = s1 + f2 * 3.306878306878307e-05lf;
    let f3 = f2 * (((y + 5.0lf) * v) * ((y + 6.0lf) * v));
    let s3 = s2 - f3 * 8.267195767195768e-07lf;
    let f4 = f3 * (((y + 7.0lf) * v) * ((y + 8.0lf) * v));
    let s4 = s3 + f4 * 2.08767569878681e-08lf;
    let f5 = f4 * (((y + 9.0lf) * v) * ((y + 10.0lf) * v));
    let s5 = s4 - f5 * 5.284190138687493e-10lf;
    let f6 = f5 * (((y + 11.0lf) * v) * ((y + 12.0lf) * v));
    let s6 = s5 + f6 * 1.3382536530684679e-11lf;
    let f7 = f6 * (((y + 13.0lf) * v) * ((y + 14.0lf) * v));
    let s7 = s6 - f7 * 3.3896802963225827e-13lf;
    let f8 = f7 * (((y + 15.0lf) * v) * ((y + 16.0lf) * v));
    let s8 = s7 + f8 * 8.586062056277845e-15lf;
    let f9 = f8 * (((y + 17.0lf) * v) * ((y + 18.0lf) * v));
    let s9 = s8 - f9 * 2.174868698558062e-16lf;
    let factor = s9 + 1.0lf / (y - 1.0lf);
    return d_pick(sum + tail * factor, 0x7ff0000000000000lu, d_mag(sum) == 0x7ff0000000000000lu);
}

// The zeta function for a negative q that is not a whole number, and a whole x. `above`, `below` and `passed` are the
// sums with the bases 1 - g, g and 1 - q, where -g is exactly the last base below 0, and 1 - g the first base above 0.
fn cd_zeta_reflected(x: f64, g: f64, above: f64, below: f64, passed: f64) -> f64 {
    let even = cd_pow_parity(d_mag(x)) == 2u;
    let over = d_mag(above) == 0x7ff0000000000000lu || d_mag(below) == 0x7ff0000000000000lu;
    let plain = d_block(above - below) + passed;
    // if `above` or `below` is infinite, the larger term decides
    let odd = d_pick(plain, select(0xfff0000000000000lu, 0x7ff0000000000000lu, g > 0.5lf), over);
    let half = select(odd, passed, g == 0.5lf);
    return select(half, d_pick(above + (below - passed), 0x7ff0000000000000lu, over), even);
}

fn d_zeta(x: f64, q: f64) -> f64 {
    let xm = d_mag(x);
    let qm = d_mag(q);
    if d_isnan(x) || d_isnan(q) || d_signbit(x) || xm < 0x3ff0000000000000lu {
        return cd_nan();
    }
    let negative = d_signbit(q);
    let whole = qm == 0lu || (negative && d_mag(d_trunc(q)) == qm);
    if xm == 0x3ff0000000000000lu || whole {
        return cd_inf(false);
    }
    if xm == 0x7ff0000000000000lu {
        // for an infinite x, the result is the limit of q^-x
        let r = d_pick(select(0.0lf, 1.0lf, qm == 0x3ff0000000000000lu), 0x7ff0000000000000lu, qm < 0x3ff0000000000000lu);
        return d_pick(r, 0x7ff8000000000000lu, negative);
    }
    if qm == 0x7ff0000000000000lu {
        return 0.0lf;
    }
    if negative && cd_pow_parity(xm) == 0u {
        return cd_nan();
    }
    let p = bitcast<f64>(qm);
    let g = d_block(p - d_floor(p));
    var above = 0.0lf;
    var below = 0.0lf;
    var passed = 0.0lf;
    for (var i = select(2, 0, negative); i < 3; i = i + 1) {
        let base = select(select(1.0lf - g, g, i == 1), select(q, 1.0lf - q, negative), i == 2);
        above = below;
        below = passed;
        passed = cd_hurwitz(x, base);
    }
    if !negative {
        return passed;
    }
    return cd_zeta_reflected(x, g, above, below, passed);
}

// x log2(e), where x and the result are sums of two numbers
fn cd_pair_log2e(x: vec2<f64>) -> vec2<f64> {
    return cd_pair_product(x, vec2<f64>(1.4426950408889634lf, 2.0355273740931033e-17lf));
}

// v 2^(t.x + t.y), computed in two steps, because v may be as large as the power is small. From 2^4000 on the result is
// Inf, and from 2^-4000 down it is 0
fn cd_times_power(v: f64, t: vec2<f64>) -> f64 {
    let s = cd_two_sum(t.x, t.y);
    let far = d_abs(s.x) >= 4000.0lf;
    let p = cd_pow2_sum(d_pick(s.x, 0x40af400000000000lu | d_sgn(s.x), far), select(s.y, 0.0lf, far));
    let n = cd_int(p.y);
    let half = n >> 1u;
    return cd_scale(cd_scale(v * p.x, half), n - half);
}

// The two parts of gamma(z + 1) for z = n + d, abs(d) <= 1/2: the product (d + 1) (d + 2) … (d + n), and log(gamma(1 +
// d))
fn cd_gamma_parts(z: f64) -> vec2<f64> {
    let n = d_floor(z + 0.5lf);
    let d = d_block(z - n);
    let count = cd_int(n);
    var p = 1.0lf;
    for (var i = 1; i <= count; i = i + 1) {
        p = p * (d + cd_of_int(i));
    }
    return vec2<f64>(p, cd_lgamma_at(1.0lf + d));
}

// log(gamma(a)) - (a - 1/2) log(a) + a - log(sqrt(2 pi)) for a >= 8
fn cd_stirling_rest(a: f64) -> f64 {
    let v = 1.0lf / a;
    return v * cd_poly_stirling(v * v);
}

// m - log(1 + m) for m = (x - a) / a, abs(m) <= 0.29
fn cd_log_rest(x: f64, a: f64) -> vec2<f64> {
    let d = d_block(x - a);
    let m = d_block(d / a);
    let m_low = cd_rest(d, m, a) / a;
    let t = cd_two_sum(2.0lf, m);
    let s = d_block(m / t.x);
    let s_low = (cd_rest(m, s, t.x) + (m_low - s * (t.y + m_low))) / t.x;
    let z = s * s;
    let u = cd_two_sum(m, -(z * cd_poly_log(z)));
    return cd_pair_product(vec2<f64>(s, s_low), vec2<f64>(u.x, u.y + m_low));
}

// The sum of Temme's expansion, for a >= 20 and abs(e) <= 0.34
fn cd_temme(a: f64, e: f64) -> f64 {
    let v = 1.0lf / a;
    let s11 = cd_poly_temme11(e);
    let s10 = s11 * v + cd_poly_temme10(e);
    let s9 = s10 * v + cd_poly_temme9(e);
    let s8 = s9 * v + cd_poly_temme8(e);
    let s7 = s8 * v + cd_poly_temme7(e);
    let s6 = s7 * v + cd_poly_temme6(e);
    let s5 = s6 * v + cd_poly_temme5(e);
    let s4 = s5 * v + cd_poly_temme4(e);
    let s3 = s4 * v + cd_poly_temme3(e);
    let s2 = s3 * v + cd_poly_temme2(e);
    let s1 = s2 * v + cd_poly_temme1(e);
    let s0 = s1 * v + cd_poly_temme0(e);
    return s0;
}

// Q(a, x) divided by x^a e^-x / gamma(a), for x > 1.1 and x > a
fn cd_gamma_fraction(a: f64, x: f64) -> f64 {
    let b = d_block(x - a) + 1.0lf;
    var n = d_floor(30.0lf + 120.0lf / x);
    var rest = b + 2.0lf * n;
    for (; n > 0.0lf; n = n - 1.0lf) {
        rest = (b + 2.0lf * (n - 1.0lf)) - n * ((n - a) / rest);
    }
    return 1.0lf / rest;
}

// The sum of x^n / ((a + 1) … (a + n)) for n = 0, 1, …
fn cd_gamma_series(a: f64, x: f64) -> f64 {
    var sum = 1.0lf;
    var term = 1.0lf;
    for (var n = 1; n <= 200; n = n + 1) {
        term = term * (x / (a + cd_of_int(n)));
        sum = sum + term;
        if term < 1e-17lf * sum {
            break;
        }
    }
    return sum;
}

// Q(a, x) for x <= 1.1, if a is not much larger than x
fn cd_gamma_upper(a: f64, x: f64) -> f64 {
    let low = a < 0.5lf;
    let g = a * cd_poly_lgamma1p(select(0.0lf, a, low));
    let l = select(cd_lgamma_at(1.0lf + a), g, low);
    let less = d_expm1(a * cd_log_at(x) - l);
    var sum = 0.0lf;
    var power = 1.0lf;
    for (var i = 1; i <= 20; i = i + 1) {
        let n = cd_of_int(i);
        power = power * (-x / n);
        sum = sum + power / (a + n);
    }
    return -less - (1.0lf + less) * (a * sum);
}

// Returns P(a, x) and Q(a, x) for positive finite a and x
fn cd_gamma_both(a: f64, x: f64) -> vec2<f64> {
    let large = a >= 20.0lf;
    let above = x > a;
    let near = d_abs(x - a) < 0.29lf * a;
    if x <= 1.1lf && !large {
        let rare = select(a <= 1.1lf * x, a * cd_log_at(x) > -0.4lf, x <= 0.5lf);
        if rare {
            let q = cd_gamma_upper(a, x);
            return vec2<f64>(1.0lf - q, q);
        }
    }
    if max(a, x) > 1e100lf && !near {
        return select(vec2<f64>(0.0lf, 1.0lf), vec2<f64>(1.0lf, 0.0lf), above);
    }
    // the exponent of 2 in x^a e^-x / gamma(a), or in (x / a)^a e^(a - x) for a large a
    var t: vec2<f64>;
    var factor: f64;
    if large && near {
        let rest = cd_log_rest(x, a);
        let size = cd_pair_product(vec2<f64>(-a, 0.0lf), rest);
        t = cd_pair_log2e(size);
        let e = sqrt(2.0lf * rest.x);
        let part = cd_temme(a, select(-e, e, above)) * (0.3989422804014327lf / sqrt(a));
        factor = 0.5lf * d_erfcx(sqrt(d_abs(size.x))) + select(-part, part, above);
    } else {
        // beyond these bounds the power of x is 0
        let y = select(min(x, 2000.0lf), x, large);
        let ratio = y / a;
        let bounded = ratio > 1e-60lf && ratio < 1e60lf;
        let r = select(y, clamp(ratio, 1e-60lf, 1e60lf), large);
        let r_low = select(0.0lf, cd_rest(y, r, a) / a, large && bounded);
        let l = cd_log2_sum(d_mag(r));
        let less = cd_pair_log2e(cd_two_sum(y, select(0.0lf, -a, large)));
        let logs = cd_pair_product(vec2<f64>(a, 0.0lf), vec2<f64>(l.x, l.y + (r_low / r) * 1.4426950408889634lf));
        let parts = cd_gamma_parts(select(a, 1.0lf, large));
        let less_gamma = select(parts.y, cd_stirling_rest(max(a, 8.0lf)), large);
        t = cd_pair_sum(cd_pair_sum(logs, -less), vec2<f64>(-1.4426950408889634lf * less_gamma, 0.0lf));
        factor = select(1.0lf / parts.x, 0.3989422804014327lf / sqrt(a), large);
        if x > 1.1lf && above {
            factor = factor * (a * cd_gamma_fraction(a, x));
        } else {
            factor = factor * cd_gamma_series(a, x);
        }
    }
    let r = min(cd_times_power(factor, t), 1.0lf);
    let upper = above && (x > 1.1lf || large);
    return select(vec2<f64>(r, 1.0lf - r), vec2<f64>(1.0lf - r, r), upper);
}

fn cd_gamma_ends(a: f64, x: f64, upper: bool) -> f64 {
    let am = d_mag(a);
    let xm = d_mag(x);
    let outside = d_isnan(a) || d_isnan(x) || (d_signbit(a) && am != 0lu) || (d_signbit(x) && xm != 0lu);
    let unclear = (am == 0lu && xm == 0lu) || (am == 0x7ff0000000000000lu && xm == 0x7ff0000000000000lu);
    if outside || unclear {
        return cd_nan();
    }
    let whole = am == 0lu || xm == 0x7ff0000000000000lu;
    if whole || xm == 0lu || am == 0x7ff0000000000000lu {
        return select(0.0lf, 1.0lf, whole != upper);
    }
    let r = cd_gamma_both(a, x);
    return select(r.x, r.y, upper);
}

fn d_gammainc(a: f64, x: f64) -> f64 {
    return cd_gamma_ends(a, x, false);
}

fn d_gammaincc(a: f64, x: f64) -> f64 {
    return cd_gamma_ends(a, x, true);
}

// B(p, q) = r.x 2^(r.y + r.z) for positive finite numbers, where r is the result
fn cd_beta_positive(p: f64, q: f64) -> vec3<f64> {
    let a = min(p, q);
    let b = max(p, q);
    let s = cd_two_sum(a, b);
    let large = a >= 8.0lf;
    // even for a = 8, the result is 0 here
    if large && b > 1e100lf {
        return vec3<f64>(0.0lf, 0.0lf, 0.0lf);
    }
    if b < 8.0lf {
        var m = 1.0lf;
        var l = 0.0lf;
        for (var i = 0; i < 3; i = i + 1) {
            let z = select(select(a, s.x, i == 1), b, i == 0);
            let g = cd_gamma_parts(z);
            // opaque, because the product of two divisors may underflow
            m = m * d_block(select(g.x / z, z / g.x, i == 1));
            l = l + select(g.y, -g.y, i == 1);
        }
        return vec3<f64>(m, 1.4426950408889634lf * l, 0.0lf);
    }
    var t = vec2<f64>(0.0lf, 0.0lf);
    // computes the power b^-a, or, if a is large, the powers (a/s)^a and (b/s)^b
    for (var i = 0; i < select(1, 2, large); i = i + 1) {
        let c = select(a, b, i == 1);
        let r = select(b, d_block(c / s.x), large);
        let low = select(0.0lf, (cd_rest(c, r, s.x) - r * s.y) / s.x, large);
        let l = cd_log2_sum(d_mag(r));
        let e = select(-a, c, large);
        t = cd_pair_sum(t, cd_pair_product(vec2<f64>(e, 0.0lf), vec2<f64>(l.x, l.y + (low / r) * 1.4426950408889634lf)));
    }
    let parts = cd_gamma_parts(select(a, 0.0lf, large));
    let change = cd_stirling_rest(b) - cd_stirling_rest(s.x);
    let h = a / b;
    let near = (a - select((s.x - 0.5lf) * cd_log1p_at(h), a, b > 1e19lf)) + parts.y;
    let rest = change + select(near, cd_stirling_rest(max(a, 8.0lf)), large);
    let m = select(parts.x / a, 2.5066282746310002lf * sqrt((s.x / b) / a), large);
    t = cd_pair_sum(t, vec2<f64>(1.4426950408889634lf * rest, 0.0lf));
    return vec3<f64>(m, t.x, t.y);
}

// log(B(a, b)) of positive finite numbers
fn cd_betaln_positive(p: f64, q: f64) -> f64 {
    let a = min(p, q);
    let b = max(p, q);
    let far = b >= 8.0lf;
    // adds lgamma of a and b and subtracts lgamma of a + b, except for the terms that Stirling's formula gives below
    var l = 0.0lf;
    let first = select(select(0, 2, far), 3, a >= 8.0lf);
    for (var i = first; i < 3; i = i + 1) {
        let g = cd_lgamma_any(select(select(a + b, b, i == 1), a, i == 2));
        l = l + select(g, -g, i == 0);
    }
    if !far {
        return l;
    }
    let rest = cd_stirling_rest(b) - cd_stirling_rest(a + b);
    let h = a / b;
    let lp = cd_log1p_at(h);
    let lb = cd_log_at(b);
    if a < 8.0lf {
        return l + (((a - select((a + b - 0.5lf) * lp, a, b > 1e19lf)) - a * lb) + rest);
    }
    let small = -0.5lf * lb + 0.9189385332046728lf + (cd_stirling_rest(a) + rest);
    return (small + (a - 0.5lf) * (cd_log_at(max(h, 2.2250738585072014e-308lf)) - lp)) - b * lp;
}

// lgamma of a positive finite number, however small
fn cd_lgamma_any(x: f64) -> f64 {
    let tiny = x < 1e-21lf;
    let r = cd_lgamma_at(select(x, 1.0lf, tiny));
    return select(r, -cd_log_at(x), tiny);
}

// sin(pi (a + b)), corrected for the rounding error of a + b
fn cd_sine_of_sum(a: f64, b: f64) -> f64 {
    let s = cd_two_sum(a, b);
    return d_sinpi(s.x) + s.y * (3.141592653589793lf * d_cospi(s.x));
}

// Whether gamma has a pole at x: at 0, -1, -2, …
fn cd_is_pole(x: f64) -> bool {
    return d_mag(x) == 0lu || (d_signbit(x) && d_mag(d_floor(x)) == d_mag(x));
}

// B(a, b) or its logarithm for any operands, from B of two positive numbers
fn cd_beta_any(first: f64, second: f64, logarithm: bool) -> f64 {
    if d_isnan(first) || d_isnan(second) {
        return cd_nan();
    }
    let swapped = d_lt(second, first);
    let a = select(first, second, swapped);
    let b = select(second, first, swapped);
    let am = d_mag(a);
    let bm = d_mag(b);
    // near 0, B(a, b) is (a + b) / (a b); here a and b are multiplied by 2^600
    if max(am, bm) < 0x3c6710ab00000000lu && min(am, bm) > 0lu {
        let c = cd_scale(a, 600);
        let d = cd_scale(b, 600);
        // divides by c and then by d, because c d may overflow
        let v = d_block(d_block(c + d) / c) / d;
        if logarithm {
            let zero = d_mag(v) == 0lu;
            // 415.8… is 600 log(2)
            let l = cd_log_at(d_pick(d_abs(v), 0x3ff0000000000000lu, zero)) + 415.88830833596717lf;
            return d_pick(l, 0xfff0000000000000lu, zero);
        }
        return d_pick(cd_scale(v, 600), 0lu, d_mag(v) == 0lu);
    }
    let a_low = am == 0lu || d_signbit(a);
    let b_low = bm == 0lu || d_signbit(b);
    var p = a;
    var q = b;
    var factor = 1.0lf;
    var over = false;
    // a factor of the divisor, used if `over` is true
    var with_b = 1.0lf;
    let s = d_block(a + b);
    // pi / sin(pi a) overflows for the smallest a, so there `factor` and `with_b` are divided by 2^100
    let small = select(1.0lf, 7.888609052210118e-31lf, min(am, bm) < 0x0410000000000000lu);
    if cd_is_pole(a) || cd_is_pole(b) {
        let whole = !b_low && am < 0x7ff0000000000000lu && a_low && bm <= am && d_mag(d_floor(b)) == bm;
        if !whole {
            return cd_inf(false);
        }
        // gamma has poles in the numerator and in the denominator, and their quotient is finite
        p = 1.0lf - s;
        factor = select(1.0lf, -1.0lf, cd_pow_parity(bm) == 1u);
    } else if bm == 0x7ff0000000000000lu && !b_low {
        if am == 0x7ff0000000000000lu {
            return cd_nan();
        }
        let negative = a_low && d_signbit(d_sinpi(a)) && !logarithm;
        let value = select(0.0lf, cd_inf(negative), a_low);
        return d_pick(value, select(0xfff0000000000000lu, 0x7ff0000000000000lu, a_low), logarithm);
    } else if a_low {
        let sine = d_sinpi(a);
        let sine_sum = cd_sine_of_sum(a, b);
        if b_low {
            p = 1.0lf - a;
            q = 1.0lf - b;
            over = true;
            factor = d_block((small * 3.141592653589793lf) * d_block(sine_sum / sine)) / d_sinpi(b);
            with_b = d_block(small * (1.0lf - s));
        } else if s <= 0.0lf {
            p = 1.0lf - s;
            factor = sine_sum / sine;
        } else {
            p = 1.0lf - a;
            q = s;
            over = true;
            factor = d_block((small * 3.141592653589793lf) / sine);
            with_b = d_block(small * b);
        }
        // gamma(a + b) has a pole
        if d_mag(factor) == 0lu {
            return d_pick(0.0lf, 0xfff0000000000000lu, logarithm);
        }
    }
    if logarithm {
        let r = cd_betaln_positive(p, q);
        if !over && factor == 1.0lf {
            return r;
        }
        let l = cd_log_at(d_abs(factor));
        return select(l + r, l - (cd_log_at(with_b) + r), over);
    }
    let r = cd_beta_positive(p, q);
    if d_mag(r.x) == 0lu {
        return select(0.0lf, cd_inf(d_signbit(factor)), over);
    }
    // if with_b is small, r.x is large: they are multiplied first
    let quotient = select(d_block(factor / with_b) / r.x, factor / d_block(with_b * r.x), with_b < 1.0lf);
    let t = vec2<f64>(r.y, r.z);
    return cd_times_power(select(factor * r.x, quotient, over), select(t, -t, over));
}

fn d_beta(a: f64, b: f64) -> f64 {
    return cd_beta_any(a, b, false);
}

fn d_betaln(a: f64, b: f64) -> f64 {
    return cd_beta_any(a, b, true);
}
