//! Floor 1: expressions, and the tables of what a node may compute: ufuncs (elementwise functions) and routines
//! (operations that nested loops cannot express, such as a sort).

pub(crate) mod expr;
pub(crate) mod routine;
pub(crate) mod ufunc;
