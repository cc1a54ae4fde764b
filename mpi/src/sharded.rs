//! One array of which each rank holds a part.

use crate::call::{Call, Fallible, Fault, Reduce, settle};
use crate::comm::Comm;
use crate::exchange::{joint_length, row};
use crate::queue::Lists;
use crate::staging::host;
use cupric::{Array, DType, ErrorKind, Expr, Result, concat, full, s};

/// An array that is divided among the ranks along one axis, as [`Comm::shard`] divides its length. Each rank holds its
/// part, [`Sharded::local`].
///
/// For elementwise work, [`Sharded::map`] applies a function to the local part, which sends no data. Its result is a
/// `Sharded<Expr>`: nothing is computed until a method uses the elements, so several functions and a reduction run
/// together, and [`Sharded::to_npy`] computes and writes blocks of rows. [`Sharded::eval`] computes the part and keeps it.
/// All ranks must call the same methods in the same order, as with [`Comm`].
///
/// ```no_run
/// use cupric::Result;
/// use cupric_mpi::{Comm, Reduce, Sharded};
/// Comm::run(|comm| -> Result<()> {
///     let x = Sharded::from_npy(comm, "rows.npy")?;
///     let mean = x.reduce(Reduce::Sum, 0)? / x.length() as f64;
///     let centred = x.map(|x| x - &mean)?;                   // nothing is computed
///     centred.to_npy("centred.npy")                          // block by block
/// })?;
/// # Ok::<(), cupric::Error>(())
/// ```
pub struct Sharded<'a, L = Array> {
    comm: &'a Comm,
    local: L,
    dtype: DType,
    /// The shape of the local part.
    part: Vec<usize>,
    axis: usize,
    length: usize,
}

impl<'a> Sharded<'a> {
    /// Makes a sharded array from the parts that the ranks have. Along `axis` each part must be as long as
    /// [`Comm::shard`] of the whole length. All other lengths must be equal.
    ///
    /// # Errors
    /// Every rank returns [`ErrorKind::Shape`] if the parts do not fit, or another error of [`Comm::all_gather`].
    #[track_caller]
    pub fn new(comm: &'a Comm, local: impl AsRef<Expr>, axis: isize) -> Result<Sharded<'a>> {
        let local = local.as_ref();
        settle(Sharded::made(comm, Call::new("Sharded::new"), local, axis))
    }

    #[track_caller]
    fn made(comm: &'a Comm, call: Call, local: &Expr, axis: isize) -> Fallible<Sharded<'a>> {
        let made = local.eval().map_err(Fault::from).and_then(|x| {
            let at = place(x.shape(), axis)?;
            let n = x.shape()[at];
            Ok(((x, at), n))
        });
        let described = match &made {
            Ok(((x, at), _)) => {
                let mut others = x.shape().to_vec();
                others.remove(*at);
                call.clone().with(format_args!("axis {at}")).of(x.dtype(), &others)
            }
            Err(_) => call.clone(),
        };
        let ((x, axis), all) = comm.lengths(described, made)?;
        let length = joint_length(&all).map_err(|f| f.of(call.name))?;
        let wrong = (0..comm.size()).find(|rank| comm.shard_of(length, *rank).len() != all[*rank]);
        if let Some(rank) = wrong {
            let wanted = comm.shard_of(length, rank).len();
            let detail = format!("rank {rank} has {} of {length} rows along axis {axis}, not {wanted}", all[rank]);
            return Err(Fault::new(ErrorKind::Shape, detail).of(call.name));
        }
        Ok(Sharded::of_part(comm, x, axis, length))
    }

    /// Makes a sharded array from an array that every rank has. Each rank keeps its part.
    ///
    /// # Errors
    /// Every rank returns the errors of [`Comm::all_reduce`].
    #[track_caller]
    pub fn of_whole(comm: &'a Comm, whole: impl AsRef<Expr>, axis: isize) -> Result<Sharded<'a>> {
        let whole = whole.as_ref();
        let call = Call::new("Sharded::of_whole");
        let made = whole.eval().map_err(Fault::from).and_then(|x| {
            let at = place(x.shape(), axis)?;
            let part = along(&x, at, comm.shard(x.shape()[at])).eval()?;
            Ok((x, part, at))
        });
        let call = match &made {
            Ok((x, _, at)) => call.with(format_args!("axis {at}")).of(x.dtype(), x.shape()),
            Err(_) => call,
        };
        settle(comm.agreed(call, made)).map(|(x, local, axis)| {
            let length = x.shape()[axis];
            Sharded::of_part(comm, local, axis, length)
        })
    }

    /// Makes a sharded array from a local part whose length is right by construction.
    pub(crate) fn of_part(comm: &'a Comm, local: Array, axis: usize, length: usize) -> Sharded<'a> {
        let (dtype, part) = (local.dtype(), local.shape().to_vec());
        Sharded { comm, local, dtype, part, axis, length }
    }
}

impl<'a, L: AsRef<Expr>> Sharded<'a, L> {
    /// Returns the part of this rank: an array, or an expression that is not computed yet, such as the result of
    /// [`Sharded::map`].
    pub fn local(&self) -> &L {
        &self.local
    }

    /// Returns the dtype of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Returns the axis along which the array is divided.
    pub fn axis(&self) -> usize {
        self.axis
    }

    /// Returns the whole length along the axis that is divided.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Returns the shape of the whole array.
    pub fn shape(&self) -> Vec<usize> {
        let mut shape = self.part.clone();
        shape[self.axis] = self.length;
        shape
    }

    pub(crate) fn comm(&self) -> &'a Comm {
        self.comm
    }

    /// Computes the part of each rank, and returns an array of these parts. Use it for a result of [`Sharded::map`] that
    /// is used several times, and would be computed each time.
    ///
    /// # Errors
    /// If a rank cannot evaluate its part, every rank returns that rank's error.
    #[track_caller]
    pub fn eval(&self) -> Result<Sharded<'a>> {
        let local = self.local.as_ref().eval().map_err(Fault::from);
        let local = settle(self.comm.agreed(Call::new("Sharded::eval"), local))?;
        Ok(Sharded::of_part(self.comm, local, self.axis, self.length))
    }

    /// Applies a function of expressions to the part of each rank. The function must keep the length along the axis
    /// that is divided, and must not mix elements along it. No data is sent, and nothing is computed; the ranks only agree
    /// that all have an expression.
    ///
    /// # Errors
    /// If the expression of a rank carries an error, every rank returns that error. Every rank returns
    /// [`ErrorKind::Shape`] if the function changes the length along the axis. Errors of the evaluation, such as
    /// [`ErrorKind::OutOfMemory`], are returned by the method that uses the elements.
    #[track_caller]
    pub fn map(&self, function: impl FnOnce(&Expr) -> Expr) -> Result<Sharded<'a, Expr>> {
        settle(self.mapped(Call::new("Sharded::map"), function(self.local.as_ref())))
    }

    /// Applies a function to each rank's parts of two arrays. Both must be divided along the same axis, with equal
    /// lengths.
    ///
    /// # Errors
    /// Returns the errors of [`Sharded::map`], and [`ErrorKind::Shape`] if the arrays are divided along different axes,
    /// or have different lengths along this axis.
    #[track_caller]
    pub fn zip<M: AsRef<Expr>>(
        &self,
        other: &Sharded<'a, M>,
        function: impl FnOnce(&Expr, &Expr) -> Expr,
    ) -> Result<Sharded<'a, Expr>> {
        let call = Call::new("Sharded::zip");
        if (self.axis, self.length) != (other.axis, other.length) {
            let detail =
                format!("shapes {:?} (axis {}) and {:?} (axis {})", self.shape(), self.axis, other.shape(), other.axis);
            return settle(Err(Fault::new(ErrorKind::Shape, format!("{detail} are not divided alike")).of(call.name)));
        }
        settle(self.mapped(call, function(self.local.as_ref(), other.local.as_ref())))
    }

    #[track_caller]
    fn mapped(&self, call: Call, local: Expr) -> Fallible<Sharded<'a, Expr>> {
        let described = || Ok((local.shape()?.to_vec(), local.dtype()?));
        let described = described().map_err(Fault::Other).and_then(|(shape, dtype)| {
            let (have, want) = (shape.get(self.axis).copied(), self.part[self.axis]);
            if have == Some(want) {
                return Ok((shape, dtype));
            }
            let detail =
                format!("the function gives shape {shape:?}, which is not {want} long along axis {}", self.axis);
            Err(Fault::new(ErrorKind::Shape, detail))
        });
        let (part, dtype) = self.comm.agreed(call, described)?;
        Ok(Sharded { comm: self.comm, local, dtype, part, axis: self.axis, length: self.length })
    }

    /// Combines all elements along the axis that is divided, and returns the result, without this axis, on every rank.
    /// Use [`Sharded::map`] to reduce other axes. Sums of integers have 64 bits, like the sums of [`Expr`].
    ///
    /// # Errors
    /// Every rank returns [`ErrorKind::Axis`] if `axis` is not the axis that is divided, [`ErrorKind::Shape`] for the
    /// minimum or maximum of no elements, or one of the errors of [`Comm::all_reduce`].
    #[track_caller]
    pub fn reduce(&self, op: Reduce, axis: isize) -> Result<Array> {
        let own = place(&self.part, axis).is_ok_and(|at| at == self.axis);
        if !own {
            let detail = format!("axis {axis} is not the axis {} that is divided", self.axis);
            return settle(Err(Fault::new(ErrorKind::Axis, detail).of("Sharded::reduce")));
        }
        let is_ordered = matches!(op, Reduce::Min | Reduce::Max);
        if is_ordered && self.length == 0 {
            let detail = format!("the {} of no elements has no value", op.name());
            return settle(Err(Fault::new(ErrorKind::Shape, detail).of("Sharded::reduce")));
        }
        let (x, at) = (self.local.as_ref(), self.axis as isize);
        let part = match op {
            Reduce::Sum => x.sum(at),
            Reduce::Prod => x.prod(at),
            Reduce::Min => self.some(op).min(at),
            Reduce::Max => self.some(op).max(at),
        };
        self.comm.all_reduce(&part, op)
    }

    /// Returns the whole array on every rank.
    ///
    /// # Errors
    /// Returns the errors of [`Comm::all_gather`].
    #[track_caller]
    pub fn gather(&self) -> Result<Array> {
        self.comm.all_gather(self.local.as_ref(), self.axis as isize)
    }

    /// Divides the array along another axis. Each rank sends the others their parts, and never holds the whole array.
    ///
    /// # Errors
    /// Every rank returns [`ErrorKind::Axis`] if there is no such axis, or one of the errors of [`Comm::all_gather`].
    #[track_caller]
    pub fn reshard(&self, axis: isize) -> Result<Sharded<'a>> {
        settle(self.resharded(Call::new("Sharded::reshard").with(format_args!("axis {axis}")), axis))
    }

    #[track_caller]
    fn resharded(&self, call: Call, axis: isize) -> Fallible<Sharded<'a>> {
        let (comm, from) = (self.comm, self.axis);
        let to = place(&self.part, axis).map_err(|f| f.of(call.name))?;
        let local = self.local.as_ref().eval().map_err(Fault::from);
        if to == from {
            let local = comm.agreed(call, local)?;
            return Ok(Sharded::of_part(comm, local, from, self.length));
        }
        // move both axes to the front, the new one first, so that the elements for each rank are contiguous
        let axes = [to as isize, from as isize];
        let front = local.as_ref().map_err(Clone::clone).and_then(|x| host(&x.moveaxis(axes, [0, 1])));
        let call = match &front {
            Ok(x) => call.of(x.dtype(), &[self.shape()[to], self.length]),
            Err(_) => call,
        };
        let (mine, rest): (usize, usize) = match &front {
            Ok(x) => (comm.shard(x.shape()[0]).len(), row(&x.shape()[1..])),
            Err(_) => (0, 0),
        };
        // the number of elements that this rank receives from a rank with `n` rows
        let elements = |n: usize| mine.saturating_mul(n).saturating_mul(rest);
        let ready = front.as_ref().map_err(Clone::clone).and_then(|x| {
            let row = row(x.shape());
            let sent = (0..comm.size()).map(|rank| comm.shard_of(x.shape()[0], rank).len().saturating_mul(row));
            let received = (0..comm.size()).map(|r| elements(comm.shard_of(self.length, r).len()));
            let size = elements(self.length);
            let whole = self.shape().iter().fold(1, |a: usize, b| a.saturating_mul(*b));
            let sent = Lists::new(&comm.world, x.dtype(), sent, whole)?;
            let received = Lists::new(&comm.world, x.dtype(), received, whole)?;
            Ok((x.clone(), sent, received, size))
        });
        let all = comm.exchanged(call, ready)?;
        let front = front?;
        let (mut parts, mut at): (Vec<Expr>, usize) = (vec![], 0);
        for rank in 0..comm.size() {
            let n = comm.shard_of(self.length, rank).len();
            let mut shape = front.shape().to_vec();
            (shape[0], shape[1]) = (mine, n);
            parts.push(all.slice(s![at..at + elements(n)]).reshape(shape));
            at += elements(n);
        }
        let local = concat(&parts, 1).moveaxis([0, 1], axes).to_device(&local?.device())?;
        Ok(Sharded::of_part(comm, local, to, front.shape()[0]))
    }

    /// Returns the matrix product of this matrix, divided by rows (axis 0), and a matrix that every rank has. The
    /// result is divided by rows too, and has the same bits as the product of the whole matrices. No data is sent.
    ///
    /// # Errors
    /// Every rank returns [`ErrorKind::Axis`] if the matrix is not divided by rows, or one of the errors of
    /// [`matmul`](cupric::Expr::matmul).
    #[track_caller]
    pub fn matmul(&self, right: impl AsRef<Expr>) -> Result<Sharded<'a, Expr>> {
        let right = right.as_ref();
        let call = Call::new("Sharded::matmul");
        settle(self.divided_along(0, call.name))?;
        settle(self.mapped(call, self.local.as_ref().matmul(right)))
    }

    /// Returns the matrix product of a matrix that every rank has and this matrix, divided by columns (axis 1). The
    /// result is divided by columns too, and has the same bits as the product of the whole matrices. No data is sent.
    ///
    /// # Errors
    /// Every rank returns [`ErrorKind::Axis`] if the matrix is not divided by columns, or one of the errors of
    /// [`matmul`](cupric::Expr::matmul).
    #[track_caller]
    pub fn rmatmul(&self, left: impl AsRef<Expr>) -> Result<Sharded<'a, Expr>> {
        let left = left.as_ref();
        let call = Call::new("Sharded::rmatmul");
        settle(self.divided_along(1, call.name))?;
        settle(self.mapped(call, left.matmul(self.local.as_ref())))
    }

    /// Returns the matrix product of this matrix, divided by columns, and another, divided by rows. Each rank
    /// multiplies its parts, and every rank gets the sum of these products. The bits of the sum depend on the number of
    /// ranks.
    ///
    /// # Errors
    /// Every rank returns [`ErrorKind::Axis`] if a matrix is divided otherwise, or one of the errors of
    /// [`Comm::all_reduce`] and [`matmul`](cupric::Expr::matmul).
    #[track_caller]
    pub fn matmul_sum<M: AsRef<Expr>>(&self, right: &Sharded<'a, M>) -> Result<Array> {
        const OP: &str = "Sharded::matmul_sum";
        settle(self.divided_along(1, OP))?;
        settle(right.divided_along(0, OP))?;
        self.comm.all_reduce(self.local.as_ref().matmul(right.local.as_ref()), Reduce::Sum)
    }

    /// Checks that this is a matrix that is divided along an axis. The outcome is the same on all ranks.
    fn divided_along(&self, axis: usize, name: &str) -> Fallible<()> {
        if self.part.len() == 2 && self.axis == axis {
            return Ok(());
        }
        let detail = format!(
            "shape {:?}, divided along axis {}, is not a matrix divided along axis {axis}",
            self.shape(),
            self.axis
        );
        Err(Fault::new(ErrorKind::Axis, format!("{detail}; use reshard")).of(name))
    }

    /// Returns the operand of a minimum or maximum along the axis that is divided: the part, or, if it has no elements, the
    /// neutral element on its device.
    fn some(&self, op: Reduce) -> Expr {
        let local = self.local.as_ref();
        if self.part[self.axis] > 0 {
            return local.clone();
        }
        let mut shape = self.part.clone();
        shape[self.axis] = 1;
        concat([local.clone(), neutral(op, self.dtype, &shape)], self.axis as isize)
    }
}

/// Returns the index of an axis. A negative `axis` counts from the end.
fn place(shape: &[usize], axis: isize) -> Fallible<usize> {
    let n = shape.len();
    let at = if axis < 0 { axis.checked_add_unsigned(n) } else { Some(axis) };
    let at = at.and_then(|at| usize::try_from(at).ok()).filter(|at| *at < n);
    at.ok_or_else(|| Fault::new(ErrorKind::Axis, format!("shape {shape:?} has no axis {axis}")))
}

/// Returns the elements of an array in a range along an axis.
fn along(x: &Array, axis: usize, range: std::ops::Range<usize>) -> Expr {
    x.moveaxis(axis as isize, 0).slice(s![range]).moveaxis(0, axis as isize)
}

/// Returns an array of the neutral element of the minimum or maximum.
fn neutral(op: Reduce, dtype: DType, shape: &[usize]) -> Expr {
    let is_max = op == Reduce::Max;
    let bits = 8 * dtype.size() as u32;
    match dtype {
        DType::Bool => full(shape, !is_max, DType::Bool),
        d if d.is_float() => full(shape, if is_max { f64::NEG_INFINITY } else { f64::INFINITY }, d),
        d if d.is_unsigned_integer() => full(shape, if is_max { 0 } else { u64::MAX >> (64 - bits) }, d),
        d => full(shape, if is_max { i64::MIN >> (64 - bits) } else { i64::MAX >> (64 - bits) }, d),
    }
}
