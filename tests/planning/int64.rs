//! 64-bit integers on every GPU: without hardware support, kernels use pairs of 32-bit words. Every operation has the
//! CPU's bits, with native integers and with pairs, for all pairs of edge values and for random ones.

use crate::kit::{arrays::put, dice::Dice, gpu, operations, operations::Kind, own, share::*, stage::Stage};
use cupric::{Array, Clip, DType, DType::*, Device, ErrorKind, Expr, Result, Rng, Wrap, array_equal, s, testing};

/// The first GPU as it is, and without its 64-bit integers; empty if there is no GPU.
fn devices() -> Vec<Device> {
    match gpu(1) {
        // a device of its own, because another test's read could return an index error of these tests
        Some(d) => vec![own(&d), testing::gpu_without_int64().unwrap()],
        None => vec![],
    }
}

/// Numbers near those at which a carry, a sign, a shift or a conversion changes.
fn edges() -> Vec<u64> {
    let mut all = vec![];
    for power in [0, 1, 7, 8, 15, 16, 23, 24, 25, 31, 32, 33, 40, 47, 53, 62, 63] {
        let p = 1u64 << power;
        all.extend([p - 1, p, p + 1, p | 1 << (power / 2), p.wrapping_neg(), !p, (p + 1).wrapping_neg()]);
    }
    all.extend([
        3,
        5,
        7,
        10,
        0xffff_ffff_0000_0000,
        0x0000_0001_ffff_ffff,
        0xaaaa_aaaa_5555_5555,
        0x8000_0000_8000_0000,
    ]);
    all.sort_unstable();
    all.dedup();
    all
}

/// Random numbers of every bit length, because most random words use all bits.
fn random(seed: u64, n: usize) -> Vec<u64> {
    let mut dice = Dice::new(seed);
    let mut one = || {
        let (word, how) = (dice.next(), dice.next());
        let short = word >> (how & 63);
        if how & 64 == 0 { short } else { short.wrapping_neg() }
    };
    (0..n).map(|_| one()).collect()
}

/// Makes an array of a 64-bit type from words.
fn of(dtype: DType, words: &[u64]) -> Array {
    match dtype {
        U64 => put(&Device::cpu(), words, &[words.len()]),
        _ => put(&Device::cpu(), words.iter().map(|w| *w as i64).collect::<Vec<i64>>(), &[words.len()]),
    }
}

/// A function's operands on the CPU, and the same on a device.
type Sides = [Vec<Expr>; 2];

fn sides(operands: &[Array], device: &Device) -> Sides {
    let here: Vec<Expr> = operands.iter().map(|x| x.clone().into()).collect();
    let there = operands.iter().map(|x| x.to_device(device).unwrap().into()).collect();
    [here, there]
}

/// Asserts that a device gives the CPU's bits.
fn same(what: &str, [here, there]: &Sides, device: &Device, f: impl Fn(&[Expr]) -> Expr) {
    let (expected, got) = (f(here).eval(), f(there).eval());
    let (expected, got) = match (expected, got) {
        (Ok(expected), Ok(got)) => (expected, got.to_device(&Device::cpu()).unwrap()),
        (Err(a), Err(b)) => return assert_eq!(a.kind(), b.kind(), "{what} on {device}"),
        (a, b) => panic!("{what} on {device}: {:?}, on the CPU {:?}", b.err(), a.err()),
    };
    assert_eq!(expected.dtype(), got.dtype(), "{what} on {device}");
    if array_equal(&expected, &got).unwrap() {
        return;
    }
    let differs = expected.not_equal(&got).reshape([-1]).argmax(0).item::<i64>().unwrap();
    let at = |x: &Array| x.reshape([-1]).slice(s![differs]).eval().unwrap().to_string();
    panic!("{what} on {device}: element {differs} is {}, not {}", at(&got), at(&expected));
}

/// The elementwise functions that take a 64-bit type without a conversion.
fn rows(dtype: DType) -> impl Iterator<Item = testing::Row> {
    let whole = move |r: &testing::Row| r.takes(dtype, true) && r.operand(dtype) == dtype && r.name() != "select";
    testing::rows().into_iter().filter(whole)
}

#[test]
fn all_pairs_of_edge_values() {
    let edges = edges();
    let n = edges.len();
    let first: Vec<u64> = edges.iter().flat_map(|e| vec![*e; n]).collect();
    let second: Vec<u64> = (0..n).flat_map(|_| edges.clone()).collect();
    let third: Vec<u64> = (0..n * n).map(|i| edges[(i * 7 + i / n) % n]).collect();
    for device in devices() {
        let mut stage = Stage::new(5, "64-bit integers: all pairs of edge values", &device);
        for dtype in [U64, I64] {
            let operands = sides(&[of(dtype, &first), of(dtype, &second), of(dtype, &third)], &device);
            for row in rows(dtype) {
                stage.count(n * n);
                same(&format!("{} of {dtype}", row.name()), &operands, &device, |x| row.apply(&x[..row.arity()]));
            }
            same("select", &operands, &device, |x| cupric::select(x[0].less(&x[1]), &x[2], &x[0]));
        }
    }
}

/// Ten million pairs for each operation with `--full`, otherwise a hundredth. The code is the same for all pairs.
#[test]
fn random_pairs() {
    let n = if takes_all() { 10_000_000 } else { scaled(100_000) };
    let words = [1, 2, 3].map(|seed| random(seed_of_turn(seed), n));
    for device in devices() {
        let mut stage = Stage::new(5, "64-bit integers: random pairs", &device);
        for dtype in [U64, I64] {
            let operands = sides(&words.each_ref().map(|w| of(dtype, w)), &device);
            for row in rows(dtype) {
                stage.count(n);
                same(&format!("{} of {dtype}", row.name()), &operands, &device, |x| row.apply(&x[..row.arity()]));
            }
        }
    }
}

#[test]
fn conversions_between_64_bits_and_every_type() {
    let mut words = edges();
    words.extend(random(4, 5000));
    for device in devices() {
        for dtype in [U64, I64] {
            let operands = sides(&[of(dtype, &words)], &device);
            for to in DType::ALL.into_iter().filter(|to| *to != F64) {
                same(&format!("{dtype} as {to}"), &operands, &device, |x| x[0].astype(to));
                // the conversion back, of numbers that the narrower type represents
                same(&format!("{dtype} as {to} as {dtype}"), &operands, &device, |x| x[0].astype(to).astype(dtype));
            }
            // every exponent of f32, with few and with all mantissa bits set
            let bits: Vec<f32> = (0..1u32 << 16).map(|n| f32::from_bits(n << 16 | ((n * 77) & 0xffff))).collect();
            let floats = sides(&[put(&Device::cpu(), bits, &[1 << 16])], &device);
            for from in [F32, F16, BF16] {
                same(&format!("{from} as {dtype}"), &floats, &device, |x| x[0].astype(from).astype(dtype));
            }
        }
    }
}

/// Reductions and scans of integers of every width give 64-bit results, and so do positions and counts.
#[test]
fn reductions_and_scans() {
    for device in devices() {
        for (n, shape) in
            [(1, vec![1, 1]), (35, vec![5, 7]), (6000, vec![3, 2000]), (6000, vec![2000, 3]), (20_000, vec![1, 20_000])]
        {
            for dtype in [U64, I64, I32, U8] {
                let x = of(U64, &random(n as u64, n)).reshape(shape.iter().map(|n| *n as isize).collect::<Vec<_>>());
                let x = x.astype(dtype).eval().unwrap();
                let operands = sides(&[x], &device);
                let of_table = operations::along_axes()
                    .filter(|o| o.takes(dtype) && !o.several_passes && !(o.result)(dtype).is_float());
                for o in of_table {
                    for axis in [0, 1] {
                        let what = format!("{} of {dtype} {shape:?} along {axis}", o.name);
                        same(&what, &operands, &device, |x| (o.build)(&x[..1], &operations::Params::along(axis)));
                    }
                    if !o.keeps_shape() {
                        let what = format!("{} of {dtype} {shape:?}", o.name);
                        same(&what, &operands, &device, |x| (o.build)(&x[..1], &operations::Params::along(..)));
                    }
                }
                same("a mean", &operands, &device, |x| x[0].mean(0));
                same("a row of its own sum", &operands, &device, |x| (&x[0] - x[0].max(cupric::keep(-1))).sum(0));
            }
        }
    }
}

#[test]
fn views_ranges_and_random_numbers() {
    for device in devices() {
        let x = of(I64, &random(9, 24 * 36)).reshape([24, 36]).eval().unwrap();
        let operands = sides(&[x], &device);
        same("transposed", &operands, &device, |x| x[0].t() + 1);
        same("steps", &operands, &device, |x| x[0].slice(s![..;-2, 3..;5]) * 3);
        same("broadcast", &operands, &device, |x| &x[0] + x[0].slice(s![.., 0]).expand_dims(1));
        same("a formula", &operands, &device, |x| (&x[0] * &x[0] + 7) % 1_000_003);
        let on = |e: &Expr, there: bool| if there { e.to_device(&device).map(Expr::from) } else { Ok(e.clone()) };
        let ranges: Vec<(&str, Expr)> = vec![
            ("arange", cupric::arange(1i64 << 40, (1i64 << 40) + 3_000_000_000, 1_000_003, I64)),
            ("arange of u64", cupric::arange(u64::MAX - 500, u64::MAX, 7, U64)),
            ("integers", Rng::new(3).integers(i64::MIN, i64::MAX, [3000], I64)),
            ("integers of u64", Rng::new(3).integers(5, u64::MAX, [3000], U64)),
            ("uniform as i64", (Rng::new(4).uniform([3000], F32) * 1e12).astype(I64)),
        ];
        for (what, e) in ranges {
            let both: Result<Vec<Expr>> = [false, true].into_iter().map(|there| on(&e, there)).collect();
            let [here, there]: [Expr; 2] = both.unwrap().try_into().unwrap();
            same(what, &[vec![here], vec![there]], &device, |x| x[0].clone());
        }
    }
}

#[test]
fn gathers_scatters_and_counts_by_64_bit_indices() {
    for device in devices() {
        let n = 1000;
        let values = of(U64, &random(5, n));
        for dtype in [U64, I64] {
            let inside = of(dtype, &random(6, 300).iter().map(|w| w % n as u64).collect::<Vec<_>>());
            let anywhere = of(dtype, &[edges(), random(7, 300)].concat());
            let operands = sides(&[values.clone(), inside, anywhere], &device);
            same("take", &operands, &device, |x| x[0].take(&x[1], 0));
            same("take_clip", &operands, &device, |x| x[0].take(Clip(&x[2]), 0));
            same("take_wrap", &operands, &device, |x| x[0].take(Wrap(&x[2]), 0));
            same("index_add", &operands, &device, |x| x[0].index_add(0, &x[1], x[0].slice(s![..300])));
            same("index_add_wrap", &operands, &device, |x| x[0].index_add(0, Wrap(&x[2]), 3));
            same("bincount", &operands, &device, |x| x[1].bincount(1000));
            let e = operands[1][0].take(&operands[1][2], 0).eval().and_then(|x| x.to_vec::<u64>()).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Index, "{e}");
        }
        let e = of(I64, &[5, 1006u64.wrapping_neg(), 2]).to_device(&device).unwrap();
        let message = values.to_device(&device).unwrap().take(&e, 0).to_vec::<u64>().unwrap_err().to_string();
        assert!(message.contains("-1006"), "{message}");
    }
}

/// Operations with 64-bit integer results run on adapters without 64-bit integers.
#[test]
fn every_operation_of_integers_runs_on_every_gpu() {
    for device in devices() {
        let x = of(I64, &random(8, 60)).reshape([5, 12]).eval().unwrap();
        let index = put(&Device::cpu(), vec![3i64, 0, 1, 3], &[4]);
        for dtype in DType::ALL.into_iter().filter(|t| t.is_integer() || *t == Bool) {
            let x = x.astype(dtype).eval().unwrap();
            let operands = sides(&[x.clone(), x.t().eval().unwrap(), index.clone()], &device);
            for o in operations::OPERATIONS.iter().filter(|o| o.takes(dtype) && !(o.result)(dtype).is_float()) {
                let p = operations::Params::axis(1);
                let build = |x: &[Expr]| match o.kind {
                    Kind::Gather => (o.build)(&[x[0].clone(), x[2].clone()], &p),
                    Kind::Scatter => (o.build)(&[x[0].clone(), x[2].clone(), x[0].slice(s![.., ..4])], &p),
                    Kind::Product => (o.build)(&[x[0].clone(), x[1].clone()], &p),
                    Kind::Join => (o.build)(&[x[0].clone(), x[0].clone()], &p),
                    Kind::Conversion => (o.build)(x, &operations::Params { dtype: I64, ..p.clone() }),
                    Kind::Reduction | Kind::Row if !o.several_passes => (o.build)(x, &operations::Params::along(1)),
                    // other tests run moves and composites, because they know the arguments
                    Kind::Move | Kind::Composite | Kind::Reduction | Kind::Row | Kind::Generator => x[0].clone(),
                };
                same(&format!("{} of {dtype}", o.name), &operands, &device, build);
            }
        }
    }
}
