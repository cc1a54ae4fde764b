// Integer arithmetic by NumPy's rules in the cases for which the hardware has no rule: a division by zero gives 0, MIN
// / -1 wraps, and a shift by at least the width gives 0 (or copies of the sign bit).

// Floor division; x // 0 = 0, MIN // -1 = MIN.
fn idiv_i32(a: i32, b: i32) -> i32 {
    // replaces the divisors that may trap: -1 by a negation that wraps, and 0, for which the result is 0
    let d = select(b, 1, b == 0 || b == -1);
    let q = a / d;
    let r = a - q * d;
    let f = select(q, q - 1, r != 0 && ((r ^ d) < 0));
    let m = select(f, bitcast<i32>(0u - bitcast<u32>(a)), b == -1);
    return select(m, 0, b == 0);
}

fn idiv_u32(a: u32, b: u32) -> u32 {
    return select(a / max(b, 1u), 0u, b == 0u);
}

// Remainder with the sign of the divisor; x % 0 = 0, MIN % -1 = 0.
fn imod_i32(a: i32, b: i32) -> i32 {
    let d = select(b, 1, b == 0 || b == -1);
    let r = a - (a / d) * d;
    return select(r, r + d, r != 0 && ((r ^ d) < 0));
}

fn imod_u32(a: u32, b: u32) -> u32 {
    let d = max(b, 1u);
    return a - (a / d) * d;
}

// Remainder with the sign of the dividend; x fmod 0 = 0.
fn fmod_i32(a: i32, b: i32) -> i32 {
    let d = select(b, 1, b == 0 || b == -1);
    return a - (a / d) * d;
}

fn fmod_u32(a: u32, b: u32) -> u32 {
    return imod_u32(a, b);
}

// Shifts. An amount that is negative or at least the width shifts all bits out.
fn shl_i32(a: i32, n: i32) -> i32 {
    let s = bitcast<u32>(n);
    return select(a << (s & 31u), 0, s > 31u);
}

fn shl_u32(a: u32, n: u32) -> u32 {
    return select(a << (n & 31u), 0u, n > 31u);
}

fn shr_i32(a: i32, n: i32) -> i32 {
    return a >> min(bitcast<u32>(n), 31u);
}

fn shr_u32(a: u32, n: u32) -> u32 {
    return select(a >> (n & 31u), 0u, n > 31u);
}

// The power modulo 2^32, by repeated squaring.
fn ipow_u32(a: u32, n: u32) -> u32 {
    var r = 1u;
    var base = a;
    var left = n;
    while left != 0u {
        r = select(r, r * base, (left & 1u) == 1u);
        base = base * base;
        left = left >> 1u;
    }
    return r;
}

// A negative exponent gives 1 / a^|n| truncated: 1 for a = 1, 1 or -1 for a = -1, otherwise 0 (also for a = 0).
fn ipow_i32(a: i32, n: i32) -> i32 {
    let p = bitcast<i32>(ipow_u32(bitcast<u32>(a), bitcast<u32>(max(n, 0))));
    let minus = select(1, -1, (n & 1) == 1);
    let inv = select(select(0, 1, a == 1), minus, a == -1);
    return select(p, inv, n < 0);
}

fn abs_i32(a: i32) -> i32 {
    return select(a, bitcast<i32>(0u - bitcast<u32>(a)), a < 0);
}

fn abs_u32(a: u32) -> u32 {
    return a;
}

fn sign_i32(a: i32) -> i32 {
    return select(select(0, 1, a > 0), -1, a < 0);
}

fn sign_u32(a: u32) -> u32 {
    return min(a, 1u);
}

fn min_i32(a: i32, b: i32) -> i32 {
    return min(a, b);
}

fn min_u32(a: u32, b: u32) -> u32 {
    return min(a, b);
}

fn max_i32(a: i32, b: i32) -> i32 {
    return max(a, b);
}

fn max_u32(a: u32, b: u32) -> u32 {
    return max(a, b);
}

fn square_i32(a: i32) -> i32 {
    return a * a;
}

fn square_u32(a: u32) -> u32 {
    return a * a;
}

// The functions with which a fold compares sort keys. long.wgsl has them for keys of 64 bits.
fn zero_u32() -> u32 {
    return 0u;
}

fn eq_u32(a: u32, b: u32) -> bool {
    return a == b;
}

fn lt_u32(a: u32, b: u32) -> bool {
    return a < b;
}

// Functions that wrap a number to a narrow type and return it in 32 bits.
fn wrap_i8(a: i32) -> i32 {
    return (a << 24u) >> 24u;
}

fn wrap_i16(a: i32) -> i32 {
    return (a << 16u) >> 16u;
}

fn wrap_u8(a: u32) -> u32 {
    return a & 0xffu;
}

fn wrap_u16(a: u32) -> u32 {
    return a & 0xffffu;
}

// One round of Philox4x32 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
fn cp_philox_round(c: vec4<u32>, k: vec2<u32>) -> vec4<u32> {
    let h0 = cp_mulhi(0xd2511f53u, c.x);
    let l0 = 0xd2511f53u * c.x;
    let h1 = cp_mulhi(0xcd9e8d57u, c.z);
    let l1 = 0xcd9e8d57u * c.z;
    return vec4<u32>(h1 ^ c.y ^ k.x, l1, h0 ^ c.w ^ k.y, l0);
}

// Philox4x32-10. The Weyl constants are added to the key between two rounds.
fn philox(ctr: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    let weyl = vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    let k1 = key + weyl;
    let k2 = k1 + weyl;
    let k3 = k2 + weyl;
    let k4 = k3 + weyl;
    let k5 = k4 + weyl;
    let k6 = k5 + weyl;
    let k7 = k6 + weyl;
    let k8 = k7 + weyl;
    let k9 = k8 + weyl;
    let c0 = cp_philox_round(ctr, key);
    let c1 = cp_philox_round(c0, k1);
    let c2 = cp_philox_round(c1, k2);
    let c3 = cp_philox_round(c2, k3);
    let c4 = cp_philox_round(c3, k4);
    let c5 = cp_philox_round(c4, k5);
    let c6 = cp_philox_round(c5, k6);
    let c7 = cp_philox_round(c6, k7);
    let c8 = cp_philox_round(c7, k8);
    return cp_philox_round(c8, k9);
}

// The greatest common divisor of magnitudes, by Stein's binary algorithm. Each round removes a bit from at least one of
// the two, so 64 rounds are enough for two words.
fn gcd_u32(a: u32, b: u32) -> u32 {
    if a == 0u || b == 0u {
        return a | b;
    }
    let twos = countTrailingZeros(a | b);
    var x = a >> countTrailingZeros(a);
    var y = b;
    for (var round = 0u; round < 64u && y != 0u; round++) {
        y = y >> countTrailingZeros(y);
        let low = min(x, y);
        y = max(x, y) - low;
        x = low;
    }
    return x << twos;
}

fn gcd_i32(a: i32, b: i32) -> i32 {
    let x = bitcast<u32>(select(a, bitcast<i32>(0u - bitcast<u32>(a)), a < 0));
    let y = bitcast<u32>(select(b, bitcast<i32>(0u - bitcast<u32>(b)), b < 0));
    return bitcast<i32>(gcd_u32(x, y));
}

// The least common multiple of magnitudes, modulo 2^32. It is 0 if one of them is 0.
fn lcm_u32(a: u32, b: u32) -> u32 {
    return (a / max(gcd_u32(a, b), 1u)) * b;
}

fn lcm_i32(a: i32, b: i32) -> i32 {
    let x = bitcast<u32>(select(a, bitcast<i32>(0u - bitcast<u32>(a)), a < 0));
    let y = bitcast<u32>(select(b, bitcast<i32>(0u - bitcast<u32>(b)), b < 0));
    return bitcast<i32>(lcm_u32(x, y));
}

// Returns word i % 4 of a block of random numbers.
fn philox_word(block: vec4<u32>, i: u32) -> u32 {
    let pair = select(block.xy, block.zw, (i & 2u) != 0u);
    return select(pair.x, pair.y, (i & 1u) != 0u);
}
