// A row kernel: LANES neighbouring invocations hold one row (all of `inner`), HELD elements each, and go over it in
// passes; each pass ends in reductions or scans whose results the next one takes, and the last one stores. A lane keeps in
// registers what later passes need of its elements, so that main memory is read once. A lane takes runs of four consecutive
// elements, which it loads and stores as vectors or words where they lie so.
//
// The generator writes what this file calls, by means of `lib/fold.wgsl` and `lib/scan.wgsl`.

// block: written by the generator
const LANES = 32u;
const HELD = 4u;
// A row: where it begins in each operand, and the values that exist once for the whole row.
struct Row {
    index: u32,
}
fn load_row(index: u32) -> Row {
    return Row(index);
}
// Computes the pass's values of a lane's elements, keeps those that later passes need, and adds the elements to the folds.
// Then combines the partial results of the lanes, and computes the values that exist once a row and depend on them; every
// lane gets them in its row.
fn reduce_pass_PASS(before: Row, lane: u32, place: u32) -> Row {
    return before;
}
// The passes, one after another.
fn reduce_passes(before: Row, lane: u32, place: u32) -> Row {
    return reduce_pass_PASS(before, lane, place);
}
// Computes the last pass's values of a lane's elements, and stores the outputs that have one value an element.
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
    // lanes past the end repeat the last row, so that every barrier is reached by all; they store nothing
    let row = reduce_passes(load_row(min(wanted, count - 1u)), lane, place);
    if wanted < count {
        store_elements(row, place);
        if place == 0u {
            store_row(row);
        }
    }
}
