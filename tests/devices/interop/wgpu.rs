//! Devices and buffers that are shared with programs that call wgpu themselves.

use crate::kit::*;
use cupric::{Array, DType, Device, Error, ErrorKind, Rng, arange, array, s, wgpu, zeros};
use pollster::block_on;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

type Result<T = ()> = std::result::Result<T, Error>;

/// A device that the program opened through wgpu.
struct Own {
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
}

/// Opens a device on the adapter of `of`, with these limits and features.
fn opened(of: &Device, limits: Option<wgpu::Limits>, features: wgpu::Features) -> Own {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let is_it = |a: &wgpu::Adapter| of.name().contains(&a.get_info().name);
    let adapter = adapters.into_iter().find(is_it).expect("the adapter of the device");
    let required_limits = limits.unwrap_or(adapter.limits());
    let required_features = features & adapter.features();
    let asked = wgpu::DeviceDescriptor { required_limits, required_features, ..Default::default() };
    let (device, queue) = block_on(adapter.request_device(&asked)).expect("the device opens");
    Own { adapter, device, queue }
}

impl Own {
    fn device(&self) -> Result<Device> {
        Device::from_wgpu(&self.adapter, self.device.clone(), self.queue.clone())
    }

    /// Another device on the same adapter.
    fn again(&self) -> Own {
        let (device, queue) = block_on(self.adapter.request_device(&Default::default())).expect("a second device");
        Own { adapter: self.adapter.clone(), device, queue }
    }

    fn buffer(&self, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        self.device.create_buffer(&descriptor)
    }

    /// A buffer with these numbers, which may become an array.
    fn of(&self, numbers: &[f32]) -> wgpu::Buffer {
        let buffer = self.buffer(numbers.len() as u64 * 4, usages());
        self.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(numbers));
        buffer
    }

    /// Reads a buffer by the program's own commands.
    fn read(&self, buffer: &wgpu::Buffer, offset: u64, count: usize) -> Vec<f32> {
        let staging = self.buffer(count as u64 * 4, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, count as u64 * 4);
        self.queue.submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("mapped"));
        self.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device works");
        let view = staging.get_mapped_range(..).expect("mapped");
        bytemuck::pod_collect_to_vec(&view[..])
    }
}

fn usages() -> wgpu::BufferUsages {
    wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST
}

fn has_kind<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind, part: &str) {
    let error = result.expect_err("must be refused");
    assert!(error.kind() == kind && error.to_string().contains(part), "{error}");
    assert!(error.to_string().contains(file!()), "the line is missing: {error}");
}

#[test]
fn a_program_and_its_arrays_share_buffers() {
    let Some(d) = gpu(1) else { return };
    // with the limits that every WebGPU device has, and with all that the adapter has
    for (limits, features) in
        [(Some(wgpu::Limits::default()), wgpu::Features::empty()), (None, wgpu::Features::SHADER_INT64)]
    {
        let own = opened(&d, limits, features);
        shares(&own, &own.device().expect("the device is taken")).expect("shared");
    }
}

fn shares(own: &Own, d: &Device) -> Result {
    assert!(d.is_gpu() && d.wgpu_device()? == own.device && d.wgpu_queue()? == own.queue);
    // the program reads an array whose kernels are not submitted yet, several times
    let mut x = arange(0, 1000, 1, DType::F32).to_device(d)?;
    for n in 1..=20 {
        x = (&x + 1.0).eval()?;
        let shared = x.wgpu_buffer()?;
        assert_eq!((shared.offset(), shared.range()), (0, 0..4000));
        let found = own.read(shared.buffer(), 0, 1000);
        assert_eq!((found[0], found[999]), (n as f32, (999 + n) as f32));
    }
    // a view: the offset and range of its elements
    let view = x.reshape([10, 100]).slice(s![2..8;3, 10..;-1]).eval()?;
    let shared = view.wgpu_buffer()?;
    assert_eq!((shared.offset(), shared.range()), (210 * 4, 200 * 4..511 * 4));
    assert_eq!(own.read(shared.buffer(), shared.offset(), 1), view.slice(s![0, 0]).to_vec::<f32>()?);
    assert_eq!((shared.slice().offset(), shared.slice().size()), (800, 311 * 4));
    let nothing = zeros([0, 3], DType::F32).to_device(d)?.wgpu_buffer()?;
    assert!(nothing.range().is_empty() && nothing.slice().size() == 4, "{nothing:?}");
    // while the program holds the buffer, its contents stay, whatever happens to the array
    let held = x.wgpu_buffer()?;
    let before = x.to_vec::<f32>()?;
    x.update(|x| x * 0.0)?;
    drop(x);
    for _ in 0..10 {
        (Rng::new(1).normal([1000], DType::F32).to_device(d)? + 1.0).eval()?;
    }
    assert_eq!(own.read(held.buffer(), 0, 1000), before);
    assert_eq!(held.array().to_vec::<f32>()?, before);
    drop(held);
    takes(own, d)?;
    computes(d)
}

/// Buffers of the program, imported as arrays.
fn takes(own: &Own, d: &Device) -> Result {
    let (buffer, used) = (own.of(&[1., 2., 3., 4., 5., 6., 7., 8.]), d.memory().used);
    let mut x = Array::from_wgpu_buffer(d, buffer.slice(..), DType::F32, [2, 3])?;
    assert_eq!((x.shape(), d.memory().used - used), (&[2, 3][..], 32));
    assert_eq!(x.sum(0).to_vec::<f32>()?, [5., 7., 9.]);
    // the array gives the program's buffer back
    assert_eq!(*x.wgpu_buffer()?.buffer(), buffer);
    let tail = Array::from_wgpu_buffer(d, buffer.slice(12..), DType::F32, [5])?;
    assert_eq!((tail.t() * 10.0).to_vec::<f32>()?, [40., 50., 60., 70., 80.]);
    assert_eq!(tail.wgpu_buffer()?.range(), 12..32);
    assert_eq!(
        Array::from_wgpu_buffer(d, buffer.slice(..8), DType::U16, [4])?.to_vec::<u16>()?,
        [0, 0x3f80, 0, 0x4000]
    );
    assert_eq!(
        Array::from_wgpu_buffer(d, buffer.slice(2..), DType::Bool, [4])?.to_vec::<bool>()?,
        [true, true, false, false]
    );
    // a write to the array always allocates new memory, even if no other array uses the buffer
    drop(tail);
    x.slice_mut(s![0, ..]).update(|row| row * 100.0)?;
    assert_eq!(x.to_vec::<f32>()?, [100., 200., 300., 4., 5., 6.]);
    x.fill(0.0)?;
    assert_eq!(own.read(&buffer, 0, 8), [1., 2., 3., 4., 5., 6., 7., 8.]);
    drop(x);
    assert_eq!(d.memory().used, used);
    // frame by frame: the program may write the buffer when the work of the last frame is submitted
    let mut sums = vec![];
    for frame in 0..5 {
        let queue = d.wgpu_queue()?;
        queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&[frame as f32; 8]));
        let x = Array::from_wgpu_buffer(d, buffer.slice(..), DType::F32, [8])?;
        sums.push(x.sum(..).eval()?);
    }
    let sums: Vec<f32> = sums.iter().map(|sum| sum.item::<f32>()).collect::<Result<_>>()?;
    assert_eq!(sums, [0., 8., 16., 24., 32.]);
    refuses(own, d, &buffer)
}

fn refuses(own: &Own, d: &Device, buffer: &wgpu::Buffer) -> Result {
    use ErrorKind::Argument;
    let part = buffer.slice(..);
    has_kind(
        Array::from_wgpu_buffer(d, part, DType::F32, [3, 3]),
        Argument,
        "36 bytes, but the part of the buffer has 32",
    );
    has_kind(Array::from_wgpu_buffer(d, part, DType::F32, [usize::MAX, 3]), ErrorKind::LimitExceeded, "");
    has_kind(Array::from_wgpu_buffer(d, buffer.slice(2..), DType::F32, [1]), Argument, "within an element");
    has_kind(Array::from_wgpu_buffer(&Device::cpu(), part, DType::F32, [1]), ErrorKind::DeviceMismatch, "cpu");
    has_kind(array![1.].wgpu_buffer(), ErrorKind::DeviceMismatch, "cpu");
    has_kind(Device::cpu().wgpu_queue(), ErrorKind::DeviceMismatch, "cpu");
    let odd = own.buffer(6, usages());
    has_kind(Array::from_wgpu_buffer(d, odd.slice(..), DType::U8, [5]), Argument, "whole words");
    let bare = own.buffer(16, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    has_kind(Array::from_wgpu_buffer(d, bare.slice(..), DType::F32, [4]), Argument, "COPY_DST");
    // buffers of another device, and of another instance, where the same numbers mean other buffers
    let (other, e) = (own.again(), "or does not belong to");
    let theirs = other.of(&[1.]);
    has_kind(Array::from_wgpu_buffer(d, theirs.slice(..), DType::F32, [1]), Argument, e);
    let far = opened(d, Some(wgpu::Limits::default()), wgpu::Features::empty());
    for n in 1..50 {
        let theirs = far.of(&vec![1.; 1000 + n]);
        has_kind(Array::from_wgpu_buffer(d, theirs.slice(..), DType::F32, [1]), Argument, e);
    }
    // a device with the queue of another device
    let mixed = Device::from_wgpu(&own.adapter, other.device.clone(), own.queue.clone());
    has_kind(mixed, Argument, "the queue does not belong to the device");
    let gone = own.of(&[1., 2.]);
    gone.destroy();
    has_kind(Array::from_wgpu_buffer(d, gone.slice(..), DType::F32, [2]), Argument, e);
    // a buffer that exceeds the device's memory limit
    let small = d.with_memory_limit(1 << 16)?;
    assert!(small.wgpu_device()? != own.device, "a device with a limit is opened anew");
    let small_own = Own { adapter: own.adapter.clone(), device: small.wgpu_device()?, queue: small.wgpu_queue()? };
    let (fits, not) = (small_own.of(&[1.; 1 << 12]), small_own.of(&[1.; 1 << 14]));
    let x = Array::from_wgpu_buffer(&small, fits.slice(..), DType::F32, [1 << 12])?;
    has_kind(Array::from_wgpu_buffer(&small, not.slice(..), DType::F32, [1]), ErrorKind::OutOfMemory, "limit");
    assert_eq!(x.sum(..).item::<f32>()?, 4096.);
    Ok(())
}

/// Kernels of each kind give the right results on the program's device.
fn computes(d: &Device) -> Result {
    let x = Rng::new(7).normal([33, 65], DType::F32).eval()?;
    let y = x.to_device(d)?;
    let close = |a: &cupric::Expr, b: &cupric::Expr| -> Result<bool> {
        let (a, b) = (a.to_vec::<f32>()?, b.to_vec::<f32>()?);
        Ok(a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs().max(1.0)))
    };
    assert!(close(&y.softmax(-1), &x.softmax(-1))?);
    assert!(close(&y.matmul(y.t()), &x.matmul(x.t()))?);
    assert_eq!(y.sort(0).to_vec::<f32>()?, x.sort(0).to_vec::<f32>()?);
    assert!(close(&y.cumulative_sum(1), &x.cumulative_sum(1))?);
    let whole = |x: &Array| x.astype(DType::I64).sum(..).item::<i64>();
    assert_eq!(whole(&y)?, whole(&x)?);
    let far = array![40].to_device(d)?;
    let error = y.take(&far, 0).eval()?.to_vec::<f32>().expect_err("out of range");
    assert_eq!(error.kind(), ErrorKind::Index);
    Ok(())
}

#[test]
fn a_device_of_a_program_says_what_it_lacks() {
    let Some(d) = gpu(1) else { return };
    let few = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..wgpu::Limits::default() };
    let own = opened(&d, Some(few), wgpu::Features::empty());
    has_kind(own.device(), ErrorKind::Unsupported, "max_storage_buffers_per_shader_stage 4; kernels need 8");
    assert!(
        d.limits().memory_bytes.is_none_or(|bytes| bytes > 1 << 20) && Device::cpu().limits().memory_bytes.is_none()
    );
}

#[test]
fn errors_of_a_program_stay_its_own() {
    let Some(d) = gpu(1) else { return };
    let own = opened(&d, Some(wgpu::Limits::default()), wgpu::Features::empty());
    let seen = Arc::new(AtomicU32::new(0));
    let count = seen.clone();
    own.device.on_uncaptured_error(Arc::new(move |_| {
        count.fetch_add(1, Relaxed);
    }));
    let d = own.device().expect("the device is taken");
    let x = arange(0, 10, 1, DType::F32).to_device(&d).expect("an array");
    // wgpu does not allow these two usages together
    drop(own.buffer(4, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE));
    assert_eq!(seen.load(Relaxed), 1, "the program's handler hears of its error");
    assert_eq!(x.sum(..).item::<f32>().expect("and the device goes on"), 45.0);
    // if the program destroys a buffer that an array uses, the read returns an error, and nothing else breaks
    let buffer = own.of(&[1., 2., 3., 4.]);
    let taken = Array::from_wgpu_buffer(&d, buffer.slice(..), DType::F32, [4]).expect("taken");
    buffer.destroy();
    taken.sum(..).item::<f32>().expect_err("the buffer is gone");
    assert_eq!(seen.load(Relaxed), 1, "errors of arrays are not the program's");
}

#[test]
fn a_program_that_destroys_its_device() {
    let Some(d) = gpu(1) else { return };
    let own = opened(&d, None, wgpu::Features::empty());
    let d = own.device().expect("the device is taken");
    let x = arange(0, 10, 1, DType::F32).to_device(&d).expect("an array");
    let shared = x.wgpu_buffer().expect("shared");
    own.device.destroy();
    let error = x.sum(..).item::<f32>().expect_err("the device is gone");
    assert_eq!(error.kind(), ErrorKind::DeviceLost, "{error}");
    has_kind(x.wgpu_buffer(), ErrorKind::DeviceLost, "");
    has_kind(d.wgpu_queue(), ErrorKind::DeviceLost, "");
    drop((shared, x, d));
    // creating a device from a wgpu device that was destroyed
    has_kind(own.device(), ErrorKind::DeviceLost, "");
}
