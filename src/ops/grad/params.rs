//! Derivatives with respect to parameters in nested tuples, lists and structs.

use super::{Unread, of_loss};
use crate::array::Array;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::graph::expr::Expr;
use std::panic::Location;

/// A tree of parameters: an array (a leaf of the tree), or a tuple, a `Vec` or an array of trees. [`value_and_grad`]
/// returns the derivatives in a tree of the same form.
///
/// Implement the trait for a struct of your own by making the struct generic in what it holds:
///
/// ```
/// use cupric::{Array, Expr, Parameters, array, value_and_grad};
/// struct Layer<T> {
///     weight: T,
///     bias: T,
/// }
/// impl<T: Parameters> Parameters for Layer<T> {
///     type With<U> = Layer<T::With<U>>;
///     fn leaves<'a>(&'a self, list: &mut Vec<&'a Expr>) {
///         self.weight.leaves(list);
///         self.bias.leaves(list);
///     }
///     fn with<U>(&self, next: &mut dyn FnMut() -> U) -> Layer<T::With<U>> {
///         Layer { weight: self.weight.with(next), bias: self.bias.with(next) }
///     }
/// }
///
/// let layer = Layer { weight: array![[1., 2.], [3., 4.]], bias: array![0.5, 0.] };
/// let x = array![1., -1.];
/// let (loss, d) = value_and_grad(&layer, |l| (x.matmul(&l.weight) + &l.bias).square().sum(..));
/// assert_eq!(loss.item::<f32>()?, 6.25);
/// assert_eq!(d.weight.to_vec::<f32>()?, [-3., -4., 3., 4.]);
/// assert_eq!(d.bias.to_vec::<f32>()?, [-3., -4.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("pytree", "module"))]
pub trait Parameters {
    /// The same tree with leaves of another type, `U`.
    type With<U>;

    /// Appends the leaves (the parameters) to a list, in the tree's order.
    fn leaves<'a>(&'a self, list: &mut Vec<&'a Expr>);

    /// Builds a tree of the same form. Its leaves are the results of calls of `next`, in the tree's order.
    fn with<U>(&self, next: &mut dyn FnMut() -> U) -> Self::With<U>;

    /// Appends a name for each leaf to a list, in the tree's order. `path` is the name of this tree in the outermost
    /// tree, and empty for the outermost tree itself. All names begin with `path`. `cupric::train::named` uses the
    /// names in files.
    ///
    /// By default, leaves are named by their index: `path.0`, `path.1`, …. A struct names its fields with
    /// [`names_under`](Parameters::names_under):
    ///
    /// ```
    /// # use cupric::{Expr, Parameters, array};
    /// struct Layer<T> {
    ///     weight: T,
    ///     bias: T,
    /// }
    /// impl<T: Parameters> Parameters for Layer<T> {
    ///     // …
    ///     # type With<U> = Layer<T::With<U>>;
    ///     # fn leaves<'a>(&'a self, list: &mut Vec<&'a Expr>) {
    ///     #     self.weight.leaves(list);
    ///     #     self.bias.leaves(list);
    ///     # }
    ///     # fn with<U>(&self, next: &mut dyn FnMut() -> U) -> Layer<T::With<U>> {
    ///     #     Layer { weight: self.weight.with(next), bias: self.bias.with(next) }
    ///     # }
    ///     fn names(&self, path: &str, list: &mut Vec<String>) {
    ///         self.weight.names_under(path, "weight", list);
    ///         self.bias.names_under(path, "bias", list);
    ///     }
    /// }
    /// let mut names = vec![];
    /// vec![Layer { weight: array![1.], bias: array![2.] }].names("", &mut names);
    /// assert_eq!(names, ["0.weight", "0.bias"]);
    /// ```
    fn names(&self, path: &str, list: &mut Vec<String>) {
        let mut leaves = vec![];
        self.leaves(&mut leaves);
        list.extend((0..).zip(&leaves).map(|(i, _)| joined(path, &i.to_string())));
    }

    /// Appends the names of this tree's leaves to a list, as [`names`](Parameters::names) does. This tree is the part
    /// `part` of the tree named `path`.
    fn names_under(&self, path: &str, part: &str, list: &mut Vec<String>) {
        self.names(&joined(path, part), list);
    }
}

/// Joins the name of a tree and the name of its part with a point.
fn joined(path: &str, part: &str) -> String {
    if path.is_empty() { part.to_string() } else { format!("{path}.{part}") }
}

macro_rules! leaves {
    ($($leaf:ty)*) => { $(
        impl Parameters for $leaf {
            type With<U> = U;
            fn leaves<'a>(&'a self, list: &mut Vec<&'a Expr>) {
                list.push(self);
            }
            fn with<U>(&self, next: &mut dyn FnMut() -> U) -> U {
                next()
            }
            fn names(&self, path: &str, list: &mut Vec<String>) {
                list.push(if path.is_empty() { "0".into() } else { path.into() });
            }
        }
    )* };
}
leaves! { Array Expr }

impl<T: Parameters> Parameters for Vec<T> {
    type With<U> = Vec<T::With<U>>;
    fn leaves<'a>(&'a self, list: &mut Vec<&'a Expr>) {
        self.iter().for_each(|t| t.leaves(list));
    }
    fn with<U>(&self, next: &mut dyn FnMut() -> U) -> Vec<T::With<U>> {
        self.iter().map(|t| t.with(next)).collect()
    }
    fn names(&self, path: &str, list: &mut Vec<String>) {
        self.iter().enumerate().for_each(|(i, t)| t.names_under(path, &i.to_string(), list));
    }
}

impl<T: Parameters, const N: usize> Parameters for [T; N] {
    type With<U> = [T::With<U>; N];
    fn leaves<'a>(&'a self, list: &mut Vec<&'a Expr>) {
        self.iter().for_each(|t| t.leaves(list));
    }
    fn with<U>(&self, next: &mut dyn FnMut() -> U) -> [T::With<U>; N] {
        self.each_ref().map(|t| t.with(next))
    }
    fn names(&self, path: &str, list: &mut Vec<String>) {
        self.iter().enumerate().for_each(|(i, t)| t.names_under(path, &i.to_string(), list));
    }
}

impl<T: Parameters> Parameters for &T {
    type With<U> = T::With<U>;
    fn leaves<'a>(&'a self, list: &mut Vec<&'a Expr>) {
        T::leaves(self, list);
    }
    fn with<U>(&self, next: &mut dyn FnMut() -> U) -> T::With<U> {
        T::with(self, next)
    }
    fn names(&self, path: &str, list: &mut Vec<String>) {
        T::names(self, path, list);
    }
}

macro_rules! tuples {
    ($(($($name:ident $i:tt),+))*) => { $(
        impl<$($name: Parameters),+> Parameters for ($($name,)+) {
            type With<U> = ($($name::With<U>,)+);
            fn leaves<'a>(&'a self, list: &mut Vec<&'a Expr>) {
                $(self.$i.leaves(list);)+
            }
            fn with<U>(&self, next: &mut dyn FnMut() -> U) -> Self::With<U> {
                ($(self.$i.with(next),)+)
            }
            fn names(&self, path: &str, list: &mut Vec<String>) {
                $(self.$i.names_under(path, stringify!($i), list);)+
            }
        }
    )* };
}
tuples! {
    (A 0) (A 0, B 1) (A 0, B 1, C 2) (A 0, B 1, C 2, D 3) (A 0, B 1, C 2, D 3, E 4) (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6) (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

/// Returns the value of the function `loss` at `params`, and its derivatives with respect to all parameters. The value
/// must be a 0-d float. The derivatives are in a tree of the same form as `params`. Evaluate the value and the
/// derivatives together, so that they share kernels.
///
/// ```
/// use cupric::{array, eval_all, value_and_grad};
/// let params = (array![2., 3.], array![1.]);
/// let (loss, (dw, db)) = value_and_grad(&params, |(w, b)| (w * 4.0 + b).square().sum(..));
/// let [loss, dw, db] = eval_all([&loss, &dw, &db])?;
/// assert_eq!(loss.item::<f32>()?, 81. + 169.);
/// assert_eq!(dw.to_vec::<f32>()?, [72., 104.]);
/// assert_eq!(db.to_vec::<f32>()?, [44.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// Each derivative carries the errors of [`grad`](crate::grad).
#[track_caller]
pub fn value_and_grad<P: Parameters>(params: &P, loss: impl FnOnce(&P) -> Expr) -> (Expr, P::With<Expr>) {
    let at = Location::caller();
    let value = loss(params);
    let mut list = Vec::new();
    params.leaves(&mut list);
    let mut derivatives = of_loss("value_and_grad", &value, &list, Unread::Refused, at).into_iter();
    // if `with` asks for more leaves than `leaves` listed, the additional ones carry an error
    let tree = params.with(&mut || derivatives.next().unwrap_or_else(|| missing("value_and_grad", at)));
    (value, tree)
}

/// Builds a tree of the form of `tree`, whose leaves are the arrays of `list`.
pub(crate) fn built_arrays<P: Parameters>(
    tree: &P,
    list: Vec<Array>,
    op: &'static str,
    at: Loc,
) -> Result<P::With<Array>> {
    let mut arrays = list.into_iter();
    let mut is_short = false;
    let spare = Array::from_vec(Vec::<f32>::new(), [0])?;
    let made = tree.with(&mut || {
        arrays.next().unwrap_or_else(|| {
            is_short = true;
            spare.clone()
        })
    });
    match is_short {
        true => {
            let detail = "the method `with` of the tree asks for more leaves than `leaves` lists";
            Err(Error::with_line(ErrorKind::Argument, op, detail, at))
        }
        false => Ok(made),
    }
}

pub(crate) fn missing(op: &'static str, at: Loc) -> Expr {
    let detail = "the method `with` of the parameters asks for more leaves than `leaves` lists";
    Expr::failed(Error::with_line(ErrorKind::Argument, op, detail, at), at)
}
