//! Floor 0: dtypes, layouts, errors, capabilities, buffers and planted faults. This module imports no other, and every
//! other module may use it.

#[macro_use]
pub(crate) mod heap;
#[macro_use]
pub(crate) mod mutants;

pub(crate) mod buffer;
pub(crate) mod caps;
pub(crate) mod dtype;
pub(crate) mod error;
pub(crate) mod layout;
pub(crate) mod platform;
pub(crate) mod replace;
pub(crate) mod shared;
