//! Factorisations of matrices: backward errors on hard matrices of many shapes and layouts, SciPy's values, and derivatives.

#[path = "../kit/mod.rs"]
mod kit;

mod backward;
mod derivatives;
mod exponential;
mod general;
mod matrices;
mod values;
