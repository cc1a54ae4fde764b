//! Plans: the number of kernels, the bytes, and the printed text.
//!
//! The texts are files in `tests/data/snapshots`; `CUPRIC_BLESS=1 cargo test --test planning plans` rewrites them.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;
use std::path::Path;
use std::sync::LazyLock;

/// A CPU device with fixed caches and vector sizes, so that plans do not depend on this machine.
fn cpu() -> Device {
    static CPU: LazyLock<Device> = LazyLock::new(|| testing::cpu_within(&testing::named_caps("cpu").unwrap()).unwrap());
    CPU.clone()
}

fn filled(shape: &[usize]) -> Array {
    put(&cpu(), noise(1, shape.iter().product()), shape)
}

#[track_caller]
fn kernels(e: &Expr, want: usize) {
    let p = e.plan().unwrap();
    assert_eq!(p.kernels(), want, "{p}");
    assert_eq!(p.dispatches(), want, "{p}");
}

#[track_caller]
fn bytes(e: &Expr, read: u64, written: u64) {
    let p = e.plan().unwrap();
    assert_eq!(p.bytes(), (read, written), "{p}");
}

#[test]
fn elementwise_chains_are_one_kernel() {
    let x = filled(&[100, 50]);
    let e = &x * 2.5 + 1.2;
    kernels(&e, 1);
    bytes(&e, 20_000, 20_000);
    kernels(&((&x * &x + &x).exp().tanh() - x.sqrt()), 1);
    bytes(&((&x * &x + &x).exp().tanh() - x.sqrt()), 20_000, 20_000);
    let row = filled(&[50]);
    bytes(&((&x + &row) * &row), 20_200, 20_000);
    kernels(&x.less(0).astype(F16), 1);
    bytes(&x.less(0), 20_000, 5_000);
    bytes(&x.astype(F16), 20_000, 10_000);
    kernels(&(x.slice(s![1..]) - x.slice(s![..-1])), 1);
    kernels(&(x.t() + 1.0).slice(s![..;2]), 1);
    bytes(&(&x + 1.0).slice(s![..10]), 2_000, 2_000);
    kernels(&(arange(0, 100, 1, I32) * 2 + 1), 1);
    bytes(&(arange(0, 100, 1, I32) * 2 + 1), 0, 400);
    kernels(&Rng::new(0).uniform([10], F32), 1);
    bytes(&Rng::new(0).normal([10], F32), 0, 40);
    kernels(&(&x + Rng::new(0).bernoulli(0.5, [100, 50], Bool)), 1);
}

#[test]
fn reductions_take_their_prologue() {
    let (a, b) = (filled(&[100, 50]), put(&cpu(), noise(2, 5000), &[100, 50]));
    let e = (&a - &b).square().mean(..);
    kernels(&e, 1);
    bytes(&e, 40_000, 4);
    kernels(&a.sum(0), 1);
    kernels(&a.sum(1), 1);
    kernels(&a.sum(..), 1);
    kernels(&(&a * 2.0).max(0), 1);
    kernels(&a.argmax(1), 1);
    kernels(&a.t().sum(0), 1);
    kernels(&(a.sum(1) * 2.0 + 1.0).sqrt(), 1);
    kernels(&a.mean(1), 1);
    kernels(&a.slice(s![..;2]).sum(1), 1);
    kernels(&a.less(0).sum(0), 1);
    kernels(&a.count_nonzero(..), 1);
    bytes(&a.sum(0), 20_000, 200);
    bytes(&a.sum(1), 20_000, 400);
}

#[test]
fn standardised_columns_are_at_most_three_kernels() {
    let x = filled(&[1000, 30]);
    let e = (&x - x.mean(0)) / x.std(0);
    let p = e.plan().unwrap();
    assert!(p.kernels() <= 3, "{p}");
}

#[test]
fn chains_over_rows_are_one_row_kernel() {
    let x = filled(&[100, 50]);
    for (name, e) in [
        ("softmax", x.softmax(-1)),
        ("log_softmax", x.log_softmax(-1)),
        ("layer_norm", x.layer_norm(-1, 1e-5)),
        ("rms_norm", x.rms_norm(-1, 1e-5)),
        ("logsumexp", x.logsumexp(-1)),
        ("standardise", (&x - x.mean(keep(1))) / x.std(keep(1))),
        ("var", x.var(1)),
        ("softmax of a chain", (&x * 2.0 + 1.0).softmax(-1) * 3.0),
    ] {
        let p = e.plan().unwrap();
        assert_eq!(p.kernels(), 1, "{name}: {p}");
        assert!(p.to_string().contains("row"), "{name}: {p}");
        assert_eq!(p.bytes().0, 20_000, "{name} reads each element once: {p}");
    }
}

#[test]
fn products_take_their_epilogue() {
    let (x, w, b) = (filled(&[64, 32]), filled(&[32, 16]), filled(&[16]));
    // on the CPU an epilogue is a second pass after the product
    let kernels = |e: &Expr, want: usize, passes: usize| {
        let p = e.plan().unwrap();
        assert_eq!((p.kernels(), p.dispatches()), (want, passes), "{p}");
    };
    kernels(&x.matmul(&w), 1, 1);
    kernels(&(x.matmul(&w) + &b).relu(), 1, 2);
    kernels(&(x.matmul(&w) + &b).gelu().astype(F16), 1, 2);
    kernels(&x.astype(F16).eval().unwrap().matmul(w.astype(F16).eval().unwrap()), 1, 1);
    kernels(&(x.matmul(w.t().t()) * 2.0), 1, 2);
    kernels(&x.t().matmul(&x), 1, 1);
    kernels(&(x.matmul(&w) + x.slice(s![.., ..16])), 1, 2);
    // each product of a chain is one kernel
    kernels(&((x.matmul(&w) + &b).relu()).matmul(w.t()), 2, 3);
}

#[test]
fn equal_parts_are_computed_once() {
    let x = filled(&[100, 50]);
    let e = x.sum(0) + x.sum(0);
    kernels(&e, 1);
    bytes(&e, 20_000, 200);
    let p = (x.matmul(x.t()) + x.matmul(x.t())).plan().unwrap();
    assert_eq!(p.to_string().matches("dot(").count(), 1, "{p}");
    let p = ((&x + 1.0) * (&x + 1.0)).plan().unwrap();
    assert_eq!(p.to_string().matches("add(").count(), 1, "{p}");
    assert_eq!(p.to_string().matches("load ").count(), 1, "{p}");
    let p = (x.exp() * x.exp() + x.exp()).plan().unwrap();
    assert_eq!(p.to_string().matches("exp(").count(), 1, "{p}");
}

#[test]
fn numbers_are_bindings() {
    let x = filled(&[100, 50]);
    let text = |e: Expr| e.plan().unwrap().to_string();
    assert_eq!(text(&x * 2.5 + 1.2), text(&x * 7.5 + 3.25));
    assert_eq!(text(&x * f64::NAN + 1e30), text(&x * 0.5 + 1.5));
    assert_eq!(text(x.clip(-1.0, 1.0)), text(x.clip(-7.0, 3.0)));
    assert_eq!(text(x.slice(s![10..20]) * 2.0), text(x.slice(s![50..60]) * 3.0));
    assert_eq!(text(x.slice(s![3]).sum(0)), text(x.slice(s![4]).sum(0)));
    let other = put(&cpu(), noise(9, 5000), &[100, 50]);
    assert_eq!(text(&x * 2.5 + 1.2), text(&other * 2.5 + 1.2));
    assert_eq!(text(Rng::new(1).uniform([10], F32)), text(Rng::new(2).uniform([10], F32)));
    assert_ne!(text(&x * 2.5 + 1.2), text(&x * 2.5 + 2.5), "which numbers are equal is in the plan");
    // printing the plan of an equal expression gives the same text
    let e = (&x - x.mean(0)).exp().sum(1);
    assert_eq!(text(e.clone()), text(e));
}

#[test]
fn a_plan_does_not_run() {
    let d = cpu().with_memory_limit(1 << 30).unwrap();
    let x = put(&d, noise(1, 1000), &[1000]);
    let before = d.stats();
    let p = (&x + 1.0).sum(..).plan().unwrap();
    assert!(p.wgsl().is_empty());
    assert_eq!(d.stats(), before);
    assert!(format!("{p:?}").starts_with("plan: "));
}

#[test]
fn many_inputs_and_long_chains_split_sensibly() {
    let all: Vec<Array> = (0..100).map(|i| put(&cpu(), noise(i, 10), &[10])).collect();
    let mut e = &all[0] + 0.0;
    for a in &all[1..] {
        e = e + a;
    }
    let p = e.plan().unwrap();
    assert!(p.kernels() <= 10, "{p}");
    let mut e = &all[0] * 1.5;
    for _ in 0..10_000 {
        e = e + 1.0;
    }
    let p = e.plan().unwrap();
    assert!(p.kernels() <= 300, "{} kernels", p.kernels());
}

#[test]
fn snapshots() {
    let x = filled(&[8, 6]);
    let y = put(&cpu(), noise(2, 48), &[8, 6]);
    let row = filled(&[6]);
    let (w, i) = (filled(&[6, 4]), put(&cpu(), vec![1i32, -1, 0], &[3]));
    let h = x.astype(F16).eval().unwrap();
    let u = put(&cpu(), (0..48).collect::<Vec<u8>>(), &[8, 6]);
    let list: Vec<(&str, Expr)> = vec![
        ("scale_and_shift", &x * 2.5 + 1.2),
        ("broadcast_row", (&x + &row) * &row),
        ("transposed", x.t() + y.t()),
        ("transposed_and_not", x.reshape([6, 8]) + y.t()),
        ("mean_of_squares", (&x - &y).square().mean(..)),
        ("column_sums", x.sum(0)),
        ("row_sums", x.sum(1)),
        ("standardised_columns", (&x - x.mean(0)) / x.std(0)),
        ("softmax", x.softmax(-1)),
        ("layer_norm", x.layer_norm(-1, 1e-5)),
        ("dense_layer", (x.matmul(&w) + w.slice(s![0])).relu()),
        ("gather", x.take(&i, 0) * 2.0),
        ("joined", concat([&x + 1.0, (&y * 2.0).slice(s![..2])], 0)),
        ("half", (&h * 2.0 + 1.0).greater(&h)),
        ("narrow_integers", floor_divide(&u + 200, 3)),
        ("uniform", Rng::new(1).uniform([4, 3], F32)),
        ("argmax_of_a_slice", x.slice(s![..;2, ..;-1]).argmax(1)),
        ("reshaped", x.t().reshape([48]) + 1.0),
        ("windows", x.sliding_windows(3, 0).sum(-1)),
        ("sums_so_far", (&x * &y).cumulative_sum(0) / &row),
        ("long_sums_so_far", filled(&[2, 70_000]).cumulative_sum(1) * 2.0),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/snapshots");
    let bless = std::env::var_os("CUPRIC_BLESS").is_some_and(|v| v == "1");
    let mut wrong = vec![];
    for (name, e) in list {
        // ignores whether this machine has threaded code; `caps/main.rs` tests that for named devices
        let text = without_numbers(&e.plan().unwrap().to_string().replace("schedule: threaded ", "schedule: tiles "));
        let file = folder.join(format!("{name}.plan"));
        if bless {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &text).unwrap();
            continue;
        }
        let known = std::fs::read_to_string(&file).unwrap_or_default();
        if known != text {
            wrong.push(format!("{name}:\n--- {}\n{known}+++ now\n{text}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{} plans changed; CUPRIC_BLESS=1 accepts them\n{}", wrong.len(), wrong.join("\n"));
}

/// A plan's text without the line numbers of this file, so that edits here change no snapshot.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(concat!(file!(), ":"));
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |all, part| all + file!() + ":N" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Source lines belong to an expression, but expressions of one structure share a plan: each prints its own lines.
#[test]
fn each_expression_prints_its_own_lines() {
    let x = filled(&[40, 30]);
    let of = |e: &Expr| e.plan().unwrap().to_string();
    let (one, first) = (x.sum(0) * 3.0, line!());
    let (other, second) = (x.sum(0) * 3.0, line!());
    let place = |line: u32| format!("B  ({}:{line})\n", file!());
    for (e, line, not) in [(&one, first, second), (&other, second, first), (&one, first, second)] {
        let text = of(e);
        assert!(text.contains(&place(line)) && !text.contains(&place(not)), "{text}");
    }
    assert_eq!(without_numbers(&of(&one)), without_numbers(&of(&other)));
    // each kernel shows the line of its last operation; operations within a composite show the composite's call
    let (centred, above) = (&x - x.mean(0), line!());
    let (result, below) = (centred / x.std(0), line!());
    let text = of(&result);
    let lines: Vec<u32> =
        text.split(concat!(file!(), ":")).skip(1).map(|t| t.split(')').next().unwrap().parse().unwrap()).collect();
    assert_eq!(text.matches("B  (").count(), result.plan().unwrap().dispatches(), "{text}");
    assert!(
        lines.contains(&above) && lines.contains(&below) && lines.iter().all(|l| (above..=below).contains(l)),
        "{text}"
    );
}

/// A kernel that only copies shows the line of the operation that needs the copy, not of the one that made the array.
#[test]
fn copies_have_the_line_of_who_asks_for_them() {
    let x = filled(&[40, 30]);
    let (turned, below) = (x.t().reshape([1200]), line!());
    let (joined, beside) = (concat([&x, &x], 0), line!());
    let (written, there) = (x.put(put(&cpu(), vec![3i32], &[1]), 0.0), line!());
    for (e, line) in [(turned, below), (joined, beside), (written, there)] {
        let text = e.plan().unwrap().to_string();
        let own = text.matches(&format!("B  ({}:{line})\n", file!())).count();
        assert_eq!(own, e.plan().unwrap().dispatches(), "{text}");
    }
}

/// The temporary memory that a plan prints is what the device allocates while it runs.
#[test]
fn temporaries_are_those_that_are_printed() {
    type Build = fn(&Array, &Array, &Array) -> Expr;
    let cases: [(&str, Build); 9] = [
        ("a product", |x, _, _| x.matmul(x)),
        ("a product with an epilogue", |x, _, b| (x.matmul(x) + b).relu()),
        ("a product of halves", |_, h, _| h.matmul(h)),
        ("a product of a transposed operand", |x, _, _| x.t().matmul(x) * 2.0),
        ("a product of integers", |x, _, _| x.astype(I32).matmul(x.astype(I32).t()) + 1),
        ("a chain of products", |x, _, b| (x.matmul(x) + b).relu().matmul(x) - x),
        ("columns made standard", |x, _, b| (x - x.mean(0)) / (x.std(0) + b)),
        ("a softmax of halves over columns", |_, h, _| h.softmax(0).astype(F32) * 2.0),
        ("a reduction of a product", |x, h, _| h.matmul(h).astype(F32).sum(0) + x.sum(0)),
    ];
    for device in [Some(Device::cpu()), gpu(1)].into_iter().flatten() {
        for (name, build) in cases {
            let d = own(&device);
            // lengths whose bytes are not rounded up by the allocator
            let n = 256;
            let x = put(&d, noise(1, n * n), &[n, n]);
            let h = put(&d, noise(1, n * n).into_iter().map(f16::from_f32).collect::<Vec<_>>(), &[n, n]);
            let b = put(&d, noise(2, n), &[n]);
            let e = build(&x, &h, &b);
            let plan = e.plan().unwrap().to_string();
            let line = plan.lines().find_map(|l| l.trim().strip_prefix("temporaries: ")).unwrap_or("");
            let bytes = |t: &str| t.split(' ').nth(1).and_then(|b| b.parse::<usize>().ok()).unwrap();
            let temps: usize = line.split(", ").filter(|t| !t.is_empty()).map(bytes).sum();
            let used = d.memory().used;
            let result = e.eval().unwrap();
            d.synchronize().unwrap();
            let (taken, out) = (d.memory().peak - used, result.size() * result.dtype().size());
            assert_eq!(taken, out + temps, "{name} on {d:?}: {temps} bytes printed\n{plan}");
        }
    }
}

/// Repeated evaluations of one structure, and writes of one row after another, are planned and prepared only once.
#[test]
fn what_repeats_is_prepared_once() {
    for device in [Some(cpu()), gpu(1)].into_iter().flatten() {
        let d = own(&device);
        let (x, b) = (put(&d, noise(1, 1000 * 8), &[1000, 8]), put(&d, noise(2, 8), &[8]));
        let prepares = || d.stats().prepares;
        let before = prepares();
        for i in 0..1000 {
            let row = x.slice(s![i as isize]);
            let y = ((row * (i as f64) + &b) * 0.5).eval().unwrap();
            assert_eq!(y.shape(), [8]);
        }
        assert_eq!(prepares() - before, 1, "evaluations on {d:?}");
        let before = prepares();
        let mut x = x;
        for i in 0..1000 {
            x.set(s![i as isize, ..], &b * (i as f64)).unwrap();
        }
        assert_eq!(prepares() - before, 1, "writes of rows on {d:?}");
        let got = x.slice(s![999]).to_vec::<f32>().unwrap();
        let want: Vec<f32> = b.to_vec::<f32>().unwrap().iter().map(|v| v * 999.0).collect();
        assert_eq!(got, want);
        let before = prepares();
        for i in 1..1000 {
            let (next, last) = (i as isize, i as isize - 1);
            let above = x.slice(s![last]).eval().unwrap() + 1.0;
            x.set(s![next, ..], above).unwrap();
        }
        assert!(prepares() - before <= 3, "rows from the row above on {d:?}: {}", prepares() - before);
    }
}

/// Rows of bytes start at any of four positions within a word. A GPU program for rows of whole words differs from one
/// for rows that share words with neighbours. It is prepared at most once for each of the four positions.
#[test]
fn what_repeats_is_prepared_for_each_place_in_a_word() {
    for (width, places) in [(7usize, 4), (6, 2), (8, 1)] {
        let rows = 200;
        let start: Vec<u8> = (0..rows * width).map(|i| (i % 251) as u8).collect();
        let mut want = start.clone();
        for (i, v) in want.iter_mut().enumerate() {
            *v = ((i % width) * 3 + i / width) as u8;
        }
        for device in [Some(cpu()), gpu(1)].into_iter().flatten() {
            let d = own(&device);
            let mut x = put(&d, start.clone(), &[rows, width]);
            let b = put(&d, (0..width as u8).map(|i| i * 3).collect::<Vec<_>>(), &[width]);
            let before = d.stats().prepares;
            for i in 0..rows {
                x.set(s![i as isize, ..], &b + i as i64).unwrap();
            }
            let prepares = d.stats().prepares - before;
            assert_eq!(x.to_vec::<u8>().unwrap(), want, "rows of {width} on {d:?}");
            assert_eq!(prepares, if d.is_gpu() { places } else { 1 }, "rows of {width} on {d:?}");
        }
    }
}

/// Operands that share a buffer are bound once, others separately. Each case has its own program, in any order of the
/// calls. Plans with many buffers find equal ones by another method than plans with few.
#[test]
fn what_repeats_is_prepared_for_buffers_that_are_one() {
    for device in [Some(cpu()), gpu(1)].into_iter().flatten() {
        let d = own(&device);
        let host: Vec<Vec<f32>> = (1..4).map(|seed| noise(seed, 64)).collect();
        let arrays: Vec<Array> = host.iter().map(|v| put(&d, v.clone(), &[8, 8])).collect();
        let others: Vec<Array> = (100..110).map(|n| put(&d, noise(4, n), &[n])).collect();
        for count in [0, others.len()] {
            let before = d.stats().prepares;
            // three operands in one buffer, in two, and in three; then all of this again
            for turn in 0..2 {
                for [a, b, c] in [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 2], [2, 2, 2], [1, 1, 2]] {
                    let e = arrays[a].slice(s![1]) * arrays[b].slice(s![3]) - arrays[c].slice(s![6]);
                    let beside = others[..count].iter().map(|x| x * 2.0);
                    let results = eval_many(std::iter::once(e).chain(beside)).unwrap();
                    let want: Vec<f32> = (0..8).map(|i| host[a][8 + i] * host[b][24 + i] - host[c][48 + i]).collect();
                    let which = format!("turn {turn}, arrays {a}, {b}, {c} beside {count} kernels on {d:?}");
                    assert_eq!(results[0].to_vec::<f32>().unwrap(), want, "{which}");
                }
            }
            let prepares = d.stats().prepares - before;
            assert_eq!(prepares, if d.is_gpu() { 5 } else { 1 }, "beside {count} kernels on {d:?}");
        }
    }
}

/// Results that are evaluated together read common operands once, and have the same bits as each alone.
#[test]
fn results_of_one_space_share_a_kernel() {
    for device in [Some(Device::cpu()), gpu(1)].into_iter().flatten() {
        let d = own(&device);
        let x = put(&d, noise(1, 300 * 40), &[300, 40]);
        let y = put(&d, noise(2, 300 * 40), &[300, 40]);
        let h = put(&d, noise(3, 300 * 40).into_iter().map(f16::from_f32).collect::<Vec<_>>(), &[300, 40]);
        let cases: [(&str, Vec<Expr>, u64); 8] = [
            ("two of one array", vec![&x + 1.0, &x * 2.0], 1),
            ("three of two arrays", vec![&x + &y, (&x - &y).exp(), y.sin()], 1),
            ("halves", vec![&h + 1.0, (&h * 3.0).tanh()], 1),
            ("of several dtypes", vec![x.astype(I32), x.greater(0.5), x.astype(F16)], 1),
            ("sums of one array", vec![x.sum(1), (&x * &x).sum(1), x.max(1)], 1),
            ("of nothing in common", vec![&x + 1.0, &y * 2.0], 2),
            ("of other shapes", vec![&x + 1.0, x.slice(s![..7]) * 2.0], 2),
            ("one that reads the other's sum", vec![x.sum(0), &x / x.sum(0)], 2),
        ];
        for (name, list, want) in cases {
            let alone: Vec<Array> = list.iter().map(|e| e.eval().unwrap()).collect();
            let before = d.stats().kernels;
            let together = eval_many(&list).unwrap();
            d.synchronize().unwrap();
            assert_eq!(d.stats().kernels - before, want, "{name} on {d:?}");
            for (a, b) in alone.iter().zip(&together) {
                let same = match a.dtype() {
                    F16 => a.to_vec::<f16>().unwrap() == b.to_vec::<f16>().unwrap(),
                    Bool => a.to_vec::<bool>().unwrap() == b.to_vec::<bool>().unwrap(),
                    I32 => a.to_vec::<i32>().unwrap() == b.to_vec::<i32>().unwrap(),
                    _ => a.to_vec::<f32>().unwrap() == b.to_vec::<f32>().unwrap(),
                };
                assert!(same, "{name} on {d:?}");
            }
        }
    }
}

/// More partial results at the same time than the numbers that were once reserved for them.
#[test]
fn twenty_reductions_beside_each_other_keep_their_partial_results_apart() {
    // 4,096 elements take two passes here, and a graph is split at a third of this many values
    let caps = testing::Caps {
        name: "few".into(),
        max_reduce: [64, 16],
        max_values: 240,
        ..testing::named_caps("cpu").unwrap()
    };
    let d = testing::cpu_within(&caps).unwrap();
    let x = put(&d, noise(1, 4096), &[4096]);
    let part = |i: usize| (&x * (i as f64 + 1.0)).sum(..);
    fn tree(parts: &[Expr]) -> Expr {
        match parts {
            [one] => one.clone(),
            many => tree(&many[..many.len() / 2]) + tree(&many[many.len() / 2..]),
        }
    }
    let parts: Vec<Expr> = (0..20).map(part).collect();
    let together = tree(&parts);
    let plan = together.plan().unwrap();
    let stores = |pass: &str| pass.matches("store temp").count();
    let text = plan.to_string();
    let most = text.split("writes").map(stores).max().unwrap();
    assert!(most > 16, "{most} partial results in one pass\n{text}");
    let alone: Vec<Expr> = parts.iter().map(|p| p.eval().unwrap().into()).collect();
    let want = tree(&alone).item::<f32>().unwrap();
    assert_eq!(together.item::<f32>().unwrap().to_bits(), want.to_bits(), "{text}");
    let positions: Vec<Expr> = (0..12).map(|i| (&x * (i as f64 - 5.5)).argmax(..)).collect();
    let alone: Vec<Expr> = positions.iter().map(|p| p.eval().unwrap().into()).collect();
    assert_eq!(tree(&positions).item::<i64>().unwrap(), tree(&alone).item::<i64>().unwrap());
}
