//! Floor 1: expressions, and the tables of what a node may compute: ufuncs and routines.

pub(crate) mod expr;
pub(crate) mod routine;
pub(crate) mod ufunc;
