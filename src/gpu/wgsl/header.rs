//! The header of a dispatch's parameters: the Rust counterpart of `struct Header` in `shaders/lib/frame.wgsl`. A test
//! compares the names and their order.

/// The number of words of the parameters that the header occupies; a kernel's own data follows. WGSL rounds a struct in
/// a uniform up to a multiple of four words, so the last words may be unused.
pub(crate) const HEADER: usize = 16;

macro_rules! header {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// The first words of a dispatch's parameters. `shaders/lib/frame.wgsl` documents the fields.
        #[derive(Clone, Copy, Default, Debug)]
        pub(crate) struct ParamHeader {
            $($(#[$doc])* pub $field: u32,)*
        }

        impl ParamHeader {
            /// The fields' names, in the order of the words.
            #[cfg(feature = "testing")]
            pub const FIELDS: &[&str] = &[$(stringify!($field)),*];

            /// Writes the fields to the first words of `params`.
            pub fn write(&self, params: &mut [u32]) {
                for (word, value) in params.iter_mut().zip([$(self.$field),*]) {
                    *word = value;
                }
            }
        }
    };
}

header! {
    /// This word is always 0, and no shader reads it, because Mesa 22.3 may compile word 0 into a shader as a constant
    /// (see `frame.wgsl`).
    unread,
    outer_size,
    outer_rank,
    inner_rank,
    inner_size,
    grid_x,
    grid_y,
    first_group,
    error_id,
    matrix_rows,
    matrix_columns,
    contiguous_along_k,
    k_size,
    first_k,
    /// This word is always 0. The shaders' function `cp_zero` returns it.
    run_time_zero,
}
