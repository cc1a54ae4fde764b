//! Arrays of other libraries, each behind a feature of its own: memory that is shared is at one place, and what is read from
//! anywhere is checked.

#[cfg(feature = "dlpack")]
mod dlpack;
#[cfg(feature = "dlpack")]
mod exchange;
#[cfg(feature = "image")]
mod image;
#[cfg(feature = "ndarray")]
mod ndarray;
#[cfg(feature = "serde")]
mod serde;
#[cfg(all(feature = "gpu", feature = "wgpu"))]
mod wgpu;
