//! Compiles a kernel to a program (see `program.rs`): finds values with equal bits, emits the steps that compute the
//! values, and assigns each value to a register (scratch memory for one tile). A value that a later pass over the rows
//! reads again is kept in scratch memory for a whole row.

// the loops run over the indices of values, because several lists are indexed by value
#![allow(clippy::needless_range_loop)]

mod folds;
mod halves;
mod narrow;
mod products;
mod step;

use super::arena::Arena;
use super::convert;
use super::parts::{FillValue, internal};
use super::program::{
    Dst, FilledRegister, Goal, Level, PassReduction, Program, ReductionResult, RepeatedRow, Request, RowBroadcast,
    ScatteredWrite, StepKind, StridedOperand, TileLoop, TileOrder, TilePass, Total, Write,
};
use super::strided::Axis;
use crate::base::dtype::{Compute, DType};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{copied, extend, span_of};
use crate::graph::ufunc::cast;
use crate::plan::kernel::{self, BufferRef, Kernel, KernelReduction, Op, Passes, Position, WriteClass};
use smallvec::{SmallVec, smallvec};

struct Assigner<'a> {
    kernel: &'a Kernel,
    aliased: &'a [bool],
    passes: Option<&'a Passes>,
    program: Program,
    /// For each value, the index of the first value with the same bits, which may be the value itself. A cast that
    /// changes no bit has the same bits as its operand, so it needs neither a step nor a register.
    alias_of: SmallVec<[u8; 16]>,
    /// The set of the values that a later pass (loop along the rows) reads again. Bit `v` represents value `v`.
    kept: u128,
    /// The set of the outer values of which all steps of the current pass read one element per row.
    by_rows: u128,
    /// For each value that is kept for a whole row and already has scratch memory: the value's index, and the offset in
    /// bytes of the memory in the arena.
    keeps: SmallVec<[(usize, usize); 2]>,
    arena: Arena,
    /// The sets of uniform values (one number for all indices) whose register is already filled. The first set is for
    /// registers that steps of the outer level (`kernel.outer`) read, the second for steps of the inner level (`outer ×
    /// inner`).
    filled: [u128; 2],
    /// The set of loads whose elements are left in their storage type, and the set of values that need no step, because
    /// sums read narrow elements (`narrow.rs`) or factors (`products.rs`).
    raw: u128,
    unneeded: u128,
    /// The set of loads of bools that are not converted to 0 or 1, because only functions read them that accept any byte
    /// except 0 as true.
    bytes: u128,
    /// The set of loads of f16 whose elements the current pass leaves in their storage type (`halves.rs`).
    halves: u128,
    /// The set of additions whose step computes a product too (`products.rs`).
    sums: u128,
    /// The set of loads of which only one row is read in place, because all rows are the same (`products.rs`).
    still: u128,
}

/// Compiles a kernel to a program. `wanted` specifies the sizes of tiles, the passes, and whether to compute the stores
/// or only to check indices.
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
        by_rows: 0,
        keeps: SmallVec::new(),
        arena: Arena::default(),
        filled: [0; 2],
        raw: 0,
        unneeded: 0,
        bytes: 0,
        halves: 0,
        sums: 0,
        still: 0,
    };
    c.find_aliases();
    c.leave_bytes();
    c.emit()?;
    c.check_registers()?;
    let mut program = c.program;
    program.arena = c.arena.size;
    // a plan keeps its programs
    program.steps.shrink_to_fit();
    program.places.shrink_to_fit();
    if program.goal == Goal::CheckIndices {
        program.leave_unread();
    }
    Ok(program)
}

impl Assigner<'_> {
    /// Fills `alias_of`. One loop over the values is enough, because a value's operands come before it, as
    /// [`validate`](crate::plan::kernel::validate) has checked.
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
                self.rounded_by_stores(v)
            };
            // a cast from the outer to the inner level is not an alias of its operand: inner steps read a copy of an
            // outer value, in which each element is repeated along the row
            let same = same.filter(|a| kernel.values[*a].inner == value.inner);
            self.alias_of.push(same.map_or(v as u8, |a| self.alias_of[a]));
        }
    }

    /// If a value only rounds an f32 to f16 or bf16 for stores, which round in the same way, returns its operand.
    fn rounded_by_stores(&self, v: usize) -> Option<usize> {
        let kernel = self.kernel;
        let value = &kernel.values[v];
        let (Op::Cast(a) | Op::Round(a)) = value.op else { return None };
        let rounds = value.dtype.is_half() && kernel.values[a].compute() == Compute::F32;
        // a store may write the memory of a load, and conversions need operands in other memory
        let is_computed = !matches!(kernel.values[self.alias_of(a)].op, Op::Load(_));
        let is_read = kernel.values.iter().any(|other| other.op.operands().contains(&v));
        let is_stored = kernel.stores.iter().filter(|s| s.value == v).all(|s| s.dtype == value.dtype);
        (rounds && is_computed && !is_read && is_stored).then_some(a)
    }

    fn alias_of(&self, v: usize) -> usize {
        // use a slice, because indexing a `SmallVec` directly is a function call
        self.alias_of.as_slice()[v] as usize
    }

    /// Returns whether a value is uniform, which means that it is the same number for all indices. Scalars, constants,
    /// and loads with strides 0 are uniform.
    fn is_uniform(&self, v: usize) -> bool {
        let kernel = self.kernel;
        let value = &kernel.values[v];
        if let Op::Load(n) = value.op {
            let (rows, cols) = self.axes(&kernel.loads[n].strides, value.inner);
            return rows.is_still() && cols.is_still();
        }
        matches!(value.op, Op::Scalar(_) | Op::Constant(_))
    }

    /// Returns how many passes (loops along the rows of a reduction or scan) must run before a value can be computed.
    fn after(&self, v: usize) -> usize {
        self.passes.map_or(0, |passes| passes.after[v] as usize)
    }

    /// Converts a list of values from the schedule to a set of bits. Each value is replaced by the first value with the
    /// same bits.
    fn set(&self, values: &[u16]) -> u128 {
        values.iter().fold(0, |set, v| set | 1 << self.alias_of(*v as usize))
    }

    /// Returns the set of all values that a pass (a loop along the rows) uses: the values that it computes, the values
    /// that it takes from an earlier pass, and the outer values that its steps read.
    fn values_of_pass(&self, pass: &kernel::Pass) -> u128 {
        let values = &self.kernel.values;
        let operands = pass.computes.iter().flat_map(|v| values[*v as usize].op.operands());
        let outer = operands.filter(|a| !values[*a].inner).fold(0, |set, a| set | 1 << self.alias_of(a));
        self.set(&pass.computes) | self.set(&pass.takes) | outer
    }

    fn emit(&mut self) -> Result<()> {
        let kernel = self.kernel;
        let values = &kernel.values;
        // the values that the program must compute: the stored values, or the values whose indices are checked if the
        // program only checks indices
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
        // add all direct and indirect operands of the values in `needed`
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
            // the outer steps before pass `p` compute the values that need only the first `p` passes; the steps after
            // the last pass compute the rest
            let from = self.program.steps.len();
            let flat = self.program.order == TileOrder::Flat;
            let mut last = [u8::MAX; 128];
            if flat {
                self.leave_out_products(needed);
                self.last_uses(needed, false, &mut last);
                for &s in &sinks {
                    last[self.alias_of(s)] = u8::MAX;
                }
            }
            for v in 0..values.len() {
                let due =
                    (needed & !self.unneeded) >> v & 1 == 1 && !values[v].inner && (self.after(v) == p || p == passes);
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

    /// Sets `last[a]`, for each operand `a` of the values in `set`, to the last value that reads `a`. Only readers of
    /// the inner level count if `inner` is true, otherwise only readers of the outer level. The register of `a` can be
    /// freed after that reader.
    fn last_uses(&self, set: u128, inner: bool, last: &mut [u8; 128]) {
        let values = &self.kernel.values;
        for v in 0..values.len() {
            if set >> v & 1 == 1 && values[v].inner == inner {
                for a in self.read_by(v) {
                    last[self.alias_of(a)] = v as u8;
                }
            }
        }
    }

    /// Frees the registers of those operands of `v` that no later value reads.
    fn release(&mut self, v: usize, last: &[u8; 128]) {
        let kernel = self.kernel;
        let level = self.level(kernel.values[v].inner);
        let mut seen: SmallVec<[usize; 3]> = SmallVec::new();
        for a in self.read_by(v) {
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
        self.by_rows = 0;
        self.leave_out_products(set);
        // `u8::MAX` means that the register is never freed, because a reduction or a store reads it after all steps of
        // the tile
        let mut last = [u8::MAX; 128];
        self.last_uses(set, true, &mut last);
        self.folds(scheduled, &mut pass, &mut last)?;
        for v in 0..values.len() {
            if sinks >> v & 1 == 1 {
                last[v] = u8::MAX;
            }
        }
        // Most steps of the inner level (`outer × inner`) cannot read the register of an outer value. They read a second
        // register, in which each element of the outer value is repeated along its row. Loops over rows are an exception:
        // they read one element per row from the first register.
        for v in 0..values.len() {
            if set >> v & 1 == 1 && !values[v].inner {
                if self.is_uniform(v) {
                    self.fill(v, true)?;
                } else {
                    let size = values[v].compute().size();
                    let slot = match self.is_read_by_rows(v, set) {
                        true => None,
                        false => Some(self.arena.lasting(self.program.inner.size() * size)),
                    };
                    self.by_rows |= (slot.is_none() as u128) << v;
                    pass.broadcasts.push(RowBroadcast { from: v, to: self.register_id(v, true), slot, size });
                }
            }
        }
        self.leave_halves(set, scheduled, &mut pass);
        let from = self.program.steps.len();
        for v in 0..values.len() {
            if (set & !self.unneeded) >> v & 1 == 0 || !values[v].inner || self.alias_of(v) != v {
                continue;
            }
            if self.repeat(v) {
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
                // The number of rows of a reduction or scan that are processed together. With the order `Cols`, each of
                // these rows is a column of a tile.
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

    /// Returns whether all values of a pass that read the outer value `v` are computed by loops over rows, which read one
    /// element of it per row. `set` contains the values of the pass.
    fn is_read_by_rows(&self, v: usize, set: u128) -> bool {
        /// The minimum length of a row. Each row starts a loop, so shorter rows gain less; they were not measured.
        const LEAST: usize = 32;
        let values = &self.kernel.values;
        let reads = |w: usize| values[w].op.operands().iter().any(|a| self.alias_of(*a) == v);
        let is_by_rows = |w: usize| {
            let Op::Ufunc(row, list) = &values[w].op else { return false };
            let [a, b] = list[..] else { return false };
            let is_first_inner = values[self.alias_of(a)].inner && self.unneeded >> w & 1 == 0;
            is_first_inner && self.alias_of(b) == v && row.by_row(values[w].compute()).is_some()
        };
        let mut inner = (0..values.len()).filter(|w| set >> w & 1 == 1 && values[*w].inner);
        self.program.order == TileOrder::Rows
            && self.program.inner.cols >= LEAST
            && inner.all(|w| !reads(w) || is_by_rows(w))
    }

    /// Returns the id of a value, which is the index of its pointer in `Frame::at` (`tiles.rs`). If `inner` is true,
    /// returns the id that steps of the inner level use, for which an outer value has a second pointer.
    fn register_id(&self, v: usize, inner: bool) -> usize {
        let values = &self.kernel.values;
        if inner && !values[v].inner { values.len() + v } else { v }
    }

    fn level(&self, inner: bool) -> Level {
        if inner { self.program.inner } else { self.program.outer }
    }

    /// Checks that no step's register overlaps memory that must keep its content from one tile to the next, and returns
    /// an internal error otherwise.
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
