// Powers of f64: 2^(y log2 x), where log2 x is a sum of two numbers that is right to 2^-64, as in
// src/math/double/pow.rs.

// log2 of a positive finite number, given as its bits. Each value whose name ends in `_low` is the rounding error of
// the value without this ending.
fn cd_log2_sum(mag: u64) -> vec2<f64> {
    let p = cd_log_parts(mag);
    let f = p.x;
    // s is f / (2 + f)
    let d = d_block(2.0lf + f);
    let inv = 1.0lf / d;
    let s = d_block(f * inv);
    let d_low = d_block(2.0lf - d) + f;
    let s_low = (cd_rest(f, s, d) - s * d_low) * inv;
    let z = cd_two_product(s, s);
    let z_low = z.y + 2.0lf * (s * s_low);
    // u = 2/3 + z q(z), w = z u, v = 2 + w
    let t = d_block(z.x * cd_poly_log2(z.x));
    let u = d_block(0.6666666666666666lf + t);
    let u_low = d_block(d_block(0.6666666666666666lf - u) + t) + 3.700743415417188e-17lf;
    let w = cd_pair_product(vec2<f64>(z.x, z_low), vec2<f64>(u, u_low));
    let v = d_block(2.0lf + w.x);
    let v_low = d_block(d_block(2.0lf - v) + w.x) + w.y;
    // the logarithm of 1 + f is s v; it is multiplied by log2(e), and e is added
    let l = cd_pair_product(vec2<f64>(s, s_low), vec2<f64>(v, v_low));
    let g = cd_pair_product(l, vec2<f64>(1.4426950408889634lf, 2.0355273740931033e-17lf));
    let h = d_block(p.y + g.x);
    return vec2<f64>(h, d_block(d_block(p.y - h) + g.x) + g.y);
}

// x^y for a positive finite x, given as its bits, and a finite y
fn cd_pow_at(mag: u64, y: f64) -> f64 {
    let l = cd_log2_sum(mag);
    // the logarithm is 0 or at least 2^-53 in magnitude, so a y above 2^65 can be replaced by 2^65
    let s = d_pick(y, 0x4400000000000000lu | d_sgn(y), d_mag(y) > 0x4400000000000000lu);
    let t = cd_two_product(s, l.x);
    let far = d_mag(t.x) > 0x4091300000000000lu;
    let top = d_pick(t.x, 0x4091300000000000lu | d_sgn(t.x), far);
    let p = cd_pow2_sum(top, d_pick(t.y + s * l.y, 0lu, far));
    let n = cd_int(p.y);
    let r = cd_scale(p.x, n);
    let over = n > 1024 || (n == 1024 && p.x >= 1.0lf);
    return d_pick(d_pick(r, 0x7ff0000000000000lu, over), 0lu, n < -1080);
}

// 0 if y is not a whole number, 1 if it is odd, 2 if it is even (from 2^53 on all numbers are even)
fn cd_pow_parity(mag: u64) -> u32 {
    let e = high_u64(mag) >> 20u;
    let s = 1075u - clamp(e, 1022u, 1075u);
    let m = (mag & 0xffffffffffffflu) | 0x10000000000000lu;
    let odd = low_u64((m >> s) & 1lu);
    let whole = (m & ((1lu << s) - 1lu)) == 0lu;
    let v = select(0u, 2u - odd, whole);
    return select(select(v, 0u, e < 1023u), 2u, e > 1075u);
}

fn d_pow(x: f64, y: f64) -> f64 {
    let xm = d_mag(x);
    let ym = d_mag(y);
    let xneg = d_signbit(x);
    let yneg = d_signbit(y);
    let parity = cd_pow_parity(ym);
    let sign = select(0lu, 0x8000000000000000lu, xneg && parity == 1u);
    let plain = xm != 0lu && xm < 0x7ff0000000000000lu && ym < 0x7ff0000000000000lu;
    let v = cd_pow_at(select(0x3ff0000000000000lu, xm, plain), d_pick(y, 0x3ff0000000000000lu, !plain));
    // x^1 is exact, and x^2 is rounded only once
    let one = d_pick(v, xm, ym == 0x3ff0000000000000lu && !yneg);
    let two = d_pick(one, bitcast<u64>(x * x), bitcast<u64>(y) == 0x4000000000000000lu);
    // a power of 0 or Inf is 0 or Inf, depending on the sign of y
    let pole = (xm == 0lu) == yneg;
    let ends = d_pick(two, select(0lu, 0x7ff0000000000000lu, pole), xm == 0lu || xm == 0x7ff0000000000000lu);
    let signed = bitcast<f64>(bitcast<u64>(ends) | sign);
    // for an infinite y the result is 1 if abs(x) is 1
    let grows = (xm > 0x3ff0000000000000lu) != yneg;
    let far = select(select(0lu, 0x7ff0000000000000lu, grows), 0x3ff0000000000000lu, xm == 0x3ff0000000000000lu);
    let inf = d_pick(signed, far, ym == 0x7ff0000000000000lu);
    let invalid = xneg && plain && parity == 0u;
    let nan = d_pick(inf, 0x7ff8000000000000lu, invalid || d_isnan(x) || d_isnan(y));
    return d_pick(nan, 0x3ff0000000000000lu, ym == 0lu || bitcast<u64>(x) == 0x3ff0000000000000lu);
}
