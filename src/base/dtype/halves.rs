//! Conversion from f64 to 16-bit floats with a single rounding.

/// Rounds to odd: if the value is between two f32 numbers, returns the number whose last bit is 1. Rounding that f32 to
/// a 16-bit float then gives the same result as rounding the f64 once. Rounding to the nearest f32 first would round
/// twice, and could return the wrong neighbour.
pub(crate) fn to_odd(value: f64) -> f32 {
    let near = value as f32;
    if value.is_nan() || f64::from(near) == value || near.to_bits() & 1 == 1 {
        near
    } else if f64::from(near) < value {
        near.next_up()
    } else {
        near.next_down()
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::to_odd;
    use half::{bf16, f16};

    crate::testing::unit_tests!(dtype_halves: what_is_next_to_a_middle_is_rounded_once);

    fn what_is_next_to_a_middle_is_rounded_once() {
        for (one, next) in [(f16::ONE, f16::from_bits(f16::ONE.to_bits() + 1)), (f16::from_bits(7), f16::from_bits(8))]
        {
            let middle = (one.to_f64() + next.to_f64()) / 2.0;
            assert_eq!(f16::from_f32(to_odd(middle.next_down())), one);
            assert_eq!(f16::from_f32(to_odd(middle.next_up())), next);
            assert_eq!(f16::from_f32(to_odd(-middle.next_up())), -next);
        }
        let middle = 1.0 + 1.0 / 256.0;
        assert_eq!(bf16::from_f32(to_odd(f64::next_up(middle))).to_f64(), 1.0 + 1.0 / 128.0);
        assert_eq!(bf16::from_f32(to_odd(middle)).to_f64(), 1.0);
        assert_eq!((to_odd(1e300), to_odd(f64::INFINITY)), (f32::MAX, f32::INFINITY));
        assert!(to_odd(f64::NAN).is_nan());
    }
}
