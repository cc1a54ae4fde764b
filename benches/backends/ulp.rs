//! The difference between the results of two devices, in units in the last place of their dtype.

use cupric::{Array, DType, Element, Result, bf16, f16};

/// Returns the largest difference between arrays of the same shapes. It is infinity if one array has a NaN where the
/// other has a number, and `None` if no array has a dtype that is compared.
pub fn largest(a: &[Array], b: &[Array]) -> Result<Option<f64>> {
    let mut most = None;
    for (a, b) in a.iter().zip(b) {
        let apart = match a.dtype() {
            // a float's bits are mapped to an integer such that neighbouring floats differ by 1
            DType::F32 => compare::<f32>(a, b, |x| line(x.to_bits() as i64, 31), |x| x.is_nan())?,
            DType::F64 => compare::<f64>(a, b, |x| line(x.to_bits() as i64, 63), |x| x.is_nan())?,
            DType::F16 => compare::<f16>(a, b, |x| line(x.to_bits() as i64, 15), |x| x.is_nan())?,
            DType::BF16 => compare::<bf16>(a, b, |x| line(x.to_bits() as i64, 15), |x| x.is_nan())?,
            DType::I32 => compare::<i32>(a, b, i64::from, |_| false)?,
            _ => continue,
        };
        most = Some(apart.max(most.unwrap_or(0.0)));
    }
    Ok(most)
}

fn compare<T: Element>(a: &Array, b: &Array, place: fn(T) -> i64, nan: fn(T) -> bool) -> Result<f64> {
    let (a, b) = (a.to_vec::<T>()?, b.to_vec::<T>()?);
    let apart = |(a, b): (&T, &T)| match (nan(*a), nan(*b)) {
        (true, true) => 0.0,
        (false, false) => place(*a).abs_diff(place(*b)) as f64,
        _ => f64::INFINITY,
    };
    Ok(a.iter().zip(&b).map(apart).fold(0.0, f64::max))
}

fn line(bits: i64, sign: u32) -> i64 {
    let magnitude = bits & !(1i64 << sign);
    if bits >> sign & 1 == 1 { -magnitude } else { magnitude }
}
