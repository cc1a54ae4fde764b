//! How a CPU computes a matrix product. The planner chooses this (`plan/schedule/products.rs`) as part of the kernel's
//! schedule, and the loops of `cpu/matmul/` follow it. The choice does not change the bits of a result. The left
//! operand is m × k, the right one k × n, and the result m × n.

use super::{Kernel, Load};
use crate::base::dtype::{Compute, DType};
use crate::base::layout::{self, Shape, Strides};
use crate::graph::ufunc::cast;
use smallvec::{SmallVec, smallvec};

/// The length of a chain: the products of this many consecutive elements along k are added one after another, and then
/// the sums of the chains are added in order (`cpu/matmul/micro_kernel.rs`). Another number would change the bits of
/// results.
/// In measurements, half as many elements cost up to 5 % of speed, and twice as many doubled the worst rounding error
/// of long products.
pub(crate) const CHAIN: usize = 256;

/// The maximum number of elements of a result for which tasks divide the axis k, instead of dividing the result.
pub(crate) const MOST_OF_CHAINS: usize = 4096;

/// The maximum number of elements of a 64 × 64 tile that a narrow result may fill. For a narrow result, each GPU
/// invocation computes one element, instead of a workgroup computing a tile. At this limit, both ways need about the
/// same number of instructions: a tile does eight multiplications for each useful one.
const NARROW: usize = 512;

/// Returns whether an m × n result is so narrow that each GPU invocation computes one element. Such a result fills at
/// most [`NARROW`] elements of a tile.
pub(crate) fn is_narrow(m: usize, n: usize) -> bool {
    m.min(64) * n.min(64) <= NARROW
}

/// How a CPU computes a matrix product, and how tasks for threads divide it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Product {
    pub method: Method,
    /// Whether the transposed product Bᵀ · Aᵀ is computed instead of A · B. Then "rows" in the fields below and in the
    /// method means the columns of the kernel's result, and "columns" means its rows.
    pub turned: bool,
    /// The number of matrices of the batch that one task computes. It is 1 if a task computes only a part of a matrix.
    pub matrices: u16,
    /// The number of parts into which the rows (first) and the columns (second) of a matrix are cut for different
    /// tasks.
    pub parts: [u8; 2],
    /// The number of chains (see [`CHAIN`]) that one task sums, if tasks divide the axis k. One thread then adds the
    /// sums of all chains in order. The number is 0 if a task computes whole elements of the result.
    pub chains: u32,
    /// Whether one thread does all the work.
    pub alone: bool,
    /// Whether the next step, an elementwise kernel, runs on each part of the result as soon as that part is computed
    /// and still in a cache (`takes_parts` in `plan/kernel/schedule.rs`).
    pub hands_on: bool,
}

impl Product {
    /// Returns the number of rows and of columns that one task computes of an m × n result.
    pub fn part(&self, m: usize, n: usize) -> [usize; 2] {
        // the number of rows of a part is a multiple of a panel (12 rows) or of a few vectors (64 rows), and the number
        // of columns is a multiple of cache lines, so that inner loops rarely run on incomplete panels, vectors or
        // lines
        let rows = if self.method == Method::Dots { 64 } else { 12 };
        let of = |n: usize, parts: u8, unit: usize| n.div_ceil(parts.max(1) as usize).next_multiple_of(unit).min(n);
        [of(m, self.parts[0], rows), of(n, self.parts[1], 64)]
    }

    /// Returns the strategy of an m × n product as text for printed plans.
    pub fn print(&self, m: usize, n: usize) -> String {
        let method = match self.method {
            Method::Dots => "product, lanes over rows".to_string(),
            Method::Sums => "product, lanes over columns".to_string(),
            Method::Direct => "product by tiles".to_string(),
            Method::Panels { blocks, left } => {
                format!(
                    "product by tiles, {}{} columns packed",
                    if left { "rows and " } else { "" },
                    64 * blocks as usize
                )
            }
        };
        let [rows, cols] = if self.turned { self.part(n, m) } else { self.part(m, n) };
        let tasks = match (self.alone, self.matrices) {
            (true, _) => "one task".to_string(),
            _ if self.chains > 0 => format!("{} of k a task", self.chains as usize * CHAIN),
            (false, 1) => format!("{rows} × {cols} a task"),
            (false, n) => format!("{n} matrices a task"),
        };
        let next = if self.hands_on { ", each part handed to the next pass" } else { "" };
        format!("{method}, {}{tasks}{next}", if self.turned { "transposed, " } else { "" })
    }
}

/// How a task computes its part of a product.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    /// For results with few columns. Computes the dot products of each column with the rows of the left operand, for
    /// many rows at a time. These rows are contiguous along k.
    Dots,
    /// For results with few rows. Computes each row as a weighted sum of the rows of the right operand, for many
    /// columns at a time. The rows of the right operand are contiguous.
    Sums,
    /// Computes tiles of the result, and reads both operands where they are, without copies.
    Direct,
    /// Computes tiles of the result from a copy of the right operand: `blocks` times 64 columns at a time are copied in
    /// the order in which tiles read them. Rows of the left operand are copied too if `left` is true or if their type
    /// must be converted.
    Panels { blocks: u8, left: bool },
}

/// Several axes of an operand that form one axis of a matrix (its rows, its columns or k), slowest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MergedAxes {
    pub lengths: Shape,
    pub strides: Strides,
}

impl MergedAxes {
    /// Returns the stride in elements that the axes have as one merged axis, or `None` if no single stride describes
    /// them. An axis of length 1 has stride 1.
    pub fn stride(&self) -> Option<isize> {
        one_stride(&self.lengths, &self.strides)
    }
}

/// Returns the stride that axes of these lengths and strides have as one merged axis, like [`MergedAxes::stride`].
fn one_stride(lengths: &[usize], strides: &[isize]) -> Option<isize> {
    match layout::product(lengths) {
        // with at most one element, no stride is ever used
        0 | 1 => Some(1),
        _ => layout::one_step(lengths, strides),
    }
}

/// The three matrices of a product, as the methods of [`Method`] see them: their sizes, and their strides in elements.
/// An axis of length 1 has stride 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Matrices {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// The type in which the product is computed.
    pub compute: Compute,
    /// Strides of the left operand along m and k. Both are 0 if `nested` describes the operand.
    pub a: [isize; 2],
    /// Strides of the right operand along n and k. Both are 0 if `nested` describes the operand.
    pub b: [isize; 2],
    /// Strides of the result along m and n. An axis of length 1 has stride 1.
    pub c: [isize; 2],
    /// For the left operand, the right operand and the result: whether its type is the one in which the product is
    /// computed.
    pub plain: [bool; 3],
    /// For each operand, if no single stride describes it along m (or n) or along k: its axes along m (or n), and its
    /// axes along k.
    pub nested: [Option<Box<[MergedAxes; 2]>>; 2],
    /// The kernel's outer dimensions that count the matrices of a batch (their positions in `outer`).
    pub batch: SmallVec<[usize; 4]>,
}

impl Kernel {
    /// Returns how many dimensions of `outer`, besides the last two, belong to the rows and to the columns of a
    /// product. Such dimensions exist only if k has several dimensions (`plan/axes.rs`). In `outer`, the batch comes
    /// first, then the dimensions along which only the right operand changes (columns), then the dimensions along which
    /// only the left operand changes (rows), and then the last two.
    pub fn sides(&self) -> [usize; 2] {
        let (Some(end), [a, b, ..], 2..) = (self.outer.len().checked_sub(2), &self.loads[..], self.inner.len()) else {
            return [0, 0];
        };
        let count = |end: usize, moves: &Load, stays: &Load| {
            (0..end).rev().take_while(|d| stays.strides[*d] == 0 && moves.strides[*d] != 0).count()
        };
        let rows = count(end, a, b);
        [rows, count(end - rows, b, a)]
    }

    /// Returns the number of matrices in the batch, of rows and of columns of a product whose outer dimensions have the
    /// lengths `shape`.
    pub fn matrices(&self, shape: &[usize]) -> [usize; 3] {
        let ([rows, columns], Some(end)) = (self.sides(), shape.len().checked_sub(2)) else { return [1; 3] };
        let size = |dims: std::ops::Range<usize>| shape[dims].iter().fold(1usize, |n, m| n.saturating_mul(*m));
        let (m, n) = (size(end - rows..end + 1), size(end - rows - columns..end - rows));
        [size(0..end - rows - columns), m, n.saturating_mul(shape[end + 1])]
    }

    /// Returns the number of elements along k over which the kernel sums: all elements, or the elements of its
    /// [`PartOfK`](super::PartOfK).
    pub fn length_of_k(&self) -> usize {
        let part = self.values.first().and_then(|v| v.op.part_of_k());
        part.map_or_else(|| self.inner_size(), |part| part.length)
    }
}

impl Matrices {
    /// Returns the matrices of a kernel that computes nothing but a product, and otherwise `None`. If k has several
    /// dimensions (`plan/axes.rs`), an outer dimension before the last two belongs to the rows if the right operand
    /// does not change along it, and to the columns if the left operand does not change along it. Such a dimension
    /// counts as part of the batch instead if the result would then not have a single stride along its rows or columns.
    pub fn of(kernel: &Kernel) -> Option<Matrices> {
        let rank = kernel.outer.len();
        let ([value], [a, b], [c]) = (&kernel.values[..], &kernel.loads[..], &kernel.stores[..]) else { return None };
        let row = rank.checked_sub(2)?;
        let mut sides: [SmallVec<[usize; 4]>; 2] = [smallvec![row], smallvec![row + 1]];
        let mut batch: SmallVec<[usize; 4]> = smallvec![];
        let length = |dims: &[usize]| dims.iter().map(|d| kernel.outer[*d]).product::<usize>();
        // the stride of the result along the rows or the columns, whose dimensions are `dims`
        let stride = |dims: &[usize]| match dims.iter().rev().find(|d| kernel.outer[**d] != 1) {
            Some(d) => c.strides[*d],
            None => 1,
        };
        for d in (0..row).rev() {
            let belongs = |side: usize| {
                let (dims, absent) = (&sides[side], [b, a][side]);
                let next = stride(dims).saturating_mul(length(dims) as isize);
                absent.strides[d] == 0 && (c.strides[d] == next || length(dims) == 1)
            };
            match (0..2).find(|side| kernel.inner.len() > 1 && belongs(*side)) {
                Some(side) => sides[side].insert(0, d),
                None => batch.insert(0, d),
            }
        }
        let plain = |dtype: DType| cast::widen(dtype).is_none() && dtype.compute() == value.compute();
        let lines = |side: usize, load: &Load| {
            let dims = &sides[side];
            MergedAxes {
                lengths: dims.iter().map(|d| kernel.outer[*d]).collect(),
                strides: dims.iter().map(|d| load.strides[*d]).collect(),
            }
        };
        let operand = |side: usize, load: &Load| {
            let steps = &load.strides[rank..];
            // usually the rows or columns are one axis, whose stride needs no list of axes
            let line = match sides[side][..] {
                [d] => one_stride(&[kernel.outer[d]], &[load.strides[d]]),
                _ => lines(side, load).stride(),
            };
            match (line, one_stride(&kernel.inner, steps)) {
                (Some(line), Some(step)) => ([line, step], None),
                _ => {
                    let along_k = MergedAxes { lengths: kernel.inner.clone(), strides: steps.into() };
                    ([0, 0], Some(Box::new([lines(side, load), along_k])))
                }
            }
        };
        let ((of_a, nested_a), (of_b, nested_b)) = (operand(0, a), operand(1, b));
        Some(Matrices {
            m: length(&sides[0]),
            n: length(&sides[1]),
            k: kernel.inner_size(),
            compute: value.compute(),
            a: of_a,
            b: of_b,
            c: [stride(&sides[0]), stride(&sides[1])],
            plain: [plain(a.dtype), plain(b.dtype), cast::narrow(c.dtype).is_none()],
            nested: [nested_a, nested_b],
            batch,
        })
    }

    /// Returns the matrices of the transposed product Bᵀ · Aᵀ, in which left and right, and rows and columns, are
    /// exchanged.
    pub fn turned(&self) -> Matrices {
        let [c, r] = self.c;
        let [left, right, result] = self.plain;
        let ([a, b], batch) = (self.nested.clone(), self.batch.clone());
        let (m, n) = (self.n, self.m);
        let plain = [right, left, result];
        let (k, compute) = (self.k, self.compute);
        Matrices { m, n, k, compute, a: self.b, b: self.a, c: [r, c], plain, nested: [b, a], batch }
    }

    /// Returns whether a method can compute the product. All methods except panels need operands and a result with
    /// suitable strides, because they do not copy. The only other conversions are those of f16 and bf16 by
    /// [`Method::Dots`] and [`Method::Sums`], which have no loops for bools. Panels copy the right operand, and need a
    /// single stride along m and k in the left operand unless they copy the left operand too.
    pub fn suit(&self, method: Method) -> bool {
        let (is_plain, has_strides) = (self.plain == [true; 3], self.nested == [None, None]);
        let has_loops = self.compute == Compute::F32 || self.compute != Compute::Bool && is_plain;
        match method {
            Method::Dots => has_loops && has_strides && self.a[1] == 1,
            Method::Sums => has_loops && has_strides && self.b[0] == 1 && self.c[1] == 1,
            Method::Direct => is_plain && has_strides && self.b[0] == 1 && self.c[1] == 1,
            Method::Panels { blocks, left } => blocks > 0 && (left || self.nested[0].is_none()),
        }
    }
}

/// Returns whether the loops of products can read elements of type `dtype` and convert them, in a product that is
/// computed in the type `compute`.
pub(crate) fn takes(dtype: DType, compute: Compute) -> bool {
    dtype.compute() == compute
}
