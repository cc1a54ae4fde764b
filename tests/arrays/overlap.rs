//! Writes to a part of an array from another part, which overlaps. The result must be as if the source was copied
//! first. Other elements stay, and nothing is allocated if source and target are the same elements. 1 to 5 axes.

use crate::kit::stage::Stage;
use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// How a view goes along one axis: the first index, the step, and the length.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Walk(usize, isize, usize);

impl Walk {
    /// A random walk of `len` elements along an axis of length `n`.
    fn random(dice: &mut Dice, n: usize, len: usize) -> Walk {
        let most = if len > 1 { (n - 1) / (len - 1) } else { 1 };
        let step = 1 + dice.below(most);
        let first = dice.below(n - step * (len - 1));
        if dice.one_in(3) && len > 1 {
            Walk(first + step * (len - 1), -(step as isize), len)
        } else {
            Walk(first, step as isize, len)
        }
    }

    fn item(self) -> SliceItem {
        let Walk(first, step, len) = self;
        let last = first as isize + step * (len as isize - 1);
        let end = if step > 0 { Some(last + 1) } else { (last > 0).then_some(last - 1) };
        SliceItem::Range { start: Some(first as isize), end, step }
    }

    fn at(self, i: usize) -> usize {
        (self.0 as isize + self.1 * i as isize) as usize
    }
}

/// A view: the array's axes in some order, each with its walk. An axis of length 1 broadcasts to any length.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    axes: Vec<usize>,
    walks: Vec<Walk>,
}

impl Part {
    fn of(&self, x: &Expr, lens: &[usize]) -> Expr {
        let axes: Vec<isize> = self.axes.iter().map(|a| *a as isize).collect();
        let items: Vec<SliceItem> = self.walks.iter().map(|w| w.item()).collect();
        x.permute_dims(axes).slice(items).broadcast_to(lens)
    }

    /// The position of an element of the view in a C-ordered copy of the array.
    fn place(&self, shape: &[usize], i: &[usize]) -> usize {
        let mut at = vec![0; shape.len()];
        for ((axis, w), i) in self.axes.iter().zip(&self.walks).zip(i) {
            at[*axis] = w.at(if w.2 == 1 { 0 } else { *i });
        }
        at.iter().zip(shape).fold(0, |flat, (i, n)| flat * n + i)
    }
}

/// An element type in which small integers, their sums and products are exact.
trait Small: Element {
    fn from(v: i64) -> Self;
    fn to(self) -> i64;
}

macro_rules! small {
    ($($t:ty: $from:expr, $to:expr;)*) => {$(impl Small for $t {
        fn from(v: i64) -> $t { let f: fn(i64) -> $t = $from; f(v) }
        fn to(self) -> i64 { let f: fn($t) -> i64 = $to; f(self) }
    })*};
}
small! {
    u8: |v| v as u8, |v| v as i64;
    i8: |v| v as i8, |v| v as i64;
    i16: |v| v as i16, |v| v as i64;
    i32: |v| v as i32, |v| v as i64;
    f32: |v| v as f32, |v| v as i64;
    f16: |v| f16::from_f32(v as f32), |v| v.to_f32() as i64;
    bf16: |v| bf16::from_f32(v as f32), |v| v.to_f32() as i64;
    bool: |v| v != 0, |v| v as i64;
}

/// Stores the elements in C order, with the axes in another order, or as the inner part of a larger array.
fn stored<T: Small>(d: &Device, dice: &mut Dice, host: Vec<T>, shape: &[usize]) -> Array {
    let n = host.len();
    match dice.below(4) {
        0 => {
            let back: Vec<isize> = (0..shape.len() as isize).rev().collect();
            let reversed: Vec<usize> = shape.iter().rev().copied().collect();
            let line = put(d, host, shape).permute_dims(&back[..]).reshape([n]).eval().unwrap();
            line.reshape(reversed).permute_dims(back).eval().unwrap()
        }
        1 => {
            let ahead = 1 + dice.below(5);
            let longer: Vec<T> = (0..ahead).map(|_| T::from(1)).chain(host).chain([T::from(1)]).collect();
            put(d, longer, &[ahead + n + 1]).slice(s![ahead..ahead + n]).reshape(shape).eval().unwrap()
        }
        _ => put(d, host, shape),
    }
}

/// Writes one view of an array from other views of it. Returns whether no buffer was allocated.
fn pair<T: Small>(d: &Device, dice: &mut Dice, nd: usize) -> bool {
    let side = [0, 40, 12, 7, 5, 4][nd];
    let shape: Vec<usize> = (0..nd).map(|_| 1 + dice.below(side)).collect();
    let n: usize = shape.iter().product();
    let small = if T::DTYPE == Bool { 2 } else { 7 };
    let old: Vec<i64> = (0..n).map(|_| dice.below(small) as i64).collect();
    let host: Vec<T> = old.iter().map(|v| T::from(*v)).collect();
    let mut x = stored(d, dice, host, &shape);
    let lens: Vec<usize> = shape.iter().map(|n| 1 + dice.below(*n)).collect();
    let in_order: Vec<usize> = (0..nd).collect();
    let target = Part {
        axes: in_order.clone(),
        walks: shape.iter().zip(&lens).map(|(n, len)| Walk::random(dice, *n, *len)).collect(),
    };
    let source = |dice: &mut Dice| {
        if dice.one_in(4) {
            return target.clone();
        }
        // another order of the axes, if the lengths allow that
        let mut axes = in_order.clone();
        for i in (1..nd).rev() {
            let j = dice.below(i + 1);
            if shape[axes[j]] >= lens[i] && shape[axes[i]] >= lens[j] {
                axes.swap(i, j);
            }
        }
        let walks = axes.iter().zip(&lens).map(|(a, len)| {
            let len = if dice.one_in(8) { 1 } else { *len };
            Walk::random(dice, shape[*a], len)
        });
        let walks = walks.collect();
        Part { axes, walks }
    };
    let (one, two) = (source(dice), source(dice));
    let kind = dice.below(3);
    let mut want = old.clone();
    for i in every_index(&lens) {
        let (a, b) = (old[one.place(&shape, &i)], old[two.place(&shape, &i)]);
        want[target.place(&shape, &i)] = match kind {
            0 => a,
            1 if T::DTYPE == Bool => 1 - a,
            1 => a * 3 + 1,
            _ if T::DTYPE == Bool => a | b,
            _ => a * 5 + b,
        };
    }
    let items: Vec<SliceItem> = target.walks.iter().map(|w| w.item()).collect();
    let held = dice.one_in(5).then(|| x.clone());
    let before = d.stats().allocations;
    {
        // dropped before the assertions: an expression that lives on would hold the array
        let a = one.of(&x, &lens);
        let value = match kind {
            0 => a,
            1 if T::DTYPE == Bool => !a,
            1 => a * 3 + 1,
            _ if T::DTYPE == Bool => a | two.of(&x, &lens),
            _ => a * 5 + two.of(&x, &lens),
        };
        x.set(&items, value).unwrap_or_else(|e| panic!("{e}"));
    }
    let made = d.stats().allocations - before;
    let same_places = one == target && (kind < 2 || two == target);
    if held.is_none() && same_places {
        assert_eq!(made, 0, "{shape:?} {target:?}: a write in place took a buffer");
    }
    let got: Vec<i64> = x.to_vec::<T>().unwrap().into_iter().map(T::to).collect();
    assert_eq!(got, want, "{} {shape:?}: {target:?} = f{kind}({one:?}, {two:?})", T::DTYPE);
    if let Some(h) = held {
        assert_eq!(h.to_vec::<T>().unwrap().into_iter().map(T::to).collect::<Vec<_>>(), old, "another handle");
    }
    made == 0
}

/// Updates parts of a vector that start at odd positions: only those elements change, in the same buffer.
fn line<T: Small>(d: &Device, stage: &mut Stage) {
    for n in [7usize, 33, 131, 517] {
        let old: Vec<i64> = (0..n as i64).map(|i| if T::DTYPE == Bool { i % 3 % 2 } else { i % 50 }).collect();
        let mut x = put(d, old.iter().map(|v| T::from(*v)).collect::<Vec<T>>(), &[n]);
        let mut want = old;
        for start in [1usize, 2, 3, 5] {
            for step in [1isize, 2, 3, -1, -2, -3] {
                for end in [n, n - 1] {
                    let len = (end - start).div_ceil(step.unsigned_abs());
                    let w = if step > 0 { Walk(start, step, len) } else { Walk(end - 1, step, len) };
                    let w = if w.2 == 1 { Walk(w.0, 1, 1) } else { w };
                    let before = d.stats().allocations;
                    if T::DTYPE == Bool {
                        x.slice_mut([w.item()]).update(|v| !v).unwrap();
                    } else {
                        x.slice_mut([w.item()]).update(|v| (v + 3) % 50).unwrap();
                    }
                    assert_eq!(d.stats().allocations, before, "{} {w:?} of {n}", T::DTYPE);
                    for k in 0..w.2 {
                        let v = &mut want[w.at(k)];
                        *v = if T::DTYPE == Bool { 1 - *v } else { (*v + 3) % 50 };
                    }
                    stage.count(1);
                }
            }
            // we look after several writes only, because later writes would not repair a wrong one
            let got: Vec<i64> = x.to_vec::<T>().unwrap().into_iter().map(T::to).collect();
            assert_eq!(got, want, "{} from {start} of {n}", T::DTYPE);
        }
        // writes neighbouring elements one at a time
        for (i, wanted) in want.iter_mut().enumerate().take(40) {
            let to = put(d, vec![T::from(i as i64 % 2)], &[]);
            x.slice_mut(s![i]).assign(to).unwrap();
            *wanted = i as i64 % 2;
        }
        let got: Vec<i64> = x.to_vec::<T>().unwrap().into_iter().map(T::to).collect();
        assert_eq!(got, want, "{} one by one of {n}", T::DTYPE);
    }
}

on_devices! {

fn overlap_fuzz(d: &Device) {
    // on one array, copy random parts to other random parts of the same shape
    let mut dice = Dice::new(11);
    for _ in 0..800 {
        let nd = 1 + dice.below(3);
        let shape: Vec<usize> = (0..nd).map(|_| 1 + dice.below(7)).collect();
        let n: usize = shape.iter().product();
        let h = Host { shape: shape.clone(), data: (0..n as i32).collect::<Vec<_>>() };
        let mut x = put(d, h.data.clone(), &shape);
        if dice.one_in(4) {
            // store the array with its axes in another order
            let back: Vec<isize> = (0..nd as isize).rev().collect();
            let reversed: Vec<usize> = shape.iter().rev().copied().collect();
            x = x.t().reshape([n]).eval().unwrap().reshape(reversed).permute_dims(back).eval().unwrap();
        }
        let part = |dice: &mut Dice, lens: Option<&[usize]>| -> (Vec<SliceItem>, Vec<(usize, isize, usize)>) {
            (0..nd).map(|a| {
                let len = lens.map_or_else(|| 1 + dice.below(shape[a]), |l| l[a]);
                let most = if len > 1 { (shape[a] - 1) / (len - 1) } else { 1 };
                let step = 1 + dice.below(most);
                let room = shape[a] - 1 - step * (len - 1);
                let first = dice.below(room + 1);
                if dice.one_in(3) && len > 1 {
                    let last = first + step * (len - 1);
                    let end = if first == 0 { None } else { Some(first as isize - 1) };
                    (SliceItem::Range { start: Some(last as isize), end, step: -(step as isize) }, (last, -(step as isize), len))
                } else {
                    (SliceItem::Range { start: Some(first as isize), end: Some((first + step * (len - 1) + 1) as isize), step: step as isize }, (first, step as isize, len))
                }
            }).unzip()
        };
        let (to, places) = part(&mut dice, None);
        let lens: Vec<usize> = places.iter().map(|p| p.2).collect();
        let (from, sources) = part(&mut dice, Some(&lens));
        let (more, third) = part(&mut dice, Some(&lens));
        let at = |p: &[(usize, isize, usize)], i: &[usize]| -> Vec<usize> { p.iter().zip(i).map(|(p, i)| (p.0 as isize + p.1 * *i as isize) as usize).collect() };
        let mut want = h.clone();
        let kind = dice.below(3);
        for i in every_index(&lens) {
            let to = at(&places, &i);
            let flat = to.iter().zip(&shape).fold(0, |a, (i, n)| a * n + i);
            let (a, b, c) = (h.at(&at(&sources, &i)), h.at(&at(&third, &i)), h.at(&to));
            want.data[flat] = match kind { 0 => a, 1 => a + b * 100, _ => c * 1000 + a };
        }
        let held = if dice.one_in(3) { Some(x.clone()) } else { None };
        match kind {
            0 => x.set(&to, x.slice(&from)).unwrap(),
            1 => x.set(&to, x.slice(&from) + x.slice(&more) * 100).unwrap(),
            _ => { let a = x.slice(&from); x.slice_mut(&to).update(|v| v * 1000 + a).unwrap() }
        }
        println!("{shape:?} {to:?} from {from:?} kind {kind}");
        same(&x, &want.data);
        if let Some(k) = held { same(&k, &h.data); }
    }
}


fn pairs_of_overlapping_views(d: &Device) {
    let d = own(d);
    let mut stage = Stage::new(8, "overlap: pairs of views", &d);
    for nd in 1..=5 {
        let (mut dice, pairs) = (Dice::new(88 + nd as u64), 5000 / (nd + 1) / (nd + 1));
        let mut in_place = 0;
        for i in 0..pairs {
            in_place += match i % 4 {
                0 => pair::<i32>(&d, &mut dice, nd),
                1 => pair::<u8>(&d, &mut dice, nd),
                2 => pair::<f16>(&d, &mut dice, nd),
                _ => pair::<bool>(&d, &mut dice, nd),
            } as usize;
        }
        println!("{nd} axes: {pairs} pairs, {in_place} in place");
        assert!(in_place > pairs / 20 && in_place < pairs / 2);
        stage.count(pairs);
    }
}

fn parts_of_narrow_lines(d: &Device) {
    let d = own(d);
    let mut stage = Stage::new(8, "overlap: neighbours of parts", &d);
    line::<u8>(&d, &mut stage);
    line::<bool>(&d, &mut stage);
    line::<f16>(&d, &mut stage);
    line::<i8>(&d, &mut stage);
    line::<i16>(&d, &mut stage);
    line::<bf16>(&d, &mut stage);
    line::<f32>(&d, &mut stage);
}
}
