//! Traced expressions are the expressions that a compiled function builds once. Each call of the function runs their
//! plan on other arrays, and with other random seeds, than the expressions have.

use crate::base::buffer::Buffer;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc};
use smallvec::SmallVec;

/// Where a plan's list of run-time scalars holds the seeds of random numbers. The lists are filled only for traced
/// expressions (built once by a compiled function), because only their seeds change between runs.
#[derive(Default)]
pub(crate) struct Seeds {
    /// The scalar slots of the low 32-bit words of all seeds, and then the slots of the high words.
    words: [SmallVec<[u32; 2]>; 2],
}

impl Seeds {
    /// Returns the slots of a seed's low and high word in the run-time scalars of a plan, and adds the words if they
    /// are new. Equal seed words share a slot. Seed words share no slot with ordinary numbers, because only seeds
    /// change between runs.
    pub fn slots(&mut self, seed: u64, scalars: &mut SmallVec<[u64; 4]>, types: &mut SmallVec<[DType; 4]>) -> [u32; 2] {
        let words = [seed & 0xffff_ffff, seed >> 32];
        [0, 1].map(|which| {
            let slots = &mut self.words[which];
            let known = slots.iter().find(|slot| scalars[**slot as usize] == words[which]);
            known.copied().unwrap_or_else(|| {
                let slot = scalars.len() as u32;
                scalars.push(words[which]);
                types.push(DType::U32);
                slots.push(slot);
                slot
            })
        })
    }

    pub fn has(&self, slot: u32) -> bool {
        self.words.iter().any(|slots| slots.contains(&slot))
    }

    /// Changes the seeds in `scalars`, the run-time scalars of a plan, to the seeds of run number `run`. Run 0 has the
    /// seeds of the expressions.
    pub fn advance(&self, scalars: &mut [u64], run: u64) {
        // a Weyl sequence: the factor, 2^64 divided by the golden ratio, is odd, so all 2^64 runs have different seeds
        let step = run.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for (slots, step) in self.words.iter().zip([step as u32, (step >> 32) as u32]) {
            for slot in slots {
                let word = &mut scalars[*slot as usize];
                *word = (*word as u32).wrapping_add(step) as u64;
            }
        }
    }
}

/// Returns the error for evaluating an expression that reads a buffer without memory: the error that left it without, or
/// one for a placeholder, which is an input of a compiled function.
pub(crate) fn without_elements(buffer: &Buffer, at: Loc) -> Error {
    if let Some(error) = buffer.error() {
        return error.clone();
    }
    let detail =
        "the expression reads an input of a compiled function, which has elements only when the function is called";
    Error::with_line(ErrorKind::Argument, "eval", detail, at)
}
