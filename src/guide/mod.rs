//! Floor 7: the guide, whose chapters go into more detail than the front page. Every example in it runs as a test.
//!
//! | chapter | about |
//! |---|---|
//! | [`numpy`] | NumPy and CuPy beside cupric, for users of these libraries |
//! | [`laziness`] | when expressions are computed, which operations are fused, how to inspect plans, keeping arrays |
//! | [`views`] | slices, transposes, writes, and when a write happens in place |
//! | [`derivatives`] | derivatives of expressions: losses, training steps, rules of your own |
//! | [`accuracy`] | error bounds, half precision, which results are the same in each run and on each device |
//! | [`devices`] | choosing a device, moving arrays, memory, waiting, timing, profiling |
//! | [`streaming`] | files larger than memory: reading, writing, blocks of rows |
//! | [`browser`] | web pages: WebGPU, WebAssembly, and functions to await |
//! | [`support`] | the dtypes that each function accepts on each backend |

pub mod numpy {
    #![doc = include_str!("numpy.md")]
}

pub mod laziness {
    #![doc = include_str!("laziness.md")]
}

pub mod views {
    #![doc = include_str!("views.md")]
}

pub mod derivatives {
    #![doc = include_str!("derivatives.md")]
}

pub mod accuracy {
    #![doc = include_str!("accuracy.md")]
}

pub mod devices {
    #![doc = include_str!("devices.md")]
}

pub mod streaming {
    #![doc = include_str!("streaming.md")]
}

pub mod browser {
    #![doc = include_str!("browser.md")]
}

pub mod support {
    #![doc = include_str!("support.md")]
}
