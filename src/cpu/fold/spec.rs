//! What a reduction of a program computes: how it combines states, and the numbers that define the order.

use super::*;
use crate::base::dtype::DType;
use crate::cpu::caches;

/// Describes a reduction of a program: how it combines states, and the numbers that define the order of combinations.
pub(in crate::cpu) struct FoldSpec {
    pub(super) combines: Combines,
    /// The compute type of the elements, or of the first component of the states if the inputs are states.
    pub(super) compute: Compute,
    /// The number of elements of one reduction.
    pub(super) n: usize,
    pub(super) lanes: usize,
    /// The maximum number of reductions that are folded side by side, as columns.
    pub(super) width: usize,
    /// The loops of a sum of products, if the inputs are the factors of the elements.
    pub(super) products: Option<ProductLoops>,
    /// Whether loops over whole rows, and over products, prefetch later elements. Row kernels do that for
    /// all operands of a tile (`direct/`).
    pub(super) prefetches: bool,
    /// The loops that read f16 or bf16 as they are stored ([`Folder::feed_halves`]); `None` if the fold has none.
    pub(super) halves: Option<HalfSum>,
    /// Whether [`Folder::feed`] gets the elements as they are stored: f16 or bf16, which `halves` reads.
    pub stored: bool,
    /// The byte of the program's scratch memory at which the state of the [`Folder`] begins.
    pub at: usize,
}

/// How a fold combines states: by the loops of a function, by formulas, by keeping the best element and its position,
/// or by sums of narrow integers.
pub(super) enum Combines {
    Function(CombineLoops),
    Formulas(Box<Formulas>),
    First(First),
    /// Sums narrow elements in states of one lane, in any order.
    Narrow(NarrowSum),
}

heap! { FoldSpec: combines; }

impl Heap for Combines {
    fn heap(&self) -> usize {
        if let Combines::Formulas(formulas) = self { formulas.heap() } else { 0 }
    }
}

impl FoldSpec {
    /// Describes a reduction of `count` rows of `n` elements in a kernel of this kind. `compute` is the type of the
    /// reduction's first input. If `narrow` is given, the elements are read as that dtype instead. If `factors` is given,
    /// the elements are the products of two inputs.
    /// Returns `None` if a function has no loops for the type of its operands.
    pub fn new(
        r: &KernelReduction,
        (compute, narrow, factors): (Compute, Option<DType>, Option<ProductFactors>),
        kind: KernelKind,
        [count, n]: [usize; 2],
        width: usize,
    ) -> Option<FoldSpec> {
        let lanes = match kind {
            _ if narrow.is_some() => 1,
            KernelKind::Reduce(Lanes::Outer) => 1,
            KernelKind::Elementwise | KernelKind::Reduce(_) | KernelKind::Row | KernelKind::Matmul => lanes_of_row(n),
        };
        let combines = match r.fold.form {
            Form::Function(row) if let Some(dtype) = narrow => Combines::Narrow(NarrowSum::new(row, compute, dtype)?),
            Form::Function(row) => Combines::Function(CombineLoops::new(row, compute)?),
            Form::FirstOf(row) => Combines::First(First::new(row, compute, matches!(r.source, Source::States(_)))?),
            Form::SumOf { .. } | Form::Formulas => Combines::Formulas(Box::new(Formulas::new(r)?)),
        };
        let prefetches = kind != KernelKind::Row;
        let bytes = count.saturating_mul(n).saturating_mul(compute.size());
        let is_far = prefetches && bytes > caches::sizes()[1];
        let products = match factors {
            Some(factors) => Some(ProductLoops::new(compute, factors, is_far)?),
            None => None,
        };
        Some(FoldSpec { combines, compute, n, lanes, width, products, prefetches, halves: None, stored: false, at: 0 })
    }

    /// Returns the number of elements of a block (of the longest possible one for folds such as argmax, which may be cut
    /// anywhere). Threads share a reduction in parts of 2^k blocks, which do not change the order of combinations.
    pub fn block(&self) -> usize {
        match self.combines {
            Combines::Function(_) | Combines::Formulas(_) | Combines::Narrow(_) => SERIAL * self.lanes,
            Combines::First(_) => SERIAL * LANES,
        }
    }

    /// Folds `rows` contiguous rows of `n` elements. Each row gives one element of `out`: the result of its reduction,
    /// or a component of its state, as `gives` selects. The bits are the same as with a [`Folder`]. Returns false, and
    /// does nothing, if the fold has no loop for this ([`FoldSpec::takes_whole_rows`]).
    ///
    /// # Safety
    /// The inputs have `rows × n` aligned elements, which no other thread writes (*data*, see [`Folder`]). `out` has space
    /// for `rows` aligned elements, and does not overlap them.
    pub unsafe fn whole_rows(&self, data: Inputs, rows: usize, gives: Gives, out: *mut u8) -> bool {
        if !self.takes_whole_rows() {
            return false;
        }
        let rows = RowArgs { count: rows, prefetches: self.prefetches };
        // SAFETY: the caller ensures that the elements and the space exist. `takes_whole_rows` has checked the length.
        unsafe {
            match &self.combines {
                Combines::Function(f) => match &self.products {
                    Some(products) => products.whole_rows(self.n, data, rows.count, out),
                    None => (f.rows)(self.n, data[0], (&raw const rows).cast(), data[0], out),
                },
                Combines::First(first) => first.whole_rows(self.n, data[0], rows, gives, out),
                Combines::Narrow(sum) => sum.whole_rows(self.n, data[0], rows.count, out),
                Combines::Formulas(_) => return false,
            }
        }
        true
    }

    /// Returns whether [`FoldSpec::whole_rows`] has a loop for rows of `n` elements. Rows longer than a block have none.
    pub fn takes_whole_rows(&self) -> bool {
        match &self.combines {
            _ if self.stored => false,
            Combines::Function(_) => (1..=SERIAL * self.lanes).contains(&self.n),
            Combines::First(first) => first.takes_whole_rows(self.n),
            Combines::Narrow(_) => self.n > 0,
            Combines::Formulas(_) => false,
        }
    }

    /// Returns whether [`Folder::feed_where_they_lie`] accepts rows of `width` columns if the rows are `step` elements
    /// apart in memory.
    pub fn takes_rows_apart(&self, width: usize, step: isize) -> bool {
        matches!(self.combines, Combines::Function(_) | Combines::Narrow(_))
            && self.lanes == 1
            && (width >= NARROW || step == width as isize)
    }

    /// Returns whether [`FoldSpec::whole_rows`] reads one row of this input, of [`Inputs`], for all rows.
    pub fn repeats_row(&self, input: usize) -> bool {
        // the third input repeats the first one
        self.products.as_ref().is_some_and(|p| p.repeats_row(input % 2))
    }

    /// Returns whether the inputs are the factors of the elements.
    pub fn multiplies(&self) -> bool {
        self.products.is_some()
    }

    /// Returns whether elements can be passed to the folder directly from memory, any number at a time. If not, they
    /// are passed tile by tile.
    pub fn takes_any_length(&self) -> bool {
        match &self.combines {
            Combines::Function(_) | Combines::Narrow(_) => true,
            Combines::First(first) => first.is_of_elements(),
            Combines::Formulas(_) => false,
        }
    }

    /// Returns the size of a vector in bytes. A vector holds a state for each lane and column; each component is padded
    /// to whole cache lines.
    pub(super) fn vector(&self) -> usize {
        let states = self.lanes * self.width;
        match &self.combines {
            Combines::Function(_) | Combines::First(_) | Combines::Narrow(_) => {
                (states * self.compute.size()).next_multiple_of(64)
            }
            Combines::Formulas(f) => f.sizes().map(|size| (states * size).next_multiple_of(64)).sum(),
        }
    }

    /// Returns how many blocks [`Folder::feed_blocks`] folds together, or 0 if blocks are folded one by one. Blocks are
    /// folded together only with one lane and few columns, because one such block has too few states to fill a SIMD
    /// vector.
    pub(super) fn blocks_at_once(&self) -> usize {
        match (self.width, &self.combines) {
            _ if self.lanes > 1 => 0,
            (0..=4, Combines::Function(_)) => 64,
            (5..=8, Combines::Function(_)) => 32,
            (9..NARROW, Combines::Function(_)) => 16,
            (_, Combines::Function(_) | Combines::Formulas(_) | Combines::First(_) | Combines::Narrow(_)) => 0,
        }
    }

    /// Returns how many levels the pairwise merging of all blocks (as in a binary counter) needs, plus one spare.
    pub(super) fn levels(&self) -> usize {
        (usize::BITS - self.n.div_ceil(self.block()).leading_zeros()) as usize + 1
    }

    /// Returns the offset of the scratch memory in the state, in bytes. It comes after the vectors of all levels.
    pub(super) fn scratch(&self) -> usize {
        self.vector() * (self.levels() + 1)
    }

    /// Returns the size in bytes of the state of a [`Folder`], for which the program reserves scratch memory.
    pub fn bytes(&self) -> usize {
        match &self.combines {
            Combines::Function(_) => self.scratch() + self.blocks_at_once() * self.width * 8,
            Combines::Formulas(f) => self.scratch() + f.scratch(),
            Combines::First(_) | Combines::Narrow(_) => self.partial(),
        }
    }

    /// Returns the size in bytes of a partial result: one vector, or the best elements and their positions.
    pub fn partial(&self) -> usize {
        match self.combines {
            Combines::Function(_) | Combines::Formulas(_) | Combines::Narrow(_) => self.vector(),
            Combines::First(_) => first::bytes(self.width),
        }
    }
}
