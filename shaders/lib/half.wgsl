// Conversions between f16 and f32 that are exact on every driver, because they do not depend on how a driver rounds, or
// on whether it keeps subnormals. If the probe has found that a device's own conversions are right, functions with the
// same names and the same results replace these. They are in half_unpack.wgsl, half_pack.wgsl and half_native.wgsl.

// Converts the f16 in the low 16 bits. The other bits are ignored.
fn f16_to_f32(bits: u32) -> f32 {
    let mag = bits & 0x7fffu;
    // the exponent's bias changes by 127 - 15; for Inf and NaN the exponent changes by twice that
    let normal = (mag << 13u) + select(0x38000000u, 0x70000000u, mag >= 0x7c00u);
    // a subnormal f16 is a small whole number times 2^-24. As f32 it is a normal number, so no driver rounds or flushes
    // it
    let sub = bitcast<u32>(f32(mag) * 5.9604645e-8);
    let r = select(normal, sub, mag < 0x400u);
    return bitcast<f32>(((bits & 0x8000u) << 16u) | r);
}

// Converts the f16 in the high 16 bits.
fn f16_high_to_f32(word: u32) -> f32 {
    return f16_to_f32(word >> 16u);
}

// Rounds to the nearest, ties to even, also subnormal results. An overflow gives Inf, and NaN gives a quiet NaN.
fn f32_to_f16(x: f32) -> u32 {
    let b = bitcast<u32>(x);
    let e = (b >> 23u) & 0xffu;
    let m = (b & 0x7fffffu) | 0x800000u;
    // The significand loses 13 bits, and one more for each power of two below 2^-14; from 2^-26 down nothing is left. s
    // is the number of lost bits less 1, so that 1 << s is half a unit. The significand of a subnormal f32 is wrong
    // here, but far below half a unit.
    let s = 125u - clamp(e, 101u, 113u);
    let q = (m + (1u << s) - 1u + ((m >> (s + 1u)) & 1u)) >> (s + 1u);
    // the leading bit of q adds 1 to the exponent, and so does a carry, up to the exponent of Inf
    let r = min(q + ((max(e, 113u) - 113u) << 10u), 0x7c00u);
    let nan = 0x7e00u | ((b >> 13u) & 0x3ffu);
    return ((b >> 16u) & 0x8000u) | select(r, nan, (b & 0x7fffffffu) > 0x7f800000u);
}

// Rounds two numbers to f16 and packs them into one word, the first in the low bits.
fn f32_to_f16_pair(low: f32, high: f32) -> u32 {
    return f32_to_f16(low) | (f32_to_f16(high) << 16u);
}

// Packs two numbers into one word, the first in the low bits. They must be f16 values already.
fn f16s_to_word(low: f32, high: f32) -> u32 {
    return f32_to_f16_pair(low, high);
}
