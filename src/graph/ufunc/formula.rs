//! The derivatives of elementwise functions (rows of the table of ufuncs), as formulas over the function's operands,
//! its result and other functions of the table.
//!
//! The key `derivative:` of a row has one [`Partial`] for each operand. A formula contains the cotangent (the
//! derivative of the loss with respect to the row's result) as a factor, so that a formula that selects between cases
//! can also select the cotangent. Every formula is linear in the cotangent. So it also computes the forward derivative,
//! if the tangent of the operand takes the place of the cotangent.

/// A formula: an expression over a function's operands, its result, the cotangent and constants.
#[derive(Clone, Debug)]
pub(crate) enum Formula {
    /// The operand with this index.
    Operand(usize),
    /// The function's result.
    Result,
    /// The derivative of the loss with respect to the function's result.
    Cotangent,
    Number(f64),
    /// A call of a function of the table, with formulas as its operands.
    Call(CalledFunction, Vec<Formula>),
}

/// Calls a macro with the functions that formulas use. The functions are listed by the file that defines them: first
/// the functions with one operand, then those with two.
macro_rules! functions {
    ($m:ident) => {
        $m! {
            arithmetic: [abs negative round sign square] [add divide floor_divide maximum multiply pow subtract];
            float: [cos cosh exp expm1 log log1p reciprocal rsqrt sin sinh] [hypot];
            special: [cospi digamma erfc erfcx i0 i0e i1 i1e lgamma ndtr sigmoid sinpi] [xlogy zeta];
            logic: [] [equal greater greater_equal less less_equal logical_and];
        }
    };
}
pub(crate) use functions;

/// The derivative of an elementwise function with respect to one of its operands.
#[derive(Clone, Copy)]
pub(crate) enum Partial {
    /// The derivative has no closed form in the table's functions, or does not exist.
    Unknown,
    /// The function is constant between jumps, so its derivative is 0 wherever it exists.
    Zero,
    /// A function that makes the formula from the operands, the result and the cotangent.
    Is(fn([&Formula; 3], &Formula, &Formula) -> Formula),
}

impl Partial {
    /// Returns the formula, or `None` if the derivative is 0 or unknown.
    pub fn formula(self) -> Option<Formula> {
        match self {
            Partial::Is(make) => {
                let operands = [Formula::Operand(0), Formula::Operand(1), Formula::Operand(2)];
                Some(make(operands.each_ref(), &Formula::Result, &Formula::Cotangent))
            }
            Partial::Unknown | Partial::Zero => None,
        }
    }
}

impl From<f64> for Formula {
    fn from(number: f64) -> Formula {
        Formula::Number(number)
    }
}

impl From<&Formula> for Formula {
    fn from(formula: &Formula) -> Formula {
        formula.clone()
    }
}

/// Returns `a` where the condition is true, and `b` elsewhere.
pub(crate) fn select(condition: impl Into<Formula>, a: impl Into<Formula>, b: impl Into<Formula>) -> Formula {
    Formula::Call(CalledFunction::select, vec![condition.into(), a.into(), b.into()])
}

/// Returns the derivative of a function that picks one of two operands: all of it where the operand is picked, and half of
/// it where both operands are equal.
pub(crate) fn shared(is_picked: Formula, are_equal: Formula, g: &Formula) -> Formula {
    select(is_picked, select(are_equal, g * 0.5, g), 0.0)
}

/// Returns the density of the standard normal distribution.
pub(crate) fn normal_density(x: &Formula) -> Formula {
    (x.square() * -0.5).exp() * 0.398_942_280_401_432_7
}

macro_rules! calls {
    ($($module:ident: [$($unary:ident)*] [$($binary:ident)*];)*) => {
        /// The functions that formulas can call. A formula refers to a function by a variant of this enum and not by a
        /// reference to the function's row in the table of ufuncs, because the rows themselves contain formulas.
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum CalledFunction {
            select,
            $($($unary,)* $($binary,)*)*
        }

        #[allow(dead_code, reason = "formulas write some of these functions as operators")]
        impl Formula { $(
            $(pub fn $unary(&self) -> Formula {
                Formula::Call(CalledFunction::$unary, vec![self.clone()])
            })*
            $(pub fn $binary(&self, other: impl Into<Formula>) -> Formula {
                Formula::Call(CalledFunction::$binary, vec![self.clone(), other.into()])
            })*
        )* }
    };
}
functions!(calls);

macro_rules! operators {
    ($($trait:ident $method:ident $row:ident;)*) => { $(
        impl<R: Into<Formula>> std::ops::$trait<R> for &Formula {
            type Output = Formula;
            fn $method(self, other: R) -> Formula {
                Formula::Call(CalledFunction::$row, vec![self.clone(), other.into()])
            }
        }
        impl<R: Into<Formula>> std::ops::$trait<R> for Formula {
            type Output = Formula;
            fn $method(self, other: R) -> Formula {
                Formula::Call(CalledFunction::$row, vec![self, other.into()])
            }
        }
    )* };
}
operators! {
    Add add add;
    Sub sub subtract;
    Mul mul multiply;
    Div div divide;
}

/// Returns 1 − x.
pub(crate) fn one_minus(x: &Formula) -> Formula {
    Formula::Call(CalledFunction::subtract, vec![Formula::Number(1.0), x.clone()])
}

impl std::ops::Neg for &Formula {
    type Output = Formula;
    fn neg(self) -> Formula {
        Formula::Call(CalledFunction::negative, vec![self.clone()])
    }
}

impl std::ops::Neg for Formula {
    type Output = Formula;
    fn neg(self) -> Formula {
        Formula::Call(CalledFunction::negative, vec![self])
    }
}
