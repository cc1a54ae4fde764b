//! Devices made from a wgpu device that the program has opened itself, and access to a GPU's wgpu objects.

use super::{Device, register};
use crate::base::buffer::Buffer;
use crate::base::error::{Error, ErrorKind, Result};
use std::panic::Location;

impl Device {
    /// Makes a device from a wgpu device that the program has opened itself, for example to draw. Arrays are buffers of
    /// that wgpu device ([`Array::wgpu_buffer`](crate::Array::wgpu_buffer)), and kernels are submitted to `queue`.
    /// (Feature `wgpu`.)
    ///
    /// * Request the adapter's own `limits()`, so that kernels can bind larger arrays, and the features `SHADER_F16`,
    ///   `SHADER_INT64`, `SHADER_F64`, `SUBGROUP` and `TIMESTAMP_QUERY` if the adapter has them. Without these features
    ///   everything works except f64, [`time_kernels`](Device::time_kernels) and products on tensor cores.
    /// * The program's handler of uncaptured errors is kept, but its callback for the loss of the device is replaced.
    ///   After a loss, every call on this device returns an error that reports the loss.
    /// * wgpu 30.0.1 may panic if two threads poll one device at the same time. So a program that polls the device must
    ///   do so on the thread that computes, and must block for results instead of awaiting them.
    /// * Each call makes a new device, whose arrays cannot be mixed with arrays of another device. The device ends when
    ///   the last handle to it and the last array on it are dropped.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Unsupported`] if limits of the device are below WebGPU's defaults (the message names them),
    /// and [`ErrorKind::Argument`] if the device does not belong to the adapter.
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

    /// Returns the GPU's wgpu device. (Feature `wgpu`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::DeviceMismatch`] on the CPU, and an error if the device is lost.
    #[track_caller]
    pub fn wgpu_device(&self) -> Result<wgpu::Device> {
        self.handles("wgpu_device", Location::caller()).map(|(device, _)| device)
    }

    /// Returns the GPU's queue, after submitting all commands that this device has enqueued. Commands that the program
    /// submits afterwards run later. (Feature `wgpu`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::DeviceMismatch`] on the CPU, an error if the device is lost, and the driver's error if a
    /// submitted command fails.
    #[track_caller]
    pub fn wgpu_queue(&self) -> Result<wgpu::Queue> {
        self.handles("wgpu_queue", Location::caller()).map(|(_, queue)| queue)
    }

    fn handles(&self, op: &'static str, at: &'static Location<'static>) -> Result<(wgpu::Device, wgpu::Queue)> {
        let Some(native) = self.0.native() else {
            let detail = format!("{self} is not a wgpu device; only GPUs are");
            return Err(Error::with_line(ErrorKind::DeviceMismatch, op, detail, at));
        };
        native.handles().map_err(|e| e.or_at(at))
    }

    /// Returns the driver's buffer of an array, after submitting the commands that compute it; `None` on the CPU.
    pub(crate) fn native_buffer(&self, buffer: &Buffer) -> Option<Result<wgpu::Buffer>> {
        Some(self.0.native()?.native_buffer(buffer))
    }

    /// Returns a handle to the first `bytes` bytes of a program's own buffer; `None` on the CPU.
    pub(crate) fn borrow_native(&self, buffer: &wgpu::Buffer, bytes: u64) -> Option<Result<Buffer>> {
        Some(self.0.native()?.borrow(buffer, bytes))
    }
}
