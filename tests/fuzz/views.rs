//! Shapes, strides and views: chains of slices, permutations, broadcasts, reshapes, windows and diagonals of a small
//! array. An oracle maps each index through the chain in 128 bits. Shapes go up to the limit of `isize` and beyond, and
//! exactly there the library must return an error.

use super::source::Source;
use cupric::{Array, Device, Error, ErrorKind, Expr, SliceItem, arange};
use std::sync::OnceLock;

/// The device's memory limit. A larger result must be an error, and never be reached by copying everything.
const MEMORY: usize = 1 << 20;

fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| Device::cpu().with_memory_limit(MEMORY).expect("a CPU"))
}

fn stored(n: usize) -> Array {
    thread_local! { static ARRAYS: std::cell::RefCell<Vec<Option<Array>>> = const { std::cell::RefCell::new(vec![]) } }
    ARRAYS.with_borrow_mut(|all| {
        all.resize(all.len().max(n + 1), None);
        all[n]
            .get_or_insert_with(|| {
                arange(0, n as i32, 1, cupric::DType::I32).to_device(device()).expect("a small array")
            })
            .clone()
    })
}

/// One operation of a chain: maps an index of the result to an index of the operand.
enum Step {
    /// `operand[d]` is a start plus the sum of coefficient × index over (result axis, coefficient) pairs.
    Affine(Vec<(i128, Vec<(usize, i128)>)>),
    /// The element with the same position in C order, from one shape to the other.
    Reshape(Vec<i128>, Vec<i128>),
}

struct Oracle {
    shape: Vec<i128>,
    steps: Vec<Step>,
}

impl Oracle {
    /// The position in the stored array (in C order) of the element at an index of the result.
    fn resolve(&self, index: &[i128]) -> i128 {
        let mut index = index.to_vec();
        for step in self.steps.iter().rev() {
            index = match step {
                Step::Affine(axes) => axes
                    .iter()
                    .map(|(start, terms)| start + terms.iter().map(|(k, c)| index[*k] * c).sum::<i128>())
                    .collect(),
                Step::Reshape(from, to) => {
                    let mut flat = index.iter().zip(to).fold(0, |f, (i, n)| f * n + i);
                    let mut out = vec![0; from.len()];
                    for d in (0..from.len()).rev() {
                        out[d] = flat % from[d];
                        flat /= from[d];
                    }
                    out
                }
            };
        }
        index.iter().fold(0, |_, i| *i)
    }

    /// The number of elements. `None` if the product overflows 128 bits, which is beyond every limit.
    fn size(shape: &[i128]) -> Option<i128> {
        if shape.contains(&0) {
            return Some(0);
        }
        shape.iter().try_fold(1i128, |p, n| p.checked_mul(*n))
    }

    fn fits(shape: &[i128]) -> bool {
        shape.len() <= 64 && Oracle::size(shape).is_some_and(|s| s <= isize::MAX as i128)
    }

    fn affine(&self, shape: Vec<i128>, axes: Vec<(i128, Vec<(usize, i128)>)>) -> Option<(Vec<i128>, Step)> {
        assert_eq!(axes.len(), self.shape.len());
        Oracle::fits(&shape).then_some((shape, Step::Affine(axes)))
    }
}

/// The library's result, and the expected shape and step; `None` if an error is expected.
type Outcome = (Expr, Option<(Vec<i128>, Step)>);

/// A length: mostly small, sometimes near the limits of the integer types that hold sizes.
fn length(s: &mut Source) -> i128 {
    match s.below(12) {
        0..=8 => s.below(5) as i128,
        9 => 1 << s.below(64),
        10 => (1 << s.below(63)) - 1 + s.below(3) as i128,
        _ => i64::MAX as i128,
    }
}

fn bound(s: &mut Source) -> Option<isize> {
    match s.below(16) {
        0..=3 => None,
        4 => Some(isize::MAX),
        5 => Some(isize::MIN),
        6 => Some(1 << s.below(63)),
        7 => Some(-1 << s.below(63)),
        _ => Some(s.between(-6, 6)),
    }
}

fn slice(s: &mut Source, e: &Expr, o: &Oracle) -> Outcome {
    let ndim = o.shape.len();
    let count = s.below(ndim + 2);
    let mut items = vec![];
    for _ in 0..count {
        items.push(match s.below(8) {
            0 => SliceItem::NewAxis,
            1 => SliceItem::Ellipsis,
            2 => SliceItem::Index(bound(s).unwrap_or(0)),
            _ => {
                let step = if s.one_in(4) { bound(s).unwrap_or(1) } else { s.of(&[1, 1, 2, -1, 3, -2]) };
                SliceItem::Range { start: bound(s), end: bound(s), step }
            }
        });
    }
    let result = e.slice(&items);
    let used = items.iter().filter(|i| matches!(i, SliceItem::Index(_) | SliceItem::Range { .. })).count();
    if used > ndim || items.iter().filter(|i| matches!(i, SliceItem::Ellipsis)).count() > 1 {
        return (result, None);
    }
    let (mut shape, mut axes) = (vec![], vec![]);
    let whole = |count: usize, shape: &mut Vec<i128>, axes: &mut Vec<(i128, Vec<(usize, i128)>)>| {
        for _ in 0..count {
            axes.push((0, vec![(shape.len(), 1)]));
            shape.push(o.shape[axes.len() - 1]);
        }
    };
    for item in &items {
        let n = o.shape.get(axes.len()).copied().unwrap_or(0);
        match *item {
            SliceItem::NewAxis => shape.push(1),
            SliceItem::Ellipsis => whole(ndim - used, &mut shape, &mut axes),
            SliceItem::Index(i) => {
                let i = i as i128 + if i < 0 { n } else { 0 };
                if i < 0 || i >= n {
                    return (result, None);
                }
                axes.push((i, vec![]));
            }
            SliceItem::Range { start, end, step } => {
                let (step, up) = (step as i128, step > 0);
                if step == 0 {
                    return (result, None);
                }
                // as Python's slice.indices
                let (low, high) = if up { (0, n) } else { (-1, n - 1) };
                let place = |b: isize| (b as i128 + if b < 0 { n } else { 0 }).clamp(low, high);
                let first = start.map_or(if up { low } else { high }, place);
                let last = end.map_or(if up { high } else { low }, place);
                let len = if up { (last - first + step - 1) / step } else { (first - last - step - 1) / -step }.max(0);
                axes.push((first, vec![(shape.len(), step)]));
                shape.push(len);
            }
            other => panic!("{other:?} is not known here"),
        }
    }
    let rest = ndim - axes.len();
    whole(rest, &mut shape, &mut axes);
    (result, o.affine(shape, axes))
}

fn permute(s: &mut Source, e: &Expr, o: &Oracle) -> Outcome {
    let ndim = o.shape.len();
    let mut order: Vec<isize> = (0..ndim as isize).collect();
    for i in (1..ndim).rev() {
        order.swap(i, s.below(i + 1));
    }
    if ndim > 0 && s.one_in(12) {
        order[0] = bound(s).unwrap_or(0);
    }
    if s.one_in(3) {
        order.iter_mut().filter(|a| **a >= 0 && **a < ndim as isize).for_each(|a| *a -= ndim as isize);
    }
    let result = e.permute_dims(&order[..]);
    let places: Vec<i128> = order.iter().map(|a| *a as i128 + if *a < 0 { ndim as i128 } else { 0 }).collect();
    let each_once = (0..ndim as i128).all(|d| places.iter().filter(|p| **p == d).count() == 1);
    if !each_once {
        return (result, None);
    }
    let shape = places.iter().map(|p| o.shape[*p as usize]).collect();
    let axes =
        (0..ndim).map(|d| (0, vec![(places.iter().position(|p| *p == d as i128).expect("each once"), 1)])).collect();
    (result, o.affine(shape, axes))
}

fn broadcast(s: &mut Source, e: &Expr, o: &Oracle) -> Outcome {
    let lead = if s.one_in(40) { s.below(70) } else { s.below(3) };
    let mut to: Vec<i128> = (0..lead).map(|_| length(s)).collect();
    to.extend(o.shape.iter().map(|n| if *n == 1 || s.one_in(16) { length(s) } else { *n }));
    if s.one_in(16) {
        to.pop();
    }
    if to.iter().any(|n| *n > isize::MAX as i128) {
        to.iter_mut().for_each(|n| *n = (*n).min(isize::MAX as i128));
    }
    let given: Vec<isize> = to.iter().map(|n| *n as isize).collect();
    let result = e.broadcast_to(&given[..]);
    if to.len() < o.shape.len() {
        return (result, None);
    }
    let lead = to.len() - o.shape.len();
    let mut axes = vec![];
    for (d, n) in o.shape.iter().enumerate() {
        match (*n, to[d + lead]) {
            (1, _) => axes.push((0, vec![])),
            (n, m) if n == m => axes.push((0, vec![(d + lead, 1)])),
            _ => return (result, None),
        }
    }
    (result, o.affine(to, axes))
}

fn reshape(s: &mut Source, e: &Expr, o: &Oracle) -> Outcome {
    let size = Oracle::size(&o.shape).expect("it fits");
    let mut to = vec![];
    let mut left = size;
    for _ in 0..s.below(6) {
        // a divisor of the remaining size; rarely any length
        let n = s.of(&[1, 2, 3, 4, 5, 6, 1 << 10, 1 << 20]);
        if left > 0 && left % n == 0 {
            to.push(n);
            left /= n;
        } else if s.one_in(16) {
            to.push(length(s).min(isize::MAX as i128));
        }
    }
    if s.below(8) > 0 {
        to.insert(s.below(to.len() + 1), left);
    }
    let mut given: Vec<isize> = to.iter().map(|n| *n as isize).collect();
    let unknown = !given.is_empty() && s.one_in(4);
    if unknown {
        given[0] = -1;
    }
    let result = e.reshape(&given[..]);
    if unknown {
        // the only length of axis 0 that fits, if there is one
        let known = Oracle::size(&to[1..]);
        match known {
            Some(k) if k > 0 && k <= isize::MAX as i128 && size % k == 0 => to[0] = size / k,
            _ => return (result, None),
        }
    }
    let fits = Oracle::size(&to) == Some(size) && Oracle::fits(&to);
    (result, fits.then(|| (to.clone(), Step::Reshape(o.shape.clone(), to))))
}

fn flip(s: &mut Source, e: &Expr, o: &Oracle) -> Outcome {
    let ndim = o.shape.len();
    let chosen: Vec<bool> = (0..ndim).map(|_| s.one_in(2)).collect();
    let axes: Vec<isize> = (0..ndim).filter(|d| chosen[*d]).map(|d| d as isize).collect();
    let map = |d: usize| if chosen[d] { (o.shape[d] - 1, vec![(d, -1)]) } else { (0, vec![(d, 1)]) };
    (e.flip(&axes[..]), o.affine(o.shape.clone(), (0..ndim).map(map).collect()))
}

fn diagonal(s: &mut Source, e: &Expr, o: &Oracle) -> Outcome {
    let offset = bound(s).unwrap_or(0);
    let result = e.diagonal(offset);
    let Some(lead) = o.shape.len().checked_sub(2) else { return (result, None) };
    let (row, column) = (0.max(-(offset as i128)), 0.max(offset as i128));
    let n = (o.shape[lead] - row).min(o.shape[lead + 1] - column).max(0);
    let mut shape = o.shape[..lead].to_vec();
    shape.push(n);
    let mut axes: Vec<_> = (0..lead).map(|d| (0, vec![(d, 1)])).collect();
    axes.push((row, vec![(lead, 1)]));
    axes.push((column, vec![(lead, 1)]));
    (result, o.affine(shape, axes))
}

fn windows(s: &mut Source, e: &Expr, o: &Oracle) -> Outcome {
    let ndim = o.shape.len();
    let axis = if s.one_in(12) { bound(s).unwrap_or(0) } else { s.below(ndim + 1) as isize };
    let place = axis as i128 + if axis < 0 { ndim as i128 } else { 0 };
    let window = if s.one_in(3) {
        length(s)
    } else {
        // a window that fits, or is one longer than the axis
        let n = usize::try_from(place).ok().and_then(|d| o.shape.get(d)).copied().unwrap_or(3);
        s.of(&[1, 2, 3, n / 2, n, n + 1])
    };
    let result = e.sliding_windows(window as usize, axis);
    if place < 0 || place >= ndim as i128 {
        return (result, None);
    }
    let d = place as usize;
    if window < 1 || window > o.shape[d] || window >= isize::MAX as i128 {
        return (result, None);
    }
    let mut shape = o.shape.clone();
    shape[d] -= window - 1;
    shape.push(window);
    let axes = (0..ndim).map(|j| (0, if j == d { vec![(j, 1), (ndim, 1)] } else { vec![(j, 1)] })).collect();
    (result, o.affine(shape, axes))
}

fn axes_of_length_1(s: &mut Source, e: &Expr, o: &Oracle) -> Outcome {
    let ndim = o.shape.len();
    if s.one_in(2) {
        let axis = if s.one_in(8) { bound(s).unwrap_or(0) } else { s.between(-(ndim as isize) - 1, ndim as isize) };
        let result = e.expand_dims(axis);
        let place = axis as i128 + if axis < 0 { ndim as i128 + 1 } else { 0 };
        if place < 0 || place > ndim as i128 {
            return (result, None);
        }
        let mut shape = o.shape.clone();
        shape.insert(place as usize, 1);
        let axes = (0..ndim).map(|d| (0, vec![(d + (d as i128 >= place) as usize, 1)])).collect();
        return (result, o.affine(shape, axes));
    }
    let left: Vec<usize> = (0..ndim).filter(|d| o.shape[*d] != 1).collect();
    let shape = left.iter().map(|d| o.shape[*d]).collect();
    let axes =
        (0..ndim).map(|d| (0, left.iter().position(|l| *l == d).map(|k| (k, 1)).into_iter().collect())).collect();
    (e.squeeze(..), o.affine(shape, axes))
}

/// The element at an index.
fn element(e: &Expr, index: &[i128]) -> cupric::Result<i32> {
    let items: Vec<SliceItem> = index.iter().map(|i| SliceItem::Index(*i as isize)).collect();
    e.slice(items).item::<i32>()
}

pub fn run(bytes: &[u8]) {
    let s = &mut Source::new(bytes);
    let shape: Vec<usize> = (0..s.below(5)).map(|_| s.below(5)).collect();
    let n: usize = shape.iter().product();
    let base = stored(n);
    let mut oracle = Oracle { shape: vec![n as i128], steps: vec![] };
    let mut e: Expr = (*base).clone();
    let to: Vec<i128> = shape.iter().map(|n| *n as i128).collect();
    oracle.steps.push(Step::Reshape(vec![n as i128], to.clone()));
    oracle.shape = to;
    e = e.reshape(&shape[..]);
    // the chain starts from a stored array, or from an unevaluated expression
    let lazy = s.one_in(3);
    if lazy {
        e = e + 0;
    }
    let mut copied = lazy;
    for _ in 0..10 {
        if s.is_empty() {
            break;
        }
        let kind = s.below(16);
        let (next, want) = match kind {
            0..=4 => slice(s, &e, &oracle),
            5 | 6 => permute(s, &e, &oracle),
            7 | 8 => broadcast(s, &e, &oracle),
            9 | 10 => reshape(s, &e, &oracle),
            11 => flip(s, &e, &oracle),
            12 => diagonal(s, &e, &oracle),
            13 => windows(s, &e, &oracle),
            _ => axes_of_length_1(s, &e, &oracle),
        };
        match (next.shape(), want) {
            (Ok(have), Some((shape, step))) => {
                assert!(have.iter().map(|n| *n as i128).eq(shape.iter().copied()), "{have:?} should be {shape:?}");
                assert_eq!(next.size().expect("a shape") as i128, Oracle::size(&shape).expect("it fits"));
                copied |= matches!(step, Step::Reshape(..));
                oracle.shape = shape;
                oracle.steps.push(step);
                e = next;
            }
            (Err(e), None) => assert_ne!(e.kind(), ErrorKind::Internal, "{e}"),
            (Ok(have), None) => panic!("step {kind}: {have:?} should be refused, from {:?}", oracle.shape),
            (Err(e), Some((shape, _))) => panic!("step {kind}: should be {shape:?}, from {:?}, but {e}", oracle.shape),
        }
    }
    check(s, &e, &oracle, copied);
}

fn too_much(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::OutOfMemory | ErrorKind::LimitExceeded)
}

/// Compares all elements if there are few, otherwise some that the bytes choose.
fn check(s: &mut Source, e: &Expr, oracle: &Oracle, copied: bool) {
    let size = Oracle::size(&oracle.shape).expect("it fits");
    if size <= 4096 {
        let have = match e.to_vec::<i32>() {
            Ok(v) => v,
            // a reshape that had to copy an intermediate result may have run out of memory
            Err(x) if copied && too_much(&x) => return,
            Err(x) => panic!("{x}"),
        };
        assert_eq!(have.len() as i128, size);
        let mut index = vec![0; oracle.shape.len()];
        for (k, x) in have.iter().enumerate() {
            let mut flat = k as i128;
            for d in (0..index.len()).rev() {
                index[d] = flat % oracle.shape[d];
                flat /= oracle.shape[d];
            }
            assert_eq!(*x as i128, oracle.resolve(&index), "at {index:?} of {:?}", oracle.shape);
        }
        return;
    }
    for _ in 0..4 {
        let index: Vec<i128> = oracle
            .shape
            .iter()
            .map(|n| match s.below(4) {
                0 => 0,
                1 => n - 1,
                _ => s.word() as i128 % n,
            })
            .collect();
        match element(e, &index) {
            Ok(x) => assert_eq!(x as i128, oracle.resolve(&index), "at {index:?} of {:?}", oracle.shape),
            Err(x) => assert!(copied && too_much(&x), "{x}"),
        }
    }
}
