// Elementwise kernels: one value after another for each index of `outer`, then stores. There is no inner space.
//
// The generator writes what this file calls: `load_element` finds an element's place in each operand and loads what
// needs no computed index; `store_element` computes the rest and stores it. The generator keeps one of the entry points.

// block: written by the generator
struct Element {
    index: u32,
}
fn load_element(index: u32) -> Element {
    return Element(index);
}
// `unit` is the element's number within the invocation's run; `is_last` holds at the last element that there is.
fn store_element(element: Element, unit: u32, is_last: bool) {
}
// Consecutive elements that one invocation takes, so that a packed word of narrow elements has one owner.
const RUN = 1u;
// How far apart the elements lie that one invocation has under way at once.
const DISTANCE = WORKGROUP;
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
// Takes four elements, whose loads are in flight together: neighbours (RUN is 4, DISTANCE 1) where a word needs one owner,
// else a workgroup's width apart (RUN is 1, DISTANCE is WORKGROUP), so that neighbouring invocations read neighbours.
@compute @workgroup_size(WORKGROUP)
fn main_four_in_flight(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let count = params.header.outer_size;
    let last = count - 1u;
    let first = group_index(id) * 4u * WORKGROUP + lane * RUN;
    // past the end the last element is loaded again and not stored
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
