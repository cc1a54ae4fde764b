//! How wrong each function is: the contract in seven layouts, special values and 32 layouts, exhaustive sweeps. They share the
//! references, bounds and data of `contract/`.

#[path = "../kit/mod.rs"]
mod kit;

mod contract;
mod every_layout;
mod sweep;
