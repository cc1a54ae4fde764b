//! Scans, sorts, searches, masks, sets and counts.

use super::shared::{SQUARE, TEN_MILLION};
use crate::work::{Fill, Work, elements, work};
use cupric::{DType::*, Side, eval_many, searchsorted};

/// The number of largest elements that `topk` finds.
const K: usize = 100;
/// The length of the sorted array that is searched, and of the second array of `isin`.
const SORTED: usize = 1_000;
/// The number of different values in the array of `unique` and `bincount`.
const DISTINCT: i32 = 10_000;
const BINS: usize = 100;

pub fn rows() -> Vec<Work> {
    let mut rows = scans();
    rows.extend(sorts());
    rows.extend(searches());
    rows.extend(masks());
    rows
}

fn scans() -> Vec<Work> {
    let row = |name, text, shapes| work(name, text, F32, shapes).takes("a").moves(1, 1);
    vec![
        row("cumsum", "cumulative sum", TEN_MILLION)
            .flat()
            .run(|x| x[0].cumulative_sum(0))
            .python("numpy jax cupy mlx", "xp.cumsum(a)")
            .python("torch", "xp.cumsum(a, 0)"),
        row("cumsum_columns", "cumulative sum of columns", SQUARE)
            .run(|x| x[0].cumulative_sum(0))
            .python("numpy jax cupy mlx", "xp.cumsum(a, axis=0)")
            .python("torch", "xp.cumsum(a, 0)"),
    ]
}

fn sorts() -> Vec<Work> {
    let row = |name, text| work(name, text, F32, TEN_MILLION).flat().takes("a");
    vec![
        row("sort", "sort")
            .moves(1, 1)
            .run(|x| x[0].sort(0))
            .python("numpy jax cupy mlx", "xp.sort(a)")
            .python("torch", "xp.sort(a).values"),
        work("sort_rows", "sort of rows", F32, &[&[100_000, 100]])
            .takes("a")
            .moves(1, 1)
            .run(|x| x[0].sort(1))
            .python("numpy jax cupy mlx", "xp.sort(a, axis=1)")
            .python("torch", "xp.sort(a, 1).values"),
        row("argsort", "argsort")
            // the positions are i64
            .pass(1, |s| [4.0 * elements(s), 8.0 * elements(s)])
            .run(|x| x[0].argsort(0))
            .python("numpy torch jax cupy mlx", "xp.argsort(a)"),
        row("topk", "the 100 highest and their positions")
            .moves(1, 0)
            .program(|x, _, _| {
                Ok(Box::new(move || {
                    let (values, positions) = x[0].topk(K.min(x[0].size()), 0, true);
                    eval_many(&[values, positions])
                }))
            })
            .python("numpy", "i = xp.argpartition(a, -min(100, a.size))[-min(100, a.size):]\nreturn a[i], i")
            .python("torch", "xp.topk(a, min(100, len(a)))")
            .python("jax", "jax.lax.top_k(a, min(100, len(a)))"),
        row("median", "median").moves(1, 0).run(|x| x[0].median(0)).python("numpy torch jax cupy", "xp.median(a)"),
    ]
}

fn searches() -> Vec<Work> {
    let row = |name, text| work(name, text, F32, TEN_MILLION).flat().takes("a");
    let sorted = |w: Work| w.with("t", F32, |_| vec![SORTED], Fill::Ascending(-3.0, 3.0));
    vec![
        sorted(row("searchsorted", "searchsorted in 1,000"))
            .pass(1, |s| [4.0 * elements(s), 8.0 * elements(s)])
            .run(|x| searchsorted(&x[1], &x[0], Side::Left, None))
            .python("numpy jax cupy torch", "xp.searchsorted(t, a)"),
        work("isin", "isin of 1,000", I32, TEN_MILLION)
            .flat()
            .with("a", I32, |s| s.to_vec(), Fill::Below(100_000))
            .with("t", I32, |_| vec![SORTED], Fill::Below(100_000))
            .pass(1, |s| [4.0 * elements(s), elements(s)])
            .run(|x| x[0].isin(&x[1]))
            .python("numpy torch jax cupy", "xp.isin(a, t)"),
        row("histogram", "histogram of 100 bins")
            .moves(1, 0)
            .run(|x| x[0].histogram(BINS, Some((-3.0, 3.0))).0)
            .python("numpy jax cupy", "xp.histogram(a, 100, (-3.0, 3.0))[0]")
            .python("torch", "xp.histc(a, 100, -3.0, 3.0)"),
        work("bincount", "bincount", I32, TEN_MILLION)
            .flat()
            .with("a", I32, |s| s.to_vec(), Fill::Below(DISTINCT))
            .moves(1, 0)
            .run(|x| x[0].bincount(DISTINCT as usize))
            .python("numpy cupy", "xp.bincount(a, minlength=10000)")
            .python("torch", "xp.bincount(a, minlength=10000)")
            .python("jax", "xp.bincount(a, length=10000)"),
    ]
}

fn masks() -> Vec<Work> {
    let row = |name, text| work(name, text, F32, TEN_MILLION).flat().takes("a");
    let masked = |w: Work| w.with("m", Bool, |s| s.to_vec(), Fill::Below(2));
    vec![
        masked(row("compress", "elements where a mask is true (half)"))
            .pass(2, |s| [5.0 * elements(s), 2.0 * elements(s)])
            .program(|x, _, _| Ok(Box::new(move || Ok(vec![x[0].compress(&x[1])?]))))
            .python("numpy torch cupy", "a[m]")
            .python("jax", "nojit:a[m]"),
        masked(work("nonzero", "positions where a mask is true (half)", F32, TEN_MILLION).flat())
            .pass(1, |s| [elements(s), 4.0 * elements(s)])
            .program(|x, _, _| Ok(Box::new(move || Ok(vec![x[0].flatnonzero()?]))))
            .python("numpy cupy", "xp.flatnonzero(m)")
            .python("torch", "xp.nonzero(m)")
            .python("jax", "nojit:xp.flatnonzero(m)"),
        work("unique", "unique values (10,000)", I32, TEN_MILLION)
            .flat()
            .with("a", I32, |s| s.to_vec(), Fill::Below(DISTINCT))
            .moves(1, 0)
            .program(|x, _, _| Ok(Box::new(move || Ok(vec![x[0].unique_values()?]))))
            .python("numpy torch cupy", "xp.unique(a)")
            .python("jax", "nojit:xp.unique(a)"),
        row("put", "values at random positions")
            .with("i", I32, |s| s.to_vec(), Fill::Permutation)
            .with("v", F32, |s| s.to_vec(), Fill::Uniform(-3.0, 3.0))
            .pass(2, |s| [8.0 * elements(s), 4.0 * elements(s)])
            .run(|x| x[0].put(&x[1], &x[2]))
            .python("numpy cupy", "b = a.copy()\nb[i] = v\nreturn b")
            .python("torch", "a.index_put((i,), v)")
            .python("jax", "a.at[i].set(v)"),
    ]
}
