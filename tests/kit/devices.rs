//! Devices for tests: the shared CPU, a GPU that no other test uses at the same time, or one for this test only.

use cupric::{DType, Device, Error};
use std::cell::RefCell;
use std::collections::HashSet;
use std::io::Write;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Defines two tests for each function that takes a device: `cpu::name`, and `gpu::name` if the feature `gpu` is on.
/// The GPU is the one of [`gpu`]; with `shared;` before the functions it is the one that `Device::gpu` returns.
/// A list `name: file;` takes the functions from modules in other files.
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

/// Prints a line that the test harness does not capture. It captures what `println!` prints in a passing test.
pub fn say(line: &str) {
    // ignore errors, because a closed terminal is no reason to fail
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

thread_local! {
    /// The GPU that this thread's test uses.
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

/// Open devices on the first GPU that no thread uses now.
static FREE: Mutex<Vec<Device>> = Mutex::new(vec![]);

/// A device that a thread uses. It becomes free when the thread ends, which is when its test ends.
struct Held(Device);

impl Drop for Held {
    fn drop(&mut self) {
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self.0.clone());
    }
}

/// The first GPU, as `Device::gpu` opens it. With `CUPRIC_STAGE_LIMITS=webgpu` it has WebGPU's default limits.
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

/// A free device on the first GPU, or a new one. Tests that run at the same time use different devices: a software
/// driver compiles shaders in one thread per device, and another test must not get an error that a GPU reports late.
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

/// A GPU device that only this thread uses until it ends. If there is no GPU, returns `None` and prints once per caller
/// that `tests` tests are left out; with `CUPRIC_REQUIRE_GPU=1` it panics instead. Also returns `None` if the test is of the
/// half that this run does not take.
#[track_caller]
pub fn gpu(tests: usize) -> Option<Device> {
    or_left_out(held, tests)
}

/// Like [`gpu`], but the device is the one that `Device::gpu` returns, which all tests share.
#[track_caller]
pub fn shared_gpu(tests: usize) -> Option<Device> {
    or_left_out(Device::gpu, tests)
}

#[track_caller]
fn or_left_out(device: impl FnOnce() -> Result<Device, Error>, tests: usize) -> Option<Device> {
    static SAID: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    if super::share::is_of_other_half() {
        return None;
    }
    match device() {
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

/// A new device on the same hardware, so that other tests do not change its counters. No test needs 4 GiB.
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

/// The index of a type in `DType::ALL`, for tests that try a part of the types in each run.
pub fn number_of(t: DType) -> usize {
    DType::ALL.iter().position(|x| *x == t).expect("one of all types")
}

/// The name by which the test harness's option `--exact` finds a test of a module (`module_path!()`).
pub fn test_name(module: &str, test: &str) -> String {
    // the first part of the path is the test program's name
    let below = module.split("::").skip(1).collect::<Vec<_>>();
    [&below[..], &[test]].concat().join("::")
}

/// Runs tests of a module (`module_path!()`) again with other instruction sets of the CPU, each in a process of its own,
/// and returns the number of instruction sets.
pub fn on_other_instruction_sets(module: &str, tests: &[&str]) -> usize {
    let sets = ["portable", "avx2"];
    for isa in sets {
        let run = std::process::Command::new(std::env::current_exe().unwrap())
            .args(tests.iter().map(|name| test_name(module, name)))
            .arg("--exact")
            .env("CUPRIC_ISA", isa)
            .env_remove("CUPRIC_STAGES")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains(&format!("{} passed", tests.len())), "{isa}:\n{said}");
    }
    sets.len()
}
