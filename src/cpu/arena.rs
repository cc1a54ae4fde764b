//! The layout of the arena, which is the scratch memory that a task needs to run a program: the position of each
//! register (memory that holds a value for one tile).

use super::program::PAGE;
use smallvec::SmallVec;

/// The layout of the scratch memory while a program is compiled: which bytes are taken, and which registers may be
/// reused.
#[derive(Default)]
pub(super) struct Arena {
    /// The size of the scratch memory so far, in bytes.
    pub size: usize,
    /// The registers that were given back and may be reused, as pairs of size in bytes and start.
    free: SmallVec<[(usize, usize); 8]>,
    /// The pieces of memory that must keep their content from one tile to the next, as pairs of start and size in
    /// bytes.
    lasting: SmallVec<[(usize, usize); 4]>,
}

impl Arena {
    /// Allocates a register whose content is needed only within one tile, and returns its start. Every tile writes the
    /// register before reading it.
    pub fn register(&mut self, bytes: usize) -> usize {
        let bytes = room(bytes);
        match self.free.iter().position(|f| f.0 == bytes) {
            Some(i) => self.free.swap_remove(i).1,
            None => self.fresh(bytes),
        }
    }

    /// Allocates memory whose content outlives a tile, and returns its start. This is never a register that was given
    /// back, because the step that used that register writes it again in the next tile.
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

    /// Gives back a register, so that later steps of the same pass can reuse it.
    pub fn give_back(&mut self, at: usize, bytes: usize) {
        self.free.push((room(bytes), at));
    }

    /// Ends a pass (a loop along the rows of a reduction or scan). Later steps reuse none of the registers of this
    /// pass. This costs some scratch, but is necessary, because `assign/` looks for the last reader of a register
    /// within one pass only.
    pub fn end_pass(&mut self) {
        self.free.clear();
    }

    /// Returns whether a register overlaps memory whose content outlives a tile. Writing the register would destroy
    /// that content.
    pub fn is_taken(&self, at: usize, bytes: usize) -> bool {
        self.lasting.iter().any(|(from, length)| at < from + length && *from < at + bytes)
    }
}

/// Returns the size to allocate for a register of `bytes` bytes. The size is a multiple of a cache line (64 bytes), so
/// that registers are aligned. A size of more than half a page is a multiple of a page, so that large neighbouring
/// registers all start at the same offset in a page. Then a loop that reads one register and writes another never loads
/// from the page offset of a recent store, which would delay the load (see [`PAGE`]).
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
