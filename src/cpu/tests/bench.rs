//! Timings of the executor alone: `cargo test --release cpu::tests::bench -- --ignored --nocapture`.

use super::*;
use std::time::Instant;

/// The median of some runs, in ms, on outputs that are allocated anew each time.
fn time(name: &str, cpu: &Cpu, k: Kernel, inputs: &[(Buffer, usize)], bytes: &[usize]) {
    let p = plan(k);
    let mut times: Vec<f64> = (0..21)
        .map(|_| {
            let start = Instant::now();
            let out: Vec<Buffer> = bytes.iter().map(|b| cpu.allocate(*b).unwrap()).collect();
            cpu.run(&p, Bindings { inputs, outputs: &out, scalars: &[] }).unwrap();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{name:32} {:8.3} ms (best {:.3})", times[times.len() / 2], times[0]);
}

fn constant(x: f32) -> Value {
    value(Op::Constant(x.to_bits() as u64), F32)
}

#[test]
#[ignore = "a measurement"]
fn bench() {
    let cpu = Cpu::new(0, None);
    let only = std::env::var("ONLY").unwrap_or_default();
    let n = 10_000_000usize;
    let inputs: Vec<(Buffer, usize)> = (0..2).map(|_| (cpu.adopt(noise(n)), 0)).collect();
    if "read limit".contains(&only) {
        use rayon::prelude::*;
        let v = noise(n);
        let mut best = f64::MAX;
        for _ in 0..9 {
            let t = Instant::now();
            let f = row("add").reduce.as_ref().unwrap().fold[crate::dtype::Compute::F32 as usize].unwrap().get();
            let s: f32 = v
                .par_chunks(n / 8)
                .map(|c| {
                    let mut l = [0f32; 128];
                    let p = c.as_ptr() as *const u8;
                    // SAFETY: whole lanes of the chunk.
                    unsafe { f(c.len() / 128 * 128, p, p, p, l.as_mut_ptr() as *mut u8) };
                    l[5]
                })
                .sum();
            std::hint::black_box(s);
            best = best.min(t.elapsed().as_secs_f64() * 1e3);
        }
        println!("read limit {best:.3} ms ");
    }
    let flat = |values: Vec<Value>| {
        let last = values.len() - 1;
        let loads = vec![load(0, F32, &[1], 0), load(1, F32, &[1], 0)];
        kernel(KernelKind::Elementwise, &[n], &[], loads, values, vec![store(0, F32, &[1], last)])
    };
    let x = || value(Op::Load(0), F32);
    let y = || value(Op::Load(1), F32);
    let run = |name: &str, k: Kernel, bytes: usize| {
        if name.contains(&only) {
            time(name, &cpu, k, &inputs, &[bytes]);
        }
    };
    run("a + b", flat(vec![x(), y(), value(call("add", &[0, 1]), F32)]), 4 * n);
    let axpb = vec![
        x(),
        constant(2.5),
        value(call("multiply", &[0, 1]), F32),
        constant(1.2),
        value(call("add", &[2, 3]), F32),
    ];
    run("2.5 x + 1.2", flat(axpb), 4 * n);
    let hypot = vec![
        x(),
        y(),
        value(call("square", &[0]), F32),
        value(call("square", &[1]), F32),
        value(call("add", &[2, 3]), F32),
        value(call("sqrt", &[4]), F32),
    ];
    run("sqrt(x² + y²)", flat(hypot), 4 * n);
    run("exp", flat(vec![x(), value(call("exp", &[0]), F32)]), 4 * n);
    run("copy", flat(vec![x()]), 4 * n);
    let mut chain = vec![x(), y()];
    for i in 0..20 {
        chain.push(value(call(["add", "multiply", "maximum", "subtract"][i % 4], &[i + 1, i % 2]), F32));
    }
    run("20 operations", flat(chain), 4 * n);
    let sum = |name: &str,
               values: Vec<Value>,
               outer: &[usize],
               inner_dims: &[usize],
               strides: &[isize],
               lanes,
               fold: Fold| {
        let mut values = values;
        let last = values.len();
        values.push(value(Op::Reduce(fold, last - 1), F32));
        let loads = vec![load(0, F32, strides, 0), load(1, F32, strides, 0)];
        let out = outer.iter().product::<usize>();
        let k = kernel(
            KernelKind::Reduce(lanes),
            outer,
            inner_dims,
            loads,
            values,
            vec![store(0, F32, &c_strides(outer), last)],
        );
        run(name, k, 4 * out);
    };
    let ix = || inner(Op::Load(0), F32);
    let add = || Fold::Ufunc(row("add"));
    sum("sum", vec![ix()], &[], &[n], &[1], Lanes::Inner, add());
    sum("max", vec![ix()], &[], &[n], &[1], Lanes::Inner, Fold::Ufunc(row("maximum")));
    sum("argmax", vec![ix()], &[], &[n], &[1], Lanes::Inner, Fold::ArgMax);
    let d =
        vec![ix(), inner(Op::Load(1), F32), inner(call("subtract", &[0, 1]), F32), inner(call("square", &[2]), F32)];
    sum("sum (a-b)²", d, &[], &[n], &[1], Lanes::Inner, add());
    for w in [3usize, 10, 64, 256, 500, 1000, 5000] {
        let rows = n / w;
        sum(&format!("sum of rows of {w}"), vec![ix()], &[rows], &[w], &[w as isize, 1], Lanes::Inner, add());
        sum(&format!("sum over axis 0, {w} columns"), vec![ix()], &[w], &[rows], &[1, w as isize], Lanes::Outer, add());
    }
    for w in [10usize, 100, 1000, 10_000] {
        let mut k = softmax(n / w, w, &[w as isize, 1]);
        k.stores[0].strides = smallvec![w as isize, 1];
        run(&format!("softmax of rows of {w}"), k, 4 * n);
    }
    let transpose = |s: usize| {
        let loads = vec![load(0, F32, &[1, s as isize], 0)];
        kernel(KernelKind::Elementwise, &[s, s], &[], loads, vec![x()], vec![store(0, F32, &[s as isize, 1], 0)])
    };
    run("transposed copy 3000²", transpose(3000), 36_000_000);
    run("transposed copy 2048²", transpose(2048), 16_777_216);
    let column = kernel(
        KernelKind::Elementwise,
        &[n / 10, 10],
        &[],
        vec![load(0, F32, &[10, 1], 0), load(1, F32, &[0, 1], 0)],
        vec![x(), y(), value(call("add", &[0, 1]), F32)],
        vec![store(0, F32, &[10, 1], 2)],
    );
    run("[n/10, 10] + [10]", column, 4 * n);
    let every = kernel(
        KernelKind::Elementwise,
        &[n / 2],
        &[],
        vec![load(0, F32, &[2], 0)],
        vec![x(), value(call("negative", &[0]), F32)],
        vec![store(0, F32, &[1], 1)],
    );
    run("-x[::2]", every, 2 * n);
    for s in [256usize, 1024] {
        let dot = kernel(
            KernelKind::Matmul,
            &[s, s],
            &[s],
            vec![load(0, F32, &[s as isize, 0, 1], 0), load(1, F32, &[0, 1, s as isize], 0)],
            vec![value(Op::Dot, F32)],
            vec![store(0, F32, &[s as isize, 1], 0)],
        );
        run(&format!("matmul {s}"), dot, 4 * s * s);
    }
    if "8 elements".contains(&only) {
        let k = kernel(
            KernelKind::Elementwise,
            &[8],
            &[],
            vec![load(0, F32, &[1], 0), load(1, F32, &[1], 0)],
            vec![x(), y(), value(call("add", &[0, 1]), F32)],
            vec![store(0, F32, &[1], 2)],
        );
        let p = plan(k);
        let start = Instant::now();
        for _ in 0..1_000_000 {
            let out = [cpu.allocate(32).unwrap()];
            cpu.run(&p, Bindings { inputs: &inputs, outputs: &out, scalars: &[] }).unwrap();
        }
        println!("8 elements {:.0} ns", start.elapsed().as_secs_f64() * 1e3);
    }
    drop(inputs);
    if "10000²".contains(&only) {
        let big = vec![(cpu.adopt(noise(100_000_000)), 0)];
        for (name, s, lanes) in [("columns", [1, 10_000], Lanes::Outer), ("rows", [10_000, 1], Lanes::Inner)] {
            let k = kernel(
                KernelKind::Reduce(lanes),
                &[10_000],
                &[10_000],
                vec![load(0, F32, &s, 0)],
                vec![ix(), value(Op::Reduce(add(), 0), F32)],
                vec![store(0, F32, &[1], 1)],
            );
            time(&format!("sum of {name}, 10000²"), &cpu, k, &big, &[40_000]);
        }
    }
}
