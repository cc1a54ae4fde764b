//! Training: optimisers as functions of trees of parameters, and learning rates as functions of the step. A tree is an
//! array or an expression, or a tuple, array, `Vec` or struct of trees: see [`Parameters`](crate::Parameters).
//!
//! | for | see |
//! |---|---|
//! | optimisers | [`Sgd`], [`Adam`] (AdamW), [`Lion`], [`Muon`] |
//! | learning rates, clipping | [`warm_up`], [`cosine`], [`clip_by_global_norm`] |
//! | f16 | [`LossScale`], [`all_finite`] |
//! | initialisers | [`glorot_uniform`], [`glorot_normal`], [`he_uniform`], [`he_normal`] |
//! | shuffled batches | [`Batches`] |
//! | files | [`named`], [`with_named`] |
//!
//! An optimiser changes nothing in place. [`Adam::update`] takes the parameters, their derivatives and a state, and
//! returns the next parameters and the next state as expressions. [`eval_tree`] computes a tree of expressions in one
//! plan, so the loss, the derivatives, the next parameters and the next state share their kernels:
//!
//! ```
//! use cupric::train::{Adam, eval_tree};
//! use cupric::{array, value_and_grad};
//!
//! let (x, y) = (array![[1., 2.], [3., 4.], [5., -1.]], array![5., 11., 3.]);
//! let mut params = (array![0., 0.], array![0.]);
//! let adam = Adam::new(0.1);
//! let mut state = adam.init(&params)?;
//! let mut losses = vec![];
//! for _ in 0..50 {
//!     let (loss, grads) = value_and_grad(&params, |(w, b)| (x.matmul(w) + b - &y).square().mean(..));
//!     let (next, next_state) = adam.update(&params, &grads, &state);
//!     let (loss, next, next_state) = eval_tree(&(loss, next, next_state))?;
//!     (params, state) = (next, next_state);
//!     losses.push(loss.item::<f32>()?);
//! }
//! assert!(losses[49] < 0.1 * losses[0]);
//! # Ok::<(), cupric::Error>(())
//! ```
//!
//! If a parameter has dtype f16 or bf16, its state is f32, and a step is computed in f32. Only the new parameter is
//! rounded to its dtype.

mod adam;
mod batches;
mod clip;
mod initialisers;
mod lion;
mod muon;
mod names;
mod scaling;
mod schedules;
mod sgd;
mod state;
mod tree;

pub use adam::{Adam, AdamState};
pub use batches::Batches;
pub use clip::clip_by_global_norm;
pub use initialisers::{glorot_normal, glorot_uniform, he_normal, he_uniform};
pub use lion::Lion;
pub use muon::Muon;
pub use names::{named, with_named};
pub use scaling::{LossScale, all_finite};
pub use schedules::{cosine, warm_up};
pub use sgd::Sgd;
pub use tree::eval_tree;
