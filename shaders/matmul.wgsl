// Σ over k of a[m, k] · b[k, n] for a batch of matrices. Parts of both operands go through workgroup memory; an invocation
// computes blocks of 4 × 4 of the product. Both operands may have any strides; elements beyond their edges count as 0.
//
// CHAIN neighbouring products along k are added one after another, then the sums of these chains, one after another. So
// the order of additions depends on k alone, and the planner may let several kernels or workgroups share the chains
// (`plan/chains.rs`): a row of a product has the same bits in every batch, and in every tile.
//
// The generator writes what this file calls, and keeps one of the entry points below: a workgroup computes a tile of the
// product, of one of the shapes in `base/caps/tiles.rs`, and the generator repeats the lines between `for each` and `end for`, because
// drivers often leave a loop as it is; or each invocation computes one element.

// block: written by the generator
// The type in which the product is computed.
alias T = f32;
// Four elements: a vector, or a struct for types that have no vectors on every device.
alias Four = vec4<T>;
fn element(four: Four, n: u32) -> T {
    return four[n];
}
// sum + x * four, element by element.
fn add_product(sum: Four, x: T, four: Four) -> Four {
    return sum + x * four;
}
// The sum of both, element by element.
fn add_fours(a: Four, b: Four) -> Four {
    return a + b;
}
// sum + x * y, and the sum of both.
fn add_one_product(sum: T, x: T, y: T) -> T {
    return sum + x * y;
}
fn add_one(a: T, b: T) -> T {
    return a + b;
}
// The part of the product that a workgroup computes, and the part that an invocation computes; then the number of
// elements along k that are in workgroup memory at once.
const TILE_ROWS = 128u;
const TILE_COLUMNS = 128u;
const EACH_ROWS = 8u;
const EACH_COLUMNS = 8u;
const DEPTH = 16u;
// Vectors of workgroup memory between two columns of a, or two rows of b, so that they begin in different banks: 0 or 1.
const PADDING = 0u;
// The numbers of repeated lines.
const ROW = 0u;
const COLUMN = 0u;
const VECTOR = 0u;
const K = 0u;
// Neighbouring products along k in a chain of additions; a multiple of DEPTH.
const CHAIN = 256u;
// Where one matrix of the batch begins in each operand.
struct Matrices {
    a: u32,
    b: u32,
}
fn place_matrices(batch: u32) -> Matrices {
    return Matrices(0u, 0u);
}
// Where column `k` of a begins, if its matrix begins at `matrix`; then the distance between the column's elements.
fn place_column_a(matrix: u32, k: u32) -> u32 {
    return matrix + k;
}
fn stride_a() -> u32 {
    return params.header.inner_size;
}
fn load_a(at: u32) -> T {
    return T(at);
}
// Where row `k` of b begins, if its matrix begins at `matrix`; then the distance between the row's elements.
fn place_row_b(matrix: u32, k: u32) -> u32 {
    return matrix + k * params.header.matrix_columns;
}
fn stride_b() -> u32 {
    return 1u;
}
fn load_b(at: u32) -> T {
    return T(at);
}
// The sum that a kernel before this one has computed, at an index of `outer`; 0 if there is none.
fn load_sum(index: u32) -> T {
    return T(index);
}
// Computes the epilogue of the product at an index of `outer`, and stores it.
fn store_element(index: u32, product: T, unit: u32, is_last: bool) {
}
// end

// block: tiles
// Tile `a` holds four rows of a column in a vector, tile `b` four columns of a row. These are the distances between columns,
// and between rows.
const STRIDE_A = TILE_ROWS / 4u + PADDING;
const STRIDE_B = TILE_COLUMNS / 4u + PADDING;
var<workgroup> tile_a: array<Four, DEPTH * STRIDE_A>;
var<workgroup> tile_b: array<Four, DEPTH * STRIDE_B>;

// How many invocations lie side by side along the rows and the columns of the product, each with blocks of 4 × 4 that lie as many
// blocks apart.
const LANES_DOWN = TILE_ROWS / EACH_ROWS;
const LANES_ACROSS = TILE_COLUMNS / EACH_COLUMNS;
// Of each column of a, or row of b, as many vectors are fetched at once: an invocation fetches vectors that lie as many apart.
const FETCHED = WORKGROUP / DEPTH;

// Four rows from `first` on of the column of a that begins at `column`.
fn fetch_a(column: u32, first: u32) -> Four {
    let rows = params.header.matrix_rows;
    let stride = stride_a();
    var four = Four();
    if first < rows {
        four.x = load_a(column + first * stride);
    }
    if first + 1u < rows {
        four.y = load_a(column + (first + 1u) * stride);
    }
    if first + 2u < rows {
        four.z = load_a(column + (first + 2u) * stride);
    }
    if first + 3u < rows {
        four.w = load_a(column + (first + 3u) * stride);
    }
    return four;
}

// Four columns from `first` on of the row of b that begins at `row`.
fn fetch_b(row: u32, first: u32) -> Four {
    let columns = params.header.matrix_columns;
    let stride = stride_b();
    var four = Four();
    if first < columns {
        four.x = load_b(row + first * stride);
    }
    if first + 1u < columns {
        four.y = load_b(row + (first + 1u) * stride);
    }
    if first + 2u < columns {
        four.z = load_b(row + (first + 2u) * stride);
    }
    if first + 3u < columns {
        four.w = load_b(row + (first + 3u) * stride);
    }
    return four;
}

// 4 × 4 elements of the product, one row in each vector.
struct Block {
    row0: Four,
    row1: Four,
    row2: Four,
    row3: Four,
}

// Adds one step along k: four elements of a column of a times four of a row of b.
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

// The part of the product that a workgroup computes, and the vectors that one of its invocations fetches.
struct Task {
    batch: u32,
    // Whether the workgroup lies past the end. It computes the last matrix again, so that every barrier is reached by
    // all, and stores nothing.
    is_past_end: bool,
    // The first row and column of the workgroup's part of the product.
    row: u32,
    column: u32,
    // Of a and of b: the step along k of which the invocation fetches vectors, and the number of the first of them in the step.
    a_k: u32,
    a_vector: u32,
    b_k: u32,
    b_vector: u32,
}

fn find_task(group: u32, lane: u32) -> Task {
    let m = params.header.matrix_rows;
    let n = params.header.matrix_columns;
    let tiles_m = (m + TILE_ROWS - 1u) / TILE_ROWS;
    let tiles_n = (n + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    let batches = params.header.outer_size / (m * n);
    let wanted = group / tiles_n / tiles_m;
    var task: Task;
    task.batch = min(wanted, batches - 1u);
    task.is_past_end = wanted >= batches;
    task.row = (group / tiles_n) % tiles_m * TILE_ROWS;
    task.column = group % tiles_n * TILE_COLUMNS;
    // neighbouring invocations fetch along the axis in which the operand is contiguous
    let a_along_k = (params.header.contiguous_along_k & 1u) != 0u;
    let b_along_k = (params.header.contiguous_along_k & 2u) != 0u;
    task.a_k = select(lane / FETCHED, lane % DEPTH, a_along_k);
    task.a_vector = select(lane % FETCHED, lane / DEPTH, a_along_k);
    task.b_k = select(lane / FETCHED, lane % DEPTH, b_along_k);
    task.b_vector = select(lane % FETCHED, lane / DEPTH, b_along_k);
    return task;
}
// end

// block: narrow_from_zero
fn sum_of_element(index: u32) -> T {
    return T();
}
// end

// block: narrow_from_a_sum
fn sum_of_element_from_a_sum(index: u32) -> T {
    return load_sum(index);
}
// end

// block: from_zero
fn sum_so_far(task: Task, row: u32, column: u32) -> Block {
    return Block();
}
// end

// block: from_a_sum
// The sums of a kernel before this one, of four columns of a row.
fn sums_of_row(task: Task, row: u32, column: u32) -> Four {
    let rows = params.header.matrix_rows;
    let columns = params.header.matrix_columns;
    let index = (task.batch * rows + row) * columns + column;
    var four = Four();
    if row < rows && column < columns {
        four.x = load_sum(index);
    }
    if row < rows && column + 1u < columns {
        four.y = load_sum(index + 1u);
    }
    if row < rows && column + 2u < columns {
        four.z = load_sum(index + 2u);
    }
    if row < rows && column + 3u < columns {
        four.w = load_sum(index + 3u);
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
    let task = find_task(group_index(id), lane);
    let matrices = place_matrices(task.batch);
    let k_end = params.header.inner_size;
    let ty = lane / LANES_ACROSS;
    let tx = lane % LANES_ACROSS;
    let first_row = task.row + ty * 4u;
    let first_column = task.column + tx * 4u;
    // for each row and column
    var total_ROW_COLUMN = sum_so_far(task, first_row + ROW * LANES_DOWN * 4u, first_column + COLUMN * LANES_ACROSS * 4u);
    // end for
    for (var chain = 0u; chain < k_end; chain = chain + CHAIN) {
        let chain_end = min(chain + CHAIN, k_end);
        // for each row and column
        var block_ROW_COLUMN = Block();
        // end for
        for (var k_first = chain; k_first < chain_end; k_first = k_first + DEPTH) {
            // for each vector of a
            var a_VECTOR = Four();
            // end for
            if k_first + task.a_k < k_end {
                let column_a = place_column_a(matrices.a, k_first + task.a_k);
                // for each vector of a
                a_VECTOR = fetch_a(column_a, task.row + (task.a_vector + VECTOR * FETCHED) * 4u);
                // end for
            }
            // for each vector of a
            tile_a[task.a_k * STRIDE_A + task.a_vector + VECTOR * FETCHED] = a_VECTOR;
            // end for
            // for each vector of b
            var b_VECTOR = Four();
            // end for
            if k_first + task.b_k < k_end {
                let row_b = place_row_b(matrices.b, k_first + task.b_k);
                // for each vector of b
                b_VECTOR = fetch_b(row_b, task.column + (task.b_vector + VECTOR * FETCHED) * 4u);
                // end for
            }
            // for each vector of b
            tile_b[task.b_k * STRIDE_B + task.b_vector + VECTOR * FETCHED] = b_VECTOR;
            // end for
            workgroupBarrier();
            // four steps at a time: more take long to compile
            for (var k = 0u; k < DEPTH; k = k + 4u) {
                // for each k
                {
                    // for each row
                    let left_ROW = tile_a[(k + K) * STRIDE_A + ROW * LANES_DOWN + ty];
                    // end for
                    // for each column
                    let right_COLUMN = tile_b[(k + K) * STRIDE_B + COLUMN * LANES_ACROSS + tx];
                    // end for
                    // for each row and column
                    block_ROW_COLUMN = add_step(block_ROW_COLUMN, left_ROW, right_COLUMN);
                    // end for
                }
                // end for
            }
            workgroupBarrier();
        }
        // for each row and column
        total_ROW_COLUMN = add_blocks(total_ROW_COLUMN, block_ROW_COLUMN);
        // end for
    }

    // row by row, with four columns of each block that lies there
    const BLOCKS = EACH_COLUMNS / 4u;
    var sums: array<Four, EACH_ROWS * BLOCKS>;
    // for each row and column
    sums[ROW * 4u * BLOCKS + COLUMN] = total_ROW_COLUMN.row0;
    sums[(ROW * 4u + 1u) * BLOCKS + COLUMN] = total_ROW_COLUMN.row1;
    sums[(ROW * 4u + 2u) * BLOCKS + COLUMN] = total_ROW_COLUMN.row2;
    sums[(ROW * 4u + 3u) * BLOCKS + COLUMN] = total_ROW_COLUMN.row3;
    // end for
    for (var e = 0u; e < EACH_ROWS * EACH_COLUMNS; e = e + 1u) {
        let line = e / EACH_COLUMNS;
        let row = first_row + line / 4u * LANES_DOWN * 4u + line % 4u;
        let column = first_column + e / 4u % BLOCKS * LANES_ACROSS * 4u + e % 4u;
        if row < params.header.matrix_rows && column < params.header.matrix_columns && !task.is_past_end {
            let index = (task.batch * params.header.matrix_rows + row) * params.header.matrix_columns + column;
            store_element(index, element(sums[e / 4u], e % 4u), e % 4u, column + 1u == params.header.matrix_columns);
        }
    }
}
// end

// block: main_narrow
// The number of elements along k that the workgroup has in its memory at once.
const STEP = 8u;

// For each invocation, STEP neighbouring elements of its row of a and of its column of b. An invocation fetches
// elements for others too: neighbours fetch along k if an operand is contiguous along k, otherwise across.
var<workgroup> lines_a: array<T, WORKGROUP * STEP>;
var<workgroup> lines_b: array<T, WORKGROUP * STEP>;

// Where element `k` of an invocation's line is. Every four invocations have a different order of `k`, because memory is
// spread over 32 banks: so 32 neighbours that read the same `k` read from 32 banks.
fn place_in_line(line: u32, k: u32) -> u32 {
    return line * STEP + (k ^ ((line >> 2u) % STEP));
}

// Where the row of a and the column of b begin whose product is the element at an index of `outer`.
fn begin_lines(index: u32) -> vec2<u32> {
    let rows = params.header.matrix_rows;
    let columns = params.header.matrix_columns;
    let line = index / columns;
    let matrices = place_matrices(line / rows);
    return vec2<u32>(matrices.a + line % rows * stride_a(), matrices.b + index % columns * stride_b());
}

fn fetch_one_a(line: u32, k: u32, start: u32, at: u32) {
    var x = T();
    if at < params.header.inner_size {
        x = load_a(place_column_a(start, at));
    }
    lines_a[place_in_line(line, k)] = x;
}

fn fetch_one_b(line: u32, k: u32, start: u32, at: u32) {
    var x = T();
    if at < params.header.inner_size {
        x = load_b(place_row_b(start, at));
    }
    lines_b[place_in_line(line, k)] = x;
}

// One element of the product in each invocation, for matrices of which a tile would be mostly empty.
@compute @workgroup_size(WORKGROUP)
fn main_narrow(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let count = params.header.outer_size;
    let first = group_index(id) * WORKGROUP;
    let index = first + lane;
    // of each eight elements that the invocation fetches, number n is element `k` of line `line + n * lines`
    let a_along_k = (params.header.contiguous_along_k & 1u) != 0u;
    let b_along_k = (params.header.contiguous_along_k & 2u) != 0u;
    let a_line = select(lane, lane / STEP, a_along_k);
    let b_line = select(lane, lane / STEP, b_along_k);
    let a_lines = select(0u, WORKGROUP / STEP, a_along_k);
    let b_lines = select(0u, WORKGROUP / STEP, b_along_k);
    let a_k = select(0u, lane % STEP, a_along_k);
    let b_k = select(0u, lane % STEP, b_along_k);
    let a_next = select(1u, 0u, a_along_k);
    let b_next = select(1u, 0u, b_along_k);
    // lines past the end are the last one, so that every barrier is reached by all; nothing of them is stored
    let last = count - 1u;
    let a0 = begin_lines(min(first + a_line, last)).x;
    let a1 = begin_lines(min(first + a_line + a_lines, last)).x;
    let a2 = begin_lines(min(first + a_line + 2u * a_lines, last)).x;
    let a3 = begin_lines(min(first + a_line + 3u * a_lines, last)).x;
    let a4 = begin_lines(min(first + a_line + 4u * a_lines, last)).x;
    let a5 = begin_lines(min(first + a_line + 5u * a_lines, last)).x;
    let a6 = begin_lines(min(first + a_line + 6u * a_lines, last)).x;
    let a7 = begin_lines(min(first + a_line + 7u * a_lines, last)).x;
    let b0 = begin_lines(min(first + b_line, last)).y;
    let b1 = begin_lines(min(first + b_line + b_lines, last)).y;
    let b2 = begin_lines(min(first + b_line + 2u * b_lines, last)).y;
    let b3 = begin_lines(min(first + b_line + 3u * b_lines, last)).y;
    let b4 = begin_lines(min(first + b_line + 4u * b_lines, last)).y;
    let b5 = begin_lines(min(first + b_line + 5u * b_lines, last)).y;
    let b6 = begin_lines(min(first + b_line + 6u * b_lines, last)).y;
    let b7 = begin_lines(min(first + b_line + 7u * b_lines, last)).y;
    let k_end = params.header.inner_size;
    var total = sum_of_element(min(index, last));
    for (var chain = 0u; chain < k_end; chain = chain + CHAIN) {
        let chain_end = min(chain + CHAIN, k_end);
        var sum = T();
        for (var k_first = chain; k_first < chain_end; k_first = k_first + STEP) {
            let a = k_first + a_k;
            fetch_one_a(a_line, a_k, a0, a);
            fetch_one_a(a_line + a_lines, a_k + a_next, a1, a + a_next);
            fetch_one_a(a_line + 2u * a_lines, a_k + 2u * a_next, a2, a + 2u * a_next);
            fetch_one_a(a_line + 3u * a_lines, a_k + 3u * a_next, a3, a + 3u * a_next);
            fetch_one_a(a_line + 4u * a_lines, a_k + 4u * a_next, a4, a + 4u * a_next);
            fetch_one_a(a_line + 5u * a_lines, a_k + 5u * a_next, a5, a + 5u * a_next);
            fetch_one_a(a_line + 6u * a_lines, a_k + 6u * a_next, a6, a + 6u * a_next);
            fetch_one_a(a_line + 7u * a_lines, a_k + 7u * a_next, a7, a + 7u * a_next);
            let b = k_first + b_k;
            fetch_one_b(b_line, b_k, b0, b);
            fetch_one_b(b_line + b_lines, b_k + b_next, b1, b + b_next);
            fetch_one_b(b_line + 2u * b_lines, b_k + 2u * b_next, b2, b + 2u * b_next);
            fetch_one_b(b_line + 3u * b_lines, b_k + 3u * b_next, b3, b + 3u * b_next);
            fetch_one_b(b_line + 4u * b_lines, b_k + 4u * b_next, b4, b + 4u * b_next);
            fetch_one_b(b_line + 5u * b_lines, b_k + 5u * b_next, b5, b + 5u * b_next);
            fetch_one_b(b_line + 6u * b_lines, b_k + 6u * b_next, b6, b + 6u * b_next);
            fetch_one_b(b_line + 7u * b_lines, b_k + 7u * b_next, b7, b + 7u * b_next);
            workgroupBarrier();
            // k past the end count as 0
            for (var k = 0u; k < STEP; k = k + 4u) {
                let at0 = place_in_line(lane, k);
                let at1 = place_in_line(lane, k + 1u);
                let at2 = place_in_line(lane, k + 2u);
                let at3 = place_in_line(lane, k + 3u);
                sum = add_one_product(sum, lines_a[at0], lines_b[at0]);
                sum = add_one_product(sum, lines_a[at1], lines_b[at1]);
                sum = add_one_product(sum, lines_a[at2], lines_b[at2]);
                sum = add_one_product(sum, lines_a[at3], lines_b[at3]);
            }
            workgroupBarrier();
        }
        total = add_one(total, sum);
    }
    if index < count {
        store_element(index, total, 0u, true);
    }
}
// end
