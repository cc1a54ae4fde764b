// The positions of the true elements of a mask, or the elements of another array at these positions. `count` counts the
// true elements of each workgroup. `add_within_groups` and `add_groups` turn the counts into the positions at which
// each workgroup's results begin. `list` writes the positions of the true elements, one after another.
// `store_positions` stores the positions as the result, and `store_values` stores the elements at the positions.
//
// The generator (src/gpu/wgsl) writes the functions that this file calls, for the operands' types. The first block has
// stand-ins for them. The call's parameters are the number of true elements and the number of all elements.

// block: written by the generator
@group(0) @binding(0) var<storage, read_write> scratch0: array<u32>;
@group(0) @binding(1) var<storage, read_write> scratch1: array<u32>;
// The position of element `index` in its binding.
fn at_in0(index: u32) -> u32 {
    return index;
}
fn at_in1(index: u32) -> u32 {
    return index;
}
fn at_out0(index: u32) -> u32 {
    return index;
}
fn load_in0(at: u32) -> bool {
    return false;
}
// The bits of an element.
fn load_bits_in1(at: u32) -> u32 {
    return 0u;
}
fn store_bits_out0(at: u32, x: u32) {
}
fn store_out0(at: u32, x: i64) {
}
fn u32_to_i64(v: u32) -> i64 {
    return bitcast<i64>(u64(v));
}
// end

// block: count
var<workgroup> trues: atomic<u32>;

@compute @workgroup_size(WORKGROUP)
fn count(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if lane == 0u {
        atomicStore(&trues, 0u);
    }
    workgroupBarrier();
    let block = params.first_item / WORKGROUP + group_index(id);
    let item = block * WORKGROUP + lane;
    if item < params.header.outer_size {
        if load_in0(at_in0(item)) {
            atomicAdd(&trues, 1u);
        }
    }
    workgroupBarrier();
    let blocks = (params.param1 + WORKGROUP - 1u) / WORKGROUP;
    if lane == 0u && block < blocks {
        scratch0[block] = atomicLoad(&trues);
    }
}
// end

// block: add_within_groups
var<workgroup> sums: array<u32, WORKGROUP>;

// Replaces each count by the sum of the counts before it in its group of WORKGROUP counts. The sum of the whole group
// is stored behind all counts.
@compute @workgroup_size(WORKGROUP)
fn add_within_groups(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let blocks = (params.param1 + WORKGROUP - 1u) / WORKGROUP;
    let group = params.first_item / WORKGROUP + group_index(id);
    let item = group * WORKGROUP + lane;
    var own = 0u;
    if item < blocks {
        own = scratch0[item];
    }
    sums[lane] = own;
    workgroupBarrier();
    for (var step = 1u; step < WORKGROUP; step = step << 1u) {
        var before = 0u;
        if lane >= step {
            before = sums[lane - step];
        }
        workgroupBarrier();
        sums[lane] = sums[lane] + before;
        workgroupBarrier();
    }
    if item < blocks {
        scratch0[item] = sums[lane] - own;
        if lane == WORKGROUP - 1u || item + 1u == blocks {
            scratch0[blocks + group] = sums[lane];
        }
    }
}
// end

// block: add_groups
var<workgroup> sums: array<u32, WORKGROUP>;

// One workgroup replaces the sum of each group by the sum of all groups before it.
@compute @workgroup_size(WORKGROUP)
fn add_groups(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let blocks = (params.param1 + WORKGROUP - 1u) / WORKGROUP;
    let groups = (blocks + WORKGROUP - 1u) / WORKGROUP;
    var total = 0u;
    for (var first = 0u; first < groups; first = first + WORKGROUP) {
        var own = 0u;
        if first + lane < groups {
            own = scratch0[blocks + first + lane];
        }
        sums[lane] = own;
        workgroupBarrier();
        for (var step = 1u; step < WORKGROUP; step = step << 1u) {
            var before = 0u;
            if lane >= step {
                before = sums[lane - step];
            }
            workgroupBarrier();
            sums[lane] = sums[lane] + before;
            workgroupBarrier();
        }
        if first + lane < groups && group_index(id) == 0u {
            scratch0[blocks + first + lane] = total + sums[lane] - own;
        }
        total = total + sums[WORKGROUP - 1u];
        // the next round writes to the sums, which every lane must have read first
        workgroupBarrier();
    }
}
// end

// block: list
var<workgroup> sums: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn list(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let block = params.first_item / WORKGROUP + group_index(id);
    let item = block * WORKGROUP + lane;
    var own = 0u;
    if item < params.header.outer_size {
        own = select(0u, 1u, load_in0(at_in0(item)));
    }
    sums[lane] = own;
    workgroupBarrier();
    for (var step = 1u; step < WORKGROUP; step = step << 1u) {
        var before = 0u;
        if lane >= step {
            before = sums[lane - step];
        }
        workgroupBarrier();
        sums[lane] = sums[lane] + before;
        workgroupBarrier();
    }
    if own == 0u {
        return;
    }
    let blocks = (params.param1 + WORKGROUP - 1u) / WORKGROUP;
    let place = scratch0[block] + scratch0[blocks + block / WORKGROUP] + sums[lane] - 1u;
    if place < params.param0 {
        scratch1[place] = item;
    }
}
// end

// block: store_positions
@compute @workgroup_size(WORKGROUP)
fn store_positions(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    store_out0(at_out0(item), u32_to_i64(scratch0[item]));
}
// end

// block: store_values
@compute @workgroup_size(WORKGROUP)
fn store_values(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    store_bits_out0(at_out0(item), load_bits_in1(at_in1(scratch0[item])));
}
// end
