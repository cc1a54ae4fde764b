//! Emits the steps that compute one value of a kernel. Adds to a program the operands in memory that its steps access,
//! and the stores.

use super::products::multiply_add;
use super::*;
use crate::graph::ufunc::Ufunc;

impl Assigner<'_> {
    /// Returns how an operand with these strides accesses the rows and the columns of a tile. `inner` selects tiles of
    /// the inner level (`outer × inner`) instead of the outer level (`kernel.outer`).
    pub(super) fn axes(&self, strides: &[isize], inner: bool) -> (Axis, Axis) {
        let kernel = self.kernel;
        let (outer, o) = (&kernel.outer[..], kernel.outer.len());
        let of_outer = || Axis::new(outer, &strides[..o]);
        let of_inner = || Axis::new(&kernel.inner, &strides[o..]);
        match (self.program.order, inner) {
            (TileOrder::Flat, _) => {
                let split = o.saturating_sub(1);
                (Axis::new(&outer[..split], &strides[..split]), Axis::new(&outer[split..], &strides[split..o]))
            }
            (_, false) => (Axis::new(&[], &[]), of_outer()),
            (TileOrder::Rows, true) => (of_outer(), of_inner()),
            (TileOrder::Cols, true) => (of_inner(), of_outer()),
        }
    }

    /// Adds an operand in memory with the range of elements that it accesses, and returns its index in
    /// `Program::places`. A gather or scatter adds a distance to the position that the strides give; `reach` is the
    /// largest such distance, in elements.
    pub(super) fn place(
        &mut self,
        buffer: BufferRef,
        dtype: DType,
        strides: &[isize],
        offset: isize,
        inner: bool,
        reach: isize,
    ) -> usize {
        let kernel = self.kernel;
        let mut dims = copied(&kernel.outer);
        if inner {
            extend(&mut dims, &kernel.inner);
        }
        let span = span_of(&dims, strides)
            .map(|(low, high)| (low.saturating_add(reach.min(0)), high.saturating_add(reach.max(0))));
        let (rows, cols) = self.axes(strides, inner);
        let memory = Some((buffer, offset));
        self.program.places.push(StridedOperand {
            memory,
            span,
            size: dtype.size(),
            convert: None,
            rows,
            cols,
            is_inner: inner,
        });
        self.program.places.len() - 1
    }

    /// Adds an operand for the memory that load `n` of the kernel reads, and returns its index in `Program::places`.
    /// Steps that read the operand convert its elements to their compute type.
    pub(super) fn load(&mut self, n: usize, inner: bool, reach: isize) -> usize {
        let load = &self.kernel.loads[n];
        let at = self.place(load.buffer, load.dtype, &load.strides, load.offset, inner, reach);
        self.program.places[at].convert = cast::widen(load.dtype).map(|l| l.get());
        at
    }

    /// Adds a register for a uniform value (the same number for all indices). A task fills the register before its
    /// first tile, so that steps need no variant for scalars.
    pub(super) fn fill(&mut self, v: usize, seen_from_inner: bool) -> Result<()> {
        let values = &self.kernel.values;
        let id = self.register_id(v, seen_from_inner);
        if self.filled[seen_from_inner as usize] >> v & 1 == 1 {
            return Ok(());
        }
        self.filled[seen_from_inner as usize] |= 1 << v;
        let value = match values[v].op {
            Op::Scalar(n) => FillValue::Scalar(n),
            Op::Constant(bits) => FillValue::Bits(bits),
            Op::Load(n) => FillValue::Element(self.load(n, values[v].inner, 0)),
            Op::Index { .. }
            | Op::Ufunc(..)
            | Op::Cast(_)
            | Op::Round(_)
            | Op::Gather { .. }
            | Op::Position(_)
            | Op::Philox { .. }
            | Op::Reduce(_)
            | Op::Scan(_)
            | Op::Dot { .. } => return Err(internal(self.kernel.name, "a fill of a computed value")),
        };
        let (size, count) = (values[v].compute().size(), self.level(seen_from_inner).size());
        let slot = self.arena.lasting(size * count);
        self.program.fills.push(FilledRegister { id, slot, count, size, value });
        Ok(())
    }

    /// If an inner value is a load whose elements are the same in every row, and tiles have whole rows, adds a register
    /// for it that a task fills before its first tile, and returns true. Otherwise does nothing and returns false.
    pub(super) fn repeat(&mut self, v: usize) -> bool {
        let (kernel, level) = (self.kernel, self.level(true));
        let Op::Load(n) = kernel.values[v].op else { return false };
        // sums read the elements of such a load from its memory
        if self.program.order != TileOrder::Rows || (self.raw | self.halves | self.still) >> v & 1 == 1 {
            return false;
        }
        let (rows, cols) = self.axes(&kernel.loads[n].strides, true);
        // a tile with one row reads it in place, unless its elements have to be converted or collected
        let is_ready = cols.step == Some(1) && cast::widen(kernel.loads[n].dtype).is_none();
        let is_read = level.rows < 2 && (is_ready || kernel.outer_size() < 2);
        if is_read || level.cols != kernel.inner_size() || !rows.is_still() || cols.is_still() {
            return false;
        }
        let id = self.register_id(v, true);
        if self.program.repeated.iter().all(|r| r.id != id) {
            let place = self.load(n, true, 0);
            let slot = self.arena.lasting(level.size() * kernel.values[v].compute().size());
            self.program.repeated.push(RepeatedRow { id, slot, place });
        }
        true
    }

    /// Returns the ids (indices of pointers in `Frame::at`) of the values in `list`. Every loop has three arguments, so
    /// a shorter list is filled up with the first id. A loop ignores arguments that its function does not use.
    pub(super) fn register_ids(&self, list: &[usize], inner: bool) -> [usize; 3] {
        let first = list.first().map_or(0, |a| self.register_id(self.alias_of(*a), inner));
        let at = |i: usize| list.get(i).map_or(first, |a| self.register_id(self.alias_of(*a), inner));
        [first, at(1), at(2)]
    }

    /// Emits all conversions of a cast except the last one, and returns the last one with its arguments. The caller
    /// emits the last conversion, which writes the value's own register.
    fn cast(&mut self, v: usize, a: usize, inner: bool) -> (StepKind, [usize; 3]) {
        let kernel = self.kernel;
        let (value, level) = (&kernel.values[v], self.level(inner));
        let compute = value.compute();
        let chain = convert::cast(kernel.values[a].dtype, value.dtype);
        let mut args = self.register_ids(&[a], inner);
        // each conversion but the last writes a register for the next conversion; 8 bytes per element are enough for
        // every type
        let middle = chain.len().saturating_sub(1);
        for link in &chain[..middle] {
            let slot = self.arena.register(level.size() * 8);
            self.push(TileLoop {
                kind: StepKind::Call(link.get()),
                dst: Dst::Register(slot),
                id: v,
                args,
                compute,
                operand: compute,
            });
            args = [v; 3];
        }
        match chain.last() {
            Some(link) => (StepKind::Call(link.get()), args),
            None => (StepKind::Call(convert::copy(compute).get()), args),
        }
    }

    /// Returns the call of an elementwise function for operands of type `by`.
    fn call(&self, row: &Ufunc, list: &[usize], by: Compute, inner: bool) -> Result<StepKind> {
        if inner && list.get(1).is_some_and(|b| self.by_rows >> self.alias_of(*b) & 1 == 1) {
            let lacks = || internal(self.kernel.name, format!("{} has no loop by rows", row.name));
            let of_f16 = list.first().is_some_and(|a| self.halves >> self.alias_of(*a) & 1 == 1);
            let loops = row.by_row(by).and_then(|loops| if of_f16 { loops.of_f16 } else { Some(loops.plain) });
            return loops.map(|loops| StepKind::CallRows(loops.get())).ok_or_else(lacks);
        }
        row.map(by).filter(|_| list.len() == row.arity).map(|loops| StepKind::Call(loops.get())).ok_or_else(|| {
            let detail = format!("not supported for {} on the CPU", by.name());
            Error::with_line(ErrorKind::Unsupported, row.name, detail, None)
        })
    }

    /// Emits the steps that compute value `v`. The result is written to `keep` if it is given, otherwise to a new
    /// register.
    pub(super) fn step(&mut self, v: usize, inner: bool, keep: Option<Dst>) -> Result<()> {
        let kernel = self.kernel;
        let value = &kernel.values[v];
        if self.is_uniform(v) {
            return self.fill(v, inner);
        }
        let level = self.level(inner);
        let compute = value.compute();
        let mut operand = compute;
        let (kind, args) = match &value.op {
            Op::Load(n) => {
                let place = self.load(*n, inner, 0);
                if (self.raw | self.bytes | self.halves) >> v & 1 == 1 {
                    self.program.places[place].convert = None;
                }
                if self.still >> v & 1 == 1 {
                    let kind = StepKind::Load(place);
                    self.push(TileLoop { kind, dst: Dst::Nowhere, id: v, args: [0; 3], compute, operand });
                    return Ok(());
                }
                let bound = &self.program.places[place];
                if bound.convert.is_none() && bound.always_dense(level) && keep.is_none() {
                    // later steps read the elements from the load's memory, without a copy in a register
                    self.push(TileLoop {
                        kind: StepKind::Load(place),
                        dst: Dst::Nowhere,
                        id: v,
                        args: [0; 3],
                        compute,
                        operand,
                    });
                    return Ok(());
                }
                (StepKind::Load(place), [0; 3])
            }
            Op::Ufunc(row, list) => match self.factors_of_step(v) {
                Some(list) => (StepKind::Call(multiply_add(compute)), self.register_ids(&list, inner)),
                None => {
                    let by = row.typed_operand(list).map_or(compute, |a| kernel.values[*a].compute());
                    (self.call(row, list, by, inner)?, self.register_ids(list, inner))
                }
            },
            Op::Cast(a) => self.cast(v, *a, inner),
            Op::Round(a) => {
                let link = cast::round(value.dtype).map_or(convert::copy(compute).get(), |l| l.get());
                (StepKind::Call(link), self.register_ids(&[*a], inner))
            }
            Op::Index { strides, offset } => {
                let (rows, cols) = self.axes(strides, inner);
                let place =
                    StridedOperand { memory: None, span: None, size: 0, convert: None, rows, cols, is_inner: inner };
                self.program.places.push(place);
                (StepKind::Index { place: self.program.places.len() - 1, base: *offset }, [0; 3])
            }
            Op::Gather { load, stride, position } => {
                operand = kernel.values[position.index].compute();
                let reach = (position.extent.saturating_sub(1) as isize).saturating_mul(*stride);
                let reach = if kernel.outer_size() == 0 { 0 } else { reach };
                let place = self.load(*load, inner, reach);
                let kind = StepKind::Gather { place, stride: *stride, position: self.position(position), reads: true };
                (kind, self.register_ids(&[position.index], inner))
            }
            Op::Position(position) => {
                operand = kernel.values[position.index].compute();
                (StepKind::Position(self.position(position)), self.register_ids(&[position.index], inner))
            }
            Op::Philox { index, word, slots } => {
                operand = kernel.values[*index].compute();
                (StepKind::Philox { word: *word, key: *slots }, self.register_ids(&[*index], inner))
            }
            Op::Scan(r) => (StepKind::Scan(self.scan(r, compute, false)?), self.register_ids(&r.inputs(), inner)),
            Op::Dot { .. } | Op::Reduce(..) | Op::Scalar(_) | Op::Constant(_) => {
                // no step is needed: reductions write their results themselves, uniform values were filled above, and a
                // matrix product has no program
                return Ok(());
            }
        };
        let dst = match keep {
            Some(dst) => dst,
            None => Dst::Register(self.arena.register(level.size() * compute.size())),
        };
        self.push(TileLoop { kind, dst, id: v, args, compute, operand });
        Ok(())
    }

    /// Adds the description of a position, which a gather or scatter computes from an index, to [`Program::positions`].
    /// Returns its index there.
    fn position(&mut self, position: &Position) -> usize {
        self.program.positions.push(*position);
        self.program.positions.len() - 1
    }

    /// Emits a scan of which only the total is used. The total is the last element of the scanned row, and becomes the
    /// outer value `v`.
    pub(super) fn total(&mut self, v: usize, r: &KernelReduction) -> Result<Total> {
        let compute = self.kernel.values[v].compute();
        let (size, args) = (compute.size(), self.register_ids(&r.inputs(), true));
        let kind = StepKind::Scan(self.scan(r, compute, true)?);
        let dst = Dst::Register(self.arena.register(self.program.inner.size() * size));
        let from = self.register_id(v, true);
        self.push(TileLoop { kind, dst, id: from, args, compute, operand: compute });
        let slot = self.arena.lasting(self.program.outer.size() * size);
        Ok(Total { from, id: v, slot, size })
    }

    /// Returns whether a load from `read` may read memory that a store to `stored` has written. This is so if both are
    /// the same buffer, or if the run writes output 0 to the memory of the input `read`.
    fn shares_memory(&self, stored: BufferRef, read: BufferRef) -> bool {
        match (stored, read) {
            (BufferRef::Output(0), BufferRef::Input(n)) => self.aliased.get(n).is_some_and(|aliased| *aliased),
            (BufferRef::Output(_) | BufferRef::Temp(_) | BufferRef::Input(_), _) => stored == read,
        }
    }

    /// Adds the kernel's stores. If possible, a store is `direct`: the step that computes the value writes it directly
    /// to the result, without a register.
    pub(super) fn writes(&mut self) {
        let kernel = self.kernel;
        let mut taken = 0u128;
        for (n, store) in kernel.stores.iter().enumerate() {
            let (v, inner) = (self.alias_of(store.value), kernel.values[store.value].inner);
            let reach = if kernel.outer_size() == 0 { 0 } else { store.reach() };
            let place = self.place(store.buffer, store.dtype, &store.strides, store.offset, inner, reach);
            let narrow = cast::narrow(store.dtype).map(|l| l.get());
            self.program.places[place].convert = narrow;
            // the store can be `direct` only if no load reads the memory that the store writes, because steps assume
            // that their operands and their result do not overlap
            let alone = !kernel.loads.iter().any(|l| self.shares_memory(store.buffer, l.buffer));
            let dense = self.program.places[place].always_dense(self.level(inner));
            let plain = store.is_plain();
            let stream = kernel.schedule.write(n) == WriteClass::Streamed;
            let mut direct = false;
            let is_free = taken >> v & 1 == 0 && self.kept >> v & 1 == 0;
            let to_f16 = self.row_loop_to_f16(v, store.dtype);
            if (narrow.is_none() || to_f16.is_some()) && alone && dense && plain && !stream && is_free {
                // The store can be `direct` only if no later step reads the value from a register. So the value's step
                // must be in the last pass (loop along the rows) or, for an outer value, after the last pass.
                let range = match inner {
                    true => self.program.passes.last().map_or(0..0, |p| p.steps.clone()),
                    false => self.program.stages.last().map_or(0..0, |s| s.clone()),
                };
                if let Some(step) = self.program.steps[range].iter_mut().rev().find(|s| s.id == v)
                    && !matches!(step.kind, StepKind::Load(_) | StepKind::ReuseRow)
                    && matches!(step.dst, Dst::Register(_))
                {
                    if let Some(f) = to_f16 {
                        step.kind = StepKind::CallRows(f);
                    }
                    step.dst = Dst::Out(place);
                    direct = true;
                    taken |= 1 << v;
                }
            }
            let register = |v: usize| self.register_id(self.alias_of(v), inner);
            let scattered = store.scattered().map(|to| ScatteredWrite {
                index: register(to.index),
                stride: to.stride,
                extent: to.extent,
                dtype: store.dtype,
                combine: to.combine,
            });
            let condition = store.condition().map(register);
            let id = self.register_id(v, inner);
            self.program.writes.push(Write { place, id, inner, direct, stream, condition, scattered });
        }
    }
}
