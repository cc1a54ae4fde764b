//! Shares GPU buffers with programs that use wgpu directly: the program can use the buffer of an array, and an array
//! can use a buffer of the program.

use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{IntoShape, Layout, shape_arg, size_of_shape, span_of};
use std::fmt;
use std::ops::Range;
use std::panic::Location;

/// The memory of an array on a GPU, for programs that use wgpu directly, for example to draw it or to read it in a
/// shader. Returned by [`Array::wgpu_buffer`]. (Feature `wgpu`.)
///
/// This value keeps the array alive. While it exists, the memory is not reused, and a write to the array allocates new
/// memory. So keep it until the commands that use the buffer are submitted. These commands must not write to the
/// buffer.
///
/// The first element is at [`offset`](WgpuBuffer::offset), and the other elements follow at the array's strides.
/// Elements have the same format as in a Rust `Vec`; a bool is one byte, and is true if the byte is not 0. In WGSL,
/// types of 8 and 16 bits are packed: 4 or 2 elements in a 32-bit word.
pub struct WgpuBuffer {
    array: Array,
    buffer: wgpu::Buffer,
    offset: u64,
    range: Range<u64>,
}

impl WgpuBuffer {
    /// Returns the buffer, which may be longer than the array. Its usages are storage, copies, vertices and indices;
    /// for other usages, copy it.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Returns the offset, in bytes, of the element whose index is 0 along every axis.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the range of bytes from the array's first element in memory to its last. It starts at
    /// [`offset`](WgpuBuffer::offset) unless a stride is negative.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Returns the part of the buffer that contains the array ([`range`](WgpuBuffer::range)), for example for a render
    /// pass. If the array has no elements, returns the first word of the buffer, because wgpu has no empty slices.
    pub fn slice(&self) -> wgpu::BufferSlice<'_> {
        match self.range.is_empty() {
            true => self.buffer.slice(..4),
            false => self.buffer.slice(self.range()),
        }
    }

    /// Returns the array that is stored in the buffer.
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
    /// Returns the array's memory on its GPU without a copy, for programs that use wgpu directly. The kernels that
    /// compute the array are submitted to the device's queue, so commands that the program submits to the same queue
    /// afterwards read the finished array. (Feature `wgpu`.)
    ///
    /// A GPU reports an out-of-bounds index late: the next read of the device returns the error, not this call.
    ///
    /// # Errors
    /// Returns [`ErrorKind::DeviceMismatch`] if the array is on the CPU, and the errors of the device.
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

    /// Makes an array from a part of a program's buffer, in C order, without a copy. (Feature `wgpu`.)
    ///
    /// `device` must be the device whose wgpu device made the buffer: [`Device::from_wgpu`] takes over a program's wgpu
    /// device, and [`Device::wgpu_device`] returns cupric's own. wgpu cannot always detect a buffer of another
    /// `wgpu::Instance`; an array in such a buffer may contain any numbers.
    ///
    /// The array contains what the program wrote before this call, including writes by commands that it has submitted.
    /// The array never writes to the buffer, because a write to the array allocates new memory.
    ///
    /// The program must not write to the buffer while an array or an expression uses it. Afterwards, the program may
    /// write once the kernels that read the buffer are submitted ([`Device::wgpu_queue`] submits them). If the buffer
    /// is destroyed while it is in use, the device fails. The buffer's size counts as the device's memory in use.
    ///
    /// # Errors
    /// Returns an error of one of these kinds:
    ///
    /// * [`ErrorKind::DeviceMismatch`] if `device` is the CPU.
    /// * [`ErrorKind::Argument`] if the buffer lacks the usage `STORAGE`, `COPY_SRC` or `COPY_DST`, was created for
    ///   mapping, belongs to another device, or is destroyed, or if the part of the buffer starts within an element or
    ///   is too small for the shape.
    /// * [`ErrorKind::OutOfMemory`] if the buffer exceeds the device's memory limit.
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
            let detail =
                format!("{dtype} {shape:?} needs {bytes} bytes, but the part of the buffer has {}", part.size());
            return Err(fail(detail));
        }
        let memory = device.borrow_native(part.buffer(), first + bytes).unwrap_or_else(|| Err(no_gpu(OP, device)));
        let memory = memory.map_err(|e| e.or_at(at))?;
        let layout = Layout { offset: (first / size) as usize, ..Layout::c(&shape) };
        Ok(Array::new(memory, layout, dtype, at))
    }
}

fn no_gpu(op: &'static str, device: &Device) -> Error {
    let detail = format!("{device} has no wgpu buffers; only a GPU has");
    Error::with_line(ErrorKind::DeviceMismatch, op, detail, None)
}
