//! Decompositions by faer, and Fourier transforms by rustfft. faer takes one matrix at a time, and chooses its threads.

use crate::{Error, Row, Run};
use faer::{Mat, Side};
use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

/// Makes a repetition that handles all matrices, one after another.
fn each<T: 'static>(count: usize, mut f: impl FnMut(usize) -> Result<T, Error> + 'static) -> Option<Run> {
    crate::repeat(move || (0..count).map(&mut f).collect::<Result<Vec<T>, Error>>())
}

/// Returns the matrices of an input.
fn matrices(row: &Row, i: usize) -> Result<Vec<Mat<f32>>, Error> {
    let input = row.inputs.get(i).ok_or("too few inputs")?;
    let [.., m, n] = input.shape[..] else { return Err("no matrix".into()) };
    let numbers = input.floats();
    Ok(numbers.chunks(m * n).map(|x| Mat::from_fn(m, n, |i, j| x[i * n + j])).collect())
}

pub fn run(row: &Row) -> Result<Option<Run>, Error> {
    if row.dtype != "f32" || !["solve", "cholesky", "qr", "eigh", "svd", "eig"].contains(&&row.work[..]) {
        return Ok(None);
    }
    let a = matrices(row, 0)?;
    let count = a.len();
    Ok(match &row.work[..] {
        "solve" => {
            use faer::linalg::solvers::Solve;
            let b = matrices(row, 1)?;
            each(count, move |i| Ok(a[i].partial_piv_lu().solve(&b[i])))
        }
        "cholesky" => each(count, move |i| {
            let n = a[i].nrows();
            let scale = 0.5 / n as f32;
            let x = Mat::from_fn(n, n, |r, c| a[i][(r, c)] * scale + if r == c { 1.0 } else { 0.0 });
            x.llt(Side::Lower).map_err(|e| format!("{e:?}").into())
        }),
        "qr" => each(count, move |i| {
            let qr = a[i].qr();
            Ok((qr.compute_thin_Q(), qr.thin_R().to_owned()))
        }),
        "eigh" => each(count, move |i| a[i].self_adjoint_eigen(Side::Lower).map_err(|e| format!("{e:?}").into())),
        "eig" => each(count, move |i| a[i].eigen().map_err(|e| format!("{e:?}").into())),
        _ => each(count, move |i| a[i].thin_svd().map_err(|e| format!("{e:?}").into())),
    })
}

/// Returns the row of Fourier transforms, which are computed in place in a copy of the signals.
pub fn transform(row: &Row) -> Result<Option<Run>, Error> {
    if row.work != "fft" {
        return Ok(None);
    }
    let n = *row.shape.last().ok_or("no axis")?;
    let (re, im) = (row.inputs[0].floats(), row.inputs[1].floats());
    let signals: Vec<Complex<f32>> = re.into_iter().zip(im).map(|(re, im)| Complex { re, im }).collect();
    let plan = FftPlanner::new().plan_fft_forward(n);
    let mut scratch = vec![Complex::default(); plan.get_inplace_scratch_len()];
    Ok(crate::repeat(move || {
        let mut out = signals.clone();
        plan.process_with_scratch(&mut out, &mut scratch);
        Ok::<_, Error>(out)
    }))
}
