// Row kernels. LANES neighbouring invocations hold one row (all elements of the `inner` axes), HELD elements each, and
// go over it in several passes. Each pass ends in reductions or scans whose results the next pass uses, and the last
// pass stores the outputs. A lane keeps in registers what later passes need of its elements, so that main memory is
// read once. A lane has runs of four consecutive elements, which it loads and stores as vectors or words where they lie
// in whole vectors or words.
//
// The generator (src/gpu/wgsl) writes the functions that this file calls, from the blocks of `lib/fold.wgsl` and
// `lib/scan.wgsl`. The first block has stand-ins for the functions.

// block: written by the generator
const LANES = 32u;
const HELD = 4u;
// A row: its first position in each operand, and the values that exist once for the whole row.
struct Row {
    index: u32,
}
fn load_row(index: u32) -> Row {
    return Row(index);
}
// Computes the pass's values of a lane's elements, keeps those that later passes need, and combines them with the
// lane's partial results. Then it combines the partial results of all lanes, and computes the values that depend on
// them and exist once in a row. It returns the row with these values to every lane.
fn reduce_pass_PASS(before: Row, lane: u32, place: u32) -> Row {
    return before;
}
// Executes the passes that end in reductions or scans, one after another.
fn reduce_passes(before: Row, lane: u32, place: u32) -> Row {
    return reduce_pass_PASS(before, lane, place);
}
// Computes the last pass's values of a lane's elements, and stores the outputs that have one value for each element.
fn store_elements(row: Row, place: u32) {
}
fn store_row(row: Row) {
}
// end

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane % LANES;
    let wanted = group_index(id) * (WORKGROUP / LANES) + lane / LANES;
    let count = params.header.outer_size;
    // lanes past the end repeat the last row, so that every invocation reaches the barriers; they store nothing
    let row = reduce_passes(load_row(min(wanted, count - 1u)), lane, place);
    if wanted < count {
        store_elements(row, place);
        if place == 0u {
            store_row(row);
        }
    }
}
