//! `solve` on the CPU. Tasks share the matrices of a batch. A task factorises a matrix and solves its systems while
//! both are in a fast cache. Each element is computed by the same operations in the same order as by `lu.rs` and
//! `triangular.rs`, one after the other.

use super::linear::{Lowest, in_tasks};
use super::lu;
use super::operands::{Refused, RoutineMemory, SharedTarget};
use super::small::{self, Small, SmallSystems};
use super::triangular;
use crate::base::dtype::DType;
use crate::graph::routine::{UNIT, UPPER};

/// Runs the routine `solve` on the operands of `call`.
pub(super) fn run(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    if call.call.operands[0].meta.dtype == DType::F64 {
        each_system::<f64>(call, lu::of_f64, triangular::of_f64)
    } else {
        // the methods that build the expression have converted every other dtype to f32 or f64
        each_system::<f32>(call, lu::of_f32, triangular::of_f32)
    }
}

fn each_system<T: Small>(
    call: &mut RoutineMemory<'_>,
    factorise: lu::PanelFunction<T>,
    substitute: triangular::SubstituteFunction<T>,
) -> Result<(), Refused> {
    let [n, columns] = [0, 4].map(|i| call.call.params[i] as usize);
    let (a, b) = (call.operand::<T>(0), call.operand::<T>(1));
    let (Some(factors), Some(orders), Some(x)) = (call.result::<T>(0), call.result::<i32>(1), call.result::<T>(2))
    else {
        return Ok(());
    };
    let (factors, orders, x) = (SharedTarget(factors), SharedTarget(orders), SharedTarget(x));
    let keeps = call.call.results[..2].iter().any(|result| result.is_read);
    let (count, size, lowest) = (a.len() / (n * n), n * columns, Lowest::new());
    let work = n * n * (n / 3 + columns + 8);
    if n <= small::MOST {
        in_tasks(count.div_ceil(small::WIDTH), work * small::WIDTH / 4, |[first, end]| {
            let systems = [first * small::WIDTH, (end * small::WIDTH).min(count)];
            let call = SmallSystems { a, b, n, columns, x, factors: keeps.then_some((factors, orders)) };
            // SAFETY: for each system, the results have `n · n`, `n + 1` and `n · columns` elements, and only this
            // task uses them.
            unsafe { small::solve(&call, systems, &lowest) };
        });
        return lowest.found().map_or(Ok(()), |place| Err(Refused(place)));
    }
    in_tasks(count, work, |[first, end]| {
        let mut block = vec![[T::ZERO; lu::BLOCK]; n];
        let (mut own, mut own_order) = (vec![T::ZERO; n * n], vec![0; n + 1]);
        for matrix in first..end {
            own.copy_from_slice(&a[matrix * n * n..(matrix + 1) * n * n]);
            (0..).zip(&mut own_order).for_each(|(i, to)| *to = i);
            own_order[n] = factorise(&mut own, n, &mut own_order[..n], &mut block);
            if let Some(row) = (0..n).find(|i| own[i * n + i] == T::ZERO) {
                lowest.note(matrix * n + row);
            }
            // SAFETY: for each system, the results have `n · n`, `n + 1` and `n · columns` elements, and only this
            // task uses them. The rows of the solution are written before the slice is created.
            let x = unsafe {
                if keeps {
                    std::ptr::copy_nonoverlapping(own.as_ptr(), factors.at(matrix * n * n), n * n);
                    std::ptr::copy_nonoverlapping(own_order.as_ptr(), orders.at(matrix * (n + 1)), n + 1);
                }
                for (i, row) in own_order[..n].iter().enumerate() {
                    let from = &b[matrix * size + *row as usize * columns..][..columns];
                    std::ptr::copy_nonoverlapping(from.as_ptr(), x.at(matrix * size + i * columns), columns);
                }
                std::slice::from_raw_parts_mut(x.at(matrix * size), size)
            };
            substitute(&own, x, columns, UNIT);
            substitute(&own, x, columns, UPPER);
        }
    });
    lowest.found().map_or(Ok(()), |place| Err(Refused(place)))
}
