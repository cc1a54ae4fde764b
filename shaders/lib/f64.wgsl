// Functions of f64, for devices that have it (SHADER_F64). They follow the rules of bits.wgsl.

// As in bits.wgsl, functions look at the bits to decide about NaN, Inf, signs and order.
fn d_bits(x: f64) -> u64 {
    return bitcast<u64>(x);
}

fn d_mag(x: f64) -> u64 {
    return bitcast<u64>(x) & 0x7ffffffffffffffflu;
}

fn d_sgn(x: f64) -> u64 {
    return bitcast<u64>(x) & 0x8000000000000000lu;
}

// Returns `x`. A compiler cannot see that it does, so it cannot reassociate, fuse or fold what it computes from the
// result. It is cp_block for f64.
fn d_block(x: f64) -> f64 {
    return bitcast<f64>(bitcast<u64>(x) + u64(cp_zero()));
}

fn d_pick(no: f64, bits: u64, c: bool) -> f64 {
    return bitcast<f64>(select(bitcast<u64>(no), bits ^ u64(cp_zero()), c));
}

fn d_isnan(x: f64) -> bool {
    return d_mag(x) > 0x7ff0000000000000lu;
}

fn d_isinf(x: f64) -> bool {
    return d_mag(x) == 0x7ff0000000000000lu;
}

fn d_isfinite(x: f64) -> bool {
    return d_mag(x) < 0x7ff0000000000000lu;
}

fn d_signbit(x: f64) -> bool {
    return d_sgn(x) != 0lu;
}

fn d_abs(x: f64) -> f64 {
    return bitcast<f64>(d_mag(x));
}

fn d_neg(x: f64) -> f64 {
    return bitcast<f64>(bitcast<u64>(x) ^ 0x8000000000000000lu);
}

fn d_copysign(a: f64, b: f64) -> f64 {
    return bitcast<f64>(d_mag(a) | d_sgn(b));
}

fn d_sign(x: f64) -> f64 {
    let mag = d_mag(x);
    let one = select(0x3ff0000000000000lu | d_sgn(x), 0lu, mag == 0lu);
    return bitcast<f64>(select(one, bitcast<u64>(x), d_isnan(x)));
}

fn d_square(x: f64) -> f64 {
    return x * x;
}

// A signed integer whose order is the order of all numbers except NaN. It is 0 for -0 and +0.
fn d_key(x: f64) -> i64 {
    let s = bitcast<i64>(x);
    return select(s, bitcast<i64>(0x8000000000000000lu - bitcast<u64>(x)), s < 0li);
}

// A signed integer whose order is the total order in which -0 is below +0.
fn d_order(x: f64) -> i64 {
    let b = bitcast<u64>(x);
    return bitcast<i64>(select(b, b ^ 0x7ffffffffffffffflu, d_sgn(x) != 0lu));
}

// An unsigned sort key: -0 equals +0, and every NaN is last.
fn d_sort_key(x: f64) -> u64 {
    return select(bitcast<u64>(d_key(x)) ^ 0x8000000000000000lu, 0xfffffffffffffffflu, d_isnan(x));
}

fn d_lt(a: f64, b: f64) -> bool {
    return !d_isnan(a) && !d_isnan(b) && d_key(a) < d_key(b);
}

fn d_le(a: f64, b: f64) -> bool {
    return !d_isnan(a) && !d_isnan(b) && d_key(a) <= d_key(b);
}

fn d_eq(a: f64, b: f64) -> bool {
    return !d_isnan(a) && !d_isnan(b) && d_key(a) == d_key(b);
}

fn d_min(a: f64, b: f64) -> f64 {
    let least = select(bitcast<u64>(b), bitcast<u64>(a), d_order(a) <= d_order(b));
    let nan_b = select(least, bitcast<u64>(b), d_isnan(b));
    return bitcast<f64>(select(nan_b, bitcast<u64>(a), d_isnan(a)));
}

fn d_max(a: f64, b: f64) -> f64 {
    let most = select(bitcast<u64>(b), bitcast<u64>(a), d_order(a) >= d_order(b));
    let nan_b = select(most, bitcast<u64>(b), d_isnan(b));
    return bitcast<f64>(select(nan_b, bitcast<u64>(a), d_isnan(a)));
}

fn d_fmin(a: f64, b: f64) -> f64 {
    let least = select(bitcast<u64>(b), bitcast<u64>(a), d_order(a) <= d_order(b));
    let no_b = select(least, bitcast<u64>(a), d_isnan(b));
    return bitcast<f64>(select(no_b, bitcast<u64>(b), d_isnan(a)));
}

fn d_fmax(a: f64, b: f64) -> f64 {
    let most = select(bitcast<u64>(b), bitcast<u64>(a), d_order(a) >= d_order(b));
    let no_b = select(most, bitcast<u64>(a), d_isnan(b));
    return bitcast<f64>(select(no_b, bitcast<u64>(b), d_isnan(a)));
}

// trunc(x), by clearing the bits of the fraction. Below 1 only the sign is left.
fn d_trunc(x: f64) -> f64 {
    let mag = d_mag(x);
    let e = high_u64(mag) >> 20u;
    let keep = 0xfffffffffffffffflu << ((1075u - e) & 63u);
    let whole = select(mag & keep, 0lu, e < 1023u);
    return bitcast<f64>(select(whole, mag, e >= 1075u) | d_sgn(x));
}

// trunc(x), or, if `away` is true, the whole number that is farther from zero by 1
fn d_away(x: f64, away: bool) -> f64 {
    let t = d_trunc(x);
    let one = bitcast<f64>(0x3ff0000000000000lu | d_sgn(x));
    let moved = select(t, t + one, d_mag(t) != d_mag(x) && away);
    return select(moved, t, d_mag(x) >= 0x4330000000000000lu);
}

fn d_floor(x: f64) -> f64 {
    let bits = bitcast<u64>(d_away(x, d_signbit(x)));
    return bitcast<f64>(select(bits, bitcast<u64>(x), d_mag(x) >= 0x4330000000000000lu));
}

fn d_ceil(x: f64) -> f64 {
    let bits = bitcast<u64>(d_away(x, !d_signbit(x)));
    return bitcast<f64>(select(bits, bitcast<u64>(x), d_mag(x) >= 0x4330000000000000lu));
}

// Rounds to the nearest whole number, ties to even.
fn d_round(x: f64) -> f64 {
    let mag = d_mag(x);
    let e = high_u64(mag) >> 20u;
    let big = e >= 1075u;
    let s = clamp(1075u - min(e, 1075u), 1u, 53u);
    let one = 1lu << s;
    let frac = mag & (one - 1lu);
    let half = one >> 1u;
    let base = mag - frac;
    let up = frac > half || (frac == half && (base & one) != 0lu);
    let r = base + select(0lu, one, up);
    // below 1, numbers up to 0.5 give 0, and larger ones give 1
    let small = select(0lu, 0x3ff0000000000000lu, mag > 0x3fe0000000000000lu);
    let whole = select(r, small, e < 1023u);
    return bitcast<f64>(select(whole, mag, big) | d_sgn(x));
}

fn d_sqrt(x: f64) -> f64 {
    let mag = d_mag(x);
    let neg = d_signbit(x) && mag != 0lu;
    let safe = d_pick(x, 0x3ff0000000000000lu, neg || mag >= 0x7ff0000000000000lu || mag == 0lu);
    let r = d_pick(sqrt(safe), bitcast<u64>(x), mag == 0lu || mag == 0x7ff0000000000000lu);
    return d_pick(r, 0x7ff8000000000000lu, neg || d_isnan(x));
}

// The significand m of a finite |x| = m * 2^(e - 1075). It has 53 bits, also if x is subnormal. The next function
// returns e.
fn d_significand(mag: u64) -> u64 {
    let frac = mag & 0xffffffffffffflu;
    let sub = frac << ((cp_clz64(frac) - 11u) & 63u);
    return select(frac | 0x10000000000000lu, sub, (mag >> 52u) == 0lu);
}

fn d_exponent(mag: u64) -> i32 {
    let e = i32(high_u64(mag) >> 20u);
    let frac = mag & 0xffffffffffffflu;
    return select(e, 12 - i32(cp_clz64(frac)), e == 0);
}

// The bits of m * 2^(e - 1075) for m < 2^53, if this is exact.
fn d_join(m: u64, e: i32) -> u64 {
    let up = i32(cp_clz64(m)) - 11;
    let ex = e - up;
    let n = m << (u32(up) & 63u);
    let normal = (n & 0xffffffffffffflu) | (u64(u32(clamp(ex, 1, 2046))) << 52u);
    let sub = n >> (u32(clamp(1 - ex, 0, 63)));
    return select(select(normal, sub, ex < 1), 0lu, m == 0lu);
}

// The exact remainder with the sign of x, by long division. Each step takes ten bits, so that r stays below 2^63.
fn d_fmod(x: f64, y: f64) -> f64 {
    let ax = d_mag(x);
    let ay = d_mag(y);
    if ax >= 0x7ff0000000000000lu || ay > 0x7ff0000000000000lu || ay == 0lu {
        return bitcast<f64>(0x7ff8000000000000lu ^ u64(cp_zero()));
    }
    if ax < ay {
        return x;
    }
    let my = d_significand(ay);
    let ey = d_exponent(ay);
    var left = d_exponent(ax) - ey;
    var r = d_significand(ax) % my;
    while left > 0 {
        let s = min(left, 10);
        r = (r << u32(s)) % my;
        left = left - s;
    }
    return bitcast<f64>(d_join(r, ey) | d_sgn(x));
}

// Python's %: the remainder with the sign of y.
fn d_remainder(x: f64, y: f64) -> f64 {
    let m = d_fmod(x, y);
    let zero = d_mag(m) == 0lu;
    let crosses = d_sgn(m) != d_sgn(y);
    let moved = d_pick(m, bitcast<u64>(m + y), crosses && !zero);
    let r = d_pick(moved, d_sgn(y), zero);
    return d_pick(r, 0x7ff8000000000000lu, d_isnan(m));
}

// NumPy's //: the floor of (x - r) / y, where r is the exact remainder. x // 0 is x / 0.
fn d_floor_divide(x: f64, y: f64) -> f64 {
    let m = d_fmod(x, y);
    let crosses = d_sgn(m) != d_sgn(y) && d_mag(m) != 0lu;
    // d is a whole number or next to one, which x / y - m / y would not be
    let d = d_block(d_block(x - d_pick(m, 0lu, d_isnan(m))) / y);
    let e = select(d, d_block(d - 1.0lf), crosses);
    let f = d_floor(e);
    let g = select(f, f + 1.0lf, d_isfinite(e) && e - f > 0.5lf);
    let q = x / y;
    let h = d_pick(g, d_sgn(x) ^ d_sgn(y), d_mag(e) == 0lu);
    let r = d_pick(h, 0x7ff8000000000000lu, d_isnan(m));
    return d_pick(r, bitcast<u64>(q), d_mag(y) == 0lu);
}

// The number next to x in the direction of y.
fn d_nextafter(x: f64, y: f64) -> f64 {
    let away = (d_key(y) > d_key(x)) == (d_key(x) > 0li);
    let b = bitcast<u64>(x);
    let moved = select(b - 1lu, b + 1lu, away);
    let r = select(moved, d_sgn(y) | 1lu, d_mag(x) == 0lu);
    let s = select(r, bitcast<u64>(y), d_key(x) == d_key(y));
    return d_pick(bitcast<f64>(s), 0x7ff8000000000000lu, d_isnan(x) || d_isnan(y));
}

// |x| truncated to an integer, at most 2^64 - 1; NaN gives 0. The conversions to integers below saturate too. The
// conversions from integers round to the nearest, ties to even.
fn cp_f64_mag_u64(mag: u64) -> u64 {
    let e = high_u64(mag) >> 20u;
    let m = (mag & 0xffffffffffffflu) | 0x10000000000000lu;
    let right = m >> min(1075u - min(e, 1075u), 63u);
    let left = m << min(max(e, 1075u) - 1075u, 11u);
    let v = select(right, left, e >= 1075u);
    let sat = select(v, 0xfffffffffffffffflu, e >= 1087u);
    return select(sat, 0lu, e < 1023u || mag > 0x7ff0000000000000lu);
}

fn f64_to_u64(x: f64) -> u64 {
    return select(cp_f64_mag_u64(d_mag(x)), 0lu, d_signbit(x));
}

fn f64_to_i64(x: f64) -> i64 {
    return cp_signed64(cp_f64_mag_u64(d_mag(x)), d_signbit(x));
}

fn f64_to_u32(x: f64) -> u32 {
    let v = f64_to_u64(x);
    return select(u32(v & 0xfffffffflu), 0xffffffffu, v > 0xfffffffflu);
}

fn f64_to_i32(x: f64) -> i32 {
    let v = f64_to_i64(x);
    let hi = select(v, 2147483647li, v > 2147483647li);
    return i32(select(hi, -2147483648li, hi < -2147483648li));
}

fn u64_to_f64(v: u64) -> f64 {
    let up = cp_clz64(v);
    let n = v << (up & 63u);
    let top = n >> 11u;
    let rest = n & 0x7fflu;
    let inc = rest > 0x400lu || (rest == 0x400lu && (top & 1lu) == 1lu);
    let r = top + select(0lu, 1lu, inc) + (u64(1085u - up) << 52u);
    return bitcast<f64>(select(r, 0lu, v == 0lu));
}

fn i64_to_f64(v: i64) -> f64 {
    let r = bitcast<u64>(u64_to_f64(bitcast<u64>(abs_i64(v))));
    return bitcast<f64>(r | select(0lu, 0x8000000000000000lu, v < 0li));
}

fn u32_to_f64(v: u32) -> f64 {
    return u64_to_f64(make_u64(v, 0u));
}

fn i32_to_f64(v: i32) -> f64 {
    return i64_to_f64(i32_to_i64(v));
}

// Converts f32 to f64, which is exact.
fn f32_to_f64(x: f32) -> f64 {
    let b = bitcast<u32>(x);
    let mag = b & 0x7fffffffu;
    let e = mag >> 23u;
    let frac = mag & 0x7fffffu;
    let up = countLeadingZeros(frac) - 8u;
    let sub = (u64((frac << (up & 31u)) & 0x7fffffu) << 29u) | (u64(897u - up) << 52u);
    let wide = (u64(frac) << 29u) | (u64(select(e + 896u, 2047u, e == 255u)) << 52u);
    let low = select(sub, 0lu, frac == 0u);
    return bitcast<f64>(select(wide, low, e == 0u) | (u64(b >> 31u) << 63u));
}

// Converts f64 to f32, rounded to the nearest, ties to even. Subnormal results are rounded too, and NaN gives a quiet
// NaN.
fn f64_to_f32(x: f64) -> f32 {
    let mag = d_mag(x);
    let e = i32(high_u64(mag) >> 20u);
    let sign = high_u64(d_sgn(x));
    let m = (mag & 0xffffffffffffflu) | 0x10000000000000lu;
    // the low 29 bits are dropped, and one more bit for each power of two below the normal range
    let s = u32(clamp(29 + max(897 - e, 0), 29, 55));
    let q = m >> s;
    let rest = m - (q << s);
    let half = 1lu << (s - 1u);
    let inc = rest > half || (rest == half && (q & 1lu) == 1lu);
    let r = u32(q) + select(0u, 1u, inc);
    let bits = r + (u32(max(e - 897, 0)) << 23u);
    let inf = select(bits, 0x7f800000u, e > 1150 || bits > 0x7f800000u);
    let zero = select(inf, 0u, e < 870);
    let nan = 0x7fc00000u;
    return bitcast<f32>(sign | select(zero, nan ^ cp_zero(), d_isnan(x)));
}

fn f64_to_f32_odd(x: f64) -> f32 {
    let mag = d_mag(x);
    let e = i32(high_u64(mag) >> 20u);
    let sign = high_u64(d_sgn(x));
    let m = (mag & 0xffffffffffffflu) | 0x10000000000000lu;
    // the low 29 bits are dropped, and one more bit for each power of two below the normal range
    let s = u32(clamp(29 + max(897 - e, 0), 29, 55));
    let q = m >> s;
    let rest = m - (q << s);
    let r = u32(q) | select(0u, 1u, rest != 0lu);
    let bits = r + (u32(max(e - 897, 0)) << 23u);
    let inf = select(bits, 0x7f800000u, e > 1150 || bits > 0x7f800000u);
    let zero = select(inf, 0u, e < 870);
    let nan = 0x7fc00000u;
    return bitcast<f32>(sign | select(zero, nan ^ cp_zero(), d_isnan(x)));
}
