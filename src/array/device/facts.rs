//! Facts about a device's hardware that a caller can query.

use super::Device;
use crate::base::caps::{NarrowHalf, WidenHalf};

/// The limits of a device, for programs that adapt the sizes of their arrays to the device: see [`Device::limits`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum size of one array in bytes.
    pub array_bytes: u64,
    /// The maximum size in bytes of an array that one kernel can access as a whole. Larger arrays are computed in
    /// parts, except for the operations that `docs/LIMITS.md` lists.
    pub binding_bytes: u64,
    /// The number of invocations in a workgroup; `None` on the CPU.
    pub workgroup: Option<usize>,
    /// The size in bytes of the memory that the invocations of a workgroup share; `None` on the CPU.
    pub workgroup_bytes: Option<usize>,
    /// The size in bytes of the GPU's own memory, some of which other programs may use. If the GPU shares the host's
    /// memory, this is the size that its driver reports. `None` on the CPU and if the driver's interface is not Vulkan.
    pub memory_bytes: Option<u64>,
    /// Whether the device supports 64-bit integers natively. If not, kernels compute with pairs of 32-bit words, with
    /// the same results.
    pub has_int64: bool,
    /// Whether the hardware converts f16 to f32 in kernels. If not, kernels use integer operations, with the same
    /// results.
    pub has_f16_widening: bool,
    /// Whether the hardware rounds f32 to f16 in kernels. If not, kernels use integer operations, with the same
    /// results.
    pub has_f16_narrowing: bool,
    /// Whether matrix products of f16 may run on tensor cores.
    pub has_tensor_cores: bool,
}

impl Device {
    /// Returns the name of the GPU's vendor, as its driver reports it: `NVIDIA`, `AMD`, `Intel`, … If the name is not
    /// known, returns the vendor's number, such as `0x1af4`. Returns `None` for the CPU.
    ///
    /// ```
    /// let device = cupric::Device::best()?;
    /// assert_eq!(device.vendor().is_some(), device.is_gpu());
    /// println!("{device}: {:?}, {:?}, {:?}", device.vendor(), device.driver(), device.api());
    /// # Ok::<(), cupric::Error>(())
    /// ```
    pub fn vendor(&self) -> Option<String> {
        self.0.vendor()
    }

    /// Returns the name and the version of the GPU's driver; `None` for the CPU.
    pub fn driver(&self) -> Option<String> {
        self.0.driver()
    }

    /// Returns the interface of the GPU's driver: `Vulkan`, `Metal`, `Dx12`, …; `None` for the CPU.
    pub fn api(&self) -> Option<String> {
        self.0.api()
    }

    /// Returns the device's limits, such as the largest array. See also [`Device::memory`] for the memory in use, and
    /// [`Device::supports`] for the supported dtypes.
    ///
    /// ```
    /// use cupric::Device;
    /// let limits = Device::best()?.limits();
    /// assert!(limits.binding_bytes <= limits.array_bytes);
    /// assert_eq!(Device::cpu().limits().workgroup, None);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("properties", "get_device_properties", "attributes"))]
    pub fn limits(&self) -> Limits {
        let caps = self.0.caps();
        let of_a_gpu = |n: usize| if caps.wgsl { Some(n) } else { None };
        Limits {
            array_bytes: caps.max_buffer,
            binding_bytes: caps.max_binding.min(caps.max_buffer),
            workgroup: of_a_gpu(caps.workgroup),
            workgroup_bytes: of_a_gpu(caps.workgroup_memory),
            memory_bytes: self.0.own_memory(),
            has_int64: caps.int64,
            has_f16_widening: caps.half.widens != WidenHalf::Integers,
            has_f16_narrowing: caps.half.narrows != NarrowHalf::Integers,
            has_tensor_cores: !caps.cooperative.is_empty(),
        }
    }
}
