// Elementwise kernels. For each index of `outer` (the axes of the result), a kernel computes one value after another
// and then stores the outputs. It has no `inner` axes.
//
// The generator (src/gpu/wgsl) writes the functions that this file calls; the first block has stand-ins for them.
// `load_element` finds an element's place in each operand, and loads the operands whose indices are not computed by the
// kernel. `store_element` computes all values of the element and stores the outputs. `load_four` and `store_four` do
// the same for four neighbours along the last axis; they read and write whole words where the four elements lie in
// whole words. The generator keeps one of the entry points.

// block: written by the generator
struct Element {
    index: u32,
}
fn load_element(index: u32) -> Element {
    return Element(index);
}
// `unit` is the element's number within the invocation's run. `is_last` is true for the last element of the dispatch.
fn store_element(element: Element, unit: u32, is_last: bool) {
}
// The number of consecutive elements that one invocation processes. Elements narrower than a word need a run, so that
// only one invocation writes to a word.
const RUN = 1u;
// The distance between the elements that one invocation loads at the same time.
const DISTANCE = WORKGROUP;
struct Four {
    element0: Element,
}
// Loads four elements from `index` on. Only `left` of them exist; elements loaded past the end are not used.
fn load_four(index: u32, left: u32) -> Four {
    return Four(Element(index));
}
// Computes the values of four elements, and stores the first `left` of them.
fn store_four(four: Four, left: u32) {
}
// An operand whose neighbours along the last axis lie far apart is read through workgroup memory: `main_of_squares`
// fetches a square of SIDE × SIDE elements. The element of line L and column C is at C * PITCH + L.
var<workgroup> square_in0: array<u32, SIDE * PITCH>;
// Fetches, for each such operand, four elements of a column, in neighbouring lines, and puts them into its square from
// `to` on.
fn fetch_lines(batch: u32, line: u32, column: u32, to: u32) {
    square_in0[to] = 0u;
}
// Loads four neighbouring elements of a line. Those of an operand that has a square begin at `own` in the square.
fn load_four_of_line(batch: u32, line: u32, column: u32, own: u32) -> Four {
    return Four(Element(square_in0[own]));
}
// end

// block: main
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let count = params.header.outer_size;
    let first = (group_index(id) * WORKGROUP + lane) * RUN;
    for (var unit = 0u; unit < RUN; unit = unit + 1u) {
        let index = first + unit;
        if index >= count {
            break;
        }
        store_element(load_element(index), unit, index + 1u == count);
    }
}
// end

// block: main_four_in_flight
// Computes four elements in each invocation, whose loads are in flight together. If elements are narrower than a word,
// the four are neighbours (RUN is 4, DISTANCE is 1), so that one invocation writes each word. Otherwise, they lie a
// workgroup's width apart (RUN is 1, DISTANCE is WORKGROUP), so that neighbouring invocations read neighbouring
// elements.
@compute @workgroup_size(WORKGROUP)
fn main_four_in_flight(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let count = params.header.outer_size;
    let last = count - 1u;
    let first = group_index(id) * 4u * WORKGROUP + lane * RUN;
    // past the end, the last element is loaded again and not stored
    let element0 = load_element(min(first, last));
    let element1 = load_element(min(first + DISTANCE, last));
    let element2 = load_element(min(first + 2u * DISTANCE, last));
    let element3 = load_element(min(first + 3u * DISTANCE, last));
    if first < count {
        store_element(element0, 0u, first == last);
    }
    if first + DISTANCE < count {
        store_element(element1, 1u, first + DISTANCE == last);
    }
    if first + 2u * DISTANCE < count {
        store_element(element2, 2u, first + 2u * DISTANCE == last);
    }
    if first + 3u * DISTANCE < count {
        store_element(element3, 3u, first + 3u * DISTANCE == last);
    }
}
// end

// block: main_of_fours
@compute @workgroup_size(WORKGROUP)
fn main_of_fours(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let count = params.header.outer_size;
    let first = (group_index(id) * WORKGROUP + lane) * 4u;
    if first < count {
        let left = count - first;
        store_four(load_four(first, left), left);
    }
}
// end

// block: main_of_squares
// The side of a square: 256 invocations process four elements each.
const SIDE = 32u;
// One more than the side, so that neighbours along either axis lie in different banks of workgroup memory.
const PITCH = 33u;

// A workgroup computes a square of elements. Its columns are numbered along the last axis, and its lines along the axis
// that is second in the table of axes. First the workgroup fetches the operands that have squares, column by column, so
// that neighbouring invocations read neighbouring elements. Then each invocation computes four neighbours of a line.
@compute @workgroup_size(WORKGROUP)
fn main_of_squares(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let columns = params.axes[0].extent;
    let lines = params.axes[1].extent;
    let across = (columns + SIDE - 1u) / SIDE;
    let down = (lines + SIDE - 1u) / SIDE;
    let group = group_index(id);
    let squares = group / across;
    let wanted = squares / down;
    let batch = min(wanted, params.header.outer_size / (lines * columns) - 1u);
    let first_column = (group - squares * across) * SIDE;
    let first_line = (squares - wanted * down) * SIDE;
    // eight invocations share a column when they fetch, and a line when they compute: each of them has four neighbours
    let own = lane / 8u;
    let four = (lane % 8u) * 4u;
    // past the end, the last line, column and batch are fetched again, so that every invocation reaches the barrier
    fetch_lines(batch, min(first_line + four, lines - 1u), min(first_column + own, columns - 1u), own * PITCH + four);
    workgroupBarrier();
    let line = first_line + own;
    let column = first_column + four;
    if line < lines && column < columns && wanted == batch {
        store_four(load_four_of_line(batch, line, column, four * PITCH + own), columns - column);
    }
}
// end
