// The eigenvalues and eigenvectors of symmetric matrices, by the Jacobi method: rotations of pairs of rows and columns
// make the elements off the diagonal smaller, until they are far below the rounding errors of the largest element. The
// pairs of a round are disjoint, so a workgroup rotates all of them at once. A workgroup processes one matrix, or
// several small ones.
//
// The generator (src/gpu/wgsl) writes the functions that this file calls, for the operand's type. The first block has
// stand-ins for them. The parameters of the call are the number n of rows, whether the eigenvectors are wanted, the
// number of matrices, and the number of matrices that a workgroup processes. For each matrix the scratch memory holds
// the rotated matrix, the eigenvectors (in columns), and the order of the eigenvalues.

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

// block: iterate
alias Real = Partial_in0;

// The rotation of each pair of rows of the workgroup's matrices: the tangent of half its angle, and the sine of the
// angle. With these, a rotation adds a small change to each number, which has smaller rounding errors than a product
// with the cosine.
var<workgroup> halves: array<Real, WORKGROUP>;
var<workgroup> sines: array<Real, WORKGROUP>;
// The largest magnitude of each matrix.
var<workgroup> peaks: array<atomic<u32>, WORKGROUP>;
var<workgroup> rotated: atomic<u32>;
var<workgroup> goes_on: u32;

// The two rows of pair `k` in a round. Each round pairs all rows, and in `2 pairs - 1` rounds every two rows meet once.
// If the number n of rows is odd, one pair of each round has the row n, which does not exist.
fn pair_of(k: u32, round: u32, pairs: u32) -> vec2<u32> {
    let others = 2u * pairs - 1u;
    let p = select((round + k) % others, others, k == 0u);
    let q = select((round + others - k) % others, round, k == 0u);
    return vec2<u32>(min(p, q), max(p, q));
}

// The position in the scratch memory of a matrix's data: the matrix that is rotated, then the vectors, then the order
// of the eigenvalues.
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

// The largest number of sweeps. In a sweep, every two rows meet once. No matrix has needed so many sweeps.
const MOST_SWEEPS = 30u;

// Loads the lower triangle of each matrix, scaled, into both triangles, and sets the vectors to the identity matrix.
fn begin(first: u32, count: u32, lane: u32) {
    let n = params.param0;
    atomicStore(&peaks[lane], 0u);
    workgroupBarrier();
    for (var e = lane; e < count * n * n; e = e + WORKGROUP) {
        let at = e % (n * n);
        if at % n <= at / n {
            atomicMax(&peaks[e / (n * n)], magnitude_in0(load_in0(at_in0(first * n * n + e))));
        }
    }
    workgroupBarrier();
    for (var e = lane; e < count * n * n; e = e + WORKGROUP) {
        let m = e / (n * n);
        let i = e % (n * n) / n;
        let j = e % n;
        let peak = atomicLoad(&peaks[m]);
        var x = number_in0(0u);
        if is_finite_in0(peak) {
            x = load_in0(at_in0(((first + m) * n + max(i, j)) * n + min(i, j))) * scale_in0(peak);
        }
        let to = place_of(first + m) + e % (n * n);
        store_partial_in0(to, x);
        store_partial_in0(to + n * n, number_in0(select(0u, 1u, i == j)));
    }
    storageBarrier();
    workgroupBarrier();
}

// Computes the rotations of a round. The rotation of two rows p and q makes the element in row q and column p 0.
fn choose(first: u32, count: u32, lane: u32, round: u32) {
    let n = params.param0;
    let pairs = (n + 1u) / 2u;
    if lane < count * pairs {
        let pq = pair_of(lane % pairs, round, pairs);
        var half = number_in0(0u);
        var s = number_in0(0u);
        if pq.y < n {
            let at = place_of(first + lane / pairs);
            let beside = load_partial_in0(at + pq.y * n + pq.x);
            // a smaller element is below the rounding errors, and rotating it away would add errors where eigenvalues
            // are equal
            if number_in0(4u) * magnitude(beside) > epsilon_in0() {
                let p = load_partial_in0(at + pq.x * n + pq.x);
                let q = load_partial_in0(at + pq.y * n + pq.y);
                let t = tangent(q - p, beside);
                let c = quotient_in0(number_in0(1u), root_in0(t * t + number_in0(1u)));
                s = c * t;
                half = quotient_in0(s, number_in0(1u) + c);
                atomicStore(&rotated, 1u);
            }
        }
        halves[lane] = half;
        sines[lane] = s;
    }
    workgroupBarrier();
}

fn rotate_rows(first: u32, count: u32, lane: u32, round: u32) {
    let n = params.param0;
    let pairs = (n + 1u) / 2u;
    for (var e = lane; e < count * pairs * n; e = e + WORKGROUP) {
        let pair = e / n;
        let pq = pair_of(pair % pairs, round, pairs);
        let s = sines[pair];
        if pq.y < n && s != Real(0.0) {
            let half = halves[pair];
            let at = place_of(first + pair / pairs) + e % n;
            let x = load_partial_in0(at + pq.x * n);
            let y = load_partial_in0(at + pq.y * n);
            store_partial_in0(at + pq.x * n, x - s * (y + half * x));
            store_partial_in0(at + pq.y * n, y + s * (x - half * y));
        }
    }
    storageBarrier();
    workgroupBarrier();
}

fn rotate_columns(first: u32, count: u32, lane: u32, round: u32) {
    let n = params.param0;
    let pairs = (n + 1u) / 2u;
    for (var e = lane; e < count * pairs * n; e = e + WORKGROUP) {
        let pair = e / n;
        let pq = pair_of(pair % pairs, round, pairs);
        let s = sines[pair];
        if pq.y < n && s != Real(0.0) {
            let half = halves[pair];
            let row = e % n;
            let at = place_of(first + pair / pairs) + row * n;
            let x = load_partial_in0(at + pq.x);
            let y = load_partial_in0(at + pq.y);
            store_partial_in0(at + pq.x, select(x - s * (y + half * x), Real(0.0), row == pq.y));
            store_partial_in0(at + pq.y, select(y + s * (x - half * y), Real(0.0), row == pq.x));
            let v = at + n * n;
            let a = load_partial_in0(v + pq.x);
            let b = load_partial_in0(v + pq.y);
            store_partial_in0(v + pq.x, a - s * (b + half * a));
            store_partial_in0(v + pq.y, b + s * (a - half * b));
        }
    }
    storageBarrier();
    workgroupBarrier();
}

// Stores the eigenvalues in ascending order, and for each of them the number of the column with its eigenvector.
fn end(first: u32, count: u32, lane: u32) {
    let n = params.param0;
    for (var e = lane; e < count * n; e = e + WORKGROUP) {
        let m = e / n;
        let i = e % n;
        let at = place_of(first + m);
        let x = load_partial_in0(at + i * n + i);
        var rank = 0u;
        for (var j = 0u; j < n; j = j + 1u) {
            let y = load_partial_in0(at + j * n + j);
            if y < x || (y == x && j < i) {
                rank = rank + 1u;
            }
        }
        let peak = atomicLoad(&peaks[m]);
        store_partial_in0(at + 2u * n * n + rank, number_in0(i));
        var value = nan_in0();
        if is_finite_in0(peak) {
            value = x * unscale_in0(peak);
        } else {
            for (var j = 0u; j < n; j = j + 1u) {
                store_partial_in0(at + n * n + j * n + i, value);
            }
        }
        store_out0(at_out0((first + m) * n + rank), value);
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
            rotate_rows(first, count, lane, round);
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

// block: store_first
// Stores an element of the eigenvectors. Their columns are in the order of the eigenvalues.
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
    store_out1(at_out1(item), load_partial_in0(at + (n + row) * n + column));
}
// end
