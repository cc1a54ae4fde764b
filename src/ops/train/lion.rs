//! The optimiser Lion.

use super::state::{stepped, zeros};
use crate::array::Array;
use crate::base::error::Result;
use crate::graph::expr::Expr;
use crate::ops::grad::Parameters;
use std::panic::Location;

/// The optimiser Lion (Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023,
/// <https://arxiv.org/abs/2302.06675>), which changes each element of a parameter by plus or minus the learning rate.
/// The state has one leaf for each parameter, the momentum m. A step with the derivative g of a parameter p first
/// computes p ← p − rate · (sign(b₁ · m + (1 − b₁) · g) + decay · p), and then m ← b₂ · m + (1 − b₂) · g. The authors
/// use a learning rate of a third to a tenth of Adam's, and a decay three to ten times as large as Adam's.
///
/// ```
/// use cupric::array;
/// use cupric::train::{Lion, eval_tree};
/// let lion = Lion::new(0.25);
/// let (params, grads) = (array![1., 2., 3.], array![100., -0.01, 0.]);
/// let state = lion.init(&params)?;
/// let (params, state) = eval_tree(&lion.update(&params, &grads, &state))?;
/// assert_eq!(params.to_vec::<f32>()?, [0.75, 2.25, 3.]);
/// assert!(state.allclose(array![1., -0.0001, 0.], 1e-5, 0.0, false).item::<bool>()?);
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Lion {
    /// The learning rate. Change it between steps to follow a schedule.
    pub rate: f64,
    /// The factors b₁ and b₂ of the old momentum: b₁ in the direction of a step, and b₂ in the next momentum.
    pub betas: [f64; 2],
    /// The weight decay: a step also subtracts `rate · decay · p` from each parameter p.
    pub decay: f64,
}

impl Lion {
    /// Returns an optimiser with the learning rate `rate`, the betas 0.9 and 0.99 and no decay.
    pub fn new(rate: f64) -> Lion {
        Lion { rate, betas: [0.9, 0.99], decay: 0.0 }
    }

    /// Returns the state before the first step, which consists of zeros.
    ///
    /// # Errors
    /// Returns [`ErrorKind::DType`](crate::ErrorKind::DType) if a parameter is not a float, and the errors of
    /// [`Expr::eval`].
    #[track_caller]
    pub fn init<P: Parameters>(&self, params: &P) -> Result<P::With<Array>> {
        zeros(params, "Lion::init", Location::caller())
    }

    /// Returns the next parameters and the next state after one step, as expressions. A step is computed in the dtype
    /// of the state. The results carry [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the trees of parameters,
    /// derivatives and state differ in the number or the shapes of their leaves, and
    /// [`ErrorKind::DType`](crate::ErrorKind::DType) if the state does not consist of floats.
    #[track_caller]
    pub fn update<P: Parameters>(
        &self,
        params: &P,
        grads: &impl Parameters,
        state: &impl Parameters,
    ) -> (P::With<Expr>, P::With<Expr>) {
        stepped("Lion::update", params, grads, state, Location::caller(), |value, g, m| {
            let [by, m] = self.betas.map(|b| m * b + &g * (1.0 - b));
            let by = by.sign();
            let by = if self.decay == 0.0 { by } else { by + &value * self.decay };
            (value - by * self.rate, m)
        })
    }
}
