//! The formulas of a fold, and their translation into steps for elements of one type.

use super::ComputeKind;
use crate::base::dtype::{Compute, DType, Scalar};
use crate::base::error::{ErrorKind, Fault};
use crate::graph::ufunc::{Class, Ufunc};
use smallvec::SmallVec;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{LazyLock, Mutex, PoisonError};

/// A formula of a fold: an expression whose operands are the element, its position, components of states and constants.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Term {
    /// The element, in `lift`.
    X,
    /// The element's position, in `lift`: its row-major index along the reduced axes, an i32.
    Position,
    /// A component of `combine`'s first state, or of `finish`'s only state.
    A(usize),
    /// A component of `combine`'s second state.
    B(usize),
    /// A constant: the bits of an f64, and the type to which it is converted.
    Number(u64, ComputeKind),
    /// A call of an elementwise function (a row of the table of ufuncs), with formulas as its operands.
    Call(&'static Ufunc, &'static [Term]),
    /// A formula's value, converted to another type.
    Cast(&'static Term, ComputeKind),
}

impl Term {
    /// Makes the call of an elementwise function, with formulas as its operands.
    pub fn call(row: &'static Ufunc, args: &[Term]) -> Term {
        Term::Call(row, Term::list(args))
    }

    /// Returns a copy of `terms` that lives as long as the process, as the table's rows do. Equal lists share one copy,
    /// so making the same definition again takes no more memory.
    pub fn list(terms: &[Term]) -> &'static [Term] {
        static LISTS: Lists<Term> = LazyLock::new(Mutex::default);
        kept(&LISTS, terms)
    }

    /// Makes a constant.
    #[cfg(any(feature = "testing", feature = "kernels"))]
    pub const fn number(x: f64, kind: ComputeKind) -> Term {
        Term::Number(x.to_bits(), kind)
    }

    /// Returns whether `is` holds for the formula or for any formula inside it.
    pub fn any(&self, is: fn(&Term) -> bool) -> bool {
        let below = match self {
            Term::Call(_, args) => args.iter().any(|t| t.any(is)),
            Term::Cast(of, _) => of.any(is),
            Term::X | Term::Position | Term::A(_) | Term::B(_) | Term::Number(..) => false,
        };
        below || is(self)
    }

    pub fn takes_position(&self) -> bool {
        self.any(|t| matches!(t, Term::Position))
    }
}

/// A table of lists that live as long as the process.
pub(super) type Lists<T> = LazyLock<Mutex<HashSet<&'static [T]>>>;

/// Returns the table's list that equals `list`. If there is none, adds a copy, which is never freed.
pub(super) fn kept<T: Clone + Eq + Hash>(lists: &Lists<T>, list: &[T]) -> &'static [T] {
    let mut lists = lists.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lists.get(list) {
        return known;
    }
    let new: &'static [T] = list.to_vec().leak();
    lists.insert(new);
    new
}

/// What one step of a program computes. The numbers in `Call` and `Cast` are indices of earlier steps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum FoldOperation {
    Element,
    Position,
    /// The component with this index of `combine`'s first state, or of `finish`'s only state.
    A(usize),
    /// The component with this index of `combine`'s second state.
    B(usize),
    /// A constant, as bits of the step's compute type.
    Number(u64),
    Call(&'static Ufunc, SmallVec<[usize; 3]>),
    Cast(usize),
}

/// One step: what it computes, and the type of that value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FoldStep {
    pub gives: FoldOperation,
    pub compute: Compute,
}

/// Formulas, translated into steps. Each step comes after the steps that it uses. Equal parts of formulas share one
/// step.
pub(crate) struct FoldProgram {
    pub steps: Vec<FoldStep>,
    /// For each formula, the index of the step that computes its value.
    pub results: SmallVec<[usize; 3]>,
}

impl FoldProgram {
    /// Returns the function of each call, with the compute type that selects its implementation. A function that is
    /// called twice is returned twice.
    pub fn calls(&self) -> impl Iterator<Item = (&'static Ufunc, Compute)> {
        self.steps.iter().filter_map(|s| match &s.gives {
            FoldOperation::Call(row, args) => {
                Some((*row, row.typed_operand(args).map_or(s.compute, |a| self.steps[*a].compute)))
            }
            FoldOperation::Element | FoldOperation::Position | FoldOperation::A(_) | FoldOperation::B(_) => None,
            FoldOperation::Number(_) | FoldOperation::Cast(_) => None,
        })
    }
}

/// The types for which formulas are translated: the type of the elements and the types of the state's components.
pub(super) struct Typing<'a> {
    /// The fold's name, for error messages.
    pub fold: &'static str,
    pub element: DType,
    pub state: &'a [Compute],
}

impl Typing<'_> {
    /// Translates formulas into steps.
    ///
    /// # Errors
    /// Returns an error if the value of a formula does not have the type that `types` declares for it.
    pub fn program(&self, terms: &[Term], types: &[Compute]) -> Result<FoldProgram, Fault> {
        let mut program = FoldProgram { steps: vec![], results: SmallVec::new() };
        for (term, wanted) in terms.iter().zip(types) {
            let step = self.step(&mut program, term)?;
            let found = program.steps[step].compute;
            if found != *wanted {
                return self.refuse(format!(
                    "the formula has type {}, but {} is declared",
                    found.name(),
                    wanted.name()
                ));
            }
            program.results.push(step);
        }
        Ok(program)
    }

    fn refuse<T>(&self, detail: String) -> Result<T, Fault> {
        let detail = format!("fold {} of {}: {detail}", self.fold, self.element);
        Err(Fault::new(ErrorKind::DType, detail))
    }

    /// Returns the index of the step that computes a formula's value. Adds the steps that the program does not have
    /// yet.
    fn step(&self, program: &mut FoldProgram, term: &Term) -> Result<usize, Fault> {
        let component = |n: usize| match self.state.get(n) {
            Some(compute) => Ok(*compute),
            None => self.refuse(format!("component {n} does not exist; the state has {}", self.state.len())),
        };
        let (gives, compute) = match term {
            Term::X => (FoldOperation::Element, self.element.compute()),
            Term::Position => (FoldOperation::Position, Compute::I32),
            Term::A(n) => (FoldOperation::A(*n), component(*n)?),
            Term::B(n) => (FoldOperation::B(*n), component(*n)?),
            Term::Number(bits, kind) => {
                let (x, compute) = (f64::from_bits(*bits), kind.compute(self.element));
                let number = match compute {
                    Compute::F32 | Compute::F64 => Scalar::Float(x),
                    Compute::Bool | Compute::I32 | Compute::U32 | Compute::I64 | Compute::U64 => Scalar::Int(x as i128),
                };
                (FoldOperation::Number(number.bits(compute.dtype())), compute)
            }
            Term::Cast(of, kind) => {
                let of = self.step(program, of)?;
                let compute = kind.compute(self.element);
                if program.steps[of].compute == compute {
                    return Ok(of);
                }
                (FoldOperation::Cast(of), compute)
            }
            Term::Call(row, args) => {
                let args: SmallVec<[usize; 3]> =
                    args.iter().map(|a| self.step(program, a)).collect::<Result<_, Fault>>()?;
                let compute = self.call(program, row, &args)?;
                (FoldOperation::Call(row, args), compute)
            }
        };
        let step = FoldStep { gives, compute };
        Ok(program.steps.iter().position(|s| *s == step).unwrap_or_else(|| {
            program.steps.push(step);
            program.steps.len() - 1
        }))
    }

    /// Returns the result type of a call.
    ///
    /// # Errors
    /// Returns an error if the function does not accept the operands. The operands must have the same type, except that
    /// the first operand of `select` must be a bool.
    fn call(&self, program: &FoldProgram, row: &'static Ufunc, args: &[usize]) -> Result<Compute, Fault> {
        let types: SmallVec<[Compute; 3]> = args.iter().map(|a| program.steps[*a].compute).collect();
        let chosen = (row.class == Class::Select) as usize;
        let alike = types[chosen.min(types.len())..].windows(2).all(|pair| pair[0] == pair[1]);
        let by = types.last().copied().filter(|_| types.len() == row.arity && alike);
        let fits = chosen == 0 || types.first() == Some(&Compute::Bool);
        match by {
            Some(by) if fits && row.on_cpu(by) => Ok(row.class.result(by.dtype()).compute()),
            _ => {
                let names: Vec<&str> = types.iter().map(|t| t.name()).collect();
                self.refuse(format!("{} does not accept ({})", row.name, names.join(", ")))
            }
        }
    }
}
