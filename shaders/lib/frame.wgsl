// The part that every kernel has: the header of a dispatch's parameters, and the functions that read it.
//
// The names of functions in this folder begin with the type in which they compute: `m_` is a function of f32 ("maths"),
// `d_` the same function of f64 ("double"). Functions with `cp_` ("cupric") are parts of other functions.
// `{type}_to_{type}` converts like Rust's `as`. A name that ends in a type (`idiv_i32`) is a function of that type.

// The first words of the parameters of every kernel. `Header` in src/gpu/wgsl/header.rs has the same fields, and a test
// compares the two.
struct Header {
    // No shader reads word 0. Mesa compiles a uniform that decides a branch or the end of a loop into the shader as a
    // constant, and version 22.3 mistakenly takes word 0 instead of the word that decides. So a field in word 0 would
    // become a constant: each new value would compile the shader again, and the compiler would know `run_time_zero`.
    unread: u32,
    // `outer` are the axes of the elements that the kernel computes (of a reduction, the axes of its results), and
    // `inner` the axes along which it reduces. This is the number of indices of `outer` that the dispatch covers.
    outer_size: u32,
    // How many rows of the table of axes belong to `outer`, and how many to `inner`; each of the two has at least one.
    outer_rank: u32,
    inner_rank: u32,
    inner_size: u32,
    // The extents of the grid of workgroups along x and y, and the number of the grid's first workgroup. If there are
    // more workgroups than one grid can hold, the kernel has several dispatches.
    grid_x: u32,
    grid_y: u32,
    first_group: u32,
    // The number with which the kernel's first gather reports an index that is out of range.
    error_id: u32,
    // For a matrix product: the number of rows of the first matrix, and the number of columns of the second.
    matrix_rows: u32,
    matrix_columns: u32,
    // For a matrix product: bit 0 is set if the first matrix is contiguous along k, and bit 1 if the second one is.
    contiguous_along_k: u32,
    // The length of k. The kernel may sum only a part of it, of `inner_size` elements, which begins at `first_k` or a
    // number of chains later.
    k_size: u32,
    first_k: u32,
    // Always zero, but the compiler cannot know that.
    run_time_zero: u32,
}

// The number of invocations in a workgroup. The generator replaces it by the number in the kernel's schedule.
const WORKGROUP = 256u;

// Returns a zero that the compiler cannot know. A compiler therefore cannot fold a float whose bits are combined with
// it in an integer operation.
fn cp_zero() -> u32 {
    return params.header.run_time_zero;
}

// The number of a workgroup among all workgroups of the kernel, counted through the dimensions of the grid and through
// the dispatches.
fn group_index(id: vec3<u32>) -> u32 {
    return (id.z * params.header.grid_y + id.y) * params.header.grid_x + id.x + params.header.first_group;
}
