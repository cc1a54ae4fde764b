//! What is executed for an expression: plans, fusion, tiles, routines and their kernels, on the CPU and on a GPU.

#[path = "../kit/mod.rs"]
mod kit;
/// Measures the peak of a thread's memory allocations.
#[path = "../kit/memory.rs"]
mod memory;

mod boxes;
mod chains;
mod cooperative;
mod copies;
mod debug;
mod folds;
mod fusion;
mod halves;
mod indexed;
mod int64;
mod interpreter;
mod keys;
mod operation_list;
mod parts;
mod peak_memory;
mod plans;
mod planted_faults;
mod quotients;
mod rare_arguments;
mod routines;
mod split_rows;
mod tiles;
mod vector_loads;
mod wide_reductions;
mod windows;
