//! Finds sums of products, so that the fold multiplies the elements and no step stores the products. Does the same for
//! the addition of a product and another value.

use super::*;
use crate::cpu::fold::ProductFactors;
use crate::graph::ufunc::{Form, arithmetic};
use crate::math::simd::{Loop, Loops, NARROW, lanes_of_row};
use crate::plan::kernel::{KernelKind, Lanes};

/// The input of a sum of products: the value that only the sum reads, and its two factors.
pub(super) struct ProductInput {
    pub value: usize,
    pub factors: [usize; 2],
    /// For each factor, whether all its rows are the same and contiguous, and only the sum reads them. They are then read
    /// in place.
    pub still: [bool; 2],
    /// If the first factor is a load of f16 or bf16 that only the sum reads, its dtype: the sum converts the elements.
    pub half: Option<DType>,
}

impl ProductInput {
    pub fn factors(&self) -> ProductFactors {
        ProductFactors { still: self.still, half: self.half }
    }
}

impl Assigner<'_> {
    /// Returns the factors whose products a reduction sums. Returns `None` if it is not a sum of products, if the
    /// products are needed by something else too, or if there is no loop for them.
    pub(super) fn product_input(&self, r: &KernelReduction) -> Option<ProductInput> {
        let values = &self.kernel.values;
        let Form::Function(row) = r.fold.form else { return None };
        let along = self.program.order == TileOrder::Rows;
        let lies_outer = self.kernel.kind == KernelKind::Reduce(Lanes::Outer);
        // few columns have loops that fold several blocks at a time
        let is_long = match along {
            true => !lies_outer,
            false => lies_outer && self.program.inner.cols >= NARROW,
        };
        if !std::ptr::eq(row, &arithmetic::add) || self.program.goal != Goal::Stores || !is_long {
            return None;
        }
        let value = self.alias_of(*r.inputs().first()?);
        let Op::Ufunc(row, list) = &values[value].op else { return None };
        let mut factors = match list[..] {
            [x, y] if std::ptr::eq(*row, &arithmetic::multiply) => [self.alias_of(x), self.alias_of(y)],
            [x] if std::ptr::eq(*row, &arithmetic::square) => [self.alias_of(x); 2],
            _ => return None,
        };
        let compute = values[value].compute();
        let alike = factors.iter().all(|f| values[*f].compute() == compute);
        let is_free = values[value].inner && self.readers(value) == 1 && self.kept >> value & 1 == 0;
        if !alike || !is_free || !matches!(compute, Compute::F32 | Compute::F64) {
            return None;
        }
        // a square has one load for both factors
        let differ = along && factors[0] != factors[1];
        let halves = factors.map(|f| if differ { self.half_row(f) } else { None });
        let half = halves[0].or(halves[1]);
        if halves[0].is_none() && half.is_some() {
            factors.swap(0, 1);
        }
        let still = factors.map(|f| along && self.is_still_row(f));
        Some(ProductInput { value, factors, still, half })
    }

    /// If a value is a load of f16 or bf16 that only one operation reads, and whose rows differ and are long, returns its
    /// dtype.
    fn half_row(&self, v: usize) -> Option<DType> {
        /// The minimum number of lanes among which a row is divided. Rows with fewer gain less from such a loop.
        const LEAST: usize = 64;
        let value = &self.kernel.values[v];
        let Op::Load(n) = value.op else { return None };
        let load = &self.kernel.loads[n];
        let (rows, _) = self.axes(&load.strides, true);
        let is_free = value.inner && self.readers(v) == 1 && self.kept >> v & 1 == 0;
        let is_half = matches!(load.dtype, DType::F16 | DType::BF16);
        let differs = !rows.is_still() || self.kernel.outer_size() < 2;
        (is_half && is_free && differs && lanes_of_row(self.kernel.inner_size()) >= LEAST).then_some(load.dtype)
    }

    fn is_still_row(&self, v: usize) -> bool {
        let Op::Load(n) = self.kernel.values[v].op else { return false };
        let load = &self.kernel.loads[n];
        let (rows, cols) = self.axes(&load.strides, true);
        let is_free = self.kernel.values[v].inner && self.readers(v) == 1 && self.kept >> v & 1 == 0;
        is_free && rows.is_still() && cols.step == Some(1) && cast::widen(load.dtype).is_none()
    }

    /// Makes the steps of a pass leave out the products. Returns the ids of the pointers that the sum reads.
    pub(super) fn read_factors(&mut self, product: &ProductInput, last: &mut [u8; 128]) -> [usize; 3] {
        for (f, still) in product.factors.iter().zip(product.still) {
            last[*f] = u8::MAX;
            self.still |= (still as u128) << f;
        }
        self.raw |= (product.half.is_some() as u128) << product.factors[0];
        self.unneeded |= 1 << product.value;
        self.register_ids(&product.factors, true)
    }

    /// Finds the additions among the values `set` whose step computes a product too, and makes the other steps leave out
    /// these products.
    pub(super) fn leave_out_products(&mut self, set: u128) {
        for v in 0..self.kernel.values.len() {
            if set >> v & 1 == 1
                && self.alias_of(v) == v
                && let Some((product, _)) = self.sum_with_product(v)
            {
                self.unneeded |= 1 << product;
                self.sums |= 1 << v;
            }
        }
    }

    /// Returns the values that the step of `v` reads: its operands, and the factors of a product that it computes itself.
    pub(super) fn read_by(&self, v: usize) -> SmallVec<[usize; 3]> {
        let mut list = self.kernel.values[v].op.operands();
        if let Some(factors) = self.factors_of_step(v) {
            list.extend(factors);
        }
        list
    }

    /// If the step of `v` multiplies and adds, returns the two factors and the other value.
    pub(super) fn factors_of_step(&self, v: usize) -> Option<[usize; 3]> {
        if self.sums >> v & 1 == 0 {
            return None;
        }
        self.sum_with_product(v).map(|(_, list)| list)
    }

    /// If value `v` is the sum of a product and another value, and only this sum reads the product, returns the product,
    /// and the operands of a loop that multiplies and adds. A loop over rows reads an operand of the outer level without
    /// a copy, so then two loops are better.
    fn sum_with_product(&self, v: usize) -> Option<(usize, [usize; 3])> {
        let values = &self.kernel.values;
        let level = values[v].inner;
        let Op::Ufunc(row, list) = &values[v].op else { return None };
        let [x, y] = list[..] else { return None };
        if !std::ptr::eq(*row, &arithmetic::add) || !matches!(values[v].compute(), Compute::F32 | Compute::F64) {
            return None;
        }
        let lies_here = |a: usize| values[self.alias_of(a)].inner == level || self.is_uniform(self.alias_of(a));
        let product = |p: usize, other: usize| {
            let p = self.alias_of(p);
            let Op::Ufunc(row, list) = &values[p].op else { return None };
            let [a, b] = list[..] else { return None };
            let is_product = std::ptr::eq(*row, &arithmetic::multiply) && values[p].inner == level;
            let is_free = is_product && self.kept >> p & 1 == 0 && self.readers(p) == 1;
            (is_free && [a, b, other].iter().all(|a| lies_here(*a))).then_some((p, [a, b, other]))
        };
        product(x, y).or_else(|| product(y, x))
    }
}

/// Returns the loop that multiplies two operands and adds the third, for f32 or f64.
pub(super) fn multiply_add(compute: Compute) -> Loop {
    let loops = if compute == Compute::F64 { Loops::multiply_add::<f64>() } else { Loops::multiply_add::<f32>() };
    loops.get()
}
