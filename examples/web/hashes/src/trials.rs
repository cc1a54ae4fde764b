//! Tests that need the GPU of a browser. Each function returns the problems that it found, one per line, or "".

use crate::judge::{Judge, reference};
use crate::random_expressions::check::{compare, lazy};
use crate::random_expressions::generate::generate;
use crate::samples::tuples;
use cupric::DType::{Bool, F32, I32, U32};
use cupric::testing::{self, Interpreter, Row};
use cupric::{Array, Device, Error, ErrorKind, Expr, Result, eval_many};
use wasm_bindgen::prelude::*;

/// Elements of each operand of a function.
const OPERANDS: usize = 4096;

/// Returns the problems that a test found, or its error as a problem.
pub fn said(problems: Result<String>) -> String {
    problems.unwrap_or_else(|error| format!("{:?}: {error}", error.kind()))
}

/// Returns the functions of f32 that GPUs have, without `select`: it only moves bits, and random programs test it.
fn functions() -> Vec<Row> {
    testing::rows().into_iter().filter(|row| row.takes(F32, true) && row.name() != "select").collect()
}

/// Returns how many functions [`one_function`] tries.
#[wasm_bindgen]
pub fn function_count() -> u32 {
    functions().len() as u32
}

/// Compares a function of f32 with its exact values, within the bound of the contract for GPUs.
#[wasm_bindgen]
pub async fn one_function(number: u32, turn: u32) -> String {
    let Some(row) = functions().into_iter().nth(number as usize) else { return "there is no such function".into() };
    said(try_function(row, turn.into()).await)
}

async fn try_function(row: Row, turn: u64) -> Result<String> {
    let gpu = Device::gpu_async().await?;
    let promised = testing::contract().iter().find(|p| p.function == row.name() && p.dtype == F32 && p.gpu);
    let Some(promised) = promised else { return Ok(format!("the contract has no line for {}", row.name())) };
    let columns = tuples(&row, F32, turn, OPERANDS);
    let operand = |bits: &Vec<u32>| {
        let elements: Vec<f32> = bits.iter().copied().map(f32::from_bits).collect();
        Ok(Expr::from(Array::from_vec(elements, [OPERANDS])?.to_device(&gpu)?))
    };
    let operands: Vec<Expr> = columns.iter().map(operand).collect::<Result<_>>()?;
    let got: Vec<u32> = match row.result(F32) {
        Bool => row.apply(&operands).to_vec_async::<bool>().await?.into_iter().map(u32::from).collect(),
        _ => row.apply(&operands).to_vec_async::<f32>().await?.into_iter().map(f32::to_bits).collect(),
    };
    let judge = Judge::new(row, F32, promised.bound.clone(), true);
    let found = judge.all(&columns, 0, &reference(&row, F32, &columns), &got);
    Ok(found.first.map_or_else(String::new, |first| format!("{}: {} wrong, {first}", row.name(), found.wrong)))
}

/// Compares a random program of f32, integers and bool, on the GPU and on the CPU, with the interpreter of expressions.
#[wasm_bindgen]
pub async fn random_program(seed: u32) -> String {
    said(try_program(u64::from(seed)).await)
}

async fn try_program(seed: u64) -> Result<String> {
    let (gpu, cpu) = (Device::gpu_async().await?, Device::cpu());
    let program = generate(seed, &[F32, F32, I32, I32, U32, Bool], &gpu, 16);
    let wrong = |why: String| Ok(format!("random program {seed}: {why}: {}", program.code()));
    let (there, here) = match (lazy(&program, &gpu), lazy(&program, &cpu)) {
        (Ok(there), Ok(here)) => (there, here),
        (Err(why), _) | (_, Err(why)) => return wrong(why),
    };
    let results = eval_many(program.roots.iter().map(|root| &there[*root]))?;
    let on_cpu = eval_many(program.roots.iter().map(|root| &here[*root]))?;
    // some functions build other expressions for a GPU, so the expressions of each device are interpreted
    let (mut meaning, mut meaning_on_cpu) = (Interpreter::new(&gpu), Interpreter::new(&cpu));
    for ((result, on_cpu), root) in results.iter().zip(&on_cpu).zip(&program.roots) {
        let result = result.to_device_async(&cpu).await?;
        meaning.load(&there[*root]).await?;
        let of_gpu = compare(&result, &*meaning.interpret(&there[*root])?);
        let of_cpu = meaning_on_cpu.interpret(&here[*root])?;
        let of_cpu = compare(on_cpu, &of_cpu).map_err(|why| format!("on the CPU: {why}"));
        if let Err(why) = of_gpu.and(of_cpu) {
            return wrong(why);
        }
    }
    Ok(String::new())
}

/// Asks the CPU and the GPU for more memory than they have. Both must return an error, and work afterwards.
#[wasm_bindgen]
pub async fn refused_memory() -> String {
    said(try_refusals().await)
}

async fn try_refusals() -> Result<String> {
    let gpu = Device::gpu_async().await?;
    let mut problems = vec![];
    let mut wants = |what: &str, kinds: &[ErrorKind], error: Option<Error>| match error {
        Some(error) if kinds.contains(&error.kind()) && error.to_string().contains("trials.rs") => {}
        other => problems.push(format!("{what}: {other:?}")),
    };
    let memory = [ErrorKind::OutOfMemory, ErrorKind::LimitExceeded, ErrorKind::Shape];
    wants("4 GB on the CPU", &memory, cupric::zeros([1_000_000_000], F32).eval().err());
    wants("3.9 GB on the CPU", &memory, cupric::zeros([975_000_000], F32).eval().err());
    let one = cupric::ones([1], F32).to_device(&gpu)?;
    wants("16 GB on the GPU", &memory, (&one + cupric::zeros([4_000_000_000usize], F32)).eval().err());
    let sum = (&one + cupric::arange(0, 10, 1, F32).to_device(&gpu)?).sum(..).item_async::<f32>().await?;
    if sum != 55.0 {
        problems.push(format!("the sum afterwards is {sum}"));
    }
    Ok(problems.join("\n"))
}

/// Calls `lose`, which destroys the device, while a read waits. Reads after the loss must return errors.
#[wasm_bindgen]
pub async fn lost_device(lose: &js_sys::Function) -> String {
    said(try_loss(lose).await)
}

async fn try_loss(lose: &js_sys::Function) -> Result<String> {
    let gpu = Device::gpu_async().await?;
    let x = cupric::arange(0, 1000, 1, F32).to_device(&gpu)?;
    let sum = (&x * 2.0).sum(..);
    let waiting = sum.item_async::<f32>();
    let mut problems = vec![];
    if lose.call0(&JsValue::NULL).is_err() {
        problems.push("the device was not destroyed".to_string());
    }
    let mut wants = |what: &str, error: Option<Error>| match error {
        Some(error) if error.kind() == ErrorKind::DeviceLost && error.to_string().contains("trials.rs") => {}
        other => problems.push(format!("{what}: {other:?}")),
    };
    // the queue had the read before the loss, so its result may still come
    match waiting.await {
        Ok(999_000.0) => {}
        other => wants("the read that waited", other.err()),
    }
    wants("a read", sum.item_async::<f32>().await.err());
    wants("a kernel", (&x + 1.0).eval().err());
    wants("a copy", cupric::ones([3], F32).to_device(&gpu).err());
    Ok(problems.join("\n"))
}
