//! Linear algebra: factorisations and functions that use them. Backward errors on matrices that are difficult in some
//! way, SciPy's values, derivatives against finite differences, and calls that return an error.

#[path = "../kit/mod.rs"]
mod kit;

mod factors;
mod golden;
mod matrices;
mod refined;
mod refused;
mod slopes;
