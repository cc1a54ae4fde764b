//! Functions for neural networks: attention, softmax, norms, convolutions, pools, `dropout` and `clip_by_norm`. All are
//! built from other operations. Some define their own derivative, and the others use the derivatives of these
//! operations.

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
