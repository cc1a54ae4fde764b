// The modified Bessel functions I0 and I1 of f32. The polynomials are near-minimax fits of our own, computed like those
// of src/math/double/bessel.rs.

// I0(x) for x <= 8 as a polynomial of z = x^2 (error 2^-26); all terms are positive
fn cp_i0_near(z: f32) -> f32 {
    let a = 2.8886774e-22 * z + 4.6607543e-20;
    let b = a * z + 3.1582715e-17;
    let c = b * z + 9.221438e-15;
    let d = c * z + 2.4095808e-12;
    let e = d * z + 4.7076537e-10;
    let f = e * z + 6.782015e-8;
    let g = f * z + 6.7816463e-6;
    let h = g * z + 0.000434028;
    let i = h * z + 0.015624999;
    let j = i * z + 0.25;
    return j * z + 1.0;
}

// I1(x) / x for x <= 8 as a polynomial of z = x^2 (error 2^-25.8)
fn cp_i1_near(z: f32) -> f32 {
    let a = 6.3589025e-21 * z + 9.33866e-19;
    let b = a * z + 5.6781166e-16;
    let c = b * z + 1.4763215e-13;
    let d = c * z + 3.3728024e-11;
    let e = d * z + 5.6494276e-9;
    let f = e * z + 6.781957e-7;
    let g = f * z + 5.425325e-5;
    let h = g * z + 0.0026041677;
    let i = h * z + 0.0625;
    return i * z + 0.5;
}

// sqrt(x) e^-x I0(x) for x >= 8 as a polynomial of u = 16 / x - 1 (error 2^-25.2)
fn cp_i0_far(u: f32) -> f32 {
    let a = 1.08298984e-7 * u + 3.6317104e-7;
    let b = a * u + 1.4767921e-6;
    let c = b * u + 1.1111525e-5;
    let d = c * u + 0.00013621684;
    let e = d * u + 0.0033605557;
    return e * u + 0.4021765;
}

// sqrt(x) e^-x I1(x) for x >= 8 as a polynomial of u = 16 / x - 1 (error 2^-26.5)
fn cp_i1_far(u: f32) -> f32 {
    let a = -1.2212499e-7 * u - 4.2155543e-7;
    let b = a * u - 1.8267145e-6;
    let c = b * u - 1.5003323e-5;
    let d = c * u - 0.00021923667;
    let e = d * u - 0.009749581;
    return e * u + 0.38939846;
}

// I0 or I1 at a = abs(x) <= 92, from the values `near` and `far` of its two polynomials. Above 8 the result is a
// multiple of e^a. This computes 2^-8 e^a first, because e^a overflows before I0 does.
fn cp_bessel(a: f32, near: f32, far: f32) -> f32 {
    let e = cp_exp_at(cp_pick(a, 0u, a <= 8.0), 0.0, -8);
    return select(near, cp_block((far / sqrt(a)) * e) * 256.0, a > 8.0);
}

// I0 or I1, times e^-a, for any a = abs(x), from the values `near` and `far` of its two polynomials
fn cp_scaled_bessel(a: f32, near: f32, far: f32) -> f32 {
    return select(near * cp_exp_neg(min(a, 8.0), 0), far / sqrt(a), a > 8.0);
}

// abs(x), or 8 if x is NaN or abs(x) is larger than 92
fn cp_bessel_operand(x: f32) -> f32 {
    let mag = cp_mag(x);
    return cp_pick(bitcast<f32>(mag), 0x41000000u, mag > 0x42b80000u);
}

fn m_i0(x: f32) -> f32 {
    let a = cp_bessel_operand(x);
    let b = min(a, 8.0);
    let r = cp_bessel(a, cp_i0_near(b * b), cp_i0_far(16.0 / max(a, 8.0) - 1.0));
    // 91.90076 is the smallest x for which I0 overflows
    let inf = cp_pick(r, 0x7f800000u, cp_mag(x) >= 0x42b7cd32u);
    return cp_pick(inf, 0x7fc00000u, m_isnan(x));
}

fn m_i1(x: f32) -> f32 {
    let a = cp_bessel_operand(x);
    let b = min(a, 8.0);
    let r = cp_bessel(a, cp_mul(b, cp_i1_near(b * b)), cp_i1_far(16.0 / max(a, 8.0) - 1.0));
    let inf = cp_pick(r, 0x7f800000u, cp_mag(x) >= 0x42b7d002u);
    let nan = cp_pick(inf, 0x7fc00000u, m_isnan(x));
    // where the result is a subnormal f16, it is x/2 plus a small rest, and x/2 often lies halfway between two f16. The
    // lowest bit is set in place of the rest, so that the result rounds correctly to f16
    let half = bitcast<u32>(0.5 * a);
    let rest = cp_pick(nan, half + 1u, a > 1e-8 && a < 1.25e-4 && bitcast<u32>(nan) == half);
    return m_copysign(rest, x);
}

fn m_i0e(x: f32) -> f32 {
    let a = cp_pick(m_abs(x), 0x3f800000u, cp_mag(x) >= 0x7f800000u);
    let b = min(a, 8.0);
    let r = cp_scaled_bessel(a, cp_i0_near(b * b), cp_i0_far(16.0 / max(a, 8.0) - 1.0));
    let zero = cp_pick(r, 0u, cp_mag(x) == 0x7f800000u);
    return cp_pick(zero, 0x7fc00000u, m_isnan(x));
}

fn m_i1e(x: f32) -> f32 {
    let a = cp_pick(m_abs(x), 0x3f800000u, cp_mag(x) >= 0x7f800000u);
    let b = min(a, 8.0);
    let r = cp_scaled_bessel(a, cp_mul(b, cp_i1_near(b * b)), cp_i1_far(16.0 / max(a, 8.0) - 1.0));
    let zero = cp_pick(r, 0u, cp_mag(x) == 0x7f800000u);
    return m_copysign(cp_pick(zero, 0x7fc00000u, m_isnan(x)), x);
}
