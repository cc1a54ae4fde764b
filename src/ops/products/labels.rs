//! Labels of axes.

use smallvec::SmallVec;

/// A label of an axis, below [`MOST`].
pub(super) type Label = u8;
pub(super) type Labels = SmallVec<[Label; 8]>;

/// How many labels there may be: sets of them are the bits of a `u128`.
pub(super) const MOST: usize = 128;

/// Returns labels as a set.
pub(super) fn set(labels: &[Label]) -> u128 {
    labels.iter().fold(0, |all, l| all | 1 << l)
}
