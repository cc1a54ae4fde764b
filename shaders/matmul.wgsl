// Σ over k of a[m, k] · b[k, n], batched: a workgroup computes a tile of 64 × 64, an invocation 4 × 4 of it. Tiles of
// 16 along k go through workgroup memory. Both operands have any strides; edges are filled with zeros.

// slot: bindings
@group(0) @binding(0) var<storage, read> b0: array<u32>;
@group(0) @binding(1) var<storage, read> b1: array<u32>;
@group(0) @binding(2) var<storage, read_write> b2: array<u32>;
@group(1) @binding(0) var<uniform> params: array<vec4<u32>, 64>;
alias T = u32;
// end

var<workgroup> tile_a: array<vec4<T>, 256>;
var<workgroup> tile_b: array<vec4<T>, 256>;

// A zero that no compiler knows.
fn cp_zero() -> u32 {
    return params[0].x;
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
    let tiles_n = (n + 63u) / 64u;
    let tiles_m = (m + 63u) / 64u;
    let group = group_index(id);
    let row_first = (group / tiles_n) % tiles_m * 64u;
    let col_first = group % tiles_n * 64u;
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
    var acc0 = vec4<T>();
    var acc1 = vec4<T>();
    var acc2 = vec4<T>();
    var acc3 = vec4<T>();
    for (var k_first = 0u; k_first < k; k_first = k_first + 16u) {
        var xa = vec4<T>();
        var xb = vec4<T>();
        // slot: fetch
        xa.x = b0[row_first + a_row];
        xb.x = b1[col_first + b_col];
        // end
        tile_a[a_k * 16u + a_row] = xa;
        tile_b[b_k * 16u + b_col] = xb;
        workgroupBarrier();
        for (var kk = 0u; kk < 16u; kk = kk + 1u) {
            let a = tile_a[kk * 16u + ty];
            let b = tile_b[kk * 16u + tx];
            acc0 = acc0 + a.x * b;
            acc1 = acc1 + a.y * b;
            acc2 = acc2 + a.z * b;
            acc3 = acc3 + a.w * b;
        }
        workgroupBarrier();
    }

    var acc = array<vec4<T>, 4>(acc0, acc1, acc2, acc3);
    // slot: words
    // end
    for (var e = 0u; e < 16u; e = e + 1u) {
        let row = row_first + ty * 4u + e / 4u;
        let col = col_first + tx * 4u + e % 4u;
        if row < m && col < n && batch_wanted < batches {
            let index = (batch * m + row) * n + col;
            let v0 = acc[e / 4u][e % 4u];
            // slot: element
            b2[index] = v0;
            // end
        }
    }
}
