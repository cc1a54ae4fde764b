//! Floor 6: conversions to and from other libraries, each behind its own feature: arrays of `ndarray`, serialisation
//! with serde, images, memory shared with other languages (DLPack), and GPU buffers shared with programs that use wgpu.
//! `interop/complex.rs` needs no feature: it reads and writes complex numbers in NumPy's files.

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
#[cfg(feature = "image")]
pub use image::IntoImage;
#[cfg(all(feature = "gpu", feature = "wgpu"))]
pub use wgpu::WgpuBuffer;
