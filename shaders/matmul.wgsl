// Σ over k of a[m, k] · b[k, n] for a batch of matrices. The workgroups copy parts of both operands to workgroup
// memory. Both operands may have any strides.
//
// CHAIN neighbouring products along k are added one after another, then the sums of these chains, one after another. So
// the order of additions depends on k alone, and the planner may let several kernels or workgroups share the chains
// (`plan/chains.rs`). A row of a product has the same bits in every batch and in every tile.
//
// The generator (src/gpu/wgsl) writes the functions that this file calls, and keeps one of the entry points below. The
// first block has stand-ins for the functions. A workgroup computes a tile of the product, of one of the shapes in
// `base/caps/product_tiles.rs`. In it, an invocation computes blocks of 4 × 4 elements, or one element. The generator
// repeats the lines between `for each` and `end for`, because drivers often do not unroll loops.

// block: written by the generator
// The type in which the product is computed.
alias T = f32;
// Four elements: a vector, or a struct for types that have no vectors on some devices.
alias Four = vec4<T>;
fn element(four: Four, n: u32) -> T {
    return four[n];
}
// Returns sum + x * four, element by element.
fn add_product(sum: Four, x: T, four: Four) -> Four {
    return sum + x * four;
}
// Returns a + b, element by element.
fn add_fours(a: Four, b: Four) -> Four {
    return a + b;
}
// Returns sum + x * y. The function after it returns a + b.
fn add_one_product(sum: T, x: T, y: T) -> T {
    return sum + x * y;
}
fn add_one(a: T, b: T) -> T {
    return a + b;
}
// The shape of the part of the product that a workgroup computes, the number of matrices in which it computes this
// part, and the shape of the part that an invocation computes. DEPTH is the number of elements along k that are in
// workgroup memory at once.
const TILE_ROWS = 128u;
const TILE_COLUMNS = 128u;
const MATRICES = 1u;
const EACH_ROWS = 8u;
const EACH_COLUMNS = 8u;
const DEPTH = 16u;
// The number of elements along k that the body of the inner loop multiplies. It divides DEPTH.
const UNROLLED = 4u;
// How many unused vectors lie in workgroup memory between two columns of a, or two rows of b: 0 or 1. With one, the
// columns and rows begin in different banks.
const PADDING = 0u;
// The generator replaces these by the numbers of the repeated lines.
const ROW = 0u;
const COLUMN = 0u;
const VECTOR = 0u;
const K = 0u;
// The number of neighbouring products along k in a chain of additions. It is a multiple of DEPTH.
const CHAIN = 256u;
// The positions at which one matrix of the batch begins in each operand, and along k.
struct Matrices {
    a: u32,
    b: u32,
    k: u32,
}
fn place_matrices(batch: u32) -> Matrices {
    return Matrices(0u, 0u, 0u);
}
// From `lib/factor.wgsl`, for each of the factors a and b: what an invocation fetches in a step along k, and the
// functions that fetch it and put it into workgroup memory.
struct Source_a {
    k: u32,
}
struct Source_b {
    k: u32,
}
struct Fetched_a {
    four: Four,
}
struct Fetched_b {
    four: Four,
}
const STRIDE_a = TILE_ROWS / 4u;
const STRIDE_b = TILE_COLUMNS / 4u;
var<workgroup> tile_a: array<Four, DEPTH * STRIDE_a>;
var<workgroup> tile_b: array<Four, DEPTH * STRIDE_b>;
var<workgroup> lines_a: array<T, 8>;
var<workgroup> lines_b: array<T, 8>;
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
fn put_a(source: Source_a, fetched: Fetched_a) {
}
fn put_b(source: Source_b, fetched: Fetched_b) {
}
// The sum that an earlier kernel has computed for an element of the product; 0 if there is none.
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
fn store_four(corner: Corner, line: u32, column: u32, products: Four, left: u32) {
}
// Computes the epilogue of an element of the product, and stores the result.
fn store_one(corner: Corner, line: u32, column: u32, product: T) {
}
// end

// The part of the product that a workgroup computes.
struct Task {
    // The number of the first matrix, which may lie past the end, and the number of matrices of the whole product.
    batch: u32,
    batches: u32,
    // The first row and the first column.
    row: u32,
    column: u32,
}

fn find_task(group: u32) -> Task {
    let m = params.header.matrix_rows;
    let n = params.header.matrix_columns;
    let tiles_m = (m + TILE_ROWS - 1u) / TILE_ROWS;
    let tiles_n = (n + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    let line = group / tiles_n;
    let batch = line / tiles_m;
    return Task(
        batch * MATRICES,
        params.header.outer_size / (m * n),
        (line - batch * tiles_m) * TILE_ROWS,
        (group - line * tiles_n) * TILE_COLUMNS,
    );
}

fn is_inside(task: Task, batch: u32, row: u32, column: u32) -> bool {
    return batch < task.batches && row < params.header.matrix_rows && column < params.header.matrix_columns;
}

// block: tiles
// How many invocations lie side by side along the rows and along the columns of the product. Each has blocks of 4 × 4
// elements; the distance between its blocks is this number of blocks.
const LANES_DOWN = TILE_ROWS / EACH_ROWS;
const LANES_ACROSS = TILE_COLUMNS / EACH_COLUMNS;
// How many vectors of a column of a, or of a row of b, the workgroup fetches at once. This is also the distance between
// the vectors of one invocation.
const FETCHED = WORKGROUP / DEPTH;

// A block of 4 × 4 elements of the product. Each vector is a row.
struct Block {
    row0: Four,
    row1: Four,
    row2: Four,
    row3: Four,
}

// Adds the products of one step along k: four elements of a column of a times four elements of a row of b.
fn add_step(sum: Block, a: Four, b: Four) -> Block {
    return Block(
        add_product(sum.row0, a.x, b),
        add_product(sum.row1, a.y, b),
        add_product(sum.row2, a.z, b),
        add_product(sum.row3, a.w, b),
    );
}

fn add_blocks(a: Block, b: Block) -> Block {
    return Block(
        add_fours(a.row0, b.row0),
        add_fours(a.row1, b.row1),
        add_fours(a.row2, b.row2),
        add_fours(a.row3, b.row3),
    );
}
// end

// block: narrow_from_zero
fn sum_of_element(task: Task, batch: u32, row: u32, column: u32) -> T {
    return T();
}
// end

// block: narrow_from_a_sum
fn sum_of_element_from_a_sum(task: Task, batch: u32, row: u32, column: u32) -> T {
    var sum = T();
    if is_inside(task, batch, row, column) {
        sum = load_sum(batch, row, column);
    }
    return sum;
}
// end

// block: from_zero
fn sum_so_far(task: Task, row: u32, column: u32) -> Block {
    return Block();
}
// end

// block: from_a_sum
// Loads the sums that an earlier kernel has computed for four neighbours in a row.
fn sums_of_row(task: Task, row: u32, column: u32) -> Four {
    var four = Four();
    if is_inside(task, task.batch, row, column) {
        four.x = load_sum(task.batch, row, column);
    }
    if is_inside(task, task.batch, row, column + 1u) {
        four.y = load_sum(task.batch, row, column + 1u);
    }
    if is_inside(task, task.batch, row, column + 2u) {
        four.z = load_sum(task.batch, row, column + 2u);
    }
    if is_inside(task, task.batch, row, column + 3u) {
        four.w = load_sum(task.batch, row, column + 3u);
    }
    return four;
}

fn sum_so_far_from_a_sum(task: Task, row: u32, column: u32) -> Block {
    return Block(
        sums_of_row(task, row, column),
        sums_of_row(task, row + 1u, column),
        sums_of_row(task, row + 2u, column),
        sums_of_row(task, row + 3u, column),
    );
}
// end

// block: main
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let task = find_task(group_index(id));
    let k_end = params.header.inner_size;
    let ty = lane / LANES_ACROSS;
    let tx = lane % LANES_ACROSS;
    let first_row = task.row + ty * 4u;
    let first_column = task.column + tx * 4u;
    // for each row and column
    var total_ROW_COLUMN = sum_so_far(task, first_row + ROW * LANES_DOWN * 4u, first_column + COLUMN * LANES_ACROSS * 4u);
    // end for
    let source_a = find_a(task, lane);
    let source_b = find_b(task, lane);
    // the next step's elements are fetched while the elements of this step are multiplied
    var next_a: Fetched_a;
    var next_b: Fetched_b;
    if k_end > 0u {
        next_a = fetch_a(source_a, 0u);
        next_b = fetch_b(source_b, 0u);
    }
    for (var chain = 0u; chain < k_end; chain = chain + CHAIN) {
        let chain_end = min(chain + CHAIN, k_end);
        let whole_end = chain_end - (chain_end - chain) % DEPTH;
        // for each row and column
        var block_ROW_COLUMN = Block();
        // end for
        for (var k_first = chain; k_first < whole_end; k_first = k_first + DEPTH) {
            put_a(source_a, next_a);
            put_b(source_b, next_b);
            workgroupBarrier();
            next_a = fetch_a(source_a, k_first + DEPTH);
            next_b = fetch_b(source_b, k_first + DEPTH);
            for (var k = 0u; k < DEPTH; k = k + UNROLLED) {
                // for each k
                {
                    // for each row
                    let left_ROW = tile_a[(k + K) * STRIDE_a + ROW * LANES_DOWN + ty];
                    // end for
                    // for each column
                    let right_COLUMN = tile_b[(k + K) * STRIDE_b + COLUMN * LANES_ACROSS + tx];
                    // end for
                    // for each row and column
                    block_ROW_COLUMN = add_step(block_ROW_COLUMN, left_ROW, right_COLUMN);
                    // end for
                }
                // end for
            }
            workgroupBarrier();
        }
        // the last step along k has fewer elements if DEPTH does not divide the length of k
        if whole_end < chain_end {
            put_a(source_a, next_a);
            put_b(source_b, next_b);
            workgroupBarrier();
            for (var k = 0u; whole_end + k < chain_end; k = k + 1u) {
                // for each row
                let left_ROW = tile_a[k * STRIDE_a + ROW * LANES_DOWN + ty];
                // end for
                // for each column
                let right_COLUMN = tile_b[k * STRIDE_b + COLUMN * LANES_ACROSS + tx];
                // end for
                // for each row and column
                block_ROW_COLUMN = add_step(block_ROW_COLUMN, left_ROW, right_COLUMN);
                // end for
            }
        }
        // for each row and column
        total_ROW_COLUMN = add_blocks(total_ROW_COLUMN, block_ROW_COLUMN);
        // end for
    }

    // each row is stored in turn, four columns of each of its blocks at a time
    const BLOCKS = EACH_COLUMNS / 4u;
    var sums: array<Four, EACH_ROWS * BLOCKS>;
    // for each row and column
    sums[ROW * 4u * BLOCKS + COLUMN] = total_ROW_COLUMN.row0;
    sums[(ROW * 4u + 1u) * BLOCKS + COLUMN] = total_ROW_COLUMN.row1;
    sums[(ROW * 4u + 2u) * BLOCKS + COLUMN] = total_ROW_COLUMN.row2;
    sums[(ROW * 4u + 3u) * BLOCKS + COLUMN] = total_ROW_COLUMN.row3;
    // end for
    let corner = find_corner(task.batch);
    for (var n = 0u; n < EACH_ROWS * BLOCKS; n = n + 1u) {
        let line = n / BLOCKS;
        let row = first_row + line / 4u * LANES_DOWN * 4u + line % 4u;
        let column = first_column + n % BLOCKS * LANES_ACROSS * 4u;
        if is_inside(task, task.batch, row, column) {
            store_four(corner, row, column, sums[n], params.header.matrix_columns - column);
        }
    }
}
// end

// block: main_narrow
// Computes one element of the product in each invocation, for matrices that would leave most of a tile empty.
@compute @workgroup_size(WORKGROUP)
fn main_narrow(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let task = find_task(group_index(id));
    let k_end = params.header.inner_size;
    let batch = task.batch + lane / TILE_COLUMNS / TILE_ROWS;
    let row = task.row + lane / TILE_COLUMNS % TILE_ROWS;
    let column = task.column + lane % TILE_COLUMNS;
    // the positions in workgroup memory of the row of a and of the column of b that belong to the element
    let line_a = lane / TILE_COLUMNS * (DEPTH + 1u);
    let line_b = (lane / TILE_COLUMNS / TILE_ROWS * TILE_COLUMNS + lane % TILE_COLUMNS) * (DEPTH + 1u);
    var total = sum_of_element(task, batch, row, column);
    let source_a = find_a(task, lane);
    let source_b = find_b(task, lane);
    var next_a: Fetched_a;
    var next_b: Fetched_b;
    if k_end > 0u {
        next_a = fetch_a(source_a, 0u);
        next_b = fetch_b(source_b, 0u);
    }
    for (var chain = 0u; chain < k_end; chain = chain + CHAIN) {
        let chain_end = min(chain + CHAIN, k_end);
        let whole_end = chain_end - (chain_end - chain) % DEPTH;
        var sum = T();
        for (var k_first = chain; k_first < whole_end; k_first = k_first + DEPTH) {
            put_a(source_a, next_a);
            put_b(source_b, next_b);
            workgroupBarrier();
            next_a = fetch_a(source_a, k_first + DEPTH);
            next_b = fetch_b(source_b, k_first + DEPTH);
            // for each step
            sum = add_one_product(sum, lines_a[line_a + K], lines_b[line_b + K]);
            // end for
            workgroupBarrier();
        }
        // the last step along k has fewer elements if DEPTH does not divide the length of k
        if whole_end < chain_end {
            put_a(source_a, next_a);
            put_b(source_b, next_b);
            workgroupBarrier();
            for (var k = 0u; whole_end + k < chain_end; k = k + 1u) {
                sum = add_one_product(sum, lines_a[line_a + k], lines_b[line_b + k]);
            }
        }
        total = add_one(total, sum);
    }
    if is_inside(task, batch, row, column) {
        store_one(find_corner(batch), row, column, total);
    }
}
// end
