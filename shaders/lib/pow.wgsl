// Powers of f32, by the method of FreeBSD's msun (e_powf) with a shorter series. Products that must be exact have
// factors of 12 bits, as in exp.wgsl.

// log2 of a number as a head of 12 bits and a tail. `whole` has the bits of the number's magnitude times 2^(bias - 127),
// which is normal. The error is below 2^-32 times the logarithm, and below 2^-34 if the head is below 1.
fn cp_pow_log2_of(whole: u32, bias: f32) -> vec2<f32> {
    // the number is 2^k m with m in [sqrt(3) / 2, sqrt(3)): the sum carries into the exponent from sqrt(3) on
    let raised = whole + 0x224c29u;
    let m = bitcast<f32>(whole - (raised & 0xff800000u) + 0x3f800000u);
    // from sqrt(3 / 2) on, the logarithm is computed around 1.5: log2 1.5 = 599 / 1024 + 1.56322085e-6
    let mid = m > 1.22474487;
    let k = f32(raised >> 23u) + select(-bias, 599.0 / 1024.0 - bias, mid);
    let c = select(1.0, 1.5, mid);
    // s = (m - c) / (m + c) as a head and a tail, which is the exact error of the head
    let u = cp_block(m - c);
    let t = cp_block(m + c);
    let v = 1.0 / t;
    let sh = cp_head(u * v);
    let th = cp_head(t);
    let tl = m - cp_block(th - c);
    let sl = v * (cp_block(u - sh * th) - sh * tl);
    let s = sh + sl;
    // log2((1 + s) / (1 - s)) = 2 / ln 2 (s + s^3 / 3 + ...): a Remez fit of our own (error 2^-38)
    let z = s * s;
    let a = 4.1848866586e-1 * z + 5.7704130068e-1;
    let q = a * z + 9.6179675382e-1;
    // 2 / ln 2 = 2.8857421875 (12 bits) - 3.5210572e-4
    let e = -3.5210572e-4 * sh + select(0.0, 1.56322085e-6, mid);
    let lo = (s * z) * q + (2.88539008 * sl + e);
    let hi = 2.8857421875 * sh;
    let l = cp_head(k + hi);
    return vec2<f32>(l, cp_block(cp_block(k - l) + hi) + lo);
}

// log2 of a positive finite x
fn cp_pow_log2(mag: u32) -> vec2<f32> {
    return cp_pow_log2_of(cp_normal(mag), select(127.0, 276.0, mag < 0x800000u));
}

// 2^shift 2^(y log2 x) for a positive finite x. A shift other than 0 is for powers below 2^-shift, so that the result
// is not subnormal.
fn cp_pow_at(mag: u32, y: f32, shift: i32) -> f32 {
    return cp_pow_of(cp_pow_log2(mag), y, shift);
}

// yl l.x + y l.y. The first product is exact and opaque, so a compiler can fuse only the second one with the sum.
fn cp_pow_tail(yl: f32, y: f32, l: vec2<f32>) -> f32 {
    return cp_block(y * l.y + cp_block(yl * l.x));
}

// 2^shift 2^(y log2 x), given log2 x as a head and a tail
fn cp_pow_of(l: vec2<f32>, y: f32, shift: i32) -> f32 {
    // from 2^31 on, the power overflows or underflows for every x but 1
    let ym = min(cp_mag(y), 0x4f000000u);
    let ys = bitcast<f32>(ym | cp_sgn(y));
    let y1 = cp_head(ys);
    let yl = cp_block(ys - y1);
    let pl = cp_pow_tail(yl, ys, l);
    let ph = cp_block(y1 * l.x);
    let z = cp_block(pl + ph);
    let zs = cp_pick(z, 0u, cp_mag(z) > 0x43200000u);
    let n = round(zs);
    let r = cp_block(ph - n) + pl;
    let rs = cp_pick(r, 0u, cp_mag(z) > 0x43200000u);
    let p = 1.0 + rs * cp_exp2_poly(rs);
    let v = cp_exp_scale(p, i32(n) + shift);
    // for n = 128 and p < 1 the result is still finite
    let over = !m_signbit(z) && (cp_mag(z) > 0x43200000u || n > 128.0 || (n == 128.0 && p >= 1.0));
    let hi = cp_pick(v, 0x7f800000u, over);
    return cp_pick(hi, 0u, m_signbit(z) && cp_mag(z) >= 0x43160000u);
}

// 0 if y is not a whole number, 1 if it is odd, 2 if it is even (from 2^24 on all numbers are even)
fn cp_pow_parity(ym: u32) -> u32 {
    let e = ym >> 23u;
    let s = 150u - clamp(e, 126u, 150u);
    let m = (ym & 0x7fffffu) | 0x800000u;
    let whole = (m & ((1u << s) - 1u)) == 0u;
    let v = select(0u, 2u - ((m >> s) & 1u), whole);
    let low = select(v, 0u, e < 127u);
    return select(low, 2u, e > 150u);
}

// x^y for any operands, where `v` is the power of abs(x). Returns `v` for a positive finite x and a finite y.
fn cp_pow_special(v: f32, x: f32, y: f32) -> f32 {
    let xm = cp_mag(x);
    let ym = cp_mag(y);
    let xneg = m_signbit(x);
    let yneg = m_signbit(y);
    let parity = cp_pow_parity(ym);
    let sign = select(0u, 0x80000000u, xneg && parity == 1u);
    // a power of 0 or Inf is 0 or Inf, depending on the sign of y
    let pole = (xm == 0u) == yneg;
    let ends = cp_pick(v, select(0u, 0x7f800000u, pole), xm == 0u || xm == 0x7f800000u);
    let signed = bitcast<f32>(bitcast<u32>(ends) | sign);
    // for an infinite y the result is 1 if abs(x) is 1
    let grows = (xm > 0x3f800000u) != yneg;
    let far = select(select(0u, 0x7f800000u, grows), 0x3f800000u, xm == 0x3f800000u);
    let inf = cp_pick(signed, far, ym == 0x7f800000u);
    let invalid = xneg && xm != 0u && xm < 0x7f800000u && ym < 0x7f800000u && parity == 0u;
    let nan = cp_pick(inf, 0x7fc00000u, invalid || xm > 0x7f800000u || ym > 0x7f800000u);
    return cp_pick(nan, 0x3f800000u, ym == 0u || bitcast<u32>(x) == 0x3f800000u);
}

// The power of a negative finite number for a finite y, given r, the power of its magnitude
fn cp_pow_negative(r: f32, y: f32) -> f32 {
    let parity = cp_pow_parity(cp_mag(y));
    let signed = bitcast<f32>(bitcast<u32>(r) | select(0u, 0x80000000u, parity == 1u));
    return cp_pick(signed, 0x7fc00000u, parity == 0u && cp_mag(y) != 0u);
}

// x^1 is exact, and x^2 is rounded only once. For other exponents the result is r.
fn cp_pow_one_or_two(r: f32, x: f32, y: f32) -> f32 {
    let one = cp_pick(r, bitcast<u32>(x), bitcast<u32>(y) == 0x3f800000u);
    return cp_pick(one, bitcast<u32>(x * x), bitcast<u32>(y) == 0x40000000u);
}

// x^y for any operands
fn cp_pow_any(x: f32, y: f32) -> f32 {
    return cp_pow_one_or_two(cp_pow_special(cp_pow_at(cp_mag(x), y, 0), x, y), x, y);
}

fn m_pow(x: f32, y: f32) -> f32 {
    let xm = cp_mag(x);
    let l = cp_pow_log2_of(xm, 127.0);
    let y1 = cp_head(y);
    let pl = cp_pow_tail(cp_block(y - y1), y, l);
    let ph = cp_block(y1 * l.x);
    let z = cp_block(pl + ph);
    let n = round(z);
    let s = cp_block(ph - n) + pl;
    var r = cp_exp_add(1.0 + s * cp_exp2_poly(s), n);
    if m_signbit(x) {
        r = cp_pow_negative(r, y);
    }
    r = cp_pow_one_or_two(r, x, y);
    // abs(x) is not a normal number, y is not finite, or the result may not be normal
    let ends = xm - 0x800000u >= 0x7f000000u || cp_mag(y) >= 0x7f800000u || cp_mag(z) > 0x42f80000u;
    // rare: general
    if ends && bitcast<u32>(y) != 0x3f800000u && bitcast<u32>(y) != 0x40000000u {
        r = cp_pow_any(x, y);
    }
    return r;
}
