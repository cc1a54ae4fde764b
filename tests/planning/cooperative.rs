//! Products of f16 by cooperative matrices (tensor cores), on every adapter that has them and passes their self-test.
//! Without one, the tests print that they did not run; `tests/caps/main.rs` tests the plans and shaders anyway.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// The GPUs that use cooperative matrices for f16. If there is none, prints that the calling test is left out.
#[track_caller]
fn devices() -> Vec<Device> {
    let has_matrices = |d: &Device| {
        let x = zeros([2, 2], F16).eval().unwrap().to_device(d).unwrap();
        x.matmul(&x).plan().unwrap().to_string().contains("by cooperative matrices")
    };
    let found: Vec<Device> = Device::gpus().into_iter().filter(has_matrices).map(|d| own(&d)).collect();
    if found.is_empty() {
        say("cooperative matrices: 1 test left out (no GPU here has them for f16 with sums in f32)");
    }
    found
}

/// A matrix on the host: elements in C order.
#[derive(Clone)]
struct Matrix {
    rows: usize,
    columns: usize,
    elements: Vec<f16>,
}

impl Matrix {
    fn random(seed: u64, rows: usize, columns: usize) -> Matrix {
        let mut dice = Dice::new(seed);
        let elements = (0..rows * columns).map(|_| f16::from_f64(dice.within(-2.0, 2.0))).collect();
        Matrix { rows, columns, elements }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.elements[row * self.columns + column].to_f64()
    }

    /// Makes an array of the matrix on a device, stored in one of six layouts.
    fn on(&self, d: &Device, layout: usize) -> Expr {
        let [m, n] = [self.rows, self.columns];
        let x = put(d, self.elements.clone(), &[m, n]);
        let stored = |e: Expr| e.eval().unwrap();
        match layout {
            0 => x.slice(s![..]),
            // with the axes exchanged
            1 => stored(x.t()).t(),
            // every second element of each row, starting at an odd position within a 32-bit word
            2 => stored(x.repeat(2, 1)).slice(s![.., 1..;2]),
            // rows and columns reversed
            3 => stored(x.flip(..)).flip(..),
            // a part of a larger array, whose rows start at even and odd positions
            4 => stored(x.pad([(1, 2), (1, 2)], Pad::constant(7))).slice(s![1..m as isize + 1, 1..n as isize + 1]),
            // a part of an array with rows of odd length, so that every other row starts within a word
            _ => {
                let odd = 1 + n % 2;
                stored(x.pad([(0, 0), (odd, 1)], Pad::constant(f32::NAN)))
                    .slice(s![.., odd as isize..(odd + n) as isize])
            }
        }
    }
}

/// Each element of a product in f64, and the sum of its terms' magnitudes. Products of two f16 are exact in f64.
fn exact(a: &Matrix, b: &Matrix) -> Vec<[f64; 2]> {
    let element = |i: usize, j: usize| {
        let products = (0..a.columns).map(|k| a.at(i, k) * b.at(k, j));
        products.fold([0.0; 2], |[sum, size], p| [sum + p, size + p.abs()])
    };
    (0..a.rows).flat_map(|i| (0..b.columns).map(move |j| (i, j))).map(|(i, j)| element(i, j)).collect()
}

/// How many elements differ from the exact ones by more than the contract allows for f16: the bound of the sum in f32,
/// plus half a unit of the f16 to which it is rounded.
fn wrong(got: &[f64], want: &[[f64; 2]], k: usize) -> usize {
    assert_eq!(got.len(), want.len());
    let is_wrong = |(got, [sum, size]): (&f64, &[f64; 2])| {
        let bound = (k as f64 / 2.0 + 16.0) * 2f64.powi(-24) * size;
        (got - sum).abs() > bound + number::ulp(F16, sum.abs() + bound) / 2.0
    };
    got.iter().zip(want).filter(|pair| is_wrong(*pair)).count()
}

fn values(e: &Expr) -> Vec<f64> {
    numbers(e).unwrap().1
}

#[test]
fn no_element_is_wrong() {
    for d in devices() {
        let (mut elements, mut wrong_ones) = (0, 0);
        let sizes = [1, 15, 17, 64, 70];
        for (n, k) in [1, 15, 17, 256, 257, 300].into_iter().enumerate() {
            for (m, columns) in sizes.into_iter().flat_map(|m| sizes.map(|n| (m, n))) {
                let (a, b) = (Matrix::random(n as u64, m, k), Matrix::random(n as u64 + 100, k, columns));
                let want = exact(&a, &b);
                // all pairs of layouts, in turn
                let turn = elements / 7;
                let product = a.on(&d, turn % 6).matmul(b.on(&d, turn / 6 % 6));
                elements += want.len();
                wrong_ones += wrong(&values(&product), &want, k);
            }
        }
        assert_eq!(wrong_ones, 0, "of {elements} elements on {d}");
        say(&format!("cooperative matrices: {elements} elements of products, 0 wrong, on {d}"));
    }
}

#[test]
fn whole_numbers_are_exact() {
    for d in devices() {
        for (m, k, n) in [(1, 1, 1), (1, 300, 70), (70, 300, 1), (65, 1_500, 3), (130, 40, 129), (17, 257, 15)] {
            let small =
                |seed, shape: [usize; 2]| Rng::new(seed).integers(-3, 4, shape, I32).astype(F16).eval().unwrap();
            let (a, b) = (small(1, [m, k]), small(2, [k, n]));
            let want = read(&a.matmul(&b)).unwrap();
            let (a, b) = (a.to_device(&d).unwrap(), b.to_device(&d).unwrap());
            assert_eq!(read(&a.matmul(&b)).unwrap(), want, "{m} × {k} × {n}");
            assert_eq!(read(&(b.t().matmul(a.t())).t()).unwrap(), want, "{m} × {k} × {n} turned");
        }
        // sums whose intermediate values exceed f16: it cannot count beyond 2,048 by ones, nor hold 1,096 · 1,600
        let ones = ones([1, 4_097], F16).eval().unwrap().to_device(&d).unwrap();
        assert_eq!(values(&ones.matmul(ones.t())), [4_096.0], "4,097 rounds to 4,096");
        let signs: Vec<f16> = (0..2_190).map(|k| f16::from_f32(if k < 1_096 { 40.0 } else { -40.0 })).collect();
        let forty = put(&d, vec![f16::from_f32(40.0); 2_190], &[2_190, 1]);
        assert_eq!(values(&put(&d, signs, &[1, 2_190]).matmul(&forty)), [3_200.0], "2 · 1,600");
    }
}

#[test]
fn a_row_has_the_same_bits_whatever_the_batch() {
    for d in devices() {
        for k in [1, 17, 256, 257, 1_025, 3_000] {
            let (a, b) = (Matrix::random(7, 70, k), Matrix::random(8, k, 65));
            let (x, y) = (a.on(&d, 0), b.on(&d, 0));
            let whole = read(&x.matmul(&y)).unwrap();
            for i in [0, 1, 37, 69] {
                let row = &whole[i * 65..(i + 1) * 65];
                let one = x.slice(s![i as isize..i as isize + 1]);
                assert_eq!(read(&one.matmul(&y)).unwrap(), row, "row {i}, k = {k}");
                assert_eq!(read(&x.slice(s![i as isize]).matmul(&y)).unwrap(), row, "row {i} as a vector, k = {k}");
                let batch = stack([&one.matmul(&y), &one.matmul(&y)], 0);
                assert_eq!(read(&batch).unwrap()[65..], *row, "row {i} in a batch, k = {k}");
                let some = x.slice(s![i as isize / 2..i as isize + 1]);
                let last = read(&some.matmul(&y)).unwrap();
                assert_eq!(last[last.len() - 65..], *row, "row {i} as the last of some, k = {k}");
            }
            // every layout of the operands gives the same bits
            for layout in 1..6 {
                assert_eq!(
                    read(&a.on(&d, layout).matmul(b.on(&d, 5 - layout))).unwrap(),
                    whole,
                    "layout {layout}, k = {k}"
                );
            }
        }
        // so many tiles that workgroups need not share the chains of a tile
        let (a, b) = (Matrix::random(9, 12 * 64, 1_100), Matrix::random(10, 1_100, 11 * 64));
        let (x, y) = (a.on(&d, 0), b.on(&d, 1));
        let whole = x.matmul(&y).eval().unwrap();
        for i in [0, 100, 767] {
            let row = s![i..i + 1];
            assert_eq!(read(&x.slice(row).matmul(&y)).unwrap(), read(&whole.slice(row)).unwrap(), "row {i}");
        }
    }
}

#[test]
fn batches_and_epilogues() {
    for d in devices() {
        let (a, b) = (Matrix::random(11, 3 * 20, 40), Matrix::random(12, 3 * 40, 33));
        let part = |x: &Matrix, n: usize| {
            let size = x.elements.len() / 3;
            Matrix { rows: x.rows / 3, columns: x.columns, elements: x.elements[n * size..][..size].to_vec() }
        };
        let of = |x: &Matrix| put(&d, x.elements.clone(), &[3, x.rows / 3, x.columns]);
        let (x, y) = (of(&a), of(&b));
        let want: Vec<[f64; 2]> = (0..3).flat_map(|n| exact(&part(&a, n), &part(&b, n))).collect();
        assert_eq!(wrong(&values(&x.matmul(&y)), &want, 40), 0, "a batch");
        // one operand is broadcast over the batch, and the other's matrices are in reverse order
        let want: Vec<[f64; 2]> = (0..3).flat_map(|n| exact(&part(&a, 2 - n), &part(&b, 1))).collect();
        assert_eq!(wrong(&values(&x.flip(0).matmul(y.slice(s![1]))), &want, 40), 0, "a batch that is repeated");
        // an epilogue that reads a row, a column and a matrix, in f16 and f32; and a fused conversion of an operand
        let (row, column) = (put(&d, noise(13, 33), &[33]), put(&d, noise(14, 20), &[20, 1]));
        let product = x.matmul(&y);
        let stored = product.eval().unwrap();
        let scaled = |e: &Expr| ((e.astype(F32) * &column + &row) * 0.5).maximum(-1.0);
        let (fused, apart) = (values(&scaled(&product)), values(&scaled(&stored)));
        assert!(fused.iter().zip(&apart).all(|(f, a)| (f - a).abs() <= 0.01), "an epilogue");
        let doubled = values(&(&product + &product));
        assert!(doubled.iter().zip(values(&stored)).all(|(d, s)| *d == 2.0 * s), "twice the product");
        let bytes = put(&d, (0..60 * 40).map(|n| (n % 7) as u8).collect::<Vec<_>>(), &[3, 20, 40]);
        let (converted, ready) = (bytes.astype(F16), bytes.astype(F16).eval().unwrap());
        assert_eq!(read(&converted.matmul(&y)).unwrap(), read(&ready.matmul(&y)).unwrap(), "an operand of bytes");
        // a write to a slice of f16 that starts within a word; neighbouring elements must stay
        let mut target = ones([3, 21, 35], F16).eval().unwrap().to_device(&d).unwrap();
        target.set(s![.., 1.., 1..34], x.matmul(&y)).unwrap();
        assert_eq!(read(&target.slice(s![.., 1.., 1..34])).unwrap(), read(&stored).unwrap(), "a write");
        assert!(values(&target.slice(s![.., .., 34])).iter().all(|x| *x == 1.0), "beside the write");
    }
}

#[test]
fn special_values_stay_in_their_rows() {
    for d in devices() {
        let mut a = Matrix::random(15, 20, 30);
        let b = Matrix { elements: vec![f16::ONE; 30 * 9], rows: 30, columns: 9 };
        a.elements[3 * 30 + 4] = f16::INFINITY;
        a.elements[7 * 30 + 29] = f16::NAN;
        let got = values(&a.on(&d, 0).matmul(b.on(&d, 0)));
        for (i, row) in got.chunks(9).enumerate() {
            let fits = |x: &f64| match i {
                3 => *x == f64::INFINITY,
                7 => x.is_nan(),
                _ => x.is_finite(),
            };
            assert!(row.iter().all(fits), "row {i}: {row:?}");
        }
        // a subnormal f16 operand: 2⁻²⁴ · 2¹⁰ · 16
        let tiny = put(&d, vec![f16::from_bits(1); 16], &[1, 16]);
        let large = put(&d, vec![f16::from_f32(1_024.0); 16], &[16, 1]);
        assert_eq!(values(&tiny.matmul(&large)), [2f64.powi(-10)]);
        // k = 0: sums without terms
        let none = zeros([3, 0], F16).eval().unwrap().to_device(&d).unwrap();
        assert_eq!(values(&none.matmul(none.t())), [0.0; 9]);
    }
}
