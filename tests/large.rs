//! Arrays around the limits of a device: bindings, grids, rows, reductions that are split.

mod support;

use cupric::testing::shrunk_cpu;
use cupric::{Array, DType, Device, ErrorKind, Expr, Result, Rng, arange, ones, s};

/// Devices with tight limits: a CPU, and a GPU with bindings of 64 KiB and 4 groups a dimension.
fn tight() -> Result<Vec<Device>> {
    let gpu: Option<Device> = match support::gpu(3) {
        #[cfg(feature = "gpu")]
        Some(_) => Some(cupric::testing::shrunk_gpu(64 << 10, 4)?),
        _ => None,
    };
    Ok([shrunk_cpu()?].into_iter().chain(gpu).collect())
}

/// Whether an expression gives the same numbers on the CPU and on a device, within `relative`.
fn agrees(name: &str, device: &Device, x: &Array, relative: f64, f: impl Fn(&Expr) -> Expr) -> Result<()> {
    let there = x.to_device(device)?;
    let expected = f(x).astype(DType::F64).to_vec::<f64>()?;
    let got = f(&there).eval()?.to_device(&Device::cpu())?.astype(DType::F64).to_vec::<f64>()?;
    assert_eq!(expected.len(), got.len(), "{name} on {device}");
    for (i, (e, g)) in expected.iter().zip(&got).enumerate() {
        let near = (e - g).abs() <= relative * e.abs().max(1.0) || e.is_nan() && g.is_nan();
        assert!(near, "{name} on {device}: element {i} is {g}, not {e}");
    }
    Ok(())
}

#[test]
fn sizes_around_a_tight_binding() -> Result<()> {
    for device in tight()? {
        // 64 KiB hold 16,384 f32, less the room for alignment
        for n in [16_000usize, 16_255, 16_256, 16_257, 16_383, 16_384, 16_385, 50_001] {
            let x = Rng::new(n as u64).normal([n]).eval()?;
            agrees("chain", &device, &x, 1e-6, |x| x * 2.5 + 1.2)?;
            agrees("sum", &device, &x, 1e-4, |x| x.sum(..))?;
            agrees("variance", &device, &x, 1e-4, |x| x.var(..))?;
            agrees("argmax", &device, &x, 0.0, |x| x.argmax(..))?;
            agrees("argmin", &device, &x, 0.0, |x| (x * 3.0).argmin(..))?;
            agrees("reversed", &device, &x, 0.0, |x| x.slice(s![..;-1]))?;
            agrees("bytes", &device, &x, 0.0, |x| x.greater(0.0).astype(DType::U8) + 1)?;
            agrees("halves", &device, &x, 0.0, |x| x.astype(DType::F16))?;
        }
        for shape in [[3usize, 20_001], [20_001, 3], [150, 301]] {
            let x = Rng::new(7).normal(shape).eval()?;
            agrees("transposed copy", &device, &x, 0.0, |x| x.t())?;
            agrees("rows", &device, &x, 1e-4, |x| x.sum(1))?;
            agrees("columns", &device, &x, 1e-4, |x| x.mean(0))?;
            agrees("softmax", &device, &x, 1e-5, |x| x.softmax(-1))?;
            agrees("norm", &device, &x, 1e-3, |x| x.layer_norm(-1, 1e-5))?;
            agrees("positions of rows", &device, &x, 0.0, |x| x.argmax(1))?;
            agrees("positions of columns", &device, &x, 0.0, |x| x.argmin(0))?;
            agrees("count", &device, &x, 0.0, |x| x.less(0.5).count_nonzero(..))?;
        }
    }
    Ok(())
}

#[test]
fn what_cannot_fit_is_an_error() -> Result<()> {
    #[cfg(feature = "gpu")]
    if support::gpu(3).is_some() {
        let device = cupric::testing::shrunk_gpu(64 << 10, 4)?;
        let x = ones([2, 20_000], DType::F32).to_device(&device)?;
        let e = x.matmul(x.t()).eval().expect_err("a row of a product does not fit a binding");
        assert_eq!(e.kind(), ErrorKind::LimitExceeded, "{e}");
        let positions = arange(0, 5, 1).to_device(&device)?;
        let e = x.take(&positions, 1).eval().expect_err("nor does the source of take");
        assert_eq!(e.kind(), ErrorKind::LimitExceeded, "{e}");
    }
    let limited = Device::cpu().with_memory_limit(1 << 20)?;
    let e = ones([1 << 20], DType::F32).to_device(&limited).expect_err("over the budget");
    assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{e}");
    assert_eq!(limited.memory().used, 0);
    Ok(())
}

#[test]
fn arrays_larger_than_a_binding_of_the_driver() -> Result<()> {
    if support::gpu(3).is_none() {
        return Ok(());
    }
    // 160 MB; the software driver binds 128 MiB
    let device = Device::gpu()?;
    let n = 40_000_000usize;
    let x = (arange(0, n, 1).astype(DType::F32) * 0.5).to_device(&device)?;
    let y = (&x * 2.0 + 1.0).eval()?;
    for at in [0, 1, 33_554_430, 33_554_432, n - 1] {
        let got = y.slice(s![at]).item::<f32>()?;
        assert_eq!(got, (at as f32 * 0.5) * 2.0 + 1.0, "element {at}");
    }
    let ones = (&x * 0.0 + 1.0).eval()?;
    assert_eq!(ones.sum(..).item::<f32>()?, n as f32);
    let matrix = ones.reshape([4000, 10_000]).eval()?;
    assert_eq!(matrix.sum(0).max(..).item::<f32>()?, 4000.0);
    assert_eq!(matrix.sum(1).min(..).item::<f32>()?, 10_000.0);
    let back = y.slice(s![..;-1]) + 0.0;
    assert_eq!(back.eval()?.slice(s![3]).item::<f32>()?, y.slice(s![-4]).item::<f32>()?);
    let mut w = y;
    w.update(|w| w - 1.0)?;
    assert_eq!(w.slice(s![-1]).item::<f32>()?, ((n - 1) as f32 * 0.5) * 2.0);
    Ok(())
}
