// The discrete Fourier transform of complex rows. The length of a row is a product of up to four factors. A pass
// transforms along one factor: a workgroup loads columns of as many points into its memory, runs Stockham passes of
// radix 4, 2, 3, 5 and 7 there, multiplies by roots of unity and stores the results where the next pass reads them with
// large steps. With one factor, a workgroup transforms whole rows. All memory is read and written in runs of
// neighbouring points.
//
// The generator (src/gpu/wgsl) writes the functions that this file calls, for the operands' type. The first block has
// stand-ins for them. The call's parameters are the length, the number of neighbouring rows (the step between the
// points of a row), the direction and scaling (INVERSE, SCALE_BY_LENGTH, SCALE_BY_ROOT and REAL in
// src/graph/routine/fft.rs), the number of all points, and the factors with 16 bits each. `params.number` is the number
// of the pass. Bit 8 is set if it writes the results, and bit 9 if it reads the operands (WRITES_RESULTS and
// READS_OPERANDS there). The scratch memory has two arrays of complex numbers, which passes read and write in turn.
//
// A transform of real numbers has another step before or after these passes, with bit 10 (COMBINES) in `params.number`.
// Each invocation combines number k of a row with number half - k; src/cpu/fft/halves.rs describes how.

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
fn at_out1(index: u32) -> u32 {
    return index;
}
fn load_in0(at: u32) -> f32 {
    return 0.0;
}
fn load_in1(at: u32) -> f32 {
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
// The cosine and the sine of pi k / n, for k up to n / 4.
fn cos_sin_in0(k: u32, n: u32) -> vec2<f32> {
    return vec2<f32>(1.0, 0.0);
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
// end

// block: transform
alias Point = vec2<Partial_in0>;

const POINTS = 4u * WORKGROUP;

var<workgroup> points: array<Point, POINTS>;
// The powers of exp(-2 pi i / R), where R is the pass's factor of the row's length.
var<workgroup> roots: array<Point, POINTS>;

fn product(a: Point, b: Point) -> Point {
    return Point(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

// exp(-2 pi i k / n) for k below n and n up to 2^28. The angle is reduced exactly to an eighth of a turn.
fn root(k: u32, n: u32) -> Point {
    let octant = 8u * k / n;
    let rest = 8u * k - octant * n;
    let is_odd = (octant & 1u) == 1u;
    let first = cos_sin_in0(select(rest, n - rest, is_odd), 4u * n);
    let swaps = ((octant + 1u) & 2u) != 0u;
    let c = select(first.x, first.y, swaps);
    let s = select(first.y, first.x, swaps);
    return Point(select(c, -c, octant >= 2u && octant <= 5u), select(-s, s, octant >= 4u));
}

fn factor(i: u32) -> u32 {
    let word = select(params.param4, params.param4_high, i >= 2u);
    return (word >> (16u * (i & 1u))) & 0xffffu;
}

// Loads a point of the rows. The inverse transform is computed as the forward transform with real and imaginary parts
// exchanged.
fn load_point(at: u32, pass_number: u32) -> Point {
    if (params.number & 512u) != 0u {
        let x = load_in0(at_in0(at));
        let y = load_in1(at_in1(at));
        if (params.param2 & 1u) != 0u {
            return Point(y, x);
        }
        return Point(x, y);
    }
    let first = 2u * params.param3 * ((pass_number + 1u) & 1u);
    return Point(load_partial_in0(first + at), load_partial_in0(first + params.param3 + at));
}

fn store_point(at: u32, x: Point, pass_number: u32, is_last: bool) {
    if is_last {
        store_out0(at_out0(at), select(x.x, x.y, (params.param2 & 1u) != 0u));
        store_out1(at_out1(at), select(x.y, x.x, (params.param2 & 1u) != 0u));
        return;
    }
    let first = 2u * params.param3 * (pass_number & 1u);
    store_partial_in0(first + at, x.x);
    store_partial_in0(first + params.param3 + at, x.y);
}

// The factor by which the results are scaled. If `combine` follows, it is half of that: the last pass scales what
// `combine` adds, so that no sum overflows whose result is finite.
fn scale() -> Partial_in0 {
    let n = number_in0(params.param0 << ((params.param2 & 8u) >> 3u));
    let is_half = (params.param2 & 9u) == 8u;
    let one = quotient_in0(number_in0(1u), number_in0(select(1u, 2u, is_half)));
    if (params.param2 & 2u) != 0u {
        return quotient_in0(one, n);
    }
    if (params.param2 & 4u) != 0u {
        return quotient_in0(one, root_in0(n));
    }
    return one;
}

// A pass of radix 4 over `columns` columns of `length` points. Each invocation computes one butterfly.
fn pass_of_4(lane: u32, columns: u32, length: u32, stride: u32) {
    let each = length / 4u;
    let is_in = lane < columns * each;
    let b = select(0u, lane, is_in);
    let first = b / each * length;
    let w = b % each;
    let x0 = points[first + w];
    let x1 = points[first + w + each];
    let x2 = points[first + w + 2u * each];
    let x3 = points[first + w + 3u * each];
    workgroupBarrier();
    if is_in {
        let s = x0 + x2;
        let t = x1 + x3;
        let d = x0 - x2;
        let e = Point(x1.y - x3.y, x3.x - x1.x);
        let g = w / stride * stride;
        let to = first + w - g + 4u * g;
        points[to] = s + t;
        points[to + stride] = product(d + e, roots[g]);
        points[to + 2u * stride] = product(s - t, roots[2u * g]);
        points[to + 3u * stride] = product(d - e, roots[3u * g]);
    }
    workgroupBarrier();
}

// A pass of radix 2, 3, 5 or 7, by the definition of the transform. With radix 2 or 3, an invocation computes up to 2
// butterflies.
fn pass_of(radix: u32, lane: u32, columns: u32, length: u32, stride: u32) {
    let each = length / radix;
    let count = columns * each;
    var x: array<Point, 8>;
    for (var half = 0u; half < 2u; half = half + 1u) {
        let b = lane + half * WORKGROUP;
        if b < count {
            for (var k = 0u; k < radix; k = k + 1u) {
                x[4u * half + k] = points[b / each * length + b % each + k * each];
            }
        }
    }
    workgroupBarrier();
    for (var half = 0u; half < 2u; half = half + 1u) {
        let b = lane + half * WORKGROUP;
        if b < count {
            let w = b % each;
            let g = w / stride * stride;
            let to = b / each * length + w - g + radix * g;
            for (var j = 0u; j < radix; j = j + 1u) {
                var sum = x[4u * half];
                for (var k = 1u; k < radix; k = k + 1u) {
                    sum = sum + product(x[4u * half + k], roots[j * k % radix * each]);
                }
                points[to + j * stride] = product(sum, roots[j * g]);
            }
        }
    }
    workgroupBarrier();
}

// Combines numbers k and half - k of the transform of a row. `item` counts k up to half / 2 in each row.
fn combine(item: u32) {
    let half = params.param0;
    let inner = params.param1;
    let pairs = half / 2u + 1u;
    if item >= params.param3 / half * pairs {
        return;
    }
    let k = item / inner % pairs;
    let row = item / inner / pairs;
    // number 0 of the row where rows have `half` numbers, and where they have one more
    let short = row * half * inner + item % inner;
    let long = short + row * inner;
    let low = k * inner;
    let high = (half - k) * inner;
    let is_inverse = (params.param2 & 1u) != 0u;
    let is_end = k == 0u;
    let array = 2u * params.param3 * (params.number & 1u);
    let zero = number_in0(0u);
    let w = root(k, 2u * half);
    var a: Point;
    var b: Point;
    var c = w.x;
    if is_inverse {
        a = Point(load_in0(at_in0(long + low)), select(load_in1(at_in1(long + low)), zero, is_end));
        b = Point(load_in0(at_in0(long + high)), select(load_in1(at_in1(long + high)), zero, is_end));
        c = -w.x;
    } else {
        let x = array + short + low;
        let y = array + short + select(high, 0u, is_end);
        a = Point(load_partial_in0(x), load_partial_in0(params.param3 + x));
        b = Point(load_partial_in0(y), load_partial_in0(params.param3 + y));
    }
    let sum = Point(a.x + b.x, a.y - b.y);
    let difference = Point(a.x - b.x, a.y + b.y);
    let t = c * difference.y + w.y * difference.x;
    let minus = c * difference.x - w.y * difference.y;
    let first = Point(sum.x + t, sum.y - minus);
    let last = Point(sum.x - t, zero - minus - sum.y);
    if is_inverse {
        // the passes compute an inverse transform with real and imaginary parts exchanged
        store_partial_in0(array + short + low, first.y);
        store_partial_in0(array + params.param3 + short + low, first.x);
        if !is_end {
            store_partial_in0(array + short + high, last.y);
            store_partial_in0(array + params.param3 + short + high, last.x);
        }
        return;
    }
    store_out0(at_out0(long + low), first.x);
    store_out1(at_out1(long + low), select(first.y, zero, is_end));
    store_out0(at_out0(long + high), last.x);
    store_out1(at_out1(long + high), select(last.y, zero, is_end));
}

@compute @workgroup_size(WORKGROUP)
fn transform(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if (params.number & 1024u) != 0u {
        combine(params.first_item + group_index(id) * WORKGROUP + lane);
        return;
    }
    let pass_number = params.number & 3u;
    let is_last = (params.number & 256u) != 0u;
    let length = factor(pass_number);
    // the length of the transforms that remain, and the step between their points
    var remaining = params.param0;
    var step = params.param1;
    for (var i = 0u; i < pass_number; i = i + 1u) {
        remaining = remaining / factor(i);
        step = step * factor(i);
    }
    // a row and its neighbours are `lines` columns of `length` points, and the points of a column are `lines` apart
    let lines = params.param0 / length * params.param1;
    let all = params.param3 / length;
    let columns = POINTS / length;
    let first = (params.first_item / WORKGROUP + group_index(id)) * columns;
    let in_order = lines == 1u;
    for (var e = lane; e < columns * length; e = e + WORKGROUP) {
        let c = select(e % columns, e / length, in_order);
        let k = select(e / columns, e % length, in_order);
        if first + c < all {
            let line = (first + c) % lines;
            points[c * length + k] = load_point((first + c - line) * length + line + lines * k, pass_number);
        }
    }
    for (var k = lane; k < length; k = k + WORKGROUP) {
        roots[k] = root(k, length);
    }
    workgroupBarrier();
    var left = length;
    var stride = 1u;
    while left % 4u == 0u {
        pass_of_4(lane, columns, length, stride);
        left = left / 4u;
        stride = stride * 4u;
    }
    for (var radix = 2u; radix < 8u; radix = radix + 1u) {
        while left % radix == 0u && radix != 4u && radix != 6u {
            pass_of(radix, lane, columns, length, stride);
            left = left / radix;
            stride = stride * radix;
        }
    }
    let factor_of_results = scale();
    let runs = step < columns;
    for (var e = lane; e < columns * length; e = e + WORKGROUP) {
        let c = select(e % columns, e / length, runs);
        let j = select(e / columns, e % length, runs);
        if first + c < all {
            let line = (first + c) % lines;
            let q = line % step;
            let p = line / step;
            var x = points[c * length + j];
            if remaining == length {
                x = x * factor_of_results;
            } else {
                x = product(x, root(p * j, remaining));
            }
            store_point((first + c - line) * length + q + step * (length * p + j), x, pass_number, is_last);
        }
    }
}
// end
