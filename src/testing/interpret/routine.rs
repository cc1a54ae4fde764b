//! Interprets routines (such as `bincount`) by the reference function in the routine's row of the routine table.

use super::{BoundedReal, ElementList, Interpreted, number};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::Result;
use crate::graph::expr::Node;
use crate::graph::routine::{Params, REDUCE_AT, Routine, SUM_BY_KEY};

/// Interprets a routine, and returns its result with the index `part`. If an integer of an operand is unknown, the
/// whole result is unknown. The error bounds of floats are ignored, except for sums.
pub(super) fn reference(
    row: &Routine,
    params: &Params,
    part: usize,
    n: &Node,
    args: &[&Interpreted],
) -> Result<ElementList> {
    let scalars = |x: &&Interpreted| -> Option<Vec<Scalar>> {
        match &x.elements {
            ElementList::Integers(v) => v.iter().map(|x| x.map(Scalar::Int)).collect(),
            ElementList::Floats(v) => Some(v.iter().map(|x| Scalar::Float(x.value)).collect()),
        }
    };
    let size = n.shape.iter().product();
    let Some(operands) = args.iter().map(scalars).collect::<Option<Vec<_>>>() else {
        return Ok(match n.dtype.is_float() {
            true => ElementList::Floats(vec![BoundedReal::unknown(); size]),
            false => ElementList::Integers(vec![None; size]),
        });
    };
    let mut results = (row.reference)(&operands, params).map_err(|f| f.at(row.name, n.location))?;
    let result = results.swap_remove(part);
    if row == &SUM_BY_KEY || row == &REDUCE_AT {
        return sums(row, params, n, operands, args);
    }
    Ok(match n.dtype.is_float() {
        true => ElementList::Floats(result.iter().map(|s| BoundedReal::exact(s.as_f64())).collect()),
        false => ElementList::Integers(result.iter().map(|s| Some(s.as_i128())).collect()),
    })
}

/// Interprets sums of floats by key. Their error bound is computed from the sums of the terms' magnitudes and errors.
fn sums(
    row: &Routine,
    params: &Params,
    n: &Node,
    operands: Vec<Vec<Scalar>>,
    args: &[&Interpreted],
) -> Result<ElementList> {
    let ElementList::Floats(terms) = &args[1].elements else { return Ok(ElementList::Floats(vec![])) };
    let of = |f: &dyn Fn(&BoundedReal) -> f64| -> Result<Vec<f64>> {
        let terms = terms.iter().map(|x| Scalar::Float(f(x))).collect();
        let mut results =
            (row.reference)(&[operands[0].clone(), terms], params).map_err(|f| f.at(row.name, n.location))?;
        Ok(results.swap_remove(0).iter().map(|s| s.as_f64()).collect())
    };
    let (values, sizes, errors) = (of(&|x| x.value)?, of(&|x| x.value.abs())?, of(&|x| x.error)?);
    let unit = if n.dtype == DType::F64 { 2f64.powi(-53) } else { 2f64.powi(-24) };
    let (steps, largest) = ((terms.len().max(1) as f64).log2().ceil() + 16.0, number::largest(n.dtype) / 2.0);
    let tiny = terms.len() as f64 * number::smallest_normal(n.dtype);
    let real = |((value, size), error): ((f64, f64), f64)| match size + error < largest {
        true => BoundedReal { value, error: error + steps * unit * (size + error) + tiny },
        // a term is infinite or NaN, or a partial sum may overflow, so the sum is unknown
        false => BoundedReal::unknown(),
    };
    Ok(ElementList::Floats(values.into_iter().zip(sizes).zip(errors).map(real).collect()))
}
