//! The rows of `--plot`: four operations at ten sizes per decade, so that the plot shows any cliff between two sizes.

use crate::table;
use crate::work::Work;
use cupric::DType;

/// The works that are plotted, by their names in the table.
const WORKS: [&str; 4] = ["add", "hypot", "exp", "sum"];
/// The libraries that are plotted beside cupric.
pub const PEERS: [&str; 2] = ["numpy", "torch"];
/// A size may take this part of the time of a row of `--quick`, because its neighbours on the curve confirm it.
pub const PATIENCE: f64 = 0.5;
/// The exponents of the smallest and the largest size, as powers of ten.
const DECADES: (u32, u32) = (1, 8);
/// The number of sizes per decade.
const EACH: u32 = 10;

/// Returns the works of the table that are plotted, each with the sizes of the plot.
pub fn works() -> Vec<Work> {
    let plotted = |w: &Work| WORKS.contains(&w.name) && w.dtype == DType::F32;
    let mut works: Vec<Work> = table::table().into_iter().filter(plotted).collect();
    for work in &mut works {
        work.shapes = sizes().into_iter().map(|n| vec![n]).collect();
    }
    works
}

/// Returns sizes in equal ratios, rounded to whole elements.
fn sizes() -> Vec<usize> {
    let (first, last) = (DECADES.0 * EACH, DECADES.1 * EACH);
    (first..=last).map(|i| 10f64.powf(f64::from(i) / f64::from(EACH)).round() as usize).collect()
}
