// Scans (cumulative folds) of a row by the LANES invocations that share it, by the tree of src/plan/kernel/scan.rs. A
// row is cut into blocks of LANES runs, and a lane holds one run of RUN consecutive elements of each block. The
// generator writes the block `scan` of this file once for each scan of a kernel, with the number of the scanned value
// instead of VALUE, and the name and type of its fold instead of FOLD and T.

// block: declared by the generator
alias T = f32;
const LANES = 256u;
const HELD = 4u;
const RUN = 4u;
// How many blocks are scanned at the same time, so that they share the barriers. It is at most HELD / RUN.
const TOGETHER = 1u;
// The generator repeats lines for each set of TOGETHER blocks, and for each block of a set. So the positions of the
// elements in their array are constants, and compilers keep the elements in registers.
const SET = 0u;
const BLOCK = 0u;
fn neutral_FOLD() -> T {
    return 0.0;
}
fn combine_FOLD(a: T, b: T) -> T {
    return a + b;
}
var<workgroup> shared_T: array<T, TOGETHER * WORKGROUP>;
// The lane's elements, which the scan replaces by its results.
var<private> scanned_VALUE: array<T, HELD>;
// end

// block: scan
// Scans the row, and returns its total, which is the result for its last element.
fn scan_VALUE(lane: u32, place: u32) -> T {
    // the total of the blocks before this one, in two parts: the total of complete runs of RUN blocks, and the total of
    // the run in progress
    var runs_before = neutral_FOLD();
    var run_before = neutral_FOLD();
    var all = neutral_FOLD();
    // for each set
    {
        // for each block
        let first_BLOCK = (SET * TOGETHER + BLOCK) * RUN;
        let x_0_BLOCK = scanned_VALUE[first_BLOCK];
        let x_1_BLOCK = combine_FOLD(x_0_BLOCK, scanned_VALUE[first_BLOCK + 1u]);
        let x_2_BLOCK = combine_FOLD(x_1_BLOCK, scanned_VALUE[first_BLOCK + 2u]);
        let x_3_BLOCK = combine_FOLD(x_2_BLOCK, scanned_VALUE[first_BLOCK + 3u]);
        shared_T[BLOCK * WORKGROUP + lane] = x_3_BLOCK;
        // end for
        workgroupBarrier();
        for (var step = 1u; step < LANES; step = step << 1u) {
            // Sklansky's network: a lane in the upper half of a group of 2 * step lanes combines its total with the
            // total of the lower half
            if (place & step) != 0u {
                let source = lane - (place & (step - 1u)) - 1u;
                // for each block
                let total_BLOCK = combine_FOLD(shared_T[BLOCK * WORKGROUP + source], shared_T[BLOCK * WORKGROUP + lane]);
                shared_T[BLOCK * WORKGROUP + lane] = total_BLOCK;
                // end for
            }
            workgroupBarrier();
        }
        // for each block
        var lanes_before_BLOCK = neutral_FOLD();
        if place > 0u {
            lanes_before_BLOCK = shared_T[BLOCK * WORKGROUP + lane - 1u];
        }
        // no other lane reads what the last lane has written, so the block's total is stored in its place
        if place == LANES - 1u {
            shared_T[BLOCK * WORKGROUP + lane] = combine_FOLD(lanes_before_BLOCK, x_3_BLOCK);
        }
        // end for
        workgroupBarrier();
        // for each block
        {
            let total = shared_T[BLOCK * WORKGROUP + lane - place + LANES - 1u];
            let blocks_before = combine_FOLD(runs_before, run_before);
            scanned_VALUE[first_BLOCK] = combine_FOLD(blocks_before, combine_FOLD(lanes_before_BLOCK, x_0_BLOCK));
            scanned_VALUE[first_BLOCK + 1u] = combine_FOLD(blocks_before, combine_FOLD(lanes_before_BLOCK, x_1_BLOCK));
            scanned_VALUE[first_BLOCK + 2u] = combine_FOLD(blocks_before, combine_FOLD(lanes_before_BLOCK, x_2_BLOCK));
            scanned_VALUE[first_BLOCK + 3u] = combine_FOLD(blocks_before, combine_FOLD(lanes_before_BLOCK, x_3_BLOCK));
            if first_BLOCK * LANES < params.header.inner_size {
                all = combine_FOLD(blocks_before, total);
            }
            // the totals of the blocks are combined one run after another; a row has at most 16 blocks here, for which
            // the network combines in the same order
            run_before = combine_FOLD(run_before, total);
            if (SET * TOGETHER + BLOCK) % RUN == RUN - 1u {
                runs_before = combine_FOLD(runs_before, run_before);
                run_before = neutral_FOLD();
            }
        }
        // end for
        // every lane must have read shared_T before the next blocks write to it
        workgroupBarrier();
    }
    // end for
    return all;
}
// end
