// Σ over k of a[m, k] · b[k, n] of f16 for a batch of matrices, by cooperative matrices (tensor cores): a subgroup multiplies small
// square matrices of f16 and adds the products to sums in f32, as one operation. Both operands may have any strides; elements
// beyond their edges count as 0. A single row is a matrix whose other rows lie beyond the edge.
//
// CHAIN neighbouring products along k are added by these operations, in an order that is the hardware's, then the sums of these
// chains, one after another, as in `matmul.wgsl`. So the order of additions depends on k alone, and the planner may let several
// kernels or workgroups share the chains (`plan/chains.rs`): a row of a product has the same bits in every batch.
//
// A workgroup computes a tile of 64 × 64 of the product, of which each of its first four subgroups has a block of 32 × 32. It
// brings STEP elements along k of each row of a and each column of b to workgroup memory, from where subgroups load their small
// matrices. A cooperative matrix gives no access to its elements, so the sums of a chain go through workgroup memory to the
// invocations, each of which adds up and stores a few vectors of four neighbours in a row.

// block: written by the generator
// The type in which the product is computed.
alias T = f32;
// The side of the small matrices: 8 or 16.
const TILE = 16u;
// Small matrices of the left operand, of the right one, and of sums.
alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;
// What the lines below are repeated for: each row of small matrices of a block, and each column. A block has 32 / TILE of both.
const ROW = 0u;
const COLUMN = 0u;
// Neighbouring products along k in a chain of additions; a multiple of STEP.
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
fn place_a(matrix: u32, k: u32) -> u32 {
    return matrix + k;
}
fn stride_a() -> u32 {
    return params.header.inner_size;
}
// The bits of one element of a, then those of two, the first in the low half.
fn half_a(at: u32) -> u32 {
    return at & 0xffffu;
}
fn pair_a(first: u32, second: u32) -> u32 {
    return half_a(first) | (half_a(second) << 16u);
}
// Where row `k` of b begins, if its matrix begins at `matrix`; then the distance between the row's elements.
fn place_b(matrix: u32, k: u32) -> u32 {
    return matrix + k * params.header.matrix_columns;
}
fn stride_b() -> u32 {
    return 1u;
}
fn half_b(at: u32) -> u32 {
    return at & 0xffffu;
}
fn pair_b(first: u32, second: u32) -> u32 {
    return half_b(first) | (half_b(second) << 16u);
}
// The sum that a kernel before this one has computed.
fn load_sum(batch: u32, line: u32, column: u32) -> T {
    return T(batch);
}
// Computes the epilogue of an element of the product, and stores it.
fn store_element(batch: u32, line: u32, column: u32, product: T, unit: u32, is_last: bool) {
}
// end

// The side of the part of the product that a workgroup computes, and of a subgroup's block of it.
const SIDE = 64u;
const BLOCK = 32u;
// Elements along k that are in workgroup memory at once; a multiple of TILE.
const STEP = 32u;
// The distances between rows in workgroup memory: eight elements of f16, or four of f32, more than a row has, so that the rows of a
// small matrix begin in different banks. A matrix and its rows must begin at multiples of 16 bytes.
const STRIDE_A = STEP + 8u;
const STRIDE_B = SIDE + 8u;
const STRIDE_SUMS = SIDE + 4u;
// Of the sums, as many rows are in workgroup memory at once as two blocks have in one row of small matrices.
const SLAB = 2u * TILE;
// Vectors of four sums that an invocation has of such a slab.
const QUADS = SLAB * (SIDE / 4u) / WORKGROUP;

var<workgroup> staged_a: array<f16, SIDE * STRIDE_A>;
var<workgroup> staged_b: array<f16, STEP * STRIDE_B>;
var<workgroup> staged_sums: array<f32, SLAB * STRIDE_SUMS>;

// The part of the product that a workgroup computes.
struct Task {
    batch: u32,
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
    return Task(min(wanted, batches - 1u), wanted >= batches, (group / tiles_n) % tiles_m * SIDE, group % tiles_n * SIDE);
}

// Brings STEP columns of a, from column `k_first` on, to workgroup memory, pair by pair: neighbouring invocations fetch along
// the axis in which the operand is contiguous. Bits are moved, not numbers.
fn stage_a(matrix: u32, first_row: u32, k_first: u32, lane: u32) {
    let rows = params.header.matrix_rows;
    let k_end = params.header.inner_size;
    let stride = stride_a();
    let along_k = (params.header.contiguous_along_k & 1u) != 0u;
    for (var n = lane; n < SIDE * STEP / 2u; n = n + WORKGROUP) {
        let k = select(n / (SIDE / 2u), n % (STEP / 2u) * 2u, along_k);
        let row = select(n % (SIDE / 2u) * 2u, n / (STEP / 2u), along_k);
        let next_k = k + select(0u, 1u, along_k);
        let next_row = row + select(1u, 0u, along_k);
        let has_first = first_row + row < rows && k_first + k < k_end;
        let has_second = first_row + next_row < rows && k_first + next_k < k_end;
        var bits = 0u;
        if has_first {
            let first = place_a(matrix, k_first + k) + (first_row + row) * stride;
            if has_second {
                bits = pair_a(first, place_a(matrix, k_first + next_k) + (first_row + next_row) * stride);
            } else {
                bits = half_a(first);
            }
        }
        staged_a[row * STRIDE_A + k] = bitcast<f16>(u16(bits & 0xffffu));
        staged_a[next_row * STRIDE_A + next_k] = bitcast<f16>(u16(bits >> 16u));
    }
}

// The same for STEP rows of b.
fn stage_b(matrix: u32, first_column: u32, k_first: u32, lane: u32) {
    let columns = params.header.matrix_columns;
    let k_end = params.header.inner_size;
    let stride = stride_b();
    let along_k = (params.header.contiguous_along_k & 2u) != 0u;
    for (var n = lane; n < SIDE * STEP / 2u; n = n + WORKGROUP) {
        let k = select(n / (SIDE / 2u), n % (STEP / 2u) * 2u, along_k);
        let column = select(n % (SIDE / 2u) * 2u, n / (STEP / 2u), along_k);
        let next_k = k + select(0u, 1u, along_k);
        let next_column = column + select(1u, 0u, along_k);
        let has_first = first_column + column < columns && k_first + k < k_end;
        let has_second = first_column + next_column < columns && k_first + next_k < k_end;
        var bits = 0u;
        if has_first {
            let first = place_b(matrix, k_first + k) + (first_column + column) * stride;
            if has_second {
                bits = pair_b(first, place_b(matrix, k_first + next_k) + (first_column + next_column) * stride);
            } else {
                bits = half_b(first);
            }
        }
        staged_b[k * STRIDE_B + column] = bitcast<f16>(u16(bits & 0xffffu));
        staged_b[next_k * STRIDE_B + next_column] = bitcast<f16>(u16(bits >> 16u));
    }
}

// Where vector number `quad` of slab number `slab` lies: its row and its first column within the workgroup's part.
fn place_quad(slab: u32, quad: u32) -> vec2<u32> {
    let line = quad / (SIDE / 4u);
    return vec2<u32>(line / TILE * BLOCK + slab * TILE + line % TILE, quad % (SIDE / 4u) * 4u);
}

// block: from_zero
fn sum_so_far(task: Task, row: u32, column: u32) -> vec4<f32> {
    return vec4<f32>();
}
// end

// block: from_a_sum
// The sums of a kernel before this one, of four columns of a row.
fn sum_so_far_from_a_sum(task: Task, row: u32, column: u32) -> vec4<f32> {
    let rows = params.header.matrix_rows;
    let columns = params.header.matrix_columns;
    var four = vec4<f32>();
    if row < rows && column < columns {
        four.x = load_sum(task.batch, row, column);
    }
    if row < rows && column + 1u < columns {
        four.y = load_sum(task.batch, row, column + 1u);
    }
    if row < rows && column + 2u < columns {
        four.z = load_sum(task.batch, row, column + 2u);
    }
    if row < rows && column + 3u < columns {
        four.w = load_sum(task.batch, row, column + 3u);
    }
    return four;
}
// end

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let task = find_task(group_index(id));
    let matrices = place_matrices(task.batch);
    let k_end = params.header.inner_size;
    // subgroups may be smaller than the device's largest, and so more than four; the others compute the last block again
    let block = min(subgroup, 3u);
    let block_row = block / 2u * BLOCK;
    let block_column = block % 2u * BLOCK;
    var totals: array<vec4<f32>, BLOCK / TILE * QUADS>;
    for (var slab = 0u; slab < BLOCK / TILE; slab = slab + 1u) {
        for (var i = 0u; i < QUADS; i = i + 1u) {
            let place = place_quad(slab, i * WORKGROUP + lane);
            totals[slab * QUADS + i] = sum_so_far(task, task.row + place.x, task.column + place.y);
        }
    }
    for (var chain = 0u; chain < k_end; chain = chain + CHAIN) {
        let chain_end = min(chain + CHAIN, k_end);
        // for each row and column
        var sum_ROW_COLUMN = Sums();
        // end for
        for (var k_first = chain; k_first < chain_end; k_first = k_first + STEP) {
            stage_a(matrices.a, task.row, k_first, lane);
            stage_b(matrices.b, task.column, k_first, lane);
            workgroupBarrier();
            for (var k = 0u; k < STEP; k = k + TILE) {
                // for each row
                let a_ROW = coopLoadT<Left>(&staged_a[(block_row + ROW * TILE) * STRIDE_A + k], STRIDE_A);
                // end for
                // for each column
                let b_COLUMN = coopLoadT<Right>(&staged_b[k * STRIDE_B + block_column + COLUMN * TILE], STRIDE_B);
                // end for
                // for each row and column
                sum_ROW_COLUMN = coopMultiplyAdd(a_ROW, b_COLUMN, sum_ROW_COLUMN);
                // end for
            }
            workgroupBarrier();
        }
        for (var slab = 0u; slab < BLOCK / TILE; slab = slab + 1u) {
            // for each row and column
            if subgroup < 4u && slab == ROW {
                coopStoreT(sum_ROW_COLUMN, &staged_sums[block / 2u * TILE * STRIDE_SUMS + block_column + COLUMN * TILE], STRIDE_SUMS);
            }
            // end for
            workgroupBarrier();
            for (var i = 0u; i < QUADS; i = i + 1u) {
                let quad = i * WORKGROUP + lane;
                let at = quad / (SIDE / 4u) * STRIDE_SUMS + quad % (SIDE / 4u) * 4u;
                let sums = vec4<f32>(staged_sums[at], staged_sums[at + 1u], staged_sums[at + 2u], staged_sums[at + 3u]);
                totals[slab * QUADS + i] = totals[slab * QUADS + i] + sums;
            }
            workgroupBarrier();
        }
    }

    for (var n = 0u; n < BLOCK / TILE * QUADS; n = n + 1u) {
        let place = place_quad(n / QUADS, n % QUADS * WORKGROUP + lane);
        let row = task.row + place.x;
        for (var e = 0u; e < 4u; e = e + 1u) {
            let column = task.column + place.y + e;
            if row < params.header.matrix_rows && column < params.header.matrix_columns && !task.is_past_end {
                store_element(task.batch, row, column, totals[n][e], e, column + 1u == params.header.matrix_columns);
            }
        }
    }
}
