// One kernel without an inner space. An invocation computes UNITS consecutive elements, so that a packed word of narrow
// elements has one owner, or SPREAD elements a workgroup's width apart, whose loads are under way together. The
// generator replaces the slots; what stands in them here keeps this file valid.

// slot: bindings
@group(0) @binding(0) var<storage, read> b0: array<u32>;
@group(0) @binding(1) var<storage, read_write> b1: array<u32>;
@group(1) @binding(0) var<uniform> params: array<vec4<u32>, 64>;
const UNITS = 1u;
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
    let first = (group_index(id) * 256u * SPREAD + lane) * UNITS;
    let count = params[0].y;
    // slot: elements
    for (var unit = 0u; unit < UNITS; unit = unit + 1u) {
        let index = first + unit;
        if index >= count {
            break;
        }
        b1[index] = b0[index];
    }
    // end
}
