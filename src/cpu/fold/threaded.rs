//! The formulas of a fold (a reduction rule) as threaded code, which keeps intermediate values in the processor's
//! registers. The loops of `formulas.rs` store these values in memory. Both compute the same bits.

use super::Inputs;
use crate::base::dtype::{Compute, DType, Scalar};
use crate::cpu::threaded::{Threaded, prepare};
use crate::graph::ufunc::{FoldOperation, FoldProgram, FoldStep, Programs, Ufunc, arithmetic};
use crate::math::simd::LANES;
use crate::plan::kernel::{BufferRef, Kernel, KernelKind, Load, Op, Schedule, Store};
use smallvec::{SmallVec, smallvec};

/// The maximum number of operations of formulas that run as threaded code. It limits the scratch memory of a fold.
/// Chosen by hand; no benchmark compares other values.
const MOST: usize = 48;

/// Threaded code that combines a state with an element, or with another state, and stores the result in the first
/// state.
pub(super) struct Combination {
    code: Threaded,
}

heap! { Combination: code; }

/// Builds the kernel that is compiled to a [`Combination`]. Component `n` of the first state is temporary `n` of the
/// kernel, which is read and written. If an element is combined into the first state, the element is input 0. If a
/// second state is combined into the first, component `n` of the second state is input `n`.
struct Maker {
    kernel: Kernel,
    components: usize,
}

impl Combination {
    /// Creates the combination of a fold's state with its elements (of the type `element`), or with other states.
    /// Returns `None` if this machine has no threaded code for the combination; the loops of `formulas.rs` then compute
    /// it.
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
        // bools, which are stored as bytes, have no threaded code here: instructions that load bytes need the distance
        // between elements, but the instructions here are given the distance between rows
        let in_bytes = kernel.loads.iter().map(|l| l.dtype).chain(kernel.stores.iter().map(|s| s.dtype));
        if in_bytes.into_iter().any(|dtype| dtype.size() == 1) {
            return None;
        }
        // all values of a threaded program must have the same size
        if sizes().max() != sizes().min() || sizes().next().is_none() || operations > MOST {
            return None;
        }
        // `prepare` returns an error for an operation without an instruction
        let mut code = prepare(&kernel, &[]).ok().flatten()?;
        // the code prefetches inputs, because elements may come from main memory; it need not prefetch states, which
        // are in the caches
        code.ask_ahead_for(|buffer| matches!(buffer, BufferRef::Input(_)));
        Some(Combination { code })
    }

    /// Returns the size in bytes of the scratch memory, which must be aligned to 64 bytes.
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

    /// Combines `rows` rows of `n` elements (or states) each, one row after another, into the `n` states of `a`.
    /// Returns false, and does nothing, if `n` is not a multiple of the number of elements of a block of threaded code.
    ///
    /// # Safety
    /// Each component of `a` has `n` aligned elements of its type, which no other thread uses. `b` has `rows × n`
    /// aligned elements (in its first entry) or states (one entry for each component), which do not overlap `a`.
    /// [`Combination::begin`] has filled the scratch, and nothing else uses the scratch.
    pub unsafe fn run(&self, n: usize, rows: usize, a: Inputs, b: Inputs, scratch: *mut u8) -> bool {
        let at = |buffer: BufferRef| match buffer {
            BufferRef::Temp(n) => (a[n].cast_mut(), 0),
            BufferRef::Input(n) => (b[n].cast_mut(), 1),
            // no kernel of this file has an output
            BufferRef::Output(_) => (std::ptr::null_mut(), 0),
        };
        // SAFETY: the caller ensures that these elements exist: the kernel reads and writes components of `a`, and
        // reads `b`.
        unsafe { self.code.over(n, rows, at, scratch) }
    }
}

impl Maker {
    fn new(components: usize) -> Maker {
        let kernel = Kernel {
            kind: KernelKind::Elementwise,
            // the kernel's index space is one row. The code runs over rows of other lengths too; this length only has
            // to be more than 1, and so small that the caches hold the row
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

    /// Adds the operations of a formula to the kernel. `x`, `a` and `b` are the values of the element, of the
    /// components of the first state, and of the components of the second state. Returns the values of the results, or
    /// `None` if the formula reads positions.
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

    /// If the operation is a multiplication by the constant 1, returns the other factor, which has the same bits as the
    /// product. This is common, because a component of an element's state is often 1.
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
