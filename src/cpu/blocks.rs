//! Runs the tiles of elementwise kernels as threaded code (`threaded/`), which processes each row in blocks of eight
//! vectors of elements.

use super::bind::Run;
use super::parts::FillValue;
use super::strided::{self, StridedBlock};
use super::threaded::{LARGE, MemoryOperand, SMALL, Threaded};
use super::tiles::TileBounds;
use crate::base::error::Result;
use crate::math::simd::threaded::{self, Base};
use smallvec::SmallVec;

/// Rows of at least this many blocks are computed in blocks that begin at aligned addresses, because streaming stores
/// must be aligned. The first block is not aligned and overlaps the second, which costs one more block. Chosen by hand;
/// no benchmark compares other values.
const LEAST_ALIGNED: usize = 8;

/// The scratch memory of a task, aligned for vectors.
#[repr(align(64))]
struct Scratch<const N: usize>(std::mem::MaybeUninit<[u8; N]>);

/// A threaded program with the addresses of its operands in the buffers of a run.
pub(super) struct BoundBlocks<'a> {
    program: &'a Threaded,
    scalars: &'a [u64],
    /// The address of element 0 of each operand in `Threaded::places`.
    at: SmallVec<[*mut u8; 6]>,
}

// SAFETY: several tasks use the pointers, but each task accesses only its own tiles (*disjoint*, see [`Threaded`]).
unsafe impl Sync for BoundBlocks<'_> {}

impl Threaded {
    /// Binds the program to the buffers of a run.
    pub fn bind<'a>(&'a self, run: &'a Run<'_>) -> Result<BoundBlocks<'a>> {
        let scalars = run.bindings.scalars;
        run.has_scalars(self.name, self.scalars)?;
        let mut at = SmallVec::with_capacity(self.places.len());
        for p in &self.places {
            at.push(run.locate(self.name, p.buffer, p.size, p.offset, p.span)?);
        }
        Ok(BoundBlocks { program: self, scalars, at })
    }
}

impl BoundBlocks<'_> {
    /// Computes tiles. This takes less time if the caller has joined neighbouring tiles of a row
    /// (`Elementwise::joined`).
    ///
    /// # Safety
    /// The tiles are in the kernel's index space, and no other task runs them.
    pub unsafe fn run(&self, tiles: impl Iterator<Item = TileBounds>) {
        // SAFETY: the called functions have the same conditions as this one, and the caller ensures them.
        unsafe {
            match self.program.scratch() {
                ..=SMALL => self.run_with(&mut Scratch::<SMALL>(std::mem::MaybeUninit::uninit()), tiles),
                _ => self.run_with(&mut Scratch::<LARGE>(std::mem::MaybeUninit::uninit()), tiles),
            }
        }
    }

    /// Computes tiles with the given scratch memory.
    ///
    /// # Safety
    /// The tiles are in the kernel's index space, and no other task runs them.
    unsafe fn run_with<const N: usize>(&self, scratch: &mut Scratch<N>, tiles: impl Iterator<Item = TileBounds>) {
        let p = self.program;
        assert!(p.scratch() <= N, "`compile` makes no program of more scratch");
        let (scratch, vector) = (scratch.0.as_mut_ptr().cast::<u8>(), p.block / 8);
        let mut bases: SmallVec<[Base; 16]> = SmallVec::new();
        // push the bases (an address and a step for each operand) one by one, because `extend` takes several times as
        // long for a few entries
        for (place, at) in p.places.iter().zip(&self.at) {
            bases.push(Base { at: *at, step: place.step * place.size as isize });
        }
        let slots = p.fills.len() * vector;
        for n in 0..p.fills.len() {
            bases.push(Base { at: scratch.wrapping_add(n * vector), step: 0 });
        }
        for n in 0..p.slots {
            bases.push(Base { at: scratch.wrapping_add(slots + n * p.block), step: 0 });
        }
        for c in &p.counters {
            bases.push(Base { at: std::ptr::null_mut(), step: c.step });
        }
        let rest = scratch.wrapping_add(slots + p.slots * p.block);
        // SAFETY: `scratch` has room for all vectors, slots and blocks, and every element that an operand accesses is
        // in its buffer (*scratch* and *inside*, see [`Threaded`]). The caller ensures that no other task runs the
        // tiles.
        unsafe {
            for n in (0..p.fills.len()).filter(|n| !p.fills[*n].moves) {
                self.fill(n, 0, &bases);
            }
            for tile in tiles {
                for row in tile.r0..tile.r0 + tile.nr {
                    self.row(row, tile.c0, tile.nc, &mut bases, rest);
                }
            }
        }
        if p.streamed.is_some() {
            strided::fence();
        }
    }

    /// Fills a vector of scratch memory with one number: the number that entry `n` of `Threaded::fills` has in this
    /// row.
    ///
    /// # Safety
    /// The scratch has room for the vector, and every element that an operand accesses is in its buffer (*scratch* and
    /// *inside*, see [`Threaded`]). The row is in the kernel's index space.
    unsafe fn fill(&self, n: usize, row: usize, bases: &[Base]) {
        let p = self.program;
        let fill = &p.fills[n];
        let mut bits = 0u64;
        // SAFETY: the called functions have the same conditions as this one, and the caller ensures them. An element
        // has at most 8 bytes.
        unsafe {
            match fill.value {
                FillValue::Bits(constant) => bits = constant,
                FillValue::Scalar(n) => bits = self.scalars.get(n).copied().unwrap_or(0),
                FillValue::Element(n) => {
                    let place = &p.places[n];
                    let at = self.at[n].offset(place.rows.offset(row) * place.size as isize).cast_const();
                    match fill.widen {
                        Some(widen) => widen(1, at, at, at, (&raw mut bits).cast()),
                        None => bits = strided::read(place.size, at),
                    }
                }
            }
            bits &= u64::MAX >> (64 - 8 * fill.size);
            strided::fill(p.word, bits, bases[p.places.len() + n].at, p.block / 8 / p.word);
        }
    }

    /// Computes `n` elements of a row, starting at column `c0`.
    ///
    /// # Safety
    /// The scratch has room for all vectors, slots and blocks, and every element that an operand accesses is in its
    /// buffer (*scratch* and *inside*, see [`Threaded`]). The elements are in the kernel's index space, and no other
    /// task runs them. `rest` is scratch for one block of each operand.
    unsafe fn row(&self, row: usize, c0: usize, n: usize, bases: &mut [Base], rest: *mut u8) {
        let p = self.program;
        let block = p.block / p.word;
        // use indices, because the compiler calls a function to zip iterators, for each row
        let (places, at) = (p.places.as_slice(), self.at.as_slice());
        for n in 0..at.len() {
            let place = &places[n];
            let first = place.rows.offset(row) + c0 as isize * place.step;
            bases[n] =
                Base { at: at[n].wrapping_offset(first * place.size as isize), step: place.step * place.size as isize };
        }
        let counters = bases.len() - p.counters.len();
        for (n, counter) in p.counters.iter().enumerate() {
            let base = &mut bases[counters + n];
            let first = counter.rows.offset(row) + c0 as isize * counter.step;
            base.at = std::ptr::without_provenance_mut((counter.offset as isize).wrapping_add(first) as usize);
        }
        // SAFETY: the caller ensures the conditions of the functions called here. Each block that is run consists of
        // elements of this row.
        unsafe {
            for n in (0..p.fills.len()).filter(|n| p.fills[*n].moves) {
                self.fill(n, row, bases);
            }
            let head = self.head(n, bases);
            if mutant!(threaded_head_left, false, head > 0) {
                // the following blocks overlap this first block, and write the same values again
                threaded::run(&p.code, &p.runs, bases, 0, 1, block);
            }
            let whole = head + (n - head) / block * block;
            threaded::run(&p.code, &p.runs, bases, head, whole, block);
            if mutant!(threaded_tail_left, false, whole < n) {
                if mutant!(threaded_overlaps_in_place, true, !p.is_in_place) && n >= block {
                    // the last block overlaps the block before it, and writes the same values again
                    return threaded::run(&p.code, &p.runs, bases, n - block, n, block);
                }
                self.tail(whole, n - whole, bases, rest);
            }
        }
    }

    /// Returns how many of the `n` elements of a row come before the first address at which a streaming store is
    /// aligned. On x86-64, only aligned stores can stream (bypass the caches). Returns 0 if no store streams, if
    /// elements must not be computed twice, or if the row is too short.
    fn head(&self, n: usize, bases: &[Base]) -> usize {
        let p = self.program;
        let is_short = n < LEAST_ALIGNED * (p.block / p.word);
        match p.streamed {
            Some(place) if cfg!(target_arch = "x86_64") && !p.is_in_place && !is_short => {
                (bases[place].at as usize).wrapping_neg() % (p.block / 8) / p.places[place].size
            }
            _ => 0,
        }
    }

    /// Computes the last `n` elements of a row, which are fewer than a block. Copies them to scratch memory, runs a
    /// whole block there, and copies the results back.
    ///
    /// # Safety
    /// The scratch has room for all vectors, slots and blocks, and every element that an operand accesses is in its
    /// buffer (*scratch* and *inside*, see [`Threaded`]). No other task runs the elements, which start at element
    /// `from` of the row. `bases` are the bases of this row, and `rest` is scratch for one block of each operand.
    unsafe fn tail(&self, from: usize, n: usize, bases: &mut [Base], rest: *mut u8) {
        let p = self.program;
        let inside = |number: usize| rest.wrapping_add(number * p.block);
        let outside = |place: &MemoryOperand, base: &Base| StridedBlock {
            ptr: base.at.wrapping_offset(from as isize * base.step),
            rows: 0,
            cols: place.step,
        };
        // SAFETY: the `n` elements of the row are in their buffers, and the scratch has a block for each operand
        // (*inside* and *scratch*, see [`Threaded`]). The instructions access contiguous elements in scratch. A store
        // to a base with step 0 does not stream.
        unsafe {
            for (number, place) in p.places.iter().enumerate().filter(|(_, place)| !place.is_store && place.step != 0) {
                let scratch = StridedBlock { ptr: inside(number), rows: 0, cols: 1 };
                std::ptr::write_bytes(scratch.ptr, 0, p.block);
                strided::copy(place.size, outside(place, &bases[number]), scratch, 1, n);
            }
            let mut inner: SmallVec<[Base; 16]> = SmallVec::from_slice(bases);
            for (number, place) in p.places.iter().enumerate() {
                let step = if place.is_store { 0 } else { place.size as isize };
                inner[number] = Base { at: inside(number), step };
            }
            let counters = inner.len() - p.counters.len();
            for base in &mut inner[counters..] {
                base.at = base.at.wrapping_offset(from as isize * base.step);
            }
            threaded::run(&p.code, &p.runs, &inner, 0, 1, p.block / p.word);
            for (number, place) in p.places.iter().enumerate().filter(|(_, place)| place.is_store) {
                let scratch = StridedBlock { ptr: inside(number), rows: 0, cols: 1 };
                strided::copy(place.size, scratch, outside(place, &bases[number]), 1, n);
            }
        }
    }
}
