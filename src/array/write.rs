//! Writes to arrays. A write is in place if nothing else uses the memory, otherwise it allocates a new buffer. A write
//! that fails leaves the array unchanged.

use super::evaluate::run;
use super::execute::{blame, only};
use super::{Array, checked};
use crate::array::device::Device;
use crate::base::buffer::Buffer;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Layout, SliceItem, SliceItems, View};
use crate::base::shared::Shared;
use crate::graph::expr::{Arg, Binding, Expr, Operand, cast, common, view};
use crate::plan::backend::{Bindings, KeptLines};
use crate::plan::{self, CachedPlan, Target, Walk};
use smallvec::SmallVec;
use std::panic::Location;
use std::sync::Arc;

impl Array {
    /// Replaces the content of the array, like NumPy's `out=`. The value broadcasts to the array's shape and is cast to
    /// its dtype by NumPy's rule `same_kind`, which rejects for example floats for an integer array.
    ///
    /// The write is in place if nothing else uses the array's memory and one kernel computes the value. For each
    /// element, that kernel may read only the old element at the same position of this array. Otherwise the array may
    /// get new memory.
    ///
    /// A write that fails leaves the array unchanged, except in the cases listed in
    /// [`guide::views`](crate::guide::views). So a value that can fail, because it contains a [`take`](Expr::take), an
    /// [`index_add`](Expr::index_add) or a [`bincount`](Expr::bincount), may be computed into new memory first. On a
    /// GPU this is always so, and the call waits for it. Indices with mode [`Clip`](crate::Clip) or
    /// [`Wrap`](crate::Wrap) cannot be out of range, so they need no new memory.
    ///
    /// # Errors
    /// * The expression's own errors, including indices out of range.
    /// * [`ErrorKind::Shape`] if the value does not broadcast, [`ErrorKind::DType`] if `same_kind` rejects the cast,
    ///   [`ErrorKind::Argument`] if a number does not fit the dtype, and [`ErrorKind::DeviceMismatch`] if the value is
    ///   on another device.
    /// * An error if memory is too small or a limit of the device is exceeded.
    /// * On a GPU, if the call waits, also errors of earlier operations.
    ///
    /// ```
    /// use cupric::array;
    /// let mut x = array![1., 2., 3.];
    /// let g = array![10., 10., 10.];
    /// x.assign(&x * 0.5 + &g)?;
    /// assert_eq!(x.to_vec::<f32>()?, [10.5, 11., 11.5]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("copyto"))]
    #[track_caller]
    pub fn assign(&mut self, value: impl Operand) -> Result<()> {
        let at = Location::caller();
        self.write(None, value.into_arg(), "assign", at)
    }

    /// Replaces the array's content with the result of a function that receives the array as an expression.
    ///
    /// # Errors
    /// Returns the errors of [`Array::assign`].
    ///
    /// ```
    /// let mut x = cupric::array![1., 2.];
    /// x.update(|x| x * x + 1.0)?;
    /// assert_eq!(x.to_vec::<f32>()?, [2., 5.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("map_inplace"))]
    #[track_caller]
    pub fn update(&mut self, f: impl FnOnce(&Expr) -> Expr) -> Result<()> {
        let at = Location::caller();
        let value = f(&self.0);
        self.write(None, value.into_arg(), "update", at)
    }

    /// Replaces the array's content with the result of a function that receives the array and may fail. If the function
    /// fails, the array is left unchanged.
    ///
    /// # Errors
    /// Returns the error of the function, or the errors of [`Array::assign`].
    ///
    /// ```
    /// let mut x = cupric::array![[1., 2.], [3., 4.]];
    /// x.try_update(|x| {
    ///     let [rows, _] = x.dims()?;
    ///     Ok(x / rows)
    /// })?;
    /// assert_eq!(x.to_vec::<f32>()?, [0.5, 1., 1.5, 2.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn try_update(&mut self, f: impl FnOnce(&Expr) -> Result<Expr>) -> Result<()> {
        let at = Location::caller();
        let value = f(&self.0)?;
        self.write(None, value.into_arg(), "try_update", at)
    }

    /// Sets every element to a number, like NumPy's `fill`. An array or expression is also accepted; it broadcasts and
    /// is cast as in [`Array::assign`].
    ///
    /// # Errors
    /// Returns the errors of [`Array::assign`].
    #[track_caller]
    pub fn fill(&mut self, value: impl Operand) -> Result<()> {
        let at = Location::caller();
        self.write(None, value.into_arg(), "fill", at)
    }

    /// Writes a value to a part of the array, like NumPy's `x[1:3] = e`.
    ///
    /// # Errors
    /// Returns the errors of [`Array::assign`], and an error if the slice is not valid for the array's shape.
    ///
    /// ```
    /// use cupric::{array, s};
    /// let mut x = array![[1., 2.], [3., 4.]];
    /// x.set(s![.., 0], array![9., 8.])?;
    /// assert_eq!(x.to_vec::<f32>()?, [9., 2., 8., 4.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn set(&mut self, items: impl SliceItems, value: impl Operand) -> Result<()> {
        let at = Location::caller();
        self.part(items.items().as_ref(), at).write(value.into_arg(), "set", at)
    }

    /// Returns a mutable view of a part of the array: `x.slice_mut(s![..2]).update(|v| v * 2.0)?`. If the slice is not
    /// valid, the methods of the view return the error.
    #[track_caller]
    pub fn slice_mut(&mut self, items: impl SliceItems) -> SliceMut<'_> {
        self.part(items.items().as_ref(), Location::caller())
    }

    fn part(&mut self, items: &[SliceItem], at: Loc) -> SliceMut<'_> {
        let part = match View::slice(self.shape(), items) {
            Ok(view) => Ok(Part::of(self, view)),
            Err(fault) => Err(fault.at("slice_mut", at)),
        };
        SliceMut { array: self, part }
    }

    /// Copies the array if elements of it may share memory, as in a broadcast view: a write to one would change another.
    /// Returns whether the array was copied.
    fn separate(&mut self, at: Loc) -> Result<bool> {
        if mutant!(write_to_places_that_are_one, true, !self.may_overlap()) {
            return Ok(false);
        }
        *self = self.0.compact(at)?;
        Ok(true)
    }

    /// Returns whether elements of the array may share memory.
    fn may_overlap(&self) -> bool {
        layout::may_overlap(&self.0.0.shape, self.stored().1)
    }

    /// Writes a value to the elements of the array that a view selects. Error messages name the operation `op`.
    pub(crate) fn write_part(&mut self, view: View, value: Arg, op: &'static str, at: Loc) -> Result<()> {
        let part = Part::of(self, view);
        self.write(Some(part), value, op, at)
    }

    /// Writes a value to the whole array. Error messages name the operation `op`.
    pub(crate) fn write_all(&mut self, value: Arg, op: &'static str, at: Loc) -> Result<()> {
        self.write(None, value, op, at)
    }

    /// Returns whether nothing else holds the array's memory, so that it may be written in place.
    pub(crate) fn is_alone(&mut self) -> bool {
        match Shared::get_mut(&mut self.0.0) {
            Some(node) => match &mut node.binding {
                Binding::Array { buffer, .. } => buffer.is_unique(),
                Binding::None | Binding::Number(_) | Binding::Random { .. } | Binding::Failure(_) => false,
            },
            None => false,
        }
    }

    /// Writes a value into the array, or into a part of it.
    fn write(&mut self, part: Option<Part>, value: Arg, op: &'static str, at: Loc) -> Result<()> {
        let is_whole = part.is_none();
        let (mut target, view) = match part {
            None => (self.layout(), None),
            Some(Part::Separate(layout)) => (layout, None),
            Some(Part::Overlapping(view)) => (self.layout().view(&view), Some(view)),
        };
        let dtype = self.dtype();
        let device = Device::of(self.0.0.device);
        let mut value = prepared(value, &target.shape, dtype, op, at)?;
        common(op, [&self.0, &value].iter().copied(), at)?;
        if target.shape.contains(&0) {
            return Ok(());
        }
        if (is_whole || view.is_some()) && self.separate(at)? {
            let whole = self.layout();
            target = view.map_or_else(|| whole.clone(), |view| whole.view(&view));
        }
        remove_common_view(&mut value, &mut target);
        checked::before_write(&value, &device, at)?;
        let mut planned = PlannedWrite::default();
        let mut plan = planned.plan(&value, self.buffer(), &target, &device)?;
        if plan.may_fail_half_done {
            // A kernel of the plan may fail after an earlier kernel has already written to the target, for example
            // because an index is out of range. So the value is computed into new memory first, and the write is then a
            // plain copy.
            value = computed_at_once(&value, &device, at)?;
            plan = planned.plan(&value, self.buffer(), &target, &device)?;
        }
        // the write is in place only if no expression holds the target's buffer, so drop the value, which may hold it
        drop(value);
        let write = |output: &Buffer, own: &Buffer, replaces: bool| -> Result<()> {
            let mut inputs: SmallVec<[(&Buffer, usize); 4]> = SmallVec::new();
            for (buffer, offset) in &planned.inputs {
                inputs.push((buffer.as_ref().unwrap_or(own), *offset));
            }
            let outputs = [(output, target.offset)];
            let (scalars, lines) = (&planned.scalars, &planned.lines);
            let bindings = Bindings { inputs: &inputs, outputs: &outputs, scalars, lines, replaces };
            device.backend().run(&plan.plan, bindings).map_err(|e| blame(e, &plan.plan, lines).or_at(at))
        };
        let alone = self.is_alone();
        let own = self.buffer();
        if mutant!(write_to_shared_memory, alone || is_whole, alone) && plan.writing.in_place {
            return write(own, own, true);
        }
        // The write is not in place, so the array gets a new buffer with the same layout. Unless the write fills the
        // whole buffer, the new buffer starts as a copy of the old one.
        let keeps = mutant!(kept_elements_not_copied, false, plan.writing.keeps);
        let whole = Layout::c(&[own.bytes() / dtype.size()]);
        let everything = is_whole && target.size() == whole.size() && !keeps;
        let fresh = if everything {
            device.backend().allocate(own.bytes()).map_err(|e| e.of_result(op).or_at(at))?
        } else {
            let all = Array::new(own.clone(), whole, dtype, at);
            let copy = all.0.compact(at)?;
            copy.buffer().clone()
        };
        write(&fresh, own, false)?;
        *self = Array::new(fresh, self.layout(), dtype, at);
        Ok(())
    }
}

/// What a planned write reads, with references to the buffers. `None` in `inputs` stands for the target's own buffer,
/// because a second reference to that buffer would prevent a write in place.
#[derive(Default)]
struct PlannedWrite {
    inputs: SmallVec<[(Option<Buffer>, usize); 4]>,
    scalars: SmallVec<[u64; 4]>,
    lines: KeptLines,
}

impl PlannedWrite {
    /// Plans a write of a value to a layout of a buffer, and notes what the plan reads. The lists are filled in place,
    /// which is faster than moving them.
    fn plan(&mut self, value: &Expr, buffer: &Buffer, layout: &Layout, device: &Device) -> Result<Arc<CachedPlan>> {
        let (target, caps) = (Target { buffer, layout }, device.backend().caps());
        let recent = |plan: &Arc<CachedPlan>, found: &plan::Found<'_>| {
            self.inputs.clear();
            for (input, offset) in &found.inputs {
                self.inputs.push(((!buffer.same(input)).then(|| (*input).clone()), *offset));
            }
            self.scalars = SmallVec::from_slice(&found.scalars);
            self.lines = found.lines();
            plan.clone()
        };
        if let Some(plan) = plan::with_recent(&[value], Some(&target), caps, recent) {
            return Ok(plan);
        }
        let mut walk = Walk::default();
        let plan = plan::plan(&mut walk, &[value], Some(target), caps)?;
        self.inputs = walk.inputs_of_write();
        self.scalars = SmallVec::from_slice(walk.scalars());
        self.lines = walk.lines();
        Ok(plan)
    }
}

/// Removes a view that the value and the target have in common. Suppose that the value is a view (such as a reshape) of
/// an expression that a plan stores as a whole. If the target is the same view of a layout with that expression's
/// shape, replaces the arguments by that expression and that layout.
fn remove_common_view(value: &mut Expr, target: &mut Layout) {
    let (below, Some(v)) = plan::computed(value) else { return };
    if mutant!(parts_written_whole, false, layout::product(&below.0.shape) != target.size()) {
        return;
    }
    if let Some(whole) = target.reshape(&below.0.shape).filter(|whole| whole.view(v) == *target) {
        (*value, *target) = (below.clone(), whole);
    }
}

/// Computes a value into its own memory, and returns all errors of the computation, so that the later write cannot fail
/// because of them.
fn computed_at_once(value: &Expr, device: &Device, at: Loc) -> Result<Expr> {
    Ok(only(run(&[value], device, at, true)?, "eval", at)?.0)
}

/// Casts a value to the target's dtype and broadcasts it to the target's shape. Fails for a number that does not fit
/// the dtype, a cast that is not `same_kind`, or a shape that does not broadcast.
pub(crate) fn prepared(value: Arg, shape: &[usize], dtype: DType, op: &'static str, at: Loc) -> Result<Expr> {
    let value = match value {
        Arg::Scalar(s) => match s.promote_with(dtype) {
            Some(d) if d.casts_same_kind(dtype) => Expr::fill(s, SmallVec::new(), dtype, at),
            _ => return Err(Error::with_line(ErrorKind::Argument, op, format!("{s} does not fit dtype {dtype}"), at)),
        },
        Arg::Expr(e) => {
            let from = e.checked()?.dtype;
            if !from.casts_same_kind(dtype) {
                let detail = format!("a value of dtype {from} cannot be written to dtype {dtype}; use astype");
                return Err(Error::with_line(ErrorKind::DType, op, detail, at));
            }
            cast(e, dtype, at)
        }
    };
    if value.0.shape[..] == *shape && value.0.untyped().is_none() {
        return Ok(value);
    }
    let v = view(op, &value, at, |from| View::broadcast_to(from, shape));
    v.checked()?;
    Ok(v)
}

/// A part of an array to write to, made by [`Array::slice_mut`]. If the slice is not valid, the methods return the
/// error.
#[must_use = "a mutable view does nothing until it is written to"]
pub struct SliceMut<'a> {
    array: &'a mut Array,
    part: Result<Part>,
}

/// A part of an array, for a write.
enum Part {
    /// The layout of the part, if no two elements of the array share memory.
    Separate(Layout),
    /// The view that selects the part, if elements may share memory: a write first copies the array, whose layout then
    /// changes.
    Overlapping(Box<View>),
}

impl Part {
    fn of(array: &Array, view: View) -> Part {
        if array.may_overlap() {
            return Part::Overlapping(Box::new(view));
        }
        let (_, strides, offset) = array.stored();
        Part::Separate(Layout::view_of(strides, offset, &view))
    }
}

impl SliceMut<'_> {
    /// Replaces the content of the part, like [`Array::assign`] for a whole array.
    ///
    /// # Errors
    /// Returns the errors of [`Array::assign`], and an error if the slice is not valid.
    #[track_caller]
    pub fn assign(self, value: impl Operand) -> Result<()> {
        let at = Location::caller();
        self.write(value.into_arg(), "assign", at)
    }

    /// Replaces the part with the result of a function that receives the part as an expression.
    ///
    /// # Errors
    /// Returns the errors of [`Array::assign`], and an error if the slice is not valid.
    #[track_caller]
    pub fn update(self, f: impl FnOnce(&Expr) -> Expr) -> Result<()> {
        self.updated(|part| Ok(f(part)), "update", Location::caller())
    }

    /// Replaces the part with the result of a function that receives the part and may fail. If the function fails, the
    /// array is left unchanged.
    ///
    /// # Errors
    /// Returns the error of the function, the errors of [`Array::assign`], or an error if the slice is not valid.
    #[track_caller]
    pub fn try_update(self, f: impl FnOnce(&Expr) -> Result<Expr>) -> Result<()> {
        self.updated(f, "try_update", Location::caller())
    }

    fn updated(self, f: impl FnOnce(&Expr) -> Result<Expr>, op: &'static str, at: Loc) -> Result<()> {
        let stored = |layout: &Layout| Expr::stored(self.array.buffer().clone(), layout, self.array.dtype(), at);
        let part = match &self.part {
            Ok(Part::Separate(layout)) => stored(layout),
            Ok(Part::Overlapping(view)) => stored(&self.array.layout().view(view)),
            Err(e) => return Err(e.clone()),
        };
        let value = f(&part)?;
        drop(part);
        self.write(value.into_arg(), op, at)
    }

    /// Sets every element of the part to a number. An array or expression is also accepted; it broadcasts and is cast
    /// as in [`Array::assign`].
    ///
    /// # Errors
    /// Returns the errors of [`Array::assign`], and an error if the slice is not valid.
    #[track_caller]
    pub fn fill(self, value: impl Operand) -> Result<()> {
        let at = Location::caller();
        self.write(value.into_arg(), "fill", at)
    }

    fn write(self, value: Arg, op: &'static str, at: Loc) -> Result<()> {
        self.array.write(Some(self.part?), value, op, at)
    }
}
