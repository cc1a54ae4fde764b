//! The rows that ndarray runs, with its parallel `Zip` if the array is large enough to gain from threads.

use crate::{Error, Row, Run};
use half::f16;
use ndarray::{Array, Array1, Array2, Array3, Axis, Dimension, IxDyn, NewAxis, Zip, concatenate, s};

/// `Zip` uses threads from this number of elements on. Chosen by hand, in the peer's favour.
const PARALLEL: usize = 100_000;

/// Makes a repetition of a function that cannot fail.
fn repeat<T: 'static>(mut f: impl FnMut() -> T + 'static) -> Option<Run> {
    crate::repeat(move || Ok::<T, Error>(f()))
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

/// Returns the inputs as integers, also the inputs of bools.
fn integers(row: &Row) -> Result<[Array1<i32>; 2], Error> {
    let array = |i: usize| Array1::from(row.inputs[i.min(row.inputs.len() - 1)].integers());
    Ok([array(0), array(1)])
}

/// Returns rows of matrices and vectors other than plain products of two matrices.
fn products(row: &Row) -> Result<Option<Run>, Error> {
    let vector = |i| array::<ndarray::Ix1>(row, i);
    let matrix = |i| array::<ndarray::Ix2>(row, i);
    Ok(match &row.work[..] {
        "matvec" => {
            let (a, b) = (matrix(0)?, vector(1)?);
            repeat(move || a.dot(&b))
        }
        "vecmat" => {
            let (a, b) = (matrix(0)?, vector(1)?);
            repeat(move || b.dot(&a))
        }
        "linear" => {
            let (a, b) = (matrix(0)?, matrix(1)?);
            repeat(move || b.dot(&a.t()))
        }
        "matvec_t" => {
            let (a, b) = (matrix(0)?, vector(1)?);
            repeat(move || a.t().dot(&b))
        }
        "matmul" | "skinny" => {
            let (a, b) = (matrix(0)?, matrix(1)?);
            repeat(move || a.dot(&b))
        }
        // ndarray has no product of more than two axes
        "weight" if row.shape.len() == 3 => {
            let (a, b) = (matrix(0)?, matrix(1)?);
            repeat(move || a.dot(&b.t()))
        }
        "distances" => {
            let (a, b) = (matrix(0)?, matrix(1)?);
            repeat(move || {
                let d: Array3<f32> = &a.slice(s![.., NewAxis, ..]) - &b.slice(s![NewAxis, .., ..]);
                (&d * &d).sum_axis(Axis(2)).mapv_into(f32::sqrt)
            })
        }
        _ => None,
    })
}

/// Returns rows of copies in another layout, and of gathers.
fn layouts(row: &Row) -> Result<Option<Run>, Error> {
    let one = || array::<ndarray::Ix1>(row, 0);
    let matrix = || array::<ndarray::Ix2>(row, 0);
    let indices = || row.inputs.get(1).map(crate::Input::indices).ok_or("too few inputs");
    Ok(match &row.work[..] {
        "transpose" => matrix().map(|a| repeat(move || a.t().as_standard_layout().into_owned()))?,
        "strided" => matrix().map(|a| repeat(move || a.slice(s![..;2, ..;2]).to_owned()))?,
        "permute" => {
            let a: Array3<f32> = array(row, 0)?;
            repeat(move || a.view().permuted_axes([2, 0, 1]).as_standard_layout().into_owned())
        }
        "flip" => one().map(|a| repeat(move || a.slice(s![..;-1]).as_standard_layout().into_owned()))?,
        "take" => {
            let (a, i) = (matrix()?, indices()?);
            repeat(move || a.select(Axis(0), &i))
        }
        "take_columns" => {
            let (a, i) = (matrix()?, indices()?);
            repeat(move || a.select(Axis(1), &i))
        }
        "gather" => {
            let (a, i) = (one()?, indices()?);
            repeat(move || a.select(Axis(0), &i))
        }
        "concat" => {
            let (a, b) = (one()?, array::<ndarray::Ix1>(row, 1)?);
            repeat(move || concatenate![Axis(0), a, b])
        }
        "stencil" => {
            let a = matrix()?;
            repeat(move || {
                Zip::from(a.windows([3, 3])).par_map_collect(|w| {
                    let corners = w[[0, 0]] + w[[0, 2]] + w[[2, 0]] + w[[2, 2]];
                    let sides = w[[0, 1]] + w[[1, 0]] + w[[1, 2]] + w[[2, 1]];
                    0.0625 * corners + 0.125 * sides + 0.25 * w[[1, 1]]
                })
            })
        }
        _ => None,
    })
}

/// Returns rows of loops of small operations.
fn loops(row: &Row) -> Result<Option<Run>, Error> {
    let count = row.shape[0];
    Ok(match &row.work[..] {
        "loop" => {
            let (a, b) = (array::<ndarray::Ix1>(row, 0)?, array::<ndarray::Ix1>(row, 1)?);
            repeat(move || (0..count).fold(a.clone(), |y, i| if i % 2 == 0 { &y * 0.999 } else { &y + &b }))
        }
        "set_rows" => {
            let (mut a, b) = (array::<ndarray::Ix2>(row, 0)?, array::<ndarray::Ix1>(row, 1)?);
            repeat(move || (0..count).for_each(|i| a.row_mut(i).assign(&b)))
        }
        "slice_mut" => {
            let (mut a, b) = (array::<ndarray::Ix2>(row, 0)?, array::<ndarray::Ix1>(row, 1)?);
            repeat(move || (0..count).for_each(|i| a.row_mut(i).zip_mut_with(&b, |a, b| *a = *a * 0.5 + b)))
        }
        "grow" => {
            let [k, v] = [array::<ndarray::Ix2>(row, 0)?, array(row, 1)?];
            let q: Array1<f32> = array(row, 2)?;
            repeat(move || {
                let mut out = q.clone();
                for n in 1..=count {
                    let scores = k.slice(s![..n, ..]).dot(&q) * 0.125;
                    let greatest = scores.fold(f32::NEG_INFINITY, |a, b| a.max(*b));
                    let e = scores.mapv_into(|x| (x - greatest).exp());
                    out = (&e / e.sum()).dot(&v.slice(s![..n, ..]));
                }
                out
            })
        }
        _ => None,
    })
}

pub fn run(row: &Row) -> Result<Option<Run>, Error> {
    match (&row.work[..], &row.dtype[..]) {
        ("add", "i32") => {
            let [a, b] = integers(row)?;
            return Ok(repeat(move || Zip::from(&a).and(&b).par_map_collect(|a, b| a.wrapping_add(*b))));
        }
        ("sum", "i32") => {
            let [a, _] = integers(row)?;
            return Ok(repeat(move || a.sum()));
        }
        _ => {}
    }
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
        "sum_middle" => {
            let a: Array3<f32> = array(row, 0)?;
            repeat(move || a.sum_axis(Axis(1)))
        }
        "var_columns" => matrix().map(|a| repeat(move || a.var_axis(Axis(0), 0.0)))?,
        "select" => {
            let ((a, b), c) = (two()?, Array1::from(row.inputs.get(2).ok_or("too few inputs")?.truths()));
            repeat(move || Zip::from(&a).and(&b).and(&c).par_map_collect(|a, b, c| if *c { *a } else { *b }))
        }
        "upload" => {
            let host = row.inputs.first().ok_or("too few inputs")?.floats();
            repeat(move || Array1::from(host.clone()))
        }
        "download" => one().map(|a| repeat(move || a.to_vec()))?,
        _ => {
            let others = [layouts, products, loops];
            return others.into_iter().map(|rows| rows(row)).find(|r| !matches!(r, Ok(None))).unwrap_or(Ok(None));
        }
    })
}
