// Reductions: LANES neighbouring invocations share one outer index; each folds every LANES-th inner element, then they
// combine in a tree. It takes SPREAD of them at a time, so that their loads are under way together. With one lane (short rows, or kept axes that lie next to each other) there is no tree.

// slot: bindings
@group(0) @binding(0) var<storage, read> b0: array<u32>;
@group(0) @binding(1) var<storage, read_write> b1: array<u32>;
@group(1) @binding(0) var<uniform> params: array<vec4<u32>, 64>;
const LANES = 1u;
const SPREAD = 1u;
// end

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
    let place = lane % LANES;
    let wanted = group_index(id) * (256u / LANES) + lane / LANES;
    let count = params[0].y;
    let inner = params[1].x;
    // lanes past the end repeat the last index, so that every barrier is reached by all
    let index = min(wanted, count - 1u);
    // slot: before
    var a0 = 0u;
    // end
    var step = 0u;
    for (var first = place; first < inner; first = first + LANES * SPREAD) {
        // slot: element
        step = step + 1u;
        a0 = a0 + b0[first];
        // end
    }
    // slot: combine
    // end
    if place == 0u && wanted < count {
        // slot: after
        b1[index] = a0;
        // end
    }
}
