//! Compares the results of a kernel on two devices.

use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::{DType, NumberKind};
use crate::base::error::{Loc, Result};
use crate::graph::expr::{Arg, Expr};
use std::fmt;

/// The difference between a device's results and the CPU's, as returned by
/// [`ElementwiseKernel::check`](super::ElementwiseKernel::check) and
/// [`ReductionKernel::check`](super::ReductionKernel::check).
#[derive(Clone, Copy, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct Agreement {
    /// The number of elements that were compared.
    pub elements: usize,
    /// The number of elements that differ. All NaNs count as equal, and so do 0 and −0.
    pub different: usize,
    /// The largest difference between two floats, in units in the last place (ULP) of their type. The difference is ∞
    /// if only one of the two floats is NaN or infinite.
    pub most_ulps: f64,
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} elements differ, by {} ULP at most", self.different, self.elements, self.most_ulps)
    }
}

impl Agreement {
    /// Compares two results on the CPU, of one dtype and shape.
    pub(super) fn of(a: &Array, b: &Array) -> Result<Agreement> {
        let mut found = Agreement { elements: a.size(), ..Agreement::default() };
        let dtype = a.dtype();
        if !dtype.is_float() {
            let bytes = [a.to_bytes()?, b.to_bytes()?];
            let pairs = bytes[0].chunks(dtype.size()).zip(bytes[1].chunks(dtype.size()));
            found.different = pairs.filter(|(x, y)| x != y).count();
            return Ok(found);
        }
        for (x, y) in a.to_vec_as::<f64>()?.into_iter().zip(b.to_vec_as::<f64>()?) {
            if x == y || x.is_nan() && y.is_nan() {
                continue;
            }
            found.different += 1;
            let ulps = (x - y).abs() / ulp(x.abs().min(y.abs()), dtype);
            found.most_ulps = found.most_ulps.max(if ulps.is_finite() { ulps } else { f64::INFINITY });
        }
        Ok(found)
    }

    pub(super) fn with(self, other: Agreement) -> Agreement {
        Agreement {
            elements: self.elements + other.elements,
            different: self.different + other.different,
            most_ulps: self.most_ulps.max(other.most_ulps),
        }
    }
}

/// Returns the distance between neighbouring floats of a type at `x`. For an `x` below the normal numbers, this is the
/// distance between subnormal numbers.
fn ulp(x: f64, dtype: DType) -> f64 {
    let NumberKind::Float { digits, lowest } = dtype.float().facts().kind else { return 0.0 };
    // the stored exponent of an f64 has a bias of 1023, and is 0 for 0 and subnormal numbers
    let exponent = match (x.to_bits() >> 52 & 0x7ff) as i32 {
        0x7ff => lowest,
        stored => (stored - 1023).max(lowest),
    };
    power_of_2(exponent - digits)
}

/// Returns 2ⁿ for an exponent n of f64, from −1074 to 1023.
fn power_of_2(n: i32) -> f64 {
    f64::from_bits(if n < -1022 { 1 << (n + 1074) } else { ((n + 1023) as u64) << 52 })
}

/// Compares the results of `build` for the same operands on the CPU and on a device. `op` is the name of the operation
/// in error messages.
pub(super) async fn between(
    args: &[Arg],
    device: &Device,
    (op, at): (&'static str, Loc),
    build: impl Fn(Vec<Arg>) -> Result<Vec<Expr>>,
) -> Result<Agreement> {
    let cpu = Device::cpu();
    let mut results = [vec![], vec![]];
    for (device, results) in [&cpu, device].into_iter().zip(&mut results) {
        let mut moved = vec![];
        for arg in args {
            moved.push(match arg {
                Arg::Expr(e) => Arg::Expr(e.moving(device, op, at)?.await?.into()),
                Arg::Scalar(s) => Arg::Scalar(*s),
            });
        }
        for result in build(moved)? {
            let there = result.moving(device, op, at)?.await?;
            results.push(there.moving(&cpu, op, at)?.await?);
        }
    }
    let mut found = Agreement::default();
    for (a, b) in results[0].iter().zip(&results[1]) {
        found = found.with(Agreement::of(a, b)?);
    }
    Ok(found)
}

#[cfg(feature = "testing")]
mod tests {
    use super::ulp;
    use crate::DType;

    crate::testing::unit_tests!(custom_agreement: the_last_place_of_each_type);

    fn the_last_place_of_each_type() {
        for x in [1.0, 1.5, 7.9, 3e38, 1e-30, 1e300, 2e-308, 5e-324] {
            assert_eq!(ulp(x, DType::F64), x.next_up() - x, "{x}");
        }
        for x in [1.0f32, 1.99, 1e-40, 3e38, 1e-45] {
            assert_eq!(ulp(x as f64, DType::F32), (x.next_up() as f64) - x as f64, "{x}");
        }
        assert_eq!(ulp(0.0, DType::F64), f64::from_bits(1));
        assert_eq!((ulp(1.0, DType::F16), ulp(1.0, DType::BF16)), (1.0 / 1024.0, 1.0 / 128.0));
        assert_eq!(ulp(0.0, DType::F16), 2f64.powi(-24));
    }
}
