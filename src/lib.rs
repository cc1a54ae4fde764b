#![allow(dead_code, unused)]
mod error; mod math; mod dtype; mod layout; mod simd; mod ufunc;
pub use error::*; pub use dtype::*; pub use layout::*;
