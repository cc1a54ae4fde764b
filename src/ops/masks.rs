//! Functions that select the elements where a mask is true, or find the positions of elements that are not 0. The
//! length of their result depends on the elements of the mask. So these functions compute immediately, and read one
//! number back: the count of the selected elements.

use crate::array::device::Device;
use crate::array::{Array, eval_many, prepared};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Integer, Shape, View};
use crate::graph::expr::{Arg, Called, Expr, NodeOp, Operand};
use crate::graph::expr::{cast, common, operand, reshape, routine, strong, ufunc, view};
use crate::graph::routine::{COMPRESS, NONZERO, Routine};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::functions::stack_at;
use crate::plan::backend::wait;
use crate::plan::kernel::IndexMode;
use smallvec::{SmallVec, smallvec};
use std::panic::Location;

/// # Masks
impl Expr {
    /// Returns the elements where a mask is true, in C order, like NumPy's `x[mask]`. If the mask has the array's
    /// shape, the result has the shape `[count]`, where count is the number of true elements. A mask with fewer axes
    /// applies to the array's first axes, and the result has the other axes after the count: a mask of shape `[m]`
    /// selects rows of an array of shape `[m, n]`. The result has the array's dtype, and the elements are copied bit
    /// for bit.
    ///
    /// The function computes immediately, because the result's shape depends on the mask's elements. It waits for one
    /// number, the count. It takes linear time. Besides the result it allocates the mask, if the mask is not stored
    /// yet, and on a GPU 4 bytes for each true element.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1., 2.], [3., 4.], [5., 6.]];
    /// assert_eq!(x.compress(x.greater(2.5))?.to_vec::<f32>()?, [3., 4., 5., 6.]);
    /// let rows = x.compress(array![true, false, true])?;
    /// assert_eq!((rows.shape(), rows.to_vec::<f32>()?), (&[2, 2][..], vec![1., 2., 5., 6.]));
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`ErrorKind::DType`] if the mask is not bool, and [`ErrorKind::Shape`] if its shape is not the shape of
    /// the array's first axes, except that an axis of the mask may have length 0. Returns [`ErrorKind::LimitExceeded`] for 2^32 elements or more on a GPU, and for 2^31
    /// elements or more of a mask with fewer axes than the array. Also returns the errors of [`Expr::eval`] and
    /// [`Expr::item`].
    #[doc(alias = "masked_select")]
    #[doc(alias = "boolean_mask")]
    #[doc(alias = "extract")]
    #[track_caller]
    pub fn compress(&self, mask: impl Operand) -> Result<Array> {
        let (op, at) = ("compress", Location::caller());
        wait(op, "compress_async", compressed(op, self, operand(mask, at), at)?).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Expr::compress`], for code that must not block. The call itself submits the kernel
    /// that counts the true elements. The future waits for the count, and then submits the selection.
    ///
    /// # Errors
    /// Returns the errors of [`Expr::compress`].
    ///
    /// ```
    /// let x = cupric::array![1., 2., 3.];
    /// # pollster::block_on(async {
    /// let large = x.compress_async(x.greater(1.5)).await?;
    /// assert_eq!(large.to_vec_async::<f32>().await?, [2., 3.]);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn compress_async<M: Operand>(&self, mask: M) -> impl Future<Output = Result<Array>> + Send + use<M> {
        let at = Location::caller();
        let selecting = compressed("compress_async", self, operand(mask, at), at);
        async move { selecting?.await }
    }

    /// Returns the slices along an axis at the positions where a mask is true, like NumPy's `compress(mask, x, axis)`.
    /// The mask has one axis, with the same length as the given axis or with length 0. The function computes immediately, as
    /// [`Expr::compress`] does.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1, 2, 3], [4, 5, 6]];
    /// assert_eq!(x.compress_along(array![true, false, true], 1)?.to_vec::<i32>()?, [1, 3, 4, 6]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`Expr::compress`], and [`ErrorKind::Axis`] if the array does not have the axis.
    #[track_caller]
    pub fn compress_along(&self, mask: impl Operand, axis: impl Integer) -> Result<Array> {
        let (op, at) = ("compress_along", Location::caller());
        let selecting = compressed_along(op, self, operand(mask, at), axis.saturated(), at)?;
        wait(op, "compress_along_async", selecting).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Expr::compress_along`], for code that must not block; see [`Expr::compress_async`].
    ///
    /// # Errors
    /// Returns the errors of [`Expr::compress_along`].
    ///
    /// ```
    /// use cupric::array;
    /// # pollster::block_on(async {
    /// let x = array![[1, 2, 3], [4, 5, 6]];
    /// let columns = x.compress_along_async(array![true, false, true], 1).await?;
    /// assert_eq!(columns.to_vec_async::<i32>().await?, [1, 3, 4, 6]);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn compress_along_async<M: Operand, I: Integer>(
        &self,
        mask: M,
        axis: I,
    ) -> impl Future<Output = Result<Array>> + Send + use<M, I> {
        let at = Location::caller();
        let selecting = compressed_along("compress_along_async", self, operand(mask, at), axis.saturated(), at);
        async move { selecting?.await }
    }

    /// Returns the positions of the elements that are not 0, as an i64 array of shape `[count]`, where count is the
    /// number of these elements. The position of an element is its index in the flattened array (C order). A NaN counts
    /// as not 0. The function computes immediately, as [`Expr::compress`] does.
    ///
    /// ```
    /// let x = cupric::array![[0, 3], [0, 4]];
    /// assert_eq!(x.flatnonzero()?.to_vec::<i64>()?, [1, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`ErrorKind::LimitExceeded`] for 2^32 elements or more on a GPU, and the errors of [`Expr::eval`] and
    /// [`Expr::item`].
    #[track_caller]
    pub fn flatnonzero(&self) -> Result<Array> {
        let (op, at) = ("flatnonzero", Location::caller());
        wait(op, "flatnonzero_async", positions(op, self, at)?).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Expr::flatnonzero`], for code that must not block; see [`Expr::compress_async`].
    ///
    /// # Errors
    /// Returns the errors of [`Expr::flatnonzero`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let at = cupric::array![[0, 3], [0, 4]].flatnonzero_async().await?;
    /// assert_eq!(at.to_vec_async::<i64>().await?, [1, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn flatnonzero_async(&self) -> impl Future<Output = Result<Array>> + Send + use<> {
        let finding = positions("flatnonzero_async", self, Location::caller());
        async move { finding?.await }
    }

    /// Returns the positions of the elements that are not 0, as one i64 array for each axis. Array i has the shape
    /// `[count]`, where count is the number of these elements, and holds their positions along axis i, in the C order
    /// of the elements. [`Expr::take_at`] accepts these arrays. `nonzero` computes immediately, as [`Expr::compress`]
    /// does.
    ///
    /// ```
    /// let x = cupric::array![[0, 3], [5, 4]];
    /// let [rows, columns] = &x.nonzero()?[..] else { panic!("two axes") };
    /// assert_eq!(rows.to_vec::<i64>()?, [0, 1, 1]);
    /// assert_eq!(columns.to_vec::<i64>()?, [1, 0, 1]);
    /// assert_eq!(x.take_at((rows, columns)).to_vec::<i32>()?, [3, 5, 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`ErrorKind::Shape`] for an array without axes, as in NumPy, and the errors of [`Expr::flatnonzero`].
    #[track_caller]
    pub fn nonzero(&self) -> Result<Vec<Array>> {
        let (op, at) = ("nonzero", Location::caller());
        wait(op, "nonzero_async", apart(op, self, at)).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Expr::nonzero`], for code that must not block; see [`Expr::compress_async`].
    ///
    /// # Errors
    /// Returns the errors of [`Expr::nonzero`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let at = cupric::array![[0, 3], [0, 4]].nonzero_async().await?;
    /// assert_eq!(at[0].to_vec_async::<i64>().await?, [0, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn nonzero_async(&self) -> impl Future<Output = Result<Vec<Array>>> + Send + use<> {
        apart("nonzero_async", self, Location::caller())
    }

    /// Returns the positions of the elements that are not 0, as an i64 array of shape `[count, ndim]`, where count is
    /// the number of these elements. Each row has the positions of one element along all axes. The function computes
    /// immediately, as [`Expr::compress`] does.
    ///
    /// ```
    /// let x = cupric::array![[0, 3], [5, 4]];
    /// assert_eq!(x.argwhere()?.to_vec::<i64>()?, [0, 1, 1, 0, 1, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`Expr::flatnonzero`].
    #[track_caller]
    pub fn argwhere(&self) -> Result<Array> {
        let (op, at) = ("argwhere", Location::caller());
        wait(op, "argwhere_async", together(op, self, at)).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Expr::argwhere`], for code that must not block; see [`Expr::compress_async`].
    ///
    /// # Errors
    /// Returns the errors of [`Expr::argwhere`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let at = cupric::array![[0, 3], [0, 4]].argwhere_async().await?;
    /// assert_eq!(at.to_vec_async::<i64>().await?, [0, 1, 1, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn argwhere_async(&self) -> impl Future<Output = Result<Array>> + Send + use<> {
        together("argwhere_async", self, Location::caller())
    }
}

impl Array {
    /// Writes a value to the elements where a mask is true, like NumPy's `x[mask] = v`. One kernel does the write, in
    /// place if nothing else holds the memory. The value broadcasts to the array's shape, and is cast as in
    /// [`Array::assign`]. Unlike in NumPy, the value cannot have one element for each true element of the mask. A mask
    /// with fewer axes applies to the array's first axes, and an axis of the mask of length 1 broadcasts.
    ///
    /// # Errors
    /// Returns [`ErrorKind::DType`] if the mask is not bool, [`ErrorKind::Shape`] if the mask or the value does not fit
    /// the array's shape, and the errors of [`Array::assign`].
    ///
    /// ```
    /// let mut x = cupric::array![[1., -2.], [-3., 4.]];
    /// x.set_where(x.less(0), 0)?;
    /// assert_eq!(x.to_vec::<f32>()?, [1., 0., 0., 4.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "masked_fill")]
    #[doc(alias("putmask", "place"))]
    #[track_caller]
    pub fn set_where(&mut self, mask: impl Operand, value: impl Operand) -> Result<()> {
        const OP: &str = "set_where";
        let at = Location::caller();
        let (mask, value) = (operand(mask, at), value.into_arg());
        is_mask(OP, &mask, at)?;
        let shape: Shape = self.shape().into();
        let of_mask: Shape = mask.0.shape.clone();
        if of_mask.len() > shape.len() {
            let (a, b) = (of_mask.as_slice(), shape.as_slice());
            let detail = format!("a mask of shape {a:?} has more axes than an array of shape {b:?}");
            return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
        }
        if selects_nothing(&of_mask, &shape, 0) {
            common(OP, [&**self, &mask].into_iter(), at)?;
            return prepared(value, &shape, self.dtype(), OP, at).map(drop);
        }
        let ones = std::iter::repeat_n(1, shape.len() - of_mask.len());
        let filled: Vec<isize> = of_mask.iter().map(|n| *n as isize).chain(ones).collect();
        let mask = reshape(OP, &mask, &filled, at);
        let mask = view(OP, &mask, at, |from| View::broadcast_to(from, &shape));
        let value = prepared(value, &shape, self.dtype(), OP, at)?;
        let own: &Expr = self;
        let chosen = ufunc(&logic::SELECT, smallvec![mask.into_arg(), value.into_arg(), own.into_arg()], at);
        chosen.checked()?;
        self.write_all(Arg::Expr(chosen), OP, at)
    }
}

fn is_mask(op: &'static str, mask: &Expr, at: Loc) -> Result<()> {
    let dtype = mask.checked()?.dtype;
    if dtype != DType::Bool {
        let detail = format!("a mask of dtype {dtype}; it must be bool, such as the result of a comparison");
        return Err(Error::with_line(ErrorKind::DType, op, detail, at));
    }
    Ok(())
}

/// A computed mask, and the number of its true elements.
struct Trues {
    op: &'static str,
    /// The mask, flattened to one axis.
    mask: Array,
    size: usize,
    count: usize,
    device: u32,
    at: Loc,
}

impl Trues {
    /// Computes a mask on a device, and counts its true elements. The future waits for the count.
    fn of(
        op: &'static str,
        mask: &Expr,
        device: u32,
        at: Loc,
    ) -> Result<impl Future<Output = Result<Trues>> + Send + use<>> {
        let flat = reshape(op, mask, &[-1], at);
        // a mask that is built only from constants has no device yet (0), so it is computed on the given device
        let mask = match flat.checked()?.device == 0 && device != 0 {
            true => flat.to_device(&Device::of(device))?,
            false => flat.eval_at(at)?,
        };
        let size = mask.size();
        let count = mask.count_nonzero(..).item_async::<i64>();
        Ok(async move {
            let count = count.await.map_err(|e| e.named(op))? as usize;
            Ok(Trues { op, mask, size, count, device, at })
        })
    }

    /// Calls a routine with the mask, and with `values` as the second operand if the routine has two.
    fn call(&self, row: &'static Routine, values: Option<Expr>, dtype: DType) -> Result<Array> {
        let at = self.at;
        let _called = Called::begin(self.op, at);
        if self.count == 0 {
            return Expr::fill_on(self.device, Scalar::Int(0), smallvec![0], dtype, at).eval_at(at);
        }
        let mask: &Expr = &self.mask;
        let args = std::iter::once(mask.clone()).chain(values).collect();
        let results = routine(row, args, smallvec![self.count as u64, self.size as u64], at)?;
        let first = results.first().ok_or_else(|| Error::with_line(ErrorKind::Internal, self.op, "no result", at))?;
        first.eval_at(at)
    }

    /// Returns the slices of an array along an axis at the positions where the mask is true.
    fn picked(&self, x: &Expr, axis: usize) -> Result<Array> {
        let at = self.at;
        let _called = Called::begin(self.op, at);
        let mut shape = x.checked()?.shape.clone();
        if self.size > i32::MAX as usize {
            let detail = format!("a mask of {} elements; their positions must fit i32", self.size);
            return Err(Error::with_line(ErrorKind::LimitExceeded, self.op, detail, at));
        }
        shape[axis] = self.count;
        if shape.contains(&0) {
            return Expr::fill_on(self.device, Scalar::Int(0), shape, x.0.dtype, at).eval_at(at);
        }
        let positions: Expr = self.call(&NONZERO, None, DType::I64)?.into();
        let i = cast(positions, DType::I32, at);
        // the positions are in range, so no kernel needs to check them
        let take = NodeOp::Take { axis, mode: IndexMode::Clip, along: false, name: self.op };
        Expr::node(take, smallvec![i, x.clone()], shape, x.0.dtype, self.device, at).eval_at(at)
    }
}

/// Returns whether each axis of a mask without elements has length 0 or the length of its axis of the array. The axes of
/// the mask are those of the array from `first` on. Such a mask selects nothing, as in NumPy and the Array API.
fn selects_nothing(mask: &[usize], shape: &[usize], first: usize) -> bool {
    let of = shape.get(first..first + mask.len());
    mask.contains(&0) && of.is_some_and(|of| mask.iter().zip(of).all(|(m, n)| *m == 0 || m == n))
}

/// Returns an array without elements if the mask selects nothing of `x` because it has none: the lengths of its axes
/// replace those of the array. Otherwise returns `x`.
fn if_empty(x: Expr, mask: &Expr, first: usize, at: Loc) -> Expr {
    let of_mask = &mask.0.shape;
    if !selects_nothing(of_mask, &x.0.shape, first) {
        return x;
    }
    let mut shape = x.0.shape.clone();
    shape[first..first + of_mask.len()].copy_from_slice(of_mask);
    Expr::fill_on(x.0.device, Scalar::Int(0), shape, x.0.dtype, at)
}

/// Selects the elements of an array where a mask is true.
pub(super) fn compressed(
    op: &'static str,
    x: &Expr,
    mask: Expr,
    at: Loc,
) -> Result<impl Future<Output = Result<Array>> + Send + use<>> {
    let _called = Called::begin(op, at);
    let x = strong(x.clone(), at);
    let device = common(op, [&x, &mask].into_iter(), at)?;
    is_mask(op, &mask, at)?;
    let of_mask = mask.0.shape.clone();
    let x = if_empty(x, &mask, 0, at);
    let shape = x.0.shape.clone();
    if !shape.starts_with(&of_mask) {
        let (a, b) = (of_mask.as_slice(), shape.as_slice());
        let detail = format!(
            "a mask of shape {a:?} for an array of shape {b:?}; its shape must be that of the array's first axes"
        );
        return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
    }
    let trues = Trues::of(op, &mask, device, at)?;
    Ok(async move {
        let trues = trues.await?;
        if of_mask.len() == shape.len() {
            return trues.call(&COMPRESS, Some(reshape(op, &x, &[-1], at)), x.0.dtype);
        }
        let rest = &shape[of_mask.len()..];
        let joined: Vec<isize> = [trues.size].iter().chain(rest).map(|n| *n as isize).collect();
        trues.picked(&reshape(op, &x, &joined, at), 0)
    })
}

/// Selects the slices of an array along an axis at the positions where a mask is true.
fn compressed_along(
    op: &'static str,
    x: &Expr,
    mask: Expr,
    axis: isize,
    at: Loc,
) -> Result<impl Future<Output = Result<Array>> + Send + use<>> {
    let _called = Called::begin(op, at);
    let x = strong(x.clone(), at);
    let device = common(op, [&x, &mask].into_iter(), at)?;
    is_mask(op, &mask, at)?;
    let axis = layout::normalize_axis(axis, x.0.shape.len()).map_err(|f| f.at(op, at))?;
    let x = if mask.0.shape.len() == 1 { if_empty(x, &mask, axis, at) } else { x };
    if mask.0.shape[..] != x.0.shape[axis..=axis] {
        let (a, n) = (mask.0.shape.as_slice(), x.0.shape[axis]);
        let detail = format!("a mask of shape {a:?} for an axis of length {n}; shape [{n}] is needed");
        return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
    }
    let trues = Trues::of(op, &mask, device, at)?;
    Ok(async move { trues.await?.picked(&x, axis) })
}

/// Returns the positions of the elements that are not 0, as one array for each axis.
fn apart(op: &'static str, x: &Expr, at: Loc) -> impl Future<Output = Result<Vec<Array>>> + Send + use<> {
    let finding = x.checked().and_then(|node| {
        if node.shape.is_empty() {
            let detail = "a 0-d array has no axes to return positions along; call atleast_1d first";
            return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
        }
        Ok((positions(op, x, at)?, node.shape.clone()))
    });
    async move {
        let (flat, shape) = finding?;
        eval_many(along_axes(op, flat.await?, &shape, at)).map_err(|e| e.or_at(at))
    }
}

/// Returns the positions of the elements that are not 0, as a matrix with one row for each element.
fn together(op: &'static str, x: &Expr, at: Loc) -> impl Future<Output = Result<Array>> + Send + use<> {
    let finding = x.checked().and_then(|node| Ok((positions(op, x, at)?, node.shape.clone())));
    async move {
        let (flat, shape) = finding?;
        let flat = flat.await?;
        if shape.is_empty() {
            let (device, rows) = (flat.0.device, flat.size());
            return Expr::fill_on(device, Scalar::Int(0), smallvec![rows, 0], DType::I64, at).eval_at(at);
        }
        stack_at(op, along_axes(op, flat, &shape, at).into_vec(), 1, at).eval_at(at)
    }
}

/// Returns the positions, in C order, of the elements that are not 0.
pub(super) fn positions(
    op: &'static str,
    x: &Expr,
    at: Loc,
) -> Result<impl Future<Output = Result<Array>> + Send + use<>> {
    let _called = Called::begin(op, at);
    let x = strong(x.clone(), at);
    let is_true = cast(x, DType::Bool, at);
    let device = is_true.checked()?.device;
    let trues = Trues::of(op, &is_true, device, at)?;
    Ok(async move { trues.await?.call(&NONZERO, None, DType::I64) })
}

/// Converts positions in C order to positions along each axis of a shape, which has at least one axis.
fn along_axes(op: &'static str, flat: Array, shape: &[usize], at: Loc) -> SmallVec<[Expr; 4]> {
    let _called = Called::begin(op, at);
    let (flat, size): (Expr, _) = (flat.into(), layout::product(shape));
    // One axis needs no division. An array without elements has no positions, and the lengths of its other axes may not
    // fit the dtype of the divisions.
    if shape.len() == 1 || size == 0 {
        return smallvec![flat; shape.len()];
    }
    // a division of 32 bits is several times as fast as one of 64 bits
    let narrow = size <= u32::MAX as usize;
    let flat = if narrow { cast(flat, DType::U32, at) } else { flat };
    let mut below = size;
    let along = |(axis, n): (usize, &usize)| {
        below /= *n;
        let divided = |row, x: Expr, by: usize| match by {
            1 if row == &arithmetic::floor_divide => x,
            by => ufunc(row, smallvec![x.into_arg(), by.into_arg()], at),
        };
        let upto = divided(&arithmetic::floor_divide, flat.clone(), below);
        // the quotient of the first axis is already less than the axis's length, so it needs no remainder
        let own = if axis == 0 { upto } else { divided(&arithmetic::remainder, upto, *n) };
        cast(own, DType::I64, at)
    };
    shape.iter().enumerate().map(along).collect()
}
