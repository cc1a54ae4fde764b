//! Properties of dtypes: the Array API's `finfo`, `iinfo` and `can_cast`.

use super::{DType, NumberKind};

/// The properties of a float type, as f64 numbers: see [`DType::finfo`].
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct FloatInfo {
    /// The number of bits.
    pub bits: usize,
    /// The machine epsilon: the difference between 1 and the next larger number.
    pub eps: f64,
    /// The largest finite number.
    pub max: f64,
    /// The smallest finite number, which is negative.
    pub min: f64,
    /// The smallest positive number with full precision.
    pub smallest_normal: f64,
}

/// The properties of an integer type: see [`DType::iinfo`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct IntegerInfo {
    /// The number of bits.
    pub bits: usize,
    /// The largest number.
    pub max: i128,
    /// The smallest number.
    pub min: i128,
}

impl DType {
    /// Returns the precision and the range of a float type, like NumPy's `finfo`, or `None` for other types.
    ///
    /// ```
    /// use cupric::DType;
    /// let info = DType::BF16.finfo().unwrap();
    /// assert_eq!((info.bits, info.eps), (16, 0.0078125));
    /// assert_eq!(DType::I32.finfo(), None);
    /// ```
    pub fn finfo(self) -> Option<FloatInfo> {
        let NumberKind::Float { digits, lowest } = self.facts().kind else { return None };
        let (eps, smallest_normal) = (2f64.powi(-digits), 2f64.powi(lowest));
        // the largest exponent is 1 − lowest, and all bits of the largest significand are 1
        let max = (2.0 - eps) * 2f64.powi(1 - lowest);
        Some(FloatInfo { bits: 8 * self.size(), eps, max, min: -max, smallest_normal })
    }

    /// Returns the range of an integer type, like NumPy's `iinfo`, or `None` for other types.
    ///
    /// ```
    /// use cupric::DType;
    /// let info = DType::U8.iinfo().unwrap();
    /// assert_eq!((info.bits, info.min, info.max), (8, 0, 255));
    /// assert_eq!(DType::Bool.iinfo(), None);
    /// ```
    pub fn iinfo(self) -> Option<IntegerInfo> {
        let (min, max) = self.integer_range();
        self.is_integer().then_some(IntegerInfo { bits: 8 * self.size(), max, min })
    }

    /// Returns whether this type can be cast to `to` by the promotion rules, which means that [`DType::promote`] of the
    /// two types is `to`. Integers of any size can be cast to every float type, although large integers are rounded.
    ///
    /// ```
    /// use cupric::DType::*;
    /// assert!(I8.can_cast(I16) && F16.can_cast(F32));
    /// assert!(!I16.can_cast(I8) && !F16.can_cast(BF16));
    /// ```
    pub fn can_cast(self, to: DType) -> bool {
        self.promote(to) == Some(to)
    }
}
