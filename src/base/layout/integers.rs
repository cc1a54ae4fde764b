//! Integer arguments of any Rust type, alone or in a list. All functions that take shapes, axes or positions use these
//! traits.

use smallvec::{SmallVec, smallvec};

/// Integers passed by a caller. Up to six need no heap allocation.
pub(crate) type Given = SmallVec<[isize; 6]>;

mod sealed {
    pub trait Integer {}
    pub trait Integers {}
}

/// An integer argument of any Rust type of up to 64 bits, such as an axis (a negative one counts from the end), a
/// length or a position.
///
/// ```
/// let x = cupric::array![[1., 2.], [3., 4.]];
/// let last: usize = x.ndim() - 1;
/// assert_eq!(x.sum(last).to_vec::<f32>()?, x.sum(-1).to_vec::<f32>()?);
/// assert_eq!(x.expand_dims(0u32).shape()?, [1, 2, 2]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an integer",
    label = "an integer of up to 64 bits is needed here"
)]
pub trait Integer: Copy + sealed::Integer {
    /// Returns the integer, clamped to the range of `isize`. An integer outside this range is never a valid axis,
    /// length or position, and neither is the clamped value.
    #[doc(hidden)]
    fn saturated(self) -> isize;
}

/// A list of integers: one integer, an array, slice, `Vec` or tuple of them, a reference to an array or `Vec`, or `()`
/// for the empty list.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither an integer nor a list of integers",
    label = "an integer, or an array, slice, `Vec` or tuple of integers is needed here"
)]
pub trait Integers: sealed::Integers {
    /// Whether the type is a single integer instead of a list.
    #[doc(hidden)]
    const IS_ONE: bool = false;
    #[doc(hidden)]
    fn integers(self) -> Given;
}

fn all<T: Integer>(list: &[T]) -> Given {
    list.iter().map(|n| n.saturated()).collect()
}

macro_rules! integers {
    ($($t:ty)*) => { $(
        impl sealed::Integer for $t {}
        impl Integer for $t {
            fn saturated(self) -> isize {
                (self as i128).clamp(isize::MIN as i128, isize::MAX as i128) as isize
            }
        }
    )* };
}
integers! { u8 i8 u16 i16 u32 i32 u64 i64 usize isize }

impl<T: Integer> sealed::Integers for T {}
impl<T: Integer> Integers for T {
    const IS_ONE: bool = true;
    fn integers(self) -> Given {
        smallvec![self.saturated()]
    }
}

macro_rules! lists {
    ($($t:ty, [$($generic:tt)*]: |$list:ident| $e:expr;)*) => { $(
        impl<$($generic)*> sealed::Integers for $t {}
        impl<$($generic)*> Integers for $t {
            fn integers(self) -> Given {
                let $list = self;
                $e
            }
        }
    )* };
}
lists! {
    [T; N], [T: Integer, const N: usize]: |list| all(&list);
    &[T; N], [T: Integer, const N: usize]: |list| all(list);
    &[T], [T: Integer]: |list| all(list);
    Vec<T>, [T: Integer]: |list| all(&list);
    &Vec<T>, [T: Integer]: |list| all(list);
    (), []: |_none| smallvec![];
    (A,), [A: Integer]: |t| smallvec![t.0.saturated()];
    (A, B), [A: Integer, B: Integer]: |t| smallvec![t.0.saturated(), t.1.saturated()];
    (A, B, C), [A: Integer, B: Integer, C: Integer]: |t| smallvec![t.0.saturated(), t.1.saturated(), t.2.saturated()];
    (A, B, C, D), [A: Integer, B: Integer, C: Integer, D: Integer]: |t| {
        smallvec![t.0.saturated(), t.1.saturated(), t.2.saturated(), t.3.saturated()]
    };
    (A, B, C, D, E), [A: Integer, B: Integer, C: Integer, D: Integer, E: Integer]: |t| {
        smallvec![t.0.saturated(), t.1.saturated(), t.2.saturated(), t.3.saturated(), t.4.saturated()]
    };
    (A, B, C, D, E, F), [A: Integer, B: Integer, C: Integer, D: Integer, E: Integer, F: Integer]: |t| {
        smallvec![t.0.saturated(), t.1.saturated(), t.2.saturated(), t.3.saturated(), t.4.saturated(), t.5.saturated()]
    };
}
