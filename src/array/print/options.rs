//! Options for printing arrays.

use crate::graph::expr::Expr;
use std::fmt;

/// Options for printing arrays, like NumPy's `printoptions`, but passed as a value to [`Expr::display`]. `{}` prints
/// with the options of [`PrintOptions::new`]. `{:.3}` prints three digits after the point and no exponents. `{:#}`
/// prints all elements, up to 4,194,304. The width, fill and sign of a format string have no effect.
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

/// The number of digits that are printed after the point of a float: at most this number, or exactly this number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Precision {
    AtMost(usize),
    Exactly(usize),
}

/// The maximum number of digits after the point that the exact decimal value of an f64 can have.
const MOST_DIGITS: usize = 1074;

impl Default for PrintOptions {
    fn default() -> PrintOptions {
        PrintOptions::new()
    }
}

impl PrintOptions {
    /// Returns NumPy's defaults. Arrays of more than 1000 elements are shortened to three at each end of an axis. A
    /// line has 75 columns, and a float has at most eight digits after the point. Arrays with very large or small
    /// numbers are printed with exponents.
    pub fn new() -> PrintOptions {
        PrintOptions { threshold: 1000, edge: 3, line_width: 75, precision: None, suppress: false }
    }

    /// Sets the number of elements above which an array is shortened. With `usize::MAX`, arrays of up to 4,194,304
    /// elements are printed in full, and for larger arrays an error is printed.
    pub fn threshold(self, elements: usize) -> PrintOptions {
        PrintOptions { threshold: elements, ..self }
    }

    /// Sets the number of elements that are shown at each end of an axis of a shortened array.
    pub fn edge_items(self, count: usize) -> PrintOptions {
        PrintOptions { edge: count, ..self }
    }

    /// Sets the number of columns at which lines are broken.
    pub fn line_width(self, columns: usize) -> PrintOptions {
        PrintOptions { line_width: columns, ..self }
    }

    /// Sets the maximum number of digits after the point of a float. The format string `{:.3}` instead prints exactly
    /// three.
    pub fn precision(self, digits: usize) -> PrintOptions {
        PrintOptions { precision: Some(Precision::AtMost(digits.min(MOST_DIGITS))), ..self }
    }

    /// Sets whether floats are printed without exponents, however large or small they are.
    pub fn suppress(self, exponents: bool) -> PrintOptions {
        PrintOptions { suppress: exponents, ..self }
    }

    /// Returns the options that a format string such as `{:.3}` requests.
    pub(super) fn of(f: &fmt::Formatter<'_>) -> PrintOptions {
        let precision = f.precision().map(|digits| Precision::Exactly(digits.min(MOST_DIGITS)));
        PrintOptions { suppress: precision.is_some(), precision, ..PrintOptions::new() }
    }
}

/// An expression to be printed with options: see [`Expr::display`].
#[derive(Clone, Copy)]
pub struct Displayed<'a> {
    pub(super) e: &'a Expr,
    pub(super) options: PrintOptions,
}

/// # Printing
impl Expr {
    /// Returns a value that prints the expression with options:
    /// `println!("{}", x.display(PrintOptions::new().precision(3)))`.
    ///
    /// ```
    /// use cupric::{PrintOptions, array};
    /// let x = array![1. / 3., 2.];
    /// let text = x.display(PrintOptions::new().precision(2)).to_string();
    /// assert_eq!(text, "[0.33 2.  ]");
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("array2string", "set_printoptions", "printoptions", "array_str"))]
    #[must_use]
    pub fn display(&self, options: PrintOptions) -> Displayed<'_> {
        Displayed { e: self, options }
    }
}
