//! The devices of a test: the CPU and the GPU that all tests share, or one that only this test uses.

use cupric::{DType, Device};
use std::collections::HashSet;
use std::io::Write;
use std::panic::Location;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Makes two tests of each function over a device: `cpu::name`, and `gpu::name` in a build with the feature `gpu`.
#[allow(unused_macros, reason = "each test program uses a part")]
macro_rules! on_devices {
    ($(fn $name:ident($d:ident: &Device) $body:block)*) => {
        mod bodies {
            use super::*;
            $( pub fn $name($d: &Device) $body )*
        }
        mod cpu {
            $( #[test] fn $name() { super::bodies::$name(&cupric::Device::cpu()) } )*
        }
        #[cfg(feature = "gpu")]
        mod gpu {
            const COUNT: usize = [$(stringify!($name)),*].len();
            $( #[test] fn $name() {
                if let Some(d) = $crate::kit::gpu(COUNT) {
                    super::bodies::$name(&d)
                }
            } )*
        }
    };
}

pub(crate) use on_devices;

/// Prints a line that the test harness does not capture, as it does what `println!` prints in a passing test.
pub fn say(line: &str) {
    // a closed terminal is no reason to fail
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// The first GPU. If there is none it returns `None` and prints that `tests` tests are left out, once for each line of code
/// that calls it; with `CUPRIC_REQUIRE_GPU=1` it fails instead.
#[track_caller]
pub fn gpu(tests: usize) -> Option<Device> {
    static SAID: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    match Device::gpu() {
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

/// How many of `n` random trials to run: all, or a tenth with `CUPRIC_TENTH=1`, for runs under a sanitizer, which are slow.
pub fn scaled(n: usize) -> usize {
    if std::env::var_os("CUPRIC_TENTH").is_some_and(|v| v == "1") { n.div_ceil(10) } else { n }
}

/// Another device on the same hardware, so that no other test changes its counters. 4 GiB is more than any test uses.
pub fn own(d: &Device) -> Device {
    d.with_memory_limit(4 << 30).unwrap()
}

/// Whether a device can hold a type and compare its elements.
pub fn has(d: &Device, t: DType) -> bool {
    cupric::zeros([1], t).to_device(d).is_ok() && (cupric::zeros([1], t).to_device(d).unwrap().equal(0)).eval().is_ok()
}

/// The name by which the test harness's option `--exact` finds a test of a module (`module_path!()`).
pub fn test_name(module: &str, test: &str) -> String {
    // the first part is the test program
    let below = module.split("::").skip(1).collect::<Vec<_>>();
    [&below[..], &[test]].concat().join("::")
}
