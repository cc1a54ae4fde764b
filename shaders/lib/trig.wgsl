// Trigonometric functions of f32 for every finite argument. The polynomials of sin and cos are those of musl's __sindf
// and __cosdf rounded to f32; the polynomials of tan, atan and asin are those of Cephes (single precision).

// 2 / pi in words of 32 bits. Word 0 has the bits before the binary point.
fn cp_two_over_pi(i: u32) -> u32 {
    switch i {
        case 0u: {
            return 0u;
        }
        case 1u: {
            return 0xa2f9836eu;
        }
        case 2u: {
            return 0x4e441529u;
        }
        case 3u: {
            return 0xfc2757d1u;
        }
        case 4u: {
            return 0xf534ddc0u;
        }
        case 5u: {
            return 0xdb629599u;
        }
        case 6u: {
            return 0x3c439041u;
        }
        default: {
            return 0xfe5163abu;
        }
    }
}

// The 32 bits of two neighbouring words that begin at bit s, for s < 32.
fn cp_window(hi: u32, lo: u32, s: u32) -> u32 {
    return select((hi << s) | (lo >> ((32u - s) & 31u)), hi, s == 0u);
}

// Payne and Hanek's reduction: |x| mod pi/2 for 2 <= |x| < Inf, from the 96 bits of 2/pi that the exponent selects.
// Returns the rest and the quadrant.
fn cp_trig_large(mag: u32) -> Angle {
    let m = (mag << 8u) | 0x80000000u;
    let start = (mag >> 23u) - 128u;
    let i = start >> 5u;
    let s = start & 31u;
    let w0 = cp_two_over_pi(i);
    let w1 = cp_two_over_pi(i + 1u);
    let w2 = cp_two_over_pi(i + 2u);
    let w3 = cp_two_over_pi(i + 3u);
    let a0 = cp_window(w0, w1, s);
    let a1 = cp_window(w1, w2, s);
    let a2 = cp_window(w2, w3, s);
    // the product modulo 4 has two bits for the quadrant and 62 for the fraction
    let l1 = m * a1;
    let p1 = l1 + cp_mulhi(m, a2);
    let carry = select(0u, 1u, p1 < l1);
    let p2 = m * a0 + cp_mulhi(m, a1) + carry;
    let quad = ((p2 + 0x20000000u) >> 30u) & 3u;
    // makes the fraction a signed part of a quadrant, of 64 bits
    let fh = (p2 << 2u) | (p1 >> 30u);
    let fl = p1 << 2u;
    let neg = (fh >> 31u) == 1u;
    let gl = select(fl, 0u - fl, neg);
    let gh = select(fh, ~fh + select(0u, 1u, fl == 0u), neg);
    // normalises the fraction to 32 bits and multiplies by pi / 2 = 0xc90fdaa2 * 2^-31
    let wide = gh != 0u;
    let up = countLeadingZeros(select(gl, gh, wide)) & 31u;
    let top = select(gl << up, cp_window(gh, gl, up), wide);
    let z = up + select(32u, 0u, wide);
    let r = cp_mulhi(top, 0xc90fdaa2u);
    // v is r * 2^(-31 - z)
    let v = f32(r) * bitcast<f32>((127u - 31u - min(z, 90u)) << 23u);
    return Angle(select(v, m_neg(v), neg), quad);
}

// An angle without its whole quarter turns: `rest`, with abs(rest) <= pi/4, and the number of quarter turns modulo 4.
struct Angle {
    rest: f32,
    quarters: u32,
}

// x mod pi/2 for |x| < 8192. Multiples of pi/2 are subtracted in parts of 11, 11, 11 and 24 bits. The products of the
// first three parts with a whole number of 13 bits are exact, whether fused or not.
fn cp_trig_small(x: f32) -> Angle {
    // nearest by a sum of 1.5 * 2^23, whose low bits are the whole number
    let n = floor(x * 0.63661977 + 0.5);
    let a = cp_block(x - n * 1.5703125);
    let b = cp_block(a - n * 4.8375129699707031e-4);
    let c = cp_block(b - n * 7.549533620476723e-8);
    return Angle(c - n * 2.563344068e-12, bitcast<u32>(i32(n)));
}

// x mod pi/2 for finite x. `is_rare` must be true if |x| >= 8192, and may be true elsewhere. A subgroup skips the
// branch if `is_rare` is false for all of its arguments.
fn cp_trig_reduce(x: f32, is_rare: bool) -> Angle {
    var angle = cp_trig_small(x);
    // rare
    if is_rare && cp_mag(x) >= 0x46000000u {
        let p = cp_trig_large(cp_mag(x));
        let neg = m_signbit(x);
        angle = Angle(select(p.rest, m_neg(p.rest), neg), select(p.quarters, 4u - p.quarters, neg));
    }
    return angle;
}

fn cp_sin_poly(r: f32) -> f32 {
    let z = r * r;
    let a = 2.7183114939898219e-6 * z - 1.98393348360966317e-4;
    let b = a * z + 8.3333293858894632e-3;
    let c = b * z - 1.66666666416265235595e-1;
    return r + (r * z) * c;
}

fn cp_cos_poly(r: f32) -> f32 {
    let z = r * r;
    let a = 2.43904487962774090654e-5 * z - 1.38867637746099294692e-3;
    let b = a * z + 4.16666233237390631894e-2;
    let c = b * z - 4.99999997251031003120e-1;
    return 1.0 + z * c;
}

// sin of the reduced argument r in quadrant q. For cos, the caller adds 1 to the quadrant
fn cp_sin_quad(r: f32, q: u32) -> f32 {
    let v = select(cp_sin_poly(r), cp_cos_poly(r), (q & 1u) == 1u);
    return bitcast<f32>(bitcast<u32>(v) ^ ((q & 2u) << 30u));
}

fn m_sin(x: f32) -> f32 {
    let mag = cp_mag(x);
    // below 2^-12 sin x rounds to x
    let is_rare = mag - 0x39800000u >= 0x0c800000u;
    let angle = cp_trig_reduce(x, is_rare);
    var r = cp_sin_quad(angle.rest, angle.quarters);
    // rare
    if is_rare {
        let tiny = cp_pick(r, bitcast<u32>(x), mag < 0x39800000u);
        r = cp_pick(tiny, 0x7fc00000u, mag >= 0x7f800000u);
    }
    return r;
}

fn m_cos(x: f32) -> f32 {
    let mag = cp_mag(x);
    let is_rare = mag >= 0x46000000u;
    let angle = cp_trig_reduce(x, is_rare);
    var r = cp_sin_quad(angle.rest, angle.quarters + 1u);
    // rare
    if is_rare {
        r = cp_pick(r, 0x7fc00000u, mag >= 0x7f800000u);
    }
    return r;
}

fn m_tan(x: f32) -> f32 {
    let mag = cp_mag(x);
    // below 2^-13 tan x rounds to x
    let is_rare = mag - 0x39000000u >= 0x0d000000u;
    let angle = cp_trig_reduce(x, is_rare);
    let t = cp_tan_poly(angle.rest);
    var r = select(t, -1.0 / t, (angle.quarters & 1u) == 1u);
    // rare
    if is_rare {
        let tiny = cp_pick(r, bitcast<u32>(x), mag < 0x39000000u);
        r = cp_pick(tiny, 0x7fc00000u, mag >= 0x7f800000u);
    }
    return r;
}

// (asin(s) - s) / s for z = s^2 <= 1/4
fn cp_asin_poly(z: f32) -> f32 {
    let a = 4.2163199048e-2 * z + 2.4181311049e-2;
    let b = a * z + 4.5470025998e-2;
    let c = b * z + 7.4953002686e-2;
    let d = c * z + 1.6666752422e-1;
    return d * z;
}

// sqrt(h) less its head of 12 bits, computed from the exact residual, so that an error of the builtin root does not
// matter.
fn cp_sqrt_tail(h: f32, s: f32) -> f32 {
    let hi = cp_head(s);
    let rest = cp_block(h - hi * hi);
    return cp_pick(rest / (s + hi), 0u, cp_mag(h) == 0u);
}

fn m_asin(x: f32) -> f32 {
    let mag = cp_mag(x);
    let a = cp_pick(bitcast<f32>(mag), 0u, mag > 0x3f800000u);
    let small = a + a * cp_asin_poly(a * a);
    // above 1/2, asin(a) is pi/2 - 2 asin(sqrt((1 - a) / 2))
    let h = 0.5 * (1.0 - a);
    let s = sqrt(h);
    let hi = cp_head(s);
    let lo = cp_sqrt_tail(h, s) + s * cp_asin_poly(h);
    // pi/2 is a sum of two numbers; the doubled head is exact
    let b = cp_block(1.57079637 - (hi + hi));
    let big = b - (lo + lo + 4.3711388e-8);
    let r = select(small, big, mag > 0x3f000000u);
    let tiny = cp_pick(r, mag, mag < 0x39000000u);
    let nan = cp_pick(tiny, 0x7fc00000u, mag > 0x3f800000u);
    return m_copysign(nan, x);
}

fn m_acos(x: f32) -> f32 {
    let mag = cp_mag(x);
    let a = cp_pick(bitcast<f32>(mag), 0u, mag > 0x3f800000u);
    let neg = m_signbit(x);
    let p = m_copysign(a + a * cp_asin_poly(a * a), x);
    let small = 1.57079637 - (p + 4.3711388e-8);
    let h = 0.5 * (1.0 - a);
    let s = sqrt(h);
    let hi = cp_head(s);
    let lo = cp_sqrt_tail(h, s) + s * cp_asin_poly(h);
    let q = (hi + lo) + (hi + lo);
    let low = 3.14159274 - (q + 8.7422777e-8);
    let r = select(small, select(q, low, neg), mag > 0x3f000000u);
    return cp_pick(r, 0x7fc00000u, mag > 0x3f800000u);
}

// atan(r) on abs(r) <= tan(pi/8)
fn cp_atan_poly(r: f32) -> f32 {
    let z = r * r;
    let a = 8.05374449538e-2 * z - 1.38776856032e-1;
    let b = a * z + 1.99777106478e-1;
    let c = b * z - 3.33329491539e-1;
    return r + (r * z) * c;
}

fn m_atan(x: f32) -> f32 {
    let mag = cp_mag(x);
    // from 2^26 on the result is pi/2
    let a = cp_pick(bitcast<f32>(mag), 0x4c800000u, mag > 0x4c800000u);
    let high = a > 2.414213562;
    let mid = a > 0.4142135624;
    let num = select(a - 1.0, -1.0, high);
    let den = select(a + 1.0, a, high);
    let r = select(a, num / den, mid);
    let base = select(select(0.0, 0.785398163, mid), 1.57079637, high);
    let v = base + cp_atan_poly(r);
    let tiny = cp_pick(v, mag, mag < 0x39000000u);
    let nan = cp_pick(tiny, 0x7fc00000u, mag > 0x7f800000u);
    return m_copysign(nan, x);
}

// atan2, from the quotient of the smaller by the larger magnitude, both scaled to [1, 2) by integer operations. Below
// tan(pi/8), the result is atan of this quotient; above, it is pi/4 plus atan of (lo - hi) / (lo + hi), so that there
// is only one division. Then the angle is reflected into its octant.
fn m_atan2(y: f32, x: f32) -> f32 {
    let ym = cp_mag(y);
    let xm = cp_mag(x);
    let inf = ym == 0x7f800000u && xm == 0x7f800000u;
    let hi = max(ym, xm);
    let lo = min(ym, xm);
    let p = cp_split(hi);
    let q = cp_split(lo);
    let d = bitcast<i32>(p.y) - bitcast<i32>(q.y);
    let near = clamp(d, 0, 26);
    let a = bitcast<f32>((p.x & 0x7fffffu) | 0x3f800000u);
    let b = bitcast<f32>((q.x & 0x7fffffu) | (bitcast<u32>(127 - near) << 23u));
    let mid = b > 0.4142135624 * a;
    let num = select(b, b - a, mid);
    let den = select(a, b + a, mid);
    let v = select(0.0, 0.785398163, mid) + cp_atan_poly(num / den);
    // if the quotient is below 2^-26, the rest of its exponent is applied here, because such a small angle is its own
    // tangent
    let small = cp_ldexp(v, near - d);
    let w = select(v, small, d > 26);
    // before the reflection, the angle is 0 if a number is 0 or only one is infinite, and pi/4 if both are infinite
    let w0 = cp_pick(w, 0u, lo == 0u || (hi == 0x7f800000u && !inf));
    let steep = ym > xm;
    let back = m_signbit(x);
    let c = select(select(0.0, 3.14159274, back), 1.57079637, steep);
    let cl = select(select(0.0, 8.7422777e-8, back), 4.3711388e-8, steep);
    let flip = steep != back;
    let t = select(w0, m_neg(w0), flip);
    let r = cp_pick(c + cp_block(t - cl), bitcast<u32>(w0), !steep && !back);
    let nan = cp_pick(r, 0x7fc00000u, hi > 0x7f800000u);
    return m_copysign(nan, y);
}

// Returns (f, q) with pi x = (q / 2 + f) pi and abs(f) <= 1/4, for finite x. Everything is exact. From 2^24 on every x
// is even.
fn cp_half_turns(x: f32) -> vec2<f32> {
    let s = cp_pick(x, cp_sgn(x), cp_mag(x) >= 0x4b800000u);
    let k = m_round(s + s);
    let f = cp_block(s - 0.5 * k);
    return vec2<f32>(f, k - 4.0 * floor(0.25 * k));
}

// pi f for abs(f) <= 1/4. pi is the sum of a head of 12 bits and a tail, so its head times the head of f is exact
fn cp_times_pi(f: f32) -> f32 {
    let h = cp_head(f);
    return h * 3.140625 + (cp_block(f - h) * 3.140625 + f * 9.67653589793e-4);
}

fn m_sinpi(x: f32) -> f32 {
    let p = cp_half_turns(cp_pick(x, 0u, cp_mag(x) >= 0x7f800000u));
    let r = cp_sin_quad(cp_times_pi(p.x), u32(p.y));
    // below 2^-13, sin(pi x) rounds to pi x. A zero has the sign of x
    let tiny = select(r, cp_mul(x, 3.14159274), cp_mag(x) < 0x39000000u);
    let zero = cp_pick(tiny, cp_sgn(x), cp_mag(p.x) == 0u && (u32(p.y) & 1u) == 0u);
    return cp_pick(zero, 0x7fc00000u, cp_mag(x) >= 0x7f800000u);
}

fn m_cospi(x: f32) -> f32 {
    let p = cp_half_turns(cp_pick(x, 0u, cp_mag(x) >= 0x7f800000u));
    let r = cp_sin_quad(cp_times_pi(p.x), u32(p.y) + 1u);
    let zero = cp_pick(r, 0u, cp_mag(p.x) == 0u && (u32(p.y) & 1u) == 1u);
    return cp_pick(zero, 0x7fc00000u, cp_mag(x) >= 0x7f800000u);
}

// tan(r) on abs(r) <= pi/4: Cephes
fn cp_tan_poly(r: f32) -> f32 {
    let z = r * r;
    let a = 9.38540185543e-3 * z + 3.11992232697e-3;
    let b = a * z + 2.44301354525e-2;
    let c = b * z + 5.34112807005e-2;
    let d = c * z + 1.33387994085e-1;
    let e = d * z + 3.33331568548e-1;
    return r + (r * z) * e;
}

fn m_tanpi(x: f32) -> f32 {
    let p = cp_half_turns(cp_pick(x, 0u, cp_mag(x) >= 0x7f800000u));
    let t = cp_tan_poly(cp_times_pi(p.x));
    let odd = (u32(p.y) & 1u) == 1u;
    let turned = u32(p.y) > 1u;
    let v = select(t, -1.0 / t, odd);
    let tiny = select(v, cp_mul(x, 3.14159274), cp_mag(x) < 0x39000000u);
    let side = select(0u, 0x80000000u, turned);
    let end = select(side ^ cp_sgn(x), 0x7f800000u | side, odd);
    let r = cp_pick(tiny, end, cp_mag(p.x) == 0u);
    return cp_pick(r, 0x7fc00000u, cp_mag(x) >= 0x7f800000u);
}

// sin(pi x) / (pi x), which is 1 if abs(x) is below 2^-14, and exactly 0 at other integers
fn m_sinc(x: f32) -> f32 {
    let mag = cp_mag(x);
    let s = cp_pick(x, 0x3f800000u, mag >= 0x7f800000u || mag < 0x38800000u);
    let p = cp_half_turns(s);
    let r = cp_sin_quad(cp_times_pi(p.x), u32(p.y)) / s * 0.318309886;
    let zero = cp_pick(r, 0u, cp_mag(p.x) == 0u && (u32(p.y) & 1u) == 0u);
    let one = cp_pick(zero, 0x3f800000u, mag < 0x38800000u);
    return cp_pick(one, 0x7fc00000u, mag >= 0x7f800000u);
}
