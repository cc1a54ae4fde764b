// The singular values and singular vectors of square matrices, by the one-sided Jacobi method of Hestenes: rotations of
// pairs of columns make all columns orthogonal. Their lengths are then the singular values. The pairs of a round are
// disjoint, so a workgroup rotates all of them at once. A workgroup processes one matrix, or several small ones.
//
// The generator (src/gpu/wgsl) writes the functions that this file calls, for the operand's type. The first block has
// stand-ins for them. The parameters of the call are the number n of rows, whether the vectors are wanted, the number
// of matrices, and the number of matrices that a workgroup processes. For each matrix the scratch memory holds the
// rotated matrix, the right vectors (in columns), and the order of the singular values.

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
fn at_out2(index: u32) -> u32 {
    return index;
}
fn load_in0(at: u32) -> f32 {
    return 0.0;
}
fn store_out0(at: u32, x: f32) {
}
fn store_out1(at: u32, x: f32) {
}
fn store_out2(at: u32, x: f32) {
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

// block: iterate
alias Real = Partial_in0;

// The rotation of each pair of columns of the workgroup's matrices: the tangent of half its angle, and the sine of the
// angle. With these, a rotation adds a small change to each number, which has smaller rounding errors than a product
// with the cosine.
var<workgroup> halves: array<Real, WORKGROUP>;
var<workgroup> sines: array<Real, WORKGROUP>;
// The largest magnitude of each matrix.
var<workgroup> peaks: array<atomic<u32>, WORKGROUP>;
var<workgroup> rotated: atomic<u32>;
var<workgroup> goes_on: u32;

// The two columns of pair `k` in a round. Each round pairs all columns, and in `2 pairs - 1` rounds every two columns
// meet once. If the number n of columns is odd, one pair of each round has the column n, which does not exist.
fn pair_of(k: u32, round: u32, pairs: u32) -> vec2<u32> {
    let others = 2u * pairs - 1u;
    let p = select((round + k) % others, others, k == 0u);
    let q = select((round + others - k) % others, round, k == 0u);
    return vec2<u32>(min(p, q), max(p, q));
}

// The position in the scratch memory of a matrix's data: the matrix that is rotated, then the right vectors, then the
// order of the singular values.
fn place_of(matrix: u32) -> u32 {
    let n = params.param0;
    return matrix * (2u * n + 1u) * n;
}

fn magnitude(x: Real) -> Real {
    return select(x, -x, x < Real(0.0));
}

// The tangent of the smaller angle a with (difference / 2) tan 2a = product.
fn tangent(difference: Real, product: Real) -> Real {
    let ratio = quotient_in0(difference, product + product);
    let size = magnitude(ratio);
    let one = number_in0(1u);
    // the square of a large ratio might overflow
    let root = select(root_in0(ratio * ratio + one), size, size > number_in0(100000000u));
    let t = quotient_in0(one, size + root);
    return select(t, -t, ratio < Real(0.0));
}

// The largest number of sweeps. In a sweep, every two columns meet once. No matrix has needed so many sweeps.
const MOST_SWEEPS = 24u;

// Loads the matrices, scaled, and sets the right vectors to the identity matrix.
fn begin(first: u32, count: u32, lane: u32) {
    let n = params.param0;
    atomicStore(&peaks[lane], 0u);
    workgroupBarrier();
    for (var e = lane; e < count * n * n; e = e + WORKGROUP) {
        atomicMax(&peaks[e / (n * n)], magnitude_in0(load_in0(at_in0(first * n * n + e))));
    }
    workgroupBarrier();
    for (var e = lane; e < count * n * n; e = e + WORKGROUP) {
        let m = e / (n * n);
        let at = e % (n * n);
        let peak = atomicLoad(&peaks[m]);
        var x = number_in0(0u);
        if is_finite_in0(peak) {
            x = load_in0(at_in0(first * n * n + e)) * scale_in0(peak);
        }
        let to = place_of(first + m) + at;
        store_partial_in0(to, x);
        store_partial_in0(to + n * n, number_in0(select(0u, 1u, at / n == at % n)));
    }
    storageBarrier();
    workgroupBarrier();
}

// A column counts as 0 if the square of its length is at most this, which is far below the rounding errors of the
// matrix's largest element.
fn least_square() -> Real {
    let square = epsilon_in0() * epsilon_in0();
    return square * square;
}

// Loads four elements of a column. Loops process several elements at once, because Mesa's software driver ends all
// loops of an invocation after 65,535 rounds together.
fn four(at: u32) -> vec4<Real> {
    let n = params.param0;
    let low = vec2<Real>(load_partial_in0(at), load_partial_in0(at + n));
    return vec4<Real>(low, load_partial_in0(at + 2u * n), load_partial_in0(at + 3u * n));
}

fn total(x: vec4<Real>) -> Real {
    return (x.x + x.y) + (x.z + x.w);
}

// Computes the rotations of a round. The rotation of two columns makes them orthogonal.
fn choose(first: u32, count: u32, lane: u32, round: u32) {
    let n = params.param0;
    let pairs = (n + 1u) / 2u;
    if lane < count * pairs {
        let pq = pair_of(lane % pairs, round, pairs);
        var half = number_in0(0u);
        var s = number_in0(0u);
        if pq.y < n {
            let at = place_of(first + lane / pairs);
            var p = number_in0(0u);
            var q = number_in0(0u);
            var both = number_in0(0u);
            var i = 0u;
            for (; i + 4u <= n; i = i + 4u) {
                let x = four(at + i * n + pq.x);
                let y = four(at + i * n + pq.y);
                p = p + total(x * x);
                q = q + total(y * y);
                both = both + total(x * y);
            }
            for (; i < n; i = i + 1u) {
                let x = load_partial_in0(at + i * n + pq.x);
                let y = load_partial_in0(at + i * n + pq.y);
                p = p + x * x;
                q = q + y * y;
                both = both + x * y;
            }
            let bound = epsilon_in0() * root_in0(p) * root_in0(q);
            if p > least_square() && q > least_square() && magnitude(both) > bound {
                let t = tangent(q - p, both);
                let c = quotient_in0(number_in0(1u), root_in0(t * t + number_in0(1u)));
                s = c * t;
                half = quotient_in0(s, number_in0(1u) + c);
                // rounding errors of the sums of products leave up to about sqrt(n) times the bound
                if magnitude(both) > root_in0(number_in0(n)) * bound {
                    atomicStore(&rotated, 1u);
                }
            }
        }
        halves[lane] = half;
        sines[lane] = s;
    }
    workgroupBarrier();
}

fn rotate_columns(first: u32, count: u32, lane: u32, round: u32) {
    let n = params.param0;
    let pairs = (n + 1u) / 2u;
    // the loop goes over the rows of the matrix and the rows of the right vectors
    for (var e = lane; e < 2u * count * pairs * n; e = e + WORKGROUP) {
        let pair = e / (2u * n);
        let pq = pair_of(pair % pairs, round, pairs);
        let s = sines[pair];
        if pq.y < n && s != Real(0.0) {
            let half = halves[pair];
            let at = place_of(first + pair / pairs) + e % (2u * n) * n;
            let x = load_partial_in0(at + pq.x);
            let y = load_partial_in0(at + pq.y);
            store_partial_in0(at + pq.x, x - s * (y + half * x));
            store_partial_in0(at + pq.y, y + s * (x - half * y));
        }
    }
    storageBarrier();
    workgroupBarrier();
}

// The square of the length of a column, or 0 if it counts as 0.
fn square_of(at: u32, column: u32) -> Real {
    let n = params.param0;
    var sum = number_in0(0u);
    for (var i = 0u; i < n; i = i + 1u) {
        let x = load_partial_in0(at + i * n + column);
        sum = sum + x * x;
    }
    return select(sum, Real(0.0), sum <= least_square());
}

// Stores the singular values in descending order, and for each of them the number of the column with its vectors.
fn end(first: u32, count: u32, lane: u32) {
    let n = params.param0;
    for (var e = lane; e < count * n; e = e + WORKGROUP) {
        let m = e / n;
        let i = e % n;
        let at = place_of(first + m);
        let x = square_of(at, i);
        var rank = 0u;
        for (var j = 0u; j < n; j = j + 1u) {
            let y = square_of(at, j);
            if y > x || (y == x && j < i) {
                rank = rank + 1u;
            }
        }
        let peak = atomicLoad(&peaks[m]);
        store_partial_in0(at + 2u * n * n + rank, number_in0(i));
        store_out0(at_out0((first + m) * n + rank), select(nan_in0(), root_in0(x) * unscale_in0(peak), is_finite_in0(peak)));
    }
    storageBarrier();
    workgroupBarrier();
    for (var e = lane; e < 2u * count * n * n; e = e + WORKGROUP) {
        let m = e / (2u * n * n);
        if !is_finite_in0(atomicLoad(&peaks[m])) {
            store_partial_in0(place_of(first + m) + e % (2u * n * n), nan_in0());
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn iterate(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (params.first_item / WORKGROUP + group_index(id)) * params.param3;
    let count = min(params.param3, params.param2 - min(first, params.param2));
    begin(first, count, lane);
    let rounds = 2u * ((params.param0 + 1u) / 2u) - 1u;
    for (var sweep = 0u; sweep < MOST_SWEEPS; sweep = sweep + 1u) {
        if lane == 0u {
            atomicStore(&rotated, 0u);
        }
        workgroupBarrier();
        for (var round = 0u; round < rounds; round = round + 1u) {
            choose(first, count, lane, round);
            rotate_columns(first, count, lane, round);
        }
        if lane == 0u {
            goes_on = atomicLoad(&rotated);
        }
        if workgroupUniformLoad(&goes_on) == 0u {
            break;
        }
    }
    end(first, count, lane);
}
// end

// block: complete
alias Real = Partial_in0;

// Numbers of the rows or columns of a matrix. It has at most 64 rows.
var<workgroup> numbers: array<Real, WORKGROUP>;
// Whether each column of the workgroup's matrices is zero.
var<workgroup> is_zero: array<u32, 2u * WORKGROUP>;

fn place_of(matrix: u32) -> u32 {
    let n = params.param0;
    return matrix * (2u * n + 1u) * n;
}

// Divides a column by its length, so that it becomes a left vector. Returns whether the column counts as 0, because the
// square of its length is far below the rounding errors of the matrix's largest element.
fn normalise(at: u32, column: u32) -> bool {
    let n = params.param0;
    var sum = number_in0(0u);
    for (var i = 0u; i < n; i = i + 1u) {
        let x = load_partial_in0(at + i * n + column);
        sum = sum + x * x;
    }
    let square = epsilon_in0() * epsilon_in0();
    let counts = !(sum <= square * square);
    var factor = number_in0(0u);
    if counts {
        factor = quotient_in0(number_in0(1u), root_in0(sum));
    }
    for (var i = 0u; i < n; i = i + 1u) {
        let to = at + i * n + column;
        store_partial_in0(to, load_partial_in0(to) * factor);
    }
    return !counts;
}

// Replaces a column of zeros by a unit vector that is orthogonal to all other columns. It starts from the unit vector
// along the axis that is farthest from the span of the other columns, and subtracts its projections onto them, twice.
// Each invocation has one row, and in the second step one column.
fn complete_column(at: u32, column: u32, lane: u32) {
    let n = params.param0;
    let row = min(lane, n - 1u);
    var sum = number_in0(0u);
    for (var j = 0u; j < n; j = j + 1u) {
        let x = load_partial_in0(at + row * n + j);
        sum = sum + x * x;
    }
    numbers[lane] = sum;
    workgroupBarrier();
    var axis = 0u;
    for (var i = 1u; i < n; i = i + 1u) {
        if numbers[i] < numbers[axis] {
            axis = i;
        }
    }
    var x = number_in0(select(0u, 1u, row == axis));
    for (var j = 0u; j < n; j = j + 1u) {
        x = x - load_partial_in0(at + axis * n + j) * load_partial_in0(at + row * n + j);
    }
    workgroupBarrier();
    numbers[lane] = x;
    workgroupBarrier();
    // computes the projections of what is left; each invocation computes the projection onto one column
    var along = number_in0(0u);
    for (var i = 0u; i < n; i = i + 1u) {
        along = along + numbers[i] * load_partial_in0(at + i * n + row);
    }
    workgroupBarrier();
    numbers[lane] = along;
    workgroupBarrier();
    for (var j = 0u; j < n; j = j + 1u) {
        x = x - numbers[j] * load_partial_in0(at + row * n + j);
    }
    workgroupBarrier();
    numbers[lane] = x * x;
    workgroupBarrier();
    var square = number_in0(0u);
    for (var i = 0u; i < n; i = i + 1u) {
        square = square + numbers[i];
    }
    if lane < n {
        store_partial_in0(at + lane * n + column, quotient_in0(x, root_in0(square)));
    }
    storageBarrier();
    workgroupBarrier();
}

@compute @workgroup_size(WORKGROUP)
fn complete(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = params.param0;
    let first = (params.first_item / WORKGROUP + group_index(id)) * params.param3;
    let count = min(params.param3, params.param2 - min(first, params.param2));
    for (var e = lane; e < count * n; e = e + WORKGROUP) {
        is_zero[e] = select(0u, 1u, normalise(place_of(first + e / n), e % n));
    }
    storageBarrier();
    workgroupBarrier();
    for (var e = 0u; e < count * n; e = e + 1u) {
        if workgroupUniformLoad(&is_zero[e]) != 0u {
            complete_column(place_of(first + e / n), e % n, lane);
        }
    }
}
// end

// block: store_first
// Stores an element of the left vectors. Their columns are in the order of the singular values.
@compute @workgroup_size(WORKGROUP)
fn store_first(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    let n = params.param0;
    let row = item / n % n;
    let at = item / (n * n) * (2u * n + 1u) * n;
    let column = u32(load_partial_in0(at + 2u * n * n + item % n));
    store_out1(at_out1(item), load_partial_in0(at + row * n + column));
}
// end

// block: store_second
// Stores an element of the right vectors. They are rows, in the order of the singular values.
@compute @workgroup_size(WORKGROUP)
fn store_second(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    let n = params.param0;
    let at = item / (n * n) * (2u * n + 1u) * n;
    let column = u32(load_partial_in0(at + 2u * n * n + item / n % n));
    store_out2(at_out2(item), load_partial_in0(at + (n + item % n) * n + column));
}
// end
