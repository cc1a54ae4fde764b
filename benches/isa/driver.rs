//! Compiles shaders through Vulkan, with the driver of a card that the machine does not have.
//!
//! Mesa's driver for AMD cards (RADV) opens a device without hardware if `RADV_FORCE_FAMILY` names a chip. The device
//! runs nothing, and wgpu cannot open it. But it compiles, and `VK_KHR_pipeline_executable_properties` returns
//! statistics and the machine code. This file follows wgpu-hal 30 (`vulkan/adapter.rs` and `vulkan/device.rs`), so that
//! the machine code is the same as in the library. The library itself reports which run-time checks it omits.

use ash::vk;
use cupric::testing::ShaderChecks;
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, ShaderStage};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The driver's results for a shader.
pub struct Compiled {
    /// The driver's statistics by their names, such as `VGPRs`.
    pub statistics: BTreeMap<String, u64>,
    pub assembly: String,
}

pub struct Driver {
    /// The name of the device, and the version of the driver.
    pub name: String,
    pub version: String,
    device: ash::Device,
    executables: ash::khr::pipeline_executable_properties::Device,
    has_subgroups: bool,
    checks: ShaderChecks,
    _instance: ash::Instance,
    _entry: ash::Entry,
}

/// Returns the manifest of Mesa's Vulkan driver for AMD cards, if it is installed.
pub fn manifest() -> Option<std::path::PathBuf> {
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let mut found: Vec<_> = files.map(|file| file.path()).collect();
    found.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        name.starts_with("radeon_icd") && name.ends_with(".json") && !name.contains("i686")
    });
    found.sort();
    found.into_iter().next()
}

impl Driver {
    /// Opens the driver that the environment selects. `has_subgroups` states whether the library's device would have
    /// wgpu's feature for subgroups, with which the driver may choose the number of lanes.
    pub fn open(checks: ShaderChecks, has_subgroups: bool) -> Result<Driver> {
        // SAFETY: plain Vulkan calls with structures that outlive the calls. Nothing is destroyed before the process
        // ends.
        unsafe {
            let entry = ash::Entry::load()?;
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let instance =
                entry.create_instance(&vk::InstanceCreateInfo::default().application_info(&application), None)?;
            let physical = instance.enumerate_physical_devices()?;
            let physical = *physical.first().ok_or("the driver has no device")?;
            let mut of_driver = vk::PhysicalDeviceDriverProperties::default();
            let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut of_driver);
            instance.get_physical_device_properties2(physical, &mut properties);
            let (name, version) = (text_of(&properties.properties.device_name), text_of(&of_driver.driver_info));
            let known = instance.enumerate_device_extension_properties(physical)?;
            let has = |name: &CStr| known.iter().any(|e| e.extension_name_as_c_str() == Ok(name));
            let robust = has(ash::ext::robustness2::NAME);
            let mut extensions = vec![ash::khr::pipeline_executable_properties::NAME.as_ptr()];
            extensions.extend(robust.then_some(ash::ext::robustness2::NAME.as_ptr()));
            let queue = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
            let mut executable =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
            let mut robust2 = vk::PhysicalDeviceRobustness2FeaturesEXT::default()
                .robust_buffer_access2(true)
                .robust_image_access2(true);
            let mut v11 = vk::PhysicalDeviceVulkan11Features::default()
                .storage_buffer16_bit_access(true)
                .uniform_and_storage_buffer16_bit_access(true);
            let mut v12 = vk::PhysicalDeviceVulkan12Features::default().shader_float16(true).shader_int8(true);
            let mut v13 = vk::PhysicalDeviceVulkan13Features::default()
                .subgroup_size_control(true)
                .robust_image_access(true)
                .shader_zero_initialize_workgroup_memory(true);
            let features = vk::PhysicalDeviceFeatures::default()
                .robust_buffer_access(true)
                .shader_int64(true)
                .shader_float64(true)
                .shader_int16(true);
            let info = vk::DeviceCreateInfo::default().queue_create_infos(&queue).enabled_extension_names(&extensions);
            let info = info.enabled_features(&features).push_next(&mut executable);
            let mut info = info.push_next(&mut v11).push_next(&mut v12).push_next(&mut v13);
            if robust {
                info = info.push_next(&mut robust2);
            }
            let device = instance.create_device(physical, &info, None)?;
            let executables = ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
            Ok(Driver { name, version, device, executables, has_subgroups, checks, _instance: instance, _entry: entry })
        }
    }

    pub fn compile(&self, wgsl: &str) -> Result<Compiled> {
        // Debian 12's Mesa has no cooperative matrices, and ends the process
        if wgsl.contains("coop_mat") {
            return Err("this compiler has no cooperative matrices".into());
        }
        let module = naga::front::wgsl::parse_str(wgsl).map_err(|e| e.emit_to_string(wgsl))?;
        let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module)?;
        let entry = module.entry_points.first().ok_or("no entry point")?.name.clone();
        let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: entry.clone() };
        let words = spv::write_vec(&module, &info, &self.options(), Some(&pipeline))?;
        // SAFETY: plain Vulkan calls with structures that outlive the calls. Nothing is destroyed before the process
        // ends.
        unsafe {
            let layout = self.layout(&module)?;
            let code = vk::ShaderModuleCreateInfo::default().code(&words);
            let module = self.device.create_shader_module(&code, None)?;
            let entry = CString::new(entry)?;
            let stage = vk::PipelineShaderStageCreateInfo::default().stage(vk::ShaderStageFlags::COMPUTE);
            let stage = stage.module(module).name(&entry).flags(match self.has_subgroups {
                true => vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE,
                false => vk::PipelineShaderStageCreateFlags::empty(),
            });
            let flags = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
            let info = [vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout).flags(flags)];
            let made = self.device.create_compute_pipelines(vk::PipelineCache::null(), &info, None);
            let pipeline = made.map_err(|(_, e)| e)?[0];
            let executable = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
            let statistics = self.executables.get_pipeline_executable_statistics(&executable)?;
            let statistics = statistics.iter().map(|s| (text_of(&s.name), s.value.u64)).collect();
            let assembly = self.assembly(&executable);
            self.device.destroy_pipeline(pipeline, None);
            self.device.destroy_shader_module(module, None);
            Ok(Compiled { statistics, assembly })
        }
    }

    /// Returns the options with which wgpu-hal lets naga write SPIR-V.
    fn options(&self) -> spv::Options<'static> {
        let policy = |checked| if checked { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
        let bounds = policy(self.checks.bounds);
        spv::Options {
            lang_version: (1, 6),
            flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
            bounds_check_policies: BoundsCheckPolicies {
                index: bounds,
                // robustBufferAccess2 checks the bounds of buffers
                buffer: BoundsCheckPolicy::Unchecked,
                image_load: BoundsCheckPolicy::Unchecked,
                binding_array: BoundsCheckPolicy::Unchecked,
            },
            zero_initialize_workgroup_memory: match self.checks.zeroes_workgroup_memory {
                true => spv::ZeroInitializeWorkgroupMemoryMode::Native,
                false => spv::ZeroInitializeWorkgroupMemoryMode::None,
            },
            force_loop_bounding: self.checks.loops,
            emit_int_div_checks: self.checks.divisors,
            ..Default::default()
        }
    }

    /// Returns the layout of the pipeline: buffers, and parameters with a dynamic offset.
    fn layout(&self, module: &naga::Module) -> Result<vk::PipelineLayout> {
        let mut groups = BTreeMap::<u32, Vec<vk::DescriptorSetLayoutBinding<'_>>>::new();
        for (_, variable) in module.global_variables.iter() {
            let Some(place) = &variable.binding else { continue };
            let kind = match variable.space {
                AddressSpace::Uniform => vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC,
                _ => vk::DescriptorType::STORAGE_BUFFER,
            };
            let binding = vk::DescriptorSetLayoutBinding::default().binding(place.binding).descriptor_type(kind);
            let binding = binding.descriptor_count(1).stage_flags(vk::ShaderStageFlags::COMPUTE);
            groups.entry(place.group).or_default().push(binding);
        }
        let last = groups.keys().max().copied().unwrap_or(0);
        let set = |group| {
            let bindings = groups.get(&group).cloned().unwrap_or_default();
            let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            // SAFETY: plain Vulkan calls with structures that outlive the calls. Nothing is destroyed before the
            // process ends.
            unsafe { self.device.create_descriptor_set_layout(&info, None) }
        };
        let sets = (0..=last).map(set).collect::<std::result::Result<Vec<_>, _>>()?;
        let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
        // SAFETY: plain Vulkan calls with structures that outlive the calls. Nothing is destroyed before the process
        // ends.
        Ok(unsafe { self.device.create_pipeline_layout(&info, None) }?)
    }

    fn assembly(&self, executable: &vk::PipelineExecutableInfoKHR<'_>) -> String {
        let get = self.executables.fp().get_pipeline_executable_internal_representations_khr;
        // SAFETY: the first call returns the count, the second the sizes, and the third fills buffers of these sizes.
        unsafe {
            let mut count = 0;
            let _ = get(self.device.handle(), executable, &mut count, std::ptr::null_mut());
            let mut texts = vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
            let _ = get(self.device.handle(), executable, &mut count, texts.as_mut_ptr());
            let mut buffers: Vec<Vec<u8>> = texts.iter().map(|t| vec![0; t.data_size]).collect();
            for (text, buffer) in texts.iter_mut().zip(&mut buffers) {
                text.p_data = buffer.as_mut_ptr().cast();
            }
            let _ = get(self.device.handle(), executable, &mut count, texts.as_mut_ptr());
            let code = texts.iter().position(|t| text_of(&t.name).contains("ssembly"));
            code.map_or(String::new(), |n| String::from_utf8_lossy(&buffers[n]).trim_end_matches('\0').to_string())
        }
    }
}

fn text_of(name: &[c_char]) -> String {
    // SAFETY: Vulkan ends its names with a zero.
    unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned()
}
