//! The choice of the device on which a program computes: the CPU, a GPU by its index, or the best available device.

use super::{At, Device, GPUS, opening};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::platform::CAN_WAIT;
use crate::plan::backend::{Provider, start, would_block};
use std::panic::Location;
use std::str::FromStr;

impl Device {
    /// Returns the first GPU of [`Device::gpus`]: a hardware GPU if there is one, otherwise a software driver.
    ///
    /// # Errors
    /// Returns [`ErrorKind::DeviceNotFound`] if there is no GPU, or the driver's error if the GPU cannot be opened.
    #[track_caller]
    pub fn gpu() -> Result<Device> {
        Device::gpu_at(0, Some(Location::caller()))
    }

    /// The asynchronous form of [`Device::gpu`], for code that must not block. If the GPU is not open yet, the first
    /// poll starts a thread that opens it, even if the future is dropped earlier. The GPU stays open until the process
    /// ends. In a browser the future itself opens the GPU, and [`Device::gpu`] returns it afterwards.
    ///
    /// # Errors
    /// Returns the errors of [`Device::gpu`].
    #[track_caller]
    pub fn gpu_async() -> impl Future<Output = Result<Device>> + Send {
        let at = Location::caller();
        async move {
            let gpus = Device::provider().map_err(|e| e.or_at(at))?;
            opening::open_async(gpus, 0).await.map_err(|e| e.or_at(at))
        }
    }

    /// Returns all GPUs: hardware GPUs first, then software drivers. GPUs that cannot be opened are skipped. In a
    /// browser, the list contains only the GPU that [`Device::gpu_async`] has opened, if any.
    pub fn gpus() -> Vec<Device> {
        if !CAN_WAIT {
            return opening::opened();
        }
        let count = GPUS.map_or(0, Provider::count);
        (0..count).filter_map(|i| Device::gpu_at(i, None).ok()).collect()
    }

    /// Returns a hardware GPU if there is one, otherwise the CPU. If the environment variable `CUPRIC_DEVICE` is `cpu`,
    /// `gpu` or `gpu:N`, it selects the device instead. Its value `best` changes nothing.
    ///
    /// # Errors
    /// Returns [`ErrorKind::DeviceNotFound`] if `CUPRIC_DEVICE` names a device that does not exist, or the driver's
    /// error if that device cannot be opened. In a browser, returns [`ErrorKind::WouldBlock`] if no GPU is open;
    /// [`Device::best_async`] opens one if there is one.
    #[track_caller]
    pub fn best() -> Result<Device> {
        Device::best_at(Some(Location::caller()))
    }

    fn best_at(at: At) -> Result<Device> {
        let hardware = || Device::hardware_of(Device::gpu_at(0, None)).map_err(|e| e.or_at(at));
        match std::env::var("CUPRIC_DEVICE") {
            Ok(wanted) if wanted == "best" => hardware(),
            Ok(name) if !name.is_empty() => Device::named(&name, "Device::best (CUPRIC_DEVICE)", at),
            _ => hardware(),
        }
    }

    /// The asynchronous form of [`Device::best`], for code that must not block.
    ///
    /// # Errors
    /// Returns the errors of [`Device::best`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let device = cupric::Device::best_async().await?;
    /// assert_eq!(cupric::ones([2], cupric::DType::F32).to_device_async(&device).await?.device(), device);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn best_async() -> impl Future<Output = Result<Device>> + Send {
        let at = Location::caller();
        async move {
            match CAN_WAIT {
                true => start("Device::best_async", move || Device::best_at(Some(at))).future().await,
                // a browser page has no environment variables, so `CUPRIC_DEVICE` cannot select the device
                false => Device::hardware_of(Device::gpu_async().await),
            }
        }
    }

    /// Returns the first GPU (`first`) if it could be opened and is hardware, otherwise the CPU. Returns an error if only
    /// an asynchronous call can tell.
    fn hardware_of(first: Result<Device>) -> Result<Device> {
        // GPUs are sorted, hardware first, so if the first one is a software driver, all are
        match first {
            Ok(d) if mutant!(software_counts_as_hardware, true, !d.is_software()) => Ok(d),
            Err(e) if e.kind() == ErrorKind::WouldBlock => Err(would_block("Device::best", "Device::best_async")),
            _ => Ok(Device::cpu()),
        }
    }

    fn named(wanted: &str, op: &str, at: At) -> Result<Device> {
        match wanted {
            "cpu" => Ok(Device::cpu()),
            "gpu" => Device::gpu_at(0, at),
            "best" => Device::best_at(at),
            _ => match wanted.strip_prefix("gpu:").and_then(|n| n.parse().ok()) {
                Some(n) => Device::gpu_at(mutant!(gpu_of_any_number, n * 0, n), at),
                None => Err(Error::with_line(
                    ErrorKind::DeviceNotFound,
                    op,
                    format!("unknown device '{wanted}'; expected cpu, best, gpu, or gpu:N for GPU N of Device::gpus()"),
                    at,
                )),
            },
        }
    }

    /// Returns the GPU with this index. The first call opens it, and it stays open until the process ends.
    fn gpu_at(index: usize, at: At) -> Result<Device> {
        Device::provider().and_then(|gpus| opening::open(gpus, index)).map_err(|e| e.or_at(at))
    }

    /// Returns the backend that opens GPUs, or an error if this build or this machine cannot use GPUs.
    fn provider() -> Result<&'static dyn Provider> {
        let Some(gpus) = GPUS else {
            let detail = "cupric was built without its feature `gpu`";
            return Err(Error::with_line(ErrorKind::DeviceNotFound, "Device::gpu", detail, None));
        };
        gpus.check()?;
        Ok(gpus)
    }
}

impl FromStr for Device {
    type Err = Error;

    /// Parses the name of a device: `cpu`, `gpu`, `gpu:N` or `best`.
    fn from_str(name: &str) -> Result<Device> {
        // the error has no source line, because `str::parse` does not pass the line of its caller to this function
        Device::named(name, "Device", None)
    }
}
