//! A choice among arrays, by conditions or by numbers; positions in several axes and in one; `fill_diagonal`.

use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::{DType, Element, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result, room};
use crate::base::layout::{self, IntoShape, Shape, View, shape_arg};
use crate::graph::expr::{Arg, Expr, Operand, carry, cast, common, operand, strong, ufunc, view};
use crate::graph::ufunc::{Ufunc, arithmetic, logic};
use crate::ops::functions::stack_at;
use crate::ops::index::{checked_positions, take, take_along};
use crate::plan::kernel::IndexMode;
use smallvec::{SmallVec, smallvec};
use std::panic::Location;

fn binary(row: &'static Ufunc, a: impl Operand, b: impl Operand, at: Loc) -> Expr {
    ufunc(row, smallvec![a.into_arg(), b.into_arg()], at)
}

fn select(condition: Expr, a: Arg, b: Arg, at: Loc) -> Arg {
    Arg::Expr(ufunc(&logic::SELECT, smallvec![Arg::Expr(condition), a, b], at))
}

/// Casts operands to the type that they have together, so that none is narrowed on its way through choices of two.
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

/// Of each element that of the first choice whose condition is true, or the default where none is (NumPy's `select`). All
/// operands broadcast. The result has the type that choices and default have together.
///
/// It is an [`ErrorKind::Argument`] error if there are not as many choices as conditions, or none.
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
    carry(at, || {
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

/// Positions below `n` as i64, those out of range as the mode says.
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
        IndexMode::Check => checked_positions(op, i, n, at)?,
        // before the cast, which would make a large u64 negative
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

fn choose(indices: &Expr, choices: impl IntoIterator<Item = impl Operand>, mode: IndexMode, at: Loc) -> Expr {
    const OP: &str = "choose";
    let args: Vec<Arg> = choices.into_iter().map(Operand::into_arg).collect();
    carry(at, || {
        let indices = strong(indices.clone(), at);
        indices.checked()?;
        if args.is_empty() {
            return Err(Error::with_line(ErrorKind::Argument, OP, "at least one choice is needed", at));
        }
        let mut args = of_one_type(OP, args, at)?;
        let i = cast(in_range(OP, indices, args.len(), mode, at)?, DType::I32, at);
        if args.len() > SELECTED {
            return looked_up(i, args, at);
        }
        let Some(last) = args.pop() else {
            return Err(Error::with_line(ErrorKind::Argument, OP, "at least one choice is needed", at));
        };
        // the last choice is asked for too, so that the result has the indices' shape, and their errors, also where it is alone
        let only = args.is_empty();
        let last = if only { select(binary(&logic::equal, &i, 0, at), last.clone(), last, at) } else { last };
        let numbered = args.into_iter().enumerate().rev();
        let chosen = numbered.fold(last, |other, (k, a)| select(binary(&logic::equal, &i, k, at), a, other, at));
        Ok(operand_of(chosen, at))
    })
}

/// More choices than this are put into one array, in which one gather looks them up. A judgement: each selection reads its choice for all
/// elements, and is a node of the expression.
const SELECTED: usize = 64;

/// Numbers as an array on a device, where all are integers of i32, or all floats.
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

/// The element of each choice that positions from 0 on name, of many choices of one type.
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
    // of numbers the positions alone have axes
    let all = view(OP, &all, at, |s| {
        let ones = std::iter::repeat_n(1, shape.len() - own.len());
        let to: Shape = s.iter().take(1).copied().chain(ones).chain(own.iter().copied()).collect();
        Ok(View::reshape(s, &to).unwrap_or_else(|| View::identity(s)))
    });
    let i = view(OP, &under(&i, &shape), at, |s| View::expand(s, 0));
    let found = take_along(&all, i, 0, IndexMode::Clip, at);
    Ok(view(OP, &found, at, |s| Ok(View::drop_axes(s, &[0]))))
}

impl Expr {
    /// Of each element that of the choice whose number the array has there: `choices[x[i]][i]`. Array and choices broadcast; the
    /// result has the type that the choices have together. It is one kernel, which reads all choices; more than 64 choices are copied
    /// into one array, and looked up there.
    ///
    /// A number that is negative, or that no choice has, is an [`ErrorKind::Index`] error, found as that of [`Expr::take`] is.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![0, 1, 1, 0];
    /// assert_eq!(x.choose([array![1, 2, 3, 4], array![10, 20, 30, 40]]).to_vec::<i32>()?, [1, 20, 30, 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn choose(&self, choices: impl IntoIterator<Item = impl Operand>) -> Expr {
        choose(self, choices, IndexMode::Check, Location::caller())
    }

    /// As [`Expr::choose`], with each number moved to the nearest that there is.
    ///
    /// ```
    /// use cupric::array;
    /// assert_eq!(array![-7, 7].choose_clip([10, 20]).to_vec::<i32>()?, [10, 20]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn choose_clip(&self, choices: impl IntoIterator<Item = impl Operand>) -> Expr {
        choose(self, choices, IndexMode::Clip, Location::caller())
    }

    /// As [`Expr::choose`], with each number taken modulo the number of choices.
    ///
    /// ```
    /// use cupric::array;
    /// assert_eq!(array![-1, 2].choose_wrap([10, 20]).to_vec::<i32>()?, [20, 10]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn choose_wrap(&self, choices: impl IntoIterator<Item = impl Operand>) -> Expr {
        choose(self, choices, IndexMode::Wrap, Location::caller())
    }

    /// Positions in C order as positions along the axes of a shape: an i64 expression for each axis. A position outside the
    /// shape is an error as with [`Expr::take`], of which negative ones are some; each of the expressions carries what is known
    /// to be wrong before it runs.
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

/// Positions along the axes of a shape, one operand for each axis, as positions in C order, i64. They broadcast. A position that
/// is negative or outside its axis is an error, found as that of [`Expr::take`] is.
///
/// It is an [`ErrorKind::Argument`] error if there are not as many operands as axes.
///
/// ```
/// use cupric::{array, ravel_multi_index};
/// assert_eq!(ravel_multi_index([array![1, 0], array![2, 2]], [2, 3]).to_vec::<i64>()?, [5, 2]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn ravel_multi_index(positions: impl IntoIterator<Item = impl Operand>, shape: impl IntoShape) -> Expr {
    raveled(positions, shape, IndexMode::Check, Location::caller())
}

/// As [`ravel_multi_index`], with each position moved to the nearest that its axis has.
///
/// ```
/// use cupric::{array, ravel_multi_index_clip};
/// assert_eq!(ravel_multi_index_clip([array![9, -9], array![2, 2]], [2, 3]).to_vec::<i64>()?, [5, 2]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn ravel_multi_index_clip(positions: impl IntoIterator<Item = impl Operand>, shape: impl IntoShape) -> Expr {
    raveled(positions, shape, IndexMode::Clip, Location::caller())
}

/// As [`ravel_multi_index`], with each position taken modulo the length of its axis.
///
/// ```
/// use cupric::{array, ravel_multi_index_wrap};
/// assert_eq!(ravel_multi_index_wrap([array![-1, 2], array![2, 2]], [2, 3]).to_vec::<i64>()?, [5, 2]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn ravel_multi_index_wrap(positions: impl IntoIterator<Item = impl Operand>, shape: impl IntoShape) -> Expr {
    raveled(positions, shape, IndexMode::Wrap, Location::caller())
}

fn raveled(positions: impl IntoIterator<Item = impl Operand>, shape: impl IntoShape, mode: IndexMode, at: Loc) -> Expr {
    const OP: &str = "ravel_multi_index";
    let positions: Vec<Expr> = positions.into_iter().map(|p| operand(p, at)).collect();
    carry(at, || {
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
    /// Sets the elements of the main diagonal, whose positions along all axes are equal. A matrix may have any lengths, and
    /// where its rows are more than its columns, the diagonal ends at the last column (NumPy's `wrap=False`). An array of more
    /// axes needs equal lengths. The value broadcasts to the diagonal, and is cast as in [`Array::assign`].
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for fewer than two axes, for more than two of unequal lengths, and for a value that does not
    /// broadcast; else as [`Array::assign`].
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
