//! The layout of the scratch memory of a task: where each register is. A register is memory that holds one value of a
//! kernel for one tile (a rectangle of elements).

use super::program::PAGE;
use smallvec::SmallVec;

/// Lays out the scratch memory of a program during compilation: records which bytes are in use, and which registers can
/// be reused.
#[derive(Default)]
pub(super) struct Arena {
    /// The size of the scratch memory so far, in bytes.
    pub size: usize,
    /// The freed registers, which can be reused, as pairs of size in bytes and offset.
    free: SmallVec<[(usize, usize); 8]>,
    /// The ranges of memory that must keep their content from one tile to the next, as pairs of offset and size in
    /// bytes.
    lasting: SmallVec<[(usize, usize); 4]>,
}

impl Arena {
    /// Allocates a register whose content is needed only within one tile, and returns its offset. Every tile writes the
    /// register before reading it.
    pub fn register(&mut self, bytes: usize) -> usize {
        let bytes = room(bytes);
        match self.free.iter().position(|f| f.0 == bytes) {
            Some(i) => self.free.swap_remove(i).1,
            None => self.fresh(bytes),
        }
    }

    /// Allocates memory that must keep its content from one tile to the next, and returns its offset. It never reuses a
    /// register, because the register's first user would overwrite it in the next tile.
    pub fn lasting(&mut self, bytes: usize) -> usize {
        let at = self.fresh(room(bytes));
        self.lasting.push((at, bytes));
        at
    }

    fn fresh(&mut self, bytes: usize) -> usize {
        let at = self.size;
        self.size += bytes;
        at
    }

    /// Frees a register, so that later steps of the same pass (a loop along the rows of a reduction or scan) can reuse
    /// it.
    pub fn give_back(&mut self, at: usize, bytes: usize) {
        self.free.push((room(bytes), at));
    }

    /// Ends a pass (a loop along the rows of a reduction or scan). Its freed registers are not reused by later passes,
    /// because the compiler finds the last reader of a register only within one pass.
    pub fn end_pass(&mut self) {
        self.free.clear();
    }

    /// Returns whether a register overlaps memory that must keep its content from one tile to the next.
    pub fn is_taken(&self, at: usize, bytes: usize) -> bool {
        self.lasting.iter().any(|(from, length)| at < from + length && *from < at + bytes)
    }
}

/// Returns the size to allocate for a register of `bytes` bytes. It is a multiple of a cache line (64 bytes), or of a
/// page if it exceeds half a page. Then large neighbouring registers start at the same offset in a page. So a loop that
/// reads one register and writes another never loads from the page offset of a recent store, which would delay the load
/// (see [`PAGE`]).
fn room(bytes: usize) -> usize {
    bytes.next_multiple_of(if bytes > PAGE / 2 { PAGE } else { 64 })
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(cpu_arena: lasting_memory_is_never_a_register);

    fn lasting_memory_is_never_a_register() {
        let mut arena = Arena::default();
        let first = arena.register(100);
        arena.give_back(first, 100);
        let kept = arena.lasting(100);
        assert_ne!(kept, first);
        assert!(arena.is_taken(kept, 1) && arena.is_taken(kept + 99, 64) && !arena.is_taken(first, 100));
        assert_eq!(arena.register(100), first);
        assert_eq!(arena.size, 256);
    }
}
