//! What neural networks are made of: attention, softmax, norms, convolutions, pools, `dropout` and `clip_by_norm`. Each states its derivative or
//! is made of operations whose derivatives suffice, so no planner or backend knows them.

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
