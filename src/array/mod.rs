//! Floor 4: the array and its evaluation. (A floor is a layer that uses only lower floors: see `ARCHITECTURE.md`.)

pub(crate) mod check;
pub(crate) mod device;
pub(crate) mod print;
pub(crate) mod profile;

mod checked;
mod chunks;
mod evaluate;
mod execute;
mod host;
mod items;
mod iter;
mod nested;
mod read;
pub(crate) mod traced;
mod write;

pub use chunks::Chunks;
pub(crate) use chunks::in_blocks;
pub use evaluate::{eval_all, eval_many};
pub use items::Item;
pub use iter::RowIter;
pub use nested::Nested;
pub use write::SliceMut;
pub(crate) use write::prepared;

use crate::array::device::Device;
use crate::base::buffer::Buffer;
use crate::base::dtype::{DType, Element};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Layout, Shape, Strides, copied, filled_arg};
use crate::graph::expr::{Arg, Expr, NodeOp, Operand, common, operand, result_of, strong};
use crate::plan;
use crate::plan::backend::{SourceLines, wait};
use crate::plan::kernel::Kernel;
use smallvec::smallvec;
use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;

/// An n-dimensional array: an [`Expr`] that is already computed. All methods of `Expr` accept arrays directly.
///
/// An operation on arrays returns an `Expr`. Where an `Array` is needed, [`eval`](Expr::eval) computes it:
///
/// ```
/// use cupric::{Array, array};
/// let x = array![1., 2.];
/// let y: Array = (&x + 1.0).eval()?;
/// assert_eq!(y.shape(), [2]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// Cloning shares the memory, but a write to one array never changes another array.
#[derive(Clone)]
pub struct Array(Expr);

impl Deref for Array {
    type Target = Expr;
    fn deref(&self) -> &Expr {
        &self.0
    }
}

impl crate::base::dtype::sealed::Sealed for Array {}
impl Operand for Array {
    fn into_arg(self) -> Arg {
        Arg::Expr(self.0)
    }
}
impl crate::base::dtype::sealed::Sealed for &Array {}
impl Operand for &Array {
    fn into_arg(self) -> Arg {
        Arg::Expr(self.0.clone())
    }
}

impl crate::base::dtype::sealed::Sealed for &&Array {}
impl Operand for &&Array {
    fn into_arg(self) -> Arg {
        (*self).into_arg()
    }
}

impl From<Array> for Expr {
    fn from(a: Array) -> Expr {
        a.0
    }
}

impl From<&Array> for Expr {
    fn from(a: &Array) -> Expr {
        a.0.clone()
    }
}

impl AsRef<Expr> for Array {
    fn as_ref(&self) -> &Expr {
        &self.0
    }
}

/// The plan of an expression, for inspection or printing. See [`Expr::plan`].
#[derive(Clone)]
pub struct Plan {
    cached: Arc<plan::CachedPlan>,
    device: Device,
    /// The source line of each step (kernel or routine) of the plan. The lines are stored here because expressions of
    /// the same structure share `cached`.
    lines: Arc<[Option<Loc>]>,
}

impl Plan {
    /// Returns the number of kernels and routines (such as `bincount`) that the plan runs. A kernel with several passes
    /// counts once.
    pub fn kernels(&self) -> usize {
        self.cached.plan.kernel_count()
    }

    /// Returns the number of dispatches: one for each kernel or routine, or several if it has several passes or an
    /// array that is too large for one binding.
    pub fn dispatches(&self) -> usize {
        self.cached.plan.dispatches()
    }

    /// Returns how many bytes the kernels and routines read, and how many bytes they write. Each element of each
    /// operand of each kernel counts once, regardless of caches.
    pub fn bytes(&self) -> (u64, u64) {
        self.cached.plan.bytes()
    }

    /// Returns the WGSL source of each kernel, as the expression's GPU would compile it. Returns an empty list on the
    /// CPU.
    pub fn wgsl(&self) -> Vec<String> {
        self.device.shaders(&self.cached.plan)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |step: usize| self.lines.get(step).copied().flatten();
        fmt::Display::fmt(&self.cached.plan.with_lines(&line), f)?;
        // how the device converts f16 is a property of the device and not of the plan, so the plan's own text does not
        // contain it
        let caps = self.device.backend().caps();
        let has_halves = |k: &Kernel| {
            let stored = k.stores.iter().map(|s| s.dtype);
            k.loads.iter().map(|l| l.dtype).chain(stored).any(|dtype| dtype == DType::F16)
        };
        if caps.wgsl && self.cached.plan.nests().any(has_halves) {
            writeln!(f, "  f16: {}", caps.half)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Array {
    pub(crate) fn new(buffer: Buffer, layout: Layout, dtype: DType, at: Loc) -> Array {
        Array(Expr::stored(buffer, &layout, dtype, at))
    }

    /// Returns the array's buffer, its strides, and the offset of its first element in the buffer.
    fn stored(&self) -> (&Buffer, &Strides, usize) {
        match self.0.0.stored() {
            Some(stored) => stored,
            // cannot happen, because every constructor of `Array` makes a stored node
            None => unreachable!("an Array is stored"),
        }
    }

    fn buffer(&self) -> &Buffer {
        self.stored().0
    }

    pub(crate) fn layout(&self) -> Layout {
        let (_, strides, offset) = self.stored();
        Layout { shape: copied(&self.0.0.shape), strides: copied(strides), offset }
    }

    /// Makes an array from elements in C order, on the CPU or on the device of the current [`Device::scope`]. On the
    /// CPU, the array takes over the vector's memory without copying. One length of the shape may be −1; it is then
    /// computed from the number of elements.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Shape`] if the number of elements does not match the shape or a length is below −1, and
    /// [`ErrorKind::LimitExceeded`] if there are more than 64 axes or more elements than `isize` can count.
    ///
    /// ```
    /// use cupric::Array;
    /// let x = Array::from_vec(vec![1, 2, 3, 4, 5, 6], [2, 3])?;
    /// assert_eq!(x.shape(), [2, 3]);
    /// assert_eq!(Array::from_vec(vec![1., 2., 3., 4.], [-1, 2])?.shape(), [2, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("from_shape_vec", "asarray", "tensor", "asanyarray"))]
    #[track_caller]
    pub fn from_vec<T: Element>(elements: Vec<T>, shape: impl crate::IntoShape) -> Result<Array> {
        let at = Location::caller();
        let shape = shape_of(elements.len(), shape, "from_vec", at)?;
        Array::adopt(elements, &shape, at).into_scope("from_vec", at)
    }

    /// Makes an array from a copy of the elements, in C order, on the CPU or on the device of the current
    /// [`Device::scope`].
    ///
    /// # Errors
    /// Returns the errors of [`Array::from_vec`], and [`ErrorKind::OutOfMemory`] if the host has no memory for the
    /// copy.
    #[doc(alias("frombuffer", "array"))]
    #[track_caller]
    pub fn from_slice<T: Element>(elements: &[T], shape: impl crate::IntoShape) -> Result<Array> {
        let at = Location::caller();
        let shape = shape_of(elements.len(), shape, "from_slice", at)?;
        Array::of_bytes(T::bytes(elements), T::DTYPE, &shape, at)?.into_scope("from_slice", at)
    }

    /// Makes an array from a copy of the bytes of its elements, in C order and in this machine's byte order, on the CPU
    /// or on the device of the current [`Device::scope`]. The bytes may come from [`Expr::to_bytes`] or from another
    /// program, and do not need to be aligned. One length of the shape may be −1; it is then computed from the number of
    /// bytes.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Shape`] if the number of bytes does not match the shape's elements, and
    /// [`ErrorKind::Argument`] if a bool has a byte other than 0 and 1. Returns [`ErrorKind::LimitExceeded`] if the
    /// shape has more than 64 axes, and [`ErrorKind::OutOfMemory`] if the host has no memory for the copy.
    ///
    /// ```
    /// use cupric::{Array, DType};
    /// let bytes: Vec<u8> = [1.5f32, 2.5, 3.5, 4.5].iter().flat_map(|v| v.to_ne_bytes()).collect();
    /// let x = Array::from_bytes(&bytes, DType::F32, [2, -1])?;
    /// assert_eq!(x.shape(), [2, 2]);
    /// assert_eq!(x.to_bytes()?, bytes);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("frombuffer", "from_raw_buffer"))]
    #[track_caller]
    pub fn from_bytes(bytes: &[u8], dtype: DType, shape: impl crate::IntoShape) -> Result<Array> {
        const OP: &str = "from_bytes";
        let at = Location::caller();
        if !bytes.len().is_multiple_of(dtype.size()) {
            let detail = format!(
                "{} bytes are not a whole number of elements of {dtype}, which have {} bytes each",
                bytes.len(),
                dtype.size()
            );
            return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
        }
        if dtype == DType::Bool
            && let Some((i, b)) = bytes.iter().enumerate().find(|(_, b)| **b > 1)
        {
            return Err(Error::with_line(
                ErrorKind::Argument,
                OP,
                format!("bool element {i} is the byte {b}, not 0 or 1"),
                at,
            ));
        }
        let shape = shape_of(bytes.len() / dtype.size(), shape, OP, at)?;
        Array::of_bytes(bytes, dtype, &shape, at)?.into_scope(OP, at)
    }

    /// Makes an array on the CPU from a copy of the bytes of its elements.
    pub(crate) fn of_bytes(bytes: &[u8], dtype: DType, shape: &[usize], at: Loc) -> Result<Array> {
        let device = Device::cpu();
        let buffer = device.backend().allocate(bytes.len()).map_err(|e| e.or_at(at))?;
        device.backend().upload(&buffer, 0, bytes).map_err(|e| e.or_at(at))?;
        Ok(Array::new(buffer, Layout::c(shape), dtype, at))
    }

    pub(crate) fn adopt<T: Element>(elements: Vec<T>, shape: &[usize], at: Loc) -> Array {
        Array::new(Device::adopt(elements), Layout::c(shape), T::DTYPE, at)
    }

    /// Moves an array of data in host memory, which a caller has just made, to the device of the thread's scope. Outside
    /// of every scope it stays on the CPU.
    pub(crate) fn into_scope(self, op: &'static str, at: Loc) -> Result<Array> {
        match Device::of_scope() {
            None => Ok(self),
            Some(device) => self.0.moved(&device, op, at),
        }
    }

    /// Makes an array from elements that a caller passes to a function that cannot return an error, on the device of the
    /// thread's scope. If the device has no memory for it, evaluations and reads of the array return the error.
    pub(crate) fn given<T: Element>(elements: Vec<T>, shape: &[usize], op: &'static str, at: Loc) -> Array {
        let array = Array::adopt(elements, shape, at);
        let Some(device) = Device::of_scope() else { return array };
        array.0.moved(&device, op, at).unwrap_or_else(|e| {
            let missing = Buffer::missing((device.id(), device.name()), array.buffer().bytes(), e);
            Array::new(missing, Layout::c(shape), T::DTYPE, at)
        })
    }

    /// Returns an array with the same elements, like NumPy's `copy`. A write to one of the two arrays does not change
    /// the other. They share memory until one of them is written.
    ///
    /// ```
    /// let x = cupric::array![1., 2.];
    /// let mut y = x.copy();
    /// y.fill(0.0)?;
    /// assert_eq!(x.to_vec::<f32>()?, [1., 2.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[must_use]
    pub fn copy(&self) -> Array {
        self.clone()
    }

    /// Returns the shape, which is the length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.0.0.shape
    }

    /// Returns the number of axes (dimensions).
    pub fn ndim(&self) -> usize {
        self.0.0.shape.len()
    }

    /// Returns the number of elements.
    pub fn size(&self) -> usize {
        layout::product(self.shape())
    }

    /// Returns the dtype of the elements.
    pub fn dtype(&self) -> DType {
        self.0.0.dtype
    }

    /// Returns the strides: for each axis, the distance in memory between neighbouring elements, in elements (not
    /// bytes). A stride is negative along a flipped axis and 0 along a broadcast axis.
    pub fn strides(&self) -> &[isize] {
        self.stored().1
    }

    /// Returns the device that holds the array.
    pub fn device(&self) -> Device {
        Device::of(self.0.0.device)
    }

    /// Returns whether the elements are contiguous in C order.
    pub fn is_contiguous(&self) -> bool {
        layout::is_c_contiguous(self.shape(), self.strides())
    }
}

/// Returns the shape that a caller requests for `count` elements. A length of −1 is replaced by the length that follows
/// from `count`. Returns an error if `count` does not match the shape.
fn shape_of(count: usize, shape: impl crate::IntoShape, op: &'static str, at: Loc) -> Result<Shape> {
    filled_arg(count, &shape.into_shape()).map_err(|f| f.at(op, at))
}

/// Returns the plan by which [`eval_many`] would evaluate the expressions of an iterator together, without running it.
///
/// # Errors
/// Returns the errors of [`Expr::plan`], and an error if the expressions are on several devices.
///
/// ```
/// use cupric::{array, plan_many};
/// let x = array![1., 2., 3.];
/// assert_eq!(plan_many([&x.exp(), &x.exp().sqrt()])?.kernels(), 2);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn plan_many(expressions: impl IntoIterator<Item = impl AsRef<Expr>>) -> Result<Plan> {
    let given: Vec<_> = expressions.into_iter().collect();
    planned("plan_many", &given.iter().map(AsRef::as_ref).collect::<Vec<&Expr>>(), Location::caller())
}

/// Returns the plan of expressions on their common device. Error messages name the operation `op`.
fn planned(op: &'static str, list: &[&Expr], at: Loc) -> Result<Plan> {
    let device = Device::of(common(op, list.iter().copied(), at)?);
    let given = list.iter().map(|e| e.checked().map(|_| strong(plan::computed(e).0.clone(), at)));
    let given = given.collect::<Result<Vec<Expr>>>()?;
    // an array that is already in memory needs no kernel
    let roots: Vec<&Expr> = given.iter().filter(|e| !e.0.is_stored()).collect();
    let mut walk = plan::Walk::default();
    let cached = plan::plan(&mut walk, &roots, None, device.backend().caps())?;
    let line = |step| cached.plan.node_of(step).and_then(|node| walk.of(node));
    let lines = (0..cached.plan.steps.len()).map(line).collect();
    Ok(Plan { cached, device, lines })
}

/// # Plans and memory order
impl Expr {
    /// Returns the plan by which the expression would be evaluated, with its kernels, dispatches and bytes, without
    /// running it. The printed plan has a source line of your program for each kernel: the line of the last operation
    /// that the kernel computes.
    ///
    /// # Errors
    /// Returns the error that the expression carries, or an error if a limit of the device is exceeded.
    ///
    /// ```
    /// let x = cupric::array![1., 2., 3.];
    /// let plan = (&x * 2.5 + 1.2).plan()?;
    /// assert_eq!(plan.kernels(), 1);
    /// println!("{plan}");
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn plan(&self) -> Result<Plan> {
        planned("plan", &[self], Location::caller())
    }

    /// Returns the same values in contiguous memory, in C order, like NumPy's `ascontiguousarray`. An array that is
    /// already contiguous is returned unchanged. Operations accept arrays of any layout, so only code that accesses the
    /// memory directly needs this.
    ///
    /// ```
    /// let x = cupric::array![[1, 2], [3, 4]];
    /// assert!(!x.t().eval()?.is_contiguous());
    /// assert!(x.t().contiguous().eval()?.is_contiguous());
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("ascontiguousarray", "as_standard_layout"))]
    #[track_caller]
    pub fn contiguous(&self) -> Expr {
        let at = Location::caller();
        result_of("contiguous", at, || {
            self.checked()?;
            let e = strong(self.clone(), at);
            let strides = e.0.stored().map(|(_, strides, _)| strides);
            Ok(if strides.is_some_and(|s| layout::is_c_contiguous(&e.0.shape, s)) { e } else { e.in_c_order(at) })
        })
    }

    /// Returns a copy of the values, in C order.
    fn in_c_order(&self, at: Loc) -> Expr {
        // a `Reshape` node that is evaluated stores its result in C order, so a `Reshape` to the same shape makes a
        // copy
        let (dtype, device) = (self.0.dtype, self.0.device);
        Expr::node(NodeOp::Reshape, smallvec![self.clone()], self.0.shape.clone(), dtype, device, at)
    }

    /// Copies the values into new memory, in C order.
    pub(crate) fn compact(&self, at: Loc) -> Result<Array> {
        self.checked()?;
        self.in_c_order(at).eval_at(at)
    }
}

/// Returns whether two arrays have the same shape and equal elements. An array with a NaN equals no array, because NaN
/// equals nothing.
///
/// # Errors
/// Returns the errors of the evaluation, and an error if the operands are on different devices.
///
/// ```
/// use cupric::{array, array_equal};
/// assert!(array_equal(&array![1, 2], &array![1, 2])?);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn array_equal(a: impl Operand, b: impl Operand) -> Result<bool> {
    let at = Location::caller();
    let (a, b) = (operand(a, at), operand(b, at));
    if a.shape()? != b.shape()? {
        return Ok(false);
    }
    let equal = crate::graph::expr::ufunc(
        &crate::graph::ufunc::logic::equal,
        [a, b].into_iter().map(Operand::into_arg).collect(),
        at,
    );
    let axes = crate::base::layout::AxesArg { axes: None, keep: false };
    let fold = crate::plan::kernel::Fold::of(&crate::graph::ufunc::logic::logical_and);
    let all = crate::graph::expr::reduce("array_equal", fold, &equal, &axes, at);
    let twin = "a.equal(&b).all(..).item_async";
    wait("array_equal", twin, all.one::<bool>("array_equal", at)).map_err(|e| e.or_at(at))
}
