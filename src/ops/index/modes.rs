//! The arguments of gathers and scatters: positions, and how positions that are out of range are treated.

use crate::base::error::Loc;
use crate::base::layout::IndexMode;
use crate::graph::expr::{Arg, Expr, Operand, operand};

/// Integer positions, for functions such as [`Expr::take`]. A position outside the axis is replaced by the nearest
/// valid position (NumPy's `mode="clip"`). A negative position becomes 0; it does not count from the end. So a position
/// can only be out of range if the axis is empty.
///
/// ```
/// use cupric::{Clip, array};
/// let x = array![10, 20, 30];
/// assert_eq!(x.take(Clip(array![-1, 1, 9]), 0).to_vec::<i32>()?, [10, 20, 30]);
/// assert_eq!(x.take(array![-1, 1], 0).to_vec::<i32>()?, [30, 20]);
/// assert_eq!(x.put(Clip(array![-5, 7]), 9).to_vec::<i32>()?, [9, 20, 9]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Clip<I>(pub I);

/// Integer positions, for functions such as [`Expr::take`]. Each position is taken modulo the length of the axis
/// (NumPy's `mode="wrap"`), so −1 is the last element. A position can only be out of range if the axis is empty.
///
/// ```
/// use cupric::{Wrap, array};
/// let mut x = array![10, 20, 30];
/// assert_eq!(x.take(Wrap(array![-1, 1, 9]), 0).to_vec::<i32>()?, [30, 20, 10]);
/// x.set_at(Wrap((array![-5, 7],)), 9)?;
/// assert_eq!(x.to_vec::<i32>()?, [10, 9, 30]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Wrap<I>(pub I);

/// Positions along one axis. For a plain [`Operand`], a position out of range is an error. In [`Clip`] or [`Wrap`],
/// such a position is replaced by a valid one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an operand of positions",
    label = "an Array, an Expr, a reference to one of them, or an integer is needed here; `Clip(..)` or `Wrap(..)` may enclose it"
)]
pub trait IntoIndex {
    #[doc(hidden)]
    fn into_index(self, at: Loc) -> (Expr, IndexMode);
}

/// Positions along the first axes of an array, one operand for each axis: a tuple such as `(&i, &j)`, or an array or
/// `Vec` of operands. [`Clip`] or [`Wrap`] may enclose the whole tuple or list.
pub trait IntoIndices {
    #[doc(hidden)]
    fn into_indices(self) -> (Vec<Arg>, IndexMode);
}

impl<T: Operand> IntoIndex for T {
    fn into_index(self, at: Loc) -> (Expr, IndexMode) {
        (operand(self, at), IndexMode::Check)
    }
}

macro_rules! modes {
    ($($name:ident)*) => { $(
        impl<T: Operand> IntoIndex for $name<T> {
            fn into_index(self, at: Loc) -> (Expr, IndexMode) {
                (operand(self.0, at), IndexMode::$name)
            }
        }
        impl<T: IntoIndices> IntoIndices for $name<T> {
            fn into_indices(self) -> (Vec<Arg>, IndexMode) {
                (self.0.into_indices().0, IndexMode::$name)
            }
        }
    )* };
}
modes! { Clip Wrap }

impl<T: Operand, const N: usize> IntoIndices for [T; N] {
    fn into_indices(self) -> (Vec<Arg>, IndexMode) {
        (self.into_iter().map(Operand::into_arg).collect(), IndexMode::Check)
    }
}
impl<T: Operand> IntoIndices for Vec<T> {
    fn into_indices(self) -> (Vec<Arg>, IndexMode) {
        (self.into_iter().map(Operand::into_arg).collect(), IndexMode::Check)
    }
}
macro_rules! tuples {
    ($(($($t:ident $n:tt)*))*) => { $(
        impl<$($t: Operand),*> IntoIndices for ($($t,)*) {
            fn into_indices(self) -> (Vec<Arg>, IndexMode) {
                (vec![$(self.$n.into_arg()),*], IndexMode::Check)
            }
        }
    )* };
}
tuples! { (A 0) (A 0 B 1) (A 0 B 1 C 2) (A 0 B 1 C 2 D 3) (A 0 B 1 C 2 D 3 E 4) (A 0 B 1 C 2 D 3 E 4 F 5) }
