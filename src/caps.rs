//! Floor 1: what a device can do, as plain data. Whatever decides how an operation runs (the planner, and the rows of
//! routines) reads it.

use std::sync::Mutex;

/// What a device can do: plain data that the planner decides by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Caps {
    /// For messages and printed plans.
    pub name: String,
    /// WGSL or CPU loops: which functions there are.
    pub gpu: bool,
    /// i64 and u64.
    pub int64: bool,
    /// f64.
    pub float64: bool,
    /// The most bytes that one operand of one dispatch may span.
    pub max_binding: u64,
    /// The most bytes of one buffer.
    pub max_buffer: u64,
    /// Buffers bound in one dispatch, stores included.
    pub max_bindings: usize,
    /// Values of one kernel.
    pub max_values: usize,
    /// What compiling one kernel may cost, in additions (`Ufunc::compile_cost`); a kernel that would cost more is cut.
    /// f16 and bf16 are rounded where it is, as at every store.
    pub max_cost: u32,
    /// The longest row (elements of `inner`) of a row kernel.
    pub max_row: usize,
    /// The most elements that one reduction over inner lanes, and over outer lanes, takes in one kernel; longer ones
    /// are split into partial results. `usize::MAX`: never split.
    pub max_reduce: [usize; 2],
    /// The most indices of one dispatch.
    pub max_indices: u64,
    /// Stores of 8- and 16-bit types go into packed 32-bit words.
    pub packs_words: bool,
}

/// Capabilities with their number. Devices of equal capabilities share their plans: the number stands for all of them in the
/// key of a plan.
#[derive(Clone, Debug)]
pub(crate) struct NumberedCaps {
    caps: Caps,
    number: u32,
}

impl NumberedCaps {
    /// Gives capabilities the number that equal ones have in this process, or the next one. Numbers are never given again.
    pub fn new(caps: Caps) -> NumberedCaps {
        static KNOWN: Mutex<Vec<Caps>> = Mutex::new(Vec::new());
        let mut known = KNOWN.lock().unwrap_or_else(|e| e.into_inner());
        let number = known.iter().position(|k| *k == caps).unwrap_or_else(|| {
            known.push(caps.clone());
            known.len() - 1
        });
        NumberedCaps { caps, number: number as u32 }
    }

    pub fn number(&self) -> u32 {
        self.number
    }
}

impl std::ops::Deref for NumberedCaps {
    type Target = Caps;
    fn deref(&self) -> &Caps {
        &self.caps
    }
}
