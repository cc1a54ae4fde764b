//! Evaluation of expressions. All expressions that are evaluated together are computed by one plan.

use super::Array;
use super::checked::{execute, execute_one};
use super::execute::{Results, only};
use crate::array::device::Device;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::View;
use crate::graph::expr::{Expr, NodeOp, buffer_below, common, device_name, strong, view};
use crate::plan;
use smallvec::SmallVec;
use std::collections::HashSet;
use std::panic::Location;

/// Evaluates several expressions together, and returns an array for each. Subexpressions that they share are computed
/// once. Arrays in the list are returned unchanged. If the number of expressions is known only at run time, use
/// [`eval_many`].
///
/// # Errors
/// Returns the first error that one of the expressions carries, an error if operands are on different devices, and the
/// errors of [`Expr::eval`].
///
/// ```
/// use cupric::{array, eval_all};
/// let x = array![1., 2., 3.];
/// let e = x.exp();
/// let [sum, twice, same] = eval_all([&e.sum(..), &(&e * 2.0), &x])?;
/// assert_eq!((sum.ndim(), twice.shape(), same.size()), (0, &[3][..], 3));
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("collect_all"))]
#[track_caller]
pub fn eval_all<const N: usize>(expressions: [&Expr; N]) -> Result<[Array; N]> {
    let at = Location::caller();
    let results = together("eval_all", &expressions, at)?.into_vec();
    results.try_into().map_err(|_| {
        Error::with_line(ErrorKind::Internal, "eval_all", "the number of results is not that of the expressions", at)
    })
}

/// Evaluates the expressions of an iterator together, like [`eval_all`], and returns an array for each.
///
/// # Errors
/// Returns the errors of [`eval_all`].
///
/// ```
/// use cupric::{Expr, array, eval_many};
/// let x = array![1., 2., 3.];
/// let powers: Vec<Expr> = (1..4).map(|n| x.pow(n)).collect();
/// let powers = eval_many(&powers)?;
/// assert_eq!(powers[2].to_vec::<f32>()?, [1., 8., 27.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn eval_many(expressions: impl IntoIterator<Item = impl AsRef<Expr>>) -> Result<Vec<Array>> {
    let at = Location::caller();
    let given: Vec<_> = expressions.into_iter().collect();
    let list: Vec<&Expr> = given.iter().map(AsRef::as_ref).collect();
    Ok(together("eval_many", &list, at)?.into_vec())
}

/// Evaluates expressions on the device of their arrays. Error messages name the operation `op`.
fn together(op: &'static str, list: &[&Expr], at: Loc) -> Result<Results> {
    let device = common(op, list.iter().copied(), at)?;
    Device::running(device, op, at, |device| run(list, device, at, false))
}

/// Evaluates expressions on a device. Arrays in the list are returned unchanged. With `at_once`, this call returns
/// every error of the evaluation; without it, a GPU reports an index out of range only at the next read.
pub(super) fn run(expressions: &[&Expr], device: &Device, at: Loc, at_once: bool) -> Result<Results> {
    // an expression that is a Rust number without a dtype becomes an array of the number's default dtype
    let is_number = |e: &&&Expr| e.0.untyped().is_some();
    let arrays: SmallVec<[Expr; 1]> = expressions.iter().filter(is_number).map(|e| strong((*e).clone(), at)).collect();
    let mut arrays = arrays.iter();
    let mut roots: SmallVec<[&Expr; 1]> = SmallVec::new();
    let mut views: SmallVec<[Option<&View>; 1]> = SmallVec::new();
    for e in expressions {
        e.checked()?;
        let e = if is_number(&e) { arrays.next().unwrap_or(e) } else { e };
        let (e, v) = plan::computed(e);
        if !e.0.is_stored() {
            roots.push(e);
            views.push(v);
        }
    }
    let computed = if roots.is_empty() { Results::new() } else { execute(&roots, device, at, at_once)? };
    let mut computed = computed.into_iter().zip(views);
    let (mut results, mut known) = (Results::new(), HashSet::new());
    for e in expressions {
        if e.0.is_stored() {
            results.push(constant(e)?);
        } else if let Some((array, v)) = computed.next() {
            let array = match v {
                Some(v) => Array(view("view", &array.0, at, |_| Ok(v.clone()))),
                None => array,
            };
            results.push(if expressions.len() == 1 { array } else { apart(array, &mut known) });
        }
    }
    Ok(results)
}

/// Returns the array of an expression whose elements are already in memory. An expression with its own derivative rule,
/// such as the result of `stop_gradient`, becomes an array that shares the memory but has no such rule.
pub(super) fn constant(e: &Expr) -> Result<Array> {
    match (e.0.stored(), e.0.layout()) {
        (Some((buffer, ..)), _) if buffer.is_placeholder() => Err(plan::without_elements(buffer, e.0.location)),
        (Some((buffer, ..)), Some(layout)) if e.0.rule.is_some() => {
            Ok(Array(Expr::stored(buffer.another(), &layout, e.0.dtype, e.0.location)))
        }
        _ => Ok(Array(e.clone())),
    }
}

/// Gives an array a buffer handle of its own if an earlier result shares its memory, as the results of equal
/// expressions do. Derivatives identify arrays by their handles. `known` contains the memory addresses of the earlier
/// results, and the address of this array is added to it.
pub(super) fn apart(array: Array, known: &mut HashSet<*const ()>) -> Array {
    match (array.0.0.stored(), array.0.0.layout()) {
        (Some((buffer, ..)), Some(layout)) if !known.insert(buffer.address()) => {
            Array(Expr::stored(buffer.another(), &layout, array.0.0.dtype, array.0.0.location))
        }
        _ => array,
    }
}

/// # Evaluation
impl Expr {
    /// Evaluates the expression, and returns its values as an array on the expression's device. An [`Array`] is
    /// returned unchanged.
    ///
    /// # Errors
    /// Returns the error that the expression carries, or an error if memory is too small, a limit is exceeded, or the
    /// device is lost. On the CPU, also returns an error if an index is out of range. A GPU reports such an index at
    /// the next read, at [`Device::synchronize`], or at the next write that waits.
    ///
    /// ```
    /// let x = cupric::array![1., 2.];
    /// let y = (&x * 2.0 + 1.0).eval()?;
    /// assert_eq!(y.shape(), [2]);
    /// assert_eq!(y.to_vec::<f32>()?, [3., 5.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("materialize", "compute"))]
    #[track_caller]
    pub fn eval(&self) -> Result<Array> {
        self.eval_at(Location::caller())
    }

    pub(crate) fn eval_at(&self, at: Loc) -> Result<Array> {
        let node = self.checked()?;
        if node.is_stored() {
            return constant(self);
        }
        Device::running(node.device, "eval", at, |device| match plan::computed(self) {
            (whole, None) if !matches!(whole.0.op, NodeOp::Number) => execute_one(whole, device, at),
            _ => only(run(&[self], device, at, false)?, "eval", at),
        })
    }

    /// Evaluates the expression on this device, and returns its values as an array. An expression without arrays
    /// (`zeros`, random numbers) can run on any device. The arrays of other expressions must already be on this device;
    /// use [`Expr::to_device`] to move them.
    ///
    /// # Errors
    /// Returns [`ErrorKind::DeviceMismatch`] if the expression has arrays on another device, and the errors of
    /// [`Expr::eval`].
    ///
    /// ```
    /// use cupric::{DType, Device, Rng, array};
    /// let device = Device::best()?;
    /// let noise = Rng::new(0).normal([1000], DType::F32).eval_on(&device)?;
    /// assert_eq!(noise.device(), device);
    /// assert_eq!(array![1., 2.].eval_on(&Device::cpu())?.size(), 2);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn eval_on(&self, device: &Device) -> Result<Array> {
        const OP: &str = "eval_on";
        let at = Location::caller();
        let node = self.checked()?;
        // an expression without buffers runs on any device, even if it stores the number of a device that has ended
        if node.device == device.id() || buffer_below(self).is_none() {
            return only(run(&[self], device, at, false)?, OP, at);
        }
        let detail = format!("the operands are on {}, not on {device}; move them with to_device", device_name(self));
        Err(Error::with_line(ErrorKind::DeviceMismatch, OP, detail, at))
    }
}
