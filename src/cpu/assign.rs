//! Makes the program of a kernel: which values are the same bits, the steps of each pass, the registers and the rows that are
//! kept. In which pass a value is computed and what is kept stands in the schedule. No buffer is known here.

// a value's number indexes several tables at once
#![allow(clippy::needless_range_loop)]

mod step;

use super::arena::Arena;
use super::convert;
use super::fold::FoldSpec;
use super::program::{
    Dst, Fill, FillValue, Goal, Level, Order, Pass, PassReduction, Program, ReductionResult, Request, RowBroadcast,
    ScatteredWrite, Step, StepKind, StridedOperand, Total, Write, internal,
};
use super::scan::ScanSpec;
use super::strided::Axis;
use crate::dtype::{Compute, DType};
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{self, BufferRef, Kernel, Op, Passes, Reduction, WriteClass};
use crate::layout::{Shape, span_of};
use crate::ufunc::{Class, cast};
use smallvec::{SmallVec, smallvec};

struct Assigner<'a> {
    kernel: &'a Kernel,
    aliased: &'a [bool],
    passes: Option<&'a Passes>,
    program: Program,
    /// For each value the first one with the same bits: a cast that changes none is an alias of its operand.
    alias_of: SmallVec<[u8; 16]>,
    /// The values that a later pass takes, as bits.
    kept: u128,
    keeps: SmallVec<[(usize, usize); 2]>,
    arena: Arena,
    filled: [u128; 2],
}

/// The program of a kernel for tiles of these sizes.
pub(super) fn assign(kernel: &Kernel, wanted: Request<'_>) -> Result<Program> {
    let count = kernel.values.len();
    if count > 128 {
        return Err(internal(kernel.name, format!("{count} values")));
    }
    let mut c = Assigner {
        kernel,
        aliased: wanted.aliased,
        passes: wanted.passes,
        program: Program::new(kernel, &wanted),
        alias_of: SmallVec::new(),
        kept: 0,
        keeps: SmallVec::new(),
        arena: Arena::default(),
        filled: [0; 2],
    };
    c.find_aliases();
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
    /// Finds aliases. [`validate`](crate::kernel::validate) has seen that operands come before their readers.
    fn find_aliases(&mut self) {
        let kernel = self.kernel;
        for (v, value) in kernel.values.iter().enumerate() {
            let same = if let Op::Cast(a) = value.op
                && convert::cast(kernel.values[a].dtype, value.dtype).is_empty()
            {
                Some(a)
            } else if let Op::Round(a) = value.op
                && cast::round(value.dtype).is_none()
            {
                Some(a)
            } else {
                None
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
            Op::Index { .. }
            | Op::Ufunc(..)
            | Op::Cast(_)
            | Op::Round(_)
            | Op::Gather { .. }
            | Op::Position { .. }
            | Op::Philox { .. }
            | Op::Reduce(_)
            | Op::Scan(_)
            | Op::Dot => false,
        }
    }

    /// How many passes end before a value is computed.
    fn after(&self, v: usize) -> usize {
        self.passes.map_or(0, |passes| passes.after[v] as usize)
    }

    /// Values of a schedule as bits, each by the first one with the same bits.
    fn set(&self, values: &[u16]) -> u128 {
        values.iter().fold(0, |set, v| set | 1 << self.alias_of(*v as usize))
    }

    /// The values that a pass has: what it computes and takes, and the outer values that are repeated along the row for it.
    fn values_of_pass(&self, pass: &kernel::Pass) -> u128 {
        let values = &self.kernel.values;
        let operands = pass.computes.iter().flat_map(|v| values[*v as usize].op.operands());
        let outer = operands.filter(|a| !values[*a].inner).fold(0, |set, a| set | 1 << self.alias_of(a));
        self.set(&pass.computes) | self.set(&pass.takes) | outer
    }

    fn emit(&mut self) -> Result<()> {
        let kernel = self.kernel;
        let values = &kernel.values;
        // the values for whose sake the program runs
        let sinks: SmallVec<[usize; 4]> = match self.program.goal {
            Goal::Stores => kernel.stores.iter().flat_map(|s| s.operands()).collect(),
            Goal::CheckIndices => (0..values.len()).filter(|v| values[*v].op.checks()).collect(),
        };
        let mut needed = 0u128;
        for &v in &sinks {
            needed |= 1 << self.alias_of(v);
        }
        let inner_sinks =
            (0..values.len()).filter(|v| needed >> v & 1 == 1 && values[*v].inner).fold(0u128, |s, v| s | 1 << v);
        // what these depend on, at both levels
        for v in (0..values.len()).rev() {
            if needed >> v & 1 == 1 {
                for a in values[v].op.operands() {
                    needed |= 1 << self.alias_of(a);
                }
            }
        }
        let list = self.passes.map_or(&[][..], |passes| &passes.list);
        let passes = list.len();
        self.kept = list.iter().fold(0, |kept, pass| kept | self.set(&pass.takes));
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
                let due = needed >> v & 1 == 1 && !values[v].inner && (self.after(v) == p || p == passes);
                if due && done >> v & 1 == 0 && self.alias_of(v) == v {
                    done |= 1 << v;
                    if values[v].ends_pass(false) {
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
                self.pass(&list[p], if p + 1 == passes { inner_sinks } else { 0 })?;
            }
        }
        if self.program.goal == Goal::Stores {
            self.writes();
        }
        Ok(())
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

    fn pass(&mut self, scheduled: &kernel::Pass, sinks: u128) -> Result<()> {
        let kernel = self.kernel;
        let values = &kernel.values;
        let set = self.values_of_pass(scheduled);
        let mut pass = Pass::default();
        // reductions and stores read a register after all steps of the tile, so it is never given back
        let mut last = [u8::MAX; 128];
        self.last_uses(set, true, &mut last);
        self.folds(scheduled, &mut pass, &mut last)?;
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
        for v in scheduled.ends.iter().map(|v| *v as usize) {
            if let Op::Scan(r) = &values[v].op {
                pass.totals.push(self.total(v, r)?);
            }
        }
        pass.steps = from..self.program.steps.len();
        self.arena.end_pass();
        self.program.passes.push(pass);
        Ok(())
    }

    /// Adds the folds that a pass ends in, and keeps what they read until they have read it.
    fn folds(&mut self, scheduled: &kernel::Pass, pass: &mut Pass, last: &mut [u8; 128]) -> Result<()> {
        let kernel = self.kernel;
        let values = &kernel.values;
        let mut first_of_walk: SmallVec<[&Reduction; 2]> = SmallVec::new();
        for v in scheduled.ends.iter().map(|v| *v as usize) {
            if let Op::Reduce(r) = &values[v].op {
                r.inputs().iter().for_each(|a| last[self.alias_of(*a)] = u8::MAX);
                let size = values[v].compute().size();
                // a fold whose walk is there already writes one result more
                let walk = first_of_walk.iter().position(|w| w.shares_walk(r));
                let spec = if walk.is_none() { Some(self.fold(r)?) } else { None };
                let slot = self.arena.lasting(self.program.outer.size() * size);
                let result = ReductionResult { gives: r.gives, id: v, slot, size };
                match (walk, spec) {
                    (Some(walk), _) => pass.reductions[walk].results.push(result),
                    (None, Some(spec)) => {
                        first_of_walk.push(r);
                        let args = self.register_ids(&r.inputs(), true);
                        let base = r.base().map(|b| self.alias_of(b));
                        pass.reductions.push(PassReduction { args, base, results: smallvec![result], spec });
                    }
                    (None, None) => {}
                }
            }
            if let Op::Scan(r) = &values[v].op {
                // the step of a total is the last one of its pass
                r.inputs().iter().for_each(|a| last[self.alias_of(*a)] = u8::MAX);
            }
        }
        Ok(())
    }

    fn fold(&mut self, r: &Reduction) -> Result<FoldSpec> {
        let kernel = self.kernel;
        let width = if self.program.order == Order::Cols { self.program.inner.cols } else { 1 };
        let compute = kernel.values[r.inputs()[0]].compute();
        let Some(mut spec) = FoldSpec::new(r, compute, kernel.kind, kernel.inner_size(), width) else {
            return Err(internal(kernel.name, format!("no reduction {} of {}", r.fold.name, r.element)));
        };
        spec.at = self.arena.lasting(spec.bytes());
        Ok(spec)
    }

    /// The number of a scan in the program.
    fn scan(&mut self, r: &Reduction, compute: Compute) -> Result<usize> {
        let width = if self.program.order == Order::Cols { self.program.inner.cols } else { 1 };
        let Some(mut spec) = ScanSpec::new(r, compute, self.kernel.inner_size(), width) else {
            return Err(internal(self.kernel.name, format!("no scan {} of {}", r.fold.name, compute.name())));
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
