//! What a row is: a piece of work, described once for the library and for every peer.

use cupric::{Array, DType, Device, Expr, Result, Rng};
use serde_json::{Value, json};

/// One repetition: builds the expression, runs it and gives what it made, which the caller drops.
pub type Run = Box<dyn FnMut() -> Result<Vec<Array>>>;

/// A length that scales with the shape: elements, bytes or operations.
type Count = fn(&[usize]) -> f64;

type Bytes = Box<dyn Fn(&[usize]) -> f64>;
type Make = Box<dyn Fn(&[usize]) -> Input>;
type Build = Box<dyn Fn(Vec<Array>, &[usize], &Device) -> Result<Run>>;

/// What an input holds. Each device gets the same numbers.
#[derive(Clone, Copy)]
pub enum Fill {
    /// Uniform in `low..high`.
    Uniform(f64, f64),
    /// Each of `0..n` once, in random order; i32.
    Permutation,
    /// Uniform in `0..n`; i32.
    Below(i32),
}

/// An array that the work reads.
#[derive(Clone)]
pub struct Input {
    pub name: &'static str,
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub fill: Fill,
}

/// A row of the table, for each of its shapes.
pub struct Work {
    pub name: &'static str,
    /// As one would say or write it.
    pub text: &'static str,
    pub dtype: DType,
    pub shapes: Vec<Vec<usize>>,
    /// Whether `--sizes` applies: any length will do.
    pub flat: bool,
    /// A transfer between host and device: the limit is unknown on a GPU.
    pub transfer: bool,
    /// The limit is the rate of reading, not of copying.
    pub reads: bool,
    /// Without a limit: too small for bytes or operations to count.
    pub unlimited: bool,
    /// The time is the host's: what it enqueued on a GPU is not waited for.
    pub enqueued: bool,
    bytes: Bytes,
    flops: Count,
    inputs: Vec<Make>,
    build: Build,
    /// Names of Python modules and the text of a function's body for them.
    pub python: Vec<(&'static str, String)>,
}

/// A piece of work without inputs, bytes or peers yet.
pub fn work(name: &'static str, text: &'static str, dtype: DType, shapes: &[&[usize]]) -> Work {
    Work {
        name,
        text,
        dtype,
        shapes: shapes.iter().map(|s| s.to_vec()).collect(),
        flat: false,
        transfer: false,
        reads: false,
        unlimited: false,
        enqueued: false,
        bytes: Box::new(|_| 0.0),
        flops: |_| 0.0,
        inputs: vec![],
        build: Box::new(|_, _, _| Ok(Box::new(|| Ok(vec![])))),
        python: vec![],
    }
}

pub fn elements(shape: &[usize]) -> f64 {
    shape.iter().map(|n| *n as f64).product()
}

impl Work {
    /// Inputs of the row's own shape and dtype: names, separated by spaces.
    pub fn takes(self, names: &'static str) -> Work {
        self.takes_in(names, -3.0, 3.0)
    }

    /// The same with elements in `low..high`.
    pub fn takes_in(self, names: &'static str, low: f64, high: f64) -> Work {
        let dtype = self.dtype;
        names.split(' ').fold(self, |w, name| w.with(name, dtype, |s| s.to_vec(), Fill::Uniform(low, high)))
    }

    /// An input of another shape or dtype.
    pub fn with(mut self, name: &'static str, dtype: DType, shape: fn(&[usize]) -> Vec<usize>, fill: Fill) -> Work {
        self.inputs.push(Box::new(move |s| Input { name, dtype, shape: shape(s), fill }));
        self
    }

    /// `--sizes` applies.
    pub fn flat(mut self) -> Work {
        self.flat = true;
        self
    }

    /// Bytes: so many arrays of the row's shape and dtype, each read or written once.
    pub fn moves(mut self, arrays: f64) -> Work {
        let size = self.dtype.size() as f64;
        self.bytes = Box::new(move |s| arrays * size * elements(s));
        self
    }

    /// The same, of which nearly all is read.
    pub fn reads(mut self, arrays: f64) -> Work {
        self.reads = true;
        self.moves(arrays)
    }

    /// Elements of the row's dtype that must move.
    pub fn moves_elements(mut self, count: Count) -> Work {
        let size = self.dtype.size() as f64;
        self.bytes = Box::new(move |s| size * count(s));
        self
    }

    /// Bytes that must move.
    pub fn bytes_moved(mut self, bytes: Count) -> Work {
        self.bytes = Box::new(bytes);
        self
    }

    /// Operations: two for each multiply-add.
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

    /// The work is an expression of the inputs, built anew for each repetition as a caller would.
    pub fn run(self, f: fn(&[Array]) -> Expr) -> Work {
        self.program(move |x, _, _| Ok(Box::new(move || Ok(vec![f(&x).eval()?]))))
    }

    /// Anything else.
    pub fn program(mut self, build: impl Fn(Vec<Array>, &[usize], &Device) -> Result<Run> + 'static) -> Work {
        self.build = Box::new(build);
        self
    }

    /// How Python modules (names, separated by spaces) do the same: an expression or the body of a function. `xp` is the
    /// module itself, inputs go by their names, `shape` is the row's.
    pub fn python(mut self, peers: &'static str, text: impl Into<String>) -> Work {
        self.python.push((peers, text.into()));
        self
    }

    /// The row at each of its shapes; `sizes` replaces those of a flat one.
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
    pub fn bytes(&self) -> f64 {
        (self.work.bytes)(&self.shape)
    }

    pub fn flops(&self) -> f64 {
        (self.work.flops)(&self.shape)
    }

    pub fn inputs(&self) -> Vec<Input> {
        self.work.inputs.iter().map(|f| f(&self.shape)).collect()
    }

    /// What `--filter` looks at and `--list` shows: `matmul f32 1024x1024`.
    pub fn label(&self) -> String {
        format!("{} {} {}", self.work.name, self.work.dtype, shape_text(&self.shape))
    }

    /// Ready to run on a device.
    pub fn build(&self, device: &Device) -> Result<Run> {
        let inputs = self.inputs();
        let make = |(i, input): (usize, &Input)| input.make(i as u64, device);
        let arrays = inputs.iter().enumerate().map(make).collect::<Result<Vec<Array>>>()?;
        (self.work.build)(arrays, &self.shape, device)
    }

    /// What a peer is told.
    pub fn to_json(&self) -> Value {
        let input = |i: &Input| {
            let (kind, low, high) = match i.fill {
                Fill::Uniform(low, high) => ("uniform", low, high),
                Fill::Permutation => ("permutation", 0.0, 0.0),
                Fill::Below(n) => ("below", 0.0, f64::from(n)),
            };
            json!({"name": i.name, "dtype": i.dtype.name(), "shape": i.shape, "fill": kind, "low": low, "high": high})
        };
        let inputs: Vec<Value> = self.inputs().iter().map(input).collect();
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
    /// Drawn on the CPU, so that every device has the same bits.
    fn make(&self, seed: u64, device: &Device) -> Result<Array> {
        let mut rng = Rng::new(seed);
        let shape = &self.shape[..];
        let array = match self.fill {
            Fill::Uniform(low, high) => {
                (rng.uniform(shape, DType::F32) * (high - low) + low).astype(self.dtype).eval()?
            }
            Fill::Permutation => rng.permutation(shape.iter().product())?.reshape(shape).eval()?,
            Fill::Below(n) => rng.integers(0, n, shape, DType::I32).eval()?,
        };
        array.to_device(device)
    }
}

/// `10M`, `1000x10000`.
pub fn shape_text(shape: &[usize]) -> String {
    let number = |n: &usize| match *n {
        n if n >= 1_000_000 && n % 1_000_000 == 0 => format!("{}M", n / 1_000_000),
        n if n > 10_000 && n % 1_000 == 0 => format!("{}k", n / 1_000),
        n => n.to_string(),
    };
    shape.iter().map(number).collect::<Vec<_>>().join("x")
}
