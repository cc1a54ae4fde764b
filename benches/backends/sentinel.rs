//! Measures whether the machine itself is as fast as it can be. Other virtual machines on the same hardware share its
//! memory bandwidth and its cores, and no counter of the system shows this. Two rates are measured beside each row, as
//! parts of the best rates that were seen on this machine, in this run or in earlier runs. Rows whose part is far from
//! the part of most rows are measured again.

use crate::flow::Flow;
use crate::limits::Limit;
use crate::machine;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The bytes of the copy that is timed: far more than any cache holds.
const COPIED: f64 = 200e6;
/// The operations (multiply-adds) of the other rate: about a millisecond of work.
const OPERATIONS: f64 = 5e8;

/// The limits whose rates are watched, a copy and multiply-adds, and the best rates so far.
pub struct Sentinel {
    copy: Limit,
    fma: Limit,
    best: [f64; 2],
    /// The smallest and the largest state so far.
    pub range: [f64; 2],
    file: PathBuf,
    key: String,
}

impl Sentinel {
    /// `key` names the machine: its processor and the number of threads.
    pub fn new(key: String) -> Sentinel {
        let file = machine::target().join("cupric-bench").join("machine.json");
        let known = std::fs::read_to_string(&file).ok().and_then(|t| serde_json::from_str::<Value>(&t).ok());
        let rate = |i: usize| known.as_ref().and_then(|k| k[&key][i].as_f64()).unwrap_or(0.0);
        let best = [rate(0), rate(1)];
        let copy = Limit::memory(&[Flow { arrays: 1, read: COPIED / 2.0, write: COPIED / 2.0 }]);
        Sentinel { copy, fma: Limit::operations(false, OPERATIONS), best, range: [f64::INFINITY, 0.0], file, key }
    }

    /// Measures the state: divides each of the two rates by its best rate, and returns the smaller quotient.
    pub fn state(&mut self) -> f64 {
        let rates = [COPIED / self.copy.quick(), OPERATIONS / self.fma.quick()];
        let mut state = f64::INFINITY;
        for (rate, best) in rates.into_iter().zip(&mut self.best) {
            *best = best.max(rate);
            state = state.min(rate / *best);
        }
        self.range = [self.range[0].min(state), self.range[1].max(state)];
        state
    }

    /// Saves the best rates for later runs. Errors are ignored, because the next run can find its own best rates.
    pub fn keep(&self) {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let mut all: Value = serde_json::from_str(&text).unwrap_or(json!({}));
        all[&self.key] = json!(self.best);
        let _ = self.file.parent().map(std::fs::create_dir_all);
        let _ = std::fs::write(&self.file, format!("{all:#}\n"));
    }
}
