// Activation functions of f32 that have parameters or corners, and products with logarithms.

// log(x / (1 - x)). For x between 1/4 and 3/4 it is 2 atanh(2 x - 1), where 2 x - 1 is exact, by the polynomial of
// m_atanh. Elsewhere it is the difference of two logarithms.
fn m_logit(x: f32) -> f32 {
    let mag = cp_mag(x);
    let out = m_signbit(x) || mag >= 0x3f800000u || mag == 0u;
    let s = cp_pick(x, 0x3f000000u, out);
    // both sums are opaque: a driver may otherwise compute s - (1 - s), which rounds, or first add other terms to s + s
    let t = cp_block(cp_block(s + s) - 1.0);
    let z = t * t;
    let p = 1.81740078349e-1 * z + 8.24370301058e-2;
    let q = p * z + 1.46691431730e-1;
    let u = q * z + 1.99782164500e-1;
    let v = u * z + 3.33337300303e-1;
    let middle = 2.0 * (t + (t * z) * v);
    let outer = cp_log_at(s) - cp_log_at(1.0 - s);
    let r = select(outer, middle, cp_mag(t) <= 0x3f000000u);
    let half = cp_pick(r, 0u, cp_mag(t) == 0u);
    let end = cp_pick(half, select(0xff800000u, 0x7f800000u, mag != 0u), mag == 0u || bitcast<u32>(x) == 0x3f800000u);
    return cp_pick(end, 0x7fc00000u, (m_signbit(x) && mag != 0u) || mag > 0x3f800000u);
}

// x l. The result is 0 where x is 0, and NaN where `nan` is true. Infinite results are written as bits.
fn cp_times_log(x: f32, l: f32, nan: bool) -> f32 {
    let xm = cp_mag(x);
    let lm = cp_mag(l);
    let sign = cp_sgn(x) ^ cp_sgn(l);
    let ends = xm == 0x7f800000u || lm == 0x7f800000u;
    let r = cp_pick(cp_pick(x, 0u, xm >= 0x7f800000u) * cp_pick(l, 0u, lm >= 0x7f800000u), sign | 0x7f800000u, ends);
    let bad = xm > 0x7f800000u || lm > 0x7f800000u || (xm == 0x7f800000u && lm == 0u);
    let number = cp_pick(r, 0x7fc00000u, bad);
    return cp_pick(number, select(0u, 0x7fc00000u, nan), xm == 0u || nan);
}

fn m_xlogy(x: f32, y: f32) -> f32 {
    return cp_times_log(x, m_log(y), m_isnan(y));
}

fn m_xlog1py(x: f32, y: f32) -> f32 {
    return cp_times_log(x, m_log1p(y), m_isnan(y));
}

// -x log(x)
fn m_entr(x: f32) -> f32 {
    let mag = cp_mag(x);
    let out = m_signbit(x) || mag >= 0x7f800000u || mag == 0u;
    let s = cp_pick(x, 0x3f800000u, out);
    let r = m_neg(s * cp_log_at(s));
    let inf = cp_pick(r, 0xff800000u, mag == 0x7f800000u || m_signbit(x));
    // -x log(x) overflows for the largest x, as it should
    let zero = cp_pick(inf, 0u, mag == 0u);
    return cp_pick(zero, 0x7fc00000u, mag > 0x7f800000u);
}

fn m_hard_tanh(x: f32) -> f32 {
    return cp_pick(x, cp_sgn(x) | 0x3f800000u, cp_mag(x) > 0x3f800000u && !m_isnan(x));
}

// x / 6 + 1/2 for x from -3 to 3; below that it is 0, and above it is 1.
fn m_hard_sigmoid(x: f32) -> f32 {
    let far = cp_mag(x) >= 0x40400000u;
    let r = cp_block(cp_pick(x, 0u, far) + 3.0) / 6.0;
    let ends = cp_pick(r, select(0x3f800000u, 0u, m_signbit(x)), far);
    return cp_pick(ends, 0x7fc00000u, m_isnan(x));
}

fn m_hard_swish(x: f32) -> f32 {
    let far = cp_mag(x) >= 0x40400000u;
    let s = cp_pick(x, 0u, far);
    let r = s * (cp_block(s + 3.0) / 6.0);
    let ends = cp_pick(r, select(bitcast<u32>(x), 0x80000000u, m_signbit(x)), far);
    return cp_pick(ends, 0x7fc00000u, m_isnan(x));
}

// a b where a or b may be Inf or NaN; such results are written as bits
fn cp_product(a: f32, b: f32) -> f32 {
    let am = cp_mag(a);
    let bm = cp_mag(b);
    let inf = am == 0x7f800000u || bm == 0x7f800000u;
    let r = cp_pick(a, 0u, am >= 0x7f800000u) * cp_pick(b, 0u, bm >= 0x7f800000u);
    let ends = cp_pick(r, 0x7f800000u | (cp_sgn(a) ^ cp_sgn(b)), inf);
    return cp_pick(ends, 0x7fc00000u, am > 0x7f800000u || bm > 0x7f800000u || (inf && (am == 0u || bm == 0u)));
}

// x where x >= 0 (also for -0), `below` where x < 0, NaN where x is NaN
fn cp_above(x: f32, below: f32) -> f32 {
    let r = cp_pick(below, bitcast<u32>(x), !m_signbit(x) || cp_mag(x) == 0u);
    return cp_pick(r, 0x7fc00000u, m_isnan(x));
}

fn m_leaky_relu(x: f32, slope: f32) -> f32 {
    return cp_above(x, cp_product(x, slope));
}

fn m_elu(x: f32, alpha: f32) -> f32 {
    return cp_above(x, cp_product(m_expm1(x), alpha));
}

fn m_selu(x: f32) -> f32 {
    let scaled = cp_product(x, 1.05070099);
    let below = m_expm1(x) * 1.75809934;
    let r = cp_pick(below, bitcast<u32>(scaled), !m_signbit(x) || cp_mag(x) == 0u);
    return cp_pick(r, 0x7fc00000u, m_isnan(x));
}
