// Division and square root for devices whose `fma` rounds only once, which the probe has tested. There, the remainder
// of an estimate is exact, and the last sum rounds as the quotient or the root itself does. WGSL allows its reciprocal
// an error of 2.5 ULP, and its inverse root 2 ULP. The results are right for estimates with errors up to 4 ULP. This
// holds for all divisors, with the dividends whose quotients are next to a point where rounding changes, and for all
// roots. The exponents are so far from the ends of their range that nothing is subnormal. Other operands take a branch,
// which a subgroup without them skips.

// A number by which others are divided.
struct Divisor {
    value: f32,
    inverse: f32,
    // whether the inverse may be wrong, or a quotient or remainder may leave the range of f32
    is_far: bool,
}

fn cp_divisor(b: f32) -> Divisor {
    let bb = bitcast<u32>(b);
    let inv = 1.0 / b;
    let e = fma(-b, inv, 1.0);
    // the factor 1 + e + e^2 of the reciprocal, from the first terms of the series of 1 / (1 - e)
    let y = fma(fma(e, e, e), inv, inv);
    // a divisor is ordinary from 2^-62 to 2^64, compared by its bits without the sign. If all bits of its significand
    // are set, the reciprocal may be wrong
    return Divisor(b, y, (bb << 1u) - 0x41000000u >= 0x7e000000u || (bb << 9u) == 0xfffffe00u);
}

// a / d.value, correctly rounded. A row kernel calls cp_divisor once for a row.
fn cp_quotient(a: f32, d: Divisor) -> f32 {
    let ba = bitcast<u32>(a);
    let b = d.value;
    let y = d.inverse;
    let q = cp_block(a * y);
    var r = fma(fma(-q, b, a), y, q);
    // a zero divided by an ordinary number is frequent. For 0 the steps above give the right zero, for -0 they do not
    // rare: general
    if d.is_far || ((ba << 1u) - 0x41000000u >= 0x7e000000u && ba != 0u) {
        r = cp_div_any(a, b);
    }
    return r;
}

// a / b, correctly rounded.
fn m_div(a: f32, b: f32) -> f32 {
    return cp_quotient(a, cp_divisor(b));
}

// sqrt, correctly rounded.
fn m_sqrt(x: f32) -> f32 {
    let inv = inverseSqrt(x);
    let g = cp_block(x * inv);
    let h = 0.5 * inv;
    let e = fma(-h, g, 0.5);
    let s = cp_block(fma(g, e, g));
    var r = fma(fma(-s, s, x), fma(h, e, h), s);
    // the branch is for numbers below 2^-62 or from 2^64 on, 0, negative numbers and NaN
    // rare: general
    if bitcast<u32>(x) - 0x20800000u >= 0x3f000000u {
        r = cp_sqrt_any(x);
    }
    return r;
}
