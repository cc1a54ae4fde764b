//! Products of sliding windows: windows are read without a copy, with the same bits as a product of copies.

use crate::kit::*;
use cupric::*;

/// Returns windows along some axes of an array, with the axes in a random order, and the lengths of the axes.
fn windows(dice: &mut Dice, dtype: DType, d: &Device) -> (Expr, Vec<usize>) {
    let ndim = dice.below(3) + 1;
    let shape: Vec<usize> = (0..ndim).map(|_| dice.below(11) + 1).collect();
    let size = shape.iter().product::<usize>();
    let numbers: Vec<f32> = (0..size).map(|_| dice.within(-8.0, 8.0) as f32).collect();
    let x = Array::from_vec(numbers, &shape[..]).unwrap().astype(dtype).to_device(d).unwrap();
    let x = Expr::from(&x);
    // an array in C order, one in another memory order, the result of another kernel, or a padded array
    let mut e = match dice.below(4) {
        0 => x.eval().unwrap().into(),
        1 => x.eval().unwrap().permute_dims((0..ndim as isize).rev().collect::<Vec<_>>()),
        2 => &x + &x,
        _ => x.eval().unwrap().pad((1, 2), Pad::constant(0)),
    };
    for axis in 0..ndim {
        let n = e.shape().unwrap()[axis];
        if dice.below(3) > 0 {
            e = e.sliding_windows(dice.below(n.min(4)) + 1, axis as isize);
        }
        if dice.one_in(4) {
            let step = if dice.one_in(3) { -1 } else { dice.below(3) as isize + 1 };
            let mut items = vec![SliceItem::Range { start: None, end: None, step: 1 }; axis];
            items.push(SliceItem::Range { start: None, end: None, step });
            e = e.slice(items);
        }
    }
    let shape = e.shape().unwrap().to_vec();
    let mut order: Vec<isize> = (0..shape.len() as isize).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, dice.below(i + 1));
    }
    let lengths = order.iter().map(|d| shape[*d as usize]).collect();
    (e.permute_dims(order), lengths)
}

/// Returns a matrix, or a batch of matrices, whose rows and columns merge the axes of an expression.
fn matrix(e: &Expr, batch: bool, rows: usize, lengths: &[usize]) -> Expr {
    let product = |l: &[usize]| l.iter().product::<usize>() as isize;
    let first = batch as usize;
    let mut shape: Vec<isize> = lengths[..first].iter().map(|n| *n as isize).collect();
    shape.extend([product(&lengths[first..rows]), product(&lengths[rows..])]);
    e.reshape(shape)
}

/// Multiplies random matrices made of windows, and compares with products of copies of the matrices.
fn products_equal_those_of_copies(seed: u64, d: &Device) {
    let mut dice = Dice::new(seed);
    let dtype = [DType::F32, DType::F64, DType::F16, DType::BF16, DType::I32, DType::U8][dice.below(6)];
    let dtype = if has(d, dtype) { dtype } else { DType::F32 };
    let (e, lengths) = windows(&mut dice, dtype, d);
    let batch = lengths.len() > 2 && dice.one_in(4);
    let split = batch as usize + dice.below(lengths.len() + 1 - batch as usize);
    let a = matrix(&e, batch, split, &lengths);
    let k = lengths[split..].iter().product::<usize>();
    let other = |dice: &mut Dice, n: usize| {
        let numbers: Vec<f32> = (0..k * n).map(|_| dice.within(-8.0, 8.0) as f32).collect();
        Expr::from(Array::from_vec(numbers, [k, n]).unwrap().astype(dtype).to_device(d).unwrap())
    };
    // windows as the left operand, as the right one, or both
    let (left, right) = match dice.below(3) {
        0 => (a, {
            let n = dice.below(70) + 1;
            other(&mut dice, n)
        }),
        1 if !batch => {
            let (n, turned) = (dice.below(40) + 1, (split as isize..lengths.len() as isize).chain(0..split as isize));
            let lengths: Vec<usize> = lengths[split..].iter().chain(&lengths[..split]).copied().collect();
            let right = matrix(&e.permute_dims(turned.collect::<Vec<_>>()), false, lengths.len() - split, &lengths);
            (other(&mut dice, n).permute_dims([1, 0]), right)
        }
        _ if !batch => {
            let turned: Vec<isize> = (split as isize..lengths.len() as isize).chain(0..split as isize).collect();
            let ends: Vec<usize> = lengths[split..].iter().chain(&lengths[..split]).copied().collect();
            (a, matrix(&e.permute_dims(turned), false, lengths.len() - split, &ends))
        }
        _ => (a, {
            let n = dice.below(20) + 1;
            other(&mut dice, n)
        }),
    };
    // the product alone, with an epilogue, or with its axes split and permuted
    let (form, turn) = (dice.below(4), dice.below(2));
    let finish = |product: Expr| match form {
        0 => product,
        1 => product.maximum(1).astype(DType::F32),
        _ => {
            let columns = *product.shape().unwrap().last().unwrap() as isize;
            let apart: Vec<isize> = lengths[..split].iter().map(|n| *n as isize).chain([columns]).collect();
            if product.size().unwrap() as isize != apart.iter().product::<isize>() {
                return product;
            }
            let n = apart.len() as isize;
            let order: Vec<isize> = if turn == 0 { (0..n).rev().collect() } else { (1..n).chain([0]).collect() };
            let e = product.reshape(apart).permute_dims(order);
            if form == 2 { e } else { e + 1 }
        }
    };
    let result = finish(left.matmul(&right)).eval().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    let (left, right) = (left.contiguous().eval().unwrap(), right.contiguous().eval().unwrap());
    let expected = finish(left.matmul(&right)).eval().unwrap();
    if right.shape().last() == Some(&1) && !d.is_gpu() {
        // such a product is a sum, whose order follows from the layout in memory
        let wide = expected.astype(DType::F64).to_vec::<f64>().unwrap();
        let rounding = match dtype {
            DType::F16 => 1e-3,
            DType::BF16 => 8e-3,
            _ => 0.0,
        };
        // k terms of at most 8 · 8
        let sums = (k * k * 64) as f64 * f32::EPSILON as f64;
        return near(&Expr::from(result), &wide, |x| rounding * x.abs() + sums);
    }
    assert_eq!(result.to_bytes().unwrap(), expected.to_bytes().unwrap(), "seed {seed}: {dtype} {lengths:?} at {split}");
}

on_devices! {

fn products_of_windows_equal_those_of_copies(d: &Device) {
    let count = if d.is_gpu() { 32 } else { 2_000 };
    for seed in share::seeds(71_000_000, count, d.is_gpu()) {
        products_equal_those_of_copies(seed, d);
    }
}

fn windows_are_not_copied(d: &Device) {
    let full = |shape: &[usize]| Expr::from(full(shape, 1.0, DType::F32).to_device(d).unwrap().eval().unwrap());
    let (x, w) = (full(&[3, 20, 20]), full(&[8, 27]));
    let windows = x.sliding_windows(3, 1).sliding_windows(3, 2).permute_dims([0, 3, 4, 1, 2]).reshape([27, 324]);
    assert_eq!(w.matmul(&windows).plan().unwrap().kernels(), 1);
    // a permutation is still copied, because the copy is not larger than its source
    let turned = x.permute_dims([1, 0, 2]).reshape([20, 60]);
    assert_eq!(turned.matmul(turned.permute_dims([1, 0]).eval().unwrap()).plan().unwrap().kernels(), 2);
}

// A long sum over windows. A GPU divides its chains among workgroups, and the last chain is not full.
fn long_sums_over_windows_equal_those_of_copies(d: &Device) {
    let dice = &mut Dice::new(5);
    let mut noise = |shape: &[usize]| {
        let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| dice.within(-1.0, 1.0) as f32).collect();
        Expr::from(Array::from_vec(numbers, shape).unwrap().to_device(d).unwrap())
    };
    // products of two widths differ only in lengths, which are constants in their shaders
    for (width, columns) in [(22, 4), (22, 70), (25, 70)] {
        let (x, k) = (noise(&[3, 5, 23, width]), 3 * 21 * (width as isize - 2));
        let y = noise(&[3, 21, width - 2, columns]).reshape([k, columns as isize]);
        let windows = x.sliding_windows(3, 2).sliding_windows(3, 3).permute_dims([1, 4, 5, 0, 2, 3]).reshape([45, k]);
        let copies = windows.contiguous().eval().unwrap();
        let finish = |e: Expr| [&e, &e.relu()].map(|e| e.to_bytes().unwrap());
        assert_eq!(finish(windows.matmul(&y)), finish(copies.matmul(&y)));
        let turned = |e: &Expr| y.permute_dims([1, 0]).matmul(e.permute_dims([1, 0]));
        assert_eq!(finish(turned(&windows)), finish(turned(&copies)));
    }
}

}
