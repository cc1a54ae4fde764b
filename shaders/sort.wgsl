// Stable sorts of rows. `sort_rows` sorts rows that fit in workgroup memory. Longer rows are sorted digit by digit,
// from the lowest digit. `prepare` makes a key from each element, and each digit then takes four passes over keys and
// positions. `count` counts the digits of each workgroup's elements. `add_within_groups` and `add_groups` turn the
// counts into the positions at which the elements of each digit and workgroup begin, and `move_to_places` moves all
// elements there. The last digits are those of the rows' numbers, which brings the elements of each row together again.
// `store_values` and `store_positions` store the result, `store_first_positions` stores the result of `argtopk`, and
// `store_selected` the result of `select_in_order`.
//
// The generator (src/gpu/wgsl) writes the functions that this file calls, for the operand's type. The first block has
// stand-ins for them. `params.number` describes the digit of a pass: bits 0 to 4 are its shift, bit 8 is set if the
// digit is in the upper word of the key, bit 9 if it is a digit of the row's number, and bit 10 if keys have two words.
// In the passes that add counts, `params.number` is the number of counters. The call's parameters are the length of a
// row, 1 for descending order, and the number of all elements. `argtopk` has the length of a row of the result as
// another parameter, and `select_in_order` the two positions that it selects.

// block: written by the generator
@group(0) @binding(0) var<storage, read_write> scratch0: array<u32>;
@group(0) @binding(1) var<storage, read_write> scratch1: array<u32>;
@group(0) @binding(2) var<storage, read_write> scratch2: array<u32>;
@group(0) @binding(3) var<storage, read_write> scratch3: array<u32>;
@group(0) @binding(4) var<storage, read_write> scratch4: array<u32>;
// The position of element `index` in its binding.
fn at_in0(index: u32) -> u32 {
    return index;
}
fn at_out0(index: u32) -> u32 {
    return index;
}
fn load_in0(at: u32) -> u32 {
    return 0u;
}
// The two words of an element's sort key, the low word first. `is_last_in0` returns whether the element is a NaN, which
// is last in ascending and in descending order.
fn sort_key_in0(x: u32) -> vec2<u32> {
    return vec2<u32>(x, 0u);
}
fn is_last_in0(x: u32) -> bool {
    return false;
}
// A slot of a short sort: a key and the element's position in its row. No two slots of a row are equal.
alias Slot = vec2<u32>;
// The number of items that a workgroup processes: slots of a short sort, or elements.
const ITEMS = 2048u;
fn slot_of(key: vec2<u32>, position: u32) -> Slot {
    return vec2<u32>(key.x, position);
}
fn position_of(slot: Slot) -> u32 {
    return slot.y;
}
fn is_before(a: Slot, b: Slot) -> bool {
    return a.x < b.x || (a.x == b.x && a.y < b.y);
}
// The bits of an element.
fn load_bits_in0(at: u32) -> u32 {
    return 0u;
}
fn store_bits_out0(at: u32, x: u32) {
}
fn store_out0(at: u32, x: i64) {
}
fn u32_to_i64(v: u32) -> i64 {
    return bitcast<i64>(u64(v));
}
// end

// block: sort_rows
var<workgroup> slots: array<Slot, ITEMS>;

// The position of slot `i` in workgroup memory. The order is permuted so that lanes that access neighbouring octets use
// different banks.
fn at_slot(i: u32) -> u32 {
    return i ^ ((i >> 4u) & 7u);
}

// Orders two slots: the one that comes first is put into `a`, or into `b` if the run is sorted in reverse (`falls`).
fn exchange(a: ptr<function, Slot>, b: ptr<function, Slot>, falls: bool) {
    let x = *a;
    let y = *b;
    let swaps = is_before(y, x) != falls;
    *a = select(x, y, swaps);
    *b = select(y, x, swaps);
}

// Loads slot `i`. Each row has `extent` slots, and the slots past a row's end come after its elements.
fn load_slot(i: u32, extent: u32) -> Slot {
    let position = i & (extent - 1u);
    if position >= params.param0 || i >= params.header.outer_size {
        return slot_of(vec2<u32>(0xffffffffu), position);
    }
    let x = load_in0(at_in0(i / extent * params.param0 + position));
    let ascending = sort_key_in0(x);
    return slot_of(select(ascending, ~ascending, params.param1 != 0u && !is_last_in0(x)), position);
}

// Sorts short rows in workgroup memory by a bitonic sort (Batcher, "Sorting networks and their applications", 1968).
// Each row has 2^`params.number` slots, at least 8. An invocation holds an octet (eight slots) at a time. First it
// sorts eight neighbours by a network of 19 exchanges. Then runs are merged pairwise: an invocation makes the exchanges
// over three distances (4, 2 and 1 times `distance`) before its octet returns to workgroup memory.
@compute @workgroup_size(WORKGROUP)
fn sort_rows(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let extent = 1u << params.number;
    let first = params.first_item + group_index(id) * ITEMS;
    for (var octet = lane; octet < ITEMS / 8u; octet = octet + WORKGROUP) {
        let at = octet * 8u;
        let falls = (at & 8u & (extent - 1u)) != 0u;
        var a = load_slot(first + at, extent);
        var b = load_slot(first + at + 1u, extent);
        var c = load_slot(first + at + 2u, extent);
        var d = load_slot(first + at + 3u, extent);
        var e = load_slot(first + at + 4u, extent);
        var f = load_slot(first + at + 5u, extent);
        var g = load_slot(first + at + 6u, extent);
        var h = load_slot(first + at + 7u, extent);
        exchange(&a, &c, falls);
        exchange(&b, &d, falls);
        exchange(&e, &g, falls);
        exchange(&f, &h, falls);
        exchange(&a, &e, falls);
        exchange(&b, &f, falls);
        exchange(&c, &g, falls);
        exchange(&d, &h, falls);
        exchange(&a, &b, falls);
        exchange(&c, &d, falls);
        exchange(&e, &f, falls);
        exchange(&g, &h, falls);
        exchange(&c, &e, falls);
        exchange(&d, &f, falls);
        exchange(&b, &e, falls);
        exchange(&d, &g, falls);
        exchange(&b, &c, falls);
        exchange(&d, &e, falls);
        exchange(&f, &g, falls);
        slots[at_slot(at)] = a;
        slots[at_slot(at + 1u)] = b;
        slots[at_slot(at + 2u)] = c;
        slots[at_slot(at + 3u)] = d;
        slots[at_slot(at + 4u)] = e;
        slots[at_slot(at + 5u)] = f;
        slots[at_slot(at + 6u)] = g;
        slots[at_slot(at + 7u)] = h;
    }
    for (var run = 4u; run <= params.number; run = run + 1u) {
        // at this point, the exchanges over the distances 2^(left - 1), 2^(left - 2), … are still to be made
        for (var left = run; ; left = left - 3u) {
            workgroupBarrier();
            let shift = max(left, 3u) - 3u;
            let distance = 1u << shift;
            for (var octet = lane; octet < ITEMS / 8u; octet = octet + WORKGROUP) {
                let at = ((octet >> shift) << (shift + 3u)) | (octet & (distance - 1u));
                let falls = (at & (1u << run) & (extent - 1u)) != 0u;
                var a = slots[at_slot(at)];
                var b = slots[at_slot(at + distance)];
                var c = slots[at_slot(at + 2u * distance)];
                var d = slots[at_slot(at + 3u * distance)];
                var e = slots[at_slot(at + 4u * distance)];
                var f = slots[at_slot(at + 5u * distance)];
                var g = slots[at_slot(at + 6u * distance)];
                var h = slots[at_slot(at + 7u * distance)];
                if left > 2u {
                    exchange(&a, &e, falls);
                    exchange(&b, &f, falls);
                    exchange(&c, &g, falls);
                    exchange(&d, &h, falls);
                }
                if left > 1u {
                    exchange(&a, &c, falls);
                    exchange(&b, &d, falls);
                    exchange(&e, &g, falls);
                    exchange(&f, &h, falls);
                }
                exchange(&a, &b, falls);
                exchange(&c, &d, falls);
                exchange(&e, &f, falls);
                exchange(&g, &h, falls);
                slots[at_slot(at)] = a;
                slots[at_slot(at + distance)] = b;
                slots[at_slot(at + 2u * distance)] = c;
                slots[at_slot(at + 3u * distance)] = d;
                slots[at_slot(at + 4u * distance)] = e;
                slots[at_slot(at + 5u * distance)] = f;
                slots[at_slot(at + 6u * distance)] = g;
                slots[at_slot(at + 7u * distance)] = h;
            }
            if left <= 3u {
                break;
            }
        }
    }
    workgroupBarrier();
    for (var i = lane; i < ITEMS; i = i + WORKGROUP) {
        let position = i & (extent - 1u);
        if position < params.param0 && first + i < params.header.outer_size {
            let row = (first + i) / extent * params.param0;
            scratch0[row + position] = row + position_of(slots[at_slot(i)]);
        }
    }
}
// end

// block: prepare
@compute @workgroup_size(WORKGROUP)
fn prepare(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    let x = load_in0(at_in0(item));
    let ascending = sort_key_in0(x);
    let key = select(ascending, ~ascending, params.param1 != 0u && !is_last_in0(x));
    let words = 1u + ((params.number >> 10u) & 1u);
    scratch0[item * words] = key.x;
    if words == 2u {
        scratch0[item * words + 1u] = key.y;
    }
    scratch1[item] = item;
}
// end

// block: count
var<workgroup> counts: array<atomic<u32>, 16>;

fn digit(item: u32) -> u32 {
    let shift = params.number & 31u;
    if (params.number & 512u) != 0u {
        return ((scratch1[item] / params.param0) >> shift) & 15u;
    }
    let words = 1u + ((params.number >> 10u) & 1u);
    return (scratch0[item * words + ((params.number >> 8u) & 1u)] >> shift) & 15u;
}

@compute @workgroup_size(WORKGROUP)
fn count(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    for (var d = lane; d < 16u; d = d + WORKGROUP) {
        atomicStore(&counts[d], 0u);
    }
    workgroupBarrier();
    let block = params.first_item / ITEMS + group_index(id);
    for (var i = lane; i < ITEMS && block * ITEMS + i < params.header.outer_size; i = i + WORKGROUP) {
        atomicAdd(&counts[digit(block * ITEMS + i)], 1u);
    }
    workgroupBarrier();
    let blocks = (params.param2 + ITEMS - 1u) / ITEMS;
    if block < blocks {
        for (var d = lane; d < 16u; d = d + WORKGROUP) {
            scratch2[d * blocks + block] = atomicLoad(&counts[d]);
        }
    }
}
// end

// block: add_within_groups
var<workgroup> sums: array<u32, WORKGROUP>;

// Replaces each counter by the sum of the counters before it in its group of WORKGROUP counters. The sum of the whole
// group is stored behind all counters.
@compute @workgroup_size(WORKGROUP)
fn add_within_groups(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let counters = params.number;
    let group = params.first_item / WORKGROUP + group_index(id);
    let item = group * WORKGROUP + lane;
    var own = 0u;
    if item < counters {
        own = scratch0[item];
    }
    sums[lane] = own;
    workgroupBarrier();
    for (var step = 1u; step < WORKGROUP; step = step << 1u) {
        var before = 0u;
        if lane >= step {
            before = sums[lane - step];
        }
        workgroupBarrier();
        sums[lane] = sums[lane] + before;
        workgroupBarrier();
    }
    if item < counters {
        scratch0[item] = sums[lane] - own;
        if lane == WORKGROUP - 1u || item + 1u == counters {
            scratch0[counters + group] = sums[lane];
        }
    }
}
// end

// block: add_groups
var<workgroup> sums: array<u32, WORKGROUP>;

// One workgroup replaces the sum of each group by the sum of all groups before it.
@compute @workgroup_size(WORKGROUP)
fn add_groups(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let counters = params.number;
    let groups = (counters + WORKGROUP - 1u) / WORKGROUP;
    var total = 0u;
    for (var first = 0u; first < groups; first = first + WORKGROUP) {
        var own = 0u;
        if first + lane < groups {
            own = scratch0[counters + first + lane];
        }
        sums[lane] = own;
        workgroupBarrier();
        for (var step = 1u; step < WORKGROUP; step = step << 1u) {
            var before = 0u;
            if lane >= step {
                before = sums[lane - step];
            }
            workgroupBarrier();
            sums[lane] = sums[lane] + before;
            workgroupBarrier();
        }
        if first + lane < groups && group_index(id) == 0u {
            scratch0[counters + first + lane] = total + sums[lane] - own;
        }
        total = total + sums[WORKGROUP - 1u];
        // the next round writes to the sums, which every lane must have read first
        workgroupBarrier();
    }
}
// end

// block: move_to_places
// For each lane, how often each of the 16 digits occurs in the elements of this lane and of the lanes before it. A word
// holds two counts.
var<workgroup> lower_digits: array<vec4<u32>, WORKGROUP>;
var<workgroup> upper_digits: array<vec4<u32>, WORKGROUP>;
// For each digit, the position to which the workgroup's first element with this digit moves.
var<workgroup> places: array<u32, 16>;

fn digit(item: u32) -> u32 {
    let shift = params.number & 31u;
    if (params.number & 512u) != 0u {
        return ((scratch1[item] / params.param0) >> shift) & 15u;
    }
    let words = 1u + ((params.number >> 10u) & 1u);
    return (scratch0[item * words + ((params.number >> 8u) & 1u)] >> shift) & 15u;
}

// Unpacks a word with eight counts of 4 bits into four words with two counts each.
fn spread(counts: u32) -> vec4<u32> {
    let each = vec4<u32>(counts) >> vec4<u32>(0u, 8u, 16u, 24u);
    return (each & vec4<u32>(15u)) | ((each & vec4<u32>(240u)) << vec4<u32>(12u));
}

// Moves each element to its place. An invocation moves a run of at most 8 elements, so that counts of a run's digits
// have 4 bits.
@compute @workgroup_size(WORKGROUP)
fn move_to_places(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let block = params.first_item / ITEMS + group_index(id);
    let run = ITEMS / WORKGROUP;
    let first = block * ITEMS + lane * run;
    let blocks = (params.param2 + ITEMS - 1u) / ITEMS;
    for (var d = lane; d < 16u; d = d + WORKGROUP) {
        let counter = d * blocks + min(block, blocks - 1u);
        places[d] = scratch2[counter] + scratch2[blocks * 16u + counter / WORKGROUP];
    }
    var counts = vec2<u32>(0u);
    for (var i = 0u; i < run && first + i < params.header.outer_size; i = i + 1u) {
        let own = digit(first + i);
        let one = 1u << ((own & 7u) * 4u);
        counts = counts + select(vec2<u32>(one, 0u), vec2<u32>(0u, one), own >= 8u);
    }
    lower_digits[lane] = spread(counts.x);
    upper_digits[lane] = spread(counts.y);
    workgroupBarrier();
    for (var step = 1u; step < WORKGROUP; step = step << 1u) {
        var lower = vec4<u32>(0u);
        var upper = vec4<u32>(0u);
        if lane >= step {
            lower = lower_digits[lane - step];
            upper = upper_digits[lane - step];
        }
        workgroupBarrier();
        lower_digits[lane] = lower_digits[lane] + lower;
        upper_digits[lane] = upper_digits[lane] + upper;
        workgroupBarrier();
    }
    // each lane needs the counts of the lanes before it, without its own
    lower_digits[lane] = lower_digits[lane] - spread(counts.x);
    upper_digits[lane] = upper_digits[lane] - spread(counts.y);
    let words = 1u + ((params.number >> 10u) & 1u);
    counts = vec2<u32>(0u);
    for (var i = 0u; i < run && first + i < params.header.outer_size; i = i + 1u) {
        let item = first + i;
        let own = digit(item);
        let half = (own >> 1u) & 3u;
        let before = select(lower_digits[lane][half], upper_digits[lane][half], own >= 8u);
        let of_lane = select(counts.x, counts.y, own >= 8u);
        let shift = (own & 7u) * 4u;
        let place = places[own] + ((before >> ((own & 1u) * 16u)) & 0xffffu) + ((of_lane >> shift) & 15u);
        let one = 1u << shift;
        counts = counts + select(vec2<u32>(one, 0u), vec2<u32>(0u, one), own >= 8u);
        scratch3[place * words] = scratch0[item * words];
        if words == 2u {
            scratch3[place * words + 1u] = scratch0[item * words + 1u];
        }
        scratch4[place] = scratch1[item];
    }
}
// end

// block: store_positions
@compute @workgroup_size(WORKGROUP)
fn store_positions(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    store_out0(at_out0(item), u32_to_i64(scratch0[item] % params.param0));
}
// end

// block: store_values
@compute @workgroup_size(WORKGROUP)
fn store_values(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    store_bits_out0(at_out0(item), load_bits_in0(at_in0(scratch0[item])));
}
// end

// block: store_first_positions
@compute @workgroup_size(WORKGROUP)
fn store_first_positions(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    let place = item / params.param3 * params.param0 + item % params.param3;
    store_out0(at_out0(item), u32_to_i64(scratch0[place] % params.param0));
}
// end

// block: store_selected
@compute @workgroup_size(WORKGROUP)
fn store_selected(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = params.first_item + group_index(id) * WORKGROUP + lane;
    if item >= params.header.outer_size {
        return;
    }
    // a row of the result has three elements: those at the two selected positions, and the last one
    let which = item % 3u;
    let place = select(select(params.param3, params.param4, which == 1u), params.param0 - 1u, which == 2u);
    store_bits_out0(at_out0(item), load_bits_in0(at_in0(scratch0[item / 3u * params.param0 + place])));
}
// end
