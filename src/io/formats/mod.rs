//! Files of other formats than `.npy`, each behind a feature of its own. `io/formats/npz.rs` archives of named arrays
//! (`io/formats/zip.rs` their container), `io/formats/safetensors/mod.rs` named tensors, `io/formats/map.rs` files in memory that the system maps,
//! `io/formats/text/mod.rs` tables of numbers as text.

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
pub use npz::{Npz, NpzWriter, save_npz, save_npz_compressed};
#[cfg(feature = "safetensors")]
pub use safetensors::{SafeTensors, save_safetensors, write_safetensors};
#[cfg(feature = "text")]
pub use text::TextFormat;
