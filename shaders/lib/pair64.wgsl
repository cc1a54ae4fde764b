// The operations of int64.wgsl for devices without 64-bit integers. An integer is a pair of words. The pairs are
// structs and not vectors, because an operator on a vector would compute word by word, while an operator on a struct is
// an error of the shader's compiler.

struct u64 {
    lo: u32,
    hi: u32,
}

// A signed integer in two's complement. Its sign is the sign bit of `hi`.
struct i64 {
    lo: u32,
    hi: u32,
}

fn make_u64(lo: u32, hi: u32) -> u64 {
    return u64(lo, hi);
}

fn make_i64(lo: u32, hi: u32) -> i64 {
    return i64(lo, hi);
}

fn low_u64(v: u64) -> u32 {
    return v.lo;
}

fn high_u64(v: u64) -> u32 {
    return v.hi;
}

fn u64_to_i64(v: u64) -> i64 {
    return i64(v.lo, v.hi);
}

fn i64_to_u64(v: i64) -> u64 {
    return u64(v.lo, v.hi);
}

fn add_u64(a: u64, b: u64) -> u64 {
    let lo = a.lo + b.lo;
    // a sum of two words has wrapped if it is less than one of them
    return u64(lo, a.hi + b.hi + select(0u, 1u, lo < a.lo));
}

fn add_i64(a: i64, b: i64) -> i64 {
    return u64_to_i64(add_u64(i64_to_u64(a), i64_to_u64(b)));
}

fn sub_u64(a: u64, b: u64) -> u64 {
    return u64(a.lo - b.lo, a.hi - b.hi - select(0u, 1u, a.lo < b.lo));
}

fn sub_i64(a: i64, b: i64) -> i64 {
    return u64_to_i64(sub_u64(i64_to_u64(a), i64_to_u64(b)));
}

// The high 32 bits of the product, computed from the halves of 16 bits.
fn cp_mulhi(a: u32, b: u32) -> u32 {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let ll = al * bl;
    let m1 = ah * bl + (ll >> 16u);
    let m2 = al * bh + (m1 & 0xffffu);
    let top = (m1 >> 16u) + (m2 >> 16u);
    return ah * bh + top;
}

fn mul_u64(a: u64, b: u64) -> u64 {
    return u64(a.lo * b.lo, cp_mulhi(a.lo, b.lo) + a.lo * b.hi + a.hi * b.lo);
}

fn mul_i64(a: i64, b: i64) -> i64 {
    return u64_to_i64(mul_u64(i64_to_u64(a), i64_to_u64(b)));
}

// The quotient, by long division in binary from the first bit of a that is set. The divisor must not be 0.
fn cp_div64(a: u64, b: u64) -> u64 {
    if a.hi == 0u && b.hi == 0u {
        return u64(a.lo / b.lo, 0u);
    }
    let skipped = cp_clz64(a);
    var left = cp_shl64(a, skipped & 63u);
    var quotient = u64(0u, 0u);
    var rest = u64(0u, 0u);
    for (var i = skipped; i < 64u; i = i + 1u) {
        // the bit that is shifted out of `rest` counts as its 65th bit
        let beyond = rest.hi >= 0x80000000u;
        rest = u64((rest.lo << 1u) | (left.hi >> 31u), (rest.hi << 1u) | (rest.lo >> 31u));
        left = u64(left.lo << 1u, (left.hi << 1u) | (left.lo >> 31u));
        let fits = beyond || !lt_u64(rest, b);
        rest = select_u64(rest, sub_u64(rest, b), fits);
        quotient = u64((quotient.lo << 1u) | select(0u, 1u, fits), (quotient.hi << 1u) | (quotient.lo >> 31u));
    }
    return quotient;
}

fn eq_u64(a: u64, b: u64) -> bool {
    return a.lo == b.lo && a.hi == b.hi;
}

fn eq_i64(a: i64, b: i64) -> bool {
    return a.lo == b.lo && a.hi == b.hi;
}

fn lt_u64(a: u64, b: u64) -> bool {
    return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo);
}

fn lt_i64(a: i64, b: i64) -> bool {
    // with inverted sign bits, the order of numbers in two's complement is the order of unsigned numbers
    return lt_u64(u64(a.lo, a.hi ^ 0x80000000u), u64(b.lo, b.hi ^ 0x80000000u));
}

fn and_u64(a: u64, b: u64) -> u64 {
    return u64(a.lo & b.lo, a.hi & b.hi);
}

fn and_i64(a: i64, b: i64) -> i64 {
    return i64(a.lo & b.lo, a.hi & b.hi);
}

fn or_u64(a: u64, b: u64) -> u64 {
    return u64(a.lo | b.lo, a.hi | b.hi);
}

fn or_i64(a: i64, b: i64) -> i64 {
    return i64(a.lo | b.lo, a.hi | b.hi);
}

fn xor_u64(a: u64, b: u64) -> u64 {
    return u64(a.lo ^ b.lo, a.hi ^ b.hi);
}

fn xor_i64(a: i64, b: i64) -> i64 {
    return i64(a.lo ^ b.lo, a.hi ^ b.hi);
}

fn not_u64(a: u64) -> u64 {
    return u64(~a.lo, ~a.hi);
}

fn not_i64(a: i64) -> i64 {
    return i64(~a.lo, ~a.hi);
}

// Shifts an integer left by less than 64 bits. A word that must be shifted by 32 − n is shifted by 1 and then by 31 −
// n, because WGSL uses a shift amount modulo 32.
fn cp_shl64(a: u64, n: u32) -> u64 {
    let s = n & 31u;
    let within = u64(a.lo << s, (a.hi << s) | ((a.lo >> 1u) >> (31u - s)));
    return select_u64(within, u64(0u, a.lo << s), n >= 32u);
}

fn cp_shr64(a: u64, n: u32) -> u64 {
    let s = n & 31u;
    let within = u64((a.lo >> s) | ((a.hi << 1u) << (31u - s)), a.hi >> s);
    return select_u64(within, u64(a.hi >> s, 0u), n >= 32u);
}

// Shifts an integer right by less than 64 bits. Copies of the sign bit move in from the left.
fn cp_sar64(a: i64, n: u32) -> i64 {
    let s = n & 31u;
    let high = bitcast<i32>(a.hi);
    let within = i64((a.lo >> s) | ((a.hi << 1u) << (31u - s)), bitcast<u32>(high >> s));
    return select_i64(within, i64(bitcast<u32>(high >> s), bitcast<u32>(high >> 31u)), n >= 32u);
}

// b where c is true, else a.
fn select_u64(a: u64, b: u64, c: bool) -> u64 {
    return u64(select(a.lo, b.lo, c), select(a.hi, b.hi, c));
}

fn select_i64(a: i64, b: i64, c: bool) -> i64 {
    return i64(select(a.lo, b.lo, c), select(a.hi, b.hi, c));
}
