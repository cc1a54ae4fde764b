//! Elementwise kernels over a few elements, where making a program would take longer than the work. No heap, no
//! thread-local, no rayon: every value has a piece of the stack.

use super::convert;
use super::program::Bound;
use crate::error::Result;
use crate::kernel::{Kernel, Op};
use crate::simd::Loop;
use crate::ufunc::{Class, cast};
use std::mem::MaybeUninit;

/// Values of a kernel, and bytes of all of them, at most.
const VALUES: usize = 24;
const BYTES: usize = 8 << 10;

/// Scratch for the values, aligned for any of them.
#[repr(align(64))]
struct Scratch(MaybeUninit<[u8; BYTES]>);

/// Runs the kernel if it is small and simple: one axis, loads along it or broadcast, no gather, index or random number.
pub(super) fn run(kernel: &Kernel, bound: &Bound<'_>) -> Option<Result<()>> {
    let &[n] = &kernel.outer[..] else { return None };
    let count = kernel.values.len();
    // 8 bytes for each element of each value, in whole cache lines
    let room = n.checked_mul(8)?.checked_next_multiple_of(64)?;
    if n == 0 || count > VALUES || room.saturating_mul(count) > BYTES {
        return None;
    }
    let mut scratch = Scratch(MaybeUninit::uninit());
    let base = scratch.0.as_mut_ptr() as *mut u8;
    let mut at = [std::ptr::null::<u8>(); VALUES];
    let end = n as isize - 1;
    // SAFETY: `inside` has looked that an operand lies in its buffer; every value has room for `n` elements of up to 8
    // bytes of its own; operands come before their users.
    unsafe {
        for (v, value) in kernel.values.iter().enumerate() {
            let to = base.add(v * room);
            let call = |f: Loop, a: *const u8, b: *const u8, c: *const u8| {
                f(n, a, b, c, to);
                to as *const u8
            };
            let arg = |a: usize| if a < v { at[a] } else { std::ptr::null() };
            at[v] = match &value.op {
                Op::Load(i) => {
                    let load = kernel.loads.get(*i)?;
                    let memory = bound.memory(kernel, load.buffer).ok()?;
                    let start = load.offset + memory.offset as isize;
                    let size = load.dtype.size();
                    let from = memory.ptr.wrapping_offset(start * size as isize) as *const u8;
                    let widen = cast::widen(load.dtype);
                    match load.strides.first()? {
                        1 if inside(start, start + end, size, memory.bytes) => match widen {
                            None => from,
                            Some(widen) => call(widen.get(), from, from, from),
                        },
                        0 if inside(start, start, size, memory.bytes) => {
                            let one = match widen {
                                None => super::strided::read(size, from),
                                Some(widen) => {
                                    let mut wide = 0u64;
                                    widen.get()(1, from, from, from, (&raw mut wide) as *mut u8);
                                    wide
                                }
                            };
                            super::strided::fill(value.compute().size(), one, to, n);
                            to
                        }
                        _ => return None,
                    }
                }
                Op::Scalar(i) => {
                    let bits = *bound.bindings.scalars.get(*i)?;
                    super::strided::fill(value.compute().size(), bits, to, n);
                    to
                }
                Op::Constant(bits) => {
                    super::strided::fill(value.compute().size(), *bits, to, n);
                    to
                }
                Op::Ufunc(row, args) => {
                    let first = *args.first()?;
                    let by = if row.class == Class::Select { *args.get(1)? } else { first };
                    if args.len() != row.arity || args.iter().any(|a| *a >= v) {
                        return None;
                    }
                    let loops = row.map(kernel.values[by].compute())?;
                    let get = |i: usize| args.get(i).map_or(at[first], |a| at[*a]);
                    call(loops.get(), get(0), get(1), get(2))
                }
                Op::Cast(a) => {
                    let from = arg(*a);
                    let chain = convert::cast(kernel.values.get(*a)?.dtype, value.dtype);
                    match &chain[..] {
                        _ if from.is_null() => return None,
                        [] => from,
                        [one] => call(one.get(), from, from, from),
                        _ => return None,
                    }
                }
                Op::Round(a) => match (cast::round(value.dtype), arg(*a)) {
                    (_, from) if from.is_null() => return None,
                    (None, from) => from,
                    (Some(round), from) => call(round.get(), from, from, from),
                },
                _ => return None,
            };
        }
        // all stores are looked at before the first is made
        for last in [false, true] {
            for store in &kernel.stores {
                let memory = bound.memory(kernel, store.buffer).ok()?;
                let start = store.offset + memory.offset as isize;
                let size = store.dtype.size();
                let good = store.strides.first() == Some(&1) && inside(start, start + end, size, memory.bytes);
                if !good || store.value >= count {
                    return None;
                }
                if last {
                    let to = memory.ptr.offset(start * size as isize);
                    let from = at[store.value];
                    match cast::narrow(store.dtype) {
                        Some(narrow) => narrow.get()(n, from, from, from, to),
                        // the value may lie in the memory that is written
                        None => std::ptr::copy(from, to, n * size),
                    }
                }
            }
        }
    }
    Some(Ok(()))
}

/// Whether elements `first..=last` lie in a buffer.
fn inside(first: isize, last: isize, size: usize, bytes: usize) -> bool {
    first >= 0 && (last as usize + 1) * size <= bytes
}
