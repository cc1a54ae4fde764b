//! Matrix factorisations: backward errors on difficult matrices of many shapes and layouts, SciPy's values, slopes.

#[path = "../kit/mod.rs"]
mod kit;

mod backward;
mod derivatives;
mod exponential;
mod general;
mod matrices;
mod values;
