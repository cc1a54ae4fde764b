//! Compiles random words to threaded code. A *draw* is an instruction that computes a random word for each element,
//! from the element's number and a key (`Op::Philox`).

use super::{Compiler, Home};
use crate::base::error::Result;
use crate::cpu::parts::FillValue;
use crate::cpu::strided::Axis;
use crate::cpu::threaded::Counter;
use crate::math::simd::threaded::{Codes, Draw, InstructionCodes, InstructionOperand};
use crate::plan::kernel::Op;
use smallvec::SmallVec;

/// A draw that was compiled.
pub(super) struct Drawn {
    /// The value of the kernel that holds the elements' numbers, and the index of the counter that computes them.
    index: usize,
    counter: usize,
    word: u8,
    /// The indices of the three run-time scalars of the key, and the index of the first of the three fills (numbers
    /// that are repeated in a vector) that hold them.
    slots: [usize; 3],
    fill: usize,
    /// The slot that saves plain words, if the elements of this draw form pairs and this draw has saved them. The words
    /// of the pairs are computed from the plain words.
    words: Option<usize>,
}

/// Returns the instruction operand of each draw. `fills` and `counters` are the indices, in the list of bases, of the
/// first fill and of the first counter.
pub(super) fn operands(draws: &[Drawn], fills: usize, counters: usize) -> SmallVec<[InstructionOperand; 4]> {
    draws.iter().map(|d| Draw::operand((counters + d.counter) as u32, d.word, (fills + d.fill) as u32)).collect()
}

impl Compiler<'_> {
    /// Emits the draw of value `v`. If `word` is 4 or more, elements form pairs (`Op::Philox`). The words of the pairs
    /// are computed from plain random words. The plain words are computed once for all draws with the same element
    /// numbers, key and word modulo 4.
    pub(super) fn draw(&mut self, v: usize, index: usize, word: u8, slots: [usize; 3]) -> Result<()> {
        self.cut()?;
        self.keep_acc()?;
        self.acc = None;
        let number = self.drawn(v, index, word, slots);
        let home = [Home::Draw(number), Home::None];
        if word < 4 {
            self.emit(Codes::random(), home, false)?;
        } else {
            let same = |d: &Drawn| d.slots == slots && d.word & 3 == word & 3 && self.is_alike(d.index, index);
            match self.draws.iter().filter(|d| same(d)).find_map(|d| d.words) {
                Some(slot) => self.emit(Codes::load(), [Home::Slot(slot), Home::None], false)?,
                None => {
                    self.emit(Codes::random(), home, false)?;
                    let slot = self.program.slots;
                    self.program.slots += 1;
                    self.emit(Codes::store(), [Home::Slot(slot), Home::None], false)?;
                    self.draws[number].words = Some(slot);
                }
            }
            self.emit(Codes::pairs(word >= 8), home, false)?;
        }
        self.paired[v] = (word >> 2 == 1).then_some(number);
        self.read(&[self.alias_of[index]]);
        self.acc = Some(v);
        Ok(())
    }

    /// Records whether the two elements of each pair have the same value of `v`, which is a function of the values
    /// `list`. If so, and if the function has an instruction that computes each pair only once, returns this
    /// instruction.
    pub(super) fn once_a_pair(
        &mut self,
        v: usize,
        list: &[usize],
        codes: &InstructionCodes,
    ) -> Option<(Option<Codes>, [Home; 2])> {
        self.paired[v] = self.pairs_of(list);
        Some((Some(codes.paired?), [Home::Draw(self.paired[v]?), Home::None]))
    }

    /// If a function of the values `list` is the same for both elements of each pair, returns the draw that defines the
    /// pairs.
    fn pairs_of(&self, list: &[usize]) -> Option<usize> {
        let mut changing = list.iter().filter(|a| !matches!(self.homes[**a], Home::Fill(_)));
        let draw = self.paired[*changing.next()?]?;
        let counter = |draw: usize| self.draws[draw].counter;
        changing.all(|a| self.paired[*a].is_some_and(|d| counter(d) == counter(draw))).then_some(draw)
    }

    /// Adds a draw to `draws`, with its fills and its counter, and returns its index.
    fn drawn(&mut self, v: usize, index: usize, word: u8, slots: [usize; 3]) -> usize {
        let fill = match self.draws.iter().find(|d| d.slots == slots) {
            Some(d) => d.fill,
            None => {
                let first = self.program.fills.len();
                for n in slots {
                    self.fill(v, FillValue::Scalar(n), None, false);
                }
                first
            }
        };
        let counter = match self.draws.iter().find(|d| self.is_alike(d.index, index)) {
            Some(d) => d.counter,
            None => self.counter(index),
        };
        self.draws.push(Drawn { index, counter, word, slots, fill, words: None });
        self.draws.len() - 1
    }

    /// Returns whether two values hold the same element numbers.
    fn is_alike(&self, a: usize, b: usize) -> bool {
        let numbers = |v: usize| {
            if let Op::Index { strides, offset } = &self.kernel.values[v].op { Some((strides, offset)) } else { None }
        };
        a == b || numbers(a).is_some_and(|n| numbers(b) == Some(n))
    }

    /// Adds a counter that gives the element numbers of value `v`, and returns its index.
    fn counter(&mut self, v: usize) -> usize {
        let outer = &self.kernel.outer;
        let split = outer.len().saturating_sub(1);
        if let Op::Index { strides, offset } = &self.kernel.values[v].op {
            // if there is a single column, the step does not matter
            let step = match (outer.last(), strides.get(split)) {
                (Some(1) | None, _) | (_, None) => 1,
                (_, Some(step)) => *step,
            };
            let rows = Axis::new(&outer[..split], &strides[..split]);
            self.program.counters.push(Counter { offset: *offset, rows, step });
        }
        self.program.counters.len() - 1
    }
}
