//! The optimiser Muon, and the Newton–Schulz iteration that it uses.

use super::state::{stepped, zeros};
use crate::array::Array;
use crate::base::error::Result;
use crate::graph::expr::Expr;
use crate::ops::grad::Parameters;
use std::panic::Location;

/// The number of steps of the Newton–Schulz iteration, as in Jordan's publication.
const STEPS: usize = 5;

/// The coefficients of x, x³ and x⁵ in a step of the Newton–Schulz iteration. Jordan published these coefficients. They
/// make the polynomial steep at 0, so that five steps bring all singular values that are not tiny between about 0.7 and
/// 1.2.
const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// A number that is added to the norm by which a matrix is divided, so that nothing is divided by 0.
const EPSILON: f64 = 1e-7;

/// The optimiser Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
/// <https://kellerjordan.github.io/posts/muon/>). It replaces the momentum of a matrix by its *orthogonal factor*, a
/// matrix that has about the same singular vectors and has singular values near 1. The factor is computed by five steps
/// of a Newton–Schulz iteration, which consist of matrix products. The state has one leaf for each parameter, the
/// momentum m. For a parameter p with the derivative g, a step computes m ← momentum · m + g and u = g + momentum · m
/// (without `nesterov`, u = m), then p ← p − rate · (√max(1, rows / columns) · orthogonal(u) + decay · p).
///
/// If a parameter has more than two axes, such as the weights of a convolution, its first axis gives the rows of the
/// matrix, and its other axes are merged into the columns. A parameter with fewer than two axes counts as a matrix of
/// one column. For such a parameter with n elements, a step without decay subtracts rate · √n · u / ‖u‖. The authors
/// train these parameters, embeddings and the last layer with AdamW. To do the same, put them in a separate tree.
///
/// ```
/// use cupric::array;
/// use cupric::train::{Muon, eval_tree};
/// let muon = Muon::new(0.1);
/// let params = (array![[0., 0.], [0., 0.]], array![0., 0.]);
/// let grads = (array![[300., 0.], [0., -2.]], array![0., 5.]);
/// let state = muon.init(&params)?;
/// let ((w, b), _) = eval_tree(&muon.update(&params, &grads, &state))?;
/// assert!(w.allclose(array![[-0.1, 0.], [0., 0.1]], 0.4, 1e-6, false).item::<bool>()?);
/// assert!(b.allclose(array![0., -0.141421], 1e-4, 0.0, false).item::<bool>()?);
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Muon {
    /// The learning rate. Change it between steps to follow a schedule.
    pub rate: f64,
    /// The factor by which a step multiplies the old momentum.
    pub momentum: f64,
    /// Whether a step uses Nesterov's momentum: u = g + momentum · m instead of u = m, for the derivative g and the new
    /// momentum m.
    pub nesterov: bool,
    /// The weight decay: a step also subtracts `rate · decay · p` from each parameter p.
    pub decay: f64,
}

impl Muon {
    /// Returns an optimiser with the learning rate `rate`, the momentum 0.95, Nesterov's momentum and no decay.
    pub fn new(rate: f64) -> Muon {
        Muon { rate, momentum: 0.95, nesterov: true, decay: 0.0 }
    }

    /// Returns the state before the first step, which consists of zeros.
    ///
    /// # Errors
    /// Returns [`ErrorKind::DType`](crate::ErrorKind::DType) if a parameter is not a float, and the errors of
    /// [`Expr::eval`].
    #[track_caller]
    pub fn init<P: Parameters>(&self, params: &P) -> Result<P::With<Array>> {
        zeros(params, "Muon::init", Location::caller())
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
        stepped("Muon::update", params, grads, state, Location::caller(), |value, g, m| {
            let m = m * self.momentum + &g;
            let by = orthogonal(&if self.nesterov { g + &m * self.momentum } else { m.clone() });
            let by = if self.decay == 0.0 { by } else { by + &value * self.decay };
            (value - by * self.rate, m)
        })
    }
}

/// Returns √max(1, rows / columns) times the orthogonal factor of `u` (see [`Muon`]).
fn orthogonal(u: &Expr) -> Expr {
    let shape = u.0.shape.as_slice();
    let size: usize = shape.iter().product();
    let unit = u / (u.norm(..) + EPSILON);
    let (rows, columns) = match shape {
        // an array without elements is returned unchanged, because the divisions below might divide by 0
        _ if size == 0 => return u.clone(),
        [] | [_] => return unit * (size as f64).sqrt(),
        [rows, ..] => (*rows, size / rows),
    };
    let x = unit.reshape([rows, columns]);
    // a tall matrix is transposed, because x · xᵀ is then the smaller of the two products x · xᵀ and xᵀ · x
    let is_tall = rows > columns;
    let mut x = if is_tall { x.t() } else { x };
    let [a, b, c] = COEFFICIENTS;
    for _ in 0..STEPS {
        let square = x.matmul(x.t());
        let factor = &square * b + square.matmul(&square) * c;
        x = &x * a + factor.matmul(&x);
    }
    let x = if is_tall { x.t() } else { x };
    x.reshape(shape) * (rows as f64 / columns as f64).max(1.0).sqrt()
}
