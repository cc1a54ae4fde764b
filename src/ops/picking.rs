//! Choices among arrays by conditions or by indices; conversions between positions in C order and positions along
//! several axes; `fill_diagonal`.

use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::{DType, Element, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result, room};
use crate::base::layout::{self, IntoShape, Shape, View, shape_arg};
use crate::graph::expr::{Arg, Called, Expr, Operand, binary, cast, common, operand, result_of, strong, ufunc, view};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::functions::stack_at;
use crate::ops::index::{IntoIndices, checked_positions, take, take_along};
use crate::plan::kernel::IndexMode;
use smallvec::{SmallVec, smallvec};
use std::panic::Location;

fn select(condition: Expr, a: Arg, b: Arg, at: Loc) -> Arg {
    Arg::Expr(ufunc(&logic::SELECT, smallvec![Arg::Expr(condition), a, b], at))
}

/// Casts operands to the common dtype of all of them. `select_many` and `choose` combine two operands at a time, and
/// the common dtype of only these two might lose digits that the common dtype of all operands keeps.
fn of_one_type(op: &'static str, args: Vec<Arg>, at: Loc) -> Result<Vec<Arg>> {
    let mut dtype: Option<DType> = None;
    for a in &args {
        let Arg::Expr(e) = a else { continue };
        let own = e.checked()?.dtype;
        let both = dtype.map_or(Some(own), |d| d.promote(own));
        let wrong = || {
            let detail = format!("dtypes {} and {own} have no common type; use astype", dtype.unwrap_or(own));
            Error::with_line(ErrorKind::DType, op, detail, at)
        };
        dtype = Some(both.ok_or_else(wrong)?);
    }
    let Some(mut dtype) = dtype else { return Ok(args) };
    for a in &args {
        if let Arg::Scalar(s) = a {
            let wrong = || Error::with_line(ErrorKind::Argument, op, format!("{s} does not fit dtype {dtype}"), at);
            dtype = s.promote_with(dtype).ok_or_else(wrong)?;
        }
    }
    let one = |a| match a {
        Arg::Expr(e) => Arg::Expr(cast(e, dtype, at)),
        Arg::Scalar(s) => Arg::Expr(Expr::fill(s, smallvec![], dtype, at)),
    };
    Ok(args.into_iter().map(one).collect())
}

/// Returns, for each element, the value of the first choice whose condition is true, or the default if no condition is
/// true (NumPy's `select`). All operands broadcast. The result has the common dtype of the choices and the default.
///
/// The expression carries an [`ErrorKind::Argument`] error if the numbers of choices and conditions differ, or if there
/// are no choices.
///
/// ```
/// use cupric::{array, select_many};
/// let x = array![1., 5., 9.];
/// let y = select_many([x.less(2), x.less(6)], [&x * 10, -&x], 0.0);
/// assert_eq!(y.to_vec::<f32>()?, [10., -5., 0.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias = "piecewise")]
#[doc(alias = "case_when")]
#[track_caller]
pub fn select_many(
    conditions: impl IntoIterator<Item = impl Operand>,
    choices: impl IntoIterator<Item = impl Operand>,
    default: impl Operand,
) -> Expr {
    const OP: &str = "select_many";
    let at = Location::caller();
    let conditions: Vec<Expr> = conditions.into_iter().map(|c| operand(c, at)).collect();
    let mut args: Vec<Arg> = choices.into_iter().map(Operand::into_arg).collect();
    let default = default.into_arg();
    result_of(OP, at, || {
        if conditions.len() != args.len() || args.is_empty() {
            let detail = format!("{} conditions and {} choices; as many are needed", conditions.len(), args.len());
            return Err(Error::with_line(ErrorKind::Argument, OP, detail, at));
        }
        args.push(default);
        let mut args = of_one_type(OP, args, at)?;
        let last = args.pop().into_iter();
        let pairs = conditions.into_iter().zip(args).rev();
        let chosen = last.fold(None, |_, default| Some(default));
        let chosen = pairs.fold(chosen, |other, (c, a)| other.map(|other| select(c, a, other, at)));
        Ok(chosen.map_or_else(|| Expr::fill(Scalar::Int(0), smallvec![], DType::I32, at), |a| operand_of(a, at)))
    })
}

fn operand_of(a: Arg, at: Loc) -> Expr {
    match a {
        Arg::Expr(e) => e,
        Arg::Scalar(s) => Expr::fill(s, smallvec![], s.default_dtype(), at),
    }
}

/// Converts positions to i64 positions in `0..n`. `mode` defines what happens to positions that are out of range.
fn in_range(op: &'static str, i: Expr, n: usize, mode: IndexMode, at: Loc) -> Result<Expr> {
    let dtype = i.checked()?.dtype;
    if !dtype.is_integer() {
        let detail = format!("positions have dtype {dtype}; integers are needed");
        return Err(Error::with_line(ErrorKind::DType, op, detail, at));
    }
    if n == 0 && !i.0.shape.contains(&0) {
        let detail = "no position is in range, because an axis has length 0";
        return Err(Error::with_line(ErrorKind::Index, op, detail, at));
    }
    Ok(match mode {
        IndexMode::Check | IndexMode::CheckFromStart => checked_positions(op, i, n, IndexMode::CheckFromStart, at)?,
        // the positions are clipped before the cast, because the cast would make a large u64 negative
        IndexMode::Clip if dtype == DType::U64 => {
            cast(binary(&arithmetic::minimum, i, n.saturating_sub(1), at), DType::I64, at)
        }
        IndexMode::Clip => {
            let i = cast(i, DType::I64, at);
            ufunc(&arithmetic::clip, smallvec![i.into_arg(), 0.into_arg(), n.saturating_sub(1).into_arg()], at)
        }
        IndexMode::Wrap if dtype == DType::U64 => cast(binary(&arithmetic::remainder, i, n.max(1), at), DType::I64, at),
        IndexMode::Wrap => binary(&arithmetic::remainder, cast(i, DType::I64, at), n.max(1), at),
    })
}

fn choose(indices: &Expr, choices: impl IntoIterator<Item = impl Operand>, at: Loc) -> Expr {
    const OP: &str = "choose";
    let args: Vec<Arg> = choices.into_iter().map(Operand::into_arg).collect();
    result_of(OP, at, || {
        let indices = strong(indices.clone(), at);
        indices.checked()?;
        if args.is_empty() {
            return Err(Error::with_line(ErrorKind::Argument, OP, "at least one choice is needed", at));
        }
        let mut args = of_one_type(OP, args, at)?;
        let i = cast(in_range(OP, indices, args.len(), IndexMode::Check, at)?, DType::I32, at);
        if args.len() > SELECTED {
            return looked_up(i, args, at);
        }
        let Some(last) = args.pop() else {
            return Err(Error::with_line(ErrorKind::Argument, OP, "at least one choice is needed", at));
        };
        // even a single choice gets a condition, so that the result has the shape of the indices and reports their
        // errors
        let only = args.is_empty();
        let last = if only { select(binary(&logic::equal, &i, 0, at), last.clone(), last, at) } else { last };
        let numbered = args.into_iter().enumerate().rev();
        let chosen = numbered.fold(last, |other, (k, a)| select(binary(&logic::equal, &i, k, at), a, other, at));
        Ok(operand_of(chosen, at))
    })
}

/// The maximum number of choices for which `choose` builds a chain of selections. Each selection reads its choice for
/// all elements, and adds a node to the expression. If there are more choices, they are copied into one array, from
/// which a single gather takes the elements. The value was chosen by hand; no benchmark compares other values.
const SELECTED: usize = 64;

/// Returns numbers as an array on a device, if all are integers that fit i32, or if all are floats. Returns `None`
/// otherwise, or if `device` is 0 (no device).
fn table_of(numbers: &[Arg], device: u32, at: Loc) -> Result<Option<Expr>> {
    fn of<T: Element>(numbers: &[Arg], device: u32, at: Loc, as_t: fn(Scalar) -> Option<T>) -> Result<Option<Expr>> {
        let mut list = room(numbers.len(), "choose", at)?;
        list.extend(numbers.iter().map_while(|a| if let Arg::Scalar(s) = a { as_t(*s) } else { None }));
        if device == 0 || list.len() < numbers.len() {
            return Ok(None);
        }
        let there = Array::adopt(list, &[numbers.len()], at).to_device(&Device::of(device))?;
        Ok(Some((*there).clone()))
    }
    let integer = |s| if let Scalar::Int(v) = s { i32::try_from(v).ok() } else { None };
    let float = |s| if let Scalar::Float(v) = s { Some(v as f32) } else { None };
    Ok(of(numbers, device, at, integer)?.or(of(numbers, device, at, float)?))
}

/// Returns the result of `choose` for more than [`SELECTED`] choices, which have one dtype: copies them into one array,
/// and takes the elements from it by a gather. `i` holds, for each element, the index of the choice.
fn looked_up(i: Expr, args: Vec<Arg>, at: Loc) -> Result<Expr> {
    const OP: &str = "choose";
    if let Some(table) = table_of(&args, i.checked()?.device, at)? {
        return Ok(take(&table, i, 0, IndexMode::Clip, at));
    }
    let choices: Vec<Expr> = args.into_iter().map(|a| operand_of(a, at)).collect();
    let mut shape = i.checked()?.shape.clone();
    let mut own = Shape::new();
    for e in &choices {
        own = layout::broadcast(&own, &e.checked()?.shape).map_err(|f| f.at(OP, at))?;
        shape = layout::broadcast(&shape, &own).map_err(|f| f.at(OP, at))?;
    }
    let under = |e: &Expr, to: &Shape| view(OP, e, at, |s| View::broadcast_to(s, to));
    let all = stack_at(OP, choices.iter().map(|e| under(e, &own)).collect(), 0, at);
    // axes of length 1 are inserted, because the positions may have more axes than the choices
    let all = view(OP, &all, at, |s| {
        let ones = std::iter::repeat_n(1, shape.len() - own.len());
        let to: Shape = s.iter().take(1).copied().chain(ones).chain(own.iter().copied()).collect();
        Ok(View::reshape(s, &to).unwrap_or_else(|| View::identity(s)))
    });
    let i = view(OP, &under(&i, &shape), at, |s| View::expand(s, 0));
    let found = take_along("take_along_axis", &all, i, 0, IndexMode::Clip, at);
    Ok(view(OP, &found, at, |s| Ok(View::drop_axes(s, &[0]))))
}

/// # Choices and flat positions
impl Expr {
    /// Returns, for each element of the array, the element at the same position of one of the choices:
    /// `choices[x[i]][i]`. Each element of the array is the index of a choice. The array and the choices broadcast. The
    /// result has the common dtype of the choices. Up to 64 choices are read by one kernel; if there are more, they are
    /// first copied into one array.
    ///
    /// An index that is negative or not less than the number of choices is an [`ErrorKind::Index`] error, reported as
    /// in [`Expr::take`]. Use [`Expr::clip`] or `%` for NumPy's `mode="clip"` or `"wrap"`.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![0, 1, 1, 0];
    /// assert_eq!(x.choose([array![1, 2, 3, 4], array![10, 20, 30, 40]]).to_vec::<i32>()?, [1, 20, 30, 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn choose(&self, choices: impl IntoIterator<Item = impl Operand>) -> Expr {
        choose(self, choices, Location::caller())
    }

    /// Converts positions in C order to positions along the axes of a shape. Returns an i64 expression for each axis. A
    /// position that is negative or beyond the last element is an [`ErrorKind::Index`] error, reported as in
    /// [`Expr::take`]. If an error is known before the evaluation, each of the expressions carries it.
    ///
    /// ```
    /// let both = cupric::array![5, 2].unravel_index([2, 3]);
    /// assert_eq!(both[0].to_vec::<i64>()?, [1, 0]);
    /// assert_eq!(both[1].to_vec::<i64>()?, [2, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn unravel_index(&self, shape: impl IntoShape) -> Vec<Expr> {
        const OP: &str = "unravel_index";
        let (at, given) = (Location::caller(), shape.into_shape());
        let _called = Called::begin(OP, at);
        let parts = || -> Result<Vec<Expr>> {
            let shape = shape_arg(given.to_vec()).map_err(|f| f.at(OP, at))?;
            let size = layout::size_of_shape(&shape).map_err(|f| f.at(OP, at))?;
            let i = strong(self.clone(), at);
            i.checked()?;
            let i = in_range(OP, i, size, IndexMode::Check, at)?;
            let mut below = size.max(1);
            let axis = |n: &usize| {
                below /= (*n).max(1);
                let whole = match below {
                    1 => i.clone(),
                    below => binary(&arithmetic::floor_divide, &i, below, at),
                };
                binary(&arithmetic::remainder, whole, (*n).max(1), at)
            };
            Ok(shape.iter().map(axis).collect())
        };
        match parts() {
            Ok(parts) => parts,
            Err(e) => {
                let e = e.or_at(at);
                given.iter().map(|_| Expr::failed(e.clone(), at)).collect()
            }
        }
    }
}

/// Converts positions along the axes of a shape, one operand for each axis, to positions in C order, as i64. The
/// operands broadcast. A position that is negative or outside its axis is an [`ErrorKind::Index`] error, reported as in
/// [`Expr::take`].
///
/// The expression carries an [`ErrorKind::Argument`] error if the number of operands is not the number of axes, or if
/// there are no operands.
///
/// ```
/// use cupric::{array, ravel_multi_index};
/// assert_eq!(ravel_multi_index([array![1, 0], array![2, 2]], [2, 3]).to_vec::<i64>()?, [5, 2]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn ravel_multi_index(positions: impl IntoIndices, shape: impl IntoShape) -> Expr {
    raveled(positions.into_indices(), shape, Location::caller())
}

fn raveled((positions, mode): (Vec<Arg>, IndexMode), shape: impl IntoShape, at: Loc) -> Expr {
    const OP: &str = "ravel_multi_index";
    let positions: Vec<Expr> = positions.into_iter().map(|p| operand_of(p, at)).collect();
    result_of(OP, at, || {
        let shape = shape_arg(shape).map_err(|f| f.at(OP, at))?;
        common(OP, positions.iter(), at)?;
        if positions.len() != shape.len() || shape.is_empty() {
            let detail = format!("{} positions for {} axes; one for each is needed", positions.len(), shape.len());
            return Err(Error::with_line(ErrorKind::Argument, OP, detail, at));
        }
        let mut below = layout::size_of_shape(&shape).map_err(|f| f.at(OP, at))?.max(1);
        let mut sum: Option<Expr> = None;
        for (i, n) in positions.into_iter().zip(&shape) {
            let i = in_range(OP, i, *n, mode, at)?;
            below /= (*n).max(1);
            let term = if below == 1 { i } else { binary(&arithmetic::multiply, i, below, at) };
            sum = Some(match sum {
                None => term,
                Some(sum) => binary(&arithmetic::add, sum, term, at),
            });
        }
        sum.ok_or_else(|| Error::with_line(ErrorKind::Internal, OP, "no positions", at))
    })
}

impl Array {
    /// Sets the elements of the main diagonal, whose positions along all axes are equal. A matrix need not be square;
    /// if it has more rows than columns, the diagonal ends at the last column (NumPy's `wrap=False`). An array of more
    /// than two axes must have the same length along all axes. The value broadcasts to the diagonal, and is cast as in
    /// [`Array::assign`].
    ///
    /// # Errors
    /// Returns [`ErrorKind::Shape`] if the array has fewer than two axes, if it has more than two axes of unequal
    /// lengths, or if the value does not broadcast to the diagonal. Returns the other errors of [`Array::assign`].
    ///
    /// ```
    /// let mut x = cupric::array![[1, 2], [3, 4]];
    /// x.fill_diagonal(0)?;
    /// assert_eq!(x.to_vec::<i32>()?, [0, 2, 3, 0]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn fill_diagonal(&mut self, value: impl Operand) -> Result<()> {
        const OP: &str = "fill_diagonal";
        let at = Location::caller();
        let shape: Shape = self.shape().into();
        let wrong = |detail: &str| {
            Error::with_line(ErrorKind::Shape, OP, format!("shape {:?}: {detail}", shape.as_slice()), at)
        };
        if shape.len() < 2 {
            return Err(wrong("two axes at least are needed"));
        }
        if shape.len() > 2 && shape.iter().any(|n| *n != shape[0]) {
            return Err(wrong("more than two axes must be equally long"));
        }
        let length = shape.iter().copied().min().unwrap_or(0);
        let ones: SmallVec<[isize; 16]> = smallvec![1; shape.len()];
        let view = View { shape: smallvec![length], offset: smallvec![0; shape.len()], coef: ones };
        self.write_part(view, value.into_arg(), OP, at)
    }
}
