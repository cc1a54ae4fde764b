// Encoding and decoding of bf16 and the narrow integers, and conversions between f32 and the integers. All of them are
// integer operations, so they are exact on every driver. The conversions of f16 are in half.wgsl.

fn bf16_to_f32(bits: u32) -> f32 {
    return bitcast<f32>(bits << 16u);
}

// Rounds to the nearest, ties to even. NaN gives a quiet NaN.
fn f32_to_bf16(x: f32) -> u32 {
    let b = bitcast<u32>(x);
    let r = (b + 0x7fffu + ((b >> 16u) & 1u)) >> 16u;
    return select(r, (b >> 16u) | 0x40u, (b & 0x7fffffffu) > 0x7f800000u);
}

// Rounds to f16. The bits of the f16 are opaque, because some compilers omit a conversion to f16 and back.
fn round_f16(x: f32) -> f32 {
    return f16_to_f32(f32_to_f16(x) + cp_zero());
}

fn round_bf16(x: f32) -> f32 {
    return bf16_to_f32(f32_to_bf16(x));
}

fn sext8(bits: u32) -> i32 {
    return bitcast<i32>(bits << 24u) >> 24u;
}

fn sext16(bits: u32) -> i32 {
    return bitcast<i32>(bits << 16u) >> 16u;
}

// The number with the magnitude bits `mag`, truncated to an integer, at most `top`; NaN gives 0.
fn cp_f32_mag_int(mag: u32, top: u32) -> u32 {
    let e = mag >> 23u;
    let m = (mag & 0x7fffffu) | 0x800000u;
    let right = m >> min(150u - min(e, 150u), 31u);
    let left = m << min(max(e, 150u) - 150u, 8u);
    let v = select(right, left, e >= 150u);
    let sat = select(min(v, top), top, e >= 159u);
    return select(select(sat, 0u, e < 127u), 0u, mag > 0x7f800000u);
}

// Converts like Rust's `as`: the number is truncated, values out of range saturate, and NaN gives 0.
fn f32_to_i32(x: f32) -> i32 {
    let b = bitcast<u32>(x);
    let neg = (b >> 31u) == 1u;
    let v = cp_f32_mag_int(b & 0x7fffffffu, select(0x7fffffffu, 0x80000000u, neg));
    return bitcast<i32>(select(v, 0u - v, neg));
}

fn f32_to_u32(x: f32) -> u32 {
    let b = bitcast<u32>(x);
    let v = cp_f32_mag_int(b & 0x7fffffffu, 0xffffffffu);
    return select(v, 0u, (b >> 31u) == 1u);
}

fn f32_to_i8(x: f32) -> i32 {
    return clamp(f32_to_i32(x), -128, 127);
}

fn f32_to_u8(x: f32) -> u32 {
    return min(f32_to_u32(x), 255u);
}

fn f32_to_i16(x: f32) -> i32 {
    return clamp(f32_to_i32(x), -32768, 32767);
}

fn f32_to_u16(x: f32) -> u32 {
    return min(f32_to_u32(x), 65535u);
}

// Rounds to the nearest, ties to even: both halves and the product are exact, so only the sum is rounded.
fn u32_to_f32(v: u32) -> f32 {
    return f32(v >> 16u) * 65536.0 + f32(v & 0xffffu);
}

fn i32_to_f32(v: i32) -> f32 {
    return f32(v >> 16u) * 65536.0 + f32(v & 0xffff);
}

// Rounds to odd: toward zero, with the last bit set if anything was lost. A second rounding, to 16 bits, then gives the
// same result as a single rounding.
fn u32_to_f32_odd(v: u32) -> f32 {
    let up = countLeadingZeros(v | 1u);
    let n = v << up;
    let lost = select(0u, 1u, (n & 0xffu) != 0u);
    let r = ((n >> 8u) | lost) + ((157u - up) << 23u);
    return bitcast<f32>(select(r, 0u, v == 0u));
}

fn i32_to_f32_odd(v: i32) -> f32 {
    let u = bitcast<u32>(v);
    let neg = v < 0;
    let r = u32_to_f32_odd(select(u, 0u - u, neg));
    return bitcast<f32>(bitcast<u32>(r) | select(0u, 0x80000000u, neg));
}
