//! The computations of the web page. All code runs in a browser and on any other machine, except `browser.rs`, which
//! depends on JavaScript.

#[cfg(target_family = "wasm")]
mod browser;
pub mod digits;
pub mod formula;
pub mod fractal;
pub mod measure;
#[path = "../../../../tests/programs/page/programs.rs"]
pub mod programs;
pub mod work;

pub use cupric::{Device, Result};
