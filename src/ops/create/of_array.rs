//! The creation functions as functions of [`Array`], because people type `Array::zeros`.

use crate::array::Array;
use crate::base::dtype::DType;
use crate::base::layout::IntoShape;
use crate::graph::expr::{Expr, Operand};

/// # Generated numbers
///
/// These are the free functions of the same names. They return an expression, which is not computed yet and has no
/// device: `.eval()?` computes it, and `.on(&device)` chooses a device.
impl Array {
    /// Returns zeros: [`zeros`](crate::zeros).
    ///
    /// ```
    /// use cupric::{Array, DType};
    /// assert_eq!(Array::zeros([2, 2], DType::I32).to_vec::<i32>()?, [0; 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn zeros(shape: impl IntoShape, dtype: DType) -> Expr {
        super::zeros(shape, dtype)
    }

    /// Returns ones: [`ones`](crate::ones).
    ///
    /// ```
    /// use cupric::{Array, DType};
    /// assert_eq!(Array::ones(2, DType::I32).to_vec::<i32>()?, [1, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn ones(shape: impl IntoShape, dtype: DType) -> Expr {
        super::ones(shape, dtype)
    }

    /// Returns zeros: [`empty`](crate::empty).
    ///
    /// ```
    /// use cupric::{Array, DType};
    /// assert_eq!(Array::empty([0, 3], DType::F32).shape()?, [0, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn empty(shape: impl IntoShape, dtype: DType) -> Expr {
        super::empty(shape, dtype)
    }

    /// Returns an array filled with a number: [`full`](crate::full).
    ///
    /// ```
    /// use cupric::{Array, DType};
    /// assert_eq!(Array::full(2, 1.5, DType::F32).to_vec::<f32>()?, [1.5, 1.5]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn full(shape: impl IntoShape, value: impl Operand, dtype: DType) -> Expr {
        super::full(shape, value, dtype)
    }

    /// Returns a range of numbers: [`arange`](crate::arange).
    ///
    /// ```
    /// use cupric::{Array, DType};
    /// assert_eq!(Array::arange(0, 10, 3, DType::I32).to_vec::<i32>()?, [0, 3, 6, 9]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn arange(start: impl Operand, stop: impl Operand, step: impl Operand, dtype: DType) -> Expr {
        super::arange(start, stop, step, dtype)
    }

    /// Returns evenly spaced numbers: [`linspace`](crate::linspace).
    ///
    /// ```
    /// use cupric::{Array, DType};
    /// assert_eq!(Array::linspace(0.0, 1.0, 3, DType::F32).to_vec::<f32>()?, [0., 0.5, 1.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn linspace(a: f64, b: f64, n: usize, dtype: DType) -> Expr {
        super::linspace(a, b, n, dtype)
    }

    /// Returns an identity matrix: [`eye`](crate::eye).
    ///
    /// ```
    /// use cupric::{Array, DType};
    /// assert_eq!(Array::eye(2, DType::F32).to_vec::<f32>()?, [1., 0., 0., 1.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn eye(n: usize, dtype: DType) -> Expr {
        super::eye(n, dtype)
    }
}
