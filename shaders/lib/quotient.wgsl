// Quotients and roots of f32 by integer operations, which are exact on every driver. On devices whose `fma` rounds only
// once, functions of fused.wgsl with the same names and the same results replace m_div, cp_quotient and m_sqrt.

// The quotient of two significands, given by the low 23 bits of `a` and `b`. The result is the bits of an f32 from 1/2
// to 2, rounded to the nearest. WGSL allows the builtin reciprocal an error of 2.5 ULP, so the estimate is corrected by
// its remainder, whose low 32 bits are enough. A unit is the last place of a quotient from 1 to 2; a quotient below 1
// is doubled.
fn cp_div_significands(a: u32, b: u32) -> u32 {
    let fa = insertBits(0x3f800000u, a, 0u, 23u);
    let fb = insertBits(0x3f800000u, b, 0u, 23u);
    let less = fa < fb;
    let inv = 1.0 / bitcast<f32>(fb);
    // the estimate less eight units is below the quotient, however the estimate was rounded
    let low = bitcast<u32>(bitcast<f32>(fa) * inv) - 8u;
    let q = low + select(0xc1000000u, 0xc1800000u, less);
    let d = fb - 0x3f000000u;
    let r = (a << select(23u, 24u, less)) - q * d;
    // k is r / d rounded to the nearest whole number, or one less: the product is r / d reduced by a 64th of itself,
    // and the sum rounds it down or to the nearest. The factor is 2^-23 (1 - 1/64).
    let k = bitcast<u32>(f32(r) * inv * 1.17346644e-7 + 8388608.0) - 0x4b000000u;
    // a tie is not possible for significands of 24 bits
    let left = bitcast<i32>(r - k * d);
    return low + k + select(0u, 1u, left > bitcast<i32>(d >> 1u));
}

// The bits of the number with the magnitude bits `mag`, as a normal f32. A subnormal number is a whole multiple of
// 2^-149, and is returned times 2^149.
fn cp_normal(mag: u32) -> u32 {
    return select(mag, bitcast<u32>(f32(mag)), mag < 0x800000u);
}

// a / b for any operands.
fn cp_div_any(a: f32, b: f32) -> f32 {
    let ma = cp_mag(a);
    let mb = cp_mag(b);
    let na = cp_normal(ma);
    let nb = cp_normal(mb);
    let q = cp_div_significands(na, nb);
    let up = select(0, 149, mb < 0x800000u) - select(0, 149, ma < 0x800000u);
    let e = i32(q >> 23u) + i32(na >> 23u) - i32(nb >> 23u) + up;
    let frac = q & 0x7fffffu;
    // a subnormal result loses 1 - e bits and its leading one, and is rounded once more
    let m = frac | 0x800000u;
    let s = u32(clamp(1 - e, 1, 26));
    let sub = (m + (1u << (s - 1u)) - 1u + ((m >> s) & 1u)) >> s;
    let r = select(frac | (u32(e) << 23u), sub, e < 1);
    return cp_div_ends(select(r, 0x7f800000u, e > 254), a, b);
}

// a / b, correctly rounded on every driver if the result is normal. If both exponents are far from the ends of their
// range, so is the exponent of the result, and the result is the quotient of the significands. Other operands take a
// branch, which a subgroup without them skips.
fn m_div(a: f32, b: f32) -> f32 {
    let ba = bitcast<u32>(a);
    let bb = bitcast<u32>(b);
    // subtracts signs and exponents as one number; the sign bits are right because the difference is modulo 2^32
    let fa = insertBits(0x3f800000u, ba, 0u, 23u);
    let fb = insertBits(0x3f800000u, bb, 0u, 23u);
    var r = cp_div_significands(ba, bb) + (ba - fa) + (fb - bb);
    // an ordinary operand is from 2^-62 to 2^64, compared by its bits without the sign
    let far = (bb << 1u) - 0x41000000u >= 0x7e000000u;
    if far || (ba << 1u) - 0x41000000u >= 0x7e000000u {
        // a zero divided by an ordinary number is frequent, so it does not call the general function
        r = cp_sgn(a) ^ cp_sgn(b);
        if far || cp_mag(a) != 0u {
            r = bitcast<u32>(cp_div_any(a, b));
        }
    }
    return bitcast<f32>(r);
}

// A number by which others are divided.
struct Divisor {
    value: f32,
}

fn cp_divisor(b: f32) -> Divisor {
    return Divisor(b);
}

// a / d.value. The steps with integers that depend on the divisor alone are few, so each quotient repeats them.
fn cp_quotient(a: f32, d: Divisor) -> f32 {
    return m_div(a, d.value);
}

// Sets the sign of the bits of |a| / |b|, and handles 0, Inf and NaN.
fn cp_div_ends(bits: u32, a: f32, b: f32) -> f32 {
    let ma = cp_mag(a);
    let mb = cp_mag(b);
    let zero = ma == 0u || mb == 0x7f800000u;
    let inf = mb == 0u || ma == 0x7f800000u;
    let nan = ma > 0x7f800000u || mb > 0x7f800000u || (zero && inf && ma == mb);
    let r = select(select(bits, 0u, zero), 0x7f800000u, inf);
    let signed = r | (cp_sgn(a) ^ cp_sgn(b));
    return cp_pick(bitcast<f32>(signed), 0x7fc00000u, nan);
}

fn m_reciprocal(x: f32) -> f32 {
    return m_div(1.0, x);
}

// The bits of the square root of a positive normal f32, rounded to the nearest. The builtin root of a number in [1, 4)
// is corrected by the remainder of its square, whose low 32 bits are enough, as in cp_div_significands. A root s is
// right if s^2 - s < n <= s^2 + s.
fn cp_sqrt_normal(b: u32) -> u32 {
    // removes an even part of the exponent. An even exponent has a low bit of 1, because of the bias
    let f = ((b ^ 0x800000u) & 0xffffffu) + 0x3f800000u;
    let inv = inverseSqrt(bitcast<f32>(f));
    let s = bitcast<u32>(bitcast<f32>(f) * inv) - 0x3f000008u;
    let n = b << (24u - ((b >> 23u) & 1u));
    let r = n - s * s;
    // k is r / (2 s), rounded as in cp_div_significands
    let k = bitcast<u32>(f32(r) * inv * 5.8673322e-8 + 8388608.0) - 0x4b000000u;
    let t = s + k;
    let left = bitcast<i32>(n - t * t);
    let half_exponent = bitcast<u32>(bitcast<i32>(b - f) >> 1u);
    return t + select(0u, 1u, left > bitcast<i32>(t)) + half_exponent + 0x3f000000u;
}

// sqrt, correctly rounded on every driver.
fn m_sqrt(x: f32) -> f32 {
    return cp_sqrt_any(x);
}

fn cp_sqrt_any(x: f32) -> f32 {
    let b = bitcast<u32>(x);
    var r = cp_sqrt_normal(b);
    // the branch is for 0, subnormal and negative numbers, Inf and NaN
    if b - 0x800000u >= 0x7f000000u {
        let mag = cp_mag(x);
        // a subnormal number times 2^150 is normal, and its root is 2^75 times too large
        let sub = cp_sqrt_normal(bitcast<u32>(f32(mag)) + 0x800000u) - 0x25800000u;
        let v = select(select(sub, b, mag == 0x7f800000u), 0x7fc00000u ^ cp_zero(), mag > 0x7f800000u || b > 0x80000000u);
        r = select(v, b, mag == 0u);
    }
    return bitcast<f32>(r);
}

// 1 / sqrt(x), from the significand in [1, 4). A zero gives Inf with its sign, and negative numbers give NaN.
fn m_rsqrt(x: f32) -> f32 {
    let mag = cp_mag(x);
    let p = cp_split(mag);
    let e = i32(p.y) - 127;
    let odd = u32(e & 1);
    let m = bitcast<f32>((p.x & 0x7fffffu) | ((127u + odd) << 23u));
    let s = inverseSqrt(m);
    let r = bitcast<u32>(s) - (bitcast<u32>((e - i32(odd)) >> 1u) << 23u);
    let v = select(r, 0x7f800000u | cp_sgn(x), mag == 0u);
    let w = select(v, 0u, mag == 0x7f800000u);
    return cp_pick(bitcast<f32>(w), 0x7fc00000u, m_isnan(x) || (m_signbit(x) && mag != 0u));
}
