//! Lowers the expressions of a WGSL function to values. Each component of a vector is a separate value.

use super::builtins;
use super::lower::{CallFrame, Lowered, Lowering, WgslValue, part};
use super::program::Id;
use super::source::Complaint;
use super::types::dtype_of;
use crate::base::dtype::{DType, Scalar};
use crate::graph::ufunc::{Ufunc, arithmetic, logic};
use naga::{BinaryOperator, Expression, Handle, Literal, RelationalFunction, Span, TypeInner, UnaryOperator};

impl<'m> Lowering<'m> {
    /// Lowers one expression of a WGSL function.
    #[allow(clippy::wildcard_enum_match_arm)] // naga's enums also have variants for graphics pipelines, all of which are rejected
    pub fn expression(&mut self, frame: &mut CallFrame<'m>, handle: Handle<Expression>) -> Lowered<WgslValue> {
        let span = frame.function.expressions.get_span(handle);
        let expression = &frame.function.expressions[handle];
        let refused = |what: &str| Err(Complaint::new(span, format!("{what}, which a kernel cannot have")));
        match expression {
            Expression::FunctionArgument(n) => match frame.args.get(*n as usize) {
                Some(value) => Ok(value.clone()),
                None => refused("an argument that was not given"),
            },
            Expression::LocalVariable(variable) => match self.local(frame, *variable) {
                Some(variable) => Ok(WgslValue::Pointer(variable, vec![])),
                None => refused("a variable of another function"),
            },
            Expression::Load { pointer } => match self.value(frame, *pointer)? {
                WgslValue::Pointer(variable, places) => match self.load(variable, &places) {
                    Some(value) => Ok(value),
                    None => refused("an index outside of its variable"),
                },
                WgslValue::One(_) | WgslValue::Many(_) => refused("a load from something that is not a variable"),
            },
            Expression::AccessIndex { base, index } => {
                let base = self.value(frame, *base)?;
                self.part_of(base, *index as usize, span)
            }
            Expression::Access { base, index } => {
                let base = self.value(frame, *base)?;
                let index = self.value(frame, *index)?;
                let index = self.one(index, span)?;
                self.indexed(base, index, span)
            }
            Expression::Unary { op, expr } => {
                let value = self.value(frame, *expr)?;
                self.each(vec![value], span, &mut |this, args| Ok(this.unary(*op, args[0])))
            }
            Expression::Binary { op, left, right } => {
                let operands = vec![self.value(frame, *left)?, self.value(frame, *right)?];
                self.each(operands, span, &mut |this, args| this.binary(*op, args[0], args[1], span))
            }
            Expression::Select { condition, accept, reject } => {
                let condition = self.value(frame, *condition)?;
                let [yes, no] = [self.value(frame, *accept)?, self.value(frame, *reject)?];
                self.selected(condition, yes, no, span)
            }
            Expression::Relational { fun, argument } => {
                let argument = self.value(frame, *argument)?;
                self.relational(*fun, argument, span)
            }
            Expression::Math { fun, arg, arg1, arg2, arg3 } => {
                let handles = [Some(*arg), *arg1, *arg2, *arg3];
                let args = handles.into_iter().flatten().map(|h| self.value(frame, h)).collect::<Lowered<Vec<_>>>()?;
                builtins::call(self, *fun, args, span)
            }
            Expression::As { expr, kind, convert } => {
                let value = self.value(frame, *expr)?;
                let (kind, convert) = (*kind, *convert);
                self.each(vec![value], span, &mut |this, args| this.converted(args[0], kind, convert, span))
            }
            Expression::Compose { ty, components } => {
                let parts = components.iter().map(|c| self.value(frame, *c)).collect::<Lowered<Vec<_>>>()?;
                self.composed(*ty, parts, span)
            }
            Expression::Splat { size, value } => Ok(WgslValue::Many(vec![self.value(frame, *value)?; *size as usize])),
            Expression::Swizzle { size, vector, pattern } => {
                let vector = self.value(frame, *vector)?;
                let places = pattern[..*size as usize].iter().map(|p| *p as usize);
                Ok(WgslValue::Many(places.map(|p| self.part_of(vector.clone(), p, span)).collect::<Lowered<_>>()?))
            }
            Expression::Literal(_) | Expression::Constant(_) | Expression::ZeroValue(_) => {
                self.constant_expression(expression, span)
            }
            Expression::CallResult(_) => refused("the result of a function that returns nothing for some elements"),
            Expression::GlobalVariable(_) => refused("a variable outside of functions"),
            Expression::Derivative { .. } => refused("a derivative"),
            _ => refused("an expression of pipelines, textures or memory"),
        }
    }

    /// Lowers an expression that does not depend on variables or arguments of a function.
    #[allow(clippy::wildcard_enum_match_arm)] // naga's enums also have variants for graphics pipelines, all of which are rejected
    fn constant_expression(&mut self, expression: &Expression, span: Span) -> Lowered<WgslValue> {
        match expression {
            Expression::Literal(literal) => Ok(WgslValue::One(self.literal(*literal, span)?)),
            Expression::ZeroValue(ty) => self.zero(*ty, span),
            Expression::Constant(constant) => self.global(self.module.constants[*constant].init),
            Expression::Compose { ty, components } => {
                let parts = components.iter().map(|c| self.global(*c)).collect::<Lowered<Vec<_>>>()?;
                self.composed(*ty, parts, span)
            }
            Expression::Splat { size, value } => Ok(WgslValue::Many(vec![self.global(*value)?; *size as usize])),
            _ => Err(Complaint::new(span, "a constant that a kernel cannot have")),
        }
    }

    fn global(&mut self, handle: Handle<Expression>) -> Lowered<WgslValue> {
        let module = self.module;
        self.constant_expression(&module.global_expressions[handle], module.global_expressions.get_span(handle))
    }

    fn literal(&mut self, literal: Literal, span: Span) -> Lowered<Id> {
        let (value, dtype) = match literal {
            Literal::F64(v) => (Scalar::Float(v), DType::F64),
            Literal::F32(v) => (Scalar::Float(v as f64), DType::F32),
            Literal::F16(v) => (Scalar::Float(v.to_f64()), DType::F16),
            Literal::U32(v) => (Scalar::Int(v as i128), DType::U32),
            Literal::I32(v) => (Scalar::Int(v as i128), DType::I32),
            Literal::U64(v) => (Scalar::Int(v as i128), DType::U64),
            Literal::I64(v) => (Scalar::Int(v as i128), DType::I64),
            Literal::Bool(v) => (Scalar::Bool(v), DType::Bool),
            Literal::U16(_) | Literal::I16(_) | Literal::AbstractInt(_) | Literal::AbstractFloat(_) => {
                return Err(Complaint::new(span, "a number of a type that a kernel cannot have"));
            }
        };
        Ok(self.program.number(value, dtype))
    }

    /// Composes a value of the type `ty` from parts. The parts of a vector may be shorter vectors.
    fn composed(&self, ty: Handle<naga::Type>, parts: Vec<WgslValue>, span: Span) -> Lowered<WgslValue> {
        let inner = &self.module.types[ty].inner;
        let is_vector = matches!(inner, TypeInner::Vector { .. });
        // matrices are rejected, because operators work component by component here, which is wrong for a product of
        // matrices
        if mutant!(kernel_takes_matrices, false, matches!(inner, TypeInner::Matrix { .. })) {
            return Err(Complaint::new(span, "a matrix, which a kernel cannot have: use vectors and `dot`"));
        }
        let spread = |part: WgslValue| match part {
            WgslValue::Many(parts) if is_vector => parts,
            WgslValue::One(_) | WgslValue::Many(_) | WgslValue::Pointer(..) => vec![part],
        };
        Ok(WgslValue::Many(parts.into_iter().flat_map(spread).collect()))
    }

    fn part_of(&self, base: WgslValue, place: usize, span: Span) -> Lowered<WgslValue> {
        match base {
            WgslValue::Pointer(variable, places) => {
                let places = places.iter().copied().chain([place]).collect();
                Ok(WgslValue::Pointer(variable, places))
            }
            WgslValue::One(_) | WgslValue::Many(_) => part(&base, place)
                .cloned()
                .ok_or_else(|| Complaint::new(span, format!("index {place} is out of range"))),
        }
    }

    /// Returns the part of a value at an index. If the index differs between elements, each element chooses among all
    /// parts; an index out of bounds chooses the last part.
    fn indexed(&mut self, base: WgslValue, index: Id, span: Span) -> Lowered<WgslValue> {
        if let Some(number) = self.program.constant(index) {
            let place = usize::try_from(number.as_i128()).unwrap_or(usize::MAX);
            return self.part_of(base, place, span);
        }
        let parts = match base {
            WgslValue::Many(parts) => parts,
            WgslValue::Pointer(variable, places) => match self.load(variable, &places) {
                // a variable cannot be indexed by an index that differs between elements, neither in a load nor in a
                // store
                Some(WgslValue::Many(_)) => {
                    let detail = "an index that differs between elements cannot access a variable; copy the variable to a `let` first, or use a `switch`";
                    return Err(Complaint::new(span, detail));
                }
                Some(WgslValue::One(_) | WgslValue::Pointer(..)) | None => vec![],
            },
            WgslValue::One(_) => vec![],
        };
        let dtype = self.program.dtype(index);
        let mut numbered = parts.into_iter().enumerate().rev();
        let Some((_, mut chosen)) = numbered.next() else {
            return Err(Complaint::new(span, "an index into a value without components"));
        };
        for (place, value) in numbered {
            let number = self.program.number(Scalar::Int(place as i128), dtype);
            let is = self.program.call(&logic::equal, &[index, number]);
            chosen = self.choose(is, value, chosen);
        }
        Ok(chosen)
    }

    /// Calls a function for each component of its operands. If some operands are vectors, a scalar operand is used for
    /// every component.
    pub fn each(
        &mut self,
        operands: Vec<WgslValue>,
        span: Span,
        function: &mut dyn FnMut(&mut Self, &[Id]) -> Lowered<Id>,
    ) -> Lowered<WgslValue> {
        let longest =
            operands.iter().filter_map(|v| if let WgslValue::Many(parts) = v { Some(parts.len()) } else { None }).max();
        let Some(n) = longest else {
            let ids = operands.into_iter().map(|v| self.one(v, span)).collect::<Lowered<Vec<_>>>()?;
            return Ok(WgslValue::One(function(self, &ids)?));
        };
        let component = |value: &WgslValue, i: usize| match value {
            WgslValue::Many(parts) => parts.get(i).cloned(),
            WgslValue::One(_) | WgslValue::Pointer(..) => Some(value.clone()),
        };
        let mut parts = vec![];
        for i in 0..n {
            let of_one: Option<Vec<WgslValue>> = operands.iter().map(|v| component(v, i)).collect();
            let of_one = of_one.ok_or_else(|| Complaint::new(span, "vectors of different lengths"))?;
            parts.push(self.each(of_one, span, function)?);
        }
        Ok(WgslValue::Many(parts))
    }

    /// Chooses between two values: as a whole, or component by component if the condition is a vector of bools.
    fn selected(&mut self, condition: WgslValue, yes: WgslValue, no: WgslValue, span: Span) -> Lowered<WgslValue> {
        match condition {
            WgslValue::One(condition) => Ok(self.choose(condition, yes, no)),
            WgslValue::Many(_) | WgslValue::Pointer(..) => {
                self.each(vec![condition, yes, no], span, &mut |this, a| Ok(this.program.select(a[0], a[1], a[2])))
            }
        }
    }

    fn unary(&mut self, op: UnaryOperator, a: Id) -> Id {
        match op {
            UnaryOperator::Negate => self.program.call(&arithmetic::negative, &[a]),
            UnaryOperator::LogicalNot => self.program.not(a),
            UnaryOperator::BitwiseNot => self.program.call(&logic::bitwise_invert, &[a]),
        }
    }

    fn binary(&mut self, op: BinaryOperator, a: Id, b: Id, span: Span) -> Lowered<Id> {
        let dtype = self.program.dtype(a);
        let row: &'static Ufunc = match op {
            BinaryOperator::Add => &arithmetic::add,
            BinaryOperator::Subtract => &arithmetic::subtract,
            BinaryOperator::Multiply => &arithmetic::multiply,
            BinaryOperator::Divide if dtype.is_float() => &arithmetic::divide,
            BinaryOperator::Divide => return Ok(self.quotient(a, b)),
            BinaryOperator::Modulo => &arithmetic::fmod,
            BinaryOperator::Equal => &logic::equal,
            BinaryOperator::NotEqual => &logic::not_equal,
            BinaryOperator::Less => &logic::less,
            BinaryOperator::LessEqual => &logic::less_equal,
            BinaryOperator::Greater => &logic::greater,
            BinaryOperator::GreaterEqual => &logic::greater_equal,
            BinaryOperator::LogicalAnd => return Ok(self.program.and(a, b)),
            BinaryOperator::LogicalOr => return Ok(self.program.or(a, b)),
            BinaryOperator::And if dtype == DType::Bool => return Ok(self.program.and(a, b)),
            BinaryOperator::InclusiveOr if dtype == DType::Bool => return Ok(self.program.or(a, b)),
            BinaryOperator::And => &logic::bitwise_and,
            BinaryOperator::InclusiveOr => &logic::bitwise_or,
            BinaryOperator::ExclusiveOr => &logic::bitwise_xor,
            BinaryOperator::ShiftLeft => return Ok(self.shifted(&logic::bitwise_left_shift, a, b)),
            BinaryOperator::ShiftRight => return Ok(self.shifted(&logic::bitwise_right_shift, a, b)),
        };
        if dtype != self.program.dtype(b) {
            return Err(Complaint::new(span, "operands of different types"));
        }
        Ok(self.program.call(row, &[a, b]))
    }

    /// Divides integers as WGSL does: the quotient is rounded toward 0, and a division by 0 returns the dividend.
    fn quotient(&mut self, a: Id, b: Id) -> Id {
        let dtype = self.program.dtype(a);
        // the dividend minus the remainder is a multiple of the divisor, so its quotient is exact
        let rest = self.program.call(&arithmetic::fmod, &[a, b]);
        let multiple = match mutant!(kernel_rounds_quotients_down, true, dtype.is_unsigned_integer()) {
            true => a,
            false => self.program.call(&arithmetic::subtract, &[a, rest]),
        };
        let quotient = self.program.call(&arithmetic::floor_divide, &[multiple, b]);
        let zero = self.program.number(Scalar::Int(0), dtype);
        let by_zero = self.program.call(&logic::equal, &[b, zero]);
        self.program.select(by_zero, a, quotient)
    }

    /// Shifts an integer by `by` bits. As in WGSL, only `by` modulo the integer's width counts.
    fn shifted(&mut self, row: &'static Ufunc, a: Id, by: Id) -> Id {
        let dtype = self.program.dtype(a);
        let by = self.program.cast(by, dtype);
        let mask = self.program.number(Scalar::Int(dtype.size() as i128 * 8 - 1), dtype);
        let by = self.program.call(&logic::bitwise_and, &[by, mask]);
        self.program.call(row, &[a, by])
    }

    fn relational(&mut self, fun: RelationalFunction, argument: WgslValue, span: Span) -> Lowered<WgslValue> {
        match fun {
            RelationalFunction::IsNan => {
                self.each(vec![argument], span, &mut |this, a| Ok(this.program.call(&logic::isnan, a)))
            }
            RelationalFunction::IsInf => {
                self.each(vec![argument], span, &mut |this, a| Ok(this.program.call(&logic::isinf, a)))
            }
            RelationalFunction::All | RelationalFunction::Any => {
                let WgslValue::Many(parts) = argument else { return Ok(argument) };
                let all = fun == RelationalFunction::All;
                let mut folded = self.program.truth(all);
                for p in parts {
                    let p = self.one(p, span)?;
                    folded = if all { self.program.and(folded, p) } else { self.program.or(folded, p) };
                }
                Ok(WgslValue::One(folded))
            }
        }
    }

    fn converted(&mut self, a: Id, kind: naga::ScalarKind, convert: Option<u8>, span: Span) -> Lowered<Id> {
        let from = self.program.dtype(a);
        let width = convert.unwrap_or(from.size() as u8);
        let to = dtype_of(naga::Scalar { kind, width }, span)?;
        // a bitcast between integers is a wrapping conversion; the library has no function that reinterprets the bits
        // of a float
        if convert.is_none() && from != to && (from.is_float() || to.is_float()) {
            return Err(Complaint::new(span, "`bitcast` of a float's bits, which a kernel cannot have"));
        }
        Ok(self.program.cast(a, to))
    }
}
