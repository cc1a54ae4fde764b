//! The error that is allowed below the smallest normal number, where errors are absolute and not relative.

use crate::kit::{Dice, number};
use cupric::{DType, Device};

/// How a device rounds below the smallest normal number.
#[derive(Clone, Copy)]
pub struct Underflow {
    /// Whether the device may replace subnormal operands and results by 0.
    pub flushes: bool,
}

impl Underflow {
    pub fn of(device: &Device) -> Underflow {
        #[cfg(feature = "gpu")]
        if let Ok(Some(n)) = device.numerics() {
            return Underflow { flushes: !n.subnormals };
        }
        Underflow { flushes: device.is_gpu() }
    }

    /// The largest error of one rounding of a tiny value in a type, times 2^`scale`.
    pub fn half(&self, compute: DType, scale: i32) -> f64 {
        let power = match (self.flushes, compute) {
            (true, _) => -126,
            (false, DType::F64) => -1075,
            (false, _) => -150,
        };
        // below the smallest f64, half a spacing is rounded up to it
        2f64.powi((power + scale).max(-1074))
    }

    /// How much an operand changes if the device flushes it; in a product, this error is times the other factor.
    pub fn operand(&self, x: f64) -> f64 {
        let lost = self.flushes && x != 0.0 && x.abs() < 2f64.powi(-126);
        if lost { 2f64.powi(-126) } else { 0.0 }
    }
}

/// Draws subnormal numbers of a type, and some numbers slightly above them.
pub fn draw(dtype: DType, random: &mut Dice) -> u64 {
    let normal = number::place(dtype, number::round(dtype, number::smallest_normal(dtype)));
    let (r, sign) = (random.next(), random.next() & 1);
    let place = match r % 8 {
        0 => normal + (r >> 8) as i64 % normal,
        1 => (r >> 8) as i64 % 4,
        _ => (r >> 8) as i64 % normal,
    };
    number::at_place(dtype, if sign == 1 { -place } else { place })
}
