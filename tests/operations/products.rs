//! Matrix products on the CPU, compared bit by bit with their definition: an element is the sum of chains. A chain
//! takes 256 consecutive k, from +0, by fused multiply-adds in order; chains are added in order. In a product with one
//! column, an element is the sum of products, in the order of sums. Sizes, strides, types, batches, threads and
//! instruction sets vary, but bits must not.

use crate::kit::stage::Stage;
use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// The number of consecutive k in a chain.
const CHAIN: usize = 256;

/// The sizes of a batch of products of m × k and k × n matrices.
#[derive(Clone, Copy, Debug)]
struct Size {
    batch: usize,
    m: usize,
    k: usize,
    n: usize,
}

/// An element type, and the arithmetic of products in it.
trait Number: Element + PartialEq {
    /// The type of the sums.
    type Sum: Copy + Default;
    /// The number that changes no sum: −0, or the integer 0.
    const IDENTITY: Self::Sum;
    fn wide(self) -> Self::Sum;
    fn multiply_add(a: Self::Sum, b: Self::Sum, c: Self::Sum) -> Self::Sum;
    fn add(a: Self::Sum, b: Self::Sum) -> Self::Sum;
    fn of(sum: Self::Sum) -> Self;
    fn any(dice: &mut Dice) -> Self;
}

macro_rules! numbers {
    ($($t:ty, $sum:ty, $identity:expr, |$a:ident, $b:ident, $c:ident| $fma:expr, |$d:ident, $e:ident| $add:expr, |$w:ident| $wide:expr,
       |$s:ident| $of:expr, |$dice:ident| $any:expr;)*) => { $(
        impl Number for $t {
            type Sum = $sum;
            const IDENTITY: $sum = $identity;
            fn wide(self) -> $sum {
                let $w = self;
                $wide
            }
            fn multiply_add($a: $sum, $b: $sum, $c: $sum) -> $sum {
                $fma
            }
            fn add($d: $sum, $e: $sum) -> $sum {
                $add
            }
            fn of($s: $sum) -> $t {
                $of
            }
            fn any($dice: &mut Dice) -> $t {
                $any
            }
        }
    )* };
}
numbers! {
    f32, f32, -0.0, |a, b, c| a.mul_add(b, c), |a, b| a + b, |x| x, |s| s, |d| d.within(-1.0, 1.0) as f32;
    f64, f64, -0.0, |a, b, c| a.mul_add(b, c), |a, b| a + b, |x| x, |s| s, |d| d.within(-1.0, 1.0);
    f16, f32, -0.0, |a, b, c| a.mul_add(b, c), |a, b| a + b, |x| x.to_f32(), |s| f16::from_f32(s),
        |d| f16::from_f64(d.within(-1.0, 1.0));
    bf16, f32, -0.0, |a, b, c| a.mul_add(b, c), |a, b| a + b, |x| x.to_f32(), |s| bf16::from_f32(s),
        |d| bf16::from_f64(d.within(-1.0, 1.0));
    i8, i32, 0, |a, b, c| c.wrapping_add(a.wrapping_mul(b)), |a, b| a.wrapping_add(b), |x| x as i32, |s| s as i8, |d| d.next() as i8;
    u16, u32, 0, |a, b, c| c.wrapping_add(a.wrapping_mul(b)), |a, b| a.wrapping_add(b), |x| x as u32, |s| s as u16,
        |d| d.next() as u16;
    i32, i32, 0, |a, b, c| c.wrapping_add(a.wrapping_mul(b)), |a, b| a.wrapping_add(b), |x| x, |s| s, |d| d.next() as i32;
    u64, u64, 0, |a, b, c| c.wrapping_add(a.wrapping_mul(b)), |a, b| a.wrapping_add(b), |x| x, |s| s, |d| d.next();
    bool, bool, false, |a, b, c| c | (a & b), |a, b| a | b, |x| x, |s| s, |d| d.one_in(12);
}

/// The sum of numbers, as `cpu/fold/mod.rs` defines it. `inner` states whether neighbours in memory are neighbours along
/// the reduced axis.
fn summed<T: Number>(numbers: &[T::Sum], inner: bool) -> T::Sum {
    let lanes = match numbers.len() {
        _ if !inner => 1,
        ..16 => 1,
        2048.. => 128,
        n => n.div_ceil(16).next_power_of_two().max(16),
    };
    let mut blocks: Vec<Vec<T::Sum>> = vec![];
    for block in numbers.chunks(16 * lanes) {
        let mut states = vec![T::IDENTITY; lanes];
        block.iter().enumerate().for_each(|(i, x)| states[i % lanes] = T::add(states[i % lanes], *x));
        blocks.push(states);
    }
    let mut states = merged::<T>(&blocks);
    while states.len() > 1 {
        let upper = states.split_off(states.len() / 2);
        states = merged::<T>(&[states, upper]);
    }
    states.first().copied().unwrap_or_default()
}

/// The sum of the states of blocks: the first half, a power of two of blocks, plus the rest.
fn merged<T: Number>(blocks: &[Vec<T::Sum>]) -> Vec<T::Sum> {
    if blocks.len() < 2 {
        return blocks.first().cloned().unwrap_or_default();
    }
    let (left, right) = blocks.split_at(blocks.len().next_power_of_two() / 2);
    merged::<T>(left).iter().zip(merged::<T>(right)).map(|(x, y)| T::add(*x, y)).collect()
}

/// The product by its definition.
fn defined<T: Number>(x: Size, a: &[T], b: &[T]) -> Vec<T> {
    let mut out = vec![];
    for p in 0..x.batch {
        for i in 0..x.m {
            for j in 0..x.n {
                let mut sum: Option<T::Sum> = None;
                for start in (0..x.k).step_by(CHAIN) {
                    let mut chain = T::Sum::default();
                    for l in start..x.k.min(start + CHAIN) {
                        let (left, right) = (a[(p * x.m + i) * x.k + l], b[(p * x.k + l) * x.n + j]);
                        chain = T::multiply_add(left.wide(), right.wide(), chain);
                    }
                    sum = Some(sum.map_or(chain, |sum| T::add(sum, chain)));
                }
                out.push(T::of(sum.unwrap_or_default()));
            }
        }
    }
    out
}

/// The elements of a product with one column: sums of products whose lanes are along rows, or not.
fn sums<T: Number>(x: Size, a: &[T], b: &[T], inner: bool) -> Vec<T> {
    let row = |r: usize| {
        let factors = (0..x.k).map(|l| (a[r * x.k + l].wide(), b[r / x.m * x.k + l].wide()));
        let products: Vec<T::Sum> = factors.map(|(a, b)| T::multiply_add(a, b, T::IDENTITY)).collect();
        T::of(summed::<T>(&products, inner))
    };
    (0..x.batch * x.m).map(row).collect()
}

/// The product of a matrix and a vector, as the sum of their products.
fn sum_of_products<T: Number>(left: &Expr, right: &Expr) -> Vec<T> {
    let wide = if matches!(T::DTYPE, F16 | BF16) { F32 } else { T::DTYPE };
    let products = left.astype(wide) * right.astype(wide);
    products.sum(-1).astype(T::DTYPE).to_vec::<T>().unwrap()
}

/// An array with these elements in C order, stored with its axes in another order, with gaps, and reversed.
fn laid_out<T: Number>(elements: &[T], shape: [usize; 3], dice: &mut Dice) -> Expr {
    const ORDERS: [[isize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let order = ORDERS[dice.below(8) % 6];
    let steps = [(); 3].map(|()| [1isize, 1, 1, 1, 1, 2, -1, -3][dice.below(8)]);
    let stored = order.map(|axis| shape[axis as usize] * steps[axis as usize].unsigned_abs());
    let mut host = vec![T::any(dice); stored.iter().product()];
    let mut back = [0isize; 3];
    for (place, axis) in order.iter().enumerate() {
        back[*axis as usize] = place as isize;
    }
    for (flat, element) in elements.iter().enumerate() {
        let index = [flat / (shape[1] * shape[2]), flat / shape[2] % shape[1], flat % shape[2]];
        let mut at = 0;
        for axis in order.map(|axis| axis as usize) {
            let step = steps[axis].unsigned_abs();
            let place = if steps[axis] < 0 { (shape[axis] - index[axis]) * step - 1 } else { index[axis] * step };
            at = at * shape[axis] * step + place;
        }
        host[at] = *element;
    }
    let array = Array::from_vec(host, stored).unwrap();
    let ranges = steps.map(|step| SliceItem::Range { start: None, end: None, step });
    array.permute_dims(&back[..]).slice(ranges)
}

/// Computes a product of a size from arrays with random strides, in several ways.
fn check<T: Number>(x: Size, dice: &mut Dice) {
    let mut fill = |n: usize| (0..n).map(|_| T::any(dice)).collect::<Vec<T>>();
    let (a, b) = (fill(x.batch * x.m * x.k), fill(x.batch * x.k * x.n));
    let (left, right) = (laid_out(&a, [x.batch, x.m, x.k], dice), laid_out(&b, [x.batch, x.k, x.n], dice));
    let adds = T::DTYPE != Bool;
    let want = if x.n == 1 && adds {
        let want = sum_of_products::<T>(&left, &right.permute_dims([0, 2, 1]));
        let is_same = |inner: bool| {
            let all = sums(x, &a, &b, inner);
            all.len() == want.len() && all.iter().zip(&want).all(|(a, w)| canonical(*a) == canonical(*w))
        };
        assert!(is_same(true) || is_same(false), "a sum of products of {} {x:?}", T::DTYPE);
        want
    } else {
        defined(x, &a, &b)
    };
    let same = |what: &str, e: &Expr, want: &[T]| {
        let got = e.to_vec::<T>().unwrap_or_else(|e| panic!("{what} {x:?}: {e}"));
        let wrong = got.iter().zip(want).position(|(g, w)| canonical(*g) != canonical(*w));
        assert!(
            got.len() == want.len() && wrong.is_none(),
            "{what} of {} {x:?}: {wrong:?}\n{}",
            T::DTYPE,
            e.plan().unwrap()
        );
    };
    let product = left.matmul(&right);
    same("a product", &product, &want);
    // the result stored in other layouts: transposed, and into every second row and column of an array
    let turned = product.permute_dims([0, 2, 1]).eval().unwrap();
    same("a turned product", &turned.permute_dims([0, 2, 1]), &want);
    let mut wide = zeros([x.batch, 2 * x.m, 2 * x.n], T::DTYPE).eval().unwrap();
    wide.set(s![.., ..;2, ..;-2], &product).unwrap();
    same("a product with steps", &wide.slice(s![.., ..;2, ..;-2]), &want);
    // one matrix of the batch, one row, and one column
    if want.is_empty() {
        return;
    }
    let (p, i, j) = (dice.below(x.batch), dice.below(x.m), dice.below(x.n));
    let alone = Size { batch: 1, ..x };
    let of_p = |all: &[T], len: usize| all[p * len..(p + 1) * len].to_vec();
    let want = of_p(&want, x.m * x.n);
    let (left, right) = (left.slice(s![p as isize]), right.slice(s![p as isize]));
    let (row, column) = (left.slice(s![i as isize]), right.slice(s![.., j as isize]));
    if adds {
        // the lanes of a sum depend on the order of axes in memory, which a part does not share with the whole
        same("a column", &left.matmul(&column), &sum_of_products(&left, &column));
    } else {
        let column_of: Vec<T> = (0..x.m).map(|i| want[i * x.n + j]).collect();
        same("a column", &left.matmul(&column), &column_of);
    }
    if adds && x.n == 1 {
        same("one of a batch", &left.matmul(&right), &sum_of_products(&left, &column));
        same("a row", &row.matmul(&right), &sum_of_products(&row.reshape([1, x.k]), &column));
    } else {
        same("one of a batch", &left.matmul(&right), &want);
        same("a row", &row.matmul(&right), &want[i * alone.n..(i + 1) * alone.n]);
    }
}

fn check_type(t: DType, x: Size, dice: &mut Dice) {
    match t {
        F32 => check::<f32>(x, dice),
        F64 => check::<f64>(x, dice),
        F16 => check::<f16>(x, dice),
        BF16 => check::<bf16>(x, dice),
        I8 => check::<i8>(x, dice),
        U16 => check::<u16>(x, dice),
        I32 => check::<i32>(x, dice),
        U64 => check::<u64>(x, dice),
        _ => check::<bool>(x, dice),
    }
}

const TYPES: [DType; 9] = [F32, F64, F16, BF16, I8, U16, I32, U64, Bool];

/// Products of all types, with sizes near those where the strategy changes. Returns how many there were.
fn products(seed: u64, count: usize) -> usize {
    const SIDES: [usize; 22] = [0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 15, 16, 17, 25, 31, 33, 64, 65, 100, 131];
    const DEPTHS: [usize; 20] = [0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 64, 100, 255, 256, 257, 511, 512, 513];
    let mut dice = Dice::new(seed);
    for number in 0..count {
        let (m, n, k) = (SIDES[dice.below(22)], SIDES[dice.below(22)], DEPTHS[dice.below(20)]);
        let most = (200_000 / (m * n * k).max(1)).clamp(1, 5);
        let x = Size { batch: 1 + dice.below(most), m, k, n };
        check_type(TYPES[number % TYPES.len()], x, &mut dice);
    }
    count
}

/// Products that are divided into several tasks, in each type and by each strategy.
fn large(seed: u64) -> usize {
    let of = |batch, m, k, n| Size { batch, m, k, n };
    let all = [
        (F32, of(1, 300, 257, 270)),
        (F32, of(1, 40, 300, 1100)),
        (F32, of(1, 1500, 1030, 1)),
        // rows that do not fit into the cache
        (F32, of(1, 2200, 2057, 1)),
        (F64, of(1, 1100, 2057, 1)),
        (F32, of(1, 1, 1030, 1500)),
        (F32, of(1, 700, 1030, 3)),
        (F32, of(1, 1100, 30, 100)),
        (F32, of(70, 40, 30, 41)),
        (F64, of(1, 200, 300, 210)),
        (F64, of(1, 700, 1030, 1)),
        (F16, of(1, 200, 257, 270)),
        (F16, of(1, 1500, 700, 1)),
        (BF16, of(9, 70, 300, 64)),
        (I32, of(1, 150, 300, 200)),
        (I32, of(1, 600, 1030, 1)),
        (U64, of(1, 100, 260, 140)),
        (I8, of(20, 50, 64, 50)),
        (Bool, of(1, 150, 300, 140)),
        // one row and one column: vector lanes take different chains
        (F32, of(1, 1, 20_000, 1)),
        (F64, of(1, 1, 4096, 1)),
        (F16, of(2, 1, 5000, 1)),
        (I32, of(1, 1, 9000, 1)),
        (U64, of(1, 1, 2048, 1)),
        (Bool, of(1, 1, 17_000, 1)),
        // a small result, where k is divided among tasks
        (F32, of(1, 1, 2_100_300, 1)),
        (F64, of(1, 1, 1_060_000, 1)),
        (I32, of(1, 1, 1_050_000, 1)),
        (F32, of(1, 1, 150_000, 20)),
        (F32, of(1, 40, 60_100, 1)),
        (F32, of(1, 60, 6_000, 60)),
        (F16, of(1, 17, 30_000, 20)),
        (Bool, of(1, 5, 200_000, 9)),
        (U64, of(1, 8, 20_000, 9)),
        // divided into tasks although there are few columns
        (F32, of(1, 60, 600, 300)),
    ];
    let mut dice = Dice::new(seed);
    all.map(|(t, x)| check_type(t, x, &mut dice)).len()
}

#[test]
fn definition() {
    let mut stage = Stage::new(6, "products: definition", &Device::cpu());
    stage.count(products(1, 900) + large(2));
}

/// An f32 of one of several kinds: any bits; few bits, so that sums are ties between two f32; so small that results are
/// subnormal; so large that they overflow; so near to a tie that rounding to f64 first would make it one.
fn hard(kind: usize, addend: bool, dice: &mut Dice) -> f32 {
    let bits = dice.next();
    let number = |exponent: i64, lost: u32| {
        f32::from_bits(bits as u32 & (0x807f_ffff >> lost << lost) | (exponent.clamp(0, 254) as u32) << 23)
    };
    let away = (bits >> 40) as i64 % 56;
    match (kind, addend) {
        (0, _) => f32::from_bits(bits as u32),
        (1, false) => number(127, 11),
        (1, true) => number(127 - 28 + away, (bits >> 33) as u32 % 12),
        (2, false) => number(60 + away / 8, 11),
        (2, true) => number(away / 14, (bits >> 33) as u32 % 12),
        // (2⁻¹² ± i · 2⁻³⁵) · (2⁻¹² ∓ i · 2⁻³⁵) is i² · 2⁻⁷⁰ below half the last place of the addend
        (4, false) => {
            let i = (1 + bits % 4) as f32 * f32::EPSILON;
            (if bits & 4 == 0 { 1.0 + i } else { 1.0 - i }) / 4096.0
        }
        (4, true) => number(127, 0).abs(),
        (_, false) => number(187 + away / 8, 0),
        (_, true) => number(247 + away / 7, 0),
    }
}

/// `c + a · b` is rounded once for all numbers: a product of rows `c, a` and columns `1, b`.
#[test]
fn multiply_adds_are_rounded_once() {
    let mut stage = Stage::new(6, "products: multiply-adds", &Device::cpu());
    let mut dice = Dice::new(5);
    let (mut ties, mut subnormal, mut infinite, mut twice) = (0, 0, 0, 0);
    for round in 0..75 {
        let (kind, x) = (round % 5, Size { batch: 1, m: 90, k: 2, n: 90 });
        let a: Vec<f32> = (0..2 * x.m).map(|i| hard(kind, i % 2 == 0, &mut dice)).collect();
        let b: Vec<f32> = (0..2 * x.n).map(|i| if i < x.n { 1.0 } else { hard(kind, false, &mut dice) }).collect();
        let want = defined(x, &a, &b);
        for (i, w) in want.iter().enumerate() {
            let (row, column) = (i / x.n, i % x.n);
            let sum = a[2 * row] as f64 + a[2 * row + 1] as f64 * b[x.n + column] as f64;
            ties += (sum.to_bits() & 0x1fff_ffff == 0x1000_0000) as usize;
            subnormal += w.is_subnormal() as usize;
            infinite += w.is_infinite() as usize;
            twice += (sum.is_finite() && sum as f32 != *w) as usize;
        }
        let array = |list: &[f32], shape: [usize; 2]| Array::from_vec(list.to_vec(), shape).unwrap();
        let got = array(&a, [x.m, x.k]).matmul(array(&b, [x.k, x.n])).to_vec::<f32>().unwrap();
        for (i, (g, w)) in got.iter().zip(&want).enumerate() {
            let numbers = (a[2 * (i / x.n)], a[2 * (i / x.n) + 1], b[x.n + i % x.n]);
            assert_eq!(canonical(*g), canonical(*w), "{g:e}, not {w:e}, of {numbers:?}");
        }
        stage.count(want.len());
    }
    let rare = [ties, subnormal, infinite, twice];
    assert!(
        rare.iter().all(|n| *n > 5000),
        "{rare:?} ties, subnormal and infinite numbers, and sums that f64 would change"
    );
}

/// Elementwise operations that are fused into a product, compared with the same operations on the stored product.
/// Returns how many expressions were compared.
fn epilogues(seed: u64) -> usize {
    let of = |batch, m, k, n| Size { batch, m, k, n };
    let sizes = [
        of(1, 5, 7, 9),
        of(1, 1, 300, 700),
        of(1, 1500, 300, 1),
        of(1, 700, 600, 3),
        of(3, 33, 17, 21),
        of(70, 40, 30, 41),
        of(1, 1100, 30, 100),
        of(1, 130, 513, 257),
        of(1, 40, 300, 1100),
        of(1, 300, 257, 640),
        of(2, 600, 5, 1000),
        of(1, 90, 0, 70),
    ];
    let mut dice = Dice::new(seed);
    let mut count = 0;
    for x in sizes {
        for t in [F32, F64, I32] {
            let mut any = |shape: [usize; 3]| {
                let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| dice.within(-3.0, 3.0) as f32).collect();
                Array::from_vec(numbers, shape).unwrap().astype(t).eval().unwrap()
            };
            let (a, b) = (any([x.batch, x.m, x.k]), any([x.batch, x.k, x.n]));
            let (row, column, all) = (any([1, 1, x.n]), any([x.batch, x.m, 1]), any([x.batch, x.m, x.n]));
            let turned = |e: &Expr| e.permute_dims([0, 2, 1]);
            let works: [&dyn Fn(&Expr) -> Expr; 6] = [
                &|p| p + &row,
                &|p| (p * &column + &row).maximum(&all) - p,
                &|p| (p.astype(F32) * 0.1).tanh(),
                &|p| turned(&(p + &row)),
                &|p| (p + &all).astype(F16),
                &|p| (p + &column).slice(s![.., ..;-1]),
            ];
            let mut same = |what: usize, product: &Expr, work: &dyn Fn(&Expr) -> Expr| {
                let stored = product.eval().unwrap();
                let (got, want) = (work(product), work(&stored));
                let is_same = read(&got).unwrap() == read(&want).unwrap();
                assert!(is_same, "work {what} on {t} {x:?}\n{}", got.plan().unwrap());
                count += 1;
            };
            for (number, work) in works.iter().enumerate() {
                same(number, &a.matmul(&b), work);
            }
            same(6, &turned(&b).matmul(turned(&a)), &|p| p + turned(&column));
            // writing to an array that the product reads
            let side = x.m.min(300);
            let mut target = any([1, side, side]);
            let square = target.matmul(&target);
            let want = (square.eval().unwrap() + &target).eval().unwrap();
            target.set(s![..], square + &target).unwrap();
            assert_eq!(read(&target).unwrap(), read(&want).unwrap(), "a target of {t} {x:?}");
        }
    }
    count
}

#[test]
fn works_on_parts() {
    let mut stage = Stage::new(6, "products: epilogues", &Device::cpu());
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        stage.count(pool.install(|| epilogues(threads as u64)));
    }
}

#[test]
fn any_number_of_threads() {
    let mut stage = Stage::new(16, "products: threads", &Device::cpu());
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        stage.count(pool.install(|| large(2 + threads as u64) + products(threads as u64, 50)));
    }
}

#[test]
fn every_instruction_set() {
    let mut stage = Stage::new(16, "products: instruction sets", &Device::cpu());
    stage.count(on_other_instruction_sets(module_path!(), &["definition", "multiply_adds_are_rounded_once"]));
}
