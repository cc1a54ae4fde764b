//! Compiles a kernel to a program (the terms are defined in `program.rs`): finds values with equal bits, emits the
//! steps of each pass, and assigns each value to a register. A value that a later pass reads again is instead kept for
//! a whole row, in scratch memory. The planner's schedule determines which pass computes a value and which values are
//! kept. Buffers are bound later (`bind.rs`).

// the loops run over the indices of values, because several tables have an entry for each value
#![allow(clippy::needless_range_loop)]

mod step;

use super::arena::Arena;
use super::convert;
use super::fold::FoldSpec;
use super::parts::{FillValue, internal};
use super::program::{
    Dst, Fill, Goal, Level, PassReduction, Program, ReductionResult, Request, RowBroadcast, ScatteredWrite, StepKind,
    StridedOperand, TileLoop, TileOrder, TilePass, Total, Write,
};
use super::scan::ScanSpec;
use super::strided::Axis;
use crate::base::dtype::{Compute, DType};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{Shape, span_of};
use crate::graph::ufunc::cast;
use crate::plan::kernel::{self, BufferRef, Kernel, KernelReduction, Op, Passes, Position, WriteClass};
use smallvec::{SmallVec, smallvec};

struct Assigner<'a> {
    kernel: &'a Kernel,
    aliased: &'a [bool],
    passes: Option<&'a Passes>,
    program: Program,
    /// For each value, the index of the first value that has the same bits, which may be the value itself. A cast or
    /// rounding that changes no bit is an alias of its operand, so it has neither a step nor a register.
    alias_of: SmallVec<[u8; 16]>,
    /// The values that a later pass reads again. Bit `v` represents value `v`, as in all sets of this file.
    kept: u128,
    /// The kept values that already have a row of scratch memory, as pairs of the value's index and the offset of the
    /// row's first byte in the arena.
    keeps: SmallVec<[(usize, usize); 2]>,
    arena: Arena,
    /// The uniform values (one number for all indices) that already have a filled register. The first set contains the
    /// values with a register for steps of the outer level. The second set contains the values with a register for
    /// steps of the inner level (`program.rs` defines the levels).
    filled: [u128; 2],
}

/// Compiles a kernel to a program. `wanted` contains the sizes of tiles, the goal (to compute stores, or only to check
/// indices) and the passes.
pub(super) fn assign(kernel: &Kernel, wanted: Request<'_>) -> Result<Program> {
    let count = kernel.values.len();
    if count > 128 {
        return Err(internal(kernel.name, format!("a kernel of {count} values; the maximum is 128")));
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
    /// Fills `alias_of`. One loop over the values is enough, because [`validate`](crate::plan::kernel::validate) has
    /// checked that the operands of a value come before it.
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
            // a cast of an outer value to an inner value is not an alias of the outer value, because inner steps read a
            // copy of the outer value that is repeated along the row
            let same = same.filter(|a| kernel.values[*a].inner == value.inner);
            self.alias_of.push(same.map_or(v as u8, |a| self.alias_of[a]));
        }
    }

    fn alias_of(&self, v: usize) -> usize {
        self.alias_of[v] as usize
    }

    /// Returns whether a value is uniform, that is, the same number for all indices at which it is computed. Uniform
    /// values are scalars, constants, and loads with strides 0.
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
            | Op::Position(_)
            | Op::Philox { .. }
            | Op::Reduce(_)
            | Op::Scan(_)
            | Op::Dot { .. } => false,
        }
    }

    /// Returns how many passes (loops along the rows of a reduction or scan) must have ended before a value can be
    /// computed.
    fn after(&self, v: usize) -> usize {
        self.passes.map_or(0, |passes| passes.after[v] as usize)
    }

    /// Returns a list of values from the schedule as a set of bits, with each alias replaced by its original value.
    fn set(&self, values: &[u16]) -> u128 {
        values.iter().fold(0, |set, v| set | 1 << self.alias_of(*v as usize))
    }

    /// Returns the set of all values that a pass uses: the values that it computes, the values that it reads from an
    /// earlier pass, and the outer values that its steps read.
    fn values_of_pass(&self, pass: &kernel::Pass) -> u128 {
        let values = &self.kernel.values;
        let operands = pass.computes.iter().flat_map(|v| values[*v as usize].op.operands());
        let outer = operands.filter(|a| !values[*a].inner).fold(0, |set, a| set | 1 << self.alias_of(a));
        self.set(&pass.computes) | self.set(&pass.takes) | outer
    }

    fn emit(&mut self) -> Result<()> {
        let kernel = self.kernel;
        let values = &kernel.values;
        // the values that the program must compute: the values that it stores or, if it only checks indices, the values
        // whose indices it checks
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
        // adds to `needed` the operands of all values in it, and their operands in turn, whether outer or inner
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
            // the outer steps before pass `p` compute the values that depend on the first `p` passes; the steps after
            // the last pass compute the rest
            let from = self.program.steps.len();
            let flat = self.program.order == TileOrder::Flat;
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

    /// For each value `a` that a value of `set` reads, writes the last of these readers to `last[a]`. Only readers of
    /// the inner level count if `inner` is set, and otherwise only readers of the outer level. The register of `a` is
    /// free after the step of its last reader. Does not change the other entries of `last`.
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

    /// Gives back the registers of the operands of `v` that no later value reads.
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
        let mut pass = TilePass::default();
        // `u8::MAX` means that the register is never given back, because a reduction or a store reads it after all
        // steps of the tile
        let mut last = [u8::MAX; 128];
        self.last_uses(set, true, &mut last);
        self.folds(scheduled, &mut pass, &mut last)?;
        for v in 0..values.len() {
            if sinks >> v & 1 == 1 {
                last[v] = u8::MAX;
            }
        }
        // inner steps read an outer value from a register of the inner level, in which each element is repeated along
        // its row
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
                    self.push(TileLoop {
                        kind: StepKind::ReuseRow,
                        dst: Dst::KeepRow(at),
                        id: v,
                        args: [0; 3],
                        compute,
                        operand: compute,
                    });
                    continue;
                }
                // the number of reduced or scanned rows that go through all passes together; with the order `Cols`,
                // each of these rows is a column of a tile
                let rows = match self.program.order {
                    TileOrder::Cols => self.program.inner.cols,
                    TileOrder::Rows | TileOrder::Flat => self.program.inner.rows,
                };
                let bytes = kernel.inner_size() * rows * values[v].compute().size();
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

    /// Adds to `pass` the reductions whose results are known at the end of the pass. Sets the entries in `last` of the
    /// values that reductions and scans read, so that the registers of these values are never given back.
    fn folds(&mut self, scheduled: &kernel::Pass, pass: &mut TilePass, last: &mut [u8; 128]) -> Result<()> {
        let kernel = self.kernel;
        let values = &kernel.values;
        let mut first_of_walk: SmallVec<[&KernelReduction; 2]> = SmallVec::new();
        for v in scheduled.ends.iter().map(|v| *v as usize) {
            if let Op::Reduce(r) = &values[v].op {
                r.inputs().iter().for_each(|a| last[self.alias_of(*a)] = u8::MAX);
                let size = values[v].compute().size();
                // a reduction may combine the same elements as an earlier reduction, and return only another component
                // of the state. Then it is not computed again: its result is added to the results of the earlier
                // reduction
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
                // if only the total of a scan is used, the scan is emitted after all other steps of the pass, so its
                // operand must still be available then
                r.inputs().iter().for_each(|a| last[self.alias_of(*a)] = u8::MAX);
            }
        }
        Ok(())
    }

    fn fold(&mut self, r: &KernelReduction) -> Result<FoldSpec> {
        let kernel = self.kernel;
        let width = if self.program.order == TileOrder::Cols { self.program.inner.cols } else { 1 };
        let compute = kernel.values[r.inputs()[0]].compute();
        let Some(mut spec) = FoldSpec::new(r, compute, kernel.kind, kernel.inner_size(), width) else {
            return Err(internal(
                kernel.name,
                format!("reduction {} is not implemented for {}", r.fold.name, r.element),
            ));
        };
        spec.at = self.arena.lasting(spec.bytes());
        Ok(spec)
    }

    /// Adds a scan to the program, and returns its index there.
    fn scan(&mut self, r: &KernelReduction, compute: Compute) -> Result<usize> {
        let width = if self.program.order == TileOrder::Cols { self.program.inner.cols } else { 1 };
        let Some(mut spec) = ScanSpec::new(r, compute, self.kernel.inner_size(), width) else {
            return Err(internal(
                self.kernel.name,
                format!("scan {} is not implemented for {}", r.fold.name, compute.name()),
            ));
        };
        spec.at = self.arena.lasting(spec.bytes());
        self.program.scans.push(spec);
        Ok(self.program.scans.len() - 1)
    }

    /// Returns the id of a value: the index of the value's pointer in `Frame::at` (`tiles.rs`). If `inner` is set,
    /// returns the id for steps of the inner level, where an outer value has a second pointer.
    fn register_id(&self, v: usize, inner: bool) -> usize {
        let values = &self.kernel.values;
        if inner && !values[v].inner { values.len() + v } else { v }
    }

    fn level(&self, inner: bool) -> Level {
        if inner { self.program.inner } else { self.program.outer }
    }

    /// Checks the registers of the program. Returns an error if the register of a step overlaps memory whose content
    /// must outlive the tile.
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

    fn push(&mut self, step: TileLoop) {
        self.program.steps.push(step);
    }
}
