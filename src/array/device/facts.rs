//! What a caller may ask of a device's hardware.

use super::Device;

/// What a device can take, for programs that choose their sizes by it: see [`Device::limits`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes of one array.
    pub array_bytes: u64,
    /// The most bytes that one kernel can take of an array at once. Larger arrays are computed part by part, but for the operations that the
    /// README names among its limits.
    pub binding_bytes: u64,
    /// The invocations of a workgroup; `None` on the CPU.
    pub workgroup: Option<usize>,
    /// The bytes of memory that the invocations of a workgroup share; `None` on the CPU.
    pub workgroup_bytes: Option<usize>,
    /// The bytes of the GPU's own memory, of which other programs may have taken some; of a GPU that shares the host's memory, what its driver
    /// gives it. `None` where the driver's interface is not Vulkan, and on the CPU.
    pub memory_bytes: Option<u64>,
    /// Whether 64-bit integers are the device's own. Where they are not, it computes with pairs of words, to the same bits.
    pub has_int64: bool,
    /// Whether products of f16 may run on tensor cores.
    pub has_tensor_cores: bool,
}

impl Device {
    /// Who made the GPU, as its driver says: `NVIDIA`, `AMD`, `Intel`, … (a number such as `0x1af4` where the vendor is not known by name);
    /// `None` for the CPU.
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

    /// The name and the version of the GPU's driver; `None` for the CPU.
    pub fn driver(&self) -> Option<String> {
        self.0.driver()
    }

    /// The interface by which the GPU's driver is called: `Vulkan`, `Metal`, `Dx12`, …; `None` for the CPU.
    pub fn api(&self) -> Option<String> {
        self.0.api()
    }

    /// What the device can take. (Its memory in use, and a limit that was set, are in [`Device::memory`]; which dtypes it has, says
    /// [`Device::supports`].)
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
            has_tensor_cores: !caps.cooperative.is_empty(),
        }
    }
}
