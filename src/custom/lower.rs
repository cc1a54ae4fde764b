//! Statements of a WGSL function, lowered to values. There are no jumps: a mask says for each element whether it runs a
//! statement. Variables hold what they have for these elements; where ways meet, at the end of a branch, a turn, a loop or a
//! function, each variable that differs is a choice by the masks of the ways. A branch or loop whose condition is known when the
//! text is lowered costs nothing: the branch that is not taken is left out, and the loop is unrolled.

use super::program::{Id, MOST_VALUES, Program};
use super::source::Complaint;
use super::types::part;
use crate::dtype::Scalar;
use naga::{Block, Expression, Function, Handle, LocalVariable, Module, Span, Statement, SwitchValue};
use std::collections::HashMap;

/// How often a loop is unrolled at most while all elements are in it.
const MOST_TURNS: usize = 1 << 16;

/// How often a loop is unrolled that some elements may have left, if its author states no maximum.
const MOST_TURNS_BY_DATA: usize = 1 << 10;

/// A value of a WGSL type.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    One(Id),
    /// The components of a vector, the elements of an array, the members of a structure.
    Many(Vec<Value>),
    /// A variable, or a part of it: the places that lead to the part, from the outside in.
    Pointer(usize, Vec<usize>),
}

/// The elements that have come to a place, and what variables hold for them.
type Arrived = Option<(Id, Vec<Value>)>;

/// What `break` leaves: a loop or a switch.
struct Enclosing {
    is_loop: bool,
    /// The elements that have left it for what is not its end: by `return`, or, for a switch, by `continue`.
    gone: Id,
    /// Those that have come to `continue` in this turn of a loop.
    continued: Arrived,
    /// Those that have come to its end.
    ended: Arrived,
}

/// A call of a function, as it is lowered.
pub(super) struct Frame<'m> {
    pub function: &'m Function,
    pub args: Vec<Value>,
    locals: HashMap<Handle<LocalVariable>, usize>,
    /// The expressions that an `Emit` statement has computed, and results of calls.
    pub values: HashMap<Handle<Expression>, Value>,
    enclosing: Vec<Enclosing>,
    /// The elements that have returned, and what for.
    returned: Arrived,
    result: Option<Value>,
}

pub(super) struct Lowering<'m> {
    pub module: &'m Module,
    pub program: Program,
    /// The variables of the functions that are being lowered, those of a called one behind those of its caller.
    variables: Vec<Value>,
    /// The mask of the elements that run the statement at hand.
    live: Id,
    /// How many turns a loop has at most that depends on data, as the kernel's author states it.
    most_turns: Option<usize>,
}

pub(super) type Lowered<T> = Result<T, Complaint>;

impl<'m> Lowering<'m> {
    pub fn new(module: &'m Module, most_turns: Option<usize>) -> Lowering<'m> {
        let mut program = Program::default();
        let live = program.truth(true);
        Lowering { module, program, variables: vec![], live, most_turns }
    }

    /// Lowers a call of the module's function `name`, and returns the last values of those of its variables that `outputs` names.
    pub fn function(&mut self, name: &str, args: Vec<Value>, outputs: &[&str]) -> Lowered<Vec<Value>> {
        let lacks = |what: &str| Complaint::new(Span::UNDEFINED, format!("the kernel has no {what}"));
        let mut functions = self.module.functions.iter().map(|(_, f)| f);
        let function = functions.find(|f| f.name.as_deref() == Some(name)).ok_or_else(|| lacks(name))?;
        let frame = self.call(function, args)?;
        let value = |output: &&str| {
            // of variables of one name, ours is the first, and those in blocks of the text come later
            let mut locals = function.local_variables.iter().filter(|(_, v)| v.name.as_deref() == Some(*output));
            let variable = locals.next().and_then(|(handle, _)| frame.locals.get(&handle));
            Ok(self.variables[*variable.ok_or_else(|| lacks(output))?].clone())
        };
        outputs.iter().map(value).collect()
    }

    /// Lowers a call. The variables of the function stay behind those of its caller.
    fn call(&mut self, function: &'m Function, args: Vec<Value>) -> Lowered<Frame<'m>> {
        let mut frame = Frame {
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

    /// Adds the elements that are at hand to those that have arrived at a place.
    fn note(&mut self, place: &mut Arrived) {
        if self.program.is(self.live, false) {
            return;
        }
        *place = Some(match place.take() {
            Some((mask, values)) => {
                let values = self.merged(self.live, self.variables.clone(), values);
                (self.program.or(mask, self.live), values)
            }
            None => (self.live, self.variables.clone()),
        });
    }

    /// Goes on with the elements that have arrived at a place beside those at hand.
    fn arrive(&mut self, place: Arrived) {
        let Some((mask, values)) = place else { return };
        if self.program.is(self.live, false) {
            (self.live, self.variables) = (mask, values);
            return;
        }
        let here = std::mem::take(&mut self.variables);
        self.variables = self.merged(mask, values, here);
        self.live = self.program.or(self.live, mask);
    }

    /// Returns what variables hold where two ways meet: `values` for the elements of the mask, `others` for the others.
    fn merged(&mut self, mask: Id, values: Vec<Value>, others: Vec<Value>) -> Vec<Value> {
        values.into_iter().zip(others).map(|(yes, no)| self.choose(mask, yes, no)).collect()
    }

    fn block(&mut self, frame: &mut Frame<'m>, block: &'m Block) -> Lowered<()> {
        for (statement, span) in block.span_iter() {
            // no element comes here
            if self.program.is(self.live, false) {
                break;
            }
            if self.program.steps().len() > MOST_VALUES {
                let detail = format!(
                    "with its loops unrolled, the kernel computes more than {MOST_VALUES} values for an element"
                );
                return Err(Complaint::new(*span, detail));
            }
            self.statement(frame, statement, *span)?;
        }
        Ok(())
    }

    #[allow(clippy::wildcard_enum_match_arm)] // naga's enums also have what pipelines need, all of which is refused
    fn statement(&mut self, frame: &mut Frame<'m>, statement: &'m Statement, span: Span) -> Lowered<()> {
        match statement {
            Statement::Emit(range) => {
                for handle in range.clone() {
                    let value = self.expression(frame, handle)?;
                    frame.values.insert(handle, value);
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
                    Value::Pointer(variable, places) => self.store(variable, &places, value),
                    Value::One(_) | Value::Many(_) => {
                        return Err(Complaint::new(span, "a store to what is no variable"));
                    }
                }
                Ok(())
            }
            Statement::Call { function, arguments, result } => {
                let args = arguments.iter().map(|a| self.value(frame, *a)).collect::<Lowered<_>>()?;
                let own = self.variables.len();
                let called = self.call(&self.module.functions[*function], args)?;
                self.variables.truncate(own);
                if let (Some(result), Some(value)) = (result, called.result) {
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

    /// Lowers two branches, each for its elements. Behind them those run on that have come to the end of one.
    fn branches(
        &mut self,
        frame: &mut Frame<'m>,
        condition: Id,
        yes: impl FnOnce(&mut Self, &mut Frame<'m>) -> Lowered<()>,
        no: impl FnOnce(&mut Self, &mut Frame<'m>) -> Lowered<()>,
    ) -> Lowered<()> {
        let before = (self.live, self.variables.clone());
        let otherwise = self.program.not(condition);
        self.live = self.program.and(before.0, condition);
        yes(self, frame)?;
        let of_yes = (self.live, std::mem::replace(&mut self.variables, before.1));
        self.live = self.program.and(before.0, otherwise);
        no(self, frame)?;
        let of_no = (self.live, std::mem::take(&mut self.variables));
        // of the elements that come here, those with the condition come from the first branch
        self.variables = match [of_yes.0, of_no.0].map(|mask| self.program.is(mask, false)) {
            [true, _] => of_no.1,
            [_, true] => of_yes.1,
            [false, false] => self.merged(condition, of_yes.1, of_no.1),
        };
        self.live = self.program.or(of_yes.0, of_no.0);
        Ok(())
    }

    fn switch(
        &mut self,
        frame: &mut Frame<'m>,
        selector: Handle<Expression>,
        cases: &'m [naga::SwitchCase],
    ) -> Lowered<()> {
        let span = frame.function.expressions.get_span(selector);
        let selector = self.value(frame, selector)?;
        let selector = self.one(selector, span)?;
        let (before, variables) = (self.live, self.variables.clone());
        let no = self.program.truth(false);
        frame.enclosing.push(Enclosing { is_loop: false, gone: no, continued: None, ended: None });
        let mut others = self.program.truth(true);
        let mut matches = vec![];
        for case in cases {
            let number = match case.value {
                SwitchValue::I32(n) => Scalar::Int(n as i128),
                SwitchValue::U32(n) => Scalar::Int(n as i128),
                SwitchValue::Default => {
                    matches.push(None);
                    continue;
                }
            };
            let number = self.program.number(number, self.program.dtype(selector));
            let is = self.program.call(&crate::ufunc::logic::equal, &[selector, number]);
            let is_not = self.program.not(is);
            others = self.program.and(others, is_not);
            matches.push(Some(is));
        }
        // a case that falls through is one of several values with one body, and has none of its own
        let mut fallen = no;
        for (case, is) in cases.iter().zip(matches) {
            let is = self.program.or(is.unwrap_or(others), fallen);
            fallen = no;
            if case.fall_through {
                fallen = is;
                continue;
            }
            self.live = self.program.and(before, is);
            self.variables.clone_from(&variables);
            self.block(frame, &case.body)?;
            if let Some(mut enclosing) = frame.enclosing.pop() {
                self.note(&mut enclosing.ended);
                frame.enclosing.push(enclosing);
            }
        }
        self.leave(frame, before);
        Ok(())
    }

    /// Lowers a loop turn by turn, until no element is in it.
    fn turns(
        &mut self,
        frame: &mut Frame<'m>,
        body: &'m Block,
        continuing: &'m Block,
        break_if: Option<Handle<Expression>>,
        span: Span,
    ) -> Lowered<()> {
        let before = self.live;
        let no = self.program.truth(false);
        frame.enclosing.push(Enclosing { is_loop: true, gone: no, continued: None, ended: None });
        let depth = frame.enclosing.len() - 1;
        for turn in 1.. {
            self.block(frame, body)?;
            let continued = frame.enclosing[depth].continued.take();
            self.arrive(continued);
            if !self.program.is(self.live, false) {
                self.block(frame, continuing)?;
                if let Some(ends) = break_if {
                    let ends = self.truth_of(frame, ends)?;
                    let goes_on = self.program.not(ends);
                    let here = self.live;
                    self.live = self.program.and(here, ends);
                    let mut ended = frame.enclosing[depth].ended.take();
                    self.note(&mut ended);
                    frame.enclosing[depth].ended = ended;
                    self.live = self.program.and(here, goes_on);
                }
            }
            if self.program.is(self.live, false) {
                break;
            }
            let by_data = self.live != before;
            match self.most_turns {
                Some(most) if by_data && turn >= most => {
                    let mut ended = frame.enclosing[depth].ended.take();
                    self.note(&mut ended);
                    frame.enclosing[depth].ended = ended;
                    break;
                }
                None if by_data && turn >= MOST_TURNS_BY_DATA => {
                    let detail = format!(
                        "how often this loop runs depends on the elements, and after {turn} turns some are in it still: state with \
                         KernelOptions::loop_steps after how many all leave it"
                    );
                    return Err(Complaint::new(span, detail));
                }
                _ if turn >= MOST_TURNS => {
                    return Err(Complaint::new(span, format!("the loop does not end within {MOST_TURNS} turns")));
                }
                Some(_) | None => {}
            }
        }
        self.leave(frame, before);
        Ok(())
    }

    /// Goes on behind a loop or a switch, with the elements that came to it and have not gone elsewhere.
    fn leave(&mut self, frame: &mut Frame<'m>, before: Id) {
        let no = self.program.truth(false);
        let Some(enclosing) = frame.enclosing.pop() else { return };
        self.live = no;
        self.arrive(enclosing.ended);
        if !self.program.is(self.live, false) {
            let stay = self.program.not(enclosing.gone);
            self.live = self.program.and(before, stay);
        }
    }

    fn store(&mut self, variable: usize, places: &[usize], value: Value) {
        let mut at = &mut self.variables[variable];
        for place in places {
            match at {
                Value::Many(parts) if *place < parts.len() => at = &mut parts[*place],
                Value::Many(_) | Value::One(_) | Value::Pointer(..) => return,
            }
        }
        *at = value;
    }

    /// Returns what a variable, or a part of it, holds.
    pub fn load(&self, variable: usize, places: &[usize]) -> Option<Value> {
        places.iter().try_fold(&self.variables[variable], |value, place| part(value, *place)).cloned()
    }

    /// Returns `yes` where the condition is true, else `no`.
    pub fn choose(&mut self, condition: Id, yes: Value, no: Value) -> Value {
        match (yes, no) {
            (Value::One(yes), Value::One(no)) => Value::One(self.program.select(condition, yes, no)),
            (Value::Many(yes), Value::Many(no)) => {
                Value::Many(yes.into_iter().zip(no).map(|(yes, no)| self.choose(condition, yes, no)).collect())
            }
            // pointers do not change, and types agree
            (yes, _) => yes,
        }
    }

    pub fn local(&self, frame: &Frame<'m>, variable: Handle<LocalVariable>) -> Option<usize> {
        frame.locals.get(&variable).copied()
    }

    fn truth_of(&mut self, frame: &mut Frame<'m>, condition: Handle<Expression>) -> Lowered<Id> {
        let span = frame.function.expressions.get_span(condition);
        let value = self.value(frame, condition)?;
        self.one(value, span)
    }

    /// Returns the value of an expression: the one that a statement has computed, or that of a constant or variable.
    pub fn value(&mut self, frame: &mut Frame<'m>, handle: Handle<Expression>) -> Lowered<Value> {
        match frame.values.get(&handle) {
            Some(value) => Ok(value.clone()),
            None => self.expression(frame, handle),
        }
    }

    pub fn one(&self, value: Value, span: Span) -> Lowered<Id> {
        match value {
            Value::One(id) => Ok(id),
            Value::Many(_) | Value::Pointer(..) => Err(Complaint::new(span, "a scalar is needed here")),
        }
    }
}
