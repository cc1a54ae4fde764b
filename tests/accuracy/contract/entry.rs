//! The entries of `contract.csv`: one for each function, dtype and backend.

use super::bound::Bound;
use crate::kit::operations::{self, Operation, Suite};
use cupric::{DType, testing};
use std::sync::LazyLock;

/// One entry of the contract: a function, the dtype of its input, a backend, and the bound.
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

    /// Whether the trials of u8 and i32 replace this dtype in most layouts, because a function of rows converts it to
    /// f32 first. The dtype itself is tried only as a plain operand, and as the result of fused elementwise steps.
    pub fn stood_for(&self) -> bool {
        self.operation().is_some_and(|o| o.several_passes)
            && !self.dtype.is_float()
            && !matches!(self.dtype, DType::U8 | DType::I32)
    }

    /// The function's row in the list of operations; None if it is a row of the table of elementwise functions.
    pub fn operation(&self) -> Option<&'static Operation> {
        operations::find(&self.function)
    }

    /// Whether tests of this suite run the operation.
    pub fn is_of(&self, suite: Suite) -> bool {
        self.operation().is_some_and(|o| o.suite == suite)
    }

    /// The function and dtype. Both backends use the same operands for the same topic.
    pub fn topic(&self) -> String {
        format!("{}::{}", self.function, self.dtype)
    }

    /// The prefix of the names of this entry's trials.
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

/// Returns all entries of the contract: every function with every dtype and backend.
pub fn all() -> &'static [Entry] {
    &ALL
}
