//! Batches of a dataset.

use super::tree::{Same, eval_tree, leaves};
use crate::array::Array;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Result};
use crate::graph::expr::Called;
use crate::ops::grad::Parameters;
use crate::ops::random::Rng;
use crate::s;
use std::panic::Location;

/// An iterator over the batches of a dataset, in an order that depends only on a seed and on the number of rows. A
/// dataset is a tree of arrays whose first axes have the same length, such as a pair of images and labels (see
/// [`Parameters`](crate::Parameters)). A batch is a tree of the same form, on the device of the dataset. Use a
/// different seed for each epoch.
///
/// ```
/// use cupric::array;
/// use cupric::train::Batches;
/// let data = (array![[1, 10], [2, 20], [3, 30], [4, 40], [5, 50]], array![1, 2, 3, 4, 5]);
/// let mut sizes = vec![];
/// for batch in Batches::new(&data, 2, 0)? {
///     let (x, y) = batch?;
///     assert_eq!(x.to_vec::<i32>()?[0], y.to_vec::<i32>()?[0]);
///     sizes.push(y.shape()[0]);
/// }
/// assert_eq!(sizes, [2, 2, 1]);
/// assert_eq!(Batches::new(&data, 2, 0)?.drop_last().count(), 2);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias = "DataLoader")]
#[derive(Debug)]
pub struct Batches<'a, P> {
    data: &'a P,
    order: Array,
    size: usize,
    /// `rows` is the number of rows that all batches have together, and `from` is the row at which the next batch
    /// begins.
    rows: usize,
    from: usize,
}

impl<'a, P: Parameters> Batches<'a, P> {
    /// Returns an iterator over the batches of the dataset `data`, each with `size` rows, in an order that `seed`
    /// determines. If `size` does not divide the number of rows, the last batch is shorter.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Argument`] if `size` is 0 or the dataset has no arrays, [`ErrorKind::Shape`] if an array is
    /// 0-d or the lengths of the first axes differ, [`ErrorKind::LimitExceeded`] for 2^31 rows or more, and the errors
    /// of [`Expr::eval`].
    ///
    /// [`Expr::eval`]: crate::Expr::eval
    #[track_caller]
    pub fn new(data: &'a P, size: usize, seed: u64) -> Result<Batches<'a, P>> {
        let at = Location::caller();
        let _called = Called::begin("Batches::new", at);
        let error = |kind, detail: String| Err(Error::with_line(kind, "Batches::new", detail, at));
        if size == 0 {
            return error(ErrorKind::Argument, "a batch of 0 rows".into());
        }
        let list = leaves(data);
        let Some(first) = list.first() else {
            return error(ErrorKind::Argument, "the dataset has no arrays".into());
        };
        let rows = first.checked()?.shape.first().copied();
        for (i, e) in list.iter().enumerate() {
            match (rows, e.checked()?.shape.first()) {
                (Some(n), Some(m)) if n == *m => {}
                (Some(n), Some(m)) => {
                    let detail = format!("array {i} has {m} rows; the first one has {n}");
                    return error(ErrorKind::Shape, detail);
                }
                _ => return error(ErrorKind::Shape, format!("array {i} or the first one is 0-d; rows are needed")),
            }
        }
        let rows = rows.unwrap_or(0);
        if rows > i32::MAX as usize {
            return error(ErrorKind::LimitExceeded, format!("{rows} rows; at most 2^31 - 1 can be numbered"));
        }
        let order = Rng::new(seed).permutation(rows).astype(DType::I32);
        let order = match list.iter().find(|e| e.0.device != 0) {
            Some(e) => order.to_device(&crate::array::device::Device::of(e.0.device))?,
            None => order.eval_at(at)?,
        };
        Ok(Batches { data, order, size, rows, from: 0 })
    }

    /// Leaves out the last batch if it is shorter than the others. Then all batches have the same shape, so every step
    /// of the training runs the same plan.
    pub fn drop_last(mut self) -> Batches<'a, P> {
        self.rows -= self.left() % self.size;
        self
    }

    fn left(&self) -> usize {
        self.rows.saturating_sub(self.from)
    }
}

impl<P: Parameters> Iterator for Batches<'_, P> {
    type Item = Result<P::With<Array>>;

    /// Returns the next batch, or `None` after the last one.
    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        let n = self.left().min(self.size);
        if n == 0 {
            return None;
        }
        let rows = self.order.slice(s![self.from..self.from + n]);
        self.from += n;
        let list = leaves(self.data).into_iter().map(|e| e.take(&rows, 0)).collect();
        Some(eval_tree(&Same(self.data, list)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let n = self.left().div_ceil(self.size);
        (n, Some(n))
    }
}

impl<P: Parameters> ExactSizeIterator for Batches<'_, P> {}
