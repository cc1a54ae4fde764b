// The digamma function of f32.

// psi(x0 + d) / d, where x0 = 1.4616321... is the positive zero of psi, for 1 <= x0 + d <= 2: a near-minimax fit of our
// own (error 2^-25)
fn cp_digamma_root(d: f32) -> f32 {
    let a = 0.010902588 * d - 0.020556709;
    let b = a * d + 0.023491208;
    let c = b * d - 0.031981826;
    let e = c * d + 0.048563838;
    let f = e * d - 0.07231595;
    let g = f * d + 0.10784524;
    let h = g * d - 0.163938;
    let i = h * d + 0.25849915;
    let j = i * d - 0.4427632;
    return j * d + 0.9676722;
}

// psi(x) for x >= 2. From 8 on it is computed by the asymptotic series (Abramowitz and Stegun, 6.3.18). Below 8 the
// series is computed at x + 8, and 1/x + ... + 1/(x + 7) is subtracted: with b = x (x + 7), a term from the beginning
// and a term from the end add up to (2 x + 7) over b, b + 6, b + 10 or b + 12.
fn cp_digamma_far(x: f32) -> f32 {
    let low = x < 8.0;
    let b = x * (x + 7.0);
    let s = (1.0 / (b + 12.0) + 1.0 / (b + 10.0)) + (1.0 / (b + 6.0) + 1.0 / b);
    let z = select(x, x + 8.0, low);
    let v = 1.0 / z;
    let w = v * v;
    let p = (3.8735883e-3 * w - 8.332783e-3) * w + 8.3333336e-2;
    let r = cp_log_at(z) - (0.5 * v + w * p);
    return select(r, r - (x + x + 7.0) * s, low);
}

// psi(x) for x > 0; below 1 it is computed from psi(x + 1)
fn cp_digamma_pos(x: f32) -> f32 {
    let small = x < 1.0;
    let y = select(x, x + 1.0, small);
    // subtracts x0 as two numbers, the first of 24 bits; if x is below 1, the difference x - (x0 - 1) is exact
    let d = cp_block(select(x - 1.46163213, x - 0.46163213, small)) - 1.24381499e-8;
    let near = d * cp_digamma_root(d);
    let r = select(cp_digamma_far(max(y, 2.0)), near, y <= 2.0);
    return select(r, r - 1.0 / x, small);
}

fn m_digamma(x: f32) -> f32 {
    let mag = cp_mag(x);
    let neg = m_signbit(x);
    let whole = neg && cp_mag(m_trunc(x)) == mag;
    let out = mag == 0u || mag >= 0x7f800000u || whole;
    let s = cp_pick(x, 0x3f800000u, out);
    let r = cp_digamma_pos(select(s, 1.0 - s, neg));
    // the reflection formula: psi(x) = psi(1 - x) - pi / tan(pi x)
    let p = cp_half_turns(s);
    let t = cp_tan_poly(cp_times_pi(p.x));
    let odd = (u32(p.y) & 1u) == 1u;
    let c = select(3.14159274 / t, -3.14159274 * t, odd);
    let full = cp_pick(select(r, r - c, neg), 0u, out);
    // below 2^-30 the result is -1 / x, because everything else is rounded away; pi x would lose bits as a subnormal
    let pole = cp_pick(full, bitcast<u32>(-1.0 / s), mag < 0x30800000u);
    // below 2^-128, 1 / x overflows
    let tiny = cp_pick(pole, 0x7f800000u | (cp_sgn(x) ^ 0x80000000u), mag <= 0x00200000u);
    let inf = cp_pick(tiny, 0x7f800000u, bitcast<u32>(x) == 0x7f800000u);
    return cp_pick(inf, 0x7fc00000u, mag > 0x7f800000u || (whole && mag != 0u));
}
