//! What the tests share: a device for every test, arrays and comparisons, a host array to compare with, numbers by their
//! bits, random numbers, the list of operations that are no rows of the ufunc table, and the lines of the table of stages.
#![allow(dead_code, unused_imports, reason = "each test program uses a part")]

pub mod arrays;
pub mod devices;
pub mod dice;
pub mod host;
pub mod number;
pub mod operations;
pub mod share;
pub mod stage;

pub use arrays::*;
pub use devices::*;
pub use dice::*;
pub use host::*;
pub use share::*;
