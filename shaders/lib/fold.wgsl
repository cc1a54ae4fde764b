// Folds (reductions) of a row by the LANES invocations that share it. The generator writes a block once for each fold
// of a kernel, with the fold's name and type instead of FOLD and T (`combine_add_f32`), or with the type of its key
// instead of KEY. If a fold has several components that are given by formulas, its type is a struct of them.

// block: declared by the generator
alias T = f32;
const LANES = 32u;
// The number of invocations of a row: LANES, or a quarter of it if each invocation does the work of four lanes.
const PLACES = 32u;
// How many neighbouring invocations of a row are in one subgroup, and the place of the first of them in its subgroup.
const SHUFFLED = 32u;
var<private> first_in_subgroup: u32;
// The totals of every SHUFFLED-th lane of a row, from `shared_T[first]` on, combined in the order of the tree.
const TOTALS = T();
fn neutral_FOLD() -> T {
    return 0.0;
}
fn combine_FOLD(a: T, b: T) -> T {
    return a + b;
}
var<workgroup> shared_T: array<T, 4u * WORKGROUP>;
alias KEY = u32;
fn zero_KEY() -> KEY {
    return 0u;
}
fn eq_KEY(a: KEY, b: KEY) -> bool {
    return a == b;
}
fn lt_KEY(a: KEY, b: KEY) -> bool {
    return a < b;
}
var<workgroup> shared_KEY: array<KEY, WORKGROUP>;
var<workgroup> shared_positions: array<u32, WORKGROUP>;
var<workgroup> shared_checks: array<u32, WORKGROUP>;
var<private> indices_fit: bool = true;
// end

// block: plain
// What a lane has combined so far, if the order of operations does not change the result, or if elements are combined
// one after another.
struct Partial_FOLD {
    all: T,
}

fn start_FOLD() -> Partial_FOLD {
    return Partial_FOLD(neutral_FOLD());
}

fn accumulate_FOLD(before: Partial_FOLD, x: T) -> Partial_FOLD {
    return Partial_FOLD(combine_FOLD(before.all, x));
}

fn total_FOLD(partial: Partial_FOLD) -> T {
    return partial.all;
}
// end

// block: cascade
// What a lane has combined so far, if each operation rounds. Every four results of one level are combined to one result
// of the next level. So at most four terms are combined one after another, and the error grows with the logarithm of
// the row's length.
struct Partial_FOLD {
    ones: T,
    fours: T,
    sixteens: T,
    rest: T,
}

fn start_FOLD() -> Partial_FOLD {
    return Partial_FOLD(neutral_FOLD(), neutral_FOLD(), neutral_FOLD(), neutral_FOLD());
}

fn accumulate_FOLD(before: Partial_FOLD, x: T) -> Partial_FOLD {
    var partial = before;
    partial.ones = combine_FOLD(partial.ones, x);
    return partial;
}

// Combines four results of a level. It is called after every fourth element of the lane. `count` is the number of the
// lane's elements so far.
fn carry_FOLD(before: Partial_FOLD, count: u32) -> Partial_FOLD {
    var partial = before;
    partial.fours = combine_FOLD(partial.fours, partial.ones);
    partial.ones = neutral_FOLD();
    if (count & 15u) == 0u {
        partial.sixteens = combine_FOLD(partial.sixteens, partial.fours);
        partial.fours = neutral_FOLD();
        if (count & 63u) == 0u {
            partial.rest = combine_FOLD(partial.rest, partial.sixteens);
            partial.sixteens = neutral_FOLD();
        }
    }
    return partial;
}

fn total_FOLD(partial: Partial_FOLD) -> T {
    let fours = combine_FOLD(partial.fours, partial.ones);
    let sixteens = combine_FOLD(partial.sixteens, fours);
    return combine_FOLD(partial.rest, sixteens);
}
// end

// block: tree
// Combines the totals of a row's lanes in a tree of fixed shape, and returns the result to every lane.
fn fold_lanes_FOLD(total: T, lane: u32, place: u32) -> T {
    shared_T[lane] = total;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half = half >> 1u) {
        if place < half {
            shared_T[lane] = combine_FOLD(shared_T[lane], shared_T[lane + half]);
        }
        workgroupBarrier();
    }
    let result = shared_T[lane - place];
    // the next fold writes to the shared memory, which every lane must have read first
    workgroupBarrier();
    return result;
}
// end

// block: tree_of_fours
// Combines in the same tree as the block `tree` if an invocation has the totals of four neighbouring lanes. The totals
// of the first lane of each four lie in shared memory before the totals of the second, and so on. `place` counts the
// fours of a row.
fn fold_lanes_FOLD(total0: T, total1: T, total2: T, total3: T, lane: u32, place: u32) -> T {
    shared_T[lane] = total0;
    shared_T[lane + WORKGROUP] = total1;
    shared_T[lane + 2u * WORKGROUP] = total2;
    shared_T[lane + 3u * WORKGROUP] = total3;
    workgroupBarrier();
    for (var half = LANES / 8u; half > 0u; half = half >> 1u) {
        if place < half {
            let other = lane + half;
            shared_T[lane] = combine_FOLD(shared_T[lane], shared_T[other]);
            shared_T[lane + WORKGROUP] = combine_FOLD(shared_T[lane + WORKGROUP], shared_T[other + WORKGROUP]);
            shared_T[lane + 2u * WORKGROUP] = combine_FOLD(shared_T[lane + 2u * WORKGROUP], shared_T[other + 2u * WORKGROUP]);
            shared_T[lane + 3u * WORKGROUP] = combine_FOLD(shared_T[lane + 3u * WORKGROUP], shared_T[other + 3u * WORKGROUP]);
        }
        workgroupBarrier();
    }
    let first = lane - place;
    let even = combine_FOLD(shared_T[first], shared_T[first + 2u * WORKGROUP]);
    let odd = combine_FOLD(shared_T[first + WORKGROUP], shared_T[first + 3u * WORKGROUP]);
    // the next fold writes to the shared memory, which every lane must have read first
    workgroupBarrier();
    return combine_FOLD(even, odd);
}
// end

// block: tree_by_shuffles
// Combines in the same tree as the block `tree`, by shuffles: SHUFFLED neighbouring lanes of a row are lanes of one
// subgroup, which pass values to each other without workgroup memory. If a row has more lanes, each subgroup loads the
// totals of all of them and computes the row's result. At each level, a lane gets the value of the lane whose number
// differs from its own in one bit. The first lane computes what the tree computes. All other lanes take its result,
// because they have the operands in another order.
fn fold_lanes_FOLD(total: T, lane: u32, place: u32) -> T {
    var own = total;
    if PLACES > SHUFFLED {
        shared_T[lane] = total;
        workgroupBarrier();
        let first = lane - place + place % SHUFFLED;
        own = TOTALS;
        // the next fold writes to the shared memory, which every lane must have read first
        workgroupBarrier();
    }
    // for each level
    own = combine_FOLD(own, subgroupShuffleXor(own, SHUFFLED >> (LEVEL + 1u)));
    // end for
    return subgroupShuffle(own, first_in_subgroup);
}
// end

// block: tree_of_fours_by_shuffles
// Does the same as the block `tree_by_shuffles` if an invocation has the totals of four neighbouring lanes.
fn fold_lanes_FOLD(total0: T, total1: T, total2: T, total3: T, lane: u32, place: u32) -> T {
    var own0 = total0;
    var own1 = total1;
    var own2 = total2;
    var own3 = total3;
    if PLACES > SHUFFLED {
        shared_T[lane] = total0;
        shared_T[lane + WORKGROUP] = total1;
        shared_T[lane + 2u * WORKGROUP] = total2;
        shared_T[lane + 3u * WORKGROUP] = total3;
        workgroupBarrier();
        var first = lane - place + place % SHUFFLED;
        own0 = TOTALS;
        first = first + WORKGROUP;
        own1 = TOTALS;
        first = first + WORKGROUP;
        own2 = TOTALS;
        first = first + WORKGROUP;
        own3 = TOTALS;
        // the next fold writes to the shared memory, which every lane must have read first
        workgroupBarrier();
    }
    // for each level
    own0 = combine_FOLD(own0, subgroupShuffleXor(own0, SHUFFLED >> (LEVEL + 1u)));
    own1 = combine_FOLD(own1, subgroupShuffleXor(own1, SHUFFLED >> (LEVEL + 1u)));
    own2 = combine_FOLD(own2, subgroupShuffleXor(own2, SHUFFLED >> (LEVEL + 1u)));
    own3 = combine_FOLD(own3, subgroupShuffleXor(own3, SHUFFLED >> (LEVEL + 1u)));
    // end for
    let result = combine_FOLD(combine_FOLD(own0, own2), combine_FOLD(own1, own3));
    return subgroupShuffle(result, first_in_subgroup);
}
// end

// block: position
// The best element that a lane has met, and its position. The best element has the largest key. Of elements with equal
// keys, the first one is taken.
struct Best_KEY {
    key: KEY,
    position: u32,
}

fn start_best_KEY() -> Best_KEY {
    return Best_KEY(zero_KEY(), 0xffffffffu);
}

fn accumulate_best_KEY(best: Best_KEY, key: KEY, position: u32) -> Best_KEY {
    if lt_KEY(best.key, key) || (eq_KEY(key, best.key) && position < best.position) {
        return Best_KEY(key, position);
    }
    return best;
}
// end

// block: position_of_fours
// Returns the best of the elements that four neighbouring lanes have met, if one invocation does the work of these
// lanes.
fn best_of_four_KEY(best0: Best_KEY, best1: Best_KEY, best2: Best_KEY, best3: Best_KEY) -> Best_KEY {
    var best = accumulate_best_KEY(best0, best1.key, best1.position);
    best = accumulate_best_KEY(best, best2.key, best2.position);
    return accumulate_best_KEY(best, best3.key, best3.position);
}
// end

// block: position_tree
// Returns the position of the best element of a row to every lane. The row has PLACES invocations.
fn fold_lanes_best_KEY(own: Best_KEY, lane: u32, place: u32) -> u32 {
    var best = own;
    shared_KEY[lane] = best.key;
    shared_positions[lane] = best.position;
    workgroupBarrier();
    for (var half = PLACES / 2u; half > 0u; half = half >> 1u) {
        if place < half {
            best = accumulate_best_KEY(best, shared_KEY[lane + half], shared_positions[lane + half]);
            shared_KEY[lane] = best.key;
            shared_positions[lane] = best.position;
        }
        workgroupBarrier();
    }
    let result = shared_positions[lane - place];
    // the next fold writes to the shared memory, which every lane must have read first
    workgroupBarrier();
    return result;
}
// end

// block: position_tree_by_shuffles
// Does the same as the block `position_tree`, by shuffles (see `tree_by_shuffles`).
fn fold_lanes_best_KEY(own: Best_KEY, lane: u32, place: u32) -> u32 {
    var best = own;
    if PLACES > SHUFFLED {
        shared_KEY[lane] = best.key;
        shared_positions[lane] = best.position;
        workgroupBarrier();
        let first = lane - place;
        for (var other = place % SHUFFLED; other < PLACES; other = other + SHUFFLED) {
            best = accumulate_best_KEY(best, shared_KEY[first + other], shared_positions[first + other]);
        }
        // the next fold writes to the shared memory, which every lane must have read first
        workgroupBarrier();
    }
    // for each level
    best = accumulate_best_KEY(
        best,
        subgroupShuffleXor(best.key, SHUFFLED >> (LEVEL + 1u)),
        subgroupShuffleXor(best.position, SHUFFLED >> (LEVEL + 1u)),
    );
    // end for
    return subgroupShuffle(best.position, first_in_subgroup);
}
// end

// block: checks
// Sets `indices_fit` to the same value in all lanes of a row: false if any lane has an index out of range, because such
// a row is not stored.
fn agree_on_indices(lane: u32, place: u32) {
    shared_checks[lane] = select(0u, 1u, indices_fit);
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half = half >> 1u) {
        if place < half {
            shared_checks[lane] = shared_checks[lane] & shared_checks[lane + half];
        }
        workgroupBarrier();
    }
    indices_fit = shared_checks[lane - place] != 0u;
    workgroupBarrier();
}
// end
