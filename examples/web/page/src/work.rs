//! How much a formula computes. It is estimated before the evaluation, so that a formula that would take long is
//! refused and does not freeze the page.

use cupric::{Device, Expr};

/// The longest time, in seconds, that one evaluation of a formula may take by the estimate.
const MOST_SECONDS: f64 = 2.0;

/// A kind of operation, by the time that one element takes.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A few instructions, or a move of memory.
    Step,
    /// A function such as `exp`.
    Function,
    /// A function that takes several times as long as `exp`.
    SlowFunction,
    /// An operation along rows that reads its operand several times, such as a sort.
    Rows,
}

/// How fast a device computes: the nanoseconds of a multiply-add of a product, and of an element of each [`Kind`].
pub struct Speed {
    name: &'static str,
    multiply_add: f64,
    kinds: [f64; 4],
}

/// The module without relaxed SIMD computes multiply-adds by a function. A product of 256³ takes 64 ms
/// (`src/guide/browser.md`). The other times are those of the slowest function of each kind, in node 20 on a busy
/// machine: `erf` 76 ns, an element to a power 285 ns, `cumsum` 33 ns.
pub const PLAIN: Speed =
    Speed { name: "the CPU without relaxed SIMD", multiply_add: 3.8, kinds: [0.5, 80.0, 290.0, 35.0] };

/// The module with relaxed SIMD. A product of 256³ takes 0.66 ms; measured like [`PLAIN`], `log1p` takes 18 ns,
/// `pow` 36 ns and `cumsum` 28 ns an element. A native build is not slower.
pub const RELAXED: Speed = Speed { name: "the CPU", multiply_add: 0.04, kinds: [0.5, 20.0, 36.0, 28.0] };

/// SwiftShader, which runs the shaders on the CPU: about a third of the times in Chromium 156 on two cores that
/// four other programs used (a multiply-add 4.2 ns; an element of `sin` 171, `softmax` 1,900 and `sort` 2,900 ns).
pub const SOFTWARE_GPU: Speed = Speed { name: "a software GPU", multiply_add: 1.4, kinds: [15.0, 60.0, 60.0, 950.0] };

/// A slow graphics card: 100 GFLOP/s in products and 16 GB/s. No card was measured in a browser.
pub const GPU: Speed = Speed { name: "the GPU", multiply_add: 0.02, kinds: [0.5, 1.0, 2.0, 20.0] };

impl Speed {
    /// Returns the speed of a device, by its kind and by this module.
    pub fn of(device: &Device) -> &'static Speed {
        match (device.is_gpu(), device.is_software()) {
            (true, true) => &SOFTWARE_GPU,
            (true, false) => &GPU,
            (false, _) if cfg!(all(target_family = "wasm", not(cupric_relaxed_simd))) => &PLAIN,
            (false, _) => &RELAXED,
        }
    }
}

/// The operations of a formula: multiply-adds of products, and elements of each [`Kind`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    multiply_adds: f64,
    kinds: [f64; 4],
}

/// Returns the number of elements of an expression, or 0 if the expression is wrong; its evaluation returns the error.
fn elements(e: &Expr) -> f64 {
    e.shape().map_or(0.0, |shape| shape.iter().map(|&n| n as f64).product())
}

impl Work {
    /// Adds an operation with this operand and this result. It counts the elements of the larger one.
    pub fn add(&mut self, kind: Kind, operand: &Expr, result: &Expr) {
        self.kinds[kind as usize] += elements(operand).max(elements(result));
    }

    /// Adds a product of matrices with this left operand and this result.
    pub fn add_product(&mut self, left: &Expr, result: &Expr) {
        let length = left.shape().ok().and_then(|shape| shape.last().copied()).unwrap_or(1);
        self.multiply_adds += elements(result) * length as f64;
    }

    /// Returns the estimated seconds of an evaluation.
    fn seconds(&self, speed: &Speed) -> f64 {
        let kinds = self.kinds.iter().zip(speed.kinds).map(|(n, time)| n * time).sum::<f64>();
        (self.multiply_adds * speed.multiply_add + kinds) * 1e-9
    }

    /// Returns an error if an evaluation would take longer than a page may compute.
    pub fn check(&self, speed: &Speed) -> Result<(), String> {
        let seconds = self.seconds(speed);
        if seconds <= MOST_SECONDS {
            return Ok(());
        }
        let Speed { name, multiply_add, .. } = speed;
        Err(format!(
            "the formula has {:.1e} multiply-adds and {:.1e} elements of other operations, which take about {seconds:.1} s \
             on {name}; the page allows {MOST_SECONDS} s, or {:.1e} multiply-adds. Choose a smaller shape",
            self.multiply_adds,
            self.kinds.iter().sum::<f64>(),
            MOST_SECONDS / multiply_add * 1e9,
        ))
    }
}
