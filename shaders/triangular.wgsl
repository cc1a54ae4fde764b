// The solutions of small triangular systems. An invocation solves for one column of the right sides of one matrix, four
// rows at a time. It reads the rows that it has solved before from the result.
//
// The generator (src/gpu/wgsl) writes the functions that this file calls, for the operands' type. The first block has
// stand-ins for them. The call's parameters are the number of rows, the number of matrices, a position for error
// messages, the kind (UPPER and UNIT in src/graph/routine/triangular.rs), and the number of columns.

// block: written by the generator
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
fn load_in0(at: u32) -> f32 {
    return 0.0;
}
fn load_in1(at: u32) -> f32 {
    return 0.0;
}
fn load_out0(at: u32) -> f32 {
    return 0.0;
}
fn store_out0(at: u32, x: f32) {
}
// The type of the operand's elements, and functions of numbers of this type.
alias Number_in0 = f32;
fn zero_in0() -> f32 {
    return 0.0;
}
fn quotient_in0(a: f32, b: f32) -> f32 {
    return a / b;
}
fn is_zero_in0(x: f32) -> bool {
    return x == 0.0;
}
// Reports the position of a zero on the diagonal, so that the evaluation returns an error.
fn refuse(element: vec2<u32>) {
}
// end

// block: substitute
@compute @workgroup_size(WORKGROUP)
fn substitute(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    let n = params.param0;
    let columns = params.param4;
    let matrix = item / columns;
    let column = item % columns;
    let is_upper = (params.param3 & 1u) != 0u;
    let is_unit = (params.param3 & 2u) != 0u;
    let right = matrix * n * columns + column;
    for (var done = 0u; done < n; done = done + 4u) {
        // row number `step` of the substitution counts from above, or from below if the matrix is upper triangular
        let count = min(4u, n - done);
        var sums: array<Number_in0, 4>;
        for (var r = 0u; r < count; r = r + 1u) {
            let row = select(done + r, n - 1u - done - r, is_upper);
            sums[r] = load_in1(at_in1(right + row * columns));
        }
        for (var step = 0u; step < done; step = step + 1u) {
            let known = select(step, n - 1u - step, is_upper);
            let x = load_out0(at_out0(right + known * columns));
            for (var r = 0u; r < count; r = r + 1u) {
                let row = select(done + r, n - 1u - done - r, is_upper);
                sums[r] = sums[r] - load_in0(at_in0((matrix * n + row) * n + known)) * x;
            }
        }
        for (var r = 0u; r < count; r = r + 1u) {
            let row = select(done + r, n - 1u - done - r, is_upper);
            let of_row = (matrix * n + row) * n;
            var x = sums[r];
            for (var s = 0u; s < r; s = s + 1u) {
                let known = select(done + s, n - 1u - done - s, is_upper);
                x = x - load_in0(at_in0(of_row + known)) * sums[s];
            }
            if !is_unit {
                let pivot = load_in0(at_in0(of_row + row));
                if column == 0u && is_zero_in0(pivot) {
                    refuse(vec2<u32>(matrix * n + row, 0u));
                }
                x = quotient_in0(x, pivot);
            }
            sums[r] = x;
            store_out0(at_out0(right + row * columns), x);
        }
    }
}
// end
