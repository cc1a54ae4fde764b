//! Runs simple kernels on contiguous arrays: those with one tile, or with one row that is divided into tiles, and
//! reductions of whole rows that fit in one tile. For a small array, setting up the tile interpreter (`tiles.rs`) takes
//! several times as long as computing the tile. So each step is compiled to a call of its loop, and the values of a
//! tile are on the stack. A run only adds an offset to each base address.

use super::bind::{BoundProgram, Run};
use super::caches::{LINE, prefetch};
use super::program::{Dst, Program, StepKind, StridedOperand, Write, bits_of};
use super::strided::{self, StridedBlock};
use super::tiles::TileBounds;
use crate::base::error::Result;
use crate::math::simd::Loop;
use crate::plan::kernel::{BufferRef, Gives};
use std::mem::MaybeUninit;
use std::ops::Range;

/// The maximum number of ids ([`TileLoop`](super::program::TileLoop)), of operands in memory, and of bytes of registers
/// in a kernel that this file compiles. 8 KiB hold 256 f32 for each of 8 values.
const IDS: usize = 48;
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
    /// Copies elements to all rows and columns of a tile. `steps` are the distances of neighbouring rows and columns of
    /// `from`: 1 and 0 for an element of the outer level, which is repeated along its row, or 0 and 1 for a row that is
    /// repeated. A row has `n` elements.
    Repeat {
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

/// Compiles a program whose index space has `all` elements and is either `tile` or one row that is divided into tiles
/// like `tile`. Returns `None` if the program is too large, or has a step that only the tile interpreter implements.
pub(super) fn compile(program: &Program, tile: TileBounds, all: usize) -> Option<Direct> {
    if !program.passes.is_empty() {
        return None;
    }
    let mut maker = Maker::new(program, program.arena <= REGISTERS)?;
    maker.places.iter_mut().for_each(|place| place.step = 1);
    maker.steps(0..program.steps.len(), tile, 1)?;
    maker.writes(|_| true, tile, 1)?;
    Some(Direct { all, n: tile.len(), places: maker.places, actions: maker.actions, ahead: vec![] })
}

/// Compiles a program that reduces each of `all` rows of `n` elements, in tiles of `rows` rows. A tile of one row may be
/// read directly from memory. If there are several tiles, a frame must hold the registers ([`Direct::run_rows`]).
/// Returns `None` under the same conditions as [`compile`], or if a reduction needs the tile interpreter.
pub(super) fn compile_rows(program: &Program, [all, rows]: [usize; 2], n: usize) -> Option<Direct> {
    let is_one_tile = all <= rows;
    let mut maker = Maker::new(program, !is_one_tile || program.arena <= REGISTERS)?;
    let outer = all.min(rows);
    let rows = TileBounds { r0: 0, nr: outer, c0: 0, nc: n, start: 0 };
    let results = TileBounds { r0: 0, nr: 1, c0: 0, nc: outer, start: 0 };
    match is_one_tile {
        true => maker.repeated(rows)?,
        // a frame has filled the registers of these loads
        false => maker.at_registers()?,
    }
    maker.streams = !is_one_tile;
    for (p, pass) in program.passes.iter().enumerate() {
        maker.steps(program.stages[p].clone(), results, 1)?;
        for s in &pass.broadcasts {
            let from = maker.at(s.from)?;
            let to = s.slot.map_or(from, At::register);
            if s.slot.is_some() {
                maker.actions.push(Action::Repeat { from, steps: [1, 0], to, size: s.size, n });
            }
            *maker.at.get_mut(s.to)? = to;
        }
        maker.steps(pass.steps.clone(), rows, n)?;
        for (r, reduction) in pass.reductions.iter().enumerate() {
            let [x, y, z] = reduction.args.map(|id| maker.at(id));
            let data = [x?, y?, z?];
            let is_long = outer == 1 && reduction.base.is_none() && reduction.spec.takes_any_length();
            if !reduction.takes_whole_rows() && !is_long {
                return None;
            }
            for result in &reduction.results {
                let to = At::register(result.slot);
                maker.actions.push(Action::Fold { at: [p, r], data, gives: result.gives, to });
                *maker.at.get_mut(result.id)? = to;
            }
        }
    }
    maker.writes(|w| w.inner, rows, n)?;
    maker.steps(program.stages[program.passes.len()].clone(), results, 1)?;
    maker.writes(|w| !w.inner, results, 1)?;
    let ahead = if is_one_tile { vec![] } else { maker.tiles_follow([outer, n])? };
    Some(Direct { all, n: outer, places: maker.places, actions: maker.actions, ahead })
}

/// The state of a compilation: the operands in memory, the actions so far, and where each value is.
struct Maker<'a> {
    program: &'a Program,
    places: Vec<DirectOperand>,
    actions: Vec<Action>,
    at: [At; IDS],
    /// Whether stores may bypass the caches.
    streams: bool,
}

impl<'a> Maker<'a> {
    /// Creates a maker. Returns `None` if the program is too large, or if the registers have no room (`has_room`).
    fn new(program: &'a Program, has_room: bool) -> Option<Maker<'a>> {
        let is_small = program.places.len() <= PLACES && has_room;
        if !is_small || !program.positions.is_empty() || !program.scans.is_empty() {
            return None;
        }
        let place = |p: &StridedOperand| {
            let (buffer, first) = p.memory?;
            Some(DirectOperand { buffer, size: p.size, first, span: p.span, step: 0 })
        };
        let places = program.places.iter().map(place).collect::<Option<_>>()?;
        let mut maker = Maker { program, places, actions: vec![], at: [At::default(); IDS], streams: false };
        for fill in &program.fills {
            *maker.at.get_mut(fill.id)? = At::register(fill.slot);
        }
        Some(maker)
    }

    fn at(&self, id: usize) -> Option<At> {
        self.at.get(id).copied()
    }

    /// Compiles the loads whose elements are the same in every row of the only tile. Returns `None` if one has elements
    /// that are not contiguous or not in their compute type.
    fn repeated(&mut self, tile: TileBounds) -> Option<()> {
        for row in &self.program.repeated {
            let place = &self.program.places[row.place];
            if place.convert.is_some() || !place.dense(1, tile.nc) {
                return None;
            }
            let (from, to) = (At::place(row.place), At::register(row.slot));
            self.actions.push(Action::Repeat { from, steps: [0, 1], to, size: place.size, n: tile.nc });
            *self.at.get_mut(row.id)? = to;
        }
        Some(())
    }

    /// Makes steps read the loads whose elements are the same in every row from their registers, which are filled.
    fn at_registers(&mut self) -> Option<()> {
        for row in &self.program.repeated {
            *self.at.get_mut(row.id)? = At::register(row.slot);
        }
        Some(())
    }

    /// Prepares operands for several tiles of `rows` whole rows of `n` elements: sets the distances between the elements
    /// of the outer level, and returns what to prefetch. Returns `None` if an operand has no constant distance.
    fn tiles_follow(&mut self, [rows, n]: [usize; 2]) -> Option<Vec<Ahead>> {
        let program = self.program;
        for (place, p) in self.places.iter_mut().zip(&program.places) {
            // an operand of the outer level has no rows: its columns are the outer indices
            place.step = if p.is_inner { p.rows.step? } else { p.cols.step? };
        }
        // the first pass reads the tile from memory, and the other passes find it in a cache
        let steps = &program.steps[program.passes.first()?.steps.clone()];
        let loads = steps.iter().filter_map(|s| if let StepKind::Load(place) = s.kind { Some(place) } else { None });
        let ahead = loads.filter(|place| self.places[*place].step == n as isize).map(|place| {
            let row = n * self.places[place].size;
            Ahead { base: place + 1, row, each: (rows * row).div_ceil(self.actions.len()).next_multiple_of(LINE) }
        });
        Some(ahead.collect())
    }

    /// Returns the memory of an operand, if a tile is contiguous in it.
    fn dense(&self, place: usize, tile: TileBounds) -> Option<At> {
        self.program.places[place].dense(tile.nr, tile.nc).then(|| At::place(place))
    }

    /// Compiles steps, which compute a tile.
    fn steps(&mut self, steps: Range<usize>, tile: TileBounds, each: usize) -> Option<()> {
        for step in &self.program.steps[steps] {
            let to = match step.dst {
                Dst::Nowhere => None,
                // the tile has whole rows, so a row that is kept for a later pass is in its register as a whole
                Dst::Register(slot) | Dst::KeepRow(slot) => Some(At::register(slot)),
                Dst::Out(place) => Some(self.dense(place, tile)?),
            };
            let (widen, args) = match step.kind {
                // all rows of such a tile may be the same row in memory
                StepKind::Load(place) if to.is_none() => (None, [At::place(place); 3]),
                StepKind::Load(place) => {
                    let (from, place) = (self.dense(place, tile)?, &self.program.places[place]);
                    match (step.dst, place.convert) {
                        (Dst::KeepRow(_), None) => {
                            self.actions.push(Action::Copy { from, to: to?, size: place.size, each, streams: false });
                            (None, [to?; 3])
                        }
                        (_, convert) => (convert, [from; 3]),
                    }
                }
                StepKind::ReuseRow => (None, [to?; 3]),
                StepKind::Call(f) => {
                    let [a, b, c] = step.args.map(|id| self.at(id));
                    (Some(f), [a?, b?, c?])
                }
                StepKind::CallRows(f) => {
                    let [a, b, _] = step.args.map(|id| self.at(id));
                    self.actions.push(Action::CallRows { f, args: [a?, b?], to: to?, n: each });
                    (None, [to?; 3])
                }
                StepKind::Index { .. }
                | StepKind::Gather { .. }
                | StepKind::Position(_)
                | StepKind::Philox { .. }
                | StepKind::Scan(_) => return None,
            };
            *self.at.get_mut(step.id)? = match widen {
                Some(f) => {
                    self.actions.push(Action::Call { f, args, to: to?, each });
                    to?
                }
                // the elements are there already: in the buffer of a load without a conversion, or in the register
                None => args[0],
            };
        }
        Some(())
    }

    /// Compiles the stores that `selects` accepts.
    fn writes(&mut self, selects: impl Fn(&Write) -> bool, tile: TileBounds, each: usize) -> Option<()> {
        for w in self.program.writes.iter().filter(|w| selects(w)) {
            if w.condition.is_some() || w.scattered.is_some() || w.stream && !self.streams {
                return None;
            }
            let (from, to, place) = (self.at(w.id)?, self.dense(w.place, tile)?, &self.program.places[w.place]);
            match place.convert {
                _ if w.direct => {}
                Some(f) => self.actions.push(Action::Call { f, args: [from; 3], to, each }),
                None => self.actions.push(Action::Copy { from, to, size: place.size, each, streams: w.stream }),
            }
        }
        Some(())
    }
}

impl Direct {
    /// Runs the compiled kernel on the buffers of a run, as one task. `program` is the program that was compiled.
    #[inline]
    pub fn run(&self, program: &Program, run: &Run<'_>) -> Result<()> {
        let mut bases = [std::ptr::null_mut(); BASES];
        self.bind(program, run, &mut bases)?;
        if !run.rehearses {
            // SAFETY: `bind` has set the addresses for this run, and only this task runs.
            unsafe { self.compute(program, run.bindings.scalars, &mut bases, 0..self.all) };
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
        let (mut bases, scalars) = (Bases([std::ptr::null_mut(); BASES]), run.bindings.scalars);
        self.bind(program, run, &mut bases.0)?;
        if !run.rehearses {
            share(&|from, to| {
                let bases = &bases;
                let mut own = bases.0;
                // SAFETY: `bind` has set the addresses for this run, and each task runs its own tiles.
                unsafe { self.compute(program, scalars, &mut own, from * self.n..(to * self.n).min(self.all)) }
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
    unsafe fn compute(&self, program: &Program, scalars: &[u64], bases: &mut [*mut u8; BASES], elements: Range<usize>) {
        let mut registers = Registers(MaybeUninit::uninit());
        bases[0] = registers.0.as_mut_ptr().cast::<u8>();
        // SAFETY: the registers have at least `program.arena` bytes (*room*, see [`Program`]). The caller ensures the
        // conditions of `walk`.
        unsafe {
            for fill in &program.fills {
                let bits = bits_of(fill.value, program, |place| bases[place + 1], scalars);
                strided::fill(fill.size, bits, At::register(fill.slot).in_run(bases), fill.count);
            }
            self.walk::<false>(program, bases, elements);
        }
    }

    /// Computes a range of the rows of a kernel in tiles of whole rows. `arena` has the filled registers of the program.
    ///
    /// # Safety
    /// The arena belongs to a frame that was made for the program (*made for it*, see `Frame`). The rows are among the
    /// `self.all` of the kernel, and no other task computes them.
    pub unsafe fn run_rows(&self, bound: &BoundProgram<'_>, arena: *mut u8, rows: Range<usize>) {
        let mut bases = [std::ptr::null_mut(); BASES];
        bases[0] = arena;
        for place in 0..self.places.len() {
            bases[(place + 1) % BASES] = bound.at(place);
        }
        // SAFETY: binding the program has checked that every element of each operand is in its buffer. The caller
        // ensures the other conditions.
        unsafe { self.walk::<true>(bound.program, &mut bases, rows) };
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
    /// tile: the prefetches are spread over all actions, because the processor accepts only a few at a time.
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
    ) {
        // SAFETY: `find` has checked that every element of each operand is inside its buffer (*inside*, see
        // [`Program`]). The tiles are the whole index space, and the compilation has checked that the elements of each
        // operand follow one another, and that each reduction has a loop for whole rows or only one row. The registers
        // have at least `program.arena` bytes (*room*), which include the state of a reduction. The caller ensures that
        // only this task computes these elements.
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
                            let spec = &program.passes[pass].reductions[reduction].spec;
                            let data = data.map(|at| at.in_run(bases).cast_const());
                            let to = to.in_run(bases);
                            if !spec.whole_rows(data, n, gives, to) {
                                spec.one_row(data, bases[0], gives, to);
                            }
                        }
                        Action::Repeat { from, steps: [rows, cols], to, size, n: each } => {
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
