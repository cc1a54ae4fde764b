// Sign, comparison, rounding and exact arithmetic of f32, computed from the bits. A driver may assume that NaN and Inf
// do not occur, flush subnormals, reassociate sums and fuse products with sums. Values that must survive this are
// computed by integer operations.

// The float with the bits `bits` if `c` is true, otherwise `no`. The selection is between integers, so a driver that
// assumes that NaN does not occur cannot remove it, and cp_zero() keeps a NaN or Inf from being a constant (which WGSL
// forbids).
fn cp_pick(no: f32, bits: u32, c: bool) -> f32 {
    return bitcast<f32>(select(bitcast<u32>(no), bits ^ cp_zero(), c));
}

// Returns `x`. A compiler cannot see that it does, so it cannot reassociate, fuse or fold what it computes from the
// result. It adds the zero: a compiler knows that two exclusive ors with the same number cancel, and that two ors are
// the same as one, so with these it could simplify cp_block(cp_block(x)) to x or cp_block(x).
fn cp_block(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) + cp_zero());
}

// `x` with its low 12 bits cleared, so that a product of two such numbers is exact. Opaque to the compiler, like
// cp_block.
fn cp_head(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

fn cp_nan() -> f32 {
    return bitcast<f32>(0x7fc00000u ^ cp_zero());
}

fn cp_inf() -> f32 {
    return bitcast<f32>(0x7f800000u ^ cp_zero());
}

// The bits of |x| as an integer: a larger magnitude has a larger integer. Integers above 0x7f800000 are NaN.
fn cp_mag(x: f32) -> u32 {
    return bitcast<u32>(x) & 0x7fffffffu;
}

fn cp_sgn(x: f32) -> u32 {
    return bitcast<u32>(x) & 0x80000000u;
}

// The significand m and the exponent y of |x| = m * 2^(y - 150), from the bits of |x|. The significand has 24 bits:
// 2^23 <= m < 2^24, or m is 0 if x is 0. The exponent is a biased i32 in a u32. Subnormals are normalised by integer
// operations.
fn cp_split(mag: u32) -> vec2<u32> {
    let e = mag >> 23u;
    let frac = mag & 0x7fffffu;
    let up = countLeadingZeros(frac) - 8u;
    let sub = vec2<u32>(frac << (up & 31u), 1u - up);
    let normal = vec2<u32>(frac | 0x800000u, e);
    return select(normal, select(sub, vec2<u32>(0u, 1u), frac == 0u), e == 0u);
}

// The bits of m * 2^(e - 150), rounded to the nearest, ties to even, for m < 2^24. The result is exact if it is a
// normal number, and Inf above the range.
fn cp_join(m: u32, e: i32) -> u32 {
    let up = i32(countLeadingZeros(m | 1u)) - 8;
    let n = m << (u32(up) & 31u);
    let ex = e - up;
    let normal = (n & 0x7fffffu) | (u32(clamp(ex, 1, 254)) << 23u);
    // a subnormal result is shifted right by 1 - ex bits and rounded to the nearest, ties to even
    let s = u32(clamp(1 - ex, 0, 26));
    let half = (1u << s) >> 1u;
    let q = n >> s;
    let rest = n - (q << s);
    let inc = rest > half || (rest == half && (q & 1u) == 1u && s > 0u);
    let sub = q + select(0u, 1u, inc);
    let r = select(normal, sub, ex < 1);
    return select(select(r, 0x7f800000u, ex > 254), 0u, m == 0u);
}

// x * 2^n for a finite x, by integer operations. On every driver the result is exact, overflows to Inf, and is rounded
// if it is subnormal.
fn cp_ldexp(x: f32, n: i32) -> f32 {
    let mag = cp_mag(x);
    let p = cp_split(mag);
    return bitcast<f32>(cp_join(p.x, i32(p.y) + n) | cp_sgn(x));
}

fn m_isnan(x: f32) -> bool {
    return cp_mag(x) > 0x7f800000u;
}

fn m_isinf(x: f32) -> bool {
    return cp_mag(x) == 0x7f800000u;
}

fn m_isfinite(x: f32) -> bool {
    return cp_mag(x) < 0x7f800000u;
}

fn m_signbit(x: f32) -> bool {
    return (bitcast<u32>(x) >> 31u) == 1u;
}

// A signed integer whose order is the order of all numbers except NaN. It is 0 for -0 and +0.
fn m_key(x: f32) -> i32 {
    let s = bitcast<i32>(x);
    return select(s, bitcast<i32>(0x80000000u - bitcast<u32>(x)), s < 0);
}

// A signed integer whose order is the total order in which -0 is below +0 (for min and max).
fn m_order(x: f32) -> i32 {
    let b = bitcast<u32>(x);
    return bitcast<i32>(select(b, b ^ 0x7fffffffu, (b >> 31u) == 1u));
}

// An unsigned integer in the order of `m_order`, in which every NaN is largest. It is 0 for -Inf. The bits of x can be
// recovered from it.
fn m_max_key(x: f32) -> u32 {
    let s = bitcast<i32>(x);
    return (bitcast<u32>(s) ^ (bitcast<u32>(s >> 31u) >> 1u)) + 0x7f800001u;
}

// The inverse of `m_max_key`: the number whose integer is `key`.
fn m_of_max_key(key: u32) -> f32 {
    let s = bitcast<i32>(key - 0x7f800001u);
    return bitcast<f32>(bitcast<u32>(s) ^ (bitcast<u32>(s >> 31u) >> 1u));
}

// An unsigned sort key in NumPy's order: -0 equals +0, and every NaN is last.
fn m_sort_key(x: f32) -> u32 {
    return select(bitcast<u32>(m_key(x)) ^ 0x80000000u, 0xffffffffu, m_isnan(x));
}

fn m_lt(a: f32, b: f32) -> bool {
    return !m_isnan(a) && !m_isnan(b) && m_key(a) < m_key(b);
}

fn m_le(a: f32, b: f32) -> bool {
    return !m_isnan(a) && !m_isnan(b) && m_key(a) <= m_key(b);
}

fn m_eq(a: f32, b: f32) -> bool {
    return !m_isnan(a) && !m_isnan(b) && m_key(a) == m_key(b);
}

fn m_abs(x: f32) -> f32 {
    return bitcast<f32>(cp_mag(x));
}

fn m_neg(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ 0x80000000u);
}

fn m_copysign(a: f32, b: f32) -> f32 {
    return bitcast<f32>(cp_mag(a) | cp_sgn(b));
}

// -1, 0 or 1. The result is +0 for zeros (NumPy gives 0.0 for -0.0), and NaN for NaN.
fn m_sign(x: f32) -> f32 {
    let mag = cp_mag(x);
    let one = select(0x3f800000u | cp_sgn(x), 0u, mag == 0u);
    return bitcast<f32>(select(one, bitcast<u32>(x), mag > 0x7f800000u));
}

// max(x, 0), where NaN gives NaN and -0 gives +0.
fn m_relu(x: f32) -> f32 {
    return cp_pick(x, 0u, m_order(x) < 0 && !m_isnan(x));
}

fn m_square(x: f32) -> f32 {
    return x * x;
}

// x * c for a positive c, without flushing a subnormal x or result: an x below 2^-95 is multiplied by 2^64, and the
// product is scaled back.
fn cp_mul(x: f32, c: f32) -> f32 {
    var r = x * c;
    if cp_mag(x) < 0x10000000u {
        r = x;
        if cp_mag(x) != 0u {
            r = cp_ldexp(cp_ldexp(x, 64) * c, -64);
        }
    }
    return r;
}

// pi / 180, rounded
fn m_deg2rad(x: f32) -> f32 {
    return cp_pick(cp_mul(x, 0.017453292), bitcast<u32>(x), cp_mag(x) >= 0x7f800000u);
}

// 180 / pi, rounded
fn m_rad2deg(x: f32) -> f32 {
    let r = cp_pick(cp_mul(x, 57.29578), bitcast<u32>(x), cp_mag(x) >= 0x7f800000u);
    // 0x7c8efa35 is the largest finite number / (180 / pi); above it the product overflows
    return cp_pick(r, 0x7f800000u | cp_sgn(x), cp_mag(x) > 0x7c8efa35u && m_isfinite(x));
}

// The results of floor, ceil, trunc and round have the sign of x, also if they are 0. From 2^23 on, and for Inf and
// NaN, the result is x. floor and ceil give -1 or 1 also for a subnormal x that a driver flushes.
fn m_floor(x: f32) -> f32 {
    let mag = cp_mag(x);
    let r = m_copysign(floor(x), x);
    let low = cp_pick(r, 0xbf800000u, m_signbit(x) && mag != 0u && mag < 0x00800000u);
    return cp_pick(low, bitcast<u32>(x), mag >= 0x4b000000u);
}

fn m_ceil(x: f32) -> f32 {
    let mag = cp_mag(x);
    let r = m_copysign(ceil(x), x);
    let low = cp_pick(r, 0x3f800000u, !m_signbit(x) && mag != 0u && mag < 0x00800000u);
    return cp_pick(low, bitcast<u32>(x), mag >= 0x4b000000u);
}

fn m_trunc(x: f32) -> f32 {
    let mag = cp_mag(x);
    let e = mag >> 23u;
    // clears the bits of the fraction; below 1 nothing is left
    let keep = 0xffffffffu << ((150u - e) & 31u);
    let whole = select(mag & keep, 0u, e < 127u);
    return bitcast<f32>(select(whole, mag, e >= 150u) | cp_sgn(x));
}

// Ties go to even. WGSL's round does the same, but with integer operations no driver can differ.
fn m_round(x: f32) -> f32 {
    let mag = cp_mag(x);
    let e = mag >> 23u;
    let s = clamp(150u - min(e, 150u), 1u, 24u);
    let one = 1u << s;
    let frac = select(mag & (one - 1u), 0u, e >= 150u);
    let half = one >> 1u;
    let base = mag - frac;
    let odd = (base & one) != 0u;
    let up = frac > half || (frac == half && odd);
    let r = base + select(0u, one, up);
    // below 1 the rounding above would change the exponent, so it is done here: numbers up to 0.5 give 0, larger ones
    // give 1
    let small = select(0u, 0x3f800000u, mag > 0x3f000000u);
    let whole = select(r, small, e < 127u);
    return bitcast<f32>(select(whole, mag, e >= 150u) | cp_sgn(x));
}

// min and max propagate NaN (if both are NaN, the first one, like NumPy), and -0 is below +0.
fn m_min(a: f32, b: f32) -> f32 {
    let least = select(bitcast<u32>(b), bitcast<u32>(a), m_order(a) <= m_order(b));
    let nan_b = select(least, bitcast<u32>(b), m_isnan(b));
    return bitcast<f32>(select(nan_b, bitcast<u32>(a), m_isnan(a)));
}

fn m_max(a: f32, b: f32) -> f32 {
    let most = select(bitcast<u32>(b), bitcast<u32>(a), m_order(a) >= m_order(b));
    let nan_b = select(most, bitcast<u32>(b), m_isnan(b));
    return bitcast<f32>(select(nan_b, bitcast<u32>(a), m_isnan(a)));
}

// fmin and fmax ignore a NaN if the other number is not NaN.
fn m_fmin(a: f32, b: f32) -> f32 {
    let least = select(bitcast<u32>(b), bitcast<u32>(a), m_order(a) <= m_order(b));
    let no_b = select(least, bitcast<u32>(a), m_isnan(b));
    return bitcast<f32>(select(no_b, bitcast<u32>(b), m_isnan(a)));
}

fn m_fmax(a: f32, b: f32) -> f32 {
    let most = select(bitcast<u32>(b), bitcast<u32>(a), m_order(a) >= m_order(b));
    let no_b = select(most, bitcast<u32>(a), m_isnan(b));
    return bitcast<f32>(select(no_b, bitcast<u32>(b), m_isnan(a)));
}

// a + t (b - a)
fn m_lerp(a: f32, b: f32, t: f32) -> f32 {
    // neither the difference nor the product may overflow if the result does not, so large a and b are scaled. Small
    // ones are not, because a driver may flush them to 0, and 0 times an infinite t is NaN
    let wide = max(abs(a), abs(b)) > 1e37;
    let near = cp_block(b - a);
    let far = !wide && abs(t * near) > 1e37;
    let k = select(1.0, 0.125, wide || far);
    let back = select(1.0, 8.0, wide || far);
    let d = select(near, cp_block(b * 0.125) - cp_block(a * 0.125), wide);
    let part = select(t, cp_block(t * 0.125), far);
    return cp_block(a * k + part * d) * back;
}

// The remainder of mx * 2^n by my, for significands of 24 bits, by long division. Each step takes eight bits, so that
// all numbers stay below 2^32.
fn cp_fmod_bits(mx: u32, my: u32, n: i32) -> u32 {
    var r = mx % my;
    var left = n;
    while left > 0 {
        let s = min(left, 8);
        r = (r << u32(s)) % my;
        left = left - s;
    }
    return r;
}

// The exact remainder with the sign of x. It is NaN if x or y is NaN, x is infinite or y is 0, and x if y is infinite.
fn m_fmod(x: f32, y: f32) -> f32 {
    let ax = cp_mag(x);
    let ay = cp_mag(y);
    let bad = ax >= 0x7f800000u || ay > 0x7f800000u || ay == 0u;
    if bad {
        return cp_nan();
    }
    if ax < ay {
        return x;
    }
    let px = cp_split(ax);
    let py = cp_split(ay);
    let r = cp_fmod_bits(px.x, py.x, i32(px.y) - i32(py.y));
    return bitcast<f32>(cp_join(r, i32(py.y)) | cp_sgn(x));
}

// a + b, without flushing a subnormal operand or result: small operands are multiplied by 2^64 before the addition.
fn cp_add(a: f32, b: f32) -> f32 {
    let small = max(cp_mag(a), cp_mag(b)) < 0x20000000u;
    let big = cp_ldexp(a, 64) + cp_ldexp(b, 64);
    let scaled = cp_ldexp(big, -64);
    return select(cp_block(a + b), scaled, small);
}

// Python's %: the exact remainder with the sign of y, also if it is 0. It is NaN if y is 0 (like NumPy).
fn m_remainder(x: f32, y: f32) -> f32 {
    let m = m_fmod(x, y);
    let zero = cp_mag(m) == 0u;
    let crosses = cp_sgn(m) != cp_sgn(y);
    let moved = cp_pick(m, bitcast<u32>(cp_add(m, y)), crosses && !zero);
    let r = cp_pick(moved, cp_sgn(y), zero);
    return cp_pick(r, 0x7fc00000u, m_isnan(m));
}

// NumPy's //: the floor of (x - r) / y, where r is the exact remainder. x // 0 is x / 0.
fn m_floor_divide(x: f32, y: f32) -> f32 {
    let m = m_fmod(x, y);
    let crosses = cp_sgn(m) != cp_sgn(y) && cp_mag(m) != 0u;
    let d = m_div(cp_add(x, m_neg(cp_pick(m, 0u, m_isnan(m)))), y);
    let e = select(d, cp_block(d - 1.0), crosses);
    let f = m_floor(e);
    let near = cp_block(e - f) > 0.5;
    let g = select(f, f + 1.0, near && m_isfinite(e));
    let q = m_div(x, y);
    let h = cp_pick(g, cp_sgn(q), cp_mag(e) == 0u);
    let w = cp_pick(h, bitcast<u32>(e), !m_isfinite(e));
    let r = cp_pick(w, 0x7fc00000u, m_isnan(m));
    return cp_pick(r, bitcast<u32>(q), cp_mag(y) == 0u);
}

// The number next to x in the direction of y, or y if they are equal. x, y and the result are the bits of numbers of
// one format, such as f32 or f16, whose sign bit is `top`. Neither x nor y is NaN.
fn cp_step(x: u32, y: u32, top: u32) -> u32 {
    let mx = x & (top - 1u);
    let my = y & (top - 1u);
    let kx = select(i32(mx), -i32(mx), (x & top) != 0u);
    let ky = select(i32(my), -i32(my), (y & top) != 0u);
    let away = (ky > kx) == (kx > 0);
    let moved = select(x - 1u, x + 1u, away);
    let r = select(moved, (y & top) | 1u, mx == 0u);
    return select(r, y, kx == ky);
}

fn m_nextafter(x: f32, y: f32) -> f32 {
    let r = cp_step(bitcast<u32>(x), bitcast<u32>(y), 0x80000000u);
    return cp_pick(bitcast<f32>(r), 0x7fc00000u, m_isnan(x) || m_isnan(y));
}

// The f16 next to x in the direction of y; x, y and the result are f16 values held as f32.
fn m_nextafter_f16(x: f32, y: f32) -> f32 {
    let r = f16_to_f32(cp_step(f32_to_f16(x), f32_to_f16(y), 0x8000u));
    return cp_pick(r, 0x7fc00000u, m_isnan(x) || m_isnan(y));
}

// The bf16 next to x in the direction of y; x, y and the result are bf16 values held as f32.
fn m_nextafter_bf16(x: f32, y: f32) -> f32 {
    let r = cp_step(bitcast<u32>(x) >> 16u, bitcast<u32>(y) >> 16u, 0x8000u);
    return cp_pick(bitcast<f32>(r << 16u), 0x7fc00000u, m_isnan(x) || m_isnan(y));
}
