//! The next number (`nextafter`) for f16 and bf16, whose values are held as f32.

/// Returns the next f16 after the f16 `x` in the direction of the f16 `y`. The operands and the result are held as f32.
#[inline(always)]
pub(crate) fn nextafter_f16(x: f32, y: f32) -> f32 {
    let away = (y > x) == (x > 0.0);
    let m = x.abs();
    // the distances from m to the next f16 above and below: at a power of two, the distance below is half the distance
    // above. Both are at least 2^-24, the distance between subnormals
    let power = f32::from_bits(m.to_bits() & 0x7f80_0000);
    let above = (power * 2f32.powi(-10)).max(2f32.powi(-24));
    let below = if m == power { (power * 2f32.powi(-11)).max(2f32.powi(-24)) } else { above };
    let up = m + above;
    // 65504 is the largest f16, followed by ∞
    let up = if up >= 65520.0 { f32::INFINITY } else { up };
    let down = if m == f32::INFINITY { 65504.0 } else { m - below };
    let r = (if away { up } else { down }).copysign(x);
    let r = if x == 0.0 { 2f32.powi(-24).copysign(y) } else { r };
    let r = if x == y { y } else { r };
    if x.is_nan() | y.is_nan() { x + y } else { r }
}

/// Returns the next bf16 after the bf16 `x` in the direction of the bf16 `y`. The operands and the result are held as
/// f32.
#[inline(always)]
pub(crate) fn nextafter_bf16(x: f32, y: f32) -> f32 {
    let away = (y > x) == (x > 0.0);
    let b = x.to_bits();
    let step = f32::from_bits(if away { b.wrapping_add(1 << 16) } else { b.wrapping_sub(1 << 16) });
    let r = if x == 0.0 { f32::from_bits(1 << 16).copysign(y) } else { step };
    let r = if x == y { y } else { r };
    if x.is_nan() | y.is_nan() { x + y } else { r }
}
