//! Floor 4: what a user asks to see of the library's work, by `CUPRIC_DEBUG` or of a device. `debug/words.rs` has the words of the
//! variable and says where texts go; `debug/repeats.rs` finds work that is done twice.

mod repeats;
mod words;

pub use repeats::{Repeat, RepeatedRow, RepeatedWork};
pub(crate) use repeats::{copied, evaluated, repeated_work, set};
pub(crate) use words::{Word, asks, show};
