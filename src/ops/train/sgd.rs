//! Stochastic gradient descent.

use super::state::{stepped, zeros};
use crate::array::Array;
use crate::base::error::Result;
use crate::graph::expr::Expr;
use crate::ops::grad::Parameters;
use std::panic::Location;

/// Stochastic gradient descent with momentum. The state has one leaf for each parameter, the momentum m. For a
/// parameter p with the derivative g, a step computes m ← momentum · m + g, then p ← p − rate · m. With `nesterov`, the
/// second formula is p ← p − rate · (g + momentum · m).
///
/// ```
/// use cupric::array;
/// use cupric::train::{Sgd, eval_tree};
/// let sgd = Sgd { momentum: 0.9, ..Sgd::new(0.5) };
/// let (params, grads) = (array![1., 2.], array![2., 0.]);
/// let state = sgd.init(&params)?;
/// let (params, state) = eval_tree(&sgd.update(&params, &grads, &state))?;
/// assert_eq!(params.to_vec::<f32>()?, [0., 2.]);
/// assert_eq!(state.to_vec::<f32>()?, [2., 0.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// The learning rate. Change it between steps to follow a schedule.
    pub rate: f64,
    /// The factor by which a step multiplies the old momentum.
    pub momentum: f64,
    /// Whether a step uses Nesterov's momentum: it subtracts rate · (g + momentum · m) instead of rate · m, for the
    /// derivative g and the new momentum m.
    pub nesterov: bool,
}

impl Sgd {
    /// Returns an optimiser with the learning rate `rate` and without momentum.
    pub fn new(rate: f64) -> Sgd {
        Sgd { rate, momentum: 0.0, nesterov: false }
    }

    /// Returns the state before the first step, which consists of zeros.
    ///
    /// # Errors
    /// Returns [`ErrorKind::DType`](crate::ErrorKind::DType) if a parameter is not a float, and the errors of
    /// [`Expr::eval`].
    #[track_caller]
    pub fn init<P: Parameters>(&self, params: &P) -> Result<P::With<Array>> {
        zeros(params, "Sgd::init", Location::caller())
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
        stepped("Sgd::update", params, grads, state, Location::caller(), |value, g, m| {
            let m = m * self.momentum + &g;
            let by = if self.nesterov { g + &m * self.momentum } else { m.clone() };
            (value - by * self.rate, m)
        })
    }
}
