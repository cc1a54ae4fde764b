//! Printed plans are what runs; errors name the given index; large graphs and costly kernels are split.

use crate::kit::*;
use cupric::*;

/// The name and an expression of each kind of operation, on a device.
fn every_operation(d: &Device) -> Vec<(String, Expr)> {
    let small = |shape: &[usize], seed| {
        let n = shape.iter().product();
        put(d, (0..n).map(|i| ((i * 7 + seed) % 5) as f32 * 0.5 + 0.25).collect::<Vec<f32>>(), shape)
    };
    let (x, y, w) = (small(&[6, 8], 1), small(&[6, 8], 2), small(&[8, 5], 3));
    let i = put(d, vec![2i32, 0, -1], &[3]);
    let mut all: Vec<(String, Expr)> = vec![];
    for row in testing::rows() {
        for dtype in [DType::F32, DType::I32, DType::Bool] {
            if !row.takes(dtype, *d != Device::cpu()) {
                continue;
            }
            let operand = |e: &Array| e.astype(row.operand(dtype)).eval().unwrap();
            let mut operands: Vec<Expr> = vec![];
            if row.class() == "Select" {
                operands.push(x.greater(1.0).eval().unwrap().into());
            }
            for e in [&x, &y, &x] {
                operands.push(operand(e).into());
            }
            operands.truncate(row.arity());
            all.push((format!("{} {dtype}", row.name()), row.apply(&operands)));
        }
    }
    let mut put = |name: &str, e: Expr| all.push((name.to_string(), e));
    for (axis, name) in [(0, "columns"), (1, "rows")] {
        put(&format!("sum of {name}"), x.sum(axis));
        put(&format!("max of {name}"), x.max(axis));
        put(&format!("argmin of {name}"), x.argmin(axis));
        put(&format!("mean of {name}"), x.mean(axis));
        put(&format!("std of {name}"), x.std(axis));
        put(&format!("softmax of {name}"), x.softmax(axis));
        put(&format!("logsumexp of {name}"), x.logsumexp(axis));
        put(&format!("all of {name}"), x.less(9).all(axis));
    }
    put("a long sum", cupric::ones([300_000], DType::F32).to_device(d).unwrap().exp().sum(..));
    put("a long argmax", cupric::ones([300_000], DType::F32).to_device(d).unwrap().sin().argmax(..));
    put("long columns", cupric::ones([40_000, 7], DType::F32).to_device(d).unwrap().sum(0));
    put("layer_norm", x.layer_norm(-1, 1e-5));
    put("matmul", x.matmul(&w));
    put("matmul and an epilogue", (x.matmul(&w) + w.slice(s![0])).relu());
    put("a view of a product", x.matmul(&w).t());
    put("a slice of a product", x.matmul(&w).slice(s![1..3, ..;2]));
    put("a view of a product's epilogue", (x.matmul(&w) * 2.0).t());
    put("take", x.take(&i, 0));
    put("a view of take", x.take(&i, 1).t());
    put("take_clip", x.take(Clip(&i), 0) + 1.0);
    put("take_wrap", x.take(Wrap(&i), 0));
    put("concat", concat([&x + 1.0, (&y * 2.0).slice(s![..2])], 0));
    put("a view of joined parts", concat([&x + 1.0, &y * 2.0], 0).t());
    put("a slice of joined parts", stack([&x, &y], 0).slice(s![.., 1]));
    put("reshape", x.t().reshape([48]));
    put("a view of a reshaped copy", x.t().reshape([4, 12]).slice(s![1..]));
    put("a view of a reshaped product", x.matmul(&w).t().reshape([3, 10]).slice(s![..2]));
    put("a stored array", x.clone().into());
    put("a view of a stored array", x.slice(s![1..3]).t());
    put("uniform", Rng::new(1).uniform([4, 3], DType::F32) + &small(&[1], 1));
    put("normal", Rng::new(1).normal([4, 3], DType::F32) * &small(&[1], 1));
    put("arange", arange(0, 6, 1, DType::I32).expand_dims(1) + &x);
    put("a cast", x.astype(DType::F16));
    put("nothing", x.slice(s![..0]).exp());
    put("a sum of nothing", x.slice(s![..0]).sum(0));
    all
}

on_devices! {

fn what_is_printed_is_what_runs(d: &Device) {
    let d = own(d);
    for (name, e) in every_operation(&d) {
        let plan = e.plan().unwrap();
        let before = d.stats();
        e.eval().unwrap();
        let after = d.stats();
        assert_eq!(plan.kernels() as u64, after.kernels - before.kernels, "{name}: {plan}");
        assert_eq!(plan.dispatches() as u64, after.dispatches - before.dispatches, "{name}: {plan}");
    }
}

fn an_index_is_named_as_it_was_given(d: &Device) {
    // a device of its own, because another test's read could return this error
    let d = &own(d);
    let x = put(d, (0..30).map(|i| i as f32).collect::<Vec<_>>(), &[10, 3]);
    let named = |indices: Expr, want: &str| {
        let error = x.take(indices, 0).eval().and_then(|a| a.to_vec::<f32>()).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Index, "take"));
        let text = format!("index {want} is out of range for an axis of length 10");
        assert!(error.to_string().contains(&text), "{error}, not {text}");
    };
    let near = [10i64, 11, -11, -12, 1 << 20, -(1 << 20), i32::MAX as i64, i32::MIN as i64];
    for i in near {
        named(put(d, vec![3, i as i32, 2], &[3]).into(), &i.to_string());
    }
    for i in near.into_iter().chain([1 << 31, 1 << 40, -(1 << 40), (1 << 32) + 3, i64::MAX, i64::MIN]) {
        named(put(d, vec![3, i, 2], &[3]).into(), &i.to_string());
        // the index is converted to i64 within the kernel
        if i32::try_from(i).is_ok() {
            named(put(d, vec![3, i as i32, 2], &[3]).astype(DType::I64), &i.to_string());
        }
    }
    for i in [10u32, 1 << 31, u32::MAX] {
        named(put(d, vec![3, i, 2], &[3]).into(), &i.to_string());
    }
    for i in [10u64, 1 << 40, 1 << 63, u64::MAX] {
        named(put(d, vec![3, i, 2], &[3]).into(), &i.to_string());
    }
    for i in [-11i8, 127] {
        named(put(d, vec![3, i, 2], &[3]).into(), &i.to_string());
    }
    // valid indices of every type still work
    for t in [DType::I8, DType::I16, DType::I32, DType::I64] {
        let i = put(d, vec![-10i32, 9, -1, 0], &[4]).astype(t);
        assert_eq!(x.take(&i, 0).slice(s![.., 0]).to_vec::<f32>().unwrap(), [0., 27., 27., 0.], "{t}");
        assert_eq!(x.take(i.eval().unwrap(), 0).slice(s![.., 0]).to_vec::<f32>().unwrap(), [0., 27., 27., 0.], "{t}");
    }
    for t in [DType::U8, DType::U16, DType::U32, DType::U64] {
        let i = put(d, vec![9u32, 0], &[2]).astype(t);
        assert_eq!(x.take(&i, 0).slice(s![.., 0]).to_vec::<f32>().unwrap(), [27., 0.], "{t}");
    }
    // in a reduction, and among many dispatches before the read, the error of the first one
    let bad = put(d, vec![1i64, 1 << 40], &[2]);
    let error = x.take(&bad, 0).sum(..).eval().and_then(|a| a.to_vec::<f32>()).unwrap_err();
    assert!(error.to_string().contains("index 1099511627776 is"), "{error}");
}

}

/// Applies the same function `n` times.
fn chain(x: &Expr, n: usize, f: impl Fn(Expr) -> Expr) -> Expr {
    (0..n).fold(x.clone(), |e, _| f(e))
}

#[test]
fn kernels_are_cut_by_what_compiling_them_costs() {
    let x: Expr = put(&Device::cpu(), vec![0.5f32; 8], &[8]).into();
    let card = testing::card("card");
    let costs = |e: &Expr| testing::compile_costs(e, &card).unwrap();
    for (name, e) in [
        ("sin", chain(&x, 50, |e| e.sin())),
        ("tan of a sum", chain(&x, 50, |e| (e + 0.5).tan())),
        ("pow", chain(&x, 50, |e| e.pow(1.5))),
        ("in a row kernel", chain(&x.reshape([2, 4]), 20, |e| &e.cos() - e.max(keep(-1)))),
    ] {
        let all = costs(&e);
        assert!(all.len() > 2 && all.iter().all(|c| *c <= card.max_cost), "{name}: {all:?}");
    }
    assert_eq!(costs(&chain(&x, 50, |e| e + 0.5)).len(), 1, "a cheap chain is one kernel");
    assert_eq!(costs(&chain(&x, 30, |e| e.exp())).len(), 1, "and so is one of functions that are not dear");
    assert_eq!(costs(&chain(&x, 8, |e| e.sin())).len(), 1);
    assert_eq!(costs(&Rng::new(1).normal([8], DType::F32)).len(), 1);
    // the CPU does not compile kernels, so only the number of values limits a kernel there
    assert_eq!(chain(&x, 40, |e| e.sin()).plan().unwrap().kernels(), 1);
    // with a limit below the cost of any function, each one gets its own kernel
    let mut tight = card.clone();
    tight.max_cost = 1;
    assert_eq!(testing::compile_costs(&chain(&x, 5, |e| e.sin()), &tight).unwrap().len(), 5);
}

#[cfg(feature = "gpu")]
#[test]
fn a_cut_keeps_the_bits_of_f32() {
    let Some(d) = gpu(1) else { return };
    let x = put(&d, (0..100).map(|i| i as f32 * 0.37 - 20.0).collect::<Vec<_>>(), &[100]);
    let fused = chain(&x, 20, |e| e.sin());
    assert!(fused.plan().unwrap().kernels() > 1);
    let mut step: Array = x.clone();
    for _ in 0..20 {
        step = step.sin().eval().unwrap();
    }
    let bits = |e: &Expr| e.to_vec::<f32>().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&fused), bits(&step));
}

/// The work of the child process that the next test starts.
#[cfg(feature = "gpu")]
#[test]
fn the_first_run_of_a_long_chain() {
    let Some(d) = gpu(1) else { return };
    if std::env::var_os("CUPRIC_TIMEOUT").is_some() {
        let x = put(&d, vec![0.5f32; 8], &[8]);
        let got = chain(&x, 50, |e| e.sin()).to_vec::<f32>().unwrap();
        assert!((got[0] - got[7]).abs() == 0.0 && got[0] > 0.2, "{got:?}");
    }
}

/// A driver that compiles 50 sines counts as working, although it finishes nothing for a while.
#[cfg(feature = "gpu")]
#[test]
fn compiling_is_progress() {
    if gpu(1).is_none() {
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["plans::the_first_run_of_a_long_chain", "--exact"])
        .env("CUPRIC_TIMEOUT", "0.5")
        .env("MESA_SHADER_CACHE_DISABLE", "true")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// A random graph. Each node reads two earlier ones: the previous and any other (`near` is `None`), or two of the last
/// `near`. Also returns how many nodes the last one needs.
fn random_graph(n: usize, near: Option<usize>) -> (Vec<Expr>, usize) {
    let x = put(&Device::cpu(), (1..9).map(|i| i as f32).collect::<Vec<_>>(), &[8]);
    let mut nodes: Vec<Expr> = vec![&x * 0.5, &x + 0.25];
    let mut reads = vec![(0, 0), (0, 0)];
    let mut seed = 1u64;
    while nodes.len() < n {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let (m, r, s) = (nodes.len(), (seed >> 40) as usize, (seed >> 20) as usize & 0xf_ffff);
        let (i, k) = match near {
            None => (m - 1, r % m),
            Some(near) => (m - 1 - s % near.min(m), m - 1 - r % near.min(m)),
        };
        let (a, b) = (&nodes[i], &nodes[k]);
        nodes.push(if seed >> 62 & 1 == 0 { (a - b) * 0.5 } else { a.maximum(b) });
        reads.push((i, k));
    }
    let mut needed = vec![false; n];
    needed[n - 1] = true;
    for i in (0..n).rev().filter(|i| *i > 1) {
        if needed[i] {
            needed[reads[i].0] = true;
            needed[reads[i].1] = true;
        }
    }
    (nodes, needed.iter().filter(|n| **n).count())
}

/// The result of `f` and its peak memory, on a new thread. Its cache of plans is empty, because a full one would be
/// emptied during `f`, and the freed memory would count for `f`.
fn peak_of_a_thread<T: Send>(f: impl FnOnce() -> T + Send) -> (T, usize) {
    std::thread::scope(|s| s.spawn(|| crate::peak_memory::peak(f)).join().unwrap())
}

/// A graph with many nodes of few elements, where readers are far from their operands: planning needs time and memory.
#[test]
fn a_random_graph_is_planned_in_little_memory() {
    // so many nodes that the plan is not cached, because its key would count as memory
    let n = 50_000;
    for near in [None, Some(1000)] {
        let (nodes, needed) = random_graph(n, near);
        // the reference, evaluated node by node without fusion
        let host: Vec<f32> = {
            let values: Vec<Array> = nodes[..300].iter().map(|e| e.eval().unwrap()).collect();
            values[299].to_vec().unwrap()
        };
        assert_eq!(nodes[299].to_vec::<f32>().unwrap(), host);
        let last = &nodes[n - 1];
        let (kept, most) = peak_of_a_thread(|| testing::plan_bytes(last).unwrap());
        let (kept, most) = (kept / needed, most / needed);
        println!("{near:?}: {kept} bytes a node kept, {most} at most");
        // the planner needs little memory beyond the plan itself
        assert!(kept < 850 && most < 1100, "{kept} bytes a node, {most} at most");
        let last = last.to_vec::<f32>().unwrap();
        assert!(last.iter().all(|v| v.is_finite()), "{last:?}");
    }
}

/// Ten times as many nodes take ten times as many steps and as much memory.
#[test]
fn planning_is_linear_in_the_nodes() {
    for near in [None, Some(1000)] {
        let cost = |n: usize| {
            let (nodes, needed) = random_graph(n, near);
            let (steps, most) = peak_of_a_thread(|| testing::plan_steps(&nodes[n - 1]).unwrap());
            (steps as f64 / needed as f64, most as f64 / needed as f64)
        };
        let (small, large) = (cost(5_000), cost(50_000));
        println!("{near:?}: {small:?} then {large:?} steps and bytes a node");
        assert!(large.0 < small.0 * 1.3 && large.1 < small.1 * 1.3, "{small:?} then {large:?}");
    }
}

/// A thread has 2,048 slots for plans. More plans share slots, and each must still give its own result.
#[test]
fn more_plans_than_a_thread_has_places() {
    let x: Vec<f32> = (0..3000).map(|i| i as f32).collect();
    let x = Array::from_vec(x, [3000]).unwrap();
    for _ in 0..2 {
        for n in 1..=3000 {
            // plans of different lengths that start at different offsets
            let y = (x.slice(s![n - 1..]) + 1.0).eval().unwrap();
            assert_eq!((y.size(), y.slice(s![..1]).item::<f32>().unwrap()), (3001 - n as usize, n as f32));
        }
    }
}
