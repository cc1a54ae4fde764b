//! Sums of products of two operands. The fold multiplies the elements itself, so that no step stores the products. The
//! bits are those of a sum of the stored products.

use super::*;
use crate::base::dtype::DType;
use crate::graph::ufunc::{arithmetic, cast};
use crate::math::simd::{Factor, Loop, Loops, ProductArgs, ProductColumns};

/// The loops of a sum of products.
pub(super) struct ProductLoops {
    /// Whether all rows of the first and of the second factor are the same.
    still: [bool; 2],
    /// Whether the elements of each factor are prefetched.
    far: [bool; 2],
    /// Sums the products of several whole rows.
    rows: Loop,
    /// Sums the products of a block in [`LANES`] lanes.
    block: Loop,
    /// Sums the products of several rows side by side, as columns.
    columns: Loop,
    multiply: Loop,
    /// If the first factor is read as f16 or bf16, the loop that converts it to f32.
    widen: Option<Loop>,
}

/// What the loops of a sum of products need to know of its factors.
pub(in crate::cpu) struct ProductFactors {
    /// For each factor, whether all its rows are the same.
    pub still: [bool; 2],
    /// If the first factor is read as f16 or bf16, its dtype. The second is f32 then, and a row has more than one lane.
    pub half: Option<DType>,
}

impl ProductLoops {
    /// Returns the loops for a compute type. `is_far` states whether the second-level cache does not hold the factors
    /// whose rows differ. Returns `None` for integers and bools, which have no loops for sums of products.
    pub fn new(compute: Compute, factors: ProductFactors, is_far: bool) -> Option<ProductLoops> {
        let ProductFactors { still, half } = factors;
        let [mut rows, mut block, columns] = match compute {
            Compute::F32 => loops::<f32>(),
            Compute::F64 => loops::<f64>(),
            Compute::I32 | Compute::U32 | Compute::I64 | Compute::U64 | Compute::Bool => return None,
        };
        let far = still.map(|still| is_far && !still);
        let widen = match half {
            Some(dtype) => {
                [rows, block] = cast::half_products(dtype)?;
                Some(cast::widen(dtype)?.get())
            }
            None => None,
        };
        Some(ProductLoops {
            still,
            far,
            rows,
            block,
            columns,
            multiply: arithmetic::multiply.map(compute)?.get(),
            widen,
        })
    }

    /// Returns whether all rows of a factor are the same.
    pub fn repeats_row(&self, factor: usize) -> bool {
        self.still[factor]
    }

    /// Sums the products of each of `rows` contiguous rows of `n` elements.
    ///
    /// # Safety
    /// Both operands have `rows × n` aligned elements, or `n` if their rows are the same. No other thread writes these
    /// (*data*, see [`Folder`]). `n` is at most [`SERIAL`] · [`LANES`]. `out` has space for `rows` aligned elements, and does not overlap the operands.
    pub unsafe fn whole_rows(&self, n: usize, [a, b, _]: Inputs, rows: usize, out: *mut u8) {
        let args = ProductArgs { count: rows, steps: self.still.map(|still| if still { 0 } else { n }), far: self.far };
        // SAFETY: the caller ensures that the elements and the space exist.
        unsafe { (self.rows)(n, a, b, (&raw const args).cast(), out) }
    }
}

/// The factors of a sum of products over columns, in memory. Both have rows of as many elements as there are columns,
/// but a shared second factor has one element for each row.
pub(in crate::cpu) struct ColumnFactors {
    pub data: [*const u8; 2],
    /// For each factor, the number of elements from the start of a row to the start of the next.
    pub steps: [isize; 2],
    pub is_shared: bool,
}

fn loops<T: Factor>() -> [Loop; 3] {
    [
        const { Loops::product_rows::<T>() }.get(),
        const { Loops::product_block::<T>() }.get(),
        const { Loops::product_columns::<T>() }.get(),
    ]
}

impl Folder<'_> {
    /// Implements [`Folder::feed`] for sums of products: folds the products of the next `rows` elements of the operands.
    ///
    /// # Safety
    /// The state is valid, and the first two inputs have `rows × width` elements (*state* and *data*, see [`Folder`]).
    /// There is one column or one lane. `rows` is at most the number of elements still to come.
    pub(super) unsafe fn feed_products(&mut self, products: &ProductLoops, data: Inputs, rows: usize) {
        /// The number of products that are stored before they are folded, in a part of a block.
        const SOME: usize = 256;
        if self.spec.lanes == 1 {
            debug_assert!(products.widen.is_none(), "few lanes of f16");
            let step = self.width as isize;
            let factors = ColumnFactors { data: [data[0], data[1]], steps: [step; 2], is_shared: false };
            // SAFETY: the caller ensures the same conditions.
            return unsafe { self.feed_product_columns(&factors, rows) };
        }
        let size = self.spec.compute.size();
        let size_of_first = if products.widen.is_some() { 2 } else { size };
        let mut wide = std::mem::MaybeUninit::<[f32; SOME]>::uninit();
        let wide = wide.as_mut_ptr().cast::<u8>();
        let mut stored = std::mem::MaybeUninit::<[u64; SOME]>::uninit();
        let stored = stored.as_mut_ptr().cast::<u8>();
        let mut done = 0;
        // SAFETY: the elements from `done` on exist (*data*), and the vector has space for a state of each lane
        // (*state*). An element has at most 8 bytes.
        unsafe {
            while done < rows {
                let [mut a, b] = [data[0].add(done * size_of_first), data[1].add(done * size)];
                if self.filled == 0 && self.spec.lanes == LANES && rows - done >= SERIAL * LANES {
                    (products.block)(SERIAL * LANES, a, b, (&raw const products.far).cast(), self.here());
                    self.left -= SERIAL * LANES;
                    self.push(0);
                    done += SERIAL * LANES;
                    continue;
                }
                let take = SOME.min(rows - done);
                if let Some(widen) = products.widen {
                    widen(take, a, a, a, wide);
                    a = wide;
                }
                (products.multiply)(take, a, b, a, stored);
                self.feed_elements(0, [stored.cast_const(); 3], take);
                done += take;
            }
        }
    }
    /// Folds the products of the next `rows` elements of each column.
    ///
    /// # Safety
    /// The state is valid, and the factors have `rows` rows at their steps (*state* and *data*, see [`Folder`]). There is
    /// one lane, and `rows` is at most the number of rows still to come.
    pub unsafe fn feed_product_columns(&mut self, factors: &ColumnFactors, rows: usize) {
        let Some(products) = &self.spec.products else { return };
        let size = self.spec.compute.size() as isize;
        let mut done = 0;
        while done < rows {
            let take = (rows - done).min(SERIAL - self.filled);
            let args = ProductColumns {
                rows: take,
                steps: factors.steps,
                is_shared: factors.is_shared,
                begins: self.filled == 0,
            };
            let [a, b] = [0, 1].map(|i| factors.data[i].wrapping_offset(done as isize * factors.steps[i] * size));
            // SAFETY: the `take` rows from `done` on exist, and the vector has space for a state of each column.
            unsafe { (products.columns)(self.width, a, b, (&raw const args).cast(), self.here()) };
            self.filled += take;
            self.left -= take;
            done += take;
            if self.filled == SERIAL {
                // SAFETY: the vector has a state for each column.
                unsafe { self.push(0) };
            }
        }
    }
}
