//! Measures a device: whether its kernels are correct, and how fast it moves and computes.

use cupric::{Array, DType, Device, Expr, Result, Rng};

/// A rate that the page measures: its name and unit, the expression, and the bytes or operations of one evaluation.
pub struct Rate {
    pub name: &'static str,
    pub unit: &'static str,
    pub work: f64,
    pub expression: Expr,
}

fn rate(name: &'static str, unit: &'static str, work: f64, expression: Expr) -> Rate {
    Rate { name, unit, work, expression }
}

/// Describes a copy of an array of f32. It multiplies each element once, which takes no longer than moving it.
fn copy(x: &Array) -> Rate {
    rate("copy f32", "GB/s", 2.0 * 4.0 * x.size() as f64, x * 1.5)
}

/// Describes a copy of `n` f32 elements on a device.
pub fn copied(device: &Device, n: usize) -> Result<Rate> {
    Ok(copy(&Rng::new(2).uniform([n], DType::F32).to_device(device)?))
}

/// Returns 1,000 arrays. Their lengths differ, so no two operations on them become one kernel.
pub fn thousand(device: &Device) -> Result<Vec<Array>> {
    (0..1000).map(|n| cupric::ones([64 + n], DType::F32).to_device(device)).collect()
}

/// Returns a small fused expression.
pub fn fused(x: &Array) -> Expr {
    (x * 2.0 + 1.0).abs().sqrt() - 0.5
}

/// Returns the rates to measure on a device, for arrays of `n` elements.
pub fn rates(device: &Device, n: usize) -> Result<Vec<Rate>> {
    let mut rng = Rng::new(2);
    let x = (rng.uniform([n], DType::F32) + 0.5).to_device(device)?;
    let h = x.astype(DType::F16).eval()?;
    let rows = x.reshape([n / 256, 256]);
    let side = 256;
    let m = x.slice(cupric::s![..side * side]).reshape([side, side]).eval()?;
    let bytes = n as f64 * 4.0;
    Ok(vec![
        copy(&x),
        rate("copy f16", "GB/s", bytes, &h * 1.5),
        rate("exp", "GB/s", 2.0 * bytes, x.exp()),
        rate("twenty fused steps", "GB/s", 2.0 * bytes, (0..20).fold(&x * 1.0, |e, _| e * 0.9 + 0.1)),
        rate("sum", "GB/s", bytes, x.sum(..)),
        rate("softmax of rows", "GB/s", 2.0 * bytes, rows.softmax(-1)),
        rate("cumulative sum of rows", "GB/s", 2.0 * bytes, rows.cumulative_sum(-1)),
        rate("product of 256 × 256", "GFLOP/s", 2.0 * (side * side * side) as f64, m.matmul(&m)),
    ])
}
