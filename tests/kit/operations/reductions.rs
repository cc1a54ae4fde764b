//! Reductions and functions of rows: sums, extremes, cumulative sums, variances, NaN-ignoring ones, softmax and norms.

use super::{EVERY, Kind, Operation, PLAIN, Pinned, Suite, float_type, sum_type};
use cupric::ErrorKind as K;
use cupric::*;

fn one(x: f64) -> Option<Vec<f64>> {
    Some(vec![x])
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

fn variance(x: &[f64]) -> f64 {
    let m = mean(x);
    mean(&x.iter().map(|x| (x - m) * (x - m)).collect::<Vec<_>>())
}

fn log_sum_exp(x: &[f64]) -> f64 {
    x.iter().map(|x| x.exp()).sum::<f64>().ln()
}

/// The position of the first element that no other element beats; `None` for an empty slice.
fn position(x: &[f64], beats: fn(f64, f64) -> bool) -> Option<usize> {
    (0..x.len()).reduce(|best, i| if beats(x[i], x[best]) { i } else { best })
}

fn each(x: &[f64], f: impl Fn(f64) -> f64) -> Option<Vec<f64>> {
    Some(x.iter().map(|x| f(*x)).collect())
}

/// Calls a function that takes one axis. For all axes, it is applied to the elements in C order.
fn cumulative(x: &Expr, axes: &AxesArg, f: fn(&Expr, isize) -> Expr) -> Expr {
    match (testing::axes(axes), x.shape()) {
        (Some(axes), _) => f(x, axes[0]),
        (None, Ok(shape)) => {
            let shape: Vec<isize> = shape.iter().map(|n| *n as isize).collect();
            f(&x.reshape([-1]), 0).reshape(shape)
        }
        (None, Err(_)) => x.clone(),
    }
}

/// The operations along axes. Random programs and fuzzing choose them by their position.
pub const REDUCTIONS: &[Operation] = &[
    Operation {
        name: "sum",
        result: sum_type,
        build: |x, p| x[0].sum(p.axes.clone()),
        meaning: Some(|x| one(x.iter().sum())),
        refuses: |x, _| {
            let huge = zeros([1usize << 32, 0, 1 << 32], DType::F32);
            vec![("Expr::sum", K::Axis, x.sum(2)), ("Expr::sum", K::LimitExceeded, huge.sum(1))]
        },
        ..PLAIN
    },
    Operation {
        name: "mean",
        result: float_type,
        build: |x, p| x[0].mean(p.axes.clone()),
        meaning: Some(|x| one(mean(x))),
        refuses: |x, _| vec![("Expr::mean", K::Axis, x.mean(-3))],
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "min",
        build: |x, p| x[0].min(p.axes.clone()),
        meaning: Some(|x| one(x[position(x, |a, b| a < b)?])),
        refuses: |_, none| vec![("Expr::min", K::Shape, none.min(0))],
        pinned: Pinned::Numbers,
        ..PLAIN
    },
    Operation {
        name: "max",
        build: |x, p| x[0].max(p.axes.clone()),
        meaning: Some(|x| one(x[position(x, |a, b| a > b)?])),
        refuses: |_, none| vec![("Expr::max", K::Shape, none.max(..))],
        pinned: Pinned::Numbers,
        ..PLAIN
    },
    Operation {
        name: "argmin",
        result: |_| DType::I64,
        build: |x, p| x[0].argmin(p.axes.clone()),
        meaning: Some(|x| one(position(x, |a, b| a < b)? as f64)),
        refuses: |_, none| vec![("Expr::argmin", K::Shape, none.argmin(0))],
        one_axis: true,
        pinned: Pinned::Numbers,
        ..PLAIN
    },
    Operation {
        name: "argmax",
        result: |_| DType::I64,
        build: |x, p| x[0].argmax(p.axes.clone()),
        meaning: Some(|x| one(position(x, |a, b| a > b)? as f64)),
        refuses: |x, _| vec![("Expr::argmax", K::Axis, x.argmax([0, 1]))],
        one_axis: true,
        pinned: Pinned::Numbers,
        ..PLAIN
    },
    Operation {
        name: "any",
        result: |_| DType::Bool,
        build: |x, p| x[0].any(p.axes.clone()),
        meaning: Some(|x| one(x.iter().any(|x| *x != 0.0).into())),
        refuses: |x, _| vec![("Expr::any", K::Axis, x.any(2))],
        ..PLAIN
    },
    Operation {
        name: "all",
        result: |_| DType::Bool,
        build: |x, p| x[0].all(p.axes.clone()),
        meaning: Some(|x| one(x.iter().all(|x| *x != 0.0).into())),
        refuses: |x, _| vec![("Expr::all", K::Axis, x.all(2))],
        ..PLAIN
    },
    Operation {
        name: "count_nonzero",
        result: |_| DType::I64,
        build: |x, p| x[0].count_nonzero(p.axes.clone()),
        meaning: Some(|x| one(x.iter().filter(|x| **x != 0.0).count() as f64)),
        refuses: |x, _| vec![("Expr::count_nonzero", K::Axis, x.count_nonzero(2))],
        ..PLAIN
    },
    Operation {
        name: "prod",
        result: sum_type,
        build: |x, p| x[0].prod(p.axes.clone()),
        meaning: Some(|x| one(x.iter().product())),
        refuses: |x, _| vec![("Expr::prod", K::Axis, x.prod([0, 0]))],
        ..PLAIN
    },
    Operation {
        name: "cumulative_sum",
        kind: Kind::Row,
        result: sum_type,
        build: |x, p| cumulative(&x[0], &p.axes, Expr::cumulative_sum),
        meaning: Some(|x| Some((0..x.len()).map(|i| x[..=i].iter().sum()).collect())),
        refuses: |x, _| {
            let scalar = x.sum(..);
            vec![
                ("Expr::cumulative_sum", K::Axis, x.cumulative_sum(2)),
                ("Expr::cumulative_sum", K::Axis, scalar.cumulative_sum(0)),
            ]
        },
        one_axis: true,
        ..PLAIN
    },
    Operation {
        name: "cumulative_prod",
        kind: Kind::Row,
        result: sum_type,
        build: |x, p| cumulative(&x[0], &p.axes, Expr::cumulative_prod),
        meaning: Some(|x| Some((0..x.len()).map(|i| x[..=i].iter().product()).collect())),
        refuses: |x, _| vec![("Expr::cumulative_prod", K::Axis, x.cumulative_prod(2))],
        one_axis: true,
        ..PLAIN
    },
    Operation {
        name: "cummax",
        kind: Kind::Row,
        build: |x, p| cumulative(&x[0], &p.axes, Expr::cummax),
        meaning: Some(|x| {
            Some((0..x.len()).map(|i| x[..=i].iter().copied().fold(f64::NEG_INFINITY, f64::max)).collect())
        }),
        refuses: |x, _| {
            let both = x.cummax(exclusive(include_initial(0)));
            vec![("Expr::cummax", K::Axis, x.cummax(-3)), ("Expr::cummax", K::Argument, both)]
        },
        one_axis: true,
        ..PLAIN
    },
    Operation {
        name: "logcumsumexp",
        kind: Kind::Row,
        types: EVERY,
        result: float_type,
        build: |x, p| cumulative(&x[0], &p.axes, Expr::logcumsumexp),
        meaning: Some(|x| Some((0..x.len()).map(|i| log_sum_exp(&x[..=i])).collect())),
        refuses: |x, _| {
            let both = x.logcumsumexp(exclusive(include_initial(0)));
            let axis = x.logcumsumexp(2);
            vec![("Expr::logcumsumexp", K::Axis, axis), ("Expr::logcumsumexp", K::Argument, both)]
        },
        one_axis: true,
        suite: Suite::Rows,
        ..PLAIN
    },
    Operation {
        name: "cummin",
        kind: Kind::Row,
        build: |x, p| cumulative(&x[0], &p.axes, Expr::cummin),
        meaning: Some(|x| Some((0..x.len()).map(|i| x[..=i].iter().copied().fold(f64::INFINITY, f64::min)).collect())),
        refuses: |x, _| vec![("Expr::cummin", K::Axis, x.cummin(2))],
        one_axis: true,
        ..PLAIN
    },
    Operation {
        name: "var",
        result: float_type,
        build: |x, p| x[0].var(p.axes.clone()),
        meaning: Some(|x| one(variance(x))),
        refuses: |x, _| {
            vec![("Expr::var", K::Axis, x.var(2)), ("Expr::var_corrected", K::Axis, x.var_corrected(2, 1.0))]
        },
        several_passes: true,
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "std",
        result: float_type,
        build: |x, p| x[0].std(p.axes.clone()),
        meaning: Some(|x| one(variance(x).sqrt())),
        refuses: |x, _| {
            vec![("Expr::std", K::Axis, x.std(2)), ("Expr::std_corrected", K::Axis, x.std_corrected(-3, 1.0))]
        },
        several_passes: true,
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nansum",
        result: sum_type,
        build: |x, p| x[0].nansum(p.axes.clone()),
        meaning: Some(|x| one(x.iter().sum())),
        refuses: |x, _| vec![("Expr::nansum", K::Axis, x.nansum(2))],
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nanmean",
        result: float_type,
        build: |x, p| x[0].nanmean(p.axes.clone()),
        meaning: Some(|x| one(mean(x))),
        refuses: |x, _| vec![("Expr::nanmean", K::Axis, x.nanmean(2))],
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nanmin",
        build: |x, p| x[0].nanmin(p.axes.clone()),
        meaning: Some(|x| one(x[position(x, |a, b| a < b)?])),
        refuses: |_, none| vec![("Expr::nanmin", K::Shape, none.nanmin(0))],
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nanmax",
        build: |x, p| x[0].nanmax(p.axes.clone()),
        meaning: Some(|x| one(x[position(x, |a, b| a > b)?])),
        refuses: |_, none| vec![("Expr::nanmax", K::Shape, none.nanmax(0))],
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nanvar",
        result: float_type,
        build: |x, p| x[0].nanvar(p.axes.clone()),
        meaning: Some(|x| one(variance(x))),
        refuses: |x, _| {
            vec![
                ("Expr::nanvar", K::Axis, x.nanvar(2)),
                ("Expr::nanvar_corrected", K::Axis, x.nanvar_corrected(2, 1.0)),
            ]
        },
        several_passes: true,
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nanstd",
        result: float_type,
        build: |x, p| x[0].nanstd(p.axes.clone()),
        meaning: Some(|x| one(variance(x).sqrt())),
        refuses: |x, _| {
            vec![
                ("Expr::nanstd", K::Axis, x.nanstd(2)),
                ("Expr::nanstd_corrected", K::Axis, x.nanstd_corrected(2, 1.0)),
            ]
        },
        several_passes: true,
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nanargmin",
        result: |_| DType::I64,
        build: |x, p| x[0].nanargmin(p.axes.clone()),
        meaning: Some(|x| one(position(x, |a, b| a < b)? as f64)),
        refuses: |_, none| vec![("Expr::nanargmin", K::Shape, none.nanargmin(0))],
        one_axis: true,
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nanargmax",
        result: |_| DType::I64,
        build: |x, p| x[0].nanargmax(p.axes.clone()),
        meaning: Some(|x| one(position(x, |a, b| a > b)? as f64)),
        refuses: |_, none| vec![("Expr::nanargmax", K::Shape, none.nanargmax(0))],
        one_axis: true,
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "ptp",
        types: "u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64",
        build: |x, p| x[0].ptp(p.axes.clone()),
        meaning: Some(|x| one(x[position(x, |a, b| a > b)?] - x[position(x, |a, b| a < b)?])),
        refuses: |x, none| vec![("Expr::ptp", K::Shape, none.ptp(0)), ("Expr::ptp", K::DType, x.less(0).ptp(0))],
        pinned: Pinned::Elsewhere,
        ..PLAIN
    },
    Operation {
        name: "softmax",
        kind: Kind::Row,
        types: EVERY,
        result: float_type,
        build: |x, p| x[0].softmax(p.axes.clone()),
        meaning: Some(|x| each(x, |v| (v - log_sum_exp(x)).exp())),
        refuses: |x, _| vec![("Expr::softmax", K::Axis, x.softmax(2))],
        several_passes: true,
        pinned: Pinned::Floats,
        suite: Suite::Rows,
        ..PLAIN
    },
    Operation {
        name: "log_softmax",
        kind: Kind::Row,
        types: EVERY,
        result: float_type,
        build: |x, p| x[0].log_softmax(p.axes.clone()),
        meaning: Some(|x| each(x, |v| v - log_sum_exp(x))),
        refuses: |x, _| vec![("Expr::log_softmax", K::Axis, x.log_softmax(2))],
        several_passes: true,
        pinned: Pinned::Floats,
        suite: Suite::Rows,
        ..PLAIN
    },
    Operation {
        name: "logsumexp",
        types: EVERY,
        result: float_type,
        build: |x, p| x[0].logsumexp(p.axes.clone()),
        meaning: Some(|x| one(log_sum_exp(x))),
        refuses: |x, _| vec![("Expr::logsumexp", K::Axis, x.logsumexp(2))],
        several_passes: true,
        pinned: Pinned::Floats,
        suite: Suite::Rows,
        ..PLAIN
    },
    Operation {
        name: "layer_norm",
        kind: Kind::Row,
        types: EVERY,
        result: float_type,
        build: |x, p| x[0].layer_norm(p.axes.clone(), p.epsilon),
        // 1e-5 is the epsilon of `Params::along`, which tests use together with this reference
        meaning: Some(|x| each(x, |v| (v - mean(x)) / (variance(x) + 1e-5).sqrt())),
        refuses: |x, _| vec![("Expr::layer_norm", K::Axis, x.layer_norm(2, 1e-5))],
        several_passes: true,
        pinned: Pinned::Elsewhere,
        suite: Suite::Rows,
        ..PLAIN
    },
    Operation {
        name: "rms_norm",
        kind: Kind::Row,
        types: EVERY,
        result: float_type,
        build: |x, p| x[0].rms_norm(p.axes.clone(), p.epsilon),
        meaning: Some(|x| {
            let square = mean(&x.iter().map(|x| x * x).collect::<Vec<_>>());
            each(x, |v| v / (square + 1e-5).sqrt())
        }),
        refuses: |x, _| vec![("Expr::rms_norm", K::Axis, x.rms_norm(2, 1e-5))],
        several_passes: true,
        pinned: Pinned::Elsewhere,
        suite: Suite::Rows,
        ..PLAIN
    },
];
