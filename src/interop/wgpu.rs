//! Arrays of a GPU for programs that call wgpu themselves: their buffers, and buffers of the program's own as arrays.

use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{IntoShape, Layout, shape_arg, size_of_shape, span_of};
use std::fmt;
use std::ops::Range;
use std::panic::Location;

/// The memory of an array of a GPU, for a program that calls wgpu itself: to draw it, or to read it in a shader. [`Array::wgpu_buffer`]
/// makes one. (Feature `wgpu`.)
///
/// It holds the array: as long as it lives, nothing else is put into the memory, and a write to the array takes new memory. So keep it
/// until the commands that use the buffer are submitted. They must not write to it.
///
/// The elements lie at [`offset`](WgpuBuffer::offset) and at the array's strides from there, each type as in a `Vec` of Rust; a bool is a byte,
/// true where it is not 0. A shader of WGSL sees 8- and 16-bit types 4 and 2 to a word.
pub struct WgpuBuffer {
    array: Array,
    buffer: wgpu::Buffer,
    offset: u64,
    range: Range<u64>,
}

impl WgpuBuffer {
    /// The buffer, which may be longer than the array. It was made for storage, copies, vertices and indices; a program that needs
    /// another usage copies it.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Where the element lies whose index is 0 along every axis, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes from the array's first element in memory to its last; they begin at [`offset`](WgpuBuffer::offset) unless a stride is negative.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// The part of the buffer that [`range`](WgpuBuffer::range) names, as a render pass takes it. A slice of wgpu is not empty: that of an
    /// array without elements is the buffer's first word.
    pub fn slice(&self) -> wgpu::BufferSlice<'_> {
        match self.range.is_empty() {
            true => self.buffer.slice(..4),
            false => self.buffer.slice(self.range()),
        }
    }

    /// The array whose memory this is.
    pub fn array(&self) -> &Array {
        &self.array
    }
}

impl fmt::Debug for WgpuBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shape, dtype) = (self.array.shape(), self.array.dtype());
        write!(f, "WgpuBuffer({dtype} {shape:?} at bytes {:?} of {})", self.range, self.buffer.size())
    }
}

impl Array {
    /// The array's memory on its GPU, for a program that calls wgpu itself; nothing is copied. The work that computes the array is
    /// submitted to the device's queue, so that commands which are submitted to it afterwards read the finished array. (Feature `wgpu`.)
    ///
    /// An index out of range, which a GPU tells late, is an error of the next read, and not of this call.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceMismatch`] for an array of the CPU; those of the device.
    ///
    /// ```no_run
    /// use cupric::{Device, array, wgpu};
    /// let x = array![1., 2., 3., 4.].to_device(&Device::gpu()?)?;
    /// let y = (&x * 2.0).eval()?;
    /// let shared = y.wgpu_buffer()?;
    /// let (device, queue) = (y.device().wgpu_device()?, y.device().wgpu_queue()?);
    /// let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    /// let own = device.create_buffer(&wgpu::BufferDescriptor {
    ///     label: None,
    ///     size: 16,
    ///     usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::UNIFORM,
    ///     mapped_at_creation: false,
    /// });
    /// encoder.copy_buffer_to_buffer(shared.buffer(), shared.offset(), &own, 0, 16);
    /// queue.submit([encoder.finish()]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn wgpu_buffer(&self) -> Result<WgpuBuffer> {
        const OP: &str = "wgpu_buffer";
        let at = Location::caller();
        let device = self.device();
        let Some((memory, strides, first)) = self.0.stored() else {
            return Err(Error::with_line(ErrorKind::Internal, OP, "an array has no memory", at));
        };
        let buffer = device.native_buffer(memory).unwrap_or_else(|| Err(no_gpu(OP, &device)));
        let buffer = buffer.map_err(|e| e.or_at(at))?;
        let size = self.dtype().size();
        let place = |distance: isize| first.checked_add_signed(distance).map_or(0, |place| (place * size) as u64);
        let range = match span_of(self.shape(), strides) {
            Some((low, high)) => place(low)..place(high) + size as u64,
            None => place(0)..place(0),
        };
        Ok(WgpuBuffer { array: self.clone(), buffer, offset: place(0), range })
    }

    /// An array of a part of a program's own buffer, in C order; nothing is copied. `device` is the one on whose wgpu device the buffer was
    /// made: [`Device::from_wgpu`] takes that of a program over, [`Device::wgpu_device`] gives that of cupric. wgpu cannot always tell a buffer of
    /// another `wgpu::Instance` from one of this device, and an array of such a one may have any numbers. (Feature `wgpu`.)
    ///
    /// The elements are those that the program has written when this is called, or with commands that it has submitted. From then on they are
    /// the array's: the array never writes to the buffer (a write to the array takes new memory), and the program must not, either, as long as an array
    /// or an expression has it, and until what was computed of it is submitted ([`Device::wgpu_queue`] does that). A buffer that is destroyed meanwhile
    /// fails the device. The bytes count as the device's memory in use.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceMismatch`] for the CPU, [`ErrorKind::Argument`] for a buffer that was not made for `STORAGE`, `COPY_SRC` and
    /// `COPY_DST`, or was made to be mapped, or is one of another device, or destroyed; for a part that begins within an element, or has not
    /// the bytes of the shape's elements; [`ErrorKind::OutOfMemory`] for a buffer beyond the device's limit.
    ///
    /// ```no_run
    /// use cupric::{Array, DType, Device, wgpu};
    /// let device = Device::gpu()?;
    /// let own = device.wgpu_device()?.create_buffer(&wgpu::BufferDescriptor {
    ///     label: None,
    ///     size: 1 << 20,
    ///     usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
    ///     mapped_at_creation: false,
    /// });
    /// device.wgpu_queue()?.write_buffer(&own, 0, bytemuck::cast_slice(&[1f32, 2., 3., 4.]));
    /// let x = Array::from_wgpu_buffer(&device, own.slice(..), DType::F32, [2, 2])?;
    /// assert_eq!(x.sum(0).to_vec::<f32>()?, [4., 6.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn from_wgpu_buffer(
        device: &Device,
        part: wgpu::BufferSlice<'_>,
        dtype: DType,
        shape: impl IntoShape,
    ) -> Result<Array> {
        const OP: &str = "from_wgpu_buffer";
        let at = Location::caller();
        let fail = |detail: String| Error::with_line(ErrorKind::Argument, OP, detail, at);
        let shape = shape_arg(shape).map_err(|f| f.at(OP, at))?;
        let count = size_of_shape(&shape).map_err(|f| f.at(OP, at))? as u64;
        let (size, first) = (dtype.size() as u64, part.offset());
        if !first.is_multiple_of(size) {
            return Err(fail(format!("the part begins at byte {first}, within an element of {dtype}")));
        }
        let bytes = count.saturating_mul(size);
        if bytes > part.size() {
            let detail = format!("{dtype} {shape:?} has {bytes} bytes, and the part of the buffer {}", part.size());
            return Err(fail(detail));
        }
        let memory = device.borrow_native(part.buffer(), first + bytes).unwrap_or_else(|| Err(no_gpu(OP, device)));
        let memory = memory.map_err(|e| e.or_at(at))?;
        let layout = Layout { offset: (first / size) as usize, ..Layout::c(&shape) };
        Ok(Array::new(memory, layout, dtype, at))
    }
}

fn no_gpu(op: &'static str, device: &Device) -> Error {
    let detail = format!("{device} has no buffers of wgpu; a GPU has");
    Error::with_line(ErrorKind::DeviceMismatch, op, detail, None)
}
