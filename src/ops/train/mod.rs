//! Training: optimisers as functions of trees of parameters, and learning rates as functions of the step.
//!
//! An optimiser changes nothing in place. [`Adam::update`] takes the parameters, their derivatives and a state, and
//! returns the next parameters and the next state as expressions. [`eval_tree`] computes a tree of expressions in one
//! plan, so the loss, the derivatives and both updates share their kernels:
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
//! The state of parameters of dtype f16 and bf16 is f32, and so is the computation of a step; only the new parameters
//! are rounded to their dtype.

mod optimisers;
mod schedules;
mod tree;

pub use optimisers::{Adam, AdamState, Sgd};
pub use schedules::{cosine, warm_up};
pub use tree::{clip_by_global_norm, eval_tree};
