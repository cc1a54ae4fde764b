//! GPUs that a program has opened by wgpu itself, and the parts of a GPU as wgpu has them.

use super::{Device, register};
use crate::base::buffer::Buffer;
use crate::base::error::{Error, ErrorKind, Result};
use std::panic::Location;

impl Device {
    /// The device of a program that calls wgpu itself, to draw for instance. Its arrays are buffers of that device
    /// ([`Array::wgpu_buffer`](crate::Array::wgpu_buffer)), and its work goes to that queue. (Feature `wgpu`.)
    ///
    /// What the device was opened with decides what it can do: ask for the adapter's own `limits()`, which let kernels bind larger arrays, and for
    /// `SHADER_F16`, `SHADER_INT64`, `SHADER_F64`, `SUBGROUP` and `TIMESTAMP_QUERY` where it has them. Without them the same functions are
    /// there, but for f64, [`time_kernels`](Device::time_kernels) and products on tensor cores.
    ///
    /// The program's handler of uncaptured errors stays. Its callback for the loss of the device is replaced, because a device that is lost must
    /// not go unseen: the loss is then the error of each later call. wgpu 30.0.1 may panic where two threads poll one device at once, so
    /// a program that polls it must do that on the thread that computes, and block for results instead of awaiting them.
    ///
    /// Each call makes a device of its own, whose arrays do not mix with another's. It ends with the last handle on it and the last array of it.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for limits below WebGPU's defaults, by name; [`ErrorKind::Argument`] for a device that is not one of the adapter.
    ///
    /// ```no_run
    /// use cupric::{Device, array, wgpu};
    /// let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    /// let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    /// let asked = wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
    /// let (device, queue) = pollster::block_on(adapter.request_device(&asked))?;
    /// let gpu = Device::from_wgpu(&adapter, device.clone(), queue.clone())?;
    /// let x = array![1., 2., 3.].to_device(&gpu)?;
    /// let shared = (&x * 2.0).eval()?.wgpu_buffer()?;     // of the program's own device
    /// # let _ = shared;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Result<Device> {
        let at = Location::caller();
        register(|id| crate::gpu::of_program(id, adapter, device, queue)).map_err(|e| e.or_at(at))
    }

    /// The GPU as wgpu has it. (Feature `wgpu`.)
    ///
    /// # Errors
    /// [`ErrorKind::DeviceMismatch`] on the CPU; the loss of the device.
    #[track_caller]
    pub fn wgpu_device(&self) -> Result<wgpu::Device> {
        self.handles("wgpu_device", Location::caller()).map(|(device, _)| device)
    }

    /// The GPU's queue, after all work that this device has enqueued is submitted to it: what a program submits afterwards runs later. (Feature
    /// `wgpu`.)
    ///
    /// # Errors
    /// [`ErrorKind::DeviceMismatch`] on the CPU; the loss of the device; what the driver refuses of the work.
    #[track_caller]
    pub fn wgpu_queue(&self) -> Result<wgpu::Queue> {
        self.handles("wgpu_queue", Location::caller()).map(|(_, queue)| queue)
    }

    fn handles(&self, op: &'static str, at: &'static Location<'static>) -> Result<(wgpu::Device, wgpu::Queue)> {
        let Some(native) = self.0.native() else {
            let detail = format!("{self} is not opened by wgpu; a GPU is");
            return Err(Error::with_line(ErrorKind::DeviceMismatch, op, detail, at));
        };
        native.handles().map_err(|e| e.or_at(at))
    }

    /// The driver's buffer of an array, after the work that computes it is submitted; none on the CPU.
    pub(crate) fn native_buffer(&self, buffer: &Buffer) -> Option<Result<wgpu::Buffer>> {
        Some(self.0.native()?.native_buffer(buffer))
    }

    /// A handle on the first `bytes` bytes of a program's own buffer; none on the CPU.
    pub(crate) fn borrow_native(&self, buffer: &wgpu::Buffer, bytes: u64) -> Option<Result<Buffer>> {
        Some(self.0.native()?.borrow(buffer, bytes))
    }
}
