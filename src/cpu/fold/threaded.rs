//! The formulas of a fold as threaded code. The values between its functions stay in registers, whereas loops
//! (`formulas.rs`) process a piece of the states for each function. Both compute the same bits.

use super::Inputs;
use crate::base::dtype::{Compute, DType, Scalar};
use crate::cpu::threaded::{Threaded, prepare};
use crate::graph::ufunc::{FoldOperation, FoldProgram, FoldStep, Programs, Ufunc, arithmetic};
use crate::math::simd::LANES;
use crate::plan::kernel::{BufferRef, Kernel, KernelKind, Load, Op, Schedule, Store};
use smallvec::{SmallVec, smallvec};

/// The maximum number of operations for which formulas run as threaded code, so that the scratch memory of a fold stays
/// small. Chosen by hand; no benchmark compares other values.
const MOST: usize = 48;

/// Combines a state with an element, or with another state, and stores the result in the first state.
pub(super) struct Combination {
    code: Threaded,
}

heap! { Combination: code; }

/// The kernel of a combination while it is built. Component `n` of the first state is temporary `n`, which is read and
/// written. The element that is combined into it is input 0; the components of a second state are inputs `n`.
struct Maker {
    kernel: Kernel,
    components: usize,
}

impl Combination {
    /// Creates the combination of a fold's state with its elements (of the type `element`), or with other states.
    /// Returns `None` if this machine has no threaded code for it; then loops compute it.
    pub fn new(programs: &Programs, element: Option<Compute>) -> Option<Combination> {
        let mut maker = Maker::new(programs.state.len());
        let a = maker.loads((0..programs.state.len()).map(|n| (BufferRef::Temp(n), programs.state[n])));
        let b = match element {
            Some(element) => {
                let x = maker.loads([(BufferRef::Input(0), element)].into_iter());
                maker.program(&programs.lift, &x, &[], &[])?
            }
            None => maker.loads((0..programs.state.len()).map(|n| (BufferRef::Input(n), programs.state[n]))),
        };
        let results = maker.program(&programs.combine, &[], &a, &b)?;
        for (n, (value, compute)) in results.iter().zip(&programs.state).enumerate() {
            maker.store(n, *value, compute.dtype());
        }
        let kernel = maker.kernel;
        let sizes = || kernel.values.iter().map(|v| v.compute().size()).filter(|size| *size > 1);
        let operations = kernel.values.iter().filter(|v| matches!(v.op, Op::Ufunc(..) | Op::Cast(_))).count();
        // there is no threaded code for bools: they are stored as bytes, which an instruction addresses by the step
        // from one element to the next, but here the step is the distance to the next row
        let in_bytes = kernel.loads.iter().map(|l| l.dtype).chain(kernel.stores.iter().map(|s| s.dtype));
        if in_bytes.into_iter().any(|dtype| dtype.size() == 1) {
            return None;
        }
        // all words of a program have one size
        if sizes().max() != sizes().min() || sizes().next().is_none() || operations > MOST {
            return None;
        }
        // `prepare` returns an error for an operation without an instruction
        let mut code = prepare(&kernel, &[]).ok().flatten()?;
        // elements may come from memory; states are in the caches
        code.ask_ahead_for(|buffer| matches!(buffer, BufferRef::Input(_)));
        Some(Combination { code })
    }

    /// Returns the size in bytes of the scratch memory, which must be aligned to 64.
    pub fn scratch(&self) -> usize {
        self.code.own_scratch().next_multiple_of(64)
    }

    /// Fills the constants in the scratch memory.
    ///
    /// # Safety
    /// `scratch` points to [`Combination::scratch`] bytes, aligned to 64.
    pub unsafe fn begin(&self, scratch: *mut u8) {
        // SAFETY: the caller ensures that `scratch` has the size and the alignment.
        unsafe { self.code.fill_constants(scratch) }
    }

    /// Combines `rows` rows of `n` elements (or states) each, one after another, into `n` states. Returns false, and
    /// does nothing, if a row is not a whole number of blocks.
    ///
    /// # Safety
    /// Each component of `a` has `n` aligned elements of its type, which no other thread uses. `b` has `rows × n`
    /// aligned elements (in the first entry) or states (in one entry for each component). None of them is in the memory
    /// of `a`. [`Combination::begin`] has filled the scratch, and nothing else uses it.
    pub unsafe fn run(&self, n: usize, rows: usize, a: Inputs, b: Inputs, scratch: *mut u8) -> bool {
        let at = |buffer: BufferRef| match buffer {
            BufferRef::Temp(n) => (a[n].cast_mut(), 0),
            BufferRef::Input(n) => (b[n].cast_mut(), 1),
            // no kernel of this file has an output
            BufferRef::Output(_) => (std::ptr::null_mut(), 0),
        };
        // SAFETY: the caller's conditions: the kernel reads and writes components of `a`, and reads `b`.
        unsafe { self.code.over(n, rows, at, scratch) }
    }
}

impl Maker {
    fn new(components: usize) -> Maker {
        let kernel = Kernel {
            kind: KernelKind::Elementwise,
            // one row. Its length matters only in two ways: there is more than one element, and the caches hold them
            outer: smallvec![LANES],
            inner: smallvec![],
            loads: vec![],
            values: vec![],
            stores: vec![],
            windows: vec![],
            schedule: Schedule::default(),
            continues: false,
            name: "fold",
            node: 0,
        };
        Maker { kernel, components }
    }

    fn loads(&mut self, from: impl Iterator<Item = (BufferRef, Compute)>) -> SmallVec<[usize; 3]> {
        let load = |(buffer, compute): (BufferRef, Compute)| {
            let dtype: DType = compute.dtype();
            self.kernel.loads.push(Load { buffer, dtype, strides: smallvec![1], offset: 0 });
            self.kernel.push(Op::Load(self.kernel.loads.len() - 1), dtype, false)
        };
        from.map(load).collect()
    }

    fn store(&mut self, component: usize, value: usize, dtype: DType) {
        debug_assert!(component < self.components, "a result for each component");
        let buffer = BufferRef::Temp(component);
        self.kernel.stores.push(Store { buffer, dtype, strides: smallvec![1], offset: 0, value, chosen: None });
    }

    /// Adds the steps of a program, given the values that it reads. Returns the values of its results, or `None` if it
    /// reads positions.
    fn program(
        &mut self,
        program: &FoldProgram,
        x: &[usize],
        a: &[usize],
        b: &[usize],
    ) -> Option<SmallVec<[usize; 3]>> {
        let mut values: Vec<usize> = Vec::with_capacity(program.steps.len());
        for FoldStep { gives, compute } in &program.steps {
            let dtype = compute.dtype();
            let value = match gives {
                FoldOperation::Element => *x.first()?,
                FoldOperation::A(n) => *a.get(*n)?,
                FoldOperation::B(n) => *b.get(*n)?,
                FoldOperation::Position => return None,
                FoldOperation::Number(bits) => self.kernel.push(Op::Constant(*bits), dtype, false),
                FoldOperation::Call(row, args) => {
                    let args: SmallVec<[usize; 3]> = args.iter().map(|arg| values[*arg]).collect();
                    match self.times_one(row, &args, *compute) {
                        Some(value) => value,
                        None => self.kernel.push(Op::Ufunc(row, args), dtype, false),
                    }
                }
                FoldOperation::Cast(of) => self.kernel.push(Op::Cast(values[*of]), dtype, false),
            };
            values.push(value);
        }
        Some(program.results.iter().map(|result| values[*result]).collect())
    }

    /// Returns the other factor of a product by 1, which has the same bits as the product. The state of an element is
    /// often 1.
    fn times_one(&self, row: &'static Ufunc, args: &[usize], compute: Compute) -> Option<usize> {
        let [x, y] = *args else { return None };
        let one = Scalar::Int(1).bits(compute.dtype());
        let is_one = |v: usize| self.kernel.values[v].op == Op::Constant(one);
        match row == &arithmetic::multiply {
            true if is_one(x) => Some(y),
            true if is_one(y) => Some(x),
            _ => None,
        }
    }
}
