//! A user-defined shader, with the arguments of one call.

use crate::base::buffer::Buffer;
use crate::base::error::Loc;

/// One call of a user-defined shader.
pub(crate) struct RawCall<'a> {
    /// The name for profiles and messages.
    pub name: &'static str,
    /// The shader source, which naga has validated as WGSL.
    pub text: &'a str,
    /// The name of the entry point.
    pub entry: &'a str,
    /// The bindings of group 0, in the order of their numbers, which start at 0 and are consecutive.
    pub bindings: &'a [RawBinding<'a>],
    /// The total size in bytes of the shader's variables in workgroup memory.
    pub workgroup_bytes: u64,
    /// The number of workgroups along each of the three axes of the grid.
    pub groups: [u32; 3],
    pub line: Loc,
}

/// An array that a shader accesses through a binding. The array starts at the first byte of `buffer` and has `bytes`
/// bytes.
pub(crate) struct RawBinding<'a> {
    pub buffer: &'a Buffer,
    pub bytes: usize,
    /// Whether the shader writes the memory. If so, the memory holds zeros before the call.
    pub is_result: bool,
}
