// The beta function of f32 and its logarithm: the same methods as src/math/double/beta.rs, which names the sources.

// B(p, q) = r.x 2^(r.y + r.z) for positive finite numbers, where r is the result; p_low and q_low are the rounding
// errors of p and q
fn cp_beta_positive(p: f32, q: f32, p_low: f32, q_low: f32) -> vec3<f32> {
    let ordered = p <= q;
    let a = select(q, p, ordered);
    let b = select(p, q, ordered);
    let s = cp_two_sum(a, b);
    let large = a >= 8.0;
    // even for a = 8, the result is 0 here
    if large && b > 1e15 {
        return vec3<f32>(0.0, 0.0, 0.0);
    }
    if b < 8.0 {
        var m = 1.0;
        var l = 0.0;
        for (var i = 0; i < 3; i = i + 1) {
            let z = select(select(a, s.x, i == 1), b, i == 0);
            let g = cp_gamma_parts(z);
            let v = select(g.x / z, z / g.x, i == 1);
            // opaque, because the product of two divisors may underflow
            m = m * cp_block(v);
            l = l + select(g.y, -g.y, i == 1);
        }
        return vec3<f32>(m, 1.442695 * l, 0.0);
    }
    var t = vec2<f32>(0.0, 0.0);
    // computes the power b^-a, or, if a is large, the powers (a/s)^a and (b/s)^b
    for (var i = 0; i < select(1, 2, large); i = i + 1) {
        let c = select(a, b, i == 1);
        let r = select(b, c / s.x, large);
        let f = cp_two_product(r, s.x);
        let low = select(0.0, ((cp_block(c - f.x) - f.y) - r * s.y) / s.x, large);
        let l = cp_pow_log2(cp_mag(r));
        let e = select(-c, c, large);
        let c_low = select(q_low, p_low, ordered == (i == 0));
        t = cp_pair_sum(t, cp_pair_product(vec2<f32>(e, select(-c_low, c_low, large)), vec2<f32>(l.x, l.y + (low / r) * 1.442695)));
    }
    let parts = cp_gamma_parts(select(a, 0.0, large));
    let change = cp_stirling_rest(b) - cp_stirling_rest(s.x);
    // for a large b, the product (s - 1/2) log1p(a/b) is a, even if the device flushes the quotient to 0
    let near = (a - select((s.x - 0.5) * m_log1p(a / b), a, b > 1e10)) + parts.y;
    let rest = change + select(near, cp_stirling_rest(max(a, 8.0)), large);
    let m = select(parts.x / a, 2.5066283 * sqrt((s.x / b) / a), large);
    t = cp_pair_sum(t, vec2<f32>(1.442695 * rest, 0.0));
    return vec3<f32>(m, t.x, t.y);
}

// log(B(a, b)) of positive finite numbers
fn cp_betaln_positive(p: f32, q: f32) -> f32 {
    let a = min(p, q);
    let b = max(p, q);
    let far = b >= 8.0;
    // adds lgamma of a and b and subtracts lgamma of a + b, except for the terms that Stirling's formula gives below
    var l = 0.0;
    var first = 0;
    if a >= 8.0 {
        first = 3;
    } else if far {
        first = 2;
    }
    for (var i = first; i < 3; i = i + 1) {
        let z = select(select(a + b, b, i == 1), a, i == 2);
        let g = m_lgamma(z);
        l = l + select(g, -g, i == 0);
    }
    if !far {
        return l;
    }
    let rest = cp_stirling_rest(b) - cp_stirling_rest(a + b);
    // if a divisor is above 2^126, WGSL's quotient is inexact and may be 0
    let scale = select(1.0, 0.25, b > 1e37);
    let h = cp_block(a * scale) / cp_block(b * scale);
    let lp = m_log1p(h);
    let lb = cp_log_at(b);
    if a < 8.0 {
        // for a large b, the product (a + b - 1/2) lp is a, even if the device flushes the quotient to 0
        return l + (((a - select((a + b - 0.5) * lp, a, b > 1e10)) - a * lb) + rest);
    }
    let small = -0.5 * lb + 0.9189385 + (cp_stirling_rest(a) + rest);
    return (small + (a - 0.5) * (cp_log_at(max(h, 1.1754944e-38)) - lp)) - b * lp;
}

// log(abs(B(a, b))) for abs(a) and abs(b) up to 1/4. With the quotient (a + b) / (a b), v is the quotient, or the
// quotient over 2^64 if `tiny` is true, and B is the quotient times gamma(1 + a) gamma(1 + b) / gamma(1 + a + b). Where
// the quotient is near 1 or -1, the logarithm is far smaller than the operands, so it is computed by log1p.
fn cp_betaln_small(a: f32, b: f32, v: f32, tiny: bool) -> f32 {
    let w = m_abs(v);
    let s = cp_two_sum(a, b);
    let p = cp_two_product(a, b);
    let sum = select(s, -s, s.x < 0.0);
    let product = select(p, -p, p.x < 0.0);
    let near = w > 0.5 && w < 2.0 && !tiny;
    let change = (cp_block(sum.x - product.x) + (sum.y - product.y)) / product.x;
    let l = select(m_log(w) + select(0.0, 44.361420, tiny), m_log1p(change), near);
    let t = s.x;
    return l + ((a * cp_lgamma_one(a) + b * cp_lgamma_one(b)) - t * cp_lgamma_one(t));
}

// sin(pi (x + low)), with its sign
fn cp_sin_of_pi(x: f32, low: f32) -> f32 {
    let f = floor(x);
    let up = select(0.0, 1.0, x - f > 0.5);
    let n = f + up;
    let d = cp_block(x - n) + low;
    let m = m_abs(d);
    let r = cp_sin_pi(max(min(m, 1.0 - m), 0.0));
    let odd = n * 0.5 != floor(n * 0.5);
    return select(r, -r, (d < 0.0) != odd);
}

// B(a, b) or its logarithm for any operands, from B of two positive numbers
fn cp_beta_any(first: f32, second: f32, logarithm: bool) -> f32 {
    let fm = cp_mag(first);
    let sm = cp_mag(second);
    if fm > 0x7f800000u || sm > 0x7f800000u {
        return cp_nan();
    }
    let swapped = m_lt(second, first);
    let a = select(first, second, swapped);
    let b = select(second, first, swapped);
    let am = cp_mag(a);
    let bm = cp_mag(b);
    let a_low = am == 0u || m_signbit(a);
    let b_low = bm == 0u || m_signbit(b);
    let a_pole = a_low && (am >= 0x4b000000u || cp_mag(floor(a)) == am);
    let b_pole = b_low && (bm >= 0x4b000000u || cp_mag(floor(b)) == bm);
    // near 0, B(a, b) is (a + b) / (a b); here a and b are multiplied by 2^64
    let tiny = max(am, bm) < 0x30000000u;
    if (tiny || (logarithm && max(am, bm) <= 0x3e800000u)) && min(am, bm) > 0u {
        let c = cp_ldexp(a, select(0, 64, tiny));
        let d = cp_ldexp(b, select(0, 64, tiny));
        // divides by c and then by d, because c d may underflow
        let v = cp_block(cp_block(c + d) / c) / d;
        if logarithm {
            return cp_betaln_small(a, b, v, tiny);
        }
        // where a + b is 0, which is a pole of gamma(a + b), B is +0
        if v == 0.0 {
            return 0.0;
        }
        return cp_ldexp(v, 64);
    }
    let b_inf = bm == 0x7f800000u && !b_low;
    var p = a;
    var q = b;
    var p_low = 0.0;
    var q_low = 0.0;
    var factor = 1.0;
    var over = false;
    // a factor of the divisor, used if `over` is true
    var with_b = 1.0;
    let s = cp_two_sum(a, b);
    let sum = s.x + s.y;
    if a_pole || b_pole {
        let whole = a_pole && !b_low && am < 0x7f800000u && bm <= am && floor(b) == b;
        if !whole {
            return cp_inf();
        }
        // gamma has poles in the numerator and in the denominator, and their quotient is finite
        p = 1.0 - s.x;
        factor = select(-1.0, 1.0, b * 0.5 == floor(b * 0.5));
    } else if b_inf {
        if am == 0x7f800000u {
            return cp_nan();
        }
        let away = select(0u, 0x7f800000u, a_low);
        let sine = select(1.0, cp_sin_of_pi(a, 0.0), a_low);
        let sign = select(0u, 0x80000000u, sine < 0.0 && !logarithm);
        let value = cp_pick(0.0, away | sign, true);
        return cp_pick(value, select(0xff800000u, 0x7f800000u, a_low), logarithm);
    } else if a_low {
        let sine = cp_sin_of_pi(a, 0.0);
        let sine_sum = cp_sin_of_pi(s.x, s.y);
        // gamma(a + b) has a pole
        if cp_mag(sine_sum) == 0u && sum <= 0.0 {
            return cp_pick(0.0, 0xff800000u, logarithm);
        }
        if b_low {
            let c = cp_two_sum(1.0, -a);
            let d = cp_two_sum(1.0, -b);
            p = c.x;
            p_low = c.y;
            q = d.x;
            q_low = d.y;
            over = true;
            factor = cp_block(3.14159265 * cp_block(sine_sum / sine)) / cp_sin_of_pi(b, 0.0);
            with_b = 1.0 - sum;
        } else if sum <= 0.0 {
            p = 1.0 - sum;
            factor = sine_sum / sine;
        } else {
            let c = cp_two_sum(1.0, -a);
            p = c.x;
            p_low = c.y;
            q = sum;
            over = true;
            factor = cp_block(3.14159265 / sine);
            with_b = b;
        }
    }
    if logarithm {
        let r = cp_betaln_positive(p, q);
        if !over && factor == 1.0 {
            return r;
        }
        let l = m_log(m_abs(factor));
        return select(l + r, l - (m_log(with_b) + r), over);
    }
    let r = cp_beta_positive(p, q, p_low, q_low);
    // a large divisor is divided by 2^63, so that no quotient is flushed to 0; it stays above 1, so that no quotient
    // overflows
    let far = over && with_b > 1e19 && r.x > 0.0;
    let t = cp_pair_sum(vec2<f32>(r.y, r.z), vec2<f32>(select(0.0, 63.0, far), 0.0));
    let divisor = cp_block(with_b * select(1.0, 1.0842021724855044e-19, far));
    // if the divisor is small, r.x is large: they are multiplied first
    let quotient = select(cp_block(factor / divisor) / r.x, factor / cp_block(divisor * r.x), divisor < 1.0);
    return cp_times_power(select(factor * r.x, quotient, over), select(t, -t, over));
}

fn m_beta(a: f32, b: f32) -> f32 {
    return cp_beta_any(a, b, false);
}

fn m_betaln(a: f32, b: f32) -> f32 {
    return cp_beta_any(a, b, true);
}
