//! Arrays of other libraries, each behind its own feature. Shared memory is not copied, and what is read from outside
//! is checked.

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
