//! Reductions that users write in WGSL.

use super::wgsl::{Result, normal, same_bits};
use crate::kit::*;
use cupric::*;

on_devices! {
    fn reductions(d: &Device) {
        reduce(d).expect("reductions");
    }
    fn reductions_of_nothing_of_several_axes_and_of_dtypes(d: &Device) {
        reduce_more(d).expect("reductions");
    }
}

pub const LOGSUMEXP: Reduction<'_> = Reduction {
    state: "most: T = lowest, sum: T = 0",
    map: "most = x; sum = 1;",
    combine: "let far = exp(-abs(a.most - b.most));
              most = max(a.most, b.most);
              if a.most > b.most { sum = a.sum + b.sum * far; }
              else if a.most < b.most { sum = a.sum * far + b.sum; }
              else { sum = a.sum + b.sum; }",
    finish: "y = most + log(sum);",
};

fn reduce(d: &Device) -> Result {
    let logsumexp = ReductionKernel::new("x: T", "y: T", LOGSUMEXP, "logsumexp")?;
    for shape in [[1, 1], [3, 5], [70, 300], [4, 20_000], [20_000, 4]] {
        let x = normal(d, shape, 3)? * 10.0;
        for axis in [0, 1] {
            let got = logsumexp.call((&x,), axis).eval()?;
            let wanted = x.logsumexp(axis).eval()?;
            let error = ((&got - &wanted).abs() / (wanted.abs() + 1.0)).max(..).item::<f32>()?;
            assert!(error < 3e-6, "{shape:?} axis {axis}: {error}");
        }
    }
    let x = normal(d, [64, 100], 3)?;
    let fused = (logsumexp.call((&x.exp(),), keep(-1)) * 2.0).plan()?;
    assert_eq!(fused.kernels(), 1, "{fused}");
    assert!(fused.to_string().contains("logsumexp"), "{fused}");
    // a `combine` with a single known function becomes the library's own reduction
    let most = Reduction { state: "s: T = lowest", map: "s = x;", combine: "s = max(b.s, a.s);", finish: "y = 2 * s;" };
    let most = ReductionKernel::new("x: T", "y: T", most, "twice_most")?;
    same_bits(&most.call((&x,), 0), &(x.max(0) * 2.0))?;
    let shown = most.call((&x,), 0).plan()?.to_string();
    assert!(shown.contains("max") && most.call((&x,), 0).plan()?.kernels() == 1, "{shown}");
    assert_eq!(most.check((&x,), 0, d)?.different, 0);
    let agreement = logsumexp.check((&x,), 1, d)?;
    assert!(agreement.elements == 64 && agreement.most_ulps < 20.0, "{agreement}");
    // two inputs and one result
    let dot = ReductionKernel::new(
        "x: f32, y: f32",
        "z: f64",
        Reduction {
            state: "sum: f32 = 0",
            map: "sum = x * y;",
            combine: "sum = a.sum + b.sum;",
            finish: "z = f64(sum);",
        },
        "dot",
    );
    if d.supports(DType::F64) {
        let z = dot?.call((&x, &x), ..).eval()?;
        let wanted = x.square().sum(..).item::<f32>()?;
        assert_eq!(z.dtype(), DType::F64);
        assert!((z.item::<f64>()? - wanted as f64).abs() < 1e-3 * wanted as f64);
    }
    // a count with an integer state
    let count = ReductionKernel::new(
        "x: f32, limit: f32",
        "n: i32",
        Reduction {
            state: "n_: u32 = 0",
            map: "if x > limit { n_ = 1u; }",
            combine: "n_ = a.n_ + b.n_;",
            finish: "n = i32(n_);",
        },
        "count_above",
    )?;
    let wanted = x.greater(0.5).astype(DType::I32).sum(0).to_vec_as::<i32>()?;
    assert_eq!(count.call((&x, 0.5), 0).to_vec::<i32>()?, wanted);
    Ok(())
}

fn reduce_more(d: &Device) -> Result {
    let logsumexp = ReductionKernel::new("x: T", "y: T", LOGSUMEXP, "logsumexp")?;
    let norm = ReductionKernel::new(
        "x: T",
        "y: T",
        Reduction {
            state: "sum: T = 0",
            map: "sum = x * x;",
            combine: "sum = a.sum + b.sum;",
            finish: "y = sqrt(sum);",
        },
        "norm",
    )?;
    let range = ReductionKernel::new(
        "x: T",
        "y: T",
        Reduction {
            state: "low: T = highest, high: T = lowest",
            map: "low = x; high = x;",
            combine: "low = min(a.low, b.low); high = max(a.high, b.high);",
            finish: "y = high - low;",
        },
        "range",
    )?;
    let x = cupric::zeros([3, 0, 2], DType::F32).to_device(d)?;
    assert_eq!(norm.call((&x,), 1).to_vec::<f32>()?, [0.0; 6]);
    assert_eq!(logsumexp.call((&x,), keep(1)).eval()?.shape(), [3, 1, 2]);
    assert!(logsumexp.call((&x,), 1).to_vec::<f32>()?.iter().all(|y| *y == f32::NEG_INFINITY));
    assert_eq!(norm.call((&x,), 0).eval()?.shape(), [0, 2]);
    let x = normal(d, [5, 6, 7], 9)?;
    for axes in [vec![0, 1], vec![0, 2], vec![1, 2], vec![0, 1, 2]] {
        let got = range.call((&x,), &axes).to_vec::<f32>()?;
        assert_eq!(got, (x.max(&axes) - x.min(&axes)).to_vec::<f32>()?);
        let got = norm.call((x.permute_dims([2, 0, 1]),), &axes).eval()?;
        let wanted = x.permute_dims([2, 0, 1]).square().sum(&axes).sqrt();
        assert!(got.allclose(&wanted, 1e-6, 1e-6, false).item::<bool>()?);
    }
    assert_eq!(norm.call((array![3., -4.].to_device(d)?,), [] as [isize; 0]).to_vec::<f32>()?, [3., 4.]);
    for dtype in [
        DType::U8,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::U32,
        DType::I64,
        DType::U64,
        DType::F16,
        DType::BF16,
        DType::F64,
    ] {
        if d.supports(dtype) {
            let x = array![[7, 1, 4], [0, 100, 27]].astype(dtype).to_device(d)?;
            let y = range.call((&x,), 1).eval()?;
            assert_eq!((y.dtype(), y.to_vec_as::<i32>()?), (dtype, vec![6, 100]), "{dtype}");
        }
    }
    let e = norm.call((array![1, 2].to_device(d)?,), 0).eval().expect_err("a root of integers");
    assert!(e.to_string().contains("norm: with T = i32: finish, line 1, column"), "{e}");
    let e = norm.call((&x,), 3).eval().expect_err("an axis too many");
    assert!(e.kind() == ErrorKind::Axis && e.to_string().starts_with("norm:"), "{e}");
    Ok(())
}
