//! Floor 6: conversions to and from other libraries. `interop/complex.rs` reads and writes complex numbers in NumPy's
//! files. The others have a feature each: `interop/ndarray.rs` converts to and from arrays of `ndarray`, without a copy
//! where possible, `interop/serde/mod.rs` serialises arrays, `interop/image.rs` converts images,
//! `interop/dlpack/mod.rs` shares memory with other languages through DLPack, and `interop/wgpu.rs` shares GPU buffers
//! with programs that use wgpu directly.

mod complex;
#[cfg(feature = "dlpack")]
mod dlpack;
#[cfg(feature = "image")]
mod image;
#[cfg(feature = "ndarray")]
mod ndarray;
#[cfg(feature = "serde")]
mod serde;
#[cfg(all(feature = "gpu", feature = "wgpu"))]
mod wgpu;

#[cfg(feature = "dlpack")]
pub use dlpack::{DlpackTensor, abi as dlpack_abi};
#[cfg(all(feature = "gpu", feature = "wgpu"))]
pub use wgpu::WgpuBuffer;
