//! Floor 10: arrays of other libraries, each behind a feature of its own. `interop/ndarray.rs` views and takes over arrays of
//! `ndarray`, `interop/serde.rs` serialises, `interop/image.rs` takes over and gives images, `interop/dlpack.rs` shares memory with
//! other languages by DLPack.

#[cfg(feature = "dlpack")]
mod dlpack;
#[cfg(feature = "image")]
mod image;
#[cfg(feature = "ndarray")]
mod ndarray;
#[cfg(feature = "serde")]
mod serde;

#[cfg(feature = "dlpack")]
pub use dlpack::{DlpackTensor, abi as dlpack_abi};
