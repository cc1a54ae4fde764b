//! The lines of `contract.csv`.

use super::bound::Bound;
use crate::common;
use cupric::DType;
use std::sync::LazyLock;

/// One line: a function, the dtype of its input, a backend, and the bound.
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
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract.csv");
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let line = |line: &str| {
        let f: Vec<&str> = line.split(',').collect();
        let [function, dtype, backend, bound] = f[..] else { panic!("{path}: {line}") };
        let dtype = common::dtype(dtype).unwrap_or_else(|| panic!("{path}: {line}: unknown dtype"));
        assert!(["cpu", "gpu"].contains(&backend), "{path}: {line}: unknown backend");
        Entry {
            function: function.into(),
            dtype,
            backend: backend.into(),
            bound: Bound::parse(bound),
            text: bound.into(),
        }
    };
    text.lines().skip(1).map(line).collect()
});

/// Every line.
pub fn all() -> &'static [Entry] {
    &ALL
}
