//! Floor 0: what every other room uses and what uses none of them: dtypes, layouts, errors, capabilities, buffers, the planted faults.

#[macro_use]
pub(crate) mod heap;
#[macro_use]
pub(crate) mod mutants;

pub(crate) mod buffer;
pub(crate) mod caps;
pub(crate) mod dtype;
pub(crate) mod error;
pub(crate) mod layout;
pub(crate) mod replace;
