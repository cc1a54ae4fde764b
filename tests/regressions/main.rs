//! Bugs that users found, each as the program that showed it. There is a file for each topic, and every test failed
//! before its bug was fixed.

#[path = "../kit/mod.rs"]
mod kit;
#[path = "../kit/memory.rs"]
mod peak_memory;

mod calls;
mod creation;
mod deviations;
mod files;
mod folding;
mod limits;
mod lines;
mod lists;
mod memory;
mod numbers;
mod placement;
mod plans;
mod planted;
mod products;
mod rows;
mod scales;
mod sums;
mod writes;
