//! Types of WGSL, as far as a kernel has them.

use super::lower::{Lowered, Lowering, Value};
use super::source::Complaint;
use crate::dtype::{DType, Scalar};
use naga::{Handle, Span, Type, TypeInner};

/// The most places of a vector, an array or a structure that a variable may have.
const MOST_PLACES: u32 = 1 << 10;

impl Lowering<'_> {
    /// Returns the value of a type that WGSL says is its zero.
    #[allow(clippy::wildcard_enum_match_arm)] // naga's enums also have what pipelines need, all of which is refused
    pub fn zero(&mut self, ty: Handle<Type>, span: Span) -> Lowered<Value> {
        let many = |n: u32| match n {
            0..=MOST_PLACES => Ok(n),
            _ => Err(Complaint::new(span, format!("{n} places; a variable may have at most {MOST_PLACES}"))),
        };
        match &self.module.types[ty].inner {
            TypeInner::Scalar(scalar) => {
                let dtype = dtype_of(*scalar, span)?;
                Ok(Value::One(self.program.number(Scalar::Int(0), dtype)))
            }
            TypeInner::Vector { size, scalar } => {
                let zero = self.program.number(Scalar::Int(0), dtype_of(*scalar, span)?);
                Ok(Value::Many(vec![Value::One(zero); *size as usize]))
            }
            TypeInner::Array { base, size: naga::ArraySize::Constant(n), .. } => {
                let n = many(n.get())?;
                let zero = self.zero(*base, span)?;
                Ok(Value::Many(vec![zero; n as usize]))
            }
            TypeInner::Struct { members, .. } => {
                Ok(Value::Many(members.iter().map(|m| self.zero(m.ty, span)).collect::<Lowered<_>>()?))
            }
            _ => Err(Complaint::new(
                span,
                "a type that a kernel cannot have: it may have scalars, vectors, arrays and structures",
            )),
        }
    }
}

/// Returns the dtype of a scalar type of WGSL.
pub(super) fn dtype_of(scalar: naga::Scalar, span: Span) -> Lowered<DType> {
    use naga::ScalarKind::{Bool, Float, Sint, Uint};
    match (scalar.kind, scalar.width) {
        (Bool, _) => Ok(DType::Bool),
        (Sint, 4) => Ok(DType::I32),
        (Sint, 8) => Ok(DType::I64),
        (Uint, 4) => Ok(DType::U32),
        (Uint, 8) => Ok(DType::U64),
        (Float, 2) => Ok(DType::F16),
        (Float, 4) => Ok(DType::F32),
        (Float, 8) => Ok(DType::F64),
        _ => Err(Complaint::new(span, "a scalar type that a kernel cannot have")),
    }
}
