//! The argument of a slice: entries made by the macro `s!`, or a plain Rust value that stands for one or several entries.

use super::args::{NewAxis, SliceItem};
use super::integers::Integer;
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

mod sealed {
    pub trait One {}
    pub trait List {}
}

/// One entry of a slice: an [`Integer`] selects a position and removes its axis, a range selects positions, and
/// [`NewAxis`] adds an axis.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an entry of a slice",
    label = "an integer, a range of integers, or `NewAxis` is needed here"
)]
pub trait IntoSliceItem: sealed::One {
    #[doc(hidden)]
    fn slice_item(self) -> SliceItem;
}

/// The entries of a slice: the result of [`s!`](crate::s), one [`IntoSliceItem`], or a tuple of them. Only `s!` has
/// steps and `...`.
///
/// ```
/// use cupric::{NewAxis, array};
/// let x = array![[1, 2, 3], [4, 5, 6]];
/// assert_eq!(x.slice(1).to_vec::<i32>()?, [4, 5, 6]);
/// assert_eq!(x.slice(..1).shape()?, [1, 3]);
/// assert_eq!(x.slice((.., 1..)).to_vec::<i32>()?, [2, 3, 5, 6]);
/// assert_eq!(x.slice((.., NewAxis, -1)).shape()?, [2, 1]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not select a part of an array",
    label = "an integer, a range, a tuple of these, or the result of `s![..]` is needed here"
)]
pub trait SliceItems: sealed::List {
    #[doc(hidden)]
    type List: AsRef<[SliceItem]>;
    #[doc(hidden)]
    fn items(self) -> Self::List;
}

macro_rules! one {
    ($([$($generic:tt)*] $t:ty;)*) => { $(
        impl<$($generic)*> sealed::One for $t {}
        impl<$($generic)*> IntoSliceItem for $t {
            fn slice_item(self) -> SliceItem {
                self.into()
            }
        }
        impl<$($generic)*> sealed::List for $t {}
        impl<$($generic)*> SliceItems for $t {
            type List = [SliceItem; 1];
            fn items(self) -> [SliceItem; 1] {
                [self.into()]
            }
        }
    )* };
}
one! {
    [T: Integer] T;
    [T: Integer] Range<T>;
    [T: Integer] RangeFrom<T>;
    [T: Integer] RangeTo<T>;
    [T: Integer] RangeInclusive<T>;
    [T: Integer] RangeToInclusive<T>;
    [] RangeFull;
    [] NewAxis;
    [] SliceItem;
}

macro_rules! lists {
    ($([$($generic:tt)*] $t:ty;)*) => { $(
        impl<$($generic)*> sealed::List for $t {}
        impl<$($generic)*> SliceItems for $t {
            type List = Self;
            fn items(self) -> Self {
                self
            }
        }
    )* };
}
lists! {
    [const N: usize] [SliceItem; N];
    [const N: usize] &[SliceItem; N];
    [] &[SliceItem];
    [] Vec<SliceItem>;
    [] &Vec<SliceItem>;
}

macro_rules! tuples {
    ($($n:literal: $($t:ident $i:tt),*;)*) => { $(
        impl<$($t: IntoSliceItem),*> sealed::List for ($($t,)*) {}
        impl<$($t: IntoSliceItem),*> SliceItems for ($($t,)*) {
            type List = [SliceItem; $n];
            fn items(self) -> [SliceItem; $n] {
                [$(self.$i.slice_item()),*]
            }
        }
    )* };
}
tuples! {
    0: ;
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
    7: A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
}
