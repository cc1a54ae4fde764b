//! Lists the unit tests in `src/`, which test private items. `tests/unit/main.rs` runs these tests. They are plain
//! functions, because for `#[test]`s cargo would compile the whole library a second time.

/// A module with tests. Each such module has an entry in the list below, which defines a type; the module implements
/// this trait for the type.
pub(crate) trait Module {
    const TESTS: &'static [Test];
}

/// A test: its module, its name, and its function.
pub(crate) type Test = (&'static str, &'static str, fn());

/// Lists the tests of the module in which the macro is used. `$module` is the module's name in the list below. The
/// compiler reports a test that is missing from the list, because the function is unused, and a missing module, because
/// its type does not exist.
macro_rules! unit_tests {
    ($module:ident: $($test:ident),+) => {
        impl $crate::testing::unit::Module for $crate::testing::unit::$module {
            const TESTS: &'static [$crate::testing::unit::Test] =
                &[$((module_path!(), stringify!($test), $test)),+];
        }
    };
}
pub(crate) use unit_tests;

macro_rules! modules {
    ($($(#[$when:meta])* $module:ident,)*) => {
        $(
            $(#[$when])*
            #[allow(non_camel_case_types)]
            pub(crate) enum $module {}
        )*

        /// Returns all tests, each with the path of its function in the crate.
        pub fn all_unit_tests() -> Vec<(String, fn())> {
            let modules: &[&[Test]] = &[$($(#[$when])* <$module as Module>::TESTS),*];
            let crate_name = concat!(env!("CARGO_CRATE_NAME"), "::");
            let path = |module: &str| module.strip_prefix(crate_name).unwrap_or(module).to_string();
            modules.concat().into_iter().map(|(module, name, run)| (path(module) + "::" + name, run)).collect()
        }
    };
}

modules! {
    backend_record,
    backend_waiting,
    base_shared,
    caps_tiles,
    check_wanted,
    cpu_arena,
    cpu_caches,
    cpu_convert,
    cpu_eig,
    cpu_memory,
    cpu_philox,
    cpu_work_sharing,
    cpu,
    cpu_folds,
    cpu_narrow,
    cpu_stores,
    cpu_threaded,
    #[cfg(feature = "kernels")]
    custom_agreement,
    #[cfg(feature = "kernels")]
    custom_rows,
    #[cfg(feature = "kernels")]
    custom_signature,
    debug,
    distributions_gamma,
    dtype,
    #[cfg(any(feature = "text", feature = "serde"))]
    dtype_halves,
    #[cfg(feature = "gpu")]
    gpu_cooperative,
    // a browser page has no cache on disk
    #[cfg(all(feature = "gpu", not(all(target_family = "wasm", target_os = "unknown"))))]
    gpu_disk,
    #[cfg(feature = "gpu")]
    gpu_fingerprint,
    #[cfg(feature = "gpu")]
    gpu_numerics,
    #[cfg(feature = "gpu")]
    gpu_routines,
    #[cfg(feature = "gpu")]
    gpu_shader_file,
    #[cfg(feature = "gpu")]
    gpu_time_out,
    #[cfg(feature = "gpu")]
    gpu_wgsl,
    #[cfg(feature = "gpu")]
    gpu_wgsl_products,
    kernel_validate,
    layout,
    plan_routines,
    products_order,
    profile_table,
    profile_trace,
    random,
    self_test,
    ufunc,
    ufunc_cast,
    ufunc_intern,
}
