//! Runs simple kernels on contiguous arrays: those with one tile, or with one row that is divided into tiles. For a
//! small array, setting up the tile interpreter (`tiles.rs`) takes several times as long as computing the tile. So each
//! step is compiled to a call of its loop, and the values of a tile are on the stack. A run only adds an offset to each
//! base address.

use super::bind::Run;
use super::program::{Dst, Program, StepKind, StridedOperand};
use super::tiles::{TileBounds, bits_of};
use crate::base::error::Result;
use crate::math::simd::Loop;
use crate::plan::kernel::BufferRef;
use std::mem::MaybeUninit;
use std::ops::Range;

/// The maximum number of values, of operands in memory, and of bytes of registers in a kernel that this file compiles.
/// 8 KiB hold 256 f32 for each of 8 values.
const VALUES: usize = 16;
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

/// One action of the compiled kernel: a call of a loop over the tile, or a copy of the tile.
enum Action {
    Call { f: Loop, args: [At; 3], to: At },
    Copy { from: At, to: At, size: usize },
}

/// An operand in memory. The fields are the arguments of [`Run::find`], which returns its address.
struct DirectOperand {
    buffer: BufferRef,
    size: usize,
    first: isize,
    span: Option<(isize, isize)>,
}

/// A kernel, compiled to the actions that compute a tile, with the operands in memory that the actions access.
pub(super) struct Direct {
    /// The number of elements of all tiles together.
    all: usize,
    /// The number of elements of each tile. The last tile may have fewer.
    n: usize,
    places: Vec<DirectOperand>,
    actions: Vec<Action>,
}

heap! {
    DirectOperand: ;
    Action: ;
    Direct: places, actions;
}

/// Compiles a program whose index space has `all` elements and is either `tile` or one row that is divided into tiles
/// like `tile`. Returns `None` if the program is too large, or has a step that only the tile interpreter implements.
pub(super) fn compile(program: &Program, tile: TileBounds, all: usize) -> Option<Direct> {
    let is_small = program.places.len() <= PLACES && program.arena <= REGISTERS;
    if !is_small || !program.passes.is_empty() || !program.positions.is_empty() {
        return None;
    }
    let n = tile.len();
    let dense = |place: usize| program.places[place].dense(tile.nr, tile.nc).then(|| At::place(place));
    let place = |p: &StridedOperand| {
        let (buffer, first) = p.memory?;
        Some(DirectOperand { buffer, size: p.size, first, span: p.span })
    };
    let places = program.places.iter().map(place).collect::<Option<_>>()?;
    let (mut at, mut actions) = ([At::default(); VALUES], vec![]);
    for fill in &program.fills {
        *at.get_mut(fill.id)? = At::register(fill.slot);
    }
    for step in &program.steps {
        let to = match step.dst {
            Dst::Nowhere => None,
            Dst::Register(slot) => Some(At::register(slot)),
            Dst::Out(place) => Some(dense(place)?),
            Dst::KeepRow(_) => return None,
        };
        let (widen, args) = match step.kind {
            StepKind::Load(place) => (program.places[place].convert, [dense(place)?; 3]),
            StepKind::Call(f) => {
                let [a, b, c] = step.args.map(|id| at.get(id).copied());
                (Some(f), [a?, b?, c?])
            }
            StepKind::Index { .. }
            | StepKind::Gather { .. }
            | StepKind::Position(_)
            | StepKind::Philox { .. }
            | StepKind::Scan(_)
            | StepKind::ReuseRow => return None,
        };
        *at.get_mut(step.id)? = match widen {
            Some(f) => {
                actions.push(Action::Call { f, args, to: to? });
                to?
            }
            // no conversion is needed, so later steps read the elements directly from the buffer
            None => args[0],
        };
    }
    for w in &program.writes {
        if w.condition.is_some() || w.scattered.is_some() || w.stream {
            return None;
        }
        let (from, to, place) = (*at.get(w.id)?, dense(w.place)?, &program.places[w.place]);
        match place.convert {
            _ if w.direct => {}
            Some(f) => actions.push(Action::Call { f, args: [from; 3], to }),
            None => actions.push(Action::Copy { from, to, size: place.size }),
        }
    }
    Some(Direct { all, n, places, actions })
}

impl Direct {
    /// Runs the compiled kernel on the buffers of a run, as one task. `program` is the program that was compiled.
    #[inline]
    pub fn run(&self, program: &Program, run: &Run<'_>) -> Result<()> {
        let bases = self.bind(program, run)?;
        if !run.rehearses {
            // SAFETY: `bind` has returned the addresses for this run, and only this task runs.
            unsafe { self.compute(program, run.bindings.scalars, bases, 0..self.all) };
        }
        Ok(())
    }

    /// Runs the compiled kernel as several tasks. `share` calls its argument with the tiles of each task.
    pub fn run_shared(
        &self,
        program: &Program,
        run: &Run<'_>,
        share: impl FnOnce(&(dyn Fn(usize, usize) + Sync)),
    ) -> Result<()> {
        let (bases, scalars) = (Bases(self.bind(program, run)?), run.bindings.scalars);
        if !run.rehearses {
            share(&|from, to| {
                let bases = &bases;
                // SAFETY: `bind` has returned the addresses for this run, and each task runs its own tiles.
                unsafe { self.compute(program, scalars, bases.0, from * self.n..(to * self.n).min(self.all)) }
            });
        }
        Ok(())
    }

    /// Returns the base addresses of all operands. The entry of the registers is null.
    #[inline(always)]
    fn bind(&self, program: &Program, run: &Run<'_>) -> Result<[*mut u8; BASES]> {
        run.has_scalars(program.name, program.scalars)?;
        let mut bases = [std::ptr::null_mut(); BASES];
        for (number, place) in self.places.iter().enumerate() {
            let DirectOperand { buffer, size, first, span } = *place;
            match run.find(buffer, size, first, span) {
                Some(at) => bases[(number + 1) % BASES] = at,
                None => return Err(run.missing(program.name, buffer, size, first, span)),
            }
        }
        Ok(bases)
    }

    /// Computes a range of elements, which begins and ends between tiles.
    ///
    /// # Safety
    /// [`Direct::bind`] has returned `bases` for this run. The elements are among the `self.all` of the kernel, and no
    /// other task computes them.
    #[inline(always)]
    unsafe fn compute(&self, program: &Program, scalars: &[u64], mut bases: [*mut u8; BASES], elements: Range<usize>) {
        let mut registers = Registers(MaybeUninit::uninit());
        bases[0] = registers.0.as_mut_ptr().cast::<u8>();
        // SAFETY: `find` has checked that every element of each operand is inside its buffer (*inside*, see
        // [`Program`]). The tiles are the whole index space, and `compile` has checked that the elements of each
        // operand follow one another. The registers have at least `program.arena` bytes (*room*). The caller ensures
        // that only this task computes these elements.
        unsafe {
            for fill in &program.fills {
                let bits = bits_of(fill.value, program, |place| bases[place + 1], scalars);
                super::strided::fill(fill.size, bits, At::register(fill.slot).in_run(&bases), fill.count);
            }
            let (mut left, mut advance) = (elements.len(), elements.start);
            loop {
                if advance > 0 {
                    for (base, place) in bases[1..].iter_mut().zip(&self.places) {
                        *base = base.wrapping_add(mutant!(tiles_at_one_place, 0, advance * place.size));
                    }
                }
                let n = self.n.min(left);
                for action in &self.actions {
                    match *action {
                        Action::Call { f, args: [a, b, c], to } => {
                            f(n, a.in_run(&bases), b.in_run(&bases), c.in_run(&bases), to.in_run(&bases));
                        }
                        // the value may already be in the memory that is written, so use a copy that allows overlap
                        Action::Copy { from, to, size } => {
                            std::ptr::copy(from.in_run(&bases), to.in_run(&bases), n * size);
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
