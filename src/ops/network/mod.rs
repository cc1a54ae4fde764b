//! Functions for neural networks: attention, softmax, norms, convolutions, pools, `dropout` and `clip_by_norm`. All are
//! built from other operations, so no planner or backend knows them. Some define a derivative of their own; for the
//! others the derivatives of their operations are used.

mod attention;
mod convolution;
mod linear;
mod options;
mod pooling;
mod regularise;
mod softmax;
mod windows;

pub use attention::{Attention, attention};
pub use options::{Conv, IntoPadding, Pool};
