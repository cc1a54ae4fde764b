//! Collectives of arrays on a GPU. They run in pieces, so that the host holds few elements at a time. While one piece is
//! sent, the next one is read back.

use crate::call::{Call, Fallible, Fault};
use crate::collective::Finish;
use crate::comm::Comm;
use crate::queue::Job;
use cupric::{Array, DType, Device, Expr, concat, s};
use std::ops::Range;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The largest number of elements in a piece: of one rank's array for `all_reduce` and `broadcast`, and of the parts of
/// all ranks together for the other collectives.
const PIECE: usize = 1 << 22;
/// Added to the description of a call whose array is on a GPU, because all ranks must send the same pieces.
pub(crate) const ON_A_GPU: &str = "on a GPU, in pieces";

/// Ranges of elements, one for each rank, that are divided into pieces.
struct Pieces<'a> {
    parts: &'a [Range<usize>],
    step: usize,
    count: usize,
}

impl Pieces<'_> {
    /// Divides ranges into pieces that have at most `most` elements on all ranks together. There is at least one piece,
    /// because even a collective without elements must run.
    fn new(parts: &[Range<usize>], most: usize) -> Pieces<'_> {
        let step = (most / parts.len().max(1)).max(1);
        let longest = parts.iter().map(Range::len).max().unwrap_or(0);
        Pieces { parts, step, count: longest.div_ceil(step).max(1) }
    }

    /// Returns the part of a rank in piece `k`.
    fn of(&self, rank: usize, k: usize) -> Range<usize> {
        let part = &self.parts[rank];
        let start = part.start.saturating_add(k * self.step).min(part.end);
        start..start.saturating_add(self.step).min(part.end)
    }

    /// Returns the numbers of elements of all ranks in piece `k`.
    fn lengths(&self, k: usize) -> Vec<usize> {
        (0..self.parts.len()).map(|rank| self.of(rank, k).len()).collect()
    }
}

/// Returns ranges of these lengths, each of which begins where the one before it ends.
fn consecutive(lengths: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut end = 0usize;
    let range = |n: usize| {
        let start = end;
        end = end.saturating_add(n);
        start..end
    };
    lengths.map(range).collect()
}

fn joined(mut parts: Vec<Array>) -> Fallible<Array> {
    Ok(if parts.len() == 1 { parts.swap_remove(0) } else { concat(&parts, 0).eval()? })
}

impl Comm {
    /// Returns the largest number of elements in a piece. Tests with short messages have short pieces too.
    pub(crate) fn piece(&self, dtype: DType) -> usize {
        PIECE.min(self.world.most(dtype))
    }

    /// Runs a collective in pieces, of which `make` makes the jobs, and returns the results on the device of `finish`.
    /// After an error that all ranks have, all ranks have started the same pieces, and wait for the last of them.
    #[track_caller]
    fn in_pieces(
        &self,
        call: &Call,
        finish: &Finish,
        count: usize,
        make: impl Fn(usize) -> Fallible<Job>,
    ) -> Fallible<Vec<Array>> {
        let (mut parts, mut under_way, mut failure) = (vec![], None, None::<Fault>);
        for k in 0..count {
            // the other ranks do not know this rank's failure to convert a result, so the next piece tells them
            let made = failure.clone().map_or_else(|| make(k), Err).map_err(|f| f.of(call.name));
            let number = self.push(call.clone().with(format_args!("piece {k}")), made)?;
            let Some(before) = under_way.replace(number) else { continue };
            match self.wait(before, call.name) {
                Ok(outputs) => match finish.of(outputs) {
                    Ok(part) => parts.push(part),
                    Err(fault) => failure = failure.or(Some(fault)),
                },
                Err(fault) => {
                    self.discard([number], call.name, fault.kind());
                    return Err(fault);
                }
            }
        }
        if let Some(last) = under_way {
            parts.push(finish.of(self.wait(last, call.name)?)?);
        }
        failure.map_or(Ok(parts), Err)
    }

    /// Copies an array from a GPU to the CPU, and advances the collectives meanwhile.
    #[track_caller]
    pub(crate) fn read(&self, x: &Expr) -> Fallible<Array> {
        let mut reading = pin!(x.to_device_async(&Device::cpu()));
        loop {
            if let Poll::Ready(x) = reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return Ok(x?);
            }
            self.advance()?;
            std::thread::yield_now();
        }
    }

    /// Runs a collective that treats each element of an array alike.
    #[track_caller]
    pub(crate) fn flat_pieces(&self, x: &Array, call: Call, make: impl Fn(&Array) -> Fallible<Job>) -> Fallible<Array> {
        let call = call.with(ON_A_GPU).of(x.dtype(), x.shape());
        // the second piece starts before the first has ended, so the ranks first agree on the whole call
        self.collect(call.clone(), Ok(Job::nothing()))?;
        let whole = consecutive([x.size()].into_iter());
        let (flat, pieces) = (x.reshape(-1), Pieces::new(&whole, self.piece(x.dtype())));
        let finish = Finish { dtype: x.dtype(), device: x.device() };
        let make = |k| make(&self.read(&flat.slice(s![pieces.of(0, k)]))?);
        let all = self.in_pieces(&call, &finish, pieces.count, make)?;
        Ok(joined(all)?.reshape(x.shape()).eval()?)
    }

    /// Runs a collective that joins the arrays of all ranks, with `lengths[r]` elements on rank r. Returns the elements
    /// in one axis. The ranks have agreed on the call. `make` makes a job of this rank's elements of a piece and the
    /// numbers of all ranks' elements.
    #[track_caller]
    pub(crate) fn joined_pieces(
        &self,
        x: &Array,
        call: &Call,
        lengths: impl Iterator<Item = usize>,
        make: impl Fn(&Array, &[usize]) -> Fallible<Job>,
    ) -> Fallible<Array> {
        let parts: Vec<Range<usize>> = lengths.map(|n| 0..n).collect();
        let (flat, pieces) = (x.reshape(-1), Pieces::new(&parts, self.piece(x.dtype())));
        let finish = Finish { dtype: x.dtype(), device: x.device() };
        let make = |k| make(&self.read(&flat.slice(s![pieces.of(self.rank(), k)]))?, &pieces.lengths(k));
        let mut all = self.in_pieces(&call.clone().with("data"), &finish, pieces.count, make)?;
        // only one rank gets the result of `gather`
        if all.len() == 1 || all.iter().all(|x| x.size() == 0) {
            return Ok(all.swap_remove(0));
        }
        // each piece holds elements of all ranks, and the result has the elements of a rank together
        let starts: Vec<Vec<Range<usize>>> =
            (0..all.len()).map(|k| consecutive(pieces.lengths(k).into_iter())).collect();
        let of = |rank: usize| all.iter().zip(&starts).map(move |(x, at)| x.slice(s![at[rank].clone()]));
        let order: Vec<Expr> = (0..self.size()).flat_map(of).collect();
        Ok(concat(&order, 0).eval()?)
    }

    /// Runs a collective that divides elements among the ranks: `lengths[r]` elements go to rank r. Returns this rank's
    /// elements in one axis. The ranks have agreed on the call. `make` makes a job of the elements of a piece, in the
    /// order of the ranks, and the numbers of all ranks' elements.
    #[track_caller]
    pub(crate) fn divided_pieces(
        &self,
        x: Option<&Array>,
        call: &Call,
        finish: &Finish,
        lengths: impl Iterator<Item = usize>,
        make: impl Fn(Option<Array>, &[usize]) -> Fallible<Job>,
    ) -> Fallible<Array> {
        let parts = consecutive(lengths);
        let pieces = Pieces::new(&parts, self.piece(finish.dtype));
        let flat = x.map(|x| x.reshape(-1));
        let make = |k| {
            let of = |flat: &Expr| {
                let all: Vec<Expr> = (0..self.size()).map(|rank| flat.slice(s![pieces.of(rank, k)])).collect();
                self.read(&concat(&all, 0))
            };
            make(flat.as_ref().map(of).transpose()?, &pieces.lengths(k))
        };
        joined(self.in_pieces(&call.clone().with("data"), finish, pieces.count, make)?)
    }
}
