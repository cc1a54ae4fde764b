// What every kernel has: the header of a dispatch's parameters, and the functions that read it.
//
// Names in this folder begin with what they compute in: `m_` is a function of f32 ("maths"), `d_` the same function of
// f64 ("double"), and `cp_` ("cupric") is a part that other functions are made of. `{type}_to_{type}` converts as
// Rust's `as`; a name that ends in a type (`idiv_i32`) is that type's form of one function.

// The first words of the parameters, whatever the kernel. `Header` in src/gpu/wgsl/header.rs has the same fields, and a
// test compares the two.
struct Header {
    // No shader reads the first word. Mesa compiles uniforms that decide a branch or the end of a loop into the shader
    // as constants; by a fault of version 22.3 it always takes word 0, whichever decides. A value that must stay
    // unknown to the compiler would be lost there, and each new value would compile the shader anew.
    unread: u32,
    // How many indices of `outer` the dispatch covers.
    outer_size: u32,
    // Rows of the table of axes that belong to `outer`, and those that belong to `inner`; each has one at least.
    outer_rank: u32,
    inner_rank: u32,
    inner_size: u32,
    // The grid of workgroups has three dimensions; a dispatch of more groups than they hold continues another.
    grid_x: u32,
    grid_y: u32,
    first_group: u32,
    // The number under which the kernel's first gather notes an index out of range.
    error_id: u32,
    // The matrices of a product: rows of the first, columns of the second.
    matrix_rows: u32,
    matrix_columns: u32,
    // Bit 0: the first matrix is contiguous along k; bit 1: the second is.
    contiguous_along_k: u32,
    // Zero, which no compiler knows.
    run_time_zero: u32,
}

// Invocations of a workgroup: the generator writes the number of the kernel's schedule.
const WORKGROUP = 256u;

// A zero that no compiler knows: a float whose bits pass through an integer operation with it is not folded.
fn cp_zero() -> u32 {
    return params.header.run_time_zero;
}

// The linear number of a workgroup of a folded grid.
fn group_index(id: vec3<u32>) -> u32 {
    return (id.z * params.header.grid_y + id.y) * params.header.grid_x + id.x + params.header.first_group;
}
