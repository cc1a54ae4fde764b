//! Longer loops for reductions by a function such as `add` (`fold/function.rs`): loops over several whole blocks, and
//! loops over rows that are read directly from a buffer.

use super::*;

impl FoldSpec {
    /// Folds one row of `n` elements, of any length, to one element: the result of the reduction, or a
    /// component of its state, as `gives` selects. The bits are the same as with a [`Folder`] that is fed in parts.
    ///
    /// # Safety
    /// Each input has `n` aligned elements (*data*, see [`Folder`]). `arena` satisfies the condition of
    /// [`Folder::new`], and `out` has space for an aligned element, which is not in the state.
    pub unsafe fn one_row(&self, data: Inputs, arena: *mut u8, gives: Gives, out: *mut u8) {
        // SAFETY: the caller ensures that the elements and the state exist.
        unsafe {
            let mut folder = Folder::new(self, arena, 1, self.n);
            folder.feed(0, data, self.n);
            folder.end();
            folder.write(gives, out);
        }
    }
}

impl Folder<'_> {
    /// Reduces whole blocks of rows by longer loops, with the same bits as row by row. If there are few columns,
    /// reduces several blocks together; if there is one column with the maximum number of lanes, reduces one block or the
    /// beginning of one. Returns the number of reduced rows, or `None` if neither is possible now.
    ///
    /// # Safety
    /// The state is valid, and `data` has `rows × width` elements (*state* and *data*, see [`Folder`]).
    pub(super) unsafe fn feed_whole_blocks(
        &mut self,
        function: CombineLoops,
        data: *const u8,
        rows: usize,
    ) -> Option<usize> {
        let (count, size) = (self.spec.blocks_at_once(), self.spec.compute.size());
        // SAFETY: each case checks that there are as many rows as it folds, and the vector has space for the result.
        unsafe {
            if count > 0 && self.filled == 0 && rows >= count * SERIAL && self.blocks.is_multiple_of(count) {
                self.feed_blocks(function, data, count, rows);
                return Some(count * SERIAL);
            }
            if self.filled == 0 && self.width == 1 && self.spec.lanes == LANES && rows >= 2 * LANES {
                let (one, taken) = (LANES * size, (rows / LANES).min(SERIAL) * LANES);
                std::ptr::copy_nonoverlapping(data, self.here(), one);
                (function.fold)(taken - LANES, data.add(one), data, data, self.here());
                self.filled = taken;
                self.left -= taken;
                if taken == SERIAL * LANES {
                    self.push(0);
                }
                return Some(taken);
            }
        }
        None
    }

    /// Reduces `count` blocks of one lane together, because a loop over the few columns of one block would be short.
    /// `count` is a power of two that divides the number of blocks reduced so far. The data has `rows` rows, which may
    /// be more than `count` blocks.
    ///
    /// # Safety
    /// The state is valid, and `data` has `count` blocks of `SERIAL × width` elements (*state* and *data*, see
    /// [`Folder`]). `count` is [`FoldSpec::blocks_at_once`].
    unsafe fn feed_blocks(&mut self, function: CombineLoops, data: *const u8, count: usize, rows: usize) {
        let (w, size) = (self.width, self.spec.compute.size());
        let turned = self.scratch();
        // SAFETY: the caller ensures that the data has these blocks, and the scratch has space for a row of each block.
        unsafe {
            // The result of block `i` is stored at the index whose bits are the reversed bits of `i`. Then combining
            // the upper half of the results into the lower half combines each block with its neighbour, as `push` would
            // do.
            let blocks = BlockArgs { count, shift: usize::BITS - count.trailing_zeros(), len: rows * w };
            (function.blocks)(w, data, (&raw const blocks).cast(), data, turned);
            let mut half = count / 2;
            while half > 0 {
                let upper = turned.add(half * w * size);
                (function.accumulate)(half * w, upper, upper, upper, turned);
                half /= 2;
            }
            std::ptr::copy_nonoverlapping(turned, self.here(), w * size);
            self.left -= count * SERIAL;
            self.push(count.trailing_zeros() as usize);
        }
    }

    /// Combines the next `rows` elements of each column into the state. The elements are read directly from a buffer,
    /// in which consecutive rows are `step` elements apart.
    ///
    /// # Safety
    /// The state is valid, and `data` has `rows` rows of `width` elements at this step (*state* and *data*, see
    /// [`Folder`]). `rows` is at most the number of rows still to come. The spec accepts rows at this step
    /// ([`FoldSpec::takes_rows_apart`]).
    pub unsafe fn feed_where_they_lie(&mut self, data: *const u8, rows: usize, step: isize) {
        let (w, size) = (self.width, self.spec.compute.size());
        if let Combines::Narrow(sum) = &self.spec.combines {
            // SAFETY: the caller ensures the same conditions.
            return unsafe { self.feed_narrow(sum, data, rows, step) };
        }
        let Combines::Function(function) = self.spec.combines else { return };
        let mut done = 0;
        // SAFETY: the caller ensures that there are `rows` rows, and no loop reads more than these. A block has at most
        // `SERIAL` rows.
        unsafe {
            if w < NARROW {
                return self.feed(0, [data; 3], rows);
            }
            while done < rows {
                let mut from = data.wrapping_offset(done as isize * step * size as isize);
                let take = (rows - done).min(SERIAL - self.filled);
                let mut columns = Columns { rows: take, step };
                if self.filled == 0 {
                    std::ptr::copy_nonoverlapping(from, self.here(), w * size);
                    from = from.wrapping_offset(step * size as isize);
                    columns.rows -= 1;
                }
                (function.columns)(w, from, (&raw const columns).cast(), from, self.here());
                self.filled += take;
                self.left -= take;
                done += take;
                if self.filled == SERIAL {
                    self.push(0);
                }
            }
        }
    }
}
