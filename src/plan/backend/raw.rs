//! A shader that a user wrote, with what one call runs it on.

use super::Line;
use crate::base::buffer::Buffer;

/// One call of a shader of a user's own.
pub(crate) struct RawCall<'a> {
    /// The name that profiles and messages have.
    pub name: &'static str,
    /// The shader, which naga has found to be WGSL.
    pub text: &'a str,
    /// The entry point's name.
    pub entry: &'a str,
    /// What the shader binds in group 0, in the order of the binding numbers, which are 0 and up.
    pub bindings: &'a [RawBinding<'a>],
    /// The bytes of workgroup memory that its variables take together.
    pub workgroup_bytes: u64,
    /// The workgroups along the three axes of the grid.
    pub groups: [u32; 3],
    pub line: Line,
}

/// The memory of an array that a shader binds, from the buffer's first byte on.
pub(crate) struct RawBinding<'a> {
    pub buffer: &'a Buffer,
    pub bytes: usize,
    /// Whether the shader writes it. It is zero before.
    pub is_result: bool,
}
