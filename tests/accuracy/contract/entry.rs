//! What `contract.csv` says, one entry for each function, dtype and backend.

use super::bound::Bound;
use crate::kit::operations::{self, Operation, Suite};
use cupric::{DType, testing};
use std::sync::LazyLock;

/// A function, the dtype of its input, a backend, and the bound.
#[derive(Debug)]
pub struct Entry {
    pub function: String,
    pub dtype: DType,
    pub backend: String,
    pub bound: Bound,
    /// The bound as the file spells it.
    pub text: String,
}

impl Entry {
    pub fn gpu(&self) -> bool {
        self.backend == "gpu"
    }

    /// Whether u8 and i32 stand for this type in every layout: a function of rows turns it into f32 first. It is tried
    /// as an operand, and behind steps of its own.
    pub fn stood_for(&self) -> bool {
        self.operation().is_some_and(|o| o.several_passes)
            && !self.dtype.is_float()
            && !matches!(self.dtype, DType::U8 | DType::I32)
    }

    /// What it is of the list of operations, if it is no row of the table.
    pub fn operation(&self) -> Option<&'static Operation> {
        operations::find(&self.function)
    }

    /// Whether a test of the contract runs it.
    pub fn is_of(&self, suite: Suite) -> bool {
        self.operation().is_some_and(|o| o.suite == suite)
    }

    /// What both backends try with the same operands.
    pub fn topic(&self) -> String {
        format!("{}::{}", self.function, self.dtype)
    }

    /// The first part of its trials' names.
    pub fn name(&self) -> String {
        format!("{}::{}::{}", self.backend, self.function, self.dtype)
    }
}

static ALL: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let entry = |p: &testing::Promise| Entry {
        function: p.function.into(),
        dtype: p.dtype,
        backend: if p.gpu { "gpu" } else { "cpu" }.into(),
        bound: p.bound.clone(),
        text: p.text.into(),
    };
    testing::contract().iter().map(entry).collect()
});

/// Every function with every dtype and backend of the contract.
pub fn all() -> &'static [Entry] {
    &ALL
}
