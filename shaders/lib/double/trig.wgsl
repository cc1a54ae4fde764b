// Trigonometric functions of f64 for every finite argument, by the methods of src/math/double/trig.rs and pi.rs, with
// one difference: multiples of pi/2 are subtracted in parts of 33 bits (like in fdlibm), because there is no reliable
// fused multiply-add. From 10^6 on they are subtracted by Payne and Hanek's method. asin and acos are fdlibm's.

// 2 / pi in words of 64 bits. Word 0 has the bits before the binary point.
fn cd_two_over_pi(i: u32) -> u64 {
    switch i {
        case 0u: {
            return 0lu;
        }
        case 1u: {
            return 0xa2f9836e4e441529lu;
        }
        case 2u: {
            return 0xfc2757d1f534ddc0lu;
        }
        case 3u: {
            return 0xdb6295993c439041lu;
        }
        case 4u: {
            return 0xfe5163abdebbc561lu;
        }
        case 5u: {
            return 0xb7246e3a424dd2e0lu;
        }
        case 6u: {
            return 0x6492eea09d1921clu;
        }
        case 7u: {
            return 0xfe1deb1cb129a73elu;
        }
        case 8u: {
            return 0xe88235f52ebb4484lu;
        }
        case 9u: {
            return 0xe99c7026b45f7e41lu;
        }
        case 10u: {
            return 0x3991d639835339f4lu;
        }
        case 11u: {
            return 0x9c845f8bbdf9283blu;
        }
        case 12u: {
            return 0x1ff897ffde05980flu;
        }
        case 13u: {
            return 0xef2f118b5a0a6d1flu;
        }
        case 14u: {
            return 0x6d367ecf27cb09b7lu;
        }
        case 15u: {
            return 0x4f463f669e5fea2dlu;
        }
        case 16u: {
            return 0x7527bac7ebe5f17blu;
        }
        case 17u: {
            return 0x3d0739f78a5292ealu;
        }
        case 18u: {
            return 0x6bfb5fb11f8d5d08lu;
        }
        default: {
            return 0x56033046fc7b6bablu;
        }
    }
}

// The 64 bits of two neighbouring words that begin at bit s, for s < 64.
fn cd_window(hi: u64, lo: u64, s: u32) -> u64 {
    return select((hi << s) | (lo >> ((64u - s) & 63u)), hi, s == 0u);
}

// The high word of the product, computed from the halves of both words.
fn cd_mulhi(a: u64, b: u64) -> u64 {
    let al = a & 0xfffffffflu;
    let ah = a >> 32u;
    let bl = b & 0xfffffffflu;
    let bh = b >> 32u;
    let m1 = ah * bl + ((al * bl) >> 32u);
    let m2 = al * bh + (m1 & 0xfffffffflu);
    let top = (m1 >> 32u) + (m2 >> 32u);
    return ah * bh + top;
}

// Converts a number below 2^53 to f64, exactly. Its upper and its lower word are put into the low bits of 2^84 and
// 2^52. These powers are subtracted from each before the sum, which would otherwise lose bits.
fn cd_of_bits(v: u64) -> f64 {
    let hi = d_block(bitcast<f64>(make_u64(high_u64(v), 0x45300000u)) - 19342813113834066795298816.0lf);
    let lo = d_block(bitcast<f64>(make_u64(low_u64(v), 0x43300000u)) - 4503599627370496.0lf);
    return hi + lo;
}

// Payne and Hanek's reduction: |x| modulo pi/2 for 2^19 <= |x| < Inf, from the 192 bits of 2/pi that the exponent
// selects. Returns (rest, low, quadrant).
fn cd_trig_large(mag: u64) -> vec3<f64> {
    let m = (mag << 11u) | 0x8000000000000000lu;
    // |x| = m 2^(e - 1086). The bits of 2/pi before bit e - 1087 give multiples of 4 quadrants, which are not needed
    let start = (high_u64(mag) >> 20u) - 1024u;
    let i = start >> 6u;
    let s = start & 63u;
    let w0 = cd_two_over_pi(i);
    let w1 = cd_two_over_pi(i + 1u);
    let w2 = cd_two_over_pi(i + 2u);
    let w3 = cd_two_over_pi(i + 3u);
    let a0 = cd_window(w0, w1, s);
    let a1 = cd_window(w1, w2, s);
    let a2 = cd_window(w2, w3, s);
    // the product modulo 4 has two bits for the quadrant and 126 for the fraction
    let l1 = m * a1;
    let p1 = l1 + cd_mulhi(m, a2);
    let carry = select(0lu, 1lu, p1 < l1);
    let p2 = (m * a0 + cd_mulhi(m, a1)) + carry;
    let quad = low_u64((p2 + 0x2000000000000000lu) >> 62u);
    // makes the fraction a signed part of a quadrant
    let fh = (p2 << 2u) | (p1 >> 62u);
    let fl = p1 << 2u;
    let neg = (fh >> 63u) == 1lu;
    let gl = select(fl, 0lu - fl, neg);
    let gh = select(fh, ~fh + select(0lu, 1lu, fl == 0lu), neg);
    // normalises the fraction: h and l get its first 53 bits and the next 53, and both are 2^(53 + up) times too large
    let up = min(cp_clz64(gh), 63u);
    let top = cd_window(gh, gl, up);
    let next = gl << up;
    let h = cd_of_bits(top >> 11u);
    let l = cd_of_bits(((top & 0x7fflu) << 42u) | (next >> 22u)) * 1.1102230246251565e-16lf;
    // multiplies by pi/2
    let p = cd_pair_product(vec2<f64>(h, l), vec2<f64>(1.5707963267948966lf, 6.123233995736766e-17lf));
    let unit = cd_power(-53 - bitcast<i32>(up));
    let sign = select(unit, -unit, neg);
    return vec3<f64>(p.x * sign, p.y * sign, f64(quad));
}

// Reduces a finite x modulo pi/2. Returns (rest, low, quadrant 0 to 3), where rest + low is the reduced angle.
fn cd_trig_reduce(x: f64) -> vec3<f64> {
    let mag = d_mag(x);
    // the bound is 10^6
    if mag > 0x412e848000000000lu {
        let p = cd_trig_large(mag);
        let q = select(4.0lf - p.z, 0.0lf, p.z == 0.0lf);
        return select(p, vec3<f64>(-p.x, -p.y, q), d_signbit(x));
    }
    let n = cd_whole(x * 0.6366197723675814lf);
    let a = d_block(x - n * 1.5707963267341256lf);
    let b = cd_two_sum(a, -(n * 6.077100506303966e-11lf));
    let c = cd_two_sum(b.x, -(n * 2.0222662487111665e-21lf));
    let low = (b.y + c.y) - n * 8.4784276603689e-32lf;
    let r = d_block(c.x + low);
    return vec3<f64>(r, d_block(c.x - r) + low, f64(cd_int(n) & 3));
}

// sin(q pi/2 + r + low)
fn cd_sine(r: f64, low: f64, q: u32) -> f64 {
    let z = r * r;
    let s = r + ((r * z) * cd_poly_sin(z) + low);
    let h = 0.5lf * z;
    let w = d_block(1.0lf - h);
    let t = (z * z) * cd_poly_cos(z) - r * low;
    let c = w + (d_block(d_block(1.0lf - w) - h) + t);
    let v = select(bitcast<u64>(s), bitcast<u64>(c), (q & 1u) == 1u);
    return bitcast<f64>(v ^ (u64(q & 2u) << 62u));
}

fn d_sin(x: f64) -> f64 {
    let mag = d_mag(x);
    let p = cd_trig_reduce(d_pick(x, 0lu, mag >= 0x7ff0000000000000lu));
    let r = cd_sine(p.x, p.y, u32(p.z));
    let tiny = d_pick(r, bitcast<u64>(x), mag < 0x3e40000000000000lu);
    return d_pick(tiny, 0x7ff8000000000000lu, mag >= 0x7ff0000000000000lu);
}

fn d_cos(x: f64) -> f64 {
    let mag = d_mag(x);
    let p = cd_trig_reduce(d_pick(x, 0lu, mag >= 0x7ff0000000000000lu));
    let r = cd_sine(p.x, p.y, u32(p.z) + 1u);
    return d_pick(r, 0x7ff8000000000000lu, mag >= 0x7ff0000000000000lu);
}

// tan(r + low) for abs(r) <= pi/4
fn cd_tangent(r: f64, low: f64) -> f64 {
    let z = r * r;
    return r + ((r * z) * cd_poly_tan(z) + (z * low + low));
}

fn d_tan(x: f64) -> f64 {
    let mag = d_mag(x);
    let p = cd_trig_reduce(d_pick(x, 0lu, mag >= 0x7ff0000000000000lu));
    let t = cd_tangent(p.x, p.y);
    let odd = (u32(p.z) & 1u) == 1u;
    let v = select(t, -1.0lf, odd) / select(1.0lf, t, odd);
    let tiny = d_pick(v, bitcast<u64>(x), mag < 0x3e30000000000000lu);
    return d_pick(tiny, 0x7ff8000000000000lu, mag >= 0x7ff0000000000000lu);
}

// (asin(s) - s) / s for z = s^2 <= 1/4
fn cd_asin_part(z: f64) -> f64 {
    let a = 3.479331075960212e-5lf * z + 7.915349942898145e-4lf;
    let b = a * z - 0.04005553450067941lf;
    let c = b * z + 0.20121253213486293lf;
    let d = c * z - 0.3255658186224009lf;
    let p = z * (d * z + 0.16666666666666666lf);
    let e = 0.07703815055590194lf * z - 0.6882839716054533lf;
    let f = e * z + 2.0209457602335057lf;
    let g = f * z - 2.403394911734414lf;
    return p / (1.0lf + z * g);
}

// sqrt(h) less its head, computed from the exact residual, so that an error of the builtin root does not matter.
fn cd_sqrt_tail(h: f64, s: f64) -> f64 {
    let hi = cd_head(s);
    let rest = d_block(h - hi * hi);
    return d_pick(rest / (s + hi), 0lu, d_mag(h) == 0lu);
}

fn d_asin(x: f64) -> f64 {
    let mag = d_mag(x);
    let a = d_pick(bitcast<f64>(mag), 0lu, mag > 0x3ff0000000000000lu);
    let near = mag < 0x3fe0000000000000lu;
    // above 1/2, asin(a) is pi/2 - 2 asin(sqrt((1 - a) / 2))
    let h = 0.5lf * (1.0lf - a);
    let s = sqrt(h);
    let part = cd_asin_part(select(h, a * a, near));
    let hi = cd_head(s);
    let lo = cd_sqrt_tail(h, s) + s * part;
    let b = d_block(1.5707963267948966lf - (hi + hi));
    let big = b - ((lo + lo) - 6.123233995736766e-17lf);
    let r = select(big, a + a * part, near);
    let tiny = d_pick(r, mag, mag < 0x3e40000000000000lu);
    return d_copysign(d_pick(tiny, 0x7ff8000000000000lu, mag > 0x3ff0000000000000lu), x);
}

fn d_acos(x: f64) -> f64 {
    let mag = d_mag(x);
    let a = d_pick(bitcast<f64>(mag), 0lu, mag > 0x3ff0000000000000lu);
    let near = mag < 0x3fe0000000000000lu;
    let h = 0.5lf * (1.0lf - a);
    let s = sqrt(h);
    let part = cd_asin_part(select(h, a * a, near));
    let v = d_copysign(a, x);
    // subtracts x, and corrects for the rounding error of pi/2 and for the other terms of asin x
    let small = 1.5707963267948966lf - d_block(v - (6.123233995736766e-17lf - v * part));
    let hi = cd_head(s);
    let lo = cd_sqrt_tail(h, s) + s * part;
    let above = (hi + lo) + (hi + lo);
    let below = 3.141592653589793lf - 2.0lf * d_block(hi + (lo - 6.123233995736766e-17lf));
    let r = select(select(above, below, d_signbit(x)), small, near);
    return d_pick(r, 0x7ff8000000000000lu, mag > 0x3ff0000000000000lu);
}

// atan(n / d) for 0 <= n <= d and d > 0. An angle with a slope q above tan(pi/8) is rotated back by pi/4: atan q = pi/4
// + atan((q - 1) / (q + 1)).
fn cd_angle(n: f64, d: f64) -> f64 {
    let q = d_block(n / d);
    let turned = q > 0.41421356237309503lf;
    let sum = d_block(q + 1.0lf);
    let less = d_block(q - 1.0lf);
    let back = d_block(less / sum);
    // computes the rounding errors of `sum` and of the quotient `back`
    let sum_low = q - d_block(sum - 1.0lf);
    let lost = (cd_rest(less, back, sum) - back * sum_low) / sum;
    let t = select(q, back, turned);
    let z = t * t;
    let p = (t * z) * cd_poly_atan(z) + t;
    // an error of t is multiplied by the derivative 1 / (1 + t^2), here approximated by 1 - t^2 + t^4. 3.06…e-17 is the
    // low part of pi/4
    let rest = 3.061616997868383e-17lf + lost * (z * (z - 1.0lf) + 1.0lf);
    return select(p, 0.7853981633974483lf + d_block(p + rest), turned);
}

fn d_atan(x: f64) -> f64 {
    let mag = d_mag(x);
    let steep = mag > 0x3ff0000000000000lu;
    // from 2^60 on the result is pi/2
    let far = mag > 0x43b0000000000000lu;
    let a = d_pick(bitcast<f64>(mag), 0x43b0000000000000lu, far);
    let r = cd_angle(select(a, 1.0lf, steep), select(1.0lf, a, steep));
    let v = select(r, 1.5707963267948966lf - d_block(r - 6.123233995736766e-17lf), steep);
    let tiny = d_pick(v, mag, mag < 0x3e30000000000000lu);
    return d_copysign(d_pick(tiny, 0x7ff8000000000000lu, d_isnan(x)), x);
}

fn d_atan2(y: f64, x: f64) -> f64 {
    let ym = d_mag(y);
    let xm = d_mag(x);
    let nan = max(ym, xm) > 0x7ff0000000000000lu;
    let steep = ym > xm;
    let n = min(ym, xm);
    let d = max(ym, xm);
    // the slope is 0 for 0/0 and 1 for Inf/Inf; small numbers are multiplied by 2^600
    let same = n == d;
    let flat = n == 0lu || (d >= 0x7ff0000000000000lu && !same);
    let k = select(0, 600, d < 0x2000000000000000lu);
    let num = d_pick(cd_scale(bitcast<f64>(select(n, 0lu, flat || same)), k), 0x3ff0000000000000lu, same && !flat);
    let den = cd_scale(bitcast<f64>(select(d, 0x3ff0000000000000lu, flat || same)), select(k, 0, flat || same));
    let a = cd_angle(num, den);
    let r = select(a, 1.5707963267948966lf - d_block(a - 6.123233995736766e-17lf), steep);
    let v = select(r, 3.141592653589793lf - d_block(r - 1.2246467991473532e-16lf), d_signbit(x));
    return d_copysign(d_pick(v, 0x7ff8000000000000lu, nan), y);
}

// Returns (r, low, q) with pi x = q pi/2 + r + low, for finite x. The reduction is exact. From 2^53 on every x is even.
fn cd_half_turns(x: f64) -> vec3<f64> {
    let s = d_pick(x, d_sgn(x), d_mag(x) >= 0x4340000000000000lu);
    let k = d_round(s + s);
    let f = d_block(s - 0.5lf * k);
    let p = cd_two_product(f, 3.141592653589793lf);
    let low = p.y + f * 1.2246467991473532e-16lf;
    return vec3<f64>(p.x, low, k - 4.0lf * d_floor(0.25lf * k));
}

fn d_sinpi(x: f64) -> f64 {
    let p = cd_half_turns(d_pick(x, 0lu, d_mag(x) >= 0x7ff0000000000000lu));
    let r = cd_sine(p.x, p.y, u32(p.z));
    let zero = d_pick(r, d_sgn(x), d_mag(p.x) == 0lu && (u32(p.z) & 1u) == 0u);
    return d_pick(zero, 0x7ff8000000000000lu, d_mag(x) >= 0x7ff0000000000000lu);
}

fn d_cospi(x: f64) -> f64 {
    let p = cd_half_turns(d_pick(x, 0lu, d_mag(x) >= 0x7ff0000000000000lu));
    let r = cd_sine(p.x, p.y, u32(p.z) + 1u);
    let zero = d_pick(r, 0lu, d_mag(p.x) == 0lu && (u32(p.z) & 1u) == 1u);
    return d_pick(zero, 0x7ff8000000000000lu, d_mag(x) >= 0x7ff0000000000000lu);
}

fn d_tanpi(x: f64) -> f64 {
    let p = cd_half_turns(d_pick(x, 0lu, d_mag(x) >= 0x7ff0000000000000lu));
    let t = cd_tangent(p.x, p.y);
    let odd = (u32(p.z) & 1u) == 1u;
    let turned = u32(p.z) > 1u;
    let v = select(t, -1.0lf, odd) / select(1.0lf, t, odd);
    // a zero has the sign of sin(pi x) / cos(pi x); a pole has the sign of the tangent just before it
    let side = select(0lu, 0x8000000000000000lu, turned);
    let end = select(side ^ d_sgn(x), 0x7ff0000000000000lu | side, odd);
    let r = d_pick(v, end, d_mag(p.x) == 0lu);
    return d_pick(r, 0x7ff8000000000000lu, d_mag(x) >= 0x7ff0000000000000lu);
}

// sin(pi x) / (pi x), which is 1 if abs(x) is below 2^-30, and exactly 0 at other integers
fn d_sinc(x: f64) -> f64 {
    let mag = d_mag(x);
    let near = mag < 0x3e10000000000000lu;
    let s = d_pick(x, 0x3ff0000000000000lu, mag >= 0x7ff0000000000000lu || near);
    // multiplying by 2^-600 keeps pi x from overflowing
    let small = select(1.0lf, 2.409919865102884e-181lf, mag > 0x7fd0000000000000lu);
    let r = d_sinpi(s) * small / (3.141592653589793lf * (s * small));
    let one = d_pick(r, 0x3ff0000000000000lu, near);
    return d_pick(one, 0x7ff8000000000000lu, mag >= 0x7ff0000000000000lu);
}
