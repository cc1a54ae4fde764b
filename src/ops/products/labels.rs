//! Labels of axes: small numbers that are used like the letters in the subscripts of `einsum`. Axes of several operands
//! that have the same label belong together.

use smallvec::SmallVec;

/// A label of an axis, less than [`MOST`].
pub(crate) type Label = u8;
pub(crate) type Labels = SmallVec<[Label; 8]>;

/// The number of different labels: a set of labels is a `u128` with one bit for each label.
pub(super) const MOST: usize = 128;

/// Returns a set of labels, with one bit for each label.
pub(super) fn set(labels: &[Label]) -> u128 {
    labels.iter().fold(0, |all, l| all | 1 << l)
}
