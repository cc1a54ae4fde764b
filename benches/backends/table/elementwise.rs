//! Elementwise functions, operations on a few elements, and random numbers.

use super::shared::{ARRAYS, EVERY, LARGE, MILLIONS, SWEEP, TEN_MILLION, formula};
use crate::work::{Fill, Work, elements, work};
use cupric::{Array, DType, DType::*, Expr, Result, Rng, eval_many, s, select};

pub fn rows() -> Vec<Work> {
    let mut rows = large();
    rows.extend(other_types());
    rows.push(black_scholes());
    rows.push(stencil());
    rows.extend(small_and_random());
    rows
}

/// Returns the row of a function of one operand.
fn function(name: &'static str, f: fn(&[Array]) -> Expr, shapes: &[&[usize]]) -> Work {
    let low = if name == "log" { 0.01 } else { -3.0 };
    let w = work(name, name, F32, shapes).flat().takes_in("a", low, 3.0).moves(1, 1).run(f);
    match name {
        "erf" => w
            .python("torch mlx", "xp.erf(a)")
            .python("jax", "jax.scipy.special.erf(a)")
            .python("cupy", "cupyx.scipy.special.erf(a)"),
        _ => formula(w, &format!("FN{name}(a)")),
    }
}

fn twenty(x: &Expr) -> Expr {
    (0..5).fold(x.clone(), |x, _| (x * 0.9 - 0.3).abs() + 0.1)
}

fn large() -> Vec<Work> {
    let chain = "FNabs(".repeat(5) + "a" + &" * 0.9 - 0.3) + 0.1".repeat(5);
    vec![
        work("add", "a + b", F32, SWEEP).flat().takes("a b").moves(2, 1).run(|x| &x[0] + &x[1]).python(EVERY, "a + b"),
        work("add_into", "a + b into an array", F32, LARGE)
            .flat()
            .takes("a b o")
            .moves(2, 1)
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
            work("scale", "2.5 x + 1.2", F32, LARGE).flat().takes("a").moves(1, 1).run(|x| &x[0] * 2.5 + 1.2),
            "a * F(2.5) + F(1.2)",
        ),
        formula(
            work("hypot", "sqrt(x^2 + y^2)", F32, SWEEP)
                .flat()
                .takes("a b")
                .moves(2, 1)
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
            .moves(2, 1)
            .run(|x| &x[0] + &x[1])
            .python(ARRAYS, "a + b"),
        work("cast", "f32 to f16", F32, LARGE)
            .flat()
            .takes("a")
            .pass(1, |s| [4.0 * elements(s), 2.0 * elements(s)])
            .run(|x| x[0].astype(F16))
            .python("numpy jax cupy mlx", "a.astype(xp.float16)")
            .python("torch", "a.to(xp.float16)"),
        formula(
            work("chain", "20 operations", F32, LARGE)
                .flat()
                .takes("a")
                .moves(1, 1)
                .operations(|s| 20.0 * elements(s))
                .run(|x| twenty(&x[0])),
            &chain.replace("0.9", "F(0.9)").replace("0.3", "F(0.3)").replace("0.1", "F(0.1)"),
        ),
    ]
}

/// Returns rows that memory does not limit: operations on a few elements, and random numbers.
fn small_and_random() -> Vec<Work> {
    vec![
        work("add_small", "a + b of 8 elements", F32, &[&[8]])
            .takes("a b")
            .moves(2, 1)
            .unlimited()
            .run(|x| &x[0] + &x[1])
            .python(ARRAYS, "a + b"),
        work("enqueue", "1,000 small kernels, to the end of submit", F32, &[&[1_000, 8]])
            .takes("a")
            .moves(1, 1)
            .unlimited()
            .enqueued()
            .program(|x, s, _| {
                let parts = (0..s[0]).map(|i| (x[0].slice(s![i as isize]) * 1.0).eval()).collect::<Result<Vec<_>>>()?;
                Ok(Box::new(move || {
                    let each: Vec<Expr> = parts.iter().map(|part| part + &parts[0]).collect();
                    eval_many(&each)
                }))
            }),
        drawn("normal", "random normal", F32, |rng, s| rng.normal(s, F32))
            .python("numpy", "rng.standard_normal(shape, dtype=np.float32)")
            .python("torch", "xp.randn(shape, device=device)")
            .python("jax", "jax.random.normal(jax.random.key(0), shape)")
            .python("cupy", "xp.random.standard_normal(shape, dtype=np.float32)")
            .python("mlx", "xp.random.normal(shape)"),
        drawn("uniform", "random uniform", F32, |rng, s| rng.uniform(s, F32))
            .python("numpy", "rng.random(shape, dtype=np.float32)")
            .python("torch", "xp.rand(shape, device=device)")
            .python("jax", "jax.random.uniform(jax.random.key(0), shape)")
            .python("cupy", "xp.random.random(shape, dtype=np.float32)"),
        drawn("integers", "random integers below 100", I32, |rng, s| rng.integers(0, 100, s, I32))
            .python("numpy", "rng.integers(0, 100, shape, dtype=np.int32)")
            .python("torch", "xp.randint(0, 100, shape, device=device, dtype=xp.int32)")
            .python("jax", "jax.random.randint(jax.random.key(0), shape, 0, 100)"),
        drawn("permutation", "random permutation", I64, |rng, s| rng.permutation(s[0]))
            .python("numpy", "rng.permutation(shape[0])")
            .python("torch", "xp.randperm(shape[0], device=device)")
            .python("jax", "jax.random.permutation(jax.random.key(0), shape[0])"),
    ]
}

/// Returns rows of integers and bools, and of a selection by bools.
fn other_types() -> Vec<Work> {
    vec![
        work("add", "i32 a + b", I32, MILLIONS)
            .flat()
            .takes_in("a b", -1e6, 1e6)
            .moves(2, 1)
            .run(|x| &x[0] + &x[1])
            .python(EVERY, "a + b"),
        work("and", "a and b of truths", Bool, TEN_MILLION)
            .flat()
            .with("a", Bool, |s| s.to_vec(), Fill::Below(2))
            .with("b", Bool, |s| s.to_vec(), Fill::Below(2))
            .moves(2, 1)
            .run(|x| x[0].logical_and(&x[1]))
            .python(ARRAYS, "xp.logical_and(a, b)")
            .python("numexpr", "a & b")
            .python("numba", "np.logical_and(a, b)"),
        work("select", "a where c, else b", F32, MILLIONS)
            .flat()
            .takes("a b")
            .with("c", Bool, |s| s.to_vec(), Fill::Below(2))
            .pass(3, |s| [9.0 * elements(s), 4.0 * elements(s)])
            .run(|x| select(&x[2], &x[0], &x[1]))
            .python(ARRAYS, "xp.where(c, a, b)")
            .python("numexpr", "where(c, a, b)")
            .python("numba", "np.where(c, a, b)"),
    ]
}

/// Call and put prices by the Black–Scholes formula, for stock prices `a`, strike prices `k` and times `t`.
fn black_scholes() -> Work {
    let cdf = |x: &Expr| (x * std::f64::consts::FRAC_1_SQRT_2).erf() * 0.5 + 0.5;
    let text = "q = F(0.3) * xp.sqrt(t)\n\
        d = (xp.log(a / k) + F(0.065) * t) / q\n\
        half, root = F(0.5), F(0.70710678)\n\
        price = k * xp.exp(F(-0.02) * t)\n\
        call = a * (half + half * erf(root * d)) - price * (half + half * erf(root * (d - q)))\n\
        return call, call - a + price";
    let one = text
        .replace("xp.", "math.")
        .replace("return call, call - a + price", "c[i], p[i] = call, call - a[i] + price")
        .replace("(t)", "(t[i])")
        .replace("* t", "* t[i]")
        .replace("a / k", "a[i] / k[i]")
        .replace("k * ", "k[i] * ")
        .replace("call = a * ", "call = a[i] * ")
        .replace("erf(", "math.erf(")
        .replace('\n', "\n    ");
    let numba = format!("c, p = np.empty_like(a), np.empty_like(a)\nfor i in prange(a.size):\n    {one}\nreturn c, p");
    work("black_scholes", "Black-Scholes, call and put", F32, MILLIONS)
        .flat()
        .takes_in("a k", 10.0, 50.0)
        .takes_in("t", 0.2, 2.0)
        .pass(3, |s| [12.0 * elements(s), 8.0 * elements(s)])
        .program(move |x, _, _| {
            Ok(Box::new(move || {
                let (a, k, t) = (&x[0], &x[1], &x[2]);
                let q = t.sqrt() * 0.3;
                let d = ((a / k).log() + t * 0.065) / &q;
                let price = (t * -0.02).exp() * k;
                let call = a * cdf(&d) - &price * cdf(&(&d - &q));
                let put = &call - a + &price;
                eval_many(&[call, put])
            }))
        })
        .python("numpy", format!("from scipy.special import erf\n{text}"))
        .python("torch mlx", format!("erf = xp.erf\n{text}"))
        .python("jax", format!("erf = jax.scipy.special.erf\n{text}"))
        .python("cupy", format!("erf = cupyx.scipy.special.erf\n{text}"))
        .python("numba", numba)
}

/// A blur over nine neighbouring pixels, each of which is a shifted view of the picture.
fn stencil() -> Work {
    const WEIGHTS: [[f64; 3]; 3] = [[0.0625, 0.125, 0.0625], [0.125, 0.25, 0.125], [0.0625, 0.125, 0.0625]];
    let ends = ["-2", "-1", ""];
    let part = |(i, j): (usize, usize)| format!("F({}) * a[{i}:{}, {j}:{}]", WEIGHTS[i][j], ends[i], ends[j]);
    let all: Vec<String> = (0..9).map(|n| part((n / 3, n % 3))).collect();
    work("stencil", "9-point stencil on views", F32, &[&[4_000, 4_000]])
        .takes("a")
        .moves(1, 1)
        .operations(|s| 17.0 * elements(s))
        .program(|x, s, _| {
            let [m, n] = [s[0] as isize - 2, s[1] as isize - 2];
            Ok(Box::new(move || {
                let part = |i: isize, j: isize| x[0].slice(s![i..m + i, j..n + j]) * WEIGHTS[i as usize][j as usize];
                let sum = (1..9).fold(part(0, 0), |sum, i| sum + part(i / 3, i % 3));
                Ok(vec![sum.eval()?])
            }))
        })
        .python("numpy torch jax cupy mlx numba", all.join(" + "))
}

/// Returns a row of random numbers, which are generated on the device in the kernel that writes them.
fn drawn(name: &'static str, text: &'static str, dtype: DType, draw: fn(&mut Rng, &[usize]) -> Expr) -> Work {
    work(name, text, dtype, TEN_MILLION).flat().moves(0, 1).program(move |_, s, device| {
        let (s, device) = (s.to_vec(), device.clone());
        Ok(Box::new(move || Ok(vec![draw(&mut Rng::new(1), &s).to_device(&device)?])))
    })
}
