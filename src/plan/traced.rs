//! Plans of traced expressions, which run on other arrays and with other random numbers than those of the expressions.

use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc};
use smallvec::SmallVec;

/// The slots of the seeds of random numbers. Only a walk over traced expressions finds them.
#[derive(Default)]
pub(crate) struct Seeds {
    /// The slots of the low and of the high words.
    words: [SmallVec<[u32; 2]>; 2],
}

impl Seeds {
    /// Returns the slots of the words of a seed among the numbers of a plan. Equal words share a slot with each other, but
    /// not with numbers, which do not change between runs.
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

    /// Changes the seeds among the numbers of a plan to those of another run. Run 0 has the seeds of the expressions.
    pub fn advance(&self, scalars: &mut [u64], run: u64) {
        // the steps of a Weyl sequence by the golden ratio lead to different seeds in all 2^64 runs
        let step = run.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for (slots, step) in self.words.iter().zip([step as u32, (step >> 32) as u32]) {
            for slot in slots {
                let word = &mut scalars[*slot as usize];
                *word = (*word as u32).wrapping_add(step) as u64;
            }
        }
    }
}

/// Returns the error of an expression that would need the elements of a placeholder.
pub(crate) fn without_elements(at: Loc) -> Error {
    let detail =
        "the expression reads an input of a compiled function, which has elements only when the function is called";
    Error::with_line(ErrorKind::Argument, "eval", detail, at)
}
