//! Broadcasting: the shape of the result of an operation on arrays of different shapes.

use super::{Fallible, Shape, fault, size_of_shape};
use crate::base::error::ErrorKind;
use smallvec::smallvec;

/// Returns the shape to which two shapes broadcast, by NumPy's rule.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Fallible<Shape> {
    let ndim = a.len().max(b.len());
    let mut out: Shape = smallvec![0; ndim];
    for d in 0..ndim {
        let at = |s: &[usize]| if d + s.len() >= ndim { s[d + s.len() - ndim] } else { 1 };
        out[d] = match (at(a), at(b)) {
            (x, y) if x == y => x,
            (1, y) => y,
            (x, 1) => x,
            _ => return fault(ErrorKind::Shape, format!("cannot broadcast shapes {a:?} and {b:?}")),
        };
    }
    size_of_shape(&out)?;
    Ok(out)
}
