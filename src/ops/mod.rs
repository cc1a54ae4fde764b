//! Floor 5: the public methods of `Expr` and the free functions (a floor is a layer of `src/`, see `ARCHITECTURE.md`).
//! Most of them are composed of other operations, so the planner and the backends have no code for them.

mod classes;
pub(crate) mod compiled;
pub(crate) mod complex;
pub(crate) mod create;
pub mod devices;
pub(crate) mod differences;
pub(crate) mod distributions;
pub(crate) mod fourier;
pub(crate) mod functions;
pub(crate) mod grad;
pub(crate) mod index;
mod likes;
pub(crate) mod linalg;
pub(crate) mod masks;
pub(crate) mod matrices;
pub(crate) mod movement;
mod names;
pub(crate) mod network;
pub(crate) mod picking;
pub(crate) mod products;
pub(crate) mod quantiles;
pub(crate) mod random;
pub(crate) mod searching;
pub(crate) mod segments;
mod self_test;
pub(crate) mod sets;
pub(crate) mod sorting;
pub(crate) mod statistics;
#[cfg(feature = "train")]
pub mod train;
