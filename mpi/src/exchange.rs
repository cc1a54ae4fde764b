//! The collectives that exchange parts of arrays along an axis.

use crate::call::{Call, Fallible, Fault, Reduce, settle};
use crate::collective::{Finish, wide};
use crate::comm::Comm;
use crate::pieces::ON_A_GPU;
use crate::queue::{Action, Job, Lists};
use crate::staging::{host, room};
use cupric::{Array, DType, Device, ErrorKind, Expr, Result, concat, s};

/// The number of words that describe a root's array: the dtype's index, whether it is on a GPU, the number of axes, and
/// up to 64 lengths.
const HEADER: usize = 67;

/// Returns the number of elements in a row, which is the part of an array at one index of axis 0. An array without rows
/// may have rows of any length; the result is `usize::MAX` if their number of elements overflows.
pub(crate) fn row(shape: &[usize]) -> usize {
    shape.iter().skip(1).fold(1, |size: usize, n| size.saturating_mul(*n))
}

/// Returns the sum of lengths, or `usize::MAX` if it overflows.
fn total(lengths: &[usize]) -> usize {
    lengths.iter().fold(0, |sum: usize, n| sum.saturating_add(*n))
}

/// Returns the sum of the numbers of rows of all ranks. Returns an error if an array cannot have as many rows, which is
/// possible for arrays without elements.
pub(crate) fn joint_length(rows: &[usize]) -> Fallible<usize> {
    let length = total(rows);
    if isize::try_from(length).is_ok() {
        return Ok(length);
    }
    Err(Fault::new(ErrorKind::LimitExceeded, format!("the ranks have {rows:?} rows; an array cannot have so many")))
}

/// An array whose axis `axis` is moved to the front, and the device of the original array.
pub(crate) struct Front {
    pub x: Array,
    device: Device,
    axis: isize,
}

impl Front {
    #[track_caller]
    pub fn new(x: impl AsRef<Expr>, axis: isize) -> Fallible<Front> {
        let x = x.as_ref();
        let x = x.eval()?;
        let device = x.device();
        if x.ndim() == 0 {
            return Err(Fault::new(ErrorKind::Shape, "an array without axes has no rows; reshape it to [1]"));
        }
        let moved = if axis == 0 { Expr::from(x) } else { x.moveaxis(axis, 0) };
        Ok(Front { x: moved.contiguous().eval()?, device, axis })
    }

    fn rows(&self) -> usize {
        self.x.shape()[0]
    }

    /// Returns where results belong, and their dtype.
    fn finish(&self) -> Finish {
        Finish { dtype: self.x.dtype(), device: self.device.clone() }
    }

    /// Gives the lengths of this array's rows to an array with one axis.
    #[track_caller]
    fn with_rows(&self, flat: &Array, rows: usize) -> Fallible<Array> {
        Ok(flat.reshape([&[rows], &self.x.shape()[1..]].concat()).eval()?)
    }

    /// Moves the first axis of another array to where it was in this array, and the other array to this array's device.
    #[track_caller]
    pub fn back(&self, rows: &Array) -> Fallible<Array> {
        let x = if self.axis == 0 { rows.clone() } else { rows.moveaxis(0, self.axis).eval()? };
        Ok(if self.device == Device::cpu() { x } else { x.to_device(&self.device)? })
    }
}

/// Adds to a call what must be equal on all ranks: the axis, the dtype, and all lengths except the first.
fn rows_of(call: Call, front: &Fallible<Front>, axis: isize) -> Call {
    match front {
        Ok(front) => call.with(format_args!("axis {axis}")).of(front.x.dtype(), &front.x.shape()[1..]),
        Err(_) => call,
    }
}

/// Adds [`ON_A_GPU`] to the description of a call if its array is on a GPU.
fn on_a_gpu(call: Call, front: &Fallible<Front>) -> Call {
    if front.as_ref().is_ok_and(|front| front.device.is_gpu()) { call.with(ON_A_GPU) } else { call }
}

fn first(outputs: Vec<Array>) -> Fallible<Array> {
    outputs.into_iter().next().ok_or_else(|| Fault::new(ErrorKind::Internal, "a collective gave nothing"))
}

impl Comm {
    /// Joins the arrays of all ranks along an axis, in the order of the ranks, and returns the result on each rank. The
    /// lengths along this axis may differ, and may be 0.
    ///
    /// # Errors
    /// Every rank returns [`ErrorKind::Argument`], [`ErrorKind::DType`] or [`ErrorKind::Shape`] if two ranks differ in
    /// the operation, the dtype, the axis or a length along another axis. If a rank cannot evaluate its expression,
    /// every rank returns that rank's error. Every rank returns [`ErrorKind::LimitExceeded`] if the result is longer
    /// than an array can be.
    ///
    /// ```no_run
    /// # fn example(comm: &cupric_mpi::Comm, rows: &cupric::Expr) -> cupric::Result<()> {
    /// let all = comm.all_gather(rows, 0)?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn all_gather(&self, x: impl AsRef<Expr>, axis: isize) -> Result<Array> {
        let x = x.as_ref();
        settle(self.gathered(Call::new("all_gather"), x, axis, None)).and_then(|x| {
            let missing = Fault::new(ErrorKind::Internal, "a collective gave nothing");
            settle(x.ok_or(missing))
        })
    }

    /// Joins the arrays of all ranks along axis 0 and returns the result on rank `root`. The other ranks get `None`.
    ///
    /// # Errors
    /// Returns the errors of [`Comm::all_gather`], and [`ErrorKind::Argument`] if there is no rank `root`, or if the
    /// ranks name different roots.
    #[track_caller]
    pub fn gather(&self, x: impl AsRef<Expr>, root: usize) -> Result<Option<Array>> {
        let x = x.as_ref();
        let call = Call::new("gather").with(format_args!("root {root}"));
        settle(self.gathered(call, x, 0, Some(root)))
    }

    /// Divides the array of rank `root` along axis 0 as [`Comm::shard`] does, and returns to each rank its part. The
    /// other ranks pass `None`. The root's part is on the device of its array, and the parts of the other ranks are on
    /// the CPU.
    ///
    /// # Errors
    /// Every rank returns [`ErrorKind::Argument`] if there is no rank `root`, if the ranks name different roots, if the
    /// root passes `None`, or if another rank passes an array. It returns the other errors of [`Comm::all_gather`] too.
    #[track_caller]
    pub fn scatter(&self, x: Option<&Expr>, root: usize) -> Result<Array> {
        settle(self.scattered(Call::new("scatter").with(format_args!("root {root}")), x, root))
    }

    /// Combines the arrays of all ranks element by element, divides the result along an axis as [`Comm::shard`] does,
    /// and returns to each rank its part.
    ///
    /// # Errors
    /// Returns the errors of [`Comm::all_reduce`].
    #[track_caller]
    pub fn reduce_scatter(&self, x: impl AsRef<Expr>, op: Reduce, axis: isize) -> Result<Array> {
        let x = x.as_ref();
        let call = Call::new("reduce_scatter").with(op.name());
        settle(self.reduced_scattered(call, x, op, axis))
    }

    /// Adds parts in a fixed order. The array of each rank holds its parts along the first axis, for example the sums
    /// over some shards of the data. The result is the sum of the parts of all ranks, in the order of the ranks,
    /// without this axis. It has the same bits for any number of ranks that share the same parts, whereas the order of
    /// [`Comm::all_reduce`] depends on the number of ranks. f16 and bf16 are added in f32.
    ///
    /// It sends every part once and the sum once. With `p` parts on each rank, this is about `(p + 1) / 2` times as
    /// much data as [`Comm::all_reduce`] sends.
    ///
    /// # Errors
    /// Returns the errors of [`Comm::all_gather`], and [`ErrorKind::Shape`] if no rank has a part.
    ///
    /// ```no_run
    /// # fn example(comm: &cupric_mpi::Comm, shards: &[cupric::Expr]) -> cupric::Result<()> {
    /// // each of 4 shards of a batch has its own gradient, whichever rank computes it
    /// let mine = cupric::stack(&shards[comm.shard(4)], 0);
    /// let gradient = comm.sum_in_order(&mine)?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn sum_in_order(&self, x: impl AsRef<Expr>) -> Result<Array> {
        let x = x.as_ref();
        settle(self.summed(Call::new("sum_in_order"), x))
    }

    /// Exchanges the edge rows of neighbouring ranks, which a step of a grid that is divided among ranks needs. Sends
    /// the first `rows` rows (along axis 0) to the previous rank, and the last `rows` rows to the next rank. Returns
    /// the last rows of the previous rank and the first rows of the next rank, or `None` in place of a rank that does
    /// not exist.
    ///
    /// # Errors
    /// Returns the errors of [`Comm::all_gather`]. Every rank returns [`ErrorKind::Shape`] if a rank has fewer than
    /// `rows` rows.
    #[track_caller]
    pub fn halo(&self, x: impl AsRef<Expr>, rows: usize) -> Result<(Option<Array>, Option<Array>)> {
        let x = x.as_ref();
        settle(self.edges(Call::new("halo").with(format_args!("{rows} rows")), x, rows))
    }

    #[track_caller]
    fn edges(&self, call: Call, x: &Expr, rows: usize) -> Fallible<(Option<Array>, Option<Array>)> {
        let front = Front::new(x, 0);
        let call = rows_of(call, &front, 0);
        let [before, behind] = [self.rank() > 0, self.rank() + 1 < self.size()];
        let made = front.as_ref().map_err(Clone::clone).and_then(|front| {
            let shape = front.x.shape();
            if shape[0] < rows {
                return Err(Fault::new(ErrorKind::Shape, format!("{} rows are fewer than {rows}", shape[0])));
            }
            let mut edge = shape.to_vec();
            edge[0] = rows;
            // allocate both outputs, even for a missing neighbour, so that the second one is always for the next rank
            let outputs = [before, behind].map(|is_there| {
                let shape = if is_there { edge.clone() } else { vec![0] };
                room(front.x.dtype(), &shape)
            });
            let outputs = outputs.into_iter().collect::<Fallible<_>>()?;
            let [start, end] = [front.x.slice(s![..rows]), front.x.slice(s![shape[0] - rows..])];
            let input = host(&concat([start, end], 0))?;
            Ok(Job { action: Action::Halo(rows.saturating_mul(row(shape))), input: Some(input), outputs })
        });
        let mut outputs = self.collect(call, made)?.into_iter();
        let front = front?;
        let mut next = |is_there: bool| match (is_there, outputs.next()) {
            (true, Some(x)) => front.back(&x).map(Some),
            _ => Ok(None),
        };
        let before = next(before)?;
        Ok((before, next(behind)?))
    }

    #[track_caller]
    fn gathered(&self, call: Call, x: &Expr, axis: isize, root: Option<usize>) -> Fallible<Option<Array>> {
        let front = root.map_or(Ok(()), |root| self.check_root(root)).and_then(|()| Front::new(x, axis));
        let call = on_a_gpu(rows_of(call, &front, axis), &front);
        let (front, lengths) = self.counted(call.clone(), front)?;
        let rows = joint_length(&lengths).map_err(|f| f.of(call.name))?;
        let all = if front.device.is_gpu() {
            let elements = lengths.iter().map(|n| n.saturating_mul(row(front.x.shape())));
            let all = self.joined_pieces(&front.x, &call, elements, |x, parts| self.gathering(x, parts, root))?;
            let is_here = root.is_none_or(|root| root == self.rank());
            front.with_rows(&all, if is_here { rows } else { 0 })?
        } else {
            let made = host(&front.x).and_then(|x| self.gathering(&x, &lengths, root));
            first(self.collect(call.with("data"), made)?)?
        };
        if root.is_some_and(|root| root != self.rank()) {
            return Ok(None);
        }
        front.back(&all).map(Some)
    }

    /// Returns an array, and the numbers of rows of all ranks.
    #[track_caller]
    fn counted(&self, call: Call, front: Fallible<Front>) -> Fallible<(Front, Vec<usize>)> {
        let counted = front.map(|front| {
            let rows = front.rows();
            (front, rows)
        });
        self.lengths(call, counted)
    }

    #[track_caller]
    fn gathering(&self, x: &Array, lengths: &[usize], root: Option<usize>) -> Fallible<Job> {
        let elements = lengths.iter().map(|n| n.saturating_mul(row(x.shape())));
        let whole = elements.clone().fold(0, usize::saturating_add);
        let lists = Lists::new(&self.world, x.dtype(), elements, whole)?;
        let mut shape = x.shape().to_vec();
        shape[0] = if root.is_none_or(|root| root == self.rank()) { total(lengths) } else { 0 };
        let outputs = vec![room(x.dtype(), &shape)?];
        let action = match root {
            Some(root) => Action::Gather(lists, root),
            None => Action::AllGather(lists),
        };
        Ok(Job { action, input: Some(x.clone()), outputs })
    }

    /// Collects a number from each rank, and returns the numbers of all ranks. The value beside the number is returned
    /// as it is.
    #[track_caller]
    pub(crate) fn lengths<T>(&self, call: Call, given: Fallible<(T, usize)>) -> Fallible<(T, Vec<usize>)> {
        let made = given.as_ref().map_err(Clone::clone).and_then(|(_, n)| {
            let input = Array::from_vec(vec![*n as u64], [1])?;
            let outputs = vec![room(DType::U64, &[self.size()])?];
            let lists = Lists::new(&self.world, DType::U64, (0..self.size()).map(|_| 1), self.size())?;
            Ok(Job { action: Action::AllGather(lists), input: Some(input), outputs })
        });
        let lengths = first(self.collect(call, made)?)?.to_vec::<u64>()?;
        let lengths = lengths.into_iter().map(|n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
        Ok((given?.0, lengths))
    }

    #[track_caller]
    fn scattered(&self, call: Call, x: Option<&Expr>, root: usize) -> Fallible<Array> {
        let is_root = root == self.rank();
        let front = match (is_root, x) {
            (true, Some(x)) => self.check_root(root).and_then(|()| Front::new(x, 0)).map(Some),
            (true, None) => Err(Fault::new(ErrorKind::Argument, "the root has no array")),
            (false, None) => self.check_root(root).map(|()| None),
            (false, Some(_)) => Err(Fault::new(ErrorKind::Argument, "a rank that is not the root has an array")),
        };
        let made = front.as_ref().map_err(Clone::clone).and_then(|front| {
            let (input, outputs) = match front {
                Some(front) => (Some(header(&front.x)?), vec![]),
                None => (None, vec![room(DType::U64, &[HEADER])?]),
            };
            Ok(Job { action: Action::Broadcast(root), input, outputs })
        });
        let words = first(self.collect(call.clone(), made)?)?.to_vec::<u64>()?;
        let front = front?;
        let (dtype, is_on_a_gpu, mut shape) = told(&words)?;
        let parts = self.elements_of_shards(&shape);
        shape[0] = self.shard(shape[0]).len();
        let make = |x: Option<Array>, parts: &[usize], shape: &[usize]| {
            let whole = parts.iter().copied().fold(0, usize::saturating_add);
            let lists = Lists::new(&self.world, dtype, parts.iter().copied(), whole)?;
            // an empty array has the dtype of the elements that are received
            let input = x.map_or_else(|| room(dtype, &[0]), Ok)?;
            Ok(Job { action: Action::Scatter(lists, root), input: Some(input), outputs: vec![room(dtype, shape)?] })
        };
        if is_on_a_gpu {
            let finish = front.as_ref().map_or(Finish { dtype, device: Device::cpu() }, Front::finish);
            let make = |x, parts: &[usize]| make(x, parts, &[parts[self.rank()]]);
            let x = front.as_ref().map(|front| &front.x);
            let part = self.divided_pieces(x, &call, &finish, parts.iter().copied(), make)?;
            return Ok(part.reshape(shape).eval()?);
        }
        let x = front.map(|front| host(&front.x)).transpose();
        first(self.collect(call.with("data"), x.and_then(|x| make(x, &parts, &shape)))?)
    }

    /// Returns the number of elements of each rank's shard of an array of this shape.
    fn elements_of_shards(&self, shape: &[usize]) -> Vec<usize> {
        (0..self.size()).map(|rank| self.shard_of(shape[0], rank).len().saturating_mul(row(shape))).collect()
    }

    #[track_caller]
    fn reduced_scattered(&self, call: Call, x: &Expr, op: Reduce, axis: isize) -> Fallible<Array> {
        let front = Front::new(x, axis);
        let call = match &front {
            Ok(front) => call.with(format_args!("axis {axis}")).of(front.x.dtype(), front.x.shape()),
            Err(_) => call,
        };
        let call = on_a_gpu(call, &front);
        let front = match front {
            Ok(front) if front.device.is_gpu() => {
                self.collect(call.clone(), Ok(Job::nothing()))?;
                let x = &front.x;
                let make = |x: Option<Array>, parts: &[usize]| {
                    let x = x.ok_or_else(|| Fault::new(ErrorKind::Internal, "a rank has no array to reduce"))?;
                    self.reduce_scattering(&x, op, parts, &[parts[self.rank()]])
                };
                let lengths = self.elements_of_shards(x.shape());
                let part = self.divided_pieces(Some(x), &call, &front.finish(), lengths.into_iter(), make)?;
                return front.back(&front.with_rows(&part, self.shard(front.rows()).len())?);
            }
            other => other,
        };
        let made = front.as_ref().map_err(Clone::clone).and_then(|front| {
            let mut shape = front.x.shape().to_vec();
            let lengths = self.elements_of_shards(&shape);
            shape[0] = self.shard(shape[0]).len();
            self.reduce_scattering(&front.x, op, &lengths, &shape)
        });
        let part = first(self.collect(call, made)?)?;
        let front = front?;
        front.back(&part.astype(front.x.dtype()).eval()?)
    }

    #[track_caller]
    fn reduce_scattering(&self, x: &Array, op: Reduce, parts: &[usize], shape: &[usize]) -> Fallible<Job> {
        let input = host(&x.astype(wide(x.dtype())))?;
        let lists = Lists::new(&self.world, input.dtype(), parts.iter().copied(), input.size())?;
        let outputs = vec![room(input.dtype(), shape)?];
        Ok(Job { action: Action::ReduceScatter(op, lists), input: Some(input), outputs })
    }

    #[track_caller]
    fn summed(&self, call: Call, x: &Expr) -> Fallible<Array> {
        let front = Front::new(x, 0);
        let call = on_a_gpu(rows_of(call, &front, 0), &front);
        let (front, lengths) = self.counted(call.clone(), front)?;
        let elements = row(front.x.shape());
        let columns = front.x.reshape([lengths[self.rank()], elements]).t();
        let sum = if front.device.is_gpu() {
            let (step, mut sums) = ((self.piece(front.x.dtype()) / total(&lengths).max(1)).max(1), vec![]);
            for at in (0..elements.max(1)).step_by(step) {
                let end = at.saturating_add(step).min(elements);
                let piece = self.read(&columns.slice(s![at..end]));
                let call = call.clone().with(format_args!("from {at}"));
                sums.push(front.back(&self.summed_columns(call, piece, front.x.dtype(), end - at, &lengths)?)?);
            }
            concat(&sums, 0).eval()?
        } else {
            front.back(&self.summed_columns(call, host(&columns), front.x.dtype(), elements, &lengths)?)?
        };
        Ok(sum.reshape(&front.x.shape()[1..]).eval()?)
    }

    /// Adds the parts of all ranks, of which `columns` has this rank's parts: a row for each of `elements` elements.
    /// Each rank adds all parts for its own range of elements.
    #[track_caller]
    fn summed_columns(
        &self,
        call: Call,
        columns: Fallible<Array>,
        dtype: DType,
        elements: usize,
        lengths: &[usize],
    ) -> Fallible<Array> {
        let parts = total(lengths);
        let wanted: Vec<usize> = (0..self.size()).map(|rank| self.shard_of(elements, rank).len()).collect();
        let own = wanted[self.rank()];
        let made = columns.and_then(|columns| {
            if parts == 0 {
                return Err(Fault::new(ErrorKind::Shape, "no rank has an array to add"));
            }
            let sent = wanted.iter().map(|n| n.saturating_mul(lengths[self.rank()]));
            let received = lengths.iter().map(|n| n.saturating_mul(own));
            let whole = parts.saturating_mul(elements);
            let sent = Lists::new(&self.world, dtype, sent, whole)?;
            let received = Lists::new(&self.world, dtype, received, whole)?;
            let outputs = vec![room(dtype, &[parts.saturating_mul(own)])?];
            Ok(Job { action: Action::AllToAll(sent, received), input: Some(columns), outputs })
        });
        let all = first(self.collect(call.clone().with("parts"), made)?)?;
        // a rank without elements has nothing to add, although there may be very many parts
        let (mut sum, mut at): (Option<Expr>, usize) = ((own == 0).then(|| all.astype(wide(dtype))), 0);
        for n in lengths.iter().filter(|_| own > 0) {
            let block = all.slice(s![at..at + n * own]).reshape([own, *n]);
            for i in 0..*n {
                let part = block.slice(s![.., i]).astype(wide(dtype));
                sum = Some(sum.map_or(part.clone(), |sum| sum + part));
            }
            at += n * own;
            // evaluate the sum after each rank, so that the expression does not become long
            sum = sum.map(|sum| sum.eval().map(Expr::from)).transpose()?;
        }
        let sum = sum.ok_or_else(|| Fault::new(ErrorKind::Internal, "nothing was added"))?;
        let made = host(&sum.astype(dtype)).and_then(|sum| self.gathering(&sum, &wanted, None));
        first(self.collect(call.with("sums"), made)?)
    }

    /// Sends to each rank its part of this rank's rows, and returns the parts that this rank receives, in the order of
    /// the ranks. It receives `received[r]` elements from rank r.
    #[track_caller]
    pub(crate) fn exchanged(&self, call: Call, x: Fallible<(Array, Lists, Lists, usize)>) -> Fallible<Array> {
        let made = x.and_then(|(x, sent, received, size)| {
            let outputs = vec![room(x.dtype(), &[size])?];
            Ok(Job { action: Action::AllToAll(sent, received), input: Some(x), outputs })
        });
        first(self.collect(call, made)?)
    }
}

/// Describes the dtype and shape of an array in [`HEADER`] numbers.
#[track_caller]
fn header(x: &Array) -> Fallible<Array> {
    let dtype = DType::ALL.iter().position(|d| *d == x.dtype()).unwrap_or(0);
    let mut words = vec![dtype as u64, x.device().is_gpu().into(), x.ndim() as u64];
    words.extend(x.shape().iter().map(|n| *n as u64));
    words.resize(HEADER, 0);
    Ok(Array::from_vec(words, [HEADER])?)
}

fn told(words: &[u64]) -> Fallible<(DType, bool, Vec<usize>)> {
    let wrong = || Fault::new(ErrorKind::Internal, "the root's description of its array is wrong");
    let [dtype, is_on_a_gpu, axes, lengths @ ..] = words else { return Err(wrong()) };
    let dtype = usize::try_from(*dtype).ok().and_then(|i| DType::ALL.get(i)).ok_or_else(wrong)?;
    let axes = usize::try_from(*axes).map_err(|_| wrong())?;
    let lengths = lengths.get(..axes).filter(|l| !l.is_empty()).ok_or_else(wrong)?;
    let shape = lengths.iter().map(|n| usize::try_from(*n).map_err(|_| wrong()));
    Ok((*dtype, *is_on_a_gpu != 0, shape.collect::<Fallible<_>>()?))
}
