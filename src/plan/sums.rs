//! Replaces folds by `Form::SumOf` by plain sums: one for each component of the fold's state, and after them the formula of
//! the result. Backends have faster loops for plain sums than for formulas. A plain sum adds in the same order, so no bit
//! changes.

use super::split::used_loads;
use crate::base::dtype::DType;
use crate::graph::ufunc::{Fold, FoldOperation, FoldProgram, Form, Term, arithmetic};
use crate::plan::kernel::{Gives, Kernel, KernelReduction, Op, Source};
use smallvec::SmallVec;

/// A sum that the new kernel already has: the value whose elements are summed, what is computed from each, and the sum.
type Known = (usize, Term, usize);

/// Replaces the folds of a kernel that has no schedule yet. For a GPU this comes before long reductions are split, so that
/// parts store each sum once.
pub(super) fn by_sums(kernel: &mut Kernel) {
    let is_replaced = |op: &Op| matches!(op, Op::Reduce(r) if matches!(r.fold.form, Form::SumOf { .. }));
    if !kernel.values.iter().any(|v| is_replaced(&v.op)) {
        return;
    }
    let (mut number, mut known) = (vec![], vec![]);
    for mut value in std::mem::take(&mut kernel.values) {
        value.op.map_operands(|a| number[a]);
        let sums = if let Op::Reduce(r) = &value.op
            && is_replaced(&value.op)
        {
            result(kernel, r, &mut known)
        } else {
            None
        };
        number.push(sums.unwrap_or_else(|| kernel.push(value.op, value.dtype, value.inner)));
    }
    kernel.stores.iter_mut().for_each(|s| s.map_operands(|v| number[v]));
    used(kernel);
}

/// Adds the sums of a reduction to the kernel, and returns the value that is its result. Returns `None` if the formulas do
/// not accept the elements' type.
fn result(kernel: &mut Kernel, r: &KernelReduction, known: &mut Vec<Known>) -> Option<usize> {
    let programs = r.fold.programs(r.element).ok()?;
    let add = Fold::of(&arithmetic::add);
    let dtype = |n: usize| programs.state[n].dtype();
    let count = r.fold.state.len();
    let sums: SmallVec<[usize; 3]> = match &r.source {
        Source::Elements { x, .. } => {
            let lifted = computed(kernel, &programs.lift, &[*x]);
            (0..count)
                .map(|n| {
                    let term = r.fold.lift[n];
                    let found = known.iter().find(|(of, what, _)| *of == *x && *what == term);
                    found.map(|(.., sum)| *sum).unwrap_or_else(|| {
                        let sum = kernel.push(Op::reduce(add, lifted[n], dtype(n)), dtype(n), false);
                        known.push((*x, term, sum));
                        sum
                    })
                })
                .collect()
        }
        Source::States(states) => {
            (0..count).map(|n| kernel.push(Op::reduce(add, states[n], dtype(n)), dtype(n), false)).collect()
        }
    };
    match r.gives {
        Gives::Component(n) => sums.get(n).copied(),
        Gives::Result => computed(kernel, &programs.finish, &sums).first().copied(),
    }
}

/// Adds the steps of formulas that the kernel does not have yet, and returns the values of the formulas. `operands` are the
/// values of the element, or of the components of the state.
fn computed(kernel: &mut Kernel, program: &FoldProgram, operands: &[usize]) -> SmallVec<[usize; 3]> {
    let mut number: Vec<usize> = Vec::with_capacity(program.steps.len());
    for step in &program.steps {
        let dtype: DType = step.compute.dtype();
        let op = match &step.gives {
            // no fold of this form depends on positions
            FoldOperation::Element | FoldOperation::Position => Err(operands[0]),
            FoldOperation::A(n) | FoldOperation::B(n) => Err(operands[*n]),
            FoldOperation::Number(bits) => Ok(Op::Constant(*bits)),
            FoldOperation::Call(row, args) => Ok(Op::Ufunc(row, args.iter().map(|a| number[*a]).collect())),
            FoldOperation::Cast(of) => Ok(Op::Cast(number[*of])),
        };
        number.push(op.map_or_else(
            |value| value,
            |op| {
                let known = kernel.values.iter().position(|v| v.op == op && v.dtype == dtype);
                known.unwrap_or_else(|| {
                    let inner = op.operands().iter().any(|a| kernel.values[*a].inner);
                    kernel.push(op, dtype, inner)
                })
            },
        ));
    }
    program.results.iter().map(|r| number[*r]).collect()
}

/// Removes the values and loads that no store needs.
pub(super) fn used(kernel: &mut Kernel) {
    let needed = kernel.needed(kernel.stores.iter().flat_map(|s| s.operands()));
    let mut number = vec![usize::MAX; kernel.values.len()];
    for (v, mut value) in std::mem::take(&mut kernel.values).into_iter().enumerate() {
        if needed[v] {
            value.op.map_operands(|a| number[a]);
            number[v] = kernel.push(value.op, value.dtype, value.inner);
        }
    }
    kernel.stores.iter_mut().for_each(|s| s.map_operands(|v| number[v]));
    kernel.loads = used_loads(&mut kernel.values, &kernel.loads);
}
