//! Compiles programs to the actions of a [`Direct`].

use super::{Action, Ahead, At, Direct, DirectOperand, IDS, PLACES, REGISTERS};
use crate::cpu::caches::LINE;
use crate::cpu::program::{Dst, Program, StepKind, StridedOperand, Write};
use crate::cpu::tiles::TileBounds;
use std::ops::Range;

/// Compiles a program whose index space has `all` elements and is either `tile` or one row that is divided into tiles
/// like `tile`. Returns `None` if the program is too large, or has a step that only the tile interpreter implements.
pub(in crate::cpu) fn compile(program: &Program, tile: TileBounds, all: usize) -> Option<Direct> {
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
pub(in crate::cpu) fn compile_rows(program: &Program, [all, rows]: [usize; 2], n: usize) -> Option<Direct> {
    let is_one_tile = all <= rows;
    let mut maker = Maker::new(program, !is_one_tile || program.arena <= REGISTERS)?;
    let outer = all.min(rows);
    let rows = TileBounds { r0: 0, nr: outer, c0: 0, nc: n, start: 0 };
    let results = TileBounds { r0: 0, nr: 1, c0: 0, nc: outer, start: 0 };
    if is_one_tile {
        maker.repeated(rows)?;
    } else {
        maker.use_frame()?;
    }
    for (p, pass) in program.passes.iter().enumerate() {
        maker.steps(program.stages[p].clone(), results, 1)?;
        for s in &pass.broadcasts {
            let from = maker.at(s.from)?;
            let to = s.slot.map_or(from, At::register);
            if s.slot.is_some() {
                maker.actions.push(Action::CopyStrided { from, steps: [1, 0], to, size: s.size, n });
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
        let is_small = program.places.len() <= PLACES && has_room && u32::try_from(program.arena).is_ok();
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
            self.actions.push(Action::CopyStrided { from, steps: [0, 1], to, size: place.size, n: tile.nc });
            *self.at.get_mut(row.id)? = to;
        }
        Some(())
    }

    /// Prepares a program whose registers are in a frame. The frame has filled the registers of loads whose elements are
    /// the same in every row, and the task that owns it waits for stores that bypass the caches.
    fn use_frame(&mut self) -> Option<()> {
        self.streams = true;
        for row in &self.program.repeated {
            let p = &self.program.places[row.place];
            // a frame does not fill the register of a load whose tile is contiguous in memory
            if p.convert.is_none() && p.dense(self.program.inner.rows, self.program.inner.cols) {
                return None;
            }
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
                StepKind::Load(place) if self.program.places[place].is_inner && self.dense(place, tile).is_none() => {
                    let p = &self.program.places[place];
                    let (steps, None) = ([p.rows.step?, p.cols.step?], p.convert) else { return None };
                    // a fold that reads its operand from memory may have a larger tile than the register
                    if tile.nr > self.program.inner.rows || tile.nc > self.program.inner.cols {
                        return None;
                    }
                    let (from, size) = (At::place(place), p.size);
                    self.actions.push(Action::CopyStrided { from, steps, to: to?, size, n: each });
                    (None, [to?; 3])
                }
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
