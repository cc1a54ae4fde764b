//! Arrays that are divided among several devices of one process, or copied to all of them. Sums over devices have a
//! fixed order, so that a computation has the same bits on any number of devices if it is divided into the same parts.

use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result, listed};
use crate::base::layout::Integer;
use crate::graph::expr::{Expr, Operand, binary, called, cast};
use crate::graph::ufunc::arithmetic;
use crate::ops::functions::join;
use crate::plan::backend::{Pending, wait};
use std::panic::Location;

/// Divides an array along an axis into one part for each device, and moves each part to its device. If the number of
/// devices does not divide the length of the axis, the first parts have one element more than the others, as in
/// [`Expr::array_split`]. All copies begin before the call waits for the first one.
///
/// # Errors
/// Returns [`ErrorKind::Argument`] if the list of devices is empty, [`ErrorKind::Axis`] if the array does not have the
/// axis, and the errors of [`Expr::to_device`].
///
/// ```
/// use cupric::{Device, array, devices};
/// let all = [Device::cpu(), Device::best()?];
/// let parts = devices::scatter(&array![[1., 2.], [3., 4.], [5., 6.]], &all, 0)?;
/// assert_eq!((parts[0].shape(), parts[1].shape()), (&[2, 2][..], &[1, 2][..]));
/// assert_eq!(parts[1].device(), all[1]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("split_to", "shard", "device_put_sharded"))]
#[track_caller]
pub fn scatter(x: impl Operand, devices: &[Device], axis: impl Integer) -> Result<Vec<Array>> {
    let (op, at) = ("scatter", Location::caller());
    wait(op, "scatter_async", divided(op, x.into_expr(), devices, axis.saturated(), at)).map_err(|e| e.or_at(at))
}

/// The asynchronous form of [`scatter`], for code that must not block. The call itself evaluates the array and begins
/// all copies. The future waits for them.
///
/// # Errors
/// Returns the errors of [`scatter`].
///
/// ```
/// use cupric::{Device, array, devices};
/// # pollster::block_on(async {
/// let all = [Device::cpu(), Device::best()?];
/// let parts = devices::scatter_async(array![1., 2., 3.], &all, 0).await?;
/// assert_eq!(parts[1].to_vec_async::<f32>().await?, [3.]);
/// # Ok::<(), cupric::Error>(())
/// # }).unwrap();
/// ```
#[track_caller]
pub fn scatter_async<O: Operand, I: Integer>(
    x: O,
    devices: &[Device],
    axis: I,
) -> impl Future<Output = Result<Vec<Array>>> + Send + use<O, I> {
    divided("scatter_async", x.into_expr(), devices, axis.saturated(), Location::caller())
}

/// Copies an array to each device of a list. For a device that the array is already on, nothing is copied. All copies
/// begin before the call waits for the first one.
///
/// # Errors
/// Returns the errors of [`Expr::to_device`].
///
/// ```
/// use cupric::{Device, array, devices};
/// let all = [Device::cpu(), Device::best()?];
/// let weights = devices::broadcast(array![1., 2.], &all)?;
/// assert_eq!(weights[1].device(), all[1]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("replicate", "device_put_replicated"))]
#[track_caller]
pub fn broadcast(x: impl Operand, devices: &[Device]) -> Result<Vec<Array>> {
    let (op, at) = ("broadcast", Location::caller());
    wait(op, "broadcast_async", copied(op, x.into_expr(), devices, at)).map_err(|e| e.or_at(at))
}

/// The asynchronous form of [`broadcast`], for code that must not block. The call itself evaluates the array and begins
/// all copies. The future waits for them.
///
/// # Errors
/// Returns the errors of [`broadcast`].
///
/// ```
/// use cupric::{Device, array, devices};
/// # pollster::block_on(async {
/// let all = [Device::cpu(), Device::best()?];
/// let weights = devices::broadcast_async(array![1., 2.], &all).await?;
/// assert_eq!(weights[1].device(), all[1]);
/// # Ok::<(), cupric::Error>(())
/// # }).unwrap();
/// ```
#[track_caller]
pub fn broadcast_async<O: Operand>(
    x: O,
    devices: &[Device],
) -> impl Future<Output = Result<Vec<Array>>> + Send + use<O> {
    copied("broadcast_async", x.into_expr(), devices, Location::caller())
}

/// Copies parts, which may be on different devices, to one device, and joins them there along an axis. This is the
/// inverse of [`scatter`].
///
/// # Errors
/// Returns [`ErrorKind::Argument`] if the list of parts is empty, and the errors of [`concat`](crate::concat) and of
/// [`Expr::to_device`].
///
/// ```
/// use cupric::{Device, array, devices};
/// let parts = devices::scatter(array![1., 2., 3.], &[Device::cpu(), Device::best()?], 0)?;
/// let whole = devices::gather(&parts, 0, &Device::cpu())?;
/// assert_eq!(whole.to_vec::<f32>()?, [1., 2., 3.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn gather(parts: &[Array], axis: impl Integer, device: &Device) -> Result<Array> {
    let (op, at) = ("gather", Location::caller());
    wait(op, "gather_async", joined(op, parts, axis.saturated(), device, at)).map_err(|e| e.or_at(at))
}

/// The asynchronous form of [`gather`], for code that must not block. The call itself begins all copies. The future
/// waits for them, and joins the parts.
///
/// # Errors
/// Returns the errors of [`gather`].
///
/// ```
/// use cupric::{Device, array, devices};
/// # pollster::block_on(async {
/// let parts = devices::scatter_async(array![1., 2., 3.], &[Device::cpu(), Device::best()?], 0).await?;
/// let whole = devices::gather_async(&parts, 0, &Device::cpu()).await?;
/// assert_eq!(whole.to_vec_async::<f32>().await?, [1., 2., 3.]);
/// # Ok::<(), cupric::Error>(())
/// # }).unwrap();
/// ```
#[track_caller]
pub fn gather_async<I: Integer>(
    parts: &[Array],
    axis: I,
    device: &Device,
) -> impl Future<Output = Result<Array>> + Send + use<I> {
    joined("gather_async", parts, axis.saturated(), device, Location::caller())
}

/// Joins parts, which may be on different devices, along an axis, and copies the result to the device of each part.
/// Element i of the list that is returned is on the device of part i.
///
/// # Errors
/// Returns the errors of [`gather`].
///
/// ```
/// use cupric::{Device, array, devices};
/// let parts = devices::scatter(array![1., 2., 3.], &[Device::cpu(), Device::best()?], 0)?;
/// let wholes = devices::all_gather(&parts, 0)?;
/// assert_eq!(wholes[1].device(), parts[1].device());
/// assert_eq!(wholes[1].to_vec::<f32>()?, [1., 2., 3.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn all_gather(parts: &[Array], axis: impl Integer) -> Result<Vec<Array>> {
    let (op, at) = ("all_gather", Location::caller());
    wait(op, "all_gather_async", joined_on_each(op, parts, axis.saturated(), at)).map_err(|e| e.or_at(at))
}

/// The asynchronous form of [`all_gather`], for code that must not block. The call itself begins to copy the parts to
/// the first device. The future waits for these copies, joins the parts, and copies the result.
///
/// # Errors
/// Returns the errors of [`all_gather`].
///
/// ```
/// use cupric::{Device, array, devices};
/// # pollster::block_on(async {
/// let parts = devices::scatter_async(array![1., 2., 3.], &[Device::cpu(), Device::best()?], 0).await?;
/// let wholes = devices::all_gather_async(&parts, 0).await?;
/// assert_eq!(wholes[1].to_vec_async::<f32>().await?, [1., 2., 3.]);
/// # Ok::<(), cupric::Error>(())
/// # }).unwrap();
/// ```
#[track_caller]
pub fn all_gather_async<I: Integer>(
    parts: &[Array],
    axis: I,
) -> impl Future<Output = Result<Vec<Array>>> + Send + use<I> {
    joined_on_each("all_gather_async", parts, axis.saturated(), Location::caller())
}

/// Adds parts of equal shape and dtype, which may be on different devices, and copies the sum to the device of each
/// part. A training step whose batch is divided among devices adds its gradients in this way.
///
/// The bits of the sum do not depend on which devices hold the parts, because the device of the first part adds all
/// parts in the order of the list. Its memory holds all parts meanwhile. Parts of f16 and bf16 are added in f32, and
/// only their sum is rounded. For `n` parts on different devices, `2 (n − 1)` arrays are copied.
///
/// # Errors
/// Returns [`ErrorKind::Argument`] if the list is empty, [`ErrorKind::Shape`] or [`ErrorKind::DType`] if the parts
/// differ in shape or dtype, and the errors of [`Expr::to_device`].
///
/// ```
/// use cupric::{Device, array, devices};
/// let [cpu, other] = [Device::cpu(), Device::best()?];
/// let parts = [array![1., 2.].to_device(&cpu)?, array![10., 20.].to_device(&other)?];
/// for (sum, part) in devices::all_reduce(&parts)?.iter().zip(&parts) {
///     assert_eq!(sum.device(), part.device());
///     assert_eq!(sum.to_vec::<f32>()?, [11., 22.]);
/// }
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("psum", "allreduce"))]
#[track_caller]
pub fn all_reduce(parts: &[Array]) -> Result<Vec<Array>> {
    let (op, at) = ("all_reduce", Location::caller());
    wait(op, "all_reduce_async", added(op, parts, at)).map_err(|e| e.or_at(at))
}

/// The asynchronous form of [`all_reduce`], for code that must not block. The call itself begins to copy the parts to
/// the first device. The future waits for these copies, adds the parts, and copies the sum.
///
/// # Errors
/// Returns the errors of [`all_reduce`].
///
/// ```
/// use cupric::{Device, array, devices};
/// # pollster::block_on(async {
/// let parts = devices::broadcast_async(array![1., 2.], &[Device::cpu(), Device::best()?]).await?;
/// let sums = devices::all_reduce_async(&parts).await?;
/// assert_eq!(sums[1].to_vec_async::<f32>().await?, [2., 4.]);
/// # Ok::<(), cupric::Error>(())
/// # }).unwrap();
/// ```
#[track_caller]
pub fn all_reduce_async(parts: &[Array]) -> impl Future<Output = Result<Vec<Array>>> + Send + use<> {
    added("all_reduce_async", parts, Location::caller())
}

/// Returns an error if a list has no items (`n` is 0). `what` names the items in the message.
fn some(n: usize, what: &str, op: &'static str, at: Loc) -> Result<()> {
    match n {
        0 => Err(Error::with_line(ErrorKind::Argument, op, format!("the list of {what} is empty"), at)),
        _ => Ok(()),
    }
}

/// Returns an error if there are no parts, or if they differ in shape or dtype and so cannot be added.
fn alike(parts: &[Array], op: &'static str, at: Loc) -> Result<()> {
    some(parts.len(), "parts", op, at)?;
    let (shape, dtype, device) = (parts[0].shape(), parts[0].dtype(), parts[0].device());
    for (i, part) in parts.iter().enumerate() {
        let (kind, what) = match (part.shape() == shape, part.dtype() == dtype) {
            (false, _) => (ErrorKind::Shape, format!("shape {:?}, not {shape:?}", part.shape())),
            (_, false) => (ErrorKind::DType, format!("dtype {}, not {dtype}", part.dtype())),
            (true, true) => continue,
        };
        let detail = format!("part {i} on {} has {what} like part 0 on {device}", part.device());
        return Err(Error::with_line(kind, op, detail, at));
    }
    Ok(())
}

/// Implements [`scatter`] and [`scatter_async`]: evaluates the array and begins to move the parts. The future waits for
/// them.
#[track_caller]
fn divided(
    op: &'static str,
    x: Expr,
    devices: &[Device],
    axis: isize,
    at: Loc,
) -> impl Future<Output = Result<Vec<Array>>> + Send + use<> {
    let whole = some(devices.len(), "devices", op, at).and_then(|()| x.eval_at(at));
    // this is a `match` and not `and_then`, because a closure has no `#[track_caller]`, and errors of `array_split`
    // would name a line of this file
    let parts = match whole {
        Ok(x) => x.array_split(devices.len(), axis).map_err(|e| e.named(op)),
        Err(e) => Err(e),
    };
    finish(parts.and_then(|parts| begin(parts.iter().zip(devices), op, at)), op, at)
}

/// Implements [`broadcast`] and [`broadcast_async`]: evaluates the array and begins all copies. The future waits for
/// them.
fn copied(
    op: &'static str,
    x: Expr,
    devices: &[Device],
    at: Loc,
) -> impl Future<Output = Result<Vec<Array>>> + Send + use<> {
    let x = x.eval_at(at);
    finish(x.and_then(|x| begin(devices.iter().map(|device| (&*x, device)), op, at)), op, at)
}

/// Begins to copy all parts to one device. The future waits for the copies, and returns an error if there are no parts.
fn together(
    op: &'static str,
    parts: &[Array],
    device: &Device,
    at: Loc,
) -> impl Future<Output = Result<Vec<Array>>> + Send + use<> {
    let listed = some(parts.len(), "parts", op, at);
    finish(listed.and_then(|()| begin(parts.iter().map(|part| (&**part, device)), op, at)), op, at)
}

/// Implements [`gather`] and [`gather_async`]: begins to copy all parts to `device`. The future joins them there.
fn joined(
    op: &'static str,
    parts: &[Array],
    axis: isize,
    device: &Device,
    at: Loc,
) -> impl Future<Output = Result<Array>> + Send + use<> {
    let here = together(op, parts, device, at);
    async move { join(op, here.await?.into_iter().map(Expr::from).collect(), axis, at).eval_at(at) }
}

/// Implements [`all_gather`] and [`all_gather_async`]: joins the parts on the first part's device, and copies the
/// result to the device of each part.
fn joined_on_each(
    op: &'static str,
    parts: &[Array],
    axis: isize,
    at: Loc,
) -> impl Future<Output = Result<Vec<Array>>> + Send + use<> {
    let devices: Vec<Device> = parts.iter().map(Array::device).collect();
    let whole = joined(op, parts, axis, devices.first().unwrap_or(&Device::cpu()), at);
    async move { copied(op, whole.await?.into(), &devices, at).await }
}

/// Implements [`all_reduce`] and [`all_reduce_async`]: adds the parts on the first part's device, and copies the sum to
/// the device of each part.
fn added(op: &'static str, parts: &[Array], at: Loc) -> impl Future<Output = Result<Vec<Array>>> + Send + use<> {
    let devices: Vec<Device> = parts.iter().map(Array::device).collect();
    let here = alike(parts, op, at).map(|()| together(op, parts, &devices[0], at));
    async move {
        let here = here?.await?;
        let dtype = here[0].dtype();
        let inner = if dtype.is_half() { DType::F32 } else { dtype };
        let nth = |i: usize| &here[mutant!(devices_add_backwards, here.len() - 1 - i, i)];
        let terms = (1..here.len()).map(|i| cast(Expr::from(nth(i)), inner, at));
        let first = cast(Expr::from(nth(0)), inner, at);
        let sum =
            called(op, at, || cast(terms.fold(first, |sum, term| binary(&arithmetic::add, sum, term, at)), dtype, at));
        copied(op, sum, &devices, at).await
    }
}

/// Begins to move each array of a list to the device that is paired with it. Returns futures of the moved arrays. All
/// copies begin before the caller waits for the first one, so copies between different devices overlap.
fn begin<'a>(
    list: impl ExactSizeIterator<Item = (&'a Expr, &'a Device)>,
    op: &'static str,
    at: Loc,
) -> Result<Vec<Pending<Array>>> {
    let mut begun: Vec<Pending<Array>> = listed(list.len(), "arrays", op, at)?;
    for (x, device) in list {
        begun.push(Box::pin(x.moving(device, op, at).map_err(|e| e.or_at(at))?));
    }
    Ok(begun)
}

/// Waits for the arrays that [`begin`] has begun to move, and returns them in the same order.
async fn finish(begun: Result<Vec<Pending<Array>>>, op: &'static str, at: Loc) -> Result<Vec<Array>> {
    let begun = begun?;
    let mut arrays = listed(begun.len(), "arrays", op, at)?;
    for moving in begun {
        arrays.push(moving.await.map_err(|e| e.or_at(at))?);
    }
    Ok(arrays)
}
