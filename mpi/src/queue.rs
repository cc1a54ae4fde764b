//! The queue of a rank's collectives, in the order of their calls. A collective first agrees with the other ranks, and
//! then moves data. All ranks start to move data in the order of the calls, because MPI matches calls by order.

use crate::call::{Call, Fallible, Fault, REPORT, Reduce, report, verdict};
use crate::raw::{Kind, Started, World, counts};
use crate::staging::{address, address_mut};
use cupric::{Array, DType, ErrorKind};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::c_int;
use std::ops::Range;
use std::time::{Duration, Instant};

/// What a collective does with data once the ranks have agreed.
pub(crate) enum Action {
    Nothing,
    AllReduce(Reduce),
    ReduceScatter(Reduce, Lists),
    /// The root sends its input; the other ranks receive into their output.
    Broadcast(usize),
    AllGather(Lists),
    Gather(Lists, usize),
    Scatter(Lists, usize),
    AllToAll(Lists, Lists),
    /// Sends this many elements from the start of the input to the previous rank, and from its end to the next rank.
    /// Receives as many from the previous rank into the first output, and from the next rank into the second.
    Halo(usize),
}

/// How the elements of an array are divided into parts, one for each rank, in the order of the ranks.
pub(crate) struct Lists {
    parts: Vec<Range<usize>>,
    /// The lengths and starts of the parts for a call of MPI, or `None` if there are so many elements that they are
    /// sent in several messages.
    counts: Option<(Vec<c_int>, Vec<c_int>)>,
}

impl Lists {
    /// Makes the parts from their lengths. `whole` is at least the sum of the lengths. It is equal on all ranks, so
    /// that all ranks decide alike whether to send several messages.
    pub fn new(world: &World, dtype: DType, lengths: impl Iterator<Item = usize>, whole: usize) -> Fallible<Lists> {
        let lengths: Vec<usize> = lengths.collect();
        let counts = if whole <= world.most(dtype) { Some(counts(&lengths)?) } else { None };
        let mut end = 0usize;
        let parts = lengths.iter().map(|n| {
            let start = end;
            end = end.saturating_add(*n);
            start..end
        });
        Ok(Lists { parts: parts.collect(), counts })
    }
}

/// A collective with the memory that it uses.
pub(crate) struct Job {
    pub action: Action,
    pub input: Option<Array>,
    pub outputs: Vec<Array>,
}

/// Divides a range of elements into messages of at most `most` elements. Returns the start and length of each message.
fn messages(range: Range<usize>, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let end = range.end;
    range.step_by(most).map(move |at| (at, (end - at).min(most)))
}

/// Sends a part of `from` to each rank, and receives a part of `into` from each rank, in several messages.
///
/// # Safety
/// The parts lie inside the memory of `from` and `into`. Both live until the calls are done, and nothing else uses
/// `into` until then.
unsafe fn exchange(
    world: &World,
    (from, into): (*const u8, *mut u8),
    (sent, received): (Vec<Range<usize>>, Vec<Range<usize>>),
    kind: Kind,
) -> Fallible<Vec<Started>> {
    let (size, most) = (kind.dtype().size(), world.most(kind.dtype()));
    let mut calls = vec![];
    for (rank, part) in received.into_iter().enumerate() {
        for (at, n) in messages(part, most) {
            // SAFETY: the part lies inside the buffer, which the caller keeps until the call is done.
            calls.push(unsafe { world.receive(into.add(at * size), n, kind, rank) }?);
        }
    }
    for (rank, part) in sent.into_iter().enumerate() {
        for (at, n) in messages(part, most) {
            // SAFETY: the part lies inside the buffer, which the caller keeps until the call is done.
            calls.push(unsafe { world.send(from.add(at * size), n, kind, rank) }?);
        }
    }
    Ok(calls)
}

/// Combines the arrays of all ranks in several messages. Each rank gets its part of the result.
///
/// # Safety
/// The parts lie inside the memory of `from`, and this rank's part fits into `into`. Both live until the calls are
/// done, and nothing else uses `into` until then.
unsafe fn reduce_parts(
    world: &World,
    (from, into): (*const u8, *mut u8),
    parts: &[Range<usize>],
    dtype: DType,
    op: Reduce,
) -> Fallible<Vec<Started>> {
    let mut calls = vec![];
    for (rank, part) in parts.iter().enumerate() {
        for (at, n) in messages(part.clone(), world.most(dtype)) {
            // SAFETY: the caller keeps both buffers until the calls are done; MPI writes only this rank's part to
            // `into`.
            unsafe {
                let own = if rank == world.rank { into.add((at - part.start) * dtype.size()) } else { into };
                calls.push(world.reduce((from.add(at * dtype.size()), own), n, dtype, op, rank)?);
            }
        }
    }
    Ok(calls)
}

impl Action {
    /// Returns the parts of the input that this rank sends to each rank, and the parts of the output that it receives
    /// from each rank. The input has `n` elements.
    fn parts(&self, world: &World, n: usize) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
        let none = || vec![0..0; world.size];
        let all_of = |rank: usize, lists: &Lists| if rank == world.rank { lists.parts.clone() } else { none() };
        let only = |rank: usize, part: Range<usize>| {
            let mut parts = none();
            parts[rank] = part;
            parts
        };
        match self {
            Action::AllGather(lists) => (vec![0..n; world.size], lists.parts.clone()),
            Action::Gather(lists, root) => (only(*root, 0..n), all_of(*root, lists)),
            Action::Scatter(lists, root) => (all_of(*root, lists), only(*root, 0..lists.parts[world.rank].len())),
            Action::AllToAll(sent, received) => (sent.parts.clone(), received.parts.clone()),
            _ => (none(), none()),
        }
    }
}

impl Job {
    pub fn nothing() -> Job {
        Job { action: Action::Nothing, input: None, outputs: vec![] }
    }

    /// Starts the job's calls of MPI. They use the memory of the job, so its owner must keep it until they are done.
    fn start(&mut self, world: &World) -> Fallible<Vec<Started>> {
        let (dtype, n) = match (&self.input, self.outputs.first()) {
            (Some(x), _) | (None, Some(x)) => (x.dtype(), x.size()),
            (None, None) => (DType::U8, 0),
        };
        let (kind, size) = (Kind::moved(dtype), dtype.size());
        let from = self.input.as_ref().map_or(Ok(std::ptr::null()), address)?;
        let into = self.outputs.iter_mut().map(address_mut).collect::<Fallible<Vec<*mut u8>>>()?;
        let first = into.first().copied().unwrap_or(std::ptr::null_mut());
        let most = world.most(dtype);
        let pieces = messages(0..n, most).map(|(at, n)| (at * size, n));
        // SAFETY: `collective.rs` and `exchange.rs` make the arrays of a job with as many elements as its lists say.
        // The queue keeps jobs, with arrays and lists, until their calls are done, and nothing reads the outputs
        // before. `address_mut` has checked that no other array shares the memory of the outputs.
        unsafe {
            Ok(match &self.action {
                Action::Nothing => vec![],
                Action::AllReduce(op) => {
                    let start = |(at, n)| world.all_reduce((from.add(at), first.add(at)), n, dtype, *op);
                    pieces.map(start).collect::<Fallible<_>>()?
                }
                Action::ReduceScatter(op, Lists { counts: Some((l, _)), .. }) => {
                    vec![world.reduce_scatter((from, first), l, dtype, *op)?]
                }
                Action::ReduceScatter(op, lists) => reduce_parts(world, (from, first), &lists.parts, dtype, *op)?,
                Action::Broadcast(root) => {
                    let data = if *root == world.rank { from.cast_mut() } else { first };
                    pieces.map(|(at, n)| world.broadcast(data.add(at), n, kind, *root)).collect::<Fallible<_>>()?
                }
                Action::AllGather(Lists { counts: Some((l, s)), .. }) => {
                    vec![world.all_gather((from, first), (l, s), kind)?]
                }
                Action::Gather(Lists { counts: Some((l, s)), .. }, root) => {
                    vec![world.gather((from, first), (l, s), kind, *root)?]
                }
                Action::Scatter(Lists { counts: Some((l, s)), .. }, root) => {
                    vec![world.scatter((from, first), (l, s), kind, *root)?]
                }
                Action::AllToAll(Lists { counts: Some((a, b)), .. }, Lists { counts: Some((c, d)), .. }) => {
                    vec![world.all_to_all((from, first), (a, b), (c, d), kind)?]
                }
                Action::AllGather(_) | Action::Gather(..) | Action::Scatter(..) | Action::AllToAll(..) => {
                    exchange(world, (from, first), self.action.parts(world, n), kind)?
                }
                Action::Halo(edge) => {
                    let mut calls = vec![];
                    let mut into = into.into_iter();
                    let mut swap = |from: *const u8, into: *mut u8, rank| -> Fallible<()> {
                        for (at, n) in messages(0..*edge, most) {
                            calls.push(world.receive(into.add(at * size), n, kind, rank)?);
                            calls.push(world.send(from.add(at * size), n, kind, rank)?);
                        }
                        Ok(())
                    };
                    if let (Some(before), Some(data)) = (world.rank.checked_sub(1), into.next()) {
                        swap(from, data, before)?;
                    }
                    if let (true, Some(data)) = (world.rank + 1 < world.size, into.next()) {
                        swap(from.add((n - edge) * size), data, world.rank + 1)?;
                    }
                    calls
                }
            })
        }
    }

    fn bytes(&self) -> u64 {
        self.input.as_ref().map_or(0, |x| (x.size() * x.dtype().size()) as u64)
    }
}

pub(crate) type Outcome = Fallible<Vec<Array>>;

struct Entry {
    number: u64,
    call: Call,
    failure: Option<Fault>,
    /// The words that this rank sends to the agreement, and the maxima of all ranks' words. A rank sends the hash of
    /// its call, the hash's complement, and whether it has failed. The maxima of hash and complement equal this rank's
    /// own words only if all ranks have the same hash.
    words: Box<[[u64; 3]; 2]>,
    job: Job,
    stage: Stage,
}

enum Stage {
    Agreeing(Started),
    Moving(Vec<Started>),
}

#[derive(Default)]
pub(crate) struct Queue {
    next: u64,
    entries: VecDeque<Entry>,
    done: HashMap<u64, Outcome>,
    dropped: HashSet<u64>,
    /// The first error of a collective whose request was dropped.
    lost: Option<Fault>,
    /// Whether a collective has failed. All ranks know this.
    pub has_failed: bool,
    pub bytes: u64,
    pub waited: Duration,
}

impl Queue {
    /// Starts a collective, and returns its number. If `made` is an error, the agreement tells it to the other ranks.
    pub fn push(&mut self, world: &World, call: Call, made: Fallible<Job>) -> Fallible<u64> {
        let number = self.next;
        self.next += 1;
        let (job, failure) = match made {
            Ok(job) => (job, None),
            Err(fault) => (Job::nothing(), Some(fault)),
        };
        let hash = call.hash(number);
        let mut words = Box::new([[hash, !hash, failure.is_some().into()], [0; 3]]);
        let into = words[1].as_mut_ptr();
        // SAFETY: the words are in a box, which the entry keeps until the call is done.
        let agreeing = unsafe { world.max(words[0].as_ptr(), into, 3) }?;
        self.entries.push_back(Entry { number, call, failure, words, job, stage: Stage::Agreeing(agreeing) });
        Ok(number)
    }

    /// Advances all collectives as far as possible without waiting.
    pub fn progress(&mut self, world: &World) -> Fallible<()> {
        let mut may_start = true;
        let mut entries = std::mem::take(&mut self.entries);
        let mut result = Ok(());
        entries.retain_mut(|entry| {
            if result.is_err() {
                return true;
            }
            match self.advance(world, entry, may_start) {
                Ok(None) => {
                    may_start &= matches!(entry.stage, Stage::Moving(_));
                    true
                }
                Ok(Some(outcome)) => {
                    self.keep(entry.number, outcome);
                    false
                }
                Err(fault) => {
                    result = Err(fault);
                    true
                }
            }
        });
        self.entries = entries;
        result
    }

    fn keep(&mut self, number: u64, outcome: Outcome) {
        if !self.dropped.remove(&number) {
            self.done.insert(number, outcome);
        } else if let Err(fault) = outcome {
            self.lost.get_or_insert(fault);
        }
    }

    /// Advances a collective, and returns its outcome if it is done.
    fn advance(&mut self, world: &World, entry: &mut Entry, may_start: bool) -> Fallible<Option<Outcome>> {
        if let Stage::Agreeing(agreeing) = &mut entry.stage {
            if !may_start || !agreeing.is_done()? {
                return Ok(None);
            }
            let [sent, [max, max_of_complement, failed]] = *entry.words;
            if max != sent[0] || max_of_complement != sent[1] || failed != 0 {
                self.has_failed = true;
                return Ok(Some(Err(disagreement(world, entry)?)));
            }
            self.bytes += entry.job.bytes();
            entry.stage = Stage::Moving(entry.job.start(world).map_err(|f| f.of(entry.call.name))?);
        }
        if let Stage::Moving(calls) = &mut entry.stage {
            while let Some(call) = calls.last_mut() {
                if !call.is_done()? {
                    return Ok(None);
                }
                calls.pop();
            }
        }
        let (outputs, input) = (std::mem::take(&mut entry.job.outputs), entry.job.input.take());
        // the input of a broadcast's root is its result
        Ok(Some(Ok(match (&entry.job.action, input) {
            (Action::Broadcast(root), Some(input)) if *root == world.rank => vec![input],
            _ => outputs,
        })))
    }

    /// Removes and returns the outcome of a collective, if it is done.
    pub fn take(&mut self, number: u64) -> Option<Outcome> {
        self.done.remove(&number)
    }

    pub fn is_done(&self, number: u64) -> bool {
        self.done.contains_key(&number)
    }

    /// Returns the number of collectives so far.
    pub fn count(&self) -> u64 {
        self.next
    }

    /// Returns whether data of a collective is on its way.
    pub fn is_moving(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.stage, Stage::Moving(_)))
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Drops the outcome of a collective whose request was dropped. The first error is kept for the end of the job.
    pub fn forget(&mut self, number: u64) {
        match self.done.remove(&number) {
            Some(Err(fault)) => {
                self.lost.get_or_insert(fault);
            }
            Some(Ok(_)) => {}
            None => {
                self.dropped.insert(number);
            }
        }
    }

    pub fn lost(&mut self) -> Fallible<()> {
        self.lost.take().map_or(Ok(()), Err)
    }
}

/// Collects the reports of what each rank has called, and makes the error that all ranks return.
fn disagreement(world: &World, entry: &Entry) -> Fallible<Fault> {
    let own = report(&entry.call, entry.failure.as_ref());
    let mut all = vec![];
    let bytes = world.size.saturating_mul(REPORT);
    let no_room = |_| Fault::new(ErrorKind::OutOfMemory, format!("no memory for {bytes} bytes"));
    all.try_reserve_exact(bytes).map_err(no_room)?;
    all.resize(bytes, 0u8);
    let (lengths, starts) = counts(&vec![REPORT; world.size])?;
    let lists = (&lengths[..], &starts[..]);
    // SAFETY: the lists and both buffers live until the call is done, which the loop below waits for; an error ends the
    // process, because no collective can follow it.
    let mut call = unsafe { world.all_gather((own.as_ptr(), all.as_mut_ptr()), lists, Kind::moved(DType::U8)) }?;
    let mut pause = Pause::new();
    while !call.is_done()? {
        pause.next(entry.call.name, false)?;
    }
    Ok(verdict(&entry.call, &all))
}

/// The pause between two polls of a call. At first there is none; then the rank yields to other threads; and once it
/// has waited long for the other ranks to call, it sleeps for 50 µs. Ranks that share a core thus leave it to the rank
/// that they wait for.
pub(crate) struct Pause {
    looks: u32,
    since: Instant,
}

impl Pause {
    pub fn new() -> Pause {
        Pause { looks: 0, since: Instant::now() }
    }

    pub fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// Pauses before the next poll. Data that is moving advances with each poll, so the rank does not sleep then.
    pub fn next(&mut self, name: &str, is_moving: bool) -> Fallible<()> {
        self.looks = self.looks.saturating_add(1);
        match self.looks {
            0..200 => std::hint::spin_loop(),
            1000.. if !is_moving => std::thread::sleep(Duration::from_micros(50)),
            _ => std::thread::yield_now(),
        }
        if self.looks.is_multiple_of(1000)
            && let Some(limit) = limit()
            && self.waited() > limit
        {
            let detail = format!("no answer of the other ranks for {} s (CUPRIC_MPI_TIMEOUT)", limit.as_secs());
            return Err(Fault::new(ErrorKind::Timeout, detail).of(name));
        }
        Ok(())
    }
}

/// Returns how long a collective may wait: `CUPRIC_MPI_TIMEOUT` in seconds, or `None` for no limit.
fn limit() -> Option<Duration> {
    let seconds: u64 = std::env::var("CUPRIC_MPI_TIMEOUT").ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
