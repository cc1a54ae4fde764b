//! Runs simple kernels on contiguous arrays: those with one tile, those with one row that is divided into tiles, and
//! row kernels and reductions in tiles of whole rows. For a small array, setting up the tile interpreter (`tiles.rs`)
//! takes several times as long as computing the tile, and for short rows its work for each tile takes a tenth of the
//! time. So each step is compiled to a call of its loop (`compile.rs`), and a run only adds an offset to each base
//! address. The values of a kernel of one tile are on the stack, and those of other kernels are in a task's frame.

mod compile;

pub(super) use compile::{compile, compile_rows};

use super::bind::{BoundProgram, Run};
use super::caches::{LINE, prefetch};
use super::program::{Program, bits_of};
use super::strided::{self, StridedBlock};
use crate::base::error::Result;
use crate::math::simd::Loop;
use crate::plan::kernel::{BufferRef, Gives};
use std::mem::MaybeUninit;
use std::ops::Range;

/// The maximum number of ids ([`TileLoop`](super::program::TileLoop)), of operands in memory, and of bytes of registers
/// in a kernel that this file compiles. 8 KiB hold 256 f32 for each of 8 values.
const IDS: usize = 64;
const PLACES: usize = BASES - 1;
const REGISTERS: usize = 8 << 10;

/// The number of base addresses: one for the registers, and one for each operand in memory. It is a power of two, so
/// that an index can be masked, which costs less than a bounds check.
const BASES: usize = 8;

/// The memory of the registers, aligned for vectors.
#[repr(align(64))]
struct Registers(MaybeUninit<[u8; REGISTERS]>);

/// The location of a value, which is in a register or in memory: the index of a base address, which only a run knows,
/// and an offset in bytes.
#[derive(Clone, Copy, Default)]
struct At {
    /// The index of the base address: 0 for the registers, or 1 plus the index of the operand in memory.
    base: u32,
    offset: u32,
}

impl At {
    fn register(slot: usize) -> At {
        At { base: 0, offset: slot as u32 }
    }

    fn place(place: usize) -> At {
        At { base: place as u32 + 1, offset: 0 }
    }

    #[inline(always)]
    fn in_run(self, bases: &[*mut u8; BASES]) -> *mut u8 {
        bases[self.base as usize % BASES].wrapping_add(self.offset as usize)
    }
}

/// One action of the compiled kernel. `each` is the number of elements for each element of the outer level: 1, or the
/// length of a row in the inner level of a reduction.
enum Action {
    /// Calls a loop over the tile.
    Call {
        f: Loop,
        args: [At; 3],
        to: At,
        each: usize,
    },
    /// Calls a loop over rows of `n` elements. The second argument has one element for each row.
    CallRows {
        f: Loop,
        args: [At; 2],
        to: At,
        n: usize,
    },
    Copy {
        from: At,
        to: At,
        size: usize,
        each: usize,
        streams: bool,
    },
    /// Reduces each row to one element. The first two numbers are the indices of the pass and of its reduction.
    Fold {
        at: [usize; 2],
        data: [At; 3],
        gives: Gives,
        to: At,
    },
    /// Copies elements to the rows of a tile, each of `n` elements. `steps` are the distances of neighbouring rows and
    /// columns of `from`: 1 and 0 for an element of the outer level, which is repeated along its row, 0 and 1 for a row
    /// that is repeated, or those of a load that is not contiguous.
    CopyStrided {
        from: At,
        steps: [isize; 2],
        to: At,
        size: usize,
        n: usize,
    },
}

/// An operand in memory. The first four fields are the arguments of [`Run::find`], which returns its address.
struct DirectOperand {
    buffer: BufferRef,
    size: usize,
    first: isize,
    span: Option<(isize, isize)>,
    /// The number of elements from one element of the outer level to the next: 1, the distance between rows, or 0.
    step: isize,
}

/// An operand in memory whose next tile is prefetched while a tile is computed.
struct Ahead {
    /// The index of the operand's base address.
    base: usize,
    /// The number of bytes of a row, and the number of bytes that are prefetched before each action.
    row: usize,
    each: usize,
}

/// A kernel, compiled to the actions that compute a tile, with the operands in memory that the actions access.
pub(super) struct Direct {
    /// The number of elements of all tiles together, or of their rows if tiles consist of whole rows.
    all: usize,
    /// The number of elements or rows of each tile. The last tile may have fewer.
    n: usize,
    places: Vec<DirectOperand>,
    actions: Vec<Action>,
    ahead: Vec<Ahead>,
}

heap! {
    DirectOperand: ;
    Ahead: ;
    Action: ;
    Direct: places, actions, ahead;
}

impl Direct {
    /// Runs the compiled kernel on the buffers of a run, as one task. `program` is the program that was compiled. Returns
    /// whether all sums are in their bounds. If not, nothing is stored: the kernel has one tile.
    #[inline]
    pub fn run(&self, program: &Program, run: &Run<'_>) -> Result<bool> {
        let mut bases = [std::ptr::null_mut(); BASES];
        self.bind(program, run, &mut bases)?;
        let mut holds = true;
        if !run.rehearses {
            // SAFETY: `bind` has set the addresses for this run, and only this task runs.
            unsafe { self.compute(program, run.bindings.scalars, &mut bases, 0..self.all, |_| holds = false) };
        }
        Ok(holds)
    }

    /// Runs the compiled kernel as several tasks. `share` calls its argument with the tiles of each task.
    pub fn run_shared(
        &self,
        program: &Program,
        run: &Run<'_>,
        share: impl FnOnce(&(dyn Fn(usize, usize) + Sync)),
    ) -> Result<()> {
        let (mut bases, scalars) = (Bases([std::ptr::null_mut(); BASES]), run.bindings.scalars);
        self.bind(program, run, &mut bases.0)?;
        if !run.rehearses {
            share(&|from, to| {
                let bases = &bases;
                let mut own = bases.0;
                // SAFETY: `bind` has set the addresses for this run, and each task runs its own tiles.
                unsafe { self.compute(program, scalars, &mut own, from * self.n..(to * self.n).min(self.all), |_| {}) }
            });
        }
        Ok(())
    }

    /// Sets the base addresses of all operands, in place: returning them would move what was just written, which takes
    /// longer. The entry of the registers stays null.
    #[inline(always)]
    fn bind(&self, program: &Program, run: &Run<'_>, bases: &mut [*mut u8; BASES]) -> Result<()> {
        run.has_scalars(program.name, program.scalars)?;
        for (number, place) in self.places.iter().enumerate() {
            let DirectOperand { buffer, size, first, span, .. } = *place;
            match run.find(buffer, size, first, span) {
                Some(at) => bases[(number + 1) % BASES] = at,
                None => return Err(run.missing(program.name, buffer, size, first, span)),
            }
        }
        Ok(())
    }

    /// Computes a range of elements, which begins and ends between tiles.
    ///
    /// # Safety
    /// [`Direct::bind`] has set `bases` for this run. The elements are among the `self.all` of the kernel, and no
    /// other task computes them.
    #[inline(always)]
    unsafe fn compute(
        &self,
        program: &Program,
        scalars: &[u64],
        bases: &mut [*mut u8; BASES],
        elements: Range<usize>,
        fails: impl FnMut(usize),
    ) {
        let mut registers = Registers(MaybeUninit::uninit());
        bases[0] = registers.0.as_mut_ptr().cast::<u8>();
        // SAFETY: the registers have at least `program.arena` bytes (*room*, see [`Program`]). The caller ensures the
        // conditions of `walk`.
        unsafe {
            for fill in &program.fills {
                let bits = bits_of(fill.value, program, |place| bases[place + 1], scalars);
                strided::fill(fill.size, bits, At::register(fill.slot).in_run(bases), fill.count);
            }
            self.walk::<false>(program, bases, elements, fails);
        }
    }

    /// Computes a range of the rows of a kernel in tiles of whole rows. `arena` has the filled registers of the program.
    /// Calls `fails` with the first row of each tile that is not stored, because a sum is not in its bounds.
    ///
    /// # Safety
    /// The arena belongs to a frame that was made for the program (*made for it*, see `Frame`). The rows are among the
    /// `self.all` of the kernel, and no other task computes them.
    pub unsafe fn run_rows(
        &self,
        bound: &BoundProgram<'_>,
        arena: *mut u8,
        rows: Range<usize>,
        fails: impl FnMut(usize),
    ) {
        let mut bases = [std::ptr::null_mut(); BASES];
        bases[0] = arena;
        for place in 0..self.places.len() {
            bases[(place + 1) % BASES] = bound.at(place);
        }
        // SAFETY: the caller ensures the conditions of `walk`.
        unsafe { self.walk::<true>(bound.program, &mut bases, rows, fails) };
    }

    /// Prefetches the part of the next tile's `rows` rows that belongs to action `number`.
    #[inline(always)]
    fn prefetch(&self, bases: &[*mut u8; BASES], rows: usize, number: usize) {
        for ahead in &self.ahead {
            let next = bases[ahead.base % BASES].wrapping_add(ahead.row * self.n);
            let part = number * ahead.each..(ahead.row * rows).min((number + 1) * ahead.each);
            part.step_by(LINE).for_each(|at| prefetch(next.wrapping_add(at)));
        }
    }

    /// Computes a range of elements or rows, tile by tile. `AHEAD` states whether to prefetch the operands of the next
    /// tile: the prefetches are spread over all actions, because the processor accepts only a few at a time. If a sum of
    /// a tile is not in its bounds, calls `fails` with the tile's first element, and stores nothing of the tile.
    ///
    /// # Safety
    /// `bases` has the addresses of the registers and of the operands of this run. The elements are among the `self.all`
    /// of the kernel, and no other task computes them.
    #[inline(always)]
    unsafe fn walk<const AHEAD: bool>(
        &self,
        program: &Program,
        bases: &mut [*mut u8; BASES],
        elements: Range<usize>,
        mut fails: impl FnMut(usize),
    ) {
        // SAFETY: binding the program has checked that every element of each operand is inside its buffer (*inside*, see
        // [`Program`]). The tiles are a part of the index space. The compilation has checked that a tile of each operand
        // is contiguous, or that an action copies it with the operand's steps; that `step` is the distance from a tile's
        // element of the outer level to the next; and that each reduction has a loop for whole rows or only one row. The
        // registers have at least `program.arena` bytes (*room*), which include the state of a reduction. The caller
        // ensures that only this task computes these elements.
        unsafe {
            let (mut left, mut advance) = (elements.len(), elements.start);
            loop {
                if advance > 0 {
                    for (base, place) in bases[1..].iter_mut().zip(&self.places) {
                        let bytes = advance as isize * place.step * place.size as isize;
                        *base = base.wrapping_offset(mutant!(tiles_at_one_place, 0, bytes));
                    }
                }
                let n = self.n.min(left);
                for (number, action) in self.actions.iter().enumerate() {
                    if AHEAD {
                        self.prefetch(bases, self.n.min(left - n), number);
                    }
                    match *action {
                        Action::Call { f, args: [a, b, c], to, each } => {
                            f(n * each, a.in_run(bases), b.in_run(bases), c.in_run(bases), to.in_run(bases));
                        }
                        Action::CallRows { f, args: [a, b], to, n: each } => {
                            let (a, b) = (a.in_run(bases), b.in_run(bases));
                            f(each, a, b, (&raw const n).cast(), to.in_run(bases));
                        }
                        Action::Copy { from, to, size, each, streams: true } => {
                            strided::stream(from.in_run(bases), to.in_run(bases), n * each * size);
                        }
                        // the value may already be in the memory that is written, so use a copy that allows overlap
                        Action::Copy { from, to, size, each, streams: false } => {
                            std::ptr::copy(from.in_run(bases), to.in_run(bases), n * each * size);
                        }
                        Action::Fold { at: [pass, reduction], data, gives, to } => {
                            let reduction = &program.passes[pass].reductions[reduction];
                            let data = data.map(|at| at.in_run(bases).cast_const());
                            let to = to.in_run(bases);
                            if !reduction.spec.whole_rows(data, n, gives, to) {
                                reduction.spec.one_row(data, bases[0], gives, to);
                            }
                            if !reduction.holds(to, n) {
                                fails(elements.end - left);
                                break;
                            }
                        }
                        Action::CopyStrided { from, steps: [rows, cols], to, size, n: each } => {
                            let from = StridedBlock { ptr: from.in_run(bases), rows, cols };
                            let to = StridedBlock { ptr: to.in_run(bases), rows: each as isize, cols: 1 };
                            strided::copy(size, from, to, n, each);
                        }
                    }
                }
                left -= n;
                if left == 0 {
                    return;
                }
                advance = n;
            }
        }
    }
}

/// The base addresses of a run, for several tasks.
struct Bases([*mut u8; BASES]);

// SAFETY: each task writes only elements of its own tiles, and no other task reads these elements: a kernel that computes
// in place reads only the element that it writes.
unsafe impl Sync for Bases {}
