// Σ over k of a[m, k] · b[k, n], batched: a workgroup computes PARTS × PARTS tiles of 64 × 64, an invocation 4 × 4 of each.
// Tiles of 16 along k go through workgroup memory. Both operands have any strides; edges are filled with zeros.

// slot: bindings
@group(0) @binding(0) var<storage, read> b0: array<u32>;
@group(0) @binding(1) var<storage, read> b1: array<u32>;
@group(0) @binding(2) var<storage, read_write> b2: array<u32>;
@group(1) @binding(0) var<uniform> params: array<vec4<u32>, 64>;
alias T = u32;
const PARTS = 1u;
// end

var<workgroup> tile_a: array<vec4<T>, 256u * PARTS>;
var<workgroup> tile_b: array<vec4<T>, 256u * PARTS>;

// A zero that no compiler knows. Not the first word of the parameters: Mesa may inline that one as a constant.
fn cp_zero() -> u32 {
    return params[3].x;
}

// slot: library
// end

// The linear number of a workgroup of a folded grid.
fn group_index(id: vec3<u32>) -> u32 {
    return (id.z * params[1].z + id.y) * params[1].y + id.x + params[1].w;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let k = params[1].x;
    let m = params[2].y;
    let n = params[2].z;
    let side = 64u * PARTS;
    let tiles_n = (n + side - 1u) / side;
    let tiles_m = (m + side - 1u) / side;
    let group = group_index(id);
    let row_first = (group / tiles_n) % tiles_m * side;
    let col_first = group % tiles_n * side;
    // the grid's last layer may have workgroups past the end: they compute the last matrix again and store nothing
    let batches = params[0].y / (m * n);
    let batch_wanted = group / tiles_n / tiles_m;
    let batch = min(batch_wanted, batches - 1u);

    // which four elements a lane fetches: along the operand's contiguous axis, as the host says
    let a_along_k = (params[2].w & 1u) != 0u;
    let b_along_k = (params[2].w & 2u) != 0u;
    let a_k = select(lane / 16u, lane % 16u, a_along_k);
    let a_row = select(lane % 16u, lane / 16u, a_along_k);
    let b_k = select(lane / 16u, lane % 16u, b_along_k);
    let b_col = select(lane % 16u, lane / 16u, b_along_k);
    // slot: batch
    // end

    let ty = lane / 16u;
    let tx = lane % 16u;
    // slot: zero
    var acc0 = vec4<T>();
    // end
    for (var k_first = 0u; k_first < k; k_first = k_first + 16u) {
        // slot: fetch
        tile_a[lane] = vec4<T>(b0[row_first + a_k + a_row]);
        tile_b[lane] = vec4<T>(b1[col_first + b_k + b_col]);
        // end
        workgroupBarrier();
        for (var k_tile = 0u; k_tile < 16u; k_tile = k_tile + 4u) {
            // slot: product
            for (var kk = k_tile; kk < k_tile + 4u; kk = kk + 1u) {
                acc0 = acc0 + tile_a[kk * 16u + ty].x * tile_b[kk * 16u + tx];
            }
            // end
        }
        workgroupBarrier();
    }

    // slot: sums
    let acc = array<vec4<T>, 1>(acc0);
    // end
    for (var e = 0u; e < 16u * PARTS * PARTS; e = e + 1u) {
        let part = e / 4u % PARTS;
        let line = e / (4u * PARTS);
        let row = row_first + line / 4u * 64u + ty * 4u + line % 4u;
        let col = col_first + part * 64u + tx * 4u + e % 4u;
        if row < m && col < n && batch_wanted < batches {
            let index = (batch * m + row) * n + col;
            // slot: element
            b2[index] = acc0.x;
            // end
        }
    }
}
