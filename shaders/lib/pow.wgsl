// Powers of f32, by the method of FreeBSD's msun (e_powf). Products that must be exact have factors of 12 bits, as in
// exp.wgsl.

// log2 of a positive finite x as a head of 12 bits and a tail, with an error of about 2^-36, as in FreeBSD's e_powf.
fn cp_pow_log2(mag: u32) -> vec2<f32> {
    let whole = cp_normal(mag);
    let j = whole & 0x7fffffu;
    // the logarithm is computed around 1 for significands below sqrt(3/2), around 1.5 below sqrt(3), and otherwise
    // around 2
    let mid = j > 0x1cc471u && j < 0x5db3d7u;
    let top = j >= 0x5db3d7u;
    let n = f32(i32(whole >> 23u) - select(127, 276, mag < 0x800000u) + select(0, 1, top));
    let ix = (j | 0x3f800000u) - select(0u, 0x00800000u, top);
    let ax = bitcast<f32>(ix);
    let bp = select(1.0, 1.5, mid);
    // s = (ax - bp) / (ax + bp) as a head and a tail, which is the exact error of the head
    let u = cp_block(ax - bp);
    let v = 1.0 / (ax + bp);
    let s = u * v;
    let sh = cp_head(s);
    let tb = ((ix >> 1u) & 0xfffff000u) | 0x20000000u;
    let th = bitcast<f32>(tb + 0x00400000u + select(0u, 0x00200000u, mid));
    let tl = ax - cp_block(th - bp);
    let e = cp_block(u - sh * th);
    let sl = v * cp_block(e - sh * tl);
    // log of the ratio: 2 s (1 + s^2 / 3 + ...)
    let s2 = cp_block(s * s);
    let a = 2.0697501302e-1 * s2 + 2.3066075146e-1;
    let b = a * s2 + 2.7272811532e-1;
    let c = b * s2 + 3.3333334327e-1;
    let d = c * s2 + 4.2857143283e-1;
    let g = d * s2 + 6.0000002384e-1;
    let r = (s2 * s2) * g + sl * (sh + s);
    let q = cp_block(sh * sh);
    let wh = cp_head(cp_block(3.0 + q) + r);
    let wl = r - cp_block(cp_block(wh - 3.0) - q);
    let uh = cp_block(sh * wh);
    let ul = sl * wh + wl * s;
    let ph = cp_head(uh + ul);
    let pl = ul - cp_block(ph - uh);
    // 2 / (3 ln 2) = 9.6191406250e-1 (12 bits) - 1.1736857402e-4; log2 1.5 = 5.84960938e-1 + 1.56322085e-6
    let zh = cp_block(9.6191406250e-1 * ph);
    let zt = -1.1736857402e-4 * ph + pl * 9.6179670095e-1;
    let zl = cp_block(zt + select(0.0, 1.56322085e-6, mid));
    let dp = select(0.0, 5.84960938e-1, mid);
    let t1 = cp_head(cp_block(cp_block(zh + zl) + dp) + n);
    let x1 = cp_block(t1 - n);
    let x2 = cp_block(x1 - dp);
    return vec2<f32>(t1, zl - cp_block(x2 - zh));
}

// 2^shift 2^(y log2 x) for a positive finite x. A shift other than 0 is for powers below 2^-shift, so that the result
// is not subnormal.
fn cp_pow_at(mag: u32, y: f32, shift: i32) -> f32 {
    return cp_pow_of(cp_pow_log2(mag), y, shift);
}

// 2^shift 2^(y log2 x), given log2 x as a head and a tail
fn cp_pow_of(l: vec2<f32>, y: f32, shift: i32) -> f32 {
    // from 2^31 on, the power overflows or underflows for every x but 1
    let ym = min(cp_mag(y), 0x4f000000u);
    let ys = bitcast<f32>(ym | cp_sgn(y));
    let y1 = cp_head(ys);
    let yl = cp_block(ys - y1);
    let pl = cp_block(yl * l.x + ys * l.y);
    let ph = cp_block(y1 * l.x);
    let z = cp_block(pl + ph);
    let zs = cp_pick(z, 0u, cp_mag(z) > 0x43200000u);
    let n = floor(zs + 0.5);
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

// x^y for the operands that are not a positive finite x and a finite y, where `v` is the power of abs(x).
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

fn m_pow(x: f32, y: f32) -> f32 {
    let ym = cp_mag(y);
    let l = cp_pow_log2(cp_mag(x));
    let y1 = cp_head(y);
    let yl = cp_block(y - y1);
    let pl = cp_block(yl * l.x + y * l.y);
    let ph = cp_block(y1 * l.x);
    let z = cp_block(pl + ph);
    let n = floor(z + 0.5);
    let s = cp_block(ph - n) + pl;
    var r = cp_exp_add(1.0 + s * cp_exp2_poly(s), n);
    // the result may not be normal, or an Inf has become NaN
    if cp_mag(z) > 0x42f80000u {
        r = cp_pow_of(l, y, 0);
    }
    // x^1 is exact, and x^2 is rounded only once
    r = cp_pick(r, cp_mag(x), bitcast<u32>(y) == 0x3f800000u);
    r = cp_pick(r, bitcast<u32>(x * x), bitcast<u32>(y) == 0x40000000u);
    // x is 1 or not a positive finite number, or y is 0 or not finite
    if bitcast<u32>(x) - 1u >= 0x7f7fffffu || bitcast<u32>(x) == 0x3f800000u || ym - 1u >= 0x7f7fffffu {
        r = cp_pow_special(r, x, y);
    }
    return r;
}
