//! Conversion of nested lists to arrays, and of arrays to nested lists.

use super::Array;
use crate::base::dtype::Element;
use crate::base::error::{Error, ErrorKind, Fault, Loc, Result, room};
use crate::base::layout::product;
use crate::graph::expr::Expr;
use crate::plan::backend::wait;
use std::panic::Location;
use std::slice::Iter;

/// The operation that errors name when an array cannot become nested lists.
const OP: &str = "to_nested";
/// The maximum number of zero-sized lists (`[f32; 0]`) in one list. Memory does not limit their number, and building
/// more than this would take seconds.
const MOST_OF_NO_SIZE: usize = 1 << 30;

mod sealed {
    pub trait Nested {}
    impl<T: crate::base::dtype::Element> Nested for T {}
    impl<T: Nested> Nested for Vec<T> {}
    impl<T: Nested, const N: usize> Nested for [T; N] {}
}

/// A nested list of one element type: `Vec<T>`, `Vec<Vec<T>>`, `Vec<[T; 3]>` and so on, to any depth. Its depth is the
/// number of axes of the corresponding array.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a nested list of elements",
    label = "expected `Vec`s and arrays of one element type, nested to any depth"
)]
pub trait Nested: sealed::Nested + Sized {
    /// The element type.
    type Item: Element;
    /// Appends to `shape` the length of the list `first`, then the length of the first list inside `first`, and so on
    /// for each depth. Appends 0 where there is no list.
    #[doc(hidden)]
    fn lengths(first: Option<&Self>, shape: &mut Vec<usize>);
    /// Finds the first list inside this one whose length does not match the shape. Returns its length, and stores its
    /// position in `place`. The caller sets `place` to the position of this list.
    #[doc(hidden)]
    fn misfit(&self, shape: &[usize], place: &mut Vec<usize>) -> Option<usize>;
    /// Appends the list's elements to `into`, in C order.
    #[doc(hidden)]
    fn gather(&self, into: &mut Vec<Self::Item>);
    /// Returns whether an array of this shape can become a list of this type.
    #[doc(hidden)]
    fn fits(shape: &[usize]) -> bool;
    /// Builds a list of this shape from elements in C order.
    #[doc(hidden)]
    fn build(shape: &[usize], elements: &mut Iter<'_, Self::Item>) -> Result<Self>;
}

impl<T: Element> Nested for T {
    type Item = T;
    fn lengths(_: Option<&T>, _: &mut Vec<usize>) {}
    fn misfit(&self, _: &[usize], _: &mut Vec<usize>) -> Option<usize> {
        None
    }
    fn gather(&self, into: &mut Vec<T>) {
        into.push(*self);
    }
    fn fits(shape: &[usize]) -> bool {
        shape.is_empty()
    }
    fn build(_: &[usize], elements: &mut Iter<'_, T>) -> Result<T> {
        elements.next().copied().ok_or_else(lists_and_shape_differ)
    }
}

impl<T: Nested> Nested for Vec<T> {
    type Item = T::Item;
    fn lengths(first: Option<&Self>, shape: &mut Vec<usize>) {
        shape.push(first.map_or(0, Vec::len));
        T::lengths(first.and_then(|list| list.first()), shape);
    }
    fn misfit(&self, shape: &[usize], place: &mut Vec<usize>) -> Option<usize> {
        misfit_of(self, shape, place)
    }
    fn gather(&self, into: &mut Vec<T::Item>) {
        self.iter().for_each(|list| list.gather(into));
    }
    fn fits(shape: &[usize]) -> bool {
        shape.split_first().is_some_and(|(_, below)| T::fits(below))
    }
    fn build(shape: &[usize], elements: &mut Iter<'_, T::Item>) -> Result<Self> {
        let (n, below) = shape.split_first().ok_or_else(lists_and_shape_differ)?;
        // an array of the shape [n, 0] has no elements, so n may be larger than the number of lists that fit in memory
        if size_of::<T>() == 0 && *n > MOST_OF_NO_SIZE {
            let detail = format!("{n} zero-sized lists are too many; the limit is {MOST_OF_NO_SIZE}");
            return Err(Error::with_line(ErrorKind::LimitExceeded, OP, detail, None));
        }
        let mut lists = room::<T>(*n, OP, None)?;
        for _ in 0..*n {
            lists.push(T::build(below, elements)?);
        }
        Ok(lists)
    }
}

impl<T: Nested, const N: usize> Nested for [T; N] {
    type Item = T::Item;
    fn lengths(first: Option<&Self>, shape: &mut Vec<usize>) {
        shape.push(N);
        T::lengths(first.and_then(|list| list.first()), shape);
    }
    fn misfit(&self, shape: &[usize], place: &mut Vec<usize>) -> Option<usize> {
        misfit_of(self, shape, place)
    }
    fn gather(&self, into: &mut Vec<T::Item>) {
        self.iter().for_each(|list| list.gather(into));
    }
    fn fits(shape: &[usize]) -> bool {
        shape.split_first().is_some_and(|(n, below)| *n == N && T::fits(below))
    }
    fn build(shape: &[usize], elements: &mut Iter<'_, T::Item>) -> Result<Self> {
        <Vec<T> as Nested>::build(shape, elements)?.try_into().map_err(|_| lists_and_shape_differ())
    }
}

/// Returns the internal error for lists that do not fit the shape. It cannot occur, because [`Nested::fits`] is checked
/// first.
fn lists_and_shape_differ() -> Error {
    Error::with_line(ErrorKind::Internal, OP, "the lists do not fit the shape", None)
}

fn misfit_of<T: Nested>(list: &[T], shape: &[usize], place: &mut Vec<usize>) -> Option<usize> {
    let (n, below) = shape.split_first()?;
    if list.len() != *n {
        return Some(list.len());
    }
    // all lists of a zero-sized type (`[f32; 0]`) have the same length, so they need no check
    let lists = if size_of::<T>() == 0 { &[] } else { list };
    for (i, inner) in lists.iter().enumerate() {
        place.push(i);
        if let Some(length) = inner.misfit(below, place) {
            return Some(length);
        }
        place.pop();
    }
    None
}

fn gathered<L: Nested>(lists: &L, op: &'static str, at: Loc) -> Result<(Vec<L::Item>, Vec<usize>)> {
    let (mut shape, mut place) = (vec![], vec![]);
    L::lengths(Some(lists), &mut shape);
    if let Some(length) = lists.misfit(&shape, &mut place) {
        let (depth, first) = (place.len(), vec![0; place.len()]);
        let detail = format!(
            "list {place:?} has {length} elements, list {first:?} has {}; lists of one level must have equal lengths",
            shape[depth]
        );
        return Err(Fault::new(ErrorKind::Shape, detail).at(op, at));
    }
    crate::base::layout::size_of_shape(&shape).map_err(|f| f.at(op, at))?;
    let mut elements = room::<L::Item>(product(&shape), op, at)?;
    if !shape.contains(&0) {
        lists.gather(&mut elements);
    }
    Ok((elements, shape))
}

impl Array {
    /// Makes an array from nested lists, with one axis for each depth of nesting, on the CPU or on the device of the
    /// current [`Device::scope`](crate::Device::scope).
    ///
    /// # Errors
    /// Returns [`ErrorKind::Shape`] if lists at the same depth have different lengths, [`ErrorKind::LimitExceeded`] if
    /// there are more than 64 axes, and [`ErrorKind::OutOfMemory`] if the host has no memory for the elements.
    ///
    /// ```
    /// use cupric::Array;
    /// assert_eq!(Array::from_nested(vec![vec![1, 2, 3], vec![4, 5, 6]])?.shape(), [2, 3]);
    /// let points: Vec<[f32; 3]> = vec![[0., 0., 1.], [0., 1., 0.]];
    /// assert_eq!(Array::from_nested(points)?.shape(), [2, 3]);
    /// let e = Array::from_nested(vec![vec![1, 2], vec![3]]).unwrap_err();
    /// assert!(e.to_string().contains("list [1] has 1 elements, list [0] has 2"));
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn from_nested(lists: impl Nested) -> Result<Array> {
        let at = Location::caller();
        let (elements, shape) = gathered(&lists, "from_nested", at)?;
        Array::adopt(elements, &shape, at).into_scope("from_nested", at)
    }
}

/// # Nested lists
impl Expr {
    /// Returns the elements as nested lists, on the host. Each axis becomes a `Vec` or a Rust array.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Shape`] if the depth of the lists is not the number of axes, or if the length of a Rust
    /// array is not the length of its axis. Returns [`ErrorKind::OutOfMemory`] if the host has no memory for the lists,
    /// and the errors of [`Expr::to_vec`].
    ///
    /// ```
    /// let x = cupric::array![[1, 2, 3], [4, 5, 6]];
    /// assert_eq!(x.to_nested::<Vec<Vec<i32>>>()?, [[1, 2, 3], [4, 5, 6]]);
    /// assert_eq!(x.t().to_nested::<[[i32; 2]; 3]>()?[0], [1, 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("tolist", "to_vec2", "to_vec3"))]
    #[track_caller]
    pub fn to_nested<L: Nested>(&self) -> Result<L> {
        let at = Location::caller();
        let shape = self.shape()?;
        if !L::fits(shape) {
            let detail = format!("an array of shape {shape:?} cannot become a {}", std::any::type_name::<L>());
            return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
        }
        let elements = wait(OP, "to_vec_async", self.fetch::<L::Item>(OP, at)).map_err(|e| e.or_at(at))?;
        L::build(shape, &mut elements.iter()).map_err(|e| e.or_at(at))
    }
}
