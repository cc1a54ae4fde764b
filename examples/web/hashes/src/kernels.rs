//! User-defined kernels in a browser, on the CPU and on the GPU.

use crate::trials::said;
use cupric::DType::{F32, U32};
use cupric::{Array, Device, ElementwiseKernel, Error, ErrorKind, Expr, KernelOptions, RawKernel};
use cupric::{Reduction, ReductionKernel, Result, Rng, eval_all};
use wasm_bindgen::prelude::*;

const COLLATZ: &str = "var n = start;
    while n > 1u {
        if is_odd(n) { n = 3u * n + 1u; } else { n = n / 2u; }
        steps += 1u;
    }";

const LOGSUMEXP: Reduction<'_> = Reduction {
    state: "most: T = lowest, sum: T = 0",
    map: "most = x; sum = 1;",
    combine: "let far = exp(-abs(a.most - b.most));
        most = max(a.most, b.most);
        if a.most > b.most { sum = a.sum + b.sum * far; }
        else if a.most < b.most { sum = a.sum * far + b.sum; }
        else { sum = a.sum + b.sum; }",
    finish: "y = most + log(sum);",
};

const REVERSED: &str = "@group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    var<workgroup> tile: array<f32, 64>;
    @compute @workgroup_size(64)
    fn reversed(@builtin(local_invocation_index) i: u32) {
        tile[i] = x[i];
        workgroupBarrier();
        y[i] = tile[63u - i];
    }";

/// Runs an elementwise kernel, a reduction and a complete shader, and tests the errors of wrong sources.
#[wasm_bindgen]
pub async fn user_kernels() -> String {
    said(try_kernels().await)
}

async fn try_kernels() -> Result<String> {
    let (gpu, cpu) = (Device::gpu_async().await?, Device::cpu());
    let mut problems = vec![];
    for device in [&cpu, &gpu] {
        problems.extend(elementwise(device).await?);
        problems.extend(reduction(device).await?);
    }
    problems.extend(raw(&gpu).await?);
    problems.extend(refusals(&gpu));
    Ok(problems.join("\n"))
}

/// Counts the steps of Collatz's rule from each number, which has a loop, a branch and a helper function.
async fn elementwise(device: &Device) -> Result<Option<String>> {
    let options =
        KernelOptions::default().helpers("fn is_odd(n: u32) -> bool { return n % 2u == 1u; }").loop_steps(120);
    let collatz = ElementwiseKernel::with_options("start: u32", "steps: u32", COLLATZ, "collatz", options)?;
    let starts = cupric::arange(1, 51, 1, U32).to_device(device)?;
    let got = collatz.call((&starts,)).to_vec_async::<u32>().await?;
    let steps = |mut n: u32| {
        let mut steps = 0;
        while n > 1 {
            n = if n % 2 == 1 { 3 * n + 1 } else { n / 2 };
            steps += 1;
        }
        steps
    };
    let want: Vec<u32> = (1..51).map(steps).collect();
    if got != want {
        return Ok(Some(format!("an elementwise kernel on {device}: {got:?}, not {want:?}")));
    }
    let agreement = collatz.check_async((&starts,), device).await?;
    Ok((agreement.elements != 50 || agreement.different != 0).then(|| format!("an elementwise kernel: {agreement}")))
}

/// Reduces rows of 1,000 numbers by a state of two numbers, and compares the results with sums in f64.
async fn reduction(device: &Device) -> Result<Option<String>> {
    let logsumexp = ReductionKernel::new("x: T", "y: T", LOGSUMEXP, "logsumexp")?;
    let x = (Rng::new(7).uniform([4, 1000], F32) * 40.0).eval()?;
    let want = x.to_vec::<f32>()?;
    let want = want.chunks(1000).map(|row| row.iter().map(|v| f64::from(*v).exp()).sum::<f64>().ln());
    let got = logsumexp.call((&x.to_device(device)?,), -1).to_vec_async::<f32>().await?;
    // the results are near 40, whose unit in the last place is 4e-6
    let wrong = got.len() != 4 || got.iter().zip(want).any(|(a, b)| (f64::from(*a) - b).abs() > 2e-5);
    Ok(wrong.then(|| format!("a reduction on {device}: {got:?}")))
}

/// Runs a shader with workgroup memory and a barrier.
async fn raw(gpu: &Device) -> Result<Option<String>> {
    let reversed = RawKernel::new(REVERSED, "reversed")?;
    let x: Expr = cupric::arange(0, 64, 1, F32).to_device(gpu)?.into();
    let [y] = reversed.call([1, 1, 1], [&x], [([64], F32)])?;
    let [sum, first] = eval_all([&y.sum(..), &(&y.slice(cupric::s![0]) * 1.0)])?;
    let got = [sum.item_async::<f32>().await?, first.item_async::<f32>().await?];
    Ok((got != [2016.0, 63.0]).then(|| format!("a shader: the sum and the first element are {got:?}")))
}

/// Returns the wrong calls that do not return an error of the right kind, with the line of this file.
fn refusals(gpu: &Device) -> Vec<String> {
    let x: Expr = cupric::ones([3], F32);
    let on_cpu = RawKernel::new(REVERSED, "reversed")
        .and_then(|k| k.call([1, 1, 1], [&x], [([64], F32)]).map(|_: [Array; 1]| ()));
    let invalid = ElementwiseKernel::new("x: f32", "y: f32", "y = x +;", "wrong").err();
    let waits = ElementwiseKernel::new("x: f32", "y: f32", "y = x * 2.0;", "twice")
        .and_then(|kernel| kernel.check((&x,), gpu).map(|_| ()))
        .err();
    let cases: [(&str, ErrorKind, Option<Error>); 3] = [
        ("a source that is not WGSL", ErrorKind::Argument, invalid),
        ("a shader without a device", ErrorKind::Argument, on_cpu.err()),
        ("a comparison of devices, which waits", ErrorKind::WouldBlock, waits),
    ];
    let is_right = |kind, error: &Error| error.kind() == kind && error.to_string().contains("hashes/src/kernels.rs");
    let wrong = cases.into_iter().filter(|(_, kind, error)| !error.as_ref().is_some_and(|e| is_right(*kind, e)));
    wrong.map(|(what, _, error)| format!("{what}: {error:?}")).collect()
}

/// Makes an elementwise kernel whose source nests `levels` brackets and adds `terms` terms. Returns its error or "".
#[wasm_bindgen]
pub fn nested_kernel(levels: u32, terms: u32) -> String {
    let (levels, terms) = (levels as usize, terms as usize);
    let body = format!("y = {}x{}{};", "(".repeat(levels), ")".repeat(levels), "+x".repeat(terms));
    ElementwiseKernel::new("x: f32", "y: f32", &body, "nested").err().map_or_else(String::new, |e| e.to_string())
}
