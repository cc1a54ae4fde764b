//! The lowered form of a kernel: the list of values that it computes for one element. A value is an input, a constant,
//! a cast, or a call of a ufunc (a row of the library's table of functions) with earlier values. A kernel is lowered
//! once for each combination of dtypes, and every call builds nodes from the list.

use crate::base::dtype::{DType, Scalar};
use crate::graph::expr::at_once;
use crate::graph::ufunc::{Class, Ufunc, logic};
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;

/// The maximum number of values that a kernel may compute for one element. A kernel with more would take seconds to
/// plan. A check of results also inspects at most this many operations at a time.
pub(super) const MOST_VALUES: usize = 1 << 16;

/// The index of a value in its program.
pub(super) type Id = usize;

/// How a value is computed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum KernelStep {
    /// The element of the operand with this index.
    Input(usize),
    /// The bits of a constant, in the type in which its dtype is computed.
    Number(u64),
    Call(&'static Ufunc, SmallVec<[Id; 3]>),
    Cast(Id),
}

/// The values of a lowered kernel, in the order in which they are computed. Equal values are stored once, and values
/// that depend only on constants are folded.
#[derive(Default)]
pub(super) struct KernelProgram {
    steps: Vec<(KernelStep, DType)>,
    known: HashMap<(KernelStep, DType), Id>,
}

impl KernelProgram {
    pub fn steps(&self) -> &[(KernelStep, DType)] {
        &self.steps
    }

    pub fn dtype(&self, id: Id) -> DType {
        self.steps[id].1
    }

    fn add(&mut self, step: KernelStep, dtype: DType) -> Id {
        let next = self.steps.len();
        *self.known.entry((step, dtype)).or_insert_with_key(|key| {
            self.steps.push(key.clone());
            next
        })
    }

    pub fn input(&mut self, n: usize, dtype: DType) -> Id {
        self.add(KernelStep::Input(n), dtype)
    }

    pub fn number(&mut self, value: Scalar, dtype: DType) -> Id {
        self.add(KernelStep::Number(value.bits(dtype)), dtype)
    }

    /// Returns the index of the operand if the value is an operand, otherwise `None`.
    pub fn as_input(&self, id: Id) -> Option<usize> {
        match self.steps[id].0 {
            KernelStep::Input(n) => Some(n),
            KernelStep::Number(_) | KernelStep::Call(..) | KernelStep::Cast(_) => None,
        }
    }

    pub fn truth(&mut self, value: bool) -> Id {
        self.number(Scalar::Bool(value), DType::Bool)
    }

    /// Returns the constant if the value is a constant, otherwise `None`.
    pub fn constant(&self, id: Id) -> Option<Scalar> {
        match &self.steps[id] {
            (KernelStep::Number(bits), dtype) => Some(Scalar::from_bits(*bits, dtype.compute())),
            (KernelStep::Input(_) | KernelStep::Call(..) | KernelStep::Cast(_), _) => None,
        }
    }

    /// Returns true if a value is the constant `truth`.
    pub fn is(&self, id: Id, truth: bool) -> bool {
        self.steps[id].1 == DType::Bool && self.constant(id) == Some(Scalar::Bool(truth))
    }

    /// Adds a call of a ufunc. All operands have one type, as WGSL requires, except the condition of `select`, which is
    /// a bool.
    pub fn call(&mut self, row: &'static Ufunc, args: &[Id]) -> Id {
        let of = row.typed_operand(args).map_or(DType::Bool, |a| self.dtype(*a));
        // f16 constants are not folded, because kernels keep more precision between two operations
        let bits: Option<SmallVec<[u64; 3]>> = args.iter().map(|a| self.bits(*a)).collect();
        let dtype = row.class.result(of);
        if of != DType::F16
            && let Some(bits) = bits
            && let Some(result) = at_once(row, &bits, of.compute())
        {
            return self.add(KernelStep::Number(result), dtype);
        }
        self.add(KernelStep::Call(row, args.into()), dtype)
    }

    fn bits(&self, id: Id) -> Option<u64> {
        match self.steps[id].0 {
            KernelStep::Number(bits) => Some(bits),
            KernelStep::Input(_) | KernelStep::Call(..) | KernelStep::Cast(_) => None,
        }
    }

    pub fn cast(&mut self, id: Id, to: DType) -> Id {
        match self.constant(id) {
            _ if self.dtype(id) == to => id,
            // a conversion between integer types wraps, in WGSL and in `Scalar::bits`
            Some(number) => self.number(number, to),
            None => self.add(KernelStep::Cast(id), to),
        }
    }

    /// Adds a choice: `yes` where the condition is true, else `no`.
    pub fn select(&mut self, condition: Id, yes: Id, no: Id) -> Id {
        if let KernelStep::Call(row, args) = &self.steps[condition].0
            && *row == &logic::logical_not
        {
            return self.select(args[0], no, yes);
        }
        match self.constant(condition) {
            _ if yes == no => yes,
            Some(Scalar::Bool(true)) => yes,
            Some(_) => no,
            None => {
                // a choice within a choice by the same condition always takes the same one of its two values
                let (yes, no) = (self.taken(condition, yes, 1), self.taken(condition, no, 2));
                // naga parses `a && b` and `a || b` as branches; turn them back into calls of ufuncs
                if self.is(no, false) {
                    return self.and(condition, yes);
                }
                if self.is(yes, true) {
                    return self.or(condition, no);
                }
                if yes == no { yes } else { self.call(&logic::SELECT, &[condition, yes, no]) }
            }
        }
    }

    /// If `id` is a choice by `condition`, returns operand `n` of that choice, otherwise returns `id`.
    fn taken(&self, condition: Id, id: Id, n: usize) -> Id {
        match &self.steps[id].0 {
            KernelStep::Call(row, args) if row.class == Class::Select && args[0] == condition => args[n],
            KernelStep::Call(..) | KernelStep::Input(_) | KernelStep::Number(_) | KernelStep::Cast(_) => id,
        }
    }

    pub fn not(&mut self, a: Id) -> Id {
        match &self.steps[a].0 {
            KernelStep::Call(row, args) if *row == &logic::logical_not => args[0],
            KernelStep::Call(..) | KernelStep::Input(_) | KernelStep::Number(_) | KernelStep::Cast(_) => {
                self.call(&logic::logical_not, &[a])
            }
        }
    }

    pub fn and(&mut self, a: Id, b: Id) -> Id {
        if self.is(a, true) || self.is(b, false) || a == b {
            return b;
        }
        if self.is(b, true) || self.is(a, false) {
            return a;
        }
        self.call(&logic::logical_and, &[a, b])
    }

    pub fn or(&mut self, a: Id, b: Id) -> Id {
        if self.is(a, false) || self.is(b, true) || a == b {
            return b;
        }
        if self.is(b, false) || self.is(a, true) {
            return a;
        }
        // both sides of a branch together are the mask that entered it: (x and c) or (x and not c) is x
        if let (Some([x, c]), Some([y, d])) = (self.both(a), self.both(b))
            && x == y
            && (self.not(c) == d || self.not(d) == c)
        {
            return x;
        }
        if self.not(a) == b || self.not(b) == a {
            return self.truth(true);
        }
        self.call(&logic::logical_or, &[a, b])
    }

    fn both(&self, id: Id) -> Option<[Id; 2]> {
        match &self.steps[id].0 {
            KernelStep::Call(row, args) if *row == &logic::logical_and => Some([args[0], args[1]]),
            KernelStep::Call(..) | KernelStep::Input(_) | KernelStep::Number(_) | KernelStep::Cast(_) => None,
        }
    }

    /// Returns for each value whether any of `results` depends on it.
    pub fn needed(&self, results: &[Id]) -> Vec<bool> {
        let mut needed = vec![false; self.steps.len()];
        for id in results {
            needed[*id] = true;
        }
        for id in (0..self.steps.len()).rev() {
            if needed[id] {
                for a in self.operands(id) {
                    needed[a] = true;
                }
            }
        }
        needed
    }

    /// Evaluates the program for constant inputs, with f16 computed in f32. Returns `None` if a ufunc cannot be
    /// evaluated here.
    pub fn results_for(&self, inputs: &[Scalar], results: &[Id]) -> Option<Vec<Scalar>> {
        let wide = |dtype| if dtype == DType::F16 { DType::F32 } else { dtype };
        let mut fixed = KernelProgram::default();
        let mut ids: Vec<Id> = Vec::with_capacity(self.steps.len());
        for (step, dtype) in &self.steps {
            let dtype = wide(*dtype);
            ids.push(match step {
                KernelStep::Input(n) => fixed.number(*inputs.get(*n)?, dtype),
                KernelStep::Number(bits) => fixed.add(KernelStep::Number(*bits), dtype),
                KernelStep::Cast(a) => fixed.cast(ids[*a], dtype),
                KernelStep::Call(row, args) => {
                    let args: SmallVec<[Id; 3]> = args.iter().map(|a| ids[*a]).collect();
                    fixed.call(row, &args)
                }
            });
        }
        results.iter().map(|id| fixed.constant(ids[*id])).collect()
    }

    /// Returns the operands of a value, which are earlier values.
    pub fn operands(&self, id: Id) -> SmallVec<[Id; 3]> {
        match &self.steps[id].0 {
            KernelStep::Call(_, args) => args.clone(),
            KernelStep::Cast(a) => smallvec![*a],
            KernelStep::Input(_) | KernelStep::Number(_) => smallvec![],
        }
    }
}
