// A row kernel: LANES neighbouring invocations hold one row (all of `inner`), HELD elements each, and go over it in
// passes; each pass ends in reductions or scans whose results the next one takes, and the last one stores. A lane keeps in
// registers what later passes need of its elements, so that main memory is read once. A lane takes RUN consecutive
// elements at a time, so that a packed word of narrow elements has one owner.
//
// The generator writes what this file calls, by means of `lib/fold.wgsl` and `lib/scan.wgsl`, and the block `pass` once for each pass but
// the last.

// block: written by the generator
const LANES = 32u;
const HELD = 4u;
const RUN = 1u;
// A row: where it begins in each operand, and the values that exist once for the whole row.
struct Row {
    index: u32,
}
struct Folds_PASS {
    count: u32,
}
fn load_row(index: u32) -> Row {
    return Row(index);
}
fn start_PASS() -> Folds_PASS {
    return Folds_PASS(0u);
}
// Computes the pass's values of an element, keeps those that later passes need, and adds the element to the folds.
fn accumulate_PASS(before: Folds_PASS, row: Row, index: u32, held: u32) -> Folds_PASS {
    return before;
}
// Combines the partial results of the lanes, and computes the values that exist once a row and depend on them; every
// lane gets them in its row.
fn finish_PASS(before: Row, folds: Folds_PASS, lane: u32, place: u32) -> Row {
    return before;
}
// The passes, one after another.
fn reduce_passes(before: Row, lane: u32, place: u32) -> Row {
    return reduce_pass_PASS(before, lane, place);
}
// Computes the last pass's values of an element, and stores the outputs that have one value an element.
fn store_element(row: Row, index: u32, held: u32, is_last: bool) {
}
fn store_row(row: Row) {
}
// end

// The index in `inner` of a lane's element number `held`.
fn inner_index(place: u32, held: u32) -> u32 {
    return (place + LANES * (held / RUN)) * RUN + held % RUN;
}

// block: pass
fn reduce_pass_PASS(row: Row, lane: u32, place: u32) -> Row {
    var folds = start_PASS();
    for (var held = 0u; held < HELD; held = held + 1u) {
        let index = inner_index(place, held);
        if index < params.header.inner_size {
            folds = accumulate_PASS(folds, row, index, held);
        }
    }
    return finish_PASS(row, folds, lane, place);
}
// end

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane % LANES;
    let wanted = group_index(id) * (WORKGROUP / LANES) + lane / LANES;
    let count = params.header.outer_size;
    let inner = params.header.inner_size;
    // lanes past the end repeat the last row, so that every barrier is reached by all; they store nothing
    let row = reduce_passes(load_row(min(wanted, count - 1u)), lane, place);
    if wanted < count {
        for (var held = 0u; held < HELD; held = held + 1u) {
            let index = inner_index(place, held);
            if index < inner {
                store_element(row, index, held, index + 1u == inner);
            }
        }
        if place == 0u {
            store_row(row);
        }
    }
}
