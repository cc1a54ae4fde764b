//! Interprets scatters: elements that are combined with others at computed positions.

use super::{Elements, Interpreted, number, position};
use crate::error::Result;
use crate::expr::Node;
use crate::layout::{Combine, IndexMode};

/// Combines `values`, in C order, into the elements of `array` at the positions that `indices` hold along an axis.
pub(super) fn scatter(
    n: &Node,
    (axis, mode, combine): (usize, IndexMode, Combine),
    args: &[&Interpreted],
) -> Result<Elements> {
    let [array, indices, values] = args else { return Ok(Elements::Integers(vec![])) };
    let mut out = array.elements.integers().to_vec();
    let (length, count) = (array.shape[axis], indices.shape[0]);
    let inner: usize = array.shape[axis + 1..].iter().product();
    for (k, value) in values.elements.integers().iter().enumerate() {
        let (o, i, l) = (k / (count * inner), k / inner % count, k % inner);
        let at = position(indices.elements.integers()[i], length as i128, mode, n)?;
        // an index that is not known may lead to any element along the axis, so none of them is known
        let to = at.map_or(0..length, |at| at as usize..at as usize + 1);
        for place in to.map(|p| (o * length + p) * inner + l) {
            out[place] = out[place].zip(*value).filter(|_| at.is_some()).map(|(there, value)| match combine {
                Combine::Set => value,
                Combine::Add => number::wrap(n.dtype, there + value),
                Combine::Min => there.min(value),
                Combine::Max => there.max(value),
            });
        }
    }
    Ok(Elements::Integers(out))
}
