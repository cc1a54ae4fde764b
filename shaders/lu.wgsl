// The triangular factors of panels with few columns, with exchanged rows. A workgroup factorises a panel in the memory
// of the result, one column after another: it searches for the pivot, exchanges two rows, divides the column by the
// pivot, and updates the rows below.
//
// The generator (src/gpu/wgsl) writes the functions that this file calls, for the operand's type. The first block has
// stand-ins for them. The call's parameters are the numbers of rows, columns and panels.
//
// The routine `solve` factorises its matrices by the same pass. Its second pass solves the systems; each invocation
// solves one system. The last parameter of this routine is the number of columns of the right-hand sides.

// block: written by the generator
// The position of element `index` in its binding.
fn at_in0(index: u32) -> u32 {
    return index;
}
fn at_out0(index: u32) -> u32 {
    return index;
}
fn at_out1(index: u32) -> u32 {
    return index;
}
fn at_in1(index: u32) -> u32 {
    return index;
}
fn at_out2(index: u32) -> u32 {
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
fn load_out1(at: u32) -> i32 {
    return 0;
}
fn store_out1(at: u32, x: i32) {
}
fn load_out2(at: u32) -> f32 {
    return 0.0;
}
fn store_out2(at: u32, x: f32) {
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
alias Number_in1 = f32;
fn quotient_in1(a: f32, b: f32) -> f32 {
    return a / b;
}
fn is_zero_in1(x: f32) -> bool {
    return x == 0.0;
}
// Reports the position of a pivot that is 0, so that the evaluation returns an error.
fn refuse(element: vec2<u32>) {
}
// Whether |a| is larger than |b|. If either is NaN, the result is false.
fn is_larger_in0(a: f32, b: f32) -> bool {
    return abs(a) > abs(b);
}
// end

// block: factorise
// The largest number of columns of a panel: the same as `MOST_COLUMNS` in src/graph/routine/lu.rs.
const COLUMNS = 64u;

// For each invocation, the largest element that it has found in the column, and the row of this element.
var<workgroup> pivots: array<Number_in0, WORKGROUP>;
var<workgroup> pivot_rows: array<u32, WORKGROUP>;
// The row of the matrix that has the pivot.
var<workgroup> top: array<Number_in0, COLUMNS>;

@compute @workgroup_size(WORKGROUP)
fn factorise(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m = params.param0;
    let n = params.param1;
    let matrix = params.first_item / WORKGROUP + group_index(id);
    let is_in = matrix < params.param2;
    // a workgroup past the end reads the first panel, and stores nothing
    let count = select(0u, 1u, is_in);
    let first = matrix * m * n * count;
    let order = matrix * (m + 1u) * count;
    for (var e = lane; e < m * n * count; e = e + WORKGROUP) {
        store_out0(at_out0(first + e), load_in0(at_in0(first + e)));
    }
    for (var i = lane; i < m * count; i = i + WORKGROUP) {
        store_out1(at_out1(order + i), i32(i));
    }
    var exchanges = 0;
    for (var k = 0u; k < n; k = k + 1u) {
        storageBarrier();
        var largest = zero_in0();
        var row = k;
        for (var i = k + lane; i < m; i = i + WORKGROUP) {
            let x = load_out0(at_out0(first + i * n + k));
            if is_larger_in0(x, largest) {
                largest = x;
                row = i;
            }
        }
        pivots[lane] = largest;
        pivot_rows[lane] = row;
        workgroupBarrier();
        // of several elements with the largest magnitude, the first row is chosen
        for (var step = WORKGROUP / 2u; step > 0u; step = step / 2u) {
            if lane < step {
                let a = pivots[lane];
                let b = pivots[lane + step];
                let is_first = pivot_rows[lane + step] < pivot_rows[lane];
                if is_larger_in0(b, a) || (is_first && !is_larger_in0(a, b)) {
                    pivots[lane] = b;
                    pivot_rows[lane] = pivot_rows[lane + step];
                }
            }
            workgroupBarrier();
        }
        let pivot = pivot_rows[0];
        if lane < n {
            let high = load_out0(at_out0(first + pivot * n + lane));
            top[lane] = high;
            if pivot != k && is_in {
                let low = load_out0(at_out0(first + k * n + lane));
                store_out0(at_out0(first + pivot * n + lane), low);
                store_out0(at_out0(first + k * n + lane), high);
            }
        }
        if pivot != k {
            exchanges = exchanges + 1;
            if lane == 0u && is_in {
                let row_of_pivot = load_out1(at_out1(order + pivot));
                store_out1(at_out1(order + pivot), load_out1(at_out1(order + k)));
                store_out1(at_out1(order + k), row_of_pivot);
            }
        }
        workgroupBarrier();
        storageBarrier();
        let divisor = top[k];
        for (var i = k + 1u + lane; i < m * count; i = i + WORKGROUP) {
            if !is_zero_in0(divisor) {
                let at = at_out0(first + i * n + k);
                store_out0(at, quotient_in0(load_out0(at), divisor));
            }
        }
        storageBarrier();
        let left = n - k - 1u;
        for (var e = lane; e < left * (m - k - 1u) * count; e = e + WORKGROUP) {
            let i = k + 1u + e / left;
            let j = k + 1u + e % left;
            let at = at_out0(first + i * n + j);
            store_out0(at, load_out0(at) - load_out0(at_out0(first + i * n + k)) * top[j]);
        }
        // every invocation must have read the row of the pivot and the pivots before they change
        workgroupBarrier();
    }
    if lane == 0u && is_in {
        store_out1(at_out1(order + m), exchanges);
    }
}
// end

// block: solutions
@compute @workgroup_size(WORKGROUP)
fn solutions(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    let n = params.param0;
    let columns = params.param4;
    let matrix = item / columns;
    let column = item % columns;
    let right = matrix * n * columns + column;
    // the first sweep solves the systems of the lower factor from above, and the second those of the upper from below
    for (var sweep = 0u; sweep < 2u; sweep = sweep + 1u) {
        let is_upper = sweep == 1u;
        for (var done = 0u; done < n; done = done + 4u) {
            let count = min(4u, n - done);
            var sums: array<Number_in1, 4>;
            for (var r = 0u; r < count; r = r + 1u) {
                if is_upper {
                    sums[r] = load_out2(at_out2(right + (n - 1u - done - r) * columns));
                } else {
                    let row = u32(load_out1(at_out1(matrix * (n + 1u) + done + r)));
                    sums[r] = load_in1(at_in1(right + row * columns));
                }
            }
            for (var step = 0u; step < done; step = step + 1u) {
                let known = select(step, n - 1u - step, is_upper);
                let x = load_out2(at_out2(right + known * columns));
                for (var r = 0u; r < count; r = r + 1u) {
                    let row = select(done + r, n - 1u - done - r, is_upper);
                    sums[r] = sums[r] - load_out0(at_out0((matrix * n + row) * n + known)) * x;
                }
            }
            for (var r = 0u; r < count; r = r + 1u) {
                let row = select(done + r, n - 1u - done - r, is_upper);
                let of_row = (matrix * n + row) * n;
                var x = sums[r];
                for (var s = 0u; s < r; s = s + 1u) {
                    let known = select(done + s, n - 1u - done - s, is_upper);
                    x = x - load_out0(at_out0(of_row + known)) * sums[s];
                }
                if is_upper {
                    let pivot = load_out0(at_out0(of_row + row));
                    if column == 0u && is_zero_in1(pivot) {
                        refuse(vec2<u32>(matrix * n + row, 0u));
                    }
                    x = quotient_in1(x, pivot);
                }
                sums[r] = x;
                store_out2(at_out2(right + row * columns), x);
            }
        }
    }
}
// end
