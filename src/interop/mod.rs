//! Floor 6: arrays of other libraries, each behind a feature of its own. `interop/ndarray.rs` views and takes over arrays of
//! `ndarray`, `interop/serde/mod.rs` serialises, `interop/image.rs` takes over and gives images, `interop/dlpack/mod.rs` shares memory with
//! other languages by DLPack, `interop/wgpu.rs` shares buffers of GPUs with programs that call wgpu themselves.

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
