//! What the page computes. Every function here runs in a browser and on any other machine; `browser.rs` alone knows
//! JavaScript.

#[cfg(target_family = "wasm")]
mod browser;
pub mod digits;
pub mod formula;
pub mod fractal;
pub mod measure;
#[path = "../../../../tests/programs/page/programs.rs"]
pub mod programs;

pub use cupric::{Device, Result};
