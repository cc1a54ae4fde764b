//! `nonzero` (the positions of the true elements of a mask) and `compress` (the elements of an array where a mask is
//! true) on the CPU. First each task counts the true elements of its chunk of the mask. The sum of the counts of all
//! earlier chunks is the position at which the task then writes its results.

use super::operands::{BitPattern, Refused, RoutineMemory, SharedTarget};
use super::work_sharing::share;
use crate::graph::routine::COMPRESS_CHUNK as CHUNK;

/// The number of mask elements that are processed together. A loop without branches collects their results in a buffer,
/// which is then copied to the result.
const BLOCK: usize = 128;

/// Writes the positions of the true elements of the mask to the result.
pub(super) fn nonzero(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    compact::<u64>(call, |start, mask, block| {
        let mut n = 0;
        for (i, m) in mask.iter().enumerate() {
            block[n] = (start + i) as u64;
            n += (*m != 0) as usize;
        }
        n
    });
    Ok(())
}

/// Writes the elements of the array at which the mask is true to the result.
pub(super) fn compress(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    match call.call.operands[1].meta.dtype.size() {
        1 => elements::<u8>(call),
        2 => elements::<u16>(call),
        4 => elements::<u32>(call),
        _ => elements::<u64>(call),
    }
    Ok(())
}

fn elements<W: BitPattern>(call: &mut RoutineMemory<'_>) {
    let elements = call.words::<W>(1);
    compact::<W>(call, |start, mask, block| {
        let mut n = 0;
        for (m, x) in mask.iter().zip(&elements[start..]) {
            block[n] = *x;
            n += (*m != 0) as usize;
        }
        n
    });
}

/// Calls `gather` for each block of the mask, with the position of the block's first element, the block's elements, and
/// a buffer. `gather` writes one word to the buffer for each true element, and returns the number of words. `compact`
/// appends these words to the result.
fn compact<W: BitPattern>(
    call: &mut RoutineMemory<'_>,
    gather: impl Fn(usize, &[u8], &mut [W; BLOCK]) -> usize + Sync,
) {
    let mask = call.words::<u8>(0);
    let length = call.call.params[0] as usize;
    let Some((result, counts)) = call.target::<W, u64>() else { return };
    let tasks = mask.len().div_ceil(CHUNK);
    let chunk = |task: usize| &mask[task * CHUNK..mask.len().min((task + 1) * CHUNK)];
    let (result, counts) = (SharedTarget(result), SharedTarget(counts));
    share(tasks, tasks == 1, |task| {
        // Count in a byte, because the compiler vectorises sums of bytes. A block has at most 128 elements, so the byte
        // does not overflow.
        let of_block = |block: &[u8]| block.iter().map(|m| (*m != 0) as u8).sum::<u8>() as u64;
        let count = chunk(task).chunks(BLOCK).map(of_block).sum();
        // SAFETY: the table entry requests scratch with one count per task (`needs` in `graph/routine/compress.rs`),
        // and only this task writes its own count.
        unsafe { counts.at(task).write(count) };
    });
    let mut before = 0;
    for task in 0..tasks {
        // SAFETY: the task has written its count, and no task runs now.
        unsafe { before += std::mem::replace(&mut *counts.at(task), before) };
    }
    share(tasks, tasks == 1, |task| {
        let mut block = [W::default(); BLOCK];
        // SAFETY: the loops above have written this task's count, and nothing writes it any more.
        let mut to = unsafe { counts.at(task).read() } as usize;
        for (i, mask) in chunk(task).chunks(BLOCK).enumerate() {
            // copies no more elements than fit in the result, even if the caller's count were wrong
            let n = gather(task * CHUNK + i * BLOCK, mask, &mut block).min(length.saturating_sub(to));
            // SAFETY: the result has `length` elements, and `to + n` is at most `length`. The positions from `to` on
            // belong to this task: it has as many true elements as it counted, and the next task's positions begin
            // after them.
            unsafe { std::ptr::copy_nonoverlapping(block.as_ptr(), result.at(to), n) };
            to += n;
        }
    });
}
