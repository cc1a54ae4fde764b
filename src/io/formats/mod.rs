//! Files of other formats than `.npy`, each behind its own feature: `io/formats/npz.rs` for archives of named arrays
//! (in the container of `io/formats/zip.rs` and `zip_writer.rs`), `io/formats/safetensors/mod.rs` for named tensors, `io/formats/map.rs` for
//! memory-mapped files, `io/formats/text/mod.rs` for tables of numbers as text.

#[cfg(feature = "mmap")]
mod map;
#[cfg(feature = "npz")]
mod npz;
#[cfg(feature = "safetensors")]
mod safetensors;
#[cfg(feature = "text")]
mod text;
#[cfg(feature = "npz")]
mod zip;
#[cfg(feature = "npz")]
mod zip_writer;

#[cfg(feature = "npz")]
pub use npz::{Npz, NpzWriter, save_npz, save_npz_compressed};
#[cfg(feature = "safetensors")]
pub use safetensors::{SafeTensors, save_safetensors, write_safetensors};
#[cfg(feature = "text")]
pub use text::TextFormat;
