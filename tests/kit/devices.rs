//! The devices of a test: the CPU that all tests share, a GPU that no other test uses meanwhile, or one that only this test ever uses.

use cupric::{DType, Device, Error};
use std::cell::RefCell;
use std::collections::HashSet;
use std::io::Write;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Makes two tests of each function over a device: `cpu::name`, and `gpu::name` in a build with the feature `gpu`. The GPU is
/// that of [`gpu`], or with `shared;` before the functions the one that `Device::gpu` returns. A list `name: file;` makes them of
/// functions that stand in files beside it.
#[allow(unused_macros, reason = "each test program uses a part")]
macro_rules! on_devices {
    (shared; $($functions:tt)*) => { on_devices! { @shared_gpu $($functions)* } };
    (@tests $gpu:ident $($name:ident)*) => {
        mod cpu {
            $( #[test] fn $name() { super::bodies::$name(&cupric::Device::cpu()) } )*
        }
        #[cfg(feature = "gpu")]
        mod gpu {
            const COUNT: usize = [$(stringify!($name)),*].len();
            $( #[test] fn $name() {
                if let Some(d) = $crate::kit::$gpu(COUNT) {
                    super::bodies::$name(&d)
                }
            } )*
        }
    };
    (@$gpu:ident $(fn $name:ident($d:ident: &Device) $body:block)*) => {
        mod bodies {
            use super::*;
            $( pub fn $name($d: &Device) $body )*
        }
        on_devices! { @tests $gpu $($name)* }
    };
    ($($name:ident: $file:ident;)+) => {
        mod bodies {
            $( pub use super::$file::$name; )+
        }
        on_devices! { @tests gpu $($name)+ }
    };
    ($($functions:tt)*) => { on_devices! { @gpu $($functions)* } };
}

pub(crate) use on_devices;

/// Prints a line that the test harness does not capture, as it does what `println!` prints in a passing test.
pub fn say(line: &str) {
    // a closed terminal is no reason to fail
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

thread_local! {
    /// The GPU of this thread's test.
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

/// Devices on the first GPU that no thread holds.
static FREE: Mutex<Vec<Device>> = Mutex::new(vec![]);

/// A device that a thread holds. The end of the thread, which is that of its test, frees it.
struct Held(Device);

impl Drop for Held {
    fn drop(&mut self) {
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self.0.clone());
    }
}

/// The first GPU: as `Device::gpu` opens it, or with `CUPRIC_STAGE_LIMITS=webgpu` one device that has WebGPU's default limits.
fn first() -> Result<Device, Error> {
    static NARROW: Mutex<Option<Device>> = Mutex::new(None);
    match std::env::var("CUPRIC_STAGE_LIMITS") {
        Ok(limits) if limits == "webgpu" => {
            let mut narrow = NARROW.lock().unwrap_or_else(PoisonError::into_inner);
            if narrow.is_none() {
                *narrow = Some(cupric::testing::gpu_of_webgpu()?);
            }
            Ok(narrow.as_ref().expect("set above").clone())
        }
        Ok(limits) => panic!("CUPRIC_STAGE_LIMITS: {limits} are no limits"),
        Err(_) => Device::gpu(),
    }
}

/// A free device on the first GPU, or another one. Tests that run at the same time have different ones: a software driver has a
/// thread for each, which compiles its shaders; and an error that the GPU finds late is not reported to another test.
fn held() -> Result<Device, Error> {
    static FIRST: AtomicBool = AtomicBool::new(true);
    HELD.with_borrow_mut(|held| {
        if held.is_none() {
            let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
            *held = Some(Held(match free {
                Some(d) => d,
                None if FIRST.swap(false, Ordering::Relaxed) => first()?,
                None => own(&first()?),
            }));
        }
        Ok(held.as_ref().expect("set above").0.clone())
    })
}

/// A device on the first GPU, which this thread alone uses until it ends. If there is none it returns `None` and prints that `tests`
/// tests are left out, once for each line of code that calls it; with `CUPRIC_REQUIRE_GPU=1` it fails instead.
#[track_caller]
pub fn gpu(tests: usize) -> Option<Device> {
    or_left_out(held(), tests)
}

/// As [`gpu`], but the device that `Device::gpu` returns, which every test may use.
#[track_caller]
pub fn shared_gpu(tests: usize) -> Option<Device> {
    or_left_out(Device::gpu(), tests)
}

#[track_caller]
fn or_left_out(device: Result<Device, Error>, tests: usize) -> Option<Device> {
    static SAID: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    match device {
        Ok(d) => Some(d),
        Err(e) => {
            let required = std::env::var_os("CUPRIC_REQUIRE_GPU").is_some_and(|v| v == "1");
            assert!(!required, "CUPRIC_REQUIRE_GPU=1, but there is no GPU: {e}");
            if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(Location::caller().to_string()) {
                let why = if cfg!(feature = "gpu") { "no Vulkan driver" } else { "built without the feature gpu" };
                say(&format!("gpu tests left out: {tests} ({why})"));
            }
            None
        }
    }
}

/// Another device on the same hardware, so that no other test changes its counters. 4 GiB is more than any test uses.
pub fn own(d: &Device) -> Device {
    d.with_memory_limit(4 << 30).unwrap()
}

/// Whether a device can hold a type and compare its elements.
pub fn has(d: &Device, t: DType) -> bool {
    cupric::zeros([1], t).to_device(d).is_ok() && (cupric::zeros([1], t).to_device(d).unwrap().equal(0)).eval().is_ok()
}

/// Whether a device has the limits that WebGPU guarantees and no more (`tests/run` has a stage of such devices).
pub fn has_default_limits(d: &Device) -> bool {
    d.is_gpu() && std::env::var_os("CUPRIC_STAGE_LIMITS").is_some_and(|limits| limits == "webgpu")
}

/// A number of a type, for tests whose parts take turns with types.
pub fn number_of(t: DType) -> usize {
    DType::ALL.iter().position(|x| *x == t).expect("one of all types")
}

/// The name by which the test harness's option `--exact` finds a test of a module (`module_path!()`).
pub fn test_name(module: &str, test: &str) -> String {
    // the first part is the test program
    let below = module.split("::").skip(1).collect::<Vec<_>>();
    [&below[..], &[test]].concat().join("::")
}
