//! The tests that stand beside the code that they test, because they name its private items; `tests/unit/main.rs` runs them. They are no
//! `#[test]`s: for those cargo would compile the whole library a second time.

/// The modules with tests. Each has a type below, which the module gives its list.
pub(crate) trait Module {
    const TESTS: &'static [Test];
}

/// A test's module, its name, and what it runs.
pub(crate) type Test = (&'static str, &'static str, fn());

/// Lists the tests of the module that the macro stands in, by the module's name below. The compiler reports a test that is not in the
/// list, because nothing calls it, and a module that is not, because it has no type.
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

        /// Returns the tests, each with the path of its function in the crate.
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
    caps_tiles,
    check_wanted,
    cpu_arena,
    cpu_caches,
    cpu_convert,
    cpu_memory,
    cpu_philox,
    cpu_share,
    cpu,
    cpu_folds,
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
    #[cfg(feature = "gpu")]
    gpu_disk,
    #[cfg(feature = "gpu")]
    gpu_fingerprint,
    #[cfg(feature = "gpu")]
    gpu_numerics,
    #[cfg(feature = "gpu")]
    gpu_routines,
    #[cfg(feature = "gpu")]
    gpu_wgsl,
    #[cfg(feature = "gpu")]
    gpu_wgsl_products,
    #[cfg(all(unix, not(miri)))]
    io_replace,
    kernel_validate,
    layout,
    products_order,
    profile_table,
    profile_trace,
    random,
    self_test,
    ufunc,
    ufunc_cast,
    ufunc_intern,
}
