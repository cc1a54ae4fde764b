//! Tests a reduction with a few numbers: whether its neutral numbers (the initial state) leave other numbers unchanged,
//! and whether the order in which it combines elements matters. The test proves nothing, but it finds mistakes such as
//! a maximum that starts from 0.

use super::program::{Id, KernelProgram};
use crate::base::dtype::{DType, Scalar};
use crate::graph::ufunc::Neutral;

/// A function of the reduction: its program, and the values that are its results.
type Function = (KernelProgram, Vec<Id>);

/// A reduction to test: its lowered functions, the dtypes of its inputs and state, and the neutral numbers of the
/// state.
pub(super) struct Tried<'a> {
    pub map: &'a Function,
    pub combine: &'a Function,
    pub finish: &'a Function,
    pub inputs: &'a [DType],
    pub state: &'a [DType],
    pub starts: &'a [Neutral],
}

impl Tried<'_> {
    /// Returns an error that describes the difference if two ways to combine a few elements give different results.
    pub fn check(&self) -> Result<(), String> {
        let elements: Vec<(String, Vec<Scalar>)> = (0..4).filter_map(|n| self.element(n)).collect();
        let neutral: Vec<Scalar> = (self.state.iter().zip(self.starts))
            .map(|(dtype, start)| Scalar::from_bits(start.bits(dtype.compute()), dtype.compute()))
            .collect();
        // lanes of a GPU that have no elements combine neutral numbers with each other
        let twice = self.combined(&neutral, &neutral).unwrap_or_else(|| neutral.clone());
        for (x, s) in &elements {
            for [a, b] in [[&neutral, s], [s, &neutral], [&twice, s], [s, &twice]] {
                if let Some((got, wanted)) = self.differ(self.combined(a, b), Some(s.clone())) {
                    return Err(format!(
                        "combine: with the neutral numbers of the state, the element {x} gives {got}, and without them {wanted}"
                    ));
                }
            }
        }
        for (x, s) in &elements {
            for (y, t) in &elements {
                if let Some((one, other)) = self.differ(self.combined(s, t), self.combined(t, s)) {
                    return Err(format!(
                        "combine: it must not matter which state is a and which is b, but the elements {x} and {y} give {one}, and {y} \
                         and {x} give {other}"
                    ));
                }
                for (z, u) in &elements {
                    let first = self.combined(s, t).and_then(|st| self.combined(&st, u));
                    let last = self.combined(t, u).and_then(|tu| self.combined(s, &tu));
                    if let Some((one, other)) = self.differ(first, last) {
                        return Err(format!(
                            "combine: the order must not matter, but of the elements {x}, {y} and {z} the first two combined before the \
                             third give {one}, and the last two before the first {other}"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the test element number `n`: its operands as a string, and its state. Returns `None` if the state is not
    /// finite or cannot be computed.
    fn element(&self, n: usize) -> Option<(String, Vec<Scalar>)> {
        let operands: Vec<Scalar> = (self.inputs.iter().enumerate())
            .map(|(input, dtype)| {
                let n = (n + input) % 4;
                match dtype.is_float() {
                    true => Scalar::Float([0.0, 1.0, 2.5, -3.0][n]),
                    false if *dtype == DType::Bool => Scalar::Bool(n % 2 == 1),
                    false => Scalar::Int([0, 1, 2, 5][n]),
                }
            })
            .collect();
        let state = self.map.0.results_for(&operands, &self.map.1)?;
        let shown: Vec<String> = operands.iter().map(Scalar::to_string).collect();
        let shown = if shown.len() == 1 { shown[0].clone() } else { format!("({})", shown.join(", ")) };
        state.iter().all(|s| s.as_f64().is_finite()).then_some((shown, state))
    }

    fn combined(&self, a: &[Scalar], b: &[Scalar]) -> Option<Vec<Scalar>> {
        let both: Vec<Scalar> = a.iter().chain(b).copied().collect();
        self.combine.0.results_for(&both, &self.combine.1)
    }

    /// Returns the results of two states if they differ by more than rounding can explain. The function compares
    /// results, because different states may have the same result.
    fn differ(&self, a: Option<Vec<Scalar>>, b: Option<Vec<Scalar>>) -> Option<(Scalar, Scalar)> {
        let result = |state: Option<Vec<Scalar>>| self.finish.0.results_for(&state?, &self.finish.1)?.first().copied();
        let (a, b) = (result(a)?, result(b)?);
        let (x, y) = (a.as_f64(), b.as_f64());
        if x.is_finite() != y.is_finite() {
            return Some((a, b));
        }
        // f32 has seven digits, and subtractions in `finish` may lose some of them
        let rounding = match (self.state.iter().any(|d| d.is_float()), a) {
            (false, _) => 0.0,
            (true, Scalar::Float(_)) => 1e-3 * x.abs().max(y.abs()).max(1.0),
            // rounding a float state to an integer result may change the result by 1
            (true, Scalar::Int(_) | Scalar::Bool(_)) => 1.0,
        };
        (x.is_finite() && y.is_finite() && (x - y).abs() > rounding).then_some((a, b))
    }
}
