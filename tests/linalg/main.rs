//! Linear algebra: factorisations and what is computed by them. Backward errors on matrices that are hard in some way, SciPy's
//! values, derivatives beside finite differences, and what is refused.

#[path = "../kit/mod.rs"]
mod kit;

mod factors;
mod golden;
mod matrices;
mod refined;
mod refused;
mod slopes;
