//! Printing: the text equals NumPy's `str`, and only the elements that are printed are read from the device.

use crate::kit::{self, on_devices};
use cupric::{
    Array, DType, Device, Element, ErrorKind, Expr, PrintOptions, arange, array, bf16, concat, f16, ones, s, zeros,
};

/// The elements of a case: little-endian hexadecimal, or the numbers 0, 1, 2, ….
fn elements<T: Element>(text: &str, size: usize, number: impl Fn(f64) -> T) -> Vec<T> {
    match text {
        "none" => vec![],
        "range" => (0..size).map(|i| number(i as f64)).collect(),
        hex => {
            let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
            T::from_bytes(&(0..hex.len()).step_by(2).map(byte).collect::<Vec<u8>>()).unwrap()
        }
    }
}

fn array_of(dtype: &str, shape: &[usize], text: &str) -> Array {
    let size = shape.iter().product();
    macro_rules! make {
        ($t:ty, $number:expr) => {
            Array::from_vec(elements::<$t>(text, size, $number), shape).unwrap()
        };
    }
    match dtype {
        "bool" => make!(bool, |v| v != 0.0),
        "u8" => make!(u8, |v| v as i64 as u8),
        "i8" => make!(i8, |v| v as i64 as i8),
        "u16" => make!(u16, |v| v as u16),
        "i16" => make!(i16, |v| v as i16),
        "u32" => make!(u32, |v| v as u32),
        "i32" => make!(i32, |v| v as i32),
        "u64" => make!(u64, |v| v as u64),
        "i64" => make!(i64, |v| v as i64),
        "f16" => make!(f16, f16::from_f64),
        "f32" => make!(f32, |v| v as f32),
        "f64" => make!(f64, |v| v),
        other => panic!("{other}"),
    }
}

fn view_of(x: &Array, view: &str) -> Expr {
    match view {
        "all" => x.slice(s![...]),
        "t" => x.t(),
        "flip" => x.slice(s![..., ..;-1]),
        "step" => x.slice(s![..;2]),
        "wide" => x.broadcast_to([&[4], x.shape()].concat()),
        other => panic!("{other}"),
    }
}

#[test]
fn equal_to_numpy() {
    let file = std::env::var("CUPRIC_PRINT_CASES").unwrap_or("tests/data/print.txt".into());
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines = text.lines().peekable();
    let (mut count, mut wrong) = (0, vec![]);
    while let Some(head) = lines.next() {
        let [dtype, shape, view, data] = head.split(' ').collect::<Vec<_>>()[..] else { panic!("{head}") };
        let mut expected = vec![];
        while let Some(line) = lines.next_if(|l| l.starts_with('|')) {
            expected.push(&line[1..]);
        }
        let shape: Vec<usize> = shape.split(',').filter(|n| *n != "-").map(|n| n.parse().unwrap()).collect();
        let x = array_of(dtype, &shape, data);
        let seen = view_of(&x, view);
        let (lazy, eager) = (seen.to_string(), seen.eval().unwrap().to_string());
        let expected = expected.join("\n");
        if lazy != expected || eager != expected {
            wrong.push(format!("{head}\n{expected}\n--- here:\n{lazy}"));
        }
        count += 1;
    }
    assert!(count > 600, "{count} cases");
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n\n"));
}

#[test]
fn bf16_has_the_rules_of_f16() {
    let print = |v: &[f64]| Array::from(v.iter().map(|v| bf16::from_f64(*v)).collect::<Vec<_>>()).to_string();
    assert_eq!(print(&[1.0, 0.1, -2.5]), "[ 1.   0.1 -2.5]");
    assert_eq!(print(&[1.0 / 3.0]), "[0.334]");
    assert_eq!(print(&[1000.0, 1.0]), "[1.e+03 1.e+00]");
    // the smallest number prints as 9.e-41 alone, and with more digits beside others
    assert_eq!(print(&[1e-40]), "[9.e-41]");
    assert_eq!(print(&[3.3895314e38, 1e-40]), "[3.39e+38 9.18e-41]");
    assert_eq!(print(&[f64::NAN, f64::NEG_INFINITY]), "[ nan -inf]");
    let zero_d = |v: f64| Array::from_vec(vec![bf16::from_f64(v)], ()).unwrap().to_string();
    assert_eq!([zero_d(1.0), zero_d(0.1), zero_d(1e30)], ["1.0", "0.1", "1e+30"]);
}

/// For every f16 and bf16, the printed text reads back as the same number, and no shorter text does.
#[test]
fn halves_print_the_shortest_digits() {
    // finds the nearest half by comparing all neighbours, not by the library's own conversion
    fn check(all: Vec<(u16, f64)>, print: impl Fn(u16) -> String) {
        for (i, &(bits, v)) in all.iter().enumerate().filter(|(_, (_, v))| *v > 0.0) {
            let text = print(bits);
            let d: f64 = text.parse().unwrap();
            let low = (all[i - 1].1 + v) / 2.0;
            let high = all.get(i + 1).map_or(v + (v - low), |next| (next.1 + v) / 2.0);
            let even = bits % 2 == 0;
            assert!(low < d && d < high || even && (d == low || d == high), "{bits:#x} printed {text}");
            let digits = format!("{d:e}").split('e').next().unwrap().replace('.', "").len();
            if digits > 1 {
                let shorter = format!("{v:.*e}", digits - 2);
                let d: f64 = shorter.parse().unwrap();
                assert!(!(low < d && d < high), "{bits:#x} printed {text}, {shorter} would do");
            }
        }
    }
    let f16s = (0..0x7c00u16).map(|b| (b, f16::from_bits(b).to_f64())).collect();
    check(f16s, |b| Array::from_vec(vec![f16::from_bits(b)], ()).unwrap().to_string());
    let bf16s = (0..0x7f80u16).map(|b| (b, bf16::from_bits(b).to_f64())).collect();
    check(bf16s, |b| Array::from_vec(vec![bf16::from_bits(b)], ()).unwrap().to_string());
}

on_devices! {
    fn expressions_print_their_values(d: &Device) {
        let x = array![[1., 2.], [3., 4.]].to_device(d).unwrap();
        assert_eq!((&x * 2.0).to_string(), "[[2. 4.]\n [6. 8.]]");
        assert_eq!(x.sum(..).to_string(), "10.0");
        assert_eq!(x.less(2.5).to_string(), "[[ True  True]\n [False False]]");
        // results of a matrix product, a reduction and a concat are shortened too
        let big = ones([40, 60], DType::F32).to_device(d).unwrap();
        assert_eq!(big.matmul(ones([60, 50], DType::F32)).to_string().lines().count(), 7);
        assert_eq!((&big + 1.0).t().to_string().lines().next(), Some("[[2. 2. 2. ... 2. 2. 2.]"));
        assert_eq!(ones([3, 2000], DType::F32).to_device(d).unwrap().sum(0).to_string(), "[3. 3. 3. ... 3. 3. 3.]");
        let part = arange(0, 800, 1, DType::I32).to_device(d).unwrap();
        assert_eq!(concat([&*part, &(&part + 1)], 0).to_string(), "[  0   1   2 ... 798 799 800]");
    }

    fn every_narrow_type_prints_from_a_device(d: &Device) {
        for t in [DType::Bool, DType::U8, DType::I8, DType::U16, DType::I16, DType::U32, DType::I32, DType::F16, DType::BF16] {
            let x = (arange(0, 2001, 1, DType::I32) % 2).astype(t).to_device(d).unwrap();
            let text = match t {
                DType::Bool => "[False  True False ... False  True False]",
                t if t.is_float() => "[0. 1. 0. ... 0. 1. 0.]",
                _ => "[0 1 0 ... 0 1 0]",
            };
            assert_eq!(x.to_string(), text, "{t}");
            assert_eq!(x.slice(s![..;-1]).to_string(), text, "{t}");
        }
    }

    fn errors_are_printed(d: &Device) {
        let bad = array![1., 2.].to_device(d).unwrap() + array![1., 2., 3.].to_device(d).unwrap();
        let text = bad.to_string();
        assert!(text.starts_with("<error: add: cannot broadcast shapes [2] and [3] (tests/arrays/print.rs:"), "{text}");
        assert!(text.ends_with(")>"), "{text}");
        assert!(format!("{bad:?}").starts_with("Expr(<error: add: "), "{bad:?}");
    }

    fn debug_shows_numbers(d: &Device) {
        let d = &kit::own(d);
        let x = array![[1., 2.5], [-3., 0.]].to_device(d).unwrap();
        let name = d.name();
        // Debug output reads no elements from a GPU
        let elements = |text: &'static str| if d.is_gpu() { "" } else { text };
        assert_eq!(format!("{x:?}"), format!("Array({}f32, [2, 2], {name})", elements("[[ 1.   2.5]\n       [-3.   0. ]], ")));
        assert_eq!(format!("{:.2?}", x.slice(s![0]).eval().unwrap()), format!("Array({}f32, [2], {name})", elements("[1.00 2.50], ")));
        assert_eq!(format!("{:?}", x.sum(..).eval().unwrap()), format!("Array({}f32, [], {name})", elements("0.5, ")));
        assert_eq!(format!("{:?}", x.slice(s![..0]).eval().unwrap()), format!("Array({}f32, [0, 2], {name})", elements("[], ")));
        // `dbg!` uses the form `{:#?}`, in which a long array is shortened too
        let long = arange(0, 5000, 1, DType::I32).to_device(d).unwrap();
        assert_eq!(format!("{long:#?}"), format!("Array({}i32, [5000], {name})", elements("[   0    1    2 ... 4997 4998 4999], ")));
        // Debug output does not evaluate an expression
        let before = d.stats();
        assert_eq!(format!("{:?}", x.exp().sum(0)), "Expr(f32, [2])");
        assert_eq!(d.stats(), before);
    }

    fn digits_and_length_are_asked_for(d: &Device) {
        let x = array![[1.0, 2.25], [1234.5678, -0.0001]].to_device(d).unwrap();
        assert_eq!(format!("{x:.3}"), "[[   1.000    2.250]\n [1234.568   -0.000]]");
        assert_eq!(format!("{x:.0}"), "[[   1.    2.]\n [1235.   -0.]]");
        assert_eq!(format!("{:.3}", x.sum(..) * 0.0 + 0.5), "0.500");
        assert_eq!(format!("{:.1}", array![f32::NAN, f32::INFINITY, 0.25]), "[nan inf 0.2]");
        assert_eq!(format!("{:.3}", array![1, 2]), "[1 2]");
        assert_eq!(format!("{:.40}", array![0.1]).len(), 44);
        assert!(format!("{:.60000}", array![0.1]).len() < 2000);
        let long = arange(0, 1200, 1, DType::I32).to_device(d).unwrap();
        assert!(!format!("{long:#}").contains("..."));
        assert_eq!(format!("{long:#}").split([' ', '\n', '[', ']']).filter(|word| !word.is_empty()).count(), 1200);
        assert!(long.to_string().contains("..."));
        // the texts are NumPy 2.4's: np.array2string(x, precision=2, suppress_small=...), and so on
        let some = array![1.23456, 0.5, 100.0].to_device(d).unwrap();
        let print = |options: PrintOptions| some.display(options).to_string();
        let new = PrintOptions::new;
        assert_eq!(print(new().precision(2)), "[  1.23   0.5  100.  ]");
        assert_eq!(print(new().precision(0)), "[  1.   0. 100.]");
        assert_eq!(some.slice(s![0]).display(new().precision(2)).to_string(), "1.23");
        let apart = array![1e-5, 1.0].to_device(d).unwrap();
        assert_eq!(apart.display(new().precision(1)).to_string(), "[1.e-05 1.e+00]");
        assert_eq!(apart.display(new().suppress(true)).to_string(), "[0.00001 1.     ]");
        let ends = new().threshold(10).edge_items(2);
        assert_eq!(long.display(ends).to_string(), "[   0    1 ... 1198 1199]");
        assert_eq!(long.display(new().edge_items(0)).to_string(), "[...]");
        assert_eq!(long.display(new().edge_items(usize::MAX)).to_string(), format!("{long:#}"));
        assert_eq!(long.slice(s![..9]).display(new().line_width(8)).to_string(), "[0 1 2\n 3 4 5\n 6 7 8]");
        assert_eq!(long.slice(s![..2]).display(new().line_width(0)).to_string(), "[0\n 1]");
        assert_eq!(format!("{:?}", some.display(new().precision(0))), "[  1.   0. 100.]");
    }

    fn only_what_is_printed_is_read(d: &Device) {
        let d = &kit::own(d);
        let x = ones([300, 300], DType::F32).to_device(d).unwrap();
        let want = "[[1. 1. 1. ... 1. 1. 1.]";
        for seen in [x.slice(s![...]), x.t(), x.slice(s![..;2, ..;-1]), &x * 1.0] {
            let before = d.stats().bytes_out;
            assert_eq!(seen.to_string().lines().next(), Some(want));
            let read = d.stats().bytes_out - before;
            // only the 36 printed elements are read
            assert!(read <= 256, "{read} bytes read");
        }
    }
}

/// Printing computes only the elements at the ends of an expression, not the rest.
#[test]
fn only_what_is_printed_is_computed() {
    let small = Device::cpu().with_memory_limit(64 << 10).unwrap();
    let x = zeros([100, 100], DType::F32).to_device(&small).unwrap();
    // the whole sum needs 40 kB more than the device has; the printed ends need 144 bytes
    let sum = &x + &x;
    assert_eq!(sum.eval().err().map(|e| e.kind()), Some(ErrorKind::OutOfMemory));
    assert_eq!(sum.to_string().lines().count(), 7);
}

#[test]
fn shapes_beyond_all_paper_are_an_error() {
    // an array of 2^40 elements with only short axes cannot be shortened, so printing gives an error
    let text = array![1.0].broadcast_to(vec![2usize; 40]).to_string();
    assert!(text.starts_with("<error: print: shape [2, 2,"), "{}", &text[..60]);
    // an array with one long axis is shortened, whatever its number of elements
    let long = array![7].broadcast_to([1usize << 40, 3]);
    assert_eq!(long.to_string(), "[[7 7 7]\n [7 7 7]\n [7 7 7]\n ...\n [7 7 7]\n [7 7 7]\n [7 7 7]]");
}
