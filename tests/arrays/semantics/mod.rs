//! The meaning of operations: types, integers, floats, reductions, products, gathers, generators. Expected values are
//! written by hand from the design, or computed here in f64 or i128.
// the tests of floats use x - x and x / x
#![allow(clippy::eq_op)]

mod floats;
mod gathers;
mod generators;
mod graphs;
mod integers;
mod products;
mod reductions;
mod types;

use crate::kit::on_devices;

on_devices! {
    promotion_of_all_pairs: types;
    division_gives_a_float: types;
    sums_and_products_widen: types;
    weak_scalars_take_the_arrays_type: types;
    expressions_of_numbers_stay_weak: types;
    select_types_and_values: types;
    comparisons_are_exact_between_integers: integers;
    comparisons_with_numbers_outside_the_type: integers;
    integer_division_and_remainder: integers;
    integers_wrap_at_their_own_width: integers;
    shifts: integers;
    integer_powers: integers;
    bool_rules: integers;
    casts_follow_rust: types;
    where_half_precision_rounds: floats;
    clip_and_extrema: floats;
    identities_stay_exact: floats;
    float_remainders: floats;
    nextafter_steps_in_its_own_type: floats;
    generators: generators;
    likes_live_where_their_model_does: generators;
    sums_over_every_set_of_axes: reductions;
    positions_of_extrema: reductions;
    empty_and_0d_reductions: reductions;
    long_sums_are_within_the_bound: reductions;
    sums_do_not_depend_on_fusion: reductions;
    spread_with_a_large_mean: reductions;
    softmax_and_its_kin: reductions;
    products_of_matrices: products;
    products_over_batches: products;
    takes: gathers;
    joins: gathers;
    random_words_are_philox: generators;
    copies_keep_every_bit: floats;
    results_keep_the_order_of_their_operands: graphs;
    million_node_chain: graphs;
    shared_parts_are_computed_once: graphs;
    many_inputs: graphs;
    several_results_at_once: graphs;
    threads_agree_to_the_bit: graphs;
}
