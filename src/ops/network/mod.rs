//! What neural networks are made of: convolutions, pools, `dropout` and `clip_by_norm`. Each states its derivative or
//! is made of operations whose derivatives suffice, so no planner or backend knows them.

mod convolution;
mod linear;
mod options;
mod pooling;
mod regularise;
mod windows;

pub use options::{Conv, IntoPadding, Pool};
