//! Reductions that formulas define, such as a user's `ReductionKernel`. `lift` turns an element into a state, `combine`
//! combines two states, and `finish` turns a state into the result. A state has one to three components, each stored in
//! a vector of its own. Each function of a formula is a loop over a piece of at most 256 states; the values between two
//! loops are in registers, which in this file are scratch memory.

use super::threaded::Combination;
use super::{Folder, Inputs};
use crate::base::dtype::Compute;
use crate::cpu::convert;
use crate::cpu::strided;
use crate::graph::ufunc::{FoldOperation, FoldProgram, FoldStep};
use crate::math::simd::Loop;
use crate::plan::kernel::{Gives, KernelReduction, Source};
use smallvec::SmallVec;

/// The maximum number of elements of a piece. All loops of a formula run on one piece before the next piece begins. A
/// register for a piece has 2 KiB, so the registers of a formula stay in the L1 cache. This number changes no bit of a
/// result.
const PIECE: usize = 256;

/// The size of a register in bytes, which is enough for a piece of the widest type.
const REGISTER: usize = PIECE * 8;

/// The formulas of a reduction, compiled to loops.
pub(super) struct Formulas {
    /// The loops that turn elements into states, or `None` if the inputs are states already.
    lift: Option<Loops>,
    combine: Loops,
    finish: Loops,
    /// Threaded code that turns an element into a state and combines it with another state, in one loop. `None` if
    /// `lift` and `combine` do this.
    both: Option<Combination>,
    components: SmallVec<[Component; 3]>,
    /// The size in bytes of an element of the input, and (`result`) of an element of the result.
    element: usize,
    result: usize,
    /// The bits of the result of a reduction of no elements. Not used if the reduction returns an error for no
    /// elements.
    empty: u64,
    registers: usize,
}

struct Component {
    size: usize,
    identity: u64,
}

/// The location of an operand of a loop: the input's elements, a component of the first (`A`) or of the second (`B`) of
/// the two states that are combined, or a register.
#[derive(Clone, Copy)]
enum LoopOperand {
    Element,
    A(usize),
    B(usize),
    Register(usize),
}

/// The loops of one formula of a reduction: `lift`, `combine` or `finish`.
#[derive(Default)]
struct Loops {
    /// The calls of loops in order. Each has three operands (the last one repeated if the function has fewer) and the
    /// register of its result.
    calls: Vec<(Loop, [LoopOperand; 3], usize)>,
    /// The constants of the formula: for each, the number of its register, its bits, and its size in bytes.
    numbers: Vec<(usize, u64, usize)>,
    /// The register for the positions of the elements, or `None` if the formula does not read positions.
    positions: Option<usize>,
    results: SmallVec<[LoopOperand; 3]>,
}

heap! {
    Formulas: lift, combine, finish, both;
    Loops: calls, numbers;
    (Loop, [LoopOperand; 3], usize): ;
    (usize, u64, usize): ;
}

/// The arrays that a formula reads: the input's elements, the components of the first state (`a`), and the components
/// of the second state (`b`). Arrays that the formula does not read are null.
#[derive(Clone, Copy)]
struct Leaves {
    element: *const u8,
    a: Inputs,
    b: Inputs,
}

impl Loops {
    /// Compiles a formula to loops. Its registers are numbered from `next` on, and `next` is increased by their number.
    /// Returns `None` if a function has no loop for its operands' type.
    fn new(program: &FoldProgram, next: &mut usize) -> Option<Loops> {
        let mut loops = Loops::default();
        let mut places: Vec<LoopOperand> = Vec::with_capacity(program.steps.len());
        for FoldStep { gives, compute } in &program.steps {
            let mut register = || {
                *next += 1;
                *next - 1
            };
            let place = match gives {
                FoldOperation::Element => LoopOperand::Element,
                FoldOperation::A(n) => LoopOperand::A(*n),
                FoldOperation::B(n) => LoopOperand::B(*n),
                FoldOperation::Position => {
                    let at = register();
                    loops.positions = Some(at);
                    LoopOperand::Register(at)
                }
                FoldOperation::Number(bits) => {
                    let at = register();
                    loops.numbers.push((at, *bits, compute.size()));
                    LoopOperand::Register(at)
                }
                FoldOperation::Call(row, args) => {
                    let by = program.steps[*row.typed_operand(args)?].compute;
                    // every loop takes three operands, so repeat the last one if the function has fewer
                    let at = |n: usize| places[args[n.min(args.len() - 1)]];
                    let to = register();
                    loops.calls.push((row.map(by)?.get(), [at(0), at(1), at(2)], to));
                    LoopOperand::Register(to)
                }
                FoldOperation::Cast(of) => {
                    let mut place = places[*of];
                    for link in convert::cast(program.steps[*of].compute.dtype(), compute.dtype()) {
                        let to = register();
                        loops.calls.push((link.get(), [place; 3], to));
                        place = LoopOperand::Register(to);
                    }
                    place
                }
            };
            places.push(place);
        }
        loops.results = program.results.iter().map(|r| places[*r]).collect();
        Some(loops)
    }

    /// Runs the loops over `n` elements, at most [`PIECE`]. Returns the address of each result, which is a register or,
    /// if the formula only passes an array on, one of the `leaves`.
    ///
    /// # Safety
    /// `scratch` points to the fold's registers. The registers of constants are filled, and so is the register of
    /// positions if the formula reads positions. Each array in `leaves` that the formula reads has `n` aligned elements
    /// of its type, and does not overlap the registers that the formula writes.
    unsafe fn run(&self, n: usize, scratch: *mut u8, leaves: Leaves) -> Inputs {
        let at = |place: LoopOperand| match place {
            LoopOperand::Element => leaves.element,
            LoopOperand::A(n) => leaves.a[n],
            LoopOperand::B(n) => leaves.b[n],
            LoopOperand::Register(n) => scratch.wrapping_add(n * REGISTER) as *const u8,
        };
        for (call, args, to) in &self.calls {
            let [a, b, c] = args.map(at);
            // SAFETY: each operand is one of `leaves`, or a register that was filled before or by an earlier call. Each
            // call writes a register of its own, which has space for a piece.
            unsafe { call(n, a, b, c, scratch.wrapping_add(to * REGISTER)) };
        }
        let mut results = [std::ptr::null(); 3];
        for (to, place) in results.iter_mut().zip(&self.results) {
            *to = at(*place);
        }
        results
    }
}

impl Formulas {
    /// Compiles the formulas of a reduction. Returns `None` if a function has no loop for its operands' type.
    pub fn new(r: &KernelReduction) -> Option<Formulas> {
        let programs = r.fold.programs(r.element).ok()?;
        let mut registers = 0;
        let lift = match r.source {
            Source::Elements { .. } => Some(Loops::new(&programs.lift, &mut registers)?),
            Source::States(_) => None,
        };
        let combine = Loops::new(&programs.combine, &mut registers)?;
        let finish = Loops::new(&programs.finish, &mut registers)?;
        let takes = lift.is_some().then(|| r.element.compute());
        let both = Combination::new(&programs, takes);
        let component = |(c, compute): (&crate::graph::ufunc::Component, &Compute)| Component {
            size: compute.size(),
            identity: c.init.bits(*compute),
        };
        let result = r.fold.result.compute(r.element);
        let empty = r.fold.empty().map_or(0, |x| crate::base::dtype::Scalar::Float(x).bits(result.dtype()));
        Some(Formulas {
            lift,
            combine,
            finish,
            both,
            components: r.fold.state.iter().zip(&programs.state).map(component).collect(),
            element: r.element.compute().size(),
            result: result.size(),
            empty,
            registers,
        })
    }

    /// Returns the size in bytes of an element of each component.
    pub fn sizes(&self) -> impl Iterator<Item = usize> + '_ {
        self.components.iter().map(|c| c.size)
    }

    /// Returns the size in bytes of the scratch memory: all registers, and the scratch memory of threaded code.
    pub fn scratch(&self) -> usize {
        self.registers * REGISTER + self.both.as_ref().map_or(0, Combination::scratch)
    }

    /// Fills the registers that hold constants, and the constants in the scratch memory of threaded code.
    ///
    /// # Safety
    /// `scratch` points to [`Formulas::scratch`] bytes, aligned to 64, which begin with the registers.
    pub unsafe fn begin(&self, scratch: *mut u8) {
        for loops in self.lift.iter().chain([&self.combine, &self.finish]) {
            for (register, bits, size) in &loops.numbers {
                // SAFETY: a register has space for a piece of any type.
                unsafe { strided::fill(*size, *bits, scratch.add(register * REGISTER), PIECE) };
            }
        }
        if let Some(both) = &self.both {
            // SAFETY: the scratch of `both` follows the registers, whose size is a multiple of 64.
            unsafe { both.begin(scratch.add(self.registers * REGISTER)) };
        }
    }
}

/// Divides `n` elements into pieces, and returns the start and the length of each piece.
fn pieces(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).step_by(PIECE).map(move |from| (from, PIECE.min(n - from)))
}

impl Folder<'_> {
    /// Returns the address of each component of state number `at` of a vector of states. The vector has component 0 of
    /// all states, padded to a multiple of 64 bytes, then component 1, and so on.
    fn components(&self, f: &Formulas, vector: *const u8, at: usize) -> Inputs {
        let mut out = [std::ptr::null(); 3];
        let mut begin = vector;
        for (to, size) in out.iter_mut().zip(f.sizes()) {
            *to = begin.wrapping_add(at * size);
            begin = begin.wrapping_add((self.spec.lanes * self.spec.width * size).next_multiple_of(64));
        }
        out
    }

    /// Copies `n` states to a vector of states, beginning at state number `at`.
    ///
    /// # Safety
    /// The vector belongs to the folder's state, and has space for at least `at + n` states (*state*, see [`Folder`]).
    /// `states` holds `n` elements of each component.
    unsafe fn put(&self, f: &Formulas, n: usize, states: Inputs, vector: *mut u8, at: usize) {
        let to = self.components(f, vector, at);
        for ((from, to), size) in states.into_iter().zip(to).zip(f.sizes()) {
            // SAFETY: `from` and `to` have `n` elements. If a result of the formula is the component itself, they are
            // the same memory, so this uses `copy`, which allows overlap.
            unsafe { std::ptr::copy(from, to as *mut u8, n * size) };
        }
    }

    /// Fills the current vector of states with the identity of each component.
    ///
    /// # Safety
    /// The folder's state is valid (*state*, see [`Folder`]).
    pub(super) unsafe fn fill_states(&self, f: &Formulas) {
        for (c, to) in f.components.iter().zip(self.components(f, self.here(), 0)) {
            // SAFETY: a vector has space for a state for each lane and column (*state*, see [`Folder`]).
            unsafe { strided::fill(c.size, c.identity, to as *mut u8, self.states()) };
        }
    }

    /// Implements [`Folder::combine`] for formulas.
    ///
    /// # Safety
    /// `from` and `to` are vectors of a valid state (*state*, see [`Folder`]). `at + n` is at most [`Folder::states`],
    /// and the two ranges do not overlap.
    pub(super) unsafe fn combine_states(&self, f: &Formulas, n: usize, from: *const u8, at: usize, to: *mut u8) {
        for (i, m) in pieces(n) {
            let leaves =
                Leaves { element: std::ptr::null(), a: self.components(f, to, i), b: self.components(f, from, at + i) };
            // SAFETY: both ranges have `m` states from index `i` on, and the registers follow the vectors in the state
            // (*state*, see [`Folder`]).
            unsafe {
                let states = f.combine.run(m, self.scratch(), leaves);
                self.put(f, m, states, to, i);
            }
        }
    }

    /// Combines `n` elements (or states) of the data, beginning in row `done`, into `n` states of the current block,
    /// beginning with state `lane`. If `begins` is true, these states have no value yet, so the new states are copied
    /// to them. `at` is the number of the data's first row in the reduction.
    ///
    /// # Safety
    /// The state is valid, and the data has `n` elements or states after the first `done` rows (*state* and *data*, see
    /// [`Folder`]). The block has at least `lane + n` states.
    pub(super) unsafe fn feed_states(
        &mut self,
        f: &Formulas,
        (at, done): (usize, usize),
        data: Inputs,
        lane: usize,
        n: usize,
        begins: bool,
    ) {
        for (i, m) in pieces(n) {
            let first = done * self.width + i;
            // SAFETY: there are `m` elements from `first` on, and `m` states from `lane + i` on (*data* and *state*,
            // see [`Folder`]). `begin` has filled the registers of constants, and the register of positions is filled
            // here.
            unsafe {
                let new = match &f.lift {
                    None => {
                        let mut states = data;
                        states.iter_mut().zip(f.sizes()).for_each(|(p, size)| *p = p.wrapping_add(first * size));
                        states
                    }
                    Some(lift) => {
                        if let Some(register) = lift.positions {
                            let to = self.scratch().add(register * REGISTER) as *mut i32;
                            self.count(at, first, std::slice::from_raw_parts_mut(to, m));
                        }
                        let none = [std::ptr::null(); 3];
                        let element = data[0].wrapping_add(first * f.element);
                        lift.run(m, self.scratch(), Leaves { element, a: none, b: none })
                    }
                };
                let states = match begins {
                    true => new,
                    false => {
                        let a = self.components(f, self.here(), lane + i);
                        f.combine.run(m, self.scratch(), Leaves { element: std::ptr::null(), a, b: new })
                    }
                };
                self.put(f, m, states, self.here(), lane + i);
            }
        }
    }

    /// Combines `rows` whole rows of `data` into the current block by threaded code, after the first `done` elements of
    /// each column. A row has as many elements (or states) as the block has states, and all states of the block must
    /// have a value. Returns false, and does nothing, if there is no threaded code.
    ///
    /// # Safety
    /// The state is valid, and `data` has `rows` such rows after the first `done` elements of each column (*state* and
    /// *data*, see [`Folder`]).
    pub(super) unsafe fn feed_rows(&self, f: &Formulas, done: usize, data: Inputs, rows: usize) -> bool {
        let Some(both) = &f.both else { return false };
        let (mut from, first) = (data, done * self.width);
        match f.lift.is_some() {
            true => from[0] = from[0].wrapping_add(first * f.element),
            false => from.iter_mut().zip(f.sizes()).for_each(|(p, size)| *p = p.wrapping_add(first * size)),
        }
        let (to, scratch) = (self.components(f, self.here(), 0), self.scratch().wrapping_add(f.registers * REGISTER));
        // SAFETY: the caller ensures that the data has these rows. The scratch of the threaded code follows the
        // registers in the state, and `begin` has filled it.
        unsafe { both.run(self.states(), rows, to, from, scratch) }
    }

    /// Writes to `to` the positions of consecutive elements of the data, beginning with the data's element `first`.
    /// `at` is the number of the data's first row in the reduction.
    ///
    /// # Safety
    /// `base` is null or has a position for each column.
    unsafe fn count(&self, at: usize, first: usize, to: &mut [i32]) {
        for (i, position) in (first..).zip(to) {
            let (row, column) = (i / self.width, i % self.width);
            // SAFETY: the column is below the folder's width.
            let base = if self.base.is_null() { 0 } else { unsafe { *self.base.add(column) } };
            *position = base.wrapping_add((at + row) as i32);
        }
    }

    /// Implements [`Folder::write`] for reductions that formulas define.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Folder`]). `out` has space for `width` elements, and does not overlap the
    /// state.
    pub(super) unsafe fn write_states(&self, f: &Formulas, gives: Gives, out: *mut u8) {
        // SAFETY: the current vector has one state for each column (*state*, see [`Folder`]), and `out` has space for
        // one element for each column.
        unsafe {
            match gives {
                Gives::Component(n) => {
                    let from = self.components(f, self.here(), 0)[n];
                    std::ptr::copy_nonoverlapping(from, out, self.width * f.components[n].size);
                }
                Gives::Result if self.spec.n == 0 => strided::fill(f.result, f.empty, out, self.width),
                Gives::Result => {
                    for (i, m) in pieces(self.width) {
                        let a = self.components(f, self.here(), i);
                        let leaves = Leaves { element: std::ptr::null(), a, b: [std::ptr::null(); 3] };
                        let results = f.finish.run(m, self.scratch(), leaves);
                        std::ptr::copy_nonoverlapping(results[0], out.add(i * f.result), m * f.result);
                    }
                }
            }
        }
    }
}
