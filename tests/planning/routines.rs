//! Routines, which are kernels that are not loop nests. Compared with plain loops in every layout and type; as
//! operands, in writes, and their errors.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

const INTEGERS: [DType; 8] = [U8, I8, U16, I16, U32, I32, U64, I64];

/// How often each value occurs, by a plain loop.
fn counts(values: impl IntoIterator<Item = i64>, length: usize) -> Vec<i64> {
    let mut counts = vec![0; length];
    values.into_iter().for_each(|v| counts[v as usize] += 1);
    counts
}

/// Values in `0..length`, almost evenly distributed.
fn values(n: usize, length: usize) -> Vec<i64> {
    (0..n).map(|i| ((i * i * 7 + i * 13 + n) % length) as i64).collect()
}

/// The elements in C order as i64.
fn elements(e: &Expr) -> Vec<i64> {
    e.astype(I64).to_vec().unwrap()
}

#[test]
fn every_routine_has_a_line_in_each_backend() {
    let rows = testing::routines();
    assert!(!rows.is_empty());
    for (i, row) in rows.iter().enumerate() {
        assert!(row.on_cpu, "{} has no function in src/cpu/routines.rs", row.name);
        assert!(!cfg!(feature = "gpu") || row.on_gpu != row.is_only_on_cpu, "{} in src/gpu/routines.rs", row.name);
        assert!(row.doc.ends_with('.'), "{}: {}", row.name, row.doc);
        assert!(rows[..i].iter().all(|other| other.name != row.name), "two rows are called {}", row.name);
        assert!(testing::row(row.name).is_none(), "{} is a function too", row.name);
    }
}

#[test]
fn plans_print_their_steps() {
    let x = put(&Device::cpu(), vec![3i32; 9], &[9]);
    let text = (x.bincount(5) * 2).plan().unwrap().to_string();
    assert!(text.contains("bincount [5]  1 dispatch, reads 36 B, writes 40 B"), "{text}");
    assert!(text.contains("operand in0 i32 [9]") && text.contains("result temp0 i64 [5]"), "{text}");
    // on a card, `bincount` counts into cleared memory, then widens the counts to i64
    let (text, wgsl) = testing::plan_for(&x.bincount(5), "card").unwrap();
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part}:\n{text}"));
    assert!(at("clear temp0") < at("bincount [5]") && at("pass count over 9 items") < at("pass widen over 5 items"));
    assert!(text.contains("temp0 20 B") && text.contains("plan: 1 kernel, 2 dispatches"), "{text}");
    assert_eq!(wgsl.len(), if cfg!(feature = "gpu") { 2 } else { 0 });
    // for many values few invocations count, if their counters fit into workgroup memory
    for (n, length, pass) in [
        (16_383, 256, "pass count over 16383 items, groups of 256"),
        (16_384, 256, "pass count_together over 16384 items, 4 per invocation, groups of 256"),
        (131_071, 2048, "pass count over 131071 items, groups of 256"),
        (131_072, 2048, "pass count_together over 131072 items, 32 per invocation, groups of 256"),
        (1 << 24, 2048, "pass count_together over 16777216 items, 64 per invocation, groups of 256"),
        (1 << 24, 2049, "pass count over 16777216 items, groups of 256"),
    ] {
        let (text, _) = testing::plan_for(&zeros([n], U8).eval().unwrap().bincount(length), "card").unwrap();
        assert!(text.contains(pass), "{text}");
    }
    // for many values each of several threads counts into its own table
    let many = zeros([1 << 20], U8).bincount(3).plan().unwrap().to_string();
    assert!(many.contains("clear temp") && many.contains("scratch temp"), "{many}");
}

#[test]
fn transforms_are_one_pass_for_each_factor_of_a_length() {
    let passes = |n: usize, card: &str| {
        let x = put(&Device::cpu(), vec![0f32; n], &[n]);
        let (text, _) = testing::plan_for(fft::fft(&x, -1).real(), card).unwrap();
        text.matches("pass transform").count()
    };
    assert_eq!([1000, 1024, 2048, 16384, 16464, 1 << 15].map(|n| passes(n, "card")), [1, 1, 2, 2, 3, 3]);
    let x = put(&Device::cpu(), vec![0f64; 8], &[8]);
    let e = testing::plan_for(fft::fft(&x, -1).real(), "weak").unwrap_err();
    assert!(e.to_string().contains("f64"), "{e}");
}

#[test]
fn factors_are_made_of_blocks_and_products() {
    let of = |n: usize| zeros([n, n], F32).eval().unwrap();
    let text = |n: usize| testing::plan_for(&linalg::cholesky(of(n), linalg::Triangle::Lower), "card").unwrap().0;
    let (small, large) = (text(64), text(300));
    assert!(small.contains("pass factorise over 256 items") && !small.contains("matmul"), "{small}");
    assert_eq!(large.matches("pass factorise").count(), 5, "{large}");
    // the number of passes grows at most with the square of the number of blocks
    let kernels = |n: usize| text(n).matches("pass ").count();
    assert!(kernels(1024) < 300, "{}", kernels(1024));
    let f64s = linalg::cholesky(of(8).astype(F64), linalg::Triangle::Lower);
    let e = testing::plan_for(&f64s, "weak").unwrap_err();
    assert!(e.to_string().contains("f64"), "{e}");
}

#[test]
fn factorisations_are_a_pass_and_one_for_each_result_with_vectors() {
    let x = put(&Device::cpu(), vec![0f32; 2 * 65 * 65], &[2, 65, 65]);
    let passes = |e: &Expr| testing::plan_for(e, "card").map(|(text, _)| text.matches(" pass ").count());
    let small = x.slice(s![.., ..64, ..64]);
    assert_eq!(passes(&linalg::eigvalsh(&small)).unwrap(), 1);
    assert_eq!(passes(&linalg::eigh(&small).1).unwrap(), 2);
    assert_eq!(passes(&linalg::svd(&small, linalg::Mode::Reduced).0).unwrap(), 4);
    assert_eq!(passes(&linalg::qr(&x, linalg::Mode::Reduced).0).unwrap(), 1);
    // the error names the function that the user called
    for (name, e) in [
        ("eigh", linalg::eigh(&x).0),
        ("eigvalsh", linalg::eigvalsh(&x)),
        ("svd", linalg::svd(&x, linalg::Mode::Reduced).1),
        ("svdvals", linalg::svdvals(&x)),
        ("pinv", linalg::pinv(&x, None)),
        ("lstsq", linalg::lstsq(&x, x.slice(s![.., .., ..1]), None)),
        ("matrix_rank", linalg::matrix_rank(&x, None)),
        ("cond", linalg::cond(&x, None)),
        ("matrix_norm", x.matrix_norm([1, 2], MatrixNorm::Two)),
    ] {
        let e = passes(&e).unwrap_err();
        assert_eq!((e.kind(), e.operation()), (ErrorKind::LimitExceeded, name), "{e}");
        assert!(e.to_string().contains("65 rows") && e.to_string().contains("to_device(&Device::cpu())"), "{e}");
    }
    let e = passes(linalg::eigvals(&x).real()).unwrap_err();
    assert_eq!((e.kind(), e.operation()), (ErrorKind::Unsupported, "eigvals"), "{e}");
    let x = put(&Device::cpu(), vec![0f32; 1 << 22], &[2048, 2048]);
    let e = passes(&linalg::qr(&x, linalg::Mode::Reduced).1).unwrap_err().to_string();
    assert!(e.contains("[2048, 2048]"), "{e}");
}

#[test]
fn a_gpu_without_integers_of_64_bits_writes_pairs_of_words() {
    let x = put(&Device::cpu(), vec![3i32; 9], &[9]);
    let (_, texts) = testing::plan_for(&x.bincount(5), "weak").unwrap();
    assert_eq!(texts.iter().any(|text| text.contains("struct i64")), cfg!(feature = "gpu"));
}

/// Any number of threads gives the same counts, if there are tables for all of them.
#[test]
fn threads_do_not_matter() {
    let n = 3_000_017;
    for length in [1, 7, 1000, 40_000] {
        let v = values(n, length);
        let want = counts(v.iter().copied(), length);
        let x = put(&Device::cpu(), v.iter().map(|v| *v as u32).collect::<Vec<_>>(), &[n]);
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let got = pool.install(|| x.bincount(length).to_vec::<i64>().unwrap());
            assert!(got == want, "{threads} threads, {length} counts");
        }
        // if several values are out of range, the error names the first one, whichever thread finds it
        let mut v: Vec<u32> = v.iter().map(|v| *v as u32).collect();
        (v[900_000], v[2_900_000]) = (70_000, 80_000);
        let e = put(&Device::cpu(), v, &[n]).bincount(length).eval().unwrap_err();
        assert!(e.to_string().starts_with("bincount: value 70000 is out of range"), "{e}");
    }
}

/// The tables use the device's memory: they are counted, and too little memory is an error.
#[test]
fn memory_is_counted() {
    let d = own(&Device::cpu());
    let x = zeros([1 << 20], U8).to_device(&d).unwrap();
    let e = x.bincount(300);
    let plan = e.plan().unwrap().to_string();
    let line = plan.lines().find_map(|l| l.trim().strip_prefix("temporaries: ")).unwrap();
    let temps: usize = line.split(' ').nth(1).and_then(|b| b.parse().ok()).unwrap();
    assert_eq!(temps, 16 * 300 * 8, "{plan}");
    let used = d.memory().used;
    let counts = e.eval().unwrap();
    assert_eq!(d.memory().peak - used, temps + counts.size() * 8);
    let small = Device::cpu().with_memory_limit(3 << 20).unwrap();
    let x = zeros([1 << 20], U8).to_device(&small).unwrap();
    let e = x.bincount(1 << 20).eval().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{e}");
    same(&x.bincount(1), &[1i64 << 20]);
}

on_devices! {

// an empty operand's temporary has size 0, and may have the same address as another temporary
fn operands_without_elements(d: &Device) {
    let x = put(d, Vec::<i8>::new(), &[4, 0, 31]);
    let first = (&x % 100).bincount(100).argmin(keep(0));
    let e = (put(d, vec![1f32; 100], &[100]) - first).broadcast_to([1, 3, 100]);
    assert_eq!(e.to_vec::<f32>().unwrap(), [1.0; 300]);
}

fn every_type_and_layout(d: &Device) {
    if !has(d, I64) {
        return;
    }
    for dtype in INTEGERS.into_iter().filter(|t| has(d, *t)) {
        for length in [1usize, 5, 120] {
            let x = put(d, values(6 * 70, length), &[6, 70]).astype(dtype).eval().unwrap();
            let row = put(d, values(70, length), &[70]).astype(dtype).eval().unwrap();
            let layouts: Vec<(&str, Expr)> = vec![
                ("contiguous", x.clone().into()),
                ("transposed", x.t()),
                ("every third", x.slice(s![.., ..;3])),
                ("from within", x.slice(s![1..5, 3..11])),
                ("rows from within", x.slice(s![1..5])),
                ("from an odd place", row.slice(s![3..])),
                ("backwards", x.flip(..)),
                ("broadcast", row.broadcast_to([4, 70])),
                ("one element", x.slice(s![2, 5])),
                ("no axes", row.slice(s![69])),
                ("empty", x.slice(s![3..3])),
                ("computed and empty", x.slice(s![3..3]).maximum(&row)),
                ("computed", x.minimum(&row)),
                ("computed twice", (&x + 0).maximum(&row).t()),
                ("a number", full((), length as i32 - 1, dtype).to_device(d).unwrap().into()),
                ("a number everywhere", full_like(&x, 0)),
                ("reshaped", x.t().reshape([84, 5])),
                ("joined", concat([&x.slice(s![..2]), &x.slice(s![3..])], 0)),
                ("taken", x.take(put(d, vec![5i32, 0, 0], &[3]), 0)),
            ];
            for (name, e) in layouts {
                let want = counts(elements(&e), length);
                assert_eq!(e.bincount(length).shape().unwrap(), [length]);
                assert_eq!(e.bincount(length).dtype().unwrap(), I64);
                assert_eq!(elements(&e.bincount(length)), want, "{name} of {dtype}, {length} counts, {d:?}");
                let meant = testing::interpret(&e.bincount(length)).unwrap();
                let testing::ElementList::Integers(meant) = meant.elements else { panic!("integers") };
                assert!(meant.iter().zip(&want).all(|(m, w)| *m == Some(*w as i128)), "{name}: {meant:?}");
            }
        }
    }
}

fn sizes(d: &Device) {
    if !has(d, I64) {
        return;
    }
    for (n, length) in [(0, 0), (0, 4), (1, 1), (255, 3), (256, 300), (257, 2), (70_000, 70_000), (300_000, 17), (400_000, 5)] {
        let v = values(n, length.max(1));
        let x = put(d, v.iter().map(|v| *v as u32).collect::<Vec<_>>(), &[n]);
        same(&x.bincount(length), &counts(v, length));
    }
    same(&arange(0, 1000, 1, I32).to_device(d).unwrap().remainder(10).bincount(10), &[100i64; 10]);
}

// a GPU counts these in workgroup memory; the sizes are near where it starts to do so
fn many_elements_of_few_values(d: &Device) {
    if !has(d, I64) {
        return;
    }
    let edge = 16_384;
    let sizes = [(edge - 1, 256), (edge, 256), (edge + 1, 256), (edge + 1, 1), (3 * edge + 77, 255), (5_000_011, 7)];
    let more = [131_071, 131_072, 131_073, 300_001].map(|n| (n, 2048));
    for (n, length) in sizes.into_iter().chain(more).chain([(300_001, 2049)]) {
        let v = values(n, length);
        let x = put(d, v.iter().map(|v| *v as u16).collect::<Vec<_>>(), &[n]);
        same(&x.bincount(length), &counts(v, length));
    }
    for dtype in INTEGERS.into_iter().filter(|t| has(d, *t)) {
        let length = 120;
        let x = put(d, values(180 * 241, length), &[180, 241]).astype(dtype).eval().unwrap();
        let layouts: Vec<(&str, Expr)> = vec![
            ("contiguous", x.clone().into()),
            ("transposed", x.t()),
            ("every other", x.slice(s![.., 1..;2])),
            ("from within", x.slice(s![3..170, 5..200])),
            ("from an odd place", x.reshape([180 * 241]).slice(s![3..])),
            ("backwards", x.flip(..)),
            ("computed", (&x + 0).minimum(x.slice(s![7]))),
        ];
        for (name, e) in layouts {
            let want = counts(elements(&e), length);
            assert_eq!(elements(&e.bincount(length)), want, "{name} of {dtype}, {d:?}");
        }
    }
}

fn one_value_outside_among_many(d: &Device) {
    if !has(d, I64) {
        return;
    }
    // a device of its own, because another test's read could return this test's late error
    let d = &own(d);
    let (n, length) = (50_000, 100);
    let v = values(n, length);
    let good = put(d, v.clone(), &[n]);
    for (at, bad) in [(0, 100), (n / 2, -1), (n / 2 + 1, 1 << 32), (n - 1, 2047), (n - 1, 4096)] {
        let mut v = v.clone();
        v[at] = bad;
        let e = put(d, v, &[n]).bincount(length); let line = line!();
        let e = e.eval().and_then(|counts| counts.to_vec::<i64>()).unwrap_err();
        assert_eq!((e.kind(), e.operation()), (ErrorKind::Index, "bincount"), "{e}");
        assert!(e.to_string().starts_with(&format!("bincount: value {bad} is out of range for {length} counts")), "{e}");
        assert!(e.location().is_some_and(|l| l.line() == line && l.file().ends_with("routines.rs")), "{e}");
        same(&good.bincount(length), &counts(elements(&(&good + 0)), length));
    }
}

fn as_an_operand_and_together(d: &Device) {
    if !has(d, I64) {
        return;
    }
    let d = &own(d);
    let v = values(1000, 9);
    let x = put(d, v.iter().map(|v| *v as i16).collect::<Vec<_>>(), &[1000]);
    let want = counts(v.iter().copied(), 9);
    let c = x.bincount(9);
    // functions, views, reductions and products of the counts, and counts of counts
    same(&(&c * 2 + 1), &want.iter().map(|c| c * 2 + 1).collect::<Vec<_>>());
    same(&c.sum(..), &[1000i64]);
    same(&c.slice(s![2..7;2]), &[want[2], want[4], want[6]]);
    same(&c.flip(0).reshape([3, 3]).t(), &[8, 5, 2, 7, 4, 1, 6, 3, 0].map(|i: usize| want[i]));
    same(&c.matmul(&c), &[want.iter().map(|c| c * c).sum::<i64>()]);
    same(&c.take(put(d, vec![8i32, 0], &[2]), 0), &[want[8], want[0]]);
    same(&concat([&c, &c], 0), &[&want[..], &want[..]].concat());
    let twice = c.remainder(4).bincount(4);
    same(&twice, &counts(want.iter().map(|c| c % 4), 4));
    // a distribution from a histogram
    let share = (&c.astype(F32) / c.sum(..).astype(F32)).to_vec::<f32>().unwrap();
    assert!((share.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    // several results in one evaluation; equal ones are computed once
    let before = d.stats().kernels;
    let all = eval_all([&c, &x.bincount(9), &(&c + 1), &x.bincount(12)]).unwrap();
    d.synchronize().unwrap();
    assert_eq!(d.stats().kernels - before, 3);
    same(&all[0], &want);
    same(&all[1], &want);
    same(&all[2], &want.iter().map(|c| c + 1).collect::<Vec<_>>());
    same(&all[3], &[&want[..], &[0, 0, 0]].concat());
    // an operand that another result needs too
    let y = (&x * 3).remainder(7);
    let all = eval_all([&y, &y.bincount(7), &y.sum(..)]).unwrap();
    let z: Vec<i64> = v.iter().map(|v| v * 3 % 7).collect();
    assert_eq!(elements(&all[0]), z);
    same(&all[1], &counts(z.iter().copied(), 7));
    same(&all[2], &[z.iter().sum::<i64>()]);
}

fn in_a_write(d: &Device) {
    if !has(d, I64) {
        return;
    }
    let d = &own(d);
    let v = values(50, 6);
    let x = put(d, v.clone(), &[50]);
    let want = counts(v.iter().copied(), 6);
    let mut y = put(d, vec![-1i64; 18], &[3, 6]);
    y.set(s![1], x.bincount(6)).unwrap();
    let mut expected = [vec![-1; 6], want.clone(), vec![-1; 6]].concat();
    same(&y, &expected);
    // a strided target, a reversed one, and one of another dtype
    y.slice_mut(s![..;2, 1]).assign(x.minimum(1).bincount(2)).unwrap();
    let few = counts(v.iter().map(|v| *v.min(&1)), 2);
    (expected[1], expected[13]) = (few[0], few[1]);
    same(&y, &expected);
    let mut z = put(d, vec![0u8; 6], &[6]);
    assert_eq!(z.assign(x.bincount(6)).unwrap_err().kind(), ErrorKind::DType);
    z.slice_mut(s![..;-1]).assign(x.bincount(6).astype(U8)).unwrap();
    same(&z, &want.iter().rev().map(|c| *c as u8).collect::<Vec<_>>());
    // the operand of `bincount` is the target itself
    let mut t = put(d, vec![0i64, 1, 1, 3], &[4]);
    t.update(|t| t.bincount(4)).unwrap();
    same(&t, &[1i64, 2, 0, 1]);
    t.update(|t| t + t.bincount(4)).unwrap();
    same(&t, &[2i64, 4, 1, 1]);
    t.assign(put(d, vec![3i64, 0, 0, 1], &[4])).unwrap();
    let kept = t.clone();
    t.slice_mut(s![..3]).update(|t| t.bincount(4).slice(s![1..])).unwrap();
    same(&t, &[0i64, 0, 1, 1]);
    same(&kept, &[3i64, 0, 0, 1]);
}

fn values_outside_are_errors(d: &Device) {
    if !has(d, I64) {
        return;
    }
    // a device of its own, because another test's read could return this test's late error
    let d = &own(d);
    let late = |e: &Expr| -> Error {
        match e.eval() {
            Err(e) => e,
            Ok(a) => a.to_vec::<i64>().expect_err("a value is outside"),
        }
    };
    for (bad, length) in [(5i64, 5usize), (-1, 5), (i64::MAX, 7), (i64::MIN, 7), (1 << 32, 3), ((1 << 32) + 1, 3)] {
        let e = put(d, vec![0, 1, bad, 2], &[4]).bincount(length); let line = line!();
        let e = late(&e);
        assert_eq!((e.kind(), e.operation()), (ErrorKind::Index, "bincount"), "{e}");
        assert!(e.to_string().starts_with(&format!("bincount: value {bad} is out of range for {length} counts")), "{e}");
        assert!(e.location().is_some_and(|l| l.line() == line && l.file().ends_with("routines.rs")), "{e}");
    }
    for dtype in INTEGERS.into_iter().filter(|t| has(d, *t)) {
        let mut edges = vec![9i128];
        match dtype {
            U64 => edges.push(u64::MAX as i128),
            U32 => edges.push(u32::MAX as i128),
            U8 | U16 => {}
            _ => edges.push(-9),
        }
        for edge in edges {
            let mut x = full([3], 2, dtype).to_device(d).unwrap();
            x.slice_mut(s![1]).assign(whole(edge, dtype).to_device(d).unwrap()).unwrap();
            let e = late(&x.bincount(3));
            assert!(e.to_string().starts_with(&format!("bincount: value {edge} is out of range")), "{dtype}: {e}");
            same(&x.slice(s![..1]).bincount(3), &[0i64, 0, 1]);
        }
    }
    // a valid call together with a failing one, afterwards, and results from before
    let (good, bad) = (put(d, vec![1i32, 1], &[2]), put(d, vec![1i32, 4], &[2]));
    same(&good.bincount(2), &[0i64, 2]);
    let both = eval_all([&good.bincount(2), &bad.bincount(2)]).and_then(|_| d.synchronize());
    assert_eq!(both.unwrap_err().operation(), "bincount");
    same(&good.bincount(2), &[0i64, 2]);
    // a failing `take` in the same evaluation keeps its own name
    let e = late(&good.take(&bad, 0).astype(I64));
    assert_eq!(e.operation(), "take", "{e}");
    // a failed write leaves its target unchanged
    let mut y = put(d, vec![7i64; 4], &[2, 2]);
    assert_eq!(y.set(s![0], bad.bincount(2)).unwrap_err().kind(), ErrorKind::Index);
    assert_eq!(y.update(|y| y + bad.bincount(2)).unwrap_err().kind(), ErrorKind::Index);
    same(&y, &[7i64; 4]);
    d.synchronize().unwrap();
}

fn what_is_refused_when_it_is_built(d: &Device) {
    let x = put(d, vec![1f32, 2.0], &[2]);
    let kind = |e: Expr| e.eval().unwrap_err();
    let e = kind(x.bincount(4));
    assert_eq!((e.kind(), e.operation()), (ErrorKind::DType, "bincount"), "{e}");
    assert!(e.to_string().contains("values have dtype f32; integers are needed"), "{e}");
    assert_eq!(kind(x.greater(1.0).bincount(2)).kind(), ErrorKind::DType);
    let i = put(d, vec![1i32, 2], &[2]);
    assert_eq!(kind(i.bincount(0)).kind(), ErrorKind::Index);
    assert_eq!(kind(i.bincount(usize::MAX)).kind(), ErrorKind::LimitExceeded);
    assert_eq!(kind((&i + put(d, vec![1i32; 3], &[3])).bincount(3)).operation(), "add");
    let n = i.slice(s![..0]).bincount(0);
    if has(d, I64) {
        same(&n, &[0i64; 0]);
    }
}

}

/// A 0-d array of any integer dtype.
fn whole(n: i128, dtype: DType) -> Array {
    match dtype {
        U64 => Array::from_vec(vec![n as u64], ()).unwrap(),
        _ => full((), n as i64, dtype).eval().unwrap(),
    }
}

/// Operands larger than a binding are counted in pieces, and grids that are too small need several dispatches.
#[cfg(feature = "gpu")]
#[test]
fn pieces_of_large_operands() {
    let Some(d) = gpu(1) else { return };
    if !has(&d, I64) {
        return;
    }
    for (binding, groups) in [(4096, 65_535), (1 << 20, 3)] {
        let d = testing::shrunk_gpu(binding, groups).unwrap();
        for (n, length) in [(10_000, 13), (5000, 800), (33_333, 2), (60_001, 800), (600_000, 250)] {
            let v = values(n, length);
            let want = counts(v.iter().copied(), length);
            same(&put(&d, v.iter().map(|v| *v as i32).collect::<Vec<_>>(), &[n]).bincount(length), &want);
            let wide: Vec<u16> = [3].into_iter().chain(v.iter().map(|v| *v as u16)).collect();
            same(&put(&d, wide, &[n + 1]).slice(s![1..]).bincount(length), &want);
        }
    }
    // the counts themselves must fit into one binding
    let d = testing::shrunk_gpu(4096, 65_535).unwrap();
    let e = put(&d, vec![1i32], &[1]).bincount(2000).eval().unwrap_err();
    assert_eq!((e.kind(), e.operation()), (ErrorKind::LimitExceeded, "bincount"), "{e}");
}
