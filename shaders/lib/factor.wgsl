// How the workgroups of a product (`matmul.wgsl`) bring parts of a factor to workgroup memory.
//
// The generator writes the blocks that it keeps twice: with `a`, `ROWS`, `rows` and `row` instead of FACTOR, SIDE, LINES and LINE, then
// with `b`, `COLUMNS`, `columns` and `column`. A line of a is a row, a line of b is a column: along a line runs k. It repeats the lines
// between `for each` and `end for`.

// block: written by the generator
// Where element `k` of a line of a factor is, if the line begins at `line`; then where lines begin, by their numbers: the lines are a
// vector if elements are fetched, and one number if vectors are.
fn place_FACTOR(line: u32, k: u32) -> u32 {
    return line + k;
}
fn along_FACTOR(lines: vec4<u32>) -> vec4<u32> {
    return lines * params.header.k_size;
}
// Whether invocations fetch four neighbours along k, instead of across.
fn is_along_FACTOR() -> bool {
    return true;
}
// One element of a factor; then the words of four contiguous elements, and their values.
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
// The places of the first elements of four lines, which lie `step` apart. A line past the edge is the last one: of what is computed
// from it, nothing is stored.
alias Places_FACTOR = vec4<u32>;
alias Words_FACTOR = Four;
fn places_FACTOR(matrix: u32, first: u32, step: u32) -> Places_FACTOR {
    let lines = vec4<u32>(first, first + step, first + 2u * step, first + 3u * step);
    return along_FACTOR(min(lines, vec4<u32>(params.header.matrix_LINES - 1u))) + matrix;
}

// Element `k` of the first of these lines, `k + step` of the second, and so on. Past the end it is the last element, which the caller
// does not use.
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
// The same for a factor whose elements are fetched four at a time. No vector crosses an edge.
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
// A vector holds four neighbouring lines at one k. These are the distances between two k.
const STRIDE_FACTOR = TILE_SIDE / 4u + PADDING;
var<workgroup> tile_FACTOR: array<Four, DEPTH * STRIDE_FACTOR>;
// end

// block: across
// The vectors of a factor that an invocation fetches in each step along k, and where the first goes in workgroup memory. All are from
// one k.
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
// Four lines of a factor, of each of which an invocation fetches four neighbours along k. The last invocations may have none: they
// fetch what others fetch, because a branch would make drivers wait for the elements at its end.
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
// The lines of a factor, and the vectors that there are in one step along k. The distance between lines is odd, so that neighbouring
// invocations read from different banks.
const COUNT_FACTOR = MATRICES * TILE_SIDE;
const QUADS_FACTOR = COUNT_FACTOR * DEPTH / 4u;
var<workgroup> lines_FACTOR: array<T, COUNT_FACTOR * (DEPTH + 1u)>;

// The vectors that an invocation fetches: the place of each, its first k, and where it goes in workgroup memory. Its elements are
// neighbours along k, or across if their step along k is 0; in workgroup memory they lie `stride` apart.
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
// The f16 of a factor in workgroup memory, of which an invocation puts four there that lie `step` apart.
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
// The f16 of a factor in workgroup memory, in vectors: the four that an invocation puts there lie side by side.
const UNIT_FACTOR = 4u;
var<workgroup> halves_FACTOR: array<Four, HALVES_FACTOR / 4u>;

fn put_four_FACTOR(to: u32, step: u32, four: Four) {
    halves_FACTOR[to / 4u] = four;
}
// end

// block: halves
// The places of the f16 of a factor in workgroup memory, for cooperative matrices (`matmul_cooperative.wgsl`): one line after another,
// or, if vectors of neighbouring lines are fetched, one k after another. They begin STRIDE elements apart.

fn place_in_FACTOR(line: u32, k: u32) -> u32 {
    return select(k * STRIDE_FACTOR + line, line * STRIDE_FACTOR + k, IS_ALONG_FACTOR);
}

// The vectors that an invocation fetches: the place of each, its first k, and where it goes in workgroup memory.
struct Source_FACTOR {
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
    let is_along = is_along_FACTOR();
    let matrices = place_matrices(task.batch);
    var source: Source_FACTOR;
    // for each vector
    {
        let quad = lane + VECTOR * WORKGROUP;
        let line = select(quad % (SIDE / 4u) * 4u, quad / (STEP / 4u), is_along);
        source.places_VECTOR = places_FACTOR(matrices.FACTOR, task.LINE + line, select(1u, 0u, is_along));
        source.k_VECTOR = select(quad / (SIDE / 4u), quad % (STEP / 4u) * 4u, is_along);
        source.to_VECTOR = place_in_FACTOR(line, source.k_VECTOR);
        source.k_VECTOR += matrices.k;
    }
    // end for
    return source;
}

fn fetch_FACTOR(source: Source_FACTOR, k_first: u32) -> Fetched_FACTOR {
    let step = select(0u, 1u, is_along_FACTOR());
    var fetched: Fetched_FACTOR;
    // for each vector
    fetched.vector_VECTOR = fetch_four_FACTOR(source.places_VECTOR, k_first + source.k_VECTOR, step);
    // end for
    return fetched;
}

// Elements past the end along k are zero: their products count.
fn put_FACTOR(source: Source_FACTOR, fetched: Fetched_FACTOR, k_first: u32) {
    let k_end = params.header.k_size;
    let along_k = select(0u, 1u, is_along_FACTOR());
    let step = select(STRIDE_FACTOR, 1u, is_along_FACTOR() == IS_ALONG_FACTOR);
    // for each vector
    {
        var x = widen_FACTOR(fetched.vector_VECTOR);
        if k_first + STEP > params.header.inner_size {
            let k = vec4<u32>(k_first + source.k_VECTOR) + vec4<u32>(0u, 1u, 2u, 3u) * along_k;
            x = select(Four(), x, k < vec4<u32>(k_end));
        }
        put_four_FACTOR(source.to_VECTOR, step, x);
    }
    // end for
}
// end
