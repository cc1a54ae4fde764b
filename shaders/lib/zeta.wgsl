// Hurwitz' zeta function of f32.

// The sum of (q + k)^-x for x > 1 and q > 0: five terms, and the formula of Euler and Maclaurin (DLMF 25.11.28) for the rest,
// with an error of 2^-31. (q + k)^-x is corrected by what rounding q + k dropped, which counts x times.
fn cp_hurwitz(x: f32, q: f32) -> f32 {
    var sum = 0.0;
    for (var k = 4; k >= 0; k = k - 1) {
        let n = f32(k);
        let s = cp_block(q + n);
        let small = q - cp_block(s - n);
        let large = n - cp_block(s - q);
        let low = select(select(large, small, q < n), 0.0, q > 1e8);
        let term = m_pow(s, m_neg(x));
        let change = term * (x * (low / s));
        sum = sum + cp_pick(cp_block(term - change), bitcast<u32>(term), cp_mag(term) == 0x7f800000u || cp_mag(low) == 0u);
    }
    let a = q + 5.0;
    // beyond 100 the power is 0
    let y = min(x, 100.0);
    let v = 1.0 / a;
    let f1 = (y * v) * v;
    let f2 = f1 * (((y + 1.0) * v) * ((y + 2.0) * v));
    let f3 = f2 * (((y + 3.0) * v) * ((y + 4.0) * v));
    let f4 = f3 * (((y + 5.0) * v) * ((y + 6.0) * v));
    let b = (f1 * 0.083333336 - f2 * 1.3888889e-3) + (f3 * 3.306878e-5 - f4 * 8.2671957e-7);
    let rest = (0.5 * v + b) + 1.0 / (y - 1.0);
    return cp_pick(sum + m_pow(a, 1.0 - y) * rest, 0x7f800000u, cp_mag(sum) == 0x7f800000u);
}

// The same for a q below 0 that is no whole number, and a whole x.
fn cp_zeta_reflected(x: f32, q: f32) -> f32 {
    // -g is the last base below 0, exactly, and 1 - g the first above
    let p = m_abs(q);
    let g = cp_block(p - floor(p));
    let above = cp_hurwitz(x, 1.0 - g);
    let below = cp_hurwitz(x, g);
    let passed = cp_hurwitz(x, 1.0 - q);
    let even = cp_pow_parity(cp_mag(x)) == 2u;
    let over_above = cp_mag(above) == 0x7f800000u;
    let over_below = cp_mag(below) == 0x7f800000u;
    let plain = cp_block(above - below) + passed;
    // where either is infinite, the larger term decides
    let odd = cp_pick(plain, select(0xff800000u, 0x7f800000u, g > 0.5), over_above || over_below);
    let half = select(odd, passed, g == 0.5);
    let both = cp_pick(above + (below - passed), 0x7f800000u, over_above || over_below);
    return select(half, both, even);
}

fn m_zeta(x: f32, q: f32) -> f32 {
    let xm = cp_mag(x);
    let qm = cp_mag(q);
    if xm > 0x7f800000u || qm > 0x7f800000u || m_signbit(x) || xm < 0x3f800000u {
        return cp_nan();
    }
    let whole = qm == 0u || (m_signbit(q) && cp_mag(m_trunc(q)) == qm);
    if xm == 0x3f800000u || whole {
        return cp_inf();
    }
    if xm == 0x7f800000u {
        // the limit of q^-x
        let r = cp_pick(select(0.0, 1.0, qm == 0x3f800000u), 0x7f800000u, qm < 0x3f800000u);
        return cp_pick(r, 0x7fc00000u, m_signbit(q));
    }
    if qm == 0x7f800000u {
        return 0.0;
    }
    if !m_signbit(q) {
        return cp_hurwitz(x, q);
    }
    if cp_pow_parity(xm) == 0u {
        return cp_nan();
    }
    return cp_zeta_reflected(x, q);
}
