//! Floor 7: the guide: chapters that go deeper than the front page. Every example in them runs as a test.
//!
//! | chapter | for |
//! |---|---|
//! | [`numpy`] | those who know NumPy or CuPy: the same things side by side |
//! | [`laziness`] | when work is done, what runs together, how to look at it, when to keep an array |
//! | [`views`] | slices, transposes, writes, and when one happens in place |
//! | [`accuracy`] | how exact each function is, half precision, what stays the same from run to run and device to device |
//! | [`devices`] | choosing a device, moving arrays, memory, waiting, measuring, profiling |
//! | [`support`] | which function takes which types where |

pub mod numpy {
    #![doc = include_str!("numpy.md")]
}

pub mod laziness {
    #![doc = include_str!("laziness.md")]
}

pub mod views {
    #![doc = include_str!("views.md")]
}

pub mod accuracy {
    #![doc = include_str!("accuracy.md")]
}

pub mod devices {
    #![doc = include_str!("devices.md")]
}

pub mod support {
    #![doc = include_str!("support.md")]
}
