//! Code that tests share: devices, arrays and comparisons, a host array as reference, numbers as bits, random numbers,
//! the list of operations that are not in the table of elementwise functions, and the stage table's lines.
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
