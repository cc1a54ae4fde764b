//! How many bytes a kernel reads and writes.

use super::{BufferRef, Kernel, Load, Op, Value};
use crate::base::dtype::DType;
use crate::base::layout::Strides;
use smallvec::SmallVec;

impl Kernel {
    /// Returns how many elements an access with these strides touches. An element that is broadcast or is part of several
    /// sliding windows counts once.
    fn touched(&self, strides: &[isize]) -> u64 {
        let walked = || self.outer.iter().chain(&self.inner).zip(strides).filter(|(_, s)| **s != 0);
        let indices = walked().fold(1u64, |all, (n, _)| all.saturating_mul(*n as u64));
        // if sliding windows overlap, there are more indices than elements, so the count is limited by the span
        let reach = |(n, s): (&usize, &isize)| (n.saturating_sub(1) as u64).saturating_mul(s.unsigned_abs() as u64);
        let span = walked().map(reach).fold(1, u64::saturating_add);
        indices.min(span)
    }

    /// Returns how many bytes a load of the kernel reads.
    pub fn bytes_of(&self, load: &Load) -> u64 {
        self.touched(&load.strides).saturating_mul(load.dtype.size() as u64)
    }

    /// Returns how many bytes the kernel reads and writes. Each element that a load reads or a store writes counts
    /// once, even if it is broadcast or is part of several sliding windows. A gather or scatter counts one element for
    /// each index, and a store that combines also counts as a read. If an indexed axis is cut into windows
    /// (`plan/indexed.rs`), gathers and stores count only in the kernel of the first window.
    pub fn bytes(&self) -> (u64, u64) {
        // sums saturate: a plan of 2^64 bytes or more cannot run, but it can be printed
        let add = |sum: u64, n: u64, dtype: DType| sum.saturating_add(n.saturating_mul(dtype.size() as u64));
        let mut seen: SmallVec<[(BufferRef, &Strides, isize); 4]> = SmallVec::new();
        let mut read = 0;
        let in_the_first = self.continues && self.stores.iter().all(|s| !s.is_plain());
        for (i, l) in self.loads.iter().enumerate() {
            // a gather reads one element for each of its indices
            let gathers = |v: &&Value| matches!(v.op, Op::Gather { load, .. } if load == i);
            if let Some(v) = self.values.iter().find(gathers) {
                if in_the_first {
                    continue;
                }
                let indices = self.outer_size().saturating_mul(if v.inner { self.inner_size() } else { 1 });
                read = add(read, indices as u64, l.dtype);
                continue;
            }
            if !seen.contains(&(l.buffer, &l.strides, l.offset)) {
                seen.push((l.buffer, &l.strides, l.offset));
                read = read.saturating_add(self.bytes_of(l));
            }
        }
        let mut written = 0;
        for s in self.stores.iter().filter(|_| !in_the_first) {
            let elements = if s.scattered().is_some() { self.outer_size() as u64 } else { self.touched(&s.strides) };
            written = add(written, elements, s.dtype);
            read = if s.updates() { add(read, elements, s.dtype) } else { read };
        }
        (read, written)
    }
}
