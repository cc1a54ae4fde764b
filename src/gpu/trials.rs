//! The kernels of the self-test: for each an expression, which is planned as a user's is, and its result by plain loops on the host.
//! All numbers are exact on every device: whole numbers that the type holds, so any other result is wrong.
//!
//! Sizes are no multiples of a workgroup and large enough for several, so that edges, barriers and carries take part.

use super::device::Gpu;
use super::families::Family;
use crate::base::dtype::{DType, Element};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{AxesArg, Combine, IndexMode, Layout, c_strides, product};
use crate::graph::expr::{Arg, Expr, NodeOp, reduce, routine, scan, ufunc};
use crate::graph::routine::{BINCOUNT, COMPRESS, Params, Routine, SORT, SUM_BY_KEY};
use crate::graph::ufunc::{ARGMAX, Fold, Ufunc, arithmetic, logic};
use half::f16;
use smallvec::smallvec;
use std::panic::Location;

/// A kernel whose result is known.
pub(super) struct Trial {
    pub family: Family,
    /// What it computes, for messages: "element 3 of … is 17 instead of 19".
    pub what: &'static str,
    pub build: fn(&Host<'_>) -> Result<Expr>,
    /// Where a result, in C order, first differs from the right one; none if it is right.
    pub difference: fn(&[u8]) -> Option<Difference>,
}

/// What differs (`element 3`), and how (`is 17 instead of 19`).
pub(super) type Difference = [String; 2];

/// The first element in which bytes differ from elements.
fn difference<T: Element>(want: &[T], found: &[u8]) -> Option<Difference> {
    let each = size_of::<T>();
    if found.len() != T::bytes(want).len() {
        let bytes = [found.len(), T::bytes(want).len()];
        return Some(["the length".to_string(), format!("is {} bytes instead of {}", bytes[0], bytes[1])]);
    }
    // bytes are compared, because NaN is not equal to itself, and a bool has two right bytes alone
    let n = found.chunks(each).zip(T::bytes(want).chunks(each)).position(|(found, want)| found != want)?;
    let shown = T::from_bytes(&found[n * each..][..each]).and_then(|x| x.first().map(|x| format!("{x:?}")));
    Some([format!("element {n}"), format!("is {} instead of {:?}", shown.unwrap_or_default(), want[n])])
}

/// Elements in C order, of a result that lies in memory by these strides.
pub(super) fn in_c_order(bytes: &[u8], shape: &[usize], strides: &[isize], size: usize) -> Vec<u8> {
    let element = |n: usize| {
        let mut left = n;
        let mut place = 0;
        for (length, stride) in shape.iter().zip(strides).rev() {
            place += (left % length) as isize * stride;
            left /= length;
        }
        place as usize * size
    };
    (0..product(shape))
        .flat_map(|n| bytes.get(element(n)..).into_iter().flat_map(|b| b.iter().take(size)).copied())
        .collect()
}

/// What trials are built with: it puts operands on the device.
pub(super) struct Host<'a> {
    pub gpu: &'a Gpu,
}

impl Host<'_> {
    /// An array on the device whose element at place `n` in memory is `f(n)`; of `count` elements a layout shows some.
    fn put<T: Element>(&self, count: usize, layout: Layout, f: impl Fn(usize) -> T) -> Result<Expr> {
        let elements: Vec<T> = (0..count).map(f).collect();
        let bytes = T::bytes(&elements);
        let buffer = self.gpu.allocate(bytes.len())?;
        self.gpu.write(&buffer, 0, bytes)?;
        Ok(Expr::stored(buffer, layout, T::DTYPE, Location::caller()))
    }

    /// An array in C order.
    fn dense<T: Element>(&self, shape: &[usize], f: impl Fn(usize) -> T) -> Result<Expr> {
        self.put(product(shape), Layout::c(shape), f)
    }

    /// An array in C order that begins with element 1 of its memory.
    fn odd<T: Element>(&self, shape: &[usize], f: impl Fn(usize) -> T) -> Result<Expr> {
        let layout = Layout { shape: shape.into(), strides: c_strides(shape), offset: 1 };
        self.put(product(shape) + 1, layout, |n| f(n.wrapping_sub(1)))
    }
}

/// A number from `low` up to `high`, without `high`, that depends on `seed` and `n` and looks random. The multipliers are odd numbers
/// whose bits are mixed (2³² divided by the golden ratio, and those of the hash Murmur3); any such would do.
fn number(seed: usize, n: usize, low: i32, high: i32) -> i32 {
    let x = (n as u32).wrapping_mul(0x9e37_79b9) ^ (seed as u32 + 1).wrapping_mul(0x85eb_ca6b);
    let x = (x ^ x >> 15).wrapping_mul(0xc2b2_ae35);
    low + ((x ^ x >> 13) % (high - low) as u32) as i32
}

fn call(row: &'static Ufunc, operands: &[&Expr]) -> Expr {
    ufunc(row, operands.iter().map(|e| Arg::Expr((*e).clone())).collect(), Location::caller())
}

/// A node whose result has this shape and type.
fn node(op: NodeOp, operands: &[&Expr], shape: &[usize], dtype: DType) -> Expr {
    let device = operands[0].0.device;
    Expr::node(op, operands.iter().map(|e| (*e).clone()).collect(), shape.into(), dtype, device, Location::caller())
}

fn folded(fold: Fold, x: &Expr, axis: isize, keep: bool) -> Expr {
    reduce(fold.name, fold, x, &AxesArg { axes: Some(smallvec![axis]), keep }, Location::caller())
}

/// The first result of a routine.
fn called(row: &'static Routine, operands: &[&Expr], params: Params) -> Result<Expr> {
    let results = routine(row, operands.iter().map(|e| (*e).clone()).collect(), params, Location::caller())?;
    results.into_iter().next().ok_or_else(|| Error::with_line(ErrorKind::Internal, row.name, "no result", None))
}

/// The trials, one or more of each family.
pub(super) static TRIALS: [Trial; 17] = [
    Trial {
        family: Family::Elementwise,
        what: "a formula of i32 with operands that are transposed, repeated and backward",
        build: formula,
        difference: |found| difference(&formula_on_host(), found),
    },
    Trial {
        family: Family::Packed,
        what: "sums of u8 side by side",
        build: bytes_side_by_side,
        difference: |found| difference(&bytes_on_host(), found),
    },
    Trial {
        family: Family::Packed,
        what: "a matrix of i16 plus a transposed one",
        build: |host| {
            let [rows, columns] = LARGE_MATRIX;
            let turned = Layout { shape: smallvec![rows, columns], strides: smallvec![1, rows as isize], offset: 0 };
            let x = host.put(rows * columns, turned, |n| number(27, n, -9_999, 9_999) as i16)?;
            let y = host.dense(&LARGE_MATRIX, |n| number(28, n, -9_999, 9_999) as i16)?;
            Ok(call(&arithmetic::add, &[&x, &y]))
        },
        difference: |found| {
            let [rows, columns] = LARGE_MATRIX;
            let turned = |n: usize| number(27, n % columns * rows + n / columns, -9_999, 9_999);
            let want = (0..rows * columns).map(|n| (turned(n) + number(28, n, -9_999, 9_999)) as i16);
            difference(&want.collect::<Vec<_>>(), found)
        },
    },
    Trial {
        family: Family::Packed,
        what: "a formula of f16",
        build: halves,
        difference: |found| {
            let want = |n: usize| f16::from_f32((2 * number(8, n, -99, 99) + number(9, n, -99, 99)) as f32);
            difference(&(0..HALVES).map(want).collect::<Vec<_>>(), found)
        },
    },
    Trial {
        family: Family::Gathers,
        what: "rows taken at positions",
        build: taken,
        difference: |found| {
            let row = |n: usize| number(11, n, -5, 60).clamp(0, 52) as usize;
            difference(
                &(0..301 * 7).map(|n| number(10, row(n / 7) * 7 + n % 7, -9_999, 9_999)).collect::<Vec<_>>(),
                found,
            )
        },
    },
    Trial {
        family: Family::Scatters,
        what: "numbers added at positions",
        build: scattered,
        difference: |found| difference(&scattered_on_host(), found),
    },
    Trial {
        family: Family::Reductions,
        what: "sums of rows",
        build: |host| {
            let x = host.dense(&[5, ROW], |n| number(16, n, -9_999, 9_999))?;
            Ok(folded(Fold::of(&arithmetic::add), &x, 1, false))
        },
        difference: |found| {
            let sum = |row: usize| (0..ROW).map(|k| number(16, row * ROW + k, -9_999, 9_999)).sum::<i32>();
            difference(&(0..5).map(sum).collect::<Vec<_>>(), found)
        },
    },
    Trial {
        family: Family::Reductions,
        what: "positions of the largest of equal numbers",
        build: |host| Ok(folded(*ARGMAX, &host.dense(&[5, ROW], |n| number(17, n, 0, 40))?, 1, false)),
        difference: |found| {
            let first = |row: usize| {
                let element = |k: &usize| number(17, row * ROW + k, 0, 40);
                // of equal ones `max_by_key` gives the last
                (0..ROW).rev().max_by_key(element).unwrap_or(0) as i32
            };
            difference(&(0..5).map(first).collect::<Vec<_>>(), found)
        },
    },
    Trial {
        family: Family::Reductions,
        what: "sums of columns",
        build: |host| {
            let x = host.dense(&[200, 67], |n| number(18, n, -9_999, 9_999))?;
            Ok(folded(Fold::of(&arithmetic::add), &x, 0, false))
        },
        difference: |found| {
            let sum = |column: usize| (0..200).map(|k| number(18, k * 67 + column, -9_999, 9_999)).sum::<i32>();
            difference(&(0..67).map(sum).collect::<Vec<_>>(), found)
        },
    },
    Trial {
        family: Family::Rows,
        what: "rows less their largest elements",
        build: |host| {
            let x = host.dense(&[5, ROW], |n| number(19, n, -9_999, 9_999))?;
            let largest = folded(Fold::of(&arithmetic::maximum), &x, 1, true);
            Ok(call(&arithmetic::subtract, &[&x, &largest]))
        },
        difference: |found| {
            let at = |n: usize| number(19, n, -9_999, 9_999);
            let largest = |row: usize| (0..ROW).map(|k| at(row * ROW + k)).max().unwrap_or(0);
            difference(&(0..5 * ROW).map(|n| at(n) - largest(n / ROW)).collect::<Vec<_>>(), found)
        },
    },
    Trial {
        family: Family::Scans,
        what: "sums so far",
        build: |host| {
            let x = host.dense(&[3, ROW], |n| number(20, n, -9_999, 9_999))?;
            Ok(scan(Fold::of(&arithmetic::add), &x, 1, Location::caller()))
        },
        difference: |found| {
            let so_far = |n: usize| (n - n % ROW..=n).map(|k| number(20, k, -9_999, 9_999)).sum::<i32>();
            difference(&(0..3 * ROW).map(so_far).collect::<Vec<_>>(), found)
        },
    },
    Trial {
        family: Family::Products,
        what: "a product of 70 × 300 by 300 × 67",
        build: |host| product_of(host, [70, 300, 67]),
        difference: |found| difference(&product_on_host([70, 300, 67]), found),
    },
    Trial {
        family: Family::NarrowProducts,
        what: "a product of 3 × 300 by 300 × 5",
        build: |host| product_of(host, [3, 300, 5]),
        difference: |found| difference(&product_on_host([3, 300, 5]), found),
    },
    Trial {
        family: Family::Sorts,
        what: "sorted rows of i16",
        build: |host| {
            let x = host.dense(&[3, 233], |n| number(23, n, -300, 300) as i16)?;
            called(&SORT, &[&x], smallvec![233, 0, 3 * 233])
        },
        difference: |found| {
            let mut want: Vec<i16> = (0..3 * 233).map(|n| number(23, n, -300, 300) as i16).collect();
            want.chunks_mut(233).for_each(|row| row.sort_unstable());
            difference(&want, found)
        },
    },
    Trial {
        family: Family::Counts,
        what: "counts of values",
        build: |host| called(&BINCOUNT, &[&host.dense(&[ROW], |n| number(24, n, 0, 37) as u8)?], smallvec![37]),
        difference: |found| {
            let count = |value: i32| (0..ROW).filter(|n| number(24, *n, 0, 37) == value).count() as i64;
            difference(&(0..37).map(count).collect::<Vec<_>>(), found)
        },
    },
    Trial {
        family: Family::Masks,
        what: "elements chosen by a mask",
        build: |host| {
            let (mask, x) = (host.dense(&[ROW], is_chosen)?, host.dense(&[ROW], |n| n as i32)?);
            let count = (0..ROW).filter(|n| is_chosen(*n)).count();
            called(&COMPRESS, &[&mask, &x], smallvec![count as u64, ROW as u64])
        },
        difference: |found| {
            difference(&(0..ROW).filter(|n| is_chosen(*n)).map(|n| n as i32).collect::<Vec<_>>(), found)
        },
    },
    Trial {
        family: Family::SumsByKey,
        what: "sums by keys",
        build: |host| {
            let keys = host.dense(&[ROW], |n| (n / 90) as u32)?;
            let x = host.dense(&[ROW, 3], |n| number(26, n, -999, 999) as f32)?;
            called(&SUM_BY_KEY, &[&keys, &x], smallvec![12, 3, ROW as u64])
        },
        difference: |found| {
            let rows = |key: usize| (key * 90..((key + 1) * 90).min(ROW)).map(move |row| row * 3);
            let sum = |n: usize| rows(n / 3).map(|row| number(26, row + n % 3, -999, 999)).sum::<i32>() as f32;
            difference(&(0..12 * 3).map(sum).collect::<Vec<_>>(), found)
        },
    },
];

/// The length of rows: three whole workgroups of 256, and a part of one.
const ROW: usize = 1_003;
/// A matrix whose kernels are large: their invocations take four elements each, and squares of a transposed operand go through
/// workgroup memory. Neither side is a whole number of squares.
const LARGE_MATRIX: [usize; 2] = [516, 520];
/// The elements of f16, an odd number.
const HALVES: usize = 1_001;

fn is_chosen(n: usize) -> bool {
    number(25, n, 0, 3) == 0
}

/// The operands of the formula at its indices: one that is transposed, one that repeats, one that lies backward with gaps.
fn operands(i: usize, j: usize, k: usize) -> [i32; 3] {
    let divisor = number(2, j, -90, 90);
    [
        number(1, k * 111 + j * 3 + i, -999_999, 999_999),
        if divisor == 0 { 91 } else { divisor },
        number(3, 56 - 2 * k, 0, 20),
    ]
}

fn formula(host: &Host<'_>) -> Result<Expr> {
    let shape = || smallvec![3, 37, 29];
    let a = Layout { shape: shape(), strides: smallvec![1, 3, 111], offset: 0 };
    let a = host.put(3 * 37 * 29, a, |n| operands(n % 3, n / 3 % 37, n / 111)[0])?;
    let b = host.dense(&[37, 1], |n| operands(0, n, 0)[1])?;
    let c = Layout { shape: smallvec![29], strides: smallvec![-2], offset: 56 };
    let c = host.put(57, c, |n| number(3, n, 0, 20))?;
    let is_less = call(&logic::less, &[&b, &c]);
    let rest = call(&arithmetic::remainder, &[&a, &b]);
    let other = call(&logic::bitwise_xor, &[&rest, &call(&logic::bitwise_right_shift, &[&a, &c])]);
    let sum = call(&arithmetic::add, &[&other, &call(&arithmetic::multiply, &[&a, &a])]);
    Ok(call(&logic::SELECT, &[&is_less, &call(&arithmetic::floor_divide, &[&a, &b]), &sum]))
}

fn formula_on_host() -> Vec<i32> {
    let element = |n: usize| {
        let [a, b, c] = operands(n / (37 * 29), n / 29 % 37, n % 29);
        let has_other_sign = a % b != 0 && (a < 0) != (b < 0);
        let quotient = a / b - has_other_sign as i32;
        let rest = a - quotient * b;
        if b < c { quotient } else { (rest ^ a >> c).wrapping_add(a.wrapping_mul(a)) }
    };
    (0..3 * 37 * 29).map(element).collect()
}

/// Columns of u8 beside each other, so that kernels share the words that they write.
fn bytes_side_by_side(host: &Host<'_>) -> Result<Expr> {
    let column = |seed: usize| {
        let x = host.odd(&[501, 1], |n| number(seed, n, 0, 256) as u8)?;
        let y = host.odd(&[501, 1], |n| number(seed + 1, n, 0, 256) as u8)?;
        Ok(call(&arithmetic::add, &[&x, &y]))
    };
    let [a, b, c] = [column(4)?, column(40)?, column(400)?];
    Ok(node(NodeOp::Concat { axis: 1 }, &[&a, &b, &c], &[501, 3], DType::U8))
}

fn bytes_on_host() -> Vec<u8> {
    let seed = |n: usize| [4, 40, 400][n % 3];
    let term = |seed: usize, n: usize| number(seed, n / 3, 0, 256) as u8;
    (0..501 * 3).map(|n| term(seed(n), n).wrapping_add(term(seed(n) + 1, n))).collect()
}

fn halves(host: &Host<'_>) -> Result<Expr> {
    let x = host.odd(&[HALVES], |n| f16::from_f32(number(8, n, -99, 99) as f32))?;
    let y = host.dense(&[HALVES], |n| f16::from_f32(number(9, n, -99, 99) as f32))?;
    Ok(call(&arithmetic::add, &[&call(&arithmetic::add, &[&x, &x]), &y]))
}

fn taken(host: &Host<'_>) -> Result<Expr> {
    let source = host.dense(&[53, 7], |n| number(10, n, -9_999, 9_999))?;
    let at = host.dense(&[301], |n| number(11, n, -5, 60))?;
    let take = NodeOp::Take { axis: 0, mode: IndexMode::Clip, along: false, name: "take" };
    Ok(node(take, &[&at, &source], &[301, 7], DType::I32))
}

fn scattered(host: &Host<'_>) -> Result<Expr> {
    let target = host.dense(&[41], |n| number(12, n, -99, 99))?;
    let at = host.dense(&[ROW], |n| number(13, n, -3, 50))?;
    let values = host.dense(&[ROW], |n| number(14, n, -9_999, 9_999))?;
    let condition = host.dense(&[ROW], |n| number(15, n, 0, 3) > 0)?;
    let scatter = NodeOp::Scatter { axis: 0, mode: IndexMode::Clip, combine: Combine::Add, name: "index_add" };
    Ok(node(scatter, &[&target, &at, &values, &condition], &[41], DType::I32))
}

fn scattered_on_host() -> Vec<i32> {
    let mut target: Vec<i32> = (0..41).map(|n| number(12, n, -99, 99)).collect();
    for n in (0..ROW).filter(|n| number(15, *n, 0, 3) > 0) {
        target[number(13, n, -3, 50).clamp(0, 40) as usize] += number(14, n, -9_999, 9_999);
    }
    target
}

/// The product of whole numbers from −8 to 8, whose sums are exact in f32: their magnitudes stay below 2²⁴ (300 · 64).
fn product_of(host: &Host<'_>, [m, k, n]: [usize; 3]) -> Result<Expr> {
    let a = host.dense(&[m, k], |at| number(21, at, -8, 9) as f32)?;
    let b = host.dense(&[k, n], |at| number(22, at, -8, 9) as f32)?;
    Ok(node(NodeOp::Matmul, &[&a, &b], &[m, n], DType::F32))
}

fn product_on_host([m, k, n]: [usize; 3]) -> Vec<f32> {
    let term =
        |row: usize, column: usize, at: usize| number(21, row * k + at, -8, 9) * number(22, at * n + column, -8, 9);
    (0..m * n).map(|at| (0..k).map(|x| term(at / n, at % n, x)).sum::<i32>() as f32).collect()
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests! {
        gpu_trials: every_family_has_a_trial, one_wrong_bit_is_seen, results_in_any_order_of_axes
    }

    fn every_family_has_a_trial() {
        assert!(Family::ALL.iter().all(|family| TRIALS.iter().any(|t| t.family == *family)));
    }

    fn one_wrong_bit_is_seen() {
        let want: Vec<i32> = (0..40).map(|n| number(1, n, -9, 9)).collect();
        assert_eq!(difference(&want, i32::bytes(&want)), None);
        for bit in 0..40 * 32 {
            let mut found = i32::bytes(&want).to_vec();
            found[bit / 8] ^= 1 << (bit % 8);
            let [place, _] = difference(&want, &found).unwrap();
            assert_eq!(place, format!("element {}", bit / 32));
        }
        assert!(difference(&want, &i32::bytes(&want)[4..]).is_some());
        assert_eq!(difference(&[2.0f32], f32::bytes(&[3.0])).unwrap(), ["element 0", "is 3.0 instead of 2.0"]);
    }

    fn results_in_any_order_of_axes() {
        // a matrix of two rows whose columns lie one after another
        assert_eq!(in_c_order(&[1, 2, 3, 4, 5, 6], &[2, 3], &[1, 2], 1), [1, 3, 5, 2, 4, 6]);
        assert_eq!(in_c_order(&[1, 2, 3, 4, 5, 6, 7, 8], &[2, 2], &[1, 2], 2), [1, 2, 5, 6, 3, 4, 7, 8]);
    }
}
