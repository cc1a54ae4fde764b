//! Operators that arrays do not have, because an operator of this kind cannot return an error, and the method `len`, which
//! could mean two numbers. They are implemented with a bound that no type satisfies, so that the compiler prints what to
//! write instead.

use crate::array::Array;
use crate::graph::expr::Expr;

macro_rules! bounds {
    ($($(#[$attribute:meta])* $bound:ident;)*) => { $(
        /// A trait that no type implements. It is the bound of an operator, and the compiler prints its message. Where
        /// the operands are references, the compiler prints only its name.
        #[doc(hidden)]
        $(#[$attribute])*
        pub trait $bound {
            #[doc(hidden)]
            fn never<R>(&self) -> R;
        }
    )* };
}
bounds! {
    #[diagnostic::on_unimplemented(
        message = "arrays have no `==`",
        label = "write `a.equal(&b)` to compare elements, or `array_equal(&a, &b)?` to compare whole arrays",
        note = "a comparison may fail, and `==` could not return the error"
    )]
    UseArrayEqual;
    #[diagnostic::on_unimplemented(
        message = "arrays have no operators such as `+=`",
        label = "write `x.update(|x| x + 1.0)?` for an array, or `e = e + 1.0` for an expression",
        note = "a write may fail, and `+=` could not return the error"
    )]
    UseUpdate;
    #[diagnostic::on_unimplemented(
        message = "arrays have no `[]`",
        label = "write `x.slice(0)` or `x.slice((0, 1..))` for a part, `.item::<f32>()?` to read one element, or `x.set(0, value)?` to write",
        note = "`[]` would have to return a reference, and the elements may be on a GPU"
    )]
    UseSlice;
    #[diagnostic::on_unimplemented(
        message = "arrays have no `len`",
        label = "write `x.size()` for the number of elements, or `x.shape()[0]` for the length of the first axis",
        note = "`len` is the number of elements in ndarray, and the length of the first axis in NumPy"
    )]
    UseSizeOrShape;
}

macro_rules! assignments {
    ($t:ty: $($trait:ident $method:ident),*) => { $(
        #[doc(hidden)]
        impl<T: UseUpdate> std::ops::$trait<T> for $t {
            fn $method(&mut self, other: T) {
                other.never()
            }
        }
    )* };
}
macro_rules! refused {
    ($($t:ty)*) => { $(
        #[doc(hidden)]
        impl<T: UseArrayEqual + ?Sized> PartialEq<T> for $t {
            fn eq(&self, other: &T) -> bool {
                other.never()
            }
        }
        #[doc(hidden)]
        impl<T: UseSlice> std::ops::Index<T> for $t {
            type Output = Expr;
            fn index(&self, index: T) -> &Expr {
                index.never()
            }
        }
        #[doc(hidden)]
        impl<T: UseSlice> std::ops::IndexMut<T> for $t {
            fn index_mut(&mut self, index: T) -> &mut Expr {
                index.never()
            }
        }
        assignments! {
            $t: AddAssign add_assign, SubAssign sub_assign, MulAssign mul_assign, DivAssign div_assign,
            RemAssign rem_assign, BitAndAssign bitand_assign, BitOrAssign bitor_assign, BitXorAssign bitxor_assign,
            ShlAssign shl_assign, ShrAssign shr_assign
        }
    )* };
}
refused! { Array Expr }

macro_rules! without_len {
    ($t:ty) => {
        #[allow(clippy::len_without_is_empty)]
        impl $t {
            /// Does not exist: the bound prints what to write instead. Without this method the compiler would suggest
            /// `ln`.
            #[doc(hidden)]
            pub fn len<'a>(&'a self) -> usize
            where
                &'a Expr: UseSizeOrShape,
            {
                self.never()
            }
        }
    };
}
without_len! { Expr }
