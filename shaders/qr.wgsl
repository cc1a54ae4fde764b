// The QR factorisation of matrices by Householder reflectors. A workgroup factorises one matrix, and each invocation
// applies the reflectors to some of its columns.
//
// The generator (src/gpu/wgsl) writes the functions that this file calls, for the operand's type. The first block has
// stand-ins for them. The parameters of the call are the number m of rows, the number n of columns, the number of
// columns of Q, and the number of matrices. For each matrix the scratch memory holds R with the reflectors below its
// diagonal (the first element of a reflector is 1 and not stored), Q, and the factor of each reflector. The work has
// one step for each column of R, and then one for each reflector that is applied to Q. A dispatch executes the steps
// from the lower half of `params.number` to before its upper half, because Mesa's software driver ends all loops of an
// invocation after 65,535 rounds together.

// block: written by the generator
@group(0) @binding(0) var<storage, read_write> scratch0: array<u32>;
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
fn load_in0(at: u32) -> f32 {
    return 0.0;
}
fn store_out0(at: u32, x: f32) {
}
fn store_out1(at: u32, x: f32) {
}
// The type of the operand's elements, and of the numbers in the scratch memory.
alias Partial_in0 = f32;
fn load_partial_in0(at: u32) -> f32 {
    return bitcast<f32>(scratch0[at]);
}
fn store_partial_in0(at: u32, x: f32) {
    scratch0[at] = bitcast<u32>(x);
}
fn number_in0(n: u32) -> f32 {
    return f32(n);
}
fn root_in0(x: f32) -> f32 {
    return sqrt(x);
}
fn quotient_in0(a: f32, b: f32) -> f32 {
    return a / b;
}
// The upper 32 bits of |x|, as an integer. These integers are in the same order as the magnitudes.
fn magnitude_in0(x: f32) -> u32 {
    return bitcast<u32>(x) & 0x7fffffffu;
}
fn is_finite_in0(magnitude: u32) -> bool {
    return magnitude < 0x7f800000u;
}
// A power of two that scales `magnitude` to about 1. The function after this one returns its reciprocal.
fn scale_in0(magnitude: u32) -> f32 {
    return 1.0;
}
fn unscale_in0(magnitude: u32) -> f32 {
    return 1.0;
}
// The distance from 1 to the next larger number.
fn epsilon_in0() -> f32 {
    return 1.1920929e-7;
}
fn nan_in0() -> f32 {
    return bitcast<f32>(0x7fc00000u ^ cp_zero());
}
// end

// block: factor
alias Real = Partial_in0;

var<workgroup> peak: atomic<u32>;
var<workgroup> sums: array<Real, WORKGROUP>;

// Returns the sum of the numbers of all invocations.
fn total(x: Real, lane: u32) -> Real {
    sums[lane] = x;
    workgroupBarrier();
    for (var step = WORKGROUP / 2u; step > 0u; step = step / 2u) {
        if lane < step {
            sums[lane] = sums[lane] + sums[lane + step];
        }
        workgroupBarrier();
    }
    let sum = sums[0];
    workgroupBarrier();
    return sum;
}

// Computes the reflector of column k, and returns its factor tau.
fn reflector(a: u32, k: u32, lane: u32) -> Real {
    let m = params.param0;
    let n = params.param1;
    let alpha = load_partial_in0(a + k * n + k);
    var squares = number_in0(0u);
    for (var i = k + 1u + lane; i < m; i = i + WORKGROUP) {
        let x = load_partial_in0(a + i * n + k);
        squares = squares + x * x;
    }
    squares = total(squares, lane);
    let square = epsilon_in0() * epsilon_in0();
    // such squares are far below the rounding errors of the matrix's largest element, so they count as 0
    let is_zero = squares <= square * square;
    let size = root_in0(alpha * alpha + squares);
    let beta = select(-size, size, alpha < Real(0.0));
    var factor = number_in0(0u);
    var tau = number_in0(0u);
    if !is_zero {
        factor = quotient_in0(number_in0(1u), alpha - beta);
        tau = quotient_in0(beta - alpha, beta);
    }
    for (var i = k + 1u + lane; i < m; i = i + WORKGROUP) {
        store_partial_in0(a + i * n + k, load_partial_in0(a + i * n + k) * factor);
    }
    if lane == 0u && !is_zero {
        store_partial_in0(a + k * n + k, beta);
    }
    storageBarrier();
    workgroupBarrier();
    return tau;
}

// Applies reflector k to the columns from `first` on of the matrix at `at`, which has `columns` columns.
fn reflect(a: u32, k: u32, tau: Real, at: u32, first: u32, columns: u32, lane: u32) {
    let m = params.param0;
    let n = params.param1;
    for (var j = first + lane; j < columns; j = j + WORKGROUP) {
        var sum = load_partial_in0(at + k * columns + j);
        for (var i = k + 1u; i < m; i = i + 1u) {
            sum = sum + load_partial_in0(a + i * n + k) * load_partial_in0(at + i * columns + j);
        }
        sum = sum * tau;
        store_partial_in0(at + k * columns + j, load_partial_in0(at + k * columns + j) - sum);
        for (var i = k + 1u; i < m; i = i + 1u) {
            let to = at + i * columns + j;
            store_partial_in0(to, load_partial_in0(to) - load_partial_in0(a + i * n + k) * sum);
        }
    }
    storageBarrier();
    workgroupBarrier();
}

// Loads a matrix, scaled, and sets Q to the identity matrix.
fn begin(matrix: u32, a: u32, lane: u32) {
    let m = params.param0;
    let n = params.param1;
    let columns = params.param2;
    let largest = atomicLoad(&peak);
    let is_finite = is_finite_in0(largest);
    for (var e = lane; e < m * n; e = e + WORKGROUP) {
        var x = number_in0(0u);
        if is_finite {
            x = load_in0(at_in0(matrix * m * n + e)) * scale_in0(largest);
        }
        store_partial_in0(a + e, x);
    }
    for (var e = lane; e < m * columns; e = e + WORKGROUP) {
        store_partial_in0(a + m * n + e, number_in0(select(0u, 1u, e / columns == e % columns)));
    }
    storageBarrier();
    workgroupBarrier();
}

// Stores Q and R.
fn end(matrix: u32, a: u32, lane: u32) {
    let m = params.param0;
    let n = params.param1;
    let columns = params.param2;
    let largest = atomicLoad(&peak);
    let is_finite = is_finite_in0(largest);
    for (var e = lane; e < m * columns; e = e + WORKGROUP) {
        store_out0(at_out0(matrix * m * columns + e), select(nan_in0(), load_partial_in0(a + m * n + e), is_finite));
    }
    for (var e = lane; e < columns * n; e = e + WORKGROUP) {
        var x = number_in0(0u);
        if e / n <= e % n {
            x = load_partial_in0(a + e) * unscale_in0(largest);
        }
        store_out1(at_out1(matrix * columns * n + e), select(nan_in0(), x, is_finite));
    }
}

@compute @workgroup_size(WORKGROUP)
fn factor(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m = params.param0;
    let n = params.param1;
    let columns = params.param2;
    let least = min(m, n);
    let matrix = params.first_item / WORKGROUP + group_index(id);
    if matrix >= params.param3 {
        return;
    }
    let a = matrix * (m * n + m * columns + least);
    let q = a + m * n;
    let taus = q + m * columns;
    let first_step = params.number & 0xffffu;
    let end_step = params.number >> 16u;
    if lane == 0u {
        atomicStore(&peak, 0u);
    }
    workgroupBarrier();
    if first_step == 0u || end_step == 2u * least {
        for (var e = lane; e < m * n; e = e + WORKGROUP) {
            atomicMax(&peak, magnitude_in0(load_in0(at_in0(matrix * m * n + e))));
        }
    }
    workgroupBarrier();
    if first_step == 0u {
        begin(matrix, a, lane);
    }
    for (var step = first_step; step < end_step; step = step + 1u) {
        if step < least {
            let tau = reflector(a, step, lane);
            if lane == 0u {
                store_partial_in0(taus + step, tau);
            }
            reflect(a, step, tau, a, step + 1u, n, lane);
        } else {
            // the reflectors are applied from the last to the first, and reflector k does not change the columns of Q
            // before column k
            let k = 2u * least - 1u - step;
            reflect(a, k, load_partial_in0(taus + k), q, k, columns, lane);
        }
    }
    if end_step == 2u * least {
        end(matrix, a, lane);
    }
}
// end
