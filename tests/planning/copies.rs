//! Copies, gathers and transfers on the CPU, compared with plain loops: every element size, lengths near those of
//! squares and tiles, unaligned starts, results written past the caches, and several numbers of threads. All bits must
//! be equal, including those of NaNs.

use crate::kit::*;
use cupric::*;

/// Lengths near the sides of the squares that a copy takes at once, and near a cache line.
const EDGES: [usize; 21] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 127, 129];

/// Random bits. Every seventh element has an exponent of ones: an infinity or a NaN with a payload.
fn elements<T: Element>(n: usize, seed: u64) -> Vec<T> {
    let (mut dice, size) = (Dice::from(seed), size_of::<T>());
    let bytes: Vec<u8> = (0..n)
        .flat_map(|i| {
            let word = dice.next() | if i % 7 == 0 { 0x7ff0_0000_7f80_7c00 } else { 0 };
            word.to_le_bytes().into_iter().take(size)
        })
        .collect();
    T::from_bytes(&bytes).unwrap()
}

/// Runs `f` with a pool of `n` threads.
fn with_threads(n: usize, f: impl FnOnce() + Send) {
    rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(f)
}

/// A stored array and a view of it, described by its first element and each axis's length and stride.
struct View<T> {
    stored: Vec<T>,
    expr: Expr,
    first: isize,
    axes: Vec<(usize, isize)>,
}

impl<T: Element> View<T> {
    fn new(shape: &[usize], seed: u64) -> View<T> {
        let stored = elements::<T>(shape.iter().product(), seed);
        let expr = Array::from_slice(&stored, shape).unwrap().into();
        let mut axes = vec![];
        let mut step = 1;
        for n in shape.iter().rev() {
            axes.insert(0, (*n, step));
            step *= *n as isize;
        }
        View { stored, expr, first: 0, axes }
    }

    fn permuted(mut self, order: &[usize]) -> View<T> {
        self.axes = order.iter().map(|a| self.axes[*a]).collect();
        self.expr = self.expr.permute_dims(order.iter().map(|a| *a as isize).collect::<Vec<_>>());
        self
    }

    /// Takes every `by`-th element of an axis from element `from` on; or backwards, from `from` before the last.
    fn stepped(mut self, axis: usize, from: usize, by: isize) -> View<T> {
        let (n, step) = self.axes[axis];
        let left = n.saturating_sub(from);
        let start = if by > 0 { from.min(n) as isize } else { left as isize - 1 };
        self.first += if left == 0 { 0 } else { start * step };
        self.axes[axis] = (left.div_ceil(by.unsigned_abs()), step * by);
        let mut items = vec![SliceItem::Range { start: None, end: None, step: 1 }; self.axes.len()];
        items[axis] = match by > 0 {
            true => SliceItem::Range { start: Some(start), end: None, step: by },
            false if left == 0 => SliceItem::Range { start: Some(0), end: Some(0), step: 1 },
            false => SliceItem::Range { start: Some(start), end: None, step: by },
        };
        self.expr = self.expr.slice(&items);
        self
    }

    /// Repeats the view along a new axis.
    fn repeated(mut self, axis: usize, n: usize) -> View<T> {
        self.axes.insert(axis, (n, 0));
        let shape: Vec<usize> = self.axes.iter().map(|a| a.0).collect();
        self.expr = self.expr.expand_dims(axis as isize).broadcast_to(shape);
        self
    }

    /// The elements of the view, read by a plain loop over the axes.
    fn plain(&self) -> Vec<T> {
        fn walk<T: Copy>(x: &[T], first: isize, axes: &[(usize, isize)], to: &mut Vec<T>) {
            match axes {
                [] => to.push(x[first as usize]),
                [(n, step)] => to.extend((0..*n as isize).map(|i| x[(first + i * step) as usize])),
                [(n, step), rest @ ..] => (0..*n as isize).for_each(|i| walk(x, first + i * step, rest, to)),
            }
        }
        let mut to = Vec::with_capacity(self.axes.iter().map(|a| a.0).product());
        if self.axes.iter().all(|a| a.0 > 0) {
            walk(&self.stored, self.first, &self.axes, &mut to);
        }
        to
    }

    /// Compares a copy to the host, one on the device, and one into a target that starts at element `skip`.
    #[track_caller]
    fn check(&self, skip: usize) {
        let want = self.plain();
        let what = format!("{} {:?} from {} to {skip}", T::DTYPE, self.axes, self.first);
        bits_are(&self.expr, &want, &what);
        let line = self.expr.reshape([want.len()]);
        bits_are(&line, &want, &what);
        let other = elements::<T>(skip + want.len() + 3, 99);
        let mut target = Array::from_slice(&other, [other.len()]).unwrap();
        target.slice_mut(s![skip..skip + want.len()]).assign(&line).unwrap();
        let joined = [&other[..skip], &want, &other[skip + want.len()..]].concat();
        bits_are(&target, &joined, &what);
    }
}

/// Asserts that the elements of an expression have these bits.
#[track_caller]
fn bits_are<T: Element>(e: &Expr, want: &[T], what: &str) {
    let got = e.to_vec::<T>().unwrap();
    assert_eq!(got.len(), want.len(), "{what}");
    if T::bytes(&got) != T::bytes(want) {
        let differs = |i: &usize| T::bytes(&got[*i..*i + 1]) != T::bytes(&want[*i..*i + 1]);
        let i = (0..got.len()).find(differs).unwrap();
        panic!("{what}: element {i} is {:?}, not {:?}", got[i], want[i]);
    }
}

/// Runs the block for an element type of each size.
macro_rules! for_each_size {
    ($t:ident => $body:block) => {{
        {
            type $t = u8;
            $body
        }
        {
            type $t = f16;
            $body
        }
        {
            type $t = f32;
            $body
        }
        {
            type $t = f64;
            $body
        }
    }};
}

#[test]
fn transposed_copies_of_all_edges() {
    for_each_size!(T => {
        for (k, rows) in EDGES.into_iter().enumerate() {
            for columns in EDGES {
                View::<T>::new(&[rows, columns], k as u64).permuted(&[1, 0]).check(k % 5);
            }
        }
        for n in [511, 512, 513] {
            for m in [2, 3, 4, 33, 255, 256, 257, n] {
                View::<T>::new(&[n, m], 7).permuted(&[1, 0]).check(1);
                View::<T>::new(&[m, n], 8).permuted(&[1, 0]).check(3);
            }
        }
    });
}

#[test]
fn copies_of_random_views() {
    let mut dice = Dice::from(seed_of_turn(20));
    for round in 0..scaled(1500) {
        let axes = 1 + dice.below(4);
        let longest = [2000, 120, 33, 12][axes - 1];
        let shape: Vec<usize> = (0..axes)
            .map(|_| {
                let most = *dice.of(&[5, longest, longest]);
                1 + dice.below(most)
            })
            .collect();
        let mut order: Vec<usize> = (0..axes).collect();
        for i in 1..axes {
            order.swap(i, dice.below(i + 1));
        }
        let steps: Vec<(usize, isize)> =
            (0..axes).map(|_| (dice.below(4), *dice.of(&[1, 1, 1, 2, 3, -1, -1, -2]))).collect();
        let (repeat, at, n, skip) = (dice.below(4) == 0, dice.below(axes + 1), dice.below(20), dice.below(9));
        for_each_size!(T => {
            let mut view = View::<T>::new(&shape, round as u64).permuted(&order);
            for (axis, (from, by)) in steps.iter().enumerate() {
                view = view.stepped(axis, *from, *by);
            }
            if repeat {
                view = view.repeated(at, n);
            }
            view.check(skip);
        });
    }
}

#[test]
fn large_copies_by_any_number_of_threads() {
    // results beyond 32 MiB are written with streaming stores, past the caches
    for_each_size!(T => {
        let n = 34 << 20;
        let side = (n / size_of::<T>()).isqrt();
        // a run tests half of the pairs of element size and number of threads
        let taken = |k: &usize| in_turn(k + size_of::<T>().ilog2() as usize, 2);
        for (k, threads) in [1, 2, 3, 8].into_iter().enumerate().filter(|(k, _)| taken(k)) {
            with_threads(threads, || {
                let new = || View::<T>::new(&[side + k, side + 3 - k], 5);
                match k {
                    0 => new().permuted(&[1, 0]).check(k),
                    1 => new().stepped(1, k, -1).check(k),
                    2 => new().stepped(0, k, -1).permuted(&[1, 0]).check(k),
                    _ => View::<T>::new(&[side, 7, side / 6], 6).permuted(&[1, 2, 0]).check(k),
                }
                View::<T>::new(&[side - k, 1000], 6).stepped(1, 1, 1).check(k);
                View::<T>::new(&[97, 101, 65 + k], 7).permuted(&[0, 2, 1]).check(k);
            });
        }
    });
}

#[test]
fn rows_of_many_lengths_are_repeated_and_filled() {
    for_each_size!(T => {
        let number = elements::<T>(1, 3);
        for n in EDGES.into_iter().chain([511, 512, 513, 4097, 100_003]) {
            View::<T>::new(&[n], 4).repeated(0, 9).check(n % 6);
            View::<T>::new(&[n], 4).repeated(1, 9).check(n % 6);
            let scalar = Array::from_slice(&number, [0usize; 0]).unwrap();
            bits_are(&scalar.broadcast_to([n]), &vec![number[0]; n], "repeated number");
            let three = full([1], 3, T::DTYPE).to_vec::<T>().unwrap();
            bits_are(&full([n], 3, T::DTYPE), &vec![three[0]; n], "filled");
        }
    });
    let n = (33 << 20) + 5;
    assert!(full([n], 9, DType::U8).to_vec::<u8>().unwrap().iter().all(|v| *v == 9));
}

#[test]
fn transfers_of_sizes_around_every_threshold() {
    let k = 1 << 10;
    let sizes = [64, 4 * k, 64 * k, 512 * k, k * k, 2 * k * k, 4 * k * k, 32 * k * k];
    for threads in [1, 2, 3, 8] {
        with_threads(threads, || {
            for_each_size!(T => {
                let all = elements::<T>(sizes[7] / size_of::<T>() + 9, 1);
                for size in sizes {
                    // the largest size is tried only once
                    for more in if size < sizes[7] { &[-1isize, 0, 1, 7][..] } else { &[0] } {
                        let n = (size / size_of::<T>()).strict_add_signed(*more);
                        let x = Array::from_slice(&all[..n], [n]).unwrap();
                        bits_are(&x, &all[..n], "from a slice");
                        let skip = n.min(3);
                        bits_are(&x.slice(s![skip..]), &all[skip..n], "from the third on");
                    }
                }
                let empty = Array::from_slice(&all[..0], [0]).unwrap();
                assert!(empty.to_vec::<T>().unwrap().is_empty());
            });
            let truths: Vec<bool> = (0..3 << 20).map(|i| i % 3 == 0).collect();
            assert!(Array::from_slice(&truths, [truths.len()]).unwrap().to_vec::<bool>().unwrap() == truths);
        });
    }
}

/// What a plain loop takes along an axis of a C-ordered array.
fn plain_take<T: Copy>(x: &[T], shape: &[usize], axis: usize, positions: &[usize]) -> Vec<T> {
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let row = |o: usize, k: usize| &x[(o * shape[axis] + k) * inner..][..inner];
    (0..outer).flat_map(|o| positions.iter().flat_map(move |k| row(o, *k))).copied().collect()
}

/// Calls `take` with indices of type `I`, which represents all of `list`, in each mode.
fn takes<T: Element, I: Element>(x: &[T], shape: &[usize], axis: usize, list: &[i64], index: impl Fn(i64) -> I) {
    let (e, len) = (Array::from_slice(x, shape).unwrap(), shape[axis] as i64);
    let i: Expr = Array::from_vec(list.iter().map(|k| index(*k)).collect::<Vec<I>>(), [list.len()]).unwrap().into();
    let what = format!("{} {shape:?} along {axis} by {} of {}", T::DTYPE, list.len(), I::DTYPE);
    let at = axis as isize;
    let want =
        |f: &dyn Fn(i64) -> i64| plain_take(x, shape, axis, &list.iter().map(|k| f(*k) as usize).collect::<Vec<_>>());
    let from_end = want(&|k| if k < 0 { k + len } else { k });
    bits_are(&e.take(&i, at), &from_end, &what);
    bits_are(&e.take(Wrap(&i), at), &want(&|k| k.rem_euclid(len)), &what);
    bits_are(&e.take(Clip(&i), at), &want(&|k| k.clamp(0, len - 1)), &what);
    // the same indices as strided, reversed or broadcast views, and with another shape
    let n = list.len();
    let twice = stack([&i, &i], 1).eval().unwrap();
    bits_are(&e.take(twice.slice(s![.., 1]), at), &from_end, &what);
    let back = i.flip(0).eval().unwrap();
    bits_are(&e.take(back.flip(0), at), &from_end, &what);
    let square = e.take(i.expand_dims(0).broadcast_to([3, n]), at);
    let thrice = [list, list, list].concat();
    let positions: Vec<usize> = thrice.iter().map(|k| if *k < 0 { k + len } else { *k } as usize).collect();
    bits_are(&square, &plain_take(x, shape, axis, &positions), &what);
    // from a table that is a view, and into an unaligned target
    let view = e.flip(..).eval().unwrap().flip(..);
    bits_are(&view.take(&i, at), &from_end, &what);
    let mut target = Array::from_vec(vec![T::default(); from_end.len() + 3], [from_end.len() + 3]).unwrap();
    target.slice_mut(s![3..]).assign(e.take(&i, at).reshape([from_end.len()])).unwrap();
    bits_are(&target.slice(s![3..]), &from_end, &what);
}

#[test]
fn takes_along_every_axis_by_every_type_of_index() {
    let shapes: [&[usize]; 9] =
        [&[7], &[1000], &[9, 3], &[65, 16], &[33, 300], &[3, 5], &[4, 9, 17], &[3, 2, 5, 8], &[2, 100, 1]];
    let mut dice = Dice::from(8);
    for shape in shapes {
        for axis in 0..shape.len() {
            let len = shape[axis] as i64;
            for n in [1, 2, 15, 16, 17, 33, 700] {
                let list: Vec<i64> = (0..n).map(|_| dice.next() as i64 % len).collect();
                let positive: Vec<i64> = list.iter().map(|k| k.abs().min(255)).collect();
                for_each_size!(T => {
                    let x = elements::<T>(shape.iter().product(), 2);
                    takes(&x, shape, axis, &list, |k| k as i32);
                    takes(&x, shape, axis, &list, |k| k);
                    takes(&x, shape, axis, &positive, |k| k as u32);
                    takes(&x, shape, axis, &positive, |k| k as u64);
                    takes(&x, shape, axis, &positive, |k| k as u8);
                });
            }
        }
    }
}

#[test]
fn large_takes_by_any_number_of_threads() {
    let mut dice = Dice::from(9);
    for (threads, shape, n) in [
        (1, &[3001, 700][..], 12_700),
        (2, &[50_000, 9], 300_001),
        (3, &[1 << 20], 500_009),
        (8, &[40, 1000, 16], 2003),
        (2, &[300, 5001], 1803),
        (8, &[4000, 64], 140_000),
    ] {
        let axis = shape.len() / 3;
        let list: Vec<i64> = (0..n).map(|_| dice.next() as i64 % shape[axis] as i64).collect();
        let x = elements::<f32>(shape.iter().product(), 3);
        let i = Array::from_vec(list.iter().map(|k| *k as i32).collect::<Vec<_>>(), [n]).unwrap();
        let at: Vec<usize> = list.iter().map(|k| k.rem_euclid(shape[axis] as i64) as usize).collect();
        let want = plain_take(&x, shape, axis, &at);
        let e = Array::from_slice(&x, shape).unwrap();
        with_threads(threads, || bits_are(&e.take(&i, axis as isize), &want, "a large take"));
    }
}

/// Asserts that `take` with one index out of range returns an error that names it, and writes nothing.
fn refused<I: Element>(shape: &[usize], axis: usize, list: Vec<I>, bad: i128) {
    let stored = elements::<f32>(shape.iter().product(), 5);
    let x = Array::from_slice(&stored, shape).unwrap();
    let (n, len) = (list.len(), shape[axis]);
    let i = Array::from_vec(list, [n]).unwrap();
    let mut wide = shape.to_vec();
    wide[axis] = n;
    let before = elements::<f32>(wide.iter().product(), 6);
    let mut target = Array::from_slice(&before, &wide[..]).unwrap();
    for e in [x.take(&i, axis as isize), x.take(&i, axis as isize) * 2.0f32] {
        let error = target.assign(&e).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Index);
        let text = format!("index {bad} is out of range for an axis of length {len}");
        assert!(error.to_string().contains(&text), "{error}, not {text}");
        bits_are(&target, &before, "written by a take that failed");
    }
}

#[test]
fn an_index_out_of_range_is_named_and_nothing_is_written() {
    let shapes: [(&[usize], usize); 5] = [(&[40], 0), (&[40, 16], 0), (&[40, 300], 0), (&[3, 40], 1), (&[3, 40, 9], 1)];
    for (shape, axis) in shapes {
        for n in [1usize, 5, 16, 17, 40, 61, 5003] {
            for place in [n - 1, 0, n / 2] {
                macro_rules! bad {
                    ($t:ty: $($bad:expr),*) => { $({
                        let mut list: Vec<$t> = (0..n).map(|k| (k * 7 % 40) as $t).collect();
                        list[place] = $bad;
                        refused(shape, axis, list, $bad as i128);
                    })* };
                }
                bad!(i32: 40, -41, i32::MAX, i32::MIN);
                bad!(i64: 40, -41, 1_i64 << 32, i64::MAX, i64::MIN);
                bad!(u32: 40, u32::MAX);
                bad!(u64: 40, 1_u64 << 32, u64::MAX);
                bad!(u8: 40, 255);
            }
        }
    }
}

#[test]
fn indices_that_a_caller_selects_are_not_taken_for_given_ones() {
    let stored = elements::<f32>(9, 7);
    let x = Array::from_slice(&stored, [9]).unwrap();
    let i: Vec<i32> = (0..300).map(|k| k * 5 % 23 - 11).collect();
    let j: Vec<i32> = (0..300).map(|k| k % 7 - 3).collect();
    let [a, b] = [&i, &j].map(|v| Array::from_slice(v, [300]).unwrap());
    for length in [9, 4, -2] {
        for (below, by) in [(&a, &i), (&b, &j)] {
            let index = select(below.less(0), &a + length, &a).eval().unwrap();
            let lazy = select(below.less(0), &a + length, &a);
            let at = |k: usize| if by[k] < 0 { i[k] + length } else { i[k] };
            let clip: Vec<f32> = (0..300).map(|k| stored[at(k).clamp(0, 8) as usize]).collect();
            let wrap: Vec<f32> = (0..300).map(|k| stored[at(k).rem_euclid(9) as usize]).collect();
            for e in [&index, &lazy] {
                bits_are(&x.take(Clip(e), 0), &clip, "clip");
                bits_are(&x.take(Wrap(e), 0), &wrap, "wrap");
            }
        }
    }
}

/// `into_vec` returns the caller's own memory if nothing else uses it, otherwise a copy.
#[test]
fn memory_that_was_handed_over_comes_back() {
    fn check<T: Element>(n: usize) {
        let elements = elements::<T>(n, 5);
        let bytes = |v: &[T]| T::bytes(v).to_vec();
        let given = elements.clone();
        let at = given.as_ptr();
        let x = Array::from_vec(given, [1, n]).unwrap();
        // a whole view of it, and another handle
        let copied = x.clone().into_vec::<T>().unwrap();
        assert!(bytes(&copied) == bytes(&elements) && (n == 0 || copied.as_ptr() != at));
        // the elements in another order, and a part of them
        let back: Vec<T> = elements.iter().rev().copied().collect();
        let flipped = x.flip(1).eval().unwrap();
        assert!(bytes(&flipped.into_vec().unwrap()) == bytes(&back));
        let part = x.slice(s![.., ..n as i64 / 2]).eval().unwrap();
        assert!(bytes(&part.into_vec().unwrap()) == bytes(&elements[..n / 2]));
        // an expression still reads it
        let reads = x.astype(DType::F64);
        let kept = x.clone();
        drop(x);
        let copied = kept.into_vec::<T>().unwrap();
        assert!(bytes(&copied) == bytes(&elements) && (n == 0 || copied.as_ptr() != at));
        assert_eq!(reads.size().unwrap(), n);
        drop(reads);
        // this is the only handle
        let given = elements.clone();
        let at = given.as_ptr();
        let x = Array::from_vec(given, [n, 1]).unwrap();
        let wrong =
            if T::DTYPE == DType::I8 { x.clone().into_vec::<u8>().err() } else { x.clone().into_vec::<i8>().err() };
        assert_eq!(wrong.map(|e| e.kind()), Some(ErrorKind::DType));
        let taken = x.into_vec::<T>().unwrap();
        assert!(bytes(&taken) == bytes(&elements));
        assert!(T::DTYPE == DType::Bool || taken.as_ptr() == at, "{} elements of {}", n, T::DTYPE);
    }
    for n in [0, 1, 7, 1000] {
        check::<bool>(n);
        check::<u8>(n);
        check::<i16>(n);
        check::<half::f16>(n);
        check::<f32>(n);
        check::<u64>(n);
        check::<f64>(n);
    }
    let cpu = Device::cpu().with_memory_limit(1 << 20).unwrap();
    // an array that a kernel computed, also on another device
    for d in [Device::cpu(), cpu] {
        let made = arange(0, 1000, 1, DType::I32).to_device(&d).unwrap();
        assert_eq!(made.into_vec::<i32>().unwrap(), (0..1000).collect::<Vec<_>>());
    }
    let mut x = Array::from_vec(vec![1f32; 100], [10, 10]).unwrap();
    x.set(s![3, 4], 9.0).unwrap();
    assert_eq!(x.into_vec::<f32>().unwrap()[34], 9.0);
}
