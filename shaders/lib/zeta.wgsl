// Hurwitz' zeta function of f32.

// The sum of (q + k)^-x for x > 1 and q > 0. Five terms are added, and the formula of Euler and Maclaurin (DLMF
// 25.11.28) gives the rest, with an error of 2^-31. Each (q + k)^-x is corrected for the rounding error of q + k, which
// x multiplies. The power occurs only once in the source, and so does the call of this function, because drivers copy a
// function into each place that calls it: with 24 copies of a power one software driver took minutes and gigabytes for
// a kernel.
fn cp_hurwitz(x: f32, q: f32) -> f32 {
    // beyond 100, the power of q + 5 in the rest is 0
    let y = min(x, 100.0);
    // terms below 2^-60 are multiplied by 2^64, so that none is subnormal while the sum is not, because some devices
    // treat subnormals as 0
    let small = x * log2(q) > 60.0;
    let shift = select(0, 64, small);
    var sum = 0.0;
    var tail = 0.0;
    for (var k = 5; k >= 0; k = k - 1) {
        let n = f32(k);
        let s = cp_block(q + n);
        let rest = k == 5;
        let term = cp_pow_at(bitcast<u32>(s), select(-x, 1.0 - y, rest), shift);
        if rest {
            tail = term;
        } else {
            let drop_q = q - cp_block(s - n);
            let drop_n = n - cp_block(s - q);
            let low = select(select(drop_n, drop_q, q < n), 0.0, q > 1e8);
            let change = term * (x * (low / s));
            let exact = cp_mag(term) == 0x7f800000u || cp_mag(low) == 0u;
            sum = sum + cp_pick(cp_block(term - change), bitcast<u32>(term), exact);
        }
    }
    let v = 1.0 / (q + 5.0);
    let f1 = (y * v) * v;
    let f2 = f1 * (((y + 1.0) * v) * ((y + 2.0) * v));
    let f3 = f2 * (((y + 3.0) * v) * ((y + 4.0) * v));
    let f4 = f3 * (((y + 5.0) * v) * ((y + 6.0) * v));
    let b = (f1 * 0.083333336 - f2 * 1.3888889e-3) + (f3 * 3.306878e-5 - f4 * 8.2671957e-7);
    let factor = (0.5 * v + b) + 1.0 / (y - 1.0);
    // the scale of small sums is 2^-64
    let scale = select(1.0, 5.421010862427522e-20, small);
    return cp_pick((sum + tail * factor) * scale, 0x7f800000u, cp_mag(sum) == 0x7f800000u);
}

// The zeta function for a negative q that is not a whole number, and a whole x. `above`, `below` and `passed` are the
// sums with the bases 1 - g, g and 1 - q, where -g is exactly the last base below 0, and 1 - g the first base above 0.
fn cp_zeta_reflected(x: f32, g: f32, above: f32, below: f32, passed: f32) -> f32 {
    let even = cp_pow_parity(cp_mag(x)) == 2u;
    let over_above = cp_mag(above) == 0x7f800000u;
    let over_below = cp_mag(below) == 0x7f800000u;
    let plain = cp_block(above - below) + passed;
    // if `above` or `below` is infinite, the larger term decides
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
        // for an infinite x, the result is the limit of q^-x
        let r = cp_pick(select(0.0, 1.0, qm == 0x3f800000u), 0x7f800000u, qm < 0x3f800000u);
        return cp_pick(r, 0x7fc00000u, m_signbit(q));
    }
    if qm == 0x7f800000u {
        return 0.0;
    }
    let negative = m_signbit(q);
    if negative && cp_pow_parity(xm) == 0u {
        return cp_nan();
    }
    let p = m_abs(q);
    let g = cp_block(p - floor(p));
    var above = 0.0;
    var below = 0.0;
    var passed = 0.0;
    for (var i = select(2, 0, negative); i < 3; i = i + 1) {
        let base = select(select(1.0 - g, g, i == 1), select(q, 1.0 - q, negative), i == 2);
        above = below;
        below = passed;
        passed = cp_hurwitz(x, base);
    }
    if !negative {
        return passed;
    }
    return cp_zeta_reflected(x, g, above, below, passed);
}
