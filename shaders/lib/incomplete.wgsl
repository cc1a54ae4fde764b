// The incomplete gamma functions of f32, by the methods of src/math/double/incomplete.rs, which names the sources.
// Exponents are sums of two numbers, because a power of 2^100 multiplies their errors by 100. Each heavy function
// occurs only once in the source, because drivers copy a function into each place that calls it.

// a + b as the rounded sum and its rounding error
fn cp_two_sum(a: f32, b: f32) -> vec2<f32> {
    let s = cp_block(a + b);
    let c = cp_block(s - a);
    let d = cp_block(s - c);
    return vec2<f32>(s, cp_block(a - d) + cp_block(b - c));
}

// a b as the rounded product and its rounding error
fn cp_two_product(a: f32, b: f32) -> vec2<f32> {
    let p = cp_block(a * b);
    let ah = cp_head(a);
    let bh = cp_head(b);
    let al = cp_block(a - ah);
    let bl = cp_block(b - bh);
    let e = cp_block(cp_block(ah * bh) - p);
    return vec2<f32>(p, cp_block(cp_block(e + ah * bl) + al * bh) + al * bl);
}

// The product of two numbers, each of which is a sum of two floats
fn cp_pair_product(x: vec2<f32>, y: vec2<f32>) -> vec2<f32> {
    let p = cp_two_product(x.x, y.x);
    return vec2<f32>(p.x, p.y + (x.x * y.y + x.y * y.x));
}

fn cp_pair_sum(x: vec2<f32>, y: vec2<f32>) -> vec2<f32> {
    let s = cp_two_sum(x.x, y.x);
    return cp_two_sum(s.x, s.y + (x.y + y.y));
}

// x log2(e), where x and the result are sums of two floats
fn cp_pair_log2e(x: vec2<f32>) -> vec2<f32> {
    return cp_pair_product(x, vec2<f32>(1.44269502, 1.92596299e-8));
}

// v 2^(t.x + t.y), scaled exactly; from 2^400 on the result is Inf, and from 2^-400 down it is 0
fn cp_times_power(v: f32, t: vec2<f32>) -> f32 {
    let x = clamp(t.x + t.y, -400.0, 400.0);
    let n = floor(x + 0.5);
    let r = cp_block(t.x - n) + t.y;
    let s = cp_pick(r, 0u, m_abs(x) >= 400.0);
    // a large v is multiplied by 1/4 first, so that its product does not overflow; cp_ldexp accepts only finite numbers
    let big = cp_mag(v) >= 0x7e000000u;
    let y = cp_block(v * select(1.0, 0.25, big)) * (1.0 + s * cp_exp2_poly(s));
    return cp_pick(cp_ldexp(y, i32(n) + select(0, 2, big)), bitcast<u32>(v), m_isinf(v));
}

// The two parts of gamma(z + 1) for z = n + d, abs(d) <= 1/2: the product (d + 1) (d + 2) … (d + n), and log(gamma(1 +
// d))
fn cp_gamma_parts(z: f32) -> vec2<f32> {
    let n = floor(z + 0.5);
    let d = cp_block(z - n);
    var p = 1.0;
    for (var i = 1.0; i <= n; i = i + 1.0) {
        p = p * (d + i);
    }
    return vec2<f32>(p, d * cp_lgamma_one(d));
}

// log(gamma(a)) - (a - 1/2) log(a) + a - log(sqrt(2 pi)) for a >= 8
fn cp_stirling_rest(a: f32) -> f32 {
    let v = 1.0 / a;
    let w = v * v;
    return v * (0.083333333 - w * (2.7777778e-3 - w * 7.9365079e-4));
}

// m - log(1 + m) for m = (x - a) / a, abs(m) <= 0.29
fn cp_log_rest(x: f32, a: f32) -> vec2<f32> {
    let d = cp_block(x - a);
    let m = cp_block(d / a);
    let p = cp_two_product(m, a);
    let m_low = (cp_block(d - p.x) - p.y) / a;
    let t = cp_two_sum(2.0, m);
    let s = cp_block(m / t.x);
    let q = cp_two_product(s, t.x);
    let s_low = ((cp_block(m - q.x) - q.y) + (m_low - s * (t.y + m_low))) / t.x;
    let z = s * s;
    let w = z * (0.66666667 + z * (0.4 + z * (0.28571429 + z * (0.22222222 + z * 0.195))));
    let u = cp_two_sum(m, -w);
    return cp_pair_product(vec2<f32>(s, s_low), vec2<f32>(u.x, u.y + m_low));
}

// The sum of Temme's expansion, for a >= 16 and abs(e) <= 0.34
fn cp_temme(a: f32, e: f32) -> f32 {
    let v = 1.0 / a;
    let c0 = -0.333333343 + e * (0.0833333358 + e * (-0.0148148146 + e * (0.00115740742 + e * (0.000352733681 + e * (-0.000178755145 + e * (3.91926333e-05 + e * -2.18544847e-06))))));
    let c1 = -0.00185185182 + e * (-0.00347222225 + e * (0.00264550257 + e * (-0.000990226283 + e * (0.000205761316 + e * (-4.01877571e-07 + e * -1.80985498e-05)))));
    let c2 = 0.00413359795 + e * (-0.00268132705 + e * (0.000771604944 + e * (2.0093878e-06 + e * (-0.000107366533 + e * 5.29234494e-05))));
    let c3 = 0.000649434165 + e * (0.000229472091 + e * (-0.000469189486 + e * 0.000267720636));
    let c4 = -0.000861888286 + e * 0.000784039206;
    return c0 + v * (c1 + v * (c2 + v * (c3 + v * c4)));
}

// Q(a, x) divided by x^a e^-x / gamma(a), for x > 1.1 and x > a
fn cp_gamma_fraction(a: f32, x: f32) -> f32 {
    let b = cp_block(x - a) + 1.0;
    var n = floor(14.0 + 50.0 / x);
    var rest = b + 2.0 * n;
    for (; n > 0.0; n = n - 1.0) {
        rest = (b + 2.0 * (n - 1.0)) - n * ((n - a) / rest);
    }
    return 1.0 / rest;
}

// The sum of x^n / ((a + 1) … (a + n)) for n = 0, 1, …
fn cp_gamma_series(a: f32, x: f32) -> f32 {
    var sum = 1.0;
    var term = 1.0;
    for (var n = 1; n < 100; n = n + 1) {
        term = term * (x / (a + f32(n)));
        sum = sum + term;
        if term < 1e-9 * sum {
            break;
        }
    }
    return sum;
}

// Q(a, x) for x <= 1.1, if a is not much larger than x
fn cp_gamma_upper(a: f32, x: f32) -> f32 {
    let far = a > 0.5;
    let d = select(a, a - 1.0, far);
    let g = a * cp_log_at(x) - d * select(cp_lgamma_one(d), cp_lgamma_two(d), far);
    let less = m_expm1(g);
    var sum = 0.0;
    var power = 1.0;
    for (var n = 1.0; n < 14.0; n = n + 1.0) {
        power = power * (-x / n);
        sum = sum + power / (a + n);
    }
    return -less - (1.0 + less) * (a * sum);
}

// Returns P(a, x) and Q(a, x) for positive finite a and x
fn cp_gamma_both(a: f32, x: f32) -> vec2<f32> {
    let large = a >= 16.0;
    let above = x > a;
    if x <= 1.1 && !large {
        let rare = select(a <= 1.1 * x, a * cp_log_at(x) > -0.4, x <= 0.5);
        if rare {
            let q = cp_gamma_upper(a, x);
            return vec2<f32>(1.0 - q, q);
        }
    }
    // the exponent of 2 in x^a e^-x / gamma(a), or in (x / a)^a e^(a - x) for a large a
    var t: vec2<f32>;
    var factor: f32;
    if large && m_abs(x - a) < 0.29 * a {
        let rest = cp_log_rest(x, a);
        let size = cp_pair_product(vec2<f32>(-a, 0.0), rest);
        t = cp_pair_log2e(size);
        let e = sqrt(2.0 * rest.x);
        let part = cp_temme(a, select(-e, e, above)) * (0.39894228 / sqrt(a));
        factor = 0.5 * m_erfcx(sqrt(-size.x)) + select(-part, part, above);
    } else {
        // beyond these bounds the power of x is 0
        let y = select(min(x, 2000.0), x, large);
        let r = select(y, clamp(y / a, 1e-30, 1e30), large);
        let p = cp_two_product(r, a);
        let r_low = select(0.0, (cp_block(y - p.x) - p.y) / a, large && r > 1e-30 && r < 1e30);
        let l = cp_pow_log2(cp_mag(r));
        let less = cp_pair_log2e(cp_two_sum(y, select(0.0, -a, large)));
        let logs = cp_pair_product(vec2<f32>(a, 0.0), vec2<f32>(l.x, l.y + (r_low / r) * 1.442695));
        t = cp_pair_sum(logs, -less);
        let parts = cp_gamma_parts(select(a, 1.0, large));
        let less_gamma = select(parts.y, cp_stirling_rest(a), large);
        t = cp_pair_sum(t, vec2<f32>(-1.442695 * less_gamma, 0.0));
        factor = select(1.0 / parts.x, 0.39894228 / sqrt(a), large);
        if x > 1.1 && above {
            factor = factor * (a * cp_gamma_fraction(a, x));
        } else {
            factor = factor * cp_gamma_series(a, x);
        }
    }
    let r = min(cp_times_power(factor, t), 1.0);
    let upper = above && (x > 1.1 || large);
    return select(vec2<f32>(r, 1.0 - r), vec2<f32>(1.0 - r, r), upper);
}

fn cp_gamma_ends(a: f32, x: f32, upper: bool) -> f32 {
    let am = cp_mag(a);
    let xm = cp_mag(x);
    let outside = am > 0x7f800000u || xm > 0x7f800000u || (m_signbit(a) && am != 0u) || (m_signbit(x) && xm != 0u);
    let unclear = (am == 0u && xm == 0u) || (am == 0x7f800000u && xm == 0x7f800000u);
    if outside || unclear {
        return cp_nan();
    }
    let whole = am == 0u || xm == 0x7f800000u;
    if whole || xm == 0u || am == 0x7f800000u {
        return select(0.0, 1.0, whole != upper);
    }
    let r = cp_gamma_both(a, x);
    return select(r.x, r.y, upper);
}

fn m_gammainc(a: f32, x: f32) -> f32 {
    return cp_gamma_ends(a, x, false);
}

fn m_gammaincc(a: f32, x: f32) -> f32 {
    return cp_gamma_ends(a, x, true);
}
