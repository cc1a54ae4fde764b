// A row kernel: LANES neighbouring invocations hold one row (all of `inner`), HELD elements each, and go over it in
// passes; between two passes lie reductions. Main memory is read once. A lane owns UNITS consecutive elements at a
// time, so that a packed word of narrow elements has one owner.

// slot: bindings
@group(0) @binding(0) var<storage, read> b0: array<u32>;
@group(0) @binding(1) var<storage, read_write> b1: array<u32>;
@group(1) @binding(0) var<uniform> params: array<vec4<u32>, 64>;
const LANES = 32u;
const HELD = 4u;
const UNITS = 1u;
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

// The inner index of a lane's element.
fn inner_index(place: u32, held: u32) -> u32 {
    return (place + LANES * (held / UNITS)) * UNITS + held % UNITS;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane % LANES;
    let wanted = group_index(id) * (256u / LANES) + lane / LANES;
    let count = params[0].y;
    let inner = params[1].x;
    // lanes past the end repeat the last row, so that every barrier is reached by all; they store nothing
    let index = min(wanted, count - 1u);
    // slot: passes
    for (var held = 0u; held < HELD; held = held + 1u) {
        let j = inner_index(place, held);
        if j < inner && wanted < count {
            b1[index * inner + j] = b0[index * inner + j];
        }
    }
    // end
}
