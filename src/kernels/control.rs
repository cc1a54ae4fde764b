//! Lowers control flow, that is branches, switches and loops, to masks. A mask is a bool value that states for each
//! element whether it runs a statement (see `kernels/lower.rs`).

use super::lower::{Arrived, CallFrame, Enclosing, Lowered, Lowering, WgslValue};
use super::program::Id;
use super::source::Complaint;
use crate::base::dtype::Scalar;
use crate::graph::ufunc::logic;
use naga::{Block, Expression, Handle, Span, SwitchValue};

/// The maximum number of iterations to which a loop is unrolled while all elements are still in the loop.
const MOST_TURNS: usize = 1 << 16;

/// The maximum number of iterations of a loop that some elements may leave before others, unless
/// `KernelOptions::loop_steps` sets another maximum.
const MOST_TURNS_BY_DATA: usize = 1 << 10;

impl<'m> Lowering<'m> {
    /// Adds the elements that run the current statement to the elements that have arrived at `place`, a point of the
    /// control flow. `place` also keeps these elements' values of the variables.
    pub fn note(&mut self, place: &mut Arrived) {
        if self.program.is(self.live, false) {
            return;
        }
        self.spend_on_variables();
        *place = Some(match place.take() {
            Some((mask, values)) => {
                let values = self.merged(self.live, self.variables.clone(), values);
                (self.program.or(mask, self.live), values)
            }
            None => (self.live, self.variables.clone()),
        });
    }

    /// Continues with the elements that have arrived at `place`, in addition to the elements that run the current
    /// statement.
    pub fn arrive(&mut self, place: Arrived) {
        let Some((mask, values)) = place else { return };
        if self.program.is(self.live, false) {
            (self.live, self.variables) = (mask, values);
            return;
        }
        self.spend_on_variables();
        let here = std::mem::take(&mut self.variables);
        self.variables = self.merged(mask, values, here);
        self.live = self.program.or(self.live, mask);
    }

    /// Merges the variables of two paths: returns `values` for the elements of the mask, and `others` for all other
    /// elements.
    fn merged(&mut self, mask: Id, values: Vec<WgslValue>, others: Vec<WgslValue>) -> Vec<WgslValue> {
        values.into_iter().zip(others).map(|(yes, no)| self.choose(mask, yes, no)).collect()
    }

    /// Lowers the two branches of an `if`, each with its own mask. Afterwards, only elements that have reached the end
    /// of their branch continue.
    pub fn branches(
        &mut self,
        frame: &mut CallFrame<'m>,
        condition: Id,
        yes: impl FnOnce(&mut Self, &mut CallFrame<'m>) -> Lowered<()>,
        no: impl FnOnce(&mut Self, &mut CallFrame<'m>) -> Lowered<()>,
    ) -> Lowered<()> {
        // all elements take the same branch, for example at the end of each iteration of a loop with a constant bound
        if self.program.is(condition, true) {
            return yes(self, frame);
        }
        if self.program.is(condition, false) {
            return no(self, frame);
        }
        self.spend_on_variables();
        let before = (self.live, self.variables.clone());
        let otherwise = self.program.not(condition);
        self.live = self.program.and(before.0, condition);
        yes(self, frame)?;
        let of_yes = (self.live, std::mem::replace(&mut self.variables, before.1));
        self.live = self.program.and(before.0, otherwise);
        no(self, frame)?;
        let of_no = (self.live, std::mem::take(&mut self.variables));
        // an element that reaches this point comes from the first branch if the condition is true for it, else from the
        // second branch
        self.variables = match [of_yes.0, of_no.0].map(|mask| self.program.is(mask, false)) {
            [true, _] => of_no.1,
            [_, true] => of_yes.1,
            [false, false] => mutant!(branches_meet_by_neither, of_yes.1, self.merged(condition, of_yes.1, of_no.1)),
        };
        self.live = self.program.or(of_yes.0, of_no.0);
        Ok(())
    }

    pub fn switch(
        &mut self,
        frame: &mut CallFrame<'m>,
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
            let is = self.program.call(&logic::equal, &[selector, number]);
            let is_not = self.program.not(is);
            others = self.program.and(others, is_not);
            matches.push(Some(is));
        }
        // a case that falls through is one of several values that share the body of a later case
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

    /// Unrolls a loop, iteration by iteration, until no element is left in it.
    pub fn turns(
        &mut self,
        frame: &mut CallFrame<'m>,
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
            // if no element has left the loop, all elements are still in it, whichever paths through the body they took
            let enclosing = &frame.enclosing[depth];
            if enclosing.ended.is_none() && self.program.is(enclosing.gone, false) {
                self.live = mutant!(ways_through_a_loop_leave_it, self.live, before);
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
                        "how often this loop runs depends on the elements, and after {turn} iterations some are still in it: set a maximum with \
                         KernelOptions::loop_steps"
                    );
                    return Err(Complaint::new(span, detail));
                }
                _ if turn >= MOST_TURNS => {
                    return Err(Complaint::new(span, format!("the loop does not end within {MOST_TURNS} iterations")));
                }
                Some(_) | None => {}
            }
        }
        self.leave(frame, before);
        Ok(())
    }

    /// Continues after a loop or a switch. Elements that have left it by `return` or by `continue` of an outer loop do
    /// not continue here.
    fn leave(&mut self, frame: &mut CallFrame<'m>, before: Id) {
        let no = self.program.truth(false);
        let Some(enclosing) = frame.enclosing.pop() else { return };
        self.live = no;
        self.arrive(enclosing.ended);
        if !self.program.is(self.live, false) {
            let stay = self.program.not(enclosing.gone);
            self.live = mutant!(elements_that_left_go_on, before, self.program.and(before, stay));
        }
    }
}
