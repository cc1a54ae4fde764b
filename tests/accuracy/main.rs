//! Tests the error of each function: the contract in seven layouts, special values, 32 layouts, and exhaustive sweeps.
//! All of them use the references, bounds and data in `contract/`.

#[path = "../kit/mod.rs"]
mod kit;

mod contract;
mod every_layout;
mod sweep;
