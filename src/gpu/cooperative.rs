//! The self-test of cooperative matrices: small matrices (8 × 8 or 16 × 16) whose product a subgroup computes in one
//! instruction. Some drivers compute these products wrongly, or in f16. So a device first multiplies a few matrices
//! with known products, and uses cooperative matrices only if all results are correct. The test runs once in a process
//! for each adapter, and its result is kept on disk.

use super::adapter::Origin;
use super::connection::lock;
use super::device::Gpu;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{c_strides, product};
use crate::plan::backend::{Backend, Bindings, KeptLines, wait};
use crate::plan::kernel::{
    BufferRef, Caps, ExecutionPlan, Kernel, KernelKind, Load, Model, Op, Output, Schedule, Step, Store, Value, Window,
};
use crate::plan::schedule_nest;
use half::f16;
use smallvec::smallvec;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

/// The results of the self-test in this process: the number of the adapter, and whether its products are correct.
static FOUND: Mutex<Vec<(usize, bool)>> = Mutex::new(Vec::new());

/// Returns whether this process has found that products by cooperative matrices are wrong on an adapter.
pub(super) fn are_wrong(origin: &Origin) -> bool {
    origin.number().is_some_and(|adapter| lock(&FOUND).contains(&(adapter, false)))
}

/// Returns whether products by cooperative matrices are correct on a device. `trial` opens another device on the same
/// adapter, which runs the test.
pub(super) fn are_right(gpu: &Gpu, trial: impl FnOnce() -> Result<Arc<Gpu>>) -> bool {
    // the lock is held during the test, so that a second thread that opens a device waits for the result
    let mut found = lock(&FOUND);
    let number = gpu.origin.number();
    if let Some((_, known)) = found.iter().find(|(adapter, _)| Some(*adapter) == number) {
        return *known;
    }
    let kept = gpu.disk.as_ref().and_then(|disk| disk.cooperative());
    let known = kept.or_else(|| {
        let test = || -> Result<bool> {
            let trial = trial()?;
            // a driver may not offer cooperative matrices to a second device; then nothing would be tested
            if trial.caps.cooperative != gpu.caps.cooperative {
                let detail = "a second device has no cooperative matrices";
                return Err(Error::with_line(ErrorKind::DeviceNotFound, "open", detail, None));
            }
            // a product uses large tiles if it has at least `busy` of them. With the device's own `busy`, these
            // products are too small for that, and with 0, all of them use large tiles. So both sizes of tiles are
            // tested
            let ways = [gpu.caps.tiles.busy, 0].into_iter().flat_map(|busy| TRIALS.iter().map(move |t| (t, busy)));
            { ways }.try_fold(true, |right, (t, busy)| Ok(right && t.is_right(&t.run(&trial, busy)?)))
        };
        // wgpu panics if a driver rejects a device with features that the driver itself has reported as supported
        let panicked = |_| Err(Error::with_line(ErrorKind::Internal, "open", "the self-test panicked", None));
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(test)).unwrap_or_else(panicked);
        if let Ok(right) = &outcome {
            gpu.disk.iter().for_each(|disk| disk.keep_cooperative(*right));
        }
        finding(outcome)
    });
    // what is not known is tested again by the next device
    found.extend(number.zip(known));
    known.unwrap_or(false)
}

/// Returns what the self-test has found, or `None` if it has found nothing, because the machine was too busy or the
/// memory was used up. Any other error counts as wrong products in this process. It is not kept for later processes,
/// because the kernel may have failed to compile, or the device may have been lost, for a reason that has nothing to do
/// with the matrices.
fn finding(outcome: Result<bool>) -> Option<bool> {
    match outcome {
        Ok(right) => Some(right),
        Err(e) if e.kind() == ErrorKind::Timeout || e.kind() == ErrorKind::OutOfMemory => {
            mutant!(late_self_test_is_wrong, Some(false), None)
        }
        Err(_) => Some(false),
    }
}

/// A product whose result is known.
struct Trial {
    /// The number of matrices in the batch, then m and n (the rows and columns of a result) and k (the length of its
    /// sums).
    sizes: [usize; 4],
    /// For the left and the right operand: whether it is contiguous along k, instead of along m (left) or n (right).
    along_k: [bool; 2],
    /// Functions that return the value of an element. The arguments of the first one are a matrix of the batch, a row
    /// and a position along k of the left operand. The second one takes a column of the right operand instead of a row.
    elements: [fn(usize, usize, usize) -> f32; 2],
    /// Whether the sums are exact in f32. If not, all rows of the left operand are equal, and so are all columns of the
    /// right operand, so all elements of the result must have the same bits.
    is_exact: bool,
}

/// Returns a whole number from −8 to 8. Sums of a few hundred products of such numbers are exact in f32, but not in
/// f16.
fn whole(matrix: usize, line: usize, k: usize) -> f32 {
    ((matrix * 5 + line * 7 + k * 11) % 17) as f32 - 8.0
}

/// Returns a number between −1 and 1 with 11 significant bits, which depends on k alone.
fn by_k(_: usize, _: usize, k: usize) -> f32 {
    ((k * 1_103 + 37) % 2_047) as f32 / 1_024.0 - 1.0
}

/// The products of the self-test. They cover sizes that are not multiples of a tile's, both memory orders of both
/// operands, loads of single elements and of vectors, and values that f16 cannot hold.
static TRIALS: [Trial; 7] = [
    Trial { sizes: [2, 70, 67, 300], along_k: [true, false], elements: [whole; 2], is_exact: true },
    Trial { sizes: [1, 36, 100, 76], along_k: [false, true], elements: [whole; 2], is_exact: true },
    // elements that are subnormal numbers of f16
    Trial {
        sizes: [1, 17, 15, 65],
        along_k: [true, true],
        elements: [|_, line, k| ((line * 31 + k * 7) % 1_023 + 1) as f32 * f32::powi(2.0, -24), whole],
        is_exact: true,
    },
    // a sum in f16 stays at 2,048 when 1 is added
    Trial {
        sizes: [1, 8, 9, 40],
        along_k: [true, false],
        elements: [|_, _, k| if k == 0 { 2_048.0 } else { 1.0 }, |_, _, _| 1.0],
        is_exact: true,
    },
    // the largest product of two f16: 65,504 times 65,504
    Trial { sizes: [1, 3, 5, 1], along_k: [true, false], elements: [|_, _, _| 65_504.0; 2], is_exact: true },
    // an infinite element makes its own row infinite
    Trial {
        sizes: [1, 20, 20, 20],
        along_k: [false, false],
        elements: [|_, line, k| if [line, k] == [3, 5] { f32::INFINITY } else { 1.0 }, |_, _, _| 1.0],
        is_exact: true,
    },
    Trial { sizes: [1, 72, 72, 600], along_k: [true, false], elements: [by_k; 2], is_exact: false },
];

impl Trial {
    /// Returns the strides of an operand (0: left, 1: right) along the batch, along its own axis (m or n) and along k.
    fn strides(&self, operand: usize) -> [isize; 3] {
        let [_, m, n, k] = self.sizes;
        let lines = [m, n][operand];
        let strides = if self.along_k[operand] { [lines * k, k, 1] } else { [lines * k, 1, lines] };
        strides.map(|s| s as isize)
    }

    /// Returns the kernel of the product, which stores its sums as f32.
    fn kernel(&self, caps: &Caps) -> Result<Kernel> {
        let [batch, m, n, k] = self.sizes;
        let load = |operand: usize| {
            let [along_batch, along_line, along_k] = self.strides(operand);
            let lines = if operand == 0 { [along_line, 0] } else { [0, along_line] };
            let strides = smallvec![along_batch, lines[0], lines[1], along_k];
            Load { buffer: BufferRef::Input(operand), dtype: DType::F16, strides, offset: 0 }
        };
        let strides = c_strides(&[batch, m, n]);
        let mut kernel = Kernel {
            kind: KernelKind::Matmul,
            outer: smallvec![batch, m, n],
            inner: smallvec![k],
            loads: vec![load(0), load(1)],
            values: vec![Value { op: Op::Dot { from: None, part: None }, dtype: DType::F16, inner: false }],
            stores: vec![Store {
                buffer: BufferRef::Output(0),
                dtype: DType::F32,
                strides,
                offset: 0,
                value: 0,
                chosen: None,
            }],
            windows: vec![Window { start: smallvec![0; 3], shape: smallvec![batch, m, n] }],
            schedule: Schedule::default(),
            continues: false,
            name: "matmul",
            node: 0,
        };
        schedule_nest(&mut kernel, caps)?;
        Ok(kernel)
    }

    /// Returns an operand's elements in the order of memory.
    fn operand(&self, operand: usize) -> Vec<f16> {
        let [batch, m, n, k] = self.sizes;
        let (lines, strides) = ([m, n][operand], self.strides(operand).map(|s| s as usize));
        let mut elements = vec![f16::ZERO; batch * lines * k];
        for b in 0..batch {
            for line in 0..lines {
                for k in 0..k {
                    let at = b * strides[0] + line * strides[1] + k * strides[2];
                    elements[at] = f16::from_f32((self.elements[operand])(b, line, k));
                }
            }
        }
        elements
    }

    /// Computes the product on a device. A product that has at least `busy` large tiles uses them; a smaller one uses
    /// small tiles.
    fn run(&self, gpu: &Gpu, busy: usize) -> Result<Vec<f32>> {
        let mut caps = Caps::clone(&gpu.caps);
        caps.tiles.busy = busy;
        let [batch, m, n, _] = self.sizes;
        let (shape, strides) = (smallvec![batch, m, n], c_strides(&[batch, m, n]));
        let plan = ExecutionPlan {
            inputs: vec![DType::F16; 2],
            aliased: vec![false; 2],
            // this plan is never kept, so no lookup uses its id
            id: u64::MAX,
            is_kept: false,
            kept: Default::default(),
            scalars: vec![],
            temps: vec![],
            outputs: vec![Output { dtype: DType::F32, shape, strides }],
            steps: vec![Step::Nest(self.kernel(&caps)?)],
            model: Model::default(),
        };
        let mut inputs = vec![];
        for operand in [0, 1] {
            let elements = self.operand(operand);
            let buffer = gpu.allocate(elements.len() * 2)?;
            gpu.write(&buffer, 0, bytemuck::cast_slice(&elements))?;
            inputs.push(buffer);
        }
        let output = gpu.allocate(product(&[batch, m, n]) * 4)?;
        let inputs: Vec<_> = inputs.iter().map(|b| (b, 0)).collect();
        let lines = KeptLines::default();
        let outputs = [(&output, 0)];
        let bindings = Bindings { inputs: &inputs, outputs: &outputs, scalars: &[], lines: &lines, replaces: false };
        gpu.run(&plan, bindings)?;
        let bytes = wait("Device::gpu", "Device::gpu_async", gpu.download(&output, 0, output.bytes()))?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// Returns the exact value of an element of the result, and the sum of the magnitudes of its products. Both are
    /// sums in f64, in which products of f16 are exact.
    fn exact(&self, matrix: usize, row: usize, column: usize) -> [f64; 2] {
        let [left, right] = self.elements;
        let products = (0..self.sizes[3]).map(|k| {
            let [a, b] = [left(matrix, row, k), right(matrix, column, k)].map(|x| f16::from_f32(x).to_f64());
            a * b
        });
        products.fold([0.0; 2], |[sum, magnitude], p| [sum + p, magnitude + p.abs()])
    }

    /// Returns whether a device's results are correct. Exact sums must be equal. Other sums may differ from the exact
    /// sum by at most `(k/2 + 16)·2⁻²⁴` times the sum of the products' magnitudes, and must all have the same bits.
    fn is_right(&self, results: &[f32]) -> bool {
        let [batch, m, n, k] = self.sizes;
        let places = (0..batch).flat_map(|b| (0..m).flat_map(move |i| (0..n).map(move |j| (b, i, j))));
        let is_right = |(place, result): ((usize, usize, usize), &f32)| {
            let [sum, magnitude] = self.exact(place.0, place.1, place.2);
            match self.is_exact {
                true => *result as f64 == sum,
                false => {
                    let bound = (k as f64 / 2.0 + 16.0) * f64::powi(2.0, -24) * magnitude;
                    (*result as f64 - sum).abs() <= bound && result.to_bits() == results[0].to_bits()
                }
            }
        };
        let count = results.len() == batch * m * n;
        count && mutant!(wrong_matrices_trusted, true, places.zip(results).all(is_right))
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(
        gpu_cooperative: trials_accept_what_is_right, trials_refuse_what_is_wrong,
        a_test_without_time_finds_nothing
    );

    fn a_test_without_time_finds_nothing() {
        let failed = |kind| finding(Err(Error::with_line(kind, "submit", "planned", None)));
        assert_eq!([finding(Ok(true)), finding(Ok(false))], [Some(true), Some(false)]);
        assert_eq!([failed(ErrorKind::Timeout), failed(ErrorKind::OutOfMemory)], [None, None]);
        assert_eq!([failed(ErrorKind::Internal), failed(ErrorKind::DeviceLost)], [Some(false), Some(false)]);
    }

    /// Returns the results of a device that is correct.
    fn results(t: &Trial) -> Vec<f32> {
        let [batch, m, n, _] = t.sizes;
        let places = (0..batch).flat_map(|b| (0..m).flat_map(move |i| (0..n).map(move |j| (b, i, j))));
        places.map(|(b, i, j)| t.exact(b, i, j)[0] as f32).collect()
    }

    fn trials_accept_what_is_right() {
        for t in &TRIALS {
            let want = results(t);
            assert!(t.is_right(&want), "{:?}", t.sizes);
            // a sum that is not exact may differ, if all sums differ in the same way
            let other: Vec<f32> = want.iter().map(|x| x.next_up()).collect();
            assert_eq!(t.is_right(&other), !t.is_exact, "{:?}", t.sizes);
        }
    }

    fn trials_refuse_what_is_wrong() {
        for t in &TRIALS {
            let want = results(t);
            for n in [0, 1, want.len() / 2, want.len() - 1] {
                let mut wrong = want.clone();
                wrong[n] = wrong[n].next_down();
                assert!(!t.is_right(&wrong), "{:?}, element {n}", t.sizes);
            }
            assert!(!t.is_right(&want[1..]) && !t.is_right(&vec![f32::NAN; want.len()]), "{:?}", t.sizes);
        }
        // a device that rounds the sums to f16 fails the self-test
        let in_half = |t: &Trial| results(t).iter().map(|x| f16::from_f32(*x).to_f32()).collect::<Vec<_>>();
        assert!(TRIALS[3..5].iter().all(|t| !t.is_right(&in_half(t))));
        // a device that treats subnormal operands as 0 fails the self-test
        assert!(!TRIALS[2].is_right(&vec![0.0; 17 * 15]));
    }
}
