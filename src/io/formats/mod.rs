//! Files of formats other than `.npy`, and memory-mapped files. Each is behind its own feature: `io/formats/npz.rs` has
//! archives of named arrays, whose container is read by `zip.rs` and written by `zip_writer.rs`; `safetensors/mod.rs`
//! has named tensors; `map.rs` has memory-mapped files; `text/mod.rs` has tables of numbers as text.

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
pub use text::{TextChunks, TextFormat};
