// 64-bit integers, and conversions between them and f32, for devices that have them (SHADER_INT64). The rules are those of
// integer.wgsl.

// Floor division; x // 0 = 0, MIN // -1 = MIN.
fn idiv_i64(a: i64, b: i64) -> i64 {
    let d = select(b, 1li, b == 0li || b == -1li);
    let q = a / d;
    let r = a - q * d;
    let f = select(q, q - 1li, r != 0li && ((r < 0li) != (d < 0li)));
    let m = select(f, neg_i64(a), b == -1li);
    return select(m, 0li, b == 0li);
}

fn idiv_u64(a: u64, b: u64) -> u64 {
    return select(a / select(b, 1lu, b == 0lu), 0lu, b == 0lu);
}

// Remainder with the sign of the divisor; x % 0 = 0, MIN % -1 = 0.
fn imod_i64(a: i64, b: i64) -> i64 {
    let d = select(b, 1li, b == 0li || b == -1li);
    let r = a - (a / d) * d;
    return select(r, r + d, r != 0li && ((r < 0li) != (d < 0li)));
}

fn imod_u64(a: u64, b: u64) -> u64 {
    let d = select(b, 1lu, b == 0lu);
    return a - (a / d) * d;
}

// Remainder with the sign of the dividend; x fmod 0 = 0.
fn fmod_i64(a: i64, b: i64) -> i64 {
    let d = select(b, 1li, b == 0li || b == -1li);
    return a - (a / d) * d;
}

fn fmod_u64(a: u64, b: u64) -> u64 {
    return imod_u64(a, b);
}

// Shifts: an amount that is negative or at least 64 shifts everything out.
fn shl_i64(a: i64, n: i64) -> i64 {
    let out = n < 0li || n > 63li;
    return select(a << (u32(n & 63li)), 0li, out);
}

fn shl_u64(a: u64, n: u64) -> u64 {
    return select(a << (u32(n & 63lu)), 0lu, n > 63lu);
}

fn shr_i64(a: i64, n: i64) -> i64 {
    let out = n < 0li || n > 63li;
    return a >> (u32(select(n, 63li, out)));
}

fn shr_u64(a: u64, n: u64) -> u64 {
    return select(a >> (u32(n & 63lu)), 0lu, n > 63lu);
}

// Wrapping power by squaring.
fn ipow_u64(a: u64, n: u64) -> u64 {
    var r = 1lu;
    var base = a;
    var left = n;
    while left != 0lu {
        r = select(r, r * base, (left & 1lu) == 1lu);
        base = base * base;
        left = left >> 1u;
    }
    return r;
}

// A negative exponent gives 1 / a truncated.
fn ipow_i64(a: i64, n: i64) -> i64 {
    let p = bitcast<i64>(ipow_u64(bitcast<u64>(a), bitcast<u64>(select(n, 0li, n < 0li))));
    let minus = select(1li, -1li, (n & 1li) == 1li);
    let inv = select(select(0li, 1li, a == 1li), minus, a == -1li);
    return select(p, inv, n < 0li);
}

fn neg_i64(a: i64) -> i64 {
    return bitcast<i64>(0lu - bitcast<u64>(a));
}

fn abs_i64(a: i64) -> i64 {
    return select(a, neg_i64(a), a < 0li);
}

fn abs_u64(a: u64) -> u64 {
    return a;
}

fn sign_i64(a: i64) -> i64 {
    return select(select(0li, 1li, a > 0li), -1li, a < 0li);
}

fn sign_u64(a: u64) -> u64 {
    return select(1lu, 0lu, a == 0lu);
}

fn min_i64(a: i64, b: i64) -> i64 {
    return select(b, a, a < b);
}

fn min_u64(a: u64, b: u64) -> u64 {
    return select(b, a, a < b);
}

fn max_i64(a: i64, b: i64) -> i64 {
    return select(b, a, a > b);
}

fn max_u64(a: u64, b: u64) -> u64 {
    return select(b, a, a > b);
}

fn square_i64(a: i64) -> i64 {
    return a * a;
}

fn square_u64(a: u64) -> u64 {
    return a * a;
}

// A u64 of two words.
fn cp_u64(lo: u32, hi: u32) -> u64 {
    return (u64(hi) << 32u) | u64(lo);
}

// Sign extension by words: after i64(v) lavapipe 22.3 takes the value for never negative.
fn i32_to_i64(v: i32) -> i64 {
    return bitcast<i64>(cp_u64(bitcast<u32>(v), bitcast<u32>(v >> 31u)));
}

fn u32_to_u64(v: u32) -> u64 {
    return cp_u64(v, 0u);
}

fn cp_lo64(v: u64) -> u32 {
    return u32(v & 0xfffffffflu);
}

fn cp_hi64(v: u64) -> u32 {
    return u32(v >> 32u);
}

// Leading zeros of v, 64 for 0; by words, since the builtin of 64 bits is not in every driver.
fn cp_clz64(v: u64) -> u32 {
    let hi = cp_hi64(v);
    return select(countLeadingZeros(hi), 32u + countLeadingZeros(cp_lo64(v)), hi == 0u);
}

// u64 to f32, nearest even.
fn u64_to_f32(v: u64) -> f32 {
    let up = cp_clz64(v);
    let n = v << (up & 63u);
    // the upper 24 bits of n are the significand, the 40 below decide the rounding
    let top = cp_hi64(n) >> 8u;
    let rest = n & 0xfffffffffflu;
    let half = 0x8000000000lu;
    let inc = rest > half || (rest == half && (top & 1u) == 1u);
    let r = top + select(0u, 1u, inc) + ((189u - up) << 23u);
    return bitcast<f32>(select(r, 0u, v == 0lu));
}

fn i64_to_f32(v: i64) -> f32 {
    let neg = v < 0li;
    let r = u64_to_f32(bitcast<u64>(abs_i64(v)));
    return bitcast<f32>(bitcast<u32>(r) | select(0u, 0x80000000u, neg));
}

// |x| truncated, at most 2^64 - 1; NaN gives 0.
fn cp_f32_mag_u64(mag: u32) -> u64 {
    let e = mag >> 23u;
    let m = u64((mag & 0x7fffffu) | 0x800000u);
    let right = m >> min(150u - min(e, 150u), 31u);
    let left = m << min(max(e, 150u) - 150u, 40u);
    let v = select(right, left, e >= 150u);
    let sat = select(v, 0xfffffffffffffffflu, e >= 191u);
    return select(sat, 0lu, e < 127u || mag > 0x7f800000u);
}

fn f32_to_u64(x: f32) -> u64 {
    let b = bitcast<u32>(x);
    return select(cp_f32_mag_u64(b & 0x7fffffffu), 0lu, (b >> 31u) == 1u);
}

// An i64 from a magnitude and a sign, saturating.
fn cp_signed64(mag: u64, neg: bool) -> i64 {
    let most = 0x7fffffffffffffffli;
    let pos = select(bitcast<i64>(mag), most, mag > 0x7ffffffffffffffflu);
    let min = -most - 1li;
    let minus = select(neg_i64(bitcast<i64>(mag)), min, mag > 0x7ffffffffffffffflu);
    return select(pos, minus, neg);
}

fn f32_to_i64(x: f32) -> i64 {
    let b = bitcast<u32>(x);
    return cp_signed64(cp_f32_mag_u64(b & 0x7fffffffu), (b >> 31u) == 1u);
}
