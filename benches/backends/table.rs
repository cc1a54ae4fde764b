//! The table of rows. A new row is one entry here: the work, its bytes and operations, and how each Python peer writes it.
//! Rust peers have their own tables in `benches/peers`, by the same names of rows.
//!
//! Bytes are those that must move: each cache line of each input is read once, and each output is written once. A multiply-add
//! counts as two operations.

use crate::programs;
use crate::work::{Case, Fill, Work, elements, work};
use cupric::{Array, DType, DType::*, Device, Expr, Result, Rng, concat, eval_all, s};

/// Python modules that take the same text for operations on arrays.
const ARRAYS: &str = "numpy torch jax cupy mlx";
const EVERY: &str = "numpy torch jax cupy mlx numexpr numba";
/// The modules of `EVERY` by how they name functions: numexpr `exp`, numba `np.exp`, the others `xp.exp`.
const FORMULAS: [&str; 3] = ["numexpr", "numba", "numpy torch jax cupy mlx"];

const SWEEP: &[&[usize]] = &[&[1_000], &[10_000], &[100_000], &[1_000_000], &[10_000_000]];
const TEN_MILLION: &[&[usize]] = &[&[10_000_000]];
const SQUARE: &[&[usize]] = &[&[10_000, 10_000]];
const ROWS: &[&[usize]] = &[&[1_000, 10_000], &[100_000, 64]];
const PRODUCTS: &[&[usize]] = &[&[256, 256], &[512, 512], &[1024, 1024], &[2048, 2048], &[4096, 4096]];

/// The rows that `--quick` runs: name, dtype, shape.
const QUICK: [(&str, DType, &[usize]); 24] = [
    ("add", F32, &[10_000]),
    ("add", F32, &[100_000]),
    ("add", F32, &[1_000_000]),
    ("add", F32, &[10_000_000]),
    ("add_into", F32, &[10_000_000]),
    ("scale", F32, &[10_000_000]),
    ("hypot", F32, &[10_000_000]),
    ("exp", F32, &[10_000]),
    ("exp", F32, &[100_000]),
    ("exp", F32, &[1_000_000]),
    ("exp", F32, &[10_000_000]),
    ("sum", F32, &[10_000]),
    ("sum", F32, &[100_000]),
    ("sum", F32, &[1_000_000]),
    ("sum", F32, &[10_000_000]),
    ("add", F16, &[10_000_000]),
    ("cast", F32, &[10_000_000]),
    ("softmax", F32, &[1_000, 10_000]),
    ("transpose", F32, &[10_000, 10_000]),
    ("matmul", F32, &[1024, 1024]),
    ("matmul", F16, &[1024, 1024]),
    ("chain", F32, &[10_000_000]),
    ("add_small", F32, &[8]),
    ("attention", F32, &[8, 8, 256, 64]),
];

/// Whether `--quick` runs a case. With `any_size` (for `--sizes`) a row of one axis matches at any length.
pub fn is_quick(case: &Case<'_>, any_size: bool) -> bool {
    QUICK.iter().any(|(name, dtype, shape)| {
        let same_shape = *shape == &case.shape[..] || any_size && case.work.flat;
        *name == case.work.name && *dtype == case.work.dtype && same_shape
    })
}

/// A row of a function of one operand.
fn function(name: &'static str, f: fn(&[Array]) -> Expr, shapes: &[&[usize]]) -> Work {
    let low = if name == "log" { 0.01 } else { -3.0 };
    let w = work(name, name, F32, shapes).flat().takes_in("a", low, 3.0).moves(2.0).run(f);
    match name {
        "erf" => w
            .python("torch mlx", "xp.erf(a)")
            .python("jax", "jax.scipy.special.erf(a)")
            .python("cupy", "cupyx.scipy.special.erf(a)"),
        _ => formula(w, &format!("FN{name}(a)")),
    }
}

/// Gives a row's formula to all modules. In `text` `FN` stands before each function's name, for the module's prefix.
fn formula(w: Work, text: &str) -> Work {
    let prefixes = ["", "np.", "xp."];
    FORMULAS.into_iter().zip(prefixes).fold(w, |w, (peers, prefix)| w.python(peers, text.replace("FN", prefix)))
}

fn matmul_of(dtype: DType) -> Work {
    work("matmul", "matmul", dtype, PRODUCTS)
        .takes_in("a b", -1.0, 1.0)
        .moves(3.0)
        .operations(|s| 2.0 * elements(s) * s[1] as f64)
        .run(|x| x[0].matmul(&x[1]))
        .python(ARRAYS, "a @ b")
}

fn twenty(x: &Expr) -> Expr {
    (0..5).fold(x.clone(), |x, _| (x * 0.9 - 0.3).abs() + 0.1)
}

pub fn table() -> Vec<Work> {
    let mut rows = elementwise();
    rows.extend(small_and_random());
    rows.extend(reductions());
    rows.extend(layouts());
    rows.extend([F32, F64, F16].map(matmul_of));
    rows.push(
        work("matmul_batched", "batched matmul", F32, &[&[64, 128, 128]])
            .takes_in("a b", -1.0, 1.0)
            .moves(3.0)
            .operations(|s| 2.0 * elements(s) * s[2] as f64)
            .run(|x| x[0].matmul(&x[1]))
            .python(ARRAYS, "a @ b"),
    );
    rows.extend(transfers());
    rows.extend([F32, F16].into_iter().flat_map(programs::table));
    rows
}

fn elementwise() -> Vec<Work> {
    let chain = "FNabs(".repeat(5) + "a" + &" * 0.9 - 0.3) + 0.1".repeat(5);
    vec![
        work("add", "a + b", F32, SWEEP).flat().takes("a b").moves(3.0).run(|x| &x[0] + &x[1]).python(EVERY, "a + b"),
        work("add_into", "a + b into an array", F32, TEN_MILLION)
            .flat()
            .takes("a b o")
            .moves(3.0)
            .program(|mut x, _, _| {
                let mut o = x.remove(2);
                Ok(Box::new(move || {
                    o.assign(&x[0] + &x[1])?;
                    Ok(vec![o.clone()])
                }))
            })
            .python("numpy torch cupy", "xp.add(a, b, out=o)")
            .python("numexpr", "out:o:a + b")
            .python("numba", "for i in prange(a.size):\n    o[i] = a[i] + b[i]\nreturn o"),
        formula(
            work("scale", "2.5 x + 1.2", F32, TEN_MILLION).flat().takes("a").moves(2.0).run(|x| &x[0] * 2.5 + 1.2),
            "a * F(2.5) + F(1.2)",
        ),
        formula(
            work("hypot", "sqrt(x^2 + y^2)", F32, SWEEP)
                .flat()
                .takes("a b")
                .moves(3.0)
                .run(|x| (x[0].square() + x[1].square()).sqrt()),
            "FNsqrt(a * a + b * b)",
        ),
        function("exp", |x| x[0].exp(), SWEEP),
        function("log", |x| x[0].log(), TEN_MILLION),
        function("sin", |x| x[0].sin(), TEN_MILLION),
        function("tanh", |x| x[0].tanh(), TEN_MILLION),
        function("erf", |x| x[0].erf(), TEN_MILLION),
        work("add", "f16 a + b", F16, TEN_MILLION)
            .flat()
            .takes("a b")
            .moves(3.0)
            .run(|x| &x[0] + &x[1])
            .python(ARRAYS, "a + b"),
        work("cast", "f32 to f16", F32, TEN_MILLION)
            .flat()
            .takes("a")
            .bytes_moved(|s| 6.0 * elements(s))
            .run(|x| x[0].astype(F16))
            .python("numpy jax cupy mlx", "a.astype(xp.float16)")
            .python("torch", "a.to(xp.float16)"),
        formula(
            work("chain", "20 operations", F32, TEN_MILLION)
                .flat()
                .takes("a")
                .moves(2.0)
                .operations(|s| 20.0 * elements(s))
                .run(|x| twenty(&x[0])),
            &chain.replace("0.9", "F(0.9)").replace("0.3", "F(0.3)").replace("0.1", "F(0.1)"),
        ),
    ]
}

/// Rows that memory does not limit: operations on a few elements, and random numbers.
fn small_and_random() -> Vec<Work> {
    vec![
        work("add_small", "a + b of 8 elements", F32, &[&[8]])
            .takes("a b")
            .moves(3.0)
            .unlimited()
            .run(|x| &x[0] + &x[1])
            .python(ARRAYS, "a + b"),
        work("enqueue", "1,000 small kernels, to the end of submit", F32, &[&[1_000, 8]])
            .takes("a")
            .moves(2.0)
            .unlimited()
            .enqueued()
            .program(|x, s, _| {
                let parts = (0..s[0]).map(|i| (x[0].slice(s![i as isize]) * 1.0).eval()).collect::<Result<Vec<_>>>()?;
                Ok(Box::new(move || {
                    let each: Vec<Expr> = parts.iter().map(|part| part + &parts[0]).collect();
                    eval_all(&each)
                }))
            }),
        work("normal", "random normal", F32, TEN_MILLION)
            .flat()
            .moves(1.0)
            .program(|_, s, device| {
                let (s, device) = (s.to_vec(), device.clone());
                Ok(Box::new(move || Ok(vec![Rng::new(1).normal(&s[..], DType::F32).to_device(&device)?])))
            })
            .python("numpy", "rng.standard_normal(shape, dtype=np.float32)")
            .python("torch", "xp.randn(shape, device=device)")
            .python("jax", "jax.random.normal(jax.random.key(0), shape)")
            .python("cupy", "xp.random.standard_normal(shape, dtype=np.float32)")
            .python("mlx", "xp.random.normal(shape)"),
    ]
}

fn reductions() -> Vec<Work> {
    let softmax = "e = xp.exp(a - a.max(-1, keepdims=True))\nreturn e / e.sum(-1, keepdims=True)";
    let norm = "d = a - a.mean(-1, keepdims=True)\nreturn d / xp.sqrt((d * d).mean(-1, keepdims=True) + 1e-5)";
    let square = |name, text, f: fn(&[Array]) -> Expr| work(name, text, F32, SQUARE).takes("a").reads(1.0).run(f);
    vec![
        work("sum", "sum", F32, SWEEP)
            .flat()
            .takes("a")
            .reads(1.0)
            .run(|x| x[0].sum(..))
            .python(ARRAYS, "a.sum()")
            .python("numexpr", "sum(a)")
            .python("numba", "a.sum()"),
        work("max", "max", F32, TEN_MILLION)
            .flat()
            .takes("a")
            .reads(1.0)
            .run(|x| x[0].max(..))
            .python(ARRAYS, "a.max()"),
        work("dot", "dot", F32, TEN_MILLION)
            .flat()
            .takes("a b")
            .reads(2.0)
            .run(|x| x[0].matmul(&x[1]))
            .python("numpy torch jax cupy", "xp.dot(a, b)")
            .python("mlx", "a @ b"),
        work("sum", "f16 sum", F16, TEN_MILLION)
            .flat()
            .takes("a")
            .reads(1.0)
            .run(|x| x[0].sum(..))
            .python(ARRAYS, "a.sum()"),
        work("standardize", "standardize columns", F32, &[&[50_000, 1_000]])
            .takes("a")
            .moves(3.0)
            .run(|x| (&x[0] - x[0].mean(0)) / x[0].std(0))
            .python("numpy jax cupy mlx", "(a - a.mean(0)) / a.std(0)")
            .python("torch", "(a - a.mean(0)) / a.std(0, correction=0)"),
        square("sum_rows", "sum over rows", |x| x[0].sum(1)).python(ARRAYS, "a.sum(1)"),
        square("sum_columns", "sum over columns", |x| x[0].sum(0)).python(ARRAYS, "a.sum(0)"),
        square("sum_all", "sum over all", |x| x[0].sum(..)).python(ARRAYS, "a.sum()"),
        work("softmax", "softmax over rows", F32, ROWS)
            .takes("a")
            .moves(2.0)
            .run(|x| x[0].softmax(-1))
            .python("numpy cupy", softmax)
            .python("torch mlx", "xp.softmax(a, -1)")
            .python("jax", "jax.nn.softmax(a, -1)"),
        work("layer_norm", "layer norm over rows", F32, ROWS)
            .takes("a")
            .moves(2.0)
            .run(|x| x[0].layer_norm(-1, 1e-5))
            .python("numpy cupy jax", norm)
            .python("torch", "xp.nn.functional.layer_norm(a, a.shape[-1:])")
            .python("mlx", "xp.fast.layer_norm(a, None, None, 1e-5)"),
    ]
}

fn layouts() -> Vec<Work> {
    vec![
        work("transpose", "transposed copy", F32, SQUARE)
            .takes("a")
            .moves(2.0)
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
            // 0.5 for reading all cache lines of half the rows, and 0.25 for writing a quarter of the elements
            .moves(0.75)
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
        work("take", "take rows", F32, &[&[100_000, 64]])
            .takes("a")
            .with("i", I32, |s| vec![s[0]], Fill::Permutation)
            .moves_elements(|s| 2.0 * elements(s) + s[0] as f64)
            .run(|x| x[0].take(&x[1], 0))
            .python("numpy jax cupy mlx", "xp.take(a, i, axis=0)")
            .python("torch", "xp.index_select(a, 0, i)"),
        work("concat", "concat", F32, TEN_MILLION)
            .flat()
            .with("a", F32, |s| vec![s[0] / 2], Fill::Uniform(-3.0, 3.0))
            .with("b", F32, |s| vec![s[0] - s[0] / 2], Fill::Uniform(-3.0, 3.0))
            .moves(2.0)
            .run(|x| concat([&x[0], &x[1]], 0))
            .python(ARRAYS, "xp.concatenate((a, b))"),
    ]
}

/// Transfers from the host's memory to the device's and back; on the CPU each is a plain copy.
fn transfers() -> Vec<Work> {
    let upload = |x: Vec<Array>, s: &[usize], device: &Device| -> Result<crate::work::Run> {
        let (host, s, device) = (x[0].to_vec::<f32>()?, s.to_vec(), device.clone());
        Ok(Box::new(move || Ok(vec![Array::from_slice(&host, &s[..])?.to_device(&device)?])))
    };
    let download = |x: Vec<Array>, _: &[usize], _: &Device| -> Result<crate::work::Run> {
        Ok(Box::new(move || {
            std::hint::black_box(x[0].to_vec::<f32>()?);
            Ok(vec![])
        }))
    };
    vec![
        work("upload", "host to device", F32, TEN_MILLION)
            .flat()
            .takes("a")
            .moves(2.0)
            .transfer()
            .program(upload)
            .python("cupy", "nojit:xp.asarray(host['a'])")
            .python("torch", "nojit:xp.from_numpy(host['a']).to(device, copy=True)")
            .python("jax", "nojit:jax.device_put(host['a'])"),
        work("download", "device to host", F32, TEN_MILLION)
            .flat()
            .takes("a")
            .moves(2.0)
            .transfer()
            .program(download)
            .python("cupy", "nojit:a.get()")
            .python("torch", "nojit:a.to('cpu', copy=True)")
            .python("jax", "nojit:np.array(a)"),
    ]
}
