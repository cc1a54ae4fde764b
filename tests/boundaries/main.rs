//! Arrays around a device's limits: grids, bindings, rows, split reductions, 31 and 32 bits of elements. What fits must
//! give the right numbers, and what does not fit must give an error that says so.

#[path = "../kit/mod.rs"]
mod kit;

use crate::kit::stage::Stage;
use crate::kit::{gpu, has, in_turn, own, put};
use cupric::DType::*;
use cupric::testing::shrunk_cpu;
use cupric::*;

/// Devices with tight limits: a CPU, and a GPU with bindings of 64 KiB and 4 workgroups per grid dimension.
fn tight() -> Result<Vec<Device>> {
    let gpu: Option<Device> = match gpu(1) {
        #[cfg(feature = "gpu")]
        Some(_) => Some(cupric::testing::shrunk_gpu(64 << 10, 4)?),
        _ => None,
    };
    Ok([shrunk_cpu()?].into_iter().chain(gpu).collect())
}

/// Checks that an expression gives the same numbers on the CPU and on a device, within the error `relative`.
fn agrees(name: &str, device: &Device, x: &Array, relative: f64, f: impl Fn(&Expr) -> Expr) -> Result<()> {
    let there = x.to_device(device)?;
    let expected = f(x).astype(F64).to_vec::<f64>()?;
    let got = f(&there).eval()?.to_device(&Device::cpu())?.astype(F64).to_vec::<f64>()?;
    assert_eq!(expected.len(), got.len(), "{name} on {device}");
    // the plan needs a few dispatches per binding of 64 KiB, not one per element
    let (dispatches, most) = (f(&there).plan()?.dispatches(), 30 + 12 * (x.size() * 4).div_ceil(64 << 10));
    assert!(dispatches <= most, "{name} of {:?} on {device}: {dispatches} dispatches", x.shape());
    for (i, (e, g)) in expected.iter().zip(&got).enumerate() {
        let near = (e - g).abs() <= relative * e.abs().max(1.0) || e.is_nan() && g.is_nan() || e == g;
        assert!(near, "{name} of {:?} {} on {device}: element {i} is {g}, not {e}", x.shape(), x.dtype());
    }
    Ok(())
}

/// Checks that a write gives the same array on the CPU and on a device.
fn writes(name: &str, device: &Device, x: &Array, f: impl Fn(&mut Array) -> Result<()>) -> Result<()> {
    let (mut here, mut there) = ((&**x + 0).eval()?, x.to_device(device)?);
    f(&mut here)?;
    f(&mut there)?;
    let there = there.to_device(&Device::cpu())?;
    assert!(array_equal(&here, &there)?, "{name} of {:?} {} on {device}", x.shape(), x.dtype());
    Ok(())
}

/// Small whole numbers, exact in every dtype.
fn numbers(n: usize, t: DType) -> Result<Array> {
    let v = Array::from_vec((0..n).map(|i| (i * 7919 % 113) as u8).collect(), [n])?;
    v.astype(t).eval()
}

#[test]
fn boundaries_of_tight_bindings() -> Result<()> {
    for device in tight()? {
        let mut stage = Stage::new(9, "boundaries: tight devices", &device);
        for t in [F32, U8, F16, I32] {
            // 64 KiB is a binding, 256 or 512 bytes are lost to alignment; 4³ workgroups of 256 are the grid
            let bytes = 64 << 10;
            let mut sizes: Vec<usize> = vec![];
            for edge in [bytes, bytes - 256, bytes - 512, bytes / 2, 2 * bytes] {
                let n = edge / t.size();
                sizes.extend([n - 1, n, n + 1]);
            }
            sizes.extend([16_383, 16_384, 16_385, 4 * 16_384 + 1, 50_001]);
            sizes.sort_unstable();
            sizes.dedup();
            for n in sizes {
                let x = numbers(n, t)?;
                agrees("chain", &device, &x, 0.0, |x| x * 2 + 1)?;
                agrees("copy", &device, &x, 0.0, |x| x.slice(s![..;-1]))?;
                agrees("step", &device, &x, 0.0, |x| x.slice(s![1..;3]))?;
                agrees("sum", &device, &x, 0.0, |x| x.astype(I32).sum(..))?;
                agrees("sum of bytes", &device, &x, 0.0, |x| x.astype(U8).sum(..).astype(I32))?;
                agrees("largest", &device, &x, 0.0, |x| x.max(..))?;
                agrees("where the largest is", &device, &x, 0.0, |x| x.argmax(..).astype(I32))?;
                agrees("where the last is", &device, &x, 0.0, |x| x.slice(s![..;-1]).argmin(..).astype(I32))?;
                agrees("two of them", &device, &x, 0.0, |x| x + x.flip(0))?;
                agrees("narrower", &device, &x, 0.0, |x| x.greater(50).astype(U8) + 1)?;
                writes("in place", &device, &x, |x| x.update(|x| x + 1))?;
                writes("a part", &device, &x, |x| x.set(s![3..-1;2], 5))?;
                writes("reversed", &device, &x, |x| x.update(|x| x.flip(0)))?;
                stage.count(12);
            }
        }
        // floats whose sums round, at lengths that need several kernels
        for n in [16_000usize, 16_255, 16_256, 16_257, 16_383, 16_384, 16_385, 50_001] {
            let x = Rng::new(n as u64).normal([n], F32).eval()?;
            agrees("sum", &device, &x, 1e-4, |x| x.sum(..))?;
            agrees("variance", &device, &x, 1e-4, |x| x.var(..))?;
            agrees("softmax", &device, &x, 1e-5, |x| x.softmax(0))?;
            stage.count(3);
        }
    }
    Ok(())
}

/// Products of whole numbers; operands and results span several bindings along m, n, k or the batch.
#[test]
fn boundaries_of_products() -> Result<()> {
    for device in tight()? {
        let mut stage = Stage::new(9, "boundaries: tight products", &device);
        let small = |seed, shape: &[usize], t| {
            // integers wrap to u8, as their products do
            Rng::new(seed).integers(-3, 4, shape, I32).astype(t).eval()
        };
        let shapes: [([usize; 3], [usize; 3]); 10] = [
            ([1, 60, 1100], [1, 1100, 40]),   // operands of several bindings, whose chains are shared
            ([1, 2, 40_000], [1, 40_000, 2]), // rows of several bindings
            ([1, 17_000, 3], [1, 3, 2]),      // rows, with a short k
            ([1, 2, 3], [1, 3, 17_000]),      // columns
            ([1, 30, 700], [1, 700, 50]),     // a chain of the second operand takes most of a binding: k is cut
            ([1, 5, 700], [1, 700, 100]),     // or more than one, so that it is copied
            ([1, 5, 1030], [1, 1030, 100]),   // the same where chains are shared
            ([3, 70, 260], [3, 260, 30]),     // a batch of which each matrix spans more
            ([40, 30, 20], [40, 20, 30]),     // one of small matrices
            ([2, 200, 300], [1, 300, 20]),    // an operand that repeats
        ];
        for (i, (left, right)) in shapes.into_iter().enumerate() {
            for t in [F32, F16, I64, U8] {
                // types other than f32 take one shape per way to divide k: over workgroups, over kernels, undivided
                if !has(&device, t) || (t != F32 || is_second(&device)) && ![0, 4, 7].contains(&i) {
                    continue;
                }
                let (a, b) = (small(1, &left, t)?, small(2, &right, t)?);
                let want = a.matmul(&b).eval()?;
                let (c, d) = (a.to_device(&device)?, b.to_device(&device)?);
                // operands in C order, then with their last two axes exchanged in memory
                let turned =
                    |x: &Array| -> Result<Expr> { Ok(x.permute_dims([0, 2, 1]).eval()?.permute_dims([0, 2, 1])) };
                let (e, f) = (turned(&c)?, turned(&d)?);
                let pairs = [(&*c, &*d), (&e, &f), (&e, &*d), (&*c, &f)];
                for (x, y) in &pairs[..if t == F32 && !is_second(&device) { 4 } else { 1 }] {
                    let got = x.matmul(*y).eval()?.to_device(&Device::cpu())?;
                    assert!(array_equal(&got, &want)?, "{left:?} · {right:?} of {t} on {device}");
                    stage.count(1);
                }
                if t != F32 && t != U8 || is_second(&device) {
                    continue;
                }
                let got = (c.matmul(&d) + 1).maximum(c.slice(s![.., .., 0..1])).eval()?.to_device(&Device::cpu())?;
                let want = (&want + 1).maximum(a.slice(s![.., .., 0..1]));
                assert!(array_equal(&got, &want)?, "{left:?} · {right:?} of {t} with an epilogue on {device}");
                stage.count(1);
            }
        }
    }
    Ok(())
}

#[test]
fn boundaries_of_tight_rows() -> Result<()> {
    for device in tight()? {
        let mut stage = Stage::new(9, "boundaries: tight rows", &device);
        // among others, a matrix with columns longer than a binding
        let mut shapes = vec![[3usize, 20_001], [20_001, 3], [150, 301], [2, 32_768], [129, 127]];
        // rows near the length of a binding, of half a binding, and of what one workgroup holds
        shapes.extend([8191, 8192, 8193, 16_127, 16_128, 16_129, 16_383, 16_384, 16_385].map(|n| [2, n]));
        shapes.extend([16_128, 16_384, 16_385].map(|n| [n, 2]));
        for shape in shapes {
            let n = shape[0] * shape[1];
            let x = Rng::new(7).normal(shape, F32).eval()?;
            let whole = numbers(n, I32)?.reshape(shape).eval()?;
            agrees("transposed copy", &device, &x, 0.0, |x| x.t())?;
            agrees("row sums", &device, &whole, 0.0, |x| x.sum(1))?;
            agrees("column sums", &device, &whole, 0.0, |x| x.sum(0))?;
            agrees("column sums, transposed", &device, &whole, 0.0, |x| x.t().sum(1))?;
            agrees("means", &device, &x, 1e-4, |x| x.mean(0))?;
            agrees("softmax of rows", &device, &x, 1e-5, |x| x.softmax(-1))?;
            agrees("softmax of columns", &device, &x, 1e-5, |x| x.softmax(0))?;
            agrees("norm", &device, &x, 1e-3, |x| x.layer_norm(-1, 1e-5))?;
            agrees("positions of rows", &device, &x, 0.0, |x| x.argmax(1).astype(I32))?;
            agrees("positions of columns", &device, &x, 0.0, |x| x.argmin(0).astype(I32))?;
            agrees("count", &device, &x, 0.0, |x| x.less(0.5).count_nonzero(..).astype(I32))?;
            agrees("row by row", &device, &whole, 0.0, |x| x * 2 - x.slice(s![0]))?;
            agrees("joined", &device, &whole, 0.0, |x| concat([x, &(x + 1)], 0))?;
            agrees("joined in rows", &device, &whole, 0.0, |x| concat([x, &(x + 1)], 1))?;
            writes("a column", &device, &whole, |x| x.set(s![.., 1], 7))?;
            writes("a row", &device, &whole, |x| x.set(s![1], x.slice(s![0])))?;
            stage.count(16);
        }
        for (m, k, n) in [(126, 64, 128), (127, 65, 127), (129, 100, 65), (2, 8000, 2), (1, 16_000, 1)] {
            let a = numbers(m * k, I32)?.reshape([m, k]).eval()?;
            let b = (numbers(k * n, I32)? % 11).reshape([k, n]).eval()?;
            agrees("product", &device, &a, 0.0, |a| {
                let b = b.to_device(&a.eval().unwrap().device()).unwrap();
                a.matmul(&b)
            })?;
            stage.count(1);
        }
    }
    Ok(())
}

#[test]
fn boundaries_that_cannot_be_crossed() -> Result<()> {
    let refused = |what: &str, e: &Expr| match e.eval() {
        Ok(a) => panic!("{what} of {:?} fits", a.shape()),
        Err(e) => assert_eq!(e.kind(), ErrorKind::LimitExceeded, "{what}: {e}"),
    };
    #[cfg(feature = "gpu")]
    if gpu(1).is_some() {
        let device = cupric::testing::shrunk_gpu(64 << 10, 4)?;
        let mut stage = Stage::new(9, "boundaries: refusals", &device);
        // a product whose rows are larger than a binding, and a product whose result is
        let x = ones([2, 20_000], F32).to_device(&device)?;
        assert_eq!(x.matmul(x.t()).to_vec::<f32>()?, [20_000.0; 4]);
        let side = ones([150, 4], F32).to_device(&device)?;
        assert_eq!(side.matmul(side.t()).to_vec::<f32>()?, [4.0; 150 * 150]);
        let at = arange(0, 5, 1, I32).to_device(&device)?;
        // `take` splits its source along the axis
        let taken = |n: i32| -> Result<Vec<f32>> {
            let x = arange(0, 2 * n, 1, I32).astype(F32).reshape([2, n as isize]).to_device(&device)?;
            x.take(&at, 1).to_vec::<f32>()
        };
        assert_eq!(taken(20_000)?, [0.0, 1.0, 2.0, 3.0, 4.0, 2e4, 20_001.0, 20_002.0, 20_003.0, 20_004.0]);
        // the device still works, and operands that just fit give the right result
        let x = ones([2, 8000], F32).to_device(&device)?;
        assert_eq!(x.matmul(x.t()).to_vec::<f32>()?, [8000.0; 4]);
        assert_eq!(taken(8000)?, [0.0, 1.0, 2.0, 3.0, 4.0, 8e3, 8001.0, 8002.0, 8003.0, 8004.0]);
        // a buffer larger than the driver can allocate
        let device = Device::gpu()?;
        let e = zeros([1 << 20, 1 << 20], U8).to_device(&device).expect_err("a tebibyte");
        assert!(matches!(e.kind(), ErrorKind::LimitExceeded | ErrorKind::OutOfMemory), "{e}");
        stage.count(5);
    }
    let cpu = Device::cpu();
    let mut stage = Stage::new(9, "boundaries: refusals", &cpu);
    for device in [Some(cpu.clone()), gpu(1)].into_iter().flatten() {
        let one = put(&device, vec![1u8], &[1]);
        let wide = |n: usize| one.broadcast_to([n]);
        // kernels use i32 for positions, but counts may be larger
        for n in [(1usize << 31) + 1, 1 << 32, (1 << 32) + 1] {
            refused("a position", &wide(n).argmax(..));
            refused("positions to pick", &wide(n).take(put(&device, vec![0i32], &[1]), 0));
        }
        refused("2^63 elements", &one.broadcast_to([1usize << 31, 1 << 31, 4]).sum(..));
        assert!(one.broadcast_to([1usize << 62, 8]).eval().is_err());
        stage.count(8);
    }
    let limited = Device::cpu().with_memory_limit(1 << 20)?;
    let e = ones([1 << 20], F32).to_device(&limited).expect_err("over the budget");
    assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{e}");
    assert_eq!(limited.memory().used, 0);
    Ok(())
}

/// The CPU, and the GPU with its real limits.
fn devices() -> Vec<Device> {
    [Some(own(&Device::cpu())), gpu(1).map(|d| own(&d))].into_iter().flatten().collect()
}

/// Whether this is a second software driver, which is slow. It takes only the longest of the lengths around a limit,
/// because the first driver, with the same limits and shaders, takes all of them.
fn is_second(device: &Device) -> bool {
    device.is_gpu() && std::env::var("CUPRIC_STAGE_DEVICE").is_ok()
}

#[test]
fn boundaries_of_grids() -> Result<()> {
    // 65,535 workgroups of 256 are 16,776,960 invocations; an f32 counts exactly up to 2^24
    for device in devices() {
        let mut stage = Stage::new(9, "boundaries: grids", &device);
        let lengths = [16_776_959usize, 16_776_960, (1 << 24) - 1, 1 << 24, (1 << 24) + 1, 16_776_961];
        for (i, n) in lengths.into_iter().enumerate().skip(if is_second(&device) { 5 } else { 0 }) {
            // a software driver takes at least ten seconds for each length
            if device.is_gpu() && !is_second(&device) && !in_turn(i, 3) {
                continue;
            }
            let host: Vec<u8> = (0..n).map(|i| (i * 31 % 251) as u8).collect();
            let total: i64 = host.iter().map(|v| *v as i64).sum();
            let mut x = put(&device, host.clone(), &[n]);
            let y = (&x * 3 + 1).eval()?;
            assert!(y.to_vec::<u8>()?.iter().zip(&host).all(|(y, v)| *y == v.wrapping_mul(3).wrapping_add(1)), "{n}");
            assert!(x.slice(s![..;-1]).to_vec::<u8>()?.iter().eq(host.iter().rev()), "{n} reversed");
            assert_eq!(x.sum(..).astype(U32).item::<u32>()? as i64, total, "the sum of {n}");
            assert_eq!(x.greater_equal(0).count_nonzero(..).astype(I32).item::<i32>()?, n as i32);
            // the largest element is the last
            x.set(s![n - 1], 255)?;
            x.set(s![n / 2], 254)?;
            assert_eq!(x.argmax(..).astype(I32).item::<i32>()?, n as i32 - 1, "the largest of {n}");
            assert_eq!(x.flip(0).argmax(..).astype(I32).item::<i32>()?, 0);
            // as rows of odd length, and as floats
            if n % 3 == 0 {
                let rows = x.reshape([n / 3, 3]).sum(1).astype(U32).eval()?;
                assert_eq!(rows.slice(s![-1]).item::<u32>()?, 255 + host[n - 2] as u32 + host[n - 3] as u32);
            }
            let line = arange(0, n, 1, I32).to_device(&device)?;
            assert_eq!(line.max(..).item::<i32>()?, n as i32 - 1);
            assert_eq!(line.slice(s![-3..]).to_vec::<i32>()?, [n as i32 - 3, n as i32 - 2, n as i32 - 1]);
            assert_eq!((line.astype(F32) * 0.0 + 1.0).sum(..).item::<f32>()?, n as f32);
            stage.count(9);
        }
        device.trim();
    }
    Ok(())
}

#[test]
fn boundaries_of_128_mib() -> Result<()> {
    // 2^27 bytes are the largest binding of the software driver
    for device in devices() {
        let mut stage = Stage::new(9, "boundaries: 128 MiB", &device);
        let lengths = [(1usize << 25) - 1, 1 << 25, (1 << 25) + 1];
        for (i, n) in lengths.into_iter().enumerate().skip(if is_second(&device) { 2 } else { 0 }) {
            if device.is_gpu() && !is_second(&device) && !in_turn(i, 3) {
                continue;
            }
            let mut x = arange(0, n, 1, I32).to_device(&device)?;
            let total = n as i64 * (n as i64 - 1) / 2;
            assert_eq!(x.sum(..).item::<i64>()?, total, "{n}");
            x.update(|x| x * 2 + 1)?;
            for at in [0, 1, 16_776_960, n / 2, n - 129, n - 65, n - 2, n - 1] {
                assert_eq!(x.slice(s![at]).item::<i32>()?, at as i32 * 2 + 1, "element {at} of {n}");
            }
            assert_eq!(x.sum(..).item::<i64>()?, total * 2 + n as i64);
            x.set(s![-1], -5)?;
            assert_eq!(x.argmin(..).astype(I32).item::<i32>()?, n as i32 - 1);
            let back = x.slice(s![..;-1]).eval()?;
            x.assign(&back + 0)?;
            assert_eq!(x.slice(s![..2]).to_vec::<i32>()?, [-5, (n as i32 - 2) * 2 + 1]);
            assert_eq!(x.slice(s![-1]).item::<i32>()?, 1);
            stage.count(14);
            drop((x, back));
            device.trim();
        }
        // u8: four times as many elements in the same bytes
        let sizes = [(1usize << 27) + 1, (1 << 27) - 1];
        for n in &sizes[..if device.is_gpu() { 1 } else { 2 }] {
            let n = *n;
            let mut x = ones([n], U8).to_device(&device)?;
            x.set(s![n - 1], 9)?;
            x.update(|x| x + 1)?;
            assert_eq!(x.sum(..).item::<u64>()? as usize, 2 * n + 8);
            assert_eq!(x.argmax(..).astype(I32).item::<i32>()? as usize, n - 1);
            stage.count(2);
            drop(x);
            device.trim();
        }
    }
    Ok(())
}

#[test]
fn boundaries_of_one_binding_of_the_driver() -> Result<()> {
    let Some(device) = gpu(1) else { return Ok(()) };
    let device = own(&device);
    let mut stage = Stage::new(9, "boundaries: several bindings", &device);
    // 160 MB of f32
    let n = 40_000_000usize;
    let x = (arange(0, n, 1, I32).astype(F32) * 0.5).to_device(&device)?;
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
    // second operands of 160 MB: k is shared among workgroups, or split into kernels if a binding is smaller
    let (row, tall) = (put(&device, vec![0.5f32; 40_000], &[1, 40_000]), x.reshape([40_000, 1000]));
    let sums = (row.matmul(&tall) - tall.sum(0) * 0.5).abs().max(..) / tall.sum(0).max(..);
    assert!(sums.item::<f32>()? < 1e-5, "{}", row.matmul(&tall).plan()?);
    let (rows, wide) = (put(&device, vec![1.0f32; 8 * 1000], &[8, 1000]), ones.reshape([1000, 40_000]));
    let product = rows.matmul(&wide);
    assert_eq!([product.min(..).item::<f32>()?, product.max(..).item::<f32>()?], [1000.0; 2]);
    let back = y.slice(s![..;-1]) + 0.0;
    assert_eq!(back.eval()?.slice(s![3]).item::<f32>()?, y.slice(s![-4]).item::<f32>()?);
    let mut w = y;
    w.update(|w| w - 1.0)?;
    assert_eq!(w.slice(s![-1]).item::<f32>()?, ((n - 1) as f32 * 0.5) * 2.0);
    stage.count(10);
    Ok(())
}

#[test]
fn boundaries_of_31_and_32_bits() -> Result<()> {
    for device in devices() {
        let mut stage = Stage::new(9, "boundaries: 31 and 32 bits", &device);
        let one = put(&device, vec![3i32], &[1]);
        let row = put(&device, (0..65_536).map(|i| i % 100).collect::<Vec<i32>>(), &[65_536]);
        for n in [(1usize << 31) - 1, (1 << 31) + 1, (1 << 32) - 1, (1 << 32) + 1] {
            // slices of broadcasts too large to store: only the positions are large
            let wide = one.broadcast_to([n]);
            assert_eq!(wide.slice(s![-3..]).to_vec::<i32>()?, [3, 3, 3]);
            assert_eq!((wide.slice(s![..;-1]).slice(s![n - 2..]) * 2).to_vec::<i32>()?, [6, 6]);
            assert_eq!(wide.size()?, n);
            let tall = row.broadcast_to([n, 65_536]);
            assert_eq!(tall.slice(s![n - 1, 65_530..]).to_vec::<i32>()?, [30, 31, 32, 33, 34, 35]);
            assert_eq!(
                tall.slice(s![..;1 << 30, 7]).astype(U8).sum(..).astype(I32).item::<i32>()?,
                7 * n.div_ceil(1 << 30) as i32
            );
            assert_eq!(tall.t().slice(s![3, n - 2..]).to_vec::<i32>()?, [3, 3]);
            // positions as numbers would need i64, which not every device has
            stage.count(6);
        }
        // a sum visits every element, so it counts them. A software driver is too slow for these longest sums; sums
        // over rows, which it computes quickly, replace them
        let sizes: &[usize] =
            if device.is_gpu() { &[] } else { &[(1 << 31) - 1, (1 << 31) + 1, (1 << 32) - 1, (1 << 32) + 1] };
        for (i, n) in sizes.iter().copied().enumerate() {
            if !in_turn(i, 4) {
                continue;
            }
            let total = n as i64 * 3;
            assert_eq!(one.broadcast_to([n]).sum(..).item::<i64>()?, total, "{n} elements on {device}");
            stage.count(1);
        }
        // sums of 2^32 + 2^16 and 2^31 + 2^15 elements, over an outer and an inner axis
        for rows in [32_769usize, 65_537] {
            let sums = row.broadcast_to([rows, 65_536]).astype(U8).sum(0).astype(I32).eval()?;
            assert_eq!(sums.slice(s![97..102]).to_vec::<i32>()?, [97, 98, 99, 0, 1].map(|v| v * rows as i32));
            stage.count(1);
            if device.is_gpu() {
                continue;
            }
            let sums = row.expand_dims(1).broadcast_to([65_536, rows]).astype(U8).sum(1).astype(I32).eval()?;
            assert_eq!(sums.slice(s![-2..]).to_vec::<i32>()?, [34, 35].map(|v| v * rows as i32));
            stage.count(1);
        }
    }
    Ok(())
}

#[cfg(feature = "gpu")]
#[test]
fn boundaries_of_windows() -> Result<()> {
    if gpu(1).is_none() {
        return Ok(());
    }
    let open = || cupric::testing::shrunk_gpu(64 << 10, 65_535);
    // a binding starts at a whole 32-bit word of narrow elements, so one shader fits all, each word with one writer
    for (t, n) in [(U8, 100_001), (I8, 201_003), (F16, 60_001), (BF16, 60_003)] {
        let device = open()?;
        let mut stage = Stage::new(9, "boundaries: windows", &device);
        let x = numbers(n, t)?;
        let there = x.to_device(&device)?;
        let before = device.stats().compiles;
        let e = &there * 2 + 1;
        assert!(e.plan()?.dispatches() > 1);
        let (got, want) = (e.eval()?.to_device(&Device::cpu())?, (&x * 2 + 1).eval()?);
        assert!(array_equal(&got, &want)?, "{t}");
        assert_eq!(device.stats().compiles - before, 1, "shaders for {t}");
        stage.count(1);
    }
    let device = open()?;
    let mut stage = Stage::new(9, "boundaries: windows", &device);
    // an operand that starts just below a possible start of a binding, and nearly fills a binding
    let x = numbers(20_000, F32)?;
    let there = x.to_device(&device)?;
    for first in [0usize, 1, 63, 64, 127] {
        for n in [16_384usize, 16_383, 16_380, 16_320, 16_256, 16_255] {
            let part = there.slice(s![first..first + n]) * 2 + 1;
            let want = (x.slice(s![first..first + n]) * 2 + 1).eval()?;
            let got = part.eval()?.to_device(&Device::cpu())?;
            assert!(array_equal(&got, &want)?, "{n} elements from {first}");
            stage.count(1);
        }
    }
    // a gather needs its whole axis: two rows that do not fit into one binding together
    let x = Array::from_vec((0..20_000).map(|i| i as f32).collect::<Vec<_>>(), [2, 10_000])?.to_device(&device)?;
    let at = put(&device, vec![9_999i32, 0, 5], &[3]);
    assert_eq!(x.take(&at, 1).to_vec::<f32>()?, [9_999.0, 0.0, 5.0, 19_999.0, 10_000.0, 10_005.0]);
    // empty columns whose stride is larger than a binding
    let x = zeros([10_000, 8], F32).to_device(&device)?;
    let none = zeros([0, 1], F32).to_device(&device)?;
    assert_eq!((x.slice(s![.., 8..]).matmul(&none) + 1.0).to_vec::<f32>()?, [1.0; 10_000]);
    stage.count(2);
    Ok(())
}
