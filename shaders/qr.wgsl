// The QR factorisation of matrices by Householder reflectors, one workgroup a matrix. An invocation reflects a column.
//
// The generator writes what this file calls, for the operand's type. The parameters of the call are the numbers of rows m
// and of columns n, the number of columns of Q, and the number of matrices. For each matrix the scratch memory holds R with
// the reflectors below its diagonal (whose first element is 1 and not stored), Q, and the factor of each reflector. A dispatch
// takes some of the steps, from the lower half of `params.number` to before its upper half: each column of R is a step, and then
// each reflector of Q. Mesa's software driver ends all loops of an invocation after 65,535 rounds together.

// block: written by the generator
@group(0) @binding(0) var<storage, read_write> scratch0: array<u32>;
// Where an element lies in its binding.
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
// The type of an operand's elements, which the scratch memory holds too.
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
// The bits of a magnitude, of which the upper ones are enough; they are in order.
fn magnitude_in0(x: f32) -> u32 {
    return bitcast<u32>(x) & 0x7fffffffu;
}
fn is_finite_in0(magnitude: u32) -> bool {
    return magnitude < 0x7f800000u;
}
// Powers of two: the factors that scale numbers up to a magnitude to about 1, and back.
fn scale_in0(magnitude: u32) -> f32 {
    return 1.0;
}
fn unscale_in0(magnitude: u32) -> f32 {
    return 1.0;
}
// The distance from 1 to the next number.
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

// Adds the numbers of all invocations.
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

// Makes the reflector of column k, and returns its factor.
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
    // far below the rounding errors of the largest element
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

// Reflects the columns from `first` on of a matrix with `columns` columns.
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

// Loads a matrix, scaled, and begins with the identity as Q.
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
            // a reflector changes no unit vector before its first row
            let k = 2u * least - 1u - step;
            reflect(a, k, load_partial_in0(taus + k), q, k, columns, lane);
        }
    }
    if end_step == 2u * least {
        end(matrix, a, lane);
    }
}
// end
