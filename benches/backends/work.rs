//! A row of the benchmark: a piece of work, described once for the library and for every peer.

use crate::flow::Flow;
use cupric::{Array, DType, Device, Expr, Result, Rng, linspace};
use serde_json::{Value, json};

/// A function for one repetition: builds the expression, evaluates it and returns the results, which the caller drops.
pub type Run = Box<dyn FnMut() -> Result<Vec<Array>>>;

/// A number of elements, bytes or operations, computed from the shape.
type Count = fn(&[usize]) -> f64;

type Flows = Box<dyn Fn(&[usize]) -> Flow>;
type Make = Box<dyn Fn(&[usize]) -> Input>;
type Build = Box<dyn Fn(Vec<Array>, &[usize], &Device) -> Result<Run>>;
type Values = Box<dyn Fn(Vec<Array>) -> Result<Vec<Array>>>;

/// How the elements of an input are made. They are the same on each device; a peer makes other numbers of the same
/// kind.
#[derive(Clone, Copy)]
pub enum Fill {
    /// Uniform in `low..high`.
    Uniform(f64, f64),
    /// Each of `0..n` once, in random order; i32.
    Permutation,
    /// Numbers from the first one to below the second one, in equal steps.
    Ascending(f64, f64),
    /// Uniform in `0..n`, as i32 or as bool.
    Below(i32),
    /// Uniform in `low..high`, rounded down for integers. Every peer makes the same numbers; see `hashed`.
    Hashed(f64, f64),
}

/// Returns number `k` of a sequence in `0..1` that looks random. It is an integer hash, which every library can
/// compute.
pub fn hashed(k: u32) -> f64 {
    let h = (k ^ k >> 16).wrapping_mul(0x7feb_352d);
    let h = (h ^ h >> 15).wrapping_mul(0x846c_a68b);
    f64::from(h ^ h >> 16) / 2f64.powi(32)
}

/// An array that the work reads.
#[derive(Clone)]
pub struct Input {
    pub name: &'static str,
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub fill: Fill,
}

/// A row of the table, with all shapes that it is run at.
pub struct Work {
    pub name: &'static str,
    /// The name that the report prints.
    pub text: &'static str,
    pub dtype: DType,
    pub shapes: Vec<Vec<usize>>,
    /// Whether the row has one axis of any length, so that `--sizes` applies.
    pub flat: bool,
    /// Whether this is a transfer between host and device, which has no known limit on a GPU.
    pub transfer: bool,
    /// Whether the row has no limit, because it is too small for bytes or operations to decide its time.
    pub unlimited: bool,
    /// Whether only the host's time counts, without waiting for the work that it enqueued on a GPU.
    pub enqueued: bool,
    flows: Vec<Flows>,
    flops: Count,
    inputs: Vec<Make>,
    build: Build,
    values: Option<Values>,
    /// Names of Python modules, separated by spaces, with the code that they run; see `Work::python`.
    pub python: Vec<(&'static str, String)>,
}

/// Returns a row without inputs, bytes, work or peers. The methods of `Work` add them.
pub fn work(name: &'static str, text: &'static str, dtype: DType, shapes: &[&[usize]]) -> Work {
    Work {
        name,
        text,
        dtype,
        shapes: shapes.iter().map(|s| s.to_vec()).collect(),
        flat: false,
        transfer: false,
        unlimited: false,
        enqueued: false,
        flows: vec![],
        flops: |_| 0.0,
        inputs: vec![],
        build: Box::new(|_, _, _| Ok(Box::new(|| Ok(vec![])))),
        values: None,
        python: vec![],
    }
}

pub fn elements(shape: &[usize]) -> f64 {
    shape.iter().map(|n| *n as f64).product()
}

impl Work {
    /// Adds inputs of the row's own shape and dtype, by names separated by spaces, with elements in `-3..3`.
    pub fn takes(self, names: &'static str) -> Work {
        self.takes_in(names, -3.0, 3.0)
    }

    /// Adds inputs of the row's own shape and dtype, like `takes`, with elements in `low..high`.
    pub fn takes_in(self, names: &'static str, low: f64, high: f64) -> Work {
        let dtype = self.dtype;
        names.split(' ').fold(self, |w, name| w.with(name, dtype, |s| s.to_vec(), Fill::Uniform(low, high)))
    }

    /// Adds an input of another shape or dtype.
    pub fn with(mut self, name: &'static str, dtype: DType, shape: fn(&[usize]) -> Vec<usize>, fill: Fill) -> Work {
        self.inputs.push(Box::new(move |s| Input { name, dtype, shape: shape(s), fill }));
        self
    }

    /// Lets `--sizes` apply to the row.
    pub fn flat(mut self) -> Work {
        self.flat = true;
        self
    }

    /// Adds a pass that reads `reads` arrays of the row's shape and dtype side by side, and writes `writes` such
    /// arrays.
    pub fn moves(self, reads: usize, writes: usize) -> Work {
        let size = self.dtype.size() as f64;
        self.pass(reads, move |s| [reads as f64 * size * elements(s), writes as f64 * size * elements(s)])
    }

    /// Adds a pass that reads and writes as many elements of the row's dtype as `count` returns.
    pub fn moves_elements(self, count: fn(&[usize]) -> [f64; 2]) -> Work {
        let size = self.dtype.size() as f64;
        self.pass(1, move |s| count(s).map(|n| n * size))
    }

    /// Adds a pass over memory that reads `arrays` arrays side by side. `bytes` returns how many bytes it reads in all,
    /// and how many it writes. Work that must read its input twice has two passes.
    pub fn pass(mut self, arrays: usize, bytes: impl Fn(&[usize]) -> [f64; 2] + 'static) -> Work {
        self.flows.push(Box::new(move |s| {
            let [read, write] = bytes(s);
            Flow { arrays, read, write }
        }));
        self
    }

    /// Sets the number of operations, two for each multiply-add.
    pub fn operations(mut self, count: Count) -> Work {
        self.flops = count;
        self
    }

    pub fn unlimited(mut self) -> Work {
        self.unlimited = true;
        self
    }

    pub fn enqueued(mut self) -> Work {
        self.enqueued = true;
        self
    }

    pub fn transfer(mut self) -> Work {
        self.transfer = true;
        self
    }

    /// Sets the work to an expression of the inputs, which is built anew for each repetition, as a caller would.
    pub fn run(self, f: fn(&[Array]) -> Expr) -> Work {
        self.program(move |x, _, _| Ok(Box::new(move || Ok(vec![f(&x).eval()?]))))
    }

    /// Sets the work to a program that is more than one expression.
    pub fn program(mut self, build: impl Fn(Vec<Array>, &[usize], &Device) -> Result<Run> + 'static) -> Work {
        self.build = Box::new(build);
        self
    }

    /// Sets the values that each peer must compute, within `peers::CLOSE`, before it is timed. All inputs must be
    /// `Fill::Hashed`.
    pub fn checked(mut self, values: impl Fn(Vec<Array>) -> Result<Vec<Array>> + 'static) -> Work {
        self.values = Some(Box::new(values));
        self
    }

    pub fn is_checked(&self) -> bool {
        self.values.is_some()
    }

    /// Adds Python code that does the same, for the modules `peers` (names, separated by spaces). It is an expression
    /// or the body of a function. In it, `xp` is the module, inputs have their names, and `shape` is the row's shape.
    pub fn python(mut self, peers: &'static str, text: impl Into<String>) -> Work {
        self.python.push((peers, text.into()));
        self
    }

    /// Returns the row at each of its shapes. If the row is flat and `sizes` are given, they replace its shapes.
    pub fn cases<'a>(&'a self, sizes: &[usize]) -> Vec<Case<'a>> {
        let shapes =
            if self.flat && !sizes.is_empty() { sizes.iter().map(|n| vec![*n]).collect() } else { self.shapes.clone() };
        shapes.into_iter().map(|shape| Case { work: self, shape }).collect()
    }
}

/// A row at one shape.
pub struct Case<'a> {
    pub work: &'a Work,
    pub shape: Vec<usize>,
}

impl Case<'_> {
    /// Returns the passes over memory that the row must make.
    pub fn flows(&self) -> Vec<Flow> {
        self.work.flows.iter().map(|f| f(&self.shape)).collect()
    }

    /// Returns the bytes that the row must move.
    pub fn bytes(&self) -> f64 {
        self.flows().iter().map(Flow::bytes).sum()
    }

    pub fn flops(&self) -> f64 {
        (self.work.flops)(&self.shape)
    }

    pub fn inputs(&self) -> Vec<Input> {
        self.work.inputs.iter().map(|f| f(&self.shape)).collect()
    }

    /// Returns the label that `--list` shows and `--filter` searches, such as `matmul f32 1024x1024`.
    pub fn label(&self) -> String {
        format!("{} {} {}", self.work.name, self.work.dtype, shape_text(&self.shape))
    }

    /// Makes the inputs on a device, and returns one repetition of the work.
    pub fn build(&self, device: &Device) -> Result<Run> {
        (self.work.build)(self.arrays(device)?, &self.shape, device)
    }

    fn arrays(&self, device: &Device) -> Result<Vec<Array>> {
        self.inputs().iter().enumerate().map(|(i, input)| input.make(i as u32, device)).collect()
    }

    /// Returns a digest of each array that the peers must compute too. The list is empty if the row is not checked.
    pub fn values(&self) -> Result<Vec<[f64; 2]>> {
        let Some(values) = &self.work.values else { return Ok(vec![]) };
        values(self.arrays(&Device::cpu())?)?.iter().map(|a| Ok(digest(&a.to_vec::<f32>()?))).collect()
    }

    /// Returns the description of the case that a peer gets.
    pub fn to_json(&self) -> Value {
        let input = |(number, i): (usize, &Input)| {
            let (kind, low, high) = match i.fill {
                Fill::Uniform(low, high) => ("uniform", low, high),
                Fill::Ascending(low, high) => ("ascending", low, high),
                Fill::Permutation => ("permutation", 0.0, 0.0),
                Fill::Below(n) => ("below", 0.0, f64::from(n)),
                Fill::Hashed(low, high) => ("hashed", low, high),
            };
            json!({"name": i.name, "dtype": i.dtype.name(), "shape": i.shape, "fill": kind, "low": low, "high": high,
                "first": first(number as u32)})
        };
        let inputs: Vec<Value> = self.inputs().iter().enumerate().map(input).collect();
        let mut texts = serde_json::Map::new();
        for (peers, text) in &self.work.python {
            for peer in peers.split(' ') {
                texts.insert(peer.to_string(), json!(text));
            }
        }
        let work = self.work;
        json!({"work": work.name, "dtype": work.dtype.name(), "shape": self.shape, "inputs": inputs, "texts": texts})
    }
}

impl Input {
    /// Makes the array on the CPU and moves it, so that every device has the same bits.
    fn make(&self, number: u32, device: &Device) -> Result<Array> {
        let mut rng = Rng::new(u64::from(number));
        let shape = &self.shape[..];
        let array = match self.fill {
            Fill::Uniform(low, high) => {
                (rng.uniform(shape, DType::F32) * (high - low) + low).astype(self.dtype).eval()?
            }
            Fill::Ascending(low, high) => {
                let n = shape.iter().product::<usize>();
                let step = (high - low) / n.max(1) as f64;
                linspace(low, high - step, n, self.dtype).reshape(shape).eval()?
            }
            Fill::Permutation => rng.permutation(shape.iter().product()).reshape(shape).eval()?,
            Fill::Below(n) => rng.integers(0, n, shape, DType::I32).astype(self.dtype).eval()?,
            Fill::Hashed(low, high) => {
                let numbers = first(number)..first(number) + shape.iter().product::<usize>() as u32;
                let numbers: Vec<f64> = numbers.map(|k| hashed(k) * (high - low) + low).collect();
                Array::from_vec(numbers, shape)?.astype(self.dtype).eval()?
            }
        };
        array.to_device(device)
    }
}

/// Returns the position in the hashed sequence at which an input begins. Inputs of up to 2^24 elements do not overlap.
fn first(input: u32) -> u32 {
    input << 24
}

/// Returns the norm of an array, and its scalar product with numbers in `-1..1` that look random. If two arrays differ,
/// at least one of these two results differs by about as much.
fn digest(x: &[f32]) -> [f64; 2] {
    let wide = x.iter().map(|x| f64::from(*x));
    let product = wide.clone().enumerate().map(|(k, x)| x * (2.0 * hashed(k as u32) - 1.0)).sum();
    [wide.map(|x| x * x).sum::<f64>().sqrt(), product]
}

/// Formats a shape as `10M` or `1000x10000`.
pub fn shape_text(shape: &[usize]) -> String {
    let number = |n: &usize| match *n {
        n if n >= 1_000_000 && n % 1_000_000 == 0 => format!("{}M", n / 1_000_000),
        n if n > 10_000 && n % 1_000 == 0 => format!("{}k", n / 1_000),
        n => n.to_string(),
    };
    shape.iter().map(number).collect::<Vec<_>>().join("x")
}
