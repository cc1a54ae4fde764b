// Special and activation functions of f32.

// erf on [-0.92, 0.92]: N. Juffa's polynomial (erff with 0.995 ULP)
fn cp_erf_small(a: f32) -> f32 {
    let s = a * a;
    let p = -5.96761703e-4 * s + 4.99119423e-3;
    let q = p * s - 2.67681349e-2;
    let r = q * s + 1.12819925e-1;
    let t = r * s - 3.76125336e-1;
    let u = t * s + 1.28379166e-1;
    return u * a + a;
}

// erf on larger numbers as 1 - exp(polynomial): N. Juffa
fn cp_erf_large(t: f32) -> f32 {
    let s = t * t;
    let p = -1.72853470e-5 * t + 3.83197126e-4;
    let u = -3.88396438e-3 * t + 2.42546219e-2;
    let q = p * s + u;
    let r = q * t - 1.06777877e-1;
    let v = r * t - 6.34846687e-1;
    let w = v * t - 1.28717512e-1;
    return 1.0 - cp_exp_near(w * t - t, 0.0);
}

fn m_erf(x: f32) -> f32 {
    let mag = cp_mag(x);
    // erf is 1 from 4 on
    let a = cp_pick(bitcast<f32>(mag), 0x40800000u, mag > 0x40800000u);
    var r = select(cp_erf_small(a), cp_erf_large(a), mag > 0x3f6c0000u);
    // small numbers give 2 / sqrt(pi) x, also if they are subnormal
    if mag < 0x10000000u {
        r = cp_mul(a, 1.12837917);
    }
    let one = cp_pick(r, 0x3f800000u, mag >= 0x40800000u);
    let nan = cp_pick(one, 0x7fc00000u, mag > 0x7f800000u);
    return m_copysign(nan, x);
}

// erfc(x) * 2^dn for 0.45 <= x <= 10.5, as exp(-x^2) P(q) / (x + 2) with q = (x - 2) / (x + 2). P is a near-minimax fit
// of our own (error 2^-25.6) of exp(x^2) erfc(x) (x + 2). The exponential gets x^2 as the sum of an exact head and a
// tail.
fn cp_erfc_pos(x: f32, dn: i32) -> f32 {
    let p = cp_erfc_parts(x);
    return p.x * cp_exp_at(p.y, p.z, dn);
}

// Returns P(q) / (x + 2), and the head and the tail of -x^2
fn cp_erfc_parts(x: f32) -> vec3<f32> {
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
    let z = cp_head(x);
    return vec3<f32>(h * v, -(z * z), (z - x) * (x + z));
}

fn m_erfc(x: f32) -> f32 {
    // below 0.47 erfc is computed from erf; above 10.5 it is 0, and below -10.5 it is 2
    let mag = cp_mag(x);
    let neg = m_signbit(x);
    let a = cp_pick(bitcast<f32>(mag), 0x41280000u, mag > 0x41280000u);
    let small = 1.0 - m_copysign(cp_erf_small(a), x);
    let c = cp_erfc_pos(cp_pick(a, 0x3f800000u, mag < 0x3ee66666u), 0);
    let big = select(c, 2.0 - c, neg);
    let r = select(big, small, mag < 0x3ef0a3d7u);
    let end = cp_pick(r, select(0u, 0x40000000u, neg), mag > 0x41280000u);
    return cp_pick(end, 0x7fc00000u, mag > 0x7f800000u);
}

// N. Juffa's erfinvf: x times a polynomial of log(1 - x^2)
fn m_erfinv(x: f32) -> f32 {
    let mag = cp_mag(x);
    let a = cp_pick(bitcast<f32>(mag), 0u, mag >= 0x3f800000u);
    let t = cp_log_at(cp_block(1.0 - a) * cp_block(1.0 + a));
    let far = t < -6.125;
    let p1 = 3.03697567e-10 * t + 2.93243101e-8;
    let p2 = p1 * t + 1.22150334e-6;
    let p3 = p2 * t + 2.84108955e-5;
    let p4 = p3 * t + 3.93552968e-4;
    let p5 = p4 * t + 3.02698812e-3;
    let p6 = p5 * t + 4.83185798e-3;
    let p7 = p6 * t - 2.64646143e-1;
    let p8 = p7 * t + 8.40016484e-1;
    let q1 = 5.43877832e-9 * t + 1.43285448e-7;
    let q2 = q1 * t + 1.22774793e-6;
    let q3 = q2 * t + 1.12963626e-7;
    let q4 = q3 * t - 5.61530760e-5;
    let q5 = q4 * t - 1.47697632e-4;
    let q6 = q5 * t + 2.31468678e-3;
    let q7 = q6 * t + 1.15392581e-2;
    let q8 = q7 * t - 2.32015476e-1;
    let q9 = q8 * t + 8.86226892e-1;
    let r = a * select(q9, p8, far);
    let one = cp_pick(r, 0x7f800000u, mag == 0x3f800000u);
    let nan = cp_pick(one, 0x7fc00000u, mag > 0x3f800000u);
    return m_copysign(nan, x);
}

// lgamma(1 + d) / d on [-0.5, 0.5]: a near-minimax fit of our own against mpmath (relative error 2^-26)
fn cp_lgamma_one(d: f32) -> f32 {
    let a = 1.5697202e-1 * d - 1.7789711e-1;
    let b = a * d + 5.291148e-2;
    let c = b * d - 5.039691e-2;
    let e = c * d + 1.0467881e-1;
    let f = e * d - 1.1878756e-1;
    let g = f * d + 1.2523788e-1;
    let h = g * d - 1.433691e-1;
    let i = h * d + 1.6955745e-1;
    let j = i * d - 2.0741466e-1;
    let k = j * d + 2.7058125e-1;
    let l = k * d - 4.0068516e-1;
    let m = l * d + 8.22467e-1;
    return m * d - 5.772157e-1;
}

// lgamma(2 + d) / d on [-0.5, 1]: a near-minimax fit like the one above (error 2^-25)
fn cp_lgamma_two(d: f32) -> f32 {
    let a = -2.0516407e-5 * d + 9.5823045e-5;
    let b = a * d - 2.3864974e-4;
    let c = b * d + 5.1770057e-4;
    let e = c * d - 1.1898209e-3;
    let f = e * d + 2.8883275e-3;
    let g = f * d - 7.3857647e-3;
    let h = g * d + 2.058101e-2;
    let i = h * d - 6.7352295e-2;
    let j = i * d + 3.2246703e-1;
    return j * d + 4.2278433e-1;
}

// lgamma by Stirling's series for x >= 8, as in FreeBSD's e_lgammaf_r
fn cp_lgamma_stirling(x: f32) -> f32 {
    let t = cp_log_at(x);
    let z = 1.0 / x;
    let y = z * z;
    let a = -1.6309292987e-3 * y + 8.3633989561e-4;
    let b = a * y - 5.9518753551e-4;
    let c = b * y + 7.9365057172e-4;
    let d = c * y - 2.7777778450e-3;
    let e = d * y + 8.3333335817e-2;
    let w = e * z + 4.1893854737e-1;
    return (x - 0.5) * (t - 1.0) + w;
}

// lgamma for -11.5 < x < 8. With x = n + d, gamma(x) is gamma(2 + d) or gamma(1 + d), multiplied or divided by a
// product. So the error stays small in absolute terms where the logarithm is near zero.
fn cp_lgamma_mid(x: f32) -> f32 {
    let up = x >= 1.5;
    let n = select(floor(x + 0.5), max(floor(x), 2.0), up);
    let d = select(x - n, x, n == 0.0);
    var prod = select(1.0, d, !up && n <= 0.0);
    let first = select(-1.0, 2.0, up);
    let step = select(-1.0, 1.0, up);
    let count = i32(select(-n, n - 2.0, up));
    var f = first;
    for (var i = 0; i < count; i = i + 1) {
        prod = prod * (d + f);
        f = f + step;
    }
    let l = cp_log_at(prod);
    let g = d * select(cp_lgamma_one(d), cp_lgamma_two(d), up);
    let r = select(g - l, g + l, up);
    return cp_pick(r, 0u, cp_mag(r) == 0u);
}

// sin(pi d) for 0 <= d <= 0.5
fn cp_sin_pi(d: f32) -> f32 {
    return select(cp_sin_poly(3.14159265 * d), cp_cos_poly(3.14159265 * (0.5 - d)), d > 0.25);
}

fn m_lgamma(x: f32) -> f32 {
    let mag = cp_mag(x);
    let neg = m_signbit(x);
    let whole = cp_mag(m_trunc(x)) == mag;
    // the result is Inf at poles, for Inf, and from 4.085e36 on, where it overflows
    let pole = mag == 0u || (neg && whole) || mag >= 0x7c44af8eu;
    if mag > 0x7f800000u {
        return cp_nan();
    }
    if pole {
        return cp_inf();
    }
    if mag < 0x41000000u || (neg && mag < 0x41380000u) {
        return cp_lgamma_mid(x);
    }
    let a = bitcast<f32>(mag);
    let l = cp_lgamma_stirling(a);
    if !neg {
        return l;
    }
    // gamma(x) gamma(-x) = -pi / (x sin(pi x))
    let d = m_abs(a - floor(a + 0.5));
    let t = cp_log_at(a * cp_sin_pi(d));
    return (1.14472989 - t) - l;
}

// x / (1 + e^-z), computed as one quotient, for z within +-87.
fn cp_gate_near(x: f32, z: f32) -> f32 {
    let e = cp_exp_near(m_neg(m_abs(z)), 0.0);
    return x * (select(1.0, e, m_signbit(z)) / (1.0 + e));
}

// x / (1 + e^-z) for any z. For z < 0 it is e^z x / (1 + e^z). There, e^z is computed times 2^24 so that it is not
// subnormal, and the last product removes this factor.
fn cp_gate(x: f32, z: f32) -> f32 {
    let neg = m_signbit(z);
    let t = cp_exp_neg(m_abs(z), 0);
    let u = cp_exp_neg(m_abs(z), 24);
    let q = select(1.0, u, neg) / (1.0 + t);
    return (x * q) * select(1.0, 5.9604645e-8, neg);
}

fn m_sigmoid(x: f32) -> f32 {
    var r = cp_gate_near(1.0, x);
    // rare
    if cp_mag(x) > 0x42ae0000u {
        r = cp_pick(cp_gate(1.0, x), 0x7fc00000u, m_isnan(x));
    }
    return r;
}

// r if x is finite; 0 for -Inf, Inf for Inf, NaN for NaN
fn cp_gate_ends(r: f32, x: f32) -> f32 {
    let mag = cp_mag(x);
    let inf = cp_pick(r, select(0x7f800000u, 0u, m_signbit(x)), mag == 0x7f800000u);
    return cp_pick(inf, 0x7fc00000u, mag > 0x7f800000u);
}

fn m_silu(x: f32) -> f32 {
    var r = cp_gate_near(x, x);
    // rare
    if cp_mag(x) > 0x42ae0000u {
        let s = cp_pick(x, 0u, cp_mag(x) >= 0x7f800000u);
        r = cp_gate_ends(cp_gate(s, s), x);
    }
    return r;
}

// 2 u / x, where u = sqrt(2 / pi) (x + 0.044715 x^3)
fn cp_gelu_poly(x: f32) -> f32 {
    return 0.0713548162726 * (x * x) + 1.5957691216;
}

// x / (1 + exp(-2 u)) with u = sqrt(2 / pi) (x + 0.044715 x^3). It equals x (1 + tanh u) / 2, but has no cancellation
fn m_gelu_tanh(x: f32) -> f32 {
    var r = cp_gate_near(x, x * cp_gelu_poly(x));
    // rare
    if cp_mag(x) > 0x41000000u {
        let s = cp_pick(x, 0u, cp_mag(x) >= 0x7f800000u);
        // beyond 20, the factor of x is 0 or 1
        let c = cp_pick(s, 0x41a00000u | cp_sgn(x), cp_mag(s) > 0x41a00000u);
        r = cp_gate_ends(cp_gate(s, c * cp_gelu_poly(c)), x);
    }
    return r;
}

// x erfc(-x / sqrt 2) / 2
fn m_gelu(x: f32) -> f32 {
    let w = x * 0.70710678;
    // the factor of x is (1 + erf(w)) / 2 if abs(w) is below 0.47, elsewhere erfc(-w) / 2. The number added to n is one
    // less than for cp_exp_put, so that the result is halved
    let one = 0.5 + 0.5 * cp_erf_small(w);
    let p = cp_erfc_parts(abs(w));
    let n = cp_exp_n(p.y);
    let c = p.x * cp_exp_put(1.0 + cp_expm1_poly(cp_exp_rest(p.y, p.z, n)), n + 12582911.0);
    var r = x * select(select(1.0 - c, c, m_signbit(x)), one, abs(w) < 0.47);
    // the branch is for the tails, Inf and NaN
    // rare
    if cp_mag(x) > 0x41300000u {
        r = cp_gelu_any(x);
    }
    return r;
}

fn cp_gelu_any(x: f32) -> f32 {
    let mag = cp_mag(x);
    let neg = m_signbit(x);
    let s = cp_pick(x, 0u, mag >= 0x7f800000u);
    let w = m_abs(s) * 0.70710678;
    let y = cp_pick(w, 0x41280000u, cp_mag(w) > 0x41280000u);
    // below 0.47 the factor is 1 + erf, elsewhere erfc. In the left tail erfc is computed times 2^24, so that it is not
    // subnormal
    let one = 1.0 + m_copysign(cp_erf_small(y), x);
    let c = cp_erfc_pos(cp_pick(y, 0x3f800000u, cp_mag(y) < 0x3ee66666u), select(0, 24, neg));
    let tail = cp_pick(c, 0u, cp_mag(w) > 0x41280000u);
    let big = select(2.0 - tail, tail, neg);
    let small = cp_mag(y) < 0x3ef0a3d7u;
    let k = select(1.0, 5.9604645e-8, neg && !small);
    return cp_gate_ends(((0.5 * s) * select(big, one, small)) * k, x);
}

// log(1 + e^x)
fn m_softplus(x: f32) -> f32 {
    let neg = m_signbit(x);
    let l = cp_log1p_at(cp_exp_neg(m_abs(x), 0), 0.0);
    let r = select(cp_pick(x, 0u, m_isnan(x)) + l, l, neg);
    let inf = cp_pick(r, select(0x7f800000u, 0u, neg), cp_mag(x) == 0x7f800000u);
    return cp_pick(inf, 0x7fc00000u, m_isnan(x));
}
