//! The functions that JavaScript calls. Errors become exceptions with the library's message.

use crate::work::Speed;
use crate::{digits, formula, fractal, measure, programs};
use cupric::{DType, Device, Expr, eval_many};
use wasm_bindgen::prelude::*;
use web_time::Instant;

type Answer<T> = Result<T, JsError>;

#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}

/// Opens the GPU. Returns its name, and whether it is a software driver.
#[wasm_bindgen]
pub async fn open_gpu() -> Answer<Opened> {
    let gpu = Device::gpu_async().await?;
    Ok(Opened { name: gpu.name().to_string(), is_software: gpu.is_software() })
}

#[wasm_bindgen(getter_with_clone)]
pub struct Opened {
    pub name: String,
    pub is_software: bool,
}

/// Returns a device that is open: `cpu` or `gpu`.
fn device(name: &str) -> Answer<Device> {
    Ok(name.parse()?)
}

/// A network that learns digits.
#[wasm_bindgen]
pub struct Network(digits::Network);

#[wasm_bindgen]
impl Network {
    /// Loads the digits, which are the bytes of a `.npy` file.
    #[wasm_bindgen(constructor)]
    pub fn new(on: &str, data: &[u8]) -> Answer<Network> {
        Ok(Network(digits::Network::new(&device(on)?, data)?))
    }

    /// Trains for one epoch. Returns epoch, number of epochs, loss and accuracy, or nothing at the end.
    pub async fn epoch(&mut self) -> Answer<Option<Vec<f32>>> {
        let report = self.0.epoch().await?;
        Ok(report.map(|r| vec![r.epoch as f32, r.epochs as f32, r.loss, r.accuracy]))
    }

    /// Returns the probability of each digit for 64 pixels from 0 to 16.
    pub async fn classify(&self, pixels: Vec<f32>) -> Answer<Vec<f32>> {
        Ok(self.0.classify(&pixels).await?)
    }
}

/// Returns a picture of the Mandelbrot set, four bytes a pixel.
#[wasm_bindgen]
pub async fn mandelbrot(on: String, width: u32, height: u32, x: f64, y: f64, span: f64, steps: u32) -> Answer<Vec<u8>> {
    let (width, height, steps) = (width.clamp(1, 2048) as usize, height.clamp(1, 2048) as usize, steps.clamp(1, 2000));
    let view = fractal::View { width, height, x, y, span, steps: steps as usize };
    Ok(fractal::picture(&device(&on)?, view).await?)
}

/// How a device evaluates a formula: the plan, the shaders, the time and the result.
#[wasm_bindgen(getter_with_clone)]
pub struct Evaluated {
    pub plan: String,
    pub wgsl: String,
    pub kernels: u32,
    /// The bytes that the kernels read and write.
    pub bytes: f64,
    /// The shortest time of an evaluation, in milliseconds.
    pub milliseconds: f64,
    pub shape: String,
    /// The first elements of the result.
    pub first: String,
    /// All elements of the result, to compare.
    pub elements: Vec<f32>,
}

/// The maximum number of elements of an operand of a formula: 16 MiB of f32.
const MOST_ELEMENTS: u32 = 1 << 22;

/// Evaluates a formula over two random operands of this many rows and columns.
#[wasm_bindgen]
pub async fn evaluate(on: String, text: String, rows: u32, columns: u32) -> Answer<Evaluated> {
    if rows == 0 || columns == 0 || rows.checked_mul(columns).is_none_or(|n| n > MOST_ELEMENTS) {
        return Err(JsError::new(&format!("an operand has 1 to {MOST_ELEMENTS} elements")));
    }
    let device = device(&on)?;
    let [x, y] = formula::operands(&device, rows as usize, columns as usize)?;
    let e = formula::parse(&text, &x, &y, Speed::of(&device)).map_err(|e| JsError::new(&e))?;
    let explained = formula::explained(&e)?;
    let (milliseconds, result) = shortest(&device, &e).await?;
    let elements = result.reshape(-1).astype(DType::F32).to_vec_async::<f32>().await?;
    let first = elements.iter().take(8).map(|v| format!("{v:.6}")).collect::<Vec<_>>().join("  ");
    Ok(Evaluated {
        plan: explained.plan,
        wgsl: explained.wgsl.join("\n"),
        kernels: explained.kernels as u32,
        bytes: explained.bytes as f64,
        milliseconds,
        shape: format!("{:?}", e.shape()?),
        first,
        elements,
    })
}

/// The time in seconds after which an expression is not evaluated again to measure it.
const LONG: f64 = 0.3;

/// Evaluates an expression several times, until a third of a second has passed. Returns the shortest time in
/// milliseconds, and the last result. The first evaluation, which compiles the kernels of a GPU, does not count. If it
/// takes long on the CPU, it is the only one, because the page is frozen meanwhile.
async fn shortest(device: &Device, e: &Expr) -> Answer<(f64, Expr)> {
    let begun = Instant::now();
    let first = e.eval()?;
    device.synchronize_async().await?;
    let time = begun.elapsed().as_secs_f64();
    if time > LONG && !device.is_gpu() {
        return Ok((time * 1e3, first.into()));
    }
    drop(first);
    let begun = Instant::now();
    let (mut best, mut runs) = (f64::INFINITY, 1usize);
    loop {
        let start = Instant::now();
        let mut last = e.eval()?;
        for _ in 1..runs {
            last = e.eval()?;
        }
        device.synchronize_async().await?;
        let time = start.elapsed().as_secs_f64() * 1e3;
        // a time of 0 is below the resolution of the clock
        if time > 0.0 {
            best = best.min(time / runs as f64);
        }
        if best.is_finite() && begun.elapsed().as_secs_f64() > LONG {
            return Ok((best, last.into()));
        }
        // a browser's clock is coarse, so several evaluations are timed together
        runs = if time < 20.0 { (runs * 2).min(64) } else { runs };
    }
}

/// Returns the names of the functions that a formula may use.
#[wasm_bindgen]
pub fn functions() -> Vec<String> {
    formula::names().into_iter().map(String::from).collect()
}

/// Returns the number of elements of the arrays that are used to measure a device.
fn elements(device: &Device) -> usize {
    if device.is_gpu() && !device.is_software() { 1 << 23 } else { 1 << 20 }
}

/// Returns how many rates [`rate`] measures.
#[wasm_bindgen]
pub fn rates() -> u32 {
    8
}

/// Measures the rate `number` of a device, and returns it as a line of the report.
#[wasm_bindgen]
pub async fn rate(on: String, number: u32) -> Answer<String> {
    let device = device(&on)?;
    let all = measure::rates(&device, elements(&device))?;
    let rate = all.get(number as usize).ok_or_else(|| JsError::new("there is no such rate"))?;
    let (milliseconds, _) = shortest(&device, &rate.expression).await?;
    let per_second = rate.work / milliseconds / 1e6;
    Ok(format!("{:26}{per_second:10.2} {}", rate.name, rate.unit))
}

/// Returns the rate at which a device copies memory, in GB/s.
#[wasm_bindgen]
pub async fn copy_rate(on: String) -> Answer<f64> {
    let device = device(&on)?;
    let copy = measure::copied(&device, elements(&device))?;
    let (milliseconds, _) = shortest(&device, &copy.expression).await?;
    Ok(copy.work / milliseconds / 1e6)
}

/// The number of times that a latency is measured. The page shows the median.
const SAMPLES: usize = 9;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Returns the time in milliseconds of one call that evaluates 1,000 kernels. A GPU only enqueues them; the CPU also
/// runs them.
#[wasm_bindgen]
pub async fn enqueue_time(on: String) -> Answer<f64> {
    let device = device(&on)?;
    let arrays = measure::thousand(&device)?;
    let mut times = vec![];
    // the first evaluation compiles the kernels
    for _ in 0..=SAMPLES {
        let roots: Vec<Expr> = arrays.iter().map(measure::fused).collect();
        device.synchronize_async().await?;
        let start = Instant::now();
        let results = eval_many(&roots)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        device.synchronize_async().await?;
        drop(results);
    }
    Ok(median(times.split_off(1)))
}

/// Returns the time in milliseconds to read a computed array of 4 KiB.
#[wasm_bindgen]
pub async fn read_time(on: String) -> Answer<f64> {
    let device = device(&on)?;
    let x = cupric::ones([1024], DType::F32).to_device(&device)?;
    let mut times = vec![];
    for _ in 0..=SAMPLES {
        let y = measure::fused(&x).eval()?;
        device.synchronize_async().await?;
        let start = Instant::now();
        y.to_vec_async::<f32>().await?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(times.split_off(1)))
}

/// Computes a small fused expression and reads its result, as the first work of a page.
#[wasm_bindgen]
pub async fn first_kernel(on: String) -> Answer<f32> {
    let x = cupric::ones([1], DType::F32).to_device(&device(&on)?)?;
    Ok(measure::fused(&x).item_async::<f32>().await?)
}

/// Runs the library's self-test, and returns what it found.
#[wasm_bindgen]
pub async fn self_test(on: String) -> Answer<String> {
    let device = device(&on)?;
    Ok(match device.self_test_async().await {
        Ok(()) => "all kinds of kernels are correct".to_string(),
        Err(error) => error.to_string(),
    })
}

/// Returns how many programs [`program`] runs.
#[wasm_bindgen]
pub fn programs() -> u32 {
    programs::PROGRAMS.len() as u32
}

/// Returns the name of a program.
#[wasm_bindgen]
pub fn program_name(number: u32) -> String {
    programs::PROGRAMS.get(number as usize).map_or_else(String::new, |program| program.0.to_string())
}

/// Runs a program, and returns the elements of its result.
#[wasm_bindgen]
pub async fn program(on: String, number: u32) -> Answer<Vec<f32>> {
    Ok(programs::run(&device(&on)?, number as usize).await?)
}

/// Returns the error of a call as a line.
fn line(what: &str, error: Option<cupric::Error>) -> String {
    format!("{what}: {}", error.map_or("no error".to_string(), |e| format!("{:?}: {e}", e.kind())))
}

/// Returns the errors of calls that a page cannot make before it has opened the GPU, one error per line.
#[wasm_bindgen]
pub fn errors_before_opening() -> String {
    let calls = [("gpu", Device::gpu()), ("best", Device::best()), ("parse", "best".parse())];
    calls.map(|(what, device)| line(what, device.err())).join("\n")
}

/// Returns the errors of calls that a page cannot make, and of an index out of range, one error per line.
#[wasm_bindgen]
pub async fn errors() -> String {
    let gpu = Device::gpu_async().await;
    let mut lines = vec![];
    let mut note = |what: &str, error: Option<cupric::Error>| lines.push(line(what, error));
    // the GPU is open, so this call need not wait
    note("best", Device::best().err());
    if let Ok(gpu) = gpu {
        let x = cupric::arange(0, 10, 1, DType::F32).to_device(&gpu);
        if let Ok(x) = x {
            note("item", x.sum(..).item::<f32>().err());
            note("to_vec", x.to_vec::<f32>().err());
            note("to_device", x.to_device(&Device::cpu()).err());
            note("synchronize", gpu.synchronize().err());
            let [near, far] = [3, 99].map(|index| cupric::Array::from([index]).to_device(&gpu));
            if let (Ok(near), Ok(far)) = (near, far) {
                // a value that can fail is computed and checked before it is written
                note("set", x.clone().set(cupric::s![..1], x.take(&near, 0)).err());
                note("index", x.take(&far, 0).to_vec_async::<f32>().await.err());
            }
            note("after", x.to_vec_async::<f32>().await.err());
        }
    }
    lines.join("\n")
}
