//! Conversions from and to arrays of the library `ndarray`.

use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::Element;
use crate::base::error::{Error, ErrorKind, Result, room};
use crate::base::layout::{Layout, size_of_shape};
use crate::graph::expr::Expr;
use ::ndarray::{ArrayBase, ArrayD, ArrayView, ArrayViewD, Data, Dimension, IxDyn, RawData, ShapeBuilder};
use std::panic::Location;

impl Array {
    /// Returns an `ndarray` view of the array's elements, without a copy and with the array's strides. The array must
    /// be on the CPU. (Feature `ndarray`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::DType`] if `T` is not the array's type, [`ErrorKind::DeviceMismatch`] if the array is on a
    /// GPU, [`ErrorKind::Unsupported`] if a bool array has a byte other than 0 and 1 (kernels may store such bytes),
    /// and [`ErrorKind::LimitExceeded`] if a broadcast shape has too many elements for `ndarray`.
    ///
    /// ```
    /// use cupric::{array, s};
    /// let x = array![[1., 2., 3.], [4., 5., 6.]];
    /// let columns = x.t().slice(s![..;-1]).eval()?;     // a view: other strides, the same memory
    /// let view = columns.as_ndarray::<f32>()?;
    /// assert_eq!(view, ndarray::array![[3f32, 6.], [2., 5.], [1., 4.]].into_dyn());
    /// assert_eq!(view.strides(), columns.strides());
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("ndarray_view", "view"))]
    #[track_caller]
    pub fn as_ndarray<T: Element>(&self) -> Result<ArrayViewD<'_, T>> {
        const OP: &str = "as_ndarray";
        let at = Location::caller();
        let elements = self.host_elements::<T>(OP, at)?;
        // `ndarray` stores the bits of a negative stride in a usize, and finds the first element itself
        let strides: Vec<usize> = self.strides().iter().map(|s| *s as usize).collect();
        let shape = IxDyn(self.shape());
        // an array without elements has no memory, and its strides may lead out of it, so its strides are not passed
        let view = match elements {
            [] => ArrayView::from_shape(shape, elements),
            _ => ArrayView::from_shape(shape.strides(IxDyn(&strides)), elements),
        };
        view.map_err(|e| {
            let detail = format!("shape {:?} with strides {:?}: {e}", self.shape(), self.strides());
            Error::with_line(ErrorKind::LimitExceeded, OP, detail, at)
        })
    }

    /// Copies the elements of an array or view of `ndarray` into an array in C order on the CPU.
    /// [`Array::from_owned_ndarray`] does not copy. (Feature `ndarray`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::LimitExceeded`] if there are more than 64 axes, and [`ErrorKind::OutOfMemory`] if the host
    /// cannot allocate the copy.
    ///
    /// ```
    /// use cupric::Array;
    /// let a = ndarray::array![[1, 2, 3], [4, 5, 6]];
    /// let x = Array::from_ndarray(&a.t())?;
    /// assert_eq!(x.shape(), [3, 2]);
    /// assert_eq!(x.to_vec::<i32>()?, [1, 4, 2, 5, 3, 6]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn from_ndarray<T, S, D>(array: &ArrayBase<S, D>) -> Result<Array>
    where
        T: Element,
        S: Data + RawData<Elem = T>,
        D: Dimension,
    {
        const OP: &str = "from_ndarray";
        let at = Location::caller();
        let shape = lengths(array.shape(), at, OP)?;
        let mut elements = room::<T>(array.len(), OP, at)?;
        match array.as_slice() {
            Some(all) => elements.extend_from_slice(all),
            None => elements.extend(array.iter().copied()),
        }
        Array::adopt(elements, &shape, at).into_scope(OP, at)
    }

    /// Converts an owned array of `ndarray` to an array on the CPU. The array takes over the memory without a copy,
    /// whatever its strides are. (Feature `ndarray`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::LimitExceeded`] if there are more than 64 axes.
    ///
    /// ```
    /// use cupric::Array;
    /// let a = ndarray::array![[1f32, 2.], [3., 4.]].reversed_axes();
    /// let place = a.as_ptr();
    /// let x = Array::from_owned_ndarray(a)?;
    /// assert_eq!(x.strides(), [1, 2]);
    /// assert_eq!(x.to_vec::<f32>()?, [1., 3., 2., 4.]);
    /// assert_eq!(x.as_ndarray::<f32>()?.as_ptr(), place);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn from_owned_ndarray<T: Element, D: Dimension>(array: ::ndarray::Array<T, D>) -> Result<Array> {
        const OP: &str = "from_owned_ndarray";
        let at = Location::caller();
        let shape = lengths(array.shape(), at, OP)?;
        let strides = array.strides().into();
        let (elements, offset) = array.into_raw_vec_and_offset();
        let layout = match offset {
            Some(offset) => Layout { shape: shape.as_slice().into(), strides, offset },
            None => Layout::c(&shape),
        };
        Array::new(Device::adopt(elements), layout, T::DTYPE, at).into_scope(OP, at)
    }

    /// Converts the array to an array of `ndarray` in C order. Reuses the memory if [`Array::into_vec`] can, and copies
    /// it otherwise. (Feature `ndarray`.)
    ///
    /// # Errors
    /// Returns the errors of [`Array::into_vec`].
    ///
    /// ```
    /// use cupric::{Array, array};
    /// let x = Array::from_vec(vec![1, 2, 3, 4], [2, 2])?;
    /// assert_eq!(x.into_ndarray::<i32>()?, ndarray::array![[1, 2], [3, 4]].into_dyn());
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn into_ndarray<T: Element>(self) -> Result<ArrayD<T>> {
        let shape = self.shape().to_vec();
        owned(&shape, self.into_vec()?, "into_ndarray")
    }
}

/// # Arrays of ndarray
impl Expr {
    /// Evaluates the expression on its device and copies the elements to an array of `ndarray` in C order. (Feature
    /// `ndarray`.)
    ///
    /// # Errors
    /// Returns the errors of [`Expr::to_vec`].
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1., 2.], [3., 4.]];
    /// assert_eq!((&x + 1.0).t().to_ndarray::<f32>()?, ndarray::array![[2f32, 4.], [3., 5.]].into_dyn());
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn to_ndarray<T: Element>(&self) -> Result<ArrayD<T>> {
        owned(self.shape()?, self.to_vec()?, "to_ndarray")
    }
}

#[track_caller]
fn owned<T>(shape: &[usize], elements: Vec<T>, op: &'static str) -> Result<ArrayD<T>> {
    let at = Location::caller();
    ArrayD::from_shape_vec(IxDyn(shape), elements)
        .map_err(|e| Error::with_line(ErrorKind::LimitExceeded, op, format!("shape {shape:?}: {e}"), at))
}

/// Returns the lengths of the axes of an array of `ndarray`, or an error if there are too many axes or elements.
fn lengths(shape: &[usize], at: &'static Location<'static>, op: &'static str) -> Result<Vec<usize>> {
    size_of_shape(shape).map_err(|f| f.at(op, at))?;
    Ok(shape.to_vec())
}
