//! Compiles a kernel to threaded code, which computes one value at a time in the accumulator (eight vector registers).
//! A value that is needed after another one was computed is saved in a slot, a block of scratch memory.

mod draws;

use super::{FilledVector, LARGE, MemoryOperand, Threaded};
use crate::base::dtype::DType;
use crate::base::error::{Error, Result};
use crate::base::layout::{Shape, Strides, span_of};
use crate::cpu::caches;
use crate::cpu::convert;
use crate::cpu::parts::{FillValue, internal};
use crate::cpu::strided::Axis;
use crate::graph::ufunc::{Ufunc, cast};
use crate::math::simd::threaded::{self, AHEAD, Codes, Instr, InstructionOperand, LONGEST};
use crate::plan::kernel::{BufferRef, Kernel, Load, Op, WriteClass};
use smallvec::{SmallVec, smallvec};

/// If a run (a chain of instructions that call one another) has this many instructions, the next operation begins
/// another run. An operation adds at most ten instructions, and the end of a run is one more.
const FULL: usize = LONGEST - 12;

/// Where the instructions that read a value find it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Home {
    /// The value is in no memory; only the accumulator can hold it.
    None,
    /// The value is in memory, as contiguous words: in the operand with this index in `Threaded::places`.
    Memory(usize),
    /// The value is in the operand with this index, strided or of another type, so a separate instruction loads it.
    Each(usize),
    Fill(usize),
    Slot(usize),
    /// A product of two operands in memory. Only one function reads the product, and it computes the product itself.
    Product([usize; 2]),
    /// The value is in no memory; the random draw with this index computes it.
    Draw(usize),
}

struct Compiler<'a> {
    kernel: &'a Kernel,
    program: Threaded,
    /// For each value, the index of the first value with the same bits.
    alias_of: SmallVec<[usize; 16]>,
    homes: SmallVec<[Home; 16]>,
    /// The number of instructions that still have to read each value.
    uses: SmallVec<[usize; 16]>,
    /// The value in the accumulator.
    acc: Option<usize>,
    free: SmallVec<[usize; 8]>,
    draws: SmallVec<[draws::Drawn; 2]>,
    /// For each value that is equal within each pair of elements: the index of the draw that defines the pairs.
    paired: SmallVec<[Option<usize>; 16]>,
    /// The locations of each instruction's operands. `complete` replaces them by indices in the list of bases.
    operands: Vec<[Home; 2]>,
}

/// Compiles the threaded code of a kernel, for blocks of `block` bytes.
pub(super) fn compile(kernel: &Kernel, aliased: &[bool], block: usize) -> Result<Threaded> {
    let sizes = kernel.values.iter().map(|v| v.compute().size());
    let shares = |stored: BufferRef, read: BufferRef| match (stored, read) {
        (BufferRef::Output(0), BufferRef::Input(n)) => aliased.get(n).is_some_and(|aliased| *aliased),
        (BufferRef::Output(_) | BufferRef::Temp(_) | BufferRef::Input(_), _) => stored == read,
    };
    let program = Threaded {
        name: kernel.name,
        code: vec![],
        runs: smallvec![0],
        places: SmallVec::new(),
        fills: SmallVec::new(),
        slots: 0,
        counters: SmallVec::new(),
        scalars: kernel.values.iter().map(|v| v.op.scalars()).max().unwrap_or(0),
        word: sizes.max().unwrap_or(4).max(4),
        block,
        is_in_place: kernel.stores.iter().any(|s| kernel.loads.iter().any(|l| shares(s.buffer, l.buffer))),
        streamed: None,
    };
    let mut c = Compiler {
        kernel,
        program,
        alias_of: SmallVec::new(),
        homes: smallvec![Home::None; kernel.values.len()],
        uses: smallvec![0; kernel.values.len()],
        acc: None,
        free: SmallVec::new(),
        draws: SmallVec::new(),
        paired: smallvec![None; kernel.values.len()],
        operands: vec![],
    };
    c.find_aliases();
    c.count_uses();
    c.values()?;
    c.stores()?;
    c.end()?;
    if c.program.scratch() > LARGE {
        return Err(c.error("threaded code needs more scratch memory than the planner allows"));
    }
    Ok(c.complete())
}

impl Compiler<'_> {
    fn error(&self, detail: impl Into<String>) -> Error {
        internal(self.kernel.name, detail)
    }

    fn find_aliases(&mut self) {
        let kernel = self.kernel;
        for (v, value) in kernel.values.iter().enumerate() {
            let (Op::Cast(a) | Op::Round(a)) = value.op else {
                self.alias_of.push(v);
                continue;
            };
            let alias = self.links(v, a).is_empty();
            self.alias_of.push(if alias { self.alias_of[a] } else { v });
        }
    }

    /// Returns the conversions by which a cast or a rounding computes `v` from value `a`. If only stores use `v`, omits
    /// the last rounding, because the stores round in the same way.
    fn links(&self, v: usize, a: usize) -> SmallVec<[cast::Conversion; 2]> {
        let kernel = self.kernel;
        let (to, rounding) = (kernel.values[v].dtype, cast::round(kernel.values[v].dtype));
        let from = kernel.values[a].dtype;
        let is_cast = matches!(kernel.values[v].op, Op::Cast(_));
        let mut links = if is_cast { convert::cast(from, to) } else { rounding.into_iter().collect() };
        // whether the last conversion rounds: float to narrow integer saturates instead, and bool needs no rounding
        let rounds = !is_cast || from != DType::Bool && !(from.is_float() && to.is_narrow_integer());
        let is_read = kernel.values.iter().any(|value| value.op.operands().contains(&v));
        let is_stored = kernel.stores.iter().filter(|s| s.value == v).all(|s| s.dtype == to);
        if rounds && rounding.is_some() && !is_read && is_stored {
            links.pop();
        }
        links
    }

    /// Counts the readers of each value: the stores, and the operations whose results are needed.
    fn count_uses(&mut self) {
        let kernel = self.kernel;
        for store in &kernel.stores {
            self.uses[self.alias_of[store.value]] += 1;
        }
        for v in (0..kernel.values.len()).rev() {
            if self.uses[v] > 0 && self.alias_of[v] == v {
                for a in kernel.values[v].op.operands() {
                    self.uses[self.alias_of[a]] += 1;
                }
            }
        }
    }

    fn values(&mut self) -> Result<()> {
        let kernel = self.kernel;
        for (v, value) in kernel.values.iter().enumerate() {
            if self.uses[v] == 0 || self.alias_of[v] != v {
                continue;
            }
            match &value.op {
                Op::Load(n) => self.homes[v] = self.load(v, &kernel.loads[*n])?,
                Op::Scalar(n) => self.homes[v] = self.fill(v, FillValue::Scalar(*n), None, false),
                Op::Constant(bits) => self.homes[v] = self.fill(v, FillValue::Bits(*bits), None, false),
                Op::Ufunc(row, list) => {
                    let by = row.typed_operand(list).map_or(value.compute(), |a| kernel.values[*a].compute());
                    let Some(threaded) = row.threaded(by, self.program.word).filter(|_| list.len() == row.arity) else {
                        return Err(self.error(format!("{} has no threaded code", row.name)));
                    };
                    let list: SmallVec<[usize; 3]> = list.iter().map(|a| self.alias_of[*a]).collect();
                    match self.product(v, row, &list) {
                        Some(factors) => self.homes[v] = Home::Product(factors),
                        None => self.call(v, &threaded, &list)?,
                    }
                }
                Op::Cast(a) | Op::Round(a) => {
                    for (n, link) in self.links(v, *a).iter().enumerate() {
                        let Some(threaded) = link.threaded(self.program.word) else {
                            return Err(self.error("a conversion has no threaded code"));
                        };
                        match n {
                            0 => self.call(v, &threaded, &[self.alias_of[*a]])?,
                            _ => self.emit(threaded.first, [Home::None; 2], false)?,
                        }
                    }
                }
                // only a random draw reads this value, and the draw computes it itself
                Op::Index { .. } => {}
                Op::Philox { index, word, slots } => self.draw(v, *index, *word, *slots)?,
                Op::Gather { .. } | Op::Position(_) | Op::Reduce(_) | Op::Scan(_) | Op::Dot { .. } => {
                    return Err(self.error("an operation has no threaded code"));
                }
            }
            if self.acc == Some(v) {
                self.store_now(v)?;
            }
        }
        Ok(())
    }

    /// Adds a load to the operands in memory, or to the fills if all elements of a row read the same element.
    fn load(&mut self, v: usize, load: &Load) -> Result<Home> {
        let place = self.place(load.buffer, load.dtype, &load.strides, load.offset, false);
        let MemoryOperand { step, ref rows, .. } = self.program.places[place];
        if step == 0 {
            let moves = !rows.is_still();
            return Ok(self.fill(v, FillValue::Element(place), Some(load.dtype), moves));
        }
        let is_word = load.dtype.size() == self.program.word && load.dtype != DType::Bool;
        Ok(if step == 1 && is_word { Home::Memory(place) } else { Home::Each(place) })
    }

    fn fill(&mut self, v: usize, value: FillValue, stored: Option<DType>, moves: bool) -> Home {
        let widen = stored.and_then(cast::widen).map(|l| l.get());
        let size = self.kernel.values[v].compute().size();
        self.program.fills.push(FilledVector { value, widen, size, moves });
        Home::Fill(self.program.fills.len() - 1)
    }

    fn place(&mut self, buffer: BufferRef, dtype: DType, strides: &Strides, offset: isize, is_store: bool) -> usize {
        let outer = &self.kernel.outer;
        let dims: Shape = outer.clone();
        let split = outer.len().saturating_sub(1);
        // if there is a single column, the step does not matter
        let step = match (outer.last(), strides.get(split)) {
            (Some(1) | None, _) | (_, None) => is_store as isize,
            (_, Some(step)) => *step,
        };
        self.program.places.push(MemoryOperand {
            buffer,
            offset,
            span: span_of(&dims, &strides[..outer.len()]),
            size: dtype.size(),
            rows: Axis::new(&outer[..split], &strides[..split]),
            step,
            is_store,
        });
        self.program.places.len() - 1
    }

    /// If `v` is a product of operands in memory, and its only reader is a function that can multiply them itself,
    /// returns the two factors. The accumulator then need not be saved for the product.
    fn product(&self, v: usize, row: &Ufunc, list: &[usize]) -> Option<[usize; 2]> {
        let [x, y] = [*list.first()?, *list.last()?];
        let in_memory = |v: usize| matches!(self.homes[v], Home::Memory(_) | Home::Fill(_));
        if !row.properties.multiplies || self.uses[v] != 1 || !in_memory(x) || !in_memory(y) {
            return None;
        }
        let values = &self.kernel.values;
        let reads = |r: &usize| self.uses[*r] > 0 && values[*r].op.operands().iter().any(|a| self.alias_of[*a] == v);
        let reader = (v + 1..values.len()).find(reads)?;
        let Op::Ufunc(row, list) = &values[reader].op else { return None };
        let by = row.typed_operand(list).map(|a| values[*a].compute())?;
        row.threaded(by, self.program.word)?.products.map(|_| [x, y])
    }

    /// Emits an instruction that computes `v` from the values in `list`, one of which is brought to the accumulator.
    fn call(&mut self, v: usize, codes: &threaded::InstructionCodes, list: &[usize]) -> Result<()> {
        self.cut()?;
        if let (Some(products), [x, y]) = (codes.products, list) {
            // the instruction computes one product; `bring` computes the other
            let found = match (self.homes[*x], self.homes[*y]) {
                (_, Home::Product(factors)) => Some((products[mutant!(threaded_product_leads, 1, 0)], *x, *y, factors)),
                (Home::Product(factors), _) => Some((products[1], *y, *x, factors)),
                _ => None,
            };
            if let Some((code, lead, product, factors)) = found {
                self.bring(lead)?;
                self.read(&[lead, product]);
                self.keep_acc()?;
                self.emit(Some(code), factors.map(|a| self.homes[a]), false)?;
                self.acc = Some(v);
                self.free_unread(lead);
                self.read_factors(product);
                return Ok(());
            }
        }
        let (first, second) = (codes.first, codes.second);
        let swaps = second.is_some()
            && list[0] != list[1]
            && (self.acc == Some(list[1]) || self.is_each(list[1]) && !self.is_each(list[0]));
        let (code, lead, others) = match list {
            [x, y] if swaps => (second, *y, smallvec![*x]),
            [x, others @ ..] => (first, *x, SmallVec::<[usize; 2]>::from_slice(others)),
            [] => return Err(self.error("a function without operands")),
        };
        for other in &others {
            self.settle(*other)?;
        }
        self.bring(lead)?;
        let (code, mut operands) = self.once_a_pair(v, list, codes).unwrap_or((code, [Home::None; 2]));
        for (operand, other) in operands.iter_mut().zip(&others) {
            *operand = self.homes[*other];
        }
        self.read(list);
        self.keep_acc()?;
        self.emit(code, operands, false)?;
        self.acc = Some(v);
        list.iter().for_each(|a| self.free_unread(*a));
        Ok(())
    }

    /// Records that an instruction reads these values.
    fn read(&mut self, list: &[usize]) {
        list.iter().for_each(|a| self.uses[*a] -= 1);
    }

    /// Records that an instruction computes product `v` itself, and so reads its factors.
    fn read_factors(&mut self, v: usize) {
        let factors = self.kernel.values[v].op.operands();
        factors.iter().for_each(|a| self.uses[self.alias_of[*a]] -= 1);
    }

    /// Returns whether the value is in an operand that only a separate instruction can load.
    fn is_each(&self, v: usize) -> bool {
        matches!(self.homes[v], Home::Each(_))
    }

    /// Ensures that later instructions can read a value as an operand in memory.
    fn settle(&mut self, v: usize) -> Result<()> {
        match self.homes[v] {
            Home::Memory(_) | Home::Fill(_) | Home::Slot(_) => Ok(()),
            Home::None | Home::Each(_) => {
                self.bring(v)?;
                self.save(v)
            }
            Home::Product(_) | Home::Draw(_) => {
                Err(self.error("a product that the instruction reading it does not compute"))
            }
        }
    }

    /// Ensures that the accumulator holds value `v`. Saves the previous value first if a later instruction reads it.
    fn bring(&mut self, v: usize) -> Result<()> {
        if self.acc == Some(v) {
            return Ok(());
        }
        self.keep_acc()?;
        let (code, operand) = match self.homes[v] {
            Home::None | Home::Draw(_) => {
                return Err(self.error(format!("value {v} is neither in memory nor in the accumulator")));
            }
            Home::Each(place) => {
                let load = self.kernel.values[v].op.load().map(|n| self.kernel.loads[n].dtype);
                (load.and_then(|dtype| cast::load_each(dtype, self.program.word)), Home::Each(place))
            }
            home @ (Home::Memory(_) | Home::Fill(_) | Home::Slot(_)) => (Codes::load(), home),
            Home::Product([x, y]) => {
                let Op::Ufunc(row, _) = &self.kernel.values[v].op else {
                    return Err(self.error("the value is not a product"));
                };
                let by = self.kernel.values[v].compute();
                let codes = row.threaded(by, self.program.word);
                self.emit(Codes::load(), [self.homes[x], Home::None], false)?;
                self.read_factors(v);
                (codes.and_then(|codes| codes.first), self.homes[y])
            }
        };
        self.emit(code, [operand, Home::None], false)?;
        self.acc = Some(v);
        Ok(())
    }

    /// Saves the accumulator if its value is read again and is not in memory.
    fn keep_acc(&mut self) -> Result<()> {
        let Some(v) = self.acc else { return Ok(()) };
        let is_elsewhere = matches!(self.homes[v], Home::Memory(_) | Home::Fill(_) | Home::Slot(_));
        if self.uses[v] == 0 || is_elsewhere { Ok(()) } else { self.save(v) }
    }

    /// Saves the accumulator, which holds value `v`, in a slot.
    fn save(&mut self, v: usize) -> Result<()> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.program.slots += 1;
            self.program.slots - 1
        });
        self.homes[v] = Home::Slot(slot);
        self.emit(Codes::store(), [Home::Slot(slot), Home::None], false)
    }

    /// Frees the slot of a value that nothing reads any more.
    fn free_unread(&mut self, v: usize) {
        if let (0, Home::Slot(slot)) = (self.uses[v], self.homes[v]) {
            self.homes[v] = Home::None;
            self.free.push(slot);
        }
    }

    /// Writes the accumulator, which holds value `v`, to its stores, unless a later load may read their memory.
    fn store_now(&mut self, v: usize) -> Result<()> {
        if self.program.is_in_place {
            return Ok(());
        }
        let kernel = self.kernel;
        for (n, store) in kernel.stores.iter().enumerate() {
            if self.alias_of[store.value] != v {
                continue;
            }
            self.cut()?;
            self.bring(v)?;
            self.store(n)?;
        }
        Ok(())
    }

    /// Writes the values that were not written when they were computed.
    fn stores(&mut self) -> Result<()> {
        let kernel = self.kernel;
        let is_computed = |op: &Op| matches!(op, Op::Ufunc(..) | Op::Cast(_) | Op::Round(_) | Op::Philox { .. });
        let value = |c: &Self, n: usize| c.alias_of[kernel.stores[n].value];
        if self.program.is_in_place && kernel.stores.len() > 1 {
            // a store may overwrite memory that a later stored value is read from
            for n in 0..kernel.stores.len() {
                let v = value(self, n);
                self.cut()?;
                if matches!(self.homes[v], Home::Memory(_) | Home::Each(_)) {
                    self.bring(v)?;
                    self.save(v)?;
                }
            }
        }
        for n in 0..kernel.stores.len() {
            let v = value(self, n);
            if self.program.is_in_place || !is_computed(&kernel.values[v].op) {
                self.cut()?;
                self.bring(v)?;
                self.store(n)?;
            }
        }
        Ok(())
    }

    /// Writes the accumulator to the memory of store `n`.
    fn store(&mut self, n: usize) -> Result<()> {
        let store = &self.kernel.stores[n];
        let place = self.place(store.buffer, store.dtype, &store.strides, store.offset, true);
        let streams = self.kernel.schedule.write(n) == WriteClass::Streamed;
        if streams && self.program.streamed.is_none() {
            self.program.streamed = Some(place);
        }
        let code = cast::store_each(store.dtype, self.program.word);
        let v = self.alias_of[store.value];
        self.emit(code, [Home::Memory(place), Home::None], streams)?;
        self.uses[v] -= 1;
        self.free_unread(v);
        Ok(())
    }

    /// Ends a long run (a chain of instructions that call one another) and begins another. Saves the accumulator first.
    fn cut(&mut self) -> Result<()> {
        let start = self.program.runs.last().map_or(0, |start| *start as usize);
        if self.program.code.len() - start < FULL {
            return Ok(());
        }
        self.keep_acc()?;
        self.acc = None;
        self.end()?;
        self.program.runs.push(self.program.code.len() as u32);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.emit(Codes::end(), [Home::None; 2], false)
    }

    fn emit(&mut self, code: Option<Codes>, operands: [Home; 2], streams: bool) -> Result<()> {
        let Some(run) = code.and_then(|codes| codes.get()) else {
            return Err(self.error("this machine has no threaded code for an instruction"));
        };
        self.program.code.push(Instr { run, operands: [InstructionOperand::default(); 2], streams });
        self.operands.push(operands);
        Ok(())
    }

    /// Replaces the operands' locations by the indices of their bases, which are known now.
    fn complete(self) -> Threaded {
        let mut program = self.program;
        let (places, fills) = (program.places.len(), program.fills.len());
        let vector = (program.block / 8) as u32;
        // operands that fit the second-level cache need no prefetching
        let bytes: usize = program.places.iter().map(|p| p.size.saturating_mul(self.kernel.outer_size())).sum();
        let is_far = bytes > caches::sizes()[1];
        // if loads are within a block of one another, only the first prefetches
        let is_beside = |a: &MemoryOperand, b: &MemoryOperand| {
            let near = a.offset.abs_diff(b.offset).saturating_mul(a.size) < program.block;
            near && a.buffer == b.buffer && a.step == b.step && a.rows == b.rows
        };
        let asked = |n: usize| program.places[..n].iter().any(|earlier| is_beside(earlier, &program.places[n]));
        let aheads: SmallVec<[u32; 6]> = (0..places).map(|n| if is_far && !asked(n) { AHEAD } else { 0 }).collect();
        let draws = draws::operands(&self.draws, places, places + fills + program.slots);
        let operand = |home: Home| match home {
            Home::Draw(n) => draws[n],
            Home::None | Home::Product(_) => InstructionOperand::default(),
            Home::Memory(n) | Home::Each(n) => InstructionOperand { base: n as u32, width: vector, ahead: aheads[n] },
            Home::Fill(n) => InstructionOperand { base: (places + n) as u32, width: 0, ahead: 0 },
            Home::Slot(n) => InstructionOperand { base: (places + fills + n) as u32, width: vector, ahead: 0 },
        };
        for (instr, homes) in program.code.iter_mut().zip(&self.operands) {
            instr.operands = homes.map(operand);
        }
        program
    }
}
