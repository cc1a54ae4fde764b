//! Faults that are planted on purpose, to show that each of them makes a test fail. `./tests/run --mutants` builds the
//! crate with `--cfg cupric_mutants`, and runs the test of each fault with `CUPRIC_MUTANT` set to the fault's name.
//!
//! Each fault has a line in the list below and one `mutant!(name, planted, right)` in the code. An ordinary build
//! compiles only `right`. The build with planted faults fails if a name is used but not listed, or listed but not used.

/// Evaluates `right`. In a build with `--cfg cupric_mutants`, evaluates `planted` instead if `CUPRIC_MUTANT` is the
/// name of this fault.
#[cfg(not(cupric_mutants))]
macro_rules! mutant {
    ($name:ident, $planted:expr, $right:expr $(,)?) => {
        $right
    };
}
#[cfg(cupric_mutants)]
macro_rules! mutant {
    ($name:ident, $planted:expr, $right:expr $(,)?) => {
        if $crate::base::mutants::site::$name() { $planted } else { $right }
    };
}

#[cfg(cupric_mutants)]
macro_rules! list {
    ($($name:ident, $stage:literal, $run:literal, $fault:literal;)*) => {
        #[derive(Clone, Copy)]
        #[allow(non_camel_case_types)]
        enum Name { $($name),* }

        /// Functions that return whether a fault is planted in this process, one for each fault. A name that no code
        /// uses makes its function dead code, which the compiler rejects. Builds without `gpu` allow dead code, because
        /// they lack the GPU code with its faults.
        #[cfg_attr(feature = "gpu", deny(dead_code))]
        #[cfg_attr(not(feature = "gpu"), allow(dead_code))]
        pub(crate) mod site {
            $(
                #[inline]
                pub(crate) fn $name() -> bool {
                    super::planted() == super::Name::$name as u32
                }
            )*
        }

        /// The list below, with four columns for each fault: name, stage, test, description.
        pub(crate) const LIST: &[[&str; 4]] = &[$([stringify!($name), $stage, $run, $fault]),*];
    };
}

/// Returns the index in the list of the fault that `CUPRIC_MUTANT` names, or the list's length if no fault is planted.
/// The environment variable is read once.
#[cfg(cupric_mutants)]
#[inline]
fn planted() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static PLANTED: AtomicU32 = AtomicU32::new(UNREAD);
    const UNREAD: u32 = u32::MAX;

    #[cold]
    fn read() -> u32 {
        let number = match std::env::var("CUPRIC_MUTANT") {
            Ok(name) => LIST.iter().position(|m| m[0] == name).unwrap_or_else(|| {
                eprintln!("CUPRIC_MUTANT={name} names no fault of src/base/mutants.rs");
                std::process::exit(2)
            }),
            Err(_) => LIST.len(),
        };
        PLANTED.store(number as u32, Relaxed);
        number as u32
    }

    match PLANTED.load(Relaxed) {
        UNREAD => read(),
        number => number,
    }
}

// The columns: the name of the fault; the number and subject of the stage of `./tests/run` that must detect it; the
// test program and the filter of the tests that must fail because of it; a description of the fault.
#[cfg(cupric_mutants)]
list! {
    a_body_ends_its_function, "18 kernels", "kernels slips::a_text_stays", "a kernel's text may close the brace of the function that it stands in";
    a_period_starts_with_its_axis, "14 views", "regressions lists::cpu::pads_of_many", "a pad of many copies of an array begins with a whole one";
    a_poll_waits, "11 async twins", "waiting gpu::another_future", "a poll of a future waits for the device";
    argmax_last_of_ties_on_gpu, "6 reductions", "arrays semantics::gpu::positions", "argmax on a GPU gives the last of ties between lanes";
    atan2_of_infinities, "5 special values", "accuracy every_layout::cpu::special_values_of_float", "atan2 of two infinities is NaN";
    atan_coefficient, "2 f16, bf16 unary, exhaustive", "accuracy contract::cpu::all_of_f16", "a coefficient of the arc tangent is off in its fourth digit";
    barrier_removed, "11 races", "planning planted_faults::gpu::all_lanes", "a barrier removed from the reduce shader";
    bernoulli_by_one_word, "16 random", "regressions planted::cpu::probabilities", "a probability is compared in 32 bits";
    bf16_ties_away, "2 f16, bf16 unary, exhaustive", "accuracy contract::cpu::all_of_bf16", "ties of bf16 are rounded away from 0";
    biased_rotations, "6 contract", "factor backward::cpu::equal_singular_values", "the rotations of left singular vectors are rounded in one direction";
    bind_group_of_another_offset, "9 boundaries", "boundaries tight", "the cache of bind groups is keyed without offset";
    block_of_a_tile_left_out, "6 products", "planning tiles::every", "the right half of what an invocation computes of a product is left out where that is more than four columns";
    blocks_of_a_bunch_in_order, "16 determinism", "regressions planted::cpu::a_column", "blocks of few columns are added neighbour to half";
    bool_byte_believed, "13 malformed files", "arrays malformed::bools", "a bool that is neither 0 nor 1";
    bounds_of_sums_unchecked, "6 reductions", "regressions scales::cpu", "a block with a sum that overflows is not computed again";
    branches_meet_by_neither, "7 random expressions", "kernels programs::cpu", "where two branches of a kernel meet, all elements have what the first left";
    cached_memory_miscounted, "12 leaks", "unit cpu::memory", "a pool counts more as cached than it keeps";
    carry_of_a_64_bit_addition_lost, "9 indices", "planning indexed::gpu::many_values", "a sum of 64 bits at a position loses the carry out of its low word on a GPU";
    infinite_points, "14 sequences", "regressions numbers::cpu::infinite_points", "interp between infinite points is NaN";
    late_self_test_is_wrong, "11 races", "unit gpu::cooperative", "a self-test that ran out of time counts as wrong products";
    median_of_i64_in_f32, "14 sequences", "regressions numbers::cpu::medians_of_large", "the median of i64 is rounded to f32";
    number_of_its_own_type, "7 dtypes", "regressions numbers::cpu::a_number_is_weak", "a number among operands has its default dtype";
    range_without_its_start, "7 dtypes", "regressions numbers::cpu::a_range_begins", "the first element of a range has a rounding error";
    read_without_rounding, "7 dtypes", "regressions numbers::cpu::a_read_in_another", "a lazy f16 expression is read in another type without rounding to f16";
    time_out_of_any_work, "11 races", "unit gpu::time_out", "the time-out does not depend on the submitted work";
    wrong_halves_trusted, "4 unit tests", "unit gpu::numerics", "a device that flushes subnormals widens f16";
    halves_truncated, "5 special values", "planning halves::conversions_on_a_gpu", "f16 is truncated where integer operations round it";
    carry_of_pairs_lost, "5 special values", "planning int64::", "a sum of pairs of words loses its carry";
    chains_of_any_length, "6 products", "unit products::order", "the best order is looked for in a chain of matrices of any length";
    checked_indices_end_early, "9 indices", "planning copies::an_index", "the indices after the last whole vector are not checked";
    checks_blame_the_last, "1 refusals", "arrays check::cpu::each", "a check blames the last operation with a fault";
    chirp_in_i32, "14 sequences", "operations fourier::cpu::lengths_whose_squares", "the angles of Bluestein's method are computed in i32, where squares overflow";
    chunks_behind_columns, "18 plans", "caps plans_and_texts", "partial results of outer lanes have their chunks as the last axis";
    clip_of_equal_bounds, "7 dtypes", "operations derivatives::edges::cpu::where_there", "the derivative of a quantile between equal numbers is split by the clip";
    clip_upper_bound_first, "7 dtypes", "arrays semantics::cpu::clip", "clip of integers gives the lower of crossed bounds";
    collapse_ignores_sign, "14 views", "fuzz views", "dimensions that run in opposite directions are merged";
    compiled_for_any_order, "14 sequences", "operations compiled::cpu::other_layouts", "a compiled function takes inputs of another memory order for those of its plan";
    compiled_for_any_tree, "14 sequences", "operations compiled::cpu::other_layouts", "a compiled function takes a tree for another one with the same leaves";
    complex_atanh_near_1, "5 special values", "operations elementwise::cpu::numbers_near", "the inverse tanh of complex numbers near 1 divides by a square that underflows";
    complex_tanh_cut_at_12, "5 special values", "operations elementwise::cpu::numbers_near", "the real part of the complex tanh is ±1 from 12 on";
    complex_zero_times_infinity, "5 special values", "operations elementwise::cpu::the_standards", "a sine of 0 times an infinite exponential is NaN in complex functions";
    condition_ignored, "9 indices", "planning indexed::takes_of", "a store writes where its condition is false";
    condition_ignored_on_gpu, "9 indices", "planning indexed::takes_of", "a store writes where its condition is false on a GPU";
    corrections_left_out, "1 refusals", "linalg refined::cpu::solutions", "solutions are refined once";
    damaged_cache_taken, "13 malformed files", "unit gpu::disk", "a cache on disk is taken whatever the sum of its bytes";
    devices_add_backwards, "12 devices", "devices collectives", "parts of several devices are added from the last to the first";
    diagonal_offset_turned, "14 views", "fuzz views", "a diagonal below the main one starts in the wrong column";
    discarded_faults_count, "1 refusals", "arrays check::cpu::what_a_select", "a check counts what a select discards";
    draws_between_blocks, "16 random", "planning vector_loads::random", "four elements share a block of random words wherever the first one begins";
    earlier_chains_forgotten, "6 products", "arrays semantics::cpu::products_of", "only the last 256 products of an element are summed";
    elements_that_left_go_on, "7 random expressions", "kernels programs::cpu", "elements that returned within a loop of a kernel run what stands behind it";
    end_of_a_backward_slice_clamped, "14 views", "arrays slices_as_numpy", "a backward slice to before the start leaves out element 0";
    equal_keys_in_any_order, "9 sorts", "operations sort::gpu::", "a short sort on a GPU does not keep the order of equal elements";
    equal_nodes_without_dtype, "7 random expressions", "planning planted_faults::cpu::", "nodes that differ in dtype alone are one";
    equal_results_take_the_last, "7 random expressions", "arrays semantics::cpu::several", "a result asked for twice is that before it";
    equal_takes_without_mode, "7 random expressions", "regressions planted::cpu::takes", "equal takes that differ in mode alone are one";
    erfc_quotient_uncorrected, "4 f32 sweep", "accuracy sweep::once_wrong", "erfc divides with a reciprocal that is not corrected";
    error_forgotten, "1 refusals", "regressions creation::cpu::creation_computes", "a number that does not fit is written all the same";
    error_of_a_dropped_read_lost, "11 async twins", "waiting gpu::a_late_error", "the error of a read whose future is dropped is never reported";
    error_of_another_gather, "10 faults", "regressions planted::gpu::a_bad_index", "a late error names the first gather of all";
    errors_take_the_last_line, "1 refusals", "arrays the_first_error", "an error names the line of eval, not of the operation";
    every_index_from_the_end, "9 indices", "operations segments::cpu::keys_outside", "an index that does not count from the end is named as if it did";
    everything_is_kept, "18 plans", "caps schedules_differ", "a row kernel of the CPU keeps what it could load again";
    exceptional_shifts_left_out, "6 contract", "factor general::backward_errors", "the QR iteration of a general matrix takes no shift of another kind";
    exponential_squared_too_little, "6 contract", "factor exponential::", "the exponential of a matrix is squared four times at most";
    exponents_at_a_ratio_of_1000, "18 printing", "arrays print::equal", "a ratio of just 1000 prints exponents";
    far_angle_loses_its_low_part, "4 f32 sweep", "accuracy sweep::once_wrong", "sin and cos of large angles reduce them to one f32";
    faults_of_operands_count, "1 refusals", "arrays check::cpu::each", "a check blames an operation for the NaN of its operand";
    first_chain_everywhere, "6 products", "planning windows::gpu::long_sums", "every part of a long sum over windows begins at the first k";
    first_element_for_all_rows, "6 rows together", "planning folds::rows_together", "all rows of a block read the first row's element of an outer value";
    first_of_a_later_component, "6 reductions", "planning folds::split", "the second pass takes a later component of the first part alone";
    flipped_axes_merged_by_reshape, "14 views", "fuzz views", "axes that run in opposite directions are one to reshape";
    floats_written_to_integers, "1 refusals", "arrays writes::cpu::casts", "floats are written to an array of integers";
    fma_rounded_twice, "6 products", "operations products::every_instruction_set", "without a fused multiply-add, `c + a · b` is rounded to f64 and then to f32";
    fold_of_another_row, "14 sequences", "planning folds::equal_columns", "folds of one method are one, whatever their columns";
    fork_not_seen, "11 threads", "fork a_child", "a process made by fork gives work to threads that it lacks";
    four_past_a_row, "6 reductions", "planning wide_reductions::rows_of_every_type", "a load of four elements reads beyond the end of a row";
    full_query_set_left, "1 kernel times", "timing profile::gpu::every_kernel", "the times of a full query set are never copied";
    gaps_overflow, "5 special values", "regressions lists::cpu::lines_over", "interp subtracts two points whose difference overflows";
    gathers_reach_left_out, "9 boundaries", "regressions planted::gpu::windows", "the reach of a gather does not count in a window";
    gpu_of_any_number, "1 refusals", "arrays errors::devices_by_name", "gpu:7 is the first GPU";
    groups_of_any_size, "18 plans", "caps small_workgroups", "a workgroup of 256 on a device that has fewer";
    half_accumulation, "2 f16", "planning planted_faults::half", "f16 accumulation in a sum";
    half_accumulation_on_gpu, "2 f16", "regressions planted::gpu::half", "partial results of f16 rounded in a split reduction on a GPU";
    half_gather_through_f32, "6 contract: functions in 7 layouts", "accuracy contract::cpu::gathers", "a gather of f16 goes through f32, where a NaN loses its payload";
    halves_compared_unrounded, "7 dtypes", "arrays semantics::cpu::where_half", "f16 values are compared before they are rounded";
    header_length_believed, "13 malformed files", "arrays malformed::lying", "memory for a header of any length that a file claims";
    in_place_always, "8 overlap and in place", "arrays overlap::gpu", "a write in place while another reads";
    in_place_reads_its_writes, "8 in place", "fuzz state", "an in-place kernel reads what it has written";
    index_in_32_bits, "9 size boundaries", "unit layout::", "index arithmetic in 32 bits";
    index_selected_by_another, "9 indices", "planning copies::indices_that", "an index that another selects is read as one that counts from the end";
    index_without_its_window, "9 boundaries", "boundaries tight", "positions count from the start of a window";
    inner_operations_checked, "1 refusals", "arrays check::cpu::no_operation", "a check looks into what a generator is made of";
    inputs_swapped, "14 sequences", "fuzz state", "a fused kernel swaps two inputs";
    integers_lose_a_carry, "16 random", "accuracy joins_and_generators", "a carry is lost in the product behind random integers";
    integers_of_one_word, "16 random", "accuracy joins_and_generators", "the lower of two words is left out of random integers";
    joined_parts_in_c_order, "8 overlap", "arrays writes::cpu::parts_of_every", "parts that are joined in place step as in C order";
    kept_elements_not_copied, "8 in place", "arrays writes_at::cpu::updates_keep", "an array that shares memory loses what an update at positions leaves";
    kept_in_a_register, "7 random expressions", "regressions rows::cpu", "a value kept for a later pass takes a register that the next tile writes";
    kernel_rounds_quotients_down, "4 integers", "kernels wgsl::cpu::integers", "a kernel rounds quotients of integers down";
    kernel_takes_matrices, "18 kernels", "kernels slips::slips", "a kernel takes matrices, whose products are wrong then";
    kernels_with_the_line_of_the_first, "18 plans", "planning plans::each_expression", "each kernel of a plan has the line of the first";
    keys_of_sums_not_sorted, "9 indices", "operations segments::gpu::sums_of_every_type", "a GPU looks for the rows of a key among keys that do not ascend";
    lanes_across_lines, "14 views", "planning wide_reductions::lines_within_rows", "a load of four elements reads beyond the end of a line";
    last_chain_left_out, "6 products", "planning chains::gpu::", "of a product whose chains of k workgroups share the last, shorter chain is not added";
    last_chunk_counts_from_0, "6 reductions", "accuracy contract::gpu::reductions_of", "argmax in the last, shorter chunk counts from its start";
    last_element_twice, "6 reductions", "arrays semantics::gpu::long_sums", "a long reduction on a GPU takes its last element twice";
    last_of_a_target_window_left_out, "9 boundaries", "planning indexed::targets_of", "a window of an indexed target ends one element early";
    last_of_a_window_left_out, "9 boundaries", "planning indexed::takes_of", "a window of an indexed source ends one element early";
    last_rows_left, "14 views", "planning copies::copies", "a move leaves out the rows after its last whole tile";
    last_square_twice, "6 reductions", "operations short_rows::few_rows_have", "the elements of a short row that are in two squares are folded twice";
    late_error_forgotten, "10 faults", "faults a_late_error", "a late error forgotten when a read fails";
    late_index_in_place, "8 in place", "arrays writes::gpu::a_failed_write", "a write in place on a GPU whose index may be found to be out of range later";
    leak, "12 leaks", "regressions limits::cpu", "a buffer that is never given back";
    limit_64_bytes_too_large, "12 leaks", "regressions planted::cpu::limits", "a memory limit is 64 bytes too large";
    limit_64_bytes_too_large_on_gpu, "12 leaks", "regressions planted::gpu::limits", "a memory limit is 64 bytes too large on a GPU";
    line_without_its_start, "16 generators", "regressions planted::cpu::a_line_ends", "linspace does not begin with the number given";
    lists_of_any_length, "1 refusals", "regressions lists::parts_of", "a list on the host has as many entries as a caller says";
    logsumexp_of_infinities, "5 special values", "arrays semantics::cpu::softmax", "logsumexp of infinities subtracts them";
    long_integer_of_python_3, "13 malformed files", "arrays malformed::lying_shapes", "a length with an L in a header of version 3";
    long_range_overflows, "16 generators", "regressions planted::cpu::a_range_may", "arange of floats takes a difference that overflows";
    loop_tail_dropped, "14 sequences", "fuzz state", "the tail of a vector loop dropped";
    lost_submission_forgotten, "10 faults", "faults every_call_fails_once", "a failed submission forgotten";
    max_binding_used_whole, "9 boundaries", "boundaries tight", "a binding leaves no room for the alignment of its start";
    max_starts_at_0, "6 reductions", "planning start_at_nothing", "max starts at 0";
    epsilon_scaled_once, "6 reductions", "regressions deviations::", "the epsilon of a normalised row is multiplied by the scale, not by its square";
    means_of_blocks_alike, "6 reductions", "operations statistics::covariances_of_blocks", "the means of blocks are taken for the means of all observations";
    minimum_drops_nan, "5 special values", "planning planted_faults::cpu::", "NaN dropped by minimum";
    nan_after_nan, "6 reductions", "arrays semantics::cpu::positions", "argmax gives the last NaN";
    narrow_lanes_overflow, "6 reductions", "unit cpu::tests::narrow", "more elements are summed in a narrow lane than it holds";
    negative_degrees_of_freedom, "6 reductions", "regressions planted::cpu::corrections", "a correction beyond the count divides by a negative number";
    neighbours_of_a_combined_element_lost, "8 overlap", "planning indexed::gpu::many_values", "a value combined into a packed word clears the other elements";
    next_dispatch_starts_again, "9 boundaries", "boundaries tight", "what does not fit one dispatch starts again in the next";
    nonzeros_counted_in_f32, "6 reductions", "operations contractions::nonzero_elements", "a norm of order 0 counts elements in f32";
    normal_of_zero, "16 random", "regressions planted::gpu::a_normal", "a normal draw takes the logarithm of 0";
    note_without_its_upper_word, "9 indices", "regressions plans::gpu::an_index", "a late error names the lower half of an index of 64 bits";
    npy_order_of_bytes_ignored, "13 files", "arrays files::files_of_numpy", "the byte order of a file is ignored";
    npy_pads_by_none, "13 files", "regressions planted::a_header", "a header that ends at a multiple of 64 is not padded";
    npy_rows_in_c_order, "13 files", "arrays files::rows_of_a_file", "rows of a file in Fortran order are taken for consecutive bytes";
    odometer_carries_once, "14 views", "arrays views::cpu::six_axes", "runs over three axes carry once, to the second alone";
    old_bits_of_a_shared_word, "8 overlap", "arrays writes::gpu::neighbours", "a shared word keeps bits of the element before";
    old_nodes_join_groups, "7 random expressions", "operations derivatives::checkpoint::expressions_outside", "the derivative of a checkpoint is a copy of the cotangent or of an operand";
    operands_lost_to_the_epilogue, "6 products", "regressions products::cpu", "an epilogue that reads an operand of the product reads the product";
    operands_on_two_devices, "1 refusals", "arrays devices_are_not_mixed", "operands of two devices are taken";
    overflow_beyond_the_whole_range, "1 refusals", "arrays check::cpu::integers", "a check for overflow passes what has wrapped once";
    overlap_of_neighbours_missed, "14 views", "arrays the_value_broadcasts", "windows one step apart count as apart";
    packed_neighbours_lost, "8 overlap", "arrays writes::gpu::", "the last word of packed elements overwrites its neighbours";
    part_of_a_sum_lost, "16 determinism", "factor backward::large_matrices", "the sums of one of the tasks that share the rows of a large matrix are left out";
    parts_of_inputs_at_the_first_element, "14 sequences", "operations compiled::cpu::other_layouts", "a compiled function reads every part of an input from its first element on";
    parts_written_whole, "8 in place", "arrays writes_at::cpu::parts_of_wholes", "a slice of what is stored whole is written as the whole";
    permutation_by_short_keys, "16 random", "operations distributions::every_permutation", "a permutation sorts by keys of 2 bits";
    plan_cache_without_alias, "8 in place", "arrays overlap::cpu", "a plan cache that forgets which input is the target";
    plan_cache_without_dtype, "14 sequences", "fuzz state", "a plan cache keyed without dtype";
    plan_cache_without_equal_numbers, "14 sequences", "fuzz state", "a plan cache keyed without which numbers are equal";
    plan_cache_without_strides, "14 sequences", "fuzz state", "a plan cache keyed without strides";
    plans_shared_between_devices, "9 boundaries", "boundaries tight", "a plan cache keyed without device";
    plans_without_weight, "12 leaks", "leaks plans_are_bounded", "the cache of plans counts no plan's weight";
    polynomial_of_f64_cut_short, "6 contract", "accuracy contract::gpu::float", "polynomials of f64 on a GPU lack their last coefficient";
    polynomials_of_any_length, "1 refusals", "regressions lists::polynomials", "a polynomial has any number of coefficients";
    pool_gives_live_buffer, "11 memory", "planning planted_faults::cpu::", "a pool that returns a live buffer";
    positions_saturate, "9 indices", "regressions planted::cpu::positions", "u32 positions saturate before they wrap";
    prepared_for_another_place_in_a_vector, "8 overlap", "planning vector_loads::parts_that_begin", "what is prepared for an array that begins at a multiple of four elements is taken for another";
    prepared_for_another_place_in_a_word, "8 overlap", "planning plans::what_repeats", "a prepared write of whole words is taken for one that begins within a word";
    prepared_for_one_buffer, "14 sequences", "planning plans::what_repeats", "what is prepared for operands in one buffer is taken for operands in two";
    print_line_too_long, "18 printing", "arrays print::equal", "a printed line leaves no room for its bracket";
    print_shortens_1000, "18 printing", "arrays print::equal", "an array of 1000 elements is shortened";
    products_of_three_halves_rounded, "2 f16", "operations contractions::cpu::products_of_three", "einsum rounds the product of two of three f16 operands";
    promotion_row, "7 dtypes", "planning planted_faults::promotion", "a promotion row changed";
    quotients_not_corrected, "4 f32 sweep", "planning quotients::", "a GPU's quotient is its estimate";
    random_streams_alike, "16 random", "accuracy joins_and_generators", "two draws take the same stream";
    rare_cases_left_out, "5 special values", "planning rare_arguments::gpu", "four neighbours keep the results of quick functions whose arguments they cannot handle";
    refused_memory_stays_counted, "12 leaks", "regressions planted::cpu::what_is_refused", "memory that was refused stays counted";
    remainder_takes_dividends_sign, "3 8-bit exhaustive", "accuracy sweep::all_8_bit_operands_on_the_cpu", "the remainder of signed integers keeps the sign of the dividend";
    repeated_calls_are_one, "7 random expressions", "operations derivatives::checkpoint::calls_with", "calls of a routine by the derivative of a checkpoint are one with the first calls";
    repetitions_of_repetitions_are_one, "18 plans", "operations derivatives::checkpoint::derivatives_inside", "nested repetitions of a checkpoint are merged with outer ones";
    rest_of_a_chain_lost, "16 determinism", "factor backward::cpu::eigenvalues_of_hard", "what a chain of rotations has left after it moved with others is left out";
    rest_of_a_row_left, "6 rows together", "planning folds::rows_together", "a fold of short rows leaves out elements";
    routine_reads_any_strides, "14 views", "planning routines::cpu::every_type_and_layout", "a routine reads an operand with steps as if it were dense";
    row_of_a_block_refused, "1 refusals", "linalg refused::cpu::", "a refused row is counted from the first row of its block";
    rows_alone, "7 random expressions", "programs blocks_of_a_transposed", "a block of one row sums in another order than the whole";
    rows_of_a_panel_stay, "14 views", "linalg factors::cpu::triangular_factors", "the exchange of rows leaves out the columns outside of a block";
    rows_outside_of_v_forgotten, "6 contract", "factor derivatives_are_those", "the derivative of V of a wide matrix has only the part in its rows";
    same_random_numbers_in_all_calls, "14 sequences", "operations compiled::cpu::random_numbers", "all calls of a compiled function draw the same numbers";
    scalar_rounded_twice, "7 dtypes", "arrays semantics::cpu::weak", "a number is rounded to f32 before f16";
    scan_barrier_removed, "11 races", "operations scans::gpu::rows_follow", "no barrier between the steps of a scan's network on a GPU";
    scan_block_before_the_last, "6 reductions", "operations scans::cpu::totals_of_totals", "the last, shorter block of a long scan takes what stands before the block before it";
    scan_carry_dropped, "6 reductions", "operations scans::cpu::columns_follow", "a scan of columns starts anew at each block";
    scan_carry_dropped_in_a_row, "6 reductions", "operations scans::cpu::rows_follow", "a scan of one row starts anew at each block";
    scan_carry_dropped_on_gpu, "6 reductions", "operations scans::gpu::rows_follow", "a scan on a GPU starts anew at each block";
    scan_first_run_combined, "6 reductions", "operations scans::rows_of_every_length", "the first run of a block is combined with the filler before the first total";
    scan_total_skips_groups, "6 reductions", "operations scans::cpu::totals_of_totals", "the total of a block of a long scan lacks a group of runs";
    scratch_not_cleared, "9 indices", "planning routines::cpu::sizes", "a routine counts on from what is in its scratch memory";
    seeds_share_slots_with_numbers, "14 sequences", "operations compiled::cpu::random_numbers", "the words of a seed that change between calls are also those of equal numbers";
    shader_key_without_axes_of_factors, "6 products", "planning windows::gpu::long_sums", "shaders of products over windows of other lengths are taken for each other";
    shader_key_without_draws, "16 random", "planning vector_loads::random", "shaders that draw whole blocks are taken for those that draw single words";
    shader_key_without_fetches, "14 views", "planning vector_loads::layouts", "shaders that fetch four elements in another way are taken for each other";
    shader_key_without_index_mode, "9 indices", "regressions planted::gpu::shaders", "shaders of take are kept without the mode";
    shader_key_without_whole_runs, "14 views", "planning rare_arguments::gpu::rows", "shaders for rows of whole runs of four are taken for those of other rows";
    shader_key_without_tile, "6 products", "planning tiles::shaders", "products with other tiles share one shader";
    shape_believed, "13 malformed files", "arrays malformed::lying", "memory for a shape that the data does not pay for";
    shared_chains_forgotten, "6 products", "operations products::definition", "of a sum over k that threads share only the last 256 products are kept";
    shared_value_given_for_writing, "4 unit tests", "unit base::shared", "a value that several pointers share is given to one of them for writing";
    slice_of_shared_memory, "8 in place", "arrays slices_of_memory", "a mutable slice is given of memory that another array holds";
    slopes_end_at_points, "7 dtypes", "operations derivatives::edges::cpu::where_there", "the slope of interp at a point is 0";
    small_roots_not_scaled, "5 special values", "operations elementwise::cpu::numbers_near", "the complex square root does not scale subnormal and other small numbers";
    small_temporaries_in_large_buffers, "12 leaks", "operations network::attention::the_scores_of_one_block", "small results that are kept occupy the buffers of large ones";
    software_counts_as_hardware, "1 refusals", "regressions planted::the_best", "Device::best takes a software driver for hardware";
    sort_by_seven_bits, "9 sorts", "operations sort::cpu::", "a digit of a sort loses its first bit";
    split_by_half_a_seed, "16 random", "programs hashes::golden", "a source that is split off has 32 bits of seed";
    sticky_bit_of_a_long_sum, "6 reductions", "regressions planted::cpu::sums_of_integers", "a long sum of integers is rounded twice on its way to f32";
    stores_not_turned, "14 views", "caps caches_change", "axes are put in another order for loads alone";
    stride_of_another_operand, "14 sequences", "fuzz state", "a stride taken from the wrong operand";
    stride_of_length_1, "14 sequences", "fuzz state", "a size-1 axis's stride used";
    sum_so_far_forgotten, "9 size boundaries", "boundaries boundaries_of_products", "a product whose k is cut forgets the sum of the kernels before the last";
    synchronize_forgets_errors, "10 faults", "regressions planted::gpu::synchronize", "synchronize does not report a bad index";
    tail_of_four_overwrites, "8 overlap", "planning vector_loads::the_end_of", "the last word of four elements overwrites its neighbours";
    take_along_a_flipped_axis, "9 indices", "arrays semantics::cpu::takes", "a take along an axis that runs backward steps forward";
    take_unchecked, "9 indices", "planning planted_faults::cpu::", "an out-of-range take not checked";
    take_unchecked_on_gpu, "9 indices", "planning planted_faults::gpu::take", "an out-of-range take not checked on a GPU";
    task_of_a_helper_lost, "16 determinism", "unit cpu::work_sharing", "a thread that helps skips a task";
    temporary_of_2_to_the_64, "1 refusals", "arrays has_a_call_that_fails_on_the_cpu", "the bytes of a temporary wrap";
    temporary_reused_early, "7 random expressions", "planning planted_faults::cpu::", "a temporary is reused before its last reader has run";
    threaded_head_left, "16 determinism", "unit cpu::tests::threaded", "threaded code leaves out the elements before the first aligned store";
    threaded_overlaps_in_place, "8 in place", "unit cpu::tests::threaded", "threaded code in place computes elements of the last block twice";
    threaded_product_leads, "16 determinism", "unit cpu::tests::threaded", "threaded code takes a product for the first operand where it is the second";
    threaded_tail_left, "16 determinism", "unit cpu::tests::threaded", "threaded code leaves out the elements after the last whole block";
    ties_of_topk_in_any_order, "9 sorts", "operations sorting::a_few_of_long", "topk keeps any of the equal elements";
    tiles_at_one_place, "16 determinism", "regressions planted::cpu::every_tile", "all tiles of a row that are computed by direct calls are the first one";
    transposed_corner_left, "14 views", "fuzz views", "a transposition leaves the corner beyond its squares";
    tree_depends_on_threads, "16 determinism", "programs hashes::pools", "the order of a sum follows the number of threads";
    unsigned_less_than_negative, "7 dtypes", "arrays semantics::cpu::comparisons", "an unsigned number is less than a negative one";
    upload_overtakes_kernels, "11 threads", "regressions planted::gpu::uploads", "an upload overtakes the kernels before it";
    upper_triangle_read, "6 contract", "factor values::cpu::symmetric_matrices", "eigh reads the elements above the diagonal";
    vectors_at_any_place, "8 overlap", "planning vector_loads::parts_that_begin", "four elements are read as a vector wherever they begin";
    vectors_beyond_a_buffer, "9 boundaries", "planning vector_loads::the_last_bytes_of_a_limit", "vectors are read beyond the end of a buffer";
    ways_through_a_loop_leave_it, "18 kernels", "kernels slips::cpu::a_loop", "a loop with several ways through it is taken for one that elements leave";
    wgsl_of_the_wrong_type, "14 kernels", "fuzz kernels", "a position of the wrong WGSL type";
    window_short, "9 boundaries", "boundaries tight", "a window that ends too early";
    windows_against_the_axes, "14 views", "arrays views::cpu::views_of_everything", "windows over two axes have their lengths in the other order";
    windows_beyond_isize, "14 views", "fuzz views", "a view of more elements than isize counts";
    windows_not_prepared, "10 faults", "faults a_write_in_several", "a write of several windows that stops half done";
    windows_not_rounded_to_4, "9 boundaries", "regressions planted::gpu::the_words", "a window starts inside a packed word";
    workgroup_counters_not_cleared, "9 indices", "planning routines::gpu::many_elements", "a workgroup counts on from what is in its memory";
    workgroups_of_all_kernels, "8 overlap", "planning parts::gpu::random_parts", "a kernel that runs beside others counts their workgroups too";
    woven_at_any_place, "8 overlap", "planning parts::gpu::stacks_that_begin", "neighbouring stores are written as one vector wherever the first one begins";
    write_to_places_that_are_one, "8 overlap", "arrays writes::cpu::", "a write to a broadcast array is not given places of its own";
    write_to_shared_memory, "8 in place", "fuzz state", "a write goes in place though another array holds the memory";
    writes_in_any_order, "9 indices", "arrays writes_at::the_last_of_many", "threads share the values of a write at positions in any order";
    written_before_it_is_checked, "1 refusals", "arrays check::cpu::writes", "a write is not checked";
    wrong_matrices_trusted, "16 determinism", "unit gpu::cooperative", "products by cooperative matrices are used whatever their self-test finds";
    x_less_x_folded, "4 f32 sweep", "regressions folding::gpu::a_value_less", "a GPU's compiler sees that an operand is there twice";
}
