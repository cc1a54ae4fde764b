// Σ over k of a[m, k] · b[k, n] of f16 for a batch of matrices, by cooperative matrices (tensor cores): a subgroup multiplies small
// square matrices of f16 and adds the products to sums in f32, as one operation. Both operands may have any strides; elements
// beyond their edges count as 0. A single row is a matrix whose other rows lie beyond the edge.
//
// CHAIN neighbouring products along k are added by these operations, in an order that is the hardware's, then the sums of these
// chains, one after another, as in `matmul.wgsl`. So the order of additions depends on k alone, and the planner may let several
// kernels or workgroups share the chains (`plan/chains.rs`): a row of a product has the same bits in every batch.
//
// A workgroup computes a tile of SIDE × SIDE of the product, of which each of its first subgroups has a block. It brings STEP elements
// along k of each row of a and each column of b to workgroup memory, from where subgroups load their small matrices, and fetches the
// next ones meanwhile. A cooperative matrix gives no access to its elements, so the sums go through workgroup memory to the
// invocations, each of which stores a few vectors of four neighbours in a row.

// block: written by the generator
// The type in which the product is computed.
alias T = f32;
// The side of the small matrices: 8 or 16.
const TILE = 16u;
// Small matrices of the left operand, of the right one, and of sums.
alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;
// The side of the part of the product that a workgroup computes, and the sides of a subgroup's block of it.
const SIDE = 64u;
const BLOCK_ROWS = 32u;
const BLOCK_COLUMNS = 32u;
// What the lines below are repeated for: each row of small matrices of a block, and each column.
const ROW = 0u;
const COLUMN = 0u;
// Elements along k that are in workgroup memory at once; a multiple of TILE.
const STEP = 32u;
// Neighbouring products along k in a chain of additions; a multiple of STEP.
const CHAIN = 256u;
// Where one matrix of the batch begins in each operand, and along k.
struct Matrices {
    a: u32,
    b: u32,
    k: u32,
}
fn place_matrices(batch: u32) -> Matrices {
    return Matrices(0u, 0u, 0u);
}
// The blocks of `lib/factor.wgsl`, for a and for b.
var<workgroup> halves_a: array<f16, 4096>;
var<workgroup> halves_b: array<f16, 4096>;
const STRIDE_a = 40u;
const STRIDE_b = 40u;
// How many elements an element of these arrays has.
const UNIT_a = 1u;
const UNIT_b = 1u;
fn place_in_a(row: u32, k: u32) -> u32 {
    return row * STRIDE_a + k;
}
fn place_in_b(column: u32, k: u32) -> u32 {
    return column * STRIDE_b + k;
}
struct Source_a {
    k: u32,
}
struct Source_b {
    k: u32,
}
struct Fetched_a {
    four: vec4<f16>,
}
struct Fetched_b {
    four: vec4<f16>,
}
fn find_a(task: Task, lane: u32) -> Source_a {
    return Source_a(lane);
}
fn find_b(task: Task, lane: u32) -> Source_b {
    return Source_b(lane);
}
fn fetch_a(source: Source_a, k_first: u32) -> Fetched_a {
    return Fetched_a();
}
fn fetch_b(source: Source_b, k_first: u32) -> Fetched_b {
    return Fetched_b();
}
fn put_a(source: Source_a, fetched: Fetched_a, k_first: u32) {
}
fn put_b(source: Source_b, fetched: Fetched_b, k_first: u32) {
}
// The sum that a kernel before this one has computed.
fn load_sum(batch: u32, line: u32, column: u32) -> T {
    return T(batch);
}
// Where a matrix of the batch begins in the operands of the epilogue.
struct Corner {
    at: u32,
}
fn find_corner(batch: u32) -> Corner {
    return Corner(batch);
}
// Computes the epilogue of four neighbours in a row of the product, of which `left` are inside, and stores them.
fn store_four(corner: Corner, line: u32, column: u32, products: vec4<T>, left: u32) {
}
// end

// The blocks of a row of blocks, and of the whole part.
const ACROSS = SIDE / BLOCK_COLUMNS;
const BLOCKS = SIDE / BLOCK_ROWS * ACROSS;
// One small matrix of sums of each block is in workgroup memory at once. The distance between its rows is four elements more than
// a row has, so that rows begin in different banks.
const STRIDE_SUMS = TILE + 4u;
const PATCH = TILE * STRIDE_SUMS;
// Vectors of four sums in all patches.
const QUADS = BLOCKS * TILE * TILE / 4u;

var<workgroup> staged_sums: array<f32, BLOCKS * PATCH>;

// The part of the product that a workgroup computes.
struct Task {
    batch: u32,
    batches: u32,
    // Whether the workgroup lies past the end. It computes the last matrix again, so that every barrier is reached by
    // all, and stores nothing.
    is_past_end: bool,
    // The first row and column.
    row: u32,
    column: u32,
}

fn find_task(group: u32) -> Task {
    let m = params.header.matrix_rows;
    let n = params.header.matrix_columns;
    let tiles_m = (m + SIDE - 1u) / SIDE;
    let tiles_n = (n + SIDE - 1u) / SIDE;
    let batches = params.header.outer_size / (m * n);
    let wanted = group / tiles_n / tiles_m;
    let row = (group / tiles_n) % tiles_m * SIDE;
    return Task(min(wanted, batches - 1u), batches, wanted >= batches, row, group % tiles_n * SIDE);
}

// Where a vector of four sums lies: the row and the first column in the product, and the place in workgroup memory. The patches are
// those of the small matrices whose row and column in their blocks these are.
struct Quad {
    row: u32,
    column: u32,
    at: u32,
}

fn find_quad(task: Task, quad: u32, row: u32, column: u32) -> Quad {
    let block = quad / (TILE * TILE / 4u);
    let line = quad / (TILE / 4u) % TILE;
    let first = quad % (TILE / 4u) * 4u;
    return Quad(
        task.row + block / ACROSS * BLOCK_ROWS + row * TILE + line,
        task.column + block % ACROSS * BLOCK_COLUMNS + column * TILE + first,
        block * PATCH + line * STRIDE_SUMS + first,
    );
}

// block: from_a_sum
// Brings the sums of a kernel before this one to workgroup memory.
fn bring_sums(task: Task, lane: u32, row: u32, column: u32) {
    workgroupBarrier();
    for (var n = lane; n < QUADS; n = n + WORKGROUP) {
        let quad = find_quad(task, n, row, column);
        for (var e = 0u; e < 4u; e = e + 1u) {
            var sum = 0.0;
            if quad.row < params.header.matrix_rows && quad.column + e < params.header.matrix_columns {
                sum = load_sum(task.batch, quad.row, quad.column + e);
            }
            staged_sums[quad.at + e] = sum;
        }
    }
    workgroupBarrier();
}
// end

// Stores the sums in workgroup memory.
fn store_sums(task: Task, corner: Corner, lane: u32, row: u32, column: u32) {
    workgroupBarrier();
    for (var n = lane; n < QUADS; n = n + WORKGROUP) {
        let quad = find_quad(task, n, row, column);
        if quad.row < params.header.matrix_rows && quad.column < params.header.matrix_columns && !task.is_past_end {
            let sums = vec4<T>(
                staged_sums[quad.at],
                staged_sums[quad.at + 1u],
                staged_sums[quad.at + 2u],
                staged_sums[quad.at + 3u],
            );
            store_four(corner, quad.row, quad.column, sums, params.header.matrix_columns - quad.column);
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let task = find_task(group_index(id));
    let k_end = params.header.inner_size;
    // subgroups may be smaller than the device's largest, and so more than there are blocks; the others compute the last one again
    let block = min(subgroup, BLOCKS - 1u);
    let block_row = block / ACROSS * BLOCK_ROWS;
    let block_column = block % ACROSS * BLOCK_COLUMNS;
    // for each row and column
    var total_ROW_COLUMN = Sums();
    // end for
    // block: from_a_sum
    // for each row and column
    bring_sums(task, lane, ROW, COLUMN);
    total_ROW_COLUMN = coopLoadT<Sums>(&staged_sums[block * PATCH], STRIDE_SUMS);
    // end for
    // end
    let source_a = find_a(task, lane);
    let source_b = find_b(task, lane);
    var next_a = fetch_a(source_a, 0u);
    var next_b = fetch_b(source_b, 0u);
    for (var chain = 0u; chain < k_end; chain = chain + CHAIN) {
        let chain_end = min(chain + CHAIN, k_end);
        // for each row and column
        var sum_ROW_COLUMN = Sums();
        // end for
        for (var k_first = chain; k_first < chain_end; k_first = k_first + STEP) {
            put_a(source_a, next_a, k_first);
            put_b(source_b, next_b, k_first);
            workgroupBarrier();
            next_a = fetch_a(source_a, k_first + STEP);
            next_b = fetch_b(source_b, k_first + STEP);
            for (var k = 0u; k < STEP; k = k + TILE) {
                // for each row
                let a_ROW = coopLoadT<Left>(&halves_a[place_in_a(block_row + ROW * TILE, k) / UNIT_a], STRIDE_a / UNIT_a);
                // end for
                // for each column
                let b_COLUMN = coopLoad<Right>(&halves_b[place_in_b(block_column + COLUMN * TILE, k) / UNIT_b], STRIDE_b / UNIT_b);
                // end for
                // for each row and column
                sum_ROW_COLUMN = coopMultiplyAdd(a_ROW, b_COLUMN, sum_ROW_COLUMN);
                // end for
            }
            workgroupBarrier();
        }
        // for each row and column
        total_ROW_COLUMN = total_ROW_COLUMN + sum_ROW_COLUMN;
        // end for
    }
    let corner = find_corner(task.batch);
    // for each row and column
    if subgroup < BLOCKS {
        coopStoreT(total_ROW_COLUMN, &staged_sums[block * PATCH], STRIDE_SUMS);
    }
    store_sums(task, corner, lane, ROW, COLUMN);
    // end for
}
