// Sums of rows of floats, over the rows with equal keys or over ranges of rows, by a tree of fixed shape.
// `add_elements` adds up each 8 neighbouring rows, `add_partials` each 8 of these sums, and so on. `store_sums` has an
// invocation for each sum of the result. It adds up the largest of these partial sums that lie in its range, and single
// rows at the ends of the range: some 30 terms a level, however long the range is. The rows of one key are neighbours,
// because the keys ascend.
//
// The generator (src/gpu/wgsl) writes the functions that this file calls, for the operands' types. The first block has
// stand-ins for them. The call's parameters are the number of rows of the result, the length of a row, and the number
// of rows of the operand. In a pass that adds partial sums, `params.number` is the level of these partial sums. In
// `store_sums` it is 1 if the first operand has the positions at which ranges begin, and 0 if it has keys.

// block: written by the generator
@group(0) @binding(0) var<storage, read_write> scratch0: array<u32>;
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
fn load_in0(at: u32) -> u32 {
    return 0u;
}
fn load_in1(at: u32) -> f32 {
    return 0.0;
}
fn store_out0(at: u32, x: f32) {
}
// The type of the partial sums in the scratch memory. The function after it returns the sum of no elements, which is
// −0.
alias Partial_in1 = f32;
fn no_partial_in1() -> f32 {
    return 0.0;
}
fn load_partial_in1(at: u32) -> f32 {
    return bitcast<f32>(scratch0[at]);
}
fn store_partial_in1(at: u32, x: f32) {
    scratch0[at] = bitcast<u32>(x);
}
// end

// block: add_elements
@compute @workgroup_size(WORKGROUP)
fn add_elements(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    let column = item % params.param1;
    let first = item / params.param1 * 8u;
    var terms: array<Partial_in1, 8>;
    for (var i = 0u; i < 8u; i = i + 1u) {
        terms[i] = no_partial_in1();
        if first + i < params.param2 {
            terms[i] = load_in1(at_in1((first + i) * params.param1 + column));
        }
    }
    let lower = (terms[0] + terms[1]) + (terms[2] + terms[3]);
    let upper = (terms[4] + terms[5]) + (terms[6] + terms[7]);
    store_partial_in1(item, lower + upper);
}
// end

// block: add_partials
@compute @workgroup_size(WORKGROUP)
fn add_partials(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    // the position at which the partial sums of the level below begin, and how many rows of sums that level has
    var base = 0u;
    var count = (params.param2 + 7u) / 8u;
    for (var level = 1u; level < params.number; level = level + 1u) {
        base = base + count * params.param1;
        count = (count + 7u) / 8u;
    }
    let column = item % params.param1;
    let first = item / params.param1 * 8u;
    var terms: array<Partial_in1, 8>;
    for (var i = 0u; i < 8u; i = i + 1u) {
        terms[i] = no_partial_in1();
        if first + i < count {
            terms[i] = load_partial_in1(base + (first + i) * params.param1 + column);
        }
    }
    let lower = (terms[0] + terms[1]) + (terms[2] + terms[3]);
    let upper = (terms[4] + terms[5]) + (terms[6] + terms[7]);
    store_partial_in1(base + count * params.param1 + item, lower + upper);
}
// end

// block: store_sums
// How many rows have a key less than `key`.
fn rows_below(key: u32) -> u32 {
    var low = 0u;
    var high = params.param2;
    while low < high {
        let middle = low + (high - low) / 2u;
        if load_in0(at_in0(middle)) < key {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

// The sum of a column over the rows from `first` up to, but without, `end`.
fn sum_of_rows(first: u32, end: u32, column: u32) -> Partial_in1 {
    var left = first;
    var right = end;
    var is_of_elements = true;
    var base = 0u;
    var count = params.param2;
    var total = no_partial_in1();
    loop {
        // of 16 sums or more, only those that no complete group of 8 covers are added here, because the next level has
        // the sums of the complete groups
        let all = right - left < 16u;
        let inner_left = select((left + 7u) / 8u * 8u, right, all);
        let inner_right = select(right / 8u * 8u, right, all);
        var few = no_partial_in1();
        for (var i = left; i < right; i = i + 1u) {
            if i == inner_left {
                i = inner_right;
                if i == right {
                    break;
                }
            }
            let place = i * params.param1 + column;
            if is_of_elements {
                few = few + load_in1(at_in1(place));
            } else {
                few = few + load_partial_in1(base + place);
            }
        }
        total = total + few;
        if all {
            break;
        }
        left = inner_left / 8u;
        right = inner_right / 8u;
        if !is_of_elements {
            base = base + count * params.param1;
        }
        count = (count + 7u) / 8u;
        is_of_elements = false;
    }
    return total;
}

@compute @workgroup_size(WORKGROUP)
fn store_sums(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    let segment = item / params.param1;
    var first = 0u;
    var end = params.param2;
    if params.number == 0u {
        first = rows_below(segment);
        end = rows_below(segment + 1u);
    } else {
        // a position that is out of range has been reported as an error before
        first = min(load_in0(at_in0(segment)), params.param2 - 1u);
        if segment + 1u < params.param0 {
            end = min(load_in0(at_in0(segment + 1u)), params.param2);
        }
        end = max(end, first + 1u);
    }
    store_out0(at_out0(item), sum_of_rows(first, end, item % params.param1));
}
// end
