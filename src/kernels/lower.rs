//! Lowers the statements of a WGSL function to values without jumps: a mask states for each element whether it runs a
//! statement. Where two paths merge, a variable becomes a choice between its two values. A branch or loop whose
//! condition is constant needs no mask.

use super::program::{Id, KernelProgram, MOST_VALUES};
use super::source::Complaint;
use crate::graph::ufunc::Ufunc;
use naga::{Block, Expression, Function, Handle, LocalVariable, Module, Span, Statement};
use std::collections::HashMap;

/// The maximum number of statements that are lowered; lowering this many takes about a second. [`MOST_VALUES`] does not
/// bound them, because statements of unrolled loops and nested calls may add few values.
const MOST_STATEMENTS: usize = 1 << 20;

/// A value of a WGSL type.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum WgslValue {
    One(Id),
    /// The components of a vector, the elements of an array, the members of a structure.
    Many(Vec<WgslValue>),
    /// A pointer to a variable or to a part of it: the variable's index, and the indices that lead to the part, from
    /// the outermost to the innermost.
    Pointer(usize, Vec<usize>),
}

/// The mask of the elements that have arrived at a point of the control flow, and these elements' values of the
/// variables. `None` if no element has arrived.
pub(super) type Arrived = Option<(Id, Vec<WgslValue>)>;

/// A statement that `break` leaves: a loop or a switch.
pub(super) struct Enclosing {
    pub is_loop: bool,
    /// The mask of the elements that have left the loop or switch without reaching its end: by `return` or, for a
    /// switch, by `continue`.
    pub gone: Id,
    /// The mask of the elements that have reached `continue` in the current iteration of the loop, and their variables.
    pub continued: Arrived,
    /// The mask of the elements that have reached the end of the loop or switch, and their variables.
    pub ended: Arrived,
}

/// The state of a function call while it is lowered.
pub(super) struct CallFrame<'m> {
    pub function: &'m Function,
    pub args: Vec<WgslValue>,
    locals: HashMap<Handle<LocalVariable>, usize>,
    /// The expressions that an `Emit` statement has computed, and results of calls.
    pub values: HashMap<Handle<Expression>, WgslValue>,
    pub enclosing: Vec<Enclosing>,
    /// The mask of the elements that have returned from the function, and their variables.
    returned: Arrived,
    result: Option<WgslValue>,
}

pub(super) struct Lowering<'m> {
    pub module: &'m Module,
    pub program: KernelProgram,
    /// The variables of all functions that are being lowered. A callee's variables follow its caller's.
    pub variables: Vec<WgslValue>,
    /// The mask of the elements that run the current statement.
    pub live: Id,
    /// The maximum number of iterations of a loop whose end depends on the elements, if the kernel's author has set
    /// one.
    pub most_turns: Option<usize>,
    /// The cost of lowering so far, in statements. Copying variables where paths split or merge also counts.
    spent: usize,
    /// The ufuncs that the module declares as functions, because WGSL lacks them (`kernels/rows.rs`).
    rows: &'m [&'static Ufunc],
}

pub(super) type Lowered<T> = Result<T, Complaint>;

impl<'m> Lowering<'m> {
    pub fn new(module: &'m Module, rows: &'m [&'static Ufunc], most_turns: Option<usize>) -> Lowering<'m> {
        let mut program = KernelProgram::default();
        let live = program.truth(true);
        Lowering { module, program, variables: vec![], live, most_turns, spent: 0, rows }
    }

    /// Lowers a call of the module's function `name`. Returns the final values of its variables `outputs`.
    pub fn function(&mut self, name: &str, args: Vec<WgslValue>, outputs: &[&str]) -> Lowered<Vec<WgslValue>> {
        let lacks = |what: &str| Complaint::new(Span::UNDEFINED, format!("the kernel has no {what}"));
        let mut functions = self.module.functions.iter().map(|(_, f)| f);
        let function = functions.find(|f| f.name.as_deref() == Some(name)).ok_or_else(|| lacks(name))?;
        let frame = self.call(function, args)?;
        let value = |output: &&str| {
            // the output is the first variable of its name; a variable in a block of the body may have the same name
            let mut locals = function.local_variables.iter().filter(|(_, v)| v.name.as_deref() == Some(*output));
            let variable = locals.next().and_then(|(handle, _)| frame.locals.get(&handle));
            Ok(self.variables[*variable.ok_or_else(|| lacks(output))?].clone())
        };
        let values = outputs.iter().map(value).collect::<Lowered<_>>()?;
        self.is_small(Span::UNDEFINED)?;
        Ok(values)
    }

    /// Lowers a call. The function's variables remain in `self.variables`, after the caller's variables.
    fn call(&mut self, function: &'m Function, args: Vec<WgslValue>) -> Lowered<CallFrame<'m>> {
        let mut frame = CallFrame {
            function,
            args,
            locals: HashMap::new(),
            values: HashMap::new(),
            enclosing: vec![],
            returned: None,
            result: None,
        };
        for (handle, variable) in function.local_variables.iter() {
            let value = match variable.init {
                Some(init) => self.value(&mut frame, init)?,
                None => self.zero(variable.ty, function.local_variables.get_span(handle))?,
            };
            frame.locals.insert(handle, self.variables.len());
            self.variables.push(value);
        }
        let entered = self.live;
        self.block(&mut frame, &function.body)?;
        let returned = frame.returned.take();
        self.arrive(returned);
        self.live = entered;
        Ok(frame)
    }

    /// Returns the result of a call, if the function has one.
    fn called(&mut self, function: &'m Function, args: Vec<WgslValue>, span: Span) -> Lowered<Option<WgslValue>> {
        let row = self.rows.iter().copied().find(|row| function.name.as_deref() == Some(row.name));
        if let Some(row) = row {
            return self.each(args, span, &mut |this, a| Ok(this.program.call(row, a))).map(Some);
        }
        let own = self.variables.len();
        let frame = self.call(function, args)?;
        self.variables.truncate(own);
        Ok(frame.result)
    }

    pub fn block(&mut self, frame: &mut CallFrame<'m>, block: &'m Block) -> Lowered<()> {
        for (statement, span) in block.span_iter() {
            // no element runs the rest of the block
            if self.program.is(self.live, false) {
                break;
            }
            self.spent += 1;
            self.is_small(*span)?;
            self.statement(frame, statement, *span)?;
        }
        Ok(())
    }

    /// Returns an error if the kernel computes too many values or takes too long to lower.
    fn is_small(&self, span: Span) -> Lowered<()> {
        if self.program.steps().len() > MOST_VALUES {
            let detail =
                format!("with its loops unrolled, the kernel computes more than {MOST_VALUES} values for an element");
            return Err(Complaint::new(span, detail));
        }
        if self.spent > MOST_STATEMENTS {
            let detail = format!(
                "with its loops unrolled and its calls written out, the kernel has more than {MOST_STATEMENTS} statements"
            );
            return Err(Complaint::new(span, detail));
        }
        Ok(())
    }

    /// Adds the cost of copying or merging all variables: one statement for each 16 scalars.
    pub fn spend_on_variables(&mut self) {
        fn numbers(values: &[WgslValue]) -> usize {
            values.iter().map(|v| if let WgslValue::Many(parts) = v { numbers(parts) } else { 1 }).sum()
        }
        self.spent += numbers(&self.variables) / 16;
    }

    #[allow(clippy::wildcard_enum_match_arm)] // naga's enums also have variants for graphics pipelines, all of which are rejected
    fn statement(&mut self, frame: &mut CallFrame<'m>, statement: &'m Statement, span: Span) -> Lowered<()> {
        match statement {
            Statement::Emit(range) => {
                for handle in range.clone() {
                    let value = self.expression(frame, handle)?;
                    frame.values.insert(handle, value);
                    self.is_small(frame.function.expressions.get_span(handle))?;
                }
                Ok(())
            }
            Statement::Block(block) => self.block(frame, block),
            Statement::If { condition, accept, reject } => {
                let condition = self.truth_of(frame, *condition)?;
                self.branches(
                    frame,
                    condition,
                    |this, frame| this.block(frame, accept),
                    |this, frame| this.block(frame, reject),
                )
            }
            Statement::Switch { selector, cases } => self.switch(frame, *selector, cases),
            Statement::Loop { body, continuing, break_if } => self.turns(frame, body, continuing, *break_if, span),
            Statement::Break => {
                if let Some(mut enclosing) = frame.enclosing.pop() {
                    self.note(&mut enclosing.ended);
                    frame.enclosing.push(enclosing);
                }
                self.live = self.program.truth(false);
                Ok(())
            }
            Statement::Continue => {
                for enclosing in frame.enclosing.iter_mut().rev() {
                    if enclosing.is_loop {
                        self.note(&mut enclosing.continued);
                        break;
                    }
                    enclosing.gone = self.program.or(enclosing.gone, self.live);
                }
                self.live = self.program.truth(false);
                Ok(())
            }
            Statement::Return { value } => {
                if let Some(value) = value {
                    let value = self.value(frame, *value)?;
                    frame.result = Some(match frame.result.take() {
                        Some(earlier) => self.choose(self.live, value, earlier),
                        // elements that return later replace this value by their own
                        None => value,
                    });
                }
                for enclosing in &mut frame.enclosing {
                    enclosing.gone = self.program.or(enclosing.gone, self.live);
                }
                self.note(&mut frame.returned);
                self.live = self.program.truth(false);
                Ok(())
            }
            Statement::Store { pointer, value } => {
                let value = self.value(frame, *value)?;
                match self.value(frame, *pointer)? {
                    WgslValue::Pointer(variable, places) => self.store(variable, &places, value),
                    WgslValue::One(_) | WgslValue::Many(_) => {
                        return Err(Complaint::new(span, "a store to something that is not a variable"));
                    }
                }
                Ok(())
            }
            Statement::Call { function, arguments, result } => {
                let args = arguments.iter().map(|a| self.value(frame, *a)).collect::<Lowered<Vec<_>>>()?;
                let value = self.called(&self.module.functions[*function], args, span)?;
                if let (Some(result), Some(value)) = (result, value) {
                    frame.values.insert(*result, value);
                }
                Ok(())
            }
            _ => Err(Complaint::new(
                span,
                "a statement that a kernel cannot have: it has no memory of its own, no barriers, atomics, textures or `discard`",
            )),
        }
    }

    fn store(&mut self, variable: usize, places: &[usize], value: WgslValue) {
        let mut at = &mut self.variables[variable];
        for place in places {
            match at {
                WgslValue::Many(parts) if *place < parts.len() => at = &mut parts[*place],
                WgslValue::Many(_) | WgslValue::One(_) | WgslValue::Pointer(..) => return,
            }
        }
        *at = value;
    }

    /// Returns the value of a variable or of a part of it.
    pub fn load(&self, variable: usize, places: &[usize]) -> Option<WgslValue> {
        places.iter().try_fold(&self.variables[variable], |value, place| part(value, *place)).cloned()
    }

    /// Returns `yes` where the condition is true, else `no`.
    pub fn choose(&mut self, condition: Id, yes: WgslValue, no: WgslValue) -> WgslValue {
        match (yes, no) {
            (WgslValue::One(yes), WgslValue::One(no)) => WgslValue::One(self.program.select(condition, yes, no)),
            (WgslValue::Many(yes), WgslValue::Many(no)) => {
                WgslValue::Many(yes.into_iter().zip(no).map(|(yes, no)| self.choose(condition, yes, no)).collect())
            }
            // `yes` and `no` are the same pointer, because pointers do not change and the types agree
            (yes, _) => yes,
        }
    }

    pub fn local(&self, frame: &CallFrame<'m>, variable: Handle<LocalVariable>) -> Option<usize> {
        frame.locals.get(&variable).copied()
    }

    pub fn truth_of(&mut self, frame: &mut CallFrame<'m>, condition: Handle<Expression>) -> Lowered<Id> {
        let span = frame.function.expressions.get_span(condition);
        let value = self.value(frame, condition)?;
        self.one(value, span)
    }

    /// Returns the value of an expression. If an `Emit` statement has not computed it yet, it is lowered now.
    pub fn value(&mut self, frame: &mut CallFrame<'m>, handle: Handle<Expression>) -> Lowered<WgslValue> {
        match frame.values.get(&handle) {
            Some(value) => Ok(value.clone()),
            None => self.expression(frame, handle),
        }
    }

    pub fn one(&self, value: WgslValue, span: Span) -> Lowered<Id> {
        match value {
            WgslValue::One(id) => Ok(id),
            WgslValue::Many(_) | WgslValue::Pointer(..) => Err(Complaint::new(span, "a scalar is needed here")),
        }
    }
}

/// Returns the part of a vector, an array or a structure at the index `place`.
pub(super) fn part(value: &WgslValue, place: usize) -> Option<&WgslValue> {
    match value {
        WgslValue::Many(parts) => parts.get(place),
        WgslValue::One(_) | WgslValue::Pointer(..) => None,
    }
}
