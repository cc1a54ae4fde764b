// The Cholesky factors of small matrices. A team of invocations holds a matrix in the memory of the workgroup and
// eliminates its columns one after another. Small matrices have teams of 16 invocations, others the whole workgroup.
//
// The generator (src/gpu/wgsl) writes the functions that this file calls, for the operand's type. The first block has
// stand-ins for them. The call's parameters are the number of rows, the number of matrices, and the position of row 0
// in the caller's matrices, for error messages. `params.number` is the number of invocations in a team.

// block: written by the generator
// The position of element `index` in its binding.
fn at_in0(index: u32) -> u32 {
    return index;
}
fn at_out0(index: u32) -> u32 {
    return index;
}
fn load_in0(at: u32) -> f32 {
    return 0.0;
}
fn store_out0(at: u32, x: f32) {
}
// The type of the operand's elements, and functions of numbers of this type.
alias Number_in0 = f32;
fn zero_in0() -> f32 {
    return 0.0;
}
fn root_in0(x: f32) -> f32 {
    return sqrt(x);
}
fn quotient_in0(a: f32, b: f32) -> f32 {
    return a / b;
}
fn is_positive_in0(x: f32) -> bool {
    return x > 0.0;
}
// Reports the position of a pivot that is not positive, so that the evaluation returns an error.
fn refuse(element: vec2<u32>) {
}
// end

// block: factorise
// How many numbers the workgroup's memory holds: the same as `MEMORY` in src/graph/routine/cholesky.rs.
const MEMORY = 4096u;

var<workgroup> numbers: array<Number_in0, MEMORY>;

@compute @workgroup_size(WORKGROUP)
fn factorise(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = params.param0;
    let team = params.number;
    let teams = WORKGROUP / team;
    let matrix = (params.first_item / WORKGROUP + group_index(id)) * teams + lane / team;
    let is_in = matrix < params.param1;
    let own = lane % team;
    let first = lane / team * (MEMORY / teams);
    for (var e = own; e < n * n; e = e + team) {
        var x = zero_in0();
        if is_in && e % n <= e / n {
            x = load_in0(at_in0(matrix * n * n + e));
        }
        numbers[first + e] = x;
    }
    workgroupBarrier();
    for (var k = 0u; k < n; k = k + 1u) {
        let pivot = numbers[first + k * n + k];
        if own == 0u && is_in && !is_positive_in0(pivot) {
            refuse(vec2<u32>(matrix * n + k, 0u));
        }
        let root = root_in0(pivot);
        // every invocation must have read the pivot before it changes
        workgroupBarrier();
        for (var i = k + own; i < n; i = i + team) {
            let at = first + i * n + k;
            if i == k {
                numbers[at] = root;
            } else {
                numbers[at] = quotient_in0(numbers[at], root);
            }
        }
        workgroupBarrier();
        let left = n - k - 1u;
        for (var e = own; e < left * left; e = e + team) {
            let i = k + 1u + e / left;
            let j = k + 1u + e % left;
            if j <= i {
                let at = first + i * n + j;
                numbers[at] = numbers[at] - numbers[first + i * n + k] * numbers[first + j * n + k];
            }
        }
        workgroupBarrier();
    }
    if is_in {
        for (var e = own; e < n * n; e = e + team) {
            store_out0(at_out0(matrix * n * n + e), numbers[first + e]);
        }
    }
}
// end
