// Functions of 64-bit integers and conversions between them and other types. They are built from the operations of
// int64.wgsl or pair64.wgsl, and follow the rules of integer.wgsl.

fn low_i64(v: i64) -> u32 {
    return low_u64(i64_to_u64(v));
}

fn high_i64(v: i64) -> u32 {
    return high_u64(i64_to_u64(v));
}

fn neg_u64(a: u64) -> u64 {
    return sub_u64(make_u64(0u, 0u), a);
}

fn neg_i64(a: i64) -> i64 {
    return u64_to_i64(neg_u64(i64_to_u64(a)));
}

// Whether a number is negative. It tests the upper word, because Mesa 22.3 assumes that a number widened to i64 is
// never negative.
fn cp_minus64(a: i64) -> bool {
    return high_i64(a) >= 0x80000000u;
}

fn abs_u64(a: u64) -> u64 {
    return a;
}

fn abs_i64(a: i64) -> i64 {
    return select_i64(a, neg_i64(a), cp_minus64(a));
}

// Floor division; x // 0 = 0, MIN // -1 = MIN.
fn idiv_u64(a: u64, b: u64) -> u64 {
    let zero = eq_u64(b, make_u64(0u, 0u));
    return select_u64(cp_div64(a, select_u64(b, make_u64(1u, 0u), zero)), make_u64(0u, 0u), zero);
}

fn idiv_i64(a: i64, b: i64) -> i64 {
    // divides the magnitudes; the magnitude of MIN is 2^63
    let m = i64_to_u64(abs_i64(a));
    let d = i64_to_u64(abs_i64(b));
    let q = idiv_u64(m, d);
    let exact = eq_u64(mul_u64(q, d), m) || eq_u64(d, make_u64(0u, 0u));
    let down = neg_i64(u64_to_i64(add_u64(q, make_u64(select(1u, 0u, exact), 0u))));
    return select_i64(u64_to_i64(q), down, cp_minus64(a) != cp_minus64(b));
}

// Remainder with the sign of the divisor; x % 0 = 0, MIN % -1 = 0.
fn imod_u64(a: u64, b: u64) -> u64 {
    let r = sub_u64(a, mul_u64(idiv_u64(a, b), b));
    return select_u64(r, make_u64(0u, 0u), eq_u64(b, make_u64(0u, 0u)));
}

fn imod_i64(a: i64, b: i64) -> i64 {
    let r = fmod_i64(a, b);
    let moved = !eq_i64(r, make_i64(0u, 0u)) && cp_minus64(r) != cp_minus64(b);
    return select_i64(r, add_i64(r, b), moved);
}

// Remainder with the sign of the dividend; x fmod 0 = 0.
fn fmod_u64(a: u64, b: u64) -> u64 {
    return imod_u64(a, b);
}

fn fmod_i64(a: i64, b: i64) -> i64 {
    let r = u64_to_i64(imod_u64(i64_to_u64(abs_i64(a)), i64_to_u64(abs_i64(b))));
    return select_i64(r, neg_i64(r), cp_minus64(a));
}

// Shifts. An amount that is negative or at least 64 shifts all bits out.
fn shl_u64(a: u64, n: u64) -> u64 {
    let out = high_u64(n) != 0u || low_u64(n) > 63u;
    return select_u64(cp_shl64(a, low_u64(n) & 63u), make_u64(0u, 0u), out);
}

fn shl_i64(a: i64, n: i64) -> i64 {
    return u64_to_i64(shl_u64(i64_to_u64(a), i64_to_u64(n)));
}

fn shr_u64(a: u64, n: u64) -> u64 {
    let out = high_u64(n) != 0u || low_u64(n) > 63u;
    return select_u64(cp_shr64(a, low_u64(n) & 63u), make_u64(0u, 0u), out);
}

fn shr_i64(a: i64, n: i64) -> i64 {
    let out = high_i64(n) != 0u || low_i64(n) > 63u;
    return cp_sar64(a, select(low_i64(n) & 63u, 63u, out));
}

// The power modulo 2^64, by repeated squaring.
fn ipow_u64(a: u64, n: u64) -> u64 {
    var r = make_u64(1u, 0u);
    var base = a;
    var left = n;
    while !eq_u64(left, make_u64(0u, 0u)) {
        r = select_u64(r, mul_u64(r, base), (low_u64(left) & 1u) == 1u);
        base = mul_u64(base, base);
        left = cp_shr64(left, 1u);
    }
    return r;
}

// A negative exponent gives 1 / a^|n| truncated.
fn ipow_i64(a: i64, n: i64) -> i64 {
    let none = make_i64(0u, 0u);
    let one = make_i64(1u, 0u);
    let minus_one = make_i64(0xffffffffu, 0xffffffffu);
    let p = u64_to_i64(ipow_u64(i64_to_u64(a), i64_to_u64(select_i64(n, none, cp_minus64(n)))));
    let odd = select_i64(one, minus_one, (low_i64(n) & 1u) == 1u);
    let inv = select_i64(select_i64(none, one, eq_i64(a, one)), odd, eq_i64(a, minus_one));
    return select_i64(p, inv, cp_minus64(n));
}

fn sign_u64(a: u64) -> u64 {
    return make_u64(select(1u, 0u, eq_u64(a, make_u64(0u, 0u))), 0u);
}

fn sign_i64(a: i64) -> i64 {
    let plus = make_i64(select(1u, 0u, eq_i64(a, make_i64(0u, 0u))), 0u);
    return select_i64(plus, make_i64(0xffffffffu, 0xffffffffu), cp_minus64(a));
}

fn min_u64(a: u64, b: u64) -> u64 {
    return select_u64(b, a, lt_u64(a, b));
}

fn min_i64(a: i64, b: i64) -> i64 {
    return select_i64(b, a, lt_i64(a, b));
}

fn max_u64(a: u64, b: u64) -> u64 {
    return select_u64(b, a, lt_u64(b, a));
}

fn max_i64(a: i64, b: i64) -> i64 {
    return select_i64(b, a, lt_i64(b, a));
}

fn square_u64(a: u64) -> u64 {
    return mul_u64(a, a);
}

fn square_i64(a: i64) -> i64 {
    return mul_i64(a, a);
}

// Functions that return an unsigned number in the order of the operand.
fn sort_key_u64(v: u64) -> u64 {
    return v;
}

fn sort_key_i64(v: i64) -> u64 {
    return make_u64(low_i64(v), high_i64(v) ^ 0x80000000u);
}

fn zero_u64() -> u64 {
    return make_u64(0u, 0u);
}

fn bool_to_u64(v: bool) -> u64 {
    return make_u64(select(0u, 1u, v), 0u);
}

fn bool_to_i64(v: bool) -> i64 {
    return make_i64(select(0u, 1u, v), 0u);
}

fn u64_to_bool(v: u64) -> bool {
    return (low_u64(v) | high_u64(v)) != 0u;
}

fn i64_to_bool(v: i64) -> bool {
    return (low_i64(v) | high_i64(v)) != 0u;
}

// Extends the sign to the upper word by operations on words, because lavapipe 22.3 assumes that i64(v) is never
// negative.
fn i32_to_i64(v: i32) -> i64 {
    return make_i64(bitcast<u32>(v), bitcast<u32>(v >> 31u));
}

fn i32_to_u64(v: i32) -> u64 {
    return make_u64(bitcast<u32>(v), bitcast<u32>(v >> 31u));
}

fn u32_to_i64(v: u32) -> i64 {
    return make_i64(v, 0u);
}

fn u32_to_u64(v: u32) -> u64 {
    return make_u64(v, 0u);
}

fn i64_to_i32(v: i64) -> i32 {
    return bitcast<i32>(low_i64(v));
}

fn i64_to_u32(v: i64) -> u32 {
    return low_i64(v);
}

fn u64_to_i32(v: u64) -> i32 {
    return bitcast<i32>(low_u64(v));
}

fn u64_to_u32(v: u64) -> u32 {
    return low_u64(v);
}

// The number of leading zeros of v, 64 for 0. It counts in words, because not every driver has the builtin for 64 bits.
fn cp_clz64(v: u64) -> u32 {
    let hi = high_u64(v);
    return select(countLeadingZeros(hi), 32u + countLeadingZeros(low_u64(v)), hi == 0u);
}

// Converts u64 to f32, rounded to the nearest, ties to even.
fn u64_to_f32(v: u64) -> f32 {
    let up = cp_clz64(v);
    let n = cp_shl64(v, up & 63u);
    // the upper 24 bits of n are the significand. The 40 below decide the rounding: the first 8 of them, and whether
    // any other is set
    let top = high_u64(n) >> 8u;
    let rest = ((high_u64(n) & 0xffu) << 1u) | select(0u, 1u, low_u64(n) != 0u);
    let inc = rest > 0x100u || (rest == 0x100u && (top & 1u) == 1u);
    let r = top + select(0u, 1u, inc) + ((189u - up) << 23u);
    return bitcast<f32>(select(r, 0u, up == 64u));
}

fn i64_to_f32(v: i64) -> f32 {
    let r = u64_to_f32(i64_to_u64(abs_i64(v)));
    return bitcast<f32>(bitcast<u32>(r) | select(0u, 0x80000000u, cp_minus64(v)));
}

// Converts u64 to f32, rounded to odd like u32_to_f32_odd. A second rounding to 16 bits then gives the same result as a
// single rounding.
fn u64_to_f32_odd(v: u64) -> f32 {
    let up = cp_clz64(v);
    let n = cp_shl64(v, up & 63u);
    let lost = select(0u, 1u, ((high_u64(n) & 0xffu) | low_u64(n)) != 0u);
    let r = ((high_u64(n) >> 8u) | lost) + ((189u - up) << 23u);
    return bitcast<f32>(select(r, 0u, up == 64u));
}

fn i64_to_f32_odd(v: i64) -> f32 {
    let r = u64_to_f32_odd(i64_to_u64(abs_i64(v)));
    return bitcast<f32>(bitcast<u32>(r) | select(0u, 0x80000000u, cp_minus64(v)));
}

// |x| truncated to an integer, at most 2^64 - 1; NaN gives 0.
fn cp_f32_mag_u64(mag: u32) -> u64 {
    let e = mag >> 23u;
    let m = (mag & 0x7fffffu) | 0x800000u;
    let right = make_u64(m >> min(150u - min(e, 150u), 31u), 0u);
    let left = cp_shl64(make_u64(m, 0u), min(max(e, 150u) - 150u, 40u));
    let v = select_u64(right, left, e >= 150u);
    let sat = select_u64(v, make_u64(0xffffffffu, 0xffffffffu), e >= 191u);
    return select_u64(sat, make_u64(0u, 0u), e < 127u || mag > 0x7f800000u);
}

fn f32_to_u64(x: f32) -> u64 {
    let b = bitcast<u32>(x);
    return select_u64(cp_f32_mag_u64(b & 0x7fffffffu), make_u64(0u, 0u), (b >> 31u) == 1u);
}

// The i64 with the given magnitude and sign. It saturates.
fn cp_signed64(mag: u64, neg: bool) -> i64 {
    let beyond = high_u64(mag) >= 0x80000000u;
    let pos = select_i64(u64_to_i64(mag), make_i64(0xffffffffu, 0x7fffffffu), beyond);
    let minus = select_i64(neg_i64(u64_to_i64(mag)), make_i64(0u, 0x80000000u), beyond);
    return select_i64(pos, minus, neg);
}

fn f32_to_i64(x: f32) -> i64 {
    let b = bitcast<u32>(x);
    return cp_signed64(cp_f32_mag_u64(b & 0x7fffffffu), (b >> 31u) == 1u);
}

// The greatest common divisor of magnitudes, by Euclid's algorithm. Numbers of 64 bits need at most 92 divisions
// (Lamé's theorem).
fn gcd_u64(a: u64, b: u64) -> u64 {
    var x = a;
    var y = b;
    for (var round = 0u; round < 92u && u64_to_bool(y); round = round + 1u) {
        let rest = imod_u64(x, y);
        x = y;
        y = rest;
    }
    return x;
}

fn gcd_i64(a: i64, b: i64) -> i64 {
    return u64_to_i64(gcd_u64(i64_to_u64(abs_i64(a)), i64_to_u64(abs_i64(b))));
}

// The least common multiple of magnitudes, modulo 2^64. It is 0 if one of them is 0.
fn lcm_u64(a: u64, b: u64) -> u64 {
    return mul_u64(idiv_u64(a, gcd_u64(a, b)), b);
}

fn lcm_i64(a: i64, b: i64) -> i64 {
    return u64_to_i64(lcm_u64(i64_to_u64(abs_i64(a)), i64_to_u64(abs_i64(b))));
}
