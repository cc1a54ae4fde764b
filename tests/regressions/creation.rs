//! Ranges that silently wrapped or overflowed, literals or draws that were narrowed to f32 on the way into an array,
//! and the dtype of `array!`.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// The error of an f32 in ULP, where one ULP is at least that of the smallest normal number.
fn ulps(got: f32, want: f64) -> f64 {
    let next = f32::from_bits((want.abs() as f32).max(f32::MIN_POSITIVE).to_bits() + 1);
    (got as f64 - want).abs() / (next as f64 - f32::from_bits(next.to_bits() - 1) as f64)
}

on_devices! {

fn a_range_never_wraps(d: &Device) {
    let refused = |e: Expr, element: &str| {
        let e = e.to_device(d).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Argument);
        assert!(e.to_string().contains(element), "{e}");
    };
    refused(arange(0, u64::MAX, 1i64 << 62, I64), "13835058055282163712");
    refused(arange(-5, i64::MAX, 1u64 << 63, U64), "-5");
    refused(arange(0, 300, 1, U8), "299");
    refused(arange(5, -2, -1, U16), "-1");
    refused(arange(0.0, 5.0, 1.0, I32), "0.0");
    refused(arange(250, 257, 3, U8), "256");
    same(&arange(250, 256, 3, U8).to_device(d).unwrap(), &[250u8, 253]);
    same(&arange(5, -1, -1, U16).to_device(d).unwrap(), &[5u16, 4, 3, 2, 1, 0]);
    same(&arange(-128, 128, 85, I8).to_device(d).unwrap(), &[-128i8, -43, 42, 127]);
    if has(d, U64) {
        let want: Vec<u64> = (0..4).map(|i| i << 62).collect();
        same(&arange(0, u64::MAX, 1i64 << 62, U64).to_device(d).unwrap(), &want);
        same(&arange(-5, i64::MAX, 1u64 << 63, I64).to_device(d).unwrap(), &[-5i64, i64::MAX - 4]);
        same(&arange(u64::MAX, u64::MAX - 3, -1, U64).to_device(d).unwrap(), &[u64::MAX, u64::MAX - 1, u64::MAX - 2]);
    }
    same(&arange(0, 3000, 1500, F16).to_device(d).unwrap(), &[0.0, 1500.0].map(f16::from_f32));
    // f16 represents only every second number here; each is rounded once from the exact one
    let got = arange(-1, 4000, 1, F16).to_device(d).unwrap();
    same(&got, &(-1..4000).map(|i| f16::from_f32(i as f32)).collect::<Vec<_>>());
}

fn a_line_is_rounded_once(d: &Device) {
    let line = |a: f64, b: f64, n: usize| linspace(a, b, n, F32).to_device(d).unwrap().to_vec::<f32>().unwrap();
    let ends = [(-1.0, 1.0), (0.0, 1.0), (-3e38, 3e38), (1e6, -1e3), (0.1, 0.7), (-0.3, 7e4), (1e-30, 3e-30), (5.0, 5.0)];
    for (a, b) in ends {
        for n in [2usize, 3, 5, 1001, 4096, 100_003] {
            let got = line(a, b, n);
            assert_eq!((got[0], got[n - 1]), (a as f32, b as f32), "{a} {b} {n}");
            let (mut worst, mut at) = (0.0, 0);
            for (i, x) in got.iter().enumerate() {
                // the reference in f64, whose error is too small for an f32 to show
                let t = i as f64 / (n - 1) as f64;
                let want = if n == 1001 && (a, b) == (-1.0, 1.0) { (2 * i as i64 - 1000) as f64 / 1000.0 } else { a * (1.0 - t) + b * t };
                // what the f64 reference itself loses by cancellation
                let lost = (a.abs().max(b.abs()) * 2f64.powi(-51)) / (want.abs().max(1e-300) * 2f64.powi(-24));
                let e = ulps(*x, want) - lost;
                if e > worst { (worst, at) = (e, i) }
            }
            assert!(worst <= 0.55, "linspace({a}, {b}, {n})[{at}]: {worst} ULP");
        }
    }
    assert_eq!(line(-1.0, 1.0, 1001)[501], 0.002);
    assert_eq!(line(-3e38, 3e38, 2), [-3e38, 3e38]);
    assert!(line(-3e38, 3e38, 5).iter().all(|x| x.is_finite()));
    // more elements than an f32 can count exactly
    let n = (1 << 24) + 7;
    let e = linspace(-1.0, 1.0, n, F32);
    for first in [0usize, n / 2 - 5000, n - 5000] {
        let got = e.slice(s![first..first + 5000]).to_device(d).unwrap().to_vec::<f32>().unwrap();
        for (k, x) in got.iter().enumerate() {
            let want = (2 * (first + k) as i64 - (n as i64 - 1)) as f64 / (n - 1) as f64;
            assert!(ulps(*x, want) <= 1.5, "element {}: {x:e}, not {want:e}", first + k);
        }
    }
    // ranges of floats are computed like `linspace`
    let got = arange(0.0, 100.0, 0.1, F32).to_device(d).unwrap().to_vec::<f32>().unwrap();
    assert!(got.iter().enumerate().all(|(i, x)| *x == (i as f64 * 0.1) as f32));
    for t in [F16, BF16] {
        assert_eq!(linspace(0.0, 1.0, 3, t).to_device(d).unwrap().astype(F32).to_vec::<f32>().unwrap(), [0.0, 0.5, 1.0]);
    }
    if has(d, F64) {
        let got = linspace(-1.0, 1.0, 1001, F64).to_device(d).unwrap().to_vec::<f64>().unwrap();
        let want: Vec<f64> = (0..1001).map(|i| (i - 500) as f64 / 500.0).collect();
        assert_eq!(got, want);
        let got = linspace(-1.7e308, 1.7e308, 5, F64).to_device(d).unwrap().to_vec::<f64>().unwrap();
        assert_eq!(got, [-1.7e308, -8.5e307, 0.0, 8.5e307, 1.7e308]);
        let got = arange(0.0, 1.0, 0.1, F64).to_device(d).unwrap().to_vec::<f64>().unwrap();
        assert_eq!(got, (0..10).map(|i| i as f64 * 0.1).collect::<Vec<_>>());
    }
    assert_eq!(linspace(0.0, 1.0, 3, I32).eval().unwrap_err().kind(), ErrorKind::DType);
}

fn creation_computes_in_its_dtype(d: &Device) {
    assert!(full([2], 300, U8).eval().is_err() && full([2], 0.5, I32).eval().is_err() && full([2], 2, Bool).eval().is_err());
    same(&full([2], 3, U8).to_device(d).unwrap(), &[3u8; 2]);
    same(&full([2], 0.1, F16).to_device(d).unwrap(), &[f16::from_f64(0.1); 2]);
    if has(d, F64) {
        same(&full([3], 0.1, F64).to_device(d).unwrap(), &[0.1f64; 3]);
        same(&eye(2, F64).to_device(d).unwrap(), &[1.0f64, 0.0, 0.0, 1.0]);
    }
    if has(d, U64) {
        same(&full([2], u64::MAX, U64).to_device(d).unwrap(), &[u64::MAX; 2]);
    }
}

fn generators_compute_in_their_dtype(d: &Device) {
    let refused = |e: Expr| assert!(e.to_device(d).is_err());
    refused(Rng::new(1).uniform([2], I32));
    refused(Rng::new(1).normal([2], Bool));
    refused(Rng::new(1).integers(0, 2, [2], F32));
    refused(Rng::new(1).integers(0, 257, [2], U8));
    refused(Rng::new(1).integers(-1, 5, [2], U32));
    let n = 20_000;
    // narrow and wide integer types draw the same numbers
    let i = Rng::new(4).integers(-100, 100, [n], I32).to_device(d).unwrap();
    let narrow = Rng::new(4).integers(-100, 100, [n], I8).to_device(d).unwrap();
    same(&narrow.astype(I32), &i.to_vec::<i32>().unwrap());
    same(&Rng::new(4).integers(0, 256, [n], U8).to_device(d).unwrap().max(..), &[255u8]);
    let all = Rng::new(4).integers(i32::MIN, 1i64 << 31, [n], I32).to_device(d).unwrap().to_vec::<i32>().unwrap();
    assert!(all.iter().any(|v| *v > 1 << 30) && all.iter().any(|v| *v < -(1 << 30)));
    // a uniform f16 or bf16 is never rounded up to 1
    for (t, bits) in [(F16, 11), (BF16, 8)] {
        let u = Rng::new(5).uniform([n], t).to_device(d).unwrap();
        assert_eq!(u.dtype(), t);
        let u = u.astype(F32).to_vec::<f32>().unwrap();
        let whole = |x: &f32| (x * (1 << bits) as f32).fract() == 0.0;
        assert!(u.iter().all(|x| (0.0..1.0).contains(x) && whole(x)), "{t}");
        let z = Rng::new(6).normal([n], t).to_device(d).unwrap().astype(F32);
        assert!((z.std(..).item::<f32>().unwrap() - 1.0).abs() < 0.05, "{t}");
    }
    // probabilities are not rounded to a multiple of 2^-24, the step of uniform f32 numbers
    let rare = Rng::new(8).bernoulli(2f64.powi(-26), [1 << 20], F32).to_device(d).unwrap();
    assert_eq!((rare.dtype(), rare.sum(..).item::<f32>().unwrap()), (F32, 0.0));
    if has(d, I64) {
        let wide = Rng::new(4).integers(-100, 100, [n], I64).to_device(d).unwrap();
        same(&wide.astype(I32), &i.to_vec::<i32>().unwrap());
        let far = Rng::new(4).integers(0, 1i64 << 62, [n], I64).to_device(d).unwrap().to_vec::<i64>().unwrap();
        assert!(far.iter().any(|v| *v > 1 << 61) && far.iter().all(|v| (0..1i64 << 62).contains(v)));
        assert!(far.iter().any(|v| v & 0xffff != 0));
    }
    if has(d, F64) {
        let u = Rng::new(5).uniform([n], F64).to_device(d).unwrap().to_vec::<f64>().unwrap();
        assert!(u.iter().all(|x| (0.0..1.0).contains(x) && (x * 2f64.powi(53)).fract() == 0.0));
        assert!(u.iter().filter(|x| (*x * 2f64.powi(52)).fract() != 0.0).count() > n / 3, "53 bits");
        // uniform f32 numbers are the upper 24 bits of the f64 numbers
        let f = Rng::new(5).uniform([n], F32).to_device(d).unwrap().to_vec::<f32>().unwrap();
        assert!(u.iter().zip(&f).all(|(u, f)| (*u * 2f64.powi(24)).floor() == (*f as f64) * 2f64.powi(24)));
    }
    let z = Rng::new(6).normal([n], F64).to_device(d);
    if !d.supports(F64) {
        assert_eq!(z.unwrap_err().kind(), ErrorKind::Unsupported);
    } else {
        let z = z.unwrap();
        assert!(z.astype(F32).astype(F64).not_equal(&z).all(..).item::<bool>().unwrap(), "more bits than an f32 has");
        assert!((z.std(..).item::<f64>().unwrap() - 1.0).abs() < 0.03 && z.mean(..).item::<f64>().unwrap().abs() < 0.03);
    }
}
}

// literals with more digits than an f32 has, on purpose
#[allow(clippy::excessive_precision)]
#[test]
fn the_type_of_a_list() {
    let (x, y, h) = (0.1f64, 0.1f32, f16::ONE);
    let n = 3i64;
    const C: f64 = 0.25;
    let table: [(Array, DType); 22] = [
        (array![1.0, -2.5, 3.], F32),
        (array![[1e3, -1E-3], [2.5e+1, -1_000.0]], F32),
        (array![1.0, x], F64),
        (array![x, y as f64], F64),
        (array![1.0f64, 2.0], F64),
        (array![1.0, 2.0_f64], F64),
        (array![1.0f32, 2.0], F32),
        (array![y, 2.0], F32),
        (array![1, 2, -3], I32),
        (array![1u8, 2, 3], U8),
        (array![n, 4], I64),
        (array![true, false], Bool),
        (array![h, f16::from_f32(0.5)], F16),
        (array![[[0.5], [1.5]], [[2.5], [3.5],],], F32),
        (array![0.5; 4], F32),
        (array![[C; 2]; 3], F64),
        (array![[0.0; 2]; 3], F32),
        (array![1.0 + 2.0, 3.0], F64),
        (array![(1.0), 2.0], F64),
        (array![1.0_f64.sqrt()], F64),
        (array![-x, 1.0], F64),
        (array![-(1.0)], F64),
    ];
    for (i, (a, want)) in table.iter().enumerate() {
        assert_eq!(a.dtype(), *want, "row {i}");
    }
    same(&table[2].0, &[1.0f64, 0.1]);
    same(&table[1].0, &[1e3f32, -1e-3, 25.0, -1000.0]);
    assert_eq!(
        (table[13].0.shape(), table[14].0.shape(), table[16].0.shape()),
        (&[2, 2, 1][..], &[4][..], &[3, 2][..])
    );
    // a literal becomes the nearest f32 directly, not through f64
    same(&array![1.00000017881393432617187499], &[1.00000017881393432617187499f32]);
    // long lists
    macro_rules! ten { ($($t:tt)*) => { array![$($t)* $($t)* $($t)* $($t)* $($t)* $($t)* $($t)* $($t)* $($t)* $($t)*] } }
    assert_eq!(ten!(0.125, -1.5, 2.25,).shape(), [30]);
}
