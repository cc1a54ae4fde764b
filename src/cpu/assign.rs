//! Makes the program of a kernel: which values are the same bits, in which pass each is computed, its register, and what a
//! pass keeps for the next. No buffer is known here.

// a value's number indexes several tables at once
#![allow(clippy::needless_range_loop)]

mod step;

use super::arena::Arena;
use super::convert;
use super::fold::FoldSpec;
use super::program::{
    Dst, Fill, FillValue, Goal, Level, Order, Pass, Program, ReductionInput, RowBroadcast, Step, StepKind,
    StridedOperand, Tiles, Total, Write, internal,
};
use super::scan::ScanSpec;
use super::strided::Axis;
use crate::dtype::{Compute, DType};
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{BufferRef, Fold, IndexMode, Kernel, Op};
use crate::layout::{Shape, span_of};
use crate::ufunc::{Class, cast};
use smallvec::SmallVec;

/// Bytes of a result from which it is written past the caches: more than they hold, so that its reader would not find it there.
const STREAM: usize = 32 << 20;

struct Assigner<'a> {
    kernel: &'a Kernel,
    aliased: &'a [bool],
    program: Program,
    /// For each value the first one with the same bits: a cast that changes none is an alias of its operand.
    alias_of: SmallVec<[u8; 16]>,
    /// For each value, how many reductions that wait for one another lie below it: so many passes run before it is known.
    phase: SmallVec<[u8; 16]>,
    /// The values that a later pass reads again, as bits.
    kept: u128,
    keeps: SmallVec<[(usize, usize); 2]>,
    arena: Arena,
    filled: [u128; 2],
}

/// The program of a kernel for tiles of these sizes.
pub(super) fn assign(kernel: &Kernel, tiles: Tiles<'_>) -> Result<Program> {
    let count = kernel.values.len();
    if count > 128 {
        return Err(internal(kernel.name, format!("{count} values")));
    }
    let mut c = Assigner {
        kernel,
        aliased: tiles.aliased,
        program: Program::new(kernel, &tiles),
        alias_of: SmallVec::new(),
        phase: SmallVec::new(),
        kept: 0,
        keeps: SmallVec::new(),
        arena: Arena::default(),
        filled: [0; 2],
    };
    c.analyse();
    c.emit()?;
    c.check_registers()?;
    let mut program = c.program;
    program.arena = c.arena.size;
    if program.goal == Goal::CheckIndices {
        program.leave_unread();
    }
    Ok(program)
}

impl Assigner<'_> {
    /// Finds aliases and phases. [`validate`](crate::kernel::validate) has seen that operands come before their readers.
    fn analyse(&mut self) {
        let kernel = self.kernel;
        for (v, value) in kernel.values.iter().enumerate() {
            let mut phase = 0;
            for a in value.op.operands() {
                phase = phase.max(self.phase[a]);
            }
            if self.reduces(v).is_some() {
                phase += 1;
            }
            self.phase.push(phase);
            let same = match &value.op {
                Op::Cast(a) if convert::cast(kernel.values[*a].dtype, value.dtype).is_empty() => Some(*a),
                Op::Round(a) if cast::round(value.dtype).is_none() => Some(*a),
                _ => None,
            };
            // an outer value as the inner level reads it is repeated along the row: other memory, so no alias
            let same = same.filter(|a| kernel.values[*a].inner == value.inner);
            self.alias_of.push(same.map_or(v as u8, |a| self.alias_of[a]));
        }
    }

    fn alias_of(&self, v: usize) -> usize {
        self.alias_of[v] as usize
    }

    fn is_uniform(&self, v: usize) -> bool {
        let kernel = self.kernel;
        let value = &kernel.values[v];
        match value.op {
            Op::Scalar(_) | Op::Constant(_) => true,
            Op::Load(n) => {
                let (rows, cols) = self.axes(&kernel.loads[n].strides, value.inner);
                rows.is_still() && cols.is_still()
            }
            _ => false,
        }
    }

    /// The values that a set depends on at one level, the set included. What the `leaves` depend on is left out.
    fn below(&self, mut set: u128, inner: bool, leaves: u128) -> u128 {
        let values = &self.kernel.values;
        for v in (0..values.len()).rev() {
            if set >> v & 1 == 1 && leaves >> v & 1 == 0 && values[v].inner == inner && self.alias_of(v) == v {
                if self.reduces(v).is_some() {
                    continue;
                }
                for a in values[v].op.operands() {
                    set |= 1 << self.alias_of(a);
                }
            }
        }
        set
    }

    /// The values of each pass. What a later pass reads again is kept, unless it is as cheap to load or count again.
    fn values_of_passes(&mut self, passes: usize, needed: u128, inner_sinks: u128) -> SmallVec<[u128; 4]> {
        let values = &self.kernel.values;
        let mut sets: SmallVec<[u128; 4]> = SmallVec::new();
        let mut made = 0u128;
        for p in 0..passes {
            let mut roots = if p + 1 == passes { inner_sinks } else { 0 };
            for v in 0..values.len() {
                if let Some(a) = self.reduces(v)
                    && needed >> v & 1 == 1
                    && self.phase[v] as usize == p + 1
                {
                    roots |= 1 << self.alias_of(a);
                }
            }
            let set = self.below(roots, true, made);
            self.kept |= set & made;
            for v in 0..values.len() {
                let cheap = match values[v].op {
                    Op::Load(load) => !self.needs_transpose(load),
                    _ => matches!(values[v].op, Op::Index { .. } | Op::Scalar(_) | Op::Constant(_)),
                };
                if set >> v & 1 == 1 && values[v].inner && !cheap {
                    made |= 1 << v;
                }
            }
            sets.push(set);
        }
        sets
    }

    fn emit(&mut self) -> Result<()> {
        let kernel = self.kernel;
        let values = &kernel.values;
        // the values for whose sake the program runs
        let sinks: SmallVec<[usize; 4]> = match self.program.goal {
            Goal::Stores => kernel.stores.iter().map(|s| s.value).collect(),
            Goal::CheckIndices => {
                let is_check = |v: &usize| matches!(values[*v].op, Op::Gather { mode, extent, .. } if mode == IndexMode::Check || extent == 0);
                (0..values.len()).filter(is_check).collect()
            }
        };
        let mut needed = 0u128;
        for &v in &sinks {
            needed |= 1 << self.alias_of(v);
        }
        let inner_sinks =
            (0..values.len()).filter(|v| needed >> v & 1 == 1 && values[*v].inner).fold(0u128, |s, v| s | 1 << v);
        // what these depend on, at both levels
        let mut last_phase = 0;
        for v in (0..values.len()).rev() {
            if needed >> v & 1 == 1 {
                last_phase = last_phase.max(self.phase[v]);
                for a in values[v].op.operands() {
                    needed |= 1 << self.alias_of(a);
                }
            }
        }
        let passes = last_phase as usize + (inner_sinks != 0) as usize;
        let sets = self.values_of_passes(passes, needed, inner_sinks);
        let mut done = 0u128;
        for p in 0..=passes {
            // outer steps before pass p: values whose reductions are done by then; those after the last pass take the rest
            let from = self.program.steps.len();
            let flat = self.program.order == Order::Flat;
            let mut last = [u8::MAX; 128];
            if flat {
                self.last_uses(needed, false, &mut last);
                for &s in &sinks {
                    last[self.alias_of(s)] = u8::MAX;
                }
            }
            for v in 0..values.len() {
                let due = needed >> v & 1 == 1 && !values[v].inner && (self.phase[v] as usize == p || p == passes);
                if due && done >> v & 1 == 0 && self.alias_of(v) == v {
                    done |= 1 << v;
                    if self.reduces(v).is_some() {
                        continue;
                    }
                    self.step(v, false, None)?;
                    if flat {
                        self.release(v, &last);
                    }
                }
            }
            let to = self.program.steps.len();
            self.program.stages.push(from..to);
            if p < passes {
                self.pass(p, sets[p], needed, if p + 1 == passes { inner_sinks } else { 0 })?;
            }
        }
        if self.program.goal == Goal::Stores {
            self.writes();
        }
        Ok(())
    }

    /// Whether a load is transposed on its way into a tile: to do that again in the next pass costs more than to keep it.
    fn needs_transpose(&self, load: usize) -> bool {
        let strides = &self.kernel.loads[load].strides;
        self.program.order == Order::Cols && !matches!(self.axes(strides, true).1.step, Some(0 | 1))
    }

    /// For each value, the last one that reads its register: after that step the register is free.
    fn last_uses(&self, set: u128, inner: bool, last: &mut [u8; 128]) {
        let values = &self.kernel.values;
        for v in 0..values.len() {
            if set >> v & 1 == 1 && values[v].inner == inner {
                for a in values[v].op.operands() {
                    last[self.alias_of(a)] = v as u8;
                }
            }
        }
    }

    /// Gives back the registers whose last reader was `v`.
    fn release(&mut self, v: usize, last: &[u8; 128]) {
        let kernel = self.kernel;
        let level = self.level(kernel.values[v].inner);
        let mut seen: SmallVec<[usize; 3]> = SmallVec::new();
        for a in kernel.values[v].op.operands() {
            let a = self.alias_of(a);
            if last[a] as usize != v || seen.contains(&a) || kernel.values[a].inner != kernel.values[v].inner {
                continue;
            }
            seen.push(a);
            let slot = self.program.steps.iter().rev().find(|s| s.id == a).map(|s| (s.dst, s.compute.size()));
            if let Some((Dst::Register(at), size)) = slot {
                self.arena.give_back(at, level.size() * size);
            }
        }
    }

    fn pass(&mut self, p: usize, set: u128, needed: u128, sinks: u128) -> Result<()> {
        let kernel = self.kernel;
        let values = &kernel.values;
        let mut pass = Pass::default();
        // reductions and stores read a register after all steps of the tile, so it is never given back
        let mut last = [u8::MAX; 128];
        self.last_uses(set, true, &mut last);
        for v in 0..values.len() {
            if let Op::Reduce(fold, a) = &values[v].op
                && needed >> v & 1 == 1
                && self.phase[v] as usize == p + 1
            {
                last[self.alias_of(*a)] = u8::MAX;
                let arg = self.register_id(self.alias_of(*a), true);
                let spec = self.fold(fold, values[*a].compute())?;
                let size = values[v].compute().size();
                let slot = self.arena.lasting(self.program.outer.size() * size);
                pass.reductions.push(ReductionInput { arg, id: v, slot, spec });
            }
            if let (Op::Scan(_, a), false) = (&values[v].op, values[v].inner) {
                // the step of a total is the last one of its pass
                last[self.alias_of(*a)] = u8::MAX;
            }
        }
        for v in 0..values.len() {
            if sinks >> v & 1 == 1 {
                last[v] = u8::MAX;
            }
        }
        // outer values that inner steps read are repeated along the row first
        for v in 0..values.len() {
            if set >> v & 1 == 1 && !values[v].inner {
                if self.is_uniform(v) {
                    self.fill(v, true)?;
                } else {
                    let size = values[v].compute().size();
                    let slot = self.arena.lasting(self.program.inner.size() * size);
                    pass.broadcasts.push(RowBroadcast { from: v, to: self.register_id(v, true), slot, size });
                }
            }
        }
        let from = self.program.steps.len();
        for v in 0..values.len() {
            if set >> v & 1 == 0 || !values[v].inner || self.alias_of(v) != v {
                continue;
            }
            if self.kept >> v & 1 == 1 {
                if let Some(&(_, at)) = self.keeps.iter().find(|k| k.0 == v) {
                    let compute = values[v].compute();
                    self.push(Step {
                        kind: StepKind::ReuseRow,
                        dst: Dst::KeepRow(at),
                        id: v,
                        args: [0; 3],
                        compute,
                        operand: compute,
                    });
                    continue;
                }
                let row =
                    kernel.inner_size() * if self.program.order == Order::Cols { self.program.inner.cols } else { 1 };
                let bytes = row * values[v].compute().size();
                let at = mutant!(kept_in_a_register, self.arena.register(bytes), self.arena.lasting(bytes));
                self.keeps.push((v, at));
                self.step(v, true, Some(Dst::KeepRow(at)))?;
            } else {
                self.step(v, true, None)?;
            }
            self.release(v, &last);
        }
        for v in 0..values.len() {
            if let Op::Scan(fold, a) = &values[v].op
                && !values[v].inner
                && needed >> v & 1 == 1
                && self.phase[v] as usize == p + 1
            {
                pass.totals.push(self.total(v, fold, *a)?);
            }
        }
        pass.steps = from..self.program.steps.len();
        self.arena.end_pass();
        self.program.passes.push(pass);
        Ok(())
    }

    fn fold(&mut self, fold: &Fold, compute: Compute) -> Result<FoldSpec> {
        let kernel = self.kernel;
        let width = if self.program.order == Order::Cols { self.program.inner.cols } else { 1 };
        let Some(mut spec) = FoldSpec::new(fold, compute, kernel.kind, kernel.inner_size(), width) else {
            return Err(internal(kernel.name, format!("no reduction {} of {}", fold.name(), compute.name())));
        };
        spec.at = self.arena.lasting(spec.bytes());
        Ok(spec)
    }

    /// The inner value that a value of the outer level is made of: by a reduction, or as a scan's total.
    fn reduces(&self, v: usize) -> Option<usize> {
        match self.kernel.values[v].op {
            Op::Reduce(_, a) => Some(a),
            Op::Scan(_, a) if !self.kernel.values[v].inner => Some(a),
            _ => None,
        }
    }

    /// The number of a scan in the program.
    fn scan(&mut self, fold: &Fold, compute: Compute) -> Result<usize> {
        let width = if self.program.order == Order::Cols { self.program.inner.cols } else { 1 };
        let Some(mut spec) = ScanSpec::new(fold, compute, self.kernel.inner_size(), width) else {
            return Err(internal(self.kernel.name, format!("no scan {} of {}", fold.name(), compute.name())));
        };
        spec.at = self.arena.lasting(spec.bytes());
        self.program.scans.push(spec);
        Ok(self.program.scans.len() - 1)
    }

    /// The number under which a frame has a value's pointer for a level: an outer value has a second one for the inner level.
    fn register_id(&self, v: usize, inner: bool) -> usize {
        let values = &self.kernel.values;
        if inner && !values[v].inner { values.len() + v } else { v }
    }

    fn level(&self, inner: bool) -> Level {
        if inner { self.program.inner } else { self.program.outer }
    }

    /// Refuses a program in which a step's register lies in memory that has to outlive the tile.
    fn check_registers(&self) -> Result<()> {
        let p = &self.program;
        let outer = p.stages.iter().map(|s| (s.clone(), p.outer));
        let inner = p.passes.iter().map(|pass| (pass.steps.clone(), p.inner));
        for (range, level) in outer.chain(inner) {
            for step in &p.steps[range] {
                let Dst::Register(at) = step.dst else { continue };
                if self.arena.is_taken(at, level.size() * step.compute.size()) {
                    return Err(internal(self.kernel.name, format!("value {} has a register that is taken", step.id)));
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, step: Step) {
        self.program.steps.push(step);
    }
}
