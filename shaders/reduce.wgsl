// Reductions. A row is the elements that are reduced to one result: `outer` are the axes of the results, and `inner`
// are the axes of a row. LANES neighbouring invocations share a row. Each of them reduces every LANES-th element, and
// then they combine their results in a tree. With one lane (for short rows, or if the axes of the results lie next to
// each other in memory) there is no tree. A workgroup has WORKGROUP / LANES rows. A sum of the chains of a matrix
// product adds them one after another.
//
// The generator (src/gpu/wgsl) writes the functions that this file calls, from the blocks of `lib/fold.wgsl`, and keeps
// one of the entry points below. The first block has stand-ins for the functions.

// block: written by the generator
const LANES = 4u;
// A row: its first position in each operand, and the values that exist once for the whole row.
struct Row {
    index: u32,
}
struct Element {
    index: u32,
}
struct Folds {
    count: u32,
}
fn load_row(index: u32) -> Row {
    return Row(index);
}
fn load_element(row: Row, index: u32) -> Element {
    return Element(index);
}
fn start() -> Folds {
    return Folds(0u);
}
struct Four {
    element0: Element,
    element1: Element,
    element2: Element,
    element3: Element,
}
// Loads four elements from `index` on, which is a multiple of four. The row has `left` elements from there on.
fn load_four(row: Row, index: u32, left: u32) -> Four {
    return Four(Element(index), Element(index + 1u), Element(index + 2u), Element(index + 3u));
}
// Computes the values of an element, and combines them with the lane's partial results.
fn accumulate(before: Folds, row: Row, element: Element) -> Folds {
    return Folds(before.count + 1u);
}
// Combines the results of four elements in folds that do not combine all elements one after another. It is called after
// every fourth element of the lane. `count` is the number of the lane's elements so far.
fn carry(before: Folds, count: u32) -> Folds {
    return before;
}
// Combines the partial results of the lanes, and returns the row with the results. Every lane gets them.
fn finish(before: Row, folds: Folds, lane: u32, place: u32) -> Row {
    return before;
}
// Does the same as `finish` in kernels whose invocations process four lanes each.
fn finish_lanes(before: Row, folds: array<Folds, 4>, lane: u32, place: u32) -> Row {
    return before;
}
// Computes the values that depend on the results of the reductions, and stores them.
fn store_row(row: Row) {
}
// end

// block: main
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane % LANES;
    let wanted = group_index(id) * (WORKGROUP / LANES) + lane / LANES;
    let count = params.header.outer_size;
    let inner = params.header.inner_size;
    // lanes past the end repeat the last row, so that every invocation reaches the barriers; they store nothing
    let row = load_row(min(wanted, count - 1u));
    var folds = start();
    var count_of_lane = 0u;
    for (var index = place; index < inner; index = index + LANES) {
        folds = accumulate(folds, row, load_element(row, index));
        count_of_lane = count_of_lane + 1u;
        if (count_of_lane & 3u) == 0u {
            folds = carry(folds, count_of_lane);
        }
    }
    let finished = finish(row, folds, lane, place);
    if place == 0u && wanted < count {
        store_row(finished);
    }
}
// end

// block: main_four_in_flight
// Loads four elements of a lane at a time, so that the loads are in flight together. Otherwise it does the same as
// `main`.
@compute @workgroup_size(WORKGROUP)
fn main_four_in_flight(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane % LANES;
    let wanted = group_index(id) * (WORKGROUP / LANES) + lane / LANES;
    let count = params.header.outer_size;
    let inner = params.header.inner_size;
    // lanes past the end repeat the last row, so that every invocation reaches the barriers; they store nothing
    let row = load_row(min(wanted, count - 1u));
    var folds = start();
    var count_of_lane = 0u;
    for (var first = place; first < inner; first = first + 4u * LANES) {
        // past the end, the last element is loaded again and not used
        let last = inner - 1u;
        let element0 = load_element(row, first);
        let element1 = load_element(row, min(first + LANES, last));
        let element2 = load_element(row, min(first + 2u * LANES, last));
        let element3 = load_element(row, min(first + 3u * LANES, last));
        folds = accumulate(folds, row, element0);
        if first + LANES < inner {
            folds = accumulate(folds, row, element1);
        }
        if first + 2u * LANES < inner {
            folds = accumulate(folds, row, element2);
        }
        count_of_lane = count_of_lane + 4u;
        if first + 3u * LANES < inner {
            folds = accumulate(folds, row, element3);
            folds = carry(folds, count_of_lane);
        }
    }
    let finished = finish(row, folds, lane, place);
    if place == 0u && wanted < count {
        store_row(finished);
    }
}
// end

// block: main_of_fours
// Combines each of four neighbouring elements with the partial results of the lane to which it belongs. `count` is the
// number of elements of each lane, with this one.
fn accumulate_four(before: array<Folds, 4>, row: Row, four: Four, left: u32, count: u32) -> array<Folds, 4> {
    var folds = before;
    folds[0] = accumulate(folds[0], row, four.element0);
    if left > 1u {
        folds[1] = accumulate(folds[1], row, four.element1);
    }
    if left > 2u {
        folds[2] = accumulate(folds[2], row, four.element2);
    }
    if left > 3u {
        folds[3] = accumulate(folds[3], row, four.element3);
    }
    // a lane without an element here has no more elements, and its total does not depend on when results are combined
    if (count & 3u) == 0u {
        folds[0] = carry(folds[0], count);
        folds[1] = carry(folds[1], count);
        folds[2] = carry(folds[2], count);
        folds[3] = carry(folds[3], count);
    }
    return folds;
}

// Does the same as `main`, but an invocation does the work of four neighbouring lanes. Their elements are neighbours,
// which lie in whole words or vectors. Each lane has its own partial results, so that elements are combined in the same
// order as in `main`. A workgroup has 4 * WORKGROUP / LANES rows.
@compute @workgroup_size(WORKGROUP)
fn main_of_fours(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane % (LANES / 4u);
    let wanted = group_index(id) * (4u * WORKGROUP / LANES) + lane / (LANES / 4u);
    let count = params.header.outer_size;
    let inner = params.header.inner_size;
    // lanes past the end repeat the last row, so that every invocation reaches the barriers; they store nothing
    let row = load_row(min(wanted, count - 1u));
    var folds = array<Folds, 4>(start(), start(), start(), start());
    var count_of_lane = 0u;
    // past the end, the last four elements are loaded again and not used
    let last = (inner - 1u) & ~3u;
    let own = min(4u * place, last);
    var next = load_four(row, own, inner - own);
    for (var first = 4u * place; first < inner; first = first + LANES) {
        let four = next;
        // the next elements are loaded while these are combined
        let after = min(first + LANES, last);
        next = load_four(row, after, inner - after);
        count_of_lane = count_of_lane + 1u;
        folds = accumulate_four(folds, row, four, inner - first, count_of_lane);
    }
    let finished = finish_lanes(row, folds, lane, place);
    if place == 0u && wanted < count {
        store_row(finished);
    }
}
// end

// block: main_in_sequence
// The elements of a row that its lanes have loaded. The first lane combines them.
var<workgroup> loaded: array<Element, WORKGROUP>;

// Combines the elements of a row one after another: all lanes load elements, and the first lane of each row combines
// them.
@compute @workgroup_size(WORKGROUP)
fn main_in_sequence(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = lane % LANES;
    let wanted = group_index(id) * (WORKGROUP / LANES) + lane / LANES;
    let count = params.header.outer_size;
    let inner = params.header.inner_size;
    // lanes past the end repeat the last row, so that every invocation reaches the barriers; they store nothing
    let row = load_row(min(wanted, count - 1u));
    var folds = start();
    var next = load_element(row, min(place, inner - 1u));
    for (var first = 0u; first < inner; first = first + LANES) {
        loaded[lane] = next;
        // the next elements are loaded while these are combined
        next = load_element(row, min(first + LANES + place, inner - 1u));
        workgroupBarrier();
        if place == 0u {
            let here = min(LANES, inner - first);
            // the loop body combines four elements, because drivers often do not unroll a loop
            let fours = here & ~3u;
            for (var n = 0u; n < fours; n = n + 4u) {
                folds = accumulate(folds, row, loaded[lane + n]);
                folds = accumulate(folds, row, loaded[lane + n + 1u]);
                folds = accumulate(folds, row, loaded[lane + n + 2u]);
                folds = accumulate(folds, row, loaded[lane + n + 3u]);
            }
            for (var n = fours; n < here; n = n + 1u) {
                folds = accumulate(folds, row, loaded[lane + n]);
            }
        }
        workgroupBarrier();
    }
    let finished = finish(row, folds, lane, place);
    if place == 0u && wanted < count {
        store_row(finished);
    }
}
// end
