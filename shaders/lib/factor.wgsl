// Functions with which the workgroups of a product (`matmul.wgsl`) copy parts of a factor to workgroup memory.
//
// The generator writes each block that it needs twice: for the first factor with `a`, `ROWS`, `rows` and `row` instead
// of FACTOR, SIDE, LINES and LINE, and for the second with `b`, `COLUMNS`, `columns` and `column`. A line of the factor
// a is a row, and a line of b is a column, so k runs along a line. The generator repeats the lines between `for each`
// and `end for`.

// block: written by the generator
// The position of element `k` of a line that begins at `line`. The function after it returns the positions at which
// lines begin, from their numbers: of four lines as a vector if single elements are fetched, or of one line if vectors
// are fetched.
fn place_FACTOR(line: u32, k: u32) -> u32 {
    return line + k;
}
fn along_FACTOR(lines: vec4<u32>) -> vec4<u32> {
    return lines * params.header.k_size;
}
// Whether an invocation fetches four neighbours along k, and not four neighbouring lines at one k.
fn is_along_FACTOR() -> bool {
    return true;
}
// One element of a factor. The functions after it return the words of four contiguous elements, and the values of
// these.
fn load_FACTOR(at: u32) -> T {
    return T(at);
}
alias Words_FACTOR = vec4<u32>;
fn load_words_FACTOR(at: u32) -> Words_FACTOR {
    return Words_FACTOR(at);
}
fn widen_FACTOR(words: Words_FACTOR) -> Four {
    return Four();
}
// end

// block: by elements
// The positions of the first elements of four lines. The distance between the lines is `step`. The last line stands for
// a line past the edge; nothing that is computed from such a line is stored.
alias Places_FACTOR = vec4<u32>;
alias Words_FACTOR = Four;
fn places_FACTOR(matrix: u32, first: u32, step: u32) -> Places_FACTOR {
    let lines = vec4<u32>(first, first + step, first + 2u * step, first + 3u * step);
    return along_FACTOR(min(lines, vec4<u32>(params.header.matrix_LINES - 1u))) + matrix;
}

// Loads element `k` of the first of four lines, `k + step` of the second, and so on. Past the end it loads the last
// element, which the caller does not use.
fn fetch_four_FACTOR(places: Places_FACTOR, k: u32, step: u32) -> Words_FACTOR {
    let last = params.header.k_size - 1u;
    return Four(
        load_FACTOR(place_FACTOR(places.x, min(k, last))),
        load_FACTOR(place_FACTOR(places.y, min(k + step, last))),
        load_FACTOR(place_FACTOR(places.z, min(k + 2u * step, last))),
        load_FACTOR(place_FACTOR(places.w, min(k + 3u * step, last))),
    );
}

fn widen_FACTOR(four: Words_FACTOR) -> Four {
    return four;
}
// end

// block: by vectors
// The place of four elements of a factor that are fetched as one vector. No such vector crosses an edge.
alias Places_FACTOR = u32;
fn places_FACTOR(matrix: u32, first: u32, step: u32) -> Places_FACTOR {
    let last = params.header.matrix_LINES - select(4u, 1u, is_along_FACTOR());
    return along_FACTOR(min(first, last)) + matrix;
}

fn fetch_four_FACTOR(place: Places_FACTOR, k: u32, step: u32) -> Words_FACTOR {
    return load_words_FACTOR(place_FACTOR(place, min(k, params.header.k_size - select(1u, 4u, is_along_FACTOR()))));
}
// end

// block: a tile
// A vector holds four neighbouring lines at one k. This is the distance between the vectors of two neighbouring k.
const STRIDE_FACTOR = TILE_SIDE / 4u + PADDING;
var<workgroup> tile_FACTOR: array<Four, DEPTH * STRIDE_FACTOR>;
// end

// block: across
// The vectors of a factor that an invocation fetches in each step along k, and the position of the first one in
// workgroup memory. All of them are at one k.
struct Source_FACTOR {
    k: u32,
    to: u32,
    // for each vector
    places_VECTOR: Places_FACTOR,
    // end for
}

struct Fetched_FACTOR {
    // for each vector
    vector_VECTOR: Words_FACTOR,
    // end for
}

fn find_FACTOR(task: Task, lane: u32) -> Source_FACTOR {
    // neighbouring invocations fetch along the axis in which the operand is contiguous
    var source: Source_FACTOR;
    source.k = select(lane / FETCHED, lane % DEPTH, is_along_FACTOR());
    let vector = select(lane % FETCHED, lane / DEPTH, is_along_FACTOR());
    source.to = source.k * STRIDE_FACTOR + vector;
    let matrices = place_matrices(min(task.batch, task.batches - 1u));
    source.k += matrices.k;
    // for each vector
    source.places_VECTOR = places_FACTOR(matrices.FACTOR, task.LINE + (vector + VECTOR * FETCHED) * 4u, 1u);
    // end for
    return source;
}

fn fetch_FACTOR(source: Source_FACTOR, k_first: u32) -> Fetched_FACTOR {
    var fetched: Fetched_FACTOR;
    // for each vector
    fetched.vector_VECTOR = fetch_four_FACTOR(source.places_VECTOR, k_first + source.k, 0u);
    // end for
    return fetched;
}

fn put_FACTOR(source: Source_FACTOR, fetched: Fetched_FACTOR) {
    // for each vector
    tile_FACTOR[source.to + VECTOR * FETCHED] = widen_FACTOR(fetched.vector_VECTOR);
    // end for
}
// end

// block: along k
// Four lines of a factor. An invocation fetches four neighbours along k of each. The last invocations may have no lines
// of their own: they fetch the same elements as another invocation, because a branch would make drivers wait at its end
// until the elements have arrived.
struct Source_FACTOR {
    k: u32,
    to: u32,
    is_used: bool,
    // for each vector
    places_VECTOR: Places_FACTOR,
    // end for
}

struct Fetched_FACTOR {
    // for each vector
    line_VECTOR: Words_FACTOR,
    // end for
}

fn find_FACTOR(task: Task, lane: u32) -> Source_FACTOR {
    var source: Source_FACTOR;
    source.k = lane % (DEPTH / 4u) * 4u;
    let vector = min(lane / (DEPTH / 4u), TILE_SIDE / 4u - 1u);
    source.to = source.k * STRIDE_FACTOR + vector;
    source.is_used = lane < TILE_SIDE * DEPTH / 16u;
    let matrices = place_matrices(min(task.batch, task.batches - 1u));
    source.k += matrices.k;
    // for each vector
    source.places_VECTOR = places_FACTOR(matrices.FACTOR, task.LINE + vector * 4u + VECTOR, 0u);
    // end for
    return source;
}

fn fetch_FACTOR(source: Source_FACTOR, k_first: u32) -> Fetched_FACTOR {
    var fetched: Fetched_FACTOR;
    // for each vector
    fetched.line_VECTOR = fetch_four_FACTOR(source.places_VECTOR, k_first + source.k, 1u);
    // end for
    return fetched;
}

fn put_FACTOR(source: Source_FACTOR, fetched: Fetched_FACTOR) {
    if source.is_used {
        // for each vector
        let x_VECTOR = widen_FACTOR(fetched.line_VECTOR);
        // end for
        tile_FACTOR[source.to] = Four(x_0.x, x_1.x, x_2.x, x_3.x);
        tile_FACTOR[source.to + STRIDE_FACTOR] = Four(x_0.y, x_1.y, x_2.y, x_3.y);
        tile_FACTOR[source.to + 2u * STRIDE_FACTOR] = Four(x_0.z, x_1.z, x_2.z, x_3.z);
        tile_FACTOR[source.to + 3u * STRIDE_FACTOR] = Four(x_0.w, x_1.w, x_2.w, x_3.w);
    }
}
// end

// block: lines
// The number of lines of a factor, and the number of vectors in one step along k. The distance between lines is odd, so
// that neighbouring invocations read from different banks.
const COUNT_FACTOR = MATRICES * TILE_SIDE;
const QUADS_FACTOR = COUNT_FACTOR * DEPTH / 4u;
var<workgroup> lines_FACTOR: array<T, COUNT_FACTOR * (DEPTH + 1u)>;

// The vectors that an invocation fetches: the position of each in the operand, its first k, and its position in
// workgroup memory. The four elements of a vector are neighbours along k if `step` is 1, and neighbouring lines if it
// is 0. In workgroup memory, the distance between them is `stride`.
struct Source_FACTOR {
    is_used: bool,
    step: u32,
    stride: u32,
    // for each vector
    places_VECTOR: Places_FACTOR,
    k_VECTOR: u32,
    to_VECTOR: u32,
    // end for
}

struct Fetched_FACTOR {
    // for each vector
    vector_VECTOR: Words_FACTOR,
    // end for
}

fn find_FACTOR(task: Task, lane: u32) -> Source_FACTOR {
    let is_along = TILE_SIDE < 4u || is_along_FACTOR();
    let across = max(COUNT_FACTOR / 4u, 1u);
    var source: Source_FACTOR;
    source.is_used = QUADS_FACTOR >= WORKGROUP || lane < QUADS_FACTOR;
    source.step = select(0u, 1u, is_along);
    source.stride = select(DEPTH + 1u, 1u, is_along);
    var matrices = place_matrices(min(task.batch, task.batches - 1u));
    // for each vector
    {
        let quad = min(lane + VECTOR * WORKGROUP, QUADS_FACTOR - 1u);
        let line = select(quad % across * 4u, quad / (DEPTH / 4u), is_along);
        if MATRICES > 1u {
            matrices = place_matrices(min(task.batch + line / TILE_SIDE, task.batches - 1u));
        }
        source.places_VECTOR = places_FACTOR(matrices.FACTOR, task.LINE + line % TILE_SIDE, 1u - source.step);
        source.k_VECTOR = select(quad / across, quad % (DEPTH / 4u) * 4u, is_along);
        source.to_VECTOR = line * (DEPTH + 1u) + source.k_VECTOR;
        source.k_VECTOR += matrices.k;
    }
    // end for
    return source;
}

fn fetch_FACTOR(source: Source_FACTOR, k_first: u32) -> Fetched_FACTOR {
    var fetched: Fetched_FACTOR;
    // for each vector
    fetched.vector_VECTOR = fetch_four_FACTOR(source.places_VECTOR, k_first + source.k_VECTOR, source.step);
    // end for
    return fetched;
}

fn put_FACTOR(source: Source_FACTOR, fetched: Fetched_FACTOR) {
    if source.is_used {
        // for each vector
        let x_VECTOR = widen_FACTOR(fetched.vector_VECTOR);
        lines_FACTOR[source.to_VECTOR] = x_VECTOR.x;
        lines_FACTOR[source.to_VECTOR + source.stride] = x_VECTOR.y;
        lines_FACTOR[source.to_VECTOR + 2u * source.stride] = x_VECTOR.z;
        lines_FACTOR[source.to_VECTOR + 3u * source.stride] = x_VECTOR.w;
        // end for
    }
}
// end

// block: halves by elements
// The f16 of a factor in workgroup memory. An invocation stores four of them there at a time, at the distance `step`.
const UNIT_FACTOR = 1u;
var<workgroup> halves_FACTOR: array<f16, HALVES_FACTOR>;

fn put_four_FACTOR(to: u32, step: u32, four: Four) {
    halves_FACTOR[to] = four.x;
    halves_FACTOR[to + step] = four.y;
    halves_FACTOR[to + 2u * step] = four.z;
    halves_FACTOR[to + 3u * step] = four.w;
}
// end

// block: halves by vectors
// The f16 of a factor in workgroup memory, as vectors. The four f16 that an invocation stores there at a time are
// neighbours.
const UNIT_FACTOR = 4u;
var<workgroup> halves_FACTOR: array<Four, HALVES_FACTOR / 4u>;

fn put_four_FACTOR(to: u32, step: u32, four: Four) {
    halves_FACTOR[to / 4u] = four;
}
// end

// block: halves
// The positions of the f16 of a factor in workgroup memory, for cooperative matrices (`matmul_cooperative.wgsl`). They
// lie one line after another, or, if vectors of neighbouring lines are fetched, one k after another. The distance
// between two lines, or two k, is the constant STRIDE of the factor.

fn place_in_FACTOR(line: u32, k: u32) -> u32 {
    return select(k * STRIDE_FACTOR + line, line * STRIDE_FACTOR + k, IS_ALONG_FACTOR);
}

// The vectors that an invocation fetches: the position of each in the operand, and the first k and the position in
// workgroup memory of the first one. The vectors are WORKGROUP vectors apart: if they lie along k, they are in different
// lines at the same k, and otherwise in the same lines at different k.
struct Source_FACTOR {
    k: u32,
    to: u32,
    // for each vector
    places_VECTOR: Places_FACTOR,
    // end for
}

struct Fetched_FACTOR {
    // for each vector
    vector_VECTOR: Words_FACTOR,
    // end for
}

// The distances between two vectors: in lines, along k, and in workgroup memory. WORKGROUP is a multiple of SIDE / 4 and
// of STEP / 4.
fn lines_between_FACTOR() -> u32 {
    return select(0u, WORKGROUP / (STEP / 4u), is_along_FACTOR());
}
fn k_between_FACTOR() -> u32 {
    return select(WORKGROUP / (SIDE / 4u), 0u, is_along_FACTOR());
}
fn between_FACTOR() -> u32 {
    return place_in_FACTOR(lines_between_FACTOR(), k_between_FACTOR());
}

fn find_FACTOR(task: Task, lane: u32) -> Source_FACTOR {
    let is_along = is_along_FACTOR();
    let matrices = place_matrices(task.batch);
    let line = select(lane % (SIDE / 4u) * 4u, lane / (STEP / 4u), is_along);
    var source: Source_FACTOR;
    source.k = select(lane / (SIDE / 4u), lane % (STEP / 4u) * 4u, is_along);
    source.to = place_in_FACTOR(line, source.k);
    source.k += matrices.k;
    let step = select(1u, 0u, is_along);
    // for each vector
    source.places_VECTOR = places_FACTOR(matrices.FACTOR, task.LINE + line + VECTOR * lines_between_FACTOR(), step);
    // end for
    return source;
}

fn fetch_FACTOR(source: Source_FACTOR, k_first: u32) -> Fetched_FACTOR {
    let step = select(0u, 1u, is_along_FACTOR());
    let k = k_first + source.k;
    var fetched: Fetched_FACTOR;
    // for each vector
    fetched.vector_VECTOR = fetch_four_FACTOR(source.places_VECTOR, k + VECTOR * k_between_FACTOR(), step);
    // end for
    return fetched;
}

// Stores the fetched vectors in workgroup memory. Elements past the end along k are stored as 0, because their products
// are added to the sums.
fn put_FACTOR(source: Source_FACTOR, fetched: Fetched_FACTOR, k_first: u32) {
    let step = select(STRIDE_FACTOR, 1u, is_along_FACTOR() == IS_ALONG_FACTOR);
    if k_first + STEP > params.header.inner_size {
        let first = vec4<u32>(0u, 1u, 2u, 3u) * select(0u, 1u, is_along_FACTOR()) + k_first + source.k;
        // for each vector
        {
            let k = first + VECTOR * k_between_FACTOR();
            let x = select(Four(), widen_FACTOR(fetched.vector_VECTOR), k < vec4<u32>(params.header.k_size));
            put_four_FACTOR(source.to + VECTOR * between_FACTOR(), step, x);
        }
        // end for
    } else {
        // one branch for all vectors, so that their stores follow each other
        // for each vector
        put_four_FACTOR(source.to + VECTOR * between_FACTOR(), step, widen_FACTOR(fetched.vector_VECTOR));
        // end for
    }
}
// end
