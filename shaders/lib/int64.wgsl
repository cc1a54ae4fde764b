// The operations on 64-bit integers from which all others are built, for devices that have such integers
// (SHADER_INT64). pair64.wgsl has the same functions for other devices. A shader contains the functions of one of the
// two files; the rest of its source is the same on all devices.

// Builds an integer from its two words.
fn make_u64(lo: u32, hi: u32) -> u64 {
    return (u64(hi) << 32u) | u64(lo);
}

fn make_i64(lo: u32, hi: u32) -> i64 {
    return bitcast<i64>(make_u64(lo, hi));
}

fn low_u64(v: u64) -> u32 {
    return u32(v & 0xfffffffflu);
}

fn high_u64(v: u64) -> u32 {
    return u32(v >> 32u);
}

fn u64_to_i64(v: u64) -> i64 {
    return bitcast<i64>(v);
}

fn i64_to_u64(v: i64) -> u64 {
    return bitcast<u64>(v);
}

fn add_u64(a: u64, b: u64) -> u64 {
    return a + b;
}

fn add_i64(a: i64, b: i64) -> i64 {
    return a + b;
}

fn sub_u64(a: u64, b: u64) -> u64 {
    return a - b;
}

fn sub_i64(a: i64, b: i64) -> i64 {
    return a - b;
}

// The high 32 bits of the product. Compilers for GPUs compile this to one instruction.
fn cp_mulhi(a: u32, b: u32) -> u32 {
    return u32((u64(a) * u64(b)) >> 32u);
}

fn mul_u64(a: u64, b: u64) -> u64 {
    return a * b;
}

fn mul_i64(a: i64, b: i64) -> i64 {
    return a * b;
}

// The quotient. The divisor must not be 0.
fn cp_div64(a: u64, b: u64) -> u64 {
    return a / b;
}

fn eq_u64(a: u64, b: u64) -> bool {
    return a == b;
}

fn eq_i64(a: i64, b: i64) -> bool {
    return a == b;
}

fn lt_u64(a: u64, b: u64) -> bool {
    return a < b;
}

fn lt_i64(a: i64, b: i64) -> bool {
    return a < b;
}

fn and_u64(a: u64, b: u64) -> u64 {
    return a & b;
}

fn and_i64(a: i64, b: i64) -> i64 {
    return a & b;
}

fn or_u64(a: u64, b: u64) -> u64 {
    return a | b;
}

fn or_i64(a: i64, b: i64) -> i64 {
    return a | b;
}

fn xor_u64(a: u64, b: u64) -> u64 {
    return a ^ b;
}

fn xor_i64(a: i64, b: i64) -> i64 {
    return a ^ b;
}

fn not_u64(a: u64) -> u64 {
    return ~a;
}

fn not_i64(a: i64) -> i64 {
    return ~a;
}

// Shifts an integer left by less than 64 bits.
fn cp_shl64(a: u64, n: u32) -> u64 {
    return a << n;
}

fn cp_shr64(a: u64, n: u32) -> u64 {
    return a >> n;
}

// Shifts an integer right by less than 64 bits. Copies of the sign bit move in from the left.
fn cp_sar64(a: i64, n: u32) -> i64 {
    return a >> n;
}

// b where c is true, else a.
fn select_u64(a: u64, b: u64, c: bool) -> u64 {
    return select(a, b, c);
}

fn select_i64(a: i64, b: i64, c: bool) -> i64 {
    return select(a, b, c);
}
