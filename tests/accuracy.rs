//! How wrong each function is: the contract in seven layouts, special values and 32 layouts, exhaustive sweeps. They share the
//! references, bounds and data of `contract/`.

mod kit;

mod contract;
mod sweep;
mod trust;
