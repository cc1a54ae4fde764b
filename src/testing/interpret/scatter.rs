//! Elements that are combined with others at computed positions.

use super::{Elements, Interpreted, number, position};
use crate::error::Result;
use crate::expr::Node;
use crate::layout::{Combine, IndexMode};

/// The elements of `array`, combined with `values` in C order at the positions of `indices` along an axis.
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
        // where a rounding error decides the position, no element along the axis is known
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
