//! The collectives that reduce and copy: `all_reduce`, `broadcast`, and their nonblocking forms.

use crate::call::{Call, Fallible, Fault, Reduce, settle};
use crate::comm::Comm;
use crate::queue::{Action, Job};
use crate::staging::{host, room};
use cupric::{Array, DType, Device, ErrorKind, Expr, Result, concat, s};
use std::collections::VecDeque;

/// The size in bytes of a bucket, in which [`Comm::all_reduce_many`] sends several small arrays together.
const BUCKET: usize = 1 << 24;

/// A collective that has been started. [`Request::wait`] returns its result.
///
/// If a request is dropped, its collective still goes on, because the other ranks need it. [`Comm::run`] then returns
/// the collective's error, if there is one.
#[must_use = "the result, or the error, comes from `wait`"]
pub struct Request<'a> {
    pub(crate) comm: &'a Comm,
    pub(crate) number: u64,
    pub(crate) name: &'static str,
    pub(crate) finish: Finish,
    pub(crate) is_taken: bool,
}

/// The dtype and the device to which the received elements are converted.
pub(crate) struct Finish {
    pub dtype: DType,
    pub device: Device,
}

impl Finish {
    #[track_caller]
    pub fn of(&self, outputs: Vec<Array>) -> Fallible<Array> {
        let missing = || Fault::new(ErrorKind::Internal, "a collective gave nothing");
        let x = outputs.into_iter().next().ok_or_else(missing)?;
        let x = if x.dtype() == self.dtype { x } else { x.astype(self.dtype).eval()? };
        Ok(if self.device == Device::cpu() { x } else { x.to_device(&self.device)? })
    }
}

impl Request<'_> {
    /// Waits until the collective is done, and returns its result.
    ///
    /// # Errors
    /// Returns the errors of the collective.
    #[track_caller]
    pub fn wait(mut self) -> Result<Array> {
        self.is_taken = true;
        let outputs = self.comm.wait(self.number, self.name);
        settle(match outputs {
            Ok(outputs) => self.finish.of(outputs),
            Err(fault) => Err(fault),
        })
    }

    /// Advances the collective, and returns whether [`Request::wait`] would return at once.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Internal`] if MPI reports an error. [`Request::wait`] returns the errors of the collective.
    #[track_caller]
    pub fn test(&self) -> Result<bool> {
        settle(self.comm.advance().map_err(|f| f.of(self.name)))?;
        Ok(self.comm.is_done(self.number))
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if !self.is_taken {
            self.comm.forget(self.number);
        }
    }
}

impl Comm {
    /// Combines the arrays of all ranks element by element, and returns the result on each rank. On every rank the
    /// array must have the same dtype and shape. f16 and bf16 are added in f32, and rounded once at the end.
    ///
    /// The result has the same bits on all ranks. For sums and products of floats the bits depend on the number of
    /// ranks. [`Comm::sum_in_order`] gives a sum whose bits do not depend on it.
    ///
    /// # Errors
    /// Every rank returns [`ErrorKind::Argument`], [`ErrorKind::DType`] or [`ErrorKind::Shape`] if two ranks differ in
    /// the operation, the dtype or the shape. If a rank cannot evaluate its expression, every rank returns that rank's
    /// error.
    ///
    /// ```no_run
    /// # use cupric_mpi::{Comm, Reduce};
    /// # fn example(comm: &Comm, errors: &cupric::Expr) -> cupric::Result<()> {
    /// let largest = comm.all_reduce(&errors.max(..), Reduce::Max)?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn all_reduce(&self, x: impl AsRef<Expr>, op: Reduce) -> Result<Array> {
        let x = x.as_ref();
        let call = Call::new("all_reduce").with(op.name());
        let x = match x.eval() {
            Ok(x) if x.device().is_gpu() => return settle(self.flat_pieces(&x, call, |x| reducing(x, op))),
            other => other,
        };
        let request = match x {
            Ok(x) => self.begin(call, Ok(x), |x| reducing(x, op)),
            Err(error) => self.begin(call, Err(error.into()), |x| reducing(x, op)),
        };
        settle(request)?.wait()
    }

    /// The nonblocking form of [`Comm::all_reduce`]: starts it and returns at once. Evaluate something else before
    /// [`Request::wait`], and call [`Comm::progress`] meanwhile. An array on a GPU is read back as a whole.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Internal`] if MPI reports an error. [`Request::wait`] returns all other errors.
    ///
    /// ```no_run
    /// # use cupric_mpi::{Comm, Reduce};
    /// # fn example(comm: &Comm, gradient: &cupric::Expr, next: &cupric::Expr) -> cupric::Result<()> {
    /// let sum = comm.start_all_reduce(gradient, Reduce::Sum)?;
    /// let other = next.eval()?; // while the sum is on its way
    /// let sum = sum.wait()?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn start_all_reduce(&self, x: impl AsRef<Expr>, op: Reduce) -> Result<Request<'_>> {
        let x = x.as_ref();
        let call = Call::new("all_reduce").with(op.name());
        let x = x.eval().map_err(Fault::from);
        settle(self.begin(call, x, |x| reducing(x, op)))
    }

    /// Copies the array of rank `root` to all ranks. The other ranks pass an array of the same dtype and shape, whose
    /// elements do not matter.
    ///
    /// # Errors
    /// Returns the errors of [`Comm::all_reduce`], and [`ErrorKind::Argument`] if there is no rank `root`, or if the
    /// ranks name different roots.
    #[track_caller]
    pub fn broadcast(&self, x: impl AsRef<Expr>, root: usize) -> Result<Array> {
        let x = x.as_ref();
        let call = Call::new("broadcast").with(format_args!("root {root}"));
        let x = match self.evaluated(x, root) {
            Ok(x) if x.device().is_gpu() => return settle(self.flat_pieces(&x, call, |x| self.sending(x, root))),
            other => other,
        };
        settle(self.begin(call, x, |x| self.sending(x, root)))?.wait()
    }

    /// The nonblocking form of [`Comm::broadcast`]: starts it and returns at once; see [`Comm::start_all_reduce`].
    ///
    /// # Errors
    /// Returns [`ErrorKind::Internal`] if MPI reports an error. [`Request::wait`] returns all other errors.
    #[track_caller]
    pub fn start_broadcast(&self, x: impl AsRef<Expr>, root: usize) -> Result<Request<'_>> {
        let x = x.as_ref();
        let call = Call::new("broadcast").with(format_args!("root {root}"));
        let x = self.evaluated(x, root);
        settle(self.begin(call, x, |x| self.sending(x, root)))
    }

    /// Combines each array of a list, such as the gradients of a step, like [`Comm::all_reduce`]. Small arrays of one
    /// dtype on one device share a message of up to 16 MiB. All messages are sent at the same time, so the host holds
    /// the whole list, also if the arrays are on a GPU.
    ///
    /// # Errors
    /// Returns the errors of [`Comm::all_reduce`], and [`ErrorKind::Argument`] if the ranks pass different numbers of
    /// arrays, or if the arrays share messages in another way on another rank, because they are on other devices.
    ///
    /// ```no_run
    /// # use cupric_mpi::{Comm, Reduce};
    /// # fn example(comm: &Comm, gradients: &[cupric::Array]) -> cupric::Result<()> {
    /// let sums = comm.all_reduce_many(gradients, Reduce::Sum)?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn all_reduce_many(&self, arrays: &[Array], op: Reduce) -> Result<Vec<Array>> {
        // a message shows only how many elements its arrays have together, so the ranks first agree on all shapes
        let name = "all_reduce_many";
        let call = Call::new(name).with(format_args!("{}, {} arrays", op.name(), arrays.len()));
        let buckets = buckets(arrays);
        settle(self.collect(call.of_list(arrays, &buckets), Ok(Job::nothing())))?;
        let mut requests = VecDeque::new();
        let result = self.reduced_in_buckets(arrays, &buckets, op, &mut requests);
        if let Err(error) = &result {
            let number = |(mut request, _): (Request<'_>, _)| {
                request.is_taken = true;
                request.number
            };
            self.discard(requests.into_iter().map(number), name, error.kind());
        }
        result
    }

    /// Combines arrays, in buckets of these numbers of arrays. After an error, the requests that are still in progress
    /// stay in `requests`.
    #[track_caller]
    fn reduced_in_buckets<'a, 'b>(
        &'a self,
        arrays: &'b [Array],
        buckets: &[usize],
        op: Reduce,
        requests: &mut VecDeque<(Request<'a>, &'b [Array])>,
    ) -> Result<Vec<Array>> {
        let mut rest = arrays;
        for n in buckets {
            let (parts, after) = rest.split_at(*n);
            let flat: Vec<Expr> = parts.iter().map(|x| x.reshape(-1)).collect();
            let bucket = if *n == 1 { flat[0].clone() } else { concat(&flat, 0) };
            requests.push_back((self.start_all_reduce(&bucket, op)?, parts));
            rest = after;
        }
        let mut sums = vec![];
        while let Some((request, parts)) = requests.pop_front() {
            let all = request.wait()?;
            let mut at = 0;
            for part in parts {
                sums.push(all.slice(s![at..at + part.size()]).reshape(part.shape()).eval()?);
                at += part.size();
            }
        }
        Ok(sums)
    }

    /// Evaluates the array of a broadcast, after checking that there is a rank `root`.
    #[track_caller]
    fn evaluated(&self, x: &Expr, root: usize) -> Fallible<Array> {
        self.check_root(root)?;
        Ok(x.eval()?)
    }

    pub(crate) fn check_root(&self, root: usize) -> Fallible<()> {
        if root < self.size() {
            return Ok(());
        }
        Err(Fault::new(ErrorKind::Argument, format!("there is no rank {root}; the job has {}", self.size())))
    }

    /// Starts a collective of an array. If the array could not be evaluated, the other ranks get its error.
    #[track_caller]
    fn begin(
        &self,
        call: Call,
        x: Fallible<Array>,
        make: impl FnOnce(&Array) -> Fallible<Job>,
    ) -> Fallible<Request<'_>> {
        let name = call.name;
        let (call, made, finish) = match x {
            Ok(x) => {
                let finish = Finish { dtype: x.dtype(), device: x.device() };
                (call.of(x.dtype(), x.shape()), make(&x), finish)
            }
            Err(fault) => (call, Err(fault), Finish { dtype: DType::F32, device: Device::cpu() }),
        };
        let number = self.push(call, made.map_err(|f| f.of(name)))?;
        Ok(Request { comm: self, number, name, finish, is_taken: false })
    }

    fn sending(&self, x: &Array, root: usize) -> Fallible<Job> {
        let (input, outputs) = match root == self.rank() {
            true => (Some(host(x)?), vec![]),
            false => (None, vec![room(x.dtype(), x.shape())?]),
        };
        Ok(Job { action: Action::Broadcast(root), input, outputs })
    }
}

/// Divides a list into buckets of neighbours that have one dtype and one device. Returns the number of arrays in each.
fn buckets(arrays: &[Array]) -> Vec<usize> {
    let (mut buckets, mut rest) = (vec![], arrays);
    while let Some(first) = rest.first() {
        let mut bytes = 0usize;
        let fits = |x: &&Array| {
            bytes = bytes.saturating_add(x.size().saturating_mul(x.dtype().size()));
            x.dtype() == first.dtype() && x.device() == first.device() && bytes <= BUCKET
        };
        let n = rest.iter().take_while(fits).count().max(1);
        buckets.push(n);
        rest = &rest[n..];
    }
    buckets
}

/// Returns the dtype in which elements are combined.
pub(crate) fn wide(dtype: DType) -> DType {
    if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype }
}

#[track_caller]
fn reducing(x: &Array, op: Reduce) -> Fallible<Job> {
    let input = host(&x.astype(wide(x.dtype())))?;
    let outputs = vec![room(input.dtype(), input.shape())?];
    Ok(Job { action: Action::AllReduce(op), input: Some(input), outputs })
}
