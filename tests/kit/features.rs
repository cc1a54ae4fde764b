//! The features of this test program. A cargo command with exactly these features reuses the built library.

/// Each feature, and whether it is on.
const FEATURES: [(&str, bool); 18] = [
    ("default", cfg!(feature = "default")),
    ("gpu", cfg!(feature = "gpu")),
    ("kernels", cfg!(feature = "kernels")),
    ("rayon", cfg!(feature = "rayon")),
    ("ndarray", cfg!(feature = "ndarray")),
    ("serde", cfg!(feature = "serde")),
    ("image", cfg!(feature = "image")),
    ("dlpack", cfg!(feature = "dlpack")),
    ("wgpu", cfg!(feature = "wgpu")),
    ("interop", cfg!(feature = "interop")),
    ("npz", cfg!(feature = "npz")),
    ("safetensors", cfg!(feature = "safetensors")),
    ("mmap", cfg!(feature = "mmap")),
    ("text", cfg!(feature = "text")),
    ("formats", cfg!(feature = "formats")),
    ("train", cfg!(feature = "train")),
    ("gles", cfg!(feature = "gles")),
    ("testing", cfg!(feature = "testing")),
];

/// Cargo arguments that build with exactly these features.
pub fn arguments() -> Vec<&'static str> {
    let on = FEATURES.iter().filter(|(_, is_on)| *is_on).flat_map(|(name, _)| ["--features", name]);
    ["--no-default-features"].into_iter().chain(on).collect()
}
