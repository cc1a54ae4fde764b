//! Runs elementwise kernels as threaded code (`math/simd/threaded/mod.rs`): values stay in registers from their loads
//! to their stores. The planner chooses these kernels (`is_threaded` in `plan/schedule/threaded.rs`). The tile
//! interpreter runs all other elementwise kernels, and computes the same bits.
//!
//! `threaded/compile/mod.rs` compiles the program; `blocks.rs` runs it over the buffers of a run, and
//! `fold/threaded.rs` over the states of a fold.

mod compile;

use super::parts::FillValue;
use super::strided::{self, Axis};
use crate::base::error::Result;
use crate::math::simd::Loop;
use crate::math::simd::threaded::{self, Base, Instr};
use crate::plan::kernel::{BufferRef, Kernel};
use smallvec::SmallVec;

/// An operand in memory: a load or a store.
pub(super) struct MemoryOperand {
    pub buffer: BufferRef,
    pub offset: isize,
    /// The lowest and the highest element that is accessed, counted from element 0.
    pub span: Option<(isize, isize)>,
    /// The size of an element in bytes.
    pub size: usize,
    pub rows: Axis,
    /// The number of elements from one column to the next.
    pub step: isize,
    pub is_store: bool,
}

/// A number that is repeated in all words of a vector in scratch memory, for instructions to read as an operand.
pub(super) struct FilledVector {
    pub value: FillValue,
    /// The loop that widens an element to its compute type; `None` if the bits stay the same.
    pub widen: Option<Loop>,
    /// The size of the fill's compute type in bytes.
    pub size: usize,
    /// Whether the number may differ between rows, so that it is filled again for each row.
    pub moves: bool,
}

/// A draw computes a random word from the number of each element. A counter gives these numbers: the number of the
/// first element, and the increments along rows and columns.
pub(super) struct Counter {
    pub offset: i64,
    pub rows: Axis,
    pub step: isize,
}

/// A kernel as threaded code, with everything that does not depend on the buffers of a run.
///
/// Instructions find their operands through a list of bases ([`Base`]: an address and a step). The list has, in this
/// order, a base for each place (operand in memory), fill, slot (block of scratch memory that saves a value) and
/// counter.
///
/// Its unsafe functions have these conditions, cited by name. *Inside*: every element that an operand accesses is in
/// its buffer, which [`Run::locate`](super::bind::Run::locate) has checked. *Disjoint*: tasks run disjoint tiles.
/// *Scratch*: the scratch of a task has room for each fill's vector, each slot's block and a block of each place.
pub(super) struct Threaded {
    pub name: &'static str,
    pub code: Vec<Instr>,
    /// The index of the first instruction of each run (a chain of instructions that call one another).
    pub runs: SmallVec<[u32; 1]>,
    pub places: SmallVec<[MemoryOperand; 4]>,
    pub fills: SmallVec<[FilledVector; 2]>,
    pub slots: usize,
    pub counters: SmallVec<[Counter; 1]>,
    /// One more than the largest index of a run-time scalar that the program reads, or 0 if it reads none.
    pub scalars: usize,
    /// The sizes in bytes of a word, which holds one element's value, and of a block, which is the words of eight
    /// vectors.
    pub word: usize,
    pub block: usize,
    /// Whether a store may write the memory of a load.
    pub is_in_place: bool,
    /// The index in `places` of the first store that streams (writes past the caches), if there is one.
    pub streamed: Option<usize>,
}

heap! { Instr: ; MemoryOperand: rows; FilledVector: ; Counter: rows; Threaded: code, runs, places, fills, counters; }

/// The sizes in bytes of a task's scratch for small programs, and for the largest ones: 128 values, loads and stores
/// (`MOST_PARTS` in `plan/schedule/threaded.rs`) of at most 512 bytes each.
pub(super) const SMALL: usize = 8 << 10;
pub(super) const LARGE: usize = 64 << 10;

/// Compiles the threaded code of a kernel whose schedule selects it. Returns `None` on a machine without an instruction
/// set for threaded code; the tile interpreter then runs the kernel.
pub(super) fn prepare(kernel: &Kernel, aliased: &[bool]) -> Result<Option<Threaded>> {
    match threaded::block_bytes() {
        Some(block) => compile::compile(kernel, aliased, block).map(Some),
        None => Ok(None),
    }
}

impl Threaded {
    /// Returns the size in bytes of a task's scratch memory: a vector for each fill, and a block for each slot and each
    /// place.
    pub(super) fn scratch(&self) -> usize {
        self.fills.len() * (self.block / 8) + (self.slots + self.places.len()) * self.block
    }

    /// Returns the size in bytes of the scratch memory that [`Threaded::over`] needs.
    pub fn own_scratch(&self) -> usize {
        self.fills.len() * (self.block / 8) + self.slots * self.block
    }

    /// Makes instructions prefetch the operands in the buffers for which `is_far` returns true, and no other operands.
    pub fn ask_ahead_for(&mut self, is_far: impl Fn(BufferRef) -> bool) {
        for operand in self.code.iter_mut().flat_map(|instr| &mut instr.operands) {
            let place = self.places.get(operand.base as usize).filter(|_| operand.width > 0);
            operand.ahead = if place.is_some_and(|place| is_far(place.buffer)) { threaded::AHEAD } else { 0 };
        }
    }

    /// Fills the vectors of the constants in the scratch memory of [`Threaded::over`].
    ///
    /// # Safety
    /// `scratch` points to [`Threaded::own_scratch`] bytes, aligned to 64. All fills of the kernel are constants.
    pub unsafe fn fill_constants(&self, scratch: *mut u8) {
        let vector = self.block / 8;
        for (n, fill) in self.fills.iter().enumerate() {
            let FillValue::Bits(bits) = fill.value else { continue };
            let bits = bits & (u64::MAX >> (64 - 8 * fill.size));
            // SAFETY: the scratch has a vector for each fill.
            unsafe { strided::fill(self.word, bits, scratch.add(n * vector), vector / self.word) };
        }
    }

    /// Runs the code over `rows` rows of `n` elements. `at` returns the address of a buffer's element 0, and 1 if the
    /// buffer's rows follow one another, or 0 if all rows are the same memory. Returns false, and does nothing, if `n`
    /// is not a whole number of blocks.
    ///
    /// # Safety
    /// The kernel has one axis, steps of 1 and offsets of 0. Each buffer has `n` (or `rows × n`) aligned elements of
    /// its operand's type. No other thread writes these elements meanwhile, and no other thread uses the elements of a
    /// store. [`Threaded::fill_constants`] has filled the scratch, and nothing else uses it.
    pub unsafe fn over(
        &self,
        n: usize,
        rows: usize,
        at: impl Fn(BufferRef) -> (*mut u8, isize),
        scratch: *mut u8,
    ) -> bool {
        let (block, vector) = (self.block / self.word, self.block / 8);
        if !n.is_multiple_of(block) {
            return false;
        }
        let slots = self.fills.len() * vector;
        let mut bases: SmallVec<[Base; 16]> = SmallVec::new();
        for place in &self.places {
            let (at, follows) = at(place.buffer);
            // a program normally advances by a block of elements; here it advances by a row
            bases.push(Base { at, step: follows * (n / block * place.size) as isize });
        }
        bases.extend((0..self.fills.len()).map(|n| Base { at: scratch.wrapping_add(n * vector), step: 0 }));
        bases.extend((0..self.slots).map(|n| Base { at: scratch.wrapping_add(slots + n * self.block), step: 0 }));
        for _ in 0..n / block {
            // SAFETY: the caller ensures that all buffers have these elements; the fills and then the slots are in the
            // scratch memory.
            unsafe { threaded::run(&self.code, &self.runs, &bases, 0, rows * block, block) };
            for (place, base) in self.places.iter().zip(&mut bases) {
                base.at = base.at.wrapping_add(block * place.size);
            }
        }
        true
    }
}
