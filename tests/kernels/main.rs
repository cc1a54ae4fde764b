//! Kernels that users write in WGSL.

#[path = "../kit/mod.rs"]
mod kit;

#[cfg(feature = "kernels")]
mod derivatives;
#[cfg(feature = "kernels")]
mod programs;
#[cfg(all(feature = "gpu", feature = "kernels"))]
mod raw;
#[cfg(feature = "kernels")]
mod reductions;
#[cfg(feature = "kernels")]
mod refused;
#[cfg(feature = "kernels")]
mod slips;
#[cfg(feature = "kernels")]
mod wgsl;
