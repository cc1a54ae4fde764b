// Scans of a row by the LANES invocations that share it, by the tree of src/plan/kernel/scan.rs. A lane holds one run of RUN
// consecutive elements of each block of LANES runs. The generator writes a block once for each scan of a kernel, with the
// number of its value for VALUE, and the name of its fold and its type for FOLD and T.

// block: declared by the generator
alias T = f32;
const LANES = 256u;
const HELD = 4u;
const RUN = 4u;
// How many blocks are scanned at the same time, so that they share the barriers; at most HELD / RUN.
const TOGETHER = 1u;
fn neutral_FOLD() -> T {
    return 0.0;
}
fn combine_FOLD(a: T, b: T) -> T {
    return a + b;
}
var<workgroup> shared_T: array<T, TOGETHER * WORKGROUP>;
// The lane's elements, which their scans replace.
var<private> scanned_VALUE: array<T, HELD>;
// end

// block: scan
// Scans the row, and gives its total: what its last element gets.
fn scan_VALUE(lane: u32, place: u32) -> T {
    // the total of the blocks before, in two parts: that of complete runs of RUN blocks, and that of the run in progress
    var runs_before = neutral_FOLD();
    var run_before = neutral_FOLD();
    var all = neutral_FOLD();
    for (var block = 0u; block < HELD / RUN; block = block + TOGETHER) {
        for (var b = 0u; b < TOGETHER && block + b < HELD / RUN; b = b + 1u) {
            let first = (block + b) * RUN;
            for (var i = first + 1u; i < first + RUN; i = i + 1u) {
                scanned_VALUE[i] = combine_FOLD(scanned_VALUE[i - 1u], scanned_VALUE[i]);
            }
            shared_T[b * WORKGROUP + lane] = scanned_VALUE[first + RUN - 1u];
        }
        workgroupBarrier();
        for (var step = 1u; step < LANES; step = step << 1u) {
            // Sklansky's network: a lane in the upper half of a group of 2 * step takes the total of the lower half
            if (place & step) != 0u {
                let source = lane - (place & (step - 1u)) - 1u;
                for (var b = 0u; b < TOGETHER; b = b + 1u) {
                    let at = b * WORKGROUP;
                    shared_T[at + lane] = combine_FOLD(shared_T[at + source], shared_T[at + lane]);
                }
            }
            workgroupBarrier();
        }
        var lanes_before: array<T, TOGETHER>;
        for (var b = 0u; b < TOGETHER && block + b < HELD / RUN; b = b + 1u) {
            lanes_before[b] = neutral_FOLD();
            if place > 0u {
                lanes_before[b] = shared_T[b * WORKGROUP + lane - 1u];
            }
            // no other lane reads what the last lane has written, so the block's total takes its place
            if place == LANES - 1u {
                shared_T[b * WORKGROUP + lane] = combine_FOLD(lanes_before[b], scanned_VALUE[(block + b) * RUN + RUN - 1u]);
            }
        }
        workgroupBarrier();
        for (var b = 0u; b < TOGETHER && block + b < HELD / RUN; b = b + 1u) {
            let total = shared_T[b * WORKGROUP + lane - place + LANES - 1u];
            let blocks_before = combine_FOLD(runs_before, run_before);
            let first = (block + b) * RUN;
            for (var i = first; i < first + RUN; i = i + 1u) {
                scanned_VALUE[i] = combine_FOLD(blocks_before, combine_FOLD(lanes_before[b], scanned_VALUE[i]));
            }
            if (block + b) * LANES * RUN < params.header.inner_size {
                all = combine_FOLD(blocks_before, total);
            }
            // a row has at most 16 blocks here, of whose totals the network makes what adding one run after another makes
            run_before = combine_FOLD(run_before, total);
            if (block + b) % RUN == RUN - 1u {
                runs_before = combine_FOLD(runs_before, run_before);
                run_before = neutral_FOLD();
            }
        }
        // the next blocks write to shared_T, which every lane must have read first
        workgroupBarrier();
    }
    return all;
}
// end
