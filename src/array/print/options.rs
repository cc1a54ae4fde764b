//! How arrays are printed.

use crate::graph::expr::Expr;
use std::fmt;

/// How arrays are printed: NumPy's `printoptions`, as a value. `{}` prints with [`PrintOptions::new`]; `{:.3}` with three digits after
/// the point and without exponents (`{:.0}` keeps the point, as NumPy's printing does); and `{:#}` with all elements, up to 4,194,304. Width, fill and
/// sign change nothing.
///
/// ```
/// use cupric::{PrintOptions, array};
/// let x = array![[1.0, 2.25], [3.5, 0.001]];
/// assert_eq!(format!("{x:.2}"), "[[1.00 2.25]\n [3.50 0.00]]");
/// let short = PrintOptions::new().precision(2).suppress(true);
/// assert_eq!(x.display(short).to_string(), "[[1.   2.25]\n [3.5  0.  ]]");
/// let ends = PrintOptions::new().threshold(5).edge_items(1);
/// assert_eq!(cupric::arange(0, 9, 1, cupric::DType::I32).display(ends).to_string(), "[0 ... 8]");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct PrintOptions {
    pub(super) threshold: usize,
    pub(super) edge: usize,
    pub(super) line_width: usize,
    pub(super) precision: Option<Precision>,
    pub(super) suppress: bool,
}

/// The digits after the point of a float.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Precision {
    AtMost(usize),
    Exactly(usize),
}

/// No f64 has more digits after its point.
const MOST_DIGITS: usize = 1074;

impl Default for PrintOptions {
    fn default() -> PrintOptions {
        PrintOptions::new()
    }
}

impl PrintOptions {
    /// NumPy's defaults: arrays of more than 1000 elements are shortened to three at each end of an axis, a line has 75 columns, a float
    /// at most eight digits after the point, and an array of very large or small numbers has exponents.
    pub fn new() -> PrintOptions {
        PrintOptions { threshold: 1000, edge: 3, line_width: 75, precision: None, suppress: false }
    }

    /// Shortens arrays of more elements than this; `usize::MAX` prints all, up to 4,194,304.
    pub fn threshold(self, elements: usize) -> PrintOptions {
        PrintOptions { threshold: elements, ..self }
    }

    /// Shows so many elements at each end of a shortened axis.
    pub fn edge_items(self, count: usize) -> PrintOptions {
        PrintOptions { edge: count, ..self }
    }

    /// Breaks lines at so many columns.
    pub fn line_width(self, columns: usize) -> PrintOptions {
        PrintOptions { line_width: columns, ..self }
    }

    /// Gives a float at most so many digits after the point. (`{:.3}` gives it three, with zeros.)
    pub fn precision(self, digits: usize) -> PrintOptions {
        PrintOptions { precision: Some(Precision::AtMost(digits.min(MOST_DIGITS))), ..self }
    }

    /// Whether floats have no exponents, however large or small they are.
    pub fn suppress(self, exponents: bool) -> PrintOptions {
        PrintOptions { suppress: exponents, ..self }
    }

    /// What `{:.3}` asks for.
    pub(super) fn of(f: &fmt::Formatter<'_>) -> PrintOptions {
        let precision = f.precision().map(|digits| Precision::Exactly(digits.min(MOST_DIGITS)));
        PrintOptions { suppress: precision.is_some(), precision, ..PrintOptions::new() }
    }
}

/// An expression that is printed with options: see [`Expr::display`].
#[derive(Clone, Copy)]
pub struct Displayed<'a> {
    pub(super) e: &'a Expr,
    pub(super) options: PrintOptions,
}

impl Expr {
    /// The expression for printing with options: `println!("{}", x.display(PrintOptions::new().precision(3)))`.
    #[doc(alias("array2string", "set_printoptions", "printoptions"))]
    #[must_use]
    pub fn display(&self, options: PrintOptions) -> Displayed<'_> {
        Displayed { e: self, options }
    }
}
