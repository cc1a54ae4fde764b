//! Error bounds of derivatives: for each function whose derivative is a formula, in each float type, on both backends.
//! `data/make_gradients.py` writes the exact derivatives, and `data/gradients.csv` has the bounds.
//!
//! An error is in ULPs of the exact derivative, or of 1 if that is larger. A bound is the next of [`LEVELS`] above.
//! `CUPRIC_BLESS=1 cargo test --release --features testing,formats,interop --test operations bounds` rewrites the
//! bounds. Only do this for a change that is meant to change derivatives.

use crate::kit::has;
use cupric::*;
use std::collections::BTreeMap;

const LEVELS: [f64; 21] =
    [0.5, 1., 2., 3., 4., 6., 8., 12., 16., 24., 32., 48., 64., 96., 128., 192., 256., 384., 512., 1024., 2048.];

const DTYPES: [DType; 4] = [DType::F64, DType::F32, DType::F16, DType::BF16];

/// Points with a known derivative: the operands, and the exact derivative.
type Points = Vec<(Vec<f64>, f64)>;

/// The points for each function and each index of an operand.
fn points() -> BTreeMap<(String, usize), Points> {
    let mut all: BTreeMap<(String, usize), Points> = BTreeMap::new();
    for line in include_str!("../../data/gradients.txt").lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let mut numbers: Vec<f64> = fields[2..].iter().map(|t| t.parse().expect("a number")).collect();
        let derivative = numbers.pop().expect("a derivative");
        all.entry((fields[0].into(), fields[1].parse().unwrap())).or_default().push((numbers, derivative));
    }
    all
}

/// The distance between neighbouring numbers of a type near `at`.
fn ulp(dtype: DType, at: f64) -> f64 {
    let digits = match dtype {
        DType::F64 => 52,
        DType::F32 => 23,
        DType::F16 => 10,
        _ => 7,
    };
    at.abs().max(1.0).log2().floor().exp2() * 0.5f64.powi(digits)
}

/// The largest error of a derivative on a device, in ULPs. Points where the type overflows are left out.
fn error(row: &testing::Row, by: usize, points: &Points, dtype: DType, d: &Device) -> f64 {
    let operand = |i: usize| -> Expr {
        let column: Vec<f64> = points.iter().map(|p| p.0[i]).collect();
        let n = column.len();
        Array::from_vec(column, [n]).unwrap().astype(dtype).to_device(d).unwrap().into()
    };
    let operands: Vec<Expr> = (0..row.arity()).map(operand).collect();
    let y = row.apply(&operands);
    let [dx] = grad(&y.sum(..), [&operands[by]]);
    assert_eq!(dx.dtype().unwrap(), dtype);
    let read = |e: &Expr| e.to_device(&Device::cpu()).unwrap().astype(DType::F64).to_vec::<f64>().unwrap();
    let most = if dtype == DType::F16 { 65504.0 } else { 3e38 };
    let results = read(&y).into_iter().zip(read(&dx)).zip(points);
    let counts = results.filter(|((y, _), (_, want))| y.is_finite() && want.abs() < most);
    let errors = counts.map(|((_, got), (_, want))| (got - want).abs() / ulp(dtype, *want));
    // a NaN counts as infinite, because `max` would ignore it
    errors.map(|e| if e.is_nan() { f64::INFINITY } else { e }).fold(0.0, f64::max)
}

#[test]
fn derivatives_are_within_their_bounds() {
    #[cfg(feature = "gpu")]
    let gpu = crate::kit::gpu(1);
    #[cfg(not(feature = "gpu"))]
    let gpu: Option<Device> = None;
    let devices: Vec<Device> = std::iter::once(Device::cpu()).chain(gpu).collect();
    let rows: BTreeMap<&str, testing::Row> = testing::rows().into_iter().map(|row| (row.name(), row)).collect();
    let bless = std::env::var_os("CUPRIC_BLESS").is_some_and(|v| v == "1");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/gradients.csv");
    let known = std::fs::read_to_string(path).unwrap_or_default();
    let bounds: BTreeMap<(&str, &str), Vec<&str>> = known
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect::<Vec<_>>())
        .map(|fields| ((fields[0], fields[1]), fields[2..].to_vec()))
        .collect();
    let (mut wrong, mut table) = (vec![], String::from("function,operand,f64,f32,f16,bf16\n"));
    let all = points();
    for ((name, by), points) in &all {
        let row = rows.get(&name[..]).unwrap_or_else(|| panic!("no row {name}"));
        assert_eq!(row.derivatives().unwrap()[*by], "formula", "{name}");
        let number = by.to_string();
        table += &format!("{name},{by}");
        for (i, dtype) in DTYPES.into_iter().enumerate() {
            let takes = |d: &&Device| has(d, dtype) && row.takes(dtype, d.is_gpu());
            let errors: Vec<f64> = devices.iter().filter(takes).map(|d| error(row, *by, points, dtype, d)).collect();
            let most = errors.iter().copied().fold(0.0, f64::max);
            let level = LEVELS.into_iter().find(|level| most <= *level);
            table += &format!(",{}", level.map_or("-".into(), |level| level.to_string()));
            let bound = bounds.get(&(&name[..], &number[..])).map_or("none", |list| list[i]);
            if !bound.parse::<f64>().is_ok_and(|bound| most <= bound) {
                wrong.push(format!("{name}, operand {by}, {dtype}: {errors:?} ULP, of {bound}"));
            }
        }
        table.push('\n');
    }
    // every derivative formula of a function of floats must have a bound
    let formulas = rows.values().filter(|row| row.takes(DType::F32, false) && row.result(DType::F32) == DType::F32);
    for row in formulas {
        for (by, kind) in row.derivatives().into_iter().flatten().enumerate() {
            let is_known = all.contains_key(&(row.name().to_string(), by)) || EXACT.contains(&row.name());
            if kind == "formula" && !is_known {
                wrong.push(format!("{}, operand {by}: no points", row.name()));
            }
        }
    }
    if bless {
        std::fs::write(path, table).unwrap();
    }
    let advice = "CUPRIC_BLESS=1 writes the bounds to tests/data/gradients.csv";
    assert!(wrong.is_empty() || bless, "{}\n{advice}", wrong.join("\n"));
}

/// Functions that select or copy an operand. Their derivatives are exact, and `rows.rs` compares them.
const EXACT: [&str; 12] = [
    "abs",
    "clip",
    "copysign",
    "fmax",
    "fmin",
    "hard_tanh",
    "maximum",
    "minimum",
    "negative",
    "positive",
    "relu",
    "select",
];
