//! A call of the routine `fft`: its memory, and the parts that tasks share.

use super::halves::Halves;
use super::passes::{Last, Planes};
use super::plan::{FftFloat, Transform};
use crate::cpu::operands::SharedTarget;

/// A call of the routine `fft`, with the transforms of all its rows. Each pair of addresses is for real and imaginary
/// parts.
pub(super) struct Job<'a, T> {
    pub plan: &'a Transform<T>,
    pub length: usize,
    /// The distance in memory between consecutive elements of a transform, in elements. It is 1 if each row is
    /// contiguous. Otherwise the elements of `inner` transforms alternate in memory.
    pub inner: usize,
    /// The number of transforms.
    pub rows: usize,
    /// Whether the transforms are inverse. An inverse transform is the same as a forward transform with the real and
    /// the imaginary parts exchanged in operand and result.
    pub is_inverse: bool,
    /// The step that a transform of real numbers has in addition.
    pub halves: Option<Halves<'a, T>>,
    pub from: [SharedTarget<T>; 2],
    pub to: [SharedTarget<T>; 2],
    /// Scratch memory for the intermediate values of one row that is so long that several tasks share it.
    pub between: [SharedTarget<T>; 2],
    /// The factor by which the results are multiplied, or `None` for 1.
    pub scale: Option<T>,
}

impl<T: FftFloat> Job<'_, T> {
    /// Returns what the last pass does with the results.
    pub fn last(&self) -> Last<T> {
        self.scale.map_or(Last::Keep, Last::Scale)
    }

    /// Returns the number of units of work of the call. A unit is a block of as many rows as a vector has lanes. If a
    /// contiguous row is transformed as a matrix, the row alone is a unit.
    pub fn units(&self, width: usize) -> usize {
        match self.plan {
            _ if self.inner > 1 => self.rows / self.inner * self.inner.div_ceil(width),
            Transform::Whole(_) => self.rows.div_ceil(width),
            Transform::Split { .. } => self.rows,
        }
    }

    /// Returns the index of the first row of block number `unit` among the rows that do not alternate in memory, the
    /// position of the block among the rows that do, and the number of rows in the block.
    pub fn block(&self, unit: usize, width: usize) -> (usize, usize, usize) {
        let blocks = self.inner.div_ceil(width);
        let first = unit % blocks * width;
        (unit / blocks, first, width.min(self.inner - first))
    }

    /// Returns the number of elements of a row of the operand and of the result. The transform of real numbers has one
    /// more than the complex transform from which it is computed.
    pub fn lengths(&self) -> [usize; 2] {
        let more = |is_longer: bool| self.length + usize::from(self.halves.is_some() && is_longer);
        [more(self.is_inverse), more(!self.is_inverse)]
    }

    /// Returns the planes of the operand and of the result from row `row` on, and the planes that the complex transform
    /// reads and writes. These have real and imaginary parts exchanged if the transform is inverse, and an inverse
    /// transform of real numbers is computed in place in the memory of the result.
    pub fn planes(&self, row: usize) -> ([Planes<T>; 2], [Planes<T>; 2]) {
        let at = |memory: [SharedTarget<T>; 2], length: usize| {
            Planes { re: memory[0], im: memory[1], step: self.inner }.from(row * length * self.inner)
        };
        let lengths = self.lengths();
        let ends = [at(self.from, lengths[0]), at(self.to, lengths[1])];
        let from = if self.halves.is_some() && self.is_inverse { ends[1] } else { ends[0] };
        (ends, [from, ends[1]].map(|planes| planes.exchanged(self.is_inverse)))
    }

    /// Returns the step of a transform of real numbers, if it has to be computed now: before the complex transform or
    /// after it.
    pub fn halves_at(&self, is_before: bool) -> Option<&Halves<'_, T>> {
        self.halves.as_ref().filter(|halves| halves.is_inverse == is_before)
    }
}

/// A part of a call, whose work several tasks share.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum JobPart {
    /// Transforms blocks of rows, one row in each lane of a vector, or whole rows (see [`Job::units`]).
    Units,
    /// Regards the row with this index as a matrix, transforms blocks of its columns, and writes them to
    /// [`Job::between`].
    Columns(usize),
    /// Regards the row with this index as a matrix, whose columns have been transformed and are in [`Job::between`].
    /// Transforms blocks of the matrix's rows, and writes the results.
    Rows(usize),
    /// Computes groups of the step [`Job::halves`] for the row with this index.
    Combine(usize),
}
