//! Devices and buffers of programs that call wgpu themselves. A lent device keeps the program's error handler, and the
//! features and limits with which it was opened. cupric never writes to a program's buffer, and never puts it into the
//! pool.

use super::adapter::{self, Lent, Origin, inherited_fault, is_inherited};
use super::at_exit;
use super::batch::new_encoder;
use super::connection::{Connection, lock};
use super::device::{Gpu, GpuMemory, connected, driver_buffer};
use crate::base::buffer::Buffer;
use crate::base::error::{Error, ErrorKind, Result};
use crate::plan::backend::{Backend, Native, wait};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Once};

/// Returns an error message about the first limit of a program's device that is too low for our kernels, or `None`.
/// Kernels rely on some limits that WebGPU guarantees, but a program may have opened its device with lower limits.
fn missing(limits: &wgpu::Limits) -> Option<String> {
    let least = wgpu::Limits::default();
    macro_rules! limits {
        ($($name:ident)*) => { [$((stringify!($name), u64::from(limits.$name), u64::from(least.$name))),*] };
    }
    let all = limits!(max_storage_buffers_per_shader_stage max_uniform_buffers_per_shader_stage max_bind_groups
        max_storage_buffer_binding_size max_uniform_buffer_binding_size max_buffer_size
        max_compute_workgroup_storage_size max_compute_invocations_per_workgroup max_compute_workgroup_size_x
        max_compute_workgroup_size_y max_compute_workgroups_per_dimension);
    let (name, has, needs) = all.into_iter().find(|(_, has, needs)| has < needs)?;
    Some(format!(
        "the device was opened with {name} {has}; kernels need {needs} (the value of wgpu::Limits::default())"
    ))
}

/// Makes a device with the number `id` from a device that a program has opened.
pub(crate) fn of_program(
    id: u32,
    adapter: &wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
) -> Result<Arc<dyn Backend>> {
    static ONCE: Once = Once::new();
    let fail = |kind, detail: String| Error::with_line(kind, "Device::from_wgpu", detail, None);
    if is_inherited() {
        let fault = inherited_fault();
        return Err(Error::with_line(fault.kind, "Device::from_wgpu", fault.detail, None));
    }
    adapter::has_loaded();
    at_exit::stop_threads(&ONCE);
    let Some(_inside) = at_exit::enter() else {
        return Err(fail(ErrorKind::DeviceLost, "the process is ending".to_string()));
    };
    let (of_adapter, of_device) = (adapter.get_info(), device.adapter_info());
    if of_adapter != of_device {
        let detail = format!("the device belongs to the adapter {}, not to {}", of_device.name, of_adapter.name);
        return Err(fail(ErrorKind::Argument, detail));
    }
    let (features, limits) = (device.features(), device.limits());
    if let Some(detail) = missing(&limits) {
        return Err(fail(ErrorKind::Unsupported, detail));
    }
    let origin = Origin::Lent(Arc::new(Lent { adapter: adapter.clone(), features, limits: limits.clone() }));
    let opened = adapter::described(adapter, device, queue, (features, &limits), None);
    let connection =
        Connection::new(opened.caps.name.clone(), opened.device.clone(), opened.queue.clone(), opened.software);
    connection.report_losses();
    // wgpu reports only in a poll that the device is lost
    connection.poll();
    connection.check()?;
    let gpu = wait("Device::from_wgpu", "", connected(id, origin, opened, connection, None, None, false))?;
    gpu.answers()?;
    Ok(gpu)
}

impl Native for Gpu {
    fn handles(&self) -> Result<(wgpu::Device, wgpu::Queue)> {
        self.connection.check()?;
        lock(&self.batch).submit(&self.connection)?;
        Ok((self.connection.device.clone(), self.connection.queue.clone()))
    }

    fn native_buffer(&self, buffer: &Buffer) -> Result<wgpu::Buffer> {
        self.connection.check()?;
        let Some(own) = driver_buffer(buffer) else {
            let detail = "the buffer does not belong to a GPU";
            return Err(Error::with_line(ErrorKind::Internal, "wgpu_buffer", detail, None));
        };
        self.submit_uses_of(own)?;
        Ok(own.buffer.clone())
    }

    fn borrow(&self, buffer: &wgpu::Buffer, bytes: u64) -> Result<Buffer> {
        self.connection.check()?;
        let fail = |kind, detail: String| Error::with_line(kind, "from_wgpu_buffer", detail, None);
        let (size, usage) = (buffer.size(), buffer.usage());
        let needs = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        if !usage.contains(needs) {
            let detail = format!("the buffer was created with the usage {usage:?}; it also needs {:?}", needs - usage);
            return Err(fail(ErrorKind::Argument, detail));
        }
        // if a buffer is mapped when work on it is submitted, all other work of that submission fails too
        if usage.intersects(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::MAP_WRITE) {
            let detail =
                format!("the buffer was created with the usage {usage:?}; a mappable buffer cannot hold an array");
            return Err(fail(ErrorKind::Argument, detail));
        }
        // a kernel's binding consists of whole words of 4 bytes
        if bytes.next_multiple_of(4) > size {
            let detail =
                format!("{bytes} bytes, rounded up to whole words of 4 bytes, do not fit a buffer of {size} bytes");
            return Err(fail(ErrorKind::Argument, detail));
        }
        if !self.takes(buffer)? {
            let detail = format!("the buffer was destroyed, or does not belong to {}", self.name);
            return Err(fail(ErrorKind::Argument, detail));
        }
        let gpu = self.handle()?;
        if !self.reserve(size) {
            let detail = format!("{size} bytes on {} exceed its memory limit", self.name);
            return Err(fail(ErrorKind::OutOfMemory, detail));
        }
        let mut pool = lock(&self.pool);
        let driver = pool.numbered(buffer.clone(), size);
        pool.note_peak();
        drop(pool);
        self.connection.counters.allocations.fetch_add(1, Relaxed);
        Ok(Buffer::new(|| GpuMemory::lent(driver, bytes as usize, gpu)))
    }
}

impl Gpu {
    /// Returns whether wgpu accepts commands for the buffer on this device. wgpu rejects a buffer of another device,
    /// and one that was destroyed. wgpu cannot recognise a buffer of another wgpu instance: it panics, or mistakes the
    /// buffer for one of ours with the same number. This mistake is detected only if the lengths differ. The commands
    /// are never submitted.
    fn takes(&self, buffer: &wgpu::Buffer) -> Result<bool> {
        let clears = |offset: u64, bytes: u64| {
            let clear = || {
                self.connection.scoped("bind", || {
                    let mut encoder = new_encoder(&self.connection);
                    encoder.clear_buffer(buffer, offset, Some(bytes));
                    drop(encoder.finish());
                })
            };
            match catch_unwind(AssertUnwindSafe(clear)) {
                Ok(Err(e)) if e.kind() != ErrorKind::Internal => Err(e),
                Ok(cleared) => Ok(cleared.is_ok()),
                Err(_) => Ok(false),
            }
        };
        let words = buffer.size() & !3;
        Ok(words > 0 && clears(0, words)? && !clears(words, 4)?)
    }

    /// Returns an error if the queue does not belong to the device. To find out, writes data to the queue and reads it
    /// back from memory of the device.
    fn answers(&self) -> Result<()> {
        let word = *b"word";
        let test = || -> Result<bool> {
            let buffer = self.allocate(word.len())?;
            self.upload(&buffer, 0, &word)?;
            Ok(wait("Device::from_wgpu", "", self.download(&buffer, 0, word.len()))? == word)
        };
        // by default wgpu panics if a queue is given resources of another device
        let found = catch_unwind(AssertUnwindSafe(test)).unwrap_or(Ok(false));
        if found? {
            return Ok(());
        }
        let detail =
            "the queue does not belong to the device: data written to it did not arrive in the device's memory";
        Err(Error::with_line(ErrorKind::Argument, "Device::from_wgpu", detail, None))
    }
}
