//! Makes the kernel that a CPU runs instead of a kernel with folds by `Form::SumOf`: it sums squares without scaling them,
//! and so takes no longer than if squares could not overflow. For the rows whose sums are out of bounds, the CPU runs
//! the kernel itself.

use crate::base::dtype::Scalar;
use crate::graph::ufunc::{Fold, OfSquares, Ufunc, arithmetic, float};
use crate::plan::kernel::{Gives, Kernel, KernelReduction, Op, Source, Tiling};
use crate::plan::sums::used;
use smallvec::smallvec;

/// Returns the kernel for rows whose sums are in bounds, without a schedule. Returns `None` if the kernel has no fold
/// with bounds.
pub(super) fn ordinary(kernel: &Kernel) -> Option<Kernel> {
    let has_bounds = |op: &Op| matches!(op, Op::Reduce(r) if plain(r).is_some());
    if !kernel.values.iter().any(|v| has_bounds(&v.op)) {
        return None;
    }
    let mut made = Kernel { values: Vec::with_capacity(kernel.values.len()), ..kernel.clone() };
    let mut number: Vec<usize> = Vec::with_capacity(kernel.values.len());
    // each sum, with the elements of which it is computed, and the scales, which are 1
    let (mut sums, mut ones): (Vec<(usize, Fold, usize)>, Vec<usize>) = (vec![], vec![]);
    for value in &kernel.values {
        let mut op = value.op.clone();
        op.map_operands(|a| number[a]);
        let new = if let Op::Reduce(r) = &op
            && let Some((x, function, fold, gives)) = plain(r)
        {
            let known = sums.iter().find(|(of, by, _)| *of == x && *by == fold).map(|known| known.2);
            let sum = known.unwrap_or_else(|| {
                let (dtype, inner) = (made.values[x].dtype, made.values[x].inner);
                let of_x = made.push(Op::Ufunc(function, smallvec![x]), dtype, inner);
                let sum = made.push(Op::reduce(fold, of_x, r.element), value.dtype, false);
                sums.push((x, fold, sum));
                sum
            });
            match gives {
                OfSquares::Root => made.push(Op::Ufunc(&float::sqrt, smallvec![sum]), value.dtype, false),
                OfSquares::Sum => sum,
                OfSquares::Scale | OfSquares::Inverse => {
                    let one = Scalar::Float(1.0).bits(value.dtype);
                    ones.push(made.push(Op::Constant(one), value.dtype, false));
                    made.values.len() - 1
                }
            }
        } else if let Some(same) = unscaled(&op, &ones).filter(|same| made.values[*same].inner == value.inner) {
            same
        } else {
            made.push(op, value.dtype, value.inner)
        };
        number.push(new);
    }
    made.stores.iter_mut().for_each(|s| s.map_operands(|v| number[v]));
    // without its sum, a kernel would not notice that the sum is out of bounds
    let needed = made.needed(made.stores.iter().flat_map(|s| s.operands()));
    sums.iter().all(|(.., sum)| needed[*sum]).then(|| {
        used(&mut made);
        made
    })
}

/// Returns the operand that is multiplied by a value of `ones`.
fn unscaled(op: &Op, ones: &[usize]) -> Option<usize> {
    match calls(op, &arithmetic::multiply)? {
        [a, b] if ones.contains(b) => Some(*a),
        [a, b] if ones.contains(a) => Some(*b),
        _ => None,
    }
}

/// Returns the operands of a call of the function `row`, or `None` for another operation.
fn calls<'a>(op: &'a Op, row: &Ufunc) -> Option<&'a [usize]> {
    if let Op::Ufunc(called, args) = op
        && std::ptr::eq(*called, row)
    {
        Some(args)
    } else {
        None
    }
}

/// If a reduction has a fold with bounds, returns the value that it reduces, and the result of `Fold::ordinary`.
fn plain(r: &KernelReduction) -> Option<(usize, &'static Ufunc, Fold, OfSquares)> {
    let (Source::Elements { x, .. }, Gives::Result) = (&r.source, r.gives) else { return None };
    r.fold.ordinary().map(|(function, sum, gives)| (*x, function, sum, gives))
}

/// Returns the tiling of a kernel whose ordinary kernel has the tiling `ordinary`. Rows that are not side by side as
/// columns are computed one by one, because folds by formulas have no loops over several whole rows.
pub(super) fn tiling(ordinary: Tiling) -> Tiling {
    match ordinary {
        Tiling::Along { cols, .. } => Tiling::Along { rows: 1, together: 1, cols },
        Tiling::Across { .. } | Tiling::Pieces { .. } | Tiling::Rows { .. } | Tiling::Blocks { .. } => ordinary,
    }
}
