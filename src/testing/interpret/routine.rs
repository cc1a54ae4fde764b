//! Interprets routines, by the references of their rows.

use super::{Elements, Interpreted, Real};
use crate::dtype::Scalar;
use crate::error::Result;
use crate::expr::Node;
use crate::routine::{Params, Routine};

/// Interprets result `part` of a routine. If one integer of an operand is not known, nothing is known of the result; the error
/// bounds of floats are ignored.
pub(super) fn reference(
    row: &Routine,
    params: &Params,
    part: usize,
    n: &Node,
    args: &[&Interpreted],
) -> Result<Elements> {
    let scalars = |x: &&Interpreted| -> Option<Vec<Scalar>> {
        match &x.elements {
            Elements::Integers(v) => v.iter().map(|x| x.map(Scalar::Int)).collect(),
            Elements::Floats(v) => Some(v.iter().map(|x| Scalar::Float(x.value)).collect()),
        }
    };
    let size = n.shape.iter().product();
    let Some(operands) = args.iter().map(scalars).collect::<Option<Vec<_>>>() else {
        return Ok(match n.dtype.is_float() {
            true => Elements::Floats(vec![Real::unknown(); size]),
            false => Elements::Integers(vec![None; size]),
        });
    };
    let mut results = (row.reference)(&operands, params).map_err(|f| f.at(row.name, n.location))?;
    let result = results.swap_remove(part);
    Ok(match n.dtype.is_float() {
        true => Elements::Floats(result.iter().map(|s| Real::exact(s.as_f64())).collect()),
        false => Elements::Integers(result.iter().map(|s| Some(s.as_i128())).collect()),
    })
}
