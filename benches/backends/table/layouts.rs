//! Rows of copies in another layout, gathers and windows.

use super::shared::{ARRAYS, SQUARE, TEN_MILLION};
use crate::work::{Fill, Work, elements, work};
use cupric::{DType::*, Pad, arange, concat, s};

/// The number of weights of a blur along rows.
const TAPS: usize = 13;

pub fn rows() -> Vec<Work> {
    let mut rows = copies();
    rows.extend(moves());
    rows.extend(gathers());
    rows.extend(windows());
    rows
}

fn copies() -> Vec<Work> {
    vec![
        work("transpose", "transposed copy", F32, SQUARE)
            .takes("a")
            .moves(1, 1)
            .program(|x, _, _| {
                // the transpose is written to an array, because the view alone would cost nothing
                let shape = [x[0].shape()[1], x[0].shape()[0]];
                let mut o = cupric::empty(shape, F32).to_device(&x[0].device())?;
                Ok(Box::new(move || {
                    o.assign(x[0].t())?;
                    Ok(vec![o.clone()])
                }))
            })
            .python("numpy cupy", "xp.ascontiguousarray(a.T)")
            .python("torch", "a.t().contiguous()")
            .python("jax", "a.T")
            .python("mlx", "xp.contiguous(a.T)"),
        work("strided", "x[::2, ::2] copy", F32, SQUARE)
            .takes("a")
            // all cache lines of every second row are read, and a quarter of the elements is written
            .moves_elements(|s| [0.5 * elements(s), 0.25 * elements(s)])
            .program(|x, s, _| {
                let half = [s[0].div_ceil(2), s[1].div_ceil(2)];
                let mut o = cupric::empty(half, F32).to_device(&x[0].device())?;
                Ok(Box::new(move || {
                    o.assign(x[0].slice(s![..;2, ..;2]))?;
                    Ok(vec![o.clone()])
                }))
            })
            .python("numpy cupy", "a[::2, ::2].copy()")
            .python("torch", "a[::2, ::2].contiguous()")
            .python("jax", "a[::2, ::2]")
            .python("mlx", "xp.contiguous(a[::2, ::2])"),
        work("strided_scale", "x[:, ::2] * 2", F32, &[&[1_000, 20_000]])
            .takes("a")
            .moves_elements(|s| [elements(s), 0.5 * elements(s)])
            .run(|x| x[0].slice(s![.., ..;2]) * 2.0)
            .python(ARRAYS, "a[:, ::2] * F(2)"),
        work("take", "take rows", F32, &[&[100_000, 64]])
            .takes("a")
            .with("i", I32, |s| vec![s[0]], Fill::Permutation)
            .moves_elements(|s| [elements(s) + s[0] as f64, elements(s)])
            .run(|x| x[0].take(&x[1], 0))
            .python("numpy jax cupy mlx", "xp.take(a, i, axis=0)")
            .python("torch", "xp.index_select(a, 0, i)"),
        work("concat", "concat", F32, TEN_MILLION)
            .flat()
            .with("a", F32, |s| vec![s[0] / 2], Fill::Uniform(-3.0, 3.0))
            .with("b", F32, |s| vec![s[0] - s[0] / 2], Fill::Uniform(-3.0, 3.0))
            .moves(1, 1)
            .run(|x| concat([&x[0], &x[1]], 0))
            .python(ARRAYS, "xp.concatenate((a, b))"),
    ]
}

fn moves() -> Vec<Work> {
    vec![
        work("roll", "roll", F32, TEN_MILLION)
            .flat()
            .takes("a")
            .moves(1, 1)
            .run(|x| x[0].roll(1, 0))
            .python("numpy jax cupy mlx", "xp.roll(a, 1)")
            .python("torch", "xp.roll(a, 1, 0)"),
        work("roll_add", "roll + x", F32, TEN_MILLION)
            .flat()
            .takes("a")
            .moves(1, 1)
            .run(|x| x[0].roll(1, 0) + &x[0])
            .python("numpy jax cupy mlx", "xp.roll(a, 1) + a")
            .python("torch", "xp.roll(a, 1, 0) + a"),
        work("repeat", "each element twice", F32, TEN_MILLION)
            .flat()
            .with("a", F32, |s| vec![s[0] / 2], Fill::Uniform(-3.0, 3.0))
            .moves_elements(|s| [0.5 * elements(s), elements(s)])
            .run(|x| x[0].repeat(2, 0))
            .python("numpy jax cupy mlx", "xp.repeat(a, 2)")
            .python("torch", "xp.repeat_interleave(a, 2)"),
        work("tile", "the array ten times", F32, TEN_MILLION)
            .flat()
            .with("a", F32, |s| vec![s[0] / 10], Fill::Uniform(-3.0, 3.0))
            .moves_elements(|s| [0.1 * elements(s), elements(s)])
            .run(|x| x[0].tile(10))
            .python("numpy jax cupy mlx", "xp.tile(a, 10)")
            .python("torch", "xp.tile(a, (10,))"),
        work("pad", "pad by 8 with the edge", F32, &[&[3_000, 3_000]])
            .takes("a")
            .moves(1, 1)
            .run(|x| x[0].pad(8, Pad::Edge))
            .python("numpy jax cupy mlx", "xp.pad(a, 8, mode='edge')")
            .python("torch", "xp.nn.functional.pad(a[None], (8, 8, 8, 8), mode='replicate')[0]"),
    ]
}

fn gathers() -> Vec<Work> {
    const MILLION: &[&[usize]] = &[&[1_000_000]];
    let permutation = Fill::Permutation;
    vec![
        work("permute", "axes 2, 0, 1 copy", F32, &[&[100, 300, 400]])
            .takes("a")
            .moves(1, 1)
            .program(|x, s, _| {
                let mut o = cupric::empty([s[2], s[0], s[1]], F32).to_device(&x[0].device())?;
                Ok(Box::new(move || {
                    o.assign(x[0].permute_dims([2, 0, 1]))?;
                    Ok(vec![o.clone()])
                }))
            })
            .python("numpy cupy", "xp.ascontiguousarray(a.transpose(2, 0, 1))")
            .python("torch", "a.permute(2, 0, 1).contiguous()")
            .python("jax", "a.transpose(2, 0, 1)")
            .python("mlx", "xp.contiguous(a.transpose(2, 0, 1))"),
        work("gather", "gather", F32, MILLION)
            .flat()
            .takes("a")
            .with("i", I32, |s| s.to_vec(), permutation)
            .moves(2, 1)
            .run(|x| x[0].take(&x[1], 0))
            .python("numpy jax cupy mlx", "xp.take(a, i)")
            .python("torch", "xp.index_select(a, 0, i)"),
        work("take_columns", "take columns", F32, &[&[1_000, 1_000]])
            .takes("a")
            .with("i", I32, |s| vec![s[1]], permutation)
            .moves(1, 1)
            .run(|x| x[0].take(&x[1], 1))
            .python("numpy jax cupy mlx", "xp.take(a, i, axis=1)")
            .python("torch", "xp.index_select(a, 1, i)"),
        work("take_descending", "take by a descending range", F32, MILLION)
            .flat()
            .takes("a")
            .moves(1, 1)
            .run(|x| {
                let n = x[0].size() as i32;
                x[0].take(arange(n - 1, -1, -1, I32), 0)
            })
            .python("numpy jax cupy mlx", "xp.take(a, xp.arange(a.shape[0] - 1, -1, -1))")
            .python("torch", "xp.index_select(a, 0, xp.arange(a.shape[0] - 1, -1, -1, device=device))"),
        work("flip", "flip", F32, MILLION)
            .flat()
            .takes("a")
            .moves(1, 1)
            .program(|x, s, _| {
                let mut o = cupric::empty(s, F32).to_device(&x[0].device())?;
                Ok(Box::new(move || {
                    o.assign(x[0].flip(0))?;
                    Ok(vec![o.clone()])
                }))
            })
            .python("numpy cupy", "a[::-1].copy()")
            .python("torch", "a.flip(0)")
            .python("jax mlx", "a[::-1]"),
    ]
}

/// Returns rows of weighted sums over windows, computed as a product and as a sum.
fn windows() -> Vec<Work> {
    let row = |name, text| {
        work(name, text, F32, &[&[1_024, 1_024]])
            .takes("a")
            .with("k", F32, |_| vec![TAPS], Fill::Uniform(0.0, 1.0))
            .moves(1, 1)
            .operations(|s| 2.0 * TAPS as f64 * elements(s))
    };
    vec![
        row("windows", "windows of 13 @ k")
            .run(|x| x[0].sliding_windows(TAPS, 1).matmul(&x[1]))
            .python("numpy cupy", "xp.lib.stride_tricks.sliding_window_view(a, 13, axis=1) @ k")
            .python("torch", "a.unfold(1, 13, 1) @ k")
            .python("jax", "jax.vmap(lambda row: xp.convolve(row, k[::-1], mode='valid'))(a)"),
        row("windows_sum", "sum of windows of 13 times k")
            .run(|x| (x[0].sliding_windows(TAPS, 1) * &*x[1]).sum(-1))
            .python("numpy cupy", "(xp.lib.stride_tricks.sliding_window_view(a, 13, axis=1) * k).sum(-1)")
            .python("torch", "(a.unfold(1, 13, 1) * k).sum(-1)")
            .python("jax", "jax.vmap(lambda row: xp.convolve(row, k[::-1], mode='valid'))(a)"),
    ]
}
