//! Labels of axes.

use smallvec::SmallVec;

/// A label of an axis, below [`MOST`].
pub(super) type Label = u8;
pub(super) type Labels = SmallVec<[Label; 8]>;

/// The largest number of labels, because sets of labels are the bits of a `u128`.
pub(super) const MOST: usize = 128;

/// Returns the set of some labels.
pub(super) fn set(labels: &[Label]) -> u128 {
    labels.iter().fold(0, |all, l| all | 1 << l)
}
