use super::*;
use crate::base::dtype::DType::{self, *};
use crate::base::layout::{Strides, c_strides};
use crate::graph::ufunc::{ARGMAX, ARGMIN, Ufunc, all};
use crate::plan::kernel::{
    BufferRef, Fold, IndexMode, Kernel, KernelKind, Lanes, Load, Op, Position, Schedule, Store, Value, Window,
};
use folds::{lanes_of, tree};
use plans::plan;
use smallvec::smallvec;

mod folds;
mod narrow;
mod plans;
mod stores;
mod threaded;

crate::testing::unit_tests! {
    cpu: elementwise_layouts, many_axes, in_place_reads_before_it_writes, casts, rows, empty, gathers, matmuls,
    index_and_random, a_plan_that_reaches_outside_fails, row_kernels_in_place_and_checked
}

/// The source lines of a test's plan. There are none, because no caller's expression made the plan.
struct NoLines;

impl crate::plan::backend::SourceLines for NoLines {
    fn of(&self, _: usize) -> Option<crate::base::error::Loc> {
        None
    }

    fn call(&self, _: usize) -> Option<&'static str> {
        None
    }
}

fn row(name: &str) -> &'static Ufunc {
    all().chain([&crate::graph::ufunc::logic::SELECT]).find(|r| r.name == name).unwrap()
}

fn value(op: Op, dtype: DType) -> Value {
    Value { op, dtype, inner: false }
}

/// Returns an operation that reads the elements of load 1 at the positions in value 0.
fn gather(stride: isize, extent: usize, mode: IndexMode) -> Op {
    Op::Gather {
        load: 1,
        stride,
        position: Box::new(Position { index: 0, extent, mode, from_end: None, name: "test", node: 0 }),
    }
}

fn inner(op: Op, dtype: DType) -> Value {
    Value { op, dtype, inner: true }
}

fn load(n: usize, dtype: DType, strides: &[isize], offset: isize) -> Load {
    Load { buffer: BufferRef::Input(n), dtype, strides: strides.into(), offset }
}

fn store(n: usize, dtype: DType, strides: &[isize], value: usize) -> Store {
    Store { buffer: BufferRef::Output(n), dtype, strides: strides.into(), offset: 0, value, chosen: None }
}

fn call(name: &str, args: &[usize]) -> Op {
    Op::Ufunc(row(name), args.into())
}

#[track_caller]
fn kernel(
    kind: KernelKind,
    outer: &[usize],
    inner: &[usize],
    loads: Vec<Load>,
    values: Vec<Value>,
    stores: Vec<Store>,
) -> Kernel {
    Kernel {
        kind,
        outer: outer.into(),
        inner: inner.into(),
        loads,
        values,
        stores,
        windows: vec![Window { start: smallvec![0; outer.len()], shape: outer.into() }],
        schedule: Schedule::default(),
        continues: false,
        name: "test",
        node: 0,
    }
}

fn bound<'a>(inputs: &'a [(&'a Buffer, usize)], output: &'a (&'a Buffer, usize), scalars: &'a [u64]) -> Bindings<'a> {
    Bindings { inputs, outputs: std::slice::from_ref(output), scalars, lines: &NoLines, replaces: false }
}

/// Runs a kernel on these inputs, and returns its output, which has `n` elements. Run-time scalar 0 is 2.5.
fn run<T: Element, R: Element>(k: Kernel, inputs: &[Vec<T>], n: usize) -> Result<Vec<R>> {
    let cpu = Cpu::new(0, None);
    let buffers: Vec<_> = inputs.iter().map(|v| cpu.adopt(v.clone())).collect();
    let inputs: Vec<_> = buffers.iter().map(|b| (b, 0)).collect();
    let out = cpu.allocate(n * R::DTYPE.size())?;
    cpu.run(&plan(k), bound(&inputs, &(&out, 0), &[2.5f32.to_bits() as u64]))?;
    Ok(R::from_bytes(&pollster::block_on(cpu.download(&out, 0, n * R::DTYPE.size()))?).unwrap())
}

/// Returns `n` pseudorandom numbers between −1 and 1, the same in every call.
fn noise(n: usize) -> Vec<f32> {
    let mut s = 12345u32;
    (0..n)
        .map(|_| {
            s = s.wrapping_mul(1664525).wrapping_add(1013904223);
            (s >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn threads<R: Send>(n: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(f)
}

fn elementwise_layouts() {
    // computes a[i,j] + b[j] * 2.5 for several shapes and layouts of a
    for (r, c) in [(1, 8), (3, 5), (40, 7), (100, 333), (70, 5000), (5000, 70), (3, 1)] {
        let (a, b) = (noise(4 * r * c), noise(c));
        let (ri, ci) = (r as isize, c as isize);
        // the layouts of `a`: C, Fortran, reversed, every second element, Fortran with reversed columns, equal rows,
        // equal columns
        let layouts = [
            ([ci, 1], 0),
            ([1, ri], 0),
            ([-ci, -1], ri * ci - 1),
            ([2 * ci, 2], 1),
            ([1, -ri], (ci - 1) * ri),
            ([0, 3], 0),
            ([4, 0], 2),
        ];
        for (s, offset) in layouts {
            for out in [[ci, 1], [1, ri]] {
                let k = kernel(
                    KernelKind::Elementwise,
                    &[r, c],
                    &[],
                    vec![load(0, F32, &s, offset), load(1, F32, &[0, 1], 0)],
                    vec![
                        value(Op::Load(0), F32),
                        value(Op::Load(1), F32),
                        value(Op::Scalar(0), F32),
                        value(call("multiply", &[1, 2]), F32),
                        value(call("add", &[0, 3]), F32),
                    ],
                    vec![store(0, F32, &out, 4)],
                );
                let got: Vec<f32> = run(k, &[a.clone(), b.clone()], r * c).unwrap();
                for i in 0..r {
                    for j in 0..c {
                        let x = a[(offset + i as isize * s[0] + j as isize * s[1]) as usize];
                        let at = (i as isize * out[0] + j as isize * out[1]) as usize;
                        assert_eq!(got[at], x + b[j] * 2.5, "{r} {c} {s:?} {out:?} {i} {j}");
                    }
                }
            }
        }
    }
}

fn many_axes() {
    let dims = [3usize, 4, 5, 6, 7];
    let n: usize = dims.iter().product();
    let s: Strides = smallvec![1, 3, 12, 60, 360];
    let a = noise(n);
    let k = kernel(
        KernelKind::Elementwise,
        &dims,
        &[],
        vec![load(0, F32, &s, 0)],
        vec![value(Op::Load(0), F32), value(call("negative", &[0]), F32)],
        vec![store(0, F32, &c_strides(&dims), 1)],
    );
    let got: Vec<f32> = run(k, std::slice::from_ref(&a), n).unwrap();
    for (i, g) in got.iter().enumerate() {
        let (mut rest, mut at) = (i, 0);
        for d in (0..5).rev() {
            at += (rest % dims[d]) as isize * s[d];
            rest /= dims[d];
        }
        assert_eq!(*g, -a[at as usize]);
    }
}

fn in_place_reads_before_it_writes() {
    for n in [8usize, 5000, 300_000] {
        let cpu = Cpu::new(0, None);
        let (x, g) = (noise(n), noise(n + 1));
        let (bx, bg) = (cpu.adopt(x.clone()), cpu.adopt(g.clone()));
        let k = kernel(
            KernelKind::Elementwise,
            &[n],
            &[],
            vec![load(0, F32, &[1], 0), load(1, F32, &[1], 1)],
            vec![
                value(Op::Load(0), F32),
                value(Op::Constant(0.9f32.to_bits() as u64), F32),
                value(call("multiply", &[0, 1]), F32),
                value(Op::Load(1), F32),
                value(call("add", &[2, 3]), F32),
            ],
            vec![store(0, F32, &[1], 4)],
        );
        let inputs = [(&bx, 0), (&bg, 0)];
        cpu.run(&plan(k), bound(&inputs, &(&bx, 0), &[])).unwrap();
        let got = f32::from_bytes(bx.memory::<CpuMemory>().unwrap().as_bytes()).unwrap();
        for i in 0..n {
            assert_eq!(got[i], x[i] * 0.9 + g[i + 1]);
        }
    }
}

fn casts() {
    let x = vec![-1.5f32, 0.0, 300.7, 1e20, f32::NAN, -0.0, 65519.9, 1e-9];
    fn cast<T: Element, R: Element>(x: &[T]) -> Vec<R> {
        let values = vec![value(Op::Load(0), T::DTYPE), value(Op::Cast(0), R::DTYPE)];
        let k = kernel(
            KernelKind::Elementwise,
            &[x.len()],
            &[],
            vec![load(0, T::DTYPE, &[1], 0)],
            values,
            vec![store(0, R::DTYPE, &[1], 1)],
        );
        run(k, &[x.to_vec()], x.len()).unwrap()
    }
    assert_eq!(cast::<f32, u8>(&x), x.iter().map(|v| *v as u8).collect::<Vec<_>>());
    assert_eq!(cast::<f32, i16>(&x), x.iter().map(|v| *v as i16).collect::<Vec<_>>());
    assert_eq!(cast::<f32, i64>(&x), x.iter().map(|v| *v as i64).collect::<Vec<_>>());
    assert_eq!(cast::<f32, bool>(&x), x.iter().map(|v| *v != 0.0).collect::<Vec<_>>());
    let i = vec![-1i64, 256, 70_000, i64::MIN, i64::MAX, (1 << 40) + (1 << 32) + 1];
    assert_eq!(cast::<i64, u8>(&i), i.iter().map(|v| *v as u8).collect::<Vec<_>>());
    assert_eq!(cast::<i64, i16>(&i), i.iter().map(|v| *v as i16).collect::<Vec<_>>());
    assert_eq!(cast::<i64, f32>(&i), i.iter().map(|v| *v as f32).collect::<Vec<_>>());
    assert_eq!(cast::<i64, half::bf16>(&i)[5].to_f64(), (1u64 << 40) as f64 * (1.0 + 1.0 / 128.0));
    assert_eq!(cast::<i64, half::f16>(&i)[2], half::f16::INFINITY);
    assert_eq!(cast::<f64, half::f16>(&[1.0 + 2f64.powi(-11) + 2f64.powi(-40)])[0].to_f64(), 1.0 + 2f64.powi(-10));
    assert_eq!(cast::<bool, f64>(&[true, false]), [1.0, 0.0]);
    assert_eq!(cast::<u8, i8>(&[255, 1]), [-1, 1]);
    assert_eq!(
        cast::<half::f16, half::bf16>(&[half::f16::from_f32(1.0 / 3.0)]),
        [half::bf16::from_f32(half::f16::from_f32(1.0 / 3.0).to_f32())]
    );
}

fn softmax(outer: usize, n: usize, strides: &[isize]) -> Kernel {
    kernel(
        KernelKind::Row,
        &[outer],
        &[n],
        vec![load(0, F32, strides, 0)],
        vec![
            inner(Op::Load(0), F32),
            value(Op::reduce(Fold::of(row("maximum")), 0, F32), F32),
            inner(call("subtract", &[0, 1]), F32),
            inner(call("exp", &[2]), F32),
            value(Op::reduce(Fold::of(row("add")), 3, F32), F32),
            inner(call("divide", &[3, 4]), F32),
        ],
        vec![store(0, F32, strides, 5)],
    )
}

fn rows() {
    for (outer, n) in [(1, 1), (5, 3), (100, 10), (33, 400), (20, 3000), (3, 60_000)] {
        let x = noise(outer * n);
        for strides in [[n as isize, 1], [1, outer as isize]] {
            for t in [1, 3] {
                let got: Vec<f32> =
                    threads(t, || run(softmax(outer, n, &strides), std::slice::from_ref(&x), outer * n).unwrap());
                for o in 0..outer {
                    let at = |i: usize| o * strides[0] as usize + i * strides[1] as usize;
                    let top = (0..n).map(|i| x[at(i)]).fold(f32::MIN, f32::max);
                    let e: Vec<f32> = (0..n).map(|i| crate::math::single::exp(x[at(i)] - top)).collect();
                    let sum = tree(&e, lanes_of(n), |a, b| a + b, -0.0);
                    for i in 0..n {
                        assert_eq!(got[at(i)], e[i] / sum, "{outer} {n} {strides:?}");
                    }
                }
            }
        }
    }
}

fn empty() {
    let sum = |outer: usize, n: usize| {
        kernel(
            KernelKind::Reduce(Lanes::Inner),
            &[outer],
            &[n],
            vec![load(0, F32, &[1, 1], 0)],
            vec![inner(Op::Load(0), F32), value(Op::reduce(Fold::of(row("add")), 0, F32), F32)],
            vec![store(0, F32, &[1], 1)],
        )
    };
    let got: Vec<f32> = run(sum(3, 0), &[Vec::<f32>::new()], 3).unwrap();
    assert_eq!(got.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), [0, 0, 0]);
    assert_eq!(run::<f32, f32>(sum(0, 3), &[vec![]], 0).unwrap(), [0f32; 0]);
    assert_eq!(run::<f32, f32>(softmax(4, 0, &[1, 1]), &[vec![]], 0).unwrap(), [0f32; 0]);
}

fn gathers() {
    let take = |mode: IndexMode| {
        kernel(
            KernelKind::Elementwise,
            &[4],
            &[],
            vec![load(0, I32, &[1], 0), load(1, I32, &[0], 0)],
            vec![value(Op::Load(0), I32), value(gather(2, 3, mode), I32)],
            vec![store(0, I32, &[1], 1)],
        )
    };
    let data = vec![10, 0, 20, 0, 30];
    let run = |i: Vec<i32>, mode| run::<i32, i32>(take(mode), &[i, data.clone()], 4);
    assert_eq!(run(vec![2, 0, 1, 2], IndexMode::Check).unwrap(), [30, 10, 20, 30]);
    assert_eq!(run(vec![-5, 7, 1, 2], IndexMode::Clip).unwrap(), [10, 30, 20, 30]);
    assert_eq!(run(vec![-1, 4, 1, 2], IndexMode::Wrap).unwrap(), [30, 20, 20, 30]);
    let e = run(vec![0, 3, -1, 2], IndexMode::Check).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Index);
    assert_eq!(e.to_string(), "test: index 3 is out of range for an axis of length 3");
}

type Operand<'a> = (&'a [f32], &'a [isize; 4]);

fn products_of_bytes((batch, m, n, k): (usize, usize, usize, usize), (a, sa): Operand<'_>, (b, sb): Operand<'_>) {
    let ints = |x: &[f32]| x.iter().map(|v| (v * 100.0) as i8 as u8).collect::<Vec<u8>>();
    let out: Strides = c_strides(&[batch, m, n]);
    let (ia, ib) = (ints(a), ints(b));
    let kk = kernel(
        KernelKind::Matmul,
        &[batch, m, n],
        &[k],
        vec![load(0, U8, sa, 0), load(1, U8, sb, 0)],
        vec![value(Op::Dot { from: None, part: None }, U32), value(Op::Cast(0), U8)],
        vec![store(0, U8, &out, 1)],
    );
    let got: Vec<u8> = run(kk, &[ia.clone(), ib.clone()], batch * m * n).unwrap();
    for t in 0..batch {
        for i in 0..m {
            for j in 0..n {
                let w = (0..k).fold(0u8, |s, p| {
                    let x = ia[t * m * k + i * sa[1] as usize + p * sa[3] as usize];
                    s.wrapping_add(x.wrapping_mul(ib[j * sb[2] as usize + p * sb[3] as usize]))
                });
                assert_eq!(got[(t * m + i) * n + j], w);
            }
        }
    }
}

fn matmuls() {
    for (batch, m, n, k) in [
        (1, 3, 4, 5),
        (2, 1, 70, 300),
        (1, 300, 1, 400),
        (3, 64, 33, 17),
        (1, 130, 140, 150),
        (2, 3, 4, 0),
        (1, 2000, 1, 300),
    ] {
        for case in 0..4 {
            let (a, b) = (noise(batch * m * k), noise(k * n));
            let (mi, ni, ki) = (m as isize, n as isize, k as isize);
            // a and b each in C or Fortran order; b is the same for the whole batch
            let sa = if case & 1 == 0 { [mi * ki, ki, 0, 1] } else { [mi * ki, 1, 0, mi] };
            let sb = if case & 2 == 0 { [0, 0, 1, ni] } else { [0, 0, ki, 1] };
            let want = |t: usize, i: usize, j: usize| -> f64 {
                (0..k)
                    .map(|p| {
                        let x = a[t * m * k + i * sa[1] as usize + p * sa[3] as usize] as f64;
                        x * b[j * sb[2] as usize + p * sb[3] as usize] as f64
                    })
                    .sum()
            };
            for epilogue in [false, true] {
                let mut values = vec![value(Op::Dot { from: None, part: None }, F32)];
                if epilogue {
                    values.push(value(call("negative", &[0]), F32));
                }
                let last = values.len() - 1;
                let out: Strides = c_strides(&[batch, m, n]);
                let kk = kernel(
                    KernelKind::Matmul,
                    &[batch, m, n],
                    &[k],
                    vec![load(0, F32, &sa, 0), load(1, F32, &sb, 0)],
                    values,
                    vec![store(0, F32, &out, last)],
                );
                let got: Vec<f32> = run(kk, &[a.clone(), b.clone()], batch * m * n).unwrap();
                for t in 0..batch {
                    for i in 0..m {
                        for j in 0..n {
                            let w = want(t, i, j) * if epilogue { -1.0 } else { 1.0 };
                            let g = got[(t * m + i) * n + j] as f64;
                            assert!((g - w).abs() < 1e-4, "{batch} {m} {n} {k} case {case}: {g} {w}");
                        }
                    }
                }
            }
            // the same products as u8 × u8 → u8 (wrapping) and as f16
            products_of_bytes((batch, m, n, k), (&a, &sa), (&b, &sb));
            let out: Strides = c_strides(&[batch, m, n]);
            let halves = |x: &[f32]| x.iter().map(|v| half::f16::from_f32(*v)).collect::<Vec<_>>();
            let kk = kernel(
                KernelKind::Matmul,
                &[batch, m, n],
                &[k],
                vec![load(0, F16, &sa, 0), load(1, F16, &sb, 0)],
                vec![value(Op::Dot { from: None, part: None }, F16)],
                vec![store(0, F16, &out, 0)],
            );
            let got: Vec<half::f16> = run(kk, &[halves(&a), halves(&b)], batch * m * n).unwrap();
            assert!((got.first().map_or(0.0, |g| g.to_f64()) - want(0, 0, 0)).abs() < 0.05);
        }
    }
}

fn index_and_random() {
    let values = vec![
        value(Op::Index { strides: Box::new(smallvec![10, -1]), offset: 5 }, U32),
        value(Op::Philox { index: 0, word: 1, slots: [0, 0, 0] }, U32),
    ];
    let k = kernel(KernelKind::Elementwise, &[30, 7], &[], vec![], values, vec![store(0, U32, &[7, 1], 1)]);
    let got: Vec<u32> = run::<f32, u32>(k, &[], 210).unwrap();
    let key = [2.5f32.to_bits(); 3];
    for i in 0..210u32 {
        assert_eq!(got[i as usize], philox::word(1, (i / 7 * 10 + 5).wrapping_sub(i % 7), key));
    }
}

fn a_plan_that_reaches_outside_fails() {
    let k = kernel(
        KernelKind::Elementwise,
        &[9],
        &[],
        vec![load(0, F32, &[1], 0)],
        vec![value(Op::Load(0), F32)],
        vec![store(0, F32, &[1], 0)],
    );
    assert_eq!(run::<f32, f32>(k, &[vec![0.0; 8]], 9).unwrap_err().kind(), ErrorKind::Internal);
}

fn row_kernels_in_place_and_checked() {
    // x.assign(softmax(x)): a row is read by two passes before it is written
    for (outer, n) in [(40, 100), (5, 5000)] {
        let x = noise(outer * n);
        let strides = [n as isize, 1];
        let want: Vec<f32> = run(softmax(outer, n, &strides), std::slice::from_ref(&x), outer * n).unwrap();
        let cpu = Cpu::new(0, None);
        let b = cpu.adopt(x);
        let inputs = [(&b, 0)];
        cpu.run(&plan(softmax(outer, n, &strides)), bound(&inputs, &(&b, 0), &[])).unwrap();
        assert_eq!(f32::from_bytes(b.memory::<CpuMemory>().unwrap().as_bytes()).unwrap(), want);
    }
    // if an index is out of bounds, the run fails and has written nothing to the target
    let k = kernel(
        KernelKind::Elementwise,
        &[5000],
        &[],
        vec![load(0, I32, &[1], 0), load(0, I32, &[0], 0)],
        vec![value(Op::Load(0), I32), value(gather(1, 5000, IndexMode::Check), I32)],
        vec![store(0, I32, &[1], 1)],
    );
    let mut index: Vec<i32> = (0..5000).rev().collect();
    index[4999] = 5000;
    let cpu = Cpu::new(0, None);
    let (i, out) = (cpu.adopt(index), cpu.adopt(vec![7i32; 5000]));
    assert_eq!(cpu.run(&plan(k), bound(&[(&i, 0)], &(&out, 0), &[])).unwrap_err().kind(), ErrorKind::Index);
    assert_eq!(i32::from_bytes(out.memory::<CpuMemory>().unwrap().as_bytes()).unwrap(), vec![7; 5000]);
}
