//! Interprets scatters, which combine values into elements at computed positions.

use super::{ElementList, Interpreted, number, position};
use crate::base::error::Result;
use crate::base::layout::{Combine, IndexMode};
use crate::graph::expr::Node;

/// Combines `values`, in C order, into the elements of `array` at the positions that `indices` hold along an axis. If
/// there is a fourth operand, combines only the values for which it is true.
pub(super) fn scatter(
    n: &Node,
    (axis, mode, combine): (usize, IndexMode, Combine),
    args: &[&Interpreted],
) -> Result<ElementList> {
    let [array, indices, values, when @ ..] = args else { return Ok(ElementList::Integers(vec![])) };
    let mut out = array.elements.clone();
    let (length, count) = (array.shape[axis], indices.shape[0]);
    let inner: usize = array.shape[axis + 1..].iter().product();
    for k in 0..values.shape.iter().product() {
        let (o, i, l) = (k / (count * inner), k / inner % count, k % inner);
        // None if it is unknown whether the value is combined
        let is_combined = when.first().map_or(Some(1), |w| w.elements.integers()[i]);
        if is_combined == Some(0) {
            continue;
        }
        let at = position(indices.elements.integers()[i], length as i128, mode, n)?;
        let is_known = at.is_some() && is_combined.is_some();
        // an unknown index may lead to any element along the axis, so all elements along the axis become unknown
        let to = at.map_or(0..length, |at| at as usize..at as usize + 1);
        for place in to.map(|p| (o * length + p) * inner + l) {
            match &mut out {
                ElementList::Integers(out) => {
                    let both = out[place].zip(values.elements.integers()[k]).filter(|_| is_known);
                    let replaces = is_known && combine == Combine::Set;
                    out[place] = match replaces {
                        true => values.elements.integers()[k],
                        false => both.map(|(there, value)| match combine {
                            Combine::Set => value,
                            Combine::Add => number::wrap(n.dtype, there + value),
                            Combine::Min => there.min(value),
                            Combine::Max => there.max(value),
                        }),
                    };
                }
                // floats are only replaced, never combined with the earlier value
                ElementList::Floats(out) => {
                    let value = values.elements.floats()[k];
                    out[place] = if is_known { value } else { out[place].either(value) };
                }
            }
        }
    }
    Ok(out)
}
