//! Chooses how a CPU computes a matrix product ([`Product`]). The choice does not change the bits of a result.

use crate::base::dtype::Compute;
use crate::plan::kernel::{CHAIN, Caps, Kernel, MOST_OF_CHAINS, Matrices, Method, Product, Step, Work, takes_parts};

/// The amount of work, as measured by [`work`], up to which one thread computes a product alone. This work takes about
/// 20 µs, less than waking another thread costs.
const ALONE: usize = 1 << 21;

/// The amount of work of one task, as measured by [`work`], if there is enough for several tasks. Such a task takes 30
/// to 50 µs, so that the time to wake a thread is small in comparison.
const TASK: usize = 1 << 22;

/// The maximum number of tasks into which one matrix is cut. Each task packs (copies and reorders) the operands that it
/// needs, so more tasks pack more often.
const MOST_TASKS: usize = 32;

/// The minimum number of rows, and of columns, of a task if a product by panels is divided among tasks. With few rows,
/// each packed element of the right operand is used only a few times. With few columns, many tasks read each element of
/// the left operand again.
const LEAST: [usize; 2] = [512, 256];

/// The maximum number of columns of a result that is computed column by column, with SIMD lanes over rows: as many as
/// the loops for this method process together.
const FEW: usize = 8;

/// Returns a measure of the time of `n` multiply-adds. For f32 in tiles it is `n`. Other cases take longer: f64 has
/// half as many lanes, AVX2 has no instruction for products of 64-bit integers, and products with a vector wait for
/// memory. The factors are estimates; no benchmark compares other values.
fn work(n: usize, compute: Compute, method: Method) -> usize {
    let weight = match compute {
        Compute::F32 | Compute::Bool => 1,
        Compute::F64 | Compute::I32 | Compute::U32 => 2,
        Compute::I64 | Compute::U64 => 8,
    };
    n.saturating_mul(weight).saturating_mul(if matches!(method, Method::Dots | Method::Sums) { 10 } else { 1 })
}

/// Returns how a CPU computes the product of a kernel, or `None` if the kernel computes more than a product.
pub(super) fn product(kernel: &Kernel, caps: &Caps) -> Option<Product> {
    let compute = kernel.values.first()?.compute();
    let matrices = Matrices::of(kernel)?;
    let (method, turned) = method(&matrices, compute, caps);
    let batch: usize = matrices.batch.iter().map(|d| kernel.outer[*d]).product();
    let x = if turned { matrices.turned() } else { matrices };
    let each = work(x.m.saturating_mul(x.n).saturating_mul(x.k), compute, method);
    let all = each.saturating_mul(batch);
    let mut product =
        Product { method, turned, matrices: u16::MAX, parts: [1, 1], chains: 0, alone: all <= ALONE, hands_on: false };
    if product.alone {
        return Some(product);
    }
    // a task computes several matrices of the batch if they are small, but at most a quarter of them, so that there are
    // enough tasks
    product.matrices = (TASK / each.max(1)).clamp(1, batch.div_ceil(4)).min(u16::MAX as usize) as u16;
    if product.matrices == 1 {
        let tasks = (each / TASK).clamp(1, MOST_TASKS.div_ceil(batch));
        product.parts = parts(&x, method, 1 << tasks.ilog2());
        let [rows, cols] = product.part(x.m, x.n);
        let elements = x.m.saturating_mul(x.n);
        if batch == 1 && tasks > 1 && x.m <= rows && x.n <= cols && elements <= MOST_OF_CHAINS {
            // a small result cannot be divided among tasks, but the axis k over which it sums can be
            product.parts = [1, 1];
            product.chains = x.k.div_ceil(CHAIN).div_ceil(tasks).min(u32::MAX as usize) as u32;
        }
        if let Method::Panels { blocks, .. } = &mut product.method {
            *blocks = (*blocks).min(cols.div_ceil(64).min(u8::MAX as usize) as u8);
        }
    }
    Some(product)
}

/// Makes each product pass every part of its result to the elementwise kernel after it as soon as the part is computed,
/// if that kernel can process parts. Then the kernel reads the result from a cache, and threads share the work of both
/// kernels together.
pub(super) fn hand_on(steps: &mut [Step]) {
    for i in 1..steps.len() {
        let (before, next) = steps.split_at_mut(i);
        let (Step::Nest(product), Step::Nest(next)) = (&mut before[i - 1], &next[0]) else { continue };
        let (Some(strategy), Some(tiles)) = (product.schedule.product(), next.schedule.tiles()) else { continue };
        // if one thread computes the product alone because it is small, the next kernel must also be for one thread,
        // because it would run on that thread too
        let shares = tiles.alone || !strategy.alone;
        // the parts of a product that reads sliding windows (`plan/axes.rs`) are not rectangles in the dimensions of
        // the next kernel
        let is_alike = product.inner.len() == 1;
        if is_alike && next.continues && shares && strategy.chains == 0 && takes_parts(next, product) {
            product.schedule.work = Work::Product(Product { hands_on: true, ..strategy });
        }
    }
}

/// Chooses the method of a product, and whether the transposed product is computed.
fn method(x: &Matrices, compute: Compute, caps: &Caps) -> (Method, bool) {
    let lanes = (caps.vector / compute.size()).max(1);
    let few = if matches!(compute, Compute::F32 | Compute::F64) && lanes * compute.size() >= 32 { FEW } else { 1 };
    let turned = x.turned();
    let sides = [(x, false), (&turned, true)];
    for (x, turned) in sides {
        if x.n <= few && x.m >= lanes && x.suit(Method::Dots) && x.n < x.m {
            return (Method::Dots, turned);
        }
        // elements are converted row by row, so rows of a few elements are not
        if x.m == 1 && x.suit(Method::Sums) && (x.plain == [true; 3] || x.n >= lanes) {
            return (Method::Sums, turned);
        }
    }
    // SIMD lanes run over columns, so a result with few columns and many rows is computed as its transpose
    let narrow = x.n < lanes && x.m > x.n;
    let is_turned = x.c[1] != 1 && x.c[0] == 1 || narrow && x.c[1] == 1 && x.m >= 2 * lanes;
    let x = if is_turned { &turned } else { x };
    let second = if caps.caches[1] == 0 { 1 << 19 } else { caps.caches[1] };
    // do not copy operands if the right operand fits a quarter of the L2 cache, or the whole L2 cache if the result has
    // few rows
    let bytes = x.k.saturating_mul(x.n).saturating_mul(compute.size());
    if x.suit(Method::Direct) && (bytes <= second / 4 || x.m <= 12 && bytes <= second) {
        return (Method::Direct, is_turned);
    }
    // pack so many columns at a time that one chain (256 elements along k) of them fills half of the L2 cache
    let cols = (second / 2 / (CHAIN * compute.size())).clamp(64, 1024).min(x.n.max(1));
    // rows of the left operand that are contiguous along k are read in place, because a whole panel uses each element;
    // other rows are copied
    let left = x.nested[0].is_some() || x.a[1] != 1 && x.n > 64;
    (Method::Panels { blocks: cols.div_ceil(64) as u8, left }, is_turned)
}

/// Returns the numbers of parts into which the rows and the columns of a matrix are cut for different tasks. The total
/// number of parts is at most `tasks`, which is a power of two.
fn parts(x: &Matrices, method: Method, tasks: usize) -> [u8; 2] {
    let [down, across] = match method {
        Method::Dots => [tasks, 1],
        Method::Sums => [1, tasks],
        Method::Direct => [tasks.min(x.m.div_ceil(12)), 1],
        Method::Panels { .. } => {
            let across = |least: usize| tasks.min(1 << (x.n / least).max(1).ilog2());
            match [(tasks / across(LEAST[1])).min((x.m / LEAST[0]).max(1)), across(LEAST[1])] {
                // parts with fewer columns than usual are better than work for a single thread
                [1, 1] => [1, across(LEAST[1] / 2)],
                parts => parts,
            }
        }
    };
    [down, across].map(|parts| parts.clamp(1, MOST_TASKS) as u8)
}
