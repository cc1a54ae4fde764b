//! The optimisers Adam and AdamW.

use super::state::{failed, lists, zeros};
use super::tree::{built, leaves};
use crate::array::Array;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::Shape;
use crate::graph::expr::{Called, Expr};
use crate::ops::grad::Parameters;
use std::panic::Location;

/// The state of [`Adam`]: the step count of type `C`, the running means of the derivatives, and the running means of
/// their squares. Both means are trees `T` (arrays in nested tuples, lists or structs) of the same form as the
/// parameters. The next state, which [`Adam::update`] returns, holds expressions until it is evaluated.
pub type AdamState<T, C = Array> = (C, T, T);

/// The optimiser Adam (Kingma and Ba, 2015). If `decay` is not 0, it has the decoupled weight decay of AdamW
/// (Loshchilov and Hutter, 2019). The step count is a 0-d array of the state, so each step runs the same plan.
///
/// ```
/// use cupric::array;
/// use cupric::train::{Adam, eval_tree};
/// let adam = Adam { decay: 0.01, ..Adam::new(0.1) };      // AdamW
/// let params = vec![array![1., -2.]];
/// let state = adam.init(&params)?;
/// let grads = vec![array![5., -0.1]];
/// let (params, (count, ..)) = eval_tree(&adam.update(&params, &grads, &state))?;
/// assert!(params[0].allclose(array![0.899, -1.898], 1e-5, 0.0, false).item::<bool>()?);
/// assert_eq!(count.item::<f32>()?, 1.);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias = "AdamW")]
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    /// The learning rate. Change it between steps to follow a schedule.
    pub rate: f64,
    /// The factors by which a step multiplies the two old running means: the mean of the derivatives, and the mean of
    /// their squares.
    pub betas: [f64; 2],
    /// A number that is added to the square root in the divisor of a step, so that nothing is divided by 0.
    pub epsilon: f64,
    /// The weight decay: a step also subtracts `rate · decay · p` from each parameter p.
    pub decay: f64,
}

impl Adam {
    /// Returns an optimiser with the learning rate `rate`, the betas 0.9 and 0.999, the epsilon 1e-8 and no decay.
    pub fn new(rate: f64) -> Adam {
        Adam { rate, betas: [0.9, 0.999], epsilon: 1e-8, decay: 0.0 }
    }

    /// Returns the state before the first step, which consists of zeros.
    ///
    /// # Errors
    /// Returns [`ErrorKind::DType`] if a parameter is not a float, and the errors of [`Expr::eval`].
    #[track_caller]
    pub fn init<P: Parameters>(&self, params: &P) -> Result<AdamState<P::With<Array>>> {
        const OP: &str = "Adam::init";
        let at = Location::caller();
        let _called = Called::begin(OP, at);
        let device = leaves(params).first().map_or(0, |p| p.0.device);
        let count = Expr::fill_on(device, Scalar::Float(0.0), Shape::new(), DType::F32, at).eval_at(at)?;
        Ok((count, zeros(params, OP, at)?, zeros(params, OP, at)?))
    }

    /// Returns the next parameters and the next state after one step, as expressions. A step is computed in the dtype
    /// of the state's means. The results carry [`ErrorKind::Shape`] if the trees of parameters, derivatives and state
    /// do not fit each other or the step count is not a 0-d array, and [`ErrorKind::DType`] if the state does not
    /// consist of floats.
    #[track_caller]
    pub fn update<P: Parameters>(
        &self,
        params: &P,
        grads: &impl Parameters,
        state: &(Array, impl Parameters, impl Parameters),
    ) -> (P::With<Expr>, AdamState<P::With<Expr>, Expr>) {
        const OP: &str = "Adam::update";
        let (at, list) = (Location::caller(), leaves(params));
        let _called = Called::begin(OP, at);
        let others = [("derivative", leaves(grads)), ("state", leaves(&state.1)), ("state", leaves(&state.2))];
        let count = (&state.0 + 1.0).astype(state.0.dtype());
        let fit = match state.0.ndim() {
            0 => lists(OP, &list, others, at),
            n => {
                let detail = format!("the step count has {n} axes; a 0-d array is needed");
                Err(Error::with_line(ErrorKind::Shape, OP, detail, at))
            }
        };
        let (next, means, squares) = match fit {
            Err(e) => (failed(&e, &list, at), failed(&e, &list, at), failed(&e, &list, at)),
            Ok([g, m, v]) => {
                let (mut next, mut means, mut squares) = (vec![], vec![], vec![]);
                for (((p, g), m), v) in list.iter().zip(g).zip(m).zip(v) {
                    let [value, g] = [*p, g].map(|e| e.astype(m.0.dtype));
                    let (by, m, v) = self.direction(&value, &g, m, v, &count);
                    next.push((value - by * self.rate).astype(p.0.dtype));
                    means.push(m);
                    squares.push(v);
                }
                (next, means, squares)
            }
        };
        let state = (count, built(params, means, OP, at), built(params, squares, OP, at));
        (built(params, next, OP, at), state)
    }

    /// Returns the direction of a step, which the caller multiplies by the learning rate, the next running means of the
    /// derivatives, and the next running means of their squares.
    fn direction(&self, value: &Expr, g: &Expr, m: &Expr, v: &Expr, count: &Expr) -> (Expr, Expr, Expr) {
        let [b1, b2] = self.betas;
        let (t, of_squares) = (m.0.dtype, v.0.dtype);
        let m = m * b1 + g * (1.0 - b1);
        let v = (v * b2 + g.square().astype(of_squares) * (1.0 - b2)).astype(of_squares);
        // the means start at 0, so they are too small at first; they are divided by 1 − b^count, which `expm1` computes
        // without cancellation
        let count = count.astype(t);
        let [c1, c2] = [b1, b2].map(|b| -(&count * b.ln()).expm1());
        let by = &m / c1 / ((v.astype(t) / c2).sqrt() + self.epsilon);
        let by = if self.decay == 0.0 { by } else { by + value * self.decay };
        (by, m, v)
    }
}
