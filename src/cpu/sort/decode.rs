//! Converts sorted keys back to the elements that have these keys (`Word::key`).

use super::task::{Task, run};
use super::{Order, SharedTarget, Word, chunks, part};
use crate::cpu::work_sharing::share;

/// Replaces sorted keys by their elements. All zeros have the same key, and all NaNs have the same key. So zeros and
/// NaNs are copied from `elements` in their original order, to keep their signs and payloads.
pub(super) fn decode<W: Word>(elements: &[W], keys: &mut [W], order: Order<W>, shared: bool) {
    let length = keys.len();
    let runs = order.infinity.map(|_| {
        let (zero, nan) = (W::default().key(order), W::NAN_KEY);
        [zero, nan].map(|key| (keys.partition_point(|k| *k < key), keys.partition_point(|k| *k <= key)))
    });
    let target = SharedTarget(keys.as_mut_ptr());
    let tasks = chunks(length, shared);
    share(tasks, tasks == 1, |task| {
        let range = part(length, tasks, task);
        // SAFETY: each task has its own elements of `keys`, which is borrowed mutably.
        let keys = unsafe { std::slice::from_raw_parts_mut(target.row(range.start, 1).0, range.len()) };
        run(Decode { keys, order });
    });
    let (Some(infinity), Some([zeros, nans])) = (order.infinity, runs) else { return };
    if zeros.0 == zeros.1 && nans.0 == nans.1 {
        return;
    }
    let mut counts = vec![[0; 2]; tasks];
    let of_tasks = SharedTarget(counts.as_mut_ptr());
    share(tasks, tasks == 1, |task| {
        let own = run(Shares { elements: &elements[part(length, tasks, task)], infinity });
        // SAFETY: each task has its own element of `counts`, which nothing else uses meanwhile.
        unsafe { of_tasks.set(task, own) };
    });
    let mut starts = [zeros.0, nans.0];
    for count in &mut counts {
        for (start, count) in starts.iter_mut().zip(count) {
            *start += std::mem::replace(count, *start);
        }
    }
    share(tasks, tasks == 1, |task| {
        let [mut zero, mut nan] = counts[task];
        let [zeros, nans] = counts.get(task + 1).copied().unwrap_or(starts);
        if zero == zeros && nan == nans {
            return;
        }
        for x in elements[part(length, tasks, task)].iter().filter(|x| x.shares_key(infinity)) {
            let at = if x.is_zero() { &mut zero } else { &mut nan };
            // SAFETY: each task has counted its zeros and NaNs, so it writes only the positions that are reserved for
            // them.
            unsafe { target.set(*at, *x) };
            *at += 1;
        }
    });
}

/// Replaces sorted keys by the elements that have these keys.
struct Decode<'a, W> {
    keys: &'a mut [W],
    order: Order<W>,
}

impl<W: Word> Task for Decode<'_, W> {
    type Result = ();

    #[inline(always)]
    fn run(self) {
        self.keys.iter_mut().for_each(|key| *key = W::element(*key, self.order));
    }
}

/// Counts the zeros and the NaNs among a task's elements.
struct Shares<'a, W> {
    elements: &'a [W],
    infinity: W,
}

impl<W: Word> Task for Shares<'_, W> {
    type Result = [usize; 2];

    #[inline(always)]
    fn run(self) -> [usize; 2] {
        let zeros = self.elements.iter().filter(|x| x.is_zero()).count();
        let all = self.elements.iter().filter(|x| x.shares_key(self.infinity)).count();
        [zeros, all - zeros]
    }
}
