//! Functions along rows on the CPU, of a few short rows and of many: a row has the same bits in both, although a few
//! short rows run without the tile interpreter.

use crate::kit::{self, dice::Dice, on_other_instruction_sets, read};
use cupric::{DType::*, *};

type Function = fn(&Expr) -> Expr;
type OfTwo = fn(&Expr, &Expr) -> Expr;

/// Functions along the last axis. Each keeps the first axis, so that rows can be compared.
const FUNCTIONS: [(&str, Function); 17] = [
    ("sum", |x| x.sum(-1)),
    ("prod", |x| x.prod(-1)),
    ("max", |x| x.max(-1)),
    ("min", |x| x.min(-1)),
    ("any", |x| x.any(-1)),
    ("all", |x| x.all(-1)),
    ("count_nonzero", |x| x.count_nonzero(-1)),
    ("argmax", |x| x.argmax(-1)),
    ("mean", |x| x.mean(-1)),
    ("var", |x| x.var(-1)),
    ("sum of squares plus 1", |x| x.square().sum(-1) + 1),
    ("x - max", |x| x - x.max(keep(-1))),
    ("softmax", |x| x.astype(F32).softmax(-1)),
    ("log_softmax", |x| x.softmax(-1).log()),
    ("layer_norm", |x| x.layer_norm(-1, 1e-5)),
    ("rms_norm", |x| x.astype(F32).rms_norm(-1, 1e-5)),
    ("f16 of sums", |x| (x * 0.5).sum(keep(-1)).astype(F16)),
];

/// Lengths below, at and above the numbers where the lanes of a fold change.
const LENGTHS: [usize; 25] =
    [1, 2, 3, 4, 5, 7, 8, 11, 15, 16, 17, 31, 32, 33, 48, 64, 100, 128, 255, 256, 257, 511, 512, 513, 1000];

fn operand(dtype: DType, rows: usize, n: usize, dice: &mut Dice) -> Array {
    let value = |dice: &mut Dice| match dtype {
        Bool => f64::from(dice.one_in(2)),
        d if d.is_float() => dice.normal(),
        _ => dice.below(7) as f64,
    };
    let bits: Vec<u64> = (0..rows * n).map(|_| kit::number::round(dtype, value(dice))).collect();
    kit::array(dtype, &bits, &[rows, n], &Device::cpu()).unwrap()
}

#[test]
fn few_rows_have_the_bits_of_many() {
    const MANY: usize = 300;
    for dtype in [F32, F64, F16, BF16, I32, I64, U8, Bool] {
        let mut dice = Dice::new(dtype as u64);
        for n in LENGTHS {
            let x = operand(dtype, MANY, n, &mut dice);
            for (name, f) in FUNCTIONS {
                // some functions have no bools or integers
                let all = match f(&x).eval() {
                    Err(_) if !dtype.is_float() => continue,
                    all => read(&all.unwrap()).unwrap(),
                };
                let each = all.len() / MANY;
                for (first, rows) in [(0, 1), (7, 2), (298, 2), (5, 9)] {
                    let part = x.slice(s![first as isize..(first + rows) as isize]);
                    let want = &all[first * each..(first + rows) * each];
                    let what = format!("{name} of {rows} rows of {n} {dtype} from row {first}");
                    assert_eq!(read(&f(&part)).unwrap(), want, "{what}");
                    // the same rows, evaluated first
                    let own = part.eval().unwrap();
                    assert_eq!(read(&f(&own)).unwrap(), want, "{what}, evaluated first");
                }
            }
        }
    }
}

#[test]
fn few_rows_beside_a_row_have_the_bits_of_many() {
    const MANY: usize = 300;
    let functions: [(&str, OfTwo); 5] = [
        ("count of x > w", |x, w| x.greater(w).count_nonzero(-1)),
        ("sum of w x", |x, w| (x * w).sum(-1)),
        ("softmax of w x + w", |x, w| (x.astype(F32) * w + w).softmax(-1)),
        ("layer norm times w plus w", |x, w| x.astype(F32).layer_norm(-1, 1e-5) * w + w),
        ("f16 sums of x + w", |x, w| (x + w).sum(keep(-1)).astype(F16) + w),
    ];
    for dtype in [F32, F16, U8, I32] {
        let mut dice = Dice::new(dtype as u64);
        for n in LENGTHS {
            let (x, w) = (operand(dtype, MANY, n, &mut dice), operand(dtype, 1, n, &mut dice));
            let w = w.reshape([n]).eval().unwrap();
            for (name, f) in functions {
                let all = read(&f(&x, &w)).unwrap();
                let each = all.len() / MANY;
                for (first, rows) in [(0, 1), (7, 2), (5, 9)] {
                    let part = x.slice(s![first as isize..(first + rows) as isize]);
                    let want = &all[first * each..(first + rows) * each];
                    let what = format!("{name} of {rows} rows of {n} {dtype} from row {first}");
                    assert_eq!(read(&f(&part, &w)).unwrap(), want, "{what}");
                }
            }
        }
    }
}

#[test]
fn few_rows_are_written_in_place() {
    let functions: [Function; 3] = [|x| x.softmax(-1), |x| x - x.max(keep(-1)), |x| x.layer_norm(-1, 1e-5) * x];
    let mut dice = Dice::new(3);
    for n in LENGTHS {
        for rows in [1, 2, 5, 40] {
            let x = operand(F32, rows, n, &mut dice);
            for f in functions {
                let want = read(&f(&x)).unwrap();
                let mut y = (&*x * 1.0).eval().unwrap();
                y.update(f).unwrap();
                assert_eq!(read(&y).unwrap(), want, "{rows} rows of {n}");
                // a part of a larger array, whose other elements stay as they are
                let mut all = full([rows + 2, n], 5.0, F32).eval().unwrap();
                let part = s![1..rows as isize + 1];
                all.slice_mut(part).assign(&x).unwrap();
                all.slice_mut(part).update(f).unwrap();
                assert_eq!(read(&all.slice(part)).unwrap(), want, "{rows} rows of {n}, in a larger array");
                for edge in [0, rows as isize + 1] {
                    assert!(read(&all.slice(s![edge])).unwrap().iter().all(|x| *x == 0x40a0_0000));
                }
            }
        }
    }
}

#[test]
fn rows_with_numbers_and_masks_have_the_bits_of_each_alone() {
    /// A function of rows, of a number for each row, and of a mask.
    type OfThree = fn(&Expr, &Expr, &Expr) -> Expr;
    const MANY: usize = 41;
    let functions: [(&str, OfThree); 5] = [
        ("softmax of s x", |x, s, _| (x * s).softmax(-1)),
        ("softmax where m", |x, _, m| select(m, x, -1e4).softmax(-1)),
        ("sum of squares of x - s", |x, s, _| (x - s).square().sum(keep(-1))),
        ("f16 layer norm plus s", |x, s, _| (x.layer_norm(-1, 1e-5) + s).astype(F16)),
        ("layer norm of x or s", |x, s, m| select(m.logical_not(), x, s).layer_norm(-1, 1e-5)),
    ];
    let mut dice = Dice::new(9);
    for n in [16, 33, 100, 771, 2000] {
        for dtype in [F32, F16] {
            let wide = operand(dtype, 3 * MANY, n + 5, &mut dice);
            let wide_mask = operand(Bool, 3 * MANY, n + 5, &mut dice);
            let s = operand(dtype, 3 * MANY, 1, &mut dice);
            let split = |x: &Expr| x.reshape([MANY, 3, x.shape().unwrap()[1]]).swapaxes(0, 1);
            let columns = s![.., 2..n as isize + 2];
            // rows that are apart, contiguous rows, and the rows of two axes in another order
            let (x, m) = (wide.slice(columns), wide_mask.slice(columns));
            let own = [x.eval().unwrap().expand_dims(0), m.eval().unwrap().expand_dims(0)];
            let given = [
                [x.expand_dims(0), s.expand_dims(0), m.expand_dims(0)],
                [own[0].clone(), s.slice(s![..; -1]).expand_dims(0), own[1].clone()],
                [split(&x), split(&s), split(&m)],
            ];
            for (layout, [x, s, m]) in given.iter().enumerate() {
                for (name, f) in functions {
                    let all = f(x, s, m).eval().unwrap();
                    let rows = all.shape()[all.ndim() - 2];
                    for r in [0, 1, rows / 2, rows - 1] {
                        let part = |e: &Expr| e.slice(s![.., r as isize..r as isize + 1, ..]);
                        let alone = f(&part(x), &part(s), &part(m));
                        let what = format!("{name}: row {r} of {rows} × {n} {dtype}, layout {layout}");
                        assert_eq!(read(&part(&all)).unwrap(), read(&alone).unwrap(), "{what}");
                    }
                }
            }
        }
    }
}

/// Loops over rows read and write f16 themselves, so f16 must have the bits of f32 that is converted before and after.
#[test]
fn rows_of_f16_have_the_bits_of_converted_rows() {
    let functions: [(&str, Function); 8] = [
        ("softmax", |x| x.softmax(-1)),
        ("log_softmax", |x| x.log_softmax(-1)),
        ("layer_norm", |x| x.layer_norm(-1, 1e-5)),
        ("rms_norm", |x| x.rms_norm(-1, 1e-5)),
        ("layer_norm twice", |x| x.astype(F32).layer_norm(-1, 1e-5) + x.astype(F32).layer_norm(-1, 1.0)),
        ("x - mean", |x| x.astype(F32) - x.astype(F32).mean(keep(-1))),
        ("x / sum of |x|", |x| x.astype(F32) / x.astype(F32).abs().sum(keep(-1))),
        ("max times x plus x", |x| x.astype(F32) * x.astype(F32).max(keep(-1)) + x.astype(F32)),
    ];
    let mut dice = Dice::new(11);
    for (rows, n) in [(300, 33), (40, 64), (37, 771), (9, 2048), (9, 2049), (5, 5000), (4, 6200), (3, 10_001)] {
        let wide = operand(F16, rows, 2 * n + 3, &mut dice);
        let layouts = [
            wide.slice(s![.., ..n as isize]).eval().unwrap().into_expr(),
            wide.slice(s![.., 3..n as isize + 3]),
            wide.slice(s![..;-1, 1..2 * n as isize;2]),
            wide.t().slice(s![..n as isize]).eval().unwrap().t(),
        ];
        for (layout, x) in layouts.iter().enumerate() {
            let converted = x.astype(F32).eval().unwrap();
            for (name, f) in functions {
                let (got, want) = (f(x).astype(F16).eval().unwrap(), f(&converted).eval().unwrap().astype(F16));
                assert!(read(&got).unwrap() == read(&want).unwrap(), "{name} of {rows} × {n}, layout {layout}");
            }
        }
    }
}

/// A function of f16 or bf16, and of other arrays.
type OfHalves<'a> = (&'a str, &'a dyn Fn(&Expr) -> Expr);

/// Sums of products convert long rows of f16 and bf16 themselves.
#[test]
fn products_of_halves_have_the_bits_of_converted_products() {
    let mut dice = Dice::new(12);
    for dtype in [F16, BF16] {
        for (rows, n) in
            [(40, 512), (9, 513), (9, 1000), (5, 1025), (7, 2048), (3, 2049), (4, 5000), (1, 10_001), (3, 10_001)]
        {
            let wide = operand(dtype, rows, 2 * n + 3, &mut dice);
            let halves = [
                wide.slice(s![.., ..n as isize]).eval().unwrap().into_expr(),
                wide.slice(s![..;-1, 1..2 * n as isize;2]),
                wide.t().slice(s![..n as isize]).eval().unwrap().t(),
            ];
            let [y, z] = [1, 2].map(|_| operand(F32, rows, n, &mut dice));
            let row = operand(F32, 1, n, &mut dice).reshape([n]).eval().unwrap();
            let half_row = row.astype(dtype).eval().unwrap();
            let other = operand(dtype, rows, n, &mut dice);
            for (layout, h) in halves.iter().enumerate() {
                let converted = h.astype(F32).eval().unwrap();
                let functions: [OfHalves; 9] = [
                    ("h y", &|h| (h * &*y).sum(-1)),
                    ("y h", &|h| (&*y * h).sum(-1)),
                    ("h of a row", &|h| (h * &*row).sum(-1)),
                    ("h of a row of halves", &|h| (half_row.astype(F32) * h).sum(-1)),
                    ("two of halves", &|h| (h * other.astype(F32)).sum(-1)),
                    ("h of a function", &|h| (h * (&*y - &*z).abs()).sum(-1)),
                    ("h of rows backward", &|h| (h * y.slice(s![.., ..;-1])).sum(-1)),
                    ("square", &|h| h.square().sum(-1)),
                    ("softmax of sums", &|h| &*z * (h * &*y).sum(keep(-1)) - z.max(keep(-1))),
                ];
                for (name, f) in functions {
                    let (got, want) = (f(&h.astype(F32)).eval().unwrap(), f(&converted).eval().unwrap());
                    assert!(
                        read(&got).unwrap() == read(&want).unwrap(),
                        "{name}: {rows} × {n} {dtype}, layout {layout}"
                    );
                }
            }
        }
    }
}

/// Loads of f16 that something else than a loop over rows reads too.
#[test]
fn rows_of_f16_that_are_read_twice() {
    let functions: [(&str, Function); 6] = [
        ("second operand", |x| x * x.max(keep(-1)) - x.min(keep(-1)) * x),
        ("stored too", |x| (x - x.mean(keep(-1))) + x),
        ("argmax and sum", |x| x / x.abs().sum(keep(-1)) + x.argmax(keep(-1))),
        ("variance", |x| (x - x.var(keep(-1))) * x.sum(keep(-1))),
        ("cumulative sum", |x| x.cumulative_sum(-1) - x.sum(keep(-1))),
        ("a function of x first", |x| x.exp() / x.exp().sum(keep(-1)) - x * x.sum(keep(-1))),
    ];
    let mut dice = Dice::new(13);
    for (rows, n) in [(300, 33), (37, 771), (9, 2049), (3, 7000)] {
        let x = operand(F16, rows, n, &mut dice);
        let special = [f64::NAN, f64::INFINITY, -0.0, 1e-7].map(|x| full([1; 0], x, F16));
        let with = |row: usize, x: &Array| {
            let mut x = (&**x * 1.0).eval().unwrap();
            x.slice_mut(s![row as isize, n as isize - 1]).assign(&special[row % 4]).unwrap();
            x
        };
        for x in [x.clone(), with(1, &x), with(2, &x), with(0, &x)] {
            let converted = x.astype(F32).eval().unwrap();
            for (name, f) in functions {
                let (got, want) =
                    (f(&x.astype(F32)).astype(F16).eval().unwrap(), f(&converted).eval().unwrap().astype(F16));
                let same = got.equal(&want).logical_or(got.isnan().logical_and(want.isnan())).all(..);
                assert!(same.item::<bool>().unwrap(), "{name} of {rows} × {n}");
            }
            let mut y = (&*x * 1.0).eval().unwrap();
            y.update(|y| y.softmax(-1)).unwrap();
            assert_eq!(read(&y).unwrap().len(), rows * n);
            let want = x.softmax(-1).eval().unwrap();
            let same = y.equal(&want).logical_or(y.isnan().logical_and(want.isnan())).all(..);
            assert!(same.item::<bool>().unwrap(), "in place, {rows} × {n}");
        }
    }
}

#[test]
fn every_instruction_set() {
    let names = [
        "few_rows_have_the_bits_of_many",
        "rows_of_f16_have_the_bits_of_converted_rows",
        "products_of_halves_have_the_bits_of_converted_products",
    ];
    on_other_instruction_sets(module_path!(), &names);
}
