//! Large elementwise GPU kernels: an invocation takes four neighbouring elements, by words and vectors if strides and
//! offsets allow, or by squares of transposed operands. All layouts and types, against the CPU's bits.

#![cfg(feature = "gpu")]

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// The number of elements from which a loop nest is large on a GPU (`LARGE` in `src/plan/schedule/groups.rs`).
const LARGE: usize = 1 << 18;

/// The same small whole numbers on the CPU and on the GPU. A sum of two is exact, or is rounded once.
struct Twins(Array, Array);

impl Twins {
    fn new(seed: u64, dtype: DType, shape: &[usize], gpu: &Device) -> Twins {
        let mut dice = Dice::new(seed);
        let most = if dtype == Bool { 2 } else { 120 };
        let v: Vec<i32> = (0..shape.iter().product()).map(|_| dice.below(most) as i32).collect();
        let on_cpu = put(&Device::cpu(), v, shape).astype(dtype).eval().unwrap();
        let on_gpu = on_cpu.to_device(gpu).unwrap();
        Twins(on_cpu, on_gpu)
    }
}

/// Combines two operands so that results rarely coincide. Results are exact or rounded once.
fn mixed(a: &Expr, b: &Expr) -> Expr {
    match a.dtype().unwrap() {
        Bool => a.not_equal(b),
        _ => a + b,
    }
}

fn agree(what: &str, on_cpu: &Expr, on_gpu: &Expr) {
    let (want, got) = (read(on_cpu).unwrap(), read(on_gpu).unwrap());
    assert_eq!(want.len(), got.len(), "{what}");
    if let Some(at) = (0..want.len()).find(|i| want[*i] != got[*i]) {
        let end = (at + 8).min(want.len());
        panic!("{what}, element {at} of {}: {:x?} instead of {:x?}", want.len(), &got[at..end], &want[at..end]);
    }
}

fn types(d: &Device) -> impl Iterator<Item = DType> + '_ {
    DType::ALL.into_iter().filter(move |t| has(d, *t))
}

#[test]
fn the_end_of_an_array_and_its_neighbours() {
    let Some(d) = gpu(1) else { return };
    for t in types(&d) {
        for n in LARGE..LARGE + 4 {
            let (a, b) = (Twins::new(1, t, &[n + 8], &d), Twins::new(2, t, &[n], &d));
            let sums = [(&a.0, &b.0), (&a.1, &b.1)].map(|(a, b)| mixed(&a.slice(s![..n as isize]), b));
            agree(&format!("{n} of {t}"), &sums[0], &sums[1]);
            // writing to a part of an array leaves the elements before and after it unchanged
            let mut kept = Twins::new(3, t, &[n + 8], &d);
            kept.0.set(s![4..n as isize + 4], &sums[0]).unwrap();
            kept.1.set(s![4..n as isize + 4], &sums[1]).unwrap();
            agree(&format!("{n} of {t} within more"), &kept.0, &kept.1);
            kept.0.set(s![..n as isize], mixed(&kept.0.slice(s![..n as isize]), &b.0)).unwrap();
            kept.1.set(s![..n as isize], mixed(&kept.1.slice(s![..n as isize]), &b.1)).unwrap();
            agree(&format!("{n} of {t} in place"), &kept.0, &kept.1);
        }
    }
}

/// The four elements of an invocation share a block of random words if the first index is a multiple of four. These
/// parts start there or elsewhere, or are reversed or strided, and their kernels differ only in that.
#[test]
fn random_numbers_by_blocks() {
    let Some(d) = gpu(1) else { return };
    type Draw = fn(&mut Rng, [usize; 2]) -> Expr;
    type Part = fn(&Expr) -> Expr;
    // half of this is large too
    let shape = [67, LARGE / 32];
    let draws: [(&str, Draw); 5] = [
        ("uniform f32", |rng, shape| rng.uniform(shape, F32)),
        ("uniform f16", |rng, shape| rng.uniform(shape, F16)),
        ("integers", |rng, shape| rng.integers(-1000, 1000, shape, I32)),
        ("two draws", |rng, shape| rng.uniform(shape, F32) + rng.uniform(shape, F32)),
        ("pairs of indices", |rng, shape| rng.normal(shape, F32).signbit()),
    ];
    let parts: [(&str, Part); 7] = [
        ("whole", |x| x.clone()),
        ("from a block on", |x| x.slice(s![.., 4..])),
        // the length is a multiple of four, otherwise no invocation takes four elements
        ("from the middle of a block on", |x| x.slice(s![1.., 3..-1])),
        ("odd lines", |x| x.slice(s![.., ..-2])),
        ("backwards", |x| x.flip(1)),
        ("by steps", |x| x.slice(s![.., ..;2])),
        ("one line for all", |x| x.slice(s![1..2, ..]).broadcast_to([65, LARGE / 32])),
    ];
    for (draw, of) in draws {
        for (part, take) in parts {
            let x = take(&of(&mut Rng::new(7), shape));
            let [want, got] = [&Device::cpu(), &d].map(|device| x.eval_on(device).unwrap().into());
            agree(&format!("{draw}, {part}"), &want, &got);
        }
    }
    // two kernels that differ only in the start of the draw, because both load the stored operand four elements at a
    // time
    let stored = Twins::new(10, F32, &[66, LARGE / 32 - 4], &d);
    for first in [4, 3] {
        let drawn = || Rng::new(7).uniform(shape, F32).slice(s![1.., first..first + LARGE as isize / 32 - 4]);
        agree(&format!("a sum with a draw from {first}"), &(&stored.0 + drawn()), &(&stored.1 + drawn()));
    }
    let ones = Twins::new(8, F32, &shape, &d);
    let [want, got] = [&ones.0, &ones.1].map(|x| x.dropout(0.5, &mut Rng::new(9)));
    agree("dropout", &want, &got);
}

/// One kernel reads arrays that start at different positions within a vector, one after the other.
#[test]
fn parts_that_begin_anywhere() {
    let Some(d) = gpu(1) else { return };
    for t in types(&d) {
        let n = LARGE as isize + 5;
        let (a, b) = (Twins::new(4, t, &[n as usize + 8], &d), Twins::new(5, t, &[n as usize], &d));
        for first in [0, 4, 1, 2, 7, 3, 8] {
            let of = |a: &Array, b: &Array| mixed(&a.slice(s![first..first + n]), b);
            agree(&format!("{t} from {first}"), &of(&a.0, &b.0), &of(&a.1, &b.1));
            let back = |a: &Array, b: &Array| mixed(&a.slice(s![first..first + n]).flip(0), b);
            agree(&format!("{t} back from {first}"), &back(&a.0, &b.0), &back(&a.1, &b.1));
        }
        // separate arrays, whose offsets are not part of the plan
        for first in [0, 4, 1, 2] {
            let [x, y] = [&a.0, &a.1].map(|a| a.slice(s![first..first + n]).eval().unwrap());
            agree(&format!("{t}, stored from {first}"), &mixed(&x, &b.0), &mixed(&y, &b.1));
            let mut kept = Twins::new(6, t, &[n as usize + 8], &d);
            kept.0.set(s![first..first + n], mixed(&x, &b.0)).unwrap();
            kept.1.set(s![first..first + n], mixed(&y, &b.1)).unwrap();
            agree(&format!("{t}, written from {first}"), &kept.0, &kept.1);
        }
    }
}

#[test]
fn layouts_of_rows_columns_and_steps() {
    let Some(d) = gpu(1) else { return };
    for (number, t) in types(&d).enumerate() {
        for (rows, columns) in [(520usize, 516usize), (515, 517), (130, 2050), (2049, 129)] {
            let a = Twins::new(7, t, &[rows, columns], &d);
            let (row, column) = (Twins::new(8, t, &[columns], &d), Twins::new(9, t, &[rows, 1], &d));
            let wide = Twins::new(10, t, &[rows, columns + 4], &d);
            let steps = Twins::new(11, t, &[rows, 2 * columns], &d);
            let turned = Twins::new(12, t, &[columns, rows], &d);
            let apart = Twins::new(13, t, &[columns, rows + 3], &d);
            let c = columns as isize;
            let layouts: [(&str, &dyn Fn(bool) -> Expr); 9] = [
                ("a row", &|gpu| mixed(of(&a, gpu), of(&row, gpu))),
                ("a column", &|gpu| mixed(of(&a, gpu), of(&column, gpu))),
                ("part of rows", &|gpu| mixed(&of(&wide, gpu).slice(s![.., 4..c + 4]), of(&a, gpu))),
                ("odd part of rows", &|gpu| mixed(&of(&wide, gpu).slice(s![.., 3..c + 3]), of(&a, gpu))),
                ("every other column", &|gpu| mixed(&of(&steps, gpu).slice(s![.., ..;2]), of(&a, gpu))),
                ("a transposed one", &|gpu| mixed(&of(&turned, gpu).t(), of(&a, gpu))),
                ("two transposed ones", &|gpu| {
                    let part = of(&apart, gpu).slice(s![.., 3..]).t();
                    mixed(&mixed(&of(&turned, gpu).t(), &part), of(&row, gpu))
                }),
                ("a transposed one backward", &|gpu| mixed(&of(&turned, gpu).flip(1).t(), of(&a, gpu))),
                ("a transposed copy", &|gpu| of(&turned, gpu).t()),
            ];
            for first in [4, 2, 1] {
                let mut kept = Twins::new(30, t, &[rows, columns + 4], &d);
                kept.0.set(s![.., first..first + c], mixed(of(&a, false), of(&row, false))).unwrap();
                kept.1.set(s![.., first..first + c], mixed(of(&a, true), of(&row, true))).unwrap();
                agree(&format!("{t}, {rows} × {columns}: written from column {first}"), &kept.0, &kept.1);
            }
            for (n, (what, make)) in layouts.into_iter().enumerate() {
                // each layout with each type, but each shape with only some types, because compiling takes long
                if (n + number + rows) % 3 != 0 || what.contains("transposed") {
                    agree(&format!("{t}, {rows} × {columns}: {what}"), &make(false), &make(true));
                }
            }
        }
    }
}

fn of(twins: &Twins, gpu: bool) -> &Array {
    if gpu { &twins.1 } else { &twins.0 }
}

/// Three and four axes in every order, with an axis that ends within a square, and rows that start anywhere.
#[test]
fn layouts_of_turned_boxes() {
    let Some(d) = gpu(1) else { return };
    let orders: [&[isize]; 6] = [&[0, 2, 1], &[2, 1, 0], &[1, 2, 0], &[2, 0, 1], &[1, 0, 2], &[3, 1, 0, 2]];
    for (n, t) in types(&d).enumerate() {
        for (k, order) in orders.into_iter().enumerate() {
            let shape: &[usize] = match (order.len(), (n + k) % 2) {
                (3, 0) => &[68, 60, 72],
                (3, _) => &[63, 70, 61],
                _ => &[40, 5, 45, 36],
            };
            let a = Twins::new(14, t, shape, &d);
            let b = Twins::new(15, t, &order.iter().map(|axis| shape[*axis as usize]).collect::<Vec<_>>(), &d);
            let sum = |gpu| mixed(&of(&a, gpu).permute_dims(order), of(&b, gpu));
            agree(&format!("{t}, axes {order:?} of {shape:?}"), &sum(false), &sum(true));
        }
    }
}

/// Operands besides plain loads: indices, random words, gathers, other types, two results, conditions.
#[test]
fn layouts_beside_other_values() {
    let Some(d) = gpu(1) else { return };
    let (rows, columns) = (516usize, 514usize);
    let n = rows * columns;
    let x = Twins::new(16, F32, &[n], &d);
    let y = Twins::new(17, U8, &[n], &d);
    let table = Twins::new(18, I32, &[50], &d);
    let turned = Twins::new(19, F16, &[columns, rows], &d);
    let list: [(&str, &dyn Fn(bool) -> Expr); 7] = [
        ("indices", &|gpu| of(&x, gpu).astype(I32) + arange(0, n, 1, I32)),
        ("random numbers", &|gpu| of(&x, gpu) + Rng::new(7).uniform([n], F32)),
        ("a table", &|gpu| of(&table, gpu).take(Clip(of(&x, gpu).astype(I32)), 0)),
        ("a table, wrapped", &|gpu| of(&table, gpu).take(Wrap(of(&y, gpu).astype(I32) + arange(0, n, 1, I32)), 0)),
        ("bools of floats", &|gpu| of(&x, gpu).less(60.0)),
        ("floats of bytes", &|gpu| of(&y, gpu).astype(F32) * 0.5 + of(&x, gpu)),
        ("halves that are turned", &|gpu| {
            let index = arange(0, n, 1, I32).reshape([rows, columns]);
            of(&turned, gpu).t().astype(F32) + index.astype(F32) + of(&y, gpu).reshape([rows, columns])
        }),
    ];
    for (what, make) in list {
        agree(what, &make(false), &make(true));
    }
    // as many transposed operands as there is workgroup memory for their squares, and more
    for t in [Bool, I32] {
        let turned: Vec<Twins> = (0..5).map(|seed| Twins::new(21 + seed, t, &[columns, rows], &d)).collect();
        for n in 2..=5 {
            let all = |gpu| turned[1..n].iter().fold(of(&turned[0], gpu).t(), |sum, x| mixed(&sum, &of(x, gpu).t()));
            let whole = Twins::new(26, t, &[rows, columns], &d);
            agree(&format!("{n} of {t}"), &mixed(&all(false), &whole.0), &mixed(&all(true), &whole.1));
        }
    }
    let both = |gpu| eval_all([&mixed(of(&x, gpu), &of(&x, gpu).flip(0)), &of(&y, gpu).less(of(&x, gpu))]).unwrap();
    for (want, got) in both(false).iter().zip(&both(true)) {
        agree("two results", want, got);
    }
    let mut kept = Twins::new(20, U8, &[n], &d);
    for (array, gpu) in [(&mut kept.0, false), (&mut kept.1, true)] {
        array.set_where(of(&x, gpu).less(60.0), of(&y, gpu)).unwrap();
    }
    agree("a mask", &kept.0, &kept.1);
}

/// A buffer with the last bytes of a memory limit ends within a vector, so another shader writes to it.
#[test]
fn the_last_bytes_of_a_limit() {
    let Some(d) = gpu(1) else { return };
    let n = LARGE + 1;
    // a buffer has its class's size (`src/gpu/memory.rs`), or its exact size if the limit has no room for the class
    let class = (4 * n).next_multiple_of(1 << 17);
    let d = d.with_memory_limit(2 * class).unwrap();
    let x = put(&d, (0..n as i32).collect::<Vec<_>>(), &[n]);
    let want: Vec<i32> = (1..=n as i32).collect();
    same(&(&x + 1).eval().unwrap(), &want);
    let (kept, compiled) = (put(&d, vec![0u8; 15 << 13], &[15 << 13]), d.stats().compiles);
    let y = (&x + 1).eval().unwrap();
    assert_eq!(d.memory().used, class + (15 << 13) + 4 * n);
    assert_eq!(d.stats().compiles - compiled, 1);
    same(&y, &want);
    drop((x, kept));
    same(&(&y + 1), &(2..=n as i32 + 1).collect::<Vec<_>>());
}

/// The shaders contain the functions that load four elements, for arrays of the size used here.
#[test]
fn the_texts_take_fours() {
    let x = zeros([LARGE], F16).eval().unwrap();
    let turned = zeros([520, 516], F16).eval().unwrap();
    let other = zeros([516, 520], F16).eval().unwrap();
    for (e, function) in [(&x * 2, "fn load_four("), (turned.t() + &other, "fn load_four_of_line(")] {
        let (plan, texts) = testing::plan_for(&e, "card").unwrap();
        assert!(texts.len() == 1 && texts[0].contains(function), "{plan}\n{texts:?}");
    }
}

/// Arrays that need several bindings, with large parts, and kernels that need several grids.
#[test]
fn windows_and_grids() {
    if gpu(1).is_none() {
        return;
    }
    let d = testing::shrunk_gpu(2 << 20, 8).unwrap();
    let (rows, columns) = (1003usize, 1204usize);
    for t in [U8, F16, F32].into_iter().filter(|t| has(&d, *t)) {
        let a = Twins::new(31, t, &[rows, columns], &d);
        let turned = Twins::new(32, t, &[columns, rows + 1], &d);
        let sum = |gpu| mixed(of(&a, gpu), &of(&turned, gpu).slice(s![.., 1..]).t());
        agree(&format!("{t} in windows"), &sum(false), &sum(true));
        let sum = |gpu| mixed(&of(&a, gpu).flip(1), of(&a, gpu));
        agree(&format!("{t} in windows, backward"), &sum(false), &sum(true));
        let (b, part) = (Twins::new(33, t, &[3, LARGE + 8], &d), LARGE as isize + 4);
        let sum = |gpu| mixed(&of(&b, gpu).slice(s![.., 4..part + 4]), &of(&b, gpu).slice(s![.., ..part]));
        agree(&format!("{t}, parts of lines in windows"), &sum(false), &sum(true));
    }
}
