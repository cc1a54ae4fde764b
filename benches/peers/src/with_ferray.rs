//! The rows that ferray runs. Its functions take only whole arrays, so rows on views first copy the views.

use crate::{Error, Input, Row, Run, repeat};
use ferray::linalg::{dot, matmul, matvec, vecmat};
use ferray::{Axis, Element, FerrayResult, IxDyn, divide_broadcast, flip, random, sqrt, square};
use ferray::{subtract_broadcast, take, transpose};

type Array<T> = ferray::Array<T, IxDyn>;
/// The function of a row that is one expression of its inputs.
type Expression<T> = fn(&[Array<T>]) -> FerrayResult<Array<T>>;

fn array<T: Element>(shape: &[usize], data: Vec<T>) -> FerrayResult<Array<T>> {
    Array::from_vec(IxDyn::new(shape), data)
}

fn all<T: Element>(row: &Row, data: fn(&Input) -> Vec<T>) -> FerrayResult<Vec<Array<T>>> {
    row.inputs.iter().filter(|i| i.dtype == row.dtype).map(|i| array(&i.shape, data(i))).collect()
}

fn elementwise(work: &str) -> Option<Expression<f32>> {
    Some(match work {
        "add" | "add_small" => |x| ferray::add(&x[0], &x[1]),
        // ferray's operations with a number are slow, because they go element by element; a closure is far faster
        "scale" => |x| Ok(x[0].mapv(|x| x * 2.5 + 1.2)),
        "hypot" => |x| sqrt(&ferray::add(&square(&x[0])?, &square(&x[1])?)?),
        "exp" => |x| ferray::exp(&x[0]),
        "log" => |x| ferray::log(&x[0]),
        "sin" => |x| ferray::sin(&x[0]),
        "tanh" => |x| ferray::tanh(&x[0]),
        "chain" => |x| Ok(x[0].mapv(|x| (0..5).fold(x, |x, _| (x * 0.9 - 0.3).abs() + 0.1))),
        _ => return None,
    })
}

fn reduction(work: &str) -> Option<Expression<f32>> {
    Some(match work {
        "sum" | "sum_all" => |x| ferray::sum(&x[0], None),
        "max" => |x| ferray::max(&x[0], None),
        "dot" => |x| dot(&x[0], &x[1]),
        "sum_rows" | "sum_middle" => |x| ferray::sum(&x[0], Some(1)),
        "sum_columns" => |x| ferray::sum(&x[0], Some(0)),
        "var_columns" => |x| ferray::var(&x[0], Some(0), 0),
        "standardize" => |x| {
            let d = subtract_broadcast(&x[0], &ferray::mean(&x[0], Some(0))?)?;
            divide_broadcast(&d, &ferray::std_(&x[0], Some(0), 0)?)
        },
        "softmax" => |x| {
            let column = [x[0].shape()[0], 1];
            let greatest = ferray::reshape(&ferray::max(&x[0], Some(1))?, &column)?;
            let e = ferray::exp(&subtract_broadcast(&x[0], &greatest)?)?;
            divide_broadcast(&e, &ferray::reshape(&ferray::sum(&e, Some(1))?, &column)?)
        },
        "layer_norm" => |x| {
            let column = [x[0].shape()[0], 1];
            let mean = ferray::reshape(&ferray::mean(&x[0], Some(1))?, &column)?;
            let root = ferray::var(&x[0], Some(1), 0)?.mapv(|v| (v + 1e-5).sqrt());
            divide_broadcast(&subtract_broadcast(&x[0], &mean)?, &ferray::reshape(&root, &column)?)
        },
        "distances" => |x| {
            let n = x[0].shape()[0];
            let [a, b] = [ferray::reshape(&x[0], &[n, 1, 3])?, ferray::reshape(&x[1], &[1, n, 3])?];
            sqrt(&ferray::sum(&square(&subtract_broadcast(&a, &b)?)?, Some(2))?)
        },
        _ => return None,
    })
}

fn layout_or_product(work: &str) -> Option<Expression<f32>> {
    Some(match work {
        "transpose" => |x| transpose(&x[0], None),
        "permute" => |x| transpose(&x[0], Some(&[2, 0, 1])),
        "flip" => |x| flip(&x[0], 0),
        "take_descending" => |x| take(&x[0], &(0..x[0].size() as isize).rev().collect::<Vec<_>>(), Axis(0)),
        "concat" => |x| ferray::concatenate(x, 0),
        "matmul" | "matmul_batched" | "skinny" => |x| matmul(&x[0], &x[1]),
        "matvec" => |x| matvec(&x[0], &x[1]),
        "vecmat" => |x| vecmat(&x[1], &x[0]),
        "matvec_t" => |x| matvec(&transpose(&x[0], None)?, &x[1]),
        "weight" => |x| matmul(&x[0], &transpose(&x[1], None)?),
        _ => return None,
    })
}

/// Returns rows whose inputs or results are not all f32.
fn mixed(row: &Row) -> Result<Option<Run>, Error> {
    let indices = || -> Result<Vec<isize>, Error> {
        let input = row.inputs.get(1).ok_or("too few inputs")?;
        Ok(input.indices().into_iter().map(|i| i as isize).collect())
    };
    let floats = || all(row, Input::floats);
    let axis = usize::from(row.work == "take_columns");
    Ok(match (&row.work[..], &row.dtype[..]) {
        ("matmul", "f64") => {
            let x = all(row, |i| i.floats().into_iter().map(f64::from).collect())?;
            repeat(move || matmul(&x[0], &x[1]))
        }
        ("add", "i32") => {
            let x = all(row, Input::integers)?;
            repeat(move || ferray::add(&x[0], &x[1]))
        }
        ("sum", "i32") => {
            let x = all(row, Input::integers)?;
            repeat(move || ferray::sum(&x[0], None))
        }
        ("and", "bool") => {
            let x = all(row, Input::truths)?;
            repeat(move || ferray::logical_and(&x[0], &x[1]))
        }
        ("count_columns", "bool") => {
            let x = all(row, Input::truths)?;
            repeat(move || ferray::count_nonzero(&x[0], Some(0)))
        }
        ("select", "f32") => {
            let (x, c) = (floats()?, row.inputs.get(2).ok_or("too few inputs")?);
            let c = array(&c.shape, c.truths())?;
            repeat(move || ferray::where_(&c, &x[0], &x[1]))
        }
        ("argmax", "f32") => {
            let x = floats()?;
            repeat(move || ferray::argmax(&x[0], None))
        }
        ("argmax_rows", "f32") => {
            let x = floats()?;
            repeat(move || ferray::argmax(&x[0], Some(1)))
        }
        ("take" | "gather" | "take_columns", "f32") => {
            let (x, i) = (floats()?, indices()?);
            repeat(move || take(&x[0], &i, Axis(axis)))
        }
        ("normal", "f32") => {
            let (shape, mut rng) = (row.shape.clone(), random::default_rng_seeded(1));
            repeat(move || rng.standard_normal_f32(shape.clone()))
        }
        ("loop", "f32") => {
            let (x, count) = (floats()?, row.shape[0]);
            let step =
                move |y: Array<f32>, i| if i % 2 == 0 { Ok(y.mapv(|y| y * 0.999)) } else { ferray::add(&y, &x[1]) };
            let first = floats()?.swap_remove(0);
            repeat(move || (0..count).try_fold(first.clone(), &step))
        }
        _ => None,
    })
}

pub fn run(row: &Row) -> Result<Option<Run>, Error> {
    if let Some(run) = mixed(row)? {
        return Ok(Some(run));
    }
    let expression = [elementwise, reduction, layout_or_product].into_iter().find_map(|rows| rows(&row.work));
    let Some(f) = expression.filter(|_| row.dtype == "f32") else { return Ok(None) };
    let x = all(row, Input::floats)?;
    Ok(repeat(move || f(&x)))
}
