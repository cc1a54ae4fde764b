//! What is lost below the smallest normal number, where an error is no longer relative.

use crate::kit::{Dice, number};
use cupric::{DType, Device};

/// How a device rounds there.
#[derive(Clone, Copy)]
pub struct Underflow {
    /// Subnormal operands and results may be 0.
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

    /// What one rounding of a value computed in a type may lose, times 2^`scale`.
    pub fn half(&self, compute: DType, scale: i32) -> f64 {
        let power = match (self.flushes, compute) {
            (true, _) => -126,
            (false, DType::F64) => -1075,
            (false, _) => -150,
        };
        // past the smallest f64 the half is rounded up
        2f64.powi((power + scale).max(-1074))
    }

    /// What an operand that is flushed leaves out of a value that it is multiplied with.
    pub fn operand(&self, x: f64) -> f64 {
        let lost = self.flushes && x != 0.0 && x.abs() < 2f64.powi(-126);
        if lost { 2f64.powi(-126) } else { 0.0 }
    }
}

/// Subnormal numbers of a type, and here and there one a little above them.
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
