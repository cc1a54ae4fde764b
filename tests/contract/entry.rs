//! What `contract.csv` says, one entry for each function, dtype and backend.

use super::bound::Bound;
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
        let f = self.function.as_str();
        let by_rows = ROWS.contains(&f) || ["var", "std"].contains(&f);
        by_rows && !self.dtype.is_float() && !matches!(self.dtype, DType::U8 | DType::I32)
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

/// Functions that are not rows of the table, by the test that runs them.
pub const REDUCTIONS: [&str; 12] =
    ["sum", "prod", "min", "max", "mean", "var", "std", "any", "all", "count_nonzero", "argmin", "argmax"];
pub const ROWS: [&str; 5] = ["logsumexp", "softmax", "log_softmax", "layer_norm", "rms_norm"];
/// Gathers, joins and generators; the dtype of a generator is that of its result.
pub const OTHERS: [&str; 9] =
    ["take", "concat", "stack", "arange", "linspace", "uniform", "normal", "integers", "bernoulli"];

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
