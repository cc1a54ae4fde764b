//! ndarray, with its parallel `Zip` where the array is large enough to gain by it.

use crate::{Error, Row, Run};
use half::f16;
use ndarray::{Array, Array1, Array2, Axis, Dimension, IxDyn, Zip, concatenate, s};
use std::hint::black_box;

/// The number of elements from which on `Zip` uses threads, in the peer's favour: a judgement.
const PARALLEL: usize = 100_000;

/// Makes a repetition of a function that holds its operands.
fn repeat<T: 'static>(mut f: impl FnMut() -> T + 'static) -> Option<Run> {
    Some(Box::new(move || drop(black_box(f()))))
}

fn map1<T: Send + Sync>(a: &Array1<f32>, f: impl Fn(f32) -> T + Send + Sync) -> Array1<T> {
    if a.len() < PARALLEL { Zip::from(a).map_collect(|a| f(*a)) } else { Zip::from(a).par_map_collect(|a| f(*a)) }
}

fn map2(a: &Array1<f32>, b: &Array1<f32>, f: impl Fn(f32, f32) -> f32 + Send + Sync) -> Array1<f32> {
    let zip = Zip::from(a).and(b);
    if a.len() < PARALLEL { zip.map_collect(|a, b| f(*a, *b)) } else { zip.par_map_collect(|a, b| f(*a, *b)) }
}

fn array<D: Dimension>(row: &Row, i: usize) -> Result<Array<f32, D>, Error> {
    let input = row.inputs.get(i).ok_or("too few inputs")?;
    Ok(Array::from_shape_vec(IxDyn(&input.shape), input.floats())?.into_dimensionality()?)
}

pub fn run(row: &Row) -> Result<Option<Run>, Error> {
    if row.work == "matmul" && row.dtype == "f64" {
        let (a, b): (Array2<f32>, Array2<f32>) = (array(row, 0)?, array(row, 1)?);
        let (a, b) = (a.mapv(f64::from), b.mapv(f64::from));
        return Ok(repeat(move || a.dot(&b)));
    }
    if row.dtype != "f32" {
        return Ok(None);
    }
    let one = || array::<ndarray::Ix1>(row, 0);
    let two = || Ok::<_, Error>((array::<ndarray::Ix1>(row, 0)?, array::<ndarray::Ix1>(row, 1)?));
    let matrix = || array::<ndarray::Ix2>(row, 0);
    Ok(match &row.work[..] {
        "add" | "add_small" => {
            let (a, b) = two()?;
            repeat(move || map2(&a, &b, |a, b| a + b))
        }
        "add_into" => {
            let ((a, b), mut o) = (two()?, array::<ndarray::Ix1>(row, 2)?);
            repeat(move || {
                let zip = Zip::from(&mut o).and(&a).and(&b);
                if a.len() < PARALLEL {
                    zip.for_each(|o, a, b| *o = a + b)
                } else {
                    zip.par_for_each(|o, a, b| *o = a + b)
                }
            })
        }
        "scale" => one().map(|a| repeat(move || map1(&a, |a| a * 2.5 + 1.2)))?,
        "hypot" => {
            let (a, b) = two()?;
            repeat(move || map2(&a, &b, |a, b| (a * a + b * b).sqrt()))
        }
        "exp" => one().map(|a| repeat(move || map1(&a, f32::exp)))?,
        "log" => one().map(|a| repeat(move || map1(&a, f32::ln)))?,
        "sin" => one().map(|a| repeat(move || map1(&a, f32::sin)))?,
        "tanh" => one().map(|a| repeat(move || map1(&a, f32::tanh)))?,
        "cast" => one().map(|a| repeat(move || map1(&a, f16::from_f32)))?,
        "chain" => {
            let twenty = |a: f32| (0..5).fold(a, |x, _| (x * 0.9 - 0.3).abs() + 0.1);
            one().map(|a| repeat(move || map1(&a, twenty)))?
        }
        "sum" => one().map(|a| repeat(move || a.sum()))?,
        "dot" => {
            let (a, b) = two()?;
            repeat(move || a.dot(&b))
        }
        "sum_rows" => matrix().map(|a| repeat(move || a.sum_axis(Axis(1))))?,
        "sum_columns" => matrix().map(|a| repeat(move || a.sum_axis(Axis(0))))?,
        "sum_all" => matrix().map(|a| repeat(move || a.sum()))?,
        "standardize" => {
            let a = matrix()?;
            repeat(move || Some((&a - &a.mean_axis(Axis(0))?) / a.std_axis(Axis(0), 0.0)))
        }
        "transpose" => matrix().map(|a| repeat(move || a.t().as_standard_layout().into_owned()))?,
        "strided" => matrix().map(|a| repeat(move || a.slice(s![..;2, ..;2]).to_owned()))?,
        "take" => {
            let (a, i) = (matrix()?, row.inputs.get(1).ok_or("too few inputs")?.indices());
            repeat(move || a.select(Axis(0), &i))
        }
        "concat" => {
            let (a, b) = two()?;
            repeat(move || concatenate![Axis(0), a, b])
        }
        "matmul" => {
            let (a, b) = (matrix()?, array::<ndarray::Ix2>(row, 1)?);
            repeat(move || a.dot(&b))
        }
        _ => None,
    })
}
