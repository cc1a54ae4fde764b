// Counts of the values 0, 1, … among integers. `count` or `count_together` adds 1 to a counter for each element; the
// plan has set all counters to 0. `widen` converts the counters to i64. Additions of integers do not depend on their
// order, so the counts are always the same.
//
// The generator (src/gpu/wgsl) writes the functions that this file calls, for the operand's type. The first block has
// stand-ins for them.

// block: written by the generator
@group(0) @binding(0) var<storage, read_write> scratch0: array<atomic<u32>>;
// The position of element `index` in its binding.
fn at_in0(index: u32) -> u32 {
    return index;
}
fn at_out0(index: u32) -> u32 {
    return index;
}
fn load_in0(at: u32) -> u32 {
    return 0u;
}
// The two words of an element as a 64-bit integer, the low word first.
fn words_of_in0(x: u32) -> vec2<u32> {
    return vec2<u32>(x, 0u);
}
fn store_out0(at: u32, x: i64) {
}
fn u32_to_i64(v: u32) -> i64 {
    return bitcast<i64>(u64(v));
}
// Reports an element that has no counter, so that the evaluation returns an error.
fn refuse(element: vec2<u32>) {
}
// end

// block: count
@compute @workgroup_size(WORKGROUP)
fn count(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    let value = words_of_in0(load_in0(at_in0(item)));
    if value.y != 0u || value.x >= params.param0 {
        refuse(value);
        return;
    }
    atomicAdd(&scratch0[value.x], 1u);
}
// end

// block: count_together
// The workgroup's own counters. Their number must agree with `src/graph/routine/bincount.rs`.
var<workgroup> counts: array<atomic<u32>, 2048>;

// Each workgroup counts a run of neighbouring elements in its own counters, and then adds its counts to the counters
// that all workgroups share. An invocation counts `params.number` elements. In each step, neighbouring invocations load
// neighbouring elements.
@compute @workgroup_size(WORKGROUP)
fn count_together(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    for (var counter = lane; counter < params.param0; counter = counter + WORKGROUP) {
        atomicStore(&counts[counter], 0u);
    }
    workgroupBarrier();
    // positions are relative to the first element of the dispatch, so that they do not overflow in workgroups past
    // the end
    let length = params.header.outer_size - params.first_item;
    let first = group_index(id) * WORKGROUP * params.number + lane;
    for (var step = 0u; step < params.number; step = step + 1u) {
        let position = first + step * WORKGROUP;
        if position >= length {
            break;
        }
        let value = words_of_in0(load_in0(at_in0(params.first_item + position)));
        if value.y != 0u || value.x >= params.param0 {
            refuse(value);
        } else {
            atomicAdd(&counts[value.x], 1u);
        }
    }
    workgroupBarrier();
    for (var counter = lane; counter < params.param0; counter = counter + WORKGROUP) {
        let counted = atomicLoad(&counts[counter]);
        if counted != 0u {
            atomicAdd(&scratch0[counter], counted);
        }
    }
}
// end

// block: widen
@compute @workgroup_size(WORKGROUP)
fn widen(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    store_out0(at_out0(item), u32_to_i64(atomicLoad(&scratch0[item])));
}
// end
