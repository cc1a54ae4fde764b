//! Operations compared with plain loops, NumPy and exact references: products, sorts, sets, statistics, distributions.

#[path = "../kit/mod.rs"]
mod kit;

mod compiled;
mod complex;
mod contractions;
mod derivatives;
mod discrete_counts;
mod distributions;
mod elementwise;
mod fourier;
mod halves;
mod masks;
mod movement;
mod network;
mod products;
mod quantiles;
mod recipes;
mod row_products;
mod scans;
mod searching;
mod segments;
mod sets;
mod short_rows;
mod signals;
mod sort;
mod sorting;
mod statistics;
mod train;
mod train_data;
mod train_steps;
