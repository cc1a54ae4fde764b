//! Folds that formulas define. Their states have one to three components, each in a vector of its own. A formula runs
//! as the loops of its functions, over a piece of the states at a time. The values between two loops are in registers,
//! which here are scratch memory for one piece.

use super::threaded::Combination;
use super::{Folder, Inputs};
use crate::base::dtype::Compute;
use crate::cpu::convert;
use crate::cpu::strided;
use crate::graph::ufunc::{FoldOperation, FoldProgram, FoldStep};
use crate::math::simd::Loop;
use crate::plan::kernel::{Gives, KernelReduction, Source};
use smallvec::SmallVec;

/// The maximum number of elements of a piece. All loops of a formula run on a piece before the next piece begins. A
/// register of 256 elements has 2 KiB, so the registers of a formula stay in the L1 cache. Loops process each element
/// by itself, so this number changes no bit.
const PIECE: usize = 256;

/// The size of a register in bytes: it has space for a piece of the widest type.
const REGISTER: usize = PIECE * 8;

/// The formulas of a fold, as loops.
pub(super) struct Formulas {
    /// The loops that turn elements into states; `None` if the inputs are states already.
    lift: Option<Loops>,
    combine: Loops,
    finish: Loops,
    /// Fused step of threaded code that lifts an element to a state (or reads a state) and combines it with another
    /// state. `None` if loops do this.
    both: Option<Combination>,
    components: SmallVec<[Component; 3]>,
    /// The sizes in bytes of an element of the input and of an element of the result.
    element: usize,
    result: usize,
    /// The bits of the result of a reduction of no elements; unused if the fold rejects such a reduction.
    empty: u64,
    registers: usize,
}

struct Component {
    size: usize,
    identity: u64,
}

/// The location of a loop's operand: in the input, in a component of the first state (`A`) or the second (`B`), or in a
/// register.
#[derive(Clone, Copy)]
enum Place {
    Element,
    A(usize),
    B(usize),
    Register(usize),
}

/// The loops of one of a fold's programs, which are the steps of `lift`, `combine` or `finish`.
#[derive(Default)]
struct Loops {
    /// The loops in order, each with its operands (repeated if the function has fewer than three) and the register of
    /// its result.
    calls: Vec<(Loop, [Place; 3], usize)>,
    /// The registers that hold the program's constants: for each, the register's number, the constant's bits, and the
    /// constant's size in bytes.
    numbers: Vec<(usize, u64, usize)>,
    /// The register that receives the elements' positions; `None` if the program does not read them.
    positions: Option<usize>,
    results: SmallVec<[Place; 3]>,
}

heap! {
    Formulas: lift, combine, finish, both;
    Loops: calls, numbers;
    (Loop, [Place; 3], usize): ;
    (usize, u64, usize): ;
}

/// The arrays that a program reads: the input's elements, and the components of the first and second state. The arrays
/// that it does not read are null.
#[derive(Clone, Copy)]
struct Leaves {
    element: *const u8,
    a: Inputs,
    b: Inputs,
}

impl Loops {
    /// Creates the loops of a program. Its registers are numbered from `next` on, and `next` is increased by their
    /// number. Returns `None` if a function has no loop for its operands' type.
    fn new(program: &FoldProgram, next: &mut usize) -> Option<Loops> {
        let mut loops = Loops::default();
        let mut places: Vec<Place> = Vec::with_capacity(program.steps.len());
        for FoldStep { gives, compute } in &program.steps {
            let mut register = || {
                *next += 1;
                *next - 1
            };
            let place = match gives {
                FoldOperation::Element => Place::Element,
                FoldOperation::A(n) => Place::A(*n),
                FoldOperation::B(n) => Place::B(*n),
                FoldOperation::Position => {
                    let at = register();
                    loops.positions = Some(at);
                    Place::Register(at)
                }
                FoldOperation::Number(bits) => {
                    let at = register();
                    loops.numbers.push((at, *bits, compute.size()));
                    Place::Register(at)
                }
                FoldOperation::Call(row, args) => {
                    let by = program.steps[*row.typed_operand(args)?].compute;
                    // a loop does not read an operand that its function does not have, so the last operand is passed
                    // again
                    let at = |n: usize| places[args[n.min(args.len() - 1)]];
                    let to = register();
                    loops.calls.push((row.map(by)?.get(), [at(0), at(1), at(2)], to));
                    Place::Register(to)
                }
                FoldOperation::Cast(of) => {
                    let mut place = places[*of];
                    for link in convert::cast(program.steps[*of].compute.dtype(), compute.dtype()) {
                        let to = register();
                        loops.calls.push((link.get(), [place; 3], to));
                        place = Place::Register(to);
                    }
                    place
                }
            };
            places.push(place);
        }
        loops.results = program.results.iter().map(|r| places[*r]).collect();
        Some(loops)
    }

    /// Runs the loops over `n` elements, at most [`PIECE`]. Returns the address of each result: in a register, or in
    /// one of the `leaves` (the arrays that the program reads) if the formula is just that array.
    ///
    /// # Safety
    /// `scratch` points to the fold's registers. The registers of constants are filled, and so is the register of
    /// positions if the program reads them. Each leaf that the program reads has `n` aligned elements of its type, and
    /// shares no byte with the registers of its calls.
    unsafe fn run(&self, n: usize, scratch: *mut u8, leaves: Leaves) -> Inputs {
        let at = |place: Place| match place {
            Place::Element => leaves.element,
            Place::A(n) => leaves.a[n],
            Place::B(n) => leaves.b[n],
            Place::Register(n) => scratch.wrapping_add(n * REGISTER) as *const u8,
        };
        for (call, args, to) in &self.calls {
            let [a, b, c] = args.map(at);
            // SAFETY: operands are leaves, or registers that are filled before or by earlier calls; each call writes a
            // register of its own, which has space for a piece.
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
    /// Creates the loops of a reduction's fold. Returns `None` if a function has no loop for its operands' type.
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

    /// Returns each component's element size in bytes.
    pub fn sizes(&self) -> impl Iterator<Item = usize> + '_ {
        self.components.iter().map(|c| c.size)
    }

    /// Returns the size of the scratch memory in bytes: all registers, and the scratch of threaded code.
    pub fn scratch(&self) -> usize {
        self.registers * REGISTER + self.both.as_ref().map_or(0, Combination::scratch)
    }

    /// Fills the registers and the scratch that hold constants.
    ///
    /// # Safety
    /// `scratch` points to the registers: [`Formulas::scratch`] bytes, aligned to 64.
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

/// Cuts `n` elements into pieces: returns the start of each piece and its number of elements.
fn pieces(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).step_by(PIECE).map(move |from| (from, PIECE.min(n - from)))
}

impl Folder<'_> {
    /// Returns the addresses of the components of state `at` of a vector. A vector holds component 0 of all its states,
    /// padded to 64 bytes, then component 1, and so on.
    fn components(&self, f: &Formulas, vector: *const u8, at: usize) -> Inputs {
        let mut out = [std::ptr::null(); 3];
        let mut begin = vector;
        for (to, size) in out.iter_mut().zip(f.sizes()) {
            *to = begin.wrapping_add(at * size);
            begin = begin.wrapping_add((self.spec.lanes * self.spec.width * size).next_multiple_of(64));
        }
        out
    }

    /// Copies `n` states to a vector, starting at its state `at`.
    ///
    /// # Safety
    /// *State* ([`Folder`]): the vector has at least `at + n` states. `states` holds `n` elements of each component.
    unsafe fn put(&self, f: &Formulas, n: usize, states: Inputs, vector: *mut u8, at: usize) {
        let to = self.components(f, vector, at);
        for ((from, to), size) in states.into_iter().zip(to).zip(f.sizes()) {
            // SAFETY: both have `n` elements. Both are the same memory if a formula is the component itself, so this
            // uses `copy`, which allows overlap.
            unsafe { std::ptr::copy(from, to as *mut u8, n * size) };
        }
    }

    /// Fills the current vector with the identity of each component.
    ///
    /// # Safety
    /// *State* ([`Folder`]).
    pub(super) unsafe fn fill_states(&self, f: &Formulas) {
        for (c, to) in f.components.iter().zip(self.components(f, self.here(), 0)) {
            // SAFETY: *state*: a vector has a state for each lane and column.
            unsafe { strided::fill(c.size, c.identity, to as *mut u8, self.states()) };
        }
    }

    /// Implements [`Folder::combine`] for formulas.
    ///
    /// # Safety
    /// As for [`Folder::combine`].
    pub(super) unsafe fn combine_states(&self, f: &Formulas, n: usize, from: *const u8, at: usize, to: *mut u8) {
        for (i, m) in pieces(n) {
            let leaves =
                Leaves { element: std::ptr::null(), a: self.components(f, to, i), b: self.components(f, from, at + i) };
            // SAFETY: *state*: both ranges have `m` states from index `i` on, and the registers follow the vectors.
            unsafe {
                let states = f.combine.run(m, self.scratch(), leaves);
                self.put(f, m, states, to, i);
            }
        }
    }

    /// Feeds `n` elements (or states) of the data, from row `done` on, to `n` states of the current block, from state
    /// `lane` on. If `begins` is set, these states hold nothing yet and are overwritten; otherwise the new states are
    /// combined into them. `at` is the number of the data's first row.
    ///
    /// # Safety
    /// *State* and *data* ([`Folder`]): `n` elements or states after the first `done` rows; the block has `lane + n`
    /// states.
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
            // SAFETY: *data*: there are `m` elements from `first` on. *State*: there are `m` states from `lane + i` on,
            // and the registers; `begin` has filled the registers of constants, and the register of positions is filled
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

    /// Feeds `rows` times as many elements (or states) as the block has states, by threaded code. All states of the
    /// block must already hold a value. Returns false, and does nothing, if there is no threaded code.
    ///
    /// # Safety
    /// *State* and *data* ([`Folder`]): the data has these elements or states after the first `done` rows.
    pub(super) unsafe fn feed_rows(&self, f: &Formulas, done: usize, data: Inputs, rows: usize) -> bool {
        let Some(both) = &f.both else { return false };
        let (mut from, first) = (data, done * self.width);
        match f.lift.is_some() {
            true => from[0] = from[0].wrapping_add(first * f.element),
            false => from.iter_mut().zip(f.sizes()).for_each(|(p, size)| *p = p.wrapping_add(first * size)),
        }
        let (to, scratch) = (self.components(f, self.here(), 0), self.scratch().wrapping_add(f.registers * REGISTER));
        // SAFETY: *data* and *state*: the caller ensures that the data has these rows. The scratch follows the
        // registers, and `begin` has filled it.
        unsafe { both.run(self.states(), rows, to, from, scratch) }
    }

    /// Writes the positions of the data's elements, from number `first` on, to `to`. `at` is the number of the data's
    /// first row.
    ///
    /// # Safety
    /// `base` is null or has a position for each column.
    unsafe fn count(&self, at: usize, first: usize, to: &mut [i32]) {
        for (i, position) in (first..).zip(to) {
            let (row, column) = (i / self.width, i % self.width);
            // SAFETY: the column is one of the folder's.
            let base = if self.base.is_null() { 0 } else { unsafe { *self.base.add(column) } };
            *position = base.wrapping_add((at + row) as i32);
        }
    }

    /// Implements [`Folder::write`] for formulas.
    ///
    /// # Safety
    /// *State* ([`Folder`]); `out` has space for `width` elements, apart from the state.
    pub(super) unsafe fn write_states(&self, f: &Formulas, gives: Gives, out: *mut u8) {
        // SAFETY: *state*: the current vector has a state for each column, and `out` has space for an element for each.
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
