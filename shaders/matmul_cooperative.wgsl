// Σ over k of a[m, k] · b[k, n] of f16 for a batch of matrices, by cooperative matrices (tensor cores): a subgroup
// multiplies small square matrices of f16 and adds the products to sums in f32, as one operation. Both operands may
// have any strides. Elements beyond the edges of the operands count as 0. A product with a single row is computed as a
// matrix whose other rows lie beyond the edge.
//
// These operations add CHAIN neighbouring products along k in an order that the hardware chooses. Then the sums of
// these chains are added one after another, as in `matmul.wgsl`. So the order of additions depends on k alone, and the
// planner may let several kernels or workgroups share the chains (`plan/chains.rs`). A row of a product has the same
// bits in every batch.
//
// A workgroup computes a tile of SIDE × SIDE elements of the product. Each of its first subgroups computes a block of
// the tile. The workgroup copies STEP elements along k of each row of a and each column of b to workgroup memory, and
// meanwhile fetches the next ones. The subgroups load their small matrices from there. A shader cannot access single
// elements of a cooperative matrix, so the sums go through workgroup memory to the invocations, each of which stores a
// few vectors of four neighbours in a row.

// block: written by the generator
// The type in which the product is computed.
alias T = f32;
// The number of rows, and of columns, of the small matrices: 8 or 16.
const TILE = 16u;
// Small matrices of the left operand, of the right one, and of sums.
alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;
// The number of rows, and of columns, of the part of the product that a workgroup computes, and the size of a
// subgroup's block of it.
const SIDE = 64u;
const BLOCK_ROWS = 32u;
const BLOCK_COLUMNS = 32u;
// The generator repeats lines of this file for each row and each column of small matrices in a block. It replaces these
// two constants by the numbers of the row and the column.
const ROW = 0u;
const COLUMN = 0u;
// The number of elements along k that are in workgroup memory at once. It is a multiple of TILE.
const STEP = 32u;
// The number of neighbouring products along k in a chain of additions. It is a multiple of STEP.
const CHAIN = 256u;
// The number of small matrices along k that the body of the inner loop multiplies. The generator replaces DEEP by the
// number of each of them.
const UNROLLED = 2u;
const DEEP = 0u;
// The positions at which one matrix of the batch begins in each operand, and along k.
struct Matrices {
    a: u32,
    b: u32,
    k: u32,
}
fn place_matrices(batch: u32) -> Matrices {
    return Matrices(0u, 0u, 0u);
}
// Stand-ins for the blocks of `lib/factor.wgsl`, for a and for b.
var<workgroup> halves_a: array<f16, 4096>;
var<workgroup> halves_b: array<f16, 4096>;
const STRIDE_a = 40u;
const STRIDE_b = 40u;
// How many f16 an element of these arrays has.
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
// The sum that an earlier kernel has computed for an element of the product.
fn load_sum(batch: u32, line: u32, column: u32) -> T {
    return T(batch);
}
// The position at which a matrix of the batch begins in the operands of the epilogue (the computation that follows the
// product).
struct Corner {
    at: u32,
}
fn find_corner(batch: u32) -> Corner {
    return Corner(batch);
}
// Computes the epilogue of four neighbours in a row of the product, and stores the results. `left` of the four are
// inside the product.
fn store_four(corner: Corner, line: u32, column: u32, products: vec4<T>, left: u32) {
}
// end

// The number of blocks in a row of blocks, and in the whole tile.
const ACROSS = SIDE / BLOCK_COLUMNS;
const BLOCKS = SIDE / BLOCK_ROWS * ACROSS;
// Workgroup memory holds one small matrix of sums of each block at once, in a patch. A row of a patch has four more
// elements than a row of the matrix, so that rows begin in different banks.
const STRIDE_SUMS = TILE + 4u;
const PATCH = TILE * STRIDE_SUMS;
// The number of vectors of four sums in all patches.
const QUADS = BLOCKS * TILE * TILE / 4u;

var<workgroup> staged_sums: array<f32, BLOCKS * PATCH>;

// The part of the product that a workgroup computes.
struct Task {
    batch: u32,
    batches: u32,
    // Whether the workgroup lies past the end. Such a workgroup computes the last matrix again, so that every
    // invocation reaches the barriers, and stores nothing.
    is_past_end: bool,
    // The first row and the first column.
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

// The place of a vector of four sums: its row and its first column in the product, and its position in workgroup
// memory. The patches hold the small matrices that are in the given row and column of their blocks.
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
// Copies the sums that an earlier kernel has computed to workgroup memory.
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

// Stores the sums that are in workgroup memory in the result.
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
    // if the subgroups are smaller than the device's largest, there are more of them than blocks; the additional ones
    // compute the last block again
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
            for (var k = 0u; k < STEP; k = k + UNROLLED * TILE) {
                // for each step
                {
                    // for each row
                    let a_ROW = coopLoadT<Left>(&halves_a[place_in_a(block_row + ROW * TILE, k + DEEP * TILE) / UNIT_a], STRIDE_a / UNIT_a);
                    // end for
                    // for each column
                    let b_COLUMN = coopLoad<Right>(&halves_b[place_in_b(block_column + COLUMN * TILE, k + DEEP * TILE) / UNIT_b], STRIDE_b / UNIT_b);
                    // end for
                    // for each row and column
                    sum_ROW_COLUMN = coopMultiplyAdd(a_ROW, b_COLUMN, sum_ROW_COLUMN);
                    // end for
                }
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
