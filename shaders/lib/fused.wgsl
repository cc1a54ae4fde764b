// Division and square root for devices whose `fma` rounds once, as the probe has seen: the remainder of an estimate is exact
// then, and the last sum rounds as the quotient or root itself does. WGSL's reciprocal may be 2.5 ULP off, and its inverse root
// 2 ULP; the results are right for estimates up to 4 ULP off (for all divisors with the dividends whose quotients are next to
// where rounding changes, and for all roots). Exponents are so far from the ends that nothing is subnormal; a wave skips the
// branches for the rest.

// a / b, correctly rounded.
fn m_div(a: f32, b: f32) -> f32 {
    let ba = bitcast<u32>(a);
    let bb = bitcast<u32>(b);
    let inv = 1.0 / b;
    let e = fma(-b, inv, 1.0);
    // two terms of 1 / (1 - e)
    let y = fma(fma(e, e, e), inv, inv);
    let q = cp_block(a * y);
    var r = fma(fma(-q, b, a), y, q);
    // From 2^-62 to 2^64, by the bits without the sign. Of divisors whose significand has no zero, the reciprocal may be wrong.
    let far = (bb << 1u) - 0x41000000u >= 0x7e000000u || (bb << 9u) == 0xfffffe00u;
    // A zero divided by an ordinary number is frequent. Of 0 the steps above make the right zero, of -0 they do not.
    // rare
    if far || ((ba << 1u) - 0x41000000u >= 0x7e000000u && ba != 0u) {
        r = cp_div_any(a, b);
    }
    return r;
}

// sqrt, correctly rounded.
fn m_sqrt(x: f32) -> f32 {
    let inv = inverseSqrt(x);
    let g = cp_block(x * inv);
    let h = 0.5 * inv;
    let e = fma(-h, g, 0.5);
    let s = cp_block(fma(g, e, g));
    var r = fma(fma(-s, s, x), fma(h, e, h), s);
    // below 2^-62 or from 2^64 on, 0, negative or NaN
    // rare
    if bitcast<u32>(x) - 0x20800000u >= 0x3f000000u {
        r = cp_sqrt_any(x);
    }
    return r;
}
