//! Operations that sort, search and count: orders, histograms, sets, sums by key, quantiles.

use super::{COMPOSITE, EVERY, Operation, first, float_type, sum_type};
use cupric::ErrorKind as K;
use cupric::*;

/// The result type of an interpolated quantile.
fn middle_type(d: DType) -> DType {
    if d.is_integer() && d.size() == 8 { DType::F64 } else { float_type(d) }
}

/// Operations built from sorts, searches and counts.
pub const ORDERS: &[Operation] = &[
    Operation { name: "sort", refuses: |x, _| vec![("Expr::sort", K::Axis, x.sort(2))], ..COMPOSITE },
    Operation {
        name: "argsort",
        result: |_| DType::I64,
        refuses: |x, _| vec![("Expr::argsort", K::Axis, x.argsort(descending(-3)))],
        ..COMPOSITE
    },
    Operation {
        name: "topk",
        refuses: |x, _| {
            vec![
                ("Expr::topk", K::Argument, x.topk(5, 1, true).0),
                ("Expr::topk", K::Axis, x.topk(1, 2, false).1),
                ("Expr::argtopk", K::Argument, x.argtopk(4, 0, true)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "partition",
        refuses: |x, none| {
            vec![
                ("Expr::partition", K::Index, x.partition(4, 1)),
                ("Expr::partition", K::Index, none.partition(0, 0)),
                ("Expr::partition", K::Axis, x.partition(0, 2)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "argpartition",
        result: |_| DType::I64,
        refuses: |x, _| vec![("Expr::argpartition", K::Index, x.argpartition(-5, 1))],
        ..COMPOSITE
    },
    Operation {
        name: "lexsort",
        result: |_| DType::I64,
        refuses: |x, _| {
            vec![
                ("lexsort", K::Argument, lexsort([x; 0], 0)),
                ("lexsort", K::Shape, lexsort([x, &x.t()], 0)),
                ("lexsort", K::Axis, lexsort([x, x], 2)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "cummax_with_positions",
        refuses: |x, _| vec![("Expr::cummax_with_positions", K::Axis, x.cummax_with_positions(2).0)],
        ..COMPOSITE
    },
    Operation {
        name: "cummin_with_positions",
        refuses: |x, _| vec![("Expr::cummin_with_positions", K::Axis, x.cummin_with_positions(-3).1)],
        ..COMPOSITE
    },
    Operation {
        name: "searchsorted",
        result: |_| DType::I64,
        refuses: |x, _| {
            let row = x.slice(s![0]);
            vec![
                ("searchsorted", K::Shape, searchsorted(x, x, Side::Left, None)),
                ("searchsorted", K::Shape, searchsorted(&row, x, Side::Left, Some(&x.slice(s![.., 0])))),
                ("searchsorted", K::DType, searchsorted(&row, x, Side::Left, Some(&row))),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "digitize",
        result: |_| DType::I64,
        refuses: |x, _| vec![("Expr::digitize", K::Shape, x.digitize(x, false))],
        ..COMPOSITE
    },
    Operation {
        name: "histogram",
        types: EVERY,
        result: |_| DType::I64,
        refuses: |x, none| {
            vec![
                ("Expr::histogram", K::Argument, x.histogram(0, None).0),
                ("Expr::histogram", K::Argument, x.histogram(3, Some((0.0, INF))).1),
                ("Expr::histogram_with_edges", K::Shape, x.histogram_with_edges(x)),
                ("Expr::histogram_with_edges", K::Shape, x.histogram_with_edges(none.ravel())),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "histogram_weighted",
        types: EVERY,
        result: sum_type,
        refuses: |x, none| {
            vec![
                ("Expr::histogram_weighted", K::Argument, x.histogram_weighted(1.0, 0, None).0),
                ("Expr::histogram_weighted", K::Shape, x.histogram_weighted(x.t(), 3, None).1),
                ("Expr::histogram_with_edges_weighted", K::Shape, x.histogram_with_edges_weighted(1.0, x)),
                ("Expr::histogram_with_edges_weighted", K::Shape, x.histogram_with_edges_weighted(1.0, none.ravel())),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "bincount_weighted",
        result: sum_type,
        refuses: |x, _| {
            let whole = x.astype(DType::I32);
            vec![
                ("Expr::bincount_weighted", K::DType, x.bincount_weighted(1.0, 3)),
                ("Expr::bincount_weighted", K::Shape, whole.bincount_weighted(x.t(), 3)),
                ("Expr::bincount_weighted", K::Index, whole.bincount_weighted(1.0, 0)),
            ]
        },
        ..COMPOSITE
    },
    Operation { name: "nonzero", ..COMPOSITE },
    Operation { name: "argwhere", ..COMPOSITE },
    Operation { name: "flatnonzero", ..COMPOSITE },
    Operation { name: "isin", ..COMPOSITE },
    Operation { name: "unique_values", ..COMPOSITE },
    Operation { name: "unique_counts", ..COMPOSITE },
    Operation { name: "unique_inverse", ..COMPOSITE },
    Operation { name: "unique_all", ..COMPOSITE },
    Operation { name: "intersect", ..COMPOSITE },
    Operation { name: "union", ..COMPOSITE },
    Operation { name: "setdiff", ..COMPOSITE },
    Operation {
        name: "segment_sum",
        result: sum_type,
        refuses: |x, _| {
            vec![
                ("Expr::segment_sum", K::Shape, x.segment_sum(first(), 3)),
                ("Expr::segment_sum", K::DType, x.segment_sum(zeros([3], DType::F32), 3)),
                ("Expr::segment_sum", K::Index, x.segment_sum(zeros([3], DType::I32), 0)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "reduce_at",
        result: sum_type,
        refuses: |x, none| {
            vec![
                ("Expr::reduce_at", K::Shape, x.reduce_at(zeros([1, 1], DType::I32), 0)),
                ("Expr::reduce_at", K::DType, x.reduce_at(zeros([1], DType::F32), 0)),
                ("Expr::reduce_at", K::Axis, x.reduce_at(first(), 2)),
                ("Expr::reduce_at", K::Index, none.reduce_at(first(), 0)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "histogram2d",
        types: EVERY,
        result: |_| DType::I64,
        refuses: |x, _| {
            let huge = x.histogram2d(x, [1 << 20, 1 << 20], None).0;
            vec![
                ("Expr::histogram2d", K::Shape, x.histogram2d(x.t(), [2, 2], None).0),
                ("Expr::histogram2d", K::LimitExceeded, huge),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "median",
        types: EVERY,
        result: middle_type,
        refuses: |x, _| vec![("Expr::median", K::Axis, x.median(2))],
        ..COMPOSITE
    },
    Operation {
        name: "nanmedian",
        types: EVERY,
        result: middle_type,
        refuses: |x, _| vec![("Expr::nanmedian", K::Axis, x.nanmedian([0, 0]))],
        ..COMPOSITE
    },
    Operation {
        name: "quantile",
        types: EVERY,
        result: middle_type,
        refuses: |x, none| {
            let method = QuantileMethod::Lower;
            vec![
                ("Expr::quantile", K::Argument, x.quantile(-0.1, 0, method)),
                ("Expr::quantile", K::Axis, x.quantile(0.1, 2, method)),
                ("Expr::quantile", K::Shape, none.astype(DType::I32).quantile(0.1, 0, method)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "percentile",
        types: EVERY,
        result: middle_type,
        refuses: |x, _| vec![("Expr::percentile", K::Argument, x.percentile([1.0, 101.0], 0, QuantileMethod::Linear))],
        ..COMPOSITE
    },
    Operation {
        name: "nanquantile",
        types: EVERY,
        result: middle_type,
        refuses: |x, none| {
            let method = QuantileMethod::Higher;
            vec![
                ("Expr::nanquantile", K::Argument, x.nanquantile([0.5, 1.5], 0, method)),
                ("Expr::nanquantile", K::Axis, x.nanquantile(0.1, 2, method)),
                ("Expr::nanquantile", K::Shape, none.astype(DType::I32).nanquantile(0.1, 0, method)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "nanpercentile",
        types: EVERY,
        result: middle_type,
        refuses: |x, _| vec![("Expr::nanpercentile", K::Argument, x.nanpercentile(-1.0, 0, QuantileMethod::Linear))],
        ..COMPOSITE
    },
    Operation {
        name: "interp",
        types: EVERY,
        result: float_type,
        refuses: |x, _| {
            let row = x.slice(s![0]);
            vec![
                ("interp", K::Shape, interp(x, x, x)),
                ("interp", K::Shape, interp(x, &row, row.slice(s![1..]))),
                ("interp", K::Shape, interp(x, row.slice(s![..0]), row.slice(s![..0]))),
            ]
        },
        ..COMPOSITE
    },
];
