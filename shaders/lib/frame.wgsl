// The part that every kernel has: the header of a dispatch's parameters, and the functions that read it.
//
// Names in this folder begin with what they compute in: `m_` is a function of f32 ("maths"), `d_` the same function of
// f64 ("double"), and `cp_` ("cupric") is a part that other functions are made of. `{type}_to_{type}` converts as
// Rust's `as`; a name that ends in a type (`idiv_i32`) is that type's form of one function.

// The first words of the parameters, whatever the kernel. `Header` in src/gpu/wgsl/header.rs has the same fields, and a
// test compares the two.
struct Header {
    // No shader reads word 0. Mesa compiles a uniform that decides a branch or the end of a loop into the shader as a
    // constant, and version 22.3 mistakenly takes word 0 instead of the one that decides. So a field in word 0 would become
    // a constant: each new value would compile the shader anew, and `run_time_zero` would be known to the compiler.
    unread: u32,
    // How many indices of `outer` the dispatch covers.
    outer_size: u32,
    // How many rows of the table of axes belong to `outer`, and how many to `inner`; each has at least one.
    outer_rank: u32,
    inner_rank: u32,
    inner_size: u32,
    // The extents of the grid of workgroups along x and y, and the number of its first workgroup: more workgroups than one
    // grid holds take several dispatches.
    grid_x: u32,
    grid_y: u32,
    first_group: u32,
    // The number under which the kernel's first gather notes an index out of range.
    error_id: u32,
    // Of a matrix product: rows of the first matrix, columns of the second.
    matrix_rows: u32,
    matrix_columns: u32,
    // Bit 0: the first matrix is contiguous along k; bit 1: the second is.
    contiguous_along_k: u32,
    // The length of k, of which the kernel may sum a part of `inner_size` elements. The part begins at `first_k`, or a number of chains
    // later.
    k_size: u32,
    first_k: u32,
    // Always zero, but the compiler cannot know that.
    run_time_zero: u32,
}

// How many invocations a workgroup has: the generator writes the number from the kernel's schedule here.
const WORKGROUP = 256u;

// A zero that the compiler cannot know: it must not fold a float whose bits pass through an integer operation with it.
fn cp_zero() -> u32 {
    return params.header.run_time_zero;
}

// The number of a workgroup among all of the kernel, counted through the dimensions of the grid and the dispatches.
fn group_index(id: vec3<u32>) -> u32 {
    return (id.z * params.header.grid_y + id.y) * params.header.grid_x + id.x + params.header.first_group;
}
