// Sign, comparison, rounding and exact arithmetic of f32, decided on the bits: a driver may assume that NaN and Inf
// do not occur, flush subnormals, reassociate and fuse. What must survive goes through integers.

// The bits `bits` where `c` holds, else `no`. The selection is between integers, so a driver that assumes that NaN
// does not occur cannot remove it, and cp_zero() keeps a NaN or Inf from being a constant (which WGSL forbids).
fn cp_pick(no: f32, bits: u32, c: bool) -> f32 {
    return bitcast<f32>(select(bitcast<u32>(no), bits ^ cp_zero(), c));
}

// `x`, opaque to reassociation, fusing and folding. It adds the zero, because a compiler knows that two exclusive ors with
// one number cancel and that two ors are one, so cp_block(cp_block(x)) would be the same value as x or cp_block(x).
fn cp_block(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) + cp_zero());
}

// `x` with its low 12 bits cleared: a product of two such numbers is exact. Opaque to the compiler, as cp_block.
fn cp_head(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

fn cp_nan() -> f32 {
    return bitcast<f32>(0x7fc00000u ^ cp_zero());
}

fn cp_inf() -> f32 {
    return bitcast<f32>(0x7f800000u ^ cp_zero());
}

// |x| as bits: larger magnitude, larger integer; above 0x7f800000 is NaN.
fn cp_mag(x: f32) -> u32 {
    return bitcast<u32>(x) & 0x7fffffffu;
}

fn cp_sgn(x: f32) -> u32 {
    return bitcast<u32>(x) & 0x80000000u;
}

// |x| of the given magnitude bits as a significand with 24 bits, 2^23 <= m < 2^24 (0 for 0), and in y an exponent
// (biased, as an i32 in a u32) such that |x| = m * 2^(y - 150). Subnormals are normalised in integers.
fn cp_split(mag: u32) -> vec2<u32> {
    let e = mag >> 23u;
    let frac = mag & 0x7fffffu;
    let up = countLeadingZeros(frac) - 8u;
    let sub = vec2<u32>(frac << (up & 31u), 1u - up);
    let normal = vec2<u32>(frac | 0x800000u, e);
    return select(normal, select(sub, vec2<u32>(0u, 1u), frac == 0u), e == 0u);
}

// The bits of m * 2^(e - 150) rounded to nearest even, for m < 2^24; e is an i32. Exact where the result is normal;
// Inf above the range.
fn cp_join(m: u32, e: i32) -> u32 {
    let up = i32(countLeadingZeros(m | 1u)) - 8;
    let n = m << (u32(up) & 31u);
    let ex = e - up;
    let normal = (n & 0x7fffffu) | (u32(clamp(ex, 1, 254)) << 23u);
    // subnormal: shift right by 1 - ex, nearest even
    let s = u32(clamp(1 - ex, 0, 26));
    let half = (1u << s) >> 1u;
    let q = n >> s;
    let rest = n - (q << s);
    let inc = rest > half || (rest == half && (q & 1u) == 1u && s > 0u);
    let sub = q + select(0u, 1u, inc);
    let r = select(normal, sub, ex < 1);
    return select(select(r, 0x7f800000u, ex > 254), 0u, m == 0u);
}

// x * 2^n for a finite x, in integers: exact, with overflow to Inf and rounded subnormals on every driver.
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

// A signed key that orders all but NaN; -0 and +0 share the key 0.
fn m_key(x: f32) -> i32 {
    let s = bitcast<i32>(x);
    return select(s, bitcast<i32>(0x80000000u - bitcast<u32>(x)), s < 0);
}

// A signed key of the total order in which -0 is below +0 (for min and max).
fn m_order(x: f32) -> i32 {
    let b = bitcast<u32>(x);
    return bitcast<i32>(select(b, b ^ 0x7fffffffu, (b >> 31u) == 1u));
}

// An unsigned key of the order of `m_order`, in which every NaN is largest; 0 for -Inf. It contains the bits of x.
fn m_max_key(x: f32) -> u32 {
    let s = bitcast<i32>(x);
    return (bitcast<u32>(s) ^ (bitcast<u32>(s >> 31u) >> 1u)) + 0x7f800001u;
}

// The number of which `m_max_key` makes `key`.
fn m_of_max_key(key: u32) -> f32 {
    let s = bitcast<i32>(key - 0x7f800001u);
    return bitcast<f32>(bitcast<u32>(s) ^ (bitcast<u32>(s >> 31u) >> 1u));
}

// An unsigned key for sorting as NumPy does: -0 equals +0, every NaN is last.
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

// -1, 0 or 1; zeros give +0 (NumPy gives 0.0 for -0.0), NaN gives NaN.
fn m_sign(x: f32) -> f32 {
    let mag = cp_mag(x);
    let one = select(0x3f800000u | cp_sgn(x), 0u, mag == 0u);
    return bitcast<f32>(select(one, bitcast<u32>(x), mag > 0x7f800000u));
}

// max(x, 0), NaN kept; +0 for -0.
fn m_relu(x: f32) -> f32 {
    return cp_pick(x, 0u, m_order(x) < 0 && !m_isnan(x));
}

fn m_square(x: f32) -> f32 {
    return x * x;
}

// x * c for a positive c, where a subnormal x or result must not be flushed: below 2^-95 it is computed 2^64 times too large, then scaled back.
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
    // above this bound, the largest finite number / (180 / pi), the product overflows
    return cp_pick(r, 0x7f800000u | cp_sgn(x), cp_mag(x) > 0x7c8efa35u && m_isfinite(x));
}

// The sign of floor, ceil, trunc and round is that of x, a zero result included. From 2^23 on, and for Inf and NaN,
// x is the result. A subnormal that a driver flushes must still give -1 or 1 in floor and ceil.
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
    // clear the fraction bits; nothing is left below 1
    let keep = 0xffffffffu << ((150u - e) & 31u);
    let whole = select(mag & keep, 0u, e < 127u);
    return bitcast<f32>(select(whole, mag, e >= 150u) | cp_sgn(x));
}

// Ties to even: WGSL's round is that too, but in integers no driver can differ.
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
    // below 1 the rounding above would reach into the exponent, so it is done here: up to 0.5 gives 0, above it 1
    let small = select(0u, 0x3f800000u, mag > 0x3f000000u);
    let whole = select(r, small, e < 127u);
    return bitcast<f32>(select(whole, mag, e >= 150u) | cp_sgn(x));
}

// min and max propagate NaN (the first one, as NumPy) and order -0 below +0.
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

// fmin and fmax ignore one NaN.
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
    // neither the difference nor the product may overflow where the result does not, so large ends are scaled; small ones
    // are not, because a driver may flush them to 0, and 0 times an infinite t is NaN
    let wide = max(abs(a), abs(b)) > 1e37;
    let near = cp_block(b - a);
    let far = !wide && abs(t * near) > 1e37;
    let k = select(1.0, 0.125, wide || far);
    let back = select(1.0, 8.0, wide || far);
    let d = select(near, cp_block(b * 0.125) - cp_block(a * 0.125), wide);
    let part = select(t, cp_block(t * 0.125), far);
    return cp_block(a * k + part * d) * back;
}

// The remainder of mx * 2^n by my, for significands of 24 bits: long division by eight bits a step, so that all stays below
// 2^32.
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

// The exact remainder with the sign of x. NaN for NaN, x infinite or y zero; x for y infinite.
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

// a + b where a subnormal operand or result must not be flushed: small operands are added 2^64 times larger.
fn cp_add(a: f32, b: f32) -> f32 {
    let small = max(cp_mag(a), cp_mag(b)) < 0x20000000u;
    let big = cp_ldexp(a, 64) + cp_ldexp(b, 64);
    let scaled = cp_ldexp(big, -64);
    return select(cp_block(a + b), scaled, small);
}

// Python's %: the sign of y, from the exact fmod; a zero result takes the sign of y, y = 0 gives NaN (NumPy).
fn m_remainder(x: f32, y: f32) -> f32 {
    let m = m_fmod(x, y);
    let zero = cp_mag(m) == 0u;
    let crosses = cp_sgn(m) != cp_sgn(y);
    let moved = cp_pick(m, bitcast<u32>(cp_add(m, y)), crosses && !zero);
    let r = cp_pick(moved, cp_sgn(y), zero);
    return cp_pick(r, 0x7fc00000u, m_isnan(m));
}

// NumPy's //: floor of the quotient that the exact remainder leaves; x // 0 is x / 0.
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

// The number next to x in the direction of y, or y if they are equal. All are the bits of one format, such as f32 or f16, whose
// sign bit is `top`; neither is NaN.
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
