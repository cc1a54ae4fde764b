//! The rows of `--plot`: four operations at ten sizes a decade, so that no cliff between two sizes stays unseen.

use crate::table;
use crate::work::Work;
use cupric::DType;

/// The works that are plotted, by their names in the table.
const WORKS: [&str; 4] = ["add", "hypot", "exp", "sum"];
/// The libraries that are plotted beside them.
pub const PEERS: [&str; 2] = ["numpy", "torch"];
/// The time that a size may take, beside a row of `--quick`: neighbours on the curve tell as much as more rounds would.
pub const PATIENCE: f64 = 0.5;
/// The powers of ten that the sizes go from and to.
const DECADES: (u32, u32) = (1, 8);
/// Sizes in a decade.
const EACH: u32 = 10;

/// The works of the table that are plotted, each with the sizes of the plot.
pub fn works() -> Vec<Work> {
    let plotted = |w: &Work| WORKS.contains(&w.name) && w.dtype == DType::F32;
    let mut works: Vec<Work> = table::table().into_iter().filter(plotted).collect();
    for work in &mut works {
        work.shapes = sizes().into_iter().map(|n| vec![n]).collect();
    }
    works
}

/// Sizes in equal ratios, rounded to whole elements.
fn sizes() -> Vec<usize> {
    let (first, last) = (DECADES.0 * EACH, DECADES.1 * EACH);
    (first..=last).map(|i| 10f64.powf(f64::from(i) / f64::from(EACH)).round() as usize).collect()
}
