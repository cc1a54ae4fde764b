//! Arrays that are divided among several devices of one process, or copied to all of them. Sums over devices have a
//! fixed order, so that a computation has the same bits on any number of devices if it is divided into the same parts.

use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result, listed};
use crate::base::layout::Integer;
use crate::graph::expr::{Expr, Operand, binary, cast};
use crate::graph::ufunc::arithmetic;
use crate::ops::functions::join;
use crate::plan::backend::wait;
use std::panic::Location;

/// Divides an array along an axis into one part for each device, and moves each part to its device. The first parts are
/// one longer if the axis cannot be divided evenly, as in [`Expr::array_split`]. All copies begin before the first one
/// is waited for.
///
/// # Errors
/// [`ErrorKind::Argument`] for an empty list of devices, [`ErrorKind::Axis`], and the errors of [`Expr::to_device`].
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
    const OP: &str = "scatter";
    let at = Location::caller();
    some(devices.len(), "devices", OP, at)?;
    let x = x.into_expr().eval_at(at)?;
    let parts = x.array_split(devices.len(), axis.saturated()).map_err(|e| e.named(OP))?;
    move_all(parts.iter().zip(devices), OP, at)
}

/// Copies an array to each of some devices. A device that has the array already gets no copy. All copies begin before
/// the first one is waited for.
///
/// # Errors
/// The errors of [`Expr::to_device`].
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
    let at = Location::caller();
    let x = x.into_expr().eval_at(at)?;
    move_all(devices.iter().map(|device| (&*x, device)), "broadcast", at)
}

/// Joins parts, each on its own device, along an axis on one device. This is the inverse of [`scatter`].
///
/// # Errors
/// [`ErrorKind::Argument`] for an empty list, the errors of [`concat`](crate::concat), and those of
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
    gathered("gather", parts, axis.saturated(), device, Location::caller())
}

/// Joins parts along an axis, and copies the result to the device of each part.
///
/// # Errors
/// The errors of [`gather`].
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
    const OP: &str = "all_gather";
    let at = Location::caller();
    some(parts.len(), "parts", OP, at)?;
    let whole = gathered(OP, parts, axis.saturated(), &parts[0].device(), at)?;
    to_each(&whole, parts, OP, at)
}

/// Adds parts of equal shape and dtype, each on its own device, and copies the sum to the device of each part. The
/// gradients of a training step whose batch is divided among devices need this.
///
/// The first device adds all parts in the order of the list. So the sum has the same bits if the same parts are on other
/// devices, or all on one. Parts of f16 and bf16 are added in f32, and only their sum is rounded. For `n` devices, `2 (n
/// − 1)` arrays are copied: each other part to the first device, and the sum back. Meanwhile the first device holds all
/// parts.
///
/// # Errors
/// [`ErrorKind::Argument`] for an empty list, [`ErrorKind::Shape`] and [`ErrorKind::DType`] if parts differ, and the
/// errors of [`Expr::to_device`].
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
    const OP: &str = "all_reduce";
    let at = Location::caller();
    some(parts.len(), "parts", OP, at)?;
    let (shape, dtype, device) = (parts[0].shape(), parts[0].dtype(), parts[0].device());
    for (i, part) in parts.iter().enumerate() {
        let (kind, what) = match (part.shape() == shape, part.dtype() == dtype) {
            (false, _) => (ErrorKind::Shape, format!("shape {:?}, not {shape:?}", part.shape())),
            (_, false) => (ErrorKind::DType, format!("dtype {}, not {dtype}", part.dtype())),
            (true, true) => continue,
        };
        let detail = format!("part {i} on {} has {what} like part 0 on {device}", part.device());
        return Err(Error::with_line(kind, OP, detail, at));
    }
    let here = move_all(parts.iter().map(|part| (&**part, &device)), OP, at)?;
    let inner = if dtype.is_half() { DType::F32 } else { dtype };
    let nth = |i: usize| &here[mutant!(devices_add_backwards, here.len() - 1 - i, i)];
    let terms = (0..here.len()).map(|i| cast(Expr::from(nth(i)), inner, at));
    let sum = terms.reduce(|sum, term| binary(&arithmetic::add, sum, term, at));
    let sum = sum.map_or_else(|| Ok(parts[0].clone()), |sum| cast(sum, dtype, at).eval_at(at))?;
    to_each(&sum, parts, OP, at)
}

/// Returns an error for an empty list.
fn some(n: usize, what: &str, op: &'static str, at: Loc) -> Result<()> {
    match n {
        0 => Err(Error::with_line(ErrorKind::Argument, op, format!("the list of {what} is empty"), at)),
        _ => Ok(()),
    }
}

fn gathered(op: &'static str, parts: &[Array], axis: isize, device: &Device, at: Loc) -> Result<Array> {
    some(parts.len(), "parts", op, at)?;
    let here = move_all(parts.iter().map(|part| (&**part, device)), op, at)?;
    join(op, here.into_iter().map(Expr::from).collect(), axis, at).eval_at(at)
}

/// Copies an array to the device of each part.
fn to_each(x: &Array, parts: &[Array], op: &'static str, at: Loc) -> Result<Vec<Array>> {
    let devices: Vec<Device> = parts.iter().map(Array::device).collect();
    move_all(devices.iter().map(|device| (&**x, device)), op, at)
}

/// Moves arrays to devices. All copies begin before the first one is waited for, so those between different devices
/// overlap.
fn move_all<'a>(
    list: impl ExactSizeIterator<Item = (&'a Expr, &'a Device)>,
    op: &'static str,
    at: Loc,
) -> Result<Vec<Array>> {
    let (mut begun, mut arrays) = (listed(list.len(), "arrays", op, at)?, listed(list.len(), "arrays", op, at)?);
    for (x, device) in list {
        begun.push(x.moving(device, op, at).map_err(|e| e.or_at(at))?);
    }
    for moving in begun {
        arrays.push(wait(op, "to_device_async", moving).map_err(|e| e.or_at(at))?);
    }
    Ok(arrays)
}
