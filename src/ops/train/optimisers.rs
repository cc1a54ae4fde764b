//! Optimisers: functions from parameters, derivatives and a state to the next parameters and the next state.

use super::tree::{built, leaves, wide};
use crate::array::Array;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::Shape;
use crate::graph::expr::Expr;
use crate::ops::grad::Parameters;
use std::panic::Location;

/// Returns zeros like the parameters: f32 for 16-bit floats.
fn zeros<P: Parameters>(params: &P, op: &'static str, at: Loc) -> Result<P::With<Array>> {
    let mut list = vec![];
    for p in leaves(params) {
        let n = p.checked()?;
        if !n.dtype.is_float() {
            let detail = format!("a parameter has dtype {}; floats are needed", n.dtype);
            return Err(Error::with_line(ErrorKind::DType, op, detail, at));
        }
        list.push(Expr::fill_on(n.device, Scalar::Float(0.0), n.shape.clone(), wide(p).0.dtype, at));
    }
    super::eval_tree(&Same(params, list))
}

/// A list of expressions in the form of a tree.
struct Same<'a, P>(&'a P, Vec<Expr>);

impl<P: Parameters> Parameters for Same<'_, P> {
    type With<U> = P::With<U>;
    fn leaves<'a>(&'a self, list: &mut Vec<&'a Expr>) {
        list.extend(&self.1);
    }
    fn with<U>(&self, next: &mut dyn FnMut() -> U) -> P::With<U> {
        self.0.with(next)
    }
}

/// Returns the leaves of trees that must have the form of the parameters, or the first that has not.
fn lists<'a, const N: usize>(
    op: &'static str,
    params: &[&Expr],
    others: [(&str, Vec<&'a Expr>); N],
    at: Loc,
) -> Result<[Vec<&'a Expr>; N]> {
    for (what, list) in &others {
        let misfit = params.iter().zip(list).position(|(p, e)| p.0.shape != e.0.shape);
        if let Some(e) = params.iter().copied().chain(list.iter().copied()).find_map(Expr::error) {
            return Err(e.clone());
        }
        let detail = match misfit {
            _ if params.len() != list.len() => {
                format!("there are {} parameters and {} leaves of the {what}", params.len(), list.len())
            }
            Some(i) => {
                let (p, e) = (params[i].0.shape.as_slice(), list[i].0.shape.as_slice());
                format!("parameter {i} has shape {p:?}; its {what} has shape {e:?}")
            }
            None => continue,
        };
        return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
    }
    Ok(others.map(|(_, list)| list))
}

/// Returns as many expressions with an error as there are parameters.
fn failed(e: &Error, params: &[&Expr], at: Loc) -> Vec<Expr> {
    params.iter().map(|_| Expr::failed(e.clone(), at)).collect()
}

/// Stochastic gradient descent with momentum. The state has one leaf for each parameter, the momentum m:
/// m ← momentum · m + g, then p ← p − rate · m. With `nesterov`, p ← p − rate · (g + momentum · m).
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
    /// The part of the momentum that a step keeps.
    pub momentum: f64,
    /// Whether a step looks ahead by the momentum.
    pub nesterov: bool,
}

impl Sgd {
    /// Returns an optimiser without momentum.
    pub fn new(rate: f64) -> Sgd {
        Sgd { rate, momentum: 0.0, nesterov: false }
    }

    /// Returns the state before the first step: zeros.
    ///
    /// # Errors
    /// [`ErrorKind::DType`] for a parameter that is not a float; the errors of [`Expr::eval`].
    #[track_caller]
    pub fn init<P: Parameters>(&self, params: &P) -> Result<P::With<Array>> {
        zeros(params, "Sgd::init", Location::caller())
    }

    /// Returns the next parameters and the next state. They carry [`ErrorKind::Shape`] if the trees do not fit.
    #[track_caller]
    pub fn update<P: Parameters>(
        &self,
        params: &P,
        grads: &impl Parameters,
        state: &impl Parameters,
    ) -> (P::With<Expr>, P::With<Expr>) {
        const OP: &str = "Sgd::update";
        let (at, list) = (Location::caller(), leaves(params));
        let (next, state) = match lists(OP, &list, [("derivative", leaves(grads)), ("state", leaves(state))], at) {
            Err(e) => (failed(&e, &list, at), failed(&e, &list, at)),
            Ok([g, m]) => {
                let step = |((p, g), m): ((&&Expr, &Expr), &Expr)| {
                    let g = wide(g);
                    let m = m * self.momentum + &g;
                    let by = if self.nesterov { g + &m * self.momentum } else { m.clone() };
                    ((wide(p) - by * self.rate).astype(p.0.dtype), m)
                };
                list.iter().zip(g).zip(m).map(step).unzip()
            }
        };
        (built(params, next, OP, at), built(params, state, OP, at))
    }
}

/// The state of [`Adam`]: the step count, and the running means of the derivatives and of their squares. The next state,
/// before it is evaluated, holds expressions.
pub type AdamState<T, C = Array> = (C, T, T);

/// Adam (Kingma and Ba, 2015), with the decoupled decay of AdamW (Loshchilov and Hutter, 2019) if `decay` is not 0.
/// The step count is a 0-d array of the state, so each step runs the same plan.
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
    /// The parts of the two running means that a step keeps.
    pub betas: [f64; 2],
    /// Added to the square root, so that nothing is divided by 0.
    pub epsilon: f64,
    /// The part of a parameter, times the rate, that each step removes.
    pub decay: f64,
}

impl Adam {
    /// Returns an optimiser with the betas 0.9 and 0.999, the epsilon 1e-8 and no decay.
    pub fn new(rate: f64) -> Adam {
        Adam { rate, betas: [0.9, 0.999], epsilon: 1e-8, decay: 0.0 }
    }

    /// Returns the state before the first step: zeros.
    ///
    /// # Errors
    /// [`ErrorKind::DType`] for a parameter that is not a float; the errors of [`Expr::eval`].
    #[track_caller]
    pub fn init<P: Parameters>(&self, params: &P) -> Result<AdamState<P::With<Array>>> {
        const OP: &str = "Adam::init";
        let at = Location::caller();
        let device = leaves(params).first().map_or(0, |p| p.0.device);
        let count = Expr::fill_on(device, Scalar::Float(0.0), Shape::new(), DType::F32, at).eval_at(at)?;
        Ok((count, zeros(params, OP, at)?, zeros(params, OP, at)?))
    }

    /// Returns the next parameters and the next state. They carry [`ErrorKind::Shape`] if the trees do not fit.
    #[track_caller]
    pub fn update<P: Parameters>(
        &self,
        params: &P,
        grads: &impl Parameters,
        state: &(Array, impl Parameters, impl Parameters),
    ) -> (P::With<Expr>, AdamState<P::With<Expr>, Expr>) {
        const OP: &str = "Adam::update";
        let (at, list) = (Location::caller(), leaves(params));
        let others = [("derivative", leaves(grads)), ("state", leaves(&state.1)), ("state", leaves(&state.2))];
        let [b1, b2] = self.betas;
        let count = &state.0 + 1.0;
        let (next, means, squares) = match lists(OP, &list, others, at) {
            Err(e) => (failed(&e, &list, at), failed(&e, &list, at), failed(&e, &list, at)),
            Ok([g, m, v]) => {
                let (mut next, mut means, mut squares) = (vec![], vec![], vec![]);
                // the means start at 0, and would be too small at first: 1 − b^count, without cancellation
                let [c1, c2] = [b1, b2].map(|b| -(&count * b.ln()).expm1());
                for (((p, g), m), v) in list.iter().zip(g).zip(m).zip(v) {
                    let g = wide(g);
                    let m = m * b1 + &g * (1.0 - b1);
                    let v = v * b2 + g.square() * (1.0 - b2);
                    let [c1, c2] = [&c1, &c2].map(|c| c.astype(m.0.dtype));
                    let by = &m / c1 / ((&v / c2).sqrt() + self.epsilon);
                    let by = if self.decay == 0.0 { by } else { by + wide(p) * self.decay };
                    next.push((wide(p) - by * self.rate).astype(p.0.dtype));
                    means.push(m);
                    squares.push(v);
                }
                (next, means, squares)
            }
        };
        let state = (count, built(params, means, OP, at), built(params, squares, OP, at));
        (built(params, next, OP, at), state)
    }
}
