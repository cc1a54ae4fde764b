//! Loops of small operations, whose time is mostly the overhead of each operation and not its work.

use crate::work::{Fill, Work, work};
use cupric::{DType::*, s};

const WRITES: &[&[usize]] = &[&[1_000, 256]];
const PEERS: &str = "numpy torch jax cupy";

pub fn rows() -> Vec<Work> {
    let unit = Fill::Uniform(-1.0, 1.0);
    let row = |s: &[usize]| vec![s[1]];
    vec![
        work("loop", "1,000 small operations, one after another", F32, &[&[1_000, 100]])
            .with("a", F32, row, unit)
            .with("b", F32, row, unit)
            .unlimited()
            .program(|x, s, _| {
                let steps = s[0];
                Ok(Box::new(move || {
                    let mut y = x[0].clone();
                    for i in 0..steps {
                        y = if i % 2 == 0 { (&y * 0.999).eval()? } else { (&y + &x[1]).eval()? };
                    }
                    Ok(vec![y])
                }))
            })
            .python(PEERS, "make:programs.Loop(xp, jax, a, b, shape[0])"),
        work("set_rows", "x[i] = row, for each row", F32, WRITES)
            .takes("a")
            .with("b", F32, row, unit)
            .unlimited()
            .program(|mut x, s, _| {
                let (rows, b, mut a) = (s[0] as isize, x.remove(1), x.remove(0));
                Ok(Box::new(move || {
                    (0..rows).try_for_each(|i| a.set(s![i, ..], &b))?;
                    Ok(vec![a.clone()])
                }))
            })
            .python(PEERS, "make:programs.SetRows(jax, a, b)"),
        work("slice_mut", "x[i] = x[i] / 2 + row, for each row", F32, WRITES)
            .takes("a")
            .with("b", F32, row, unit)
            .unlimited()
            .program(|mut x, s, _| {
                let (rows, b, mut a) = (s[0] as isize, x.remove(1), x.remove(0));
                Ok(Box::new(move || {
                    (0..rows).try_for_each(|i| a.slice_mut(s![i, ..]).update(|row| row * 0.5 + &b))?;
                    Ok(vec![a.clone()])
                }))
            })
            .python(PEERS, "make:programs.UpdateRows(jax, a, b)"),
        work("grow", "attention over a sequence that grows by one", F32, &[&[512, 64]])
            .with("k", F32, |s| s.to_vec(), unit)
            .with("v", F32, |s| s.to_vec(), unit)
            .with("q", F32, row, unit)
            .unlimited()
            .program(|x, s, _| {
                let steps = s[0] as isize;
                Ok(Box::new(move || {
                    let mut out = vec![];
                    for n in 1..=steps {
                        let scores = x[0].slice(s![..n]).matmul(&x[2]) * 0.125;
                        out = vec![scores.softmax(-1).matmul(x[1].slice(s![..n])).eval()?];
                    }
                    Ok(out)
                }))
            })
            .python(PEERS, "make:programs.Grow(xp, jax, k, v, q)"),
    ]
}
