//! The accuracy contract, by which `tests/accuracy/sweep` judges results.

#[path = "../../../../tests/accuracy/contract/bound.rs"]
pub mod bound;
#[path = "../../../../tests/accuracy/contract/entry.rs"]
pub mod entry;
#[path = "../../../../tests/accuracy/contract/page.rs"]
pub mod page;
#[path = "../../../../tests/accuracy/contract/rules.rs"]
pub mod rules;
