//! Work that is done twice: what is evaluated again, and writes that copy because their memory is shared.
//!
//! A node of an expression is known by its place in memory, and a weak handle on it keeps that place from being given to another
//! node. So the search needs no mark in nodes, and an evaluation on a device where it is off pays one relaxed load.

use super::words::{Word, asks, show};
use crate::expr::{Expr, Node, NodeOp, Role};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

type Loc = &'static Location<'static>;

/// What [`Device::find_repeats`](crate::Device::find_repeats) looks for.
///
/// ```
/// use cupric::Repeat;
/// assert_eq!([Repeat::Again, Repeat::Copy].map(|r| r.to_string()), ["again", "copy"]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Repeat {
    /// An operation that one evaluation has computed, and a later one computes again.
    Again,
    /// A write that took new memory, because another array or an expression held the old one.
    Copy,
}

impl Repeat {
    fn word(self) -> Word {
        match self {
            Repeat::Again => Word::Again,
            Repeat::Copy => Word::Copy,
        }
    }
}

/// `again` or `copy`, as in `CUPRIC_DEBUG`.
impl fmt::Display for Repeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word().text())
    }
}

/// A row of [`RepeatedWork`]: what was found of one operation on one line.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RepeatedRow {
    /// What was found.
    pub kind: Repeat,
    /// The operation that was computed again, or the write.
    pub operation: &'static str,
    /// Your line of that operation.
    pub line: &'static Location<'static>,
    /// How often it was computed again, or took new memory.
    pub count: u64,
}

/// The work that a device has done twice: see [`Device::find_repeats`](crate::Device::find_repeats). It prints as a table.
///
/// ```
/// use cupric::{Device, Repeat, array};
/// let device = Device::cpu().with_memory_limit(1 << 20)?;
/// device.find_repeats([Repeat::Again]);
/// let y = array![1., 2.].to_device(&device)?.exp();
/// y.eval()?;
/// y.eval()?;
/// let found = device.repeated_work();
/// assert!(found.to_string().contains("again"), "{found}");
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RepeatedWork {
    rows: Vec<RepeatedRow>,
}

impl RepeatedWork {
    /// The rows of the table, those with the highest counts first.
    ///
    /// ```
    /// assert_eq!(cupric::Device::cpu().repeated_work().rows().count(), 0);
    /// ```
    pub fn rows(&self) -> impl Iterator<Item = &RepeatedRow> {
        self.rows.iter()
    }
}

impl fmt::Display for RepeatedWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = vec![["kind", "operation", "count", "line"].map(String::from)];
        table.extend(self.rows.iter().map(|row| {
            let line = format!("{}:{}", row.line.file(), row.line.line());
            [row.kind.to_string(), row.operation.to_string(), row.count.to_string(), line]
        }));
        let widths: [usize; 3] =
            std::array::from_fn(|n| table.iter().map(|cells| cells[n].chars().count()).max().unwrap_or(0));
        for [kind, operation, count, line] in &table {
            writeln!(f, "{kind:0$}  {operation:1$}  {count:>2$}  {line}", widths[0], widths[1], widths[2])?;
        }
        Ok(())
    }
}

/// What is looked for, a bit each.
type Wanted = u8;

fn bit(kind: Repeat) -> Wanted {
    1 << kind as u8
}

/// What is known of a device.
#[derive(Default)]
struct Found {
    /// What the device was asked to look for; none where `CUPRIC_DEBUG` says that.
    wanted: Option<Wanted>,
    /// The nodes that were computed, by their place in memory. The weak handle keeps the place from being used by another node.
    seen: HashMap<usize, Weak<Node>>,
    /// How many nodes there may be before those that have ended are forgotten.
    most: usize,
    counts: HashMap<(Repeat, &'static str, Loc), u64>,
}

/// The least number of nodes at which those that have ended are looked for: some 100 KiB of handles. A judgement.
const FEW: usize = 1 << 10;

/// What was found, by the numbers of the devices.
static FOUND: LazyLock<Mutex<HashMap<u32, Found>>> = LazyLock::new(Mutex::default);

/// Whether anything is looked for on any device: one of the three below.
static STATE: AtomicU8 = AtomicU8::new(UNREAD);
const UNREAD: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;

fn found() -> MutexGuard<'static, HashMap<u32, Found>> {
    // no step leaves the map half changed
    FOUND.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `CUPRIC_DEBUG` asks of every device.
fn of_all() -> Wanted {
    [Repeat::Again, Repeat::Copy].into_iter().filter(|kind| asks(kind.word())).map(bit).sum()
}

/// Whether anything is looked for.
#[inline]
fn is_on() -> bool {
    match STATE.load(Relaxed) {
        UNREAD => first(),
        state => state == ON,
    }
}

#[cold]
fn first() -> bool {
    let state = if of_all() == 0 { OFF } else { ON };
    // a device may have been asked meanwhile
    let _ = STATE.compare_exchange(UNREAD, state, Relaxed, Relaxed);
    STATE.load(Relaxed) == ON
}

impl Found {
    fn wants(&self, kind: Repeat) -> bool {
        self.wanted.unwrap_or_else(of_all) & bit(kind) != 0
    }

    /// Counts what was found once more, and returns how often that was.
    fn count(&mut self, kind: Repeat, operation: &'static str, line: Loc) -> u64 {
        let count = self.counts.entry((kind, operation, line)).or_default();
        *count += 1;
        *count
    }

    /// Remembers that a node was computed, and says whether it had been before.
    fn computed(&mut self, node: &Arc<Node>) -> bool {
        if self.seen.len() >= self.most {
            self.seen.retain(|_, node| node.strong_count() > 0);
            self.most = (2 * self.seen.len()).max(FEW);
        }
        self.seen.insert(Arc::as_ptr(node) as usize, Arc::downgrade(node)).is_some()
    }
}

/// Has a device look for these from now on, and forget what it has found.
pub(crate) fn set(device: u32, kinds: impl IntoIterator<Item = Repeat>) {
    let wanted = kinds.into_iter().fold(0, |bits, kind| bits | bit(kind));
    found().insert(device, Found { wanted: Some(wanted), ..Found::default() });
    STATE.store(ON, Relaxed);
}

/// What was found on a device.
pub(crate) fn repeated_work(device: u32) -> RepeatedWork {
    let mut rows: Vec<RepeatedRow> = match found().get(&device) {
        Some(found) => {
            let row = |((kind, operation, line), count): (&(Repeat, &'static str, Loc), &u64)| RepeatedRow {
                kind: *kind,
                operation,
                line,
                count: *count,
            };
            found.counts.iter().map(row).collect()
        }
        None => vec![],
    };
    let place = |row: &RepeatedRow| (row.line.file(), row.line.line(), row.line.column(), row.kind, row.operation);
    rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| place(a).cmp(&place(b))));
    RepeatedWork { rows }
}

/// Whether a line is worth being logged that was found so often: the first time, and at each power of ten.
fn is_told(count: u64) -> bool {
    count.checked_ilog10().is_some_and(|digits| count == 10u64.pow(digits))
}

/// Notes that a write at `at` took new memory because its own was shared.
#[inline]
pub(crate) fn copied(device: u32, operation: &'static str, at: Loc) {
    if is_on() {
        note_copied(device, operation, at);
    }
}

#[cold]
fn note_copied(device: u32, operation: &'static str, at: Loc) {
    let count = {
        let mut found = found();
        let found = found.entry(device).or_default();
        if !found.wants(Repeat::Copy) {
            return;
        }
        found.count(Repeat::Copy, operation, at)
    };
    if is_told(count) {
        let text = format!(
            "{operation} at {at} took new memory, because another array or an expression holds the old one ({count} so far)"
        );
        show(Word::Copy, &text);
    }
}

/// Notes that expressions were evaluated together, by the call at `at`.
#[inline]
pub(crate) fn evaluated(device: u32, roots: &[&Expr], at: Loc) {
    if is_on() {
        note_evaluated(device, roots, at);
    }
}

#[cold]
fn note_evaluated(device: u32, roots: &[&Expr], at: Loc) {
    let finds: Vec<(&'static str, Loc, u64)> = {
        let mut found = found();
        let found = found.entry(device).or_default();
        if !found.wants(Repeat::Again) {
            return;
        }
        let repeated = repeated(roots, |node| found.computed(node));
        repeated.into_iter().map(|(name, line)| (name, line, found.count(Repeat::Again, name, line))).collect()
    };
    // the logger is the caller's code, which may evaluate something itself: the lock is released
    for (name, line, count) in finds.into_iter().filter(|(.., count)| is_told(*count)) {
        show(Word::Again, &format!("{name} at {line} is computed again by {at} ({count} so far)"));
    }
}

/// The operations below expressions that were computed before, with their lines; but not those that were computed again only
/// because such an operation needs them. `computed` is asked once for each operation whether it was computed before.
fn repeated(roots: &[&Expr], mut computed: impl FnMut(&Arc<Node>) -> bool) -> Vec<(&'static str, Loc)> {
    let root_nodes: HashSet<*const Node> = roots.iter().map(|root| Arc::as_ptr(&root.0)).collect();
    // the nodes that are needed only for what was computed before, or for that too
    let mut below: HashSet<*const Node> = HashSet::new();
    let mut repeated = vec![];
    for Expr(node) in readers_first(roots) {
        let place = Arc::as_ptr(node);
        let was_computed = is_work(node, root_nodes.contains(&place)) && computed(node);
        if below.contains(&place) || was_computed {
            if !below.contains(&place) {
                let name = if let NodeOp::Reduce(fold, _) = &node.op { fold.method } else { node.op.name() };
                repeated.push((name, node.location));
            }
            below.extend(node.args.iter().map(|operand| Arc::as_ptr(&operand.0)));
        }
    }
    repeated
}

/// Whether to compute a node takes work that the caller could save by keeping an array: numbers, views and what is in memory
/// already take none, and ranges only where they are stored.
fn is_work(node: &Node, is_root: bool) -> bool {
    match node.op.role() {
        Role::Memory | Role::Constant | Role::View => false,
        Role::Generator => is_root,
        Role::Elementwise | Role::Gather | Role::Reduction | Role::Scan | Role::Product | Role::Whole => true,
    }
}

/// The nodes below some expressions, each once and before its operands. There is no recursion, because chains of a million nodes
/// are allowed.
fn readers_first<'a>(roots: &[&'a Expr]) -> Vec<&'a Expr> {
    let (mut nodes, mut seen) = (vec![], HashSet::new());
    // a node is looked at twice: when its operands are put on the stack, and when they are done
    let mut stack: Vec<(&Expr, bool)> = roots.iter().map(|root| (*root, false)).collect();
    while let Some((expr, operands_are_done)) = stack.pop() {
        if operands_are_done {
            nodes.push(expr);
        } else if seen.insert(Arc::as_ptr(&expr.0)) {
            stack.push((expr, true));
            stack.extend(expr.0.args.iter().map(|operand| (operand, false)));
        }
    }
    nodes.reverse();
    nodes
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(debug_repeats: a_line_is_told_ever_more_seldom, nodes_that_have_ended_are_forgotten);

    fn a_line_is_told_ever_more_seldom() {
        let told: Vec<u64> = (0..=1000).filter(|count| is_told(*count)).collect();
        assert_eq!(told, [1, 10, 100, 1000]);
    }

    fn nodes_that_have_ended_are_forgotten() {
        let mut found = Found::default();
        let x = crate::array![1., 2.];
        let kept = x.exp();
        assert!(!found.computed(&kept.0));
        for _ in 0..10 * FEW {
            assert!(!found.computed(&x.exp().0));
        }
        assert!(found.seen.len() <= FEW, "{}", found.seen.len());
        assert!(found.computed(&kept.0));
    }
}
