//! Runs a kernel that is one small tile, without a frame. All operands are contiguous, and the registers are on the
//! stack. Most kernels of small arrays are such tiles. To set up a frame for them takes several times as long as to
//! compute them.

use super::bind::Run;
use super::program::{Dst, Program, Step, StepKind, Write};
use super::tiles::{Tile, bits_of};
use crate::base::error::Result;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

/// The most values, operands and bytes of registers of such a kernel. 8 KiB hold a register of 256 f32 for each of 8
/// values.
const VALUES: usize = 16;
const PLACES: usize = 8;
const REGISTERS: usize = 8 << 10;

/// The registers, aligned for vectors.
#[repr(align(64))]
struct Registers(MaybeUninit<[u8; REGISTERS]>);

/// Returns whether a program can run its only tile this way.
pub(super) fn fits(program: &Program, tile: Tile) -> bool {
    let is_dense = |place: usize| program.places[place].dense(tile.nr, tile.nc);
    let runs = |step: &Step| {
        let is_in_order = match step.kind {
            // the tile is read where it is, or widened to a register
            StepKind::Load(place) => {
                let has_room = matches!(step.dst, Dst::Register(_)) || program.places[place].convert.is_none();
                is_dense(place) && has_room
            }
            StepKind::Call(_) => !matches!(step.dst, Dst::Nowhere),
            StepKind::Index { .. }
            | StepKind::Gather { .. }
            | StepKind::Position(_)
            | StepKind::Philox { .. }
            | StepKind::Scan(_)
            | StepKind::ReuseRow => false,
        };
        let has_place = match step.dst {
            Dst::Nowhere | Dst::Register(_) => true,
            Dst::Out(place) => is_dense(place),
            Dst::KeepRow(_) => false,
        };
        is_in_order && has_place && step.id < VALUES && step.args.iter().all(|id| *id < VALUES)
    };
    let writes =
        |w: &Write| w.condition.is_none() && w.scattered.is_none() && !w.stream && w.id < VALUES && is_dense(w.place);
    program.passes.is_empty()
        && program.positions.is_empty()
        && program.places.len() <= PLACES
        && program.arena <= REGISTERS
        && program.fills.iter().all(|fill| fill.id < VALUES)
        && program.steps.iter().all(runs)
        && program.writes.iter().all(writes)
}

/// Runs a program whose only tile has `n` elements, on the buffers of a run. The caller has checked that it
/// [`fits`].
pub(super) fn run(program: &Program, n: usize, run: &Run<'_>) -> Result<()> {
    run.has_scalars(program.name, program.scalars)?;
    let mut places = [null_mut(); PLACES];
    for (at, place) in places.iter_mut().zip(&program.places) {
        if let Some((buffer, first)) = place.memory {
            *at = run.locate(program.name, buffer, place.size, first, place.span)?;
        }
    }
    if run.rehearses {
        return Ok(());
    }
    let mut registers = Registers(MaybeUninit::uninit());
    let registers = registers.0.as_mut_ptr().cast::<u8>();
    let mut at = [null_mut(); VALUES];
    // SAFETY: *inside* ([`Program`]): the tile is the whole index space, so each place has its `n` elements at its
    // address, one after another, because `fits` has checked that it is dense. *Room*: the registers have
    // `program.arena` bytes. Only this task runs.
    unsafe {
        for fill in &program.fills {
            let to = registers.add(fill.slot);
            let bits = bits_of(fill.value, program, |place| places[place], run.bindings.scalars);
            super::strided::fill(fill.size, bits, to, fill.count);
            at[fill.id] = to;
        }
        for step in &program.steps {
            let to = match step.dst {
                Dst::Register(slot) | Dst::KeepRow(slot) => registers.add(slot),
                Dst::Out(place) => places[place],
                Dst::Nowhere => null_mut(),
            };
            at[step.id] = match step.kind {
                StepKind::Call(f) => {
                    let [a, b, c] = step.args.map(|id| at[id].cast_const());
                    f(n, a, b, c, to);
                    to
                }
                StepKind::Load(place) => match program.places[place].convert {
                    Some(widen) => {
                        let from = places[place].cast_const();
                        widen(n, from, from, from, to);
                        to
                    }
                    None => places[place],
                },
                StepKind::Index { .. }
                | StepKind::Gather { .. }
                | StepKind::Position(_)
                | StepKind::Philox { .. }
                | StepKind::Scan(_)
                | StepKind::ReuseRow => to,
            };
        }
        for w in program.writes.iter().filter(|w| !w.direct) {
            let (from, to, place) = (at[w.id].cast_const(), places[w.place], &program.places[w.place]);
            match place.convert {
                Some(narrow) => narrow(n, from, from, from, to),
                // the value may be in the memory that is written
                None => std::ptr::copy(from, to, n * place.size),
            }
        }
    }
    Ok(())
}
