//! Reads arrays to the host, and moves them between devices.

use super::evaluate::run;
use super::{Array, Item};
use crate::array::device::Device;
use crate::base::dtype::{DType, Element};
use crate::base::error::{Error, ErrorKind, Loc, Result, room};
use crate::base::layout::Layout;
use crate::base::shared::Shared;
use crate::graph::expr::{Binding, Expr, rounded, strong};
use crate::plan::backend::{Pending, Receive, Received, wait};
use std::mem::MaybeUninit;
use std::panic::Location;

/// A read in progress: either elements that have already arrived, or a future that returns them. Both variants keep the
/// array alive, which keeps its device alive.
enum Reading<T> {
    Done(Vec<T>, Array),
    /// Boxed, because the future is large and moving it would take most of the time of reading a single element.
    Pending(Pending<Vec<T>>),
}

impl Array {
    /// Returns the array if it is contiguous in C order, otherwise a copy of it.
    fn dense(&self, at: Loc) -> Result<Array> {
        if self.is_contiguous() { Ok(self.clone()) } else { self.0.compact(at) }
    }

    /// Copies the elements of an array in C order to the host, if its device can do so directly; otherwise returns
    /// `None`. If `T` is `u8`, copies the bytes of the elements, whatever their dtype.
    fn copied<T: Element>(&self, op: &'static str, at: Loc) -> Option<Result<Vec<T>>> {
        // the number of elements of `T`; `T` is `u8` if the caller requests the bytes of elements of any dtype
        let n = self.size() * self.dtype().size() / size_of::<T>();
        let (buffer, _, offset) = self.stored();
        let device = self.device();
        let mut elements = match room::<T>(n, op, at) {
            Ok(elements) => elements,
            Err(e) => return Some(Err(e)),
        };
        let spare = elements.spare_capacity_mut().as_mut_ptr().cast();
        // SAFETY: the vector has capacity for `n` elements, and bytes need no alignment.
        let bytes = unsafe { std::slice::from_raw_parts_mut::<MaybeUninit<u8>>(spare, n * size_of::<T>()) };
        if let Err(e) = device.backend().copy_out(buffer, offset * self.dtype().size(), bytes)? {
            return Some(Err(e.or_at(at)));
        }
        if T::DTYPE == DType::Bool {
            for byte in bytes {
                // SAFETY: `copy_out` has filled all bytes. Any byte except 0 is a true bool.
                byte.write(unsafe { (byte.assume_init() != 0) as u8 });
            }
        }
        // SAFETY: all `n` elements are filled. A bool is 0 or 1, and any bits are a valid number.
        unsafe { elements.set_len(n) };
        Some(Ok(elements))
    }

    /// Returns the elements in C order, on the host. The array's own memory is returned, without copying, if three
    /// conditions hold: it came from [`Array::from_vec`] or another constructor that takes over a `Vec`, the array
    /// covers all of it, and nothing else uses it. Otherwise, and always for bool, the elements are copied as by
    /// [`Expr::to_vec`].
    ///
    /// # Errors
    /// Returns the errors of [`Expr::to_vec`].
    ///
    /// ```
    /// use cupric::Array;
    /// let mut x = Array::from_vec(vec![1, 2, 3, 4], [2, 2])?;
    /// x.update(|x| x * 10)?;
    /// // neither the array, nor the update, nor this has copied an element
    /// assert_eq!(x.into_vec::<i32>()?, [10, 20, 30, 40]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn into_vec<T: Element>(mut self) -> Result<Vec<T>> {
        let at = Location::caller();
        match self.take_vec() {
            Some(elements) => Ok(elements),
            None => wait("into_vec", "to_vec_async", self.fetch::<T>("into_vec", at)).map_err(|e| e.or_at(at)),
        }
    }

    /// Takes out the `Vec` that the array was made from, without a copy, or returns `None` if that is not possible.
    /// After `Some`, the array must not be used any more.
    fn take_vec<T: Element>(&mut self) -> Option<Vec<T>> {
        // bools are copied, because a kernel may store `true` as any byte except 0, and the copy normalises it to 1
        if self.dtype() != T::DTYPE || T::DTYPE == DType::Bool || !self.is_contiguous() {
            return None;
        }
        let n = self.size();
        match &mut Shared::get_mut(&mut self.0.0)?.binding {
            Binding::Array { buffer, offset: 0 } => buffer.take_vec(n),
            Binding::Array { .. }
            | Binding::None
            | Binding::Number(_)
            | Binding::Random { .. }
            | Binding::Failure(_) => None,
        }
    }

    /// Enqueues a read of the bytes of an array that is contiguous in C order. The device passes the bytes to
    /// `receive`. The returned future completes when all bytes have been passed.
    fn read(&self, at: Loc, receive: Receive) -> impl Future<Output = Result<()>> + Send + use<> {
        let dense = self.clone();
        let (buffer, _, offset) = dense.stored();
        let size = dense.dtype().size();
        let device = dense.device();
        let done = device.backend().download_to(buffer, offset * size, dense.size() * size, receive);
        // the future holds the array, so that its memory is not reused before the device has read it
        async move {
            let _dense = dense;
            done.await.map_err(|e| e.or_at(at))
        }
    }

    /// Enqueues a read of the elements of an array that is contiguous in C order. If `T` is `u8`, reads the bytes of
    /// the elements instead, whatever their dtype.
    fn elements<T: Element>(
        &self,
        op: &'static str,
        at: Loc,
    ) -> Result<impl Future<Output = Result<Vec<T>>> + Send + use<T>> {
        let size = self.size() * self.dtype().size() / size_of::<T>();
        let elements = Received::new(room::<T>(size, op, at)?);
        let receiver = elements.clone();
        let receive = move |piece: &[u8]| {
            receiver.with(|elements| T::append(piece, elements));
            Ok(())
        };
        let done = self.read(at, Box::new(receive));
        Ok(async move {
            done.await?;
            Ok(elements.take())
        })
    }

    /// Copies an array that is contiguous in C order to another device, in blocks that pass through the host. The
    /// memory on the target is allocated first. If that fails, nothing is read, so late errors of earlier kernels are
    /// not consumed.
    fn sent(&self, device: &Device, at: Loc) -> Result<impl Future<Output = Result<Array>> + Send + use<>> {
        let buffer = device.backend().allocate(self.size() * self.dtype().size()).map_err(|e| e.or_at(at))?;
        let (target, to, mut offset) = (device.clone(), buffer.clone(), 0);
        let receive = move |piece: &[u8]| {
            target.backend().upload(&to, offset, piece)?;
            offset += piece.len();
            Ok(())
        };
        let done = self.read(at, Box::new(receive));
        let copy = Array::new(buffer, Layout::c(self.shape()), self.dtype(), at);
        Ok(async move { done.await.map(|()| copy) })
    }
}

/// # Transfers and reading
impl Expr {
    /// Returns an array with the same values on this device. Of a view, only the view's elements are moved. An
    /// expression without arrays (`zeros`, random numbers) has no device yet and is computed on this device. No other
    /// method moves an array between devices.
    ///
    /// # Errors
    /// Returns the errors of [`Expr::eval`] and [`Expr::to_vec`], except the one for a wrong dtype, and
    /// [`ErrorKind::OutOfMemory`] if the device has no memory for the array.
    ///
    /// ```
    /// use cupric::{Device, array};
    /// let device = Device::best()?;
    /// let x = array![1., 2.].to_device(&device)?;
    /// assert_eq!(x.device(), device);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("cuda", "as_numpy", "asnumpy"))]
    #[track_caller]
    pub fn to_device(&self, device: &Device) -> Result<Array> {
        self.moved(device, "to_device", Location::caller())
    }

    /// The asynchronous form of [`Expr::to_device`], for code that must not block. The call itself plans, compiles and
    /// submits the kernels, and allocates memory on the target device. The future waits for the values.
    ///
    /// # Errors
    /// Returns the errors of [`Expr::to_device`].
    ///
    /// ```
    /// use cupric::{Device, array};
    /// # pollster::block_on(async {
    /// let x = array![1., 2.].to_device_async(&Device::best()?).await?;
    /// assert_eq!((x * 2.0).to_vec_async::<f32>().await?, [2.0, 4.0]);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn to_device_async(&self, device: &Device) -> impl Future<Output = Result<Array>> + Send + use<> {
        let moving = self.moving(device, "to_device_async", Location::caller());
        async move { moving?.await }
    }

    /// Returns an array with the values of the expression on a device. Error messages name the operation `op`.
    pub(crate) fn moved(&self, device: &Device, op: &'static str, at: Loc) -> Result<Array> {
        let moved = self.moving(device, op, at).and_then(|moving| wait(op, "to_device_async", moving));
        moved.map_err(|e| e.of_result(op).or_at(at))
    }

    /// Starts to move the expression's values to a device, and returns a future of the array on that device.
    pub(crate) fn moving(
        &self,
        device: &Device,
        op: &'static str,
        at: Loc,
    ) -> Result<impl Future<Output = Result<Array>> + Send + use<>> {
        let node = self.checked()?;
        let array = match node.device {
            0 => {
                let made = run(&[self], device, at, false)?.pop();
                made.ok_or_else(|| Error::with_line(ErrorKind::Internal, op, "no result", at))?
            }
            _ => self.eval_at(at)?,
        };
        let sent = match array.device() == *device {
            true => Err(array),
            false => Ok(array.dense(at)?.sent(device, at)?),
        };
        Ok(async move {
            match sent {
                Ok(sent) => sent.await,
                Err(array) => Ok(array),
            }
        })
    }

    /// Returns a `Vec` of the elements in C order, on the host. With `usize`, an array of any integer dtype can be read.
    ///
    /// # Errors
    /// Returns [`ErrorKind::DType`] if `T` is not the type of the elements, [`ErrorKind::Argument`] if an element is not
    /// a `usize`, the errors of [`Expr::eval`], and [`ErrorKind::OutOfMemory`] if the host has no memory for the elements. On a GPU, also returns an error if an
    /// index of an earlier operation is out of range, and [`ErrorKind::Timeout`] if the device makes no progress.
    ///
    /// ```
    /// let x = cupric::array![[1, 2], [3, 4]];
    /// assert_eq!(x.t().to_vec::<i32>()?, [1, 3, 2, 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("tolist", "to_vec1", "into_raw_vec"))]
    #[track_caller]
    pub fn to_vec<T: Item>(&self) -> Result<Vec<T>> {
        let at = Location::caller();
        wait("to_vec", "to_vec_async", self.fetch::<T>("to_vec", at)).map_err(|e| e.or_at(at))
    }

    /// Returns the elements in C order, on the host, converted from any dtype to `T`: those of [`Expr::eval`], converted
    /// as by [`Expr::astype`]. So f16 and bf16 are rounded to their own dtype first.
    ///
    /// # Errors
    /// Returns the errors of [`Expr::to_vec`], except the one for a wrong dtype.
    ///
    /// ```
    /// let x = cupric::array![1.5, -2.5];
    /// assert_eq!(x.to_vec_as::<f64>()?, [1.5, -2.5]);
    /// assert_eq!(x.to_vec_as::<i64>()?, [1, -2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn to_vec_as<T: Item>(&self) -> Result<Vec<T>> {
        const OP: &str = "to_vec_as";
        let at = Location::caller();
        let node = self.checked()?;
        // if the array's device does not support `T`, move the array to the CPU and convert it there
        let has_type = Device::with(node.device, |device| device.supports(T::Stored::DTYPE));
        let whole = if has_type { self.clone() } else { self.moved(&Device::cpu(), OP, at)?.0 };
        let whole = strong(whole, at);
        // inside a kernel f16 and bf16 are f32, so without this rounding the elements would not be those of the dtype
        let is_half = whole.0.dtype.is_half() && whole.0.dtype != T::Stored::DTYPE;
        let whole = match mutant!(read_without_rounding, false, is_half) {
            true => rounded(&whole, at),
            false => whole,
        };
        let elements = T::cast(whole, at).fetch::<T>(OP, at);
        wait(OP, "to_vec_async", elements).map_err(|e| e.or_at(at))
    }

    /// Returns the bytes of the elements in C order, in this machine's byte order. A bool becomes the byte 0 or 1.
    /// [`Array::from_bytes`] is the inverse.
    ///
    /// # Errors
    /// Returns the errors of [`Expr::to_vec`], except the one for a wrong dtype.
    ///
    /// ```
    /// let bytes = cupric::array![1.0, -2.0].to_bytes()?;
    /// assert_eq!(bytes, [1.0f32.to_ne_bytes(), (-2.0f32).to_ne_bytes()].concat());
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("tobytes"))]
    #[track_caller]
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let at = Location::caller();
        wait("to_bytes", "to_bytes_async", self.bytes("to_bytes", at)).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Expr::to_bytes`], for code that must not block. The call itself submits the kernels,
    /// and the future waits for the bytes.
    ///
    /// # Errors
    /// Returns the errors of [`Expr::to_bytes`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// assert_eq!(cupric::array![true, false].to_bytes_async().await?, [1, 0]);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn to_bytes_async(&self) -> impl Future<Output = Result<Vec<u8>>> + Send + use<> {
        self.bytes("to_bytes_async", Location::caller())
    }

    /// Starts to read the bytes of the elements in C order, and returns a future of the bytes.
    pub(super) fn bytes(&self, op: &'static str, at: Loc) -> impl Future<Output = Result<Vec<u8>>> + Send + use<> {
        let reading = self.checked().map(|_| {
            let e = strong(self.clone(), at);
            (e.0.dtype, e.reading::<u8>(op, at))
        });
        async move {
            let (dtype, reading) = reading?;
            let mut bytes = reading.await?;
            if dtype == DType::Bool {
                // a kernel may store `true` as any byte except 0, so normalise it to 1
                bytes.iter_mut().for_each(|b| *b = (*b != 0) as u8);
            }
            Ok(bytes)
        }
    }

    /// The asynchronous form of [`Expr::to_vec`], for code that must not block. The call itself plans, compiles and
    /// submits the kernels (on the CPU, it runs them), and the future completes when the elements have arrived. Writes
    /// to the array after the call do not change the elements that the future returns. If the future is dropped, the
    /// next read or wait returns the errors of its kernels.
    ///
    /// # Errors
    /// Returns the errors of [`Expr::to_vec`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let x = cupric::array![1., 2.];
    /// assert_eq!((&x * 2.0).to_vec_async::<f32>().await?, [2., 4.]);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn to_vec_async<T: Item>(&self) -> impl Future<Output = Result<Vec<T>>> + Send + use<T> {
        self.fetch::<T>("to_vec_async", Location::caller())
    }

    /// Returns the only element of the expression, on the host, like NumPy's `item`.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Shape`] if there is not exactly one element, and the errors of [`Expr::to_vec`].
    ///
    /// ```
    /// let x = cupric::array![[1., 2.], [3., 4.]];
    /// assert_eq!(x.sum(..).item::<f32>()?, 10.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("to_scalar", "into_scalar"))]
    #[track_caller]
    pub fn item<T: Item>(&self) -> Result<T> {
        let at = Location::caller();
        wait("item", "item_async", self.one::<T>("item", at)).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Expr::item`], for code that must not block. The call itself plans, compiles and
    /// submits the kernels, and the future waits for the element.
    ///
    /// # Errors
    /// Returns the errors of [`Expr::item`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let x = cupric::array![1., 2.];
    /// assert_eq!(x.sum(..).item_async::<f32>().await?, 3.);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn item_async<T: Item>(&self) -> impl Future<Output = Result<T>> + Send + use<T> {
        self.one::<T>("item_async", Location::caller())
    }

    pub(super) fn one<T: Item>(&self, op: &'static str, at: Loc) -> impl Future<Output = Result<T>> + Send + use<T> {
        let size = self.size();
        let all = self.fetch::<T>(op, at);
        async move {
            let n = size?;
            if n != 1 {
                return Err(Error::with_line(
                    ErrorKind::Shape,
                    op,
                    format!("the array has {n} elements; exactly one is needed"),
                    at,
                ));
            }
            let all = all.await?;
            all.first()
                .copied()
                .ok_or_else(|| Error::with_line(ErrorKind::Internal, op, "the device returned no element", at))
        }
    }

    pub(super) fn fetch<T: Item>(
        &self,
        op: &'static str,
        at: Loc,
    ) -> impl Future<Output = Result<Vec<T>>> + Send + use<T> {
        let is_other = |dtype: DType| {
            let want = T::Stored::DTYPE;
            let detail = format!(
                "the array's dtype is {dtype}, not {want}; read it as {dtype}, or convert it with astype(DType::{want:?})"
            );
            Error::with_line(ErrorKind::DType, op, detail, at)
        };
        let whole = self.checked().map(|_| strong(self.clone(), at));
        let reading = whole.and_then(|whole| {
            let dtype = whole.0.dtype;
            let source = T::source(whole, at);
            if source.0.dtype != T::Stored::DTYPE {
                return Err(is_other(dtype));
            }
            Ok((source.reading::<T::Stored>(op, at), dtype))
        });
        async move {
            let (reading, dtype) = reading?;
            let refused = |detail| Error::with_line(ErrorKind::Argument, op, detail, at);
            T::converted(reading.await?, dtype).map_err(refused)
        }
    }

    /// Starts a read of the elements of an expression of dtype `T`, and returns a future of the elements. If `T` is
    /// `u8`, reads the bytes of an expression of any dtype.
    fn reading<T: Element>(&self, op: &'static str, at: Loc) -> impl Future<Output = Result<Vec<T>>> + Send + use<T> {
        // the kernels are enqueued now (on the CPU, they run now), and the future only waits for the bytes
        let reading = || {
            let dense = self.eval_at(at)?.dense(at)?;
            match dense.copied::<T>(op, at) {
                Some(elements) => elements.map(|elements| Reading::Done(elements, dense)),
                None => Ok(Reading::Pending(Box::pin(dense.elements::<T>(op, at)?))),
            }
        };
        let reading = reading();
        async move {
            match reading? {
                Reading::Done(elements, array) => {
                    drop(array);
                    Ok(elements)
                }
                Reading::Pending(elements) => elements.await,
            }
        }
    }
}
