//! Methods under names that people know from NumPy, PyTorch, ndarray and Rust. Each calls the method or the function
//! with the Array API's name. They are methods and not `#[doc(alias)]`, because the compiler does not know the aliases of
//! another crate: without them it would suggest `squeeze` for `unsqueeze`.

use super::functions::{maximum, minimum, named, subtract};
use super::products::{along, two};
use crate::array::Array;
use crate::array::device::Device;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{Integer, IntoAxes, IntoScanAxis, View};
use crate::graph::expr::{
    Called, Expr, Inner, Operand, buffer_below, carry, device_name, reshape, result_of, strong, view,
};
use smallvec::smallvec;
use std::panic::Location;

/// # Names of other libraries
impl Expr {
    /// Returns a view with the axes in another order, like NumPy's `transpose`: `..` reverses the order of all axes, and
    /// a list of axes is the new order, as in [`Expr::permute_dims`].
    ///
    /// ```
    /// let x = cupric::zeros([2, 3, 4], cupric::DType::F32);
    /// assert_eq!(x.transpose(..).shape()?, [4, 3, 2]);
    /// assert_eq!(x.transpose([0, -1, 1]).shape()?, [2, 4, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn transpose(&self, axes: impl IntoAxes) -> Expr {
        let axes = axes.into_axes().axes;
        view("transpose", self, Location::caller(), |shape| {
            View::permute(shape, &axes.unwrap_or_else(|| (0..shape.len() as isize).rev().collect()))
        })
    }

    /// Returns a view with a new axis of length 1: [`Expr::expand_dims`].
    ///
    /// ```
    /// assert_eq!(cupric::array![1., 2.].unsqueeze(0).shape()?, [1, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn unsqueeze(&self, axis: impl Integer) -> Expr {
        let _called = Called::begin("unsqueeze", Location::caller());
        named("unsqueeze", self.expand_dims(axis), Location::caller())
    }

    /// Returns the elements in C order as an array of one axis: [`Expr::ravel`].
    ///
    /// ```
    /// assert_eq!(cupric::array![[1, 2], [3, 4]].flatten().shape()?, [4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn flatten(&self) -> Expr {
        reshape("flatten", self, &[-1], Location::caller())
    }

    /// Returns the cumulative sum along an axis: [`Expr::cumulative_sum`].
    ///
    /// ```
    /// assert_eq!(cupric::array![1., 2., 3.].cumsum(0).to_vec::<f32>()?, [1., 3., 6.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn cumsum(&self, axis: impl IntoScanAxis) -> Expr {
        let _called = Called::begin("cumsum", Location::caller());
        named("cumsum", self.cumulative_sum(axis), Location::caller())
    }

    /// Returns the cumulative product along an axis: [`Expr::cumulative_prod`].
    ///
    /// ```
    /// assert_eq!(cupric::array![2., 3., 4.].cumprod(0).to_vec::<f32>()?, [2., 6., 24.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn cumprod(&self, axis: impl IntoScanAxis) -> Expr {
        let _called = Called::begin("cumprod", Location::caller());
        named("cumprod", self.cumulative_prod(axis), Location::caller())
    }

    /// Returns the product of two arrays like NumPy's `dot`: the inner product of vectors, the product of matrices, and
    /// in general the sums over the last axis of the first operand and the last axis but one of the second (the only one
    /// of a vector). With a number or a 0-d array it is the elementwise product. [`Expr::matmul`] treats leading axes as
    /// batches instead.
    ///
    /// ```
    /// let x = cupric::array![1., 2.];
    /// assert_eq!(x.dot(&x).item::<f32>()?, 5.);
    /// assert_eq!(x.dot(cupric::array![[1., 0.], [0., 3.]]).to_vec::<f32>()?, [1., 6.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn dot(&self, other: impl Operand) -> Expr {
        let at = Location::caller();
        result_of("dot", at, || {
            let (a, b) = two("dot", self, other, at)?;
            let axes = match (a.0.shape.len() as isize, b.0.shape.len() as isize) {
                (0, _) | (_, 0) => [smallvec![], smallvec![]],
                (n, m) => [smallvec![n - 1], smallvec![(m - 2).max(0)]],
            };
            along("dot", a, b, axes, at)
        })
    }

    /// Limits the elements to the range from `low` to `high`: [`Expr::clip`].
    ///
    /// ```
    /// assert_eq!(cupric::array![-1., 0.5, 3.].clamp(0.0, 1.0).to_vec::<f32>()?, [0., 0.5, 1.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn clamp(&self, low: impl Operand, high: impl Operand) -> Expr {
        let _called = Called::begin("clamp", Location::caller());
        named("clamp", self.clip(low, high), Location::caller())
    }

    /// Returns the natural logarithm: [`Expr::log`].
    ///
    /// ```
    /// assert_eq!(cupric::array![1.0].ln().item::<f32>()?, 0.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn ln(&self) -> Expr {
        let _called = Called::begin("ln", Location::caller());
        named("ln", self.log(), Location::caller())
    }

    /// Raises the elements to a power: [`Expr::pow`].
    ///
    /// ```
    /// assert_eq!(cupric::array![4., 9.].powf(0.5).to_vec::<f32>()?, [2., 3.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn powf(&self, exponent: impl Operand) -> Expr {
        let _called = Called::begin("powf", Location::caller());
        named("powf", self.pow(exponent), Location::caller())
    }

    /// Raises the elements to a whole power: [`Expr::pow`].
    ///
    /// ```
    /// assert_eq!(cupric::array![2., 3.].powi(3).to_vec::<f32>()?, [8., 27.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn powi(&self, exponent: impl Operand) -> Expr {
        let _called = Called::begin("powi", Location::caller());
        named("powi", self.pow(exponent), Location::caller())
    }

    /// Returns the distances between the elements of two arrays: the larger element minus the smaller one, which is
    /// right for unsigned integers too.
    ///
    /// ```
    /// let x = cupric::array![1u8, 5];
    /// assert_eq!(x.abs_diff(3).to_vec::<u8>()?, [2, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn abs_diff(&self, other: impl Operand) -> Expr {
        let _called = Called::begin("abs_diff", Location::caller());
        let other = other.into_expr();
        let inner = Inner::begin();
        let [difference] = inner.end([subtract(maximum(self, &other), minimum(self, &other))]);
        named("abs_diff", difference, Location::caller())
    }

    /// Returns an expression with the same values. [`Array::copy`] returns an array.
    ///
    /// ```
    /// let x = cupric::array![1., 2.];
    /// assert_eq!((&x * 2.0).copy().to_vec::<f32>()?, [2., 4.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    pub fn copy(&self) -> Expr {
        self.clone()
    }

    /// Returns an array with the same values on this device: [`Expr::to_device`].
    ///
    /// # Errors
    /// Returns the errors of [`Expr::to_device`].
    ///
    /// ```
    /// use cupric::{Device, array};
    /// let device = Device::best()?;
    /// assert_eq!(array![1., 2.].to(&device)?.device(), device);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn to(&self, device: &Device) -> Result<Array> {
        self.moved(device, "to", Location::caller())
    }

    /// Returns the expression on this device, without evaluating it. It is for expressions without arrays (`zeros`,
    /// random numbers), which have no device yet. The expression carries [`ErrorKind::DeviceMismatch`] if it has arrays
    /// on another device: only [`Expr::to_device`] moves arrays.
    ///
    /// The expression does not keep the device open. If a device of [`Device::with_memory_limit`] has ended before the
    /// expression is evaluated, the evaluation returns [`ErrorKind::DeviceNotFound`].
    ///
    /// ```
    /// use cupric::{DType, Device, arange};
    /// let device = Device::best()?;
    /// let x = arange(0, 4, 1, DType::F32).on(&device); // an Expr: nothing has run
    /// assert_eq!((x * 2.0).eval()?.device(), device);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn on(&self, device: &Device) -> Expr {
        let at = Location::caller();
        carry(at, || {
            let current = self.checked()?.device;
            if current == device.id() {
                return Ok(self.clone());
            }
            if current == 0 || buffer_below(self).is_none() {
                return Ok(strong(self.clone(), at).placed_on(device.id()));
            }
            let here = device_name(self);
            let detail = format!("the operands are on {here}, not on {device}; move them with to_device");
            Err(Error::with_line(ErrorKind::DeviceMismatch, "on", detail, at))
        })
    }
}
