// The error function of f64 and related functions, lgamma and roots, by the methods of src/math/double/special.rs;
// lgamma of positive numbers is fdlibm's.

// erf(x) for abs(x) <= 1
fn cd_erf_small(x: f64) -> f64 {
    return x + x * cd_poly_erf(x * x);
}

// factor g e^-(t^2 s) / (t + c), corrected for the rounding errors of t^2 and t + c, for 0 <= t <= 40
fn cd_gauss(t: f64, s: f64, c: f64, g: f64, factor: f64) -> f64 {
    let z = cd_two_product(t, t);
    let e = cd_exp_sum(-s * z.x, -s * z.y);
    let d = cd_two_sum(t, c);
    let p = cd_two_product(g, e.x);
    let n = cd_pair_product(vec2<f64>(factor, 0.0lf), vec2<f64>(p.x, p.y + g * e.y));
    return cd_scale(cd_quotient(n, d), cd_int(e.z));
}

// erfc(t) for 1/2 <= t <= 27.3
fn cd_erfc_large(t: f64) -> f64 {
    return cd_gauss(t, 1.0lf, 2.0lf, cd_poly_erfcx((t - 2.0lf) / (t + 2.0lf)), 1.0lf);
}

fn d_erf(x: f64) -> f64 {
    let mag = d_mag(x);
    // erf is 1 from 6 on
    let a = d_pick(bitcast<f64>(mag), 0x4018000000000000lu, mag > 0x4018000000000000lu);
    let near = mag < 0x3ff0000000000000lu;
    let large = 1.0lf - cd_erfc_large(select(a, 1.0lf, near));
    let r = select(large, cd_erf_small(a), near);
    return d_copysign(d_pick(r, 0x7ff8000000000000lu, d_isnan(x)), x);
}

fn d_erfc(x: f64) -> f64 {
    let mag = d_mag(x);
    // from 27.3 on erfc is below 2^-1075
    let a = d_pick(bitcast<f64>(mag), 0x403b4ccccccccccdlu, mag > 0x403b4ccccccccccdlu);
    let near = a < 0.85lf;
    let tail = cd_erfc_large(select(a, 1.0lf, near));
    let r = select(tail, 2.0lf - tail, d_signbit(x));
    let s = d_pick(x, 0lu, !near);
    let small = d_block(1.0lf - s) - s * cd_poly_erf(s * s);
    return d_pick(select(r, small, near), 0x7ff8000000000000lu, d_isnan(x));
}

// x Phi(x), computed as max(x, 0) - abs(x) Phi(-abs(x)). The subtrahend is 0 from 38.7 on
fn d_gelu(x: f64) -> f64 {
    let mag = d_mag(x);
    let far = mag > 0x404359999999999alu;
    let t = d_pick(bitcast<f64>(mag), 0x404359999999999alu, far);
    let tail = cd_gauss(t, 0.5lf, 5.0lf, cd_poly_mills((t - 5.0lf) / (t + 5.0lf)), t);
    let r = d_pick(x, 0lu, d_signbit(x)) - tail;
    let s = d_pick(x, 0lu, far);
    let small = s * (s * cd_poly_phi(s * s) + 0.5lf);
    let v = d_copysign(select(r, small, mag < 0x3ff0000000000000lu), x);
    let same = far && !d_signbit(x);
    return d_pick(d_pick(v, bitcast<u64>(x), same), 0x7ff8000000000000lu, d_isnan(x));
}

// The inverse of erf divided by x, with an error of 2^-28, for w = -log(1 - x^2) <= 37
fn cd_erfinv_start(w: f64) -> f64 {
    let v = sqrt(w);
    let far = select(cd_poly_erfinv_far(v - 5.0lf), cd_poly_erfinv_tail(v - 3.2lf), w < 16.0lf);
    return select(far, cd_poly_erfinv(w - 3.0lf), w < 6.0lf);
}

// The inverse of erf: an approximation and one step of Halley's method.
fn d_erfinv(x: f64) -> f64 {
    let mag = d_mag(x);
    let a = d_pick(bitcast<f64>(mag), 0lu, mag >= 0x3ff0000000000000lu);
    let rest = d_block(1.0lf - a);
    let w = -cd_log_at(rest * d_block(1.0lf + a));
    let y = a * cd_erfinv_start(d_abs(w));
    // computes erf(y) - a. Above 0.85 it uses erfc, because 1 - a is exact there
    let high = a > 0.85lf;
    let above = rest - cd_erfc_large(select(1.0lf, y, high));
    let below = y * cd_poly_erf(y * y) + d_block(y - a);
    let u = select(below, above, high) * 0.886226925452758lf * cd_exp_at(y * y, 0);
    let r = y - u / (y * u + 1.0lf);
    let one = d_pick(r, 0x7ff0000000000000lu, mag == 0x3ff0000000000000lu);
    return d_copysign(d_pick(one, 0x7ff8000000000000lu, mag > 0x3ff0000000000000lu), x);
}

// The polynomials of fdlibm's lgamma. a and b have the even and the odd coefficients of its polynomial a. t, u and w
// have every third coefficient of its polynomial t. The others are the same as in fdlibm.
fn cd_lgamma_a(x: f64) -> f64 {
    let r4 = 2.5214456545125733e-05lf * x + 0.00022086279071390839lf;
    let r3 = r4 * x + 0.0011927076318336207lf;
    let r2 = r3 * x + 0.007385550860814029lf;
    let r1 = r2 * x + 0.06735230105312927lf;
    return r1 * x + 0.07721566490153287lf;
}

fn cd_lgamma_b(x: f64) -> f64 {
    let r4 = 4.4864094961891516e-05lf * x + 0.00010801156724758394lf;
    let r3 = r4 * x + 0.0005100697921535113lf;
    let r2 = r3 * x + 0.0028905138367341563lf;
    let r1 = r2 * x + 0.020580808432516733lf;
    return r1 * x + 0.3224670334241136lf;
}

fn cd_lgamma_t(x: f64) -> f64 {
    let r3 = 0.00031563207090362595lf * x - 0.0014034646998923284lf;
    let r2 = r3 * x + 0.006100538702462913lf;
    let r1 = r2 * x - 0.032788541075985965lf;
    return r1 * x + 0.48383612272381005lf;
}

fn cd_lgamma_u(x: f64) -> f64 {
    let r3 = -0.00031275416837512086lf * x + 0.000881081882437654lf;
    let r2 = r3 * x - 0.0036845201678113826lf;
    let r1 = r2 * x + 0.01797067508118204lf;
    return r1 * x - 0.1475877229945939lf;
}

fn cd_lgamma_w(x: f64) -> f64 {
    let r3 = 0.0003355291926355191lf * x - 0.0005385953053567405lf;
    let r2 = r3 * x + 0.0022596478090061247lf;
    let r1 = r2 * x - 0.010314224129834144lf;
    return r1 * x + 0.06462494023913339lf;
}

fn cd_lgamma_p(x: f64) -> f64 {
    let r4 = 0.013381091853678766lf * x + 0.22896372806469245lf;
    let r3 = r4 * x + 0.9777175279633727lf;
    let r2 = r3 * x + 1.4549225013723477lf;
    let r1 = r2 * x + 0.6328270640250934lf;
    return r1 * x - 0.07721566490153287lf;
}

fn cd_lgamma_q(x: f64) -> f64 {
    let r4 = 0.003217092422824239lf * x + 0.10422264559336913lf;
    let r3 = r4 * x + 0.7692851504566728lf;
    let r2 = r3 * x + 2.128489763798934lf;
    let r1 = r2 * x + 2.4559779371304113lf;
    return r1 * x + 1.0lf;
}

fn cd_lgamma_s(x: f64) -> f64 {
    let r5 = 3.194753265841009e-05lf * x + 0.0018402845140733772lf;
    let r4 = r5 * x + 0.02664227030336386lf;
    let r3 = r4 * x + 0.14635047265246445lf;
    let r2 = r3 * x + 0.325778796408931lf;
    let r1 = r2 * x + 0.21498241596060885lf;
    return r1 * x - 0.07721566490153287lf;
}

fn cd_lgamma_r(x: f64) -> f64 {
    let r5 = 7.326684307446256e-06lf * x + 0.0007779424963818936lf;
    let r4 = r5 * x + 0.01864591917156529lf;
    let r3 = r4 * x + 0.17193386563280308lf;
    let r2 = r3 * x + 0.7219355475671381lf;
    let r1 = r2 * x + 1.3920053346762105lf;
    return r1 * x + 1.0lf;
}

fn cd_lgamma_far(x: f64) -> f64 {
    let r4 = -0.0016309293409657527lf * x + 0.0008363399189962821lf;
    let r3 = r4 * x - 0.00059518755745034lf;
    let r2 = r3 * x + 0.0007936505586430196lf;
    let r1 = r2 * x - 0.0027777777772877554lf;
    return r1 * x + 0.08333333333333297lf;
}

// lgamma(x) for 0 < x < 2, without the term -log(x) where x <= 0.9. The three branches are fdlibm's intervals around 2,
// around the minimum of lgamma, and around 1
fn cd_lgamma_near(x: f64) -> f64 {
    let mag = d_mag(x);
    let low = mag < 0x3feccccd00000000lu;
    let back = mag >= select(0x3ffbb4c300000000lu, 0x3fe7694400000000lu, low);
    let mid = mag >= select(0x3ff3b4c400000000lu, 0x3fcda66100000000lu, low);
    if back {
        let y = select(2.0lf, 1.0lf, low) - x;
        let z = y * y;
        return (y * cd_lgamma_a(z) + z * cd_lgamma_b(z)) - 0.5lf * y;
    }
    if mid {
        let y = x - select(1.4616321449683622lf, 0.4616321449683622lf, low);
        let z = y * y;
        let w = z * y;
        let v = w * (cd_lgamma_u(w) + y * cd_lgamma_w(w));
        let p = z * cd_lgamma_t(w) + (v + 3.638676997039505e-18lf);
        return p - 0.12148629053584961lf;
    }
    let y = x - select(1.0lf, 0.0lf, low);
    return y * cd_lgamma_p(y) / cd_lgamma_q(y) - 0.5lf * y;
}

// lgamma(x) for a positive finite x
fn cd_lgamma_at(x: f64) -> f64 {
    let mag = d_mag(x);
    if mag < 0x4000000000000000lu {
        let r = cd_lgamma_near(x);
        return r - cd_log_at(select(1.0lf, x, mag < 0x3feccccd00000000lu));
    }
    if mag < 0x4020000000000000lu {
        let i = d_floor(x);
        let y = d_block(x - i);
        let r = 0.5lf * y + y * cd_lgamma_s(y) / cd_lgamma_r(y);
        // lgamma(1 + s) = log(s) + lgamma(s)
        let a = select(1.0lf, y + 6.0lf, i > 6.0lf) * select(1.0lf, y + 5.0lf, i > 5.0lf);
        let b = select(1.0lf, y + 4.0lf, i > 4.0lf) * select(1.0lf, y + 3.0lf, i > 3.0lf);
        return r + cd_log_at((a * b) * select(1.0lf, y + 2.0lf, i > 2.0lf));
    }
    let t = d_block(cd_log_at(x) - 1.0lf);
    let z = 1.0lf / x;
    let w = z * cd_lgamma_far(z * z) + 0.4189385332046727lf;
    // from 2^58 on the result is x t, because the other terms are too small to count
    let big = mag >= 0x4390000000000000lu;
    return select(x - 0.5lf, x, big) * t + select(w, 0.0lf, big);
}

// (a + 1) (a + 2) ... (a + 8) as a sum of two numbers, for a < 8. With b = a (a + 9), a factor from the beginning and
// one from the end have the product b + 8, b + 14, b + 18 or b + 20
fn cd_rising(a: f64) -> vec2<f64> {
    let b = cd_pair_product(vec2<f64>(a, 0.0lf), cd_two_sum(a, 9.0lf));
    let b1 = cd_pair_sum(b, vec2<f64>(8.0lf, 0.0lf));
    let b2 = cd_pair_sum(b, vec2<f64>(14.0lf, 0.0lf));
    let b3 = cd_pair_sum(b, vec2<f64>(18.0lf, 0.0lf));
    let b4 = cd_pair_sum(b, vec2<f64>(20.0lf, 0.0lf));
    return cd_pair_product(cd_pair_product(b1, b2), cd_pair_product(b3, b4));
}

// lgamma(-a) for a positive a that is not a whole number, by the method of src/math/double/lgamma.rs. The loop adds the
// binary logarithm of (a + 1) ... (a + 8) / abs(sin(pi a)) and subtracts (z + 1/2) log2(z)
fn cd_lgamma_below(a: f64) -> f64 {
    let low = a < 8.0lf;
    let z = cd_two_sum(a, select(0.0lf, 8.0lf, low));
    let n = cd_rising(select(0.0lf, a, low));
    let n_high = select(1.0lf, n.x, low);
    let s = d_abs(d_sinpi(a));
    let q = d_block(n_high / s);
    let q_low = (cd_rest(n_high, q, s) + select(0.0lf, n.y, low)) / s;
    let c = cd_two_sum(z.x, 0.5lf);
    var t = vec2<f64>(0.0lf, 0.0lf);
    for (var i = 0; i < 2; i = i + 1) {
        let v = select(z.x, q, i == 0);
        let change = select(z.y, q_low, i == 0) / v;
        let l = cd_log2_sum(d_mag(v));
        let e = vec2<f64>(select(-c.x, 1.0lf, i == 0), select(-(c.y + z.y), 0.0lf, i == 0));
        t = cd_pair_sum(t, cd_pair_product(e, vec2<f64>(l.x, l.y + change * 1.4426950408889634lf)));
    }
    let m = cd_pair_product(t, vec2<f64>(0.6931471805599453lf, 2.3190468138462996e-17lf));
    let r = cd_two_sum(m.x, z.x);
    return r.x + d_block(r.y + ((m.y + z.y) + (0.22579135264472744lf - cd_stirling_rest(z.x))));
}

fn d_lgamma(x: f64) -> f64 {
    let mag = d_mag(x);
    // lgamma overflows from 2.56e305 on
    let inf = mag >= 0x7f5754d9278b51a8lu;
    let a = d_pick(bitcast<f64>(mag), 0x3ff0000000000000lu, inf || mag == 0lu);
    // below 2^-70 the result is -log(abs(x))
    let tiny = mag < 0x3b90000000000000lu;
    let whole = d_mag(d_floor(a)) == d_mag(a);
    let neg = d_signbit(x) && !tiny;
    let below = neg && !whole;
    let r = select(cd_lgamma_at(a), -cd_log_at(a), tiny);
    let v = select(r, cd_lgamma_below(select(0.5lf, a, below)), below);
    let one = d_pick(v, 0lu, bitcast<u64>(x) == 0x3ff0000000000000lu);
    let end = d_pick(one, 0x7ff0000000000000lu, inf || mag == 0lu || (neg && whole));
    return d_pick(end, 0x7ff8000000000000lu, d_isnan(x));
}

// The cube root. A third of the upper word gives 5 bits of it, a polynomial 23 bits, and one step of Newton's method
// all bits.
fn d_cbrt(x: f64) -> f64 {
    let mag = d_mag(x);
    let same = mag == 0lu || mag >= 0x7ff0000000000000lu;
    let m = d_significand(mag);
    // x = v 2^(3 k) with v in [1, 8); adding 3072 keeps the dividend positive
    let e = bitcast<u32>(d_exponent(mag) - 1023 + 3072);
    let k = e / 3u;
    let v = bitcast<f64>((m & 0xffffffffffffflu) | (u64(1023u + (e - 3u * k)) << 52u));
    let start = bitcast<f64>(make_u64(0u, high_u64(bitcast<u64>(v)) / 3u + 715094163u));
    let better = start * cd_poly_cbrt((start * start) * (start / v));
    // rounds to 23 bits, so that t^2 is exact
    let t = bitcast<f64>((bitcast<u64>(better) + 0x80000000lu) & 0xffffffffc0000000lu);
    let r = d_block(v / (t * t));
    let y = t + t * (d_block(r - t) / (t + t + r));
    let scaled = y * cd_power(bitcast<i32>(k) - 1024);
    return d_copysign(d_pick(scaled, mag, same), x);
}

// sqrt(x^2 + y^2), scaled by a power of two where the squares would overflow or vanish. If one number is Inf and the
// other NaN, the result is Inf.
fn d_hypot(x: f64, y: f64) -> f64 {
    let xm = d_mag(x);
    let ym = d_mag(y);
    let hi = max(xm, ym);
    let inf = xm == 0x7ff0000000000000lu || ym == 0x7ff0000000000000lu;
    let end = hi >= 0x7ff0000000000000lu;
    // the bounds of the scaling are 2^500 and 2^-450
    let k = select(select(0, 600, hi < 0x23d0000000000000lu), -600, hi > 0x5f30000000000000lu);
    let a = cd_scale(d_pick(bitcast<f64>(xm), 0lu, end), k);
    let b = cd_scale(d_pick(bitcast<f64>(ym), 0lu, end), k);
    let z = a * a + b * b;
    let root = sqrt(d_pick(z, 0x3ff0000000000000lu, hi == 0lu || end));
    let r = d_pick(cd_scale(root, -k), 0lu, hi == 0lu);
    return d_pick(d_pick(r, 0x7ff8000000000000lu, end), 0x7ff0000000000000lu, inf);
}
